"""Who is next at a gateway: the order, its fairness and its bound."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ExchangeError
from txigd.limits import CALL_DUE_SECONDS, CALLS_WAITING
from txigd.upnp.control.turns import Turns


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = Turns()
        self.seated: list[str] = []

    def take(self, name: str, now: float, due: float | None = None) -> Deferred[None]:
        return self.turns.take(now, due).addCallback(lambda _: self.seated.append(name))

    def pass_all(self) -> str:
        for _ in range(len(self.seated) + CALLS_WAITING):
            self.turns.pass_on(None)
        return " ".join(self.seated)

    def test_whoever_comes_to_an_empty_seat_has_it(self) -> None:
        self.successResultOf(self.turns.take(0.0, 1000.0))
        self.assertNoResult(self.turns.take(0.0))

    def test_F46_the_earliest_due_is_next(self) -> None:
        self.take("first", 0)
        self.take("look", 0, 60)
        self.take("renewal", 0, 30)
        self.take("user", 0)
        self.take("last", 0, 4)
        self.assertEqual(self.pass_all(), "first last user renewal look")

    def test_those_without_a_due_time_keep_their_order(self) -> None:
        for name, now in (("a", 0), ("b", 0), ("c", 1), ("d", 1)):
            self.take(name, now)
        self.take("e", 2, 1 + CALL_DUE_SECONDS)
        self.assertEqual(self.pass_all(), "a b c d e")

    def test_F46_what_is_late_goes_before_no_one_who_is_late_too(self) -> None:
        self.take("first", 0)
        self.take("user", 0)
        self.take("ran out", CALL_DUE_SECONDS + 1, 5)
        self.take("ran out long ago", CALL_DUE_SECONDS + 1, -1000)
        self.assertEqual(self.pass_all(), "first user ran out ran out long ago")

    def test_leaving(self) -> None:
        self.take("first", 0)
        second, third = self.take("second", 0), self.take("third", 0)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.turns.pass_on(None)
        self.successResultOf(third)
        self.assertEqual(self.pass_all(), "first third")
        self.successResultOf(self.turns.take(0.0))

    def test_F03_closed(self) -> None:
        self.take("first", 0)
        waiting = self.take("second", 0)
        self.turns.close(ExchangeError("it has moved"))
        self.assertEqual(str(self.failureResultOf(waiting, ExchangeError).value), "it has moved")
        self.assertRaises(ExchangeError, self.turns.take, 0.0)
        self.assertEqual(self.pass_all(), "first")

    def test_F03_closed_while_one_who_hears_of_it_makes_another_leave(self) -> None:
        self.take("first", 0)
        one, two, three = (self.turns.take(0.0) for _ in range(3))
        one.addErrback(lambda failure: two.cancel())
        self.turns.close(ExchangeError("it has moved"))
        self.failureResultOf(two, CancelledError)
        self.failureResultOf(three, ExchangeError)

    def test_F51_more_seats_at_the_end(self) -> None:
        turns = [self.turns.take(0.0) for _ in range(6)]
        self.turns.widen(3)
        self.turns.widen(3)
        self.turns.widen(1)
        for number, turn in enumerate(turns):
            (self.successResultOf if number < 3 else self.assertNoResult)(turn)
        self.turns.pass_on(None)
        self.successResultOf(turns[3])
        self.assertNoResult(turns[4])
        for _ in range(5):
            self.turns.pass_on(None)
        for _ in range(3):
            self.successResultOf(self.turns.take(0.0))
        self.assertNoResult(self.turns.take(0.0))

    def test_bound(self) -> None:
        for _ in range(CALLS_WAITING + 1):
            self.turns.take(0.0)
        self.assertRaises(ExchangeError, self.turns.take, 0.0, 0.0)

    @given(st.lists(st.tuples(st.floats(0, 50), st.none() | st.floats(-100, 1000), st.booleans()), max_size=60))
    def test_F46_nobody_who_comes_after_my_due_time_goes_before_me(
        self, steps: list[tuple[float, float | None, bool]]
    ) -> None:
        turns, now = Turns(), 0.0
        seated: list[tuple[float, float]] = []
        turns.take(now)
        waiting: list[tuple[float, float]] = []
        for seconds, due, passes in steps:
            now += seconds
            key = now + CALL_DUE_SECONDS if due is None else max(now, due)
            waiting.append((now, key))
            turns.take(now, due).addCallback(functools.partial(lambda who, _: seated.append(who), (now, key)))
            if passes:
                turns.pass_on(None)
        for _ in steps:
            turns.pass_on(None)
        self.assertEqual(sorted(seated), sorted(waiting))
        for place, (_, due_at) in enumerate(seated):
            self.assertFalse([came for came, _ in seated[:place] if came > due_at])
