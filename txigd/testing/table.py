"""The port mapping table of a gateway, with leases and every rule that refuses an entry. Pure.

Time is the argument ``now``, in seconds of any clock. A refusal is an :class:`txigd.errors.ActionError` with the code
of the standard. Sources: WANIPConnection:1 and :2 (the tables of section 2.5 of the templates), quirks 2G; where the
text leaves a choice, the choice of miniupnpd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Final

from txigd.errors import ActionError
from txigd.testing.entry import Entry, Key
from txigd.testing.rules import LOWEST_OPEN_PORT, Rules
from txigd.testing.template import TEMPLATES, ServiceTemplate

PROTOCOLS: Final = ("TCP", "UDP")


class MappingTable:
    """The entries in their order, and the decision about every wish to change them.

    ``update_id`` is SystemUpdateID: one more for each change of a rule, whoever made it. A refresh that changes the
    lease only is no change of the rule. ``vanished`` is whether the last :meth:`expire` took what nobody is told of.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.update_id = 1
        self.vanished = False
        self._entries: dict[Key, Entry] = {}
        self._service: ServiceTemplate = TEMPLATES[f"urn:schemas-upnp-org:service:WANIPConnection:{self.rules.version}"]

    # -- reading ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry: object) -> bool:
        return entry in self._entries.values()

    def find(self, protocol: str, external_port: int, remote_host: str = "") -> Entry | None:
        """The entry with that identity, or None. An empty RemoteHost finds only entries whose own is empty."""
        return self._entries.get((remote_host, external_port, protocol))

    def specific(self, protocol: str, external_port: int, remote_host: str, *, caller: str = "") -> Entry:
        """GetSpecificPortMappingEntry. :raises ActionError: 601 (version 1: 402), 606, 714."""
        self._check_protocol(protocol)
        entry = self.find(protocol, external_port, remote_host)
        if entry is None:
            raise self._refusal(714)
        if not self._may_see(entry, caller):
            raise self._refusal(606)
        return entry

    def generic(self, index: int, *, caller: str = "") -> Entry:
        """GetGenericPortMappingEntry. :raises ActionError: 713 beyond the end, 606 for another's entry."""
        entries = list(self._entries.values())
        if index >= len(entries):
            raise self._refusal(713)
        if not self._may_see(entries[index], caller):
            raise self._refusal(606)
        return entries[index]

    def listed(self, first: int, last: int, protocol: str, manage: bool, count: int, *, caller: str) -> list[Entry]:
        """GetListOfPortMappings; ``count`` 0 means all. :raises ActionError: 601, 730, 733."""
        found = self._range(first, last, protocol, manage, caller)
        if not found:
            raise self._refusal(730)
        return found[:count] if count else found

    # -- changing --------------------------------------------------------------------------------------------------

    def add(self, wanted: Entry, lease: int, *, now: float, caller: str = "") -> Entry:
        """AddPortMapping with a lease in seconds.

        :return: the entry as stored, its lease adapted to the rules.
        :raises ActionError: 402, 600, 601, 606, 715, 716, 718, 724, 725, 726, 728, 729, 732.
        """
        wanted = self._checked(wanted, lease, caller)
        code = self._conflict(wanted, caller)
        if code:
            raise self._refusal(code)
        return self._store(wanted, lease, now)

    def add_any(self, wanted: Entry, lease: int, *, now: float, caller: str = "") -> Entry:
        """AddAnyPortMapping: as :meth:`add`, but with another external port where that one is taken.

        :raises ActionError: as :meth:`add` less 718 and 729; 728 if no port is left.
        """
        wanted = self._checked(wanted, lease, caller)
        if self._conflict(wanted, caller):
            wanted = replace(wanted, external_port=self._free_port(wanted))
        return self._store(wanted, lease, now)

    def delete(self, protocol: str, external_port: int, remote_host: str, *, caller: str = "") -> Entry:
        """DeletePortMapping. :return: what was deleted. :raises ActionError: 601 (version 1: 402), 606, 714."""
        self._check_protocol(protocol)
        entry = self.find(protocol, external_port, remote_host)
        if entry is None:
            raise self._refusal(714)
        if not self._may_change(entry, caller):
            raise self._refusal(606 if self.rules.version >= 2 else 714)
        self._drop([entry])
        return entry

    def delete_range(self, first: int, last: int, protocol: str, manage: bool, *, caller: str = "") -> list[Entry]:
        """DeletePortMappingRange: one step, what the caller may not delete is skipped.

        :raises ActionError: 601, 730 if nothing was left to delete, 733.
        """
        found = [e for e in self._range(first, last, protocol, manage, caller) if self._may_change(e, caller)]
        if not found:
            raise self._refusal(730)
        self._drop(found)
        return found

    def put(self, entry: Entry) -> None:
        """Store an entry past all rules: another client's, or a rule made by other means."""
        self._entries[entry.key] = entry
        self.update_id += 1

    def expire(self, now: float) -> list[Entry]:
        """Delete the entries whose lease is over; return them."""
        over = [entry for entry in self._entries.values() if any(time <= now for time in _ends(entry))]
        self.vanished = any(entry.vanishes is not None and entry.vanishes <= now for entry in over)
        for entry in over:
            self._drop([entry])
        return over

    def next_expiry(self) -> float | None:
        """When the next lease is over, None while all entries are static."""
        return min((time for entry in self._entries.values() for time in _ends(entry)), default=None)

    def clear(self) -> None:
        """Forget all but the rules made by other means: what a reboot does. ``update_id`` starts afresh."""
        self._entries = {key: entry for key, entry in self._entries.items() if not entry.managed}
        self.update_id = 1

    # -- rules -----------------------------------------------------------------------------------------------------

    def _refusal(self, code: int) -> ActionError:
        return self._service.refusal(code)

    def _check_protocol(self, protocol: str) -> None:
        if protocol not in PROTOCOLS:  # version 1 has no 601
            raise self._refusal(601 if self.rules.version >= 2 else 402)

    def _checked(self, wanted: Entry, lease: int, caller: str) -> Entry:
        self._check_protocol(wanted.protocol)
        wanted = replace(wanted, internal_client=wanted.internal_client.strip(), remote_host=wanted.remote_host.strip())
        code = self.rules.refusal(wanted, lease, caller)
        if code:
            raise self._refusal(code)
        return wanted

    def _conflict(self, wanted: Entry, caller: str) -> int:
        """The code of the refusal by what stands in the table or is reserved; 0 for none (IGD:2 table 2-3)."""
        version_2 = self.rules.version >= 2
        if wanted.external_port in self.rules.reserved_ports:
            return 729 if version_2 else 718
        for entry in self._entries.values():
            if entry.protocol != wanted.protocol or entry.external_port != wanted.external_port:
                continue
            if not entry.managed:
                return 729 if version_2 else 718
            if self.rules.overwrites_all:
                continue
            # equal port and protocol: another client never gets it; with another RemoteHost the same client may
            if entry.internal_client != wanted.internal_client:
                return 718
        if wanted.key not in self._entries and len(self._entries) >= self.rules.capacity:
            return self.rules.full_code
        return self.rules.renewal_code if wanted.key in self._entries else 0

    def _free_port(self, wanted: Entry) -> int:
        if len(self._entries) >= self.rules.capacity:
            raise self._refusal(self.rules.full_code)
        if wanted.external_port == 0:  # the one wildcard rule is another's: there is no second
            raise self._refusal(728)
        taken = {entry.external_port for entry in self._entries.values() if entry.protocol == wanted.protocol}
        taken |= self.rules.reserved_ports
        start = max(wanted.external_port, LOWEST_OPEN_PORT - 1)
        for port in chain(range(start + 1, 65536), range(LOWEST_OPEN_PORT, start + 1)):
            if port not in taken:
                return port
        raise self._refusal(728)

    def _store(self, wanted: Entry, lease: int, now: float) -> Entry:
        seconds = self.rules.granted(lease)
        lifetime = self.rules.lifetime_seconds or (0 if seconds else self.rules.static_seconds)
        stored = replace(wanted, expires=now + seconds if seconds else None, managed=True)
        stored = replace(stored, vanishes=now + lifetime if lifetime else None)
        if not self.rules.stores:
            return stored
        before = self._entries.get(stored.key)
        if before is not None and not self.rules.extends:
            stored = replace(stored, expires=before.expires)
        if self.rules.overwrites_all:
            same = (
                e
                for e in self._entries.values()
                if (e.protocol, e.external_port) == (stored.protocol, stored.external_port)
            )
            for entry in tuple(same):
                if entry.key != stored.key:
                    del self._entries[entry.key]
        self._entries[stored.key] = stored
        if before is None or replace(before, expires=None, vanishes=None) != replace(
            stored, expires=None, vanishes=None
        ):
            self.update_id += 1
        return stored

    def _range(self, first: int, last: int, protocol: str, manage: bool, caller: str) -> list[Entry]:
        self._check_protocol(protocol)
        if first > last:
            raise self._refusal(733)
        everybody = manage and not self.rules.secure  # NewManage of a caller without rights is ignored
        return [
            entry
            for entry in self._entries.values()
            if entry.protocol == protocol
            and first <= entry.external_port <= last
            and (everybody or entry.internal_client == caller)
        ]

    def _may_see(self, entry: Entry, caller: str) -> bool:
        return not self.rules.secure or self.rules.version < 2 or entry.internal_client == caller

    def _may_change(self, entry: Entry, caller: str) -> bool:
        if not entry.managed:
            return False
        low = entry.external_port < LOWEST_OPEN_PORT and self.rules.version >= 2
        return not self.rules.secure or (entry.internal_client == caller and not low)

    def _drop(self, entries: list[Entry]) -> None:
        for entry in entries:
            del self._entries[entry.key]
        self.update_id += 1


def _ends(entry: Entry) -> tuple[float, ...]:
    """When an entry goes: with its lease, or before."""
    return tuple(time for time in (entry.expires, entry.vanishes) if time is not None)
