"""Tests of the subscription machine and of the event keys."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadMessage
from txigd.limits import (
    EARLY_EVENTS,
    EVENT_FOLLOW_SECONDS,
    HELD_EVENTS,
    INITIAL_EVENT_SECONDS,
    NOTIFY_OCTETS,
    OLD_TOKEN_SECONDS,
    REFUSED_RETRY_SECONDS,
    RENEW_AGAIN_SECONDS,
    RESUBSCRIBE_FLOOR_SECONDS,
    RETRY_CEILING_SECONDS,
    SEQ_GAP_SECONDS,
)
from txigd.upnp.eventing import subscription
from txigd.upnp.eventing.gena import SEQ_MAX, Grant, following
from txigd.upnp.eventing.pace import Pace
from txigd.upnp.eventing.request import BodyReader, Framing, HeadReader, Progress, RequestHead, framing
from txigd.upnp.eventing.sequence import Count, Deliver, Event, ReadState, take
from txigd.upnp.eventing.subscription_facts import (
    Abandon,
    Close,
    Command,
    Doubted,
    Fact,
    Failed,
    Granted,
    Moved,
    Notified,
    Rebooted,
    Refused,
    Renew,
    Start,
    Stop,
    Subscribe,
    Tick,
    Unsubscribe,
)
from txigd.upnp.eventing.subscription_memory import Memory, next_due


class Driver:
    """A machine with a clock of its own that ticks whenever the machine wants it to."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.now = 1000.0
        self.log: list[tuple[float, Command]] = []

    def tell(self, fact: Fact, chance: float = 0.5) -> list[Command]:
        self.memory, commands = subscription.step(self.memory, fact, self.now, chance)
        self.log += [(self.now, command) for command in commands]
        return list(commands)

    def pass_time(self, seconds: float) -> list[Command]:
        """Let time pass, with every tick that is due in it."""
        end, commands = self.now + seconds, []
        while (due := next_due(self.memory)) <= end:
            self.now = max(self.now, due)
            commands += self.tell(Tick())
        self.now = end
        return commands

    def event(self, seq: int | None, sid: str = "uuid:1", **values: str) -> list[Command]:
        return self.tell(Notified(self.memory.epoch, sid, seq, values))

    def grant(self, sid: str = "uuid:1", seconds: int = 1800) -> list[Command]:
        return self.tell(Granted(self.memory.epoch, Grant(sid, seconds)))

    def refuse(self, status: int) -> list[Command]:
        return self.tell(Refused(self.memory.epoch, status))

    def fail(self, reached: bool) -> list[Command]:
        return self.tell(Failed(self.memory.epoch, reached))


def live(seconds: int = 1800) -> Driver:
    """A machine that is subscribed and has its initial event."""
    driver = Driver()
    driver.tell(Start())
    driver.grant(seconds=seconds)
    driver.event(0, A="0")
    return driver


def due_for_renewal() -> Driver:
    driver = live()
    assert driver.pass_time(900) == [Renew(1, "uuid:1")]
    return driver


def kinds(commands: list[Command]) -> list[type]:
    return [type(command) for command in commands]


class BeginningTests(SynchronousTestCase):
    def test_start_subscribes(self) -> None:
        driver = Driver()
        self.assertEqual(driver.memory.state, "stopped")
        self.assertEqual(driver.tell(Start()), [Subscribe(1)])
        self.assertEqual(driver.memory.state, "subscribing")
        self.assertEqual(driver.grant(), [])
        self.assertEqual(driver.memory.state, "subscribed")
        self.assertEqual(driver.event(0, A="1"), [Deliver({"A": "1"}, True)])
        self.assertEqual(driver.tell(Start()), [])

    def test_Q157_F10_event_before_the_answer(self) -> None:
        driver = Driver()
        driver.tell(Start())
        self.assertTrue(driver.memory.admits(1, "uuid:anything"))
        self.assertEqual(driver.event(1, A="1"), [])
        self.assertEqual(driver.event(0, A="0"), [])
        self.assertEqual(driver.event(0, sid="uuid:other", A="x"), [])
        self.assertEqual(driver.grant(), [Deliver({"A": "0"}, True), Deliver({"A": "1"}, False)])
        self.assertEqual(driver.pass_time(60), [], "the initial event has come, so none is missed")

    def test_C2_L12_early_events_are_bounded(self) -> None:
        driver = Driver()
        driver.tell(Start())
        for n in range(50):
            driver.event(n, A=str(n))
        self.assertEqual(len(driver.memory.parked), EARLY_EVENTS)
        commands = driver.grant()
        self.assertEqual(kinds(commands), [Deliver] * EARLY_EVENTS + [ReadState])

    def test_C2_early_events_are_bounded_in_octets(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.event(0, A="a" * (NOTIFY_OCTETS // 2))
        driver.event(1, A="a" * (NOTIFY_OCTETS // 2))
        self.assertEqual(len(driver.memory.parked), 1)

    def test_early_events_are_forgotten_with_a_refusal(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.event(0, A="0")
        self.assertEqual(driver.refuse(412), [Close(1)])
        self.assertEqual(driver.memory.parked, ())

    def test_Q158_no_initial_event(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.grant()
        self.assertEqual(driver.pass_time(INITIAL_EVENT_SECONDS - 0.1), [])
        self.assertEqual(driver.pass_time(0.1), [ReadState("no initial event")])
        self.assertEqual(driver.pass_time(60), [])
        self.assertEqual(driver.memory.state, "subscribed")

    def test_F06_Q170_refused_is_asked_again_hourly(self) -> None:
        for status in (0, 400, 404, 405, 412, 500, 501, 503):
            driver = Driver()
            driver.tell(Start())
            self.assertEqual(driver.refuse(status), [Close(1)])
            self.assertEqual(driver.memory.state, "refused")
            self.assertEqual(driver.pass_time(REFUSED_RETRY_SECONDS - 1), [])
            self.assertEqual(driver.pass_time(1), [Subscribe(2)])
            driver.refuse(status)
            self.assertEqual(driver.pass_time(REFUSED_RETRY_SECONDS), [Subscribe(3)])

    def test_refused_after_it_worked_is_asked_sooner(self) -> None:
        driver = due_for_renewal()
        driver.refuse(412)
        driver.refuse(503)
        self.assertEqual(driver.memory.state, "refused")
        waits = []
        for _ in range(9):
            begun = driver.now
            while Subscribe not in kinds(driver.pass_time(1)):
                pass
            waits.append(round(driver.now - begun))
            driver.refuse(503)
        self.assertEqual(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600])

    def test_connection_errors_back_off_to_300_s(self) -> None:
        driver = Driver()
        driver.tell(Start())
        waits = []
        for epoch in range(1, 13):
            self.assertEqual(driver.fail(reached=False), [Close(epoch)])
            self.assertEqual(driver.memory.state, "failed")
            waits.append(next_due(driver.memory) - driver.now)
            self.assertEqual(driver.pass_time(waits[-1]), [Subscribe(epoch + 1)])
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, RETRY_CEILING_SECONDS, 300])
        driver.grant()
        self.assertEqual(driver.memory.failures, 0)

    def test_C9_no_answer_waits_for_the_floor(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.pass_time(10)
        driver.fail(reached=True)
        self.assertEqual(driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS - 10 - 0.1), [])
        self.assertEqual(driver.pass_time(0.1), [Subscribe(2)])


class RenewalTests(SynchronousTestCase):
    def test_at_half_time_with_jitter(self) -> None:
        for chance, share in ((0.0, 0.4), (0.5, 0.5), (1.0, 0.6)):
            driver = Driver()
            driver.tell(Start())
            driver.tell(Granted(1, Grant("uuid:1", 1000)), chance)
            self.assertAlmostEqual(driver.memory.renew_at - driver.now, 1000 * share)

    def test_renewed_keeps_the_count(self) -> None:
        driver = due_for_renewal()
        self.assertEqual(driver.memory.state, "subscribed")
        self.assertEqual(driver.grant(seconds=900), [])
        self.assertEqual(driver.event(1, A="1"), [Deliver({"A": "1"}, False)])
        self.assertEqual(driver.pass_time(449), [])
        self.assertEqual(driver.pass_time(1), [Renew(1, "uuid:1")])

    def test_F04_Q168_412_subscribes_afresh_and_reads(self) -> None:
        for status in (412, 400):
            driver = due_for_renewal()
            self.assertEqual(driver.refuse(status), [Subscribe(2), ReadState("the subscription was lost")])
            self.assertEqual(driver.memory.state, "subscribing")

    def test_F05_Q168_other_failures_after_two_tries(self) -> None:
        for failing in (
            lambda driver: driver.refuse(404),
            lambda driver: driver.refuse(500),
            lambda driver: driver.refuse(0),
            lambda driver: driver.fail(reached=True),
        ):
            driver = due_for_renewal()
            self.assertEqual(failing(driver), [])
            self.assertEqual(driver.pass_time(RENEW_AGAIN_SECONDS), [Renew(1, "uuid:1")])
            self.assertEqual(failing(driver), [Subscribe(2), ReadState("the subscription was lost")])

    def test_F05_second_try_that_works(self) -> None:
        driver = due_for_renewal()
        driver.refuse(500)
        driver.pass_time(RENEW_AGAIN_SECONDS)
        self.assertEqual(driver.grant(), [])
        driver.pass_time(900)
        self.assertEqual(driver.refuse(500), [], "the tries are counted anew")

    def test_Q168_no_connection_backs_off_and_keeps_the_sid(self) -> None:
        driver = due_for_renewal()
        self.assertEqual(driver.fail(reached=False), [])
        self.assertEqual(driver.memory.state, "failed")
        self.assertEqual(driver.event(1, A="1"), [Deliver({"A": "1"}, False)])
        self.assertEqual(driver.pass_time(1), [Renew(1, "uuid:1")])
        driver.fail(reached=False)
        self.assertEqual(driver.pass_time(2), [Renew(1, "uuid:1")])
        self.assertEqual(driver.grant(), [])
        self.assertEqual(driver.memory.state, "subscribed")

    def test_Q168_no_connection_until_it_expires(self) -> None:
        driver = due_for_renewal()
        commands: list[Command] = []
        while Subscribe(2) not in commands:
            self.assertLess(driver.now, 1000 + 1800 + RETRY_CEILING_SECONDS)
            if driver.memory.phase == "renewing":
                driver.fail(reached=False)
            commands = driver.pass_time(1)
        self.assertGreaterEqual(driver.now, 1000 + 1800)

    def test_Q166_Q169_renewal_with_a_new_sid(self) -> None:
        driver = due_for_renewal()
        self.assertTrue(driver.memory.admits(1, "uuid:2"))
        self.assertEqual(driver.event(0, sid="uuid:2", A="2"), [])
        self.assertEqual(driver.grant(sid="uuid:2"), [Unsubscribe("uuid:1"), Deliver({"A": "2"}, True)])
        self.assertEqual(driver.memory.sid, "uuid:2")
        self.assertFalse(driver.memory.admits(1, "uuid:1"))
        self.assertEqual(driver.event(1, sid="uuid:2", A="3"), [Deliver({"A": "3"}, False)])

    def test_C9_tiny_grants_make_no_hot_loop(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.grant(seconds=0)
        driver.event(0)
        sent = 0
        for _ in range(3600):
            if any(isinstance(command, (Renew, Subscribe)) for command in driver.pass_time(1)):
                sent += 1
                driver.grant(seconds=0)
        self.assertLessEqual(sent, 3600 // 24)

    def test_Q183_F18_expired_while_suspended(self) -> None:
        driver = live()
        driver.now += 7200
        self.assertEqual(driver.tell(Tick()), [Subscribe(2), ReadState("the subscription expired")])

    def test_C9_lost_soon_after_the_grant_waits_for_the_floor(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.tell(Granted(1, Grant("uuid:1", 60)), 0.0)
        driver.event(0)
        self.assertEqual(driver.pass_time(24), [Renew(1, "uuid:1")])
        self.assertEqual(driver.refuse(412), [ReadState("the subscription was lost")])
        self.assertEqual(driver.memory.state, "subscribing")
        self.assertEqual(driver.pass_time(6), [Subscribe(2)])

    def test_expiry_counts_from_the_request(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.pass_time(10)
        driver.grant(seconds=1800)
        self.assertEqual(driver.memory.expires_at, 1000 + 1800)

    def test_old_path_stays_open_a_while(self) -> None:
        driver = due_for_renewal()
        driver.refuse(412)
        self.assertTrue(driver.memory.admits(1, "uuid:1"))
        self.assertFalse(driver.memory.admits(1, "uuid:x"))
        self.assertEqual(driver.tell(Notified(1, "uuid:1", 1, {"A": "old"})), [])
        driver.grant(sid="uuid:2")
        driver.event(0, sid="uuid:2")
        self.assertEqual(driver.pass_time(OLD_TOKEN_SECONDS), [Close(1)])
        self.assertFalse(driver.memory.admits(1, "uuid:1"))


class DoubtTests(SynchronousTestCase):
    """A device that dies sends nothing: whoever wants to know has it asked."""

    def test_a_renewal_tells_at_once(self):
        driver = Driver()
        driver.tell(Start())
        driver.grant()
        driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS)
        self.assertEqual(driver.tell(Doubted()), [Renew(1, "uuid:1")])
        self.assertEqual(driver.tell(Doubted()), [], "it is asked already")
        driver.grant()
        self.assertEqual(driver.memory.state, "subscribed")
        driver.tell(Doubted())
        self.assertEqual(driver.refuse(412)[-2:], [Subscribe(2), ReadState("the subscription was lost")])

    def test_it_has_failed_until_a_renewal_is_granted(self):
        driver = Driver()
        driver.tell(Start())
        driver.grant()
        states = []
        driver.tell(Doubted())
        for _ in range(3):
            driver.tell(Failed(1, reached=False))
            states.append(driver.memory.state)
            self.assertEqual(driver.tell(Doubted()), [Renew(1, "uuid:1")])
            states.append(driver.memory.state)
        self.assertEqual(set(states), {"failed"})
        driver.grant()
        self.assertEqual(driver.memory.state, "subscribed")

    def test_F06_C9_it_makes_no_more_fresh_subscriptions(self):
        driver = Driver()
        driver.tell(Start())
        driver.refuse(503)
        self.assertEqual((driver.tell(Doubted()), driver.pass_time(REFUSED_RETRY_SECONDS - 1)), ([], []))
        driver.pass_time(1)
        driver.grant()
        driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS)
        driver.tell(Rebooted())
        driver.refuse(503)
        self.assertEqual((driver.tell(Doubted()), driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS - 1)), ([], []))
        self.assertEqual(driver.pass_time(1)[-1], Subscribe(4))


class EndTests(SynchronousTestCase):
    def test_stop_unsubscribes(self) -> None:
        driver = live()
        self.assertEqual(driver.tell(Stop()), [Close(1), Unsubscribe("uuid:1")])
        self.assertEqual(driver.memory.state, "stopped")
        self.assertEqual(next_due(driver.memory), math.inf)
        self.assertEqual(driver.tell(Stop()), [])

    def test_stop_in_flight(self) -> None:
        driver = Driver()
        driver.tell(Start())
        self.assertEqual(driver.tell(Stop()), [Abandon(), Close(1)])
        driver = due_for_renewal()
        self.assertEqual(driver.tell(Stop()), [Abandon(), Close(1), Unsubscribe("uuid:1")])

    def test_stop_closes_retired_paths(self) -> None:
        driver = due_for_renewal()
        driver.refuse(412)
        driver.grant(sid="uuid:2")
        self.assertEqual(driver.tell(Stop()), [Close(1), Close(2), Unsubscribe("uuid:2")])

    def test_grant_that_nobody_waits_for_is_given_back(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.tell(Stop())
        self.assertEqual(driver.grant(), [Unsubscribe("uuid:1")])

    def test_Q182_reboot_subscribes_afresh_without_unsubscribe(self) -> None:
        driver = live()
        driver.pass_time(5)
        self.assertEqual(driver.tell(Rebooted()), [Subscribe(2)])
        driver.grant(sid="uuid:2")
        driver.pass_time(600)
        self.assertEqual(driver.tell(Rebooted()), [Subscribe(3)])
        self.assertEqual(driver.tell(Rebooted()), [])
        driver.grant(sid="uuid:3")
        driver.event(0, sid="uuid:3")
        self.assertEqual(driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS), [Close(2), Unsubscribe("uuid:3"), Subscribe(4)])

    def test_Q182_reboot_ends_a_long_wait(self) -> None:
        for refuse in (True, False):
            driver = Driver()
            driver.tell(Start())
            driver.pass_time(40)
            driver.refuse(412) if refuse else driver.fail(reached=True)
            self.assertEqual(driver.tell(Rebooted()), [Subscribe(2)])
            driver.refuse(412)
            self.assertEqual(driver.tell(Rebooted()), [])
            self.assertEqual(driver.pass_time(RESUBSCRIBE_FLOOR_SECONDS), [Subscribe(3)])

    def test_reboot_in_flight_abandons(self) -> None:
        driver = due_for_renewal()
        self.assertEqual(driver.tell(Rebooted()), [Abandon(), Subscribe(2)])

    def test_C9_forged_reboots_get_one_subscribe_in_the_time(self) -> None:
        driver = live()
        driver.pass_time(100)
        for _ in range(600):
            driver.tell(Rebooted())
            driver.pass_time(0.1)
        times = [when for when, command in driver.log if isinstance(command, Subscribe) and when > 1050]
        self.assertTrue(2 <= len(times) <= 3, times)

    def test_F14_moved_gives_the_old_one_back(self) -> None:
        driver = live()
        driver.pass_time(60)
        self.assertEqual(driver.tell(Moved()), [Unsubscribe("uuid:1"), Subscribe(2)])

    def test_out_of_turn_is_ignored(self) -> None:
        driver = live()
        for fact in (Refused(1, 412), Failed(1, True), Refused(7, 412), Start()):
            before = driver.memory
            self.assertEqual(driver.tell(fact), [])
            self.assertEqual(driver.memory, before)


class SequenceTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        driver = live()
        for seq in (1, 2, 3):
            self.assertEqual(driver.event(seq, A=str(seq)), [Deliver({"A": str(seq)}, False)])

    def test_F07_Q160_gap_resubscribes_and_reads(self) -> None:
        driver = live()
        driver.pass_time(60)
        self.assertEqual(driver.event(2, A="2"), [])
        self.assertEqual(driver.pass_time(SEQ_GAP_SECONDS - 0.1), [])
        self.assertEqual(
            driver.pass_time(0.1),
            [Deliver({"A": "2"}, False), ReadState("events were lost"), Unsubscribe("uuid:1"), Subscribe(2)],
        )

    def test_F07_gaps_resubscribe_once_in_30_s(self) -> None:
        driver = live()
        seq, subscribes, reads = 0, 0, 0
        for _ in range(100):
            seq += 2
            driver.event(seq, sid=driver.memory.sid, A="1")
            for command in driver.pass_time(3):
                reads += isinstance(command, ReadState)
                if isinstance(command, Subscribe):
                    subscribes += 1
                    driver.grant(sid=f"uuid:{command.epoch}")
                    driver.event(0, sid=driver.memory.sid)
                    seq = 0
        self.assertEqual(subscribes, 10)
        self.assertGreaterEqual(reads, 90)

    def test_F08_Q162_reordered_within_the_window(self) -> None:
        driver = live()
        self.assertEqual(driver.event(3, A="3"), [])
        self.assertEqual(driver.event(2, A="2"), [])
        expected = [Deliver({"A": str(n)}, False) for n in (1, 2, 3)]
        self.assertEqual(driver.event(1, A="1"), expected)
        self.assertEqual(driver.pass_time(60), [])

    def test_F08_state_never_goes_back(self) -> None:
        driver = live()
        driver.event(2, A="2")
        driver.pass_time(3)
        self.assertEqual(driver.event(1, A="1"), [], "too late")
        self.assertEqual(driver.event(2, A="2"), [], "again")

    def test_F08_late_ones_are_not_held(self) -> None:
        for seq in (1, 4, 5, SEQ_MAX):
            count = Count(last=5)
            self.assertEqual(take(count, Event(seq, {"A": "x"}), 0.0), (count, ()))

    def test_F09_initial_event_twice(self) -> None:
        driver = live()
        self.assertEqual(driver.event(0, A="0"), [])
        self.assertEqual(driver.event(0, A="other"), [Deliver({"A": "other"}, True)])

    def test_Q159_zero_again_is_a_new_count(self) -> None:
        driver = live()
        driver.event(1, A="1")
        driver.event(3, A="3")
        self.assertEqual(driver.event(0, A="0"), [Deliver({"A": "0"}, True)])
        self.assertEqual(driver.event(1, A="1"), [Deliver({"A": "1"}, False)])
        self.assertEqual(driver.pass_time(60), [], "what was held of the old count is gone")

    def test_F11_Q159_wrap_to_one_or_zero(self) -> None:
        for first in (1, 0):
            count = Count(last=SEQ_MAX, first_values={})
            count, commands = take(count, Event(first, {"A": "1"}), 0.0)
            self.assertEqual(commands, (Deliver({"A": "1"}, False),))
            _, commands = take(count, Event(first + 1, {"A": "2"}), 0.0)
            self.assertEqual(commands, (Deliver({"A": "2"}, False),))

    def test_F11_reordered_over_the_wrap(self) -> None:
        count = Count(last=SEQ_MAX - 1)
        count, commands = take(count, Event(1, {"A": "1"}), 0.0)
        self.assertEqual(commands, ())
        _, commands = take(count, Event(SEQ_MAX, {"A": "max"}), 0.0)
        self.assertEqual(commands, (Deliver({"A": "max"}, False), Deliver({"A": "1"}, False)))

    def test_Q159_without_seq_in_the_order_of_arrival(self) -> None:
        driver = live()
        self.assertEqual(driver.event(None, A="x"), [Deliver({"A": "x"}, False)])
        self.assertEqual(driver.event(1, A="1"), [Deliver({"A": "1"}, False)])

    def test_lost_initial_event_is_read_not_resubscribed(self) -> None:
        driver = Driver()
        driver.tell(Start())
        driver.grant()
        driver.event(1, A="1")
        self.assertEqual(driver.pass_time(100), [Deliver({"A": "1"}, False), ReadState("events were lost")])
        self.assertEqual(driver.event(2, A="2"), [Deliver({"A": "2"}, False)])

    def test_Q179_event_that_could_not_be_read(self) -> None:
        driver = live()
        commands = driver.tell(Notified(1, "uuid:1", 1, None))
        self.assertEqual(commands, [ReadState("an event could not be read")])
        self.assertEqual(driver.event(2, A="2"), [Deliver({"A": "2"}, False)])

    def test_C1_foreign_sid_changes_nothing(self) -> None:
        driver = live()
        before = driver.memory
        self.assertFalse(driver.memory.admits(1, "uuid:foreign"))
        self.assertFalse(driver.memory.admits(2, "uuid:1"))
        self.assertEqual(driver.event(77, sid="uuid:foreign", A="x"), [])
        self.assertEqual(driver.memory, before)

    def test_C1_held_events_are_bounded(self) -> None:
        driver = live()
        for seq in range(2, 500):
            driver.event(seq, A=str(seq))
        self.assertEqual(len(driver.memory.count.held), HELD_EVENTS)
        self.assertLessEqual(next_due(driver.memory), driver.now)

    @given(st.lists(st.one_of(st.none(), st.integers(0, 12), st.integers(SEQ_MAX - 3, SEQ_MAX)), max_size=40))
    def test_one_event_is_never_delivered_twice_in_a_count(self, keys: list[int | None]) -> None:
        count, given_out = Count(), []
        for n, seq in enumerate(keys):
            count, commands = take(count, Event(seq, {"N": str(n)}), float(n))
            given_out += [command.values["N"] for command in commands if isinstance(command, Deliver)]
            self.assertLessEqual(len(count.held), HELD_EVENTS)
            self.assertTrue(bool(count.held) == (count.gap_at < math.inf))
        self.assertEqual(len(given_out), len(set(given_out)))

    @given(st.integers(0, SEQ_MAX - 1), st.permutations(range(6)))
    def test_any_order_within_the_window_comes_out_in_order(self, last: int, order: list[int]) -> None:
        keys = [following(last)]
        while len(keys) < 6:
            keys.append(following(keys[-1]))
        count, out = Count(last=last), []
        for place in order:
            count, commands = take(count, Event(keys[place], {"N": str(place)}), 0.0)
            out += [command.values["N"] for command in commands if isinstance(command, Deliver)]
        self.assertEqual(out, ["0", "1", "2", "3", "4", "5"])


SIDS = st.sampled_from(["uuid:1", "uuid:2", "uuid:3"])
VALUES: st.SearchStrategy[Mapping[str, str] | None] = st.one_of(
    st.none(), st.dictionaries(st.sampled_from("AB"), st.sampled_from("xy"))
)
SEQS = st.one_of(st.none(), st.integers(0, 8), st.sampled_from([SEQ_MAX - 1, SEQ_MAX]))
GRANTS = st.builds(Grant, SIDS, st.sampled_from([0, 1, 60, 300, 1800, 86400]))


@st.composite
def moves(draw: st.DrawFn) -> list[tuple[float, object]]:
    """Facts with the time that passes before each; epochs are relative to the current one."""
    back = st.sampled_from([0, 0, 0, 0, -1, 1])
    fact = st.one_of(
        st.tuples(st.just(Granted), back, GRANTS),
        st.tuples(st.just(Refused), back, st.sampled_from([0, 400, 404, 412, 500, 503])),
        st.tuples(st.just(Failed), back, st.booleans()),
        st.tuples(st.just(Notified), back, SIDS, SEQS, VALUES),
        st.sampled_from([(Rebooted,), (Moved,), (Stop,), (Start,), (Tick,)]),
    )
    gaps = st.sampled_from([0.0, 0.0, 0.1, 1.0, 2.5, 6.0, 29.0, 31.0, 400.0, 4000.0])
    return draw(st.lists(st.tuples(gaps, fact), max_size=60))


class AnySequenceTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(moves())
    def test_C9_session(self, steps: list[tuple[float, tuple]]) -> None:
        driver = Driver()
        driver.tell(Start())
        for wait, (kind, *rest) in steps:
            driver.pass_time(wait)
            if kind in (Granted, Refused, Failed, Notified):
                rest[0] += driver.memory.epoch
            driver.tell(kind(*rest))
            self.assertLessEqual(len(driver.memory.parked), EARLY_EVENTS)
            self.assertLessEqual(len(driver.memory.count.held), HELD_EVENTS)
            self.assertLessEqual(len(driver.memory.retired), 4)
            self.assertIn(driver.memory.state, ("subscribing", "subscribed", "refused", "failed", "stopped"))
            if driver.memory.phase != "stopped":
                self.assertGreater(next_due(driver.memory), -math.inf)
        self.check_flight(driver)
        self.check_floor(driver, steps)
        driver.pass_time(0)
        driver.tell(Stop())
        self.check_paths(driver)

    def check_flight(self, driver: Driver) -> None:
        """Epochs are used once, and no request is sent while one that was not given up is in flight."""
        epochs = [command.epoch for _, command in driver.log if isinstance(command, Subscribe)]
        self.assertEqual(epochs, list(range(1, len(epochs) + 1)))

    def check_floor(self, driver: Driver, steps: list[tuple[float, tuple]]) -> None:
        """In any 30 s: one that the machine decided on, one that a reboot or move asked for, those that never reached
        the device, and what the owner started anew."""
        unreached = sum(fact[0] is Start or (fact[0] is Failed and not fact[2]) for _, fact in steps)
        times = [when for when, command in driver.log if isinstance(command, Subscribe)]
        for begin in times:
            near = [when for when in times if begin <= when < begin + RESUBSCRIBE_FLOOR_SECONDS]
            self.assertLessEqual(len(near), 2 + unreached)

    def check_paths(self, driver: Driver) -> None:
        """Every path that was opened is closed once the machine stopped."""
        opened = {command.epoch for _, command in driver.log if isinstance(command, Subscribe)}
        closed = [command.epoch for _, command in driver.log if isinstance(command, Close)]
        self.assertEqual(sorted(closed), sorted(opened))

    @settings(deadline=None, max_examples=200)
    @given(moves())
    def test_one_request_in_flight(self, steps: list[tuple[float, tuple]]) -> None:
        driver, in_flight = Driver(), False

        def watch(commands: list[Command]) -> None:
            nonlocal in_flight
            for command in commands:
                if isinstance(command, (Subscribe, Renew)):
                    self.assertFalse(in_flight)
                    in_flight = True
                elif isinstance(command, Abandon):
                    self.assertTrue(in_flight)
                    in_flight = False

        watch(driver.tell(Start()))
        for wait, (kind, *rest) in steps:
            watch(driver.pass_time(wait))
            if kind in (Granted, Refused, Failed, Notified):
                rest[0] += driver.memory.epoch
            if kind in (Granted, Refused, Failed):
                if not in_flight or rest[0] != driver.memory.epoch:
                    continue
                in_flight = False
            watch(driver.tell(kind(*rest)))
            self.assertEqual(in_flight, driver.memory.phase in ("subscribing", "renewing"))


class PaceTests(SynchronousTestCase):
    def test_F13_flood_becomes_one_callback_a_second(self) -> None:
        pace, out = Pace(), []
        for n in range(10_000):
            now = n / 1000
            pace.add({"A": str(n)}, initial=n == 0)
            if (batch := pace.take(now)) is not None:
                out.append((now, batch))
        self.assertEqual([now for now, _ in out], [0.0, *(n + EVENT_FOLLOW_SECONDS for n in range(10))])
        self.assertEqual(out[0], (0.0, ({"A": "0"}, True)))
        self.assertEqual(out[2], (1.2, ({"A": "1200"}, False)))
        self.assertAlmostEqual(pace.due(), 10.2)
        self.assertEqual(pace.take(10.3), ({"A": "9999"}, False))
        self.assertIsNone(pace.take(20.0))

    def test_F13_the_second_of_two_events_is_not_held_up_for_a_second(self) -> None:
        """miniupnpd sends the old address first, and the new one some milliseconds later."""
        pace = Pace()
        for began in (0.0, 100.0, 103.0):
            pace.add({"A": "old"}, False)
            self.assertEqual(pace.take(began), ({"A": "old"}, False))
            pace.add({"A": "new"}, False)
            self.assertIsNone(pace.take(began + EVENT_FOLLOW_SECONDS / 2))
            self.assertEqual(pace.take(began + EVENT_FOLLOW_SECONDS), ({"A": "new"}, False))

    def test_F13_no_more_than_one_a_second_in_the_long_run_however_late_they_are_taken(self) -> None:
        pace, taken = Pace(), []
        for n in range(1000):
            now = n * 0.13
            pace.add({"A": str(n)}, False)
            if pace.take(now) is not None:
                taken.append(now)
        for first in range(len(taken)):
            for last in range(first + 1, len(taken)):
                self.assertLessEqual(last - first, taken[last] - taken[first] + 1)

    def test_F13_variables_are_merged(self) -> None:
        pace = Pace()
        pace.add({"A": "1"}, True)
        pace.take(0)
        pace.add({"A": "2", "B": "1"}, False)
        pace.add({"B": "2"}, False)
        self.assertEqual(pace.take(EVENT_FOLLOW_SECONDS), ({"A": "2", "B": "2"}, False))

    def test_lastchange_is_not_merged(self) -> None:
        pace = Pace()
        for n in range(3):
            pace.add({"LastChange": str(n)}, False)
        self.assertEqual([pace.take(0) for _ in range(4)], [({"LastChange": str(n)}, False) for n in range(3)] + [None])

    def test_nothing_is_merged_into_a_lastchange(self) -> None:
        pace = Pace()
        pace.add({"LastChange": "1"}, False)
        pace.add({"A": "1"}, False)
        self.assertEqual(pace.take(0), ({"LastChange": "1"}, False))
        self.assertEqual(pace.take(1), ({"A": "1"}, False))

    def test_F13_what_waits_is_bounded(self) -> None:
        pace = Pace()
        for n in range(1000):
            pace.add({"LastChange": str(n), f"V{n}": "x"}, False)
        taken = 0
        while pace.take(0) is not None:
            taken += 1
        self.assertLessEqual(taken, HELD_EVENTS)


HEAD = b"NOTIFY /t HTTP/1.1\r\nHOST: 127.0.0.1:1\r\nNT: upnp:event\r\n"


class RequestTests(SynchronousTestCase):
    """The reader of the callback port."""

    def head(self, octets: bytes) -> RequestHead:
        found = HeadReader().feed(octets)
        assert found is not None
        return found[0]

    def test_Q189_lenient_heads(self) -> None:
        for octets in (
            HEAD + b"\r\n",
            HEAD.replace(b"\r\n", b"\n") + b"\n",
            b"\r\n\r\n" + HEAD + b"\r\n",
            HEAD.replace(b"NT:", b"NT :") + b"\r\n",
            HEAD.replace(b"NT: ", b"NT:") + b"\r\n",
            HEAD.replace(b"NT: ", b"NT:\r\n  ") + b"\r\n",
            HEAD.replace(b"NT: upnp", b"nonsense\r\nNT: upnp") + b"\r\n",
            HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        ):
            self.assertEqual(self.head(octets).values("nt"), ["upnp:event"], octets)

    def test_C6_L9_refused_heads(self) -> None:
        for octets in (
            b"\x16\x03\x01\x02\n\n",
            b"NOTIFY /t\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"NOTIFY /t HTTP/1.1 x\r\n\r\n",
            b"NOTIFY /t\xff HTTP/1.1\r\n\r\n",
            HEAD + b"X: a\0b\r\n\r\n",
            HEAD + b"X: a\rb\r\n\r\n",
            HEAD + b"X: " + b"a" * 4096 + b"\r\n\r\n",
            HEAD + b"X: a\r\n" * 64 + b"\r\n",
            b"NOTIFY /t HTTP/1.1\r\n" + b"X: aaaaaaaaa\r\n" * 1000,
            b"a" * 9000,
        ):
            error = self.assertRaises(BadMessage, HeadReader().feed, octets)
            self.assertEqual(error.reason, "head")

    def test_C6_C7_L9_framing(self) -> None:
        self.assertEqual(framing(self.head(HEAD + b"\r\n")), Framing())
        self.assertEqual(framing(self.head(HEAD + b"Content-Length: 007\r\n\r\n")), Framing(length=7))
        self.assertEqual(framing(self.head(HEAD + b"Transfer-Encoding: Chunked\r\n\r\n")), Framing(chunked=True))
        self.assertEqual(framing(self.head(HEAD + b"Transfer-Encoding: identity\r\n\r\n")), Framing())
        for fields in (
            b"Content-Length: 1\r\nContent-Length: 1\r\n",
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 1, 1\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 0x10\r\n",
            b"Content-Length:\r\n",
            b"Content-Length: " + b"9" * 4000 + b"\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: chunked, chunked\r\n",
            b"Content-Encoding: gzip\r\n",
        ):
            self.assertEqual(
                self.assertRaises(BadMessage, framing, self.head(HEAD + fields + b"\r\n")).reason, "length"
            )

    def test_F12_Q178_progress(self) -> None:
        whole = b"<a>x</a>"
        for how, data, progress in (
            (Framing(length=8), whole, Progress.WHOLE),
            (Framing(length=8), whole[:-1], Progress.MORE),
            (Framing(length=7), whole[:-1], Progress.SETTLING),
            (Framing(length=7), whole, Progress.WHOLE),
            (Framing(length=9), whole, Progress.SETTLING),
            (Framing(length=0), b"", Progress.SETTLING),
            (Framing(), whole[:-1], Progress.MORE),
            (Framing(), whole, Progress.WHOLE),
            (Framing(chunked=True), b"8\r\n" + whole + b"\r\n0\r\n\r\n", Progress.WHOLE),
            (Framing(chunked=True), b"8 ;x=y\n" + whole + b"\n0\nTrailer: x\n\n", Progress.WHOLE),
            (Framing(chunked=True), b"8\r\n" + whole + b"\r\n0\r\n", Progress.SETTLING),
            (Framing(chunked=True), b"9\r\n" + whole, Progress.SETTLING),
            (Framing(chunked=True), b"7\r\n" + whole[:-1] + b"\r\n0\r\n\r\n", Progress.WHOLE),
            (Framing(length=70_000), b"", Progress.LARGE),
            (Framing(), b"<a>" + b"x" * 70_000, Progress.LARGE),
            (Framing(chunked=True), b"11170\r\n<a>" + b"x" * 70_000, Progress.LARGE),
            (Framing(chunked=True), (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 100, Progress.LARGE),
        ):
            reader = BodyReader(how)
            self.assertEqual(reader.feed(data), progress, (how, data[:40]))

    def test_C6_broken_chunks(self) -> None:
        for data in (b"x\r\n", b"\r\n", b"-1\r\n", b"1\r\nab\r\n", b"fffffffff\r\n", b"1" * 2000):
            self.assertRaises(BadMessage, BodyReader(Framing(chunked=True)).feed, data)

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.sampled_from([0, 1, 2]))
    def test_pieces_do_not_matter(self, sizes: list[int], form: int) -> None:
        body = b"<a><b>1</b></a>"
        fields = (b"Content-Length: 15\r\n\r\n" + body, b"\r\n" + body, b"Transfer-Encoding: chunked\r\n\r\n")[form]
        octets = HEAD + fields + (b"5\r\n<a><b\r\na\r\n>1</b></a>\r\n0\r\n\r\n" if form == 2 else b"")
        head_reader, reader, progress = HeadReader(), None, None
        while octets:
            size = sizes.pop(0) if sizes else len(octets)
            piece, octets = octets[:size], octets[size:]
            if reader is None:
                found = head_reader.feed(piece)
                if found is None:
                    continue
                reader = BodyReader(framing(found[0]))
                piece = found[1]
            progress = reader.feed(piece)
        assert reader is not None
        self.assertEqual((progress, reader.body, reader.drained), (Progress.WHOLE, body, form != 1))

    @given(st.binary(max_size=300), st.sampled_from([Framing(), Framing(length=20), Framing(chunked=True)]))
    def test_nothing_but_bad_message(self, octets: bytes, how: Framing) -> None:
        for feed in (HeadReader().feed, BodyReader(how).feed):
            try:
                feed(octets)
            except BadMessage as error:
                self.assertIn(error.reason, ("head", "length"))
