"""Who is next at a gateway that is asked one thing at a time, or a few at the end: whoever is due first (Q103, F46).

Knows Deferreds; time is an argument.
"""

from __future__ import annotations

from bisect import insort_right
from typing import TypeVar

from twisted.internet.defer import Deferred

from txigd.errors import ExchangeError
from txigd.limits import CALL_DUE_SECONDS, CALLS_WAITING

_T = TypeVar("_T")


class Turns:
    """A bounded queue in front of one seat, or of a few, in the order in which all are due.

    Nobody waits for ever: whoever comes is due now or later, so nobody who comes after my due time goes before me.

    :ivar closed: why nobody is seated any more.
    """

    def __init__(self) -> None:
        self._seats = self._free = 1
        self._handing_on = False
        self.closed: ExchangeError | None = None
        self._waiting: list[tuple[float, Deferred[None]]] = []

    def take(self, now: float, due: float | None = None) -> Deferred[None]:
        """Fires when the seat is ours; cancelling leaves the queue.

        :param due: by when we should be done; None for ``CALL_DUE_SECONDS`` from now. Those who are due at the same
            time are seated in the order in which they came.
        """
        if self.closed is not None:
            raise self.closed
        if len(self._waiting) >= CALLS_WAITING:
            raise ExchangeError(f"{CALLS_WAITING} calls are waiting for this gateway already")
        turn: Deferred[None] = Deferred(self._leave)
        if not self._free or self._waiting:
            when = now + CALL_DUE_SECONDS if due is None else max(now, due)
            insort_right(self._waiting, (when, turn), key=lambda waiting: waiting[0])
        else:
            self._free -= 1
            turn.callback(None)
        return turn

    def pass_on(self, result: _T) -> _T:
        """Seat the next one."""
        self._free += 1
        self._seat()
        return result

    def close(self, error: ExchangeError) -> None:
        """Send all away who wait or come later."""
        self.closed = error
        while self._waiting:  # whoever hears of it may make others leave
            self._waiting.pop(0)[1].errback(error)

    def widen(self, seats: int) -> None:
        """Let so many sit at once from now on, if that is more than before."""
        self._free += max(0, seats - self._seats)
        self._seats = max(seats, self._seats)
        self._seat()

    def _seat(self) -> None:
        """A loop, not a recursion: calls may end as soon as they begin."""
        if self._handing_on:
            return
        self._handing_on = True
        try:
            while self._waiting and self._free:
                self._free -= 1
                self._waiting.pop(0)[1].callback(None)
        finally:
            self._handing_on = False

    def _leave(self, turn: Deferred[None]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting[1] is not turn]
