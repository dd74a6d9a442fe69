"""``python -m tests.peers.application PORT``: what an application does with a gateway; prints JSON lines.

Runs on the client. Each line of standard input is a new external address that is to be waited for.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txigd import ControlPoint, Gateway, PortMapping, WANStatus


class Orders(LineOnlyReceiver):
    """Waits for each address that is asked for."""

    delimiter = b"\n"

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.over: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        wanted = json.loads(line)[0]
        changed = self.gateway.wan.when(lambda status: str(status.external_ip) == wanted, 10)
        changed.addCallbacks(self.told, lambda failure: say({"error": str(failure.value)}))

    def told(self, status: WANStatus) -> None:
        say({"external_ip": str(status.external_ip), "learned": status.learned.value, "connected": status.connected})

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.over.callback(None)


def say(value: object) -> None:
    """One line."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def use(reactor: Any, port: str) -> None:
    """Hold a mapping and follow the WAN until standard input ends."""
    async with ControlPoint(reactor, poll_seconds=600) as point:
        gateway = await point.gateway(timeout=30)
        held = gateway.mappings.hold(PortMapping("TCP", internal_port=int(port), description="application"))
        made = await held.when_active()
        for _ in range(100):
            if set(gateway.eventing.values()) == {"subscribed"}:
                break
            await deferLater(reactor, 0.05)
        entries = await gateway.wan.connection.entries()
        orders = Orders(gateway)
        StandardIO(orders)
        say(
            {
                "name": gateway.friendly_name,
                "external_ip": str(await gateway.external_ip()),
                "external_port": made.external_port,
                "eventing": gateway.eventing,
                "entries": [[e.protocol, e.external_port, e.internal_client, e.internal_port] for e in entries],
            }
        )
        await orders.over


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(use(reactor, sys.argv[1])))
