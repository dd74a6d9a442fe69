"""What we did on a gateway, one value for each thing done. Pure.

Every time here is on this host's boot clock: seconds since the start, sleep included. The wall clock may be set at
will (F19), this one not.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from txigd.errors import InvalidArgument
from txigd.igd.mapping import PROTOCOLS, PortMapping, PortMappingEntry
from txigd.limits import (
    DESCRIPTION_TAG_OCTETS,
    JOURNAL_SLACK_SECONDS,
    LEASE_CEILING_SECONDS,
    LOCATION_OCTETS,
    USN_OCTETS,
)

Slot = tuple[str, int, str]
"""The place in a gateway's table: protocol, external port, remote host."""

_WILDCARDS = frozenset({"", "*", "0.0.0.0"})
_ADDRESS_CHARACTERS: Final = 64  # an IPv6 address with its zone
_FURTHEST: Final = 2**52  # seconds; a float keeps whole numbers exact up to here


def plain(text: str, most: int) -> str:
    """At most ``most`` characters of printable ASCII: what a gateway says of itself goes into a file."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:most])


def client_name(text: str) -> str:
    """What a gateway shows in place of an internal client's address, as it is kept; nothing at all is a name, too."""
    return plain(text.strip(), DESCRIPTION_TAG_OCTETS) or "?"


def remote_name(text: str) -> str:
    """A remote host, the empty text for "everybody" in each of its spellings (Q101)."""
    text = text.strip()
    return "" if text in _WILDCARDS else text


def slot_of(entry: PortMappingEntry) -> Slot:
    """The place of an entry that was read."""
    return entry.protocol, entry.external_port, remote_name(entry.remote_host)


def latest_end(lease_seconds: int, now: float) -> int | None:
    """When a lease has surely run out, None for never: rounded up, with room for a late request and a slow clock.

    :param lease_seconds: 0 for permanent; more than the standard's week is taken for the same.
    """
    if not 0 < lease_seconds <= LEASE_CEILING_SECONDS:
        return None
    return math.ceil(now + lease_seconds + JOURNAL_SLACK_SECONDS)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of a gateway's table that we made, or are about to make.

    :ivar description: the tag that was sent.
    :ivar shown: the description as the gateway shows it; some keep their own word.
    :ivar expires: when it has surely run out; None for permanent, and where the gateway does not tell.
    :ivar sure: False from the moment before AddPortMapping is sent until it is answered.
    :ivar named: the name that the gateway shows in place of ``internal_client``; empty where it shows the address.
    :raises InvalidArgument: for what no entry of ours can be.
    """

    protocol: str
    external_port: int
    remote_host: str
    internal_client: str
    internal_port: int
    description: str
    shown: str = ""
    expires: int | None = None
    sure: bool = False
    named: str = ""

    def __post_init__(self) -> None:
        _check(self, _ENTRY_RULES)

    @classmethod
    def of(
        cls, wanted: PortMapping, port: int, *, client: ipaddress.IPv4Address, description: str, sure: bool = False
    ) -> JournalEntry:
        """The record of AddPortMapping for a wanted mapping on this external port."""
        return cls(
            protocol=wanted.protocol,
            external_port=port,
            remote_host=remote_of(wanted),
            internal_client=str(client),
            internal_port=wanted.internal_port,
            description=plain(description, DESCRIPTION_TAG_OCTETS),
            sure=sure,
        )

    @property
    def slot(self) -> Slot:
        """Its place in the gateway's table."""
        return self.protocol, self.external_port, self.remote_host

    @property
    def target(self) -> tuple[Slot, str, int]:
        """Its place and where it leads."""
        return self.slot, self.internal_client, self.internal_port

    def matches(self, entry: PortMappingEntry) -> bool:
        """Whether an entry that was read stands at the same place and leads to the same."""
        return self.target == (slot_of(entry), entry.internal_client.strip(), entry.internal_port)

    def has_run_out(self, now: float) -> bool:
        """Whether its lease is over for sure."""
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class JournalPinhole:
    """One IPv6 pinhole that we opened, or may have.

    :ivar unique_id: 0 while it is not known.
    :ivar protocol: IANA number, 65535 for any. Ports may be 0, for any.
    :ivar remote_host: an IPv6 address, empty for everybody.
    :ivar expires: when it has surely run out; a pinhole is never permanent (WANIPv6FirewallControl:1).
    :raises InvalidArgument: for what no pinhole can be.
    """

    unique_id: int
    protocol: int
    internal_client: str
    internal_port: int
    remote_host: str
    remote_port: int
    expires: int

    def __post_init__(self) -> None:
        _check(self, _PINHOLE_RULES)

    @property
    def place(self) -> tuple[int, str, int, str, int]:
        """The values that tell one pinhole from another; AddPinhole with the same ones extends it."""
        return self.protocol, self.internal_client, self.internal_port, self.remote_host, self.remote_port


@dataclass(frozen=True, slots=True)
class PinnedGateway:
    """A gateway to look for first, where it was last: URL of its description, time of the last sight."""

    udn: str
    location: str
    seen: int

    def __post_init__(self) -> None:
        _check(self, _PINNED_RULES)


@dataclass(frozen=True, slots=True)
class KeptPort:
    """The external port that a wanted mapping had last (Q140)."""

    protocol: str
    internal_port: int
    wanted_port: int
    remote_host: str
    internal_client: str
    external_port: int = 0

    def __post_init__(self) -> None:
        _check(self, _KEPT_PORT_RULES)

    @classmethod
    def of(cls, wanted: PortMapping, external_port: int = 0) -> KeptPort:
        """The record for a wanted mapping."""
        client = "" if wanted.internal_client is None else str(wanted.internal_client)
        return cls(wanted.protocol, wanted.internal_port, wanted.wanted_port, remote_of(wanted), client, external_port)

    @property
    def wanted(self) -> tuple[str, int, int, str, str]:
        """What tells one wanted mapping from another."""
        return self.protocol, self.internal_port, self.wanted_port, self.remote_host, self.internal_client


def remote_of(wanted: PortMapping) -> str:
    """The remote host as it is sent."""
    return "" if wanted.remote_host is None else str(wanted.remote_host)


# -- what may be in a record ---------------------------------------------------------------------------------------
# `type(...) is int`: True and 1.0 are no numbers here.
def _port(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 65_535


def _ui2(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 65_535


def _time(value: Any) -> bool:
    return type(value) is int and -_FURTHEST <= value <= _FURTHEST


def _text(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value == plain(value, most)


def _address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], *, empty: bool) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if type(value) is not str or value != plain(value, _ADDRESS_CHARACTERS):
            return False
        try:
            return str(kind(value)) == value
        except ValueError:
            return empty and not value

    return check


_Rules = dict[str, Callable[[Any], bool]]

_ENTRY_RULES: Final[_Rules] = {
    "protocol": lambda value: value in PROTOCOLS,
    "external_port": _port,
    "remote_host": _address(ipaddress.IPv4Address, empty=True),
    "internal_client": _address(ipaddress.IPv4Address, empty=False),
    "internal_port": _port,
    "description": _text(DESCRIPTION_TAG_OCTETS),
    "shown": _text(DESCRIPTION_TAG_OCTETS),
    "expires": lambda value: value is None or _time(value),
    "sure": lambda value: type(value) is bool,
    "named": _text(DESCRIPTION_TAG_OCTETS),
}
_PINHOLE_RULES: Final[_Rules] = {
    "unique_id": _ui2,
    "protocol": _ui2,
    "internal_client": _address(ipaddress.IPv6Address, empty=False),
    "internal_port": _ui2,
    "remote_host": _address(ipaddress.IPv6Address, empty=True),
    "remote_port": _ui2,
    "expires": _time,
}
_PINNED_RULES: Final[_Rules] = {"udn": _text(USN_OCTETS), "location": _text(LOCATION_OCTETS), "seen": _time}
_KEPT_PORT_RULES: Final[_Rules] = {
    "protocol": lambda value: value in PROTOCOLS,
    "internal_port": _port,
    "wanted_port": _port,
    "remote_host": _address(ipaddress.IPv4Address, empty=True),
    "internal_client": _address(ipaddress.IPv4Address, empty=True),
    "external_port": _ui2,
}


def _check(record: Any, rules: _Rules) -> None:
    for name, fits in rules.items():
        value = getattr(record, name)
        if not fits(value):
            raise InvalidArgument(f"journal: {name} {value!r:.80}")
