"""The sockets of a simulated gateway's announcer, for IPv4 and for IPv6. Thin.

Sources: UDA 1.0-1.1 section 1, UDA 2.0 annex A (IPv6).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from txigd.limits import MULTICAST_TTL
from txigd.upnp.discovery.sockets import GROUP_V4, GROUP_V6_LINK, GROUP_V6_SITE, Endpoint, Role, open_socket
from txigd.upnp.url import IPAddress, without_zone

__all__ = ["groups", "host_field", "listening", "speaking"]

_REACHED: Final[dict[int, tuple[IPAddress, ...]]] = {4: (GROUP_V4,), 6: (GROUP_V6_LINK, GROUP_V6_SITE)}


def groups(address: IPAddress, *, site_only: bool = False) -> tuple[IPAddress, ...]:
    """The groups that a gateway at this address speaks to and listens to.

    :param site_only: not the link-local one, of IPv6 (Q013).
    """
    return tuple(group for group in _REACHED[address.version] if not site_only or group != GROUP_V6_LINK)


def host_field(group: IPAddress, port: int) -> str:
    """What HOST says in a message to the group."""
    return f"{group}:{port}" if group.version == 4 else f"[{str(group).upper()}]:{port}"


def listening(group: IPAddress, *, link: str, link_index: int, port: int) -> socket.socket:
    """A socket that hears the group on the one link. :raises OSError: as the system says."""
    return open_socket(Endpoint(Role.LISTEN, link, link_index, group, port=port))


def speaking(address: IPAddress, *, link_index: int, port: int) -> socket.socket:
    """A socket at the address, on the port if it is free there, that sends multicast to the link.

    :raises OSError: as the system says.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind(_name(address, port, link_index))
        except OSError:  # another program has it: searches come to SEARCHPORT then
            made.bind(_name(address, 0, link_index))
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link_index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, MULTICAST_TTL)
        else:
            chosen = struct.pack("=4s4si", bytes(4), address.packed, link_index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_TTL)
    except BaseException:
        made.close()
        raise
    return made


def _name(address: IPAddress, port: int, link_index: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if isinstance(address, ipaddress.IPv4Address):
        return (str(address), port)
    return (str(without_zone(address)), port, 0, link_index if address.is_link_local else 0)
