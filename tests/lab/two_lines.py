"""A simulated gateway with a WANIPConnection and a WANPPPConnection, as a router of the lab.

    python -m tests.lab.two_lines ADDRESS LIVE REQUESTS

LIVE is ``IP`` or ``PPP``; each call's path and action are appended to the file REQUESTS, a line each.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, react

from txigd.testing import SimulatedGateway


async def main(reactor: Any, address: str, live: str, requests: str) -> None:
    """Serve until ended."""
    gateway = SimulatedGateway(
        reactor, version=1, address=address, link="lan", relay=False, connection=f"both-with-{live}-live"
    )
    await gateway.start()
    file = Path(requests)

    def write() -> None:
        calls = [f"{seen.path} {seen.action}\n" for seen in gateway.requests if seen.action]
        file.write_text("".join(calls), encoding="ascii")

    await_end: Deferred[None] = Deferred()
    LoopingCall(write).start(0.05)
    print("ready", flush=True)
    await await_end


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, *sys.argv[1:])))
