"""URLs of devices: literal addresses only, kept byte for byte. Pure.

A device's URL comes from a hostile LAN, so nothing here resolves a name, folds a path or decodes a percent sign.
Sources: UDA 1.0-2.0 section 2.2 (URL resolution), threats A6-A8, quirks Q053, Q054, Q061-Q067.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from txigd.errors import BadURL
from txigd.limits import LOCATION_OCTETS

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORM = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?].*)?"
)
_ZONE = re.compile(r"(?P<before>[^/]*://\[[0-9A-Fa-f:.]+)%(?:25)?(?P<zone>[A-Za-z0-9._-]{1,15})(?=\])")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NETWORK_PATH = re.compile(r"//(\[|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+([:/?]|$))")
_FORBIDDEN = re.compile(r'[^!-~]|[\\<>"]')  # blanks, controls, non-ASCII, and what no URL may hold


@dataclass(frozen=True, slots=True)
class DeviceURL:
    """An ``http`` URL whose host is a literal address.

    ``host`` carries the zone of a link-local IPv6 address (``IPv6Address.scope_id``); the zone never goes on the wire.
    ``target`` is path and query exactly as received, beginning with ``/``. The text of a URL is what
    :func:`parse_named` reads, with the zone: people may have to name the device again. :attr:`on_the_wire` has none.
    """

    host: IPAddress
    port: int
    target: str = "/"

    @property
    def authority(self) -> str:
        """What HOST carries: the address, and the port unless it is 80 (Q053)."""
        literal = without_zone(self.host)
        host = f"[{literal}]" if literal.version == 6 else str(literal)
        return host if self.port == 80 else f"{host}:{self.port}"

    @property
    def on_the_wire(self) -> str:
        """What may be sent: to others than this host a zone means nothing."""
        return f"http://{self.authority}{self.target}"

    @property
    def zone(self) -> str:
        """The link that leads to a link-local address; empty for any other address, and where it is not told."""
        return (self.host.scope_id or "") if isinstance(self.host, ipaddress.IPv6Address) else ""

    def __str__(self) -> str:
        return self.on_the_wire.replace("]", f"%{self.zone}]", 1) if self.zone else self.on_the_wire

    def with_zone(self, zone: str) -> DeviceURL:
        """The same on the link ``zone``, if it is link-local IPv6, otherwise as it is."""
        return replace(self, host=with_zone(self.host, zone))

    def with_target(self, target: str) -> DeviceURL:
        """The same host and port with another path and query."""
        return replace(self, target=target)


def without_zone(address: IPAddress) -> IPAddress:
    """The address without its IPv6 zone."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address(int(address))
    return address


def with_zone(address: IPAddress, zone: str) -> IPAddress:
    """The address with ``zone`` (an interface name) if it is link-local IPv6, otherwise as it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local and zone:
        return ipaddress.IPv6Address(f"{without_zone(address)}%{zone}")
    return address


def unmapped(address: IPAddress) -> IPAddress:
    """An IPv4-mapped IPv6 address as the IPv4 address it stands for."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse(text: str) -> DeviceURL:
    """Read an absolute device URL.

    :raises BadURL: for anything but ``http://LITERAL[:PORT][/PATH][?QUERY]`` in printable ASCII: names, other
        schemes, user information, fragments, backslashes, blanks, percent signs in the host (threat A6).
    """
    text = _checked(text)
    if "#" in text:
        raise BadURL(f"URL with a fragment: {text!r}")
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadURL(f"no URL with an address in it: {text!r}")
    if match["scheme"].lower() != "http":
        raise BadURL(f"scheme {match['scheme']!r} instead of http")
    try:
        host = unmapped(ipaddress.ip_address(match["host"].strip("[]")))
    except ValueError:
        raise BadURL(f"no literal address: {match['host']!r}") from None
    if match["host"].startswith("[") is (":" not in match["host"]):
        raise BadURL(f"no literal address: {match['host']!r}")
    port = 80 if match["port"] is None else int(match["port"])
    if not 1 <= port <= 65535:
        raise BadURL(f"port {port}")
    if host.is_unspecified or host.is_multicast or host == ipaddress.IPv4Address("255.255.255.255"):
        raise BadURL(f"no address of a host: {host}")
    target = match["target"] or "/"
    return DeviceURL(host, port, target if target.startswith("/") else "/" + target)


def parse_named(text: str) -> DeviceURL:
    """Read a URL that a user wrote: as :func:`parse`, and a link-local address may carry its zone.

    ``http://[fe80::1%eth0]:5000/`` or, as RFC 6874 spells it, ``http://[fe80::1%25eth0]:5000/``. No device may name a
    zone: to others than this host it means nothing.

    :raises BadURL: as :func:`parse`, and for the zone of an address that has none.
    """
    text = text.strip()
    match = _ZONE.match(text)
    if match is None:
        return parse(text)
    url = parse(match["before"] + text[match.end() :])
    zoned = url.with_zone(match["zone"])
    if zoned == url:
        raise BadURL(f"{url.host} is not link-local, so it has no zone: {text!r}")
    return zoned


def check_location(text: str, *, sender: IPAddress, networks: Sequence[IPNetwork] = ()) -> DeviceURL:
    """Apply the host rule to the LOCATION of a datagram (threat A6, quirk Q024).

    :param sender: source address of the datagram, with its zone if link-local IPv6.
    :param networks: subnets of the receiving link; when given, the sender must be inside one.
    :raises BadURL: where the host is not the very sender, or not on the link.
    """
    url = parse(text)
    if url.host != unmapped(without_zone(sender)):
        raise BadURL(f"LOCATION names {url.host}, but {sender} sent it")
    if networks and not any(url.host in network for network in networks if network.version == url.host.version):
        raise BadURL(f"{url.host} is not on the link")
    return replace(url, host=unmapped(sender))


def resolve(base: DeviceURL, reference: str) -> DeviceURL:
    """Resolve a URL of a description against its base (RFC 3986 section 5), on the same host only (threat A7).

    Paths keep double slashes, colons and odd characters as they are (Q063, Q064, Q066, Q067).

    :raises BadURL: for an empty reference, another host, or another scheme.
    """
    reference = _checked(reference).partition("#")[0]
    if not reference:
        raise BadURL("empty URL")
    if _NETWORK_PATH.match(reference):
        reference = "http:" + reference  # any other path that begins with two slashes names no host (Q064)
    if _ABSOLUTE.match(reference):
        url = parse(reference)
        if url.host != without_zone(base.host):
            raise BadURL(f"URL on another host: {reference!r}")
        return replace(url, host=base.host)
    if reference.startswith("/"):
        return base.with_target(reference)
    if reference.startswith("?"):
        return base.with_target(base.target.partition("?")[0] + reference)
    path, mark, query = reference.partition("?")
    directory = base.target.partition("?")[0].rpartition("/")[0] + "/"
    # the segments are joined by hand: urljoin() would take "uuid:x/y" for a scheme and fold "//"
    target = _remove_dots(directory + path)
    return base.with_target(target + mark + query)


def directory(url: DeviceURL) -> str:
    """The path that relative references are resolved against: ``/igd/`` of ``/igd/root.xml?x``."""
    return url.target.partition("?")[0].rpartition("/")[0] + "/"


def detours(url: DeviceURL, base_directory: str = "/") -> tuple[DeviceURL, ...]:
    """What else to try, in this order, where a URL of a description answers 404.

    With single slashes (Q064); from the root, for devices that mean relative references so (Q067).

    :param base_directory: what relative references were resolved against, see :func:`directory`.
    """
    path, mark, query = url.target.partition("?")
    targets = [re.sub("/{2,}", "/", path)]
    if base_directory != "/" and path.startswith(base_directory):
        targets.append("/" + path[len(base_directory) :].lstrip("/"))
    return tuple(url.with_target(target + mark + query) for target in dict.fromkeys(targets) if target != path)


def _checked(text: str) -> str:
    """The text without blanks around it, of a sane length and of characters that may stand in a URL."""
    text = text.strip()
    if len(text) > LOCATION_OCTETS:
        raise BadURL(f"URL of {len(text)} characters")
    if _FORBIDDEN.search(text):
        raise BadURL(f"URL with a character that is not allowed: {text!r}")
    return text


def _remove_dots(path: str) -> str:
    """RFC 3986 section 5.2.4 for dot segments, nothing else."""
    out: list[str] = []
    segments = path.split("/")
    for place, segment in enumerate(segments):
        if segment == "..":
            if len(out) > 1:
                out.pop()
        elif segment != ".":
            out.append(segment)
            continue
        if place == len(segments) - 1:
            out.append("")
    return "/".join(out)
