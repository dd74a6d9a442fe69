"""A mapping that is wanted no more: what is ours is taken off the gateway, and nothing else. Pure.

Sources: quirk Q135, faults F36, F45, F51.
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
    Seek,
    Unreadable,
)
from txigd.igd.mapping import PortMappingEntry


class Step(enum.Enum):
    """Where it begins."""

    SEEK = "look in the whole table for an entry whose port we were not told"
    CHECK = "is there an entry of ours?"
    DELETE = "delete it"
    DONE = "gone, as far as we can tell"


class Farewell:
    """The last calls for one mapping.

    :param port: the external port.
    :param made: whether we made an entry there, as far as we know.
    :param ours: tells our own entry.
    """

    def __init__(self, begin: Step, port: int, *, made: bool, ours: Callable[[PortMappingEntry], bool]) -> None:
        self.port = port
        self._step = begin
        self._made = made
        self._ours = ours
        self._asked_again = False

    def next(self) -> Command:
        """The command to carry out now."""
        if self._step is Step.SEEK:
            return Seek()
        if self._step is Step.CHECK:
            return Read(self.port)
        return Delete(self.port) if self._step is Step.DELETE else Done()

    def learn(self, fact: Fact) -> bool:
        """Take the outcome; what does not fit is ignored. Whether it is over."""
        if isinstance(fact, _ANSWERS[self._step]):
            self._step = self._after(fact)
        return self._step is Step.DONE

    def _after(self, fact: Fact) -> Step:
        if isinstance(fact, Found) and self._step is Step.SEEK:
            self.port = fact.entry.external_port
            return Step.DELETE
        if isinstance(fact, Found):
            return Step.DELETE if self._ours(fact.entry) else Step.DONE
        if self._step is Step.CHECK and isinstance(fact, Failed) and not self._asked_again:
            # it may have restarted meanwhile, and somebody else have the port by now
            self._asked_again = True
            return Step.CHECK
        unseen = self._step is Step.CHECK and isinstance(fact, Unreadable)
        return Step.DELETE if unseen and self._made else Step.DONE


_READ = (Found, Missing, Unreadable, Failed)
_ANSWERS: dict[Step, tuple[type, ...]] = {
    Step.SEEK: _READ,
    Step.CHECK: _READ,
    Step.DELETE: (Deleted, Denied, Failed),
    Step.DONE: (),
}
