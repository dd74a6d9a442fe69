"""Events sent to a multicast group: one datagram in, one value out, and what is a repeat. Pure.

Nobody subscribes to them and nobody answers, so the header alone decides whether a body is worth parsing.
Sources: UDA 1.1 section 4.3 (multicast eventing), quirk Q184, threats A1, A3, C6. No gateway is known to send them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from txigd.errors import BadMessage, NotificationRefused
from txigd.limits import (
    CALLBACK_HEADER_OCTETS,
    EVENT_GROUP_V4,
    EVENT_GROUP_V6_LINK,
    EVENT_GROUP_V6_SITE,
    EVENT_OCTETS,
    EVENT_PUBLISHERS,
    EVENT_REPEAT_SECONDS,
    EVENT_REPEATS,
    NAME_OCTETS,
    USN_OCTETS,
)
from txigd.upnp.discovery.message import normal_udn, usn_type
from txigd.upnp.eventing.gena import NT_EVENT, NTS_CHANGE, SEQ_MAX, propertyset, read_values
from txigd.upnp.eventing.request import RequestHead, read_head

GROUPS: Final = tuple(map(ip_address, (EVENT_GROUP_V4, EVENT_GROUP_V6_LINK, EVENT_GROUP_V6_SITE)))
GENERAL: Final = "upnp:/general"
LEVELS: Final = ("upnp:/emergency", "upnp:/fault", "upnp:/warning", "upnp:/info", "upnp:/debug", GENERAL)

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_NUMBER: Final = re.compile(r"0*([0-9]{1,10})")
_VENDOR_LEVEL: Final = re.compile(r"[A-Za-z0-9.-]{1,64}:/[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class MulticastEvent:
    """One multicast event.

    ``udn`` is that of the publisher as :func:`~txigd.upnp.discovery.message.normal_udn` gives it, ``service_type`` what
    follows it in USN, ``service_id`` SVCID; ``level`` is one of :data:`LEVELS` or a vendor's; ``boot_id`` is None where
    missing or unusable. ``values`` are texts by variable name.
    """

    udn: str
    service_type: str
    service_id: str
    seq: int
    level: str = GENERAL
    boot_id: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event whose header was read and whose body was not."""

    event: MulticastEvent
    body: bytes

    def open(self) -> MulticastEvent:
        """The event with its values.

        :raises BadMessage: ``xml``, where the body is no property set with a variable.
        """
        try:
            values = read_values(self.body)
        except NotificationRefused as error:
            raise BadMessage("xml", str(error)) from error
        if not values:
            raise BadMessage("xml", "no variable")
        known = self.event
        return MulticastEvent(
            known.udn, known.service_type, known.service_id, known.seq, known.level, known.boot_id, values
        )


def read_sealed(datagram: bytes) -> Sealed:
    """Read the header of one datagram, HTTP/1.0 or 1.1 (UDA 1.1 section 4.3.3).

    CONTENT-LENGTH is not looked at: a datagram knows its end, and lengths are often wrong (F12).

    :raises BadMessage: with ``reason`` one of "too large", "head", "start line", "nt", "usn", "svcid", "seq". Nothing
        else is raised, whatever the bytes.
    """
    if len(datagram) > EVENT_OCTETS:
        raise BadMessage("too large")
    datagram = datagram.lstrip(b"\r\n")
    end = _END_OF_HEAD.search(datagram, 0, CALLBACK_HEADER_OCTETS)
    if end is None:
        raise BadMessage("head", "no end of the header")
    head = read_head(datagram[: end.start()])
    if head.method != "NOTIFY" or head.target != "*":
        raise BadMessage("start line")
    if (_only(head, "nt").lower(), _only(head, "nts").lower()) != (NT_EVENT, NTS_CHANGE):
        raise BadMessage("nt")
    usn, service_id = _only(head, "usn"), _only(head, "svcid")
    udn = normal_udn(usn)
    if not udn or len(usn) > USN_OCTETS:
        raise BadMessage("usn")
    if not service_id or len(service_id) > NAME_OCTETS:
        raise BadMessage("svcid")
    seq = _number(_only(head, "seq"))
    if seq is None:
        raise BadMessage("seq")
    boot_id = _number(_only(head, "bootid.upnp.org"))
    event = MulticastEvent(udn, usn_type(usn), service_id, seq, _level(_only(head, "lvl")), boot_id)
    return Sealed(event, datagram[end.end() :])


def parse(datagram: bytes) -> MulticastEvent:
    """Read a whole datagram.

    :raises BadMessage: as :func:`read_sealed`, and ``xml``.
    """
    return read_sealed(datagram).open()


def write(event: MulticastEvent, *, host: str) -> bytes:
    """The datagram of an event as its publisher sends it (UDA 1.1 section 4.3.3).

    :param host: HOST, the group and its port.
    """
    body = propertyset(event.values)
    fields = [
        ("HOST", host),
        ("CONTENT-TYPE", 'text/xml; charset="utf-8"'),
        ("USN", f"{event.udn}::{event.service_type}"),
        ("SVCID", event.service_id),
        ("NT", NT_EVENT),
        ("NTS", NTS_CHANGE),
        ("SEQ", f"{event.seq:d}"),
        ("LVL", event.level),
        *([] if event.boot_id is None else [("BOOTID.UPNP.ORG", f"{event.boot_id:d}")]),
        ("CONTENT-LENGTH", f"{len(body):d}"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"NOTIFY * HTTP/1.0\r\n{head}\r\n".encode() + body


def _only(head: RequestHead, name: str) -> str:
    """The value of a field; empty where it is missing or where two differ."""
    values = {value for value in head.values(name) if value}
    return values.pop() if len(values) == 1 else ""


def _number(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    number = None if match is None else int(match[1])
    return None if number is None or number > SEQ_MAX else number


def _level(text: str) -> str:
    """A level of UDA or of a vendor; an unknown one is general (UDA 1.1 section 4.3.3)."""
    lowered = text.lower()
    if lowered in LEVELS:
        return lowered
    return text if _VENDOR_LEVEL.fullmatch(text) and not lowered.startswith("upnp:/") else GENERAL


# -- repeats ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Last:
    seq: int
    boot_id: int | None
    heard: float


class Repeats:
    """Tells copies from news: multicast events are sent several times, on every link, and may overtake each other.

    The last SEQ of each (USN, SVCID) is kept, for EVENT_PUBLISHERS of them. An event is old where its SEQ is that one
    or up to EVENT_REPEATS before it in the same BOOTID. Anything further back is a new count, since a value that is
    delivered twice does less harm than silence. A publisher that sends no BOOTID may begin anew after
    EVENT_REPEAT_SECONDS without a word.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[Hashable, ...], _Last] = OrderedDict()

    def is_news(self, event: MulticastEvent, now: float, sender: Hashable = None) -> bool:
        """Take note of the event; False for a copy, or one that newer ones overtook.

        :param sender: where it came from, if the addresses of one device are to be told apart.
        """
        key = (event.udn, event.service_type, event.service_id, sender)
        last = self._last.get(key)
        if last is not None and self._is_old(event, last, now):
            last.heard = now
            self._last.move_to_end(key)
            return False
        self._last[key] = _Last(event.seq, event.boot_id, now)
        self._last.move_to_end(key)
        if len(self._last) > EVENT_PUBLISHERS:
            self._last.popitem(last=False)
        return True

    @staticmethod
    def _is_old(event: MulticastEvent, last: _Last, now: float) -> bool:
        if event.boot_id != last.boot_id:
            return False
        if event.boot_id is None and not 0.0 <= now - last.heard < EVENT_REPEAT_SECONDS:
            return False
        return _behind(event.seq, last.seq) <= EVENT_REPEATS

    def __len__(self) -> int:
        return len(self._last)


def _behind(seq: int, last: int) -> int:
    """How many steps ``seq`` lies before ``last``: 4294967295 is followed by 1, and 0 comes once before 1 (UDA 4.2)."""
    if seq <= last:
        return last - seq
    return (last - seq) % SEQ_MAX if last else SEQ_MAX
