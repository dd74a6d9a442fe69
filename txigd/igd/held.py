"""What is wanted of a gateway and kept true there: the driver of one lease machine.

Knows when to ask a machine for its next command, when to rest, when to begin anew and when to let go; what a command
means on the gateway, the subclasses know. Nothing is assumed: a machine learns what really came back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import TxigdError
from txigd.igd.lease_facts import WORKING, Done, Failed, MappingState, Rest
from txigd.igd.watched import Watched
from txigd.waiting import Waiting

_log = log.logger("txigd.held")
_FINAL = WORKING | {MappingState.CONFLICT, MappingState.REFUSED, MappingState.RELEASED}


class Status(Protocol):
    """What every status of something held has."""

    @property
    def state(self) -> MappingState:
        """Where it stands."""

    @property
    def reason(self) -> str:
        """Why, as a user reads it."""


class Machine(Protocol):
    """A lease machine: facts in with a time, commands out. Pure.

    :ivar losses: how often what had worked was found gone, or somebody else's.
    """

    losses: int

    @property
    def status(self) -> Any:
        """What a user is to see now."""

    def next(self, now: float) -> Any:
        """The command to carry out now; Rest and Done are the driver's own affair."""

    def learn(self, fact: Any, now: float) -> None:
        """Take the outcome of the last command."""

    def recheck(self, now: float) -> None:
        """Look at the next opportunity."""

    def gateway_restarted(self, now: float) -> None:
        """What was there may be gone."""

    def gateway_silent(self, reason: str) -> None:
        """The gateway went away."""

    def release(self) -> None:
        """It is no longer wanted."""


WantedT = TypeVar("WantedT")
StatusT = TypeVar("StatusT", bound=Status)
PlaceT = TypeVar("PlaceT")
_T = TypeVar("_T")
LeaseT = TypeVar("LeaseT", bound=Machine)


class Held(Generic[WantedT, StatusT, PlaceT, LeaseT]):
    """One wanted thing and how it stands.

    :param clock: the reactor's time.
    :param wanted: what is wanted, a value.
    :param status: how it stands before there is a gateway.
    :param wait_for: begins nothing before this has fired: the farewell of what was held in its place.

    :ivar wanted: the same.
    :ivar watched: the status, for observers and those who wait.
    :ivar on_loss: called when what had worked was found gone: others may be gone as well.
    """

    def __init__(
        self, clock: IReactorTime, wanted: WantedT, status: StatusT, *, wait_for: Deferred[None] | None = None
    ) -> None:
        self.wanted = wanted
        self._clock = clock
        self.watched: Watched[StatusT] = Watched(clock, status)
        self.on_loss: Callable[[], object] = lambda: None
        self._place: PlaceT | None = None
        self._lease: LeaseT | None = None
        self._releasing = False
        self._waiting = wait_for is not None
        self._running: Deferred[None] | None = None
        self._run_number = 0  # of the run that counts: one that was ended may be too late to be cancelled
        self._sleep: Deferred[None] | None = None
        self._doubts: set[Callable[[float], object]] = set()  # how the machine is to be told again after this command
        self._gone: Waiting[None] = Waiting()
        if wait_for is not None:
            wait_for.addBoth(self._let_go)

    # -- what the subclasses know --------------------------------------------------------------------------------------
    def _unfit(self, place: PlaceT) -> StatusT | None:
        """The status that says why nothing can be held there; None where it can."""
        return None

    def _new_lease(self, place: PlaceT) -> LeaseT:
        """A machine for this place."""
        raise NotImplementedError

    def _fits(self, lease: LeaseT, place: PlaceT) -> bool:
        """Whether the machine is good for this place; otherwise there will be a new one."""
        return True

    def _stays(self, place: PlaceT) -> None:
        """The machine goes on at this place, which may be another object than before."""

    async def _carry_out(self, place: PlaceT, lease: LeaseT, command: Any) -> Any:
        """Do on the gateway what the machine asks for, and return the fact. A TxigdError counts as Failed."""
        raise NotImplementedError

    def _released(self) -> StatusT:
        """The status at the end."""
        raise NotImplementedError

    def _left_there(self) -> None:
        """It is left on purpose: whoever tidies up at the end is not to find it on record."""

    def _news(self, status: StatusT) -> object:
        """What of a status observers are to hear of when it changes."""
        return status

    def _announce(self, status: StatusT) -> None:
        """Log what the status has come to."""
        raise NotImplementedError

    def _judge(self, status: StatusT) -> StatusT:
        """Raise what :meth:`when_active` errbacks with, or return a status that works."""
        raise NotImplementedError

    # -- for everybody -----------------------------------------------------------------------------------------------
    @property
    def status(self) -> StatusT:
        """How it stands at this moment."""
        return self.watched.value

    @property
    def leaving(self) -> bool:
        """Whether it is no longer wanted."""
        return self._releasing or self.status.state is MappingState.RELEASED

    @property
    def runs_out(self) -> bool:
        """Whether what is there ends by itself, as far as is known; what does not is taken off first."""
        return True

    def when_active(self, timeout: float | None = None) -> Deferred[StatusT]:
        """A fresh Deferred of the status once it works.

        It errbacks with :class:`txigd.errors.MappingConflict` or :class:`txigd.errors.MappingRefused` as soon as the
        gateway said no (it stays wanted and is tried again), with :class:`txigd.errors.WaitTimeout` after ``timeout``
        seconds (a gateway that does not answer says neither yes nor no), and with
        :class:`txigd.errors.MappingReleased` when it is released first.
        """
        return self.watched.when(lambda status: status.state in _FINAL, timeout).addCallback(self._judge)

    def release(self) -> Deferred[None]:
        """Want it no more: take it off the gateway if it is ours. Fires when that is done or given up."""
        if self.status.state is MappingState.RELEASED:
            return succeed(None)
        gone = self._gone.add()
        self._releasing = True
        if self._lease is None or self._place is None or self._waiting:
            self.abandon()
        else:
            self._wake()
        return gone

    def leave(self) -> None:
        """Want it no more, but leave it on the gateway to run out with its lease."""
        self._left_there()
        self.abandon()

    # -- for the set -------------------------------------------------------------------------------------------------
    def attach(self, place: PlaceT, *, restarted: bool) -> None:
        """Keep it true there from now on."""
        if self.status.state is MappingState.RELEASED:
            return
        refusal = self._unfit(place)
        if refusal is not None:
            self._place = None
            if self._releasing:
                self.abandon()  # nothing can be taken off there either
            else:
                self._say(refusal)
            return
        self._place = place
        lease = self._lease
        if lease is None or not self._fits(lease, place):
            self._lease = self._new_lease(place)
        elif restarted:
            self._stays(place)
            self._drop_step("the gateway restarted")
            lease.gateway_restarted(self._clock.seconds())
        else:
            self._stays(place)
            lease.recheck(self._clock.seconds())
        if not self._waiting:
            self._start()

    def detach(self, reason: str) -> None:
        """The gateway is gone, it may come back."""
        self._place = None
        if self._lease is not None and not self.leaving:
            self._lease.gateway_silent(reason)
            self._say(self._lease.status)
        if self._releasing:
            self.abandon()

    def part(self, reason: str) -> Deferred[None]:
        """Leave this gateway for another one: take what is ours off it, and begin afresh at the next attach().

        :return: fires when that is done or given up; cancelling gives it up.
        """
        place, lease, asking = self._place, self._lease, self._asking
        self._place = self._lease = None
        self._end_run()
        if place is None or lease is None or self.status.state is MappingState.RELEASED:
            if self._releasing:
                self._finish()
            return succeed(None)
        if not self._releasing:
            lease.gateway_silent(reason)
            self._say(lease.status)
        if asking:
            lease.learn(Failed(reason), self._clock.seconds())  # of a command that was under way nothing is known (F45)
        lease.release()
        farewell = Deferred.fromCoroutine(self._farewell(place, lease))
        return farewell.addBoth(self._parted) if self._releasing else farewell

    def recheck(self) -> None:
        """Look soon whether it is still there."""
        if self._lease is not None:
            self._doubt(self._lease.recheck)

    def abandon(self) -> None:
        """Stop at once, whatever is under way."""
        self._end_run()
        self._finish()

    # -- inside ------------------------------------------------------------------------------------------------------
    @property
    def _asking(self) -> bool:
        """Whether a command is under way."""
        return self._running is not None and self._sleep is None

    def _drop_step(self, reason: str) -> None:
        """What was asked before a restart may get its answer late, or never; nothing is known of it (F45)."""
        if not self._asking or self._lease is None:
            return
        self._end_run()
        self._lease.learn(Failed(reason), self._clock.seconds())

    def _end_run(self) -> None:
        self._run_number += 1
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def _doubt(self, tell: Callable[[float], object]) -> None:
        """Tell the machine of what happened, now and once more after the command under way, if there is one."""
        self._doubts.add(tell)
        tell(self._clock.seconds())
        self._wake()

    def _let_go(self, result: object) -> None:
        """What had to end first has ended."""
        self._waiting = False
        if self._place is not None and not self.leaving:
            self._start()

    def _start(self) -> None:
        if self._running is None:
            number = self._run_number
            self._running = Deferred.fromCoroutine(self._run(number))
            self._running.addErrback(self._fell_over, number)
        else:
            self._wake()

    def _fell_over(self, failure: Failure, number: int) -> None:
        if failure.check(CancelledError):
            return
        _log.failure("holding {wanted} met a fault", failure, wanted=str(self.wanted))
        if number == self._run_number:
            self._running = None  # the next opening of the gateway begins anew

    async def _run(self, number: int) -> None:
        while number == self._run_number:
            place, lease = self._place, self._lease
            if place is None or lease is None:
                await self._rest(None)
                continue
            if self._releasing:
                lease.release()
            command = lease.next(self._clock.seconds())
            if isinstance(command, Done):
                self._finish()
                return
            self._say(lease.status)
            if isinstance(command, Rest):
                await self._rest(max(0.0, command.until - self._clock.seconds()))
            else:
                self._doubts.clear()
                fact = await self._ask(place, lease, command)
                if number != self._run_number:
                    return
                self._learn(lease, fact)
                for tell in self._doubts:  # what was under way may have been answered before that
                    tell(self._clock.seconds())

    async def _farewell(self, place: PlaceT, lease: LeaseT) -> None:
        while not isinstance(command := lease.next(self._clock.seconds()), Done):
            if isinstance(command, Rest):
                await deferLater(self._clock, max(0.0, command.until - self._clock.seconds()))
            else:
                self._learn(lease, await self._ask(place, lease, command))

    def _parted(self, result: _T) -> _T:
        """A release ended with the farewell that it had come to."""
        self._finish()
        return result

    async def _ask(self, place: PlaceT, lease: LeaseT, command: Any) -> Any:
        try:
            return await self._carry_out(place, lease, command)
        except CancelledError:
            raise
        except TxigdError as error:
            return Failed(str(error))
        except Exception as error:
            _log.failure("holding {wanted} met a fault", wanted=str(self.wanted))
            return Failed(f"a fault of our own: {type(error).__name__}")  # it stays wanted and is tried again

    def _learn(self, lease: LeaseT, fact: Any) -> None:
        losses = lease.losses
        lease.learn(fact, self._clock.seconds())
        if lease.losses > losses:
            self.on_loss()

    async def _rest(self, seconds: float | None) -> None:
        rest: Deferred[None] = Deferred()
        call = None if seconds is None else self._clock.callLater(seconds, rest.callback, None)
        self._sleep = rest
        try:
            await rest
        finally:
            if self._sleep is rest:
                self._sleep = None
            if call is not None and call.active():
                call.cancel()

    def _wake(self) -> None:
        sleep, self._sleep = self._sleep, None
        if sleep is not None:
            sleep.callback(None)

    def _say(self, status: StatusT) -> None:
        if self._news(status) == self._news(self.status):
            self.watched.value = status
            return
        self._announce(status)
        self.watched.set(status)

    def _finish(self) -> None:
        self._say(self._released())
        self._gone.fire(None)
