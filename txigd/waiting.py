"""Those who wait for one thing, a Deferred each.

Knows Deferreds. Whoever hears of it may make others leave, wait anew, or end it all, while some are still to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txigd.errors import TxigdError

T = TypeVar("T")


def _nobody_minds() -> None:
    """One left."""


class Waiting(Generic[T]):
    """A fresh Deferred for each who waits; each hears once, in the order in which they came.

    :param on_left: called after one was cancelled.
    """

    def __init__(self, on_left: Callable[[], object] = _nobody_minds) -> None:
        self._on_left = on_left
        self._waiters: dict[Deferred[T], None] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self) -> Deferred[T]:
        """Wait; cancelling leaves."""
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiters[waiter] = None
        return waiter

    def fire(self, value: T) -> None:
        """Tell all who wait now."""
        for waiter in self._taken():
            waiter.callback(value)

    def fail(self, error: TxigdError | Failure) -> None:
        """Tell all who wait now that it does not come."""
        for waiter in self._taken():
            waiter.errback(error)

    def _taken(self) -> Iterator[Deferred[T]]:
        """One at a time: who leaves meanwhile is not told, and who comes meanwhile is not yet."""
        for waiter in tuple(self._waiters):
            if waiter in self._waiters:
                del self._waiters[waiter]
                yield waiter

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiters.pop(waiter, None)
        self._on_left()
