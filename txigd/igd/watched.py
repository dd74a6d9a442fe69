"""One value that others watch: observers told in a later reactor turn, and Deferreds for a condition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import InvalidArgument, Stopped, TxigdError, WaitTimeout
from txigd.limits import OBSERVERS, WAITERS

T = TypeVar("T")
_log = log.logger("txigd.watched")


@dataclass(eq=False, slots=True)
class _Observer(Generic[T]):
    callback: Callable[[T, T], object]


@dataclass(eq=False, slots=True)
class _Waiter(Generic[T]):
    predicate: Callable[[T], bool]
    found: Deferred[T]


@dataclass(frozen=True, slots=True)
class _Step(Generic[T]):
    """A change, and who was there when it happened."""

    old: T
    new: T
    observers: tuple[_Observer[T], ...]
    waiters: tuple[_Waiter[T], ...]


class Watched(Generic[T]):
    """A value, its observers and those who wait for it.

    Every step is delivered once, in order, in a later reactor turn, to those who were there when it happened and have
    not left since; an observer that raises is logged and the others still hear (F60).

    :param clock: provides ``callLater``.
    :param value: the value to begin with. Setting the attribute changes it without a step.
    """

    def __init__(self, clock: IReactorTime, value: T) -> None:
        self._clock = clock
        self.value = value
        self._observers: dict[_Observer[T], None] = {}
        self._waiters: dict[_Waiter[T], None] = {}
        self._steps: deque[_Step[T]] = deque()
        self._turn: IDelayedCall | None = None
        self._closed: TxigdError | None = None

    def set(self, value: T, *, silent: bool = False) -> None:
        """Take a new value and deliver the step soon; a silent one reaches those who wait, not the observers."""
        old, self.value = self.value, value
        if self._closed is not None:
            return
        self._steps.append(_Step(old, value, () if silent else tuple(self._observers), tuple(self._waiters)))
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._take_turn)

    def observe(self, callback: Callable[[T, T], object]) -> Callable[[], None]:
        """Call ``callback(old, new)`` for each step from now on.

        :return: a function that ends this.
        """
        if len(self._observers) >= OBSERVERS:
            raise InvalidArgument(f"more than {OBSERVERS} observers")
        observer = _Observer(callback)
        self._observers[observer] = None
        return lambda: self._observers.pop(observer, None)

    def when(self, predicate: Callable[[T], bool], timeout: float | None = None) -> Deferred[T]:
        """A fresh Deferred of the first value, the present one included, for which ``predicate`` is true.

        It errbacks with :class:`txigd.errors.Stopped` when the watching ends, with
        :class:`txigd.errors.WaitTimeout` after ``timeout`` seconds, with what the predicate raises, and may be
        cancelled.
        """
        found: Deferred[T] = Deferred(lambda _: self._waiters.pop(waiter, None))
        waiter = _Waiter(predicate, found)
        if self._closed is not None:
            found.errback(self._closed)
        elif self._judge(waiter, self.value):
            pass
        elif len(self._waiters) >= WAITERS:
            found.errback(InvalidArgument(f"more than {WAITERS} waiters"))
        else:
            self._waiters[waiter] = None
            if timeout is not None:
                found.addTimeout(timeout, self._clock, lambda _, seconds: self._too_late(seconds))
        return found

    def close(self, error: TxigdError | None = None) -> None:
        """Deliver what is due now, then nothing more; whoever waits hears ``error``."""
        if self._closed is not None:
            return
        self._closed = error or Stopped()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
            self._deliver()
        self._steps.clear()
        self._observers.clear()
        while self._waiters:  # whoever hears of it may make others leave
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            waiter.found.errback(self._closed)

    def _take_turn(self) -> None:
        self._turn = None
        self._deliver()

    def _deliver(self) -> None:
        for _ in range(len(self._steps)):  # what an observer sets now is for the next turn
            if not self._steps:
                return  # an observer closed this
            step = self._steps.popleft()
            for observer in step.observers:
                if observer in self._observers:
                    self._tell(observer, step)
            for waiter in step.waiters:
                if waiter in self._waiters:
                    self._judge(waiter, step.new)

    def _tell(self, observer: _Observer[T], step: _Step[T]) -> None:
        try:
            observer.callback(step.old, step.new)
        except Exception:
            _log.failure("an observer raised")

    def _judge(self, waiter: _Waiter[T], value: T) -> bool:
        """Whether the waiting is over: it is too when the predicate raises, and then its owner hears of that."""
        try:
            if not waiter.predicate(value):
                return False
        except Exception:
            if self._take(waiter):
                waiter.found.errback()
        else:
            if self._take(waiter):
                waiter.found.callback(value)
        return True

    def _take(self, waiter: _Waiter[T]) -> bool:
        """Whether it waits to this moment: its own predicate may have ended that."""
        self._waiters.pop(waiter, None)
        return not waiter.found.called

    def _too_late(self, seconds: float) -> T:
        raise WaitTimeout(f"not within {seconds:g} s; now it is: {self.value}")
