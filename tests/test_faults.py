"""Faults by their ids that need more than one part of txigd: a LAN in memory, and this host under attack.

The attacks run in a network namespace of their own, see :mod:`tests.attacked`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

from tests.child import ALONE, ROOT, namespace_or_skip
from tests.memory_lan import US, MemoryGateway, MemoryLAN, reply
from tests.test_control_point import ControlPointTestCase
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping, tag
from txigd.igd.mappings import Mappings
from txigd.interfaces import IMappingObserver, IWANObserver
from txigd.limits import (
    CALLBACK_CONNECTIONS_PER_PEER,
    DAY_SECONDS,
    HIDDEN_RETRY_SECONDS,
    POLL_SECONDS,
    RETRY_CEILING_SECONDS,
    SIGHTINGS,
    VERIFY_SECONDS,
)
from txigd.testing import Entry
from txigd.upnp.control import soap

HOST = "0a1b2c3d"
WEB = PortMapping("TCP", 8080, description="web")
GAME = PortMapping("UDP", 5000, description="game", any_port=True)
CONNECTION = "urn:schemas-upnp-org:service:WANIPConnection:2"
MEGABYTE = 1024 * 1024


@implementer(IMappingObserver)
class Observer:
    def __init__(self) -> None:
        self.heard: list[tuple[MappingState, int]] = []

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        self.heard.append((new.state, new.external_port))


class AnyPortTests(SynchronousTestCase):
    """AddAnyPortMapping: the gateway picks (F36)."""

    def setUp(self, version: int = 2) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock, version=version)
        self.lan = MemoryLAN(self.clock, self.router)
        self.journal = Journal()
        self.mappings = self.make()
        self.neighbour(5000)

    def make(self) -> Mappings:
        books = Books(self.journal, self.clock.seconds)
        made = Mappings(self.clock, HOST, books=books, random=Random(1))
        made.attach(Connection(self.lan.proxy(self.router, "WANIPConnection"), US, udn="uuid:1"))
        return made

    def neighbour(self, port: int) -> None:
        self.router.state.table.put(Entry("UDP", port, "192.168.1.99", port, "", "theirs"))

    def hold(self) -> HeldMapping:
        held = self.mappings.hold(GAME)
        self.clock.advance(0)
        return held

    def wait(self, seconds: float, step: float = 5.0) -> None:
        self.clock.pump([step] * round(seconds / step))

    def ours(self) -> list[int]:
        return [entry.external_port for entry in self.router.table if entry.internal_client == str(US)]

    def test_F36_another_port_is_told_and_kept_for_seven_days(self) -> None:
        told = Observer()
        self.mappings.observe(told)
        held = self.hold()
        self.assertEqual((held.status.state, held.external_port), (MappingState.ACTIVE, 5001))
        self.assertEqual(told.heard[-1], (MappingState.ACTIVE, 5001))
        changes = len(told.heard)
        self.assertEqual(self.lan.count("AddAnyPortMapping"), 1)
        for _ in range(7):
            self.wait(DAY_SECONDS, 15.0)
            self.assertEqual((held.status.state, held.external_port, self.ours()), (MappingState.ACTIVE, 5001, [5001]))
        self.assertEqual(self.lan.count("AddAnyPortMapping"), 1, "renewed where it is")
        self.assertGreater(self.lan.count("AddPortMapping"), 7 * 24)
        self.assertEqual(len(told.heard), changes)

    def test_F36_the_port_is_tried_first_after_a_restart_of_either_side(self) -> None:
        self.hold()
        self.router.state.table.delete("UDP", 5000, "")
        self.router.state.table.delete("UDP", 5001, "")
        self.wait(VERIFY_SECONDS + 5)
        self.assertEqual(self.ours(), [5001], "the router forgot it")
        self.mappings = self.make()
        held = self.hold()
        self.assertEqual((held.external_port, self.ours()), (5001, [5001]), "we did")

    def test_F36_F45_the_answer_got_lost(self) -> None:
        """What the gateway picked stands in its table: it is found there by our tag, and no second one is made."""
        self.router.faults["AddAnyPortMapping"] = "hang"
        held = self.hold()
        self.router.state.table.put(self.picked(40000))
        self.wait(60)
        self.assertEqual((held.status.state, held.external_port), (MappingState.ACTIVE, 40000))
        self.assertEqual((self.ours(), self.lan.count("AddAnyPortMapping")), ([40000], 1))

    def test_F36_F45_released_before_it_was_found(self) -> None:
        self.router.faults["AddAnyPortMapping"] = "hang"
        held = self.hold()
        self.router.state.table.put(self.picked(40000))
        gone = held.release()
        self.wait(15)
        self.successResultOf(gone)
        self.assertEqual(self.ours(), [])

    def test_F36_a_lost_question(self) -> None:
        """Nothing came of it: from then on we pick."""
        self.router.faults["AddAnyPortMapping"] = "hang"
        held = self.hold()
        self.wait(60)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertGreaterEqual(held.external_port, 49152)
        self.assertEqual((len(self.ours()), self.lan.count("AddAnyPortMapping")), (1, 1))

    def test_B9_F36_a_port_that_is_none(self) -> None:
        for port in ("0", "70000", "-1", "", "many"):
            with self.subTest(port):
                self.setUp()
                octets = soap.response(CONNECTION, "AddAnyPortMapping", [("NewReservedPort", port)])
                self.router.answers["AddAnyPortMapping"] = lambda asked, octets=octets: reply(200, octets)  # type: ignore[misc]
                held = self.hold()
                self.wait(60)
                self.assertEqual(held.status.state, MappingState.ACTIVE)
                self.assertGreaterEqual(held.external_port, 49152)

    def test_F36_a_port_that_is_somebody_elses(self) -> None:
        """The gateway says it reserved what the neighbour has: read back, and left alone."""
        octets = soap.response(CONNECTION, "AddAnyPortMapping", [("NewReservedPort", "5000")])
        self.router.answers["AddAnyPortMapping"] = lambda asked: reply(200, octets)
        held = self.hold()
        self.wait(600)
        self.assertEqual(held.status.state, MappingState.CONFLICT)
        self.assertEqual(self.lan.count("DeletePortMapping"), 0)
        self.assertLessEqual(self.lan.count("AddAnyPortMapping"), 4)

    def test_F36_F37_a_port_that_is_only_tried_is_not_remembered(self) -> None:
        self.router.faults["AddAnyPortMapping"] = 501
        self.router.faults["AddPortMapping"] = 501
        self.hold()
        self.wait(DAY_SECONDS)
        self.assertEqual(self.journal.port_for(GAME), 0)

    def test_F01_F36_F37_the_port_is_the_same_after_a_restart_with_a_line_that_is_late(self) -> None:
        held = self.hold()
        self.router.state.table.clear()
        self.router.faults.update({"AddAnyPortMapping": 501, "AddPortMapping": 501})
        place = held._place
        assert place is not None
        self.mappings.attach(place, restarted=True)
        self.wait(120)
        self.assertEqual(held.status.state, MappingState.REFUSED)
        self.router.faults.clear()
        self.wait(RETRY_CEILING_SECONDS * 1.2)
        self.assertEqual((held.status.state, held.external_port), (MappingState.ACTIVE, 5001))

    def test_F31_Q123_none_but_the_ports_that_were_named(self) -> None:
        """Not even one that the gateway would pick, or one of another life."""
        wanted = replace(GAME, port_range=(5000, 5003))
        self.journal.keep_port(wanted, 40_000)
        for port in (5000, 5002):
            self.neighbour(port)
        held = self.mappings.hold(wanted)
        self.wait(600)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertIn(held.external_port, (5001, 5003))
        asked = {int(one.arguments["NewExternalPort"]) for one in self.lan.asked if "NewExternalPort" in one.arguments}
        self.assertLessEqual(asked, {5000, 5001, 5002, 5003})
        self.assertEqual(self.lan.count("AddAnyPortMapping"), 0)

    def test_F36_no_port_left(self) -> None:
        self.router.faults["AddAnyPortMapping"] = 728
        self.assertEqual(self.hold().status.state, MappingState.REFUSED)

    def test_F36_permanent_leases_only(self) -> None:
        self.router.state.table.rules = replace(self.router.state.table.rules, permanent_leases_only=True)
        held = self.hold()
        self.assertEqual((held.status.state, held.status.lease_seconds), (MappingState.ACTIVE, 0))

    def test_F36_a_gateway_of_version_1_picks_none(self) -> None:
        self.setUp(version=1)
        held = self.hold()
        port = held.external_port
        self.assertGreaterEqual(port, 49152)
        self.wait(DAY_SECONDS, 15.0)
        self.assertEqual((held.external_port, self.ours()), (port, [port]))
        self.assertEqual(self.lan.count("AddAnyPortMapping"), 0)

    def picked(self, port: int) -> Any:
        return Entry("UDP", port, str(US), 5000, "", tag(HOST, "game"), expires=self.clock.seconds() + 3600)


class FakeDeviceTests(ControlPointTestCase):
    """The whole control point against a gateway in memory that does what gateways do."""

    def rules(self, **changed: Any) -> None:
        table = self.router.state.table
        table.rules = replace(table.rules, **changed)

    def held(self, wanted: PortMapping = WEB) -> HeldMapping:
        self.found()
        held = self.point.mappings.hold(wanted)
        self.clock.advance(0)
        return held

    def test_F28_every_special_address_is_called_by_its_class(self) -> None:
        classes = {
            "10.1.2.3": "private",
            "172.16.4.4": "private",
            "192.168.0.9": "private",
            "100.64.0.7": "cgnat",
            **dict.fromkeys(
                ("0.1.2.3", "127.0.0.1", "169.254.3.3", "192.0.0.8", "192.0.2.9", "198.18.0.1"), "reserved"
            ),
            **dict.fromkeys(("198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1"), "reserved"),
        }
        self.assertEqual(len(classes), 14)
        gateway = self.found()
        for address, name in classes.items():
            with self.subTest(address):
                self.router.state.line.address = address
                self.successResultOf(gateway.external_ip())
                self.assertEqual(gateway.wan.status.address_class.value, name)
                self.assertEqual(gateway.wan.status.double_nat, name in ("private", "cgnat"))
        self.router.state.line.address = "0.0.0.0"
        self.assertIsNone(self.successResultOf(gateway.external_ip()))

    def test_F27_a_second_NAT_is_told_and_mapped_all_the_same(self) -> None:
        self.router.state.line.address = "10.1.2.3"
        held = self.held()
        gateway = self.point.current
        assert gateway is not None
        self.assertTrue(gateway.wan.status.double_nat)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F27_a_gateway_that_refuses_behind_a_second_NAT(self) -> None:
        self.router.state.hide_private_address = True
        self.router.state.line.address = "10.1.2.3"
        held = self.held()
        self.assertEqual(held.status.state, MappingState.REFUSED)
        self.assertIn("501", held.status.reason)
        self.assertIn("double_nat", held.status.reason)
        self.assertEqual(self.lan.count("AddPortMapping"), 1)
        self.wait(HIDDEN_RETRY_SECONDS * 3, 1)
        self.assertIn(self.lan.count("AddPortMapping"), (3, 4), "each ten minutes or so")
        self.router.state.line.address = "11.22.33.44"
        self.wait(POLL_SECONDS + 5, 1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F27_a_gateway_that_has_become_the_only_NAT(self) -> None:
        state = self.router.state
        state.hide_private_address = True
        state.line.address = "10.1.2.3"
        held = self.held()
        self.assertIn("double_nat", held.status.reason)
        state.line.address = "11.22.33.44"
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.wait(10)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        state.table.clear()
        self.router.faults["AddPortMapping"] = 501
        assert self.point.current is not None
        self.point.current.verify()
        self.wait(10)
        self.assertNotIn("double_nat", held.status.reason)
        self.router.faults.clear()
        self.wait(30)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F27_F37_501_while_the_line_is_down_is_no_second_NAT(self) -> None:
        self.router.cut()
        self.router.faults["AddPortMapping"] = 501
        held = self.held()
        self.assertEqual(held.status.state, MappingState.REFUSED)
        self.assertNotIn("double_nat", held.status.reason)
        self.wait(60, 1)
        self.assertGreater(self.lan.count("AddPortMapping"), 4)

    def test_F32_718_against_our_own_old_entry(self) -> None:
        """The gateway takes no renewal: our entry is taken away and made again, nobody else's."""
        self.rules(renewal_code=718)
        self.router.foreign(9999)
        held = self.held(PortMapping("TCP", 8080, lease_seconds=600))
        self.wait(600, 1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        deleted = [asked.arguments["NewExternalPort"] for asked in self.lan.asked if asked.name == "DeletePortMapping"]
        self.assertEqual(set(deleted), {"8080"})
        self.assertLessEqual(len(deleted), 2, "one for each renewal")
        self.assertEqual(len(self.router.table), 2)

    def test_F33_permanent_leases_only(self) -> None:
        self.router = MemoryGateway(self.clock, version=1)
        self.lan.gateways[:] = [self.router]
        self.rules(permanent_leases_only=True)
        held = self.held()
        self.assertEqual((held.status.state, held.status.lease_seconds), (MappingState.ACTIVE, 0))
        self.lan.asked.clear()
        self.wait(VERIFY_SECONDS * 5, 1)
        self.assertGreaterEqual(self.lan.count("GetSpecificPortMappingEntry"), 4)
        self.assertEqual(self.lan.count("AddPortMapping"), 0)
        self.stop()
        self.assertEqual(self.router.table, [], "deleted at the end, since no lease ends it")

    def test_F34_entries_vanish_long_before_their_lease(self) -> None:
        """After ten minutes, whatever was asked: the gap is what lies between two looks."""
        self.rules(lifetime_seconds=600)
        self.held()
        gap = longest = 0.0
        for _ in range(2 * 3600):
            self.clock.advance(1)
            gap = 0.0 if self.router.table else gap + 1
            longest = max(longest, gap)
        self.assertLessEqual(longest, VERIFY_SECONDS + 2)
        self.assertGreater(self.lan.count("AddPortMapping"), 10)

    def test_F34_a_lease_is_shortened_in_silence(self) -> None:
        self.rules(max_lease=120)
        held = self.held()
        for _ in range(3600):
            self.clock.advance(1)
            self.assertEqual((held.status.state, len(self.router.table)), (MappingState.ACTIVE, 1))

    def test_F35_no_way_to_read_back(self) -> None:
        for code in (401, 602):
            with self.subTest(str(code)):
                self.setUp()
                for action in ("GetSpecificPortMappingEntry", "GetGenericPortMappingEntry", "GetListOfPortMappings"):
                    self.router.faults[action] = code
                held = self.held()
                self.assertEqual(held.status.state, MappingState.UNVERIFIED)
                self.wait(2 * 3600, 5)
                self.assertEqual(held.status.state, MappingState.UNVERIFIED)
                self.assertIn(self.lan.count("AddPortMapping"), (4, 5, 6), "at about half of each lease")
                self.assertEqual(len(self.router.table), 1)
                self.stop()
                self.assertEqual(self.router.table, [])

    def test_F37_606_is_tried_again_after_five_minutes_and_501_at_once(self) -> None:
        for code, fewest, most in ((606, 2, 4), (501, 6, 12)):
            with self.subTest(str(code)):
                self.setUp()
                self.router.faults["AddPortMapping"] = code
                held = self.held()
                self.assertIn(str(code), held.status.reason)
                self.wait(620, 1)
                self.assertEqual(held.status.state, MappingState.REFUSED)
                self.assertTrue(fewest <= self.lan.count("AddPortMapping") <= most, self.lan.count("AddPortMapping"))
                self.router.faults.clear()
                self.wait(RETRY_CEILING_SECONDS * 1.2, 1)
                self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F37_what_was_refused_while_the_line_was_down_is_back_with_it(self) -> None:
        for fault, soon in ((501, True), (606, False)):
            with self.subTest(str(fault)):
                self.setUp()
                held = self.held()
                self.router.cut()
                self.router.state.table.clear()
                self.router.faults["AddPortMapping"] = fault
                self.wait(1200, 1)
                self.assertEqual(held.status.state, MappingState.REFUSED)
                self.lan.asked.clear()
                self.router.restore()
                assert self.point.current is not None
                while not self.point.current.wan.status.usable:
                    self.clock.advance(0.25)
                self.router.faults.clear()
                self.wait(3, 0.25)
                self.assertEqual(held.status.state is MappingState.ACTIVE, soon)

    def test_F60_an_application_that_raises_everywhere(self) -> None:
        """Every callback of an application raises: each is logged, and everything goes on."""

        @implementer(IMappingObserver, IWANObserver)
        class Bad:
            def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
                raise ZeroDivisionError("mapping")

            def wan_changed(self, old: Any, new: Any) -> None:
                raise ZeroDivisionError("wan")

        gateway = self.found()
        gateway.wan.observe(Bad())
        self.point.mappings.observe(Bad())
        held = self.point.mappings.hold(WEB)
        self.clock.advance(0)
        self.router.cut()
        self.wait(POLL_SECONDS + 5)
        self.router.restore()
        self.wait(POLL_SECONDS + 5)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertTrue(gateway.wan.status.connected)
        said = [str(failure.value) for failure in self.flushLoggedErrors(ZeroDivisionError)]
        self.assertEqual(said.count("wan"), 2)
        self.assertIn("mapping", said)
        self.stop()
        self.flushLoggedErrors(ZeroDivisionError)


class BlockedTests(SynchronousTestCase):
    def test_F59_after_a_pause_nothing_is_renewed_twice(self) -> None:
        """Five seconds in which no timer ran, on either side of a renewal."""
        clock = Clock()
        router = MemoryGateway(clock)
        lan = MemoryLAN(clock, router)
        mappings = Mappings(clock, HOST, random=Random(1))
        mappings.attach(Connection(lan.proxy(router, "WANIPConnection"), US))
        held = [mappings.hold(PortMapping("TCP", 8000 + n, lease_seconds=120)) for n in range(8)]
        clock.advance(0)
        began = lan.count("AddPortMapping")
        for second in range(0, 600, 5):
            clock.advance(5)
            self.assertEqual({one.status.state for one in held}, {MappingState.ACTIVE}, second)
        renewals = lan.count("AddPortMapping") - began
        self.assertLessEqual(renewals, 8 * (600 // 50))
        self.assertGreaterEqual(renewals, 8 * (600 // 75))
        self.assertEqual(len(router.table), 8)


class AttackedTests(SynchronousTestCase):
    """A child in a namespace of its own, with a simulated gateway and enemies on its loopback."""

    def attacked(self, *words: str) -> dict[str, Any]:
        namespace_or_skip()
        done = subprocess.run(
            [*ALONE, sys.executable, "-m", "tests.attacked", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if "skip" in told:
            raise SkipTest(told["skip"])
        self.assertEqual(told["errors"], [], "nothing is logged as an error")
        return told

    def test_F47_A3_a_flood_of_names(self) -> None:
        """20,000 announcements of devices that do not exist; the gateway stays, its mapping is renewed."""
        told = self.attacked("names")
        self.assertGreater(told["heard"], 0)
        self.assertLessEqual(told["sightings"], SIGHTINGS)
        self.assertEqual((told["state"], told["lapses"]), ("active", 0))
        self.assertGreater(told["renewals"], 0)
        self.assertLess(told["grown"], 10 * MEGABYTE)

    def test_F47_C2_C5_a_flood_of_notifies_and_connections(self) -> None:
        """NOTIFYs of unknown SIDs on fresh connections, and as many idle connections as the kernel takes."""
        told = self.attacked("notifies")
        self.assertGreater(told["answered"], 100)
        self.assertGreaterEqual(told["refused"], 100)
        self.assertLessEqual(told["connections"], CALLBACK_CONNECTIONS_PER_PEER)
        self.assertEqual((told["state"], told["lapses"]), ("active", 0))
        self.assertGreater(told["renewals"], 0)
        self.assertLess(told["grown"], 10 * MEGABYTE)

    def test_F48_no_descriptor_is_left_for_those_who_connect(self) -> None:
        """A limit of 64 and hundreds of connections: what goes out has its descriptors."""
        told = self.attacked("limit")
        self.assertEqual((told["state"], told["lapses"]), ("active", 0))
        self.assertGreater(told["renewals"], 0)

    def test_F48_no_descriptor_is_left_at_all(self) -> None:
        """Another part of the program took every one: nothing falls over, and all is well when they are back."""
        told = self.attacked("nothing-left")
        self.assertEqual(told["state"], "active")
        self.assertLess(told["turns"], 20_000, "no busy loop")
        self.assertTrue(told["event"], "the listener hears again")
