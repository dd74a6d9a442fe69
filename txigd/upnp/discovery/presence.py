"""Who is present on the links: a bounded table of sightings, fed with messages and the time. Pure; opens nothing.

A sighting is one LOCATION (Q038); whether two are one device is told by the description. What the network says is a
hint: a byebye, a silence or a move is told as a change, the owner probes and answers with confirm() or forget().
Sources: UDA 1.0-2.0 section 1.2 (advertisement), quirks Q031, Q034-Q042, threats A2, A3, A5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from txigd.limits import (
    BYEBYE_PROBE_SECONDS,
    EXPIRY_GRACE_SECONDS,
    LATE_ANSWER_SECONDS,
    MAX_AGE_CEILING,
    MAX_AGE_FLOOR,
    REBOOTS_AT_ONCE,
    SIGHTINGS,
    SIGHTINGS_PER_SOURCE,
    USNS_PER_SIGHTING,
)
from txigd.upnp.discovery.message import ROOT_DEVICE, Kind, Message, usn_type
from txigd.upnp.discovery.sighting import Appeared, Change, Doubted, Evicted, Rebooted, Sighting, Updated
from txigd.upnp.url import DeviceURL, IPAddress

_Hint: TypeAlias = Rebooted | Updated | Doubted
_AT_ONCE: dict[type[_Hint], int] = {Rebooted: REBOOTS_AT_ONCE, Updated: 1, Doubted: 1}


@dataclass(slots=True)
class _Entry:
    """A sighting and what the table remembers about it.

    ``replaced`` is the BOOTID that an update took leave of, and when (Q042). ``paid`` says when
    the hints of each kind that were told will have had BYEBYE_PROBE_SECONDS each; ``held`` keeps the first hint of a
    kind that came too soon.
    """

    sighting: Sighting
    certain: bool  # a wanted type was seen, not only upnp:rootdevice
    max_age: int
    pinned: bool
    byebye: float | None = None
    replaced: tuple[int, float] | None = None
    paid: dict[type[_Hint], float] = field(default_factory=dict)
    held: dict[type[_Hint], _Hint] = field(default_factory=dict)

    def renew(self, now: float) -> None:
        """Silence counts from now; any message still valid keeps the device alive, so nothing is shortened."""
        expires = max(self.sighting.expires, now + self.max_age)
        self.sighting = replace(self.sighting, expires=expires)
        self.held.pop(Doubted, None)

    def tell(self, hint: _Hint, now: float) -> list[Change]:
        """The hint, or nothing if as many of its kind as may be were told lately: then it is held (A5)."""
        if now < self.free_at(type(hint)):
            self.held.setdefault(type(hint), hint)  # the first one: its ``previous`` is what the owner knows
            return []
        return self.tell_now(hint, now)

    def tell_now(self, hint: _Hint, now: float) -> list[Change]:
        """The hint; it counts like any other, but what it costs later ones is bounded."""
        kind = type(hint)
        self.held.pop(kind, None)
        paid = max(self.paid.get(kind, now), now) + BYEBYE_PROBE_SECONDS
        self.paid[kind] = min(paid, now + _AT_ONCE[kind] * BYEBYE_PROBE_SECONDS)
        return [hint]

    def free_at(self, kind: type[_Hint]) -> float:
        """When a hint of this kind may be told: _AT_ONCE of them without a pause, and in the long run one in
        BYEBYE_PROBE_SECONDS."""
        return self.paid.get(kind, -math.inf) - (_AT_ONCE[kind] - 1) * BYEBYE_PROBE_SECONDS

    def is_late(self, boot_id: int | None, now: float) -> bool:
        """Whether a message left before the update that changed the BOOTID: it waited for its turn, or on its way."""
        if self.replaced is None or self.sighting.boot_id == boot_id:
            return False
        return boot_id == self.replaced[0] and now < self.replaced[1] + LATE_ANSWER_SECONDS

    def silence_told(self) -> float:
        """When the owner is to hear that the sighting expired."""
        return max(self.sighting.expires + EXPIRY_GRACE_SECONDS, self.free_at(Doubted))

    def next_due(self) -> float:
        return min([self.silence_told(), *map(self.free_at, self.held)])


class Presence:
    """The table: SIGHTINGS in all, SIGHTINGS_PER_SOURCE for one host; the longest silent unpinned one makes room.

    :param wanted: tells a target worth tracking (A3). ``upnp:rootdevice`` may hide one, so it is tracked, but makes
        room before those that announced a wanted target. Other messages count only for a LOCATION already known.
    """

    def __init__(self, wanted: Callable[[str], bool] = lambda target: True) -> None:
        self._wanted = wanted
        # the longest silent first; no OrderedDict: walking one hashes every key, which is dear for addresses (A3)
        self._entries: dict[DeviceURL, _Entry] = {}
        self._per_source: Counter[IPAddress] = Counter()
        self._pinned: set[DeviceURL] = set()

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """All that is known, the longest silent first."""
        return tuple(entry.sighting for entry in self._entries.values())

    def learn(
        self, message: Message, *, location: DeviceURL | None, source: IPAddress, link: str, now: float
    ) -> list[Change]:
        """Take note of one message.

        :param location: the checked LOCATION; None in a byebye, which has none. Others are ignored without it.
        :param source: the sender, with its zone if link-local IPv6.
        :param link: name of the interface that received the message.
        :param now: time of the caller's monotonic clock, seconds.
        """
        if message.kind is Kind.BYEBYE:
            return self._learn_byebye(message.udn, now)
        if message.kind is Kind.SEARCH or location is None:
            return []
        entry = self._entries.get(location)
        if entry is None:
            return [] if message.kind is Kind.UPDATE else self._learn_new(message, location, source, link, now)
        self._entries[location] = self._entries.pop(location)
        if message.kind is Kind.UPDATE:
            return self._learn_update(entry, message, now)
        return self._learn_again(entry, message, now)

    def expire(self, now: float) -> list[Change]:
        """Hints that waited for their time, and doubt about all that fell silent (Q031)."""
        changes: list[Change] = []
        for entry in self._entries.values():
            for kind, hint in tuple(entry.held.items()):
                if now >= entry.free_at(kind):
                    changes += entry.tell(replace(hint, sighting=entry.sighting), now)
            if now >= entry.silence_told():
                changes += entry.tell(Doubted(entry.sighting, "expired"), now)
        return changes

    def next_expiry(self) -> float | None:
        """When expire() will next have something to tell; None while the table is empty."""
        return min((entry.next_due() for entry in self._entries.values()), default=None)

    def confirm(self, location: DeviceURL, now: float) -> None:
        """A probe found the device: the doubt is over, silence counts from now."""
        entry = self._entries.get(location)
        if entry is not None:
            entry.renew(now)

    def unreachable(self, location: DeviceURL, now: float) -> list[Change]:
        """A call of our own found nobody there: the restarts that were held back of it are told now.

        Whoever announces restarts and refuses connections gets no more by that than one hint for each call of ours.
        """
        changes: list[Change] = []
        for entry in self._entries.values():
            hint = entry.held.get(Rebooted)
            if isinstance(hint, Rebooted) and hint.previous.location == location:
                changes += entry.tell_now(replace(hint, sighting=entry.sighting), now)
        return changes

    def forget(self, location: DeviceURL) -> Sighting | None:
        """A probe failed, or the sighting is of no use: the next message from there is an appearance."""
        entry = self._remove(location)
        return entry.sighting if entry else None

    def pin(self, location: DeviceURL) -> None:
        """Never evict this LOCATION, known or not yet. The caller bounds how many it pins."""
        self._pinned.add(location)
        self._mark(location, pinned=True)

    def unpin(self, location: DeviceURL) -> None:
        """End pin()."""
        self._pinned.discard(location)
        self._mark(location, pinned=False)

    # -- one message ---------------------------------------------------------------------------------------------

    def _learn_byebye(self, udn: str, now: float) -> list[Change]:
        """Doubt each sighting that announced this UDN, root or embedded, and touch no other (Q036)."""
        changes: list[Change] = []
        for entry in self._entries.values():
            if udn in entry.sighting.udns:
                entry.byebye = now
                changes += entry.tell(Doubted(entry.sighting, "byebye"), now)
        return changes

    def _learn_new(
        self, message: Message, location: DeviceURL, source: IPAddress, link: str, now: float
    ) -> list[Change]:
        types = _types(message)
        certain = any(map(self._wanted, {message.target, *types}))
        if not certain and ROOT_DEVICE not in types:
            return []
        evicted = self._make_room(location, source)
        if evicted is None:
            return []
        max_age = _clamped(message.max_age)
        entry = _Entry(
            Sighting(
                location,
                source,
                link,
                frozenset({message.udn}),
                types,
                message.boot_id,
                message.config_id,
                message.search_port,
                message.server,
                now + max_age,
            ),
            certain,
            max_age,
            location in self._pinned,
        )
        former = self._former(location, message.udn)
        self._entries[location] = entry
        self._per_source[source] += 1
        if former is None:
            return [*evicted, Appeared(entry.sighting)]
        if message.boot_id is not None and message.boot_id == former.sighting.boot_id:
            # Q038: two trees of one device that never rebooted; but some send one BOOTID for ever
            return [*evicted, Appeared(entry.sighting), *former.tell(Doubted(former.sighting, "moved"), now)]
        # a storm of new LOCATIONs is one device's storm (A5): what was told of one counts for both
        if Rebooted in former.paid:
            entry.paid[Rebooted] = former.paid[Rebooted]
        told = entry.tell(Rebooted(entry.sighting, former.sighting), now)
        former.paid[Rebooted] = entry.paid[Rebooted]
        return [*evicted, *told]

    def _learn_again(self, entry: _Entry, message: Message, now: float) -> list[Change]:
        """An alive or an answer from a known LOCATION. HOST, DATE, SERVER and the like are no change (Q039)."""
        before = entry.sighting
        byebye, entry.byebye = entry.byebye, None
        if entry.is_late(message.boot_id, now):
            message = replace(message, boot_id=None, config_id=None)
        restarted = _differ(before.boot_id, message.boot_id)
        if before.boot_id is None and message.boot_id is None:
            # UDA 1.0 has no BOOTID: there a byebye right before an alive is the sign of a restart
            restarted = byebye is not None and now < byebye + BYEBYE_PROBE_SECONDS
        types = _types(message)
        entry.certain = entry.certain or any(map(self._wanted, {message.target, *types}))
        entry.max_age = _clamped(message.max_age)
        entry.sighting = replace(
            before,
            udns=_joined(before.udns, frozenset({message.udn})),
            targets=_joined(before.targets, types),
            boot_id=before.boot_id if message.boot_id is None else message.boot_id,
            config_id=before.config_id if message.config_id is None else message.config_id,
            search_port=before.search_port if message.search_port is None else message.search_port,
            server=message.server if restarted or not before.server else before.server,
            expires=now if restarted else before.expires,
        )
        entry.renew(now)
        if restarted:
            return entry.tell(Rebooted(entry.sighting, before), now)
        if _differ(before.config_id, message.config_id):
            return entry.tell(Updated(entry.sighting), now)
        return []

    def _learn_update(self, entry: _Entry, message: Message, now: float) -> list[Change]:
        """Still up, and from now on BOOTID will be what NEXTBOOTID said (Q042); later copies change nothing."""
        before = entry.sighting
        following = message.next_boot_id
        missed = _differ(before.boot_id, message.boot_id) and _differ(before.boot_id, following)
        boot_id = message.boot_id if following is None else following
        if message.boot_id is not None and message.boot_id != following:
            entry.replaced = message.boot_id, now
        entry.sighting = replace(before, boot_id=before.boot_id if boot_id is None else boot_id)
        entry.renew(now)
        return entry.tell(Rebooted(entry.sighting, before), now) if missed else []

    # -- the table -----------------------------------------------------------------------------------------------

    def _former(self, location: DeviceURL, udn: str) -> _Entry | None:
        """The entry of the same host that announced this UDN: a pinned one, else the latest heard."""
        found = None
        for entry in reversed(self._entries.values()):
            if udn in entry.sighting.udns and entry.sighting.location.host == location.host:
                if entry.pinned:
                    return entry
                found = found or entry
        return found

    def _make_room(self, location: DeviceURL, source: IPAddress) -> list[Change] | None:
        """Evict what must go for one more; None where only pinned ones are left and the newcomer must stay outside."""
        crowded = self._per_source[source] >= SIGHTINGS_PER_SOURCE
        if not crowded and len(self._entries) < SIGHTINGS:
            return []
        victim = None
        for entry in self._entries.values():
            if entry.pinned or (crowded and entry.sighting.source != source):
                continue
            if not entry.certain:
                victim = entry
                break
            victim = victim or entry
        if victim is None:
            return [] if location in self._pinned else None
        self._remove(victim.sighting.location)
        return [Evicted(victim.sighting)]

    def _remove(self, location: DeviceURL) -> _Entry | None:
        entry = self._entries.pop(location, None)
        if entry is not None:
            source = entry.sighting.source
            self._per_source[source] -= 1
            if not self._per_source[source]:
                del self._per_source[source]  # the keys come from the network
        return entry

    def _mark(self, location: DeviceURL, *, pinned: bool) -> None:
        entry = self._entries.get(location)
        if entry is not None:
            entry.pinned = pinned


def _types(message: Message) -> frozenset[str]:
    """The types that a message announces: of the target and of the USN, which may differ where one is garbled."""
    return frozenset(name for name in (message.target, usn_type(message.usn)) if name and name[:5].lower() != "uuid:")


def _clamped(max_age: int) -> int:
    return min(max(max_age, MAX_AGE_FLOOR), MAX_AGE_CEILING)


def _differ(old: int | None, new: int | None) -> bool:
    """Both known, and not the same: higher or lower alike."""
    return old is not None and new is not None and old != new


def _joined(old: frozenset[str], new: frozenset[str]) -> frozenset[str]:
    return old if new <= old or len(old) >= USNS_PER_SIGHTING else old | new
