"""Who may be heard on a link, and how often. Pure.

Every datagram passes here before a single octet of it is parsed (threats A3, D1).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from txigd.limits import SSDP_PER_SECOND, SSDP_PER_SOURCE_PER_SECOND, SSDP_SOURCES
from txigd.upnp.url import IPAddress, with_zone

if TYPE_CHECKING:  # addressing opens sockets; this module only reads what a Link says
    from txigd.upnp.addressing import Link

OFF_LINK: Final = "off link"
TOO_MANY: Final = "rate"


@dataclass(slots=True)
class _Window:
    """Datagrams counted in the second that began at ``since``."""

    since: float = 0.0
    count: int = 0

    def passes(self, now: float, most: int) -> bool:
        if not 0.0 <= now - self.since < 1.0:
            self.since, self.count = now, 0
        self.count += 1
        return self.count <= most


@dataclass(slots=True)
class _Source:
    address: IPAddress | None  # None: not on the link
    trusted: bool
    window: _Window


class Sources:
    """Admits datagrams by their source.

    Each source has a budget of its own. Together they have a larger one, so that a host that forges many sources gets
    no further; the routers are not counted in it, so that such a flood does not hide the gateway.

    :param per_source: datagrams of one source a second.
    :param together: datagrams of all sources a second.
    """

    def __init__(self, per_source: int = SSDP_PER_SOURCE_PER_SECOND, together: int = SSDP_PER_SECOND) -> None:
        self._per_source = per_source
        self._together = together
        self._sources: OrderedDict[tuple[int, str], _Source] = OrderedDict()
        self._all = _Window()
        self._trusted: frozenset[IPAddress] = frozenset()

    def trust(self, addresses: Iterable[IPAddress]) -> None:
        """Set the sources that the common budget does not touch, and forget what was known of the links."""
        self._trusted = frozenset(addresses)
        self._sources.clear()

    def admit(self, link: Link, host: str, now: float) -> IPAddress | str:
        """The sender's address, with its zone if link-local IPv6, or the reason why the datagram is dropped.

        :param host: the sender as the socket gave it, without zone.
        """
        key = (link.index, host)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = self._judge(link, host)
            if len(self._sources) > SSDP_SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(key)
        if source.address is None:
            return OFF_LINK
        if not source.window.passes(now, self._per_source):
            return TOO_MANY
        if not source.trusted and not self._all.passes(now, self._together):
            return TOO_MANY
        return source.address

    def _judge(self, link: Link, host: str) -> _Source:
        try:
            address = with_zone(ipaddress.ip_address(host.partition("%")[0]), link.name)
        except ValueError:
            return _Source(None, False, _Window())
        here = link.contains(address) and not (address.is_multicast or address.is_unspecified)
        return _Source(address if here else None, address in self._trusted, _Window())

    def __len__(self) -> int:
        return len(self._sources)
