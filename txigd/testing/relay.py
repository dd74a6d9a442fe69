"""Carries real TCP and UDP traffic through the mappings of a simulated gateway. Thin.

Knows entries, sockets and counters; which entries are active is decided elsewhere. Everything it opens is counted and
closed by :meth:`Relay.stop` or when its mapping goes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txigd import log
from txigd.limits import HTTP_CONNECT_SECONDS, RELAY_CONNECTIONS, RELAY_DATAGRAM_OCTETS, RELAY_FLOW_SECONDS, RELAY_FLOWS
from txigd.testing.entry import Entry, Key
from txigd.testing.traffic import Traffic

_log: Final = log.logger("txigd.testing")


class Relay:
    """Listens on the WAN address for every active mapping and carries what comes in to the internal client.

    :param wan_address: the address that stands for the WAN side; a literal of this host.
    :ivar problems: by mapping, why its external port is not open (taken, not permitted).
    """

    def __init__(self, reactor: Any, wan_address: str, traffic: Traffic) -> None:
        self.wan_address = wan_address
        self.traffic = traffic
        self.problems: dict[Key, str] = {}
        self.connections = 0
        self._reactor = reactor
        self._doors: dict[Key, _TCPDoor | _UDPDoor] = {}
        self._wanted: dict[Key, Entry] = {}
        self._closing: set[defer.Deferred[None]] = set()

    def follow(self, entries: Iterable[Entry]) -> None:
        """Open, turn and close doors until exactly these mappings are carried."""
        self._wanted = {entry.key: entry for entry in entries if entry.external_port}
        self._follow()

    def stop(self) -> defer.Deferred[None]:
        """Close all doors, connections and flows."""
        self.follow(())
        return defer.DeferredList(tuple(self._closing)).addCallback(lambda _: None)

    def _follow(self) -> None:
        for key, door in tuple(self._doors.items()):
            if key not in self._wanted:
                self._close(key)
            elif not _same_way(self._wanted[key], door.entry):
                door.turn(self._wanted[key])
        self.problems = {key: text for key, text in self.problems.items() if key in self._wanted}
        for key, entry in self._wanted.items():
            if key not in self._doors:
                self._open(key, entry)

    def _open(self, key: Key, entry: Entry) -> None:
        door = _TCPDoor(self, entry) if entry.protocol == "TCP" else _UDPDoor(self, entry)
        try:
            door.open(self._reactor)
        except (CannotListenError, OSError) as error:
            if key not in self.problems and not self._closing:
                _log.warn(
                    "the relay cannot open {protocol} port {port}: {error}",
                    protocol=entry.protocol,
                    port=entry.external_port,
                    error=error,
                )
            self.problems[key] = str(error)
            return
        self.problems.pop(key, None)
        self._doors[key] = door

    def _close(self, key: Key) -> None:
        closed = self._doors.pop(key).close()
        self._closing.add(closed)
        closed.addBoth(self._closed, closed)

    def _closed(self, _: object, closed: defer.Deferred[None]) -> None:
        self._closing.discard(closed)
        if self.problems:  # a mapping that was deleted and made again at once waits for its port
            self._follow()


def _same_way(one: Entry, other: Entry) -> bool:
    return (one.internal_client, one.internal_port) == (other.internal_client, other.internal_port)


# -- TCP ---------------------------------------------------------------------------------------------------------------


class _TCPDoor(Factory):
    """One external TCP port."""

    noisy = False

    def __init__(self, relay: Relay, entry: Entry) -> None:
        self.relay = relay
        self.entry = entry
        self.open_ends: set[_End] = set()
        self.connectors: set[Any] = set()
        self._port: Any = None

    def open(self, reactor: Any) -> None:
        self.reactor = reactor
        self._port = reactor.listenTCP(self.entry.external_port, self, interface=self.relay.wan_address)

    def turn(self, entry: Entry) -> None:
        """Lead to another internal port from now on."""
        self.hang_up()
        self.entry = entry

    def hang_up(self) -> None:
        """Close all connections."""
        for connector in tuple(self.connectors):
            connector.disconnect()
        for end in tuple(self.open_ends):
            end.abort()

    def close(self) -> defer.Deferred[None]:
        self.hang_up()
        return defer.maybeDeferred(self._port.stopListening)

    def buildProtocol(self, addr: Any) -> Protocol | None:
        refused = self.entry.remote_host not in ("", "0.0.0.0", addr.host)
        if refused or self.relay.connections >= RELAY_CONNECTIONS:
            return None
        return _Outer(self)


@implementer(IHalfCloseableProtocol)
class _End(Protocol):
    """One end of a carried connection; what it hears goes to ``other``."""

    other: _End | None = None

    def __init__(self, door: _TCPDoor) -> None:
        self.door = door

    def connectionMade(self) -> None:
        self.door.open_ends.add(self)
        assert self.transport is not None
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)

    def join(self, other: _End) -> None:
        """Carry both ways, each end as fast as the other takes it."""
        self.other, other.other = other, self
        for one, two in ((self, other), (other, self)):
            assert one.transport is not None
            one.transport.registerProducer(two.transport, True)  # type: ignore[attr-defined]

    def count(self, octets: int) -> None:
        """Count what this end heard."""

    def dataReceived(self, data: bytes) -> None:
        self.count(len(data))
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseWriteConnection()  # type: ignore[attr-defined]
        else:
            self.abort()

    def writeConnectionLost(self) -> None:
        """The half that we closed ourselves."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.door.open_ends.discard(self)
        other, self.other = self.other, None
        if other is not None and other.transport is not None:
            other.other = None
            other.transport.unregisterProducer()  # type: ignore[attr-defined]
            other.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class _Outer(_End):
    """The end towards the internet: connects the inner end, silent until that is there."""

    _connector: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.door.relay.connections += 1
        assert self.transport is not None
        self.transport.pauseProducing()  # type: ignore[attr-defined]
        entry = self.door.entry
        self._connector = self.door.reactor.connectTCP(
            entry.internal_client, entry.internal_port, _InnerFactory(self), timeout=HTTP_CONNECT_SECONDS
        )

    def inner_connected(self, inner: _End) -> None:
        """The internal client took the connection."""
        self.join(inner)
        assert self.transport is not None
        self.transport.resumeProducing()  # type: ignore[attr-defined]

    def count(self, octets: int) -> None:
        self.door.relay.traffic.received(octets)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.door.relay.connections -= 1
        if self._connector is not None and self.other is None:
            self._connector.disconnect()
        super().connectionLost(reason)


class _Inner(_End):
    """The end towards the internal client."""

    def __init__(self, outer: _Outer) -> None:
        super().__init__(outer.door)
        self.outer = outer

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.outer in self.door.open_ends:
            self.outer.inner_connected(self)
        else:
            self.abort()

    def count(self, octets: int) -> None:
        self.door.relay.traffic.sent(octets)


class _InnerFactory(ClientFactory):
    noisy = False

    def __init__(self, outer: _Outer) -> None:
        self.outer = outer

    def startedConnecting(self, connector: Any) -> None:
        self.outer.door.connectors.add(connector)

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Inner(self.outer)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.outer.door.connectors.discard(connector)
        self.outer.abort()  # the internal client refuses: so does the gateway

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.outer.door.connectors.discard(connector)


# -- UDP ---------------------------------------------------------------------------------------------------------------


class _UDPDoor(DatagramProtocol):
    """One external UDP port; each peer gets a flow with a port of its own towards the internal client."""

    noisy = False

    def __init__(self, relay: Relay, entry: Entry) -> None:
        self.relay = relay
        self.entry = entry
        self.flows: OrderedDict[Any, _Flow] = OrderedDict()
        self._port: Any = None

    def open(self, reactor: Any) -> None:
        self.reactor = reactor
        address = self.relay.wan_address
        self._port = reactor.listenUDP(
            self.entry.external_port, self, interface=address, maxPacketSize=RELAY_DATAGRAM_OCTETS
        )

    def turn(self, entry: Entry) -> None:
        """Lead to another internal port from now on."""
        for flow in tuple(self.flows.values()):
            flow.close()
        self.entry = entry

    def close(self) -> defer.Deferred[None]:
        waiting = [flow.close() for flow in tuple(self.flows.values())]
        waiting.append(defer.maybeDeferred(self._port.stopListening))
        return defer.DeferredList(waiting).addCallback(lambda _: None)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if self.entry.remote_host not in ("", "0.0.0.0", addr[0]):
            return
        flow = self.flows.get(addr)
        if flow is None:
            if len(self.flows) >= RELAY_FLOWS:
                next(iter(self.flows.values())).close()
            flow = self.flows[addr] = _Flow(self, addr)
            flow.open(self.reactor)
        self.flows.move_to_end(addr)
        self.relay.traffic.received(len(datagram))
        flow.send(datagram)

    def answer(self, datagram: bytes, addr: Any) -> None:
        """Send a datagram of the internal client to the peer."""
        self.relay.traffic.sent(len(datagram))
        if self.transport is not None:
            _write(self.transport, datagram, addr)


class _Flow(DatagramProtocol):
    """One UDP peer of one mapping."""

    noisy = False

    def __init__(self, door: _UDPDoor, peer: Any) -> None:
        self.door = door
        self.peer = peer
        self._port: Any = None
        self._idle: Any = None

    def open(self, reactor: Any) -> None:
        self._port = reactor.listenUDP(0, self, interface="", maxPacketSize=RELAY_DATAGRAM_OCTETS)
        self._idle = reactor.callLater(RELAY_FLOW_SECONDS, self.close)

    def close(self) -> defer.Deferred[None]:
        self.door.flows.pop(self.peer, None)
        if self._idle.active():
            self._idle.cancel()
        return defer.maybeDeferred(self._port.stopListening)

    def send(self, datagram: bytes) -> None:
        """Send a datagram of the peer to the internal client."""
        self._idle.reset(RELAY_FLOW_SECONDS)
        entry = self.door.entry
        if self.transport is not None:
            _write(self.transport, datagram, (entry.internal_client, entry.internal_port))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if addr == (self.door.entry.internal_client, self.door.entry.internal_port):
            self._idle.reset(RELAY_FLOW_SECONDS)
            self.door.answer(datagram, self.peer)


def _write(transport: Any, datagram: bytes, addr: tuple[str, int]) -> None:
    try:
        transport.write(datagram, addr)
    except OSError as error:  # no route, refused broadcast: a router drops such packets
        _log.debug("datagram dropped: {error}", error=error)
