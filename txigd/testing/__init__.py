"""A simulated gateway over real sockets, for tests and demonstrations.

>>> gateway = SimulatedGateway(reactor, version=2)      # doctest: +SKIP
>>> await gateway.start()                               # doctest: +SKIP
>>> gateway.location, list(gateway.mappings)            # doctest: +SKIP
"""

from __future__ import annotations

from txigd.testing.entry import Entry as Entry
from txigd.testing.faults import WORDS as FAULTS
from txigd.testing.gateway import SimulatedGateway as SimulatedGateway
from txigd.testing.replay import Received as Received
from txigd.testing.replay import ScriptedDevice as ScriptedDevice
from txigd.testing.rules import Rules as Rules

__all__ = ["FAULTS", "Entry", "Received", "Rules", "ScriptedDevice", "SimulatedGateway"]
