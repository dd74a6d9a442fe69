"""Pure: the turns of what is held, and what follows a loss."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.looks import Looks
from txigd.limits import LOOK_APART_SECONDS, LOSS_ROUND_SECONDS, VERIFY_SECONDS


class TurnTests(SynchronousTestCase):
    @given(st.floats(0, 1e7), st.integers(1, 20))
    def test_F02_each_is_looked_at_in_time_and_not_too_often(self, now: float, number: int) -> None:
        looks = Looks()
        turn = [looks.turn() for _ in range(number)][-1]
        for _ in range(5):
            later = turn(now)
            self.assertGreaterEqual(later - now, LOOK_APART_SECONDS - 1e-6)
            self.assertLessEqual(later - now, VERIFY_SECONDS + 1e-6)
            now = later

    def test_F02_they_are_spread_although_all_began_together(self) -> None:
        for number in (2, 5, 10, 16):
            looks = Looks()
            turns = [looks.turn() for _ in range(number)]
            for began in (0.0, 12.3, 1e6):
                times = sorted(turn(turn(began)) for turn in turns)
                gaps = [later - earlier for earlier, later in pairwise(times)]
                self.assertLessEqual(max(gaps), 2 * VERIFY_SECONDS / number)


class LossTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.looks = Looks()
        self.now = 0.0

    def lost(self, key: object, after: float = 0.0) -> bool:
        self.now += after
        return self.looks.lost(key, 9, self.now)

    def test_F02_the_first_loss_is_a_reason_to_look_and_those_found_then_are_none(self) -> None:
        for _ in range(20):
            self.assertTrue(self.lost(0, LOSS_ROUND_SECONDS))
            self.assertFalse(any(self.lost(key, 0.1) for key in range(1, 10)))

    def test_D6_one_that_is_dropped_again_and_again_is_left_to_itself(self) -> None:
        rounds = sum(self.lost("dropped", VERIFY_SECONDS) for _ in range(24 * 60))
        self.assertLessEqual(rounds, 24 + 8)

    def test_D6_neither_do_a_few_of_them_wake_the_others(self) -> None:
        rounds = sum(self.lost(number % 3, VERIFY_SECONDS / 3) for number in range(24 * 60 * 3))
        self.assertLessEqual(rounds, 3 * (24 + 8))

    def test_F02_a_flush_is_noticed_beside_one_that_is_dropped_again_and_again(self) -> None:
        for _ in range(60):
            self.lost("dropped", VERIFY_SECONDS)
        self.assertTrue(self.lost("another", LOSS_ROUND_SECONDS))

    def test_what_is_looked_at_anyway_needs_no_round(self) -> None:
        self.looks.all_looked(0.0)
        self.assertFalse(self.lost(1, 1.0))
        self.assertTrue(self.lost(1, LOSS_ROUND_SECONDS))

    def test_what_is_held_anew_begins_anew(self) -> None:
        self.lost(1)
        self.lost(2, LOSS_ROUND_SECONDS)
        self.assertFalse(self.lost(1, LOSS_ROUND_SECONDS))
        self.looks.forget(1)
        self.assertTrue(self.lost(1, LOSS_ROUND_SECONDS))
