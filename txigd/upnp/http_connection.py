"""One TCP connection that carries one request to a device and its reply back, within a deadline.

The Deferred fires when the connection is gone, so nothing of an exchange outlives it: no socket, no timer, and the next
call to a gateway that can serve one connection only finds it free (Q103).

A connection that does not come about soon is begun anew: the kernel repeats a lost SYN after a second only. Nothing was
sent by then, so this is good for every request.

Sources: threats B1, B2, L1-L3, L23; faults F40, F41, F46.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from txigd.errors import ConnectFailed, ExchangeError, ExchangeTimeout
from txigd.limits import HTTP_AGAIN_SECONDS, HTTP_SETTLE_SECONDS
from txigd.upnp.http_reply import Reply, ReplyReader
from txigd.upnp.url import IPAddress, unmapped, with_zone

_TIMEOUTS = (error.TimeoutError, error.TCPTimedOutError)  # ours, the kernel's


class DeviceConnection(Protocol):
    """Sends ``octets`` in one write, feeds what comes to ``reader``, and closes.

    :param reactor: offers IReactorTCP and IReactorTime.
    :param seconds: from now to the last octet of the reply.
    :param connect_seconds: of these, what the connection itself may take, however often it is begun.

    ``done`` fires with a :class:`Reply` or an :class:`ExchangeError`; cancelling it aborts the connection.

    :ivar tap: called with every piece of the reply as it comes from the socket, before anything is made of it.
    """

    transport: Any  # ITCPTransport
    tap: Callable[[bytes], object] | None = None

    def __init__(
        self, reactor: Any, octets: bytes, reader: ReplyReader, *, seconds: float, connect_seconds: float
    ) -> None:
        self.done: Deferred[Reply] = Deferred(self._cancelled)
        self._reactor = reactor
        self._octets = octets
        self._reader = reader
        self._ends: float = reactor.seconds() + seconds
        self._timer = reactor.callLater(min(seconds, connect_seconds), self._expired)
        self._connector: Any = None
        self._where: tuple[str, int, tuple[str, int] | None] = "", 0, None  # host, port, our own address
        self._begun = 0
        self._told = False
        self._outcome: Reply | ExchangeError | None = None
        self._zone = ""
        self._local: IPAddress | None = None

    @property
    def sent(self) -> bytes:
        """The whole request."""
        return self._octets

    def open(self, host: IPAddress, port: int, source: IPAddress | None = None) -> None:
        """Connect to the literal address; no name is ever resolved, a zone goes to the socket only."""
        self._zone = getattr(host, "scope_id", None) or ""
        self._where = str(host), port, None if source is None else (str(source), 0)
        self._begin()

    def _begin(self) -> None:
        host, port, source = self._where
        soon = HTTP_AGAIN_SECONDS[self._begun : self._begun + 1]  # none for the last one: it has all that is left
        self._begun += 1
        try:
            self._connector = self._reactor.connectTCP(
                host, port, _SingleConnection(self), timeout=min([self._left(), *soon]), bindAddress=source
            )
        except OSError as failed:
            # the zone names no interface
            self._outcome = ConnectFailed(f"no way to {host}: {failed.strerror}")
            self._outcome.__cause__ = failed
            self._fire()

    def abort(self, why: ExchangeError) -> None:
        """End the exchange with ``why`` now, unless it has its outcome already."""
        if self._outcome is None:
            self._outcome = why
        if self.transport is not None:
            self.transport.abortConnection()
        elif self._connector is not None:
            self._connector.stopConnecting()

    # -- from the reactor ------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport = self.transport
        host = getattr(transport.getHost(), "host", None)
        if host is not None:
            # what serves as our address there needs the same zone as the device's
            self._local = with_zone(unmapped(ipaddress.ip_address(host)), self._zone)
        self._timer.reset(self._left())
        # the tail of a body longer than one segment must not wait for the device's delayed acknowledgement
        transport.setTcpNoDelay(True)
        transport.write(self._octets)

    def dataReceived(self, data: bytes) -> None:
        if self.tap is not None:
            self.tap(data)
        if self._outcome is not None:
            return
        try:
            complete = self._reader.feed(data)
        except ExchangeError as wrong:
            self.abort(wrong)
            return
        if complete:
            self._outcome = self._reply()
            self.transport.loseConnection()
        elif self._reader.settled:
            self._timer.reset(min(HTTP_SETTLE_SECONDS, self._left()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._outcome is None:
            try:
                self._reader.finish(clean=isinstance(reason.value, error.ConnectionDone))
            except ExchangeError as wrong:
                self._outcome = wrong
            else:
                self._outcome = self._reply()
        self._fire()

    def connection_failed(self, reason: Failure) -> None:
        """The connection did not come about."""
        if self._outcome is None:
            if isinstance(reason.value, error.TimeoutError) and self._begun <= len(HTTP_AGAIN_SECONDS) and self._left():
                self._begin()
                return
            late = isinstance(reason.value, _TIMEOUTS)
            number = getattr(reason.value, "osError", None)
            text = os.strerror(number) if number and not late else reason.getErrorMessage().rstrip(".")
            self._outcome = ExchangeTimeout(text, asked=False) if late else ConnectFailed(text)
            self._outcome.__cause__ = reason.value
        self._fire()

    # -- within ----------------------------------------------------------------------------------------------------

    def _left(self) -> float:
        now: float = self._reactor.seconds()
        return max(0.0, self._ends - now)

    def _reply(self) -> Reply:
        reader = self._reader
        return Reply(reader.status, reader.reason, tuple(reader.headers), reader.body, self._local)

    def _expired(self) -> None:
        # L23: what a guard cuts is a success only where the reply is whole but for its framing
        if self._outcome is None and self._reader.settled:
            self._outcome = self._reply()
        asked = self.transport is not None
        self.abort(ExchangeTimeout("no whole reply in time" if asked else "no connection in time", asked=asked))

    def _cancelled(self, done: Deferred[Reply]) -> None:
        self._told = True  # the Deferred itself tells of a cancellation
        self.abort(ExchangeError("cancelled"))

    def _fire(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        outcome = self._outcome
        if self._told or outcome is None:
            return
        self._told = True
        if isinstance(outcome, Reply):
            self.done.callback(outcome)
        else:
            self.done.errback(outcome)


class _SingleConnection(ClientFactory):
    """Hands out the one protocol instance."""

    noisy = False

    def __init__(self, connection: DeviceConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: IAddress | None) -> DeviceConnection:
        return self._connection

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._connection.connection_failed(reason)
