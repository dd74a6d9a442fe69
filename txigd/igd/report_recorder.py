"""The wires of a support report: what goes over HTTP, what SSDP says, what is called back, octet for octet. Thin.

Knows sockets and the octets on them, nothing of their meaning. Everything is bounded: what is too much is cut, and said
to be.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from txigd.igd.report import Datagram, Event, Exchanged
from txigd.limits import (
    CALLBACK_SECONDS,
    NOTIFY_OCTETS,
    REPORT_CONNECTIONS,
    REPORT_DATAGRAMS,
    REPORT_EVENTS,
    REPORT_EXCHANGES,
    REPORT_RAW_OCTETS,
    REPORT_RECORD_OCTETS,
    SEARCH_MX,
    SEARCH_OFFSETS_SECONDS,
    SSDP_PORT,
)
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.discovery import searches
from txigd.upnp.discovery.message import ALL
from txigd.upnp.discovery.ports import Ports
from txigd.upnp.discovery.sockets import Endpoint, Role
from txigd.upnp.discovery.targets import IGD_TARGETS
from txigd.upnp.http_connection import DeviceConnection
from txigd.upnp.url import DeviceURL, IPAddress, unmapped, without_zone

_END: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(rb"^content-length\s*:\s*([0-9]{1,9})", re.IGNORECASE | re.MULTILINE)
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class _Watched:
    """One exchange under way."""

    at: float
    sent: bytes
    received: bytearray
    seconds: float = 0.0
    whole: bool = True


class ExchangeRecorder:
    """Keeps the octets of exchanges: ``Exchange(..., on_connection=recorder.watch)``."""

    def __init__(self, clock: Any, began: float) -> None:
        self._clock = clock
        self._began = began
        self._room = REPORT_RAW_OCTETS
        self._watched: list[_Watched] = []

    def watch(self, connection: DeviceConnection) -> None:
        """Keep what goes over this connection."""
        if len(self._watched) >= REPORT_EXCHANGES:
            return
        began = self._clock.seconds()
        one = _Watched(began - self._began, connection.sent[:REPORT_RECORD_OCTETS], bytearray())
        self._watched.append(one)

        def take(data: bytes) -> None:
            room = max(0, min(self._room, REPORT_RECORD_OCTETS - len(one.received)))
            one.received += data[:room]
            one.whole = one.whole and len(data) <= room
            self._room -= min(room, len(data))

        def over(result: Any) -> Any:
            one.seconds = self._clock.seconds() - began
            return result

        connection.tap = take
        connection.done.addBoth(over)

    def take(self) -> tuple[Exchanged, ...]:
        """The exchanges since the last call."""
        watched, self._watched = self._watched, []
        return tuple(
            Exchanged(round(one.at, 3), round(one.seconds, 3), one.sent, bytes(one.received), one.whole)
            for one in watched
        )


class DatagramRecorder:
    """Searches on all links and keeps what comes, each text once.

    :param hosts: asked by unicast as well.
    """

    def __init__(self, reactor: Any, began: float, *, links: Sequence[Link], user_agent: str) -> None:
        self._reactor = reactor
        self._began = began
        self._links = tuple(links)
        self._user_agent = user_agent
        self._heard: dict[tuple[str, str, bytes], Datagram] = {}
        self._calls: list[Any] = []
        self._ports = Ports(reactor, self._received, lambda endpoints: None)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be opened or sent."""
        return self._ports.problems

    @property
    def datagrams(self) -> tuple[Datagram, ...]:
        """What came so far, in order."""
        return tuple(self._heard.values())

    def start(self, hops: Sequence[NextHop] = ()) -> None:
        """Search, three times as discovery does; next hops by unicast too, and for everything."""
        self._ports.follow(self._links)
        for seconds in SEARCH_OFFSETS_SECONDS:
            self._calls.append(self._reactor.callLater(seconds, self._search, tuple(hops)))

    def stop(self) -> Deferred[None]:
        """Close the sockets."""
        for call in self._calls:
            if call.active():
                call.cancel()
        return self._ports.stop()

    def ask(self, host: IPAddress) -> None:
        """Search one host for everything, by unicast."""
        for endpoint in self._ports.searchers:
            link = next((link for link in self._links if link.index == endpoint.link_index), None)
            if link is not None and link.contains(host) and endpoint.address.version == host.version:
                for targets in (IGD_TARGETS, (ALL,)):
                    words = searches.plain(targets, _authority(host), None, self._user_agent)
                    self._ports.send(endpoint, "unicast search", words, host, SSDP_PORT)
                return

    def _search(self, hops: Sequence[NextHop]) -> None:
        for endpoint in self._ports.searchers:
            for group in endpoint.groups:
                words = searches.plain(IGD_TARGETS, _authority(group), SEARCH_MX, self._user_agent)
                self._ports.send(endpoint, "search", words, group, SSDP_PORT)
        for hop in hops:
            self.ask(hop.address)

    def _received(self, endpoint: Endpoint, datagram: bytes, sender: tuple[str, int]) -> None:
        heard = "search" if endpoint.role is Role.SEARCH else "group"
        key = (sender[0], heard, datagram)
        if datagram.startswith(b"M-SEARCH") or key in self._heard or len(self._heard) >= 4 * REPORT_DATAGRAMS:
            return
        at = round(self._reactor.seconds() - self._began, 3)
        self._heard[key] = Datagram(at, endpoint.link_name, sender[0], sender[1], heard, datagram)


def _authority(host: IPAddress) -> str:
    literal = str(without_zone(host)).upper()
    return f"[{literal}]:{SSDP_PORT}" if host.version == 6 else f"{literal}:{SSDP_PORT}"


class EventRecorder:
    """Hears NOTIFYs and keeps them, each answered 200 at once. Only the device itself is heard.

    :param address: our own, towards the device.
    :param on_event: called with the path of the service whenever one came.
    """

    def __init__(
        self, reactor: Any, began: float, *, address: IPAddress, peer: IPAddress, on_event: Callable[[str], object]
    ) -> None:
        self.events: list[Event] = []
        self.peer = unmapped(without_zone(peer))
        self.reactor = reactor
        self._began = began
        self._address = address
        self._on_event = on_event
        self._tokens: dict[bytes, str] = {}
        self._open: set[_Ear] = set()
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._protocol  # type: ignore[method-assign]
        self._port = reactor.listenTCP(0, factory, interface=str(address))

    def url(self, path: str) -> str:
        """A callback URL for the service at ``path``."""
        token = secrets.token_hex(16)
        self._tokens[token.encode()] = path
        return str(DeviceURL(without_zone(self._address), self._port.getHost().port, f"/{token}"))

    def stop(self) -> Deferred[None]:
        """Listen no more; fires when every connection is gone."""
        closing: list[Deferred[Any]] = [maybeDeferred(self._port.stopListening)]
        for ear in tuple(self._open):
            closing.append(ear.gone)
            ear.abort()
        return gatherResults(closing, consumeErrors=True).addCallback(lambda _: None)

    def heard(self, octets: bytes) -> None:
        """A whole message came."""
        target = octets.partition(b"\n")[0].split(b" ")[1:2]
        path = self._tokens.get(target[0].lstrip(b"/")) if target else None
        if path is not None and len(self.events) < REPORT_EVENTS:
            self.events.append(Event(round(self.reactor.seconds() - self._began, 3), path, octets))
            self._on_event(path)

    def entered(self, ear: _Ear) -> None:
        """A connection came."""
        self._open.add(ear)

    def left(self, ear: _Ear) -> None:
        """A connection is gone."""
        self._open.discard(ear)

    def _protocol(self, addr: Any) -> Protocol | None:
        return _Ear(self) if len(self._open) < REPORT_CONNECTIONS else None


class _Ear(Protocol):
    """One connection: one message, answered and closed."""

    transport: Any

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._heard = b""
        self._done = False
        self._timer: Any = None
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._recorder.entered(self)
        host = unmapped(without_zone(ipaddress.ip_address(self.transport.getPeer().host)))
        if host != self._recorder.peer:
            self.transport.abortConnection()
            return
        self._timer = self._recorder.reactor.callLater(CALLBACK_SECONDS, self.abort)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._recorder.left(self)
        if self._heard and not self._done:  # closed without a length, or before it
            self._recorder.heard(self._heard)
        self.gone.callback(None)

    def abort(self) -> None:
        """Cut it."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        self._heard = (self._heard + data)[: NOTIFY_OCTETS * 2]
        end = _END.search(self._heard)
        length = _LENGTH.search(self._heard, 0, end.start()) if end else None
        if end is None or length is None:
            # without a length the root element ends it
            if end is None or not re.search(rb"</[\w.:-]*propertyset\s*>|\r\n0\r\n", self._heard):
                return
        elif len(self._heard) - end.end() < int(length[1]):
            return
        self._done = True
        self._recorder.heard(self._heard)
        self.transport.write(_OK)
        self.transport.loseConnection()
