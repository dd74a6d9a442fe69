"""The sockets of SSDP: which a link needs, and how each is made ready; other groups are listened to in the same way.

Knows the socket module and links; no Twisted, no messages. Every option is set here, because the reactor only adopts
the descriptor: Twisted's own multicast calls choose no interface on IPv6 and share port 1900 badly.
Sources: UDA 2.0 section 1 and annex A, quirks Q007, Q009, Q010, Q013-Q015, threats D1, D2.
"""

from __future__ import annotations

import enum
import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from txigd.limits import (
    MULTICAST_TTL,
    SSDP_BUFFER_OCTETS,
    SSDP_GROUP_V4,
    SSDP_GROUP_V6_LINK,
    SSDP_GROUP_V6_SITE,
    SSDP_PORT,
)
from txigd.upnp.addressing import Link
from txigd.upnp.url import IPAddress, without_zone

GROUP_V4: Final = ipaddress.IPv4Address(SSDP_GROUP_V4)
GROUP_V6_LINK: Final = ipaddress.IPv6Address(SSDP_GROUP_V6_LINK)
GROUP_V6_SITE: Final = ipaddress.IPv6Address(SSDP_GROUP_V6_SITE)

_IP_MULTICAST_ALL: Final = 49  # Linux; the socket module has no name for it


class Role(enum.Enum):
    """What a socket is for."""

    LISTEN = "listen"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One socket that a link needs. Two equal ones are the same socket; an address that changes makes another.

    ``address`` is the group of a LISTEN socket, our own address (with zone) of a SEARCH socket; ``groups`` is where
    a SEARCH socket sends multicast searches, empty where it is for unicast only; ``port`` is that of a LISTEN socket.
    """

    role: Role
    link_name: str
    link_index: int
    address: IPAddress
    groups: tuple[IPAddress, ...] = ()
    port: int = SSDP_PORT

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET if self.address.version == 4 else socket.AF_INET6


def endpoints(link: Link) -> tuple[Endpoint, ...]:
    """The sockets that a link needs, SEARCH before LISTEN and IPv4 first. Pure.

    In link-local multicast the source is our link-local address, in site-local multicast a wider one (UDA 2.0
    annex A); where there is none, the link-local one has to do (Q013). A loopback link has no IPv6 multicast route.
    """
    if not link.up:
        return ()
    listened = listeners(link, (GROUP_V4, GROUP_V6_LINK, GROUP_V6_SITE))
    groups = [one.address for one in listened]
    v4 = tuple(group for group in groups if group.version == 4)
    v6 = tuple(group for group in groups if group.version == 6)
    needed: list[Endpoint] = []
    if link.ipv4 is not None:
        needed.append(Endpoint(Role.SEARCH, link.name, link.index, link.ipv4, v4))
    local, routable = link.ipv6_link_local, link.ipv6_routable
    if local is not None:
        needed.append(Endpoint(Role.SEARCH, link.name, link.index, local, v6[:1] if routable else v6))
    if routable is not None:
        needed.append(Endpoint(Role.SEARCH, link.name, link.index, routable, v6[1:]))
    return (*needed, *listened)


def listeners(link: Link, groups: Sequence[IPAddress], port: int = SSDP_PORT) -> tuple[Endpoint, ...]:
    """A LISTEN endpoint for each of the groups that can be heard on the link: those of its address families. Pure."""
    if not link.up:
        return ()
    heard: set[int] = set()
    if link.ipv4 is not None and (link.multicast or link.loopback):
        heard.add(4)
    if (link.ipv6_link_local or link.ipv6_routable) and link.multicast and not link.loopback:
        heard.add(6)
    wanted = [group for group in groups if group.version in heard]
    return tuple(Endpoint(Role.LISTEN, link.name, link.index, group, port=port) for group in wanted)


def open_socket(endpoint: Endpoint, port: int = 0) -> socket.socket:
    """A non-blocking socket for the endpoint, ready to be adopted.

    :param port: local port of a SEARCH socket, 0 for any; a LISTEN socket is on the port of its endpoint.
    :raises OSError: as the system says; EADDRINUSE if another program holds the port for itself (D2).
    """
    made = socket.socket(endpoint.family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        # Q010: fifty media devices answer at once. The system may give less; that is no reason to fail.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SSDP_BUFFER_OCTETS)
        if endpoint.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if endpoint.role is Role.LISTEN:
            _listen(made, endpoint)
        else:
            _search(made, endpoint, port)
    except BaseException:
        made.close()
        raise
    return made


def _listen(made: socket.socket, endpoint: Endpoint) -> None:
    """Bind to the group itself, so that unicast to the port, which may be meant for another program, is not taken."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if endpoint.address.version == 4:
        # without it a socket hears every group that any socket of this host joined, on every link (D1)
        if hasattr(socket, "SO_BINDTODEVICE"):
            made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        made.bind((str(endpoint.address), endpoint.port))
    else:
        # the zone in bind() ties ff02::c to the link, but the kernel ignores it for the wider ff05::c
        if hasattr(socket, "SO_BINDTODEVICE"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, endpoint.link_name.encode())
        made.bind((str(endpoint.address), endpoint.port, 0, endpoint.link_index))
    join(made, endpoint)


def _search(made: socket.socket, endpoint: Endpoint, port: int) -> None:
    """Bind to our address on the link; answers come to it by unicast, so it stays unconnected (Q009)."""
    index = endpoint.link_index
    if endpoint.address.version == 4:
        made.bind((str(endpoint.address), port))
        chosen = struct.pack("=4s4si", bytes(4), bytes(4), index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_TTL)
    else:
        zone = index if endpoint.address.is_link_local else 0
        made.bind((str(without_zone(endpoint.address)), port, 0, zone))
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, MULTICAST_TTL)


def join(made: socket.socket, endpoint: Endpoint) -> None:
    """Become a member of the group on the link, by interface index: it survives the loss of our address.

    :raises OSError: as the system says; EADDRINUSE if it is a member.
    """
    _member(made, endpoint, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP)


def rejoin(made: socket.socket, endpoint: Endpoint) -> None:
    """Leave the group and join it again, so that a snooping switch hears of the member (F56).

    :raises OSError: as the system says.
    """
    try:
        _member(made, endpoint, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP)
    except OSError:  # not a member any more, for instance since the link was made anew
        pass
    join(made, endpoint)


def _member(made: socket.socket, endpoint: Endpoint, option_v4: int, option_v6: int) -> None:
    group, index = endpoint.address.packed, endpoint.link_index
    if endpoint.address.version == 4:
        made.setsockopt(socket.IPPROTO_IP, option_v4, struct.pack("=4s4si", group, bytes(4), index))
    else:
        made.setsockopt(socket.IPPROTO_IPV6, option_v6, group + struct.pack("@I", index))
