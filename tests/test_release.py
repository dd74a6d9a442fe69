"""A release that meets trouble: it is finished all the same, at once or when the gateway is there again."""

from __future__ import annotations

import ipaddress

from tests.memory_lan import US, reply
from tests.test_control_point import ControlPointTestCase
from tests.test_mappings import MappingsTestCase
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.lease_facts import Added, MappingState
from txigd.igd.mapping import PortMapping, tag
from txigd.limits import FAREWELL_SECONDS, RETRY_CEILING_SECONDS
from txigd.steady import boot_time
from txigd.testing import Entry

WEB = PortMapping("TCP", 8080, description="web")
SPECIFIC = "GetSpecificPortMappingEntry"


class ReleaseTests(ControlPointTestCase):
    def held(self) -> HeldMapping:
        held = self.point.mappings.hold(WEB)
        self.found()
        self.clock.pump([0.1] * 10)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        return held

    def left(self) -> list[int]:
        return [entry.external_port for entry in self.router.table]

    def test_F16_the_default_route_moves_while_it_is_released(self) -> None:
        held = self.held()
        self.router.faults[SPECIFIC] = "hang"
        gone = held.release()
        self.wait(1)
        self.assertNoResult(gone)
        self.router.faults.clear()
        self.point.mappings.part("another gateway took over")
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(gone)
        self.assertEqual((held.status.state, self.left()), (MappingState.RELEASED, []))

    def test_F16_and_the_gateway_says_nothing_more(self) -> None:
        held = self.held()
        self.router.faults["*"] = "hang"
        gone = held.release()
        self.wait(1)
        self.point.mappings.part("another gateway took over")
        self.wait(FAREWELL_SECONDS + 1)
        self.successResultOf(gone)
        self.assertEqual((held.status.state, self.left()), (MappingState.RELEASED, [8080]))
        self.router.faults.clear()
        stopped = self.point.stop()
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(self.left(), [])

    def test_F03_the_gateway_is_described_again_while_it_is_released(self) -> None:
        held = self.held()
        kept = self.point.mappings.hold(PortMapping("TCP", 9090, description="kept"))
        self.wait(1)
        self.router.faults["*"] = "hang"
        gone = held.release()
        self.wait(1)
        device = next(iter(self.point.devices))
        self.point.device_gone(device)
        self.successResultOf(gone)
        self.router.faults.clear()
        self.assertEqual(self.left(), [8080, 9090])
        self.point.device_appeared(device)
        self.wait(2)
        self.assertEqual((self.left(), kept.status.state), ([9090], MappingState.ACTIVE))

    def test_F33_released_while_the_gateway_is_gone(self) -> None:
        held = self.held()
        device = next(iter(self.point.devices))
        self.point.device_gone(device)
        self.successResultOf(held.release())
        self.assertEqual(self.left(), [8080])
        self.point.device_appeared(device)
        self.wait(2)
        self.assertEqual(self.left(), [])

    def test_F51_it_is_finished_at_the_stop_at_the_latest(self) -> None:
        held = self.held()
        self.router.faults["*"] = "refuse"
        gone = held.release()
        self.wait(20)
        self.successResultOf(gone)
        self.router.faults.clear()
        self.assertEqual(self.left(), [8080])
        stopped = self.point.stop()
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(self.left(), [])


class UnfitTests(MappingsTestCase):
    def test_F16_it_is_over_when_the_gateway_is_reached_over_IPv6_meanwhile(self) -> None:
        self.mappings.attach(self.connection)
        held = self.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "hang"
        gone = held.release()
        self.wait(1)
        self.assertNoResult(gone)
        self.mappings.attach(self.connect(self.router, ipaddress.IPv6Address("2001:db8::7")))
        self.successResultOf(gone)
        self.router.faults.clear()
        self.wait(1)
        self.assertEqual((held.status.state, len(self.mappings)), (MappingState.RELEASED, 0))
        again = self.mappings.hold(WEB)
        self.mappings.attach(self.connection)
        self.assertEqual(self.successResultOf(again.when_active()).state, MappingState.ACTIVE)
        self.successResultOf(self.mappings.stop())
        self.nothing_left()


class SettleTests(ControlPointTestCase):
    """After a kill, on a router that answers nothing but nonsense at first."""

    def test_F53_what_could_not_be_settled_is_settled_later(self) -> None:
        journal = Journal()
        self.point = self.make(journal=journal)
        description = tag(self.point._host_id, "web")
        entry = JournalEntry.of(WEB, 8080, client=US, description=description)
        journal.will_add(self.router.udn, entry, lease_seconds=3600, now=boot_time())
        journal.learn(self.router.udn, entry, Added(), lease_seconds=3600, now=boot_time())
        self.router.state.table.put(Entry("TCP", 8080, str(US), 8080, "", description))
        for action in (SPECIFIC, "GetGenericPortMappingEntry", "GetListOfPortMappings"):
            self.router.answers[action] = lambda _: reply(503)
        self.found()
        self.clock.pump([0.5] * 10)
        self.assertEqual([one.external_port for one in self.router.table], [8080])
        self.router.answers.clear()
        self.clock.pump([5.0] * round(RETRY_CEILING_SECONDS / 5 + 2))
        self.assertEqual((self.router.table, journal.entries(self.router.udn)), ([], ()))
        stopped = self.point.stop()
        self.clock.pump([0.5] * 10)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
