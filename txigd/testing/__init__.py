"""A simulated gateway over real sockets, for tests and demonstrations.

>>> gateway = SimulatedGateway(reactor, version=2)      # doctest: +SKIP
>>> await gateway.start()                               # doctest: +SKIP
>>> gateway.location, list(gateway.mappings)            # doctest: +SKIP
"""

from __future__ import annotations

import sys

from txigd.testing.entry import Entry as Entry
from txigd.testing.faults import WORDS as FAULTS
from txigd.testing.gateway import SimulatedGateway as SimulatedGateway
from txigd.testing.model import Model as Model
from txigd.testing.quirks import QUIRKS as QUIRKS
from txigd.testing.replay import Received as Received
from txigd.testing.replay import ScriptedDevice as ScriptedDevice
from txigd.testing.reported import ReportedGateway as ReportedGateway
from txigd.testing.rules import Rules as Rules

__all__ = [
    "FAULTS",
    "QUIRKS",
    "WAN_ADDRESS",
    "Entry",
    "Model",
    "Received",
    "ReportedGateway",
    "Rules",
    "ScriptedDevice",
    "SimulatedGateway",
]

# A WAN side of its own, where the system has one: a mapping from a port to the same port then leads to the server on
# 127.0.0.1 and not back to the relay.
WAN_ADDRESS = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
