"""The set of wanted port mappings, kept true on the gateway it is attached to."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import InvalidArgument, MappingReleased
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease_facts import MappingState, MappingStatus
from txigd.igd.mapping import PortMapping
from txigd.interfaces import IMappingObserver
from txigd.limits import FAREWELL_SECONDS, MAPPINGS

_log = log.logger("txigd.mappings")


class Mappings:
    """Wanted mappings, held on whichever connection the set is attached to.

    :param clock: the reactor's time.
    :param host_id: short id of this host, part of the tag of our entries.
    :param most: how many may be wanted at once (D6).
    """

    def __init__(
        self, clock: IReactorTime, host_id: str, *, most: int = MAPPINGS, random: Random | None = None
    ) -> None:
        self._clock = clock
        self._host_id = host_id
        self._most = most
        self._random = random or Random()  # jitter and port choice need no secret
        self._held: dict[tuple[str, int, str], HeldMapping] = {}
        self._former: set[HeldMapping] = set()
        self._leaving: set[Deferred[None]] = set()
        self._connection: Connection | None = None
        self._observers: list[IMappingObserver] = []

    def __iter__(self) -> Iterator[HeldMapping]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, wanted: PortMapping) -> HeldMapping:
        """Keep a mapping true from now on: added, read back, renewed, added again when it gets lost.

        Holding the same mapping again gives the same :class:`~txigd.igd.held_mapping.HeldMapping`; after its release,
        a new one that begins when the former has left the gateway.

        :raises InvalidArgument: when another mapping wants the same external port, or too many are held.
        """
        key = (wanted.protocol, wanted.wanted_port, str(wanted.remote_host or ""))
        former = self._held.get(key)
        if former is not None and not former.leaving:
            if former.wanted == wanted:
                return former
            raise InvalidArgument(f"{wanted}: the same external port is already held as {former.wanted}")
        if former is None and len(self._held) >= self._most:
            raise InvalidArgument(f"{wanted}: {self._most} mappings are held already")
        wait_for = None
        if former is not None:
            self._former.add(former)
            wait_for = self._until(former.release()).addCallback(lambda _: self._former.discard(former))
        held = HeldMapping(self._clock, wanted, self._host_id, self._random, wait_for=wait_for)
        self._held[key] = held

        def changed(old: MappingStatus, new: MappingStatus) -> None:
            if new.state is MappingState.RELEASED and self._held.get(key) is held:
                del self._held[key]
            for observer in tuple(self._observers):
                try:
                    observer.mapping_changed(held, old, new)
                except Exception:
                    _log.failure("a mapping observer raised")

        held.watched.observe(changed)
        if self._connection is not None:
            held.attach(self._connection, restarted=False)
        return held

    def observe(self, observer: IMappingObserver) -> None:
        """Tell an :class:`txigd.interfaces.IMappingObserver` of every change of every held mapping."""
        self.forget(observer)
        self._observers.append(IMappingObserver(observer))

    def forget(self, observer: IMappingObserver) -> None:
        """Tell it no more."""
        if observer in self._observers:
            self._observers.remove(observer)

    # -- for the gateway ---------------------------------------------------------------------------------------------
    def attach(self, connection: Connection, *, restarted: bool = True) -> None:
        """Hold everything on this connection; ``restarted`` when the gateway may have forgotten its table."""
        self._connection = connection
        for held in self:
            held.attach(connection, restarted=restarted)

    def detach(self, reason: str) -> None:
        """The gateway is gone; everything stays wanted."""
        self._connection = None
        for held in self:
            held.detach(reason)

    def part(self, reason: str, seconds: float = FAREWELL_SECONDS) -> None:
        """Leave this gateway for another one: our entries there are deleted within ``seconds`` (F16)."""
        self._connection = None
        for held in self:
            self._until(held.part(reason).addTimeout(seconds, self._clock).addErrback(lambda _: None))

    def recheck(self) -> None:
        """Something changed in the gateway's table: read our entries back."""
        for held in self:
            held.recheck()

    def stop(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Release everything, within ``seconds``; what the gateway did not confirm by then runs out with its lease."""
        everything = (*self, *self._former)
        for held in everything:
            self._until(held.release())
        self._connection = None

        def abandon(result: object) -> None:
            for held in everything:
                held.abandon()
                held.watched.close(MappingReleased())
            self._held.clear()

        done = gatherResults([_after(leaving) for leaving in self._leaving], consumeErrors=True)
        return done.addTimeout(seconds, self._clock).addBoth(abandon)

    # -- inside ------------------------------------------------------------------------------------------------------
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
