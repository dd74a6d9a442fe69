"""How a simulated gateway meets its network. Thin: it looks at the links of this host.

Knows what was asked for; what is open, and where, is known to the boot.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from txigd.errors import AddressingError, InvalidArgument
from txigd.testing.quirks import Played
from txigd.testing.shape import Shape
from txigd.upnp import addressing
from txigd.upnp.url import IPAddress


@dataclass(frozen=True, slots=True)
class Setup:
    """The fields are those of :class:`txigd.testing.SimulatedGateway`.

    ``address6`` is empty where it lives at one address; ``ssdp_port`` 0 means no SSDP.

    :raises InvalidArgument: for an ``address6`` that may not stand beside the other one.
    """

    shape: Shape
    played: Played
    address: str
    address6: str
    link: str
    ssdp_port: int
    notify_seconds: float | None
    answer_seconds: float
    max_age: int
    granted_seconds: int | None
    urls: str
    url_base: bool
    check_host: bool
    other_port: int | None

    def __post_init__(self) -> None:
        try:
            fits = not self.address6 or (
                ipaddress.ip_address(self.address6).version == 6
                and (not self.address or ipaddress.ip_address(self.address).version == 4)
            )
        except ValueError:
            fits = False
        if not fits:
            raise InvalidArgument(f"address6 {self.address6!r}: write an IPv6 address, beside an IPv4 one")

    def addresses(self) -> tuple[IPAddress, ...]:
        """Where it lives, as the link is now: one address, or one of each family.

        :raises AddressingError: if the address is to be taken from the link, and that has none.
        """
        first = self.address or _address_of(self.link)
        return tuple(map(ipaddress.ip_address, (first, self.address6) if self.address6 else (first,)))

    def link_index(self) -> int:
        """The index of the link; 0 where nothing is sent by multicast, or for the system's choice."""
        return socket.if_nametoindex(self.link) if self.link and (self.ssdp_port or self.tells) else 0

    @property
    def tells(self) -> bool:
        """Whether events are sent to the multicast groups as well."""
        return "multicast events" in self.played.traits

    @property
    def second_port(self) -> int | None:
        """Another TCP port to listen on, 0 for any; None for no such, unless a quirk or a model needs it."""
        needed = "other port" in self.played.traits or len(self.shape.model.captured) > 1
        return 0 if self.other_port is None and needed else self.other_port


def _address_of(link_name: str) -> str:
    for link in addressing.links([link_name]):
        if link.ipv4 is not None:
            return str(link.ipv4)
    raise AddressingError(f"{link_name} has no IPv4 address")
