"""A gateway that is gone, or that nobody announces, is looked for: by searches, and where it was (F02, F20, A4, A5)."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import ROUTER, US, MemoryGateway
from tests.session_world import World
from tests.test_control_point import ROGUE, WEB, ControlPointTestCase, hop
from txigd.igd.gateway import Gateway
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.limits import (
    BOOT_RETRY_SECONDS,
    BYEBYE_PROBE_SECONDS,
    NAMED_RETRY_CEILING_SECONDS,
    POLL_SECONDS,
    REMEMBERED_PLACES,
    SEARCH_AGAIN_SECONDS,
)
from txigd.testing import Rules


class LostTests(ControlPointTestCase):
    """No datagram of the router arrives any more once it was found."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.found()
        self.discovery.gateways.clear()

    def lose(self) -> None:
        self.router.faults["*"] = "refuse"
        self.discovery.byebye(self.router)
        self.wait(10)
        self.assertIsNone(self.point.current)

    def test_F02_one_that_is_gone_is_searched_at_once_and_then_ever_more_seldom(self) -> None:
        self.router.faults["*"] = "refuse"
        self.discovery.byebye(self.router)
        before = self.discovery.searches
        while self.point.current is not None:
            self.assertEqual(self.discovery.searches, before)
            self.clock.advance(0.25)
        self.clock.advance(0)
        times = []
        for second in range(900):
            if self.discovery.searches > before:
                times.append(second)
                before = self.discovery.searches
            self.clock.advance(1)
        self.assertEqual(times[:4], [0, 10, 30, 60])
        self.assertEqual(SEARCH_AGAIN_SECONDS[-1], times[-1] - times[-2])
        self.assertEqual(len(times), 8)

    def test_F02_it_is_asked_for_where_it_was(self) -> None:
        held = self.point.mappings.hold(WEB)
        self.lose()
        self.wait(600)
        self.router.state.table.clear()
        self.router.faults.clear()
        self.wait(NAMED_RETRY_CEILING_SECONDS + 1)
        self.assertIs(self.point.current, self.gateway)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F02_after_a_long_silence_as_well(self) -> None:
        self.router.faults["*"] = "refuse"
        self.wait(2 * POLL_SECONDS + BOOT_RETRY_SECONDS + 10)
        self.assertIsNone(self.point.current)
        self.router.faults.clear()
        self.wait(NAMED_RETRY_CEILING_SECONDS + 1)
        self.assertIs(self.point.current, self.gateway)

    def test_F03_at_another_port_it_is_found_by_a_unicast_search(self) -> None:
        self.lose()
        self.wait(600)
        self.router.port += 1
        self.router.faults.clear()
        before = len(self.discovery.probed)
        self.wait(NAMED_RETRY_CEILING_SECONDS + 1)
        self.assertEqual(self.discovery.probed[before:], [ROUTER])
        self.discovery.alive(self.router)
        self.assertIs(self.point.current, self.gateway)

    def test_F20_another_one_that_answers_there_is_taken(self) -> None:
        self.lose()
        other = MemoryGateway(self.clock, udn="uuid:other", name="Other")
        self.lan.gateways[:] = [other]
        self.wait(NAMED_RETRY_CEILING_SECONDS + 1)
        current = self.point.current
        assert current is not None
        self.assertEqual(current.friendly_name, "Other")

    def test_A4_not_where_the_default_route_leads_elsewhere_by_now(self) -> None:
        self.lose()
        self.hops = (hop(ROGUE),)
        self.wait(10)
        before = len(self.to(ROUTER))
        self.wait(120)
        self.assertEqual(len(self.to(ROUTER)), before)

    def test_one_that_is_there_is_not_looked_for(self) -> None:
        self.wait(5)
        fetched, searches, probed = self.fetched(), self.discovery.searches, len(self.discovery.probed)
        self.wait(1200, 1)
        self.assertEqual(
            (self.fetched(), self.discovery.searches, len(self.discovery.probed)), (fetched, searches, probed)
        )

    def test_nothing_is_left_of_it(self) -> None:
        self.lose()
        self.wait(5)
        self.stop()


class DoubtTests(ControlPointTestCase):
    def test_A5_a_forged_byebye_and_one_lost_answer_lose_nothing(self) -> None:
        gateway = self.found()
        for fault in ("refuse", "hang", "html", 503):
            self.observer.heard.clear()
            self.wait(BYEBYE_PROBE_SECONDS + 1)
            self.router.faults[f"GET {self.router.location.target}"] = fault
            self.discovery.byebye(self.router)
            self.wait(0.5 if fault != "hang" else 10.5)
            self.router.faults.clear()
            self.wait(15)
            self.assertIs(self.point.current, gateway)
            self.assertEqual(self.observer.heard, [], fault)

    def test_A5_one_that_never_answers_is_gone(self) -> None:
        self.found()
        self.discovery.gateways.clear()
        self.router.faults["*"] = "refuse"
        self.discovery.byebye(self.router)
        self.wait(5)
        self.assertEqual(self.observer.heard[-1], ("lost", "Router"))


class RememberedTests(ControlPointTestCase):
    """A fresh start where SSDP is dropped, with the journal of an earlier run."""

    def begin(self, *pinned: str, **options: object) -> None:
        journal = Journal()
        for number, location in enumerate(pinned):
            journal.pin(f"uuid:{number}", location, now=number)
        self.point = self.make(journal=journal, **options)
        self.point.start()

    def current(self) -> Gateway | None:
        self.wait(20)
        return self.point.current

    def test_F02_it_is_found_where_it_was_last(self) -> None:
        self.begin(f"http://{ROUTER}:5000/before.xml", str(self.router.location))
        self.assertIsNotNone(self.current())
        self.assertEqual(self.fetched(), 1)
        self.assertEqual(self.lan.count("GET /before.xml"), 0)
        self.stop()

    def test_it_is_on_record_as_soon_as_it_was_found(self) -> None:
        journal = Journal()
        self.point = self.make(journal=journal)
        self.found()
        self.assertEqual([one.location for one in journal.pinned()], [str(self.router.location)])

    def test_where_it_announces_itself_nobody_asks_for_it(self) -> None:
        self.begin(str(self.router.location))
        self.discovery.alive(self.router)
        self.assertIsNotNone(self.current())
        self.assertEqual((self.fetched(), self.discovery.probed), (1, []))

    def test_A4_not_unless_it_is_the_next_hop(self) -> None:
        rogue = MemoryGateway(self.clock, ROGUE)
        self.lan.gateways.append(rogue)
        self.begin(str(rogue.location))
        self.assertIsNone(self.current())
        self.assertEqual((self.to(ROGUE), self.discovery.probed), ([], []))
        self.hops = (hop(ROGUE),)
        self.wait(NAMED_RETRY_CEILING_SECONDS + 6)
        self.assertIsNotNone(self.point.current)

    def test_A4_without_a_default_route_nobody_is_asked(self) -> None:
        self.hops = ()
        self.begin(str(self.router.location))
        self.assertIsNone(self.current())
        self.assertEqual(self.lan.asked, [])

    def test_one_that_is_named_by_its_address(self) -> None:
        far = MemoryGateway(self.clock, ROGUE)
        self.lan.gateways.append(far)
        self.begin(str(far.location), str(self.router.location), gateway=ROGUE)
        found = self.current()
        assert found is not None
        self.assertEqual(found.address, ipaddress.ip_address(ROGUE))
        self.assertEqual(self.to(ROUTER), [], "another one is named")

    def test_on_loopback_only_what_was_named(self) -> None:
        side_by_side = MemoryGateway(self.clock, "127.0.0.1", 5001)
        self.lan.gateways.append(side_by_side)
        self.begin(str(side_by_side.location), gateway="http://127.0.0.1:5000/rootDesc.xml")
        self.assertIsNone(self.current())
        self.assertNotIn(5001, [asked.url.port for asked in self.lan.asked])

    def test_A4_the_same_link_local_address_on_another_link_is_another_host(self) -> None:
        self.own["fe80::1%eth0"] = ipaddress.ip_address("fe80::7%eth0")
        self.hops = (hop("fe80::1%eth0"),)
        self.begin("http://[fe80::1%eth0]:5000/a.xml", "http://[fe80::1%no-such-link]:5000/b.xml")
        self.assertIsNone(self.current())
        self.assertEqual({str(asked.url) for asked in self.lan.asked}, {"http://[fe80::1%eth0]:5000/a.xml"})

    def test_D3_what_is_no_url_is_passed_over(self) -> None:
        self.begin(str(self.router.location), "nonsense", "http://[fe80::1%no-such-link]:5000/x", "ftp://192.168.1.1/")
        self.assertIsNotNone(self.current())

    def test_D3_only_a_few_places_are_asked_one_at_a_time(self) -> None:
        self.lan.gateways.clear()
        hanging = MemoryGateway(self.clock)
        hanging.faults["*"] = "hang"
        self.lan.gateways.append(hanging)
        self.begin(*(f"http://{ROUTER}:5000/{number}.xml" for number in range(10)))
        self.wait(40)
        asked = [one.url.target for one in self.lan.asked]
        self.assertEqual(asked[:REMEMBERED_PLACES], [f"/{9 - number}.xml" for number in range(REMEMBERED_PLACES)])
        self.wait(600)
        self.assertEqual(len({one.url.target for one in self.lan.asked}), REMEMBERED_PLACES)
        self.assertEqual(self.lan.most_open, 1)


class WorldTests(SynchronousTestCase):
    """A whole session. The router answers searches, but no announcement of its arrives."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.world.wanted = [PortMapping("TCP", 8000 + number, description=f"m{number}") for number in range(3)]
        self.world.make(Rules())
        self.world.wait(20)

    def back(self) -> float:
        """Seconds until all is on the router again."""
        began = self.world.clock.seconds()
        while len(self.world.ours(self.world.router)) < 3 and self.world.clock.seconds() - began < 400:
            self.world.wait(1)
        return self.world.clock.seconds() - began

    def test_F02_a_byebye_and_a_restart(self) -> None:
        router = self.world.router
        self.world.byebye(router)
        router.up = False
        self.world.wait(15.5)
        router.reboot(keep=False, move=False)
        router.up = True
        self.assertLess(self.back(), 65)

    def test_F02_switched_off_for_a_while(self) -> None:
        router = self.world.router
        for seconds in (60, 200, 1000, 3000):
            router.up = False
            self.world.wait(seconds)
            router.reboot(keep=False, move=False)
            router.up = True
            self.assertLess(self.back(), 65, seconds)
            self.world.wait(60)

    def test_F02_F53_killed_and_started_anew_where_nothing_of_ssdp_arrives(self) -> None:
        world = self.world
        self.assertEqual(len(world.ours(world.router)), 3)
        world.life.flush()
        world.life.kill()
        world.router.state.table.clear()
        self.patch(world, "alive", lambda gateway: None)
        world.begin()
        self.assertLess(self.back(), 20)
