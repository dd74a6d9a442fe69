"""Held pinholes: the set, the driver and the gateway's firewall together, on a clock of the test."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.ipv6_gateway import LAN6, OURS, OVER4, Gateway6, own
from txigd.errors import InvalidArgument, MappingRefused, MappingReleased, WaitTimeout
from txigd.igd.books import Books
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.pinhole import Pinhole, PinholeStatus
from txigd.igd.pinhole_books import record
from txigd.igd.pinholes import HeldPinhole, Pinholes
from txigd.interfaces import IMappingObserver
from txigd.limits import (
    FAREWELL_SECONDS,
    HTTP_TOTAL_SECONDS,
    LEFTOVERS_SECONDS,
    READ_TRIES,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
)
from txigd.testing import pinholes as testing
from txigd.upnp.http_reply import Reply

WEB = Pinhole("TCP", 8080)
GIVEN_UP_SECONDS = READ_TRIES * (HTTP_TOTAL_SECONDS + RETRY_FIRST_SECONDS)  # by a farewell to a silent gateway
NEW = ipaddress.IPv6Address("2001:db8:99::2")


@implementer(IMappingObserver)
class Observer:
    def __init__(self) -> None:
        self.states: list[str] = []

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        self.states.append(new.state.value)


@implementer(IMappingObserver)
class Raising:
    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        raise RuntimeError("of the application")


class PinholesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gateway = Gateway6(self.clock)
        self.lan = LAN6(self.clock, self.gateway)
        self.remote = self.lan.device(self.gateway)
        self.firewall = self.lan.firewall(self.remote)
        self.pinholes = Pinholes(self.clock, random=Random(1))
        self.observer = Observer()
        self.pinholes.observe(self.observer)

    def wait(self, seconds: float) -> None:
        """Time passes, a second at most at once."""
        while seconds > 0:
            self.clock.advance(min(1.0, seconds))
            seconds -= 1.0

    def held(self, wanted: Pinhole = WEB) -> HeldPinhole:
        """An open one."""
        held = self.pinholes.hold(wanted)
        self.pinholes.attach(self.firewall)
        self.wait(0.1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        return held

    def open_ports(self) -> list[int]:
        return sorted(pinhole.internal_port for _, pinhole in self.gateway.pinholes)

    def tearDown(self) -> None:
        self.successResultOf(self.pinholes.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_for_a_gateway_then_opens(self) -> None:
        held = self.pinholes.hold(WEB)
        active = held.when_active()
        self.wait(5)
        self.assertNoResult(active)
        self.assertEqual((held.status.state, held.address), (MappingState.WAITING, None))
        self.pinholes.attach(self.firewall)
        self.wait(0.1)
        status = self.successResultOf(active)
        self.assertEqual((status.unique_id, status.internal_client, status.lease_seconds), (1, OURS, 3600))
        self.assertEqual(held.address, OURS)
        self.assertEqual(self.observer.states, ["adding", "active"])

    def test_Q200_renewed_for_ever(self) -> None:
        self.held(Pinhole("TCP", 8080, lease_seconds=30))
        for _ in range(20):
            self.wait(20)
            self.assertEqual(self.open_ports(), [8080])
        self.assertNotIn("GetPinholePackets", self.lan.actions())  # Q198
        self.assertEqual(self.lan.actions().count("AddPinhole"), 1)
        self.assertEqual(self.observer.states, ["adding", "active"])

    def test_release_deletes(self) -> None:
        held = self.held()
        gone = held.release()
        self.assertTrue(held.leaving)
        self.successResultOf(gone)
        self.assertEqual(self.open_ports(), [])
        self.assertEqual(len(self.pinholes), 1)  # observers hear first
        self.wait(0.1)
        self.assertEqual(len(self.pinholes), 0)
        self.failureResultOf(held.when_active(), MappingReleased)
        self.successResultOf(held.release())

    def test_left_it_stays_open_until_its_lease_is_over(self) -> None:
        held = self.held()
        held.leave()
        self.wait(3000)
        self.assertEqual(self.open_ports(), [8080])
        self.wait(700)
        self.assertEqual(self.open_ports(), [])

    def test_opened_anew_when_the_gateway_lost_it(self) -> None:
        held = self.held()
        self.gateway.pinholes.clear()
        self.wait(61)
        self.assertEqual(self.open_ports(), [8080])
        self.assertEqual((held.status.state, held.status.unique_id), (MappingState.ACTIVE, 2))
        self.gateway.pinholes.clear()
        self.pinholes.recheck()
        self.assertEqual(self.open_ports(), [8080])

    def test_an_id_that_belongs_to_another_host_now_is_never_deleted(self) -> None:
        """After a restart that nobody noticed the gateway gave our UniqueID away; it says 606."""
        held = self.held()
        self.gateway.faults["UpdatePinhole"] = 606
        self.wait(61)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertNotIn("DeletePinhole", self.lan.actions())

    def test_a_restart_opens_anew_without_asking_for_the_old_id(self) -> None:
        held = self.held()
        self.gateway.pinholes.clear()
        self.firewall.forget()
        self.pinholes.attach(self.firewall, restarted=True)
        self.wait(0.1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertNotIn("UpdatePinhole", self.lan.actions())
        self.assertEqual(self.observer.states, ["adding", "active", "lost", "active"])

    def test_Q196_refused_is_told_and_tried_again_in_minutes(self) -> None:
        self.gateway.state.pinholes.inbound_allowed = False
        held = self.pinholes.hold(WEB)
        active = held.when_active()
        self.pinholes.attach(self.firewall)
        self.wait(0.1)
        self.assertIn("settings let no host", str(self.failureResultOf(active, MappingRefused).value))
        self.wait(100)
        self.assertEqual(self.lan.actions().count("GetFirewallStatus"), 1)
        self.gateway.state.pinholes.inbound_allowed = True
        self.wait(201)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_without_IPv6_it_is_refused_with_the_reason_and_opened_once_there_is(self) -> None:
        remote = self.lan.device(self.gateway, OVER4)
        held = self.pinholes.hold(WEB)
        self.pinholes.attach(self.lan.firewall(remote))
        self.wait(6)
        self.assertEqual(held.status.state, MappingState.REFUSED)
        self.assertEqual(held.status.reason, "the gateway did not show itself over IPv6")
        remote.sightings |= self.remote.sightings
        self.wait(61)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_Q194_without_a_stable_address_it_is_refused_with_the_reason(self) -> None:
        self.lan.own = ()
        held = self.pinholes.hold(WEB)
        self.pinholes.attach(self.firewall)
        self.wait(0.1)
        self.assertIn("no stable global IPv6 address", held.status.reason)
        self.lan.own = (own(OURS),)
        self.wait(61)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_a_new_prefix_moves_the_pinhole_to_the_new_address(self) -> None:
        held = self.held()
        self.lan.own = (own(OURS, deprecated=True), own(NEW))
        self.wait(61)
        self.assertEqual(held.address, NEW)
        self.assertEqual({source for source, _, name in self.lan.asked[-1:]}, {str(NEW)})

    def test_a_better_address_does_not_move_it(self) -> None:
        self.lan.own = (own(NEW),)
        held = self.held()
        self.lan.own = (own(NEW), own(OURS, permanent=True))
        self.wait(130)
        self.assertEqual(held.address, NEW)

    def test_silence_is_lost_and_recovered(self) -> None:
        held = self.held()
        self.gateway.faults["*"] = "hang"
        self.wait(75)
        self.assertEqual(held.status.state, MappingState.ACTIVE, "one call failed so far")
        self.wait(35)
        self.assertEqual(held.status.state, MappingState.LOST)
        self.gateway.faults.clear()
        self.wait(10)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertEqual(self.open_ports(), [8080])

    def test_waiting_for_a_silent_gateway_has_a_limit(self) -> None:
        self.gateway.faults["*"] = "hang"
        held = self.pinholes.hold(WEB)
        active = held.when_active(timeout=3)
        self.pinholes.attach(self.firewall)
        self.wait(4)
        self.failureResultOf(active, WaitTimeout)
        self.gateway.faults.clear()
        self.wait(30)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_detached_it_stays_wanted(self) -> None:
        held = self.held()
        self.pinholes.detach("the gateway is gone")
        self.assertEqual((held.status.state, held.status.reason), (MappingState.LOST, "the gateway is gone"))
        self.wait(100)
        asked = len(self.lan.asked)
        self.wait(100)
        self.assertEqual(len(self.lan.asked), asked)
        self.pinholes.attach(self.firewall, restarted=False)
        self.wait(0.1)
        self.assertEqual((held.status.state, held.status.unique_id), (MappingState.ACTIVE, 1))

    def test_released_without_a_gateway_it_is_gone_at_once(self) -> None:
        held = self.held()
        self.pinholes.detach("gone")
        self.successResultOf(held.release())
        self.wait(0.1)
        self.assertEqual(self.observer.states[-1], "released")

    def test_F33_released_while_the_gateway_is_away(self) -> None:
        """No journal is kept: what this run did is remembered all the same."""
        held, other = self.held(), self.held(Pinhole("TCP", 8081))
        self.pinholes.detach("the gateway is gone")
        self.successResultOf(held.release())
        self.assertEqual(self.open_ports(), [8080, 8081])
        self.pinholes.attach(self.firewall, restarted=False)
        self.wait(LEFTOVERS_SECONDS + 0.1)
        self.assertEqual((self.open_ports(), other.status.state), ([8081], MappingState.ACTIVE))

    def test_F33_a_gateway_that_is_silent_when_it_is_back_is_asked_again(self) -> None:
        for silent in ("AddPinhole", "DeletePinhole"):
            held = self.held()
            self.pinholes.detach("the gateway is gone")
            self.successResultOf(held.release())
            self.gateway.faults[silent] = "hang"
            self.pinholes.attach(self.firewall, restarted=False)
            self.wait(LEFTOVERS_SECONDS + HTTP_TOTAL_SECONDS + 0.1)
            self.gateway.faults.clear()
            self.assertEqual(self.on_record(), [8080])
            self.wait(RETRY_CEILING_SECONDS)
            self.assertEqual((self.open_ports(), self.on_record(), self.clock.getDelayedCalls()), ([], [], []))

    def test_D6_what_is_refused_is_left_to_its_lease(self) -> None:
        held = self.held()
        self.pinholes.detach("the gateway is gone")
        held.release()
        self.gateway.faults["AddPinhole"] = 501
        self.lan.asked.clear()
        self.pinholes.attach(self.firewall, restarted=False)
        self.wait(2 * RETRY_CEILING_SECONDS)
        self.assertEqual(self.lan.actions().count("AddPinhole"), 1)

    def test_F45_a_delete_under_way_when_the_gateway_is_opened_again(self) -> None:
        held = self.held()
        self.gateway.faults["DeletePinhole"] = "hang"
        gone = held.release()
        self.wait(0.5)
        self.gateway.faults.clear()
        self.pinholes.attach(self.firewall)  # it was away for a moment, and forgot nothing
        self.wait(1)
        self.successResultOf(gone)
        self.assertEqual((held.status.state, self.open_ports()), (MappingState.RELEASED, []))

    def test_F45_a_delete_that_meets_trouble_is_sent_again(self) -> None:
        for fault in ("hang", 2503):
            held = self.held()
            self.gateway.faults["DeletePinhole"] = fault
            gone = held.release()
            self.wait(0.5)
            self.gateway.faults.clear()
            self.wait(HTTP_TOTAL_SECONDS + RETRY_FIRST_SECONDS)
            self.successResultOf(gone)
            self.assertEqual((held.status.state, self.open_ports()), (MappingState.RELEASED, []), fault)

    def test_F16_another_gateway_takes_over_while_they_are_deleted(self) -> None:
        """Only one request is on its way at a time: the others are queued."""
        held = [self.held(Pinhole("TCP", port)) for port in (8080, 8081, 8082)]
        self.wait(LEFTOVERS_SECONDS)
        self.gateway.faults["DeletePinhole"] = "hang"
        gone = [one.release() for one in held]
        self.wait(0.5)
        self.gateway.faults.clear()
        self.pinholes.part("another gateway took over")
        self.wait(FAREWELL_SECONDS)
        for one in gone:
            self.successResultOf(one)
        self.assertEqual((self.open_ports(), self.on_record()), ([], []))

    def test_F16_parted_from_before_anything_was_asked(self) -> None:
        former = self.held()
        self.gateway.faults["DeletePinhole"] = "hang"
        former.release()
        self.pinholes.hold(WEB)  # waits for it
        self.wait(0.5)
        self.gateway.faults.clear()
        self.lan.asked.clear()
        self.pinholes.part("another gateway took over")
        self.wait(FAREWELL_SECONDS)
        self.assertEqual((self.lan.actions().count("AddPinhole"), self.open_ports()), (0, []))

    def test_another_gateway_takes_over(self) -> None:
        held = self.held()
        second = Gateway6(self.clock, "192.168.1.2", "[2001:db8:77::20]", udn="uuid:2")
        self.lan.gateways = (self.gateway, second)
        self.pinholes.part("another gateway took over")
        self.assertEqual(self.open_ports(), [])
        self.pinholes.attach(self.lan.firewall(self.lan.device(second)))
        self.wait(0.1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertEqual(len(second.pinholes), 1)

    def test_held_again_while_the_former_leaves(self) -> None:
        former = self.held()
        self.gateway.faults["DeletePinhole"] = "hang"
        former.release()
        held = self.pinholes.hold(WEB)
        self.assertIsNot(held, former)
        self.wait(1)
        self.assertEqual(held.status.state, MappingState.WAITING)
        self.wait(GIVEN_UP_SECONDS)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.gateway.faults.clear()

    def test_the_same_twice_and_too_many(self) -> None:
        held = self.held()
        self.assertIs(self.pinholes.hold(WEB), held)
        self.assertRaises(InvalidArgument, self.pinholes.hold, Pinhole("TCP", 8080, lease_seconds=60))
        self.pinholes.hold(Pinhole("TCP", 8080, remote_port=7))
        few = Pinholes(self.clock, most=1)
        few.hold(WEB)
        self.assertRaises(InvalidArgument, few.hold, Pinhole("UDP", 8080))
        self.successResultOf(few.stop())

    def test_stop_is_bounded(self) -> None:
        for port in (8080, 8081):
            self.held(Pinhole("TCP", port))
        self.gateway.faults["DeletePinhole"] = "hang"
        stopped = self.pinholes.stop(5)
        self.assertNoResult(stopped)
        self.wait(5)
        self.successResultOf(stopped)
        self.assertEqual((len(self.pinholes), self.lan.hanging), (0, set()))

    def test_F60_an_observer_that_raises_is_logged(self) -> None:
        self.pinholes.observe(raising := Raising())
        self.pinholes.observe(other := Observer())
        self.held()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertEqual(other.states, ["adding", "active"])
        self.pinholes.forget(raising)

    def test_F46_an_extension_is_due_before_the_lease_ends(self) -> None:
        held = self.held(Pinhole("TCP", 8080, lease_seconds=40))
        due: list[float | None] = []
        extend = self.firewall.extend

        async def note(*what: Any, **more: Any) -> Any:
            due.append(more["due"])
            return await extend(*what, **more)

        self.patch(self.firewall, "extend", note)
        self.wait(25)
        self.assertEqual([round(seconds or 0) for seconds in due], [40])
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F46_the_due_time_reaches_the_gateway_s_queue(self) -> None:
        service = self.successResultOf(Deferred.fromCoroutine(self.firewall._located(self.firewall.client())))
        due: list[float | None] = []

        def note(*_: Any, **more: Any) -> Deferred[dict[str, Any]]:
            due.append(more["due"])
            return succeed({})

        self.patch(service.proxy, "call", note)
        service.due_by(7.0).get_firewall_status()
        service.get_firewall_status()
        self.assertEqual(due, [7.0, None])

    def test_a_fault_of_ours_is_no_end(self) -> None:
        self.patch(self.firewall, "open", lambda *_, **__: 1 / 0)
        held = self.pinholes.hold(WEB)
        self.pinholes.attach(self.firewall)
        self.wait(0.1)
        self.assertIn("ZeroDivisionError", held.status.reason)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_Q199_numbers_are_kept_and_leftovers_closed_by_their_values(self) -> None:
        journal = Journal()
        first = Pinholes(self.clock, books=Books(journal, self.clock.seconds), random=Random(1))
        for port in (8080, 8081):
            first.hold(Pinhole("TCP", port))
        first.attach(self.firewall)
        self.wait(0.1)
        self.assertEqual(
            [(one.unique_id, one.internal_port) for one in journal.pinholes("uuid:1")], [(1, 8080), (2, 8081)]
        )
        self.pinholes, killed = Pinholes(self.clock, books=Books(journal, self.clock.seconds), random=Random(2)), first
        for held in killed:
            held._running.cancel()  # type: ignore[union-attr]
        # meanwhile the gateway restarted, and gave our second number to another program of this host
        self.gateway.pinholes.clear()
        self.gateway.pinholes._last_id = 1
        table = self.gateway.pinholes
        table.add(testing.Pinhole(str(OURS), 7777, 6), 3600, now=self.clock.seconds())
        self.pinholes.hold(WEB)
        self.pinholes.attach(self.firewall)
        self.wait(LEFTOVERS_SECONDS + 0.1)
        self.assertEqual(self.open_ports(), [7777, 8080])
        self.assertEqual([one.internal_port for one in journal.pinholes("uuid:1")], [8080])
        self.successResultOf(self.pinholes.stop())
        self.assertEqual((self.open_ports(), journal.pinholes("uuid:1")), ([7777], ()))

    def killed(self, *wanted: Pinhole) -> Journal:
        """What is on record after a life that held these and was killed at its last request."""
        journal = Journal()
        first = Pinholes(self.clock, books=Books(journal, self.clock.seconds), random=Random(1))
        first.attach(self.firewall)
        for one in wanted:
            first.hold(one)
        self.wait(0.1)
        octets = journal.encode(self.clock.seconds())
        first.detach("killed")
        for held in first:
            held.abandon()
        self.wait(0.1)
        return Journal.decode(octets, now=self.clock.seconds())

    def test_Q199_what_is_wanted_when_the_gateway_is_found_keeps_its_number(self) -> None:
        """Applications say what they want as soon as they are told of a gateway: a moment after it was attached."""
        journal = self.killed(WEB, Pinhole("TCP", 8081))
        self.pinholes = Pinholes(self.clock, books=Books(journal, self.clock.seconds), random=Random(2))
        self.lan.asked.clear()
        self.pinholes.attach(self.firewall)
        held = self.pinholes.hold(WEB)
        self.wait(0.1)
        self.assertEqual((held.status.state, held.status.unique_id), (MappingState.ACTIVE, 1))
        self.wait(LEFTOVERS_SECONDS)
        self.assertEqual(self.open_ports(), [8080])
        self.assertEqual(self.lan.actions().count("DeletePinhole"), 1)
        self.assertEqual([one.unique_id for one in journal.pinholes("uuid:1")], [1])

    def test_Q199_killed_while_it_was_opened(self) -> None:
        """AddPinhole was carried out, and nobody was there to hear the answer."""
        opens = self.firewall.open
        answer: Deferred[None] = Deferred()

        async def slow(*given: Any, **more: Any) -> Any:
            fact = await opens(*given, **more)
            await answer
            return fact

        patched = self.patch(self.firewall, "open", slow)
        journal = self.killed(WEB)
        patched.restore()
        self.assertEqual(self.open_ports(), [8080])
        self.pinholes = Pinholes(self.clock, books=Books(journal, self.clock.seconds), random=Random(2))
        self.pinholes.attach(self.firewall)
        self.wait(LEFTOVERS_SECONDS + 0.1)
        self.assertEqual((self.open_ports(), journal.pinholes("uuid:1")), ([], ()))

    def unanswered(self) -> HeldPinhole:
        """AddPinhole was carried out, and its answer got lost; it is tried again in a second."""
        add = self.gateway.answer

        def answer(method: str, url: Any, headers: Any, body: bytes, source: str) -> Reply | None:
            done = add(method, url, headers, body, source)
            return None if b"AddPinhole" in body else done

        lost = self.patch(self.gateway, "answer", answer)
        self.pinholes = Pinholes(self.clock, books=Books(Journal(), self.clock.seconds), random=Random(2))
        held = self.pinholes.hold(WEB)
        self.pinholes.attach(self.firewall)
        self.wait(HTTP_TOTAL_SECONDS + 0.2)
        self.assertEqual((held.status.state, self.open_ports()), (MappingState.ADDING, [8080]))
        lost.restore()
        return held

    def on_record(self) -> list[int]:
        return [one.internal_port for one in self.pinholes._books.journal.pinholes("uuid:1")]

    def test_F45_released_after_an_answer_that_got_lost(self) -> None:
        held = self.unanswered()
        gone = held.release()
        self.wait(1)
        self.successResultOf(gone)
        self.assertEqual((self.open_ports(), self.on_record()), ([], []))

    def test_F45_F16_parted_from_after_an_answer_that_got_lost(self) -> None:
        held = self.unanswered()
        self.pinholes.part("another gateway took over")
        self.wait(1)
        self.assertEqual((self.open_ports(), self.on_record(), held.leaving), ([], [], False))

    def test_F45_what_cannot_be_asked_for_again_stays_on_record(self) -> None:
        for fault in ("hang", 501):
            held = self.unanswered()
            self.gateway.faults["AddPinhole"] = fault
            gone = held.release()
            self.wait(GIVEN_UP_SECONDS)
            self.successResultOf(gone)
            self.assertEqual((held.status.state, self.on_record()), (MappingState.RELEASED, [8080]))
            self.gateway.faults.clear()
            self.pinholes.attach(self.firewall)  # as in the next life
            self.wait(LEFTOVERS_SECONDS + 0.1)
            self.assertEqual((self.open_ports(), self.on_record()), ([], []))

    def test_F45_F16_parted_from_where_it_cannot_be_asked_for_again_it_stays_on_record(self) -> None:
        self.unanswered()
        self.gateway.faults["AddPinhole"] = 501
        self.pinholes.part("another gateway took over")
        self.wait(1)
        self.assertEqual((self.open_ports(), self.on_record()), ([8080], [8080]))

    def test_Q199_what_was_refused_or_never_sent_is_not_on_record(self) -> None:
        for faults in ({"AddPinhole": 606}, {"GetFirewallStatus": "hang"}):
            self.gateway.faults.update(faults)
            self.assertEqual(self.killed(WEB).pinholes("uuid:1"), ())
            self.gateway.faults.clear()

    def test_Q199_what_has_run_out_or_is_for_an_address_of_the_past_is_left(self) -> None:
        journal = Journal()
        books = Books(journal, self.clock.seconds)
        record(books, "uuid:1", WEB, 7, NEW)
        self.pinholes = Pinholes(self.clock, books=books, random=Random(2))
        self.pinholes.attach(self.firewall)
        self.wait(LEFTOVERS_SECONDS + 0.1)
        self.assertEqual((self.lan.actions(), len(journal.pinholes("uuid:1"))), ([], 1))
        self.clock.advance(4000)
        self.pinholes.attach(self.firewall)
        self.wait(LEFTOVERS_SECONDS + 0.1)
        self.assertEqual((self.lan.actions(), journal.pinholes("uuid:1")), ([], ()))

    def test_Q199_what_is_wanted_while_it_is_being_closed_is_opened_afterwards(self) -> None:
        journal = Journal()
        books = Books(journal, self.clock.seconds)
        record(books, "uuid:1", WEB, 7, OURS)
        self.pinholes = Pinholes(self.clock, books=books, random=Random(2))
        held, open_it = self.settling()
        self.assertEqual((self.lan.actions(), held.status.state), ([], MappingState.WAITING))
        open_it()
        self.wait(0.1)
        self.assertEqual((held.status.state, self.open_ports()), (MappingState.ACTIVE, [8080]))
        self.assertEqual([one.unique_id for one in journal.pinholes("uuid:1")], [held.status.unique_id])

    def test_Q199_nor_is_what_another_set_wants_there_opened_before(self) -> None:
        books = Books(Journal(), self.clock.seconds)
        record(books, "uuid:1", WEB, 7, OURS)
        settler = self.pinholes = Pinholes(self.clock, books=books, random=Random(2))
        current = Pinholes(self.clock, books=books, random=Random(3))
        settler.settles_for = lambda: (settler, current)
        patched, open_it = self.slowly()
        settler.attach(self.firewall)
        current.attach(self.firewall, settled_by=settler)
        self.wait(LEFTOVERS_SECONDS)
        patched.restore()
        held = current.hold(WEB)
        self.wait(0.1)
        self.assertEqual((self.lan.actions(), held.status.state), ([], MappingState.WAITING))
        open_it()
        self.wait(0.1)
        self.assertEqual((held.status.state, self.open_ports()), (MappingState.ACTIVE, [8080]))
        self.assertEqual([one.unique_id for one in books.journal.pinholes("uuid:1")], [held.status.unique_id])
        self.successResultOf(current.stop())

    def slowly(self) -> tuple[Any, Callable[[], None]]:
        """The firewall opens nothing before it is told to; the patch, and what tells it."""
        slow: Deferred[None] = Deferred()
        opens = self.firewall.open

        async def opened(*given: Any, **more: Any) -> Any:
            await slow
            return await opens(*given, **more)

        return self.patch(self.firewall, "open", opened), lambda: slow.callback(None)

    def settling(self) -> tuple[HeldPinhole, Callable[[], None]]:
        """One that is wanted while it is being closed, and what lets the closing go on."""
        patched, open_it = self.slowly()
        self.pinholes.attach(self.firewall)
        self.wait(LEFTOVERS_SECONDS)
        patched.restore()
        held = self.pinholes.hold(WEB)
        self.wait(0.1)
        return held, open_it

    def test_nothing_is_opened_once_it_is_not_wanted(self) -> None:
        for end in (lambda held: held.leave(), lambda held: held.release(), lambda held: self.pinholes.stop()):
            books = Books(Journal(), self.clock.seconds)
            record(books, "uuid:1", WEB, 7, OURS)
            self.pinholes = Pinholes(self.clock, books=books, random=Random(2))
            held, open_it = self.settling()
            end(held)
            open_it()
            self.wait(0.1)
            self.assertEqual((held.status.state, self.open_ports()), (MappingState.RELEASED, []))

    def test_settling_ends_with_the_gateway(self) -> None:
        books = Books(Journal(), self.clock.seconds)
        record(books, "uuid:1", WEB, 7, OURS)
        self.gateway.faults["*"] = "hang"
        for end in (lambda: self.pinholes.detach("gone"), lambda: self.pinholes.part("another")):
            self.pinholes = Pinholes(self.clock, books=books, random=Random(2))
            self.pinholes.attach(self.firewall)
            end()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.pinholes.attach(self.firewall)
            self.wait(LEFTOVERS_SECONDS)
            self.assertEqual(len(self.lan.hanging), 1)
            end()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_status_of_one_that_is_released(self) -> None:
        held = self.held()
        held.release()
        self.assertEqual(held.status, PinholeStatus(MappingState.RELEASED, 1, OURS))
