"""A gateway that shows an internal client by its name instead of its address."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from random import Random
from typing import Any

from tests.lives import LivesTestCase
from tests.memory_lan import US, Asked, MemoryGateway, reply
from tests.test_control_point import WEB
from tests.test_mappings import HOST, MappingsTestCase
from txigd.igd.books import Books
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping, tag
from txigd.igd.mappings import Mappings
from txigd.limits import RETRY_CEILING_SECONDS
from txigd.testing import Entry

GAME = PortMapping("TCP", 5000, description="game")
NOW_US = ipaddress.IPv4Address("192.168.1.8")


class NamingGateway(MemoryGateway):
    """Every client of its table is called by a name."""

    names = {"192.168.1.7": "mypc", "192.168.1.8": "mypc", "192.168.1.99": "nas"}

    def answer(self, asked: Asked, body: bytes):
        answer = super().answer(asked, body)
        if answer is None or not asked.name.startswith("Get") or "PortMapping" not in asked.name:
            return answer
        told = answer.body
        for address, name in self.names.items():
            told = told.replace(f">{address}<".encode(), f">{name}<".encode())
        return reply(answer.status, told)


class HostNameTests(LivesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.router = NamingGateway(self.clock, version=1)
        self.lan.gateways[:] = [self.router]

    def permanent(self) -> None:
        self.router.state.table.rules = replace(self.router.state.table.rules, permanent_leases_only=True)

    def put(self, client: str, internal: int = 8080, description: str = "") -> Entry:
        entry = Entry("TCP", 8080, client, internal, "", description or tag(self.point._host_id, "web"))
        self.router.state.table.put(entry)
        return entry

    def test_ours_is_kept_renewed_and_deleted_at_the_end(self) -> None:
        (held,) = self.live(WEB, seconds=7200)
        self.assertEqual((held.status.state, self.ports()), (MappingState.ACTIVE, [(8080, str(US))]))
        self.successResultOf(held.release())
        self.assertEqual(self.ports(), [])
        self.assertEqual(self.journal.entries(self.router.udn), ())

    def test_F53_ours_of_an_earlier_life_is_taken_over_or_deleted(self) -> None:
        self.permanent()
        self.live(WEB, GAME)
        self.kill()
        (held,) = self.live(WEB)
        self.assertEqual((held.status.state, self.ports()), (MappingState.ACTIVE, [(8080, str(US))]))
        self.stop()
        self.assertEqual(self.ports(), [])

    def test_F14_our_address_changed_and_the_name_did_not(self) -> None:
        self.permanent()
        self.live(WEB)
        self.kill()
        self.own[self.router.address] = NOW_US
        self.router.caller = str(NOW_US)
        (held,) = self.live(WEB)
        self.assertEqual((held.status.state, self.ports()), (MappingState.ACTIVE, [(8080, str(NOW_US))]))

    def test_D5_without_our_tag_and_a_record_of_its_port_it_is_somebody_elses(self) -> None:
        others: tuple[dict[str, Any], ...] = (
            {"client": "192.168.1.99", "description": "nas"},
            {"client": str(US), "description": "another program"},
            {"client": "192.168.1.99", "internal": 81},  # a cloned host, for another port
            {"client": "192.168.1.99", "description": tag("ffffffff", "web")},
        )
        for other in others:
            with self.subTest(other=other):
                self.setUp()
                self.permanent()
                self.live(WEB)
                self.kill()
                theirs = self.put(**other)
                (held,) = self.live(WEB, seconds=2 * RETRY_CEILING_SECONDS)
                self.assertEqual((held.status.state, self.router.table), (MappingState.CONFLICT, [theirs]))
                self.stop()
                self.assertEqual(self.router.table, [theirs])

    def test_D5_a_cloned_host_made_it_and_we_never_did(self) -> None:
        theirs = self.put("192.168.1.99")
        (held,) = self.live(WEB, seconds=2 * RETRY_CEILING_SECONDS)
        self.assertEqual((held.status.state, self.router.table), (MappingState.CONFLICT, [theirs]))
        self.stop()
        self.assertEqual(self.router.table, [theirs])

    def test_D5_a_cloned_host_took_the_place_of_ours_while_we_were_dead(self) -> None:
        self.permanent()
        self.live(WEB)
        self.kill()
        theirs = self.put("192.168.1.99")
        (held,) = self.live(WEB, seconds=2 * RETRY_CEILING_SECONDS)
        self.assertEqual((held.status.state, self.router.table), (MappingState.CONFLICT, [theirs]))
        self.stop()
        self.assertEqual(self.router.table, [theirs])


class CloneTests(MappingsTestCase):
    """A cloned host has our tag; the gateway comes to show it by its name."""

    def make(self) -> Mappings:
        self.journal = Journal()
        return Mappings(self.clock, HOST, books=Books(self.journal, self.clock.seconds), random=Random(1))

    def made(self, lease_seconds: int = 3600) -> HeldMapping:
        held = self.mappings.hold(PortMapping("TCP", 8080, description="web", lease_seconds=lease_seconds))
        self.mappings.attach(self.connection)
        self.wait(2)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.lan.asked.clear()
        return held

    def cloned(self, client: str) -> Entry:
        entry = Entry("TCP", 8080, client, 8080, "", tag(HOST, "web"))
        self.router.state.table.clear()
        self.router.state.table.put(entry)
        return entry

    def test_D5_what_has_run_out_says_nothing(self) -> None:
        held = self.made(lease_seconds=120)
        self.mappings.detach("the gateway is gone")
        self.wait(3600)
        theirs = self.cloned("clone.lan")
        self.mappings.attach(self.connection)
        self.wait(5)
        self.assertEqual((held.status.state, self.router.table), (MappingState.CONFLICT, [theirs]))
        self.assertEqual(self.lan.names(), ["GetSpecificPortMappingEntry"])

    def test_D5_the_table_was_lost_and_the_clone_was_quicker(self) -> None:
        for name in ("clone.lan", ""):
            with self.subTest(name=name):
                self.setUp()
                held = self.made()
                theirs = self.cloned(name)
                self.mappings.attach(self.connection)
                self.wait(5)
                self.assertEqual((held.status.state, self.router.table), (MappingState.CONFLICT, [theirs]))
                self.assertEqual(self.lan.names(), ["GetSpecificPortMappingEntry"])
