"""An entry read by whatever action a gateway offers, and what that means for others' entries."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import US, Asked, MemoryGateway, MemoryLAN, ending, reply
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease_facts import Fact, Failed, Found, MappingState, Missing, Unreadable
from txigd.igd.mapping import PortMapping
from txigd.igd.mappings import Mappings
from txigd.limits import TABLE_SECONDS, UNREADABLE_SECONDS
from txigd.testing import Entry, Rules
from txigd.upnp.control import soap
from txigd.upnp.http_reply import Reply

HOST = "0a1b2c3d"
WEB = PortMapping("TCP", 8080, description="web")
SPECIFIC = "GetSpecificPortMappingEntry"
WALK = "GetGenericPortMappingEntry"
LIST = "GetListOfPortMappings"
OURS = ("TCP", 8080, "192.168.1.7")
THEIRS = ("TCP", 8080, "192.168.1.99")
PASSING = (501, "html", "unavailable")


class ReadBackTestCase(SynchronousTestCase):
    version = 1

    def setUp(self) -> None:
        self.world(self.version)

    def world(self, version: int) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock, version=version)
        self.router.state.table.rules = Rules(version=version, overwrites_all=True)
        self.lan = MemoryLAN(self.clock, self.router)
        self.connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US, udn="uuid:1")

    def fails(self, action: str, how: object) -> None:
        """Let an action fail so from now on; None: it works."""
        self.router.answers.pop(action, None)
        self.router.faults.pop(action, None)
        if how == "unavailable":
            self.router.answers[action] = lambda _: reply(503)
        elif how is not None:
            self.router.faults[action] = how

    def read(self, port: int = 8080) -> Fact:
        return self.successResultOf(self.reading(port))

    def reading(self, port: int = 8080) -> Deferred[Fact]:
        return Deferred.fromCoroutine(self.connection.read_entry(PortMapping("TCP", port), port))

    def wait(self, seconds: float, step: float = 0.5) -> None:
        self.clock.pump([step] * round(seconds / step))


class EntryTests(ReadBackTestCase):
    def test_F35_what_is_not_offered_is_found_by_index(self) -> None:
        for code in (401, 602):
            self.world(1)
            self.fails(SPECIFIC, code)
            self.assertEqual(self.read(), Missing())
            for port in (7000, 8080, 9000):
                self.router.foreign(port)
            self.clock.advance(TABLE_SECONDS + 1)
            fact = self.read()
            assert isinstance(fact, Found)
            self.assertEqual((fact.entry.external_port, fact.entry.internal_client), (8080, "192.168.1.99"))

    def test_F35_an_IGD2_is_asked_for_a_list_of_the_one_port(self) -> None:
        self.world(2)
        self.fails(SPECIFIC, 401)
        self.router.foreign(8080)
        self.assertIsInstance(self.read(), Found)
        self.assertEqual(self.lan.names(), [SPECIFIC, LIST])
        arguments = self.lan.asked[-1].arguments
        self.assertEqual((arguments["NewStartPort"], arguments["NewEndPort"]), ("8080", "8080"))

    def test_Q138_what_the_list_leaves_out_is_looked_for_by_index(self) -> None:
        self.world(2)
        self.fails(SPECIFIC, 401)
        self.fails(LIST, 730)
        self.router.foreign(8080)
        self.assertIsInstance(self.read(), Found)

    def test_F35_the_list_alone_is_believed_where_there_is_no_walk(self) -> None:
        self.world(2)
        self.fails(SPECIFIC, 401)
        self.fails(WALK, 401)
        self.assertEqual(self.read(), Missing())

    def test_F35_none_of_them_works(self) -> None:
        for version in (1, 2):
            self.world(version)
            for action in (SPECIFIC, WALK, LIST):
                self.fails(action, 401)
            self.router.foreign(8080)
            self.assertEqual(self.read(), Unreadable())

    def test_F35_an_entry_is_asked_for_where_it_stood(self) -> None:
        self.fails(SPECIFIC, 401)
        for port in (7000, 8080, 9000):
            self.router.foreign(port)
        self.read()
        self.wait(60)
        self.lan.asked.clear()
        self.assertIsInstance(self.read(), Found)
        self.assertEqual([one.arguments for one in self.lan.asked], [{"NewPortMappingIndex": "1"}])
        self.router.state.table.delete("TCP", 7000, "")
        self.wait(60)
        self.assertIsInstance(self.read(), Found)
        self.wait(60)
        self.router.state.table.delete("TCP", 8080, "")
        self.assertEqual(self.read(), Missing())

    def test_an_entry_that_leads_nowhere_is_none_by_index_too(self) -> None:
        self.fails(SPECIFIC, 401)
        self.router.state.table.put(Entry("TCP", 8080, "", 0, "", ""))
        self.assertEqual(self.read(), Missing())


class PassingTests(ReadBackTestCase):
    def test_F37_what_may_pass_is_no_word_on_the_entry(self) -> None:
        for how in PASSING:
            for version in (1, 2):
                self.world(version)
                self.router.foreign(8080)
                self.fails(SPECIFIC, how)
                for _ in range(2):
                    self.assertIsInstance(self.read(), Failed, how)
                self.assertEqual(self.lan.count(WALK) + self.lan.count(LIST), 0)
                self.fails(SPECIFIC, None)
                self.assertIsInstance(self.read(), Found, how)

    def test_Q116_what_does_not_pass_is_read_from_the_table(self) -> None:
        """Some say "no such entry" in words that nobody can read."""
        for how in PASSING:
            for version in (1, 2):
                self.world(version)
                self.fails(SPECIFIC, how)
                facts = [self.read() for _ in range(4)]
                self.assertEqual([type(fact) for fact in facts], [Failed, Failed, Missing, Missing], how)
                self.router.foreign(8080)
                self.clock.advance(TABLE_SECONDS + 1)
                self.assertIsInstance(self.read(), Found, how)

    def test_a_walk_that_breaks_off_says_nothing_of_what_it_did_not_reach(self) -> None:
        for how, fact in ((501, Failed), ("unavailable", Failed), (401, Missing), (402, Missing), (713, Missing)):
            self.world(1)
            self.fails(SPECIFIC, 401)
            self.router.foreign(7000)
            answer = self.router.answer

            def broken(asked: Asked, body: bytes, how: Any = how, answer=answer) -> Reply | None:
                if asked.arguments.get("NewPortMappingIndex") not in (None, "0"):
                    return reply(503) if how == "unavailable" else reply(500, soap.fault(how, ""))
                return answer(asked, body)

            self.patch(self.router, "answer", broken)
            self.assertIsInstance(self.read(), fact, how)
            self.assertIsInstance(self.read(7000), Found, how)

    def test_F35_nonsense_for_minutes_will_not_pass(self) -> None:
        self.fails(SPECIFIC, 401)
        self.fails(WALK, 501)
        self.assertIsInstance(self.read(), Failed)
        self.clock.advance(UNREADABLE_SECONDS - 1)
        self.assertIsInstance(self.read(), Failed)
        self.clock.advance(1)
        self.assertEqual(self.read(), Unreadable(passing=True))
        self.fails(WALK, None)
        self.assertEqual(self.read(), Missing())
        self.fails(WALK, 501)
        self.clock.advance(TABLE_SECONDS + 1)
        self.assertIsInstance(self.read(), Failed, "it begins anew")

    def test_silence_never_is_a_word_on_the_entry(self) -> None:
        for action in (SPECIFIC, WALK):
            self.world(1)
            if action == WALK:
                self.fails(SPECIFIC, 401)
            self.fails(action, "refuse")
            for _ in range(5):
                self.assertIsInstance(self.read(), Failed)
                self.clock.advance(UNREADABLE_SECONDS)


class SharedTests(ReadBackTestCase):
    """One walk serves all who look at the same time."""

    def setUp(self) -> None:
        super().setUp()
        self.fails(SPECIFIC, 401)
        self.successResultOf(self.reading())
        self.clock.advance(TABLE_SECONDS + 1)
        for port in range(8000, 8010):
            self.router.foreign(port)
        self.lan.asked.clear()

    def test_one_for_all_for_a_second(self) -> None:
        for port in range(8000, 8010):
            self.assertIsInstance(self.read(port), Found)
        self.assertEqual(self.read(9000), Missing())
        self.assertEqual(self.lan.count(WALK), 11)
        self.clock.advance(TABLE_SECONDS + 0.1)
        self.assertEqual(self.read(9000), Missing())
        self.assertEqual(self.lan.count(WALK), 22)

    def test_what_we_wrote_since_is_not_in_it(self) -> None:
        self.assertEqual(self.read(9000), Missing())
        added = self.connection.add_entry(
            PortMapping("TCP", 9000), 9000, client=US, description="x", lease_seconds=3600
        )
        self.successResultOf(Deferred.fromCoroutine(added))
        self.assertIsInstance(self.read(9000), Found)
        self.successResultOf(Deferred.fromCoroutine(self.connection.delete_entry(PortMapping("TCP", 9000), 9000)))
        self.assertEqual(self.read(9000), Missing())

    def test_those_who_come_while_it_is_under_way_wait_for_it(self) -> None:
        self.fails(WALK, "hang")
        readings = [self.reading(port) for port in (8000, 8001, 9000)]
        self.fails(WALK, None)
        readings[0].cancel()
        self.failureResultOf(readings[0], CancelledError)
        for hanging in tuple(self.lan.open):
            hanging.callback(reply(200, self.entry(8000)))
        self.assertIsInstance(self.successResultOf(readings[1]), Found)
        self.assertEqual(self.successResultOf(readings[2]), Missing())
        self.assertLessEqual(self.lan.count(WALK), 12)

    def test_F60_one_who_hears_it_sends_the_others_away(self) -> None:
        self.fails(WALK, "hang")
        one, other = self.reading(8000), self.reading(8001)
        one.addCallback(ending(other))
        self.fails(WALK, None)
        for hanging in tuple(self.lan.open):
            hanging.callback(reply(200, self.entry(8000)))
        self.assertIsInstance(self.successResultOf(one), Found)
        self.failureResultOf(other, CancelledError)

    def test_when_nobody_waits_it_ends(self) -> None:
        self.fails(WALK, "hang")
        readings = [self.reading(port) for port in (8000, 8001)]
        for reading in readings:
            reading.cancel()
            self.failureResultOf(reading, CancelledError)
        self.assertEqual((self.lan.open, self.clock.getDelayedCalls()), (set(), []))
        self.fails(WALK, None)
        self.assertIsInstance(self.read(8001), Found)

    def test_Q137_what_we_delete_meanwhile_shifts_the_rest(self) -> None:
        """The entry after the one that goes would be stepped over."""
        rest = self.router.answer
        gone: list[Asked] = []

        def answer(asked: Asked, body: bytes) -> Reply | None:
            if asked.arguments.get("NewPortMappingIndex") == "3" and not gone:
                gone.append(asked)
                told = rest(asked, body)
                deleting = self.connection.delete_entry(PortMapping("TCP", 8000), 8000)
                deletion = Deferred.fromCoroutine(deleting)
                self.addCleanup(lambda: self.successResultOf(deletion))
                return told
            return rest(asked, body)

        self.patch(self.router, "answer", answer)
        for port in range(8001, 8010):
            self.assertIsInstance(self.read(port), Found, port)

    def entry(self, port: int) -> bytes:
        outputs = {
            "NewRemoteHost": "",
            "NewExternalPort": str(port),
            "NewProtocol": "TCP",
            "NewInternalPort": str(port),
            "NewInternalClient": "192.168.1.99",
            "NewEnabled": "1",
            "NewPortMappingDescription": "theirs",
            "NewLeaseDuration": "0",
        }
        return soap.response(self.connection.proxy.service.service_type, WALK, outputs)


class HeldTests(ReadBackTestCase):
    """What it means for a mapping, at a gateway that overwrites whatever stands in the way (Q132)."""

    def world(self, version: int) -> None:
        super().world(version)
        self.mappings = Mappings(self.clock, HOST, books=Books(now=self.clock.seconds), random=Random(1))

    def hold(self, wanted: PortMapping = WEB) -> HeldMapping:
        self.mappings.attach(self.connection)
        held = self.mappings.hold(wanted)
        self.wait(2)
        return held

    def table(self) -> list[tuple[str, int, str]]:
        return [(entry.protocol, entry.external_port, entry.internal_client) for entry in self.router.table]

    def test_Q132_F35_the_neighbour_is_seen_in_the_table(self) -> None:
        for version in (1, 2):
            self.world(version)
            self.fails(SPECIFIC, 401)
            self.router.foreign(8080)
            held = self.hold()
            self.assertEqual((self.table(), held.status.state), ([THEIRS], MappingState.CONFLICT))

    def test_Q132_F37_the_neighbour_outlives_a_read_that_fails(self) -> None:
        for how in PASSING:
            for version in (1, 2):
                self.world(version)
                self.router.foreign(8080)
                self.fails(SPECIFIC, how)
                held = self.hold()
                self.wait(UNREADABLE_SECONDS + 300)
                self.assertEqual((self.table(), held.status.state), ([THEIRS], MappingState.CONFLICT), how)

    def test_F34_F35_what_vanishes_is_seen_in_the_table(self) -> None:
        self.fails(SPECIFIC, 401)
        held = self.hold()
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.router.state.table.clear()
        self.wait(65)
        self.assertEqual(self.table(), [OURS])

    def test_F35_many_are_no_more_than_a_few_calls_each_look(self) -> None:
        self.fails(SPECIFIC, 401)
        for port in range(9000, 9016):
            self.mappings.hold(PortMapping("TCP", port))
        self.mappings.attach(self.connection)
        self.wait(5)
        self.assertEqual({held.status.state for held in self.mappings}, {MappingState.ACTIVE})
        self.lan.asked.clear()
        self.wait(60)
        self.assertLessEqual(len(self.lan.asked), 2 * 16)

    def test_F35_what_nobody_can_read_is_made_blindly_after_all(self) -> None:
        self.fails(SPECIFIC, 501)
        self.fails(WALK, 501)
        held = self.hold()
        self.assertEqual((self.table(), held.status.state), ([], MappingState.ADDING))
        self.wait(2 * UNREADABLE_SECONDS + 30)
        self.assertEqual((self.table(), held.status.state), ([OURS], MappingState.UNVERIFIED))

    def test_F36_F45_a_table_that_cannot_be_read_now_is_searched_again(self) -> None:
        """Our entry stands at a port that we were never told: a second one would be an orphan."""
        self.world(2)
        self.router.state.table.rules = Rules(version=2)
        self.router.foreign(8000)
        self.router.faults["AddAnyPortMapping"] = "hang"
        held = self.hold(PortMapping("TCP", 8000, any_port=True, description="any"))
        answer = self.router.answer
        self.router.faults.clear()
        asked = self.lan.asked[-1]
        self.assertEqual(asked.name, "AddAnyPortMapping")
        service = self.connection.proxy.service.service_type
        body = soap.request(service, asked.name, tuple(asked.arguments.items()))
        self.assertEqual(answer(asked, body).status, 200)  # type: ignore[union-attr]
        for action in (WALK, LIST):
            self.fails(action, "unavailable")
        self.wait(15)
        for action in (WALK, LIST):
            self.fails(action, None)
        self.wait(30)
        ours = [entry.external_port for entry in self.router.table if entry.internal_client == str(US)]
        self.assertEqual((len(ours), held.status.state, held.external_port), (1, MappingState.ACTIVE, ours[0]))
