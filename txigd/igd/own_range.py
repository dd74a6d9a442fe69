"""What a gateway's own description allows for an argument that it did not take. Pure.

Asked after a refusal only: descriptions are hints, and many a gateway takes more than its description says.
Sources: UDA 1.0 section 2.3 (allowedValueRange), quirks Q083, Q086, Q118.
"""

from __future__ import annotations

from dataclasses import dataclass

from txigd.upnp.control.arguments import action_named
from txigd.upnp.description.service import ServiceDescription


@dataclass(frozen=True, slots=True)
class OwnRange:
    """The ends of a range, both in it."""

    low: int
    high: int

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"

    def lease(self, seconds: int) -> int:
        """The lease that comes nearest; the longest for a permanent one."""
        return min(max(seconds or self.high, self.low), self.high)


def own_range(own: ServiceDescription | None, action: str, argument: str) -> OwnRange | None:
    """The range of an in-argument; None where nothing is said, or nothing that could be meant."""
    described = action_named(own, action)
    named = [one for one in described.inputs if one.name.lower() == argument.lower()] if described else []
    variable = own.variables.get(named[0].variable) if own and named else None
    if variable is None or variable.minimum is None or variable.maximum is None:
        return None
    found = OwnRange(int(variable.minimum), int(variable.maximum))
    return found if 0 <= found.low <= found.high and found.high > 0 else None
