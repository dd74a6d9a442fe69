"""One sighting of a device, and what may be told of it. Pure.

Sources: UDA 1.0-2.0 section 1.2 (advertisement), quirks Q037, Q038, threat A3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from txigd.upnp.url import DeviceURL, IPAddress


@dataclass(frozen=True, slots=True)
class Sighting:
    """One LOCATION that was announced.

    ``source`` and ``link`` are address and interface name of the first message. ``udns`` are all UDNs announced with
    this LOCATION, embedded devices included, as :func:`~txigd.upnp.discovery.message.normal_udn` gives them;
    ``targets`` the device and service types. ``expires`` is a time of the caller's clock, without the grace.
    """

    location: DeviceURL
    source: IPAddress
    link: str
    udns: frozenset[str]
    targets: frozenset[str]
    boot_id: int | None
    config_id: int | None
    search_port: int | None
    server: str
    expires: float


@dataclass(frozen=True, slots=True)
class Appeared:
    """A LOCATION not seen before."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The device was away: subscriptions and mappings may be gone (UDA 1.1 section 1.2.2).

    With the LOCATION of ``previous`` where only BOOTID changed. With another one where a known UDN came back at a new
    LOCATION of the same host (Q037): ``previous`` stays in the table until forgotten, for the new one may be false.
    """

    sighting: Sighting
    previous: Sighting


@dataclass(frozen=True, slots=True)
class Updated:
    """CONFIGID changed: the description is to be fetched again."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Doubted:
    """The device may be gone: probe it, then confirm() or forget().

    "moved": the same UDN and BOOTID were announced at another LOCATION of the host; mostly both are good (Q038).
    """

    sighting: Sighting
    why: Literal["byebye", "expired", "moved"]


@dataclass(frozen=True, slots=True)
class Evicted:
    """Dropped to make room (A3); nothing is known against the device, and nothing more will be told of it."""

    sighting: Sighting


Change: TypeAlias = Appeared | Rebooted | Updated | Doubted | Evicted
