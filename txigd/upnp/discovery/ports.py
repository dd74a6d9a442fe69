"""The adopted UDP ports on the links: one for each socket that they need, and what is wrong with them.

Knows the reactor and sockets.py, nothing of what a datagram says. A socket that fails is remembered, logged once and
tried again; it never stops another one.
Sources: quirks Q007, Q014, threats D1, D2, faults F15, F56, F58.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorSocket, IReactorTime
from twisted.internet.protocol import DatagramProtocol

from txigd import limits, log
from txigd.upnp.addressing import Link
from txigd.upnp.discovery import sockets
from txigd.upnp.discovery.sockets import Endpoint, Role
from txigd.upnp.url import IPAddress, without_zone

_log = log.logger("txigd.discovery")
OpenSocket = Callable[[Endpoint, int], socket.socket]
Needed = Callable[[Link], tuple[Endpoint, ...]]


class Received(Protocol):
    """Takes a datagram from the port of an endpoint; ``sender`` is host, without zone, and port."""

    def __call__(self, endpoint: Endpoint, datagram: bytes, sender: tuple[str, int]) -> None: ...


class Ports:
    """The open ports by endpoint.

    :param received: called for every datagram but our own, in the reactor turn in which it arrives.
    :param opened: called with the endpoints that a later try could open after all.
    :param needed: the endpoints that a link needs.
    :param octets: of a datagram at most; one that is larger shows by having one octet more.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        received: Received,
        opened: Callable[[list[Endpoint]], None],
        *,
        search_port: int = 0,
        open_socket: OpenSocket = sockets.open_socket,
        needed: Needed = sockets.endpoints,
        octets: int = limits.DATAGRAM_OCTETS,
    ) -> None:
        self._reactor = reactor
        self._adopt = IReactorSocket(reactor).adoptDatagramPort
        self._received = received
        self._opened = opened
        self._search_port = search_port
        self._open_socket = open_socket
        self._needs = needed
        self._octets = octets
        self._needed: tuple[Endpoint, ...] = ()
        self._ports: dict[Endpoint, SSDPPort] = {}
        self._own: set[tuple[str, int]] = set()
        self._closing: set[Deferred[None]] = set()
        self._retry: IDelayedCall | None = None
        self._rejoin: IDelayedCall | None = None
        self._problems: dict[tuple[str, Endpoint], str] = {}
        self._logged: dict[str, float] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work now, a sentence for each."""
        return tuple(dict.fromkeys(self._problems.values()))

    def __iter__(self) -> Iterator[Endpoint]:
        """The endpoints that are open."""
        return iter(tuple(self._ports))

    @property
    def searchers(self) -> list[Endpoint]:
        """The open endpoints that can search."""
        return [endpoint for endpoint in self._ports if endpoint.role is Role.SEARCH]

    # -- life ----------------------------------------------------------------------------------------------------------

    def follow(self, links: Sequence[Link]) -> list[Endpoint]:
        """Close what the links no longer need and open what they need now.

        :return: the endpoints that came.
        """
        self._needed = tuple(dict.fromkeys(endpoint for link in links for endpoint in self._needs(link)))
        for endpoint in [endpoint for endpoint in self._ports if endpoint not in self._needed]:
            self._close(endpoint)
        self._problems = {key: text for key, text in self._problems.items() if key[1] in self._needed}
        if self._rejoin is None:
            self._rejoin = self._reactor.callLater(limits.GROUP_REJOIN_SECONDS, self._rejoin_groups)
        return self._open_missing()

    def stop(self) -> Deferred[None]:
        """Close all ports. No delayed call of ours is left; fires when the sockets are closed."""
        self._needed = ()
        for call in (self._retry, self._rejoin):
            if call is not None:
                call.cancel()
        self._retry = self._rejoin = None
        for endpoint in tuple(self._ports):
            self._close(endpoint)
        self._problems.clear()
        return DeferredList(tuple(self._closing)).addCallback(lambda _: None) if self._closing else succeed(None)

    def _open_missing(self) -> list[Endpoint]:
        missing = [endpoint for endpoint in self._needed if endpoint not in self._ports]
        came = [endpoint for endpoint in missing if self._open(endpoint)]
        if len(came) < len(missing):
            self._open_later()
        return came

    def _open_later(self) -> None:
        if self._retry is None:
            self._retry = self._reactor.callLater(limits.SOCKET_RETRY_SECONDS, self._open_again)

    def _open_again(self) -> None:
        self._retry = None
        came = self._open_missing()
        if came:
            self._opened(came)

    def _open(self, endpoint: Endpoint) -> bool:
        key = ("open", endpoint)
        try:
            with self._make(endpoint) as made:  # the reactor works on a duplicate of the descriptor
                own = made.getsockname()[:2] if endpoint.role is Role.SEARCH else None
                port = SSDPPort(self, endpoint, own)
                # one octet more than is allowed, so that a truncated datagram shows (A1)
                port.listening = self._adopt(made.fileno(), endpoint.family, port, self._octets + 1)
        except OSError as error:
            self._trouble(key, _cannot_open(endpoint, error))
            return False
        self._ports[endpoint] = port
        if own is not None:
            self._own.add(own)
        self._problems.pop(key, None)
        return True

    def _make(self, endpoint: Endpoint) -> socket.socket:
        fixed = self._search_port if endpoint.role is Role.SEARCH else 0
        key = ("port", endpoint)
        try:
            made = self._open_socket(endpoint, fixed)
        except OSError as error:
            if not fixed or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            made = self._open_socket(endpoint, 0)
            text = f"{endpoint.link_name}: cannot search from port {fixed}: {_said(error)}; another port is used"
            self._trouble(key, text)
        else:
            self._problems.pop(key, None)
        return made

    def _close(self, endpoint: Endpoint) -> None:
        port = self._remove(endpoint)
        closing = port.close()
        if closing is None:
            return

        def closed(result: object) -> None:
            self._closing.discard(closing)

        self._closing.add(closing)
        closing.addBoth(closed)

    def _remove(self, endpoint: Endpoint) -> SSDPPort:
        port = self._ports.pop(endpoint)
        if port.own is not None:
            self._own.discard(port.own)
        return port

    # -- traffic -------------------------------------------------------------------------------------------------------

    def received(self, endpoint: Endpoint, datagram: bytes, sender: tuple[str, int]) -> None:
        """Pass a datagram on, unless it is our own search, looped back."""
        if endpoint in self._ports and sender not in self._own:
            self._received(endpoint, datagram, sender)

    def send(self, endpoint: Endpoint, what: str, datagrams: Sequence[bytes], host: IPAddress, port: int) -> None:
        """Send all, or none after the first that fails; a failure is a problem of this endpoint only (Q014).

        :param what: says in ``problems`` what could not be sent.
        """
        transport = self._ports.get(endpoint)
        if transport is None:  # closed since this was planned
            return
        literal = str(without_zone(host))
        key = (what, endpoint)
        try:
            for datagram in datagrams:
                transport.write(datagram, (literal, port))
        except (OSError, MessageLengthError) as error:
            self._trouble(key, f"{endpoint.link_name}: cannot send a {what} to {literal}: {_said(error)}")
        else:
            self._problems.pop(key, None)

    def lost(self, port: SSDPPort) -> None:
        """The reactor gave up a socket that we did not close: make it again after a while."""
        if self._ports.get(port.endpoint) is not port:
            return
        self._remove(port.endpoint)
        self._trouble(
            ("open", port.endpoint),
            f"{port.endpoint.link_name}: the socket for {port.endpoint.address} was lost",
        )
        self._open_later()

    def _rejoin_groups(self) -> None:
        """F56: switches that snoop without a querier forget members, and drop what is sent to them."""
        self._rejoin = self._reactor.callLater(limits.GROUP_REJOIN_SECONDS, self._rejoin_groups)
        for endpoint, port in tuple(self._ports.items()):
            if endpoint.role is not Role.LISTEN:
                continue
            key = ("join", endpoint)
            try:
                sockets.rejoin(port.handle(), endpoint)
            except OSError as error:
                self._trouble(key, f"{endpoint.link_name}: cannot join {endpoint.address}: {_said(error)}")
            else:
                self._problems.pop(key, None)

    # -- trouble -------------------------------------------------------------------------------------------------------

    def _trouble(self, key: tuple[str, Endpoint], text: str) -> None:
        """Remember what does not work; log it when it is new, but not again and again (F15)."""
        new = key not in self._problems
        self._problems[key] = text
        if new and self._may_log(text):
            _log.warn("{problem}", problem=text)

    def _may_log(self, text: str) -> bool:
        now = self._reactor.seconds()
        fresh = limits.LOG_AGAIN_SECONDS
        self._logged = {said: when for said, when in self._logged.items() if 0.0 <= now - when < fresh}
        if text in self._logged or len(self._logged) >= limits.LINKS:
            return False
        self._logged[text] = now
        return True


class SSDPPort(DatagramProtocol):
    """The protocol on one adopted socket: adds what Twisted does not tell, the link that a datagram came from."""

    noisy = False
    listening: IListeningPort | None = None

    def __init__(self, ports: Ports, endpoint: Endpoint, own: tuple[str, int] | None) -> None:
        self._ports = ports
        self.endpoint = endpoint
        self.own = own

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._ports.received(self.endpoint, datagram, addr)

    def stopProtocol(self) -> None:
        self._ports.lost(self)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Send one datagram; raises OSError or MessageLengthError."""
        if self.transport is not None:
            self.transport.write(datagram, addr)

    def handle(self) -> socket.socket:
        """The adopted socket itself, for its options."""
        return self.transport.getHandle()  # type: ignore[union-attr, no-any-return]

    def close(self) -> Deferred[None] | None:
        """Stop listening."""
        return None if self.listening is None else self.listening.stopListening()


def _said(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None else str(error)


def _cannot_open(endpoint: Endpoint, error: OSError) -> str:
    if endpoint.role is Role.SEARCH:
        return f"{endpoint.link_name}: cannot search from {without_zone(endpoint.address)}: {_said(error)}"
    if error.errno == errno.EADDRINUSE:  # D2
        return (
            f"{endpoint.link_name}: another program holds UDP port {endpoint.port} for itself; "
            f"what is sent to {endpoint.address} is not heard, everything else goes on"
        )
    return f"{endpoint.link_name}: cannot listen to {endpoint.address}: {_said(error)}"
