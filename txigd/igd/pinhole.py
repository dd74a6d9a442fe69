"""One wanted IPv6 pinhole, how it stands, and what its machine is told and asks for, as values. Pure.

Sources: IGD:2 WANIPv6FirewallControl:1 (AddPinhole, UpdatePinhole, errors), quirks Q195, Q200.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from txigd.errors import InvalidArgument
from txigd.igd.lease_facts import Added, Denied, Done, Failed, MappingState, Missing, Rest, Unreadable
from txigd.limits import LEASE_SECONDS, PINHOLE_LEASE_CEILING_SECONDS

PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17}  # Q195


@dataclass(frozen=True, slots=True)
class Pinhole:
    """An opening in the gateway's IPv6 firewall that somebody wants.

    :param protocol: ``"TCP"`` or ``"UDP"``, any case.
    :param internal_port: 1 to 65535, on this host.
    :param remote_host: the only internet host that may come in; None for everybody.
    :param remote_port: the only port it may come from; 0 for any.
    :param internal_client: our own stable global address; None to take the one that faces the gateway.
    :param lease_seconds: 1 to 86400 (Q200); renewals are 10 s apart at least, so what is shorter than 20 s lapses.
    :raises InvalidArgument: saying which value is wrong and what is right.
    """

    protocol: str
    internal_port: int
    remote_host: ipaddress.IPv6Address | None = None
    remote_port: int = 0
    internal_client: ipaddress.IPv6Address | None = None
    lease_seconds: int = LEASE_SECONDS

    def __post_init__(self) -> None:
        protocol = self.protocol.upper() if isinstance(self.protocol, str) else self.protocol
        if protocol not in PROTOCOL_NUMBERS:
            raise InvalidArgument(f"protocol {self.protocol!r}: a pinhole is for TCP or UDP")
        object.__setattr__(self, "protocol", protocol)
        for name, least in (("internal_port", 1), ("remote_port", 0)):
            port = getattr(self, name)
            if type(port) is not int or not least <= port <= 65535:
                raise InvalidArgument(f"{name.replace('_', ' ')} {port!r}: ports go from {least} to 65535")
        if type(self.lease_seconds) is not int or not 1 <= self.lease_seconds <= PINHOLE_LEASE_CEILING_SECONDS:
            raise InvalidArgument(f"lease of {self.lease_seconds!r} seconds: 1 to {PINHOLE_LEASE_CEILING_SECONDS}")
        for name in ("remote_host", "internal_client"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _global(name.replace("_", " "), value))

    def __str__(self) -> str:
        return f"{self.protocol.lower()}6:{self.internal_port}"

    @classmethod
    def from_text(cls, text: str) -> Pinhole:
        """Read ``PROTOCOL:PORT``, for example ``tcp:8080``.

        :raises InvalidArgument: saying what is wrong.
        """
        protocol, colon, port = text.strip().partition(":")
        if not colon or not port.isascii() or not port.isdigit() or len(port) > 5:
            raise InvalidArgument(f"{text!r} is no pinhole: write PROTOCOL:PORT, for example tcp:8080")
        return cls(protocol, int(port))


def _global(name: str, value: Any) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        raise InvalidArgument(f"{name} {value!r}: write an IPv6 address") from None
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        raise InvalidArgument(f"{name} {value!r}: not a global IPv6 address")
    return address


@dataclass(frozen=True, slots=True)
class PinholeStatus:
    """One held pinhole at one moment.

    ``internal_client`` is our address that it leads to; ``next_attempt`` is on the clock that the facts carried, or
    None.
    """

    state: MappingState = MappingState.WAITING
    unique_id: int | None = None
    internal_client: ipaddress.IPv6Address | None = None
    lease_seconds: int = 0
    reason: str = ""
    next_attempt: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """AddPinhole gave this UniqueID for our address ``client``."""

    unique_id: int
    client: ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class NoAddress:
    """This host has no address for it: nothing was asked, and what is there leads nowhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Open:
    """Send AddPinhole."""

    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Extend:
    """Send UpdatePinhole."""

    unique_id: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class Close:
    """Send DeletePinhole."""

    unique_id: int


@dataclass(frozen=True, slots=True)
class Closed:
    """DeletePinhole was answered. ``gone`` unless it was refused with another error than "no such pinhole of yours"."""

    gone: bool = True


PinholeFact = Opened | NoAddress | Added | Missing | Unreadable | Denied | Failed | Closed
PinholeCommand = Open | Extend | Close | Rest | Done
