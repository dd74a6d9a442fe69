"""Those who wait for a gateway, each with a time limit of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from txigd.errors import NoGateway, TxigdError
from txigd.limits import WAITERS
from txigd.waiting import Waiting

if TYPE_CHECKING:
    from txigd.igd.gateway import Gateway


class Waiters:
    """A fresh Deferred for each caller; bounded."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: Waiting[Gateway] = Waiting()

    def add(self, seconds: float, late: Callable[[float], TxigdError]) -> Deferred[Gateway]:
        """Wait.

        :param late: makes the error for one who has waited so many seconds.
        :return: may be cancelled; errbacks with :class:`txigd.errors.NoGateway` where too many wait.
        """
        if len(self._waiting) >= WAITERS:
            return fail(NoGateway(f"more than {WAITERS} callers wait for a gateway"))

        def give_up(result: object, seconds: float) -> Gateway:
            raise late(seconds)

        return self._waiting.add().addTimeout(seconds, self._clock, give_up)

    def fire(self, gateway: Gateway) -> None:
        """Here it is."""
        self._waiting.fire(gateway)

    def fail(self, error: TxigdError) -> None:
        """There will be none."""
        self._waiting.fail(error)
