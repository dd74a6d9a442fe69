"""What the lease machine is told, what it asks for, and what a user sees of it, as values. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from txigd.igd.mapping import PortMappingEntry


class MappingState(enum.Enum):
    """Where a held mapping stands; what a user sees."""

    WAITING = "waiting"
    """No gateway to map on yet."""
    ADDING = "adding"
    ACTIVE = "active"
    """In the gateway's table, read back; a reason says what failed since."""
    UNVERIFIED = "unverified"
    """The gateway accepted it, but offers no way to read it back, or does not show it."""
    CONFLICT = "conflict"
    """The external port belongs to somebody else, or to another mapping that is held."""
    REFUSED = "refused"
    LOST = "lost"
    """Was active, vanished, is being added again; or the gateway does not answer."""
    RELEASED = "released"


WORKING = frozenset({MappingState.ACTIVE, MappingState.UNVERIFIED})


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """One held mapping at one moment. ``next_attempt`` is on the clock that the facts carried, or None."""

    state: MappingState = MappingState.WAITING
    external_port: int = 0
    lease_seconds: int = 0
    reason: str = ""
    next_attempt: float | None = None


# -- facts ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Found:
    """The gateway's table holds this entry at our port."""

    entry: PortMappingEntry


@dataclass(frozen=True, slots=True)
class Missing:
    """The gateway's table holds nothing at our port (714)."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The gateway offers no way to read the entry (401, 602; F35); ``passing`` where it may again, after a while."""

    passing: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """AddPortMapping was answered with success."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """AddAnyPortMapping was answered with the external port that the gateway picked (F36)."""

    port: int


@dataclass(frozen=True, slots=True)
class Denied:
    """AddPortMapping or AddAnyPortMapping was answered with a UPnP error; or DeletePortMapping with 606.

    After 402 the gateway's own description may say why: ``other_lease`` is a lease that it allows in place of the one
    asked for, ``bad_port`` that the external port is none of those that it allows. ``in_doubt`` where one that was
    asked for before had no answer, and nothing was read since: that one may be what stands in the way (F45, Q122).
    """

    code: int
    text: str
    other_lease: int | None = None
    bad_port: bool = False
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer; what was asked may or may not have been done (F45)."""

    text: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """DeletePortMapping was answered; most errors mean that there was nothing of ours to delete (Q135).

    ``gone`` unless it was refused with another error than "no such entry": then it may stand there yet.
    """

    gone: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """Not asked for: another mapping of ours has this external port, see :mod:`txigd.igd.claims`.

    :ivar by: which one.
    :ivar ends: whether it is about to leave it.
    """

    by: str
    ends: bool = False


Fact = Found | Missing | Unreadable | Added | Reserved | Denied | Failed | Deleted | Taken


# -- commands ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Read:
    """Read the entry at this external port."""

    port: int


@dataclass(frozen=True, slots=True)
class Add:
    """Send AddPortMapping."""

    port: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Send AddAnyPortMapping; ``port`` is the one that is liked best."""

    port: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Seek:
    """Look in the whole table for an entry of ours."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Send DeletePortMapping."""

    port: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let another mapping of ours have the external port; nothing of this one is there any more."""

    to: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before this time."""

    until: float


@dataclass(frozen=True, slots=True)
class Done:
    """The mapping is released and gone."""


Command = Read | Add | Reserve | Seek | Delete | GiveUp | Rest | Done
