"""A lost answer, then 718, and nothing can be read: ours or another's? Nothing is deleted, no second one is made."""

from __future__ import annotations

from collections.abc import Iterator

from tests.memory_lan import US, Asked, MemoryGateway, reply
from tests.test_control_point import ControlPointTestCase
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.limits import JOURNAL_SLACK_SECONDS, LEASE_CEILING_SECONDS, RETRY_CEILING_SECONDS
from txigd.upnp.control import soap

READS = ("GetSpecificPortMappingEntry", "GetGenericPortMappingEntry", "GetListOfPortMappings")
OURS, THEIRS = (8080, str(US)), (8080, "192.168.1.99")


class BlindGateway(MemoryGateway):
    """Shows no entries; its first answer to AddPortMapping is lost, and it never takes the same again (Q122)."""

    lost = False

    def answer(self, asked: Asked, body: bytes):
        if asked.name != "AddPortMapping" or asked.arguments["NewExternalPort"] != "8080":
            return super().answer(asked, body)
        taken = any(entry.external_port == 8080 for entry in self.table)
        answer = reply(500, soap.fault(718, "ConflictInMappingEntry")) if taken else super().answer(asked, body)
        if not self.lost:
            self.lost = True
            return None
        return answer


class InDoubtTests(ControlPointTestCase):
    def setUp(self) -> None:
        self.journal = Journal()
        self.options = {"journal": self.journal}
        super().setUp()

    def begin(self, wanted: PortMapping, *, version: int = 1, foreign: bool = False) -> HeldMapping:
        self.router = BlindGateway(self.clock, version=version)
        self.lan.gateways[:] = [self.router]
        self.router.faults.update(dict.fromkeys(READS, 401))
        if foreign:
            self.router.foreign(8080)
        self.found()
        held = self.point.mappings.hold(wanted)
        self.wait(40)
        return held

    def wishes(self) -> Iterator[PortMapping]:
        for lease in (0, 3600):
            for any_port in (False, True):
                yield PortMapping("TCP", 8080, any_port=any_port, lease_seconds=lease)

    def on_record(self) -> list[int]:
        return [entry.external_port for udn in self.journal.udns for entry in self.journal.entries(udn)]

    def test_F45_Q122_no_second_one_and_nothing_deleted(self) -> None:
        for foreign, entry in ((False, OURS), (True, THEIRS)):
            for wanted in self.wishes():
                for version in (1, 2):
                    self.setUp()
                    held = self.begin(wanted, version=version, foreign=foreign)
                    self.assertEqual(held.status.state, MappingState.REFUSED)
                    self.assertIn("718", held.status.reason)
                    self.assertIn("answer got lost", held.status.reason)
                    self.wait(2 * RETRY_CEILING_SECONDS, 5)
                    self.assertEqual((self.ports(), self.on_record()), ([entry], [8080]))
                    stopped = self.point.stop()
                    self.wait(8)
                    self.successResultOf(stopped)
                    self.assertEqual((self.ports(), self.on_record()), ([entry], [8080]), str(wanted))
                    self.assertEqual(self.lan.count("DeletePortMapping"), 0)

    def test_F45_F53_not_in_the_next_life_either(self) -> None:
        for wanted in self.wishes():
            self.setUp()
            self.begin(wanted)
            self.wait(RETRY_CEILING_SECONDS + 20, 5)
            self.point.stop()
            self.wait(8)
            octets = self.journal.encode(self.clock.seconds())
            self.journal = Journal.decode(octets, now=self.clock.seconds())
            self.point = self.make(journal=self.journal)
            self.found()
            held = self.point.mappings.hold(wanted)
            self.wait(40)
            self.assertEqual((held.status.state, self.ports()), (MappingState.REFUSED, [OURS]))
            self.assertEqual(self.on_record(), [8080])

    def test_F45_it_is_taken_over_as_soon_as_it_is_shown(self) -> None:
        for wanted in self.wishes():
            self.setUp()
            held = self.begin(wanted)
            self.router.faults.clear()
            self.wait(RETRY_CEILING_SECONDS + 20)
            self.assertEqual((held.status.state, held.external_port), (MappingState.ACTIVE, 8080), held.status.reason)
            self.point.stop()
            self.wait(8)
            self.assertEqual((self.ports(), self.on_record()), ([], []))

    def test_F31_what_outlives_the_lease_is_another_ones(self) -> None:
        for wanted in self.wishes():
            self.setUp()
            held = self.begin(wanted, foreign=True)
            over = (wanted.lease_seconds or LEASE_CEILING_SECONDS) + JOURNAL_SLACK_SECONDS + 2 * RETRY_CEILING_SECONDS
            before = self.point._books.now
            self.patch(self.point._books, "now", lambda over=over, before=before: before() + over)
            self.wait(2 * RETRY_CEILING_SECONDS, 5)
            if wanted.any_port:
                self.assertEqual(held.status.state, MappingState.UNVERIFIED)
                self.assertEqual(self.ports(), [THEIRS, (held.external_port, str(US))])
            else:
                self.assertEqual((held.status.state, self.on_record()), (MappingState.CONFLICT, []))
            self.assertEqual(self.lan.count("DeletePortMapping"), 0)
