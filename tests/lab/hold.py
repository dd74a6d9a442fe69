"""Holds mappings and pinholes in the lab by the library, and tells what happens, a line of JSON each.

    python -m tests.lab.hold [map:tcp:8081[@LEASE]] [pinhole:tcp:8080[:LEASE]] [gateway=URL]

Ends on SIGTERM, after the farewell.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txigd import ControlPoint, PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.interfaces import IGatewayObserver, IMappingObserver
from txigd.limits import LEASE_SECONDS

reactor: Any = installed


def tell(**facts: object) -> None:
    """One line on standard output."""
    print(json.dumps(facts, default=str), flush=True)


@implementer(IGatewayObserver, IMappingObserver)
class Teller:
    """Tells of gateways, mappings and pinholes."""

    def gateway_found(self, gateway: Any) -> None:
        device = gateway.device
        tell(
            gateway=gateway.location,
            host=gateway.address,
            local=gateway.local_address,
            sightings=[str(location) for location in device.sightings],
        )

    def gateway_lost(self, gateway: Any) -> None:
        tell(lost=gateway.location)

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        address = getattr(new, "internal_client", None)
        tell(held=str(held.wanted), state=new.state.value, reason=new.reason, address=address)


def mapping(text: str) -> PortMapping:
    """``tcp:8080`` or, with a lease, ``tcp:8080@30``."""
    text, _, lease = text.partition("@")
    wanted = PortMapping.from_text(text)
    return replace(wanted, lease_seconds=int(lease)) if lease else wanted


def pinhole(text: str) -> Pinhole:
    """``tcp:8080`` or, with a lease, ``tcp:8080:4``."""
    protocol, port, *lease = text.split(":")
    return Pinhole(protocol, int(port), lease_seconds=int(lease[0]) if lease else LEASE_SECONDS)


async def hold(control_point: ControlPoint, words: list[str]) -> None:
    """Hold what the words say as soon as there is a gateway."""
    gateway = await control_point.gateway(timeout=30)
    gateway.pinholes.observe(Teller())
    gateway.mappings.observe(Teller())
    for word in words:
        kind, _, rest = word.partition(":")
        if kind == "map":
            gateway.mappings.hold(mapping(rest))
        elif kind == "pinhole":
            gateway.pinholes.hold(pinhole(rest))

    def sights() -> None:
        tell(devices=[[str(location) for location in device.sightings] for device in control_point.devices])
        reactor.callLater(1.0, sights)

    sights()


def main(words: list[str]) -> None:
    """Run until SIGTERM."""
    named = next((word.partition("=")[2] for word in words if word.startswith("gateway=")), None)
    control_point = ControlPoint(reactor, gateway=named)
    control_point.observe(Teller())
    control_point.start()
    reactor.addSystemEventTrigger("before", "shutdown", control_point.stop)
    Deferred.fromCoroutine(hold(control_point, words)).addErrback(lambda failure: tell(error=failure.value))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
