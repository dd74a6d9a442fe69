"""A scripted device: answers requests with given octets, byte for byte, and closes. Thin.

For devices of which captures exist: what they sent is sent again, what they were sent is kept as it came. Nothing here
understands the replies; the reading of a request ends at its Content-Length.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from txigd.limits import SIMULATED_CONNECTIONS, SIMULATED_REQUEST_OCTETS, SIMULATED_REQUESTS

Matcher = str | Callable[["Received"], bool]
Reply = bytes | None | Sequence["bytes | None"] | Callable[["Received"], "bytes | None"]

NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_LENGTH: Final = re.compile(rb"^content-length\s*:\s*([0-9]{1,9})", re.IGNORECASE | re.MULTILINE)
_END: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. ``raw`` is all of it."""

    raw: bytes

    @property
    def line(self) -> str:
        """The request line."""
        return self.raw.partition(b"\n")[0].strip().decode("latin-1")

    @property
    def head(self) -> bytes:
        """Request line and headers, without the blank line."""
        return _END.split(self.raw, 1)[0]

    @property
    def body(self) -> bytes:
        """What stands behind the blank line."""
        return self.raw[len(self.raw) if (end := _END.search(self.raw)) is None else end.end() :]

    def header(self, name: str) -> str:
        """The value of a header field, any case; empty without."""
        found = re.search(rb"^" + re.escape(name.encode()) + rb"\s*:[ \t]*([^\r\n]*)", self.head, re.I | re.M)
        return found[1].strip().decode("latin-1") if found else ""

    @property
    def action(self) -> str:
        """The action that SOAPACTION names; empty without."""
        return self.header("SOAPACTION").strip('"').rpartition("#")[2]


class ScriptedDevice:
    """An HTTP server of prepared answers.

    ::

        device = ScriptedDevice(reactor, {
            "GET /rootDesc.xml": description_bytes,
            "POST /ctl AddPortMapping": [first_reply, second_reply],
        })
        device.open()

    :param replies: from matchers to replies, tried in order. A matcher is ``"METHOD PATH"``, ``"METHOD PATH ACTION"``
        or a function of :class:`Received`. A reply is the octets to send; None to never answer; a sequence to go
        through, its last staying; or a function that gives the octets.
    :param address: listened on.
    :param drip: octets per write, one write per reactor turn; 0 for all at once.
    :ivar received: the requests, bounded.
    """

    def __init__(
        self,
        reactor: Any,
        replies: Mapping[Matcher, Reply],
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        drip: int = 0,
    ) -> None:
        self.replies = dict(replies)
        self.address = address
        self.received: deque[Received] = deque(maxlen=SIMULATED_REQUESTS)
        self.drip = drip
        self._reactor = reactor
        self._wanted_port = port
        self._port: Any = None
        self._turns: dict[Matcher, int] = {}
        self._open: set[_Scripted] = set()
        self._empty: defer.Deferred[None] | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._port.getHost().port)

    @property
    def origin(self) -> str:
        """``http://ADDRESS:PORT``."""
        return f"http://{self.address}:{self.port}"

    def open(self) -> None:
        """Listen. :raises CannotListenError: where the port is taken."""
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._protocol  # type: ignore[method-assign]
        self._port = self._reactor.listenTCP(self._wanted_port, factory, interface=self.address)

    def close(self) -> defer.Deferred[None]:
        """Stop listening and cut all connections; fires when the last is gone."""
        return defer.ensureDeferred(self._close())

    async def _close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await defer.maybeDeferred(port.stopListening)
        if self._open:
            self._empty = defer.Deferred()
            for connection in tuple(self._open):
                connection.abort()
            await self._empty

    def reply_to(self, request: Received) -> bytes | None:
        """What is answered to a request, without sending it; a sequence moves on."""
        for matcher, reply in self.replies.items():
            if not _matches(matcher, request):
                continue
            if reply is None or isinstance(reply, bytes):
                return reply
            if callable(reply):
                return reply(request)
            turn = self._turns.get(matcher, 0)
            self._turns[matcher] = turn + 1
            return reply[min(turn, len(reply) - 1)]
        return NOT_FOUND

    def _protocol(self, addr: Any) -> Protocol | None:
        return _Scripted(self) if len(self._open) < SIMULATED_CONNECTIONS else None

    def entered(self, connection: _Scripted) -> None:
        """A connection came."""
        self._open.add(connection)

    def left(self, connection: _Scripted) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if self._empty is not None and not self._open:
            self._empty.callback(None)
            self._empty = None

    def later(self, what: Callable[[], None]) -> Any:
        """Do it in a later turn of the reactor."""
        return self._reactor.callLater(0, what)


def _matches(matcher: Matcher, request: Received) -> bool:
    if callable(matcher):
        return matcher(request)
    method, _, rest = matcher.partition(" ")
    path, _, action = rest.partition(" ")
    line = request.line.split(" ")
    return line[:2] == [method, path] and (not action or request.action == action)


class _Scripted(Protocol):
    """One connection: one request, one reply, closed."""

    def __init__(self, device: ScriptedDevice) -> None:
        self._device = device
        self._heard = b""
        self._left = b""
        self._answered = False
        self._next: Any = None

    def connectionMade(self) -> None:
        self._device.entered(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._device.left(self)

    def abort(self) -> None:
        """Cut it."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            return
        self._heard += data
        if len(self._heard) > SIMULATED_REQUEST_OCTETS:
            self.abort()
            return
        end = _END.search(self._heard)
        if end is None:
            return
        length = _LENGTH.search(self._heard, 0, end.start())
        if len(self._heard) - end.end() < (int(length[1]) if length else 0):
            return
        self._answered = True
        request = Received(self._heard)
        self._device.received.append(request)
        reply = self._device.reply_to(request)
        if reply is not None:
            self._left = reply
            self._write()

    def _write(self) -> None:
        assert self.transport is not None
        size = self._device.drip or len(self._left)
        piece, self._left = self._left[:size], self._left[size:]
        self.transport.write(piece)
        if self._left:
            self._next = self._device.later(self._write)
        else:
            self.transport.loseConnection()
