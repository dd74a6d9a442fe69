"""The set of wanted port mappings, kept true on the gateway it is attached to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from random import Random

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import InvalidArgument, MappingConflict, MappingRefused, MappingReleased
from txigd.igd.connection import Connection
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import (
    WORKING,
    Add,
    Command,
    Delete,
    Done,
    Fact,
    MappingState,
    MappingStatus,
    Read,
    Rest,
)
from txigd.igd.mapping import PortMapping, tag
from txigd.igd.watched import Watched
from txigd.interfaces import IMappingObserver
from txigd.limits import FAREWELL_SECONDS, MAPPINGS, PORT_RANGE

_log = log.logger("txigd.mappings")
_FINAL = WORKING | {MappingState.CONFLICT, MappingState.REFUSED, MappingState.RELEASED}


class HeldMapping:
    """One wanted mapping and how it stands. Made by :meth:`Mappings.hold`.

    :ivar wanted: the :class:`txigd.igd.mapping.PortMapping`.
    """

    def __init__(self, clock: IReactorTime, wanted: PortMapping, host_id: str, random: Random) -> None:
        self.wanted = wanted
        self._clock = clock
        self._host_id = host_id
        self._random = random
        self.watched: Watched[MappingStatus] = Watched(clock, MappingStatus())
        self._connection: Connection | None = None
        self._lease: Lease | None = None
        self._releasing = False
        self._running: Deferred[None] | None = None
        self._sleep: tuple[Deferred[None], IDelayedCall | None] | None = None
        self._gone: list[Deferred[None]] = []

    @property
    def status(self) -> MappingStatus:
        """State, external port, lease and reason at this moment."""
        return self.watched.value

    @property
    def external_port(self) -> int:
        """The external port in use, 0 while there is none."""
        return self.status.external_port if self.status.state in WORKING else 0

    def when_active(self) -> Deferred[MappingStatus]:
        """A fresh Deferred of the status once the mapping works.

        It errbacks with :class:`txigd.errors.MappingConflict` or :class:`txigd.errors.MappingRefused` as soon as the
        gateway said no (the mapping stays wanted and is tried again), and with
        :class:`txigd.errors.MappingReleased` when it is released first.
        """
        return self.watched.when(lambda status: status.state in _FINAL).addCallback(self._judge)

    def release(self) -> Deferred[None]:
        """Want it no more: delete the entry if it is ours. The Deferred fires when that is done or given up."""
        if self.status.state is MappingState.RELEASED:
            return succeed(None)
        gone: Deferred[None] = Deferred(lambda d: self._gone.remove(d) if d in self._gone else None)
        self._gone.append(gone)
        self._releasing = True
        if self._lease is None or self._connection is None:
            self.abandon()
        else:
            self._wake()
        return gone

    def leave(self) -> None:
        """Want it no more, but leave the entry on the gateway to run out with its lease."""
        self.abandon()

    # -- for the set -------------------------------------------------------------------------------------------------
    def attach(self, connection: Connection, *, restarted: bool) -> None:
        """Keep it true on this connection from now on."""
        client = connection.local_address
        if not isinstance(client, ipaddress.IPv4Address):
            self._say(
                MappingStatus(MappingState.REFUSED, reason="the gateway is reached over IPv6: no IPv4 port mapping")
            )
            return
        now = self._clock.seconds()
        if self._lease is None or (restarted and self._lease.client != (self.wanted.internal_client or client)):
            self._lease = self._new_lease(client)
        elif restarted:
            self._lease.gateway_restarted(now)
        else:
            self._lease.recheck(now)
        self._connection = connection
        if self._running is None:
            self._running = ensureDeferred(self._run())
            self._running.addErrback(self._fell_over)
        else:
            self._wake()

    def detach(self, reason: str, *, forget: bool) -> None:
        """The gateway is gone; with ``forget`` for good, another one may come."""
        self._connection = None
        if self._lease is not None:
            self._lease.gateway_silent(reason)
            self._say(self._lease.status)
        if forget:
            self._lease = None
        if self._releasing:
            self.abandon()

    def recheck(self) -> None:
        """Read the entry back soon."""
        if self._lease is not None:
            self._lease.recheck(self._clock.seconds())
            self._wake()

    def abandon(self) -> None:
        """Stop at once, whatever is under way."""
        if self._running is not None:
            self._running.cancel()
        self._finish()

    # -- inside ------------------------------------------------------------------------------------------------------
    def _new_lease(self, client: ipaddress.IPv4Address) -> Lease:
        return Lease(
            self.wanted,
            client=client,
            host_id=self._host_id,
            spread=lambda: self._random.uniform(-1, 1),
            other_port=lambda: self._random.randint(*PORT_RANGE),
            external_port=self.status.external_port,
        )

    async def _run(self) -> None:
        while True:
            connection, lease = self._connection, self._lease
            if connection is None or lease is None:
                await self._rest(None)
                continue
            if self._releasing:
                lease.release()
            command = lease.next(self._clock.seconds())
            if isinstance(command, Done):
                break
            self._say(lease.status)
            if isinstance(command, Rest):
                await self._rest(max(0.0, command.until - self._clock.seconds()))
                continue
            fact = await self._carry_out(connection, lease, command)
            lease.learn(fact, self._clock.seconds())
        self._finish()

    async def _carry_out(self, connection: Connection, lease: Lease, command: Command) -> Fact:
        if isinstance(command, Add):
            description = tag(self._host_id, self.wanted.description or str(self.wanted).replace(":", "-"))
            return await connection.add_entry(
                self.wanted,
                command.port,
                client=lease.client,
                description=description,
                lease_seconds=command.lease_seconds,
            )
        if isinstance(command, Delete):
            return await connection.delete_entry(self.wanted, command.port)
        assert isinstance(command, Read)
        return await connection.read_entry(self.wanted, command.port)

    async def _rest(self, seconds: float | None) -> None:
        rest: Deferred[None] = Deferred()
        call = None if seconds is None else self._clock.callLater(seconds, rest.callback, None)
        self._sleep = (rest, call)
        try:
            await rest
        finally:
            self._sleep = None
            if call is not None and call.active():
                call.cancel()

    def _wake(self) -> None:
        if self._sleep is not None:
            rest, call = self._sleep
            self._sleep = None
            if call is not None and call.active():
                call.cancel()
            rest.callback(None)

    def _say(self, status: MappingStatus) -> None:
        old = self.status
        if status == old:
            return
        if (status.state, status.external_port, status.reason) != (old.state, old.external_port, old.reason):
            why = f" ({status.reason})" if status.reason else ""
            _log.info(
                "mapping {mapping}: {state}{port}{why}",
                mapping=str(self.wanted),
                state=status.state.value,
                port=f" on external port {status.external_port}" if status.state in WORKING else "",
                why=why,
            )
            self.watched.set(status)
        else:
            self.watched.value = status

    def _finish(self) -> None:
        self._say(MappingStatus(MappingState.RELEASED, self.status.external_port))
        gone, self._gone = self._gone, []
        for waiter in gone:
            waiter.callback(None)

    def _fell_over(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            _log.failure("holding a mapping failed", failure=failure)
            self._finish()

    def _judge(self, status: MappingStatus) -> MappingStatus:
        if status.state is MappingState.CONFLICT:
            raise MappingConflict(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.REFUSED:
            raise MappingRefused(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.RELEASED:
            raise MappingReleased
        return status


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
        self._connection: Connection | None = None
        self._observers: list[IMappingObserver] = []

    def __iter__(self) -> Iterator[HeldMapping]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, wanted: PortMapping) -> HeldMapping:
        """Keep a mapping true from now on: added, read back, renewed, added again when it gets lost.

        Holding the same mapping again gives the same :class:`HeldMapping`.

        :raises InvalidArgument: when another mapping wants the same external port, or too many are held.
        """
        key = (wanted.protocol, wanted.wanted_port, str(wanted.remote_host or ""))
        held = self._held.get(key)
        if held is not None and held.wanted == wanted:
            return held
        if held is not None:
            raise InvalidArgument(f"{wanted}: the same external port is already held as {held.wanted}")
        if len(self._held) >= self._most:
            raise InvalidArgument(f"{wanted}: {self._most} mappings are held already")
        held = HeldMapping(self._clock, wanted, self._host_id, self._random)
        self._held[key] = held

        def changed(old: MappingStatus, new: MappingStatus) -> None:
            for observer in tuple(self._observers):
                try:
                    observer.mapping_changed(held, old, new)
                except Exception:
                    _log.failure("a mapping observer raised")
            if new.state is MappingState.RELEASED and self._held.get(key) is held:
                del self._held[key]

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

    def detach(self, reason: str, *, forget: bool = False) -> None:
        """The gateway is gone; everything stays wanted."""
        self._connection = None
        for held in self:
            held.detach(reason, forget=forget)

    def recheck(self) -> None:
        """Something changed in the gateway's table: read our entries back."""
        for held in self:
            held.recheck()

    def stop(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Release everything, within ``seconds``; what the gateway did not confirm by then runs out with its lease."""
        everything = tuple(self)
        done = gatherResults([held.release() for held in everything], consumeErrors=True)
        done.addTimeout(seconds, self._clock)

        def abandon(result: object) -> None:
            for held in everything:
                held.abandon()
                held.watched.close(MappingReleased())
            self._held.clear()

        return done.addBoth(abandon)
