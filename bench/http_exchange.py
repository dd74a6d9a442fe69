"""What one HTTP exchange costs: ours, stock treq, and a bare protocol, on loopback in one process.

    python bench/http_exchange.py [calls per round] [rounds]

The three take turns round by round, so that a busy machine slows all of them alike; the median of the rounds counts.
The server's share is in every figure. ``agent`` is our agent without treq around it, so the line above it minus that
line is what treq's own machinery costs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from treq.client import HTTPClient
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.client import Agent

from txigd.upnp.http import DeviceAgent, Exchange, Octets, WireHeaders
from txigd.upnp.url import DeviceURL, parse

SAMPLES = Path(__file__).resolve().parent.parent / "tests" / "messages"
REPLY = (SAMPLES / "soap-GetExternalIPAddress-response.http").read_bytes()
BODY = (SAMPLES / "soap-GetExternalIPAddress-request.http").read_bytes().partition(b"\r\n\r\n")[2]
ACTION = ("SOAPACTION", '"urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress"')
TYPE = ("CONTENT-TYPE", 'text/xml; charset="utf-8"')


class Gateway(Protocol):
    """Answers when the request has come, and closes."""

    def __init__(self) -> None:
        self._come = b""

    def dataReceived(self, data: bytes) -> None:
        self._come += data
        if self._come.endswith(BODY):
            self.transport.write(REPLY)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]


class Bare(Protocol):
    """The least that could be done: write, collect, no checks."""

    def __init__(self, request: bytes) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._request = request
        self._come: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.write(self._request)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self._come.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(b"".join(self._come))


class BareFactory(ClientFactory):
    noisy = False

    def __init__(self, bare: Bare) -> None:
        self._bare = bare

    def buildProtocol(self, addr: object) -> Bare:
        return self._bare


def contestants(reactor: Any, url: DeviceURL) -> dict[str, Callable[[], Awaitable[Any]]]:
    exchange = Exchange(reactor)
    stock = HTTPClient(Agent(reactor), data_to_body_producer=Octets)
    request = (
        f"POST {url.target} HTTP/1.1\r\nHOST: {url.authority}\r\n{TYPE[0]}: {TYPE[1]}\r\n{ACTION[0]}: {ACTION[1]}\r\n"
        f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    ).encode() + BODY

    async def ours() -> None:
        reply = await exchange.request("POST", url, (TYPE, ACTION), BODY, body_cap=65536, seconds=10.0)
        assert reply.body

    async def agent() -> None:
        device = DeviceAgent(reactor, url, body_cap=65536, seconds=10.0)
        response = await device.request(b"POST", str(url).encode(), WireHeaders((TYPE, ACTION)), Octets(BODY))
        assert response.code == 200

    async def treq() -> None:
        headers: Any = {TYPE[0]: TYPE[1], ACTION[0]: ACTION[1]}
        response = await stock.request("POST", str(url), headers=headers, data=BODY, allow_redirects=False)
        assert await response.content()

    async def bare() -> None:
        protocol = Bare(request)
        reactor.connectTCP(str(url.host), url.port, BareFactory(protocol))
        assert await protocol.done

    return {"txigd Exchange": ours, "txigd DeviceAgent": agent, "treq over Agent": treq, "bare protocol": bare}


async def main(reactor: Any, calls: str = "300", rounds: str = "9") -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Gateway), interface="127.0.0.1")
    url = parse(f"http://127.0.0.1:{port.getHost().port}/ctl/IPConn")
    every = contestants(reactor, url)
    walls: dict[str, list[float]] = {name: [] for name in every}
    cpus: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(int(rounds) + 1):
        for name, call in every.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(int(calls)):
                await call()
            if turn:  # the first round warms up
                walls[name].append((time.perf_counter() - wall) / int(calls) * 1e3)
                cpus[name].append((time.process_time() - cpu) / int(calls) * 1e3)
    base = statistics.median(cpus["bare protocol"])
    print(f"{'':20} {'wall ms':>8} {'cpu ms':>8} {'ratio':>6} {'over bare':>10}   ({calls} calls x {rounds} rounds)")
    for name in every:
        cpu = statistics.median(cpus[name])
        print(f"{name:20} {statistics.median(walls[name]):8.3f} {cpu:8.3f} {cpu / base:6.2f} {cpu - base:+10.3f}")
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor, *words: ensureDeferred(main(reactor, *words)), sys.argv[1:], installed)
