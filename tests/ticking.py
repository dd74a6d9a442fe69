"""A reactor whose time runs fast but never faster than what happens in it: sockets are real, timers are not.

Each turn of the real reactor moves the time on by a fixed step. A loaded machine takes fewer turns, so it slows the
time down as well, and no deadline is missed that would not be missed on an idle one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import Clock
from zope.interface import directlyProvides, providedBy

reactor: Any = _reactor
STEP_SECONDS = 0.05  # of its time, a turn of the reactor
TURN_SECONDS = 0  # epoll waits a millisecond at least for anything more


class TickingReactor:
    """Everything of the real reactor but its time, which begins at 1000 s.

    :param step: seconds that pass in a turn.
    """

    def __init__(self, step: float = STEP_SECONDS) -> None:
        # not IReactorCore: what claims to be a real reactor is given steady time
        directlyProvides(self, [each for each in providedBy(reactor) if each is not IReactorCore])
        self._clock = Clock()
        self._clock.advance(1000)
        self._step = step
        self._turn: Any = None
        self.callLater = self._clock.callLater
        self.seconds = self._clock.seconds
        self.getDelayedCalls = self._clock.getDelayedCalls

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def start(self) -> None:
        """Let the time pass."""
        self._turn = reactor.callLater(TURN_SECONDS, self._tick)

    def stop(self) -> None:
        """Let it stand."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _tick(self) -> None:
        self._turn = reactor.callLater(TURN_SECONDS, self._tick)
        self._clock.advance(self._step)
