"""The twisted.web side of the callback port: a resource behind a channel of our own that hears NOTIFYs.

The stock channel would write bodies to disk, drop a NOTIFY without a length and never time out a slow peer (Q189,
L7-L9), so the channel here reads with :mod:`txigd.upnp.eventing.request`. It answers before anybody works on the event
(Q175): the event is read and handed over once the answer has left. The checks follow threat C1: peer, Host, method,
path, length, NT and NTS, SID, SEQ, document. Statuses: uda.md 4.2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http, resource, server
from zope.interface import implementer

from txigd import log
from txigd.errors import BadMessage, NotificationRefused
from txigd.limits import (
    CALLBACK_CONNECTIONS,
    CALLBACK_CONNECTIONS_PER_PEER,
    CALLBACK_LINGER_SECONDS,
    CALLBACK_SECONDS,
    NOTIFY_OCTETS,
    NOTIFY_SETTLE_SECONDS,
)
from txigd.upnp.eventing.callback_paths import Authority, CallbackPath, CallbackPaths, plain
from txigd.upnp.eventing.gena import Envelope, read_envelope, read_values
from txigd.upnp.eventing.request import BodyReader, Framing, HeadReader, Progress, RequestHead, framing
from txigd.upnp.url import IPAddress

_log = log.logger("txigd.eventing")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    412: "Precondition Failed",
    421: "Misdirected Request",
    500: "Internal Server Error",
}


def answer(status: int) -> bytes:
    """All that this port ever says: a status and nothing about who says it (C4, C7)."""
    allow = "Allow: NOTIFY\r\n" if status == 405 else ""
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{allow}Content-Length: 0\r\nConnection: close\r\n\r\n".encode(
        "ascii"
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A NOTIFY whose head passed every check."""

    head: RequestHead
    path: CallbackPath
    envelope: Envelope
    how: Framing

    @property
    def large(self) -> bool:
        """Whether the announced length is above the limit already."""
        return self.how.length is not None and self.how.length > NOTIFY_OCTETS


class EventResource(resource.Resource):
    """The one leaf of the site."""

    isLeaf = True

    def __init__(self, paths: CallbackPaths) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._paths = paths

    def screen(self, head: RequestHead, peer: IPAddress, own: Authority) -> Arrival:
        """Judge a head before its body is read, in the order of threat C1.

        :raises NotificationRefused: with the status to answer.
        :raises BadMessage: for a body that cannot be delimited, which is answered 400.
        """
        if not self._paths.is_own(head.values("host"), own):
            raise NotificationRefused(421, "host")  # no name ever (C3, L10); an absolute target fails as a path
        if not head.target.startswith("/") and head.target != "*":
            raise NotificationRefused(421, "host")
        if head.method != "NOTIFY":
            raise NotificationRefused(405, "method")
        path = self._paths.find(head.target)
        if path is None or peer not in path.peers:
            raise NotificationRefused(404, "path")
        how = framing(head)
        envelope = read_envelope(head.headers, lenient=self._paths.lenient)
        if not path.admits(envelope.sid):
            raise NotificationRefused(412, "sid")
        return Arrival(head, path, envelope, how)

    def render(self, request: server.Request) -> bytes:
        """Answer a whole NOTIFY; what becomes of it is decided once the answer has left."""
        notify = cast(NotifyRequest, request)
        outcome = "large" if notify.large else "accepted" if notify.whole else "xml"
        self._paths.counters[outcome] += 1
        notify.setResponseCode(400 if outcome == "xml" else 200)
        return b""


class NotifyRequest(server.Request):
    """A request whose body is in memory already; nothing here ever touches a disk (L7)."""

    channel: NotifyChannel
    whole = False  # the document's end was seen
    large = False

    def processingFailed(self, reason: Failure) -> object:
        """An error of ours is logged and answered without a word about it."""
        _log.failure("NOTIFY could not be answered", reason)
        self.setResponseCode(500)
        self.setHeader(b"content-length", b"0")  # type: ignore[no-untyped-call]
        self.write(b"")  # type: ignore[no-untyped-call]
        self.finish()  # type: ignore[no-untyped-call]
        return reason


@implementer(IHalfCloseableProtocol)
class NotifyChannel(http.HTTPChannel):
    """One connection, one request, one answer, within a deadline (C5, C7, L8)."""

    site: CallbackSite
    requestFactory = NotifyRequest

    def __init__(self, site: CallbackSite, peer: IPAddress) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.site = site
        self.peer = peer
        self._head = HeadReader()
        self._body: BodyReader | None = None
        self._arrival: Arrival | None = None
        self._answered = False
        self._ended = False
        self._deliver: Callable[[], None] | None = None
        self._settling: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    # -- the connection ------------------------------------------------------------------------------------------------

    @property
    def _connection(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def connectionMade(self) -> None:
        self._deadline = self.site.clock.callLater(CALLBACK_SECONDS, self._overdue)
        self._connection.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            return  # read only so that closing does not reset the connection
        try:
            self._take(data)
        except NotificationRefused as refusal:
            self._refuse(refusal.status, refusal.reason)
        except BadMessage as error:
            self._refuse(400, error.reason)

    def readConnectionLost(self) -> None:
        """The peer has sent all; it may still read (Q178: a body that ends at close)."""
        self._ended = True
        if self._answered:
            self._connection.loseConnection()
        elif self._body is not None:
            self._conclude()
        else:
            self._refuse(400, "head")

    def writeConnectionLost(self) -> None:
        """Our answer has left: now there is time for the event."""
        self._release()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for call in (self._deadline, self._settling):
            if call is not None and call.active():
                call.cancel()
        self._release()
        self.site.gone(self)

    def abort(self) -> None:
        """Drop the connection and the event with it."""
        self._deliver = None
        self._answered = True
        self._connection.abortConnection()

    def _overdue(self) -> None:
        if not self._answered:
            self.site.paths.counters["deadline"] += 1
        self._answered = True
        self._connection.abortConnection()

    # -- the request ---------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if self._body is None:
            found = self._head.feed(data)
            if found is None:
                return
            head, data = found
            own = self._connection.getHost()
            address = plain(ipaddress.ip_address(own.host))
            self._arrival = self.site.events.screen(head, self.peer, (address, own.port))
            self._body = BodyReader(self._arrival.how)
            if self._arrival.large:
                self._conclude(large=True)
                return
            if [value.lower() for value in head.values("expect")] == ["100-continue"] and not data:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        progress = self._body.feed(data)
        if progress in (Progress.WHOLE, Progress.LARGE):
            self._conclude(large=progress is Progress.LARGE)
        elif progress is Progress.SETTLING and self._settling is None:
            self._settling = self.site.clock.callLater(NOTIFY_SETTLE_SECONDS, self._conclude)

    def _conclude(self, large: bool = False) -> None:
        """No more octets are waited for: let the resource answer, then deliver."""
        if self._answered:
            return
        assert self._body is not None
        assert self._arrival is not None
        arrival, body = self._arrival, self._body.body
        request = NotifyRequest(self)  # type: ignore[no-untyped-call]
        request.whole, request.large = self._body.closed, large
        if large:
            self._deliver = lambda: arrival.path.on_notify(arrival.envelope, None)
        elif request.whole:
            self._deliver = lambda: self.site.read(arrival, body)
        for name, value in arrival.head.headers:
            request.requestHeaders.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        request.gotLength(0)  # type: ignore[no-untyped-call]
        self.requests.append(request)
        target = arrival.head.target.encode("latin-1")
        request.requestReceived(b"NOTIFY", target, b"HTTP/1.1")  # type: ignore[no-untyped-call]

    # -- the answer ----------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, reason: str) -> None:
        self.site.paths.counters[reason] += 1
        self._connection.write(answer(status))
        self._close()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: object) -> None:
        """Twisted's header set stays unsent: no Server, no Date, no type of nothing."""
        self._connection.write(answer(int(code)))

    def requestDone(self, request: http.Request) -> None:
        del self.requests[:]
        self._close()

    def _close(self) -> None:
        """Close so that the answer arrives: octets unread would turn the close into a reset (Q174)."""
        self._answered = True
        if self._settling is not None and self._settling.active():
            self._settling.cancel()
        if self._ended or (self._body is not None and self._body.drained):
            self._connection.loseConnection()
            return
        self._connection.loseWriteConnection()
        if self._deadline is not None and self._deadline.active():
            left = self._deadline.getTime() - self.site.clock.seconds()
            self._deadline.reset(max(0.0, min(left, CALLBACK_LINGER_SECONDS)))

    def _release(self) -> None:
        deliver, self._deliver = self._deliver, None
        if deliver is not None:
            self.site.later(deliver)


class CallbackSite(server.Site):
    """Builds a channel for a peer that may have something to say, and for nobody else (C5, L11, Q192)."""

    noisy = False

    def __init__(self, paths: CallbackPaths, clock: IReactorTime) -> None:
        self.events = EventResource(paths)
        super().__init__(self.events, requestFactory=NotifyRequest, reactor=clock)  # type: ignore[no-untyped-call]
        self.paths = paths
        self.clock = clock
        self.channels: set[NotifyChannel] = set()
        self._drained: list[Deferred[None]] = []
        self._deliveries: set[IDelayedCall] = set()
        self._stopped = False

    def startFactory(self) -> None:
        """No access log, and no clock that ticks for it."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: http.Request) -> None:
        """A flood must not fill the disk (L6)."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel, or None, upon which the connection is closed without a word."""
        peer = plain(ipaddress.ip_address(cast("IPv4Address | IPv6Address", addr).host))
        if not self.paths.expects(peer):
            self.paths.counters["peer"] += 1
            return None
        of_peer = sum(channel.peer == peer for channel in self.channels)
        if len(self.channels) >= CALLBACK_CONNECTIONS or of_peer >= CALLBACK_CONNECTIONS_PER_PEER:
            self.paths.counters["busy"] += 1
            return None
        channel = NotifyChannel(self, peer)
        channel.factory = self
        self.channels.add(channel)
        return channel

    def gone(self, channel: NotifyChannel) -> None:
        """The connection is closed."""
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._drained = self._drained, []
            for done in waiting:
                done.callback(None)

    def stop(self) -> Deferred[None]:
        """Drop all connections and all events not handed over yet; fires when they are closed."""
        self._stopped = True
        for call in tuple(self._deliveries):
            call.cancel()
        self._deliveries.clear()
        for channel in tuple(self.channels):
            channel.abort()
        if not self.channels:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        return done

    def later(self, deliver: Callable[[], None]) -> None:
        """Call in a later reactor turn, unless the site stops before."""
        if self._stopped:
            return

        def due() -> None:
            self._deliveries.discard(call)
            deliver()

        call = self.clock.callLater(0, due)
        self._deliveries.add(call)

    def read(self, arrival: Arrival, body: bytes) -> None:
        """Read the values of an answered NOTIFY and hand them over; None where they cannot be read."""
        values: Mapping[str, str] | None = None
        try:
            values = read_values(body, arrival.path.names)
        except NotificationRefused as refusal:
            self.paths.counters[refusal.reason] += 1
        arrival.path.on_notify(arrival.envelope, values)
