"""An entry of ours for a former address of this host, which the gateway lets that address alone delete. Pure.

miniupnpd in secure mode is such a gateway: it answers 606 to DeletePortMapping and 718 to AddPortMapping from the
address of now, until the lease of then ends. Sources: quirks Q122, Q129, Q135, fault F14.
"""

from __future__ import annotations

from dataclasses import dataclass

from txigd.limits import RETRY_CEILING_SECONDS


@dataclass(frozen=True, slots=True)
class FormerEntry:
    """It stands in the way.

    :ivar client: the address that it leads to.
    :ivar ends_at: when its lease ends, on the clock of the lease machine; None where nobody knows.
    """

    client: str
    ends_at: float | None = None

    def reason(self, port: int) -> str:
        """What a user is told."""
        end = "for ever" if self.ends_at is None else "until its lease ends"
        return (
            f"external port {port} still leads to {self.client:.60}, our address of before; "
            f"the gateway keeps that entry {end}"
        )

    def wait(self, now: float) -> float | None:
        """Seconds until the next try; None where it should have ended by now."""
        if self.ends_at is None:
            return RETRY_CEILING_SECONDS
        # gateways count whole seconds; until then a look now and then, it may go sooner
        return min(self.ends_at - now + 1.0, RETRY_CEILING_SECONDS) if now < self.ends_at else None
