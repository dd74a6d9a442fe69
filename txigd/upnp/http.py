"""One bounded HTTP exchange with a device: treq's HTTPClient over an IAgent of our own.

Twisted's Agent re-spells header names (Q185), refuses replies that gateways send (Q044, Q186, Q187), and bounds
neither size nor time (L1-L6, L21, L23); treq adds gzip, cookies and redirects. Here goes what the caller gave, spelled
and ordered as given, in one write (Q093), and comes back a :class:`~txigd.upnp.http_reply.Reply` or one declared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from hyperlink import EncodedURL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from txigd.errors import ExchangeError, InvalidArgument
from txigd.interfaces import IExchange
from txigd.limits import HTTP_CONNECT_SECONDS
from txigd.upnp.http_connection import DeviceConnection
from txigd.upnp.http_reply import Reply, ReplyReader
from txigd.upnp.http_request import default_user_agent, request_octets
from txigd.upnp.url import DeviceURL, IPAddress

USER_AGENT: Final = default_user_agent()
_DONE: Any = Failure(ResponseDone())
# the whole answer to these is in the head; some devices keep the connection open behind it
_HEAD_ALONE = frozenset({"SUBSCRIBE", "UNSUBSCRIBE", "HEAD"})


class WireHeaders(Headers):
    """Header fields as pairs that keep their spelling, order and number through all copies.

    Twisted's own view of them stays empty. For a request that keeps off the wire whatever treq and Twisted's wrappers
    add to their copies; for a reply it keeps treq from decoding bodies and collecting cookies, and the device from
    filling Twisted's cache of names.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self.pairs = tuple(pairs)

    def copy(self) -> WireHeaders:
        return WireHeaders(self.pairs)


class LiteralURL(EncodedURL):
    """A URL that treq passes on octet for octet; hyperlink refuses IPv6 literals and rewrites odd paths."""

    def __init__(self, text: str) -> None:
        self._text = text

    def to_uri(self) -> LiteralURL:
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._text


class NoCookies(IndexableCookieJar):
    """Keeps nothing, sends nothing (L21, B3)."""

    def add_cookie_header(self, request: object) -> None:
        """Not done."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Not done."""

    def set_cookie(self, cookie: object) -> None:
        """Not done."""


@implementer(IBodyProducer)
class Octets:
    """A request body that is there already: no cooperator, no file."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._octets)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written by now."""

    def resumeProducing(self) -> None:
        """All is written by now."""

    def stopProducing(self) -> None:
        """All is written by now."""


class _Gathered(list[bytes]):
    """Takes a whole request body, since it must go out in the write that has the head (Q093)."""

    write = list.append


@implementer(IResponse)
class DeviceResponse:
    """A reply that has come in whole: its body is delivered at once, no reader of it can stall or be cut (L2, L23)."""

    version = (b"HTTP", 1, 1)
    previousResponse: IResponse | None = None
    request: IClientRequest | None = None

    def __init__(self, reply: Reply) -> None:
        self.code = reply.status
        self.phrase = reply.reason.encode("latin-1")
        self.headers = WireHeaders(reply.headers)
        self.length = len(reply.body)
        self.local_address = reply.local_address
        self._body = reply.body

    def deliverBody(self, protocol: Any) -> None:
        if self._body:
            protocol.dataReceived(self._body)
        protocol.connectionLost(_DONE)

    def setPreviousResponse(self, response: IResponse) -> None:
        self.previousResponse = response


@implementer(IAgent)
class DeviceAgent:
    """Sends requests to one device, each on a connection of its own.

    :param reactor: offers IReactorTCP and IReactorTime.
    :param device: where to connect; the URI of a request must name the same host and port. The zone of a link-local
        address is here only, it is no part of the URI (Q053).
    :param body_cap: octets of body at most.
    :param seconds: budget of a request, from connect to the last octet of the reply.
    :param user_agent: sent unless the request has a User-Agent of its own.
    :param source: our own address to send from; None leaves it to the system.
    :param on_connection: called with each :class:`DeviceConnection` before it opens.
    """

    def __init__(
        self,
        reactor: Any,
        device: DeviceURL,
        *,
        body_cap: int,
        seconds: float,
        connect_seconds: float = HTTP_CONNECT_SECONDS,
        user_agent: str = USER_AGENT,
        source: IPAddress | None = None,
        on_connection: Callable[[DeviceConnection], object] | None = None,
    ) -> None:
        self._reactor = reactor
        self._device = device
        self._body_cap = body_cap
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._user_agent = user_agent
        self._source = source
        self._on_connection = on_connection

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: Any = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        """Send one request (IAgent).

        :return: Deferred of :class:`DeviceResponse`, which fires when the reply is whole and the connection closed, or
            fails with an :class:`~txigd.errors.ExchangeError` (:class:`~txigd.errors.InvalidArgument` for a request
            that must not be sent). Cancelling aborts the connection.
        """
        if bodyProducer is None:
            return self._send(None, method, uri, headers, [])
        body = _Gathered()
        produced: Deferred[Any] = bodyProducer.startProducing(body)
        return produced.addCallback(self._send, method, uri, headers, body)

    def _send(
        self, _: object, method: bytes, uri: bytes, headers: Headers | None, body: Sequence[bytes]
    ) -> Deferred[IResponse]:
        verb = method.decode("latin-1")
        try:
            octets = request_octets(
                verb, self._target(uri), self._device.authority, self._user_agent, _pairs(headers), b"".join(body)
            )
        except InvalidArgument:
            return fail()
        connection = DeviceConnection(
            self._reactor,
            octets,
            ReplyReader(self._body_cap, no_body=verb in _HEAD_ALONE),
            seconds=self._seconds,
            connect_seconds=self._connect_seconds,
        )
        if self._on_connection is not None:
            self._on_connection(connection)
        connection.open(self._device.host, self._device.port, self._source)
        return connection.done.addCallback(DeviceResponse)

    def _target(self, uri: bytes) -> str:
        scheme, _, rest = uri.decode("latin-1").partition("://")
        authority = self._device.authority
        if scheme.lower() != "http" or not rest.startswith(authority + "/"):
            raise InvalidArgument(f"not a URL of the device at {authority}: {uri[:60]!r}")
        return rest[len(authority) :]


def _pairs(headers: Headers | None) -> Iterable[tuple[str, str]]:
    if isinstance(headers, WireHeaders):
        return headers.pairs
    every = headers.getAllRawHeaders() if headers is not None else ()
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, values in every for value in values]


class _Open(set[DeviceConnection]):
    """The connections that are open, and whether there may be new ones."""

    closed = False


@implementer(IExchange)
class Exchange:
    """The exchanges of one control point.

    :param reactor: offers IReactorTCP and IReactorTime.
    :param user_agent: product tokens, ASCII.
    :param connect_seconds: what a connection may take of an exchange's budget.
    :param source: our own address to send from (Q193); None leaves it to the system.
    :param on_connection: called with each :class:`DeviceConnection` before it opens, to watch its octets.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        user_agent: str = USER_AGENT,
        connect_seconds: float = HTTP_CONNECT_SECONDS,
        source: IPAddress | None = None,
        on_connection: Callable[[DeviceConnection], object] = lambda connection: None,
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._on_connection = on_connection
        self._connect_seconds = connect_seconds
        self._user_agent = user_agent
        self._cookies = NoCookies()
        self._open = _Open()

    def sending_from(self, source: IPAddress) -> Exchange:
        """The exchanges of the same control point that come from one address of ours (Q193); closed with this one."""
        sibling = Exchange(
            self._reactor, user_agent=self._user_agent, connect_seconds=self._connect_seconds, source=source
        )
        sibling._open = self._open
        return sibling

    def request(
        self,
        method: str,
        url: DeviceURL,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        body_cap: int,
        seconds: float,
    ) -> Deferred[Reply]:
        """Send one request on a connection of its own and read the whole reply.

        :return: Deferred of :class:`~txigd.upnp.http_reply.Reply`; fails with
            :class:`~txigd.errors.ConnectFailed`, :class:`~txigd.errors.ExchangeTimeout`,
            :class:`~txigd.errors.ReplyTooLarge`, :class:`~txigd.errors.ReplyRefused` (redirects, codings),
            :class:`~txigd.errors.BadReply`. Cancelling aborts the connection at once.
        """
        if self._open.closed:
            return fail(ExchangeError("the control point is closed"))
        if not (method.isascii() and url.target.isascii()):
            return fail(InvalidArgument(f"cannot be requested: {method[:20]!r} {url.target[:60]!r}"))
        agent = DeviceAgent(
            self._reactor,
            url,
            body_cap=body_cap,
            seconds=seconds,
            connect_seconds=self._connect_seconds,
            user_agent=self._user_agent,
            source=self._source,
            on_connection=self._opened,
        )
        client = HTTPClient(agent, self._cookies, Octets)
        answered: Deferred[Any] = client.request(
            method,
            LiteralURL(url.on_the_wire),
            headers=WireHeaders(headers),
            data=body or None,
            cookies=self._cookies,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        return answered.addCallback(self._read)

    def close(self) -> None:
        """Abort every open exchange; their Deferreds fail, and so does every later request."""
        self._open.closed = True
        for connection in list(self._open):
            connection.abort(ExchangeError("the control point is closed"))

    def _opened(self, connection: DeviceConnection) -> None:
        self._on_connection(connection)
        self._open.add(connection)
        connection.done.addBoth(self._gone, connection)

    def _gone(self, result: Any, connection: DeviceConnection) -> Any:
        self._open.discard(connection)
        return result

    def _read(self, response: Any) -> Deferred[Reply]:
        parts: list[bytes] = []

        def whole(_: object) -> Reply:
            original = response.original
            return Reply(
                original.code,
                original.phrase.decode("latin-1"),
                original.headers.pairs,
                b"".join(parts),
                original.local_address,
            )

        collected: Deferred[Any] = response.collect(parts.append)
        return collected.addCallback(whole)
