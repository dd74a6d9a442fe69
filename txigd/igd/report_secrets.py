"""Where private values stand in what a gateway sends: a finder for each kind, octets in, spans out. Pure.

Some values show by their form (addresses, MACs, UUIDs), others only by what stands beside them (the text of
``serialNumber``, a cookie). Masking them is the matter of :mod:`txigd.igd.report_mask`.

Sources: UDA 1.0-2.0 sections 1 to 4 for where names stand, IGD:1 and IGD:2 for the arguments that hold them, quirks
Q027-Q029 for UDNs that are no UUIDs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from txigd.igd.status import AddressClass, classify
from txigd.igd.tables import standards

Span = tuple[int, int]

_I: Final = re.IGNORECASE
UUID: Final = re.compile(rb"(?<![0-9a-f])([0-9a-f]{8}(?:-[0-9a-f]{4}){3})-([0-9a-f]{12})(?![0-9a-f])", _I)
_HEX: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{12,}(?![0-9a-f])", _I)
_QUAD: Final = re.compile(rb"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])")
_V6: Final = re.compile(
    rb"(?:(?<![0-9a-z:.])|(?<=[g-z]:)|(?<=%5b))(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9a-z]|\.[0-9]|:[0-9a-f:])", _I
)
_UNIQUE_LOCAL: Final = ipaddress.IPv6Network("fc00::/7")
_SOLICITED_NODE: Final = ipaddress.IPv6Network("ff02::1:ff00:0/104")  # the last three octets are those of a MAC

# Names of elements, keys and arguments whose text is nobody's business. They are matched at their end: a switch such as
# SSIDBroadcastEnabled is none of them.
_SECRET_NAME: Final = (
    rb"(?:serial(?:[ _-]?(?:number|no|num))?|e?ssid|bssid|pass(?:word|wd|phrase|code)|psk|pre-?shared-?key"
    rb"|(?:wpa|wep|private)-?key|secret|token|user-?name|login|host-?name|domain-?name|e-?mail|phone(?:number)?|imei"
    rb"|imsi|iccid|msisdn|mac-?address|hw-?address|portmapping-?description|owner|contact"
    rb"|(?:device|computer|client)name|deviceid)"
)
_ELEMENT: Final = re.compile(
    rb"(?:<|&lt;)(?:[\w.-]{1,64}:)?[\w.-]{0,64}?" + _SECRET_NAME + rb"(?:\s[^<>]{0,200}?)?(?:>|&gt;)(?:<!\[CDATA\[)?"
    rb"([^<]{1,4096}?)(?=\]\]>|<|&lt;)",
    _I,
)
_PAIR: Final = re.compile(
    rb"(?<![a-z0-9])" + _SECRET_NAME + rb"[\"']?[ \t]*[:=][ \t]*[\"']?([^\"'<>&\r\n,;]{1,128})", _I
)
_FIELD: Final = re.compile(
    rb"^(?:(?:proxy-)?authorization|cookie|set-cookie|www-authenticate|sid)[ \t]*:[ \t]*(?:uuid:)?([^\r\n]+)",
    _I | re.MULTILINE,
)
_UDN: Final = re.compile(rb"(?:uuid:|<UDN>\s*)([^\s<>\"',;:&]{1,128})", _I)
_UDN_PART: Final = re.compile(rb"[0-9a-z]{6,}", _I)
_QUERY: Final = re.compile(rb"[?&](?:amp;)?([\w.-]{1,32})=([^&\s<>\"'#;]{1,256})")
_QUERY_NAME: Final = re.compile(rb"key|tok|auth|sid|sess|pass|user|nonce|sign|id$", _I)
_PATH_TOKEN: Final = re.compile(rb"(?<=/)([\w-]{16,})(?=[/?#.\s<>\"'&]|$)")
_USER: Final = re.compile(rb"://([^/@\s<>\"]{1,128})@")
_MAIL: Final = re.compile(rb"([\w.+-]{1,64}@(?:[\w-]{1,64}\.){1,8}[a-z]{2,24})(?![\w-])", _I)
_LABEL: Final = rb"(?:[a-z0-9_\x80-\xff-]|%[89a-f][0-9a-f]){1,63}"
_NAME: Final = rb"(" + _LABEL + rb"(?:\." + _LABEL + rb"){0,31})(?![a-z0-9_\x80-\xff-]|%[89a-f]|\.[a-z0-9_-]|@)"
# in a URL, also an escaped one and behind a user's name; in HOST
_HOST: Final = re.compile(
    rb"(?:(?::|%3a)(?:/|\\/|%2f){2}(?:[^/@\s<>\"]{1,128}@)?|(?:^|(?<=\n))host[ \t]{0,8}:[ \t]{0,8})" + _NAME, _I
)
_NAME_ALONE: Final = re.compile(rb"(?:>|&gt;)\s{0,64}((?:[a-z0-9_-]{1,63}\.){1,8}[a-z]{2,24})\.?\s{0,64}(?=<|&lt;)", _I)
_LINK: Final = re.compile(rb"(?<![a-z0-9])enx([0-9a-f]{12})(?![0-9a-z])", _I)  # a network card named after its MAC
_PRIVATE_NAME: Final = re.compile(
    rb"(?<![a-z0-9.-])((?:[a-z0-9_-]{1,63}\.){1,8}(?:local|lan|home|localdomain|home\.arpa|internal|intranet|corp|box"
    rb"|myfritz\.net|ddns\.net|dyndns\.(?:org|info)|no-ip\.(?:org|com|biz)|duckdns\.org|dynv6\.net|synology\.me))"
    rb"(?![a-z0-9-])",
    _I,
)
_STANDARD_HOST: Final = re.compile(
    rb"(?:.*\.)?(?:w3\.org|xmlsoap\.org|upnp\.org|openconnectivity\.org|schemas-upnp-org)", _I
)
_FILE: Final = re.compile(rb".*\.(?:xml|html?|cgi|asp|php|jsp?|css|png|jpe?g|gif|ico|txt|bin)", _I)
# A maker's web site is no secret, and says much about the software.
_MAKER: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?(?:manufacturer|model)[a-z]{0,32}>[^<]*", _I)
# Versions look like addresses there: Linux/2.6.30.9
_VERSIONS: Final = re.compile(rb"^(?:server|user-agent)[ \t]*:[^\r\n]*|<modelNumber>[^<]*", _I | re.MULTILINE)
_NOTHING: Final = frozenset(
    (b"none", b"null", b"n/a", b"unknown", b"(null)", b"default", b"not available", b"true", b"false")
)


@cache
def vocabulary() -> bytes:
    """Words of the protocols, in lower case: a "serial number" that is one of them is masked where it stands only."""
    words = [
        "http/1.1 200 ok upnp/1.0 content-length content-type content-language cache-control",
        "text/xml connection transfer-encoding utf-8 uuid:device urn:schemas-upnp-org:service:device:1 upnp:rootdevice",
        "max-age=1800 serviceid charset connected disconnected unconfigured ip_routed error_none internet",
        "localhost friendlyname manufacturer modelname modelnumber presentationurl controlurl eventsuburl scpdurl",
        "gateway router device servicelist devicelist http://schemas.xmlsoap.org/soap/envelope/ encodingstyle=http://schemas.xmlsoap.org/soap/encoding/",
    ]
    for entry in standards():
        actions = entry.description.actions.values()
        words += [entry.service_type, *entry.description.actions, *entry.description.variables]
        words += [argument.name for action in actions for argument in (*action.inputs, *action.outputs)]
    return "\n".join(words).lower().encode()


def is_something(value: bytes) -> bool:
    """Whether a value tells anything: more than one octet, more than one letter, no word for nothing."""
    value = value.strip().lower()
    return len(set(value)) > 1 and value not in _NOTHING


def told(octets: bytes) -> Iterator[Span]:
    """Values that are private because of what stands beside them."""
    makers = [found.span() for found in _MAKER.finditer(octets)]
    for pattern in (_ELEMENT, _PAIR, _FIELD, _USER, _MAIL, _LINK, _PRIVATE_NAME):
        for found in pattern.finditer(octets):
            if is_something(found[1]):
                yield _stripped(found)
    for found in _QUERY.finditer(octets):
        if _QUERY_NAME.search(found[1]) or (len(found[2]) >= 8 and _digits(found[2])):
            yield found.span(2)
    for found in _PATH_TOKEN.finditer(octets):
        if _digits(found[1]) >= 4 and not found[1].isdigit() and found[1].lower() not in vocabulary():
            yield found.span(1)
    for pattern in (_HOST, _NAME_ALONE):
        for found in pattern.finditer(octets):
            name = found[1]
            plain = _QUAD.fullmatch(name) or _STANDARD_HOST.fullmatch(name) or name.lower() == b"localhost"
            inside = any(start <= found.start() < end for start, end in makers)
            if not (plain or inside or (pattern is _NAME_ALONE and _FILE.fullmatch(name))):
                yield found.span(1)


def id_parts(octets: bytes) -> Iterator[Span]:
    """The parts of a UDN of the maker's own form that may be a serial number (Q027-Q029)."""
    for found in _UDN.finditer(octets):
        for part in _UDN_PART.finditer(found[1]):
            if _digits(part[0]) and is_something(part[0]) and part[0].lower() not in vocabulary():
                yield found.start(1) + part.start(), found.start(1) + part.end()


def long_hex(octets: bytes) -> Iterator[Span]:
    """Runs of hexadecimal digits, as long as a MAC at least; decimal numbers of that length are counters."""
    for found in _HEX.finditer(octets):
        if _digits(found[0]) < len(found[0]):
            yield found.span()


def public_quads(octets: bytes) -> Iterator[tuple[Span, bool]]:
    """Public IPv4 addresses, and for each whether it stands where it is more likely a version number."""
    versions = [found.span() for found in _VERSIONS.finditer(octets)]
    for found in _QUAD.finditer(octets):
        numbers = quad(found[0])
        if max(numbers) < 256 and is_public(numbers):
            yield found.span(), any(start <= found.start() < end for start, end in versions)


def quad(text: bytes) -> tuple[int, ...]:
    """The four numbers of a dotted quad, leading zeros or not."""
    return tuple(int(number) for number in text.split(b"."))


def is_public(numbers: tuple[int, ...]) -> bool:
    """Whether the four numbers are an address that the internet reaches."""
    return classify(".".join(map(str, numbers)))[1] is AddressClass.PUBLIC


def telling_v6(octets: bytes) -> Iterator[Span]:
    """IPv6 addresses that tell of somebody: global ones, local ones made of a MAC or by chance, wrapped IPv4 ones, and
    the groups that neighbours of such a one ask."""
    for found in _V6.finditer(octets):
        # a colon behind an address may be that of a sentence
        texts = (found[0], found[0][:-1]) if found[0].endswith(b":") else (found[0],)
        address = next(filter(None, map(_v6, texts)), None)
        if address is None or (address.is_multicast and address not in _SOLICITED_NODE):
            continue
        has_own_part = is_local_v6(address) and int(address) & 0xFFFF_FFFF_FFFF_0000
        # whether these two are global is a matter of the Python version; the public IPv4 address in them is not
        if (
            address.is_global
            or address.is_multicast
            or has_own_part
            or address.sixtofour is not None
            or address.teredo is not None
        ):
            yield found.start(), found.start() + len(next(text for text in texts if _v6(text)))


def kept_groups(address: ipaddress.IPv6Address) -> int:
    """How many groups of such an address, from the first, tell of nobody: prefixes that the internet does not reach."""
    return 6 if address in _SOLICITED_NODE else 4 if is_local_v6(address) else 0


def is_local_v6(address: ipaddress.IPv6Address) -> bool:
    """Link-local and unique local ones: the internet reaches neither, and their network tells of nobody."""
    return address.is_link_local or address in _UNIQUE_LOCAL


def _v6(text: bytes) -> ipaddress.IPv6Address | None:
    try:
        return ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return None


def _stripped(found: re.Match[bytes]) -> Span:
    start, end = found.span(1)
    value = found[1]
    return start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip())


def _digits(value: bytes) -> int:
    return sum(48 <= octet < 58 for octet in value)
