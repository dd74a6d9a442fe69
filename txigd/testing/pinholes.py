"""The IPv6 pinholes of a gateway. Pure; time is the argument ``now``.

Source: WANIPv6FirewallControl:1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from txigd.limits import SIMULATED_PINHOLES
from txigd.testing.template import TEMPLATES

SERVICE: Final = TEMPLATES["urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"]
PROTOCOLS: Final = (6, 17)
ANY_PROTOCOL: Final = 65_535
LONGEST_LEASE: Final = 86_400
_UI4: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Pinhole:
    """One pinhole; ``protocol`` is the IANA number, empty ``remote_host`` and port 0 are wildcards."""

    internal_client: str
    internal_port: int
    protocol: int
    remote_host: str = ""
    remote_port: int = 0
    expires: float = 0.0


class PinholeTable:
    """The pinholes by their UniqueID, and the two switches of the firewall."""

    def __init__(self, *, firewall_enabled: bool = True, inbound_allowed: bool = True) -> None:
        self.firewall_enabled = firewall_enabled
        self.inbound_allowed = inbound_allowed
        self._pinholes: dict[int, Pinhole] = {}
        self._packets: dict[int, int] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._pinholes)

    def __iter__(self) -> Iterator[tuple[int, Pinhole]]:
        return iter(tuple(self._pinholes.items()))

    def add(self, wanted: Pinhole, lease: int, *, now: float, caller: str | None = None) -> int:
        """AddPinhole; the same five values extend the pinhole that is there.

        :param caller: the address that asks; a pinhole for somebody else is refused with 606. None: not checked.
        :return: the UniqueID. :raises ActionError: 606, 701, 702, 703, 705, 706, 707, 708.
        """
        self._check_switches()
        code = self._refusal(wanted, lease, caller)
        if code:
            raise SERVICE.refusal(code)
        stored = replace(wanted, expires=now + lease)
        for unique_id, pinhole in self._pinholes.items():
            if replace(pinhole, expires=0.0) == replace(wanted, expires=0.0):
                self._pinholes[unique_id] = stored
                return unique_id
        if len(self._pinholes) >= SIMULATED_PINHOLES:
            raise SERVICE.refusal(701)
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self._pinholes:
                self._pinholes[self._last_id] = stored
                return self._last_id

    def update(self, unique_id: int, lease: int, *, now: float, caller: str | None = None) -> None:
        """UpdatePinhole. :raises ActionError: 600, 606, 702, 703, 704."""
        pinhole = self.get(unique_id, caller)
        if not 1 <= lease <= LONGEST_LEASE:
            raise SERVICE.refusal(600)
        self._pinholes[unique_id] = replace(pinhole, expires=now + lease)

    def delete(self, unique_id: int, *, caller: str | None = None) -> None:
        """DeletePinhole. :raises ActionError: 606, 702, 703, 704."""
        self.get(unique_id, caller)
        del self._pinholes[unique_id]
        self._packets.pop(unique_id, None)

    def get(self, unique_id: int, caller: str | None = None) -> Pinhole:
        """The pinhole.

        :param caller: the address that asks; somebody else's pinhole is refused with 606 (Q194). None: not checked.
        :raises ActionError: 606, 702, 703, 704.
        """
        self._check_switches()
        if unique_id not in self._pinholes:
            raise SERVICE.refusal(704)
        found = self._pinholes[unique_id]
        if caller is not None and not _is_own(found, caller):
            raise SERVICE.refusal(606)
        return found

    def count(self, unique_id: int, packets: int) -> None:
        """So many packets came through. :raises ActionError: 702, 703, 704."""
        self.get(unique_id)
        self._packets[unique_id] = (self.packets(unique_id) + packets) % _UI4

    def packets(self, unique_id: int, *, caller: str | None = None) -> int:
        """GetPinholePackets: how many came through so far, a ui4. :raises ActionError: 606, 702, 703, 704."""
        self.get(unique_id, caller)
        return self._packets.get(unique_id, 0)

    def expire(self, now: float) -> None:
        """Delete what has run out."""
        for unique_id in [key for key, pinhole in self._pinholes.items() if pinhole.expires <= now]:
            del self._pinholes[unique_id]
            self._packets.pop(unique_id, None)

    def next_expiry(self) -> float | None:
        """When the next pinhole runs out, None without pinholes."""
        return min((pinhole.expires for pinhole in self._pinholes.values()), default=None)

    def clear(self) -> None:
        """Forget all, as a reboot does."""
        self._pinholes.clear()
        self._packets.clear()

    def _check_switches(self) -> None:
        if not self.firewall_enabled:
            raise SERVICE.refusal(702)
        if not self.inbound_allowed:
            raise SERVICE.refusal(703)

    def _refusal(self, wanted: Pinhole, lease: int, caller: str | None) -> int:
        if not wanted.internal_client:
            return 708
        if wanted.protocol == ANY_PROTOCOL:
            return 707
        if wanted.protocol not in PROTOCOLS:
            return 705
        if wanted.internal_port == 0:
            return 706
        if not _is_ipv6(wanted.internal_client) or (wanted.remote_host and not _is_ipv6(wanted.remote_host)):
            return 600
        if not 1 <= lease <= LONGEST_LEASE:
            return 600
        if caller is not None and (not _is_own(wanted, caller) or wanted.internal_port < 1024):
            return 606
        return 0


def _is_own(pinhole: Pinhole, caller: str) -> bool:
    return ipaddress.ip_address(pinhole.internal_client) == ipaddress.ip_address(caller)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False
