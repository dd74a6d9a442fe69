"""Waiting: those who are told may send others away, or wait anew, while the others are still to be told."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import ending
from txigd.errors import Stopped
from txigd.waiting import Waiting


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.left = 0
        self.waiting: Waiting[int] = Waiting(self.leave)

    def leave(self) -> None:
        self.left += 1

    def three(self) -> list[Deferred[int]]:
        return [self.waiting.add() for _ in range(3)]

    def test_each_hears_once(self) -> None:
        waiters = self.three()
        self.assertEqual(len(self.waiting), 3)
        self.waiting.fire(7)
        self.waiting.fire(8)
        self.assertEqual([self.successResultOf(waiter) for waiter in waiters], [7, 7, 7])
        self.assertEqual((len(self.waiting), self.left), (0, 0))

    def test_an_error_is_told_as_well(self) -> None:
        waiters = self.three()
        self.waiting.fail(Stopped())
        for waiter in waiters:
            self.failureResultOf(waiter, Stopped)

    def test_who_is_cancelled_leaves_the_others(self) -> None:
        one, other, last = self.three()
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.assertEqual((len(self.waiting), self.left), (2, 1))
        self.waiting.fire(7)
        other.cancel()
        self.assertEqual((self.successResultOf(one), self.successResultOf(last)), (7, 7))
        self.assertEqual(self.left, 1)

    def test_one_who_hears_sends_all_others_away(self) -> None:
        for fails in (False, True):
            one, other, last = self.three()
            one.addBoth(ending(other, last))
            if fails:
                self.waiting.fail(Stopped())
                self.failureResultOf(one, Stopped)
            else:
                self.waiting.fire(7)
                self.assertEqual(self.successResultOf(one), 7)
            self.failureResultOf(other, CancelledError)
            self.failureResultOf(last, CancelledError)

    def test_who_comes_meanwhile_waits_for_the_next_time(self) -> None:
        again: list[Deferred[int]] = []
        self.waiting.add().addCallback(lambda _: again.append(self.waiting.add()))
        self.waiting.fire(7)
        self.assertNoResult(again[0])
        self.waiting.fire(8)
        self.assertEqual(self.successResultOf(again[0]), 8)

    def test_told_by_one_who_hears(self) -> None:
        one, other, last = self.three()
        one.addCallback(lambda _: self.waiting.fail(Stopped()))
        self.waiting.fire(7)
        self.successResultOf(one)
        self.failureResultOf(other, Stopped)
        self.failureResultOf(last, Stopped)
