"""What must hold in a whole session: at any moment, and when nothing has gone wrong for a while."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock

from tests.memory_lan import Asked
from tests.session_gateway import SessionGateway
from tests.session_life import Broken, Life
from txigd.igd.control_point import host_id
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours
from txigd.igd.pinhole import PROTOCOL_NUMBERS, Pinhole
from txigd.limits import RENEW_FLOOR_SECONDS
from txigd.testing import Entry
from txigd.testing import pinholes as testing

if TYPE_CHECKING:
    from tests.session_world import Foreign

HOST_ID = host_id("session")
OWN_HOST6 = "2001:db8:1::7"
LEASE_LEFT = 0.15  # of a lease, when all is well: it is renewed at half of it


class Checks:
    """The part of the world that judges."""

    clock: Clock
    life: Life
    gateways: list[SessionGateway]
    foreign: Foreign
    foreign_pinholes: dict[tuple[str, int], testing.Pinhole]
    wanted: list[PortMapping]
    pinholes: list[Pinhole]
    unanswered: set[Any]
    trouble: list[str]
    disk: bytes
    own: str
    six: bool
    hop: str
    _read: tuple[bytes, Journal] = (b"", Journal())

    @property
    def router(self) -> SessionGateway:
        """The gateway that is the default route."""
        return next(one for one in self.gateways if one.address == self.hop)

    # -- what is there -------------------------------------------------------------------------------------------------
    def all_ours(self, gateway: SessionGateway) -> list[Entry]:
        """All entries that bear our tag."""
        return [entry for entry in gateway.table if is_ours(entry.description, HOST_ID)]

    def ours(self, gateway: SessionGateway) -> list[Entry]:
        """Our entries, as far as we can know them for ours.

        One for an address that this host had before is known by the record of this gateway alone (F14). When the box
        was exchanged for another and we had not heard yet, the record of what we made on it has the former name.
        """
        record = self.record.entries(gateway.udn)
        return [
            entry
            for entry in self.all_ours(gateway)
            if entry.internal_client == self.own or any(one.matches(_as_read(entry)) for one in record)
        ]

    def our_pinholes(self, gateway: SessionGateway) -> list[tuple[int, testing.Pinhole]]:
        """Our pinholes with their numbers."""
        return [(number, one) for number, one in gateway.pinholes if one.internal_client == OWN_HOST6]

    def made_by(self, gateway: SessionGateway, asked: Asked) -> set[Any]:
        """What stands there by an action whose answer only tells where."""
        entries = self.all_ours(gateway) if asked.name == "AddAnyPortMapping" else ()
        return {(gateway.address, entry.protocol, entry.external_port) for entry in entries}

    @property
    def record(self) -> Journal:
        """What the next life would begin with."""
        if self._read[0] is not self.disk:
            self._read = self.disk, Journal.decode(self.disk, boot="this", now=self.clock.seconds())
        return self._read[1]

    # -- at any moment -------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """What must hold at any moment.

        :raises Broken: saying what does not.
        """
        if self.trouble:
            raise Broken("\n".join(self.trouble))
        for gateway in self.gateways:
            there = self.all_ours(gateway)  # those for an address that we had before lead to nobody
            targets = [(one.protocol, one.internal_port, one.description, one.internal_client) for one in there]
            if len(targets) != len(set(targets)):
                raise Broken(f"two entries for one mapping: {there}")
            self._check_foreign(gateway)
            self._check_record(gateway)

    def looks(self) -> None:
        """The same in the middle of things: what does not hold is told at the next check."""
        try:
            self.check()
        except Broken as broken:
            self.trouble = [str(broken)]

    def _check_foreign(self, gateway: SessionGateway) -> None:
        table, pinholes = gateway.state.table, dict(gateway.state.pinholes)
        for (udn, port, protocol), entry in self.foreign.items():
            if udn == gateway.udn and table.find(protocol, port) is not entry:
                raise Broken(f"the neighbour's {entry} became {table.find(protocol, port)}")
        for (udn, number), pinhole in self.foreign_pinholes.items():
            if udn == gateway.udn and pinholes.get(number) != pinhole:
                raise Broken(f"the neighbour's {pinhole} became {pinholes.get(number)}")

    def _check_record(self, gateway: SessionGateway) -> None:
        """All of ours is on disk, under a name that this place had: another box may stand there since.

        A port that a gateway picks itself is on disk from the answer on.
        """
        names = gateway.names
        records = [record for udn in names for record in self.record.entries(udn)]
        for entry in self.all_ours(gateway):
            told = (gateway.address, entry.protocol, entry.external_port) not in self.unanswered
            if told and not any(record.matches(_as_read(entry)) for record in records):
                raise Broken(f"not on record: {entry}")
        places = {_place(one) for udn in names for one in self.record.pinholes(udn)}
        for number, one in self.our_pinholes(gateway):
            if _place(one) not in places:
                raise Broken(f"not on record: pinhole {number}, {one}")

    # -- in peace ------------------------------------------------------------------------------------------------------
    def check_wanted(self) -> None:
        """What is wanted and possible is there. An entry that no gateway extends may be away for a moment.

        :raises Broken: saying what is not so.
        """
        try:
            self._check_wanted()
        except Broken:
            self.wait(1.0)
            self._check_wanted()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        raise NotImplementedError

    def _check_wanted(self) -> None:
        for wanted in self.wanted:
            self._check_mapping(wanted)
        point = self.life.point
        if point.current is None:
            raise Broken(f"no gateway: {self._where()}")
        if point.current.udn != self.router.udn:
            raise Broken(f"the gateway in use is {point.current.udn}: {self._where()}")
        if self.six and self.router.state.tree.version >= 2:
            for pinhole in self.pinholes:
                self._check_pinhole(pinhole)

    def _check_mapping(self, wanted: PortMapping) -> None:
        router = self.router
        held = next((one for one in self.life.point.mappings if one.wanted == wanted), None)
        if held is None:
            raise Broken(f"{wanted} is not held")
        status = held.status
        if self.fleeting:
            return
        standing = [one for one in router.table if _is_at(one, wanted)]
        taken = any(one not in self.ours(router) for one in standing)
        if status.state is MappingState.CONFLICT and taken:
            return
        if status.state is MappingState.REFUSED and self._must_refuse(wanted):
            return
        if status.state is not MappingState.ACTIVE:
            raise Broken(f"{wanted} is {status} at {self.clock.seconds()}; {self._where()}")
        entries = [one for one in self.ours(router) if is_of(one, wanted) and one.internal_client == self.own]
        if [(one.external_port, one.internal_client) for one in entries] != [(held.external_port, self.own)]:
            raise Broken(f"{wanted} is {status}, but there is {entries}")

    def _check_pinhole(self, wanted: Pinhole) -> None:
        held = next((one for one in self.life.point.pinholes if one.wanted == wanted), None)
        status = None if held is None else held.status
        if status is None or status.state is not MappingState.ACTIVE:
            raise Broken(f"{wanted} is {status} at {self.clock.seconds()}; {self._where()}")
        there = [number for number, one in self.our_pinholes(self.router) if _opens(one, wanted)]
        if there != [status.unique_id]:
            raise Broken(f"{wanted} is {status}, but there is {there}; {self._where()}")

    @property
    def fleeting(self) -> bool:
        """Whether gateways with these rules drop entries faster than anybody should renew them."""
        rules = self.router.state.table.rules
        return rules.lifetime_seconds > 0 or (rules.max_lease or math.inf) < 2 * RENEW_FLOOR_SECONDS

    def _must_refuse(self, wanted: PortMapping) -> bool:
        """Whether no gateway with these rules would map it."""
        rules = self.router.state.table.rules
        full = rules.capacity < len(self.wanted) + len(self.foreign)  # whoever finds no room asks again in minutes
        taken = any(_is_at(one, wanted) for one in self.foreign.values())
        return full or (rules.same_port_only and (taken or wanted.internal_port != wanted.wanted_port))

    def _where(self) -> str:
        point = self.life.point
        current = point.current and point.current.location
        table, pinholes = self.router.table, list(self.router.pinholes)
        return f"current {current}, trouble {point.last_error}, table {table}, pinholes {pinholes}"

    def check_unwanted(self) -> None:
        """Nothing of ours is there that nobody wants.

        :raises Broken: saying what is there.
        """
        router = self.router
        for entry in self.ours(router):
            if not any(is_of(entry, wanted) for wanted in self.wanted):
                raise Broken(f"nobody wants {entry}; wanted {self.wanted}, on record {self._on_record()}")
        for number, one in self.our_pinholes(router):
            if not any(_opens(one, wanted) for wanted in self.pinholes):
                raise Broken(f"nobody wants pinhole {number}, {one}; wanted {self.pinholes}")

    def _on_record(self) -> list[Any]:
        return [record for udn in self.router.names for record in self.record.entries(udn)]

    def check_leases(self) -> None:
        """All is well, so nothing comes near the end of its lease."""
        now, longest = self.clock.seconds(), self.router.state.table.rules.max_lease
        for wanted in self.wanted if not self.fleeting else ():
            lease = min(one for one in (wanted.lease_seconds or 604_800, longest or 604_800))
            for entry in self.ours(self.router):
                if is_of(entry, wanted) and entry.expires is not None and entry.expires - now < LEASE_LEFT * lease:
                    raise Broken(f"{entry} runs out at {now}")
        for pinhole in self.pinholes:
            for number, one in self.our_pinholes(self.router):
                if _opens(one, pinhole) and one.expires - now < LEASE_LEFT * pinhole.lease_seconds:
                    raise Broken(f"pinhole {number}, {one}, runs out at {now}")

    def check_left(self, gateway: SessionGateway | None = None) -> None:
        """After a farewell without trouble, nothing of ours is left on a gateway, the one in use if none is named."""
        gateway = gateway or self.router
        if self.ours(gateway) or self.our_pinholes(gateway):
            raise Broken(f"left on {gateway.name}: {self.ours(gateway)} {self.our_pinholes(gateway)}")


def _as_read(entry: Entry) -> PortMappingEntry:
    return PortMappingEntry(
        protocol=entry.protocol,
        external_port=entry.external_port,
        internal_client=entry.internal_client,
        internal_port=entry.internal_port,
        description=entry.description,
    )


def is_of(entry: Entry, wanted: PortMapping) -> bool:
    """Whether an entry of ours is what is wanted, at whatever external port."""
    return (entry.protocol, entry.internal_port) == (wanted.protocol, wanted.internal_port)


def _is_at(entry: Entry, wanted: PortMapping) -> bool:
    return (entry.protocol, entry.external_port) == (wanted.protocol, wanted.wanted_port)


def _place(one: Any) -> tuple[object, ...]:
    return one.protocol, one.internal_port, one.remote_host, one.remote_port


def _opens(one: testing.Pinhole, wanted: Pinhole) -> bool:
    number = PROTOCOL_NUMBERS[wanted.protocol]
    return _place(one) == (number, wanted.internal_port, str(wanted.remote_host or ""), wanted.remote_port)
