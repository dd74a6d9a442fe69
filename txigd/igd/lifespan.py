"""At what age entries of ours go, on a gateway that drops them before their lease ends; tries before it ends. Pure.

Sources: quirks Q119, Q134, faults F34, F46.
"""

from __future__ import annotations

from collections import deque

from txigd.limits import LIFESPAN_FRACTION, LIFESPAN_LOSSES, RENEW_FLOOR_SECONDS, TRIES_BEFORE_THE_END


def rest_before(end: float, now: float, seconds: float, *, floor: float = RENEW_FLOOR_SECONDS) -> float:
    """How long to rest before the next try to renew what could not be renewed now, and lives until ``end`` (F46).

    :param seconds: the rest where nothing runs out.
    :param floor: what tries are apart at least, however near the end is.
    """
    return min(seconds, max(floor, (end - now) / TRIES_BEFORE_THE_END)) if now < end else seconds


class Lifespan:
    """Learned from losses: the age of each lies between the last look that showed the entry and the first that did not.

    Where the last few may have been of one age, an entry is to be renewed before it.
    """

    def __init__(self) -> None:
        self._begun_at: float | None = None
        self._seen_at = 0.0
        self._ages: deque[tuple[float, float]] = deque(maxlen=LIFESPAN_LOSSES)

    def begin(self, now: float) -> None:
        """It was made or renewed."""
        self._begun_at = self._seen_at = now

    def seen(self, now: float) -> None:
        """It is there."""
        self._seen_at = now

    def lost(self, now: float) -> None:
        """It is gone, while its lease ran."""
        if self._begun_at is not None:
            self._ages.append((self._seen_at - self._begun_at, now - self._begun_at))
            self._begun_at = None

    def forget(self) -> None:
        """The gateway was restarted: what is gone is gone because of that, and it may behave better now."""
        self._begun_at = None
        self._ages.clear()

    @property
    def seconds(self) -> float | None:
        """After how many seconds to renew; None where nothing is known."""
        if len(self._ages) < LIFESPAN_LOSSES or max(low for low, _ in self._ages) > min(high for _, high in self._ages):
            return None
        seconds: float = LIFESPAN_FRACTION * min(low for low, _ in self._ages)
        return seconds if seconds >= RENEW_FLOOR_SECONDS else None
