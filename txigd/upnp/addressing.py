"""Links: the network interfaces of this host, their addresses and routers, and our address towards a device.

Knows the operating system's list of interfaces and its route tables, nothing of UPnP's messages.
Sources: UDA 1.0-2.0 section 0 (addressing), quirk Q014, faults F14-F17, F22.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ifaddr

from txigd.errors import AddressingError
from txigd.limits import LINKS, SSDP_PORT
from txigd.upnp.url import DeviceURL, IPAddress, IPNetwork, with_zone, without_zone

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_ROUTES_V4: Final = Path("/proc/net/route")
_ROUTES_V6: Final = Path("/proc/net/ipv6_route")
_ROUTES_OCTETS: Final = 1 << 20  # a router with a full table must not stall us
_ROUTE_UP: Final = 0x0001
_ROUTE_GATEWAY: Final = 0x0002
_ROUTE_REJECT: Final = 0x0200

# SIOCGIFFLAGS and IFF_MULTICAST; the other flags have the same value on both
_FLAGS_REQUEST: Final = {"linux": (0x8913, 0x1000), "darwin": (0xC0206911, 0x8000)}
_FLAG_UP: Final = 0x01
_FLAG_LOOPBACK: Final = 0x08
_FLAG_POINT_TO_POINT: Final = 0x10
_FLAG_RUNNING: Final = 0x40


@dataclass(frozen=True)
class Link:
    """One network interface and the addresses it had when it was looked at.

    ``up`` means administratively up *and* with a carrier, so that a cable coming back is a change of links.
    """

    name: str
    index: int
    addresses: tuple[IPInterface, ...] = ()
    up: bool = True
    multicast: bool = True
    point_to_point: bool = False
    loopback: bool = False

    @functools.cached_property
    def networks(self) -> tuple[IPNetwork, ...]:
        """The subnets that are directly on this link, each once."""
        return tuple(dict.fromkeys(interface.network for interface in self.addresses))

    @functools.cached_property
    def hosts(self) -> tuple[IPAddress, ...]:
        """Our own addresses; link-local IPv6 ones carry this link as zone."""
        return tuple(with_zone(interface.ip, self.name) for interface in self.addresses)

    @property
    def ipv4(self) -> ipaddress.IPv4Address | None:
        """Our first IPv4 address."""
        return next((host for host in self.hosts if isinstance(host, ipaddress.IPv4Address)), None)

    @property
    def ipv6_link_local(self) -> ipaddress.IPv6Address | None:
        """Our link-local IPv6 address, with this link as zone."""
        return next((host for host in self._ipv6 if host.is_link_local), None)

    @property
    def ipv6_routable(self) -> ipaddress.IPv6Address | None:
        """Our first unique local address, else a global one (UDA 2.0 annex A: the source for site-local multicast)."""
        wide = [host for host in self._ipv6 if not host.is_link_local]
        return next((host for host in wide if host in _UNIQUE_LOCAL), wide[0] if wide else None)

    @property
    def _ipv6(self) -> tuple[ipaddress.IPv6Address, ...]:
        return tuple(host for host in self.hosts if isinstance(host, ipaddress.IPv6Address))

    def contains(self, address: IPAddress) -> bool:
        """Is the address in one of the subnets of this link? A zone, if there is one, must name this link."""
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id not in (None, self.name, str(self.index)):
            return False
        return any(address in network for network in self.networks if network.version == address.version)


_UNIQUE_LOCAL: Final = ipaddress.IPv6Network("fc00::/7")


@dataclass(frozen=True, slots=True)
class NextHop:
    """A router that a default route points to; a link-local IPv6 address carries its zone. Low metrics win."""

    address: IPAddress
    link_name: str
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two lists of links. False where nothing does."""

    added: tuple[Link, ...] = ()
    removed: tuple[Link, ...] = ()
    altered: tuple[tuple[Link, Link], ...] = ()
    addresses_gained: frozenset[IPAddress] = frozenset()
    addresses_lost: frozenset[IPAddress] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)


def changes(old: Iterable[Link], new: Iterable[Link]) -> Changes:
    """The difference between two lists of links, as returned by :func:`links`. Pure.

    A link that was destroyed and made again under its old name has another index: it is removed and added.
    """
    before = {(link.name, link.index): link for link in old}
    after = {(link.name, link.index): link for link in new}
    had = frozenset(host for link in before.values() for host in link.hosts)
    has = frozenset(host for link in after.values() for host in link.hosts)
    return Changes(
        added=tuple(link for key, link in after.items() if key not in before),
        removed=tuple(link for key, link in before.items() if key not in after),
        altered=tuple((before[key], link) for key, link in after.items() if before.get(key, link) != link),
        addresses_gained=has - had,
        addresses_lost=had - has,
    )


def links(names: Sequence[str] = ()) -> tuple[Link, ...]:
    """The links that can be used now: up and with an address, those of the default routes first.

    :param names: use these links only. A loopback or a point-to-point link is used only when named: a VPN that
        becomes the default route must not choose the gateway (fault F17).
    :raises AddressingError: if a name is not that of an interface of this host, or the system tells nothing.
    """
    present = _all_links()
    unknown = [name for name in names if name not in {link.name for link in present}]
    if unknown:
        there = ", ".join(sorted(link.name for link in present)) or "none"
        raise AddressingError(f"no such link: {', '.join(unknown)}; this host has: {there}")
    usable = [link for link in present if link.up and link.addresses]
    if names:
        return tuple(sorted((link for link in usable if link.name in names), key=lambda link: names.index(link.name)))
    usable = [link for link in usable if not (link.loopback or link.point_to_point)]
    # container hosts have hundreds of links with nothing but a link-local address: the likely ones come first
    routed = {hop.link_name for hop in next_hops()}
    usable.sort(key=lambda link: (link.name not in routed, link.ipv4 is None, link.index))
    return tuple(usable[:LINKS])


def _all_links() -> list[Link]:
    try:
        adapters = list(ifaddr.get_adapters(include_unconfigured=True))
    except (OSError, AssertionError) as error:  # ifaddr asserts that every address has a netmask
        raise AddressingError(f"the system does not tell its network interfaces: {error}") from error
    found: dict[int, Link] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for adapter in adapters:
            name = adapter.name.partition(":")[0]  # "eth0:1" is a label of an address of eth0, not another link
            if not adapter.index:
                continue
            link = found.get(adapter.index) or _bare_link(name, adapter.index, probe)
            addresses = tuple(_interface(ip, name) for ip in adapter.ips)
            found[adapter.index] = _with_addresses(link, link.addresses + addresses)
    return list(found.values())


def _bare_link(name: str, index: int, probe: socket.socket) -> Link:
    """The link with its flags; where the system does not tell them, an ordinary one."""
    request, multicast = _FLAGS_REQUEST.get(sys.platform, (0, 0))
    if not request:
        return Link(name, index)
    import fcntl  # not on every system

    try:
        answer = fcntl.ioctl(probe.fileno(), request, struct.pack("@16s240x", name.encode()[:15]))
    except OSError:  # it went away since it was listed
        return Link(name, index, up=False)
    flags = struct.unpack_from("@H", answer, 16)[0]
    wanted = _FLAG_UP | _FLAG_RUNNING
    return Link(
        name,
        index,
        up=flags & wanted == wanted,
        multicast=bool(flags & multicast),
        point_to_point=bool(flags & _FLAG_POINT_TO_POINT),
        loopback=bool(flags & _FLAG_LOOPBACK),
    )


def _with_addresses(link: Link, addresses: tuple[IPInterface, ...]) -> Link:
    loopback = link.loopback or (bool(addresses) and all(interface.is_loopback for interface in addresses))
    return Link(link.name, link.index, addresses, link.up, link.multicast, link.point_to_point, loopback)


def _interface(ip: ifaddr.IP, name: str) -> IPInterface:
    if isinstance(ip.ip, str):
        return ipaddress.IPv4Interface(f"{ip.ip}/{ip.network_prefix}")
    address = with_zone(ipaddress.IPv6Address(ip.ip[0]), name)
    return ipaddress.IPv6Interface(f"{address}/{ip.network_prefix}")


def next_hops() -> tuple[NextHop, ...]:
    """The routers of the default routes, best first, IPv4 before IPv6; empty where the system does not tell."""
    return parse_route4(_read(_ROUTES_V4)) + parse_route6(_read(_ROUTES_V6))


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(_ROUTES_OCTETS)
    except OSError:
        return ""


def parse_route4(text: str) -> tuple[NextHop, ...]:
    """Next hops of the default routes in the format of Linux's ``/proc/net/route``. Pure.

    Routes without a next hop (point-to-point, F17) and half-default routes (0/1 and 128/1 of VPNs) are no gateways.
    """
    return _best_first(_hop4(line.split()) for line in text.splitlines())


def _hop4(fields: list[str]) -> NextHop | None:
    try:
        name, destination, gateway, flags, _, _, metric, mask = fields[:8]
        bits = int(flags, 16)
        # the kernel prints the four octets as one number of the host's own byte order
        address = ipaddress.IPv4Address(int(gateway, 16).to_bytes(4, sys.byteorder))
        default = int(destination, 16) == 0 and int(mask, 16) == 0
        return NextHop(address, name, int(metric)) if default and _routed(bits, address) else None
    except (ValueError, OverflowError):  # the heading, or a line cut short
        return None


def parse_route6(text: str) -> tuple[NextHop, ...]:
    """Next hops of the default routes in the format of Linux's ``/proc/net/ipv6_route``. Pure."""
    return _best_first(_hop6(line.split()) for line in text.splitlines())


def _hop6(fields: list[str]) -> NextHop | None:
    try:
        destination, length, _, source_length, gateway, metric, _, _, flags, name = fields[:10]
        bits = int(flags, 16)
        address = with_zone(ipaddress.IPv6Address(int(gateway, 16)), name)
        default = int(destination, 16) == 0 and int(length, 16) == 0 and int(source_length, 16) == 0
        return NextHop(address, name, int(metric, 16)) if default and _routed(bits, address) else None
    except ValueError:  # a line cut short (a bad address is a ValueError too)
        return None


def _routed(bits: int, address: IPAddress) -> bool:
    up = bits & _ROUTE_UP and bits & _ROUTE_GATEWAY and not bits & _ROUTE_REJECT
    return bool(up) and not (address.is_unspecified or address.is_loopback or address.is_multicast)


def _best_first(hops: Iterable[NextHop | None]) -> tuple[NextHop, ...]:
    by_metric = sorted((hop for hop in hops if hop is not None), key=lambda hop: hop.metric)
    once = {(hop.address, hop.link_name): hop for hop in reversed(by_metric)}  # one router, several routes
    return tuple(itertools.islice((hop for hop in by_metric if once[hop.address, hop.link_name] is hop), LINKS))


def zone_index(address: IPAddress) -> int:
    """The interface index that the zone of an IPv6 address names; 0 where it has none.

    :raises AddressingError: if there is no such interface.
    """
    zone = address.scope_id if isinstance(address, ipaddress.IPv6Address) else None
    if zone is None:
        return 0
    if zone.isdecimal() and zone.isascii():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except OSError as error:
        there = ", ".join(sorted(name for _, name in socket.if_nameindex())) or "none"
        raise AddressingError(f"no such link: {zone}; this host has: {there}") from error


def links_to(host: IPAddress) -> tuple[str, ...]:
    """Names of the links that are directly connected to ``host``, loopback and point-to-point ones too; none for a host
    behind a router."""
    return tuple(link.name for link in _all_links() if link.up and link.contains(host))


def check_zone(url: DeviceURL) -> None:
    """A link-local address is on every link: whoever names one has to say which is meant.

    :param url: as the user wrote it.
    :raises AddressingError: where it says none, showing what to write, or one that this host has not.
    """
    if url.host.version == 4 or not url.host.is_link_local:
        return
    if url.zone:
        zone_index(url.host)
        return
    could_be = [link.name for link in links() if link.ipv6_link_local is not None] or ["LINK"]
    others = f" (or {', '.join(could_be[1:])} for {could_be[0]})" if could_be[1:] else ""
    raise AddressingError(f"which link leads to {url.host}? Write {url.with_zone(could_be[0])}{others}")


def address_towards(host: IPAddress) -> IPAddress:
    """Our own address on the way to ``host``, found by connecting a UDP socket, which sends nothing.

    It is what a CALLBACK or an internal client has to name (UDA section 0). A link-local one carries the zone of
    ``host``.

    :raises AddressingError: if the system has no way to the host.
    """
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    name: tuple[str, int] | tuple[str, int, int, int] = (str(without_zone(host)), SSDP_PORT)
    if host.version == 6:
        name = (*name[:2], 0, zone_index(host))
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(name)
            found = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError as error:
        raise AddressingError(f"no way to {host}: {error.strerror or error}") from error
    if found.is_unspecified:
        raise AddressingError(f"no way to {host}: no address of our own")
    zone = host.scope_id if isinstance(host, ipaddress.IPv6Address) else None
    return with_zone(found, zone or "")
