"""How often one thing may be made anew: what a gateway drops at once is not made again at once for ever. Pure.

Mappings and pinholes have one each. What lived for a while costs nothing, nor does what a restart took. Sources: quirks
Q133, Q134, fault F34, threat D6.
"""

from __future__ import annotations

from collections import deque

from txigd.limits import ADDS_AT_ONCE, ADDS_FREE, DAY_SECONDS, RENEW_FLOOR_SECONDS, RETRY_CEILING_SECONDS


class Allowance:
    """What one wanted thing may cost its gateway."""

    def __init__(self) -> None:
        # the pause grows from ADDS_FREE on and soon is RETRY_CEILING_SECONDS: a day never holds more
        self._spent: deque[float] = deque(maxlen=ADDS_FREE + int(DAY_SECONDS / RETRY_CEILING_SECONDS) + 1)
        self._made_at = float("-inf")
        self._early = False

    def made(self, now: float, lease_seconds: int = 0) -> float:
        """It was made or renewed.

        :param lease_seconds: what it was given, 0 for ever. What is given less than two floors cannot be kept.
        :return: seconds until it may be renewed; 0 where its lease is long enough.
        """
        short = 0 < lease_seconds < 2 * RENEW_FLOOR_SECONDS
        self._made_at = now
        if self._early or short:
            self._early = False
            self._spent.append(now)
        return max(RENEW_FLOOR_SECONDS, self._wait(now)) if short else 0.0

    def lost(self, now: float) -> None:
        """It is gone."""
        self._early = self._early or now - self._made_at < RETRY_CEILING_SECONDS

    def excuse(self) -> None:
        """The gateway was restarted: what is gone is gone because of that."""
        self._made_at = float("-inf")
        self._early = False

    def pause(self, now: float) -> float:
        """Seconds until what is gone may be made again; 0 for now."""
        return self._wait(now) if self._early else 0.0

    def told(self, now: float) -> str:
        """Why not at once, for people."""
        return f"made {self._today(now)} times in a day, so the next one can wait"

    def _today(self, now: float) -> int:
        while self._spent and now - self._spent[0] >= DAY_SECONDS:
            self._spent.popleft()
        return len(self._spent)

    def _wait(self, now: float) -> float:
        spent = self._today(now)
        if spent < ADDS_AT_ONCE:
            return 0.0
        pause: float = min(RENEW_FLOOR_SECONDS * max(1, spent - ADDS_FREE), RETRY_CEILING_SECONDS)
        return max(0.0, self._spent[-1] + pause - now)
