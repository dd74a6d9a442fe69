"""A gateway that shows its own word in the place of our description: the record tells what is ours there."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.lives import LivesTestCase
from tests.memory_lan import US, Asked, MemoryGateway
from tests.test_control_point import WEB
from txigd.igd import control_point
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping, tag
from txigd.limits import RETRY_CEILING_SECONDS
from txigd.testing import Entry

ANY = PortMapping("TCP", 8080, any_port=True, description="web")
WORD = "UPnP"


class OneWordGateway(MemoryGateway):
    """Every description is the same word to it; every entry of ours is permanent."""

    word = WORD

    def answer(self, asked: Asked, body: bytes):
        answer = super().answer(asked, body)
        for entry in tuple(self.state.table):
            if asked.name.startswith("Add") and self.word:
                self.state.table.put(replace(entry, description=self.word))
        return answer


class OneWordTestCase(LivesTestCase):
    """Lives of one host: each ends as SIGKILL ends it."""

    version = 1

    def setUp(self) -> None:
        super().setUp()
        self.router = self.one_word = OneWordGateway(self.clock, version=self.version)
        self.router.state.table.rules = replace(self.router.state.table.rules, permanent_leases_only=True)
        self.lan.gateways[:] = [self.router]

    def put(self, description: str = WORD, client: Any = US, internal: int = 8080) -> Entry:
        entry = Entry("TCP", 8080, str(client), internal, "", description)
        self.router.state.table.put(entry)
        return entry

    def assertStands(self, held: HeldMapping, state: MappingState, table: list[tuple[int, str]]) -> None:
        self.assertEqual((held.status.state, self.ports()), (state, table), held.status.reason)


class OwnWordTests(OneWordTestCase):
    def test_F53_Q140_ours_of_an_earlier_life_is_taken_over_again_and_again(self) -> None:
        for wanted, word in ((WEB, WORD), (ANY, WORD), (WEB, " Für \N{SNOWMAN} " + 60 * "x"), (ANY, " ")):
            with self.subTest(wanted=str(wanted), word=word):
                self.setUp()
                self.one_word.word = word
                for _ in range(4):
                    (held,) = self.live(wanted)
                    self.assertStands(held, MappingState.ACTIVE, [(8080, str(US))])
                    self.kill()
                self.live(wanted)
                self.stop()
                self.assertEqual(self.ports(), [])

    def test_F53_it_is_renewed(self) -> None:
        self.router.state.table.rules = replace(self.router.state.table.rules, permanent_leases_only=False)
        self.live(WEB)
        self.kill()
        (held,) = self.live(WEB, seconds=7200)
        self.assertStands(held, MappingState.ACTIVE, [(8080, str(US))])

    def test_F53_under_the_tag_of_a_former_host_id(self) -> None:
        self.one_word.word = ""
        self.live(WEB)
        self.kill()
        self.patch(control_point, "_MACHINE_ID", Path("/nonexistent"))
        (held,) = self.live(WEB, seconds=30)
        self.assertStands(held, MappingState.ACTIVE, [(8080, str(US))])
        self.stop()
        self.assertEqual(self.ports(), [])

    def test_F53_what_a_stale_record_says_makes_nobody_elses_entry_ours(self) -> None:
        others: tuple[dict[str, Any], ...] = (
            {"client": "192.168.1.99"},  # a neighbour
            {"internal": 8081},  # a program of this host, for another port
            {"description": "Transmission at 8080"},  # and one for the same
            {"description": tag("ffffffff", "web")},  # another one of our kind on this host
            {"client": "192.168.1.99", "description": tag("ffffffff", "web")},
        )
        for other in others:
            with self.subTest(other=other):
                self.setUp()
                self.live(WEB)
                self.kill()
                theirs = self.put(**other)
                (held,) = self.live(WEB, seconds=3 * RETRY_CEILING_SECONDS)
                self.assertEqual(held.status.state, MappingState.CONFLICT)
                self.assertEqual(self.router.table, [theirs])
                self.kill()
                (held,) = self.live(WEB)  # what was read of it in that life makes it no more ours
                self.assertEqual(held.status.state, MappingState.CONFLICT)
                self.stop()
                self.assertEqual(self.router.table, [theirs])

    def test_F14_at_an_address_that_was_ours_it_is_a_neighbours(self) -> None:
        self.live(WEB)
        self.kill()
        self.own[self.router.address] = ipaddress.IPv4Address("192.168.1.8")
        (held,) = self.live(WEB, seconds=RETRY_CEILING_SECONDS)
        self.assertStands(held, MappingState.CONFLICT, [(8080, str(US))])

    def test_Q132_what_nobody_wants_and_another_program_took_is_let_alone(self) -> None:
        self.live(WEB)
        self.kill()
        theirs = self.put("Transmission at 8080")
        for _ in range(3):
            self.live()
            self.stop()
            self.kill()
        self.assertEqual(self.router.table, [theirs])


class OwnWordOfVersion2Tests(OwnWordTests):
    version = 2
