"""A reactor whose time only ever runs forward, through suspend and steps of the wall clock.

Twisted's reactor keeps wall time: a clock set back by an hour delays every timer by an hour (L15), and a sleeping
machine wakes with its timers late. This one counts CLOCK_BOOTTIME, and re-arms what is pending when the two part ways.
Nothing else of the reactor, and no other user of it, is touched. The heartbeat that compares the clocks also tells when
something blocked the reactor. Sources: faults F18, F19, F59.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorFDSet, IReactorTime, IReadDescriptor
from zope.interface import directlyProvides, implementer, providedBy

from txigd import log
from txigd.limits import BLOCKED_SECONDS, CLOCK_STEP_SECONDS, HEARTBEAT_SECONDS, LOG_AGAIN_SECONDS

_log = log.logger("txigd.steady")


def boot_time() -> float:
    """Seconds since boot, suspend included; the monotonic clock where the system does not tell."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic()


def steady(reactor: Any) -> Any:
    """A real reactor with steady time; what is no reactor, such as a clock of a test, as it is."""
    return SteadyReactor(reactor) if IReactorCore.providedBy(reactor) else reactor


@implementer(IDelayedCall)
class SteadyCall:
    """One pending call. Made by :meth:`SteadyReactor.callLater`."""

    def __init__(self, reactor: SteadyReactor, due: float, function: Callable[[], object]) -> None:
        self._reactor = reactor
        self._function = function
        self._due = due
        self._state = ""
        self._real: Any = None
        self.arm()

    def arm(self) -> None:
        """Have the real reactor wake us when it is due."""
        seconds = max(0.0, self._due - self._reactor.seconds())
        if self._real is not None and self._real.active():
            self._real.reset(seconds)
        else:
            self._real = self._reactor.real.callLater(seconds, self._fire)

    def _fire(self) -> None:
        # a wall clock set forward fires early; half a tick of slack, since the two clocks are read one after the other
        if self._due - self._reactor.seconds() > 0.002:
            self._real = None
            self.arm()
            return
        self._state = "called"
        self._reactor.done(self)
        self._function()

    def getTime(self) -> float:
        """When it is due, on the steady clock."""
        return self._due

    def active(self) -> bool:
        """Whether it is still pending."""
        return not self._state

    def cancel(self) -> None:
        """Do not call."""
        self._check()
        self._state = "cancelled"
        self._reactor.done(self)
        if self._real is not None and self._real.active():
            self._real.cancel()

    def reset(self, secondsFromNow: float) -> None:  # noqa: N803
        """Call that many seconds from now instead."""
        self._check()
        self._due = self._reactor.seconds() + secondsFromNow
        self.arm()

    def delay(self, secondsLater: float) -> None:  # noqa: N803
        """Call that much later than planned."""
        self._check()
        self._due += secondsLater
        self.arm()

    def _check(self) -> None:
        if self._state == "called":
            raise AlreadyCalled
        if self._state == "cancelled":
            raise AlreadyCancelled


@implementer(IReactorTime)
class SteadyReactor:
    """The given reactor with steady time.

    :param real: Twisted's reactor; everything but its time is passed through.
    :param now: the steady clock.
    :param awake: a clock that stands still while the host sleeps.
    """

    def __init__(
        self, real: Any, now: Callable[[], float] = boot_time, awake: Callable[[], float] = time.monotonic
    ) -> None:
        self.real = real
        self._now = now
        self._awake = awake
        self._last_beat = 0.0
        self._told_at = float("-inf")
        self._pending: set[SteadyCall] = set()
        self._offset = 0.0
        self._beat: _BootTimer | Any = None
        self._on_jump: Callable[[float], object] | None = None
        directlyProvides(self, providedBy(real))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def seconds(self) -> float:
        """The steady clock."""
        return self._now()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:  # noqa: A002
        """As the reactor's, on the steady clock."""
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        call = SteadyCall(self, self.seconds() + delay, lambda: callable(*args, **kw))
        self._pending.add(call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The pending calls made here."""
        return list(self._pending)

    def done(self, call: SteadyCall) -> None:
        """A call was carried out or cancelled."""
        self._pending.discard(call)

    # -- the heartbeat -----------------------------------------------------------------------------------------------
    def start(self, on_jump: Callable[[float], object] | None = None) -> None:
        """Compare the clocks from now on.

        :param on_jump: told by how many seconds wall time and steady time parted, after what is pending was re-armed.
        """
        if self._beat is not None:
            return
        self._on_jump = on_jump
        self._last_beat = self._awake()
        self._offset = self.real.seconds() - self.seconds()
        self._beat = _BootTimer.on(self.real, self._look) or self.real.callLater(HEARTBEAT_SECONDS, self._look_again)

    def stop(self) -> None:
        """Compare no more."""
        beat, self._beat = self._beat, None
        if isinstance(beat, _BootTimer):
            beat.stop()
        elif beat is not None and beat.active():
            beat.cancel()

    def _look_again(self) -> None:
        self._beat = self.real.callLater(HEARTBEAT_SECONDS, self._look_again)
        self._look()

    def _look(self) -> None:
        offset = self.real.seconds() - self.seconds()
        jump, self._offset = offset - self._offset, offset
        awake = self._awake()
        blocked, self._last_beat = awake - self._last_beat - HEARTBEAT_SECONDS, awake
        if abs(jump) < CLOCK_STEP_SECONDS:
            self._blocked(blocked, awake)
            return
        _log.info("the wall clock moved by {seconds} s", seconds=round(jump, 1))
        for call in tuple(self._pending):
            call.arm()
        if self._on_jump is not None:
            self._on_jump(jump)

    def _blocked(self, seconds: float, now: float) -> None:
        """Nothing of ours was done in that time; what is due is done now, once (F59)."""
        if seconds < BLOCKED_SECONDS or now - self._told_at < LOG_AGAIN_SECONDS:
            return
        self._told_at = now
        _log.warn("loop.blocked: something held up the reactor for {seconds} s or more", seconds=round(seconds, 1))


@implementer(IReadDescriptor)
class _BootTimer:
    """A kernel timer on CLOCK_BOOTTIME: on time whatever is done to the wall clock, and right after a suspend."""

    def __init__(self, reactor: Any, descriptor: int, on_tick: Callable[[], object]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._on_tick = on_tick
        reactor.addReader(self)

    @classmethod
    def on(cls, reactor: Any, on_tick: Callable[[], object]) -> _BootTimer | None:
        """One that ticks every HEARTBEAT_SECONDS; None where the system or the reactor has no such thing."""
        if not IReactorFDSet.providedBy(reactor):
            return None
        try:
            library = ctypes.CDLL(None, use_errno=True)
            descriptor = library.timerfd_create(7, os.O_NONBLOCK | os.O_CLOEXEC)  # 7: CLOCK_BOOTTIME
            if descriptor < 0:
                return None
            period = struct.pack("llll", HEARTBEAT_SECONDS, 0, HEARTBEAT_SECONDS, 0)
            if library.timerfd_settime(descriptor, 0, period, None) != 0:
                os.close(descriptor)
                return None
        except (AttributeError, OSError):
            return None
        return cls(reactor, descriptor, on_tick)

    def fileno(self) -> int:
        """For the reactor."""
        return self._descriptor

    def doRead(self) -> None:
        """The timer ticked."""
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return
        self._on_tick()

    def logPrefix(self) -> str:
        """For the reactor."""
        return "txigd heartbeat"

    def connectionLost(self, reason: object) -> None:
        """For the reactor."""

    def stop(self) -> None:
        """Tick no more."""
        self._reactor.removeReader(self)
        os.close(self._descriptor)
