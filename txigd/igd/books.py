"""The journal at work: written ahead of what is sent, corrected by what comes back, settled with the table."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults

from txigd import log
from txigd.errors import ActionError, TxigdError
from txigd.igd.claims import Claims
from txigd.igd.connection import Connection
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry, Slot, slot_of
from txigd.igd.lease_facts import Fact, Failed, Found, Missing
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours
from txigd.igd.port_table import NO_ENTRY
from txigd.igd.read_back import REFUSED, SILENCE
from txigd.igd.reconciliation import as_entry, fits, is_on_record, is_our_entry, reconcile, with_address
from txigd.steady import boot_time

_log = log.logger("txigd.mappings")


class Books:
    """One journal and the clock of its records.

    :param journal: kept by somebody who saves it; without one, what we did is remembered while we run.
    :param now: this host's boot clock, which does not depend on the wall clock (F19).
    :ivar kept: whether the journal outlives this process.
    :ivar now: the same clock.
    :ivar claims: which of our mappings has which external port.
    """

    def __init__(self, journal: Journal | None = None, now: Callable[[], float] = boot_time) -> None:
        self.kept = journal is not None
        self.journal = Journal() if journal is None else journal
        self.now = now
        self.claims = Claims()

    def adding(self, udn: str, entry: JournalEntry, lease_seconds: int) -> None:
        """Write ahead: AddPortMapping for this entry is about to be sent."""
        self.journal.will_add(udn, entry, lease_seconds=lease_seconds, now=self.now())

    def learned(self, udn: str, entry: JournalEntry, fact: Fact, lease_seconds: int = 0, *, ours: bool = True) -> None:
        """What the gateway answered to a command about this entry; ``ours`` where one was read that is."""
        self.journal.learn(udn, entry, fact, lease_seconds=lease_seconds, ours=ours, now=self.now())

    def unanswered(self, udn: str, entry: JournalEntry) -> JournalEntry | None:
        """The record of an AddPortMapping for the same that had no answer, where nothing was read since (F45)."""
        return next((one for one in self._live(udn) if one.target == entry.target and not one.sure), None)

    def in_doubt(self, udn: str, record: JournalEntry) -> None:
        """The same was refused now, see :meth:`txigd.igd.journal.Journal.in_doubt`."""
        self.journal.in_doubt(udn, record, now=self.now())

    def made(self, udn: str, entry: PortMappingEntry, host_id: str) -> bool:
        """Whether the record says that we made an entry that was read."""
        return is_on_record(entry, self._live(udn), tagged=is_ours(entry.description, host_id))

    def with_address(self, udn: str, fact: Fact, host_id: str) -> Fact:
        """What was read, see :func:`txigd.igd.reconciliation.with_address`; the name that stood for us is kept."""
        if not isinstance(fact, Found):
            return fact
        entry = with_address(fact.entry, self._live(udn), host_id=host_id)
        if entry is not fact.entry:
            self.journal.named(udn, entry, fact.entry.internal_client)
        return Found(entry)

    def _live(self, udn: str) -> list[JournalEntry]:
        now = self.now()
        return [record for record in self.journal.entries(udn) if not record.has_run_out(now)]

    def seen(self, udn: str, location: str) -> None:
        """A gateway is in use."""
        self.journal.pin(udn, location, now=self.now())

    async def settle(
        self,
        connection: Connection,
        wanted: Iterable[PortMapping],
        *,
        client: ipaddress.IPv4Address,
        host_id: str,
    ) -> bool:
        """Take over what an earlier run left on the gateway, and remove what nobody wants any more (F53).

        Where its table cannot be read the record tells where to look. Nothing happens while the gateway does not
        answer: what it holds of ours is then still on record.

        :return: whether it is done; otherwise to be tried again later.
        """
        table: list[PortMappingEntry] | None = None
        complete = False
        before = self.journal.entries(connection.udn)
        try:
            table, complete = await connection.table()
        except SILENCE:
            return False
        except REFUSED as error:
            _log.debug("settling by the record alone: {error}", error=str(error))
        found = reconcile(
            self.journal,
            connection.udn,
            wanted,
            table,
            client=client,
            host_id=host_id,
            now=self.now(),
            complete=complete,
        )
        for adoption in found.adopt:
            self.journal.keep_port(adoption.wanted, adoption.entry.external_port)
        for record in found.forget:
            # what was written down while the table was read may have come too late for the reading
            if any(record is one for one in before):
                self.journal.deleted(connection.udn, record.slot)
        done = True
        for entry in found.delete:
            done = await self._remove(connection, slot_of(entry), before, client=client, host_id=host_id) and done
        return done

    async def clear(
        self,
        connection: Connection,
        wanted: Iterable[PortMapping] = (),
        *,
        client: ipaddress.IPv4Address,
        host_id: str,
    ) -> bool:
        """Remove what is still on record and not wanted: it was not seen to go (F51).

        :return: whether it is done.
        """
        keep, before = tuple(wanted), self.journal.entries(connection.udn)
        left = [record.slot for record in before if not any(fits(one, as_entry(record), client) for one in keep)]
        removals: list[Deferred[Any]] = [
            Deferred.fromCoroutine(self._remove(connection, slot, before, client=client, host_id=host_id))
            for slot in dict.fromkeys(left)
        ]
        try:
            return all(await gatherResults(removals, consumeErrors=True))
        except FirstError as error:
            error.subFailure.raiseException()

    async def _remove(
        self,
        connection: Connection,
        slot: Slot,
        before: tuple[JournalEntry, ...],
        *,
        client: ipaddress.IPv4Address,
        host_id: str,
    ) -> bool:
        """Look at a place, and delete what is ours there; whether there is no more to do.

        What nobody can read (F35) runs out with its lease; only a permanent one is deleted on the word of the record:
        it would stay for ever.
        """
        fact = await connection.look(*slot)
        records = [record for record in self.journal.entries(connection.udn) if record.slot == slot]
        if any(all(record is not one for one in before) for record in records):
            return True  # wanted since
        if isinstance(fact, Failed):
            _log.info("what may be left at {slot} cannot be read now: {error}", slot=slot, error=fact.text)
            return False
        if isinstance(fact, Missing):
            self.journal.deleted(connection.udn, slot)
            return True
        fact = self.with_address(connection.udn, fact, host_id)
        if isinstance(fact, Found):
            ours = is_our_entry(fact.entry, records, client=client, host_id=host_id)
            self.journal.found(connection.udn, fact.entry, ours=ours, now=self.now())
        else:
            ours = any(record.expires is None and record.internal_client == str(client) for record in records)
        return await self._delete(connection, slot, seen=isinstance(fact, Found)) if ours else True

    async def _delete(self, connection: Connection, slot: Slot, *, seen: bool) -> bool:
        protocol, port, remote_host = slot
        try:
            await connection.delete(protocol, port, remote_host)
        except TxigdError as error:
            code = error.code if isinstance(error, ActionError) else 0
            if code not in NO_ENTRY and (seen or code != 402):  # Q135
                # it is there: kept on record until it runs out (miniupnpd lets nobody delete for a former address)
                _log.info("the gateway keeps a leftover: {error}", error=str(error))
                return code == 606
        self.journal.deleted(connection.udn, slot)
        _log.info("removed {protocol} {port}, left over from earlier", protocol=protocol, port=port)
        return True
