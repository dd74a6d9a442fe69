"""What a user names: a device, a port of this host, or the address that devices are to call. Pure."""

from __future__ import annotations

import ipaddress

from txigd.errors import BadURL, InvalidArgument
from txigd.upnp.url import DeviceURL, IPAddress, parse_named


def named_device(text: str) -> DeviceURL | IPAddress:
    """The device that a user names: the URL of its description, or just its address.

    :raises InvalidArgument: for anything else.
    """
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        pass
    try:
        return parse_named(text)
    except BadURL as error:
        why = str(error)
        why = why if repr(text.strip()) in why else f"{text.strip()!r}: {why}"
        raise InvalidArgument(f"gateway: {why}; write its address (192.168.1.1) or http://ADDRESS:PORT/PATH") from None


def host_of(named: DeviceURL | IPAddress | None) -> IPAddress | None:
    """The address of the device that a user named, None where he named none."""
    return named.host if isinstance(named, DeviceURL) else named


def own_port(name: str, port: int) -> int:
    """A port of this host that a user names, 0 for any.

    :raises InvalidArgument: for anything else.
    """
    if not isinstance(port, int) or not 0 <= port <= 65_535:
        raise InvalidArgument(f"{name} {port!r}: a port from 1 to 65535, or 0 for any")
    return port


def callback_authority(host: str | None, port: int) -> tuple[IPAddress, int] | None:
    """What devices are to call where the host's own address cannot be reached by them (Q173); None for the usual way.

    :raises InvalidArgument: for anything but an address that may be on the device's own network (C10), or no port.
    """
    if host is None:
        return None
    try:
        address = ipaddress.ip_address(host.strip())
    except ValueError:
        raise InvalidArgument(f"callback host {host!r}: write an address") from None
    far = address.version == 4 and address.is_global
    if far or address.is_unspecified or address.is_multicast:
        raise InvalidArgument(f"callback host {address}: no address on the network of a gateway")
    if not port:
        raise InvalidArgument(f"callback host {address}: name the callback port as well")
    return address, port
