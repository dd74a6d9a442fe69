"""One HTTP request as raw octets, and a server that collects NOTIFYs: no code of the package under test."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

reactor: Any = _reactor


class Answer:
    """Status, header fields with lower-case names, and body."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if raw.startswith(b"HTTP/") else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


class _Asking(Protocol):
    transport: Any

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.heard = b""
        self.done: defer.Deferred[bytes] = defer.Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        self.transport.write(self.octets)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(self.heard)


async def ask(port: int, octets: bytes, *, address: str = "127.0.0.1", seconds: float = 60) -> Answer:
    """Send octets, read until the other side closes."""
    asking = _Asking(octets)
    await connectProtocol(TCP4ClientEndpoint(reactor, address, port), asking)
    return Answer(await asking.done.addTimeout(seconds, reactor))


def request(method: str, path: str, port: int, *fields: str, body: bytes = b"") -> bytes:
    """A request; each of ``fields`` is ``"NAME: value"``."""
    length = [f"CONTENT-LENGTH: {len(body)}"] if body else []
    return (
        "\r\n".join([f"{method} {path} HTTP/1.1", f"HOST: 127.0.0.1:{port}", *fields, *length, "", ""]).encode() + body
    )


class Collector(Factory):
    """Listens like a control point's callback server; ``heard`` gives raw NOTIFYs in their order of arrival.

    ``answer`` is what each gets; empty: the connection is closed without.
    """

    noisy = False

    def __init__(self) -> None:
        self.heard: defer.DeferredQueue[bytes] = defer.DeferredQueue()
        self.peers: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self.listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port = self.listening.getHost().port

    def buildProtocol(self, addr: Any) -> Protocol:
        self.peers.append(addr.host)
        return _Collecting(self)

    def stop(self) -> Any:
        return self.listening.stopListening()


class _Collecting(Protocol):
    transport: Any

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if end:
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            if len(body) >= length:
                self.collector.heard.put(self.data)
                self.transport.write(self.collector.answer)
                self.transport.loseConnection()
