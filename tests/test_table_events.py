"""Events of the gateway's table: what may be gone is looked at at once, and nothing else is hurried by them."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from tests.test_gateway import GatewayTestCase
from txigd.igd.last_told import LastTold
from txigd.igd.lease_facts import Fact, MappingState
from txigd.igd.looks import Pace
from txigd.igd.mapping import PortMapping
from txigd.limits import (
    RECHECK_SECONDS,
    RETRY_CEILING_SECONDS,
    SCPD_VARIABLES,
    TABLE_LOOK_SECONDS,
    TABLE_LOOKS_AT_ONCE,
    VERIFY_SECONDS,
)

MINUTES = 10
MANY = 16
STORM = TABLE_LOOKS_AT_ONCE + MINUTES * 60 / TABLE_LOOK_SECONDS


class TableEventsTests(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.open()
        self.initial()
        self.seq = 0

    def hold(self, many: int = 1) -> None:
        for port in range(8080, 8080 + many):
            self.gateway.mappings.hold(PortMapping("TCP", port))
        self.wait(2)
        self.lan.asked.clear()

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    def changed(self) -> None:
        self.seq += 1
        self.event(self.seq, PortMappingNumberOfEntries=str(self.seq % 7), SystemUpdateID=str(self.seq))

    def storm(self, seconds: float = MINUTES * 60) -> None:
        """A neighbour's entry comes or goes every two seconds."""
        for _ in range(round(seconds / 2)):
            self.changed()
            self.wait(2)

    def states(self) -> set[MappingState]:
        return {held.status.state for held in self.gateway.mappings}

    def unreadable(self) -> None:
        for name in ("GetSpecificPortMappingEntry", "GetGenericPortMappingEntry", "GetListOfPortMappings"):
            self.router.faults[name] = 401

    def test_D6_F30_F31_F37_Q130_what_was_refused_is_not_hurried(self) -> None:
        for code in (606, 718, 728):
            with self.subTest(code=code):
                self.setUp()
                self.router.faults["AddPortMapping"] = code
                self.hold(MANY)
                self.storm()
                tries = MINUTES * 60 / (RETRY_CEILING_SECONDS * 0.9)
                self.assertLessEqual(self.lan.count("AddPortMapping"), MANY * tries)

    def test_D6_F35_what_cannot_be_read_back_is_not_written_because_of_events(self) -> None:
        self.unreadable()
        self.hold()
        self.storm()
        self.assertEqual((self.lan.count("AddPortMapping"), self.states()), (0, {MappingState.UNVERIFIED}))

    def test_D6_F35_nor_because_of_events_of_our_own_writing(self) -> None:
        self.unreadable()
        self.hold()
        self.changed()
        for _ in range(MINUTES * 60):
            before = self.lan.count("AddPortMapping")
            self.wait(1)
            if self.lan.count("AddPortMapping") > before:
                self.changed()
        self.assertEqual(self.lan.count("AddPortMapping"), 0)

    def test_D6_Q133_what_is_not_stored_is_not_hurried(self) -> None:
        self.hold()
        self.router.state.table.clear()
        self.router.state.table.rules = replace(self.router.state.table.rules, stores=False)
        self.storm()
        self.assertEqual(self.states(), {MappingState.LOST})
        self.assertLess(self.lan.count("AddPortMapping"), 14)

    def test_D6_a_refused_renewal_is_not_hurried(self) -> None:
        self.gateway.mappings.hold(PortMapping("TCP", 8080, lease_seconds=3600))
        self.wait(2)
        self.router.faults["AddPortMapping"] = 606
        self.clock.pump([1.0] * 2200)
        self.lan.asked.clear()
        self.storm()
        self.assertEqual(self.states(), {MappingState.ACTIVE})
        self.assertLessEqual(self.lan.count("AddPortMapping"), 4)

    def test_D6_a_storm_costs_few_reads(self) -> None:
        self.hold(MANY)
        self.storm()
        turns = MINUTES * 60 / VERIFY_SECONDS + 1
        self.assertLessEqual(self.lan.count("GetSpecificPortMappingEntry"), MANY * (STORM + turns))
        self.assertEqual(self.lan.count("AddPortMapping"), 0)

    def test_F34_what_is_deleted_after_a_rest_is_back_in_a_moment(self) -> None:
        self.hold(MANY)
        self.storm(120)
        self.wait(TABLE_LOOKS_AT_ONCE * TABLE_LOOK_SECONDS)
        for _ in range(3):
            self.router.state.table.clear()
            self.changed()
            self.wait(RECHECK_SECONDS + 1)
            self.assertEqual(len(self.router.table), MANY)
            self.wait(60)

    def test_F34_and_in_a_storm_soon(self) -> None:
        self.hold(MANY)
        self.storm(120)
        self.router.state.table.clear()
        self.storm(TABLE_LOOK_SECONDS + 2)
        self.assertEqual(len(self.router.table), MANY)

    def test_F01_a_restart_adds_all_at_once_whatever_was_evented_before(self) -> None:
        self.hold(MANY)
        self.storm(120)
        self.router.state.table.clear()
        self.gateway.mappings.attach(self.gateway.wan.connection)
        self.wait(0.2)
        self.assertEqual(len(self.router.table), MANY)

    def test_F31_a_port_that_was_seen_to_be_somebody_elses_is_taken_once_it_is_free(self) -> None:
        self.router.foreign(8080)
        self.hold()
        self.assertEqual(self.states(), {MappingState.CONFLICT})
        self.storm(120)
        self.assertEqual(self.lan.count("AddPortMapping"), 0)
        self.wait(TABLE_LOOKS_AT_ONCE * TABLE_LOOK_SECONDS)
        self.router.state.table.clear()
        self.changed()
        self.wait(RECHECK_SECONDS + 1)
        self.assertEqual(self.states(), {MappingState.ACTIVE})

    def test_an_event_while_a_look_is_under_way_is_looked_after(self) -> None:
        """That look may have been answered before what was evented."""
        self.hold()
        connection = self.gateway.wan.connection
        answered: Deferred[Fact] = Deferred()
        seen = self.successResultOf(Deferred.fromCoroutine(connection.look("TCP", 8080)))
        patched = self.patch(connection, "read_entry", lambda *args, **more: answered)
        self.changed()
        self.wait(RECHECK_SECONDS + 0.5)
        patched.restore()
        self.router.state.table.clear()
        self.changed()
        self.wait(RECHECK_SECONDS + 0.5)
        self.assertEqual(len(self.router.table), 0)
        answered.callback(seen)
        self.wait(0.2)
        self.assertEqual(len(self.router.table), 1)


class PaceTests(GatewayTestCase):
    def test_a_few_at_once_and_then_one_at_a_time(self) -> None:
        pace, now, looks = Pace(), 0.0, []
        while now < 600:
            now += pace.wait(now)
            looks.append(now)
        self.assertEqual(looks[:TABLE_LOOKS_AT_ONCE], [RECHECK_SECONDS * (n + 1) for n in range(TABLE_LOOKS_AT_ONCE)])
        self.assertLessEqual(len(looks), STORM + 1)
        self.assertEqual(pace.wait(now + TABLE_LOOK_SECONDS * TABLE_LOOKS_AT_ONCE), RECHECK_SECONDS)


class LastToldTests(GatewayTestCase):
    def test_news_is_what_differs(self) -> None:
        last = LastTold()
        self.assertEqual(last.take({"a": 1, "b": None}), {"a", "b"})
        self.assertEqual(last.take({"a": 2, "b": None}), {"a"})
        self.assertEqual(last.take({"a": 2}), set())
        last.forget()
        self.assertEqual(last.take({"a": 2}), {"a"})

    def test_D6_names_without_end_are_not_kept(self) -> None:
        last = LastTold()
        for number in range(3 * SCPD_VARIABLES):
            last.take({"SystemUpdateID": "1", f"X_{number}": "1"})
        self.assertEqual(len(last), SCPD_VARIABLES)
        self.assertEqual(last.take({"SystemUpdateID": "1"}), set(), "what is told again and again stays")

    def test_D6_nor_by_a_gateway(self) -> None:
        self.open()
        self.initial()
        for seq in range(1, 20):
            self.event(seq, **{f"X{seq}_{number}": "1" for number in range(100)})
            self.clock.pump([0.5, 0.6])
        self.assertLessEqual(max(len(last) for last in self.gateway._own_events._last.values()), SCPD_VARIABLES)
