"""What is said to a minissdpd and what it answers: one request out, entries in, and which of them may be used. Pure.

minissdpd keeps the announcements of a LAN and tells them to local programs over a unix socket. A request is an octet
for its kind and a text; a text is its length in groups of seven bits, the highest first, all but the last marked by
their upper bit, and its octets. An answer is an octet for the number of entries, and three texts for each: LOCATION,
type and USN. Source: the README of minissdpd 1.6; facts checked against the program itself. Threats A1, A3, A6.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from txigd.errors import BadMessage, BadURL, InvalidArgument
from txigd.limits import CACHE_ENTRIES, CACHE_OCTETS, LOCATION_OCTETS, MAX_AGE_FLOOR, USN_OCTETS
from txigd.upnp import url
from txigd.upnp.discovery.message import Kind, Message, normal_udn
from txigd.upnp.discovery.targets import IGD_TARGETS, without_version
from txigd.upnp.url import DeviceURL, with_zone

if TYPE_CHECKING:  # addressing opens sockets; this module only reads what a Link says
    from txigd.upnp.addressing import Link

BY_TYPE: Final = 1
_MORE: Final = 0x80
_LENGTH_OCTETS: Final = 4  # enough for 256 MiB; no text comes near it


@dataclass(frozen=True, slots=True)
class Entry:
    """One announcement that minissdpd remembers, as it told it."""

    location: str
    target: str
    usn: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """An entry that passed the host rule, in the shape that :meth:`~.presence.Presence.learn` takes."""

    message: Message
    location: DeviceURL
    link: str

    @property
    def source(self) -> url.IPAddress:
        """The host of the LOCATION, since the sender is not known."""
        return self.location.host


# -- writing ---------------------------------------------------------------------------------------------------------


def length(number: int) -> bytes:
    """A length as it goes before a text.

    >>> length(5), length(300)
    (b'\\x05', b'\\x82,')
    """
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | _MORE)
    return bytes(reversed(groups))


def request(prefix: str) -> bytes:
    """Ask for all entries whose type begins with ``prefix``.

    :raises InvalidArgument: for an empty or overlong prefix, or one that is not ASCII.
    """
    if not 0 < len(prefix) <= USN_OCTETS or not prefix.isascii():
        raise InvalidArgument(f"no type to ask for: {prefix!r}")
    return bytes([BY_TYPE]) + length(len(prefix)) + prefix.encode()


def prefixes(targets: Iterable[str] = IGD_TARGETS) -> tuple[str, ...]:
    """What to ask for: each type once, without its version but with the colon, so that every version matches.

    >>> prefixes(["urn:x:device:A:2", "urn:x:device:A:1", "upnp:rootdevice"])
    ('urn:x:device:A:',)
    """
    types = [name.rpartition(":")[0] + ":" for name in targets if name.startswith("urn:")]
    return tuple(dict.fromkeys(types))


# -- reading ---------------------------------------------------------------------------------------------------------


class AnswerReader:
    """Takes the octets of one answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Entry] | None:
        """The entries, or None while more octets are needed.

        :raises BadMessage: "too large", "length" or "trailing octets", where this is no answer.
        """
        self._buffer += data
        if len(self._buffer) > CACHE_OCTETS:
            raise BadMessage("too large")
        try:
            return self._whole()
        except IndexError:
            return None

    def _whole(self) -> list[Entry]:
        texts: list[str] = []
        at = 1
        for _ in range(3 * self._buffer[0]):
            size, at = self._length(at)
            if at + size > len(self._buffer):
                raise IndexError
            texts.append(self._buffer[at : at + size].decode("latin-1"))
            at += size
        if at != len(self._buffer):
            raise BadMessage("trailing octets")
        return [Entry(*texts[place : place + 3]) for place in range(0, len(texts), 3)]

    def _length(self, at: int) -> tuple[int, int]:
        size = 0
        for place in range(at, at + _LENGTH_OCTETS):
            octet = self._buffer[place]
            size = size << 7 | octet & 0x7F
            if not octet & _MORE:
                break
        else:
            raise BadMessage("length")
        if size > CACHE_OCTETS:
            raise BadMessage("length")
        return size, place + 1


# -- judging ---------------------------------------------------------------------------------------------------------


def remembered(entry: Entry, links: Sequence[Link], wanted: Iterable[str] = IGD_TARGETS) -> Remembered:
    """The entry, if it may be used.

    Nobody tells who sent the announcement, so the host rule (A6) is that of the LOCATION alone: a literal address of a
    host on one of our links. A link-local IPv6 address must be on one link only, since its zone is not told either.
    What is remembered may be long gone: it counts as seen for the shortest time, and SSDP confirms it.

    :raises BadMessage: with ``reason`` one of "other type", "no usn", "long usn", "bad location", "off link",
        "no zone".
    """
    if without_version(entry.target) not in {without_version(target) for target in wanted}:
        raise BadMessage("other type")
    if len(entry.usn) > USN_OCTETS:
        raise BadMessage("long usn")
    udn = normal_udn(entry.usn)
    if not udn:
        raise BadMessage("no usn")
    if len(entry.location) > LOCATION_OCTETS:
        raise BadMessage("bad location")
    try:
        location = url.parse(entry.location)
    except BadURL as error:
        raise BadMessage("bad location") from error
    found = [link for link in links if link.contains(location.host)]
    if not found:
        raise BadMessage("off link")
    if isinstance(location.host, ipaddress.IPv6Address) and location.host.is_link_local and len(found) > 1:
        raise BadMessage("no zone")
    location = replace(location, host=with_zone(location.host, found[0].name))
    told = Message(Kind.ANSWER, entry.target, entry.usn, udn, entry.location, MAX_AGE_FLOOR)
    return Remembered(told, location, found[0].name)


def select(
    entries: Iterable[Entry], links: Sequence[Link], wanted: Iterable[str] = IGD_TARGETS
) -> tuple[tuple[Remembered, ...], dict[str, int]]:
    """The entries that may be used, CACHE_ENTRIES at most, and how many may not, by reason."""
    names = tuple(wanted)
    kept: dict[tuple[DeviceURL, str], Remembered] = {}
    dropped: dict[str, int] = {}
    for entry in entries:
        try:
            one = remembered(entry, links, names)
            if len(kept) >= CACHE_ENTRIES:
                raise BadMessage("too many")
        except BadMessage as error:
            dropped[error.reason] = dropped.get(error.reason, 0) + 1
        else:
            kept.setdefault((one.location, one.message.usn), one)
    return tuple(kept.values()), dropped
