"""One value that others watch: observers told in a later reactor turn, and Deferreds for a condition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import InvalidArgument, Stopped, TxigdError
from txigd.limits import OBSERVERS, WAITERS

T = TypeVar("T")
_log = log.logger("txigd.watched")


class Watched(Generic[T]):
    """A value, its observers and those who wait for it.

    Every step is delivered once, in order, in a reactor turn of its own; an observer that raises is logged and the
    others still hear (F60).

    :param clock: provides ``callLater``.
    :param value: the value to begin with.
    """

    def __init__(self, clock: IReactorTime, value: T) -> None:
        self._clock = clock
        self.value = value
        self._observers: list[Callable[[T, T], object]] = []
        self._waiters: list[tuple[Callable[[T], bool], Deferred[T]]] = []
        self._steps: deque[tuple[T, T, bool]] = deque()
        self._turn: IDelayedCall | None = None
        self._closed: TxigdError | None = None

    def set(self, value: T, *, silent: bool = False) -> None:
        """Take a new value and deliver the step soon; a silent one reaches those who wait, not the observers."""
        self._steps.append((self.value, value, silent))
        self.value = value
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._deliver)

    def observe(self, callback: Callable[[T, T], object]) -> Callable[[], None]:
        """Call ``callback(old, new)`` for each step from now on.

        :return: a function that ends this.
        """
        if len(self._observers) >= OBSERVERS:
            raise InvalidArgument(f"more than {OBSERVERS} observers")
        self._observers.append(callback)

        def forget() -> None:
            if callback in self._observers:
                self._observers.remove(callback)

        return forget

    def when(self, predicate: Callable[[T], bool]) -> Deferred[T]:
        """A fresh Deferred of the first value, the present one included, for which ``predicate`` is true.

        It errbacks with :class:`txigd.errors.Stopped` when the watching ends, and may be cancelled.
        """
        waiter: Deferred[T] = Deferred(self._forget_waiter)
        if self._closed is not None:
            waiter.errback(self._closed)
        elif predicate(self.value):
            waiter.callback(self.value)
        elif len(self._waiters) >= WAITERS:
            waiter.errback(InvalidArgument(f"more than {WAITERS} waiters"))
        else:
            self._waiters.append((predicate, waiter))
        return waiter

    def close(self, error: TxigdError | None = None) -> None:
        """Deliver nothing more; whoever waits hears ``error``."""
        self._closed = error or Stopped()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
            self._deliver()
        self._observers.clear()
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            waiter.errback(self._closed)

    def _deliver(self) -> None:
        self._turn = None
        while self._steps:
            old, new, silent = self._steps.popleft()
            for callback in () if silent else tuple(self._observers):
                self._safely(callback, old, new)
            for pair in tuple(self._waiters):
                predicate, waiter = pair
                if self._safely(predicate, new) and pair in self._waiters:
                    self._waiters.remove(pair)
                    waiter.callback(new)

    def _safely(self, function: Callable[..., Any], *arguments: T) -> Any:
        try:
            return function(*arguments)
        except Exception:
            _log.failure("an observer raised")
            return None

    def _forget_waiter(self, cancelled: Deferred[T]) -> None:
        self._waiters = [pair for pair in self._waiters if pair[1] is not cancelled]
