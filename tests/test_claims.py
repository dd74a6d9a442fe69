"""Two of our own mappings and one external port: neither takes it from the other, and nobody is told what is not so."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import Any

from twisted.internet.task import deferLater

from tests.memory_lan import US, MemoryGateway
from tests.test_control_point import WEB, ControlPointTestCase
from tests.test_mappings import HOST, MappingsTestCase
from txigd.igd.books import Books
from txigd.igd.claims import Claims
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import MappingState, Rest, Taken
from txigd.igd.mapping import PortMapping
from txigd.igd.mappings import Mappings
from txigd.limits import FAREWELL_SECONDS, HTTP_TOTAL_SECONDS, RETRY_CEILING_SECONDS

ACTIVE, ADDING, CONFLICT = MappingState.ACTIVE, MappingState.ADDING, MappingState.CONFLICT
FIXED = PortMapping("TCP", 1000, 6001)
RANGE = PortMapping("TCP", 2000, port_range=(6000, 6001))
ANY = PortMapping("TCP", 2000, any_port=True)


class ClaimsTestCase(MappingsTestCase):
    """Looks at the table and at what is told, every half second."""

    def setUp(self) -> None:
        super().setUp()
        self.mappings.attach(self.connection)

    def led(self) -> dict[int, int]:
        """External port -> internal port of what is ours in the table."""
        ours = [entry for entry in self.router.table if entry.description != "theirs"]
        return {entry.external_port: entry.internal_port for entry in ours}

    def lies(self, *held: HeldMapping) -> list[str]:
        table = self.led()
        return [
            f"{one.wanted} on {one.external_port}, table {table}"
            for one in held
            if one.status.state is ACTIVE and table.get(one.external_port) != one.wanted.internal_port
        ]

    def flexible(self, wanted: PortMapping = RANGE) -> HeldMapping:
        """One that moved to 6001, since 6000 was taken."""
        self.router.foreign(6000)
        held = self.mappings.hold(wanted)
        self.clock.advance(0)
        return held

    def watch(self, seconds: float, *held: HeldMapping) -> None:
        for _ in range(round(seconds * 2)):
            self.wait(0.5)
            self.assertEqual(self.lies(*held), [])

    def settled(self, *held: HeldMapping) -> None:
        """From now on nothing changes for twenty minutes."""
        self.watch(1, *held)
        table, adds = self.led(), self.lan.count("AddPortMapping")
        for _ in range(1200):
            self.wait(1)
            self.assertEqual((self.led(), self.lies(*held)), (table, []))
        self.assertEqual(self.lan.count("AddPortMapping"), adds)


class OnePortTests(ClaimsTestCase):
    def test_F54_one_that_takes_any_makes_room_for_one_that_takes_no_other(self) -> None:
        flexible = self.flexible()
        self.assertEqual(self.led(), {6001: 2000})
        self.router.state.table.delete("TCP", 6000, "")
        fixed = self.mappings.hold(FIXED)
        self.settled(flexible, fixed)
        self.assertEqual(self.led(), {6001: 1000, 6000: 2000})
        self.assertEqual((fixed.external_port, flexible.external_port), (6001, 6000))

    def test_F54_where_it_finds_no_other_port_it_says_so(self) -> None:
        flexible = self.flexible()
        fixed = self.mappings.hold(FIXED)
        self.settled(flexible, fixed)
        self.assertEqual((fixed.status.state, flexible.status.state), (ACTIVE, CONFLICT))
        self.assertEqual(self.led(), {6001: 1000})

    def test_F54_it_makes_room_after_what_is_under_way(self) -> None:
        for action in ("GetSpecificPortMappingEntry", "AddPortMapping", "DeletePortMapping"):
            self.setUp()
            journal = Journal()
            journal.keep_port(RANGE, 6001)
            self.mappings = Mappings(self.clock, HOST, books=Books(journal, self.clock.seconds), random=Random(1))
            self.mappings.attach(self.connection)
            self.router.faults[action] = "hang"
            flexible = self.mappings.hold(RANGE)
            self.clock.advance(0)
            fixed = self.mappings.hold(FIXED)
            self.assertEqual(self.state(fixed), ADDING)
            self.watch(1, flexible, fixed)
            self.router.faults.clear()
            self.clock.advance(HTTP_TOTAL_SECONDS)
            self.settled(flexible, fixed)
            self.assertEqual(self.led(), {6001: 1000, 6000: 2000}, action)

    def test_Q140_a_port_of_an_earlier_life_that_is_another_ones_by_now(self) -> None:
        for first, second in ((FIXED, ANY), (ANY, FIXED)):
            self.setUp()
            journal = Journal()
            journal.keep_port(ANY, 6001)
            self.mappings = Mappings(self.clock, HOST, books=Books(journal, self.clock.seconds), random=Random(1))
            self.mappings.attach(self.connection)
            held = self.mappings.hold(first), self.mappings.hold(second)
            self.settled(*held)
            self.assertEqual([one.status.state for one in held], [ACTIVE, ACTIVE])
            self.assertEqual(self.led()[6001], 1000)

    def test_F36_the_gateway_picks_a_port_whose_entry_it_lost(self) -> None:
        fixed = self.mappings.hold(PortMapping("TCP", 1000, 8081))
        self.router.foreign(8080)
        self.router.state.table.delete("TCP", 8081, "")
        flexible = self.mappings.hold(PortMapping("TCP", 8080, any_port=True))
        self.wait(1)
        self.settled(flexible, fixed)
        self.assertEqual((fixed.external_port, flexible.status.state), (8081, ACTIVE))
        self.assertEqual(self.lan.count("AddAnyPortMapping"), 1, "it might give the same port for ever")
        self.assertEqual(self.led()[8081], 1000)

    def test_F45_F54_a_farewell_never_takes_what_stands_there_by_then(self) -> None:
        self.router.foreign(2000)
        self.mappings.hold(PortMapping("TCP", 2000, port_range=(2000, 2001)))
        self.router.faults["DeletePortMapping"] = "hang"
        self.mappings.exchange([PortMapping("TCP", 2000, 2001)])
        (fixed,) = [one for one in self.mappings if not one.leaving]
        self.watch(1, fixed)
        self.assertIn("left", fixed.status.reason)
        self.router.faults.clear()
        self.clock.advance(HTTP_TOTAL_SECONDS)
        self.settled(fixed)
        self.assertEqual((fixed.status.state, self.led()), (ACTIVE, {2001: 2000}))

    def test_F54_one_that_takes_any_waits_for_the_port_that_becomes_free(self) -> None:
        self.mappings.hold(FIXED)
        self.mappings.exchange([PortMapping("TCP", 2000, port_range=(6000, 6001), external_port=6000)])
        self.settled(*self.mappings)
        self.mappings.exchange([FIXED])
        self.settled(*self.mappings)
        self.assertEqual(self.led(), {6001: 1000})

    def test_released_while_it_waits_or_makes_room(self) -> None:
        for which in (0, 1):
            self.setUp()
            held = [self.flexible()]
            self.router.state.table.delete("TCP", 6000, "")
            self.router.faults["DeletePortMapping"] = "hang"
            held.append(self.mappings.hold(FIXED))
            self.assertEqual([self.state(one) for one in held], [ADDING, ADDING])
            gone = held[which].release()
            self.router.faults.clear()
            self.clock.advance(HTTP_TOTAL_SECONDS)
            self.wait(5)
            self.successResultOf(gone)
            self.settled(held[1 - which])
            self.assertEqual(self.led(), {6000: 2000} if which else {6001: 1000})
            self.successResultOf(self.mappings.stop())
            self.assertEqual(self.led(), {})

    def test_F16_parting_while_it_makes_room_leaves_nothing_there(self) -> None:
        self.flexible()
        self.router.state.table.delete("TCP", 6000, "")
        self.router.faults["DeletePortMapping"] = "hang"
        self.mappings.hold(FIXED)
        self.clock.advance(0)
        self.router.faults.clear()
        self.mappings.part("another gateway took over")
        self.wait(FAREWELL_SECONDS)
        self.assertEqual(self.led(), {})
        self.nothing_left()

    def test_F16_back_at_a_gateway_whose_farewell_goes_on(self) -> None:
        held = self.mappings.hold(FIXED)
        self.router.faults["DeletePortMapping"] = "hang"
        self.mappings.part("another gateway took over")
        self.mappings.attach(self.connection)
        self.router.faults.clear()
        self.clock.advance(FAREWELL_SECONDS)
        self.settled(held)
        self.assertEqual(held.status.state, ACTIVE)

    def test_F16_what_parted_is_in_nobodys_way(self) -> None:
        self.mappings.hold(FIXED)
        self.mappings.part("another gateway took over")
        self.wait(1)
        other = Mappings(self.clock, HOST, books=self.mappings._books, random=Random(1))
        other.attach(self.connection)
        self.assertEqual(self.state(other.hold(PortMapping("TCP", 2000, 6001))), ACTIVE)

    def test_F14_the_place_is_kept_when_our_own_address_changes(self) -> None:
        held = self.mappings.hold(FIXED)
        other = Mappings(self.clock, HOST, books=self.mappings._books, random=Random(1))
        other.attach(self.connection)
        rival = other.hold(PortMapping("TCP", 2000, 6001))
        self.assertEqual(self.state(rival), CONFLICT)
        moved = Connection(self.lan.proxy(self.router, "WANIPConnection"), ipaddress.IPv4Address("192.168.1.8"))
        self.router.caller = "192.168.1.8"
        self.router.faults["GetSpecificPortMappingEntry"] = "hang"
        self.mappings.recheck()
        for mappings in (self.mappings, other):
            mappings.attach(moved)
        self.router.faults.clear()
        self.clock.advance(HTTP_TOTAL_SECONDS)
        self.settled(held, rival)
        self.assertEqual((held.status.state, rival.status.state), (ACTIVE, CONFLICT))


class TwoSetsTests(ControlPointTestCase):
    def led(self) -> dict[int, int]:
        return {entry.external_port: entry.internal_port for entry in self.router.table}

    def test_the_first_one_stays_and_the_other_has_it_as_soon_as_it_is_free(self) -> None:
        gateway = self.found()
        first = gateway.mappings.hold(PortMapping("TCP", 1000, 8080))
        second = self.point.mappings.hold(PortMapping("TCP", 2000, 8080))
        self.wait(1200)
        self.assertEqual((first.status.state, second.status.state), (ACTIVE, CONFLICT))
        self.assertEqual((self.led(), self.lan.count("AddPortMapping")), ({8080: 1000}, 1))
        self.assertIn("tcp:1000:8080", second.status.reason)
        first.release()
        self.wait(1)
        self.assertEqual((second.status.state, self.led()), (ACTIVE, {8080: 2000}))
        self.stop()
        self.assertEqual(self.led(), {})

    def test_one_that_takes_any_of_one_makes_room_all_the_same(self) -> None:
        flexible = self.found().mappings.hold(PortMapping("TCP", 2000, port_range=(6001, 6001)))
        self.wait(1)
        fixed = self.point.mappings.hold(FIXED)
        self.wait(1)
        self.assertEqual((fixed.status.state, flexible.status.state, self.led()), (ACTIVE, CONFLICT, {6001: 1000}))
        self.assertEqual(self.lan.count("AddPortMapping"), 2)
        fixed.release()
        self.wait(1)
        self.assertEqual((flexible.status.state, self.led()), (ACTIVE, {6001: 2000}))

    def test_the_same_wish_twice_is_one_entry_and_the_last_one_deletes_it(self) -> None:
        for which in (0, 1):
            self.setUp()
            sets = self.found().mappings, self.point.mappings
            held = [one.hold(WEB) for one in sets]
            self.wait(20)
            self.lan.asked.clear()
            self.successResultOf(held[which].release())
            self.assertEqual(self.lan.count("DeletePortMapping"), 0)
            for _ in range(int(2 * RETRY_CEILING_SECONDS)):
                self.wait(1)
                self.assertEqual((self.led(), held[1 - which].status.state), ({8080: 8080}, ACTIVE))
            self.successResultOf(held[1 - which].release())
            self.assertEqual(self.led(), {})

    def test_the_same_wish_twice_and_both_go_at_once(self) -> None:
        sets = self.found().mappings, self.point.mappings
        for one in sets:
            one.hold(WEB)
        self.wait(20)
        self.lan.asked.clear()
        self.stop()
        self.assertEqual((self.led(), self.lan.count("DeletePortMapping")), ({}, 1))

    def test_each_gateway_has_places_of_its_own(self) -> None:
        first = self.found()
        held = first.mappings.hold(PortMapping("TCP", 1000, 8080))
        self.wait(1)
        other = MemoryGateway(self.clock, "192.168.1.2", udn="uuid:other", name="Other")
        self.lan.gateways.append(other)
        claims = self.point._books.claims
        lease = held._lease
        assert lease is not None
        self.assertIsNone(claims.ask(self.lease(), held, other.udn, ("TCP", 8080, "")))
        self.assertIsNotNone(claims.ask(self.lease(), held, first.udn, ("TCP", 8080, "")))

    def lease(self) -> Lease:
        return lease_of(PortMapping("TCP", 3000, 8080))


def lease_of(wanted: PortMapping) -> Lease:
    return Lease(wanted, client=US, host_id=HOST, spread=lambda: 0.0, other_port=lambda: 50000)


class Driver:
    """What a held mapping is to others."""

    def __init__(self, *, leaving: bool = False) -> None:
        self.leaving = leaving
        self.heard: list[str] = []

    def recheck(self) -> None:
        self.heard.append("recheck")

    def vacate(self, wanted_by: str) -> None:
        self.heard.append(wanted_by)


class SharedTests(MappingsTestCase):
    """One entry for the same wish in two sets, seen from the sets."""

    def two(self) -> tuple[Mappings, Mappings]:
        books = Books()
        return Mappings(self.clock, HOST, books=books, random=Random(1)), Mappings(
            self.clock, HOST, books=books, random=Random(1)
        )

    def attach(self, sets: tuple[Mappings, Mappings], address: ipaddress.IPv4Address) -> None:
        proxy = self.lan.proxy(self.router, "WANIPConnection")
        for mappings in sets:
            mappings.attach(Connection(proxy, address, udn="uuid:1"))

    def test_released_while_the_other_one_is_being_made(self) -> None:
        request = self.lan.request

        def slowly(*words: Any, **more: Any) -> Any:
            return request(*words, **more).addBoth(lambda result: deferLater(self.clock, 0.1, lambda: result))

        self.patch(self.lan, "request", slowly)
        for step in range(20):
            one, two = sets = self.two()
            self.attach(sets, US)
            first = one.hold(FIXED)
            self.clock.pump([0.05] * 40)
            second = two.hold(FIXED)
            self.clock.pump([0.02] * step)
            released = first.release()
            self.clock.pump([0.05] * 60)
            self.successResultOf(released)
            self.assertEqual((second.status.state, len(self.ports())), (ACTIVE, 1), step)
            released = second.release()
            self.clock.pump([0.05] * 60)
            self.assertEqual(self.ports(), [])

    def test_F14_they_lead_apart_after_our_address_changed(self) -> None:
        one, two = sets = self.two()
        self.attach(sets, US)
        follows, stays = one.hold(FIXED), two.hold(PortMapping("TCP", 1000, 6001, internal_client=US))
        self.wait(1)
        self.assertEqual((follows.status.state, stays.status.state), (ACTIVE, ACTIVE))
        self.attach(sets, ipaddress.IPv4Address("192.168.1.8"))
        self.wait(5)
        added = self.lan.count("AddPortMapping")
        self.wait(1200)
        self.assertEqual((follows.status.state, stays.status.state), (CONFLICT, ACTIVE))
        self.assertEqual((self.lan.count("AddPortMapping"), len(self.ports())), (added, 1))


class PureTests(MappingsTestCase):
    """Pure: who may, who waits, who is told."""

    SLOT = ("TCP", 6001, "")

    def test_who_may_and_who_makes_room(self) -> None:
        other_fixed = PortMapping("TCP", 3000, 6001)
        for held, asked, leaving, answer, told in (
            (FIXED, FIXED, False, None, []),  # the same in another set
            (FIXED, FIXED, True, Taken("tcp:1000:6001", ends=True), []),
            (FIXED, other_fixed, False, Taken("tcp:1000:6001"), []),
            (FIXED, other_fixed, True, Taken("tcp:1000:6001", ends=True), []),
            (FIXED, ANY, False, Taken("tcp:1000:6001"), []),
            (FIXED, ANY, True, Taken("tcp:1000:6001", ends=True), []),
            (RANGE, FIXED, False, Taken("tcp:2000:6000", ends=True), ["tcp:1000:6001"]),
            (RANGE, ANY, False, None, []),  # leads to the same
            (RANGE, PortMapping("TCP", 3000, any_port=True), False, Taken("tcp:2000:6000"), []),
        ):
            claims, first, second = Claims(), Driver(leaving=leaving), Driver()
            had, wants = lease_of(held), lease_of(asked)
            self.assertIsNone(claims.ask(had, first, "uuid:1", self.SLOT))
            self.assertIsNone(claims.ask(had, first, "uuid:1", self.SLOT))
            self.assertEqual(claims.ask(wants, second, "uuid:1", self.SLOT), answer, f"{held} {asked}")
            self.assertEqual((first.heard, second.heard), (told, []))
            claims.give_up(had)
            self.assertEqual(
                second.heard, ["recheck"], "whoever waits, or shares it: the Delete may have been under way"
            )
            self.assertIsNone(claims.ask(wants, second, "uuid:1", self.SLOT))
            claims.give_up(wants)
            claims.give_up(None)
            self.assertEqual((claims._had, claims._in_vain), ({}, {}))

    def test_who_asks_for_another_place_gives_up_the_one_before(self) -> None:
        claims, first, second = Claims(), Driver(), Driver()
        one, other = lease_of(FIXED), lease_of(PortMapping("TCP", 3000, 6001))
        claims.ask(one, first, "uuid:1", self.SLOT)
        claims.ask(other, second, "uuid:1", self.SLOT)
        claims.intruded("uuid:1", self.SLOT)
        self.assertEqual((first.heard, second.heard), (["recheck"], []))
        self.assertIsNone(claims.ask(one, first, "uuid:2", self.SLOT))
        self.assertEqual(second.heard, ["recheck"])
        self.assertFalse(claims.shared(other))

    def test_a_machine_that_was_refused_a_port_at_any_moment_goes_on(self) -> None:
        for wanted in (FIXED, ANY):
            lease = lease_of(wanted)
            for steps in range(4):
                for _ in range(steps):
                    lease.next(0.0)
                lease.learn(Taken("tcp:1:1"), 0.0)
                while not isinstance(lease.next(0.0), Rest):
                    lease.learn(Taken("tcp:1:1"), 0.0)
            self.assertEqual(lease.status.state, CONFLICT)
            lease.release()
            self.assertEqual(lease.status.state, MappingState.RELEASED)
            lease.vacate("tcp:1:1")
            self.assertEqual(lease.status.state, MappingState.RELEASED)
