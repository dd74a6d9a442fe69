"""When what is held is looked at: each in a turn of its own, all at once after a loss, or because of an event. Pure.

A table that was flushed is found out by whoever looks first, so the turns are spread over the period. An entry that a
gateway drops again and again is lost by itself: the others are soon left alone (threat D6). Sources: faults F02, F34.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

from txigd.limits import (
    LOOK_APART_SECONDS,
    LOSS_PAUSE_CEILING_SECONDS,
    LOSS_PAUSE_SECONDS,
    LOSS_ROUND_SECONDS,
    RECHECK_SECONDS,
    TABLE_LOOK_SECONDS,
    TABLE_LOOKS_AT_ONCE,
    VERIFY_SECONDS,
)

Turn = Callable[[float], float]
"""Takes the time of a look, and returns when the next one is due."""

_GOLDEN = 0.618033988749895  # multiples of it, without the whole part, are spread evenly, however many there are
_PERIOD = VERIFY_SECONDS - LOOK_APART_SECONDS


class Looks:
    """The turns of a set, and what the set does about a loss."""

    def __init__(self) -> None:
        self._turns = 0
        self._round_ends = float("-inf")
        self._cause: Hashable = None
        self._others = 0
        self._lost: set[Hashable] = set()
        self._pauses: dict[Hashable, tuple[float, float]] = {}  # until when a loss is its own affair, and that pause

    def turn(self) -> Turn:
        """A turn of its own for one more that is held: LOOK_APART_SECONDS to VERIFY_SECONDS after each look."""
        self._turns += 1
        return functools.partial(_next, self._turns * _GOLDEN % 1.0 * _PERIOD)

    def all_looked(self, now: float) -> None:
        """All are looked at now for another reason."""
        self._judge()
        self._round_ends = now + LOSS_ROUND_SECONDS

    def lost(self, key: Hashable, others: int, now: float) -> bool:
        """Whether all others are to be looked at, since this one was found gone.

        :param others: how many others work, as far as is known.
        """
        if now < self._round_ends:
            self._lost.add(key)
            return False
        self._judge()
        until, _ = self._pauses.get(key, (now, 0.0))
        if now < until:
            return False
        self._cause, self._others, self._round_ends = key, others, now + LOSS_ROUND_SECONDS
        return True

    def forget(self, key: Hashable) -> None:
        """It is held no more."""
        self._pauses.pop(key, None)

    def _judge(self) -> None:
        """The last round is over: was it worth the calls?"""
        cause, self._cause = self._cause, None
        found = len(self._lost - {cause})
        self._lost.clear()
        if cause is None:
            return
        _, pause = self._pauses.pop(cause, (0.0, 0.0))
        if found * 2 < self._others:
            pause = min(max(pause * 2, LOSS_PAUSE_SECONDS), LOSS_PAUSE_CEILING_SECONDS)
            self._pauses[cause] = (self._round_ends + pause, pause)


class Pace:
    """When to look because the gateway evented a change of its table: soon after a rest, now and then in a storm."""

    def __init__(self) -> None:
        self._paid = float("-inf")  # when the looks so far will have had TABLE_LOOK_SECONDS each

    def wait(self, now: float) -> float:
        """Seconds until the next look, which is counted."""
        at = max(now + RECHECK_SECONDS, self._paid - (TABLE_LOOKS_AT_ONCE - 1) * TABLE_LOOK_SECONDS)
        self._paid = max(self._paid, at) + TABLE_LOOK_SECONDS
        return at - now


def _next(offset: float, now: float) -> float:
    wait = _PERIOD - (now - offset) % _PERIOD
    return now + (wait if wait >= LOOK_APART_SECONDS else wait + _PERIOD)
