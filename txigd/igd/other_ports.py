"""External ports to try after a conflict: how many in a day, and who picks them. Pure.

The gateway picks where it offers AddAnyPortMapping (WANIPConnection:2), for it knows what is free. An answer to that
which got lost leaves an entry at a port that nobody told us: the table tells. Sources: IGD:2 WANIPConnection section
2.5, quirk Q123, fault F36, threat D6.
"""

from __future__ import annotations

from collections.abc import Callable

from txigd.limits import PORT_TRIES

DAY_SECONDS = 86_400.0


class OtherPorts:
    """The other ports of one wanted mapping on one gateway.

    :param pick: returns a port to try where the gateway picks none.
    :param offered: whether the gateway offers to pick one.
    :ivar astray: whether an entry of ours may stand at a port that we were not told.
    """

    def __init__(self, pick: Callable[[], int], *, offered: bool) -> None:
        self.pick = pick
        self.astray = False
        self._offered = self._by_gateway = offered
        self._spent: list[float] = []

    @property
    def by_gateway(self) -> bool:
        """Whether the gateway is to pick."""
        return self._by_gateway

    def may(self, now: float) -> bool:
        """Whether another one may be tried (D6)."""
        self._spent = [at for at in self._spent if now - at < DAY_SECONDS]
        return len(self._spent) < PORT_TRIES

    def spend(self, now: float) -> None:
        """One is tried now."""
        self._spent.append(now)

    def pick_ourselves(self) -> None:
        """The gateway refuses to pick, or its answers get lost."""
        self._by_gateway = False

    def forget(self) -> None:
        """The gateway was restarted: its abilities are judged afresh."""
        self._by_gateway = self._offered
