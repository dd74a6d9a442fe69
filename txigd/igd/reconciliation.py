"""What is wanted, what we did, what the gateway's table holds: what to adopt, to delete, to forget. Pure.

After a SIGKILL or a change of the configuration (F53, F54) the entries of an earlier life are either taken over or
removed. Foreign entries are never named here. Sources: quirks Q101, Q136, Q137, Q140, threat D5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry, client_name, plain, remote_of, slot_of
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours
from txigd.limits import DESCRIPTION_TAG_OCTETS


@dataclass(frozen=True, slots=True)
class Adoption:
    """An entry of ours that a wanted mapping takes over, at the entry's external port."""

    wanted: PortMapping
    entry: PortMappingEntry


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome.

    :ivar adopt: at most one entry for each wanted mapping.
    :ivar delete: entries of ours that nobody wants, or wants only once; ``remote_host`` is the one to delete with.
        Read each again before: the table may have changed since.
    :ivar forget: records of the journal whose entry is not there; give their slots to
        :meth:`txigd.igd.journal.Journal.deleted`.
    """

    adopt: tuple[Adoption, ...] = ()
    delete: tuple[PortMappingEntry, ...] = ()
    forget: tuple[JournalEntry, ...] = ()


def reconcile(
    journal: Journal,
    udn: str,
    wanted: Iterable[PortMapping],
    table: Sequence[PortMappingEntry] | None,
    *,
    client: ipaddress.IPv4Address,
    host_id: str,
    now: float,
    complete: bool = True,
) -> Reconciliation:
    """Compare the three; nothing is changed.

    :param wanted: everything that is wanted on this gateway by this process.
    :param table: the entries as read, in any order; None where the gateway offers no way to read them (F35). Then the
        journal alone is believed, and only entries that were answered with success and lead to this host.
    :param client: this host's address on the gateway's link.
    :param host_id: marks our own entries.
    :param now: this host's boot clock.
    :param complete: False when ``table`` may be a part of the table only (Q137): nothing is forgotten then.
    """
    records = journal.entries(udn)
    live = [record for record in records if not record.has_run_out(now)]
    if table is not None:
        table = [with_address(entry, live, host_id=host_id) for entry in table]
    if table is None:
        ours = [as_entry(record) for record in live if record.sure and record.internal_client == str(client)]
    else:
        ours = [_with_remote(entry) for entry in table if is_our_entry(entry, live, client=client, host_id=host_id)]
    ours = list(dict.fromkeys(ours))
    adopt, left = _share_out(journal, tuple(wanted), ours, client)
    return Reconciliation(tuple(adopt), tuple(left), _vanished(records, table, now, complete=complete))


def is_our_entry(
    entry: PortMappingEntry, records: Iterable[JournalEntry], *, client: ipaddress.IPv4Address, host_id: str
) -> bool:
    """Whether we made an entry that was read.

    Our tag on an entry that leads to this host is enough: two hosts may have one id (cloned containers), not one
    address. An entry that leads to another address must be on record in all its parts and bear our tag: it is ours from
    before this host's address changed (F14). Without our tag it must be on record, lead to this host, and be shown as
    it was shown when it was made, or without any description.
    """
    if not entry.external_port:
        return False  # never sent by us (D5)
    leads_here = entry.internal_client.strip() == str(client)
    tagged = is_ours(entry.description, host_id)
    if leads_here and tagged:
        return True
    return (leads_here or tagged) and is_on_record(entry, records, tagged=tagged)


def is_on_record(entry: PortMappingEntry, records: Iterable[JournalEntry], *, tagged: bool) -> bool:
    """Whether the records say that we made an entry that was read.

    :param records: those that have not run out.
    :param tagged: whether it bears our tag. Without it, it must be shown as it was shown when it was made, or without
        any description: another program of this host may have taken its place.
    """
    on_record = [record for record in records if record.matches(entry)]
    shown = plain(entry.description, DESCRIPTION_TAG_OCTETS).strip()
    return any(tagged or not shown or shown == record.shown.strip() for record in on_record)


def with_address(entry: PortMappingEntry, records: Iterable[JournalEntry], *, host_id: str) -> PortMappingEntry:
    """An entry that was read; where its client is shown as no address and it is ours, with the address on record.

    Some gateways show a host by its name, which says nothing to us, and a cloned host has our tag. So it takes a record
    of the same place and internal port as well, and the name that was shown for us there: any name is ours when an
    entry that we made is read for the first time, no other one afterwards. Other entries are as they were.

    :param records: those that have not run out.
    """
    if _is_address(entry.internal_client) or not is_ours(entry.description, host_id):
        return entry
    place = slot_of(entry), entry.internal_port
    name = client_name(entry.internal_client)
    there = [record for record in records if (record.slot, record.internal_port) == place]
    ours = [record for record in there if record.named == name or not (record.named or record.shown)]
    if not ours:
        return entry
    # an answered one rather than one that is only asked for, the latest of several
    return replace(entry, internal_client=max(reversed(ours), key=lambda record: record.sure).internal_client)


def fits(wanted: PortMapping, entry: PortMappingEntry, client: ipaddress.IPv4Address) -> bool:
    """Whether an entry is what a wanted mapping asks for."""
    protocol, port, remote_host = slot_of(entry)
    return (
        protocol == wanted.protocol
        and remote_host == remote_of(wanted)
        and entry.leads_to(wanted.internal_client or client, wanted.internal_port)
        and wanted.takes(port)
    )


def _share_out(
    journal: Journal, wanted: Sequence[PortMapping], ours: Sequence[PortMappingEntry], client: ipaddress.IPv4Address
) -> tuple[list[Adoption], list[PortMappingEntry]]:
    """Who gets which entry, and the entries that nobody gets.

    First come those that take one port only, then those whose port of last time is there: nobody takes from another
    what he alone can use.
    """
    left = list(ours)
    musts = {(mapping.protocol, mapping.wanted_port, remote_of(mapping)) for mapping in wanted if not mapping.any_port}
    kept = {slot_of(entry) for entry in ours}
    adopt = []

    def turn(mapping: PortMapping) -> tuple[bool, bool]:
        return mapping.any_port, (mapping.protocol, journal.port_for(mapping), remote_of(mapping)) not in kept

    for mapping in sorted(wanted, key=turn):
        free = [entry for entry in left if not mapping.any_port or slot_of(entry) not in musts]
        fitting = [entry for entry in free if fits(mapping, entry, client)]
        if fitting:
            entry = min(fitting, key=lambda entry: _preference(journal, mapping, entry))
            adopt.append(Adoption(mapping, entry))
            left.remove(entry)
    return adopt, left


def _preference(journal: Journal, wanted: PortMapping, entry: PortMappingEntry) -> tuple[bool, bool, int]:
    port = entry.external_port
    return port != journal.port_for(wanted), port != wanted.wanted_port, port


def _vanished(
    records: Sequence[JournalEntry], table: Sequence[PortMappingEntry] | None, now: float, *, complete: bool
) -> tuple[JournalEntry, ...]:
    """Records that are over: by their lease, or because the whole table was read and does not hold them."""
    held = None if table is None or not complete else list(table)
    return tuple(
        record
        for record in records
        if record.has_run_out(now) or (held is not None and not any(record.matches(entry) for entry in held))
    )


def _is_address(client: str) -> bool:
    try:
        ipaddress.ip_address(client.strip())
    except ValueError:
        return False
    return True


def _with_remote(entry: PortMappingEntry) -> PortMappingEntry:
    """Everybody is the empty text in requests, however the gateway shows it (Q101, Q136)."""
    return replace(entry, remote_host=slot_of(entry)[2])


def as_entry(record: JournalEntry) -> PortMappingEntry:
    """What a record says is in the table."""
    return PortMappingEntry(
        protocol=record.protocol,
        external_port=record.external_port,
        internal_client=record.internal_client,
        internal_port=record.internal_port,
        description=record.description,
        remote_host=record.remote_host,
    )
