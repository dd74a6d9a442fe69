"""SSDP messages: one datagram in, one value out, and back. Pure; knows the wire and nothing of who sent it.

Sources: UDA 1.0-2.0 section 1 (search, advertisement), quirks Q016-Q023, Q027-Q033, Q040, threats A1 and A2. Reading is
lenient, writing is exact. Whether a LOCATION may be trusted is decided by :func:`txigd.upnp.url.check_location`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from txigd.errors import BadMessage, InvalidArgument
from txigd.limits import (
    DATAGRAM_OCTETS,
    LOCATION_OCTETS,
    MAX_AGE_CEILING,
    MAX_AGE_DEFAULT,
    SSDP_HEADERS,
    SSDP_LINE_OCTETS,
    USN_OCTETS,
)

DISCOVER: Final = "ssdp:discover"
ROOT_DEVICE: Final = "upnp:rootdevice"
ALL: Final = "ssdp:all"


class Kind(enum.Enum):
    """What a datagram is: an advertisement (three kinds), the answer to a search, or a search."""

    ALIVE = "ssdp:alive"
    BYEBYE = "ssdp:byebye"
    UPDATE = "ssdp:update"
    ANSWER = "200"
    SEARCH = "m-search"


@dataclass(frozen=True, slots=True)
class Message:
    """One SSDP message as the sender meant it; no field is trusted.

    ``target`` is NT or ST, from the USN where both are missing. ``usn`` is as received, ``udn`` the part before ``::``
    with the prefix ``uuid:`` always there (see :func:`normal_udn`). ``location`` is not empty in ALIVE, UPDATE and
    ANSWER; ``max_age`` is in seconds, at most ``MAX_AGE_CEILING`` and with no floor. ``boot_id``, ``next_boot_id``,
    ``config_id`` and ``search_port`` are None where missing or unusable. ``man`` is without its quotes.
    """

    kind: Kind
    target: str
    usn: str = ""
    udn: str = ""
    location: str = ""
    max_age: int = MAX_AGE_DEFAULT
    boot_id: int | None = None
    next_boot_id: int | None = None
    config_id: int | None = None
    search_port: int | None = None
    server: str = ""
    mx: int | None = None
    man: str = ""


def normal_udn(text: str) -> str:
    """A UDN or USN in the form in which UDNs are compared: ``uuid:`` and what stood before ``::`` (Q027-Q029).

    The rest is opaque: many gateways' UDNs are no UUIDs. Empty where there is nothing to compare.
    """
    name = text.strip()
    if name[:5].lower() == "uuid:":
        name = name[5:]
    name = name.partition("::")[0].strip()
    return f"uuid:{name}" if name else ""


def usn_type(usn: str) -> str:
    """The type that a USN names after ``::``, empty in ``uuid:X`` alone."""
    return usn.partition("::")[2].strip()


# -- reading ---------------------------------------------------------------------------------------------------------

_BLANKS: Final = b" \t\r"
_NOTIFY: Final = b"NOTIFY * HTTP/1.1"
_SEARCH: Final = b"M-SEARCH * HTTP/1.1"
_OK: Final = b"HTTP/1.1 200"
_NTS: Final = {
    kind.value.encode(): kind for kind in (Kind.ALIVE, Kind.BYEBYE, Kind.UPDATE)
}  # "upnp:propchange" belongs to multicast events on another port
_LOCATED: Final = frozenset({Kind.ALIVE, Kind.UPDATE, Kind.ANSWER})
_ONCE: Final = frozenset({b"location", b"usn"})  # A1: two differing ones are an attack, not a slip
_NAME: Final = re.compile(rb"[A-Za-z0-9._-]+")
# Q016: words before a colon that begin a value, never a header: the value of the line before stands on its own line
_VALUE_STARTS: Final = frozenset({b"http", b"https", b"uuid", b"urn", b"upnp", b"ssdp"})
_MAX_AGE: Final = re.compile(rb"max-age\s*=\s*\"?0*([0-9]{1,10})(?![0-9])", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"0*([0-9]{1,10})")
_SEARCH_PORTS: Final = (49_152, 65_535)  # UDA 1.1 section 1.3.2
_MX_CEILING: Final = 120  # UDA 1.0


def parse(datagram: bytes) -> Message:
    """Read one datagram, from whichever socket: some gateways answer a search with a NOTIFY.

    :raises BadMessage: with ``reason`` one of "empty", "too large", "start line", "status", "nul", "long line",
        "too many headers", "doubled location", "doubled usn", "no nts", "no usn", "long usn", "no location",
        "long location", "no target". Nothing else is raised, whatever the bytes.
    """
    if len(datagram) > DATAGRAM_OCTETS:
        raise BadMessage("too large")
    datagram = datagram.strip(b" \t\r\n\0")  # Q019, Q020
    start, _, rest = datagram.partition(b"\n")
    kind = _kind_of_start(start.rstrip(_BLANKS))
    fields = _fields(rest)
    if kind is Kind.SEARCH:
        return _search(fields)
    if kind is None:
        kind = _NTS.get(fields.get(b"nts", b"").lower())
        if kind is None:
            raise BadMessage("no nts")
    return _announcement(kind, fields)


def _kind_of_start(line: bytes) -> Kind | None:
    """ANSWER or SEARCH, or None for a NOTIFY, whose kind stands in NTS."""
    if line == _NOTIFY:
        return None
    if line == _SEARCH:
        return Kind.SEARCH
    if line.startswith(_OK) and line[len(_OK) : len(_OK) + 1] in (b"", b" "):
        return Kind.ANSWER
    if not line:
        raise BadMessage("empty")
    raise BadMessage("status" if line.startswith(b"HTTP/") else "start line")


def _fields(block: bytes) -> dict[bytes, bytes]:
    """The header fields up to the blank line, names in lower case with ``-``; the first that is not empty wins (Q021).

    A line that begins with a blank goes on with the line before; so does one that can only be a value where the line
    before has none (Q016). A line without a colon is skipped (Q022).
    """
    pairs: list[tuple[bytes, bytes]] = []
    for line in block.split(b"\n"):
        text = line.strip(_BLANKS)
        if not text:
            break
        if len(text) > SSDP_LINE_OCTETS:
            raise BadMessage("long line")
        if b"\0" in text:
            raise BadMessage("nul")
        name, colon, value = text.partition(b":")
        name = name.rstrip(_BLANKS).lower().replace(b"_", b"-")  # Q018
        if pairs and (line[:1] in b" \t" or (not pairs[-1][1] and _is_value(name, colon))):
            pairs[-1] = (pairs[-1][0], (pairs[-1][1] + b" " + text).strip())
        elif colon:
            pairs.append((name, value.strip(_BLANKS)))
            if len(pairs) > SSDP_HEADERS:
                raise BadMessage("too many headers")
    fields: dict[bytes, bytes] = {}
    for name, value in pairs:
        held = fields.setdefault(name, value)
        if not held:
            fields[name] = value
        elif name in _ONCE and value and value != held:
            raise BadMessage(f"doubled {name.decode()}")
    return fields


def _is_value(name: bytes, colon: bytes) -> bool:
    return not colon or name in _VALUE_STARTS or _NAME.fullmatch(name) is None


def _search(fields: dict[bytes, bytes]) -> Message:
    target = _text(fields.get(b"st", b""))
    if not target:
        raise BadMessage("no target")
    mx = _number(fields.get(b"mx", b""))
    return Message(
        Kind.SEARCH,
        target,
        mx=None if mx is None else min(mx, _MX_CEILING),
        man=_text(fields.get(b"man", b"")).strip('"'),
        server=_text(fields.get(b"user-agent", b"")),
    )


def _announcement(kind: Kind, fields: dict[bytes, bytes]) -> Message:
    get = fields.get
    raw_usn = get(b"usn", b"")
    if len(raw_usn) > USN_OCTETS:
        raise BadMessage("long usn")
    usn = _text(raw_usn)
    udn = normal_udn(usn)
    if not udn:
        raise BadMessage("no usn")
    # what follows a blank is garbage (Q026): no URL holds one
    location = get(b"location", b"").partition(b" ")[0]
    if len(location) > LOCATION_OCTETS:
        raise BadMessage("long location")
    if kind in _LOCATED and not location:
        raise BadMessage("no location")  # Q023
    names = (b"st", b"nt") if kind is Kind.ANSWER else (b"nt", b"st")
    boot_id = _number(get(b"bootid.upnp.org", b""))
    if boot_id is None:
        boot_id = _number(get(b"01-nls", b""))  # Q040; libupnp's token there is no number and says nothing (Q039)
    search_port = _number(get(b"searchport.upnp.org", b""))
    if search_port is not None and not _SEARCH_PORTS[0] <= search_port <= _SEARCH_PORTS[1]:
        search_port = None
    found = _MAX_AGE.search(get(b"cache-control", b""))
    return Message(
        kind,
        _text(get(names[0], b"") or get(names[1], b"")) or usn_type(usn) or udn,
        usn,
        udn,
        _text(location),
        min(int(found[1]), MAX_AGE_CEILING) if found else MAX_AGE_DEFAULT,
        boot_id,
        _number(get(b"nextbootid.upnp.org", b"")),
        _number(get(b"configid.upnp.org", b"")),
        search_port,
        _text(get(b"server", b"")),
    )


def _number(value: bytes) -> int | None:
    """A decimal number of at most ten digits after its leading zeros; None for anything else (A2, Q033)."""
    found = _NUMBER.fullmatch(value)
    return int(found[1]) if found else None


def _text(value: bytes) -> str:
    """UTF-8, else Latin-1: some SERVER headers and UDNs hold either."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


# -- writing ---------------------------------------------------------------------------------------------------------

Extra = Sequence[tuple[str, str]]
_MX: Final = (1, 5)  # UDA 1.1 section 1.3.2


def search(target: str, *, host: str, mx: int | None = None, user_agent: str = "", extra: Extra = ()) -> bytes:
    """A search in the spelling and order that all gateways understand (Q005).

    :param host: value of HOST: ``239.255.255.250:1900``, ``[FF02::C]:1900``, or address and port of one device.
    :param mx: seconds over which answers are spread, 1 to 5; None in a unicast search, which carries no MX.
    :param extra: further fields, e.g. CPFN.UPNP.ORG.
    :raises InvalidArgument: for a value that does not fit on one line, or an ``mx`` out of range.
    """
    if mx is not None and not _MX[0] <= mx <= _MX[1]:
        raise InvalidArgument(f"MX {mx}")
    return _write(
        _SEARCH,
        ("HOST", host),
        ("MAN", f'"{DISCOVER}"'),
        ("MX", mx),
        ("ST", target),
        ("USER-AGENT", user_agent or None),
        *extra,
    )


def usn_of(udn: str, target: str) -> str:
    """The USN of a device's message for ``target`` (UDA 1.1 table 1-1)."""
    return udn if target == udn else f"{udn}::{target}"


def answer(
    target: str,
    udn: str,
    location: str,
    *,
    server: str,
    date: str = "",
    max_age: int = MAX_AGE_DEFAULT,
    boot_id: int | None = None,
    config_id: int | None = None,
    search_port: int | None = None,
    extra: Extra = (),
) -> bytes:
    """A device's answer to a search for ``target``. ``date`` is an RFC 1123 date, left out where empty."""
    return _write(
        _OK + b" OK",
        ("CACHE-CONTROL", f"max-age={max_age}"),
        ("DATE", date or None),
        ("EXT", ""),
        ("LOCATION", location),
        ("SERVER", server),
        ("ST", target),
        ("USN", usn_of(udn, target)),
        ("BOOTID.UPNP.ORG", boot_id),
        ("CONFIGID.UPNP.ORG", config_id),
        ("SEARCHPORT.UPNP.ORG", search_port),
        *extra,
    )


def alive(
    target: str,
    udn: str,
    location: str,
    *,
    host: str,
    server: str,
    max_age: int = MAX_AGE_DEFAULT,
    boot_id: int | None = None,
    config_id: int | None = None,
    search_port: int | None = None,
    extra: Extra = (),
) -> bytes:
    """A device's ``ssdp:alive`` for ``target``."""
    return _write(
        _NOTIFY,
        ("HOST", host),
        ("CACHE-CONTROL", f"max-age={max_age}"),
        ("LOCATION", location),
        ("NT", target),
        ("NTS", Kind.ALIVE.value),
        ("SERVER", server),
        ("USN", usn_of(udn, target)),
        ("BOOTID.UPNP.ORG", boot_id),
        ("CONFIGID.UPNP.ORG", config_id),
        ("SEARCHPORT.UPNP.ORG", search_port),
        *extra,
    )


def byebye(
    target: str, udn: str, *, host: str, boot_id: int | None = None, config_id: int | None = None, extra: Extra = ()
) -> bytes:
    """A device's ``ssdp:byebye`` for ``target``."""
    return _write(
        _NOTIFY,
        ("HOST", host),
        ("NT", target),
        ("NTS", Kind.BYEBYE.value),
        ("USN", usn_of(udn, target)),
        ("BOOTID.UPNP.ORG", boot_id),
        ("CONFIGID.UPNP.ORG", config_id),
        *extra,
    )


def update(
    target: str,
    udn: str,
    location: str,
    *,
    host: str,
    boot_id: int,
    next_boot_id: int,
    config_id: int | None = None,
    search_port: int | None = None,
    extra: Extra = (),
) -> bytes:
    """A device's ``ssdp:update`` for ``target``: its BOOTID is about to change without a reboot (UDA 1.1 1.2.4)."""
    return _write(
        _NOTIFY,
        ("HOST", host),
        ("LOCATION", location),
        ("NT", target),
        ("NTS", Kind.UPDATE.value),
        ("USN", usn_of(udn, target)),
        ("BOOTID.UPNP.ORG", boot_id),
        ("CONFIGID.UPNP.ORG", config_id),
        ("NEXTBOOTID.UPNP.ORG", next_boot_id),
        ("SEARCHPORT.UPNP.ORG", search_port),
        *extra,
    )


def _write(start: bytes, *fields: tuple[str, str | int | None]) -> bytes:
    lines = [start, *_lines(fields), b"", b""]
    return b"\r\n".join(lines)


def _lines(fields: Iterable[tuple[str, str | int | None]]) -> Iterable[bytes]:
    for name, value in fields:
        if value is None:
            continue
        line = f"{name}: {value}" if value != "" else f"{name}:"
        if not line.isprintable():
            raise InvalidArgument(f"{name} does not fit on one line: {value!r}")
        yield line.encode()
