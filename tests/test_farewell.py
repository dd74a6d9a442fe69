"""A stop at every moment: whatever request is under way, and whatever becomes of it, no entry of ours stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from tests.memory_lan import US, Asked, MemoryGateway
from tests.test_control_point import ControlPointTestCase
from txigd.errors import ExchangeError
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.lease_facts import Added, MappingState
from txigd.igd.mapping import PortMapping, is_ours, tag
from txigd.limits import FAREWELL_CALLS, FAREWELL_SECONDS
from txigd.steady import boot_time
from txigd.testing import Entry
from txigd.upnp.http_reply import Reply

WEB = PortMapping("TCP", 8080, description="web")
GAME = PortMapping("UDP", 5000, description="game")
ANY = PortMapping("TCP", 8000, any_port=True, description="any")
TAKEN = 8000

SLOW = ((0.1, 16), (0.2, 16), (0.3, 10), (0.3, 16), (0.5, 8))  # seconds of an answer, mappings

LATE, LOST, REFUSED = "answered late", "done, and the answer lost", "not done"


class Withheld:
    """The router keeps one request to itself: number ``number`` of those that ``counts``."""

    def __init__(self, router: MemoryGateway, number: int, how: str, counts: Callable[[Asked], bool]) -> None:
        self.router = router
        self.number = number
        self.how = how
        self.counts = counts
        self.seen = 0
        self.reply: Reply | None = None
        self.name = ""
        self._answer = router.answer
        router.answer = self.answer  # type: ignore[method-assign]

    def answer(self, asked: Asked, body: bytes) -> Reply | None:
        if not self.counts(asked):
            return self._answer(asked, body)
        self.seen += 1
        if self.seen - 1 != self.number:
            return self._answer(asked, body)
        self.name = asked.name
        if self.how != REFUSED:
            self.reply = self._answer(asked, body)
        return None

    def settle(self, open_requests: set[Deferred[Reply]]) -> None:
        """What becomes of it."""
        for hanging in tuple(open_requests):
            if self.how == LATE and self.reply is not None:
                hanging.callback(self.reply)
            else:
                hanging.errback(ExchangeError("the connection was lost"))


def _call(asked: Asked) -> bool:
    return asked.method == "POST"


class FarewellTests(ControlPointTestCase):
    under_way = 0
    most_under_way = 0

    def world(self, case: str) -> None:
        """A fresh control point and router."""
        super().setUp()
        journal = Journal()
        self.wanted = [WEB, GAME, ANY]
        self.point = self.make(journal=journal)
        self.host_id = self.point._host_id
        if case == "after a kill":
            for mapping in (WEB, replace(WEB, internal_port=9999, external_port=9999)):
                self.left_over(journal, mapping)
        else:
            self.router.foreign(TAKEN)
        if case == "no port is reserved":
            self.router.faults["AddAnyPortMapping"] = 401
        if case == "permanent only":
            self.router.state.rules = replace(self.router.state.rules, permanent_leases_only=True)
        for mapping in self.wanted:
            self.point.mappings.hold(mapping)

    def left_over(self, journal: Journal, mapping: PortMapping) -> None:
        """An entry of an earlier life, on record and in the table."""
        description = tag(self.host_id, mapping.description)
        entry = JournalEntry.of(mapping, mapping.wanted_port, client=US, description=description)
        journal.will_add(self.router.udn, entry, lease_seconds=3600, now=boot_time())
        journal.learn(self.router.udn, entry, Added(), lease_seconds=3600, now=boot_time())
        port = mapping.wanted_port
        self.router.state.table.put(
            Entry(mapping.protocol, port, str(US), mapping.internal_port, "", description, expires=3600.0)
        )

    def begin(self) -> None:
        self.point.start()
        self.discovery.alive(self.router)
        self.clock.pump([0.05] * 4)

    def ours(self) -> list[int]:
        return [entry.external_port for entry in self.router.table if is_ours(entry.description, self.host_id)]

    def ended(self, stopped: Deferred[None], what: str) -> None:
        self.clock.pump([0.1] * round(10 * FAREWELL_SECONDS + 1))
        self.successResultOf(stopped)
        self.assertEqual(self.ours(), [], what)
        self.assertEqual(self.lan.open, set(), what)
        self.assertEqual(self.clock.getDelayedCalls(), [], what)

    def stopped_at_each(self, case: str) -> int:
        number = 0
        while True:
            for how in (LATE, LOST, REFUSED):
                self.world(case)
                withheld = Withheld(self.router, number, how, _call)
                self.begin()
                stopped = self.point.stop()
                self.clock.advance(0.05)
                withheld.settle(self.lan.open)
                self.ended(stopped, f"{case}: stopped at request {number}, {withheld.name}: {how}")
            if withheld.seen <= number:
                return number
            number += 1

    def test_F51_stopped_while_it_begins(self) -> None:
        for case in ("at first", "no port is reserved", "permanent only"):
            self.assertGreater(self.stopped_at_each(case), 10, case)

    def test_F51_F53_stopped_while_an_earlier_life_is_settled(self) -> None:
        self.assertGreater(self.stopped_at_each("after a kill"), 10)

    def test_F51_one_request_of_the_farewell_fails(self) -> None:
        for how in (LOST, REFUSED):
            for number in range(12):
                self.world("at first")
                self.begin()
                self.assertEqual({held.status.state for held in self.point.mappings}, {MappingState.ACTIVE})
                withheld = Withheld(self.router, number, how, _call)
                stopped = self.point.stop()
                self.clock.advance(0.05)
                withheld.settle(self.lan.open)
                self.ended(stopped, f"request {number} of the farewell, {withheld.name}: {how}")

    def test_F51_a_gateway_that_answers_nothing_more(self) -> None:
        self.world("at first")
        self.begin()
        self.router.faults["*"] = "hang"
        stopped = self.point.stop()
        self.clock.advance(FAREWELL_SECONDS - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual((self.lan.open, self.clock.getDelayedCalls()), (set(), []))

    def slow(self, seconds: float) -> None:
        """Every call takes so long from now on; one that is given up before is not carried out."""
        at_once = self.lan.request

        def request(*asked: Any, **more: Any) -> Deferred[Reply]:
            waiting: Deferred[Reply] = Deferred(lambda _: arrival.cancel())
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            waiting.addBoth(self.answered)
            arrival = self.clock.callLater(seconds, lambda: at_once(*asked, **more).chainDeferred(waiting))
            return waiting

        self.under_way = self.most_under_way = 0
        self.patch(self.lan, "request", request)

    def answered(self, result: object) -> object:
        self.under_way -= 1
        return result

    def test_F51_a_gateway_that_takes_its_time(self) -> None:
        for version in (1, 2):
            for seconds, count in SLOW:
                self.setUp()
                self.router.state.table.rules = replace(self.router.state.table.rules, version=version)
                self.host_id = self.point._host_id
                for number in range(count):
                    self.point.mappings.hold(PortMapping("TCP", 20_000 + number, description="web"))
                self.begin()
                self.assertEqual(len(self.ours()), count)
                self.slow(seconds)
                self.ended(self.point.stop(), f"{count} mappings, {seconds} s for each answer")
                self.assertLessEqual(self.most_under_way, FAREWELL_CALLS + 4, "and its subscriptions")

    def test_F33_F51_what_would_stay_for_ever_goes_first(self) -> None:
        """There is no time for all of them."""
        self.setUp()
        self.host_id = self.point._host_id
        for number in range(16):
            lease = 3600 if number < 12 else 0
            self.point.mappings.hold(PortMapping("TCP", 20_000 + number, description="web", lease_seconds=lease))
        self.router.state.table.rules = replace(self.router.state.table.rules, version=1)
        self.begin()
        self.slow(1.1)
        stopped = self.point.stop()
        self.clock.pump([0.1] * 52)
        self.successResultOf(stopped)
        left = self.ours()
        self.assertTrue(left)
        self.assertLess(max(left), 20_012)
        self.assertLessEqual(len(left), 10, "each look is followed up before the next one")

    def test_F51_what_was_left_on_purpose_stays(self) -> None:
        self.world("at first")
        self.begin()
        next(held for held in self.point.mappings if held.wanted == WEB).leave()
        stopped = self.point.stop()
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopped)
        self.assertEqual(self.ours(), [8080])

    def test_F51_what_belongs_to_somebody_else_by_now_stays(self) -> None:
        self.world("at first")
        self.begin()
        self.router.state.table.clear()
        self.router.foreign(8080)
        stopped = self.point.stop()
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopped)
        self.assertEqual([entry.description for entry in self.router.table], ["theirs"])
