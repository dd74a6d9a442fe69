"""The record of what we did, gateway by gateway, so that a killed process leaves nothing behind. Pure.

Sources: quirks Q117, Q119, Q136, Q140, faults F19, F53, threat D3.

What is about to be done is written down before (:meth:`Journal.will_add`), so that after a SIGKILL at any moment the
record says at least what is on the gateway, and never less. It is a claim, not the truth: before anything is deleted
the table is read, see :mod:`txigd.igd.reconciliation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from txigd.errors import JournalDamaged
from txigd.igd import journal_format
from txigd.igd.journal_entry import (
    JournalEntry,
    JournalPinhole,
    KeptPort,
    PinnedGateway,
    Slot,
    client_name,
    latest_end,
    plain,
    slot_of,
)
from txigd.igd.lease_facts import Added, Deleted, Denied, Fact, Found, Missing
from txigd.igd.mapping import PortMapping, PortMappingEntry
from txigd.limits import (
    DESCRIPTION_TAG_OCTETS,
    JOURNAL_ENTRIES,
    JOURNAL_GATEWAYS,
    JOURNAL_PINHOLES,
    JOURNAL_PORTS,
    JOURNAL_SEEN_SECONDS,
    LEASE_CEILING_SECONDS,
    LOCATION_OCTETS,
    USN_OCTETS,
)


@dataclass(slots=True)
class _Page:
    """One gateway's part. Dicts keep the order of writing, the oldest first."""

    entries: dict[tuple[Slot, str, int], JournalEntry] = field(default_factory=dict)
    pinholes: dict[tuple[int, str, int, str, int], JournalPinhole] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.entries and not self.pinholes


class Journal:
    """What we did and where.

    :param boot: names the run of this host that the times count from, see :func:`txigd.igd.journal_format.write`.
    :param on_change: called after every change; with True when it must be on disk before the caller goes on.
    :ivar damage: why a journal that was read is empty; "" when nothing is wrong.

    ``now`` is always this host's boot clock.
    """

    def __init__(
        self, boot: str = "", *, on_change: Callable[[bool], None] = lambda at_once: None, damage: str = ""
    ) -> None:
        self.boot = boot
        self.on_change = on_change
        self.damage = damage
        self._pages: dict[str, _Page] = {}
        self._pinned: dict[str, PinnedGateway] = {}
        self._ports: dict[tuple[str, int, int, str, str], int] = {}

    # -- entries -----------------------------------------------------------------------------------------------------
    def will_add(self, udn: str, entry: JournalEntry, *, lease_seconds: int, now: float) -> None:
        """Write ahead: AddPortMapping for this entry is about to be sent.

        :param lease_seconds: what is asked for, 0 for permanent.
        """
        expires = latest_end(lease_seconds, now)
        page = self._page(udn)
        before = page.entries.pop(entry.target, None)
        if before is not None:
            # Until it is answered either the old lease or the new one holds: the longer is kept.
            longer = None if before.expires is None or expires is None else max(before.expires, expires)
            entry = replace(entry, expires=longer, sure=before.sure, shown=before.shown, named=before.named)
        else:
            entry = replace(entry, expires=expires, sure=False)
        if before is None and len(page.entries) >= JOURNAL_ENTRIES:
            del page.entries[_least(page.entries)]
        page.entries[entry.target] = entry
        # A renewal may wait for the next write: the record leads to the same entry before and after.
        renewal = before is not None and (before.expires is None) is (entry.expires is None)
        self.on_change(not renewal)

    def added(self, udn: str, entry: JournalEntry, *, lease_seconds: int, now: float) -> None:
        """It was answered with success: what stood in its place is replaced.

        :param lease_seconds: what was asked for; :meth:`found` corrects it.
        """
        page = self._page(udn)
        before = page.entries.get(entry.target)
        if before is not None:
            entry = replace(entry, shown=before.shown, named=before.named)
        self._drop(page, entry.slot)
        if len(page.entries) >= JOURNAL_ENTRIES:
            del page.entries[_least(page.entries)]
        page.entries[entry.target] = replace(entry, expires=latest_end(lease_seconds, now), sure=True)
        self.on_change(False)

    def not_added(self, udn: str, entry: JournalEntry) -> None:
        """It was refused: what was only written ahead is taken back, an entry made earlier stays."""
        page = self._pages.get(_udn(udn))
        record = None if page is None else page.entries.get(entry.target)
        if page is not None and record is not None and not record.sure:
            del page.entries[entry.target]
            self._changed(udn, page)

    def in_doubt(self, udn: str, record: JournalEntry, *, now: float) -> None:
        """One that had no answer was asked for again and refused, and nothing can be read (F45, Q122).

        What stands there is as likely another's as ours, so the record stays as it was. That of a permanent entry
        stays for LEASE_CEILING_SECONDS, as of one that runs out: those are never deleted on the word of the record.
        An entry of ours that nobody needs harms less than the loss of another's.
        """
        page = self._pages.get(_udn(udn))
        if page is not None and record.target in page.entries:
            end = latest_end(LEASE_CEILING_SECONDS, now) if record.expires is None else record.expires
            page.entries[record.target] = replace(record, expires=end)
            self.on_change(False)

    def found(self, udn: str, read: PortMappingEntry, *, ours: bool = True, now: float) -> None:
        """The gateway's table holds this entry: correct the record of it, if it is ours, and drop what it replaced.

        Of one that leads where ours did and is somebody else's the record learns nothing: its description, above all,
        is not how ours was shown.

        A lease of 0 may be a permanent one or one that the gateway does not tell (Q156): the record then stays until
        the entry is seen to be gone.
        """
        page = self._pages.get(_udn(udn))
        if page is None:
            return
        slot = slot_of(read)
        records = [record for record in page.entries.values() if record.slot == slot]
        if not records:
            return
        self._drop(page, slot)
        end, shown = latest_end(read.lease_seconds, now), plain(read.description, DESCRIPTION_TAG_OCTETS)
        for record in records:
            if record.matches(read):
                kept = replace(record, expires=end, shown=shown, sure=True) if ours else record
                page.entries[record.target] = kept
        self._changed(udn, page)

    def named(self, udn: str, read: PortMappingEntry, name: str) -> None:
        """The gateway shows this entry of ours with a name instead of its address."""
        page = self._pages.get(_udn(udn))
        if page is None:
            return
        for key, record in tuple(page.entries.items()):
            if record.matches(read) and record.named != client_name(name):
                page.entries[key] = replace(record, named=client_name(name))
                self.on_change(False)

    def deleted(self, udn: str, slot: Slot) -> None:
        """There is nothing of ours at this place: deleted, or seen to be gone."""
        page = self._pages.get(_udn(udn))
        if page is not None and self._drop(page, slot):
            self._changed(udn, page)

    def learn(
        self, udn: str, entry: JournalEntry, fact: Fact, *, lease_seconds: int = 0, ours: bool = True, now: float
    ) -> None:
        """Take what the gateway answered to a command about this entry; a Failed one leaves everything open (F45).

        :param lease_seconds: what was asked for, where the command was to add.
        :param ours: whether an entry that was read is ours.
        """
        if isinstance(fact, Added):
            self.added(udn, entry, lease_seconds=lease_seconds, now=now)
        elif isinstance(fact, Denied) and fact.code:  # 0 is an HTTP status without a UPnP error: who knows
            self.not_added(udn, entry)
        elif isinstance(fact, Found):
            self.found(udn, fact.entry, ours=ours, now=now)
        elif isinstance(fact, Missing) or (isinstance(fact, Deleted) and fact.gone):
            self.deleted(udn, entry.slot)

    def entries(self, udn: str) -> tuple[JournalEntry, ...]:
        """What we made there, or may have made, the oldest first."""
        page = self._pages.get(_udn(udn))
        return () if page is None else tuple(page.entries.values())

    @property
    def udns(self) -> tuple[str, ...]:
        """The gateways on which something of ours may be, the least recently used first."""
        return tuple(self._pages)

    # -- external ports ------------------------------------------------------------------------------------------------
    def keep_port(self, wanted: PortMapping, external_port: int) -> None:
        """Remember the external port that was found for a mapping that takes any (Q140)."""
        record = KeptPort.of(wanted, external_port)
        if not wanted.any_port or self._ports.get(record.wanted) == external_port:
            return
        self._ports.pop(record.wanted, None)
        if len(self._ports) >= JOURNAL_PORTS:
            del self._ports[next(iter(self._ports))]
        self._ports[record.wanted] = external_port
        self.on_change(False)

    def port_for(self, wanted: PortMapping) -> int:
        """The external port to try first; 0 where none is remembered, or the wanted one is a must."""
        return self._ports.get(KeptPort.of(wanted).wanted, 0) if wanted.any_port else 0

    # -- pinholes ------------------------------------------------------------------------------------------------------
    def will_open(self, udn: str, pinhole: JournalPinhole) -> None:
        """Write ahead: AddPinhole for this one is about to be sent, and no table will tell of it."""
        page = self._page(udn)
        before = page.pinholes.get(pinhole.place)
        if before is not None:
            longer = max(before.expires, pinhole.expires)
            pinhole = replace(pinhole, unique_id=before.unique_id, expires=longer)
        self._put(page, pinhole)
        self.on_change(before is None)

    def pinhole_opened(self, udn: str, pinhole: JournalPinhole) -> None:
        """AddPinhole or UpdatePinhole was answered with success.

        The gateway counts anew when another one had its number before: that one may be asked for at this moment, so
        it stays, without a number.
        """
        page = self._page(udn)
        before = page.pinholes.get(pinhole.place)
        for place, other in tuple(page.pinholes.items()):
            if other.unique_id == pinhole.unique_id:
                page.pinholes[place] = replace(other, unique_id=0)
        self._put(page, pinhole)
        # a renewal may wait for the next write; a number is told by no table
        self.on_change(before is None or before.unique_id != pinhole.unique_id)

    def not_opened(self, udn: str, pinhole: JournalPinhole) -> None:
        """It was refused: what was only written ahead is taken back."""
        page = self._pages.get(_udn(udn))
        record = None if page is None else page.pinholes.get(pinhole.place)
        if record is not None and not record.unique_id:
            self.pinhole_closed(udn, record)

    def pinhole_closed(self, udn: str, pinhole: JournalPinhole) -> None:
        """Deleted, or not there any more (704)."""
        page = self._pages.get(_udn(udn))
        if page is not None and page.pinholes.pop(pinhole.place, None) is not None:
            self._changed(udn, page)

    def pinholes(self, udn: str) -> tuple[JournalPinhole, ...]:
        """What we opened there, the oldest first."""
        page = self._pages.get(_udn(udn))
        return () if page is None else tuple(page.pinholes.values())

    # -- gateways ------------------------------------------------------------------------------------------------------
    def pin(self, udn: str, location: str, *, now: float) -> None:
        """Look for this gateway first after a restart. May be called at every sight: it is kept to the hour."""
        pinned = PinnedGateway(_udn(udn), plain(location, LOCATION_OCTETS), int(now))
        before = self._pinned.get(pinned.udn)
        if before is not None and before.location == pinned.location and now - before.seen < JOURNAL_SEEN_SECONDS:
            return
        self._pinned.pop(pinned.udn, None)
        if len(self._pinned) >= JOURNAL_GATEWAYS:
            del self._pinned[next(iter(self._pinned))]
        self._pinned[pinned.udn] = pinned
        self.on_change(False)

    def pinned(self) -> tuple[PinnedGateway, ...]:
        """The gateways to look for, the last seen first."""
        return tuple(reversed(self._pinned.values()))

    # -- on disk -------------------------------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Forget what has surely run out."""
        for udn, page in tuple(self._pages.items()):
            page.entries = {key: entry for key, entry in page.entries.items() if not entry.has_run_out(now)}
            page.pinholes = {key: hole for key, hole in page.pinholes.items() if hole.expires > now}
            if page.empty:
                del self._pages[udn]

    def encode(self, now: float) -> bytes:
        """The octets to keep, fewer than :data:`txigd.limits.STATE_OCTETS`; what has run out is left out."""
        self.expire(now)
        pages = journal_format.Pages(
            gateways=[(udn, list(p.entries.values()), list(p.pinholes.values())) for udn, p in self._pages.items()],
            pinned=list(self._pinned.values()),
            ports=[KeptPort(*wanted, port) for wanted, port in self._ports.items()],
        )
        return journal_format.write(pages, boot=self.boot, now=now)

    @classmethod
    def decode(cls, octets: bytes, *, boot: str = "", now: float) -> Journal:
        """Read what :meth:`encode` wrote; of anything else comes an empty journal that says why in ``damage``."""
        try:
            pages = journal_format.read(octets, boot=boot, now=now)
        except JournalDamaged as error:
            return cls(boot, damage=plain(str(error), 200) or "unreadable")
        journal = cls(boot)
        for udn, entries, pinholes in pages.gateways[-JOURNAL_GATEWAYS:]:
            page = journal._pages[udn] = _Page()
            page.entries = {entry.target: entry for entry in entries[-JOURNAL_ENTRIES:]}
            page.pinholes = {hole.place: hole for hole in pinholes[-JOURNAL_PINHOLES:]}
        journal._pinned = {gateway.udn: gateway for gateway in pages.pinned[-JOURNAL_GATEWAYS:]}
        journal._ports = {port.wanted: port.external_port for port in pages.ports[-JOURNAL_PORTS:]}
        journal.expire(now)
        return journal

    # -- inside --------------------------------------------------------------------------------------------------------
    def _page(self, udn: str) -> _Page:
        """The gateway's page, as the most recently used; made if need be."""
        udn = _udn(udn)
        page = self._pages.pop(udn, None)
        if page is None:
            page = _Page()
            if len(self._pages) >= JOURNAL_GATEWAYS:
                del self._pages[self._least_page()]
        self._pages[udn] = page
        return page

    def _least_page(self) -> str:
        """The oldest page, before all one whose entries run out by themselves."""
        for udn, page in self._pages.items():
            if all(entry.expires is not None for entry in page.entries.values()):
                return udn
        return next(iter(self._pages))

    @staticmethod
    def _put(page: _Page, pinhole: JournalPinhole) -> None:
        page.pinholes.pop(pinhole.place, None)
        if len(page.pinholes) >= JOURNAL_PINHOLES:
            del page.pinholes[next(iter(page.pinholes))]
        page.pinholes[pinhole.place] = pinhole

    @staticmethod
    def _drop(page: _Page, slot: Slot) -> bool:
        gone = [key for key, entry in page.entries.items() if entry.slot == slot]
        for key in gone:
            del page.entries[key]
        return bool(gone)

    def _changed(self, udn: str, page: _Page) -> None:
        if page.empty:
            self._pages.pop(_udn(udn), None)
        self.on_change(False)


def _udn(udn: str) -> str:
    return plain(udn, USN_OCTETS)


def _least(entries: dict[tuple[Slot, str, int], JournalEntry]) -> tuple[Slot, str, int]:
    """The oldest entry, before all one that runs out by itself: nobody else deletes a permanent one (Q117)."""
    for key, entry in entries.items():
        if entry.expires is not None:
            return key
    return next(iter(entries))
