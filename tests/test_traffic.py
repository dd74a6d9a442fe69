"""Counters into rates: wraps of every width, resets, numbers that mean nothing."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.traffic import Counter, Traffic, TrafficCounters, TrafficRate, counter_value
from txigd.limits import RATE_CEILING

UI4 = 2**32
I4 = 2**31


def rates(*told: object, seconds: float = 10.0, line_rate: float | None = None) -> list[float | None]:
    """The rates between readings that are ten seconds apart."""
    counter = Counter()
    return [counter.feed(one, place * seconds, line_rate=line_rate) for place, one in enumerate(told)]


class ValueTests(SynchronousTestCase):
    def test_Q152_what_is_told(self) -> None:
        for told, value in {
            0: 0,
            1: 1,
            I4: I4,
            UI4 - 2: UI4 - 2,
            UI4: UI4,
            2**40: 2**40,
            -1: None,  # becomes 4294967295
            -2: UI4 - 2,
            -531985522: UI4 - 531985522,
            -I4: I4,
            2**64 - 531985522: UI4 - 531985522,  # printed as signed, read as ui8
            2**63: None,
            2**64: None,
            -I4 - 1: None,
            I4 - 1: None,  # stuck
            UI4 - 1: None,
            2**63 - 1: None,
            2**64 - 1: None,
        }.items():
            self.assertEqual(counter_value(told), value, told)
        for nonsense in (None, "", "many", "12", True, 1.5, b"1"):
            self.assertIsNone(counter_value(nonsense), nonsense)

    def test_Q152_the_sample_of_a_negative_total(self) -> None:
        sample = (Path(__file__).with_name("messages") / "soap-response-negative-total.http").read_bytes()
        told = int(sample.partition(b"<NewTotalBytesReceived>")[2].partition(b"<")[0])
        self.assertEqual(counter_value(told), told + UI4)

    @given(st.one_of(st.integers(), st.text(), st.floats(), st.none(), st.booleans()))
    def test_whatever_is_told_gives_a_counter_or_nothing(self, told: object) -> None:
        value = counter_value(told)
        self.assertTrue(value is None or 0 <= value < 2**63)


class CounterTests(SynchronousTestCase):
    def test_plain(self) -> None:
        self.assertEqual(rates(100, 1100, 1100, 51_100), [None, 100.0, 0.0, 5000.0])

    def test_Q152_wrap_at_2_32(self) -> None:
        self.assertEqual(rates(UI4 - 1000, 9000), [None, 1000.0])

    def test_Q152_wrap_at_2_31(self) -> None:
        self.assertEqual(rates(I4 - 1000, 9000), [None, 1000.0])

    def test_Q152_signed_all_the_way_round(self) -> None:
        self.assertEqual(rates(I4 - 1000, -I4 + 9000, -1001, 8999), [None, 1000.0, (I4 - 10_001) / 10, 1000.0])

    def test_Q152_a_counter_seen_above_2_31_never_wraps_there(self) -> None:
        counter = Counter()
        for place, told in enumerate((I4 + 5000, 100)):
            rate = counter.feed(told, place * 10.0)
        self.assertIsNone(rate, "2^32 is too far, 2^31 was passed before")
        counter.feed(I4 - 1000, 30.0)
        self.assertIsNone(counter.feed(9000, 40.0))

    def test_Q152_64_bits(self) -> None:
        self.assertEqual(rates(UI4 - 1000, UI4 + 9000, 2**40, 1000)[:2], [None, 1000.0])
        self.assertIsNone(rates(UI4 + 9000, 9000)[1], "no wrap: it has been above")

    def test_Q152_stuck_at_the_largest_number(self) -> None:
        for stuck in (UI4 - 1, I4 - 1, -1):
            self.assertEqual(
                rates(UI4 - 5000, stuck, stuck, stuck, 100, 1100), [None, None, None, None, None, 100.0], stuck
            )

    def test_Q152_reset_on_reconnect(self) -> None:
        self.assertEqual(rates(1_000_000, 2_000_000, 500, 1500), [None, 100_000.0, None, 100.0])

    def test_Q152_told_of_a_restart(self) -> None:
        counter = Counter()
        counter.feed(1000, 0.0)
        self.assertIsNone(counter.feed(UI4 - 2, 10.0, restarted=True), "even where it did not fall")
        self.assertEqual(counter.feed(8, 20.0), 1.0)
        self.assertIsNone(counter.feed(None, 30.0, restarted=True))
        self.assertIsNone(counter.feed(1008, 40.0), "the restart fell in a reading that failed")

    def test_Q152_a_wrap_faster_than_the_line_is_a_reset(self) -> None:
        near = UI4 - 300_000_000
        self.assertEqual(rates(near, 0, line_rate=12_500_000.0), [None, None])
        self.assertEqual(rates(near, 0, line_rate=125_000_000.0), [None, 30_000_000.0])
        self.assertEqual(rates(near, 0), [None, None], "of an unknown line")
        self.assertEqual(rates(near - 100_000_000, near, 0)[2], 30_000_000.0, "10 MB/s were seen")

    def test_Q153_a_fancy_line_rate_hides_no_traffic(self) -> None:
        self.assertEqual(rates(0, 10_000_000, 20_000_000, line_rate=7.0)[1:], [1_000_000.0] * 2)

    def test_U05_values_that_flap(self) -> None:
        told = (5_000_000_000, 100, 5_000_001_000, 200, 5_000_002_000, 5_000_012_000)
        self.assertEqual(rates(*told), [None, None, None, None, None, 1000.0])

    def test_U05_nonsense_is_no_rate(self) -> None:
        self.assertEqual(rates(0, 2**62, 2**62 + 10_000), [None, None, 1000.0])
        self.assertEqual(rates(0, int(RATE_CEILING) * 10), [None, RATE_CEILING])

    def test_a_missing_reading_is_bridged(self) -> None:
        self.assertEqual(rates(0, None, 20_000), [None, None, 1000.0])

    def test_F61_a_clock_that_stands_or_steps_back(self) -> None:
        counter = Counter()
        counter.feed(0, 10.0)
        self.assertIsNone(counter.feed(1000, 10.0))
        self.assertIsNone(counter.feed(2000, 5.0))
        self.assertEqual(counter.feed(3000, 15.0), 100.0)

    def test_totals_go_on_over_wraps_and_leave_out_resets(self) -> None:
        counter = Counter()
        self.assertIsNone(counter.total)
        for place, told in enumerate((UI4 - 1000, 9000, 10_000, 500, 1500)):
            counter.feed(told, place * 10.0)
        self.assertEqual(counter.total, 10_000 + 1000 + 1000)

    @given(st.integers(0, UI4 - 1), st.lists(st.integers(0, 12_500_000), max_size=60))
    def test_Q152_any_ui4_counter_is_unwrapped(self, start: int, steps: list[int]) -> None:
        counter, seen = Counter(), start
        counter.feed(seen % UI4, 0.0)
        stuck = counter_value(seen % UI4) is None
        for second, step in enumerate(steps, 1):
            seen += step
            stuck = stuck or counter_value(seen % UI4) is None
            rate = counter.feed(seen % UI4, float(second))
            if not stuck:
                self.assertEqual(rate, step)

    @given(st.lists(st.one_of(st.none(), st.integers(-(2**70), 2**70)), max_size=30), st.floats(0.001, 1e6))
    def test_no_rate_is_ever_nonsense(self, told: list[int | None], seconds: float) -> None:
        counter = Counter()
        for place, one in enumerate(told):
            rate = counter.feed(one, place * seconds)
            # a float of a time is never exact
            self.assertTrue(rate is None or 0.0 <= rate <= RATE_CEILING * 1.001, rate)


class TrafficTests(SynchronousTestCase):
    def test_first_reading_has_no_rate(self) -> None:
        traffic = Traffic()
        self.assertEqual(traffic.totals, TrafficCounters())
        self.assertEqual(traffic.feed(TrafficCounters(1, 2, 3, 4), 0.0), TrafficRate())
        self.assertEqual(traffic.totals, TrafficCounters(0, 0, 0, 0))
        self.assertEqual(traffic.feed(TrafficCounters(101, 202, 13, None), 10.0), TrafficRate(10.0, 20.0, 1.0, None))
        self.assertEqual((traffic.totals, traffic.rate.bytes_sent), (TrafficCounters(100, 200, 10, 0), 10.0))

    def test_what_never_was_told_has_no_total(self) -> None:
        traffic = Traffic()
        traffic.feed(TrafficCounters(bytes_sent=1, bytes_received=UI4 - 1), 0.0)
        self.assertEqual(traffic.totals, TrafficCounters(bytes_sent=0))
        self.assertFalse(TrafficCounters().known)
        self.assertEqual(TrafficCounters(UI4 - 1, -2).usable, TrafficCounters(None, UI4 - 2))

    def test_Q152_several_that_fall_at_once_are_a_reset(self) -> None:
        """Each alone would pass for a wrap."""
        traffic = Traffic()
        traffic.feed(TrafficCounters(UI4 - 1000, UI4 - 1000), 0.0)
        self.assertEqual(traffic.feed(TrafficCounters(10, 10), 10.0), TrafficRate())
        self.assertEqual(traffic.feed(TrafficCounters(110, 210), 20.0), TrafficRate(10.0, 20.0))

    def test_Q152_one_that_falls_is_a_wrap(self) -> None:
        traffic = Traffic()
        traffic.feed(TrafficCounters(UI4 - 1000, 0), 0.0)
        self.assertEqual(traffic.feed(TrafficCounters(9000, 10), 10.0), TrafficRate(1000.0, 1.0))

    def test_Q150_a_fall_in_uptime_alone_proves_nothing(self) -> None:
        traffic = Traffic()
        traffic.feed(TrafficCounters(0), 0.0, uptime_seconds=500)
        self.assertEqual(traffic.feed(TrafficCounters(10_000), 10.0, uptime_seconds=3).bytes_sent, 1000.0)

    def test_Q152_a_fall_in_uptime_makes_a_reset_of_what_fell(self) -> None:
        traffic = Traffic()
        traffic.feed(TrafficCounters(UI4 - 1000, 0), 0.0, uptime_seconds=500)
        rate = traffic.feed(TrafficCounters(9000, 10_000), 10.0, uptime_seconds=3)
        self.assertEqual(rate, TrafficRate(None, 1000.0))

    def test_Q152_told_of_a_restart_no_rate_at_all(self) -> None:
        traffic = Traffic()
        traffic.feed(TrafficCounters(0, 0), 0.0)
        self.assertEqual(traffic.feed(TrafficCounters(10_000, 10_000), 10.0, restarted=True), TrafficRate())

    def test_line_rates_are_up_and_down(self) -> None:
        near = UI4 - 300_000_000
        for up, down, rate in (
            (125e6, None, TrafficRate(30_000_000.0, 0.0)),
            (None, 125e6, TrafficRate(None, 0.0)),
        ):
            traffic = Traffic()
            traffic.feed(TrafficCounters(near, 7), 0.0)
            self.assertEqual(traffic.feed(TrafficCounters(0, 7), 10.0, line_rates=(up, down)), rate)
