"""The event keys (SEQ) of one subscription: what to deliver, what to hold back, what was lost. Pure.

Sources: UDA 1.0-2.0 section 4.2; quirks Q159-Q162; faults F07-F09, F11. Values are absolute, so a lost event needs no
replay, only a read of the state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from txigd.limits import HELD_EVENTS, SEQ_GAP_SECONDS
from txigd.upnp.eventing.gena import SEQ_MAX, following


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand these values over; ``initial`` where they are all the evented variables."""

    values: Mapping[str, str]
    initial: bool


@dataclass(frozen=True, slots=True)
class ReadState:
    """Events were lost or never came: the state must be read by action."""

    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``seq`` None where the sender leaves it out, ``values`` None where they could not be read."""

    seq: int | None
    values: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Count:
    """Where the count stands. ``last`` is the last key applied, -1 before the first."""

    last: int = -1
    first_values: Mapping[str, str] | None = None  # of the last SEQ 0, to know its repeat (F09)
    held: tuple[Event, ...] = ()  # newer than a missing one, in order
    gap_at: float = math.inf  # when the missing one is given up

    @property
    def expected(self) -> int:
        """The key of the next event."""
        return 0 if self.last < 0 else following(self.last)


Outcome = tuple[Count, tuple[Deliver | ReadState, ...]]


def take(count: Count, event: Event, now: float) -> Outcome:
    """Take one event in the order of arrival."""
    if event.seq is None:
        return count, (_out(event, initial=False),)
    if event.seq == 0:
        return _zero(count, event)
    ahead = _ahead(count, event.seq)
    if ahead == 0:
        return _in_order(count, event)
    # what lies behind is a repeat or came too late (F08); a copy of a held one as well
    if ahead >= SEQ_MAX // 2 or any(held.seq == event.seq for held in count.held):
        return count, ()
    held = tuple(sorted((*count.held, event), key=lambda other: _ahead(count, other.seq or 0)))
    # no room is as good as no patience: the state is read, so the newest may go
    gap_at = now if len(held) > HELD_EVENTS else min(count.gap_at, now + SEQ_GAP_SECONDS)
    return replace(count, held=held[:HELD_EVENTS], gap_at=gap_at), ()


def give_up(count: Count) -> Outcome:
    """The missing event did not come: go on with the held ones, and say that the state must be read."""
    commands = tuple(_out(event, initial=False) for event in count.held)
    last = count.held[-1].seq if count.held else count.last
    assert last is not None
    return replace(count, last=last, held=(), gap_at=math.inf), (*commands, ReadState("events were lost"))


def _out(event: Event, *, initial: bool) -> Deliver | ReadState:
    if event.values is None:
        return ReadState("an event could not be read")
    return Deliver(event.values, initial)


def _ahead(count: Count, seq: int) -> int:
    """How many keys lie between the expected one and this one, on the ring 1..SEQ_MAX."""
    return seq if count.last < 0 else (seq - count.expected) % SEQ_MAX


def _zero(count: Count, event: Event) -> Outcome:
    """The first event, its repeat, a wrap to 0, or a publisher that began to count anew (Q159)."""
    if count.last == 0 and event.values == count.first_values:
        return count, ()
    wrapped = count.last == SEQ_MAX
    if count.last < 0 or wrapped:
        count, commands = _in_order(count, event)
        if wrapped:
            commands = (_out(event, initial=False), *commands[1:])
        return count, commands
    return Count(last=0, first_values=event.values), (_out(event, initial=True),)


def _in_order(count: Count, event: Event) -> Outcome:
    """Apply the expected event and every held one that follows it without a gap."""
    assert event.seq is not None
    first_values = event.values if event.seq == 0 else count.first_values
    commands = [_out(event, initial=event.seq == 0)]
    last, held = event.seq, list(count.held)
    while held and held[0].seq == following(last):
        commands.append(_out(held[0], initial=False))
        last = following(last)
        del held[0]
    gap_at = count.gap_at if held else math.inf
    return Count(last, first_values, tuple(held), gap_at), tuple(commands)
