"""A mapping that is made while an earlier run is being settled stays on record."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import US, MemoryGateway, MemoryLAN
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.lease_facts import Added
from txigd.igd.mapping import PortMapping, tag

WEB = PortMapping("TCP", 8080, description="web")


class RaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        router = MemoryGateway(clock)
        self.connection = Connection(MemoryLAN(clock, router).proxy(router, "WANIPConnection"), US, udn="uuid:1")
        self.books = Books(Journal(), clock.seconds)
        self.entry = JournalEntry.of(WEB, 8080, client=US, description=tag("0a1b2c3d", "web"))

    def settle(self, meanwhile) -> None:
        """Something happens between the listing of an empty table and its arrival."""
        listed: Deferred[tuple[list, bool]] = Deferred()
        self.patch(self.connection, "table", lambda: listed)
        done = Deferred.fromCoroutine(self.books.settle(self.connection, [WEB], client=US, host_id="0a1b2c3d"))
        meanwhile()
        listed.callback(([], True))
        self.successResultOf(done)

    def add(self) -> None:
        self.books.adding("uuid:1", self.entry, 0)
        self.books.learned("uuid:1", self.entry, Added(), 0)

    def test_F53_what_was_added_meanwhile_stays_on_record(self) -> None:
        self.settle(self.add)
        self.assertEqual(len(self.books.journal.entries("uuid:1")), 1)

    def test_F53_and_what_was_added_again(self) -> None:
        self.add()
        self.settle(self.add)
        self.assertEqual(len(self.books.journal.entries("uuid:1")), 1)

    def test_F53_what_is_gone_is_forgotten(self) -> None:
        self.add()
        self.settle(lambda: None)
        self.assertEqual(self.books.journal.entries("uuid:1"), ())
