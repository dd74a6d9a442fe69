"""All of one kind that is wanted of a gateway: what is held, who watches it, and how it all comes and goes at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import InvalidArgument, MappingReleased, Stopped
from txigd.igd.held import Held
from txigd.igd.lease_facts import WORKING, MappingState
from txigd.igd.looks import Looks
from txigd.interfaces import IMappingObserver
from txigd.limits import FAREWELL_SECONDS, HELD_GENERATIONS

_log = log.logger("txigd.held")
WantedT = TypeVar("WantedT")
PlaceT = TypeVar("PlaceT")
HeldT = TypeVar("HeldT", bound=Held[Any, Any, Any, Any])


class HeldSet(Generic[WantedT, HeldT, PlaceT]):
    """All that is held of one kind, on whichever place the set is attached to.

    :param clock: the reactor's time.
    :param most: how many may be wanted at once (D6).
    """

    KIND: ClassVar[str]  # in the plural, for people
    SAME: ClassVar[str]  # what two of them cannot share

    def __init__(self, clock: IReactorTime, *, most: int) -> None:
        self._clock = clock
        self._most = most
        self._held: dict[Hashable, HeldT] = {}
        self._former: set[HeldT] = set()
        self._leaving: set[Deferred[None]] = set()
        self._place: PlaceT | None = None
        self._observers: list[IMappingObserver] = []
        self._looks = Looks()
        self._stops = 0
        self._closed = False

    # -- what the subclasses know --------------------------------------------------------------------------------------
    def _key(self, wanted: WantedT) -> Hashable:
        """Two that have the same key cannot be held together, unless they are equal."""
        raise NotImplementedError

    def _make(self, wanted: WantedT, wait_for: Deferred[None] | None) -> HeldT:
        """What holds it."""
        raise NotImplementedError

    # -- for everybody -----------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[HeldT]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, wanted: WantedT) -> HeldT:
        """Keep it true from now on: made, looked at, renewed, made again when it gets lost.

        Holding the same again gives the same object; after its release, a new one that begins when the former has left
        the gateway.

        :raises InvalidArgument: when something else is held in its place, or too many are held.
        :raises Stopped: on a gateway that its control point has said goodbye to.
        """
        key = self._key(wanted)
        former = self._held.get(key)
        if former is not None and not former.leaving:
            if former.wanted == wanted:
                return former
            raise InvalidArgument(f"{wanted}: the same {self.SAME} is already held as {former.wanted}")
        if self._count_wanted() >= self._most:
            raise InvalidArgument(f"{wanted}: {self._most} {self.KIND} are held already")
        self._check_room(1)
        if former is not None:
            self._former.add(former)
        held = self._held[key] = self._make(wanted, self._farewells(key))
        held.watched.observe(self._listener(key, held))
        held.on_loss = functools.partial(self._one_lost, key, held)
        if self._place is not None:
            held.attach(self._place, restarted=False)
        return held

    def exchange(self, wanted: Iterable[WantedT]) -> None:
        """Hold these from now on and nothing else: what is held and not among them is released (F54).

        :raises InvalidArgument: when that cannot be done; then everything stays as it is.
        :raises Stopped: as :meth:`hold` does.
        """
        future: dict[Hashable, WantedT] = {}
        for one in wanted:
            other = future.setdefault(self._key(one), one)
            if other != one:
                raise InvalidArgument(f"{one}: the same {self.SAME} is wanted as {other}")
        if len(future) > self._most:
            raise InvalidArgument(f"{len(future)} {self.KIND}: {self._most} may be held at once")
        staying = {key for key, held in self._held.items() if not held.leaving and future.get(key) == held.wanted}
        self._check_room(len(future) - len(staying))
        for key, held in tuple(self._held.items()):
            if key not in staying and not held.leaving:
                held.release()
        for one in future.values():
            self.hold(one)

    def observe(self, observer: IMappingObserver) -> None:
        """Tell an :class:`txigd.interfaces.IMappingObserver` of every change of everything held."""
        self.forget(observer)
        self._observers.append(IMappingObserver(observer))

    def forget(self, observer: IMappingObserver) -> None:
        """Tell it no more."""
        if observer in self._observers:
            self._observers.remove(observer)

    # -- for the gateway ---------------------------------------------------------------------------------------------
    def attach(self, place: PlaceT, *, restarted: bool = True) -> None:
        """Hold everything there; ``restarted`` when the gateway may have forgotten."""
        if self._closed:
            return
        self._place = place
        self._looks.all_looked(self._clock.seconds())
        for held in self:
            held.attach(place, restarted=restarted)

    def detach(self, reason: str) -> None:
        """The gateway is gone; everything stays wanted."""
        self._place = None
        for held in (*self, *self._former):
            held.detach(reason)

    def part(self, reason: str, seconds: float = FAREWELL_SECONDS) -> None:
        """Leave this gateway for another one: what is ours there is taken off within ``seconds`` (F16)."""
        self._place = None
        for held in (*self, *self._former):  # who waits for a former one begins nothing more here
            self._until(held.part(reason).addTimeout(seconds, self._clock).addErrback(lambda _: None))

    def recheck(self) -> None:
        """Something changed on the gateway: look at everything of ours."""
        self._looks.all_looked(self._clock.seconds())
        for held in self:
            held.recheck()

    def stop(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Release everything, within ``seconds``; what the gateway did not confirm by then runs out with its lease.

        What somebody wants from now on waits for the next :meth:`attach`.
        """
        self._place = None
        self._stops += 1
        everything = sorted((*self, *self._former), key=lambda held: held.runs_out)  # what would stay for ever first
        for held in everything:
            self._until(held.release())

        def abandon(result: object) -> None:
            for held in everything:
                held.abandon()
                held.watched.close(MappingReleased())
            self._held = {key: held for key, held in self._held.items() if held not in everything}

        done = gatherResults([_after(leaving) for leaving in self._leaving], consumeErrors=True)
        return done.addTimeout(seconds, self._clock).addBoth(abandon)

    def close(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """The same for good: nothing can be held here any more."""
        self._closed = True
        return self.stop(seconds)

    # -- inside ------------------------------------------------------------------------------------------------------
    def _farewells(self, key: Hashable) -> Deferred[None] | None:
        """Fires when all that were held in this place before have left it; None where there are none.

        One that only waited for another to leave goes at once: that other one may be there still.
        """
        leaving = [former for former in self._former if self._key(former.wanted) == key]
        gone = [self._until(former.release()) for former in leaving]
        return gatherResults(gone).addCallback(lambda _: self._former.difference_update(leaving)) if gone else None

    def _count_wanted(self) -> int:
        return sum(not held.leaving for held in self)

    def _check_room(self, more: int) -> None:
        """Who leaves takes nobody's place; yet those that a silent gateway keeps from leaving are not piled up (D6)."""
        if self._closed:
            raise Stopped(f"no {self.KIND} can be held there any more: its control point said goodbye to the gateway")
        there = sum(held.status.state is not MappingState.RELEASED for held in (*self, *self._former))
        if there + more > HELD_GENERATIONS * self._most:
            leaving = there - self._count_wanted()
            raise InvalidArgument(f"{leaving} {self.KIND} that are wanted no more are leaving yet; try again later")

    def _one_lost(self, key: Hashable, lost: HeldT) -> None:
        """Where one was lost in silence, others may be: they are not left to wait for their turn."""
        others = [held for held in self if held is not lost and held.status.state in WORKING]
        if self._looks.lost(key, len(others), self._clock.seconds()):
            for held in others:
                held.recheck()

    def _listener(self, key: Hashable, held: HeldT) -> Callable[[Any, Any], None]:
        def changed(old: Any, new: Any) -> None:
            if new.state is MappingState.RELEASED and self._held.get(key) is held:
                del self._held[key]
                self._looks.forget(key)
            for observer in tuple(self._observers):
                try:
                    observer.mapping_changed(held, old, new)
                except Exception:
                    _log.failure("an observer of {kind} raised", kind=self.KIND)

        return changed

    def _until(self, leaving: Deferred[None]) -> Deferred[None]:
        """Let stop() wait for this as well.

        :return: fires after it.
        """
        self._leaving.add(leaving)

        def over(result: object) -> None:
            self._leaving.discard(leaving)

        leaving.addBoth(over)
        return _after(leaving)


def _after(deferred: Deferred[None]) -> Deferred[None]:
    """A Deferred of its own that fires after ``deferred``; cancelling it leaves that one alone."""
    following: Deferred[None] = Deferred()

    def over(result: object) -> None:
        if not following.called:
            following.callback(None)

    deferred.addBoth(over)
    return following
