"""A mapping that is wanted no more: what is ours is taken off the gateway, and nothing else. Pure.

Sources: quirk Q135, faults F33, F35-F37, F45, F51, F52.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from txigd.igd.lease_facts import (
    Command,
    Delete,
    Deleted,
    Denied,
    Done,
    Fact,
    Failed,
    Found,
    Missing,
    Read,
    Rest,
    Seek,
    Taken,
    Unreadable,
)
from txigd.igd.mapping import PortMappingEntry
from txigd.limits import READ_TRIES, RETRY_FIRST_SECONDS


class Step(enum.Enum):
    """Where it begins."""

    SEEK = "look in the whole table for an entry whose port we were not told"
    CHECK = "is there an entry of ours?"
    DELETE = "delete it"
    DONE = "gone, as far as we can tell"


class Farewell:
    """The last calls for one mapping.

    A call that fails may be answered a moment later, so it is tried READ_TRIES times. What cannot be read then stays:
    it may be a neighbour's by now. Only where a gateway shows no entries at all our word counts; where it showed them
    before, for a permanent one only: the others run out by themselves. What another mapping of ours has stays.

    :param port: the external port.
    :param made: whether we made an entry there, as far as we know.
    :param blind: whether the gateway never showed it.
    :param runs_out: whether it has a lease.
    :param ours: tells our own entry.
    """

    def __init__(
        self,
        begin: Step,
        port: int,
        *,
        made: bool,
        blind: bool,
        runs_out: bool,
        ours: Callable[[PortMappingEntry], bool],
    ) -> None:
        self.port = port
        self._step = begin
        self._our_word_counts = made and (blind or not runs_out)
        self._ours = ours
        self._tries_left = READ_TRIES
        self._not_before = 0.0

    def next(self, now: float) -> Command:
        """The command to carry out now."""
        if self._step is not Step.DONE and now < self._not_before:
            return Rest(self._not_before)
        if self._step is Step.SEEK:
            return Seek()
        if self._step is Step.CHECK:
            return Read(self.port)
        return Delete(self.port) if self._step is Step.DELETE else Done()

    def due_by(self, now: float) -> float | None:
        """By when that should be done: what is known to be ours goes before looks, so that each look is followed up."""
        return now if self._step is Step.DELETE else None

    def learn(self, fact: Fact, now: float) -> bool:
        """Take the outcome; what does not fit is ignored. Whether it is over."""
        if isinstance(fact, _ANSWERS[self._step]):
            failed = isinstance(fact, Failed) or (isinstance(fact, Deleted) and not fact.gone)
            self._step = self._after_failure(now) if failed else self._after(fact)
        return self._step is Step.DONE

    def _after_failure(self, now: float) -> Step:
        self._tries_left -= 1
        if not self._tries_left:
            return Step.DONE
        self._not_before = now + RETRY_FIRST_SECONDS
        return Step.SEEK if self._step is Step.SEEK else Step.CHECK

    def _after(self, fact: Fact) -> Step:
        if isinstance(fact, Found) and self._step is Step.SEEK:
            self.port = fact.entry.external_port
            return Step.DELETE
        if isinstance(fact, Found):
            return Step.DELETE if self._ours(fact.entry) else Step.DONE
        unseen = self._step is Step.CHECK and isinstance(fact, Unreadable)
        return Step.DELETE if unseen and self._our_word_counts else Step.DONE


_READ = (Found, Missing, Unreadable, Failed, Taken)
_ANSWERS: dict[Step, tuple[type, ...]] = {
    Step.SEEK: _READ,
    Step.CHECK: _READ,
    Step.DELETE: (Deleted, Denied, Failed, Taken),
    Step.DONE: (),
}
