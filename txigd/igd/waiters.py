"""Those who wait for a gateway, each with a time limit of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd.errors import NoGateway, TxigdError
from txigd.limits import WAITERS

if TYPE_CHECKING:
    from txigd.igd.gateway import Gateway


class Waiters:
    """A fresh Deferred for each caller; bounded."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Deferred[Gateway]] = []

    def add(self, seconds: float, late: Callable[[float], TxigdError]) -> Deferred[Gateway]:
        """Wait.

        :param late: makes the error for one who has waited so many seconds.
        :return: may be cancelled; errbacks with :class:`txigd.errors.NoGateway` where too many wait.
        """
        waiter: Deferred[Gateway] = Deferred(self._waiting.remove)
        if len(self._waiting) >= WAITERS:
            waiter.errback(NoGateway(f"more than {WAITERS} callers wait for a gateway"))
            return waiter

        def give_up() -> None:
            self._waiting.remove(waiter)
            waiter.errback(late(seconds))

        def done(result: Any) -> Any:
            if call.active():
                call.cancel()
            return result

        self._waiting.append(waiter)
        call: IDelayedCall = self._clock.callLater(seconds, give_up)
        return waiter.addBoth(done)

    def fire(self, gateway: Gateway) -> None:
        """Here it is."""
        for waiter in self._take():
            waiter.callback(gateway)

    def fail(self, error: TxigdError) -> None:
        """There will be none."""
        for waiter in self._take():
            waiter.errback(error)

    def _take(self) -> list[Deferred[Gateway]]:
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
