"""All that a simulated gateway knows of itself between two requests. Pure; time is the argument ``now``.

Joins the WAN lines, the mapping table, the pinholes and the traffic counters, and says what is evented.
Sources: IGD:1 and IGD:2, the evented variables of each service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from txigd.testing.entry import Entry
from txigd.testing.line import UNCONFIGURED, Line
from txigd.testing.pinholes import PinholeTable
from txigd.testing.rules import Rules
from txigd.testing.settings import Settings
from txigd.testing.table import MappingTable
from txigd.testing.template import Value
from txigd.testing.traffic import Traffic
from txigd.testing.tree import Tree

CONNECTION_SERVICES: Final = ("WANIPConnection", "WANPPPConnection")


@dataclass
class State:
    """The state of one gateway.

    :ivar line: the WAN line in use; an idle connection service beside it is Unconfigured and has address 0.0.0.0.
    :ivar read_only_type: whether SetConnectionType answers 731 (IGD:2).
    :ivar hide_private_address: a private external address counts as unknown, and nothing is mapped, as by miniupnpd.
    :ivar user_name: of the PPP login.
    :ivar word: from a variable's name and value to what is told of it, in events.
    """

    tree: Tree
    line: Line
    rules: Rules = field(default_factory=Rules)
    read_only_type: bool = False
    hide_private_address: bool = False
    user_name: str = "user"
    word: Callable[[str, str], str] = lambda name, value: value

    def __post_init__(self) -> None:
        self.table = MappingTable(self.rules)
        self.pinholes = PinholeTable()
        self.traffic = Traffic()
        self.settings = Settings(self.tree)
        self.idle_line = Line("0.0.0.0", status=UNCONFIGURED, unknown_address="0.0.0.0")
        self.second_line = Line("", unknown_address="0.0.0.0")
        self.default_connection = self.tree.default_connection

    def line_of(self, service_key: str) -> Line:
        """The line of a connection service: the one in use, the idle one, or that of further WAN devices."""
        if "#" in service_key:
            return self.second_line
        return self.line if service_key == self.tree.live_service.key else self.idle_line

    def external_address(self, service_key: str) -> str:
        """ExternalIPAddress of a connection service."""
        line = self.line_of(service_key)
        address = line.external_address
        if self.hide_private_address and address and line is self.line and _is_private(address):
            return line.unknown_address
        return address

    @property
    def can_map(self) -> bool:
        """Whether an external address is known, without which nothing can be mapped."""
        return self.external_address(self.tree.live_service.key) not in ("", "0.0.0.0")

    def active_entries(self) -> list[Entry]:
        """The mappings that let traffic through now."""
        return [entry for entry in self.table if entry.enabled] if self.line.is_connected else []

    def evented(self, service_key: str) -> dict[str, str]:
        """The evented variables of a service and their values."""
        service = self.tree.services[service_key]
        if service.name in CONNECTION_SERVICES:
            line = self.line_of(service_key)
            values = {
                "PossibleConnectionTypes": possible_types(service.name),
                "ConnectionStatus": line.status,
                "ExternalIPAddress": self.external_address(service_key),
                "PortMappingNumberOfEntries": str(len(self.table)),
                "SystemUpdateID": str(self.table.update_id),
            }
        else:
            values = {
                "DefaultConnectionService": self.default_connection,
                "PhysicalLinkStatus": self.link_status,
                "EthernetLinkStatus": self.link_status,
                "LinkStatus": self.link_status,
                **{n: _bit(v) for n, v in self.settings.of(service_key).items() if isinstance(v, bool)},
                "EnabledForInternet": _bit(self.line.enabled_for_internet),
                "NumberOfActiveConnections": _bit(self.line.is_connected),
                "FirewallEnabled": _bit(self.pinholes.firewall_enabled),
                "InboundPinholeAllowed": _bit(self.pinholes.inbound_allowed),
                "SetupReady": "1",
            }
        return {name: self.word(name, values[name]) for name in service.template.evented}

    @property
    def link_status(self) -> str:
        """PhysicalLinkStatus."""
        return "Up" if self.line.carrier else "Down"

    @property
    def link_facts(self) -> dict[str, Value]:
        """What the link services tell of the carrier, by state variable."""
        return {
            "LinkStatus": self.link_status,
            "CableLinkConfigState": "operational" if self.line.carrier else "notReady",
        }

    def advance(self, now: float) -> None:
        """Do what time does: leases run out, the line reaches its next state."""
        self.line.advance(now)
        self.table.expire(now)
        self.pinholes.expire(now)

    def next_change(self) -> float | None:
        """When :meth:`advance` has something to do, None for never."""
        times = (self.line.next_change(), self.table.next_expiry(), self.pinholes.next_expiry())
        return min((time for time in times if time is not None), default=None)

    def reboot(self, *, keep_mappings: bool) -> None:
        """Forget what a gateway forgets in a reboot."""
        if not keep_mappings:
            self.table.clear()
        self.pinholes.clear()
        self.traffic.clear()
        self.default_connection = self.tree.default_connection


def possible_types(service_name: str) -> str:
    """PossibleConnectionTypes, a CSV list."""
    return "IP_Routed" if service_name == "WANIPConnection" else "IP_Routed,PPPoE_Bridged"


def _bit(value: bool) -> str:
    return "1" if value else "0"


def _is_private(text: str) -> bool:
    try:
        return not ipaddress.IPv4Address(text).is_global
    except ValueError:
        return False
