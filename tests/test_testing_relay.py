"""The relay of the simulated gateway over real loopback sockets."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from twisted.internet import defer
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from txigd.testing import relay as relay_module
from txigd.testing.entry import Entry
from txigd.testing.relay import Relay
from txigd.testing.traffic import Traffic

reactor: Any = _reactor


class Echo(Protocol):
    transport: Any
    factory: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"echo:" + data)

    def connectionMade(self) -> None:
        self.factory.alive.add(self)

    def connectionLost(self, reason=connectionDone) -> None:
        self.factory.alive.discard(self)


class Client(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.closed: defer.Deferred[None] = defer.Deferred()
        self.wanted: list[tuple[int, defer.Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while self.wanted and len(self.data) >= self.wanted[0][0]:
            self.wanted.pop(0)[1].callback(self.data)

    def until(self, octets: int) -> defer.Deferred[bytes]:
        if len(self.data) >= octets:
            return defer.succeed(self.data)
        d: defer.Deferred[bytes] = defer.Deferred()
        self.wanted.append((octets, d))
        return d

    def connectionLost(self, reason=connectionDone) -> None:
        self.closed.callback(None)


class Datagrams(DatagramProtocol):
    transport: Any

    def __init__(self, prefix: bytes = b"") -> None:
        self.prefix = prefix
        self.heard: defer.DeferredQueue = defer.DeferredQueue()

    def datagramReceived(self, datagram: bytes, addr) -> None:
        self.heard.put(datagram)
        if self.prefix:
            self.transport.write(self.prefix + datagram, addr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RelayTests(TestCase):
    timeout = 180

    def setUp(self) -> None:
        self.traffic = Traffic()
        self.relay = Relay(reactor, "127.0.0.1", self.traffic)
        self.addCleanup(self.relay.stop)
        factory: Any = Factory.forProtocol(Echo)
        self.factory = factory
        self.factory.alive = set()
        self.inside = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.inside.stopListening)
        self.outside = free_port()

    def entry(self, **fields) -> Entry:
        return replace(Entry("TCP", self.outside, "127.0.0.1", self.inside.getHost().port), **fields)

    def connect(self) -> defer.Deferred:
        return connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.outside), Client())

    async def test_tcp_both_ways(self) -> None:
        self.relay.follow([self.entry()])
        client = await self.connect()
        client.transport.write(b"hello")
        self.assertEqual(await client.until(10), b"echo:hello")
        self.assertEqual((self.traffic.octets_received, self.traffic.octets_sent), (5, 10))
        client.transport.loseConnection()
        await client.closed

    async def test_half_close(self) -> None:
        class AtEnd(Echo):
            def dataReceived(self, data: bytes) -> None:
                self.held = getattr(self, "held", b"") + data

            def connectionLost(self, reason=connectionDone) -> None:
                super().connectionLost(reason)

        @implementer(IHalfCloseableProtocol)
        class Answering(AtEnd):
            def readConnectionLost(self) -> None:
                self.transport.write(self.held[::-1])
                self.transport.loseConnection()

            def writeConnectionLost(self) -> None:
                pass

        self.factory.protocol = Answering
        self.relay.follow([self.entry()])
        client = await self.connect()
        client.transport.write(b"abc" * 50_000)
        client.transport.loseWriteConnection()
        await client.closed
        self.assertEqual(client.data, b"cba" * 50_000)

    async def test_mapping_gone_means_connections_gone(self) -> None:
        self.relay.follow([self.entry()])
        client = await self.connect()
        client.transport.write(b"x")
        await client.until(6)
        self.relay.follow([])
        await client.closed
        await self.relay.stop()
        self.assertEqual(self.relay.connections, 0)
        with self.assertRaises(ConnectError):
            await self.connect()

    async def test_another_internal_port(self) -> None:
        self.relay.follow([self.entry(internal_port=1)])
        self.relay.follow([self.entry()])
        client = await self.connect()
        client.transport.write(b"x")
        await client.until(6)

    async def test_deleted_and_made_again_at_once(self) -> None:
        self.relay.follow([self.entry()])
        self.relay.follow([])
        self.relay.follow([self.entry()])
        await deferLater(reactor, 0.01)
        self.assertEqual(self.relay.problems, {})
        client = await self.connect()
        client.transport.write(b"x")
        await client.until(6)

    async def test_nobody_inside(self) -> None:
        self.relay.follow([self.entry(internal_port=free_port())])
        client = await self.connect()
        await client.closed
        self.assertEqual(client.data, b"")

    async def test_remote_host(self) -> None:
        self.relay.follow([self.entry(remote_host="192.0.2.1")])
        client = await self.connect()
        await client.closed
        self.assertFalse(self.factory.alive)

    async def test_bounded(self) -> None:
        self.patch(relay_module, "RELAY_CONNECTIONS", 1)
        self.relay.follow([self.entry()])
        first = await self.connect()
        first.transport.write(b"x")
        await first.until(6)
        second = await self.connect()
        await second.closed
        self.assertEqual(self.relay.connections, 1)

    def test_port_taken(self) -> None:
        entry = self.entry(external_port=self.inside.getHost().port)
        self.relay.follow([entry])
        self.assertIn(entry.key, self.relay.problems)
        self.relay.follow([])
        self.assertEqual(self.relay.problems, {})

    async def test_udp_flows(self) -> None:
        server = Datagrams(b"re:")
        inside = reactor.listenUDP(0, server, interface="127.0.0.1")
        self.addCleanup(inside.stopListening)
        self.relay.follow([self.entry(protocol="UDP", internal_port=inside.getHost().port)])
        clients = [Datagrams(), Datagrams()]
        for number, client in enumerate(clients):
            port = reactor.listenUDP(0, client, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            client.transport.write(b"%d" % number, ("127.0.0.1", self.outside))
        self.assertEqual([await client.heard.get() for client in clients], [b"re:0", b"re:1"])
        self.assertEqual((self.traffic.packets_received, self.traffic.packets_sent), (2, 2))
        self.relay.follow([])
        await self.relay.stop()

    async def test_udp_flows_are_bounded(self) -> None:
        self.patch(relay_module, "RELAY_FLOWS", 1)
        server = Datagrams(b"re:")
        inside = reactor.listenUDP(0, server, interface="127.0.0.1")
        self.addCleanup(inside.stopListening)
        entry = self.entry(protocol="UDP", internal_port=inside.getHost().port)
        self.relay.follow([entry])
        for _ in range(3):
            client = Datagrams()
            port = reactor.listenUDP(0, client, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            client.transport.write(b"x", ("127.0.0.1", self.outside))
            self.assertEqual(await client.heard.get(), b"re:x")
        door: Any = self.relay._doors[entry.key]
        self.assertEqual(len(door.flows), 1)
