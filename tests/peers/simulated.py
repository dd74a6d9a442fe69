"""``python -m tests.peers.simulated OPTIONS``: a simulated gateway on the link ``lan`` that does what it is told.

OPTIONS are the keywords of SimulatedGateway as JSON. Each line of standard input is a JSON list: a method of the
gateway and its arguments, or ``["state"]``. Each is answered with a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txigd.testing import Rules, SimulatedGateway


def state(gateway: SimulatedGateway, now: float) -> dict[str, Any]:
    """All that a test asks of it."""
    return {
        "location": gateway.location,
        "udn": gateway.udn,
        "problems": gateway.problems,
        "mappings": [
            {
                "protocol": entry.protocol,
                "external_port": entry.external_port,
                "internal_client": entry.internal_client,
                "internal_port": entry.internal_port,
                "description": entry.description,
                "lease": entry.lease_left(now),
            }
            for entry in gateway.mappings
        ],
        "pinholes": [
            {
                "id": unique_id,
                "client": pinhole.internal_client,
                "port": pinhole.internal_port,
                "protocol": pinhole.protocol,
                "remote": pinhole.remote_host,
                "remote_port": pinhole.remote_port,
            }
            for unique_id, pinhole in gateway.state.pinholes
        ],
        "subscribers": [{"service": one.service, "delivered": one.delivered} for one in gateway.subscribers],
        "requests": [
            {
                "method": seen.method,
                "path": seen.path,
                "action": seen.action,
                "arguments": dict(seen.arguments),
                "status": seen.status,
                "error": seen.error,
                "peer": seen.peer,
                "agent": next((value for name, value in seen.headers if name.lower() == "user-agent"), ""),
            }
            for seen in gateway.requests
        ],
    }


class Orders(LineOnlyReceiver):
    """Reads orders, writes answers, and ends with its standard input."""

    delimiter = b"\n"
    MAX_LENGTH = 65536

    def __init__(self, gateway: SimulatedGateway, now: Callable[[], float], gone: Callable[[], None]) -> None:
        self.gateway = gateway
        self.now = now
        self.gone = gone

    def connectionMade(self) -> None:
        self.say(state(self.gateway, self.now()))

    def lineReceived(self, line: bytes) -> None:
        order, *arguments = json.loads(line)
        if order == "state":
            self.say(state(self.gateway, self.now()))
            return
        done = maybeDeferred(getattr(self.gateway, order), *arguments)
        done.addCallbacks(lambda _: self.say("done"), lambda failure: self.say(str(failure.value)))

    def say(self, value: object) -> None:
        self.sendLine(json.dumps(value).encode())

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.gone()


async def serve(reactor: Any, options: str) -> None:
    """Serve until standard input ends."""
    keywords = json.loads(options)
    rules = Rules(**keywords.pop("rules", {}))
    gateway = SimulatedGateway(reactor, **{"link": "lan", "address": "", **keywords}, rules=rules)
    await gateway.start()
    over: Deferred[None] = Deferred()
    StandardIO(Orders(gateway, reactor.seconds, lambda: over.callback(None)))
    await over
    await gateway.stop()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(serve(reactor, sys.argv[1])))
