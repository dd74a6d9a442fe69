"""One subscription to the events of one service: facts in, commands out. Pure.

``step(memory, fact, now, chance)`` looks the pair (phase, kind of fact) up in one table; a pair that is not there is a
fact out of turn, and is ignored. Time is the argument ``now`` in seconds of any steady clock; ``chance`` is a random
number in [0, 1) for the renewal's jitter.

Each fresh SUBSCRIBE has a new ``epoch``: the caller gives every epoch a callback path of its own, so an event is told
by its epoch before its SID is known. Sources: UDA 1.0-2.0 sections 4.1 and 4.2; quirks Q157-Q170, Q181-Q183; faults
F04-F12; threats C1, C2, C9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from txigd.limits import (
    EARLY_EVENTS,
    GRANT_FLOOR_SECONDS,
    INITIAL_EVENT_SECONDS,
    NOTIFY_OCTETS,
    OLD_TOKEN_SECONDS,
    REFUSED_RETRY_SECONDS,
    RENEW_AGAIN_SECONDS,
    RENEW_FRACTION,
    RENEW_JITTER,
    RESUBSCRIBE_FLOOR_SECONDS,
    RETRY_CEILING_SECONDS,
    RETRY_FIRST_SECONDS,
)
from txigd.upnp.eventing import sequence
from txigd.upnp.eventing.sequence import Count, Event, ReadState
from txigd.upnp.eventing.subscription_facts import (
    SUBSCRIPTION_LOST,
    Abandon,
    Close,
    Commands,
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
from txigd.upnp.eventing.subscription_memory import NEVER, Memory, resubscribe_due

Outcome = tuple[Memory, Commands]

# -- how a subscription begins and ends --------------------------------------------------------------------------------


def _leave(memory: Memory, now: float) -> Outcome:
    """Forget the current epoch: cancel what is in flight, keep its path open a while if events may still come."""
    commands: Commands = (Abandon(),) if memory.phase in ("subscribing", "renewing") else ()
    retired = memory.retired
    if memory.sid:
        retired = (*retired, (memory.epoch, memory.sid, now + OLD_TOKEN_SECONDS))
    elif memory.phase == "subscribing":
        commands += (Close(memory.epoch),)
    left = replace(
        memory,
        sid="",
        count=Count(),
        parked=(),
        spilled=False,
        retired=retired,
        renewals_failed=0,
        expires_at=NEVER,
        renew_at=NEVER,
        retry_at=NEVER,
        initial_by=NEVER,
        resubscribe_at=NEVER,
    )
    return left, commands


def _begin(memory: Memory, now: float) -> Outcome:
    """Send a fresh SUBSCRIBE now."""
    memory, commands = _leave(memory, now)
    memory = replace(memory, phase="subscribing", epoch=memory.epoch + 1, subscribed_at=now)
    return memory, (*commands, Subscribe(memory.epoch))


def _begin_when_allowed(memory: Memory, now: float) -> Outcome:
    """Send a fresh SUBSCRIBE after trouble: at once, or as soon as C9 allows."""
    allowed = memory.subscribed_at + RESUBSCRIBE_FLOOR_SECONDS
    if now >= allowed:
        return _begin(memory, now)
    return _wait(memory, now, "waiting", allowed)


def _wait(memory: Memory, now: float, phase: str, until: float) -> Outcome:
    memory, commands = _leave(memory, now)
    return replace(memory, phase=phase, retry_at=until), commands


def _start(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """What the owner asks for is done at once."""
    return _begin(replace(memory, failures=0, refusals=0), now)


def _restart(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Subscribe without regard to the floor; but whoever forges reboots gets one SUBSCRIBE in that time (C9).

    Until then what is there stays, so that forgeries do not silence the events.
    """
    allowed = memory.urged_at + RESUBSCRIBE_FLOOR_SECONDS
    if now >= allowed:
        return _begin(replace(memory, urged_at=now, failures=0, refusals=0), now)
    if memory.sid or memory.phase == "subscribing":
        return replace(memory, resubscribe_at=min(memory.resubscribe_at, allowed)), ()
    return replace(memory, retry_at=min(memory.retry_at, allowed)), ()


def _move(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    moved, commands = _restart(memory, fact, now, chance)
    given_back: Commands = (Unsubscribe(memory.sid),) if memory.sid and moved.epoch != memory.epoch else ()
    return moved, given_back + commands


def _stop(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    sid, epochs = memory.sid, [epoch for epoch, _, _ in memory.retired]
    memory, commands = _leave(replace(memory, retired=()), now)
    commands += tuple(Close(epoch) for epoch in (*epochs, *(epoch for epoch, _, _ in memory.retired)))
    return replace(memory, phase="stopped", retired=()), commands + ((Unsubscribe(sid),) if sid else ())


# -- answers -----------------------------------------------------------------------------------------------------------


def _subscribed(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Take a grant, then the events that were quicker than it (Q157, F10)."""
    assert isinstance(fact, Granted)
    grant, parked, spilled = fact.grant, memory.parked, memory.spilled
    commands: Commands = ()
    # counted from when the device may have granted it, not from when its answer came
    asked_at = memory.subscribed_at if memory.phase == "subscribing" else now
    seconds = max(grant.seconds, GRANT_FLOOR_SECONDS)
    initial_by = now + INITIAL_EVENT_SECONDS if memory.phase == "subscribing" else memory.initial_by
    if memory.sid and memory.sid != grant.sid:
        commands += (Unsubscribe(memory.sid),)  # Q169: it may have made a second subscription of a renewal
    memory = replace(
        memory,
        phase="subscribed",
        sid=grant.sid,
        parked=(),
        spilled=False,
        failures=0,
        refusals=0,
        renewals_failed=0,
        was_granted=True,
        retry_at=NEVER,
        initial_by=initial_by,
        expires_at=asked_at + seconds,
        renew_at=now + seconds * (RENEW_FRACTION + RENEW_JITTER * (2 * chance - 1)),
    )
    for event in sorted(parked, key=lambda event: event.seq or 0):
        if event.sid == grant.sid:
            memory, more = _take(memory, event, now)
            commands += more
    return memory, (*commands, ReadState("too many events before the answer")) if spilled else commands


def _subscribe_refused(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Ask again in an hour (F06), or sooner where it worked before: a device may refuse while it boots."""
    delay: float = REFUSED_RETRY_SECONDS
    if memory.was_granted:
        delay = min(delay, 2 * RESUBSCRIBE_FLOOR_SECONDS * 2.0 ** min(memory.refusals, 16))
    memory = replace(memory, phase="waiting", refusals=memory.refusals + 1)
    epoch = memory.epoch
    memory, commands = _wait(memory, now, "refused", now + delay)
    return memory, (*commands, Close(epoch))


def _subscribe_failed(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Back off; the floor holds where the device may have seen the request (C9)."""
    assert isinstance(fact, Failed)
    until = now + _backoff(memory.failures)
    if fact.reached:
        until = max(until, memory.subscribed_at + RESUBSCRIBE_FLOOR_SECONDS)
    epoch = memory.epoch
    memory = replace(memory, phase="waiting", failures=memory.failures + 1)
    memory, commands = _wait(memory, now, "failed", until)
    return memory, (*commands, Close(epoch))


def _backoff(failures: int) -> float:
    return min(RETRY_FIRST_SECONDS * 2.0 ** min(failures, 16), RETRY_CEILING_SECONDS)


def _renewal_refused(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Subscribe afresh: at once where the SID is unknown (F04), after a second try otherwise (F05)."""
    sure = isinstance(fact, Refused) and fact.status in (400, 412)
    if not sure and memory.renewals_failed == 0 and now + RENEW_AGAIN_SECONDS < memory.expires_at:
        again = replace(memory, phase="subscribed", renewals_failed=1, renew_at=now + RENEW_AGAIN_SECONDS)
        return replace(again, parked=(), spilled=False), ()
    memory, commands = _begin_when_allowed(replace(memory, phase="subscribed"), now)
    return memory, (*commands, ReadState(SUBSCRIPTION_LOST))


def _renewal_failed(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Without a connection the SID may live on: renew after a back-off as long as it does (Q168)."""
    assert isinstance(fact, Failed)
    if fact.reached:
        return _renewal_refused(memory, fact, now, chance)
    retry_at = now + _backoff(memory.failures)
    memory = replace(memory, phase="failed", failures=memory.failures + 1, retry_at=retry_at, parked=(), spilled=False)
    return memory, ()


def _doubted(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """A renewal now tells; a fresh SUBSCRIBE waits for the floor all the same (C9)."""
    if memory.sid:
        memory = replace(memory, phase="renewing", renew_at=NEVER, retry_at=NEVER)
        return memory, (Renew(memory.epoch, memory.sid),)
    if not memory.was_granted:
        return memory, ()  # what was never granted is asked for as often as F06 says
    allowed = max(now, memory.subscribed_at + RESUBSCRIBE_FLOOR_SECONDS)
    return replace(memory, retry_at=min(memory.retry_at, allowed)), ()


# -- events ------------------------------------------------------------------------------------------------------------


def _take(memory: Memory, fact: Notified, now: float) -> Outcome:
    count, commands = sequence.take(memory.count, Event(fact.seq, fact.values), now)
    memory = replace(memory, count=count)
    if count.last >= 0 or fact.seq is None:
        memory = replace(memory, initial_by=NEVER)
    return memory, commands


def _notified(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Take an event, or park it while its SID may yet become ours."""
    assert isinstance(fact, Notified)
    if fact.epoch != memory.epoch:
        return memory, ()
    if memory.sid and fact.sid == memory.sid:
        return _take(memory, fact, now)
    if memory.phase not in ("subscribing", "renewing"):
        return memory, ()
    octets = sum(_size(event) for event in (*memory.parked, fact))
    if len(memory.parked) >= EARLY_EVENTS or octets > NOTIFY_OCTETS:
        return replace(memory, spilled=True), ()
    return replace(memory, parked=(*memory.parked, fact)), ()


def _size(event: Notified) -> int:
    return sum(len(name) + len(text) for name, text in (event.values or {}).items())


# -- time --------------------------------------------------------------------------------------------------------------


def _tick(memory: Memory, fact: Fact, now: float, chance: float) -> Outcome:
    """Do what is due, the first of the list that ends the epoch last."""
    over = tuple(Close(epoch) for epoch, _, until in memory.retired if until <= now)
    memory = replace(memory, retired=tuple(old for old in memory.retired if old[2] > now))
    commands: Commands = over
    if now >= memory.initial_by:
        memory = replace(memory, initial_by=NEVER)
        commands += (ReadState("no initial event"),)
    if now >= memory.count.gap_at:
        lost_initial = memory.count.last < 0
        count, given_up = sequence.give_up(memory.count)
        # a lost initial event is no reason to subscribe again: the state is read, and the next event counts on
        resubscribe_at = memory.resubscribe_at if lost_initial else now
        memory = replace(memory, count=count, resubscribe_at=resubscribe_at, initial_by=NEVER)
        commands += given_up
    memory, more = _turn(memory, now)
    return memory, commands + more


def _turn(memory: Memory, now: float) -> Outcome:
    """The one deadline, if any, that changes the phase."""
    if memory.sid and now >= memory.expires_at and memory.phase in ("subscribed", "failed"):
        # nobody renewed in time: we were suspended (Q183) or the device was away
        memory, commands = _begin_when_allowed(memory, now)
        return memory, (*commands, ReadState("the subscription expired"))
    if now >= resubscribe_due(memory):
        sid = memory.sid
        memory, commands = _begin(memory, now)
        return memory, (Unsubscribe(sid), *commands)
    if now >= memory.retry_at and memory.phase == "failed" and memory.sid:
        return replace(memory, phase="renewing", retry_at=NEVER), (Renew(memory.epoch, memory.sid),)
    if now >= memory.retry_at:
        return _begin(memory, now)
    if now >= memory.renew_at and memory.phase == "subscribed":
        return replace(memory, phase="renewing", renew_at=NEVER), (Renew(memory.epoch, memory.sid),)
    return memory, ()


# -- the table ---------------------------------------------------------------------------------------------------------

Handling = Callable[[Memory, Fact, float, float], Outcome]

_ALIVE = ("subscribing", "waiting", "subscribed", "renewing", "failed", "refused")
_WITH_EVENTS = ("subscribing", "subscribed", "renewing", "failed")

TABLE: dict[tuple[str, type], Handling] = {
    ("stopped", Start): _start,
    ("subscribing", Granted): _subscribed,
    ("subscribing", Refused): _subscribe_refused,
    ("subscribing", Failed): _subscribe_failed,
    ("renewing", Granted): _subscribed,
    ("renewing", Refused): _renewal_refused,
    ("renewing", Failed): _renewal_failed,
    **{(phase, Notified): _notified for phase in _WITH_EVENTS},
    **{(phase, Tick): _tick for phase in _ALIVE},
    **{(phase, Rebooted): _restart for phase in _ALIVE},
    **{(phase, Moved): _move for phase in _ALIVE},
    **{(phase, Doubted): _doubted for phase in ("subscribed", "failed", "refused")},
    **{(phase, Stop): _stop for phase in _ALIVE},
}


def step(memory: Memory, fact: Fact, now: float, chance: float = 0.5) -> Outcome:
    """What a fact changes, and what is to be done about it, in this order. Never raises.

    A grant that nobody waits for is given back.
    """
    row = TABLE.get((memory.phase, type(fact)))
    stale = isinstance(fact, (Granted, Refused, Failed)) and fact.epoch != memory.epoch
    if row is None or stale:
        return memory, (Unsubscribe(fact.grant.sid),) if isinstance(fact, Granted) else ()
    return row(memory, fact, now, chance)
