"""All that a subscription knows, and when its time comes. Pure. Sources: UDA 2.0 sections 4.1 and 4.2; threat C9."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from txigd.limits import RESUBSCRIBE_FLOOR_SECONDS
from txigd.upnp.eventing.sequence import Count
from txigd.upnp.eventing.subscription_facts import Notified

NEVER = math.inf

STATES = {
    "stopped": "stopped",
    "subscribing": "subscribing",
    "waiting": "subscribing",  # until a fresh SUBSCRIBE is allowed
    "subscribed": "subscribed",
    "renewing": "subscribed",
    "failed": "failed",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a subscription knows. ``phase`` is a key of :data:`STATES`, whose value is what users see."""

    phase: str = "stopped"
    epoch: int = 0
    sid: str = ""
    count: Count = field(default_factory=Count)
    parked: tuple[Notified, ...] = ()  # events whose SID is not known yet (Q157)
    spilled: bool = False  # there was no room to park one
    retired: tuple[tuple[int, str, float], ...] = ()  # (epoch, SID, open until) of replaced paths; few, because of C9
    failures: int = 0
    refusals: int = 0
    renewals_failed: int = 0
    was_granted: bool = False
    subscribed_at: float = -NEVER  # when the last fresh SUBSCRIBE was sent
    urged_at: float = -NEVER  # when the last one was sent that did not wait for the floor
    expires_at: float = NEVER
    renew_at: float = NEVER
    retry_at: float = NEVER
    initial_by: float = NEVER
    resubscribe_at: float = NEVER

    @property
    def state(self) -> str:
        """``subscribing``, ``subscribed``, ``refused``, ``failed`` or ``stopped``.

        A renewal that failed is tried again and again: until one is granted, that is no subscription that works.
        """
        return "failed" if self.phase == "renewing" and self.failures else STATES[self.phase]

    def admits(self, epoch: int, sid: str) -> bool:
        """Whether a NOTIFY with this SID on the path of this epoch is to be answered 200; otherwise 412 (UDA 4.2)."""
        if epoch == self.epoch:
            return self.phase in ("subscribing", "renewing") or sid == self.sid != ""
        return any(epoch == old and sid == old_sid for old, old_sid, _ in self.retired)


def next_due(memory: Memory) -> float:
    """When the next :class:`Tick` is wanted; :data:`NEVER` where none is."""
    if memory.phase == "stopped":
        return NEVER
    due = [memory.retry_at, memory.initial_by, memory.count.gap_at, resubscribe_due(memory)]
    due += [until for _, _, until in memory.retired]
    if memory.phase == "subscribed":
        due += [memory.renew_at, memory.expires_at]
    return min(due)


def resubscribe_due(memory: Memory) -> float:
    """When a fresh SUBSCRIBE that is wanted may be sent, for the floor of C9."""
    return max(memory.resubscribe_at, memory.subscribed_at + RESUBSCRIBE_FLOOR_SECONDS) if memory.sid else NEVER
