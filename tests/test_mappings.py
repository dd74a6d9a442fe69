"""Held mappings: the drivers of the lease machine, and the set that comes and goes with a gateway."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.memory_lan import US, MemoryGateway, MemoryLAN
from txigd.errors import InvalidArgument, MappingConflict, MappingRefused, MappingReleased, WaitTimeout
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import MappingState, MappingStatus
from txigd.igd.mapping import PortMapping, tag
from txigd.igd.mappings import Mappings
from txigd.interfaces import IMappingObserver
from txigd.limits import (
    FAREWELL_SECONDS,
    HTTP_TOTAL_SECONDS,
    LOOK_APART_SECONDS,
    MAPPINGS,
    RENEWAL_DUE_SECONDS,
    RETRY_FIRST_SECONDS,
    VERIFY_SECONDS,
)

HOST = "0a1b2c3d"
WEB = PortMapping("TCP", 8080, description="web")


@implementer(IMappingObserver)
class Observer:
    """Keeps what it hears, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[tuple[HeldMapping, str, str]] = []
        self.error = error

    def mapping_changed(self, held: HeldMapping, old: MappingStatus, new: MappingStatus) -> None:
        self.heard.append((held, old.state.value, new.state.value))
        if self.error is not None:
            raise self.error


class MappingsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock)
        self.lan = MemoryLAN(self.clock, self.router)
        self.mappings = self.make()
        self.connection = self.connect(self.router)

    def make(self) -> Mappings:
        return Mappings(self.clock, HOST, random=Random(1))

    def connect(self, router: MemoryGateway, local=US, udn: str = "") -> Connection:
        return Connection(self.lan.proxy(router, "WANIPConnection"), local, udn=udn)

    def state(self, held: HeldMapping) -> MappingState:
        self.clock.advance(0)
        return held.status.state

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.5] * round(seconds * 2))

    def ports(self, router: MemoryGateway | None = None) -> list[tuple[int, str]]:
        return [(entry.external_port, entry.internal_client) for entry in (router or self.router).table]

    def nothing_left(self) -> None:
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lan.open, set())


class HoldTests(MappingsTestCase):
    def test_F60_a_fault_of_our_own_is_logged_and_the_next_opening_begins_anew(self) -> None:
        held = self.mappings.hold(WEB)
        with patch.object(Lease, "next", side_effect=ZeroDivisionError):
            self.mappings.attach(self.connection)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.mappings.attach(self.connection)
        self.wait(1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_held_added_read_back_and_released(self) -> None:
        self.mappings.attach(self.connection)
        held = self.mappings.hold(WEB)
        active = self.successResultOf(held.when_active())
        self.assertEqual((active.state, active.external_port), (MappingState.ACTIVE, 8080))
        self.assertEqual(held.external_port, 8080)
        (entry,) = self.router.table
        self.assertEqual((entry.internal_client, entry.description), (str(US), tag(HOST, "web")))
        self.assertEqual(
            self.lan.names(), ["GetSpecificPortMappingEntry", "AddPortMapping", "GetSpecificPortMappingEntry"]
        )
        self.successResultOf(held.release())
        self.assertEqual(self.router.table, [])
        self.nothing_left()
        self.assertEqual((len(self.mappings), held.external_port), (0, 0))

    def test_held_before_there_is_a_gateway(self) -> None:
        held = self.mappings.hold(WEB)
        waiting = held.when_active()
        self.clock.advance(60)
        self.assertNoResult(waiting)
        self.assertEqual(held.status.state, MappingState.WAITING)
        self.mappings.attach(self.connection)
        self.clock.advance(0)
        self.successResultOf(waiting)

    def test_twice_is_once(self) -> None:
        held = self.mappings.hold(WEB)
        self.assertIs(self.mappings.hold(PortMapping("tcp", 8080, description="web")), held)
        self.assertEqual(len(self.mappings), 1)
        self.assertEqual(list(self.mappings), [held])

    def test_another_on_the_same_external_port(self) -> None:
        self.mappings.hold(WEB)
        self.assertRaises(InvalidArgument, self.mappings.hold, PortMapping("TCP", 80, 8080))
        self.mappings.hold(PortMapping("UDP", 80, 8080))
        self.mappings.hold(PortMapping("TCP", 80, 8080, remote_host=ipaddress.IPv4Address("11.1.1.1")))

    def test_D6_sixteen_at_most(self) -> None:
        for port in range(MAPPINGS):
            self.mappings.hold(PortMapping("TCP", 1000 + port))
        self.assertEqual(MAPPINGS, 16)
        self.assertRaises(InvalidArgument, self.mappings.hold, PortMapping("TCP", 2000))
        self.mappings.hold(PortMapping("TCP", 1000))
        self.successResultOf(next(iter(self.mappings)).release())
        self.clock.advance(0)
        self.mappings.hold(PortMapping("TCP", 2000))

    def test_held_again_while_it_is_being_released(self) -> None:
        self.mappings.attach(self.connection)
        held = self.mappings.hold(WEB)
        self.clock.advance(0)
        self.router.faults["DeletePortMapping"] = "hang"
        gone = held.release()
        again = self.mappings.hold(WEB)
        self.assertIsNot(again, held)
        self.assertEqual(len(self.mappings), 1)
        self.lan.asked.clear()
        self.clock.advance(1)
        self.assertEqual(self.lan.asked, [], "the new one waits for the end of the old one")
        self.assertNoResult(gone)
        self.router.faults.clear()
        self.clock.pump([HTTP_TOTAL_SECONDS, RETRY_FIRST_SECONDS, 0])
        self.successResultOf(gone)
        self.successResultOf(again.when_active())
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(list(self.mappings), [again])

    def test_held_again_in_the_turn_of_the_release(self) -> None:
        self.mappings.attach(self.connection)
        held = self.mappings.hold(WEB)
        held.release()
        again = self.mappings.hold(WEB)
        self.successResultOf(again.when_active())
        self.clock.advance(0)
        self.assertEqual(list(self.mappings), [again])

    def test_another_host_of_the_lan(self) -> None:
        self.mappings.attach(self.connection)
        other = ipaddress.IPv4Address("192.168.1.50")
        self.mappings.hold(PortMapping("TCP", 80, internal_client=other))
        self.assertEqual(self.ports(), [(80, str(other))])
        self.mappings.attach(self.connection)
        self.wait(2)
        self.assertEqual(self.lan.count("AddPortMapping"), 1, "attached again, nothing to add")

    def test_Q139_no_mapping_where_the_gateway_is_reached_over_IPv6(self) -> None:
        held = self.mappings.hold(WEB)
        self.mappings.attach(self.connect(self.router, ipaddress.IPv6Address("fe80::7")))
        self.failureResultOf(held.when_active(), MappingRefused)
        self.assertEqual(self.lan.asked, [])
        self.mappings.attach(self.connection)
        self.successResultOf(held.when_active())
        self.mappings.attach(self.connect(self.router, ipaddress.IPv6Address("fe80::7")))
        self.lan.asked.clear()
        self.wait(2 * VERIFY_SECONDS)
        self.assertEqual(self.lan.asked, [])


class WhenActiveTests(MappingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)

    def test_F31_a_conflict_fails_the_wait_and_stays_wanted(self) -> None:
        self.router.foreign(8080)
        held = self.mappings.hold(WEB)
        error = self.failureResultOf(held.when_active(), MappingConflict).value
        self.assertIn("192.168.1.99", str(error))
        self.assertEqual(self.lan.count("DeletePortMapping"), 0)
        self.router.state.table.clear()
        self.wait(301)
        self.successResultOf(held.when_active())

    def test_F31_another_port_will_do(self) -> None:
        self.router.foreign(8080)
        held = self.mappings.hold(PortMapping("TCP", 8080, any_port=True))
        port = self.successResultOf(held.when_active()).external_port
        self.assertEqual(port, 8081)  # the gateway picks
        self.assertIn((port, str(US)), self.ports())
        self.assertIn((8080, "192.168.1.99"), self.ports())

    def test_F31_another_port_of_our_own_choice_where_the_gateway_picks_none(self) -> None:
        self.router.foreign(8080)
        self.router.faults["AddAnyPortMapping"] = 401
        held = self.mappings.hold(PortMapping("TCP", 8080, any_port=True))
        port = self.successResultOf(held.when_active()).external_port
        self.assertGreaterEqual(port, 49152)
        self.assertIn((port, str(US)), self.ports())

    def test_F30_a_full_table_is_a_refusal_and_tried_again(self) -> None:
        self.router.faults["AddPortMapping"] = 728
        held = self.mappings.hold(WEB)
        self.assertIn("728", str(self.failureResultOf(held.when_active(), MappingRefused).value))
        self.router.faults.clear()
        self.wait(301)
        self.successResultOf(held.when_active())

    def test_F37_501_passes(self) -> None:
        self.router.faults["AddPortMapping"] = 501
        held = self.mappings.hold(WEB)
        self.failureResultOf(held.when_active(), MappingRefused)
        self.router.faults.clear()
        self.wait(2)
        self.successResultOf(held.when_active())

    def test_released_first(self) -> None:
        self.router.faults["*"] = "hang"
        held = self.mappings.hold(WEB)
        waiting = held.when_active()
        held.leave()
        self.clock.advance(0)
        self.failureResultOf(waiting, MappingReleased)
        self.failureResultOf(held.when_active(), MappingReleased)
        self.nothing_left()

    def test_a_fresh_one_for_each_caller_cancellable_and_with_a_time_limit(self) -> None:
        self.router.faults["*"] = "hang"
        held = self.mappings.hold(WEB)
        one, other, short = held.when_active(), held.when_active(), held.when_active(timeout=3)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.clock.advance(3)
        self.failureResultOf(short, WaitTimeout)
        self.assertNoResult(other)
        self.router.faults.clear()
        self.wait(20)
        self.successResultOf(other)


class ObserverTests(MappingsTestCase):
    def test_every_change_of_every_mapping_one_that_raises_changes_nothing(self) -> None:
        bad, good = Observer(ZeroDivisionError()), Observer()
        self.mappings.observe(bad)
        self.mappings.observe(good)
        self.mappings.observe(good)
        held = self.mappings.hold(WEB)
        self.mappings.attach(self.connection)
        self.clock.advance(0)
        self.assertEqual(good.heard, [(held, "waiting", "adding"), (held, "adding", "active")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.mappings.forget(good)
        self.mappings.forget(good)
        self.successResultOf(held.release())
        self.clock.advance(0)
        self.assertEqual(len(good.heard), 2)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_hold_again_from_the_observer_that_hears_of_the_release(self) -> None:
        mappings = self.mappings
        again: list[HeldMapping] = []

        @implementer(IMappingObserver)
        class Holder:
            def mapping_changed(self, held: HeldMapping, old: MappingStatus, new: MappingStatus) -> None:
                if new.state is MappingState.RELEASED and not again:
                    again.append(mappings.hold(WEB))

        mappings.attach(self.connection)
        mappings.observe(Holder())
        held = mappings.hold(WEB)
        held.release()
        self.clock.advance(0)
        self.assertEqual(list(mappings), again)
        self.successResultOf(again[0].when_active())


class KeepTests(MappingsTestCase):
    """What comes between."""

    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)
        self.held = self.mappings.hold(WEB)
        self.clock.advance(0)
        self.lan.asked.clear()

    def test_Q134_removed_in_silence_is_added_again(self) -> None:
        self.router.state.table.clear()
        self.wait(VERIFY_SECONDS + 1)
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_F46_what_is_asked_is_due_before_its_lease_ends(self) -> None:
        proxy, asked = self.connection.proxy, []
        call = proxy.call

        def note(action: str, /, *, due: float | None = None, **more: Any) -> Any:
            left = None if due is None else round(due - self.clock.seconds())
            asked.append((more["NewExternalPort"], action[:3], left))
            return call(action, due=due, **more)

        self.patch(proxy, "call", note)
        short = self.mappings.hold(PortMapping("TCP", 8081, lease_seconds=40))
        self.wait(25)
        steps = [(action, left) for port, action, left in asked if port == 8081]
        self.assertEqual(steps[:3], [("Get", None), ("Add", None), ("Get", None)])
        looks, (add, read_back) = steps[3:-2], steps[-2:]
        self.assertEqual((add[0], read_back), ("Add", ("Get", RENEWAL_DUE_SECONDS)))
        self.assertIn(add[1], range(15, 25), "half a lease")
        self.assertIn(("Get", add[1]), looks)
        self.successResultOf(short.release())
        asked.clear()
        self.wait(VERIFY_SECONDS)
        self.assertEqual(set(asked), {(8080, "Get", VERIFY_SECONDS)})

    def test_F46_calls_that_fail_now_and_then_are_no_news(self) -> None:
        observer = Observer()
        self.mappings.observe(observer)
        for fault, seconds in (("hang", HTTP_TOTAL_SECONDS), ("refuse", 1), ("hang", HTTP_TOTAL_SECONDS)):
            self.router.faults["*"] = fault
            self.mappings.recheck()
            self.wait(seconds)
            self.assertEqual(self.held.external_port, 8080)
            self.assertNotEqual(self.held.status.reason, "")
            self.router.faults.clear()
            self.wait(3)
            self.assertEqual((self.held.status.state, self.held.status.reason), (MappingState.ACTIVE, ""))
        self.assertEqual(observer.heard, [])

    def test_F39_a_recheck_of_what_survived_reads_only(self) -> None:
        self.mappings.recheck()
        self.assertEqual(self.lan.names(), ["GetSpecificPortMappingEntry"])

    def test_a_week_of_renewals(self) -> None:
        for _ in range(7 * 24):
            self.clock.pump([60] * 60)
            self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(self.held.status.state, MappingState.ACTIVE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_F01_Q142_a_restart_adds_it_again_at_once(self) -> None:
        self.router.state.table.clear()
        self.mappings.attach(self.connection)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_a_gateway_that_goes_and_comes_back(self) -> None:
        self.mappings.detach("the gateway is gone")
        self.assertEqual(self.state(self.held), MappingState.LOST)
        self.assertIn("gone", self.held.status.reason)
        self.wait(300)
        self.assertEqual(self.lan.asked, [])
        self.router.state.table.clear()
        self.mappings.attach(self.connection)
        self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_it_goes_while_a_command_is_in_flight(self) -> None:
        self.router.faults["*"] = "hang"
        self.mappings.recheck()
        self.mappings.detach("gone")
        self.router.faults.clear()
        self.wait(HTTP_TOTAL_SECONDS + 1)
        self.assertEqual(self.state(self.held), MappingState.LOST)
        self.mappings.attach(self.connection)
        self.wait(5)
        self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_F14_Q141_our_address_changed_the_entry_follows(self) -> None:
        moved = ipaddress.IPv4Address("192.168.1.8")
        self.mappings.attach(self.connect(self.router, moved))
        self.wait(5)
        self.assertEqual(self.ports(), [(8080, str(moved))])
        self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_F20_another_gateway_at_the_same_place(self) -> None:
        self.router.state.table.clear()
        self.router.foreign(8080)
        self.mappings.attach(self.connect(self.router))
        self.assertEqual(self.state(self.held), MappingState.CONFLICT)
        self.assertEqual(self.ports(), [(8080, "192.168.1.99")])

    def test_F16_parting_deletes_there_and_begins_afresh_here(self) -> None:
        other = MemoryGateway(self.clock, "192.168.2.1")
        self.lan.gateways.append(other)
        self.mappings.part("another gateway took over")
        self.mappings.attach(self.connect(other, ipaddress.IPv4Address("192.168.2.7")))
        self.assertEqual(self.ports(), [])
        self.assertEqual(self.ports(other), [(8080, "192.168.2.7")])
        self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_F16_parting_from_a_gateway_that_hangs_holds_nothing_up(self) -> None:
        other = MemoryGateway(self.clock, "192.168.2.1")
        self.lan.gateways.append(other)
        self.router.faults["*"] = "hang"
        self.mappings.recheck()
        self.mappings.part("another gateway took over")
        self.mappings.attach(self.connect(other, udn="uuid:other"))
        self.assertEqual(self.ports(other), [(8080, str(US))])
        self.clock.advance(FAREWELL_SECONDS)
        self.assertEqual(self.lan.open, set())

    def test_F45_parting_in_the_middle_of_an_add_looks_before_it_deletes(self) -> None:
        self.router.state.table.clear()
        self.router.faults["AddPortMapping"] = "hang"
        self.mappings.recheck()
        self.router.state.table.clear()
        self.router.foreign(8080)
        self.router.faults.clear()
        self.mappings.part("another gateway took over")
        self.wait(2)
        self.assertEqual(self.lan.count("DeletePortMapping"), 0)
        self.assertEqual(self.ports(), [(8080, "192.168.1.99")])

    def test_F45_parting_in_the_middle_of_an_add_that_was_carried_out(self) -> None:
        (entry,) = self.router.table
        self.router.state.table.clear()
        self.router.faults["AddPortMapping"] = "hang"
        self.mappings.recheck()
        self.router.state.table.put(entry)
        self.mappings.part("another gateway took over")
        self.assertEqual(self.ports(), [])

    def test_html_for_a_while_leaves_nothing_behind(self) -> None:
        self.router.faults["*"] = "html"
        self.wait(VERIFY_SECONDS + 10)
        self.assertEqual(self.state(self.held), MappingState.LOST)
        self.router.faults.clear()
        self.wait(120)
        self.assertEqual(self.state(self.held), MappingState.ACTIVE, "not UNVERIFIED: it can be read again")

    def test_dead_for_a_while(self) -> None:
        for fault in ("hang", "refuse"):
            self.router.faults["*"] = fault
            self.wait(600)
            self.assertEqual(self.state(self.held), MappingState.LOST)
            self.router.faults.clear()
            self.router.state.table.clear()
            self.wait(400)
            self.assertEqual(self.state(self.held), MappingState.ACTIVE)

    def test_a_fault_of_our_own_is_logged_and_tried_again(self) -> None:
        self.patch(self.connection, "read_entry", lambda wanted, port, due: 1 // 0)
        self.mappings.recheck()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("a fault of our own", self.held.status.reason)
        del self.connection.read_entry
        self.wait(5)
        self.assertEqual((self.held.status.state, self.held.status.reason), (MappingState.ACTIVE, ""))


class ManyTests(MappingsTestCase):
    """Ten mappings on one gateway, and what happens to its table."""

    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)
        for port in range(9001, 9011):
            self.mappings.hold(PortMapping("TCP", port))
        self.wait(1)
        self.lan.asked.clear()

    def test_F02_they_are_looked_at_one_after_the_other(self) -> None:
        most = 0
        for _ in range(10 * int(VERIFY_SECONDS)):
            before = len(self.lan.asked)
            self.wait(1)
            most = max(most, len(self.lan.asked) - before)
        self.assertLessEqual(most, 2)
        looks = self.lan.count("GetSpecificPortMappingEntry")
        self.assertTrue(100 <= looks <= 115, looks)

    def test_F02_Q134_a_flushed_table_is_back_once_one_was_looked_at(self) -> None:
        gone = []
        for _ in range(20):
            self.wait(VERIFY_SECONDS + 7)
            self.router.state.table.clear()
            seconds = 0.0
            while len(self.ports()) < 10:
                self.wait(0.5)
                seconds += 0.5
            gone.append(seconds)
        self.assertLessEqual(max(gone), 2 * VERIFY_SECONDS / 10)
        self.assertLessEqual(sum(gone) / len(gone), VERIFY_SECONDS / 10)

    def test_F31_one_that_was_overwritten_makes_the_others_be_looked_at(self) -> None:
        self.router.state.table.clear()
        for port in range(9001, 9006):
            self.router.foreign(port)
        self.wait(2 * VERIFY_SECONDS / 10 + 1)
        states = [held.status.state for held in self.mappings]
        self.assertEqual(states, [MappingState.CONFLICT] * 5 + [MappingState.ACTIVE] * 5)

    def test_D6_an_entry_that_is_dropped_again_and_again_keeps_nobody_busy(self) -> None:
        for _ in range(3600):
            for entry in self.router.table:
                if entry.external_port == 9005:
                    self.router.state.table.delete("TCP", 9005, "")
            self.wait(1)
        of_others = [asked for asked in self.lan.asked if asked.arguments.get("NewExternalPort") not in (None, "9005")]
        rounds = 9 * 3600 / (VERIFY_SECONDS - LOOK_APART_SECONDS)
        self.assertLessEqual(len(of_others), rounds * 1.15 + 9 * 3, "their turns, a few rounds, and a renewal")


class TwoProgramsTests(MappingsTestCase):
    """Two programs of one host with one id, each with a record of its own (D5)."""

    def test_D5_they_do_not_fight_over_an_external_port(self) -> None:
        self.mappings.attach(self.connection)
        first = self.mappings.hold(PortMapping("TCP", 8080, 8080, "first"))
        self.wait(5)
        other = self.make()
        other.attach(self.connect(self.router))
        second = other.hold(PortMapping("TCP", 9090, 8080, "second"))
        third = other.hold(PortMapping("TCP", 9091, 8081, "third", any_port=True))
        self.wait(3600)
        self.assertEqual([entry.internal_port for entry in self.router.table if entry.external_port == 8080], [8080])
        self.assertEqual((self.state(first), self.state(second)), (MappingState.ACTIVE, MappingState.CONFLICT))
        self.assertEqual(self.state(third), MappingState.ACTIVE)
        self.assertLess(self.lan.count("AddPortMapping"), 10)


class ReleaseTests(MappingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)

    def test_while_a_command_is_in_flight(self) -> None:
        self.router.faults["AddPortMapping"] = "hang"
        held = self.mappings.hold(WEB)
        gone, also = held.release(), held.release()
        self.assertNoResult(gone)
        self.router.faults.clear()
        self.wait(HTTP_TOTAL_SECONDS + 1)
        self.successResultOf(gone)
        self.successResultOf(also)
        self.assertEqual(self.router.table, [])
        self.nothing_left()

    def test_cancelled_or_not_it_is_released(self) -> None:
        self.router.faults["GetSpecificPortMappingEntry"] = "hang"
        held = self.mappings.hold(WEB)
        gone = held.release()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.wait(HTTP_TOTAL_SECONDS + 1)
        self.assertEqual(self.state(held), MappingState.RELEASED)
        self.successResultOf(held.release())

    def test_without_a_gateway_at_once(self) -> None:
        held = self.mappings.hold(WEB)
        self.mappings.detach("gone")
        self.successResultOf(held.release())
        self.nothing_left()

    def test_the_gateway_goes_during_the_release(self) -> None:
        held = self.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        gone = held.release()
        self.mappings.detach("gone")
        self.successResultOf(gone)
        self.nothing_left()

    def test_attached_after_the_release_it_stays_released(self) -> None:
        held = self.mappings.hold(WEB)
        held.leave()
        held.attach(self.connect(self.router, ipaddress.IPv6Address("fe80::7")), restarted=True)
        self.assertEqual(self.state(held), MappingState.RELEASED)

    def test_leave_leaves_the_entry_to_its_lease(self) -> None:
        held = self.mappings.hold(WEB)
        held.leave()
        self.assertEqual(self.state(held), MappingState.RELEASED)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.nothing_left()
        self.clock.advance(3600)
        self.assertEqual(self.ports(), [])


class ExchangeTests(MappingsTestCase):
    """Other wishes in the place of all that is held."""

    def wishes(self, first: int, count: int = MAPPINGS) -> list[PortMapping]:
        return [PortMapping("TCP", first + index) for index in range(count)]

    def wanted(self) -> set[int]:
        return {held.wanted.internal_port for held in self.mappings if not held.leaving}

    def table(self) -> set[int]:
        return {port for port, _ in self.ports()}

    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)
        self.mappings.exchange(self.wishes(1000))
        self.wait(5)

    def test_F54_as_many_as_may_be_held_for_as_many_others(self) -> None:
        self.assertEqual(self.table(), set(range(1000, 1000 + MAPPINGS)))
        self.lan.asked.clear()
        self.mappings.exchange(self.wishes(1008))
        self.wait(5)
        self.assertEqual(self.table(), set(range(1008, 1008 + MAPPINGS)))
        changed = [one for one in self.lan.asked if one.name == "AddPortMapping"]
        self.assertEqual(len(changed), 8, "what stays is left alone")

    def test_F54_another_mapping_on_the_same_external_port(self) -> None:
        self.mappings.exchange([PortMapping("TCP", 80, 1000)])
        self.wait(5)
        self.assertEqual([(one.external_port, one.internal_port) for one in self.router.table], [(1000, 80)])

    def test_F54_F45_twice_while_the_first_one_there_is_leaving(self) -> None:
        """Who only waited for it goes at once; the next one waits for it all the same, else its entry is deleted."""
        self.router.faults["GetSpecificPortMappingEntry"] = "refuse"  # one answer is lost
        self.mappings.exchange([PortMapping("TCP", 81, 1000)])
        self.clock.advance(0.1)
        self.router.faults.clear()
        self.mappings.exchange([PortMapping("TCP", 82, 1000)])
        (held,) = (one for one in self.mappings if not one.leaving)
        for _ in range(60):
            self.clock.advance(0.5)
            there = [(one.external_port, one.internal_port) for one in self.router.table]
            if held.status.state is MappingState.ACTIVE:
                self.assertIn((1000, 82), there)
        self.assertEqual((held.status.state, there), (MappingState.ACTIVE, [(1000, 82)]))
        self.assertEqual(self.mappings._former, set())

    def test_F54_D6_one_at_a_time_in_the_place_of_one_that_is_leaving(self) -> None:
        self.router.faults["DeletePortMapping"] = "hang"
        next(iter(self.mappings)).release()
        self.mappings.hold(PortMapping("TCP", 2000))
        self.assertRaises(InvalidArgument, self.mappings.hold, PortMapping("TCP", 2001))

    def test_F54_D6_all_or_nothing_and_those_that_leave_do_not_pile_up(self) -> None:
        self.router.faults["DeletePortMapping"] = "hang"
        self.mappings.exchange(self.wishes(2000))
        self.clock.advance(0)
        self.assertEqual(self.wanted(), set(range(2000, 2000 + MAPPINGS)))
        for wishes, why in (
            (self.wishes(3000), "are leaving yet"),
            (self.wishes(2000, MAPPINGS + 1), "17 mappings"),
            ([*self.wishes(2000, 2), PortMapping("TCP", 80, 2001)], "same external port"),
        ):
            refused = self.assertRaises(InvalidArgument, self.mappings.exchange, wishes)
            self.assertIn(why, str(refused))
            self.assertEqual(self.wanted(), set(range(2000, 2000 + MAPPINGS)))
        self.router.faults.clear()
        self.wait(HTTP_TOTAL_SECONDS + 5)
        self.mappings.exchange(self.wishes(3000))
        self.wait(5)
        self.assertEqual(self.table(), set(range(3000, 3000 + MAPPINGS)))

    def test_F54_F16_what_is_leaving_a_dead_gateway_holds_nothing_up_on_the_next_one(self) -> None:
        other = MemoryGateway(self.clock, "192.168.2.1")
        self.lan.gateways.append(other)
        self.router.faults["*"] = "hang"
        self.mappings.exchange([PortMapping("TCP", 80, 1000), PortMapping("TCP", 1001)])
        self.wait(1)
        self.mappings.part("another gateway took over")
        self.mappings.attach(self.connect(other))
        self.wait(FAREWELL_SECONDS + 0.5)
        self.assertEqual(sorted(port for port, _ in self.ports(other)), [1000, 1001])
        self.assertEqual(self.mappings._former, set())

    def test_F54_F16_what_is_leaving_is_deleted_when_another_gateway_takes_over(self) -> None:
        other = MemoryGateway(self.clock, "192.168.2.1")
        self.lan.gateways.append(other)
        self.router.faults["*"] = "hang"
        self.mappings.exchange([PortMapping("TCP", 80, 1000)])
        self.wait(1)
        self.router.faults.clear()
        self.mappings.part("another gateway took over")
        self.mappings.attach(self.connect(other))
        self.wait(FAREWELL_SECONDS)
        self.assertEqual((self.table(), [port for port, _ in self.ports(other)]), (set(), [1000]))

    def test_F54_F02_what_is_leaving_is_given_up_with_its_gateway(self) -> None:
        self.router.faults["*"] = "hang"
        self.mappings.exchange([PortMapping("TCP", 80, 1000)])
        self.wait(1)
        self.mappings.detach("gone")
        self.assertEqual((self.mappings._former, self.lan.open), (set(), set()))
        self.router.faults.clear()
        self.mappings.attach(self.connect(self.router))
        self.wait(1)
        self.assertIn((1000, 80), [(one.external_port, one.internal_port) for one in self.router.table])

    def test_F54_without_a_gateway_as_often_as_one_likes(self) -> None:
        self.mappings.detach("gone")
        for first in range(2000, 9000, 1000):
            self.mappings.exchange(self.wishes(first))
        self.clock.advance(0)
        self.assertEqual(self.wanted(), set(range(8000, 8000 + MAPPINGS)))
        self.assertEqual(len(self.mappings), MAPPINGS)


class StopTests(MappingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)

    def test_everything_is_deleted(self) -> None:
        held = [self.mappings.hold(PortMapping("TCP", port)) for port in (1000, 2000, 3000)]
        waiting = held[0].watched.when(lambda status: False)
        self.assertEqual(len(self.ports()), 3)
        self.successResultOf(self.mappings.stop())
        self.assertEqual(self.ports(), [])
        self.failureResultOf(waiting, MappingReleased)
        self.assertEqual(len(self.mappings), 0)
        self.nothing_left()

    def test_F52_a_gateway_that_hangs_is_given_five_seconds(self) -> None:
        self.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        stopped = self.mappings.stop()
        self.clock.advance(FAREWELL_SECONDS - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.nothing_left()

    def test_with_one_that_waits_for_another_to_leave(self) -> None:
        held = self.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        gone = held.release()
        again = self.mappings.hold(WEB)
        waiting = again.when_active()
        stopped = self.mappings.stop()
        self.clock.advance(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.successResultOf(gone)
        self.failureResultOf(waiting, MappingReleased)
        self.nothing_left()

    def test_with_a_farewell_to_another_gateway_under_way(self) -> None:
        self.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        self.mappings.part("another gateway took over")
        stopped = self.mappings.stop()
        self.assertNoResult(stopped)
        self.clock.advance(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.nothing_left()

    def test_held_after_the_stop_waits_and_asks_nobody(self) -> None:
        self.successResultOf(self.mappings.stop())
        self.lan.asked.clear()
        held = self.mappings.hold(WEB)
        self.assertEqual(self.state(held), MappingState.WAITING)
        self.assertEqual(self.lan.asked, [])

    def test_nothing_held(self) -> None:
        stopped: Deferred[None] = self.mappings.stop()
        self.successResultOf(stopped)
        self.nothing_left()
