"""What can be set at a simulated gateway beside its line and its mappings: the link of its medium, and its LAN. Pure.

Knows values by service and state variable, not the actions that read and set them. What follows from the line (the
status of the link) is not kept here. Sources: the templates of the link services and of LANHostConfigManagement:1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from txigd.testing.template import Value
from txigd.testing.tree import Tree

DSL: Final = "WANDSLLinkConfig"
CABLE: Final = "WANCableLinkConfig"
POTS: Final = "WANPOTSLinkConfig"
LAN: Final = "LANHostConfigManagement"

# What a gateway has out of its box.
_FACTORY: Final[Mapping[str, Mapping[str, Value]]] = {
    DSL: {
        "LinkType": "EoA",
        "ModulationType": "ADSL",
        "DestinationAddress": "PVC: 8/35",
        "ATMEncapsulation": "LLC",
        "FCSPreserved": False,
        "AutoConfig": False,
    },
    CABLE: {
        "LinkType": "Ethernet",
        "DownstreamFrequency": 603_000_000,
        "DownstreamModulation": "256QAM",
        "UpstreamFrequency": 36_000_000,
        "UpstreamModulation": "16QAM",
        "UpstreamChannelID": 3,
        "UpstreamPowerLevel": 40,
        "BPIEncryptionEnabled": True,
        "ConfigFile": "modem.cfg",
        "TFTPServer": "192.0.2.69",
    },
    POTS: {
        "ISPPhoneNumber": "0191011",
        "ISPInfo": "Simulated provider",
        "LinkType": "PPP_Dialup",
        "NumberOfRetries": 3,
        "DelayBetweenRetries": 30,
        "Fclass": "0,1,2.0",
        "DataModulationSupported": "V90",
        "DataProtocol": "V42_LAPM",
        "DataCompression": "V42bis",
        "PlusVTRCommandSupported": False,
    },
    LAN: {
        "DHCPServerConfigurable": True,
        "DHCPRelay": False,
        "SubnetMask": "255.255.255.0",
        "IPRouters": "192.168.1.1",
        "DNSServers": "192.168.1.1",
        "DomainName": "home.arpa",
        "MinAddress": "192.168.1.20",
        "MaxAddress": "192.168.1.199",
        "ReservedAddresses": "",
    },
}
# Of a link that dials: the variable with what it dials, and what that must look like (708).
_DIALLED: Final = {
    DSL: ("DestinationAddress", re.compile(r"PVC: ?[0-9]{1,4}/[0-9]{1,5}|SVC: ?\S+", re.IGNORECASE)),
    POTS: ("ISPPhoneNumber", re.compile(r"[0-9*#+][0-9*#,. ()A-DTPW-]*", re.IGNORECASE)),
}


class Settings:
    """The values of one gateway, of each service of its tree that has such. They outlast a reboot."""

    def __init__(self, tree: Tree) -> None:
        self._values = {key: dict(_FACTORY[node.name]) for key, node in tree.services.items() if node.name in _FACTORY}
        if tree.live_service.name == "WANPPPConnection" and DSL in self._values:
            self._values[DSL]["LinkType"] = "PPPoE"

    def of(self, service_key: str) -> dict[str, Value]:
        """The values of a service by state variable, to read and to change; empty for one that has none."""
        return self._values.get(service_key, {})

    @property
    def auto_config(self) -> bool:
        """Whether the modem configures itself, so that nobody else may (719)."""
        return bool(self.of(DSL).get("AutoConfig", False))

    def can_dial(self, connection_key: str) -> bool:
        """Whether the link beside a connection service has an address or number that it can reach."""
        number = connection_key.partition("#")[1:]
        for name, (variable, form) in _DIALLED.items():
            values = self.of(name + "".join(number))
            if values and not form.fullmatch(str(values[variable])):
                return False
        return True
