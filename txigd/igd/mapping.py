"""A wanted port mapping and an entry of a gateway's table, as values. Pure.

Sources: IGD:1 and IGD:2 WANIPConnection (port mappings), quirks Q097, Q099, Q127, Q139, threats B10, D5.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from txigd.errors import InvalidArgument
from txigd.limits import DESCRIPTION_TAG_OCTETS, LEASE_CEILING_SECONDS, LEASE_SECONDS

PROTOCOLS = ("TCP", "UDP")
TAG_PREFIX = "txigd."
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9 ._-]+")


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port mapping that somebody wants to be true.

    :param protocol: ``"TCP"`` or ``"UDP"``, any case.
    :param internal_port: 1 to 65535, on this host (or on ``internal_client``).
    :param external_port: 1 to 65535 on the gateway; None asks for the same as ``internal_port``.
    :param description: a short name, kept in the gateway's table as part of a tag.
    :param any_port: whether another external port will do when the wanted one is taken.
    :param port_range: the lowest and the highest external port that will do; it makes ``any_port`` true. The first one
        to be asked for is ``external_port``, which must be one of them, else the internal port, else the lowest. None:
        with ``any_port``, whichever the gateway picks, or one of 49152 to 65535.
    :param lease_seconds: what to ask for; 0 asks for a permanent entry, at most 604800 (IGD:2). Renewals are 10 s apart
        at least, so what is shorter than 20 s lapses.
    :param remote_host: the only internet host that may come in; None for everybody.
    :param internal_client: another host of the LAN; None (the default) for this host. Gateways commonly refuse others.
    :raises InvalidArgument: saying which value is wrong and what is right.
    """

    protocol: str
    internal_port: int
    external_port: int | None = None
    description: str = ""
    any_port: bool = False
    lease_seconds: int = LEASE_SECONDS
    remote_host: ipaddress.IPv4Address | None = None
    internal_client: ipaddress.IPv4Address | None = None
    port_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        protocol = self.protocol.upper() if isinstance(self.protocol, str) else self.protocol
        if protocol not in PROTOCOLS:
            raise InvalidArgument(f"protocol {self.protocol!r}: a gateway maps TCP or UDP")
        object.__setattr__(self, "protocol", protocol)
        _check_port("internal port", self.internal_port)
        if self.external_port is not None:
            _check_port("external port", self.external_port)
        if self.port_range is not None:
            object.__setattr__(self, "port_range", _range(self.port_range))
            object.__setattr__(self, "any_port", True)
            if self.external_port is not None and not self.takes(self.external_port):
                raise InvalidArgument(f"external port {self.external_port} is none of {self.port_range}")
        if type(self.lease_seconds) is not int or not 0 <= self.lease_seconds <= LEASE_CEILING_SECONDS:
            raise InvalidArgument(
                f"lease of {self.lease_seconds!r} seconds: use 1 to {LEASE_CEILING_SECONDS}, or 0 for a permanent entry"
            )
        for name in ("remote_host", "internal_client"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _host(name.replace("_", " "), value))

    @property
    def wanted_port(self) -> int:
        """The external port to ask for first."""
        if self.external_port is not None:
            return self.external_port
        if self.port_range is not None and not self.takes(self.internal_port):
            return self.port_range[0]
        return self.internal_port

    def takes(self, port: int) -> bool:
        """Whether an external port will do."""
        if self.port_range is not None:
            return self.port_range[0] <= port <= self.port_range[1]
        return self.any_port or port == self.wanted_port

    def __str__(self) -> str:
        return f"{self.protocol.lower()}:{self.internal_port}:{self.wanted_port}"

    @classmethod
    def from_text(cls, text: str, **fields: Any) -> PortMapping:
        """Read ``PROTOCOL:INTERNAL[:EXTERNAL]``, for example ``tcp:8080`` or ``udp:5000:15000``.

        EXTERNAL ``any`` asks for the internal port and accepts another one; ``50000-50100`` accepts one of these.

        :raises InvalidArgument: saying what is wrong.
        """
        parts = text.strip().split(":")
        if not 2 <= len(parts) <= 3:
            raise InvalidArgument(f"{text!r} is no mapping: write PROTOCOL:INTERNAL[:EXTERNAL], for example tcp:8080")
        if len(parts) == 3 and parts[2].lower() == "any":
            return cls(parts[0], _number("internal port", parts[1]), any_port=True, **fields)
        if len(parts) == 3 and "-" in parts[2]:
            low, _, high = parts[2].partition("-")
            ports = _number("external port", low), _number("external port", high)
            return cls(parts[0], _number("internal port", parts[1]), port_range=ports, **fields)
        external = _number("external port", parts[2]) if len(parts) == 3 else None
        return cls(parts[0], _number("internal port", parts[1]), external, **fields)


@dataclass(frozen=True, slots=True)
class PortMappingEntry:
    """One entry of a gateway's table, as it was read.

    ``internal_client`` is the gateway's text (some name a host, see
    :func:`txigd.igd.reconciliation.with_address`), ``lease_seconds`` what is left, 0 for permanent or
    where the gateway does not tell (Q156).
    """

    protocol: str
    external_port: int
    internal_client: str
    internal_port: int
    description: str = ""
    lease_seconds: int = 0
    enabled: bool = True
    remote_host: str = ""

    def leads_to(self, client: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
        """Whether the entry forwards to this client and port."""
        return self.internal_client.strip() == str(client) and self.internal_port == port


def check_apart(wanted: Iterable[PortMapping]) -> None:
    """Two different mappings cannot have one external port; the same one twice does no harm.

    :raises InvalidArgument: naming two that exclude each other.
    """
    seen: dict[tuple[object, ...], PortMapping] = {}
    for one in wanted:
        other = seen.setdefault((one.protocol, one.wanted_port, one.remote_host), one)
        if other != one:
            raise InvalidArgument(
                f"{one}: external port {one.wanted_port} is already wanted for {other}; choose another EXTERNAL"
            )


def tag(host_id: str, name: str) -> str:
    """The description that marks an entry as ours: ``txigd.<host id>.<name>``, at most 63 octets (Q099, B10)."""
    clean = _NOT_IN_A_TAG.sub("-", name).strip(" -.") or "mapping"
    return f"{TAG_PREFIX}{host_id}.{clean}"[:DESCRIPTION_TAG_OCTETS].rstrip()


def is_ours(description: str, host_id: str) -> bool:
    """Whether a description bears this host's tag; gateways may cut or pad it, never its beginning."""
    return description.strip().startswith(f"{TAG_PREFIX}{host_id}.")


def _check_port(name: str, port: object) -> None:
    if type(port) is not int or not 1 <= port <= 65535:
        raise InvalidArgument(f"{name} {port!r}: ports go from 1 to 65535")


def _range(value: Any) -> tuple[int, int]:
    try:
        low, high = value
    except (TypeError, ValueError):
        raise InvalidArgument(f"port range {value!r}: write the lowest and the highest port") from None
    _check_port("external port", low)
    _check_port("external port", high)
    if low > high:
        raise InvalidArgument(f"external ports {low}-{high}: the lower one comes first")
    return low, high


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise InvalidArgument(f"{name} {text!r}: ports go from 1 to 65535")
    return int(text)


def _host(name: str, value: Any) -> ipaddress.IPv4Address:
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        raise InvalidArgument(f"{name} {value!r}: write an IPv4 address") from None
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        raise InvalidArgument(f"{name} {value!r}: not the address of a host")
    return address
