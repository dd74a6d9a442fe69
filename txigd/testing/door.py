"""The listening socket of a simulated gateway's web server: bounded, and closed without leaving anything. Thin."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import defer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from txigd.limits import SIMULATED_CONNECTIONS, SIMULATED_REQUEST_OCTETS

IDLE_SECONDS: Final = 60


_Request: Any = Request  # its methods carry no types
_Wrapper: Any = ProtocolWrapper
_Factory: Any = WrappingFactory
_Site: Any = Site


class SizedRequest(_Request):  # type: ignore[misc]
    """A request whose body stays in memory and below the limit; 413 at once for more."""

    _room = 0
    _cut = False

    def gotLength(self, length: int | None) -> None:
        """Choose where the body goes before any of it comes."""
        self._room = SIMULATED_REQUEST_OCTETS
        if length is not None and length > SIMULATED_REQUEST_OCTETS:
            super().gotLength(0)
            self._refuse()
        else:
            super().gotLength(SIMULATED_REQUEST_OCTETS)

    def handleContentChunk(self, data: bytes) -> None:
        """Count what comes."""
        if self._cut:
            return
        self._room -= len(data)
        if self._room < 0:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Answer, unless that was done."""
        if not self._cut:
            super().process()

    def _refuse(self) -> None:
        self._cut = True
        self.channel.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.channel.loseConnection()


class _Connection(_Wrapper):  # type: ignore[misc]
    """Keeps what came first, octet for octet, and in how many pieces."""

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self.heard = b""
        self.pieces = 0

    def dataReceived(self, data: bytes) -> None:
        self.pieces += 1
        if len(self.heard) < SIMULATED_REQUEST_OCTETS:
            self.heard += data
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.left()


class Door(_Factory):  # type: ignore[misc]
    """Takes connections for a resource, at most so many at once.

    :param reactor: listens, and times out what is idle.
    """

    protocol = _Connection
    noisy = False

    def __init__(self, reactor: Any, resource: Any) -> None:
        site: Any = _Site(resource, requestFactory=SizedRequest, timeout=IDLE_SECONDS, reactor=reactor)
        site.log = lambda request: None  # no access log: the gateway keeps its own
        site.noisy = False
        super().__init__(site)
        self._reactor = reactor
        self._port: Any = None
        self._empty: defer.Deferred[None] | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._port.getHost().port)

    def open(self, address: str, port: int) -> None:
        """Listen. :raises CannotListenError: where the port is taken."""
        self._port = self._reactor.listenTCP(port, self, interface=address)

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """Refuse what is too much."""
        if len(self.protocols) >= SIMULATED_CONNECTIONS:
            return None
        return super().buildProtocol(addr)  # type: ignore[no-any-return]

    def left(self) -> None:
        """A connection is gone."""
        if self._empty is not None and not self.protocols:
            self._empty.callback(None)
            self._empty = None

    async def close(self) -> None:
        """Stop listening and cut all connections; ends when the last is gone."""
        port, self._port = self._port, None
        if port is not None:
            await defer.maybeDeferred(port.stopListening)
        if self.protocols:
            self._empty = defer.Deferred()
            for protocol in list(self.protocols):
                protocol.transport.abortConnection()
            await self._empty
