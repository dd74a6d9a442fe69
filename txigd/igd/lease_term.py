"""The term of one mapping: what lease to ask for, when what was granted ends, is renewed, looked at, tried again. Pure.

Sources: IGD:2 WANIPConnection section 2.5, quirks Q117, Q118, Q121, faults F33, F34, F46.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from txigd.igd.lifespan import Lifespan
from txigd.igd.looks import Turn
from txigd.limits import (
    BLIND_SECONDS,
    DAY_SECONDS,
    FAILURES_BORNE,
    LEASE_CEILING_SECONDS,
    LEASE_SECONDS,
    RENEW_FLOOR_SECONDS,
    RENEW_FRACTION,
    RENEW_JITTER,
    RENEWAL_DUE_SECONDS,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
    TRIES_BEFORE_THE_END,
    VERIFY_SECONDS,
)

_FRESH = 0.6  # a lease of which more is left than this part was renewed just now


class Term:
    """Nothing of ours is there before :meth:`begin`.

    :param wanted_seconds: the lease that is wanted, 0 for a permanent one.
    :param spread: returns a number in [-1, 1], for jitter.
    :param turn: when to look next after a look.
    :ivar ask_seconds: the lease to ask for.
    :ivar granted_seconds: the lease that was granted last, 0 for a permanent one or for nothing.
    :ivar failures: how many calls failed in a row; those that were refused for the moment count by themselves.
    """

    def __init__(self, wanted_seconds: int, *, spread: Callable[[], float], turn: Turn) -> None:
        self._wanted_seconds = self.ask_seconds = wanted_seconds
        self._spread = spread
        self._turn = turn
        self._refused: set[int] = set()
        self._exhausted = False  # all were refused: one at a time from now on
        self._on_trial = False  # the lease in use is longer than wanted, and 402 may have meant a full table (Q125)
        self._tried = False  # the wanted one was refused again where our own entry stood: it is the lease
        self.granted_seconds = 0
        self.failures = self._refusals = 0
        self._lifespan = Lifespan()
        self._begun_at = self._not_before = 0.0
        self._renew_at: float | None = None
        self._ends_at: float | None = None  # when the entry runs out by itself, as far as is known

    # -- what to ask for ---------------------------------------------------------------------------------------------
    def step(self, code: int, described: int | None = None) -> bool:
        """Q117, Q118: finite -> permanent -> a week -> an hour; each tried once, and where all are refused, one at each
        later try, since that need not be about the lease (Q125).

        :param code: what the lease was refused with, 725 or 402.
        :param described: a lease that the gateway's own description allows, which goes before all of these.
        :return: whether there is another one to ask for.
        """
        self._refused.add(self.ask_seconds)
        for seconds in (0,) if code == 725 else (described, 0, LEASE_CEILING_SECONDS, LEASE_SECONDS):
            if seconds is not None and seconds not in self._refused:
                self.ask_seconds = seconds
                longer = not seconds or seconds > self._wanted_seconds
                self._on_trial = code == 402 and described is None and bool(self._wanted_seconds) and longer
                return not self._exhausted
        self._exhausted = True
        self._from_the_top()
        return False

    def ask(self, now: float) -> int:
        """The lease to ask for now.

        One that is longer than wanted, so that more would be left behind by a crash, is only kept if the wanted one is
        refused once more while our own entry stands: then it was not the table that was full.
        """
        if self._on_trial and not self._tried and self.due(now):
            self._tried = True
            self.ask_seconds = self._wanted_seconds
        return self.ask_seconds

    def _from_the_top(self) -> None:
        self._refused.clear()
        self._on_trial = self._tried = False
        self.ask_seconds = self._wanted_seconds

    def restart(self) -> None:
        """Another life of the gateway."""
        self._from_the_top()
        self._exhausted = False
        self.forgive()
        self._lifespan.forget()

    # -- what was granted --------------------------------------------------------------------------------------------
    def begin(self, left_seconds: int, now: float, *, pause: float = 0.0) -> int:
        """It was added or renewed: the lease that was granted, in seconds.

        :param left_seconds: as the gateway shows it; 0 where it does not tell.
        :param pause: seconds that must pass before it is renewed.
        """
        lease = self.granted_seconds = left_seconds or self.ask_seconds
        self._begun_at = now
        self._lifespan.begin(now)
        # some show more than they were asked for, and do not mean it
        believed = min(lease, self.ask_seconds) if self.ask_seconds else lease
        self._exhausted = False
        if self.ask_seconds == self._wanted_seconds:
            self._from_the_top()
        elif self._on_trial and not self._tried:
            believed = min(believed or self._wanted_seconds, self._wanted_seconds)
        wait = believed * (RENEW_FRACTION + RENEW_JITTER * self._spread()) if believed else DAY_SECONDS / 2
        self._not_before = now + max(RENEW_FLOOR_SECONDS, pause)
        self._renew_at = max(now + min(wait, self._lifespan.seconds or wait), self._not_before)
        return lease

    def seen(self, left_seconds: int, now: float, *, readable: bool) -> float:
        """It is there: when to look, or to renew, next."""
        self.forgive()
        assert self._renew_at is not None
        self._ends_at = now + left_seconds if left_seconds else None
        if left_seconds and self.ask_seconds:
            self._ends_at = min(now + left_seconds, self._begun_at + self.ask_seconds)
        if not readable:
            return min(self._renew_at, now + BLIND_SECONDS)
        self._lifespan.seen(now)
        if left_seconds and self.ask_seconds:
            # a gateway that shortens leases in silence (F34) is believed by its table
            self._renew_at = min(self._renew_at, max(now + left_seconds * RENEW_FRACTION, self._not_before))
        return self.look_at(now)

    def look_at(self, now: float) -> float:
        """When to look, or to renew, after a look that told nothing."""
        turn = self._turn(now)
        return turn if self._renew_at is None else min(max(self._renew_at, now), turn)

    def gone(self, now: float) -> None:
        """It is not there."""
        if self._ends_at is None or now < self._ends_at:
            self._lifespan.lost(now)
        self.granted_seconds = 0

    @property
    def runs_out(self) -> bool:
        """Whether what may be there ends by itself; while a lease is on trial, what stands may be permanent."""
        return bool(self.granted_seconds or (self.ask_seconds and not self._on_trial))

    def begun(self) -> bool:
        """Whether it ever was there."""
        return self._renew_at is not None

    def due(self, now: float) -> bool:
        """Whether it is time to renew."""
        return self._renew_at is not None and now >= self._renew_at

    def fresh(self, left_seconds: int) -> bool:
        """Whether it was renewed just now: compared with what the gateway granted, which may always shorten it."""
        granted = min(self.granted_seconds, self.ask_seconds) if self.ask_seconds else self.granted_seconds
        return self._renew_at is None or left_seconds > granted * _FRESH

    # -- calls and their failures --------------------------------------------------------------------------------------
    def look_by(self, now: float) -> float:
        """By when a look that only makes sure should be done."""
        soon, later = now + RENEWAL_DUE_SECONDS, now + VERIFY_SECONDS
        return later if self._renew_at is None else min(max(self._renew_at, soon), later)

    def renew_by(self, now: float, *, renewed: bool) -> float | None:
        """By when a renewal should be done, or what follows where it is ``renewed``; None where nothing runs out."""
        if self._ends_at is None or now >= self._ends_at:
            return None
        soon = now + RENEWAL_DUE_SECONDS
        return soon if renewed else min(self._ends_at, soon)

    @property
    def troubled(self) -> bool:
        """Whether the last call failed or was refused."""
        return bool(self.failures or self._refusals)

    def forgive(self) -> None:
        """Begin again with the shortest pauses."""
        self.failures = self._refusals = 0

    def pause(self, *, refused: bool = False) -> float:
        """Seconds until the next try after one more failure, or one more refusal that will pass."""
        if refused:
            self._refusals += 1
        else:
            self.failures += 1
        times = self._refusals if refused else self.failures
        seconds: float = min(RETRY_FIRST_SECONDS * 2 ** min(times - 1, 16), RETRY_CEILING_SECONDS)
        return seconds * (1 + RENEW_JITTER * self._spread())

    def retry(self, now: float, *, refused: bool = False) -> float:
        """The same, but while it lives, several tries before it runs out, however often it failed (F46)."""
        return min(self.pause(refused=refused), max(RETRY_FIRST_SECONDS, self._part_of_the_rest(now)))

    def long_pause(self, seconds: float = RETRY_CEILING_SECONDS) -> float:
        """About so many seconds, until the next try after what will not pass in a moment."""
        return seconds * (1 + RENEW_JITTER * self._spread())

    def long_retry(self, now: float) -> float:
        """The same, but while it lives, several tries before it runs out (F46), no closer than renewals (D6)."""
        return min(self.long_pause(), max(RENEW_FLOOR_SECONDS, self._part_of_the_rest(now)))

    def _part_of_the_rest(self, now: float) -> float:
        """Seconds until the next try at the latest, while it lives; endless where nothing runs out."""
        if self._ends_at is None or now >= self._ends_at:
            return math.inf
        return (self._ends_at - now) / TRIES_BEFORE_THE_END * (1 + RENEW_JITTER * self._spread())

    def lives(self, now: float) -> bool:
        """Whether what was there has not run out."""
        return self._ends_at is None or now < self._ends_at

    def bears(self, now: float) -> bool:
        """Whether what was there lives, for all that is known: a lost packet is no news (F46)."""
        return self.failures <= FAILURES_BORNE and self.lives(now)
