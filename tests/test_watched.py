"""Watched: who hears which step, when, and what a bad observer or a late one changes."""

from __future__ import annotations

from unittest import mock

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import ending
from txigd.errors import InvalidArgument, Stopped, WaitTimeout
from txigd.igd import watched
from txigd.igd.watched import Watched


class WatchedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.watched: Watched[int] = Watched(self.clock, 0)
        self.heard: list[tuple[int, int]] = []

    def hear(self, old: int, new: int) -> None:
        self.heard.append((old, new))

    def turn(self) -> None:
        self.clock.advance(0)


class ObserverTests(WatchedTestCase):
    def test_each_step_once_in_order_in_a_later_turn(self) -> None:
        self.watched.observe(self.hear)
        self.watched.set(1)
        self.watched.set(2)
        self.assertEqual((self.watched.value, self.heard), (2, []))
        self.turn()
        self.assertEqual(self.heard, [(0, 1), (1, 2)])
        self.turn()
        self.assertEqual(self.heard, [(0, 1), (1, 2)])

    def test_F60_an_observer_that_raises_is_logged_and_the_others_hear(self) -> None:
        self.watched.observe(lambda old, new: 1 // 0)
        self.watched.observe(self.hear)
        self.watched.set(1)
        self.turn()
        self.assertEqual(self.heard, [(0, 1)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_observers_hear_in_the_order_in_which_they_came(self) -> None:
        order: list[str] = []
        for name in "abc":
            self.watched.observe(lambda old, new, name=name: order.append(name))  # type: ignore[misc]
        self.watched.set(1)
        self.turn()
        self.assertEqual(order, ["a", "b", "c"])

    def test_who_comes_after_the_step_does_not_hear_it(self) -> None:
        self.watched.set(1)
        self.watched.observe(self.hear)
        self.turn()
        self.assertEqual(self.heard, [])

    def test_who_left_before_the_turn_does_not_hear_it(self) -> None:
        forget = self.watched.observe(self.hear)
        self.watched.set(1)
        forget()
        self.turn()
        self.assertEqual(self.heard, [])

    def test_who_is_sent_away_by_another_observer_does_not_hear_it(self) -> None:
        self.watched.observe(lambda old, new: forget())
        forget = self.watched.observe(self.hear)
        self.watched.set(1)
        self.turn()
        self.assertEqual(self.heard, [])

    def test_the_same_callback_twice_and_one_of_them_ended_twice(self) -> None:
        forget = self.watched.observe(self.hear)
        self.watched.observe(self.hear)
        forget()
        forget()
        self.watched.set(1)
        self.turn()
        self.assertEqual(self.heard, [(0, 1)])

    def test_what_an_observer_sets_comes_in_the_next_turn(self) -> None:
        order: list[object] = []

        def again(old: int, new: int) -> None:
            if new < 3:
                self.clock.callLater(0, order.append, f"a turn after {new}")
                self.watched.set(new + 1)

        self.watched.observe(again)
        self.watched.observe(lambda old, new: order.append((old, new)))
        self.watched.set(1)
        self.turn()
        self.assertEqual(order, [(0, 1), "a turn after 1", (1, 2), "a turn after 2", (2, 3)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_silent_step_reaches_those_who_wait_only(self) -> None:
        self.watched.observe(self.hear)
        waiting = self.watched.when(lambda value: value == 1)
        self.watched.set(1, silent=True)
        self.turn()
        self.assertEqual(self.heard, [])
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_bound(self) -> None:
        self.patch(watched, "OBSERVERS", 1)
        self.watched.observe(self.hear)
        self.assertRaises(InvalidArgument, self.watched.observe, self.hear)


class WhenTests(WatchedTestCase):
    def test_the_present_value_counts(self) -> None:
        self.assertEqual(self.successResultOf(self.watched.when(lambda value: value == 0)), 0)

    def test_a_fresh_deferred_for_each_caller(self) -> None:
        one, other = (self.watched.when(lambda value: value == 2) for _ in range(2))
        self.assertIsNot(one, other)
        self.watched.set(1)
        self.watched.set(2)
        self.turn()
        self.assertEqual((self.successResultOf(one), self.successResultOf(other)), (2, 2))

    def test_a_value_that_was_already_replaced_is_still_found(self) -> None:
        waiting = self.watched.when(lambda value: value == 1)
        self.watched.set(1)
        self.watched.set(2)
        self.turn()
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_a_value_from_before_the_call_is_not(self) -> None:
        self.watched.set(1)
        self.watched.set(2)
        waiting = self.watched.when(lambda value: value == 1)
        self.turn()
        self.assertNoResult(waiting)
        self.watched.close()
        self.failureResultOf(waiting, Stopped)

    def test_cancelling_one_leaves_the_other(self) -> None:
        one, other = (self.watched.when(lambda value: value == 1) for _ in range(2))
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.watched.set(1)
        self.turn()
        self.assertEqual(self.successResultOf(other), 1)

    def test_a_predicate_that_raises_now_or_later_is_its_owners_error(self) -> None:
        self.failureResultOf(self.watched.when(lambda value: bool(1 // value)), ZeroDivisionError)
        self.watched.value = 1
        waiting = self.watched.when(lambda value: 1 // (value - 2) > 0)
        good = self.watched.when(lambda value: value == 2)
        self.watched.set(2)
        self.turn()
        self.failureResultOf(waiting, ZeroDivisionError)
        self.assertEqual(self.successResultOf(good), 2)

    def test_timeout_says_how_it_stands(self) -> None:
        waiting = self.watched.when(lambda value: value == 2, timeout=3)
        self.watched.set(1)
        self.clock.advance(2.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertIn("now it is: 1", str(self.failureResultOf(waiting, WaitTimeout).value))
        self.watched.set(2)
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_timer_is_left_when_it_came_in_time(self) -> None:
        waiting = self.watched.when(lambda value: value == 1, timeout=3)
        self.watched.set(1)
        self.turn()
        self.assertEqual(self.successResultOf(waiting), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound(self) -> None:
        self.patch(watched, "WAITERS", 1)
        self.watched.when(lambda value: False).addErrback(lambda _: None)
        self.failureResultOf(self.watched.when(lambda value: False), InvalidArgument)


class CloseTests(WatchedTestCase):
    def test_what_is_due_is_delivered_and_nothing_more(self) -> None:
        self.watched.observe(self.hear)
        waiting = self.watched.when(lambda value: value == 3)
        self.watched.set(1)
        self.watched.close()
        self.assertEqual(self.heard, [(0, 1)])
        self.failureResultOf(waiting, Stopped)
        self.watched.set(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.turn()
        self.assertEqual((self.heard, self.watched.value), ([(0, 1)], 2))

    def test_whoever_comes_later_hears_the_same_error(self) -> None:
        self.watched.close(WaitTimeout("over"))
        self.watched.close()
        self.failureResultOf(self.watched.when(lambda value: True), WaitTimeout)

    def test_F60_a_waiter_that_ends_the_others(self) -> None:
        one, other, last = (self.watched.when(lambda value: value == 3) for _ in range(3))
        one.addErrback(ending(other, last))
        self.watched.close()
        self.failureResultOf(one, Stopped)
        self.failureResultOf(other, CancelledError)
        self.failureResultOf(last, CancelledError)

    def test_F60_a_predicate_that_ends_its_own_waiting(self) -> None:
        def wanted(value: int) -> bool:
            if value:
                waiting.cancel()
            return bool(value)

        waiting = self.watched.when(wanted)
        other = self.watched.when(lambda value: value == 1)
        self.watched.set(1)
        self.turn()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.successResultOf(other), 1)

    def test_closed_by_an_observer_in_the_middle(self) -> None:
        self.watched.observe(lambda old, new: self.watched.close())
        self.watched.observe(self.hear)
        self.watched.set(1)
        self.watched.set(2)
        self.turn()
        self.assertEqual(self.heard, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_waiter_that_closes(self) -> None:
        called = mock.Mock()
        one = self.watched.when(lambda value: value == 1).addCallback(lambda _: self.watched.close())
        other = self.watched.when(lambda value: value == 1).addErrback(called)
        self.watched.set(1)
        self.turn()
        self.successResultOf(one)
        self.successResultOf(other)
        called.assert_called_once()
