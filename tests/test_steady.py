"""Steady time: steps of the wall clock and suspend."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txigd.limits import HEARTBEAT_SECONDS
from txigd.steady import SteadyReactor, _BootTimer, boot_time


class SteadyTests(SynchronousTestCase):
    """The wall clock is a task.Clock, the steady one a number beside it."""

    def setUp(self):
        self.wall = Clock()
        self.true = 1000.0
        self.jumps: list[float] = []
        self.awake = 0.0
        self.reactor = SteadyReactor(self.wall, lambda: self.true, lambda: self.awake)
        self.reactor.start(self.jumps.append)
        self.addCleanup(self.reactor.stop)
        self.called: list[float] = []

    def pass_time(self, seconds, wall=None):
        self.true += seconds
        self.awake += seconds
        self.wall.advance(seconds if wall is None else wall)

    def listen(self, hear: Any):
        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)

    def later(self, seconds):
        return self.reactor.callLater(seconds, lambda: self.called.append(self.true))

    def test_plain_time(self):
        self.later(10)
        for _ in range(9):
            self.pass_time(1)
        self.assertEqual(self.called, [])
        self.pass_time(1)
        self.assertEqual(self.called, [1010.0])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.jumps, [])

    def test_F19_a_wall_clock_set_back_delays_nothing(self):
        self.later(10)
        self.wall.rightNow -= 3600
        self.reactor._look()  # the kernel's timer ticks whatever the wall clock says
        for _ in range(10):
            self.pass_time(1)
        self.assertEqual(self.called, [1010.0])
        self.assertEqual(self.jumps, [-3600.0])

    def test_F19_a_wall_clock_set_forward_hurries_nothing(self):
        self.later(10)
        self.pass_time(0, wall=3600)
        self.assertEqual(self.called, [])
        for _ in range(10):
            self.pass_time(1)
        self.assertEqual(self.called, [1010.0])

    def test_F19_a_wall_clock_set_forward_before_the_kernels_timer_ticks(self):
        """The heartbeat stands still meanwhile: what the reactor calls too early is put off by itself."""
        self.reactor.stop()
        self.later(10)
        self.pass_time(0, wall=3600)
        self.assertEqual(self.called, [])
        self.pass_time(4, wall=4 + 3600)
        self.assertEqual(self.called, [])
        self.pass_time(5)
        self.assertEqual(self.called, [])
        self.pass_time(1)
        self.assertEqual(self.called, [1010.0])

    def test_F18_after_a_suspend_what_is_due_is_called_and_the_owner_hears_of_it(self):
        """A wall clock that slept as well: only the steady one counted the suspend."""
        self.later(600)
        self.true += 7200
        self.reactor._look()
        self.wall.advance(0)
        self.assertEqual(self.called, [8200.0])
        self.assertEqual(self.jumps, [-7200.0])

    def test_drift_is_no_jump(self):
        for _ in range(100):
            self.pass_time(1, wall=1.01)
        self.reactor._look()
        self.assertEqual(self.jumps, [])

    def test_F59_a_blocked_reactor_is_told_of_once_a_minute(self):
        heard: list[str] = []

        def hear(event):
            if event.get("log_namespace") == "txigd.steady":
                heard.append(formatEvent(event))

        self.listen(hear)
        self.later(3)
        self.later(3)
        self.pass_time(HEARTBEAT_SECONDS + 5)
        self.assertEqual(heard, ["loop.blocked: something held up the reactor for 5.0 s or more"])
        self.assertEqual(len(self.called), 2, "what was due is done, once")
        self.pass_time(HEARTBEAT_SECONDS + 5)
        self.assertEqual(len(heard), 1)
        for _ in range(60):
            self.pass_time(1)
        self.pass_time(HEARTBEAT_SECONDS + 7)
        self.assertEqual(len(heard), 2)
        self.pass_time(100, wall=100)
        self.assertEqual(len(self.called), 2)

    def test_F59_F18_a_host_that_slept_was_not_blocked(self):
        self.pass_time(1)
        heard: list[str] = []

        def hear(event):
            heard.append(formatEvent(event))

        self.listen(hear)
        self.true += 7200
        self.wall.advance(7200)
        self.assertEqual(heard, [])

    def test_delayed_calls_behave_as_twisteds(self):
        one = self.later(10)
        one.reset(20)
        one.delay(5)
        self.assertEqual(one.getTime(), 1025.0)
        self.pass_time(24)
        self.assertEqual(self.called, [])
        self.pass_time(1)
        self.assertEqual(self.called, [1025.0])
        self.assertFalse(one.active())
        self.assertRaises(AlreadyCalled, one.cancel)
        two = self.later(1)
        two.cancel()
        self.assertRaises(AlreadyCancelled, two.reset, 1)
        self.pass_time(5)
        self.assertEqual(len(self.called), 1)
        self.assertEqual(len(self.wall.getDelayedCalls()), 1, "the heartbeat only")

    def test_stop_leaves_nothing(self):
        self.reactor.stop()
        self.assertEqual(self.wall.getDelayedCalls(), [])
        self.pass_time(HEARTBEAT_SECONDS * 3)

    def test_arguments_reach_the_function(self):
        got: list[object] = []
        self.reactor.callLater(1, lambda *a, **k: got.append((a, k)), 1, two=2)
        self.pass_time(1)
        self.assertEqual(got, [((1,), {"two": 2})])


class KernelTimerTests(TestCase):
    def test_the_kernels_timer_ticks_on_the_real_reactor(self):
        ticked: Deferred[None] = Deferred()
        timer = _BootTimer.on(real_reactor, lambda: None if ticked.called else ticked.callback(None))
        if timer is None:
            self.skipTest("no timerfd here")
        self.addCleanup(timer.stop)
        began = boot_time()
        return ticked.addCallback(lambda _: self.assertGreaterEqual(boot_time() - began, HEARTBEAT_SECONDS - 0.1))
