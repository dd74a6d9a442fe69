"""A server of raw octets on loopback for tests: it keeps what it got and runs a script on each connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txigd.upnp.url import DeviceURL, parse

reactor: Any = installed


class RawConnection(Protocol):
    """One connection; ``alive`` until either side ended it."""

    factory: RawServer
    transport: Any

    def __init__(self) -> None:
        self.got = b""
        self.sent = 0
        self.alive = True
        self._asked = False
        self._timers: list[Any] = []

    def connectionMade(self) -> None:
        self.factory.connections.append(self)
        if self.factory.at_once:
            self._run()

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        head, blank, body = self.got.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head) and not self._asked:
            self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.alive = False
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self.factory.gone()

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        self.transport.write(data)

    def close(self) -> None:
        self.transport.loseConnection()

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Run ``call`` in a while if the connection still lives then."""
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(reactor.callLater(seconds, call))

    def endlessly(self, data: bytes, seconds: float | None = None) -> None:
        """Send ``data`` again and again, as fast as it goes or every so often."""
        if seconds is None:
            self.transport.registerProducer(_Endless(self, data), False)
        else:
            self.send(data)
            self.later(seconds, lambda: self.endlessly(data, seconds))

    def _run(self) -> None:
        self._asked = True
        self.factory.script(self)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class _Endless:
    """A pull producer that never ends."""

    def __init__(self, connection: RawConnection, data: bytes) -> None:
        self._connection = connection
        self._data = data

    def resumeProducing(self) -> None:
        self._connection.send(self._data)

    def stopProducing(self) -> None:
        """The connection is gone."""


class RawServer(Factory):
    """Runs ``script(connection)`` when a whole request has come, or on connecting with ``at_once``.

    A script that is octets is an answer, sent before the connection is closed.
    """

    protocol: Any = RawConnection
    noisy = False

    def __init__(
        self, script: Callable[[RawConnection], object] | bytes, *, at_once: bool = False, interface: str = "127.0.0.1"
    ) -> None:
        self.script = answer(script) if isinstance(script, bytes) else script
        self.at_once = at_once
        self.connections: list[RawConnection] = []
        self._waiting: list[Deferred[None]] = []
        self.port = reactor.listenTCP(0, self, interface=interface)

    def url(self, target: str = "/ctl/IPConn") -> DeviceURL:
        host = self.port.getHost()
        return parse(f"http://{f'[{host.host}]' if ':' in host.host else host.host}:{host.port}{target}")

    @property
    def requests(self) -> list[bytes]:
        return [connection.got for connection in self.connections]

    def all_gone(self) -> Deferred[None]:
        """Fires when no connection lives; a test that waits in vain runs into its time limit."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self.gone()
        return waiting

    def gone(self) -> None:
        if not any(connection.alive for connection in self.connections):
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    async def stop(self) -> None:
        await self.port.stopListening()
        for connection in self.connections:
            if connection.alive:
                connection.transport.abortConnection()
        await self.all_gone()


def timers() -> list[Any]:
    """The timers that run, the test's own time limit apart."""
    return [call for call in reactor.getDelayedCalls() if "onTimeout" not in repr(call)]


def answer(octets: bytes) -> Callable[[RawConnection], object]:
    def script(connection: RawConnection) -> None:
        connection.send(octets)
        connection.close()

    return script
