"""Tests of the callback port over loopback sockets, with raw octets on the client's side."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.pauses import rest
from txigd.errors import AddressingError, Stopped
from txigd.limits import CALLBACK_CONNECTIONS, CALLBACK_CONNECTIONS_PER_PEER, NOTIFY_OCTETS
from txigd.upnp.eventing import callback_site
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.callback_paths import CallbackPath, CallbackPaths
from txigd.upnp.eventing.gena import Envelope, propertyset, read_values

MESSAGES = Path(__file__).with_name("messages")
MANIFEST = {entry["file"]: entry for entry in json.loads((MESSAGES / "manifest.json").read_text("utf-8"))}
SID = "uuid:0d1a6c2e-77a0-11eb-9439-0242ac130002"
LOOPBACK = ipaddress.ip_address("127.0.0.1")
BODY = propertyset({"ConnectionStatus": "Connected"})

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: NOTIFY\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PRECONDITION = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MISDIRECTED = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ANSWERS = {200: OK, 400: BAD, 412: PRECONDITION}


@implementer(IHalfCloseableProtocol)
class RawClient(Protocol):
    """Sends octets, collects octets; ``closed`` fires with all that came once the server closed."""

    transport: Any

    def __init__(self, octets: bytes, hold: bool) -> None:
        self.octets = octets
        self.hold = hold
        self.received = b""
        self.reset = False
        self.connected_now: Deferred[None] = Deferred()
        self.closed: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self.octets)
        self.connected_now.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        if not self.hold:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reset = not reason.check("twisted.internet.error.ConnectionDone")
        if not self.closed.called:
            self.closed.callback(self.received)


class RawFactory(ClientFactory):
    noisy = False

    def __init__(self, client: RawClient) -> None:
        self.client = client

    def buildProtocol(self, addr) -> RawClient:
        return self.client

    def clientConnectionFailed(self, connector, reason) -> None:
        self.client.closed.errback(reason)


class Heard:
    """What a subscriber is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Envelope, Mapping[str, str] | None]] = []
        self.sids = {SID}
        self.trace: list[str] = []
        self.waiting: list[tuple[int, Deferred[None]]] = []

    def admits(self, sid: str) -> bool:
        return sid in self.sids

    def on_notify(self, envelope: Envelope, values: Mapping[str, str] | None) -> None:
        self.trace.append("event")
        self.events.append((envelope, values))
        for count, waiter in list(self.waiting):
            if len(self.events) >= count:
                self.waiting.remove((count, waiter))
                waiter.callback(None)

    def until(self, count: int) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self.waiting.append((count, waiter))
        if len(self.events) >= count:
            self.waiting.remove((count, waiter))
            waiter.callback(None)
        return waiter.addTimeout(60, reactor)


class CallbackCase(TestCase):
    timeout = 180

    def setUp(self) -> None:
        self.server = CallbackServer(reactor)
        self.addCleanup(self.server.stop)
        self.heard = Heard()
        self.path = self.open(self.heard)
        self.port = self.server.listen(LOOPBACK)
        self.clients: list[RawClient] = []
        self.addCleanup(self.close_clients)

    def open(self, heard: Heard, peer: str = "127.0.0.1") -> CallbackPath:
        return self.server.open(
            LOOPBACK, peers=[ipaddress.ip_address(peer)], admits=heard.admits, on_notify=heard.on_notify
        )

    def close_clients(self) -> Deferred[list[bytes]]:
        for client in self.clients:
            if client.transport is not None and not client.closed.called:
                client.transport.abortConnection()
        return gatherResults([client.closed for client in self.clients], consumeErrors=True).addErrback(lambda _: [])

    def connect(self, octets: bytes = b"", *, hold: bool = False, source: str = "127.0.0.1") -> RawClient:
        client = RawClient(octets, hold)
        self.clients.append(client)
        reactor.connectTCP("127.0.0.1", self.port, RawFactory(client), bindAddress=(source, 0))
        return client

    def exchange(self, octets: bytes, **options) -> Deferred[bytes]:
        return self.connect(octets, **options).closed

    def head(self, *fields: bytes, method: bytes = b"NOTIFY", target: bytes | None = None, without: str = "") -> bytes:
        good = {
            "HOST": b"127.0.0.1:%d" % self.port,
            "NT": b"upnp:event",
            "NTS": b"upnp:propchange",
            "SID": SID.encode(),
            "SEQ": b"1",
        }
        lines = [b"%s: %s" % (name.encode(), value) for name, value in good.items() if name not in without.split()]
        target = self.path.target if target is None else target
        return b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), *lines, *fields, b"", b""])

    def notify(self, body: bytes = BODY, *fields: bytes, **options) -> bytes:
        return self.head(b"CONTENT-LENGTH: %d" % len(body), *fields, **options) + body

    def assert_heard_nothing(self) -> None:
        self.assertEqual(self.heard.events, [])


class AcceptedTests(CallbackCase):
    async def test_answer_byte_for_byte(self) -> None:
        client = self.connect(self.notify())
        self.assertEqual(await client.closed, OK)
        self.assertFalse(client.reset)
        await self.heard.until(1)
        self.assertEqual(self.heard.events, [(Envelope(SID, 1), {"ConnectionStatus": "Connected"})])
        self.assertEqual(self.server.counters, {"accepted": 1})

    async def test_every_sample(self) -> None:
        """Each NOTIFY of the wire samples, with our Host and path, gets the answer that the manifest says."""
        count = 0
        for name, entry in sorted(MANIFEST.items()):
            octets = (MESSAGES / name).read_bytes()
            if "answer" not in entry["expect"] or not octets.startswith(b"NOTIFY /evt/7f3c1e9a "):
                continue
            octets = octets.replace(b"/evt/7f3c1e9a", self.path.target)
            octets = octets.replace(b"192.0.2.10:45123", b"127.0.0.1:%d" % self.port)
            status = entry["expect"]["answer"]
            self.assertEqual(await self.exchange(octets), ANSWERS[status], name)
            count += status == 200
            await self.heard.until(count)
            if status == 200:
                envelope, values = self.heard.events[-1]
                self.assertEqual(envelope.seq, entry["expect"].get("seq", envelope.seq), name)
                self.assertEqual(values, entry["expect"].get("values", values), name)
        self.assertEqual(count, 20)
        self.assertEqual(len(self.heard.events), 20)

    async def test_Q175_answer_leaves_before_any_work(self) -> None:
        def slow(body: bytes, names: object) -> dict[str, str]:
            self.heard.trace.append("read")
            # the answer is in the client's socket buffer by now, though no reactor turn has read it
            self.assertEqual(raw.recv(4096), OK)
            return read_values(body)

        self.patch(callback_site, "read_values", slow)
        raw = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(raw.close)
        raw.sendall(self.notify())
        raw.setblocking(False)
        await self.heard.until(1)
        self.assertEqual(self.heard.trace, ["read", "event"])

    async def test_Q175_subscriber_that_raises_harms_nobody(self) -> None:
        def broken(envelope: Envelope, values: object) -> None:
            raise ZeroDivisionError

        self.path.on_notify = broken
        self.assertEqual(await self.exchange(self.notify()), OK)
        await rest(reactor, 0.05)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.path.on_notify = self.heard.on_notify
        self.assertEqual(await self.exchange(self.notify()), OK)
        await self.heard.until(1)

    async def test_an_error_of_ours_is_500_without_a_word(self) -> None:
        def broken(*_: object) -> bytes:
            raise ZeroDivisionError("secret")

        self.patch(callback_site.EventResource, "render", broken)
        answer = await self.exchange(self.notify())
        wanted = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self.assertEqual(answer, wanted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_Q178_lenient_forms(self) -> None:
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
        for octets in (
            self.notify().replace(b"HTTP/1.1", b"HTTP/1.0"),
            self.notify().replace(b"\r\n", b"\n"),
            self.head(b"TRANSFER-ENCODING: chunked") + chunked,
            self.head(b"TRANSFER-ENCODING: chunked").replace(b"HTTP/1.1", b"HTTP/1.0") + chunked,
            self.head() + BODY,
            self.head() + BODY + b"\0",
            self.notify(BODY + b"\0"),
            self.notify(BODY, b"Content-Type: "),
            self.notify(BODY, b"Content-Type: application/octet-stream"),
            self.notify(BODY, b"Content-Type: text/xml; charset=utf-16; charset"),
            self.notify(BODY, b"Connection: keep-alive"),
            self.notify(b"\xef\xbb\xbf" + BODY),
            self.notify('<?xml version="1.0" encoding="utf-16"?><propertyset/>'.encode("utf-16")),
        ):
            client = self.connect(octets)
            self.assertEqual(await client.closed, OK, octets)
            self.assertFalse(client.reset, octets)
        await self.heard.until(13)
        self.assertEqual([values for _, values in self.heard.events][:12], [{"ConnectionStatus": "Connected"}] * 12)

    async def test_Q178_body_that_ends_at_close(self) -> None:
        """A sender without a length that closes its half; a body without a whole document is refused."""
        for body, wanted in ((BODY.rstrip(), OK), (BODY.rstrip()[:-1], BAD)):
            client = self.connect(self.head() + body[:-1])
            await client.connected_now
            client.transport.write(body[-1:])
            client.transport.loseWriteConnection()
            self.assertEqual(await client.closed, wanted)
        await self.heard.until(1)

    async def test_Q178_Q174_sender_that_does_not_wait_for_the_answer(self) -> None:
        raw = socket.create_connection(("127.0.0.1", self.port))
        raw.sendall(self.notify())
        raw.close()
        await self.heard.until(1)

    async def test_F12_length_one_too_small_or_too_large(self) -> None:
        body = BODY.rstrip()
        for length, tail in ((len(body) - 1, b""), (len(body) + 9, b""), (0, b"\0"), (len(body) - 5, b"\r\n")):
            octets = self.head(b"CONTENT-LENGTH: %d" % length) + body + tail
            client = self.connect(octets)
            self.assertEqual(await client.closed, OK, length)
            self.assertFalse(client.reset)
        await self.heard.until(4)
        self.assertEqual([values for _, values in self.heard.events], [{"ConnectionStatus": "Connected"}] * 4)

    async def test_F12_last_octet_comes_late(self) -> None:
        body = BODY.rstrip()
        client = self.connect(self.head(b"CONTENT-LENGTH: %d" % (len(body) - 1)) + body[:-1])
        await client.connected_now
        await rest(reactor, 0.05)
        self.assertEqual(client.received, b"")
        client.transport.write(body[-1:])
        self.assertEqual(await client.closed, OK)
        await self.heard.until(1)

    async def test_octet_by_octet(self) -> None:
        client = self.connect()
        await client.connected_now
        octets = self.notify(b"<propertyset><property><A>1</A></property></propertyset>")
        for place in range(len(octets)):
            client.transport.write(octets[place : place + 1])
            await deferLater(reactor, 0)
        self.assertEqual(await client.closed, OK)
        await self.heard.until(1)
        self.assertEqual(self.heard.events[0][1], {"A": "1"})

    async def test_expect_continue(self) -> None:
        client = self.connect(self.head(b"CONTENT-LENGTH: %d" % len(BODY), b"Expect: 100-continue"))
        while not client.received:
            await deferLater(reactor, 0.01)
        client.transport.write(BODY)
        self.assertEqual(await client.closed, b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    async def test_Q159_without_seq_only_when_lenient(self) -> None:
        octets = self.notify(without="SEQ")
        self.assertEqual(await self.exchange(octets), BAD)
        lenient = CallbackServer(reactor, lenient=True)
        self.addCleanup(lenient.stop)
        heard = Heard()
        path = lenient.open(LOOPBACK, peers=[LOOPBACK], admits=heard.admits, on_notify=heard.on_notify)
        old, self.port = self.port, lenient.listen(LOOPBACK)
        octets = octets.replace(b"127.0.0.1:%d" % old, b"127.0.0.1:%d" % self.port)
        self.assertEqual(await self.exchange(octets.replace(self.path.target, path.target)), OK)
        await heard.until(1)
        self.assertEqual(heard.events[0][0], Envelope(SID, None))

    async def test_Q176_names_take_the_spelling_of_the_description(self) -> None:
        self.path.names = ("ConnectionStatus",)
        await self.exchange(self.notify(propertyset({"CONNECTIONSTATUS": "Connected"})))
        await self.heard.until(1)
        self.assertEqual(self.heard.events[0][1], {"ConnectionStatus": "Connected"})

    async def test_unreadable_document_is_told_after_the_answer(self) -> None:
        self.assertEqual(await self.exchange(self.notify(b"<propertyset><a></b></propertyset>")), OK)
        await self.heard.until(1)
        self.assertEqual(self.heard.events, [(Envelope(SID, 1), None)])
        self.assertEqual(self.server.counters["xml"], 1)

    async def test_Q179_C6_over_large(self) -> None:
        """Answered 200 and reported as unread, however its length is told; and nothing of it is kept."""
        large = b"<propertyset>" + b" " * (2 * NOTIFY_OCTETS)
        for octets in (
            self.notify(large),
            self.head(b"CONTENT-LENGTH: 10000000000"),
            self.head() + large,
            self.head(b"TRANSFER-ENCODING: chunked") + b"%x\r\n" % len(large) + large,
        ):
            client = self.connect(octets)
            self.assertEqual(await client.closed, OK)
            self.assertFalse(client.reset)
        await self.heard.until(4)
        self.assertEqual(self.heard.events, [(Envelope(SID, 1), None)] * 4)
        self.assertEqual(self.server.counters["large"], 4)

    async def test_body_of_just_the_limit(self) -> None:
        start, end = b"<propertyset><property><A>1</A></property>", b"</propertyset>"
        body = start + b" " * (NOTIFY_OCTETS - len(start) - len(end)) + end
        self.assertEqual(await self.exchange(self.notify(body)), OK)
        await self.heard.until(1)
        self.assertEqual(self.heard.events[0][1], {"A": "1"})


class RefusedTests(CallbackCase):
    async def refused(self, octets: bytes, wanted: bytes, **options) -> None:
        self.assertEqual(await self.exchange(octets, **options), wanted, octets[:200])
        await deferLater(reactor, 0)
        self.assert_heard_nothing()

    async def test_C1_unknown_peer_is_not_even_connected(self) -> None:
        self.assertEqual(await self.exchange(self.notify(), source="127.0.0.2"), b"")
        self.assertEqual(self.server.counters, {"peer": 1})
        self.assert_heard_nothing()

    async def test_C1_peer_of_another_path(self) -> None:
        other = Heard()
        self.open(other, "127.0.0.2")
        await self.refused(self.notify(), NOT_FOUND, source="127.0.0.2")
        self.assertEqual(other.events, [])

    async def test_C1_no_path_no_connection(self) -> None:
        self.path.close()
        self.path.close()
        await self.refused(self.notify(), b"")

    async def test_C1_right_sid_wrong_token(self) -> None:
        target = self.path.target
        wrong = [b"/", b"*", b"/x", target[:-1], target + b"x", target + b"/", target + b"?a=b", b"/" + target]
        wrong += [target.swapcase(), b"/evt" + target, target.replace(b"/", b"/./"), b"/%2e" + target]
        for token in wrong:
            await self.refused(self.notify(target=token), NOT_FOUND)

    async def test_C1_closed_path(self) -> None:
        self.open(Heard())
        self.path.close()
        await self.refused(self.notify(), NOT_FOUND)

    async def test_C1_right_token_wrong_sid(self) -> None:
        await self.refused(self.notify().replace(SID.encode(), b"uuid:wrong"), PRECONDITION)

    async def test_C1_seq_above_the_range(self) -> None:
        await self.refused(self.notify().replace(b"SEQ: 1", b"SEQ: 4294967296"), BAD)

    async def test_C1_order_of_the_checks(self) -> None:
        """With every fault at once, the first of the order decides."""
        host = b"HOST: 127.0.0.1:%d\r\n" % self.port
        bad = b"Content-Length: x\r\n"
        for octets, wanted in (
            (b"POST /x HTTP/1.1\r\nHOST: evil.example\r\n" + bad + b"\r\n", MISDIRECTED),
            (b"POST /x HTTP/1.1\r\n" + host + bad + b"\r\n", NOT_ALLOWED),
            (b"NOTIFY /x HTTP/1.1\r\n" + host + bad + b"\r\n", NOT_FOUND),
            (b"NOTIFY %s HTTP/1.1\r\n" % self.path.target + host + bad + b"NT: x\r\n\r\n", BAD),
            (b"NOTIFY %s HTTP/1.1\r\n" % self.path.target + host + b"NT: x\r\nNTS: y\r\n\r\n", PRECONDITION),
        ):
            await self.refused(octets, wanted)
        self.assertEqual(self.server.counters, dict.fromkeys(("host", "method", "path", "length", "nt"), 1))

    async def test_C2_L12_flood_of_unknown_sids_keeps_nothing(self) -> None:
        octets = self.notify().replace(SID.encode(), b"uuid:unknown")
        for _ in range(25):
            answers = await gatherResults([self.exchange(octets) for _ in range(8)])
            self.assertEqual(answers, [PRECONDITION] * 8)
        self.assertEqual(self.server.counters, {"sid": 200})
        self.assert_heard_nothing()

    async def test_C3_L10_host(self) -> None:
        good = b"127.0.0.1:%d" % self.port
        for host in (
            b"HOST: evil.example",
            b"HOST: evil.example:%d" % self.port,
            b"HOST: localhost:%d" % self.port,
            b"HOST: 127.0.0.1",
            b"HOST: 127.0.0.1:%d" % (self.port ^ 1),
            b"HOST: 127.0.0.1.:%d" % self.port,
            b"HOST: 127.1:%d" % self.port,
            b"HOST: 127.0.0.1:0%d" % self.port,
            b"HOST: %s, %s" % (good, good),
            b"HOST: %s\r\nHOST: %s" % (good, good),
            b"HOST: %s\r\nhost: evil.example" % good,
            b"HOST:",
            b"X: y",
        ):
            await self.refused(self.notify(BODY, host, without="HOST"), MISDIRECTED)
        await self.refused(self.notify(without="HOST").replace(b"HTTP/1.1", b"HTTP/1.0"), MISDIRECTED)

    async def test_C3_absolute_target(self) -> None:
        await self.refused(self.notify(target=b"http://127.0.0.1:%d%s" % (self.port, self.path.target)), MISDIRECTED)

    async def test_C4_C8_other_methods(self) -> None:
        """No verb but NOTIFY does anything, nothing is said to browsers, and no body is read."""
        for method in (
            b"GET",
            b"HEAD",
            b"POST",
            b"PUT",
            b"OPTIONS",
            b"M-POST",
            b"SUBSCRIBE",
            b"UNSUBSCRIBE",
            b"notify",
        ):
            octets = self.head(b"Origin: http://evil.example", b"CONTENT-LENGTH: 99999999999", method=method)
            await self.refused(octets, NOT_ALLOWED)

    async def test_C5_L11_connections_of_one_peer(self) -> None:
        idle = [self.connect() for _ in range(CALLBACK_CONNECTIONS_PER_PEER)]
        await gatherResults([client.connected_now for client in idle])
        await rest(reactor, 0.1)
        self.assertEqual(await self.exchange(self.notify()), b"")
        self.assertEqual(self.server.counters, {"busy": 1})
        idle[0].transport.loseConnection()
        await idle[0].closed
        await rest(reactor, 0.1)
        self.assertEqual(await self.exchange(self.notify()), OK)

    async def test_C5_connections_in_all(self) -> None:
        peers = [f"127.0.0.{n}" for n in range(2, 8)]
        for peer in peers:
            self.open(Heard(), peer)
        idle = [self.connect(source=peer) for peer in peers[:4] for _ in range(CALLBACK_CONNECTIONS_PER_PEER)]
        self.assertEqual(len(idle), CALLBACK_CONNECTIONS)
        await gatherResults([client.connected_now for client in idle])
        await rest(reactor, 0.1)
        self.assertEqual(await self.exchange(self.notify(), source=peers[5]), b"")
        self.assertEqual(self.server.counters["busy"], 1)

    async def test_L8_C5_deadline(self) -> None:
        """One octet at a time resets nothing: neither in the head nor in the body."""
        self.patch(callback_site, "CALLBACK_SECONDS", 0.3)
        for octets in (b"", self.head()[:50], self.head(b"CONTENT-LENGTH: 1000") + b"<a"):
            client = self.connect(octets)
            await client.connected_now
            while not client.closed.called:
                client.transport.write(b"x")
                await deferLater(reactor, 0.02)
            self.assertEqual(await client.closed, b"")
        self.assertEqual(self.server.counters["deadline"], 3)

    async def test_L8_after_the_answer_too(self) -> None:
        """A peer that goes on sending behind its refusal is cut, long before the deadline."""
        self.patch(callback_site, "CALLBACK_SECONDS", 1000.0)
        self.patch(callback_site, "CALLBACK_LINGER_SECONDS", 0.2)
        client = self.connect(self.head(target=b"/x"), hold=True)
        await client.connected_now
        while not client.closed.called:
            client.transport.write(b"x" * 1000)
            await deferLater(reactor, 0.02)
        self.assertEqual(await client.closed, NOT_FOUND)

    async def test_L7_C6_endless_chunks_touch_no_disk(self) -> None:
        self.patch(callback_site, "CALLBACK_LINGER_SECONDS", 0.2)
        made: list[object] = []
        for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
            self.patch(__import__("tempfile"), name, lambda *a, **k: made.append(a))
        client = self.connect(self.head(b"TRANSFER-ENCODING: chunked"), hold=True)
        await client.connected_now
        sent = 0
        while not client.closed.called and sent < 300_000_000:
            client.transport.write(b"4000\r\n" + b"x" * 16384 + b"\r\n")
            sent += 16384
            await deferLater(reactor, 0.001)
        self.assertEqual(await client.closed, OK)
        self.assertEqual(made, [])
        files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
        self.assertEqual([name for name in files if "(deleted)" in name and "/tmp" in name], [])
        await self.heard.until(1)
        self.assertEqual(self.heard.events[0][1], None)

    async def test_L7_large_body_to_an_unknown_path_is_not_read(self) -> None:
        client = self.connect(self.head(b"CONTENT-LENGTH: 300000000", target=b"/nowhere"))
        self.assertEqual(await client.closed, NOT_FOUND)

    async def test_L9_length_of_5000_digits(self) -> None:
        """A line that long breaks the limit on lines; a shorter one of many digits is no length."""
        await self.refused(self.head(b"CONTENT-LENGTH: " + b"9" * 5000), BAD)
        await self.refused(self.head(b"CONTENT-LENGTH: " + b"9" * 4000), BAD)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_C6_lengths_that_disagree(self) -> None:
        for fields in (
            [b"CONTENT-LENGTH: 5", b"CONTENT-LENGTH: 5"],
            [b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: chunked"],
            [b"CONTENT-LENGTH: -5"],
            [b"TRANSFER-ENCODING: gzip, chunked"],
        ):
            await self.refused(self.head(*fields) + BODY, BAD)
        await self.refused(self.head(b"TRANSFER-ENCODING: chunked") + b"zz\r\n", BAD)

    async def test_C6_heads_past_the_limits(self) -> None:
        for octets in (
            b"NOTIFY " + b"/" * 9000,
            self.head(*[b"X-%d: y" % n for n in range(70)]),
            self.head(b"X: " + b"y" * 5000),
            self.head(*[b"X: " + b"y" * 200] * 50),
            b"\x00" * 9000,
            b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        ):
            await self.refused(octets, BAD)

    async def test_C7_pipelined_second_request_is_never_processed(self) -> None:
        second = self.notify().replace(b"SEQ: 1", b"SEQ: 2")
        client = self.connect(self.notify() + second)
        self.assertEqual(await client.closed, OK)
        await self.heard.until(1)
        await rest(reactor, 0.05)
        self.assertEqual([envelope.seq for envelope, _ in self.heard.events], [1])

    async def test_C7_second_request_after_the_answer(self) -> None:
        client = self.connect(self.notify(), hold=True)
        await self.heard.until(1)
        while not client.closed.called:
            client.transport.write(self.notify())
            await deferLater(reactor, 0.01)
        self.assertEqual(await client.closed, OK)
        self.assertEqual(len(self.heard.events), 1)

    async def test_C7_good_request_after_a_refusal(self) -> None:
        client = self.connect(self.head(target=b"/x"), hold=True)
        while not client.received:
            await deferLater(reactor, 0.01)
        client.transport.write(self.notify())
        await rest(reactor, 0.05)
        self.assertEqual(client.received, NOT_FOUND)
        self.assertEqual(self.server.counters, {"path": 1})
        self.assert_heard_nothing()

    async def test_malformed_end_of_body_at_close(self) -> None:
        client = self.connect(self.notify()[:-30])
        await client.connected_now
        client.transport.loseWriteConnection()
        self.assertEqual(await client.closed, BAD)
        self.assert_heard_nothing()

    async def test_close_in_the_head(self) -> None:
        client = self.connect(self.head()[:40])
        await client.connected_now
        client.transport.loseWriteConnection()
        self.assertEqual(await client.closed, BAD)

    async def test_answers_say_nothing_about_us(self) -> None:
        for octets in (self.notify(), self.notify(target=b"/x"), self.head(method=b"GET"), b"x\r\n\r\n"):
            answer = await self.exchange(octets)
            self.assertIsNone(re.search(rb"server|date|twisted|python|txigd|html", answer, re.IGNORECASE))


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


class ServerTests(CallbackCase):
    async def test_url_and_token(self) -> None:
        self.assertEqual(self.path.url, f"http://127.0.0.1:{self.port}{self.path.target.decode()}")
        other = self.open(Heard())
        self.assertNotEqual(other.target, self.path.target)
        for path in (self.path, other):
            self.assertRegex(path.target.decode(), r"\A/[A-Za-z0-9_-]{43}\Z")
        self.assertEqual(self.server.listen(LOOPBACK), self.port)

    async def test_one_listener_per_address(self) -> None:
        other = self.server.listen(ipaddress.ip_address("127.0.0.2"))
        self.assertNotEqual(other, self.port)
        self.server.release(ipaddress.ip_address("127.0.0.2"))
        self.server.release(ipaddress.ip_address("127.0.0.2"))
        await rest(reactor, 0.02)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.2", other))

    async def test_paths_tell_their_events_apart(self) -> None:
        other = Heard()
        path = self.open(other)
        await self.exchange(self.notify(target=path.target))
        await other.until(1)
        self.assert_heard_nothing()

    async def test_address_that_is_not_ours(self) -> None:
        self.assertRaises(AddressingError, self.server.listen, ipaddress.ip_address("192.0.2.1"))

    async def test_F58_port_taken(self) -> None:
        taken = CallbackServer(reactor, port=self.port)
        self.addCleanup(taken.stop)
        port = taken.listen(LOOPBACK)
        self.assertNotIn(port, (0, self.port))
        said = f"callback port {self.port} of 127.0.0.1 is taken; another port is used"
        self.assertEqual(taken.problems, (said,))
        taken.release(LOOPBACK)
        taken.listen(LOOPBACK)
        self.assertEqual(taken.problems, (said,), "once")

    async def test_F58_port_refused(self) -> None:
        class Refusing(MemoryReactorClock):
            def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
                if port:
                    raise CannotListenError(interface, port, PermissionError(13, "Permission denied"))
                return super().listenTCP(port, factory, backlog, interface)

        server = CallbackServer(Refusing(), port=80)
        server.listen(LOOPBACK)
        said = "callback port 80 of 127.0.0.1 cannot be used: Permission denied; another port is used"
        self.assertEqual(server.problems, (said,))

    async def test_Q174_given_port(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            wanted = probe.getsockname()[1]
        server = CallbackServer(reactor, port=wanted)
        self.addCleanup(server.stop)
        self.assertEqual(server.listen(LOOPBACK), wanted)
        self.assertEqual(server.problems, ())

    async def test_Q173_advertised_address(self) -> None:
        public = (ipaddress.ip_address("192.0.2.77"), 4000)
        server = CallbackServer(reactor, advertised=public)
        self.addCleanup(server.stop)
        path = server.open(LOOPBACK, peers=[LOOPBACK], admits=self.heard.admits, on_notify=self.heard.on_notify)
        self.assertEqual(path.url, f"http://192.0.2.77:4000{path.target.decode()}")
        self.port = server.listen(LOOPBACK)
        octets = self.notify(BODY, b"HOST: 192.0.2.77:4000", target=path.target, without="HOST")
        self.assertEqual(await self.exchange(octets), OK)
        self.assertEqual(await self.exchange(octets.replace(b":4000", b":4001")), MISDIRECTED)

    async def test_Q171_ipv6(self) -> None:
        address = ipaddress.ip_address("::1")
        try:
            port = self.server.listen(address)
        except AddressingError as error:
            self.skipTest(f"no IPv6 loopback: {error}")
        path = self.server.open(address, peers=[address], admits=self.heard.admits, on_notify=self.heard.on_notify)
        self.assertTrue(path.url.startswith(f"http://[::1]:{port}/"))
        client = RawClient(self.notify(BODY, b"HOST: [::1]:%d" % port, target=path.target, without="HOST"), hold=False)
        self.clients.append(client)
        reactor.connectTCP("::1", port, RawFactory(client))
        self.assertEqual(await client.closed, OK)
        await self.heard.until(1)

    def test_Q171_host_of_link_local_and_of_port_80(self) -> None:
        paths = CallbackPaths(None, False)
        link_local = (ipaddress.ip_address("fe80::1"), 4000)
        self.assertTrue(paths.is_own(["[FE80::1]:4000"], link_local))
        self.assertFalse(paths.is_own(["fe80::1:4000"], link_local))
        self.assertFalse(paths.is_own(["[fe80::1]"], link_local))
        for host in ("127.0.0.1", "127.0.0.1:80"):
            self.assertTrue(paths.is_own([host], (LOOPBACK, 80)))
        path = CallbackPath(
            paths, (ipaddress.ip_address("fe80::1"), 1), [ipaddress.ip_address("fe80::2%lo")], bool, print
        )
        self.assertEqual(path.peers, {ipaddress.ip_address("fe80::2")})

    async def test_stop_closes_everything(self) -> None:
        held = [self.connect(self.head()[:30], hold=True) for _ in range(3)]
        await gatherResults([client.connected_now for client in held])
        await rest(reactor, 0.05)
        await gatherResults([self.server.stop(), self.server.stop()])
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", self.port))
        self.assertEqual(await gatherResults([client.closed for client in held]), [b""] * 3)
        self.assertRaises(Stopped, self.server.listen, LOOPBACK)
        self.assertRaises(Stopped, self.open, self.heard)

    async def test_stop_drops_events_not_handed_over(self) -> None:
        stop: Callable[[], Deferred[None]] = self.server.stop
        self.patch(callback_site.CallbackSite, "read", lambda *_: self.fail("handed over after the stop"))
        client = self.connect(self.notify())
        await client.connected_now
        while self.server.counters["accepted"] == 0:
            await deferLater(reactor, 0)
        await stop()
        await rest(reactor, 0.05)
        self.assert_heard_nothing()

    async def test_cancelled_stop_still_stops(self) -> None:
        self.connect(hold=True)
        await rest(reactor, 0.05)
        stopping = self.server.stop()
        stopping.addErrback(lambda _: None)
        stopping.cancel()
        await rest(reactor, 0.05)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", self.port))
