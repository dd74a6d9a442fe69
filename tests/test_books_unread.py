"""What an earlier run left on a gateway whose table cannot be read: nothing is deleted that was not seen to be ours."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import US, MemoryGateway, MemoryLAN, reply
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.lease_facts import Added, Fact
from txigd.igd.mapping import PortMapping, tag
from txigd.testing import Entry

HOST = "0a1b2c3d"
UDN = "uuid:1"
WEB = PortMapping("TCP", 8080, description="web")
TAG = tag(HOST, "web")
SPECIFIC = "GetSpecificPortMappingEntry"
WALK = "GetGenericPortMappingEntry"
LIST = "GetListOfPortMappings"


class UnreadTests(SynchronousTestCase):
    def world(self, version: int, *, lease: int = 3600) -> None:
        """We made an entry, and were killed; it is still there."""
        self.clock = Clock()
        self.router = MemoryGateway(self.clock, version=version)
        self.lan = MemoryLAN(self.clock, self.router)
        self.books = Books(Journal(), self.clock.seconds)
        self.connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US, udn=UDN)
        self.record(lease)
        self.router.state.table.put(Entry("TCP", 8080, str(US), 8080, "", TAG))

    def record(self, lease: int, wanted: PortMapping = WEB) -> None:
        entry = JournalEntry.of(wanted, wanted.wanted_port, client=US, description=TAG)
        self.books.adding(UDN, entry, lease)
        self.books.learned(UDN, entry, Added(), lease)

    def neighbour(self) -> None:
        """The router lost its table, and a neighbour took the port."""
        self.router.state.table.clear()
        self.router.foreign(8080)

    def fails(self, how: object, *actions: str) -> None:
        for action in actions:
            if how == "unavailable":
                self.router.answers[action] = lambda _: reply(503)
            else:
                self.router.faults[action] = how

    def settle(self, *wanted: PortMapping) -> bool:
        settling = self.books.settle(self.connection, wanted, client=US, host_id=HOST)
        return self.successResultOf(Deferred.fromCoroutine(settling))

    def clear(self, *wanted: PortMapping) -> bool:
        clearing = self.books.clear(self.connection, wanted, client=US, host_id=HOST)
        return self.successResultOf(Deferred.fromCoroutine(clearing))

    def left(self) -> tuple[list[str], int]:
        """The clients in the table, and how much is on record."""
        return [entry.internal_client for entry in self.router.table], len(self.books.journal.entries(UDN))

    def test_F53_without_a_table_each_entry_is_read(self) -> None:
        for version in (1, 2):
            for code in (401, 602, 501, "html", "unavailable"):
                self.world(version)
                self.fails(code, WALK, LIST)
                self.assertTrue(self.settle())
                self.assertEqual(self.left(), ([], 0), code)
                self.world(version)
                self.neighbour()
                self.fails(code, WALK, LIST)
                self.assertTrue(self.settle())
                self.assertEqual(self.left(), (["192.168.1.99"], 0), code)

    def test_F53_what_cannot_be_read_now_stays_on_record_until_it_can(self) -> None:
        for lease in (0, 3600):
            for code in (501, "html", "unavailable", "refuse"):
                self.world(2, lease=lease)
                self.neighbour()
                self.fails(code, WALK, LIST, SPECIFIC)
                self.assertFalse(self.settle())
                self.assertEqual(self.left(), (["192.168.1.99"], 1), code)
                self.router.faults.clear()
                self.router.answers.clear()
                self.assertTrue(self.settle())
                self.assertEqual(self.left(), (["192.168.1.99"], 0), code)

    def test_F35_F53_what_nobody_can_read_runs_out_by_itself(self) -> None:
        self.world(2)
        self.fails(401, WALK, LIST, SPECIFIC)
        self.assertTrue(self.settle())
        self.assertEqual(self.left(), ([str(US)], 1))
        self.assertEqual(self.lan.count("DeletePortMapping"), 0)
        self.clock.advance(4000)
        self.assertTrue(self.settle())
        self.assertEqual(len(self.books.journal.entries(UDN)), 0)

    def test_F33_F35_what_never_would_is_deleted_on_our_word(self) -> None:
        for clear in (False, True):
            self.world(2, lease=0)
            self.fails(401, WALK, LIST, SPECIFIC)
            self.assertTrue(self.clear() if clear else self.settle())
            self.assertEqual(self.left(), ([], 0))

    def test_F53_what_is_wanted_stays(self) -> None:
        for code in (401, 501):
            self.world(2)
            self.fails(code, WALK, LIST)
            self.assertTrue(self.settle(WEB))
            self.assertEqual(self.left(), ([str(US)], 1))

    def test_F53_silence_in_the_middle_of_it(self) -> None:
        self.world(2)
        self.fails("refuse", SPECIFIC)
        self.assertFalse(self.settle())
        self.assertEqual(self.left(), ([str(US)], 1))

    def test_a_deletion_that_fails_is_tried_again(self) -> None:
        for code in (501, "refuse"):
            self.world(2)
            self.fails(code, "DeletePortMapping")
            self.assertFalse(self.settle())
            self.assertEqual(self.left(), ([str(US)], 1))
            self.router.faults.clear()
            self.assertTrue(self.settle())
            self.assertEqual(self.left(), ([], 0))

    def test_what_was_written_down_meanwhile_is_not_touched(self) -> None:
        self.world(1)
        self.fails(401, WALK)
        look = self.connection.look
        seen: Deferred[None] = Deferred()

        async def late(protocol: str, port: int, remote_host: str = "") -> Fact:
            fact = await look(protocol, port, remote_host)
            await seen
            return fact

        self.patch(self.connection, "look", late)
        settling = Deferred.fromCoroutine(self.books.settle(self.connection, (), client=US, host_id=HOST))
        self.record(3600)
        seen.callback(None)
        self.assertTrue(self.successResultOf(settling))
        self.assertEqual(self.left(), ([str(US)], 1))

    def test_what_is_left_is_looked_for_but_for_what_is_wanted(self) -> None:
        self.world(2)
        other = PortMapping("TCP", 9000, description="web")
        self.record(3600, other)
        self.router.state.table.put(Entry("TCP", 9000, str(US), 9000, "", TAG))
        self.assertTrue(self.clear(WEB))
        self.assertEqual([entry.external_port for entry in self.router.table], [8080])
        self.assertEqual([record.external_port for record in self.books.journal.entries(UDN)], [8080])
