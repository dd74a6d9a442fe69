"""One wanted port mapping: what its lease machine asks for, done on the connection that it is attached to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import MappingConflict, MappingRefused, MappingReleased
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.held import Held
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import (
    WORKING,
    Add,
    Added,
    Command,
    Delete,
    Denied,
    Fact,
    Found,
    GiveUp,
    MappingState,
    MappingStatus,
    Read,
    Reserve,
    Reserved,
    Seek,
    Taken,
)
from txigd.igd.looks import Turn
from txigd.igd.mapping import PortMapping, tag
from txigd.limits import JOURNAL_SLACK_SECONDS, PORT_RANGE

_log = log.logger("txigd.mappings")
_T = TypeVar("_T")


@dataclass
class _At:
    """Where the machine asks now: at each opening of a gateway its connections are other objects."""

    place: Connection


class HeldMapping(Held[PortMapping, MappingStatus, Connection, Lease]):
    """One wanted mapping and how it stands. Made by :meth:`txigd.igd.mappings.Mappings.hold`.

    :param turn: when to look next after a look.
    :param books: where what is done is written down.
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
        turn: Turn,
        books: Books | None = None,
        wait_for: Deferred[None] | None = None,
    ) -> None:
        super().__init__(clock, wanted, MappingStatus(), wait_for=wait_for)
        self._host_id = host_id
        self._random = random
        self._turn = turn
        self._books = Books() if books is None else books
        self._at: _At | None = None

    @property
    def external_port(self) -> int:
        """The external port in use, 0 while there is none."""
        return self.status.external_port if self.status.state in WORKING else 0

    def table_changed(self) -> None:
        """An event told of a change in the gateway's table, ours or anybody's."""
        if self._lease is not None:
            self._doubt(self._lease.table_changed)

    def line_came_up(self) -> None:
        """The gateway's line is up again, with an address."""
        if self._lease is not None:
            self._lease.line_came_up(self._clock.seconds())
            self._wake()

    def vacate(self, wanted_by: str) -> None:
        """Another mapping of ours can use no other external port: leave it, and find another one."""
        if self._lease is not None:
            self._lease.vacate(wanted_by)
            self._wake()

    def part(self, reason: str) -> Deferred[None]:
        """As for everything held; the external port is free for others of ours when the farewell is over."""
        lease = self._lease

        def over(result: _T) -> _T:
            self._books.claims.give_up(lease)
            return result

        return super().part(reason).addBoth(over)

    @property
    def runs_out(self) -> bool:
        """Whether its entry has a lease."""
        return bool(self.status.lease_seconds if self.status.state in WORKING else self.wanted.lease_seconds)

    # -- for the driver ----------------------------------------------------------------------------------------------
    def _client(self, place: Connection) -> ipaddress.IPv4Address | None:
        """Where the mapping leads; None where the gateway is reached over IPv6."""
        local = place.local_address
        return (self.wanted.internal_client or local) if isinstance(local, ipaddress.IPv4Address) else None

    def _unfit(self, place: Connection) -> MappingStatus | None:
        if self._client(place) is not None:
            return None
        reason = "the gateway is reached over IPv6: no IPv4 port mapping"
        return MappingStatus(MappingState.REFUSED, reason=reason)

    def _fits(self, lease: Lease, place: Connection) -> bool:
        """Our own address may have changed (F14)."""
        return lease.client == self._client(place)

    def _new_lease(self, place: Connection) -> Lease:
        client = self._client(place)
        assert client is not None
        kept = self._books.journal.port_for(self.wanted)
        at = self._at = _At(place)
        lease = Lease(
            self.wanted,
            client=client,
            host_id=self._host_id,
            spread=lambda: self._random.uniform(-1, 1),
            other_port=lambda: self._random.randint(*(self.wanted.port_range or PORT_RANGE)),
            external_port=kept if self.wanted.takes(kept) else 0,
            turn=self._turn,
            reserves=place.reserves and self.wanted.port_range is None,  # it picks from all ports
            line_up=lambda: at.place.line_up,
            hidden=lambda: at.place.hidden,
            former=lambda port: self._former(at.place, client, port),
            on_record=lambda entry: self._books.made(at.place.udn, entry, self._host_id),
        )
        if self._lease is not None:
            self._books.claims.inherit(lease, self._lease)
        return lease

    def _stays(self, place: Connection) -> None:
        if self._at is not None:
            self._at.place = place

    def _former(self, place: Connection, client: ipaddress.IPv4Address, port: int) -> tuple[str, float | None] | None:
        """What we have on record there that leads to another address, and the seconds until it ends."""
        slot, now = JournalEntry.of(self.wanted, port, client=client, description="").slot, self._books.now()
        for record in self._books.journal.entries(place.udn):
            if record.slot == slot and record.internal_client != str(client) and not record.has_run_out(now):
                end = record.expires
                return record.internal_client, None if end is None else end - JOURNAL_SLACK_SECONDS - now
        return None

    async def _carry_out(self, place: Connection, lease: Lease, command: Command) -> Fact:
        description = tag(self._host_id, self.wanted.description or str(self.wanted).replace(":", "-"))
        if isinstance(command, Seek):
            return await place.seek_entry(self.wanted, client=lease.client, description=description)
        if isinstance(command, Reserve):
            return await self._reserve(place, lease, command, description)
        if isinstance(command, GiveUp):
            self._books.claims.give_up(lease)
            return Taken(command.to)
        assert isinstance(command, (Add, Delete, Read))
        entry = JournalEntry.of(self.wanted, command.port, client=lease.client, description=description)
        taken = self._books.claims.ask(lease, self, place.udn, entry.slot)
        if taken is not None:
            return taken
        if isinstance(command, Delete) and lease.leaving and self._books.claims.shared(lease):
            return Taken(str(self.wanted))  # the last one deletes
        due = lease.due_by(self._clock.seconds())
        fact: Fact
        asked, unanswered = 0, None
        if isinstance(command, Add):
            asked = command.lease_seconds
            unanswered = self._books.unanswered(place.udn, entry)
            self._books.adding(place.udn, entry, asked)
            fact = await place.add_entry(
                self.wanted, command.port, client=lease.client, description=description, lease_seconds=asked, due=due
            )
        elif isinstance(command, Delete):
            fact = await place.delete_entry(self.wanted, command.port, due=due)
        else:
            fact = await place.read_entry(self.wanted, command.port, due=due)
            fact = self._books.with_address(place.udn, fact, self._host_id)
        if isinstance(fact, Denied) and fact.code and unanswered is not None:
            self._books.in_doubt(place.udn, unanswered)
            return replace(fact, in_doubt=True)
        # judged by the record as it is before it learns of this
        ours = not isinstance(fact, Found) or lease.owns(fact.entry)
        self._books.learned(place.udn, entry, fact, asked, ours=ours)
        return fact

    async def _reserve(self, place: Connection, lease: Lease, command: Reserve, description: str) -> Fact:
        """Where the entry will stand nobody knows before the answer, so it is on record from then on."""
        seconds = command.lease_seconds
        self._books.claims.give_up(lease)
        fact = await place.reserve_entry(
            self.wanted, command.port, client=lease.client, description=description, lease_seconds=seconds
        )
        if isinstance(fact, Reserved):
            entry = JournalEntry.of(self.wanted, fact.port, client=lease.client, description=description)
            self._books.adding(place.udn, entry, seconds)
            self._books.learned(place.udn, entry, Added(), seconds)
            taken = self._books.claims.ask(lease, self, place.udn, entry.slot)
            if taken is not None:
                self._books.claims.intruded(place.udn, entry.slot)
                return taken
        return fact

    def _left_there(self) -> None:
        if self._place is None:
            return
        for record in self._books.journal.entries(self._place.udn):
            if record.external_port == self.external_port and record.protocol == self.wanted.protocol:
                self._books.journal.deleted(self._place.udn, record.slot)

    def _finish(self) -> None:
        self._books.claims.give_up(self._lease)
        super()._finish()

    def _released(self) -> MappingStatus:
        return MappingStatus(MappingState.RELEASED, self.status.external_port)

    def _say(self, status: MappingStatus) -> None:
        """A port that works is kept across restarts (Q140); one that is only tried is not."""
        if status.state in WORKING:
            self._books.journal.keep_port(self.wanted, status.external_port)
        super()._say(status)

    def _news(self, status: MappingStatus) -> object:
        """Renewals are no news, and neither are calls that fail while it works."""
        return status.state, status.external_port, "" if status.state in WORKING else status.reason

    def _announce(self, status: MappingStatus) -> None:
        _log.info(
            "mapping {mapping}: {state}{port}{why}",
            mapping=str(self.wanted),
            state=status.state.value,
            port=f" on external port {status.external_port}" if status.state in WORKING else "",
            why=f" ({status.reason})" if status.reason else "",
        )

    def _judge(self, status: MappingStatus) -> MappingStatus:
        if status.state is MappingState.CONFLICT:
            raise MappingConflict(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.REFUSED:
            raise MappingRefused(f"{self.wanted}: {status.reason}")
        if status.state is MappingState.RELEASED:
            raise MappingReleased
        return status
