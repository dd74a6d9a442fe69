"""Pure: wanted pinholes and the machine that keeps them open."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import InvalidArgument
from txigd.igd.lease_facts import Added, Denied, Done, Failed, MappingState, Missing, Rest, Unreadable
from txigd.igd.pinhole import Close, Closed, Extend, NoAddress, Open, Opened, Pinhole
from txigd.igd.pinhole_lease import PinholeLease
from txigd.limits import (
    ADDS_FREE,
    DAY_SECONDS,
    FAILURES_BORNE,
    LEFTOVER_PINHOLE_SECONDS,
    READ_TRIES,
    RENEW_FLOOR_SECONDS,
    RENEW_JITTER,
    RENEWAL_DUE_SECONDS,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
    TRIES_BEFORE_THE_END,
    VERIFY_SECONDS,
)

US = ipaddress.IPv6Address("2001:db8::7")
A_DAY_OF_TRIES = ADDS_FREE + 30 + DAY_SECONDS / RETRY_CEILING_SECONDS


class PinholeTests(SynchronousTestCase):
    def test_text(self):
        self.assertEqual(Pinhole.from_text("tcp:8080"), Pinhole("TCP", 8080))
        self.assertEqual(str(Pinhole("UDP", 9)), "udp6:9")

    def test_Q200_bad_values_say_what_is_right(self):
        bad: list[dict[str, Any]] = [
            {"internal_port": 0},
            {"remote_port": -1},
            {"lease_seconds": 0},
            {"lease_seconds": 86_401},
            {"protocol": "SCTP"},
            {"protocol": None},
            {"remote_host": "11.0.0.1"},
            {"internal_client": "fe80::1"},
            {"internal_client": "::1"},
        ]
        for fields in bad:
            with self.subTest(repr(fields)):
                self.assertRaises(InvalidArgument, Pinhole, **{"protocol": "tcp", "internal_port": 80, **fields})
        for text in ("tcp", "tcp:", "tcp:x", "tcp:1:2", "icmp:1", "tcp:99999"):
            self.assertRaises(InvalidArgument, Pinhole.from_text, text)


class PinholeLeaseTests(SynchronousTestCase):
    def lease(self, **more):
        return PinholeLease(Pinhole("TCP", 8080), spread=lambda: 0.0, **more)

    def opened(self):
        lease = self.lease()
        self.assertEqual(lease.next(0.0), Open(3600))
        lease.learn(Opened(42, US), 0.0)
        self.assertEqual(lease.status.state, MappingState.ACTIVE)
        return lease

    def test_opened_and_extended(self):
        lease = self.opened()
        self.assertEqual(lease.status.internal_client, US)
        self.assertEqual(lease.next(1.0), Rest(60.0))
        self.assertEqual(lease.next(60.0), Extend(42, 3600))
        lease.learn(Added(), 60.0)
        self.assertEqual(lease.next(61.0), Rest(120.0))

    def test_Q200_a_short_lease_is_extended_at_half_time(self):
        """A second early, since gateways count whole ones."""
        for seconds, latest in ((100, 59.4), (30, 17.4), (20, 11.4)):
            lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=seconds), spread=lambda: 1.0)
            self.assertEqual(lease.next(0.0), Open(seconds))
            lease.learn(Opened(42, US), 0.0)
            command = lease.next(0.1)
            assert isinstance(command, Rest)
            self.assertAlmostEqual(command.until, latest)

    def keep(self, lease, seconds, lifetime=float("inf")):
        """Let time pass on a firewall that forgets what it was given after some seconds; returns what was asked."""
        now, opened, asked = 0.0, None, []
        while now < seconds:
            command = lease.next(now)
            if isinstance(command, Rest):
                now = command.until
                continue
            asked.append(command)
            if isinstance(command, Extend) and (opened is None or now - opened > lifetime):
                lease.learn(Missing(), now)
                continue
            opened = now
            lease.learn(Opened(42, US) if isinstance(command, Open) else Added(), now)
        return asked

    def test_D6_a_lease_that_cannot_be_kept_is_not_chased(self):
        for seconds in (1, 2, 5, 19):
            with self.subTest(lease=seconds):
                lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=seconds), spread=lambda: 0.0)
                self.assertLessEqual(len(self.keep(lease, 60)), 1 + 60 / RENEW_FLOOR_SECONDS)
                lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=seconds), spread=lambda: 0.0)
                self.assertLess(len(self.keep(lease, DAY_SECONDS)), A_DAY_OF_TRIES)
                self.assertIn("too short", lease.status.reason)

    def test_D6_what_is_dropped_again_and_again(self):
        lease = PinholeLease(Pinhole("TCP", 8080), spread=lambda: 0.0)
        opened = [command for command in self.keep(lease, DAY_SECONDS, lifetime=5) if isinstance(command, Open)]
        self.assertLess(len(opened), A_DAY_OF_TRIES)
        self.assertGreater(len(opened), 200)

    def test_D6_nor_is_it_for_events_that_tell_of_it(self):
        lease, now, opened = PinholeLease(Pinhole("TCP", 8080), spread=lambda: 0.0), 0.0, 0
        for _ in range(3600):
            now += 1
            lease.recheck(now)
            while not isinstance(command := lease.next(now), Rest):
                opened += isinstance(command, Open)
                lease.learn(Opened(42, US) if isinstance(command, Open) else Missing(), now)
        self.assertLess(opened, A_DAY_OF_TRIES)
        lease.gateway_restarted(now)
        self.assertEqual(lease.next(now), Open(3600), "a restart is no fault of its own")

    def test_F46_a_short_lease_that_can_be_kept_is(self):
        for seconds in (20, 60):
            lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=seconds), spread=lambda: 1.0)
            self.keep(lease, DAY_SECONDS, lifetime=seconds)
            self.assertEqual((lease.losses, lease.status.reason), (0, ""))

    def test_Q199_an_id_of_an_earlier_life_is_extended_first(self):
        lease = self.lease(unique_id=7)
        self.assertEqual(lease.next(0.0), Extend(7, 3600))
        lease.learn(Missing(), 0.0)
        self.assertEqual(lease.next(0.0), Open(3600))

    def test_704_means_a_new_pinhole(self):
        lease = self.opened()
        self.assertEqual(lease.next(60.0), Extend(42, 3600))
        lease.learn(Missing(), 60.0)
        self.assertEqual(lease.status.state, MappingState.LOST)
        self.assertEqual(lease.next(60.0), Open(3600))

    def test_without_UpdatePinhole_it_is_added_again(self):
        lease = self.opened()
        lease.next(60.0)
        lease.learn(Unreadable(), 60.0)
        self.assertEqual(lease.status.state, MappingState.ACTIVE)
        for now in (60.0, 120.0):
            self.assertEqual(lease.next(now), Open(3600))
            lease.learn(Opened(42, US), now)
        lease.release()
        self.assertEqual(lease.next(121.0), Close(42))

    def test_what_the_gateway_did_not_refuse_is_looked_for_sooner(self):
        lease = self.lease()
        lease.next(0.0)
        lease.learn(Denied(0, "not seen over IPv6"), 0.0)
        self.assertEqual((lease.status.state, lease.status.reason), (MappingState.REFUSED, "not seen over IPv6"))
        self.assertEqual(lease.next(60.0), Open(3600))

    def test_Q196_a_closed_firewall_is_no_retry_storm(self):
        lease = self.lease()
        lease.next(0.0)
        lease.learn(Denied(703, "InboundPinholeNotAllowed"), 0.0)
        self.assertEqual(lease.status.state, MappingState.REFUSED)
        self.assertEqual(lease.next(299.0), Rest(300.0))
        self.assertEqual(lease.next(300.0), Open(3600))

    def unsure(self):
        """One whose add had no answer."""
        lease = self.lease()
        lease.next(0.0)
        lease.learn(Failed("timed out"), 10.0)
        return lease

    def test_F45_released_after_an_add_that_had_no_answer(self):
        lease = self.unsure()
        lease.release()
        self.assertEqual(lease.next(10.0), Open(LEFTOVER_PINHOLE_SECONDS), "it tells the number")
        lease.gateway_restarted(10.0)
        lease.release()
        lease.learn(Opened(42, US), 11.0)
        self.assertNotEqual(lease.status.state, MappingState.ACTIVE)
        self.assertEqual((lease.next(11.0), lease.client), (Close(42), US))
        lease.learn(Closed(), 11.0)
        self.assertEqual((lease.next(11.0), lease.status.state), (Done(), MappingState.RELEASED))

    def test_F45_what_is_refused_is_asked_for_once_only(self):
        for fact in (Denied(501, "Action Failed"), NoAddress("none")):
            lease = self.unsure()
            lease.release()
            lease.learn(fact, 10.0)
            self.assertEqual((lease.next(10.0), lease.status.state), (Done(), MappingState.RELEASED))
            lease = self.opened()
            lease.next(60.0)
            lease.learn(Unreadable(), 60.0)
            lease.learn(Failed("timed out"), 60.0)
            lease.release()
            self.assertEqual(lease.next(61.0), Open(LEFTOVER_PINHOLE_SECONDS))
            lease.learn(fact, 61.0)
            self.assertEqual(lease.next(61.0), Close(42), "the number of before is better than none")

    def without_answer(self, lease, now):
        """What a farewell asks for, and when, from a gateway that answers nothing."""
        asked = []
        while (command := lease.next(now)) != Done():
            if isinstance(command, Rest):
                now = command.until
            else:
                asked.append((now, command))
                lease.learn(Failed("timed out"), now)
        self.assertEqual(lease.status.state, MappingState.RELEASED)
        return asked

    def test_F45_a_farewell_that_has_no_answer_is_tried_again(self):
        times = [10.0 + number * RETRY_FIRST_SECONDS for number in range(READ_TRIES)]
        for lease, command in ((self.opened(), Close(42)), (self.unsure(), Open(LEFTOVER_PINHOLE_SECONDS))):
            lease.release()
            self.assertEqual(self.without_answer(lease, 10.0), [(now, command) for now in times])
        lease = self.opened()
        lease.release()
        lease.next(10.0)
        lease.learn(Failed("connection lost"), 10.0)
        self.assertEqual(lease.next(10.0), Rest(10.0 + RETRY_FIRST_SECONDS))
        self.assertEqual(lease.next(10.0 + RETRY_FIRST_SECONDS), Close(42))
        lease.learn(Closed(), 11.0)
        self.assertEqual((lease.next(11.0), lease.status.state), (Done(), MappingState.RELEASED))

    def test_F45_the_number_of_before_is_better_than_none(self):
        lease = self.opened()
        lease.next(60.0)
        lease.learn(Unreadable(), 60.0)
        lease.learn(Failed("timed out"), 60.0)
        lease.release()
        recall = Open(LEFTOVER_PINHOLE_SECONDS)
        self.assertEqual([one for _, one in self.without_answer(lease, 61.0)], [*[recall] * READ_TRIES, Close(42)])

    def test_F45_a_restart_between_two_tries(self):
        lease = self.opened()
        lease.release()
        lease.next(5.0)
        lease.learn(Failed("timed out"), 5.0)
        lease.gateway_restarted(5.5)
        self.assertEqual(lease.next(5.5), Open(LEFTOVER_PINHOLE_SECONDS), "42 may be somebody else's by now")

    def test_F45_what_a_restart_took_needs_no_farewell(self):
        lease = self.unsure()
        lease.gateway_restarted(10.0)
        lease.release()
        self.assertEqual(lease.next(10.0), Done())

    def test_F46_a_refused_renewal_is_tried_again_before_the_lease_ends(self):
        """What is open stays open until then, whatever is said of its renewal; nor is that chased."""
        for refusal in (Denied(501, "Action Failed"), Denied(0, "HTTP status 500")):
            lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=240), spread=lambda: 0.0)
            lease.next(0.0)
            lease.learn(Opened(42, US), 0.0)
            tried, now = [], 60.0
            while now < 240:
                tried.append(now)
                self.assertNotIsInstance(lease.next(now), Rest)
                lease.learn(refusal, now)
                self.assertEqual((lease.status.state, lease.status.unique_id), (MappingState.ACTIVE, 42))
                self.assertIn(refusal.text, lease.status.reason)
                assert lease.status.next_attempt is not None
                self.assertGreaterEqual(lease.status.next_attempt - now, RENEW_FLOOR_SECONDS)
                now = lease.status.next_attempt
            self.assertGreaterEqual(len(tried), TRIES_BEFORE_THE_END)
            self.assertLess(now, 240 + RENEW_FLOOR_SECONDS)
            lease.next(now)
            lease.learn(refusal, now)
            self.assertEqual(lease.status.state, MappingState.REFUSED)
            rest = lease.next(now)
            self.assertEqual(rest, Rest(now + (RETRY_CEILING_SECONDS if refusal.code else VERIFY_SECONDS)))

    def test_a_long_lease_is_no_reason_to_hurry(self):
        """Nor do all who were refused come back at once."""
        for spread in (lambda: -1.0, lambda: 0.0):
            lease = PinholeLease(Pinhole("TCP", 8080), spread=spread)
            lease.next(0.0)
            lease.learn(Opened(42, US), 0.0)
            lease.next(60.0)
            lease.learn(Denied(501, "Action Failed"), 60.0)
            self.assertEqual(lease.next(60.0), Rest(60.0 + RETRY_CEILING_SECONDS * (1 + RENEW_JITTER * spread())))

    def test_Q194_what_leads_to_an_address_that_is_gone_works_no_more(self):
        lease = self.opened()
        lease.next(60.0)
        lease.learn(NoAddress("no stable address"), 60.0)
        self.assertEqual((lease.status.state, lease.status.reason), (MappingState.REFUSED, "no stable address"))
        self.assertEqual(lease.next(60.0), Rest(60.0 + VERIFY_SECONDS))
        lease.release()
        self.assertEqual(lease.next(61.0), Close(42))

    def test_silence_is_followed_by_an_extension(self):
        lease = self.opened()
        lease.next(60.0)
        lease.learn(Failed("timed out"), 60.0)
        self.assertEqual(lease.next(61.0), Extend(42, 3600))

    def test_F46_tries_come_closer_as_the_end_does(self):
        lease = PinholeLease(Pinhole("TCP", 8080, lease_seconds=120), spread=lambda: 0.0)
        lease.next(0.0)
        lease.learn(Opened(42, US), 0.0)
        now = 60.0
        while now < 119:
            self.assertEqual(lease.next(now), Extend(42, 120))
            self.assertEqual(lease.due_by(now), min(120, now + RENEWAL_DUE_SECONDS))
            lease.learn(Failed("no answer"), now)
            rest = lease.next(now)
            assert isinstance(rest, Rest)
            self.assertLessEqual(rest.until - now, max(RETRY_FIRST_SECONDS, (120 - now) / TRIES_BEFORE_THE_END))
            now = rest.until
        self.assertIsNone(lease.due_by(121.0), "what ran out waits like everybody")

    def test_F46_few_failures_leave_it_open(self):
        lease = self.opened()
        now = 60.0
        for _ in range(FAILURES_BORNE):
            lease.next(now)
            lease.learn(Failed("timed out"), now)
            self.assertEqual((lease.status.state, lease.status.reason), (MappingState.ACTIVE, "timed out"))
            self.assertEqual((lease.status.unique_id, lease.status.internal_client), (42, US))
            assert lease.status.next_attempt is not None
            now = lease.status.next_attempt
        lease.next(now)
        lease.learn(Failed("timed out"), now)
        self.assertEqual(lease.status.state, MappingState.LOST)
        lease.next(now + 10)
        lease.learn(Added(), now + 10)
        self.assertEqual((lease.status.state, lease.status.reason), (MappingState.ACTIVE, ""))

    def test_F46_what_has_run_out_is_lost_with_the_first_failure(self):
        lease = self.opened()
        lease.next(3600.0)
        lease.learn(Failed("timed out"), 3600.0)
        self.assertEqual(lease.status.state, MappingState.LOST)

    def test_a_restart_voids_the_id(self):
        lease = self.opened()
        lease.gateway_restarted(10.0)
        self.assertEqual(lease.next(10.0), Open(3600))

    def test_a_refused_extension_leaves_something_to_close(self):
        lease = self.opened()
        lease.next(60.0)
        lease.learn(Denied(703, "InboundPinholeNotAllowed"), 60.0)
        self.assertEqual(lease.status.state, MappingState.REFUSED)
        self.assertEqual(lease.next(360.0), Open(3600))
        lease.release()
        self.assertEqual(lease.next(360.0), Close(42))
        other = self.opened()
        other.next(60.0)
        other.learn(Denied(606, "Action not authorized"), 60.0)
        other.release()
        self.assertEqual(other.next(60.0), Done(), "it is somebody else's now")

    def test_release(self):
        lease = self.opened()
        lease.release()
        self.assertEqual(lease.next(5.0), Close(42))
        lease.learn(Closed(), 5.0)
        self.assertEqual(lease.next(5.0), Done())
        self.assertEqual(lease.status.state, MappingState.RELEASED)
        fresh = self.lease()
        fresh.release()
        self.assertEqual(fresh.next(0.0), Done())

    def test_F45_a_farewell_under_way_at_a_restart_goes_to_the_number_of_today(self):
        for leaving in (self.opened(), self.unsure()):
            leaving.release()
            self.assertIn(leaving.next(5.0), (Close(42), Open(LEFTOVER_PINHOLE_SECONDS)))
            leaving.learn(Failed("the gateway restarted"), 5.0)
            leaving.gateway_restarted(5.0)
            leaving.release()
            self.assertEqual(leaving.next(5.0), Open(LEFTOVER_PINHOLE_SECONDS))
            leaving.learn(Opened(43, US), 6.0)
            self.assertEqual(leaving.next(6.0), Close(43))
            self.assertEqual({one for _, one in self.without_answer(leaving, 6.0)}, {Close(43)})
            leaving.gateway_restarted(17.0)
            self.assertEqual(leaving.next(17.0), Done())

    def test_D6_F45_not_at_every_restart_for_ever(self):
        lease = self.opened()
        lease.release()
        for _ in range(READ_TRIES):
            self.assertNotEqual(lease.next(5.0), Done())
            lease.learn(Failed("the gateway restarted"), 5.0)
            lease.gateway_restarted(5.0)
        lease.learn(Failed("the gateway restarted"), 5.0)
        lease.gateway_restarted(5.0)
        self.assertEqual((lease.next(5.0), lease.status.state), (Done(), MappingState.RELEASED))

    @given(
        st.lists(
            st.sampled_from(
                [
                    Opened(1, US),
                    Added(),
                    Missing(),
                    Unreadable(),
                    Denied(606, ""),
                    Denied(501, ""),
                    NoAddress(""),
                    Failed(""),
                    Closed(),
                    "release",
                    "restart",
                    "recheck",
                    "silent",
                ]
            ),
            max_size=40,
        )
    )
    def test_any_facts_in_any_order(self, facts):
        lease, now = self.lease(), 0.0
        for fact in facts:
            now += 61.0
            command = lease.next(now)
            if isinstance(command, (Extend, Close)):
                self.assertIsInstance(command.unique_id, int)
            if fact == "release":
                lease.release()
            elif fact == "restart":
                lease.gateway_restarted(now)
            elif fact == "recheck":
                lease.recheck(now)
            elif fact == "silent":
                lease.gateway_silent("gone")
            else:
                lease.learn(fact, now)
        if lease.status.state is MappingState.RELEASED:
            self.assertEqual(lease.next(now), Done())
