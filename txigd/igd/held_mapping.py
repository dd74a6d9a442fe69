"""One wanted port mapping: drives its lease machine on the connection that it is attached to."""

from __future__ import annotations

import ipaddress
from random import Random

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import MappingConflict, MappingRefused, MappingReleased, TxigdError
from txigd.igd.connection import Connection
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import (
    WORKING,
    Add,
    Command,
    Delete,
    Done,
    Fact,
    Failed,
    MappingState,
    MappingStatus,
    Read,
    Rest,
)
from txigd.igd.mapping import PortMapping, tag
from txigd.igd.watched import Watched
from txigd.limits import PORT_RANGE

_log = log.logger("txigd.mappings")
_FINAL = WORKING | {MappingState.CONFLICT, MappingState.REFUSED, MappingState.RELEASED}


class HeldMapping:
    """One wanted mapping and how it stands. Made by :meth:`txigd.igd.mappings.Mappings.hold`.

    :param wait_for: begins nothing before this has fired: the farewell of another mapping on the same port.
    :ivar wanted: the :class:`txigd.igd.mapping.PortMapping`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wanted: PortMapping,
        host_id: str,
        random: Random,
        *,
        wait_for: Deferred[None] | None = None,
    ) -> None:
        self.wanted = wanted
        self._clock = clock
        self._host_id = host_id
        self._random = random
        self.watched: Watched[MappingStatus] = Watched(clock, MappingStatus())
        self._connection: Connection | None = None
        self._lease: Lease | None = None
        self._releasing = False
        self._waiting = wait_for is not None
        self._running: Deferred[None] | None = None
        self._sleep: Deferred[None] | None = None
        self._gone: list[Deferred[None]] = []
        if wait_for is not None:
            wait_for.addBoth(self._let_go)

    @property
    def status(self) -> MappingStatus:
        """State, external port, lease and reason at this moment."""
        return self.watched.value

    @property
    def external_port(self) -> int:
        """The external port in use, 0 while there is none."""
        return self.status.external_port if self.status.state in WORKING else 0

    @property
    def leaving(self) -> bool:
        """Whether it is no longer wanted."""
        return self._releasing or self.status.state is MappingState.RELEASED

    def when_active(self, timeout: float | None = None) -> Deferred[MappingStatus]:
        """A fresh Deferred of the status once the mapping works.

        It errbacks with :class:`txigd.errors.MappingConflict` or :class:`txigd.errors.MappingRefused` as soon as the
        gateway said no (the mapping stays wanted and is tried again), with :class:`txigd.errors.WaitTimeout` after
        ``timeout`` seconds (a gateway that does not answer says neither yes nor no), and with
        :class:`txigd.errors.MappingReleased` when it is released first.
        """
        return self.watched.when(lambda status: status.state in _FINAL, timeout).addCallback(self._judge)

    def release(self) -> Deferred[None]:
        """Want it no more: delete the entry if it is ours. The Deferred fires when that is done or given up."""
        if self.status.state is MappingState.RELEASED:
            return succeed(None)
        gone: Deferred[None] = Deferred(self._gone.remove)
        self._gone.append(gone)
        self._releasing = True
        if self._lease is None or self._connection is None or self._waiting:
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
        if self.status.state is MappingState.RELEASED:
            return
        local, now = connection.local_address, self._clock.seconds()
        client = self.wanted.internal_client or local
        if not isinstance(client, ipaddress.IPv4Address) or not isinstance(local, ipaddress.IPv4Address):
            self._connection = None
            reason = "the gateway is reached over IPv6: no IPv4 port mapping"
            self._say(MappingStatus(MappingState.REFUSED, reason=reason))
            return
        self._connection = connection
        if self._lease is None or self._lease.client != client:
            self._lease = self._new_lease(local)
        elif restarted:
            self._lease.gateway_restarted(now)
        else:
            self._lease.recheck(now)
        if not self._waiting:
            self._start()

    def detach(self, reason: str) -> None:
        """The gateway is gone, it may come back."""
        self._connection = None
        if self._lease is not None and not self.leaving:
            self._lease.gateway_silent(reason)
            self._say(self._lease.status)
        if self._releasing:
            self.abandon()

    def part(self, reason: str) -> Deferred[None]:
        """Leave this gateway for another one: delete our entry there, and begin afresh at the next attach().

        :return: fires when the entry is deleted or that is given up; cancelling gives it up.
        """
        connection, lease = self._connection, self._lease
        self.detach(reason)
        self._lease = None
        if self._running is not None:
            self._running.cancel()
            self._running = None
        if connection is None or lease is None or self.leaving:
            return succeed(None)
        lease.learn(Failed(reason), self._clock.seconds())  # of a command that was under way nothing is known (F45)
        lease.release()
        return Deferred.fromCoroutine(self._farewell(connection, lease))

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

    def _let_go(self, result: object) -> None:
        """What had to end first has ended."""
        self._waiting = False
        if self._connection is not None:
            self._start()

    def _start(self) -> None:
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        else:
            self._wake()

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
            else:
                await self._step(connection, lease, command)
        self._finish()

    async def _farewell(self, connection: Connection, lease: Lease) -> None:
        while not isinstance(command := lease.next(self._clock.seconds()), (Done, Rest)):
            await self._step(connection, lease, command)

    async def _step(self, connection: Connection, lease: Lease, command: Command) -> None:
        try:
            fact = await self._carry_out(connection, lease, command)
        except CancelledError:
            raise
        except TxigdError as error:
            fact = Failed(str(error))
        except Exception as error:
            _log.failure("holding {mapping} met a fault", mapping=str(self.wanted))
            fact = Failed(f"a fault of our own: {type(error).__name__}")  # it stays wanted and is tried again
        lease.learn(fact, self._clock.seconds())

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
        self._sleep = rest
        try:
            await rest
        finally:
            self._sleep = None
            if call is not None and call.active():
                call.cancel()

    def _wake(self) -> None:
        sleep, self._sleep = self._sleep, None
        if sleep is not None:
            sleep.callback(None)

    def _say(self, status: MappingStatus) -> None:
        old = self.status
        if (status.state, status.external_port, status.reason) == (old.state, old.external_port, old.reason):
            self.watched.value = status
            return
        _log.info(
            "mapping {mapping}: {state}{port}{why}",
            mapping=str(self.wanted),
            state=status.state.value,
            port=f" on external port {status.external_port}" if status.state in WORKING else "",
            why=f" ({status.reason})" if status.reason else "",
        )
        self.watched.set(status)

    def _finish(self) -> None:
        self._say(MappingStatus(MappingState.RELEASED, self.status.external_port))
        gone, self._gone = self._gone, []
        for waiter in gone:
            waiter.callback(None)

    def _judge(self, status: MappingStatus) -> MappingStatus:
        if status.state is MappingState.CONFLICT:
            raise MappingConflict(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.REFUSED:
            raise MappingRefused(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.RELEASED:
            raise MappingReleased
        return status
