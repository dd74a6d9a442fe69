"""The pace at which events reach the application: a flood becomes its latest values. Pure.

Source: fault F13, at most one callback in a second, in the long run: after a rest a second one may follow soon, since
what an event tells is often corrected by the next one. Merged is what is absolute; a ``LastChange`` (an AV habit, UDA
1.0 section 4.3 says nothing of it) tells a difference and passes as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from txigd.limits import EVENT_CALLBACK_SECONDS, EVENT_FOLLOW_SECONDS, HELD_EVENTS, SCPD_VARIABLES

NEVER = math.inf
_DIFFERENCE = "LastChange"


class Pace:
    """Collects values until the next callback is due."""

    def __init__(self) -> None:
        self._batches: list[tuple[dict[str, str], bool]] = []
        self._paid_until = -NEVER  # each callback pays for a second; the next one may begin before that has passed

    def add(self, values: Mapping[str, str], initial: bool) -> None:
        """Take the values of one event; ``initial`` stays true for what it is merged with."""
        mergeable = self._batches and _DIFFERENCE not in values and _DIFFERENCE not in self._batches[-1][0]
        if mergeable or len(self._batches) >= HELD_EVENTS:
            merged, was_initial = self._batches.pop()
            values, initial = {**merged, **values}, initial or was_initial
        self._batches.append((dict(list(values.items())[:SCPD_VARIABLES]), initial))

    def due(self) -> float:
        """When :meth:`take` has something to give; :data:`NEVER` while nothing waits."""
        if not self._batches:
            return NEVER
        if _DIFFERENCE in self._batches[0][0]:
            return -NEVER
        return self._paid_until - (EVENT_CALLBACK_SECONDS - EVENT_FOLLOW_SECONDS)

    def take(self, now: float) -> tuple[dict[str, str], bool] | None:
        """The next values to hand over, and whether an initial event is among them."""
        if now < self.due():
            return None
        self._paid_until = max(self._paid_until, now) + EVENT_CALLBACK_SECONDS
        return self._batches.pop(0)

    def clear(self) -> None:
        """Forget what waits."""
        self._batches.clear()
