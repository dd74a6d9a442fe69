"""External ports to try after a conflict: when, how many in a day, who picks them, and which one to come back to. Pure.

The gateway picks where it offers AddAnyPortMapping (WANIPConnection:2), for it knows what is free. An answer to that
which got lost leaves an entry at a port that nobody told us: the table tells. Sources: IGD:2 WANIPConnection section
2.5, quirks Q123, Q124, faults F36, F37, threat D6.
"""

from __future__ import annotations

from collections.abc import Callable

from txigd.limits import DAY_SECONDS, PORT_DOUBT_SECONDS, PORT_DOUBTS, PORT_TRIES


class OtherPorts:
    """The other ports of one wanted mapping on one gateway.

    :param pick: returns a port to try where the gateway picks none.
    :param offered: whether the gateway offers to pick one.
    :param first: the port to ask for first.
    :param kept: the port where an entry of ours stood in an earlier life, 0 for none.
    :ivar astray: whether an entry of ours may stand at a port that we were not told.
    :ivar home: the port to come back to after a refusal; 0 where that one is somebody else's.
    :ivar ours: the port where an entry of ours stood last; 0 for none.
    """

    def __init__(self, pick: Callable[[], int], *, offered: bool, first: int, kept: int = 0) -> None:
        self.pick = pick
        self.astray = False
        self.home = first
        self.ours = kept
        self._doubts = 0
        self._doubted_at = 0.0
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
        self.trust()

    def works(self, port: int) -> None:
        """An entry of ours stands there."""
        self.home = self.ours = port
        self.trust()

    def doubt(self, now: float) -> bool:
        """It was refused in a way that may pass, or may mean that the port is taken (Q124): whether that has lasted."""
        if not self._doubts:
            self._doubted_at = now
        self._doubts += 1
        return self._doubts >= PORT_DOUBTS and now - self._doubted_at >= PORT_DOUBT_SECONDS

    def trust(self) -> None:
        """It is not about the port."""
        self._doubts = 0

    def pick_ourselves(self) -> None:
        """The gateway refuses to pick, or its answers get lost."""
        self._by_gateway = False

    def forget(self) -> None:
        """The gateway was restarted: its abilities are judged afresh."""
        self._by_gateway = self._offered
        self.trust()
