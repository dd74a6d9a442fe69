"""``python -m tests.sample_world LINK STEPS COMMAND...``: one program in a LAN of its own, with a simulated gateway.

Run inside a fresh network namespace (``unshare -Urn``). With an empty LINK nobody finds the gateway. STEPS is JSON:
pairs of a pattern to wait for in what the program says, and what then happens: a verb of the gateway with its
arguments, or a signal for the program.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater, react

from tests.child import Child
from txigd.testing import WAN_ADDRESS, SimulatedGateway

LINK, GATEWAY, HOST = "lan", "192.168.1.1", "192.168.1.2"
SIGNALS = ("INT", "TERM")


def make_links(link: str) -> None:
    """Loopback, and on request a LAN that has nobody but this host at two addresses."""
    commands = ["link set lo up"]
    if link == LINK:
        commands += [
            f"link add {LINK} type veth peer name {LINK}-end",
            f"link set {LINK}-end up",
            f"link set {LINK} up",
            f"addr add {HOST}/24 dev {LINK}",
            f"addr add {GATEWAY}/24 dev {LINK}",
        ]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, timeout=20)


class _Case:
    """What :class:`tests.child.Child` wants of a test case."""

    def addCleanup(self, function: Any) -> None:
        self.clean_up = function


async def observed(reactor: Any, router: SimulatedGateway) -> None:
    """Until somebody subscribed, and heard the initial events."""
    while not router.subscribers:
        await deferLater(reactor, 0.05)
    await deferLater(reactor, 1)


async def echoed(reactor: Any, router: SimulatedGateway) -> None:
    """Bytes come back through the mapping of TCP 8080."""
    heard: Deferred[bytes] = Deferred()
    client: Any = Protocol()
    client.dataReceived = heard.callback
    await connectProtocol(TCP4ClientEndpoint(reactor, WAN_ADDRESS, 8080, timeout=5), client)
    client.transport.write(b"hello")
    assert await heard.addTimeout(5, reactor) == b"hello"
    client.transport.loseConnection()


ACTIONS = {"observed": observed, "echoed": echoed}


async def main(reactor: Any, link: str, steps: list[list[str]], command: list[str]) -> None:
    router = SimulatedGateway(
        reactor,
        link=link or "lo",
        address=GATEWAY if link == LINK else "127.0.0.1",
        wan_address=WAN_ADDRESS,
        ssdp=bool(link),  # a program that brings its own gateway is not to find ours
    )
    await router.start()
    case: Any = _Case()
    child = Child(case, command)
    try:
        for pattern, action in steps:
            await child.says(pattern)
            name, *arguments = action.split()
            if name in SIGNALS:
                child.signal(name)
            elif name in ACTIONS:
                await ACTIONS[name](reactor, router)
            else:
                done = getattr(router, name)(*arguments)
                if isinstance(done, Deferred):
                    await done
        status = await child.end()
    finally:
        left = [f"{entry.protocol} {entry.external_port}" for entry in router.mappings]
        subscribers = len(router.subscribers)
        await maybeDeferred(case.clean_up)
        await router.stop()
    print(
        json.dumps({"status": status, "out": child.out, "err": child.err, "mappings": left, "subscribers": subscribers})
    )


if __name__ == "__main__":
    make_links(sys.argv[1])
    react(main, (sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]))
