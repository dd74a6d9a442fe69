"""Public addresses in the spellings that occur: where they stand, and which addresses they are. Pure.

Dotted quads and IPv6 texts; 81-2-69-142 in host names; 142.69.2.81.in-addr.arpa and the nibbles of ip6.arpa (RFC 1035,
RFC 3596); 2003-c1--1.ipv6-literal.net, as Windows names them. Escapes are resolved before.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from txigd.igd.status import AddressClass, classify

Span = tuple[int, int]
Quad = tuple[int, ...]

_I: Final = re.IGNORECASE
_QUAD: Final = re.compile(rb"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9]|\.in-addr\.arpa)", _I)
_DASHED: Final = re.compile(
    rb"(?<![0-9.])(?<![0-9][-_])[0-9]{1,3}([-_])(?:[0-9]{1,3}\1){2}[0-9]{1,3}(?![0-9]|[-_.][0-9])"
)
# two more labels: a file such as fw-1-2-3-4.bin has one
_IN_A_NAME: Final = re.compile(rb"[a-z0-9_-]{0,63}(?:\.[a-z0-9_-]{1,63}){1,8}\.[a-z]{2,24}", _I)
_TURNED: Final = re.compile(rb"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}(?=\.in-addr\.arpa)", _I)
# All that may be groups, with an IPv4 address at their end; the first and the last may belong to what stands beside
# them: eth0:2003:..., 2003:...:5000
_V6: Final = re.compile(
    rb"(?<![0-9a-f:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,9}(?:(?:\.[0-9]{1,3}){3}(?!\.?[0-9]))?(?![0-9a-f:])", _I
)
_WORD: Final = re.compile(rb"[g-z]", _I)
_V6_DASHED: Final = re.compile(
    rb"(?<![0-9a-z-])(?:[0-9a-f]{0,4}-){2,7}[0-9a-f]{0,4}(?=(?:s[0-9]{1,10})?\.ipv6-literal\.net)"
    rb"|(?<![0-9a-f])(?P<global>[23][0-9a-f]{3}(?:-[0-9a-f]{0,4}){2,7})(?![0-9a-f])",
    _I,
)
_V6_TURNED: Final = re.compile(rb"(?<![0-9a-z.])[0-9a-f](?:\.[0-9a-f]){7,31}(?=\.ip6\.(?:arpa|int))", _I)
_SEPARATED: Final = re.compile(rb"([._-])").split
# Versions look like addresses there: Linux/2.6.30.9
_VERSIONS: Final = re.compile(rb"^(?:server|user-agent)[ \t]*:[^\r\n]*|<modelNumber>[^<]*", _I | re.MULTILINE)
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # the IPv4 address behind it says it all
_UNIQUE_LOCAL: Final = ipaddress.IPv6Network("fc00::/7")
_SOLICITED_NODE: Final = ipaddress.IPv6Network("ff02::1:ff00:0/104")  # the last three octets are those of a MAC


def public_quads(octets: bytes) -> Iterator[tuple[Span, bool]]:
    """Public IPv4 addresses, and for each whether it is an address for certain: no version number, nor a date."""
    versions = [found.span() for found in _VERSIONS.finditer(octets)]
    for found in _QUAD.finditer(octets):
        if is_public(quad(found[0])):
            yield found.span(), not any(start <= found.start() < end for start, end in versions)
    for found in _DASHED.finditer(octets):
        if is_public(quad(found[0])):
            yield found.span(), _IN_A_NAME.match(octets, found.end()) is not None


def turned_quads(octets: bytes) -> Iterator[Span]:
    """Public IPv4 addresses and networks as they are asked for by name, the last number first."""
    for found in _TURNED.finditer(octets):
        if is_public(quad(forward(found[0]))):
            yield found.span()


def loose_quads(octets: bytes) -> Iterator[Span]:
    """What is an address, the last number first, only if that one is known."""
    for found in _DASHED.finditer(octets):
        yield found.span()


def quad(text: bytes) -> Quad:
    """The four numbers of a quad, leading zeros or not, whatever is between them."""
    return tuple(int(number) for number in _SEPARATED(text)[::2])


def is_address(text: bytes) -> bool:
    """Whether it is an address and nothing else."""
    return _QUAD.fullmatch(text) is not None or v6(text) is not None


def turned(text: bytes) -> bytes:
    """Its groups from the last to the first."""
    return b"".join(_SEPARATED(text)[::-1])


def forward(text: bytes) -> bytes:
    """A turned quad in its usual order; a network, of three numbers, becomes its first address."""
    return turned(text) if len(_SEPARATED(text)) == 7 else turned(text) + b".1"


def respelled(like: bytes, numbers: Quad) -> bytes:
    """``numbers``, each as many digits as there are in ``like``, with the zeros and separators of ``like``."""
    parts = _SEPARATED(like)
    for place, new in zip(range(0, len(parts), 2), numbers, strict=True):
        parts[place] = b"%0*d" % (len(parts[place]), new)
    return b"".join(parts)


def is_public(numbers: Quad) -> bool:
    """Whether the four numbers are an address that the internet reaches."""
    return max(numbers) < 256 and classify(".".join(map(str, numbers)))[1] is AddressClass.PUBLIC


def telling_v6(octets: bytes) -> Iterator[Span]:
    """IPv6 addresses that tell of somebody: global ones, local ones made of a MAC or by chance, wrapped IPv4 ones, and
    the groups that neighbours of such a one ask."""
    for found in _V6.finditer(octets):
        start, end = _v6_span(octets, *found.span())
        if _tells(_apart(octets[start:end])):
            yield start, end


def _v6_span(octets: bytes, start: int, end: int) -> Span:
    """Where in a run of groups the address is: it may be all of them, and be none at all.

    A group at either end belongs to a word (``eth0:``) or is a port, if the others are an address of the usual kinds;
    a colon at either end may be that of a sentence, two are before the kind in a USN.
    """
    groups = octets[start:end].split(b":")
    word_before = _WORD.match(octets[max(0, start - 1) : start]) is not None
    word_behind = _WORD.match(octets[end : end + 1]) is not None
    for first in (1, 0) if word_before else (0, 1):
        for last in (1, 0, 2) if word_behind else (0, 1, 2):
            if last == 2 and groups[-2:] != [b"", b""]:
                continue
            span = start + first * (len(groups[0]) + 1), end - last * (len(groups[-1]) + 1)
            address = v6(octets[slice(*span)])
            is_whole = (first or not word_before) and (last or not word_behind)
            is_cut = (first and groups[0]) or (last and groups[-1])
            if address is not None and ((is_whole and not is_cut) or _is_usual(address, octets[slice(*span)])):
                return span
    return start, start


def _is_usual(address: ipaddress.IPv6Address, text: bytes) -> bool:
    """Of the kinds that gateways have, and more than one group: ``2abc::`` in a USN is none."""
    is_kind = address in _GLOBAL or address in _NAT64 or is_local_v6(address)
    return is_kind and len(text.replace(b":", b" ").split()) > 1


def dashed_v6(octets: bytes) -> Iterator[Span]:
    """Such addresses with dashes for their colons, in the names of hosts."""
    for found in _V6_DASHED.finditer(octets):
        is_name = found["global"] is None or _IN_A_NAME.match(octets, found.end())
        if is_name and _tells(v6(found[0].replace(b"-", b":"))):
            yield found.span()


def turned_v6(octets: bytes) -> Iterator[Span]:
    """Such addresses and networks as they are asked for by name, digit by digit, the last one first."""
    for found in _V6_TURNED.finditer(octets):
        if _tells(v6(from_nibbles(found[0]))):
            yield found.span()


def from_nibbles(text: bytes) -> bytes:
    """The address of a turned one, with all its digits; a network has zeros where it ends."""
    digits = text[::-1].replace(b".", b"").ljust(32, b"0")
    return b":".join(digits[place : place + 4] for place in range(0, 32, 4))


def to_nibbles(address: bytes, length: int) -> bytes:
    """The other way round, as long as it was."""
    return b".".join(b"%c" % digit for digit in address.replace(b":", b""))[:length][::-1]


def v6(text: bytes) -> ipaddress.IPv6Address | None:
    """The address that a text is, None for any other."""
    try:
        return ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return None


def _apart(text: bytes) -> ipaddress.IPv6Address | None:
    """The address without an IPv4 one written as such at its end, which tells for itself; None where that is all."""
    address = v6(text)
    if address is None or b"." not in text:
        return address
    return None if address in _NAT64 else ipaddress.IPv6Address(int(address) >> 32 << 32)


def _tells(address: ipaddress.IPv6Address | None) -> bool:
    if address is None or (address.is_multicast and address not in _SOLICITED_NODE):
        return False
    has_own_part = is_local_v6(address) and bool(int(address) & 0xFFFF_FFFF_FFFF_0000)
    # whether these two are global is a matter of the Python version; the public IPv4 address in them is not
    is_wrapped = address.sixtofour is not None or address.teredo is not None
    return address.is_global or address.is_multicast or has_own_part or is_wrapped


def kept_groups(address: ipaddress.IPv6Address) -> int:
    """How many groups of such an address, from the first, tell of nobody: prefixes that the internet does not reach."""
    return 6 if address in _SOLICITED_NODE else 4 if is_local_v6(address) else 0


def is_local_v6(address: ipaddress.IPv6Address) -> bool:
    """Link-local and unique local ones: the internet reaches neither, and their network tells of nobody."""
    return address.is_link_local or address in _UNIQUE_LOCAL


def together(numbers: Quad) -> tuple[bytes, ...]:
    """A known IPv4 address as providers put it into the names of their customers, without anything between."""
    return b"%02x%02x%02x%02x" % numbers, b"%03d%03d%03d%03d" % numbers


def with_dashes(address: ipaddress.IPv6Address) -> tuple[bytes, ...]:
    """A known IPv6 address as it stands in names."""
    return tuple(text.replace(":", "-").encode() for text in (address.compressed, address.exploded))
