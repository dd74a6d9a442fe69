"""The journal at work: written ahead of what is sent, corrected by what comes back, settled with the table."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from txigd import log
from txigd.errors import ActionError, ActionNotOffered, BadReply, ExchangeError, HTTPStatusError, TxigdError
from txigd.igd.connection import Connection
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry, slot_of
from txigd.igd.lease_facts import Fact
from txigd.igd.mapping import PortMapping, PortMappingEntry
from txigd.igd.port_table import NO_ENTRY
from txigd.igd.reconciliation import is_our_entry, reconcile
from txigd.steady import boot_time

_log = log.logger("txigd.mappings")


class Books:
    """One journal and the clock of its records.

    :param journal: kept by somebody who saves it; without one, what we did is remembered while we run.
    :param now: this host's boot clock, which does not depend on the wall clock (F19).
    :ivar kept: whether the journal outlives this process.
    :ivar now: the same clock.
    """

    def __init__(self, journal: Journal | None = None, now: Callable[[], float] = boot_time) -> None:
        self.kept = journal is not None
        self.journal = Journal() if journal is None else journal
        self.now = now

    def adding(self, udn: str, entry: JournalEntry, lease_seconds: int) -> None:
        """Write ahead: AddPortMapping for this entry is about to be sent."""
        self.journal.will_add(udn, entry, lease_seconds=lease_seconds, now=self.now())

    def learned(self, udn: str, entry: JournalEntry, fact: Fact, lease_seconds: int = 0) -> None:
        """What the gateway answered to a command about this entry."""
        self.journal.learn(udn, entry, fact, lease_seconds=lease_seconds, now=self.now())

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
    ) -> None:
        """Take over what an earlier run left on the gateway, and remove what nobody wants any more (F53).

        Nothing happens while the gateway does not answer: what it holds of ours is then still on record.
        """
        table: list[PortMappingEntry] | None = None
        complete = False
        before = self.journal.entries(connection.udn)
        try:
            table, complete = await connection.table()
        except (ActionError, ActionNotOffered, HTTPStatusError, BadReply):
            pass  # it offers no way to read its table: the record alone is believed
        except ExchangeError:
            return
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
        for entry in found.delete:
            await self._remove(connection, entry, check=table is not None)

    async def clear(self, connection: Connection, *, client: ipaddress.IPv4Address, host_id: str) -> None:
        """The end: what is still on record was not seen to be gone; each is looked at once more and removed (F51)."""
        for record in self.journal.entries(connection.udn):
            try:
                entry = await connection.entry(record.protocol, record.external_port, record.remote_host)
            except ActionError as error:
                if error.code in NO_ENTRY:
                    self.journal.deleted(connection.udn, record.slot)
            except TxigdError as error:
                _log.info("what may be left at {slot} cannot be read: {error}", slot=record.slot, error=str(error))
            else:
                if record.matches(entry) and is_our_entry(entry, [record], client=client, host_id=host_id):
                    await self._remove(connection, entry, check=False)

    async def _remove(self, connection: Connection, entry: PortMappingEntry, *, check: bool) -> None:
        try:
            if check:
                now = await connection.entry(entry.protocol, entry.external_port, entry.remote_host)
                if (now.internal_client, now.internal_port) != (entry.internal_client, entry.internal_port):
                    return  # it changed hands since
            await connection.delete(entry.protocol, entry.external_port, entry.remote_host)
        except ActionError as error:
            if error.code not in NO_ENTRY and (check or error.code != 402):
                # it is there: kept on record until it runs out (miniupnpd lets nobody delete for a former address)
                _log.info("the gateway keeps a leftover: {error}", error=str(error))
                return
        except TxigdError as error:
            _log.info("could not remove a leftover: {error}", error=str(error))
            return
        self.journal.deleted(connection.udn, slot_of(entry))
        _log.info(
            "removed {protocol} {port}, left over from an earlier run",
            protocol=entry.protocol,
            port=entry.external_port,
        )
