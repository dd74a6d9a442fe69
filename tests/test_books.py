"""What an earlier run left behind, settled with a gateway that does not let go of everything."""

from __future__ import annotations

import ipaddress

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

HOST = "0a1b2c3d"
FORMER = ipaddress.IPv4Address("192.168.1.66")
TAG = tag(HOST, "web")


class LeftoverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock)
        self.lan = MemoryLAN(self.clock, self.router)
        self.books = Books(Journal(), self.clock.seconds)
        self.connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US, udn="uuid:1")
        entry = JournalEntry.of(PortMapping("TCP", 8080), 8080, client=FORMER, description=TAG)
        self.books.adding("uuid:1", entry, 0)
        self.books.learned("uuid:1", entry, Added())
        self.router.foreign(8080, str(FORMER), TAG)

    def settle(self) -> None:
        done = Deferred.fromCoroutine(self.books.settle(self.connection, [], client=US, host_id=HOST))
        self.successResultOf(done)

    def test_F14_of_our_former_address_it_is_removed(self) -> None:
        self.settle()
        self.assertEqual((self.router.table, self.books.journal.entries("uuid:1")), ([], ()))

    def test_F14_what_the_gateway_keeps_stays_on_record(self) -> None:
        self.router.faults["DeletePortMapping"] = 606
        self.settle()
        self.assertEqual(len(self.books.journal.entries("uuid:1")), 1)
        self.router.faults.clear()
        self.settle()
        self.assertEqual((self.router.table, self.books.journal.entries("uuid:1")), ([], ()))
