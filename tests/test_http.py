"""The exchange: what goes on the wire octet for octet, when it ends and what it leaves behind."""

from __future__ import annotations

import io
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import error
from twisted.internet import reactor as installed
from twisted.internet.address import IPv4Address as HostV4
from twisted.internet.address import IPv6Address as HostV6
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import FileBodyProducer, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface.verify import verifyObject

from tests.raw_server import RawConnection, RawServer, answer, timers
from txigd.errors import (
    BadReply,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    InvalidArgument,
    ReplyTooLarge,
)
from txigd.interfaces import IExchange
from txigd.limits import HTTP_AGAIN_SECONDS
from txigd.upnp.http import DeviceAgent, DeviceResponse, Exchange, Octets, WireHeaders
from txigd.upnp.http_reply import Reply
from txigd.upnp.http_request import default_user_agent, request_octets
from txigd.upnp.url import DeviceURL, parse

reactor: Any = installed
SAMPLES = Path(__file__).parent / "messages"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
AGENT = "linux/6.1 UPnP/1.1 txigd/0.1"
BODY = b'<?xml version="1.0"?>\n<s:Envelope/>'
ACTION = '"urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress"'
SID = "uuid:0d1a6c2e-77a0-11eb-9439-0242ac130002"


class WireTests(TestCase):
    """Raw octets as a server on loopback gets them."""

    async def sent(self, method: str, headers: list[tuple[str, str]], body: bytes = b"", target: str = "/x") -> bytes:
        server = RawServer(OK)
        self.addCleanup(lambda: ensureDeferred(server.stop()))
        exchange = Exchange(reactor, user_agent=AGENT)
        url = server.url(target)
        reply = await exchange.request(method, url, headers, body, body_cap=100, seconds=5)
        self.assertEqual(reply.status, 200)
        self.assertEqual(len(server.requests), 1)
        return server.requests[0].replace(str(url.port).encode(), b"5000")

    async def expect(self, lines: list[str], method: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        target = lines[0].split()[1]
        got = await self.sent(method, headers, body, target)
        self.assertEqual(got, "\r\n".join([*lines, "", ""]).encode() + body)

    async def test_get_Q051_Q053_Q054_Q058_Q059(self) -> None:
        await self.expect(
            [
                "GET //a/../b?x=%7E&y= HTTP/1.1",
                "HOST: 127.0.0.1:5000",
                f"USER-AGENT: {AGENT}",
                "ACCEPT-LANGUAGE: en",
                "Connection: close",
            ],
            "GET",
            [("ACCEPT-LANGUAGE", "en")],
        )

    async def test_post_Q089_Q090_Q094_Q185(self) -> None:
        await self.expect(
            [
                "POST /ctl/IPConn HTTP/1.1",
                "HOST: 127.0.0.1:5000",
                f"USER-AGENT: {AGENT}",
                'CONTENT-TYPE: text/xml; charset="utf-8"',
                f"SOAPACTION: {ACTION}",
                f"Content-Length: {len(BODY)}",
                "Connection: close",
            ],
            "POST",
            [("CONTENT-TYPE", 'text/xml; charset="utf-8"'), ("SOAPACTION", ACTION)],
            BODY,
        )

    async def test_post_without_body(self) -> None:
        lines = ["POST / HTTP/1.1", "HOST: 127.0.0.1:5000", f"USER-AGENT: {AGENT}", "Content-Length: 0"]
        await self.expect([*lines, "Connection: close"], "POST", [])

    async def test_mpost_Q102_Q185(self) -> None:
        man = ("MAN", '"http://schemas.xmlsoap.org/soap/envelope/"; ns=01')
        await self.expect(
            [
                "M-POST /ctl/IPConn HTTP/1.1",
                "HOST: 127.0.0.1:5000",
                f"USER-AGENT: {AGENT}",
                f"MAN: {man[1]}",
                f"01-SOAPACTION: {ACTION}",
                f"Content-Length: {len(BODY)}",
                "Connection: close",
            ],
            "M-POST",
            [man, ("01-SOAPACTION", ACTION)],
            BODY,
        )

    async def test_subscribe_Q185(self) -> None:
        await self.expect(
            [
                "SUBSCRIBE /evt/IPConn HTTP/1.1",
                "HOST: 127.0.0.1:5000",
                f"USER-AGENT: {AGENT}",
                "CALLBACK: <http://192.0.2.10:45123/evt/7f3c1e9a>",
                "NT: upnp:event",
                "TIMEOUT: Second-1800",
                "Connection: close",
            ],
            "SUBSCRIBE",
            [
                ("CALLBACK", "<http://192.0.2.10:45123/evt/7f3c1e9a>"),
                ("NT", "upnp:event"),
                ("TIMEOUT", "Second-1800"),
            ],
        )

    async def test_renewal_Q185(self) -> None:
        lines = ["SUBSCRIBE /evt/IPConn HTTP/1.1", "HOST: 127.0.0.1:5000", f"USER-AGENT: {AGENT}", f"SID: {SID}"]
        headers = [("SID", SID), ("TIMEOUT", "Second-1800")]
        await self.expect([*lines, "TIMEOUT: Second-1800", "Connection: close"], "SUBSCRIBE", headers)

    async def test_unsubscribe_Q185(self) -> None:
        lines = ["UNSUBSCRIBE /evt/IPConn HTTP/1.1", "HOST: 127.0.0.1:5000", f"USER-AGENT: {AGENT}", f"SID: {SID}"]
        await self.expect([*lines, "Connection: close"], "UNSUBSCRIBE", [("SID", SID)])

    async def test_what_wrappers_add_stays_off_the_wire_L21_B3(self) -> None:
        headers = [("Accept-Encoding", "gzip"), ("cookie", "a=1"), ("Expect", "100-continue"), ("Host", "evil")]
        lines = ["GET / HTTP/1.1", "HOST: 127.0.0.1:5000", f"USER-AGENT: {AGENT}", "Connection: close"]
        await self.expect(lines, "GET", headers)

    async def test_own_user_agent_and_repeated_fields_keep_their_place(self) -> None:
        got = await self.sent("GET", [("X", "1"), ("User-Agent", "me/1"), ("x", "2")])
        self.assertIn(b":5000\r\nX: 1\r\nUser-Agent: me/1\r\nx: 2\r\nConnection: close\r\n\r\n", got)


class LoopbackTests(TestCase):
    """Whole exchanges over real sockets."""

    timeout = 180

    def server(self, script: Any, **keywords: Any) -> RawServer:
        server = RawServer(script, **keywords)
        self.addCleanup(lambda: ensureDeferred(server.stop()))
        return server

    def setUp(self) -> None:
        self.exchange = Exchange(reactor)

    def get(self, server: RawServer, method: str = "GET", **keywords: Any) -> Deferred[Reply]:
        return self.exchange.request(method, server.url(), **{"body_cap": 65536, "seconds": 5.0, **keywords})

    async def test_reply(self) -> None:
        sample = (SAMPLES / "soap-GetExternalIPAddress-response.http").read_bytes()
        server = self.server(sample)
        reply = await self.get(server)
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers[0], ("CONTENT-TYPE", 'text/xml; charset="utf-8"'))
        self.assertEqual(reply.body, sample.partition(b"\r\n\r\n")[2])
        self.assertEqual(reply.local_address, IPv4Address("127.0.0.1"))
        # when the Deferred fires, our side is closed and no timer runs
        self.assertEqual(timers(), [])
        await server.all_gone()

    async def test_error_statuses_are_replies(self) -> None:
        for name, status in [("soap-fault-718", 500), ("soap-405", 405), ("soap-fault-html", 500)]:
            reply = await self.get(self.server((SAMPLES / f"{name}.http").read_bytes()), "POST")
            self.assertEqual(reply.status, status)

    async def test_ipv6_literal(self) -> None:
        try:
            server = self.server(OK, interface="::1")
        except error.CannotListenError:
            self.skipTest("no IPv6 loopback")
        reply = await self.get(server)
        self.assertEqual(reply.local_address, IPv6Address("::1"))
        self.assertIn(f"HOST: [::1]:{server.url().port}\r\n".encode(), server.requests[0])

    async def test_Q050_our_half_stays_open(self) -> None:
        def slowly(connection: RawConnection) -> None:
            # a shut write half would have ended the connection here by then
            connection.later(0.1, lambda: answer(OK)(connection))

        self.assertEqual((await self.get(self.server(slowly))).body, b"ok")

    async def test_Q047_F62_open_connection_without_length(self) -> None:
        server = self.server(lambda it: it.send(b"HTTP/1.1 200 OK\r\n\r\n<root>x</root>\r\n"))
        self.assertEqual((await self.get(server)).body, b"<root>x</root>")
        await server.all_gone()

    async def test_Q046_settles_long_before_the_deadline(self) -> None:
        server = self.server(lambda it: it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<root>x</root>"))
        # the deadline is beyond this test's own time limit
        self.assertEqual((await self.get(server, seconds=600)).body, b"<root>x</root>")
        await server.all_gone()

    async def test_subscribe_answer_on_an_open_connection(self) -> None:
        server = self.server(lambda it: it.send(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-1800\r\n\r\n"))
        for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            reply = await self.get(server, method, seconds=600)
            self.assertEqual((reply.get("sid"), reply.body), ("uuid:1", b""))
        await server.all_gone()

    async def test_each_exchange_has_its_connection_F44(self) -> None:
        server = self.server(lambda it: it.send(OK))
        await gatherResults([self.get(server) for _ in range(5)])
        await self.get(server)
        self.assertEqual(len(server.connections), 6)
        await server.all_gone()

    async def test_refused_connection(self) -> None:
        server = RawServer(OK)
        url = server.url()
        await server.stop()
        with self.assertRaises(ConnectFailed) as caught:
            await self.exchange.request("GET", url, body_cap=10, seconds=5)
        self.assertIsInstance(caught.exception.__cause__, error.ConnectionRefusedError)
        self.assertEqual(timers(), [])

    async def test_unknown_zone(self) -> None:
        url = DeviceURL(IPv6Address("fe80::1%nosuchlink"), 80)
        with self.assertRaises(ConnectFailed):
            await self.exchange.request("GET", url, body_cap=10, seconds=5)
        self.assertEqual(timers(), [])

    async def test_B3_L21_cookies_are_never_sent_back(self) -> None:
        server = self.server(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")
        await self.get(server)
        await self.get(server)
        self.assertNotIn(b"cookie", server.requests[1].lower())
        self.assertEqual(list(self.exchange._cookies), [])

    async def test_L2_cancel_drops_the_connection(self) -> None:
        for sent in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):
            asked: Deferred[None] = Deferred()

            def script(it: RawConnection, sent: bytes = sent, asked: Deferred[None] = asked) -> None:
                it.send(sent)
                it.later(0.05, lambda: asked.callback(None))

            server = self.server(script)
            waiting = self.get(server)
            await asked
            waiting.cancel()
            with self.assertRaises(CancelledError):
                await waiting
            await server.all_gone()
            self.assertEqual(self.exchange._open, set())
            self.assertEqual(timers(), [])

    async def test_close_aborts_what_is_open(self) -> None:
        asked: Deferred[None] = Deferred()
        server = self.server(lambda it: asked.callback(None))
        waiting = self.get(server)
        await asked
        self.exchange.close()
        with self.assertRaises(ExchangeError):
            await waiting
        await server.all_gone()
        with self.assertRaises(ExchangeError):
            await self.get(server)
        self.assertEqual(len(server.connections), 1)

    async def test_Q193_exchanges_from_a_chosen_address_end_with_the_others(self) -> None:
        server = self.server(OK)
        sibling = self.exchange.sending_from(IPv4Address("127.0.0.9"))
        reply = await sibling.request("GET", server.url(), body_cap=100, seconds=5)
        self.assertEqual(reply.local_address, IPv4Address("127.0.0.9"))
        asked: Deferred[None] = Deferred()
        silent = self.server(lambda it: asked.callback(None))
        waiting = sibling.request("GET", silent.url(), body_cap=100, seconds=5)
        await asked
        self.exchange.close()
        with self.assertRaises(ExchangeError):
            await waiting
        with self.assertRaises(ExchangeError):
            await sibling.request("GET", server.url(), body_cap=100, seconds=5)
        await silent.all_gone()

    async def test_agent_by_itself(self) -> None:
        server = self.server(b"HTTP/1.1 200 Fine\r\nX-Odd Name: 1\r\nContent-Length: 4\r\n\r\nbody")
        agent = DeviceAgent(reactor, server.url(), body_cap=100, seconds=5)
        verifyObject(IAgent, agent)
        headers = Headers({"Content-Type": ["text/xml"]})
        response: Any = await agent.request(
            b"POST", str(server.url("/a")).encode(), headers, FileBodyProducer(io.BytesIO(b"<a/>"))
        )
        verifyObject(IResponse, response)
        self.assertEqual((response.code, response.phrase, response.length), (200, b"Fine", 4))
        self.assertEqual(await readBody(response), b"body")
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        self.assertEqual(
            (head.split(b"\r\n")[3:], body),
            ([b"Content-Type: text/xml", b"Content-Length: 4", b"Connection: close"], b"<a/>"),
        )


class FakeTransport(StringTransport):
    """Counts writes and ends like a TCP transport: in a later turn."""

    def __init__(self, clock: Any, protocol: Any, host: Any = None) -> None:
        super().__init__(hostAddress=host or HostV4("TCP", "192.0.2.10", 4711))
        self.writes: list[bytes] = []
        self.ended = ""
        self._clock, self._protocol = clock, protocol

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def loseConnection(self) -> None:
        self._end("lost", error.ConnectionDone())

    def abortConnection(self) -> None:
        self._end("aborted", error.ConnectionLost())

    def _end(self, how: str, why: Exception) -> None:
        if not self.ended:
            self.ended = how
            self._clock.callLater(0, self._protocol.connectionLost, Failure(why))


class ClockTests(SynchronousTestCase):
    """The ends of an exchange, on a clock of our own."""

    URL = parse("http://192.0.2.1:5000/x")

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.exchange = Exchange(self.clock, user_agent=AGENT, connect_seconds=3.0)

    def begin(self, method: str = "GET", url: DeviceURL = URL, body: bytes = b"") -> Deferred[Reply]:
        return self.exchange.request(method, url, (), body, body_cap=1000, seconds=10.0)

    def connected(self, host: Any = None) -> FakeTransport:
        factory: Any = self.clock.tcpClients[-1][2]
        protocol = factory.buildProtocol(None)
        transport = FakeTransport(self.clock, protocol, host)
        protocol.makeConnection(transport)
        self.protocol = protocol
        return transport

    def assert_idle(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.exchange._open, set())

    def test_verify(self) -> None:
        verifyObject(IExchange, self.exchange)
        verifyObject(IBodyProducer, Octets(b""))
        verifyObject(IResponse, DeviceResponse(Reply(200)))

    def test_Q093_one_write(self) -> None:
        self.begin("POST", body=b"<a>" + b"x" * 5000 + b"</a>")
        transport = self.connected()
        self.assertEqual(len(transport.writes), 1)
        self.assertTrue(transport.writes[0].endswith(b"Connection: close\r\n\r\n<a>" + b"x" * 5000 + b"</a>"))
        self.assertTrue(transport.no_delay)

    def test_Q053_zone_goes_to_the_socket_only(self) -> None:
        done = self.begin(url=DeviceURL(IPv6Address("fe80::1%eth7"), 5000, "/x"))
        self.assertEqual(self.clock.tcpClients[0][:2], ("fe80::1%eth7", 5000))
        transport = self.connected(HostV6("TCP", "fe80::2", 4711, 0, 7))
        self.assertIn(b"\r\nHOST: [fe80::1]:5000\r\n", transport.writes[0])
        self.protocol.dataReceived(OK)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(done).local_address, IPv6Address("fe80::2%eth7"))

    def test_Q053_port_80_is_left_out(self) -> None:
        self.begin(url=parse("http://192.0.2.1/x"))
        self.assertIn(b"\r\nHOST: 192.0.2.1\r\n", self.connected().writes[0])

    def test_success_closes_and_leaves_nothing(self) -> None:
        done = self.begin()
        transport = self.connected()
        self.protocol.dataReceived(OK[:-1])
        self.protocol.dataReceived(OK[-1:] + b"surplus")
        self.protocol.dataReceived(b"more")
        self.assertEqual(transport.ended, "lost")
        self.assertNoResult(done)
        self.clock.advance(0)
        self.assertEqual(
            self.successResultOf(done), Reply(200, "OK", (("Content-Length", "2"),), b"ok", IPv4Address("192.0.2.10"))
        )
        self.assert_idle()

    def test_B2_connect_timeout(self) -> None:
        done = self.begin()
        connector = self.clock.connectors[0]
        connector.stopConnecting = lambda: self.clock.tcpClients[0][2].clientConnectionFailed(
            connector, Failure(error.UserError())
        )
        self.clock.advance(2.9)
        self.assertNoResult(done)
        self.clock.advance(0.2)
        self.failureResultOf(done, ExchangeTimeout)
        self.assert_idle()

    def no_connection(self, kind: type[Exception] = error.TimeoutError) -> None:
        """The latest connection does not come about; after the time that it was given, if it is out of time."""
        _, _, factory, seconds, _ = self.clock.tcpClients[-1]
        connector = self.clock.connectors[-1]
        connector.stopConnecting = lambda: factory.clientConnectionFailed(connector, Failure(error.UserError()))
        if kind is error.TimeoutError:
            self.clock.advance(seconds)
        factory.clientConnectionFailed(connector, Failure(kind()))

    def test_F46_a_connection_that_does_not_come_about_soon_is_begun_anew(self) -> None:
        done = self.begin("POST", body=b"<a/>")
        for _ in HTTP_AGAIN_SECONDS:
            self.no_connection()
        seconds = [client[3] for client in self.clock.tcpClients]
        self.assertEqual(seconds, [*HTTP_AGAIN_SECONDS, 10.0 - sum(HTTP_AGAIN_SECONDS)])
        self.assertEqual({client[:2] for client in self.clock.tcpClients}, {("192.0.2.1", 5000)})
        transport = self.connected()
        self.assertEqual(len(transport.writes), 1)
        self.protocol.dataReceived(OK)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(done).body, b"ok")
        self.assert_idle()

    def test_F46_B2_the_last_one_has_what_is_left_and_no_more(self) -> None:
        done = self.begin()
        for _ in HTTP_AGAIN_SECONDS:
            self.no_connection()
        connector, client = self.clock.connectors[-1], self.clock.tcpClients[-1]
        connector.stopConnecting = lambda: client[2].clientConnectionFailed(connector, Failure(error.UserError()))
        self.clock.advance(3.0 - sum(HTTP_AGAIN_SECONDS) - 0.01)
        self.assertNoResult(done)
        self.clock.advance(0.02)
        self.assertFalse(self.failureResultOf(done, ExchangeTimeout).value.asked)
        self.assertEqual(len(self.clock.tcpClients), len(HTTP_AGAIN_SECONDS) + 1)
        self.assert_idle()

    def test_F46_a_refusal_is_final(self) -> None:
        done = self.begin()
        self.no_connection()
        self.no_connection(error.ConnectionRefusedError)
        self.failureResultOf(done, ConnectFailed)
        self.assertEqual(len(self.clock.tcpClients), 2)
        self.assert_idle()

    def test_F46_cancelling_ends_the_latest_connection(self) -> None:
        done = self.begin()
        self.no_connection()
        connector, client = self.clock.connectors[-1], self.clock.tcpClients[-1]
        connector.stopConnecting = lambda: client[2].clientConnectionFailed(connector, Failure(error.UserError()))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(len(self.clock.tcpClients), 2)
        self.assert_idle()

    def test_F46_no_new_connection_without_time(self) -> None:
        done = self.exchange.request("GET", self.URL, (), body_cap=10, seconds=0.1)
        self.assertEqual(self.clock.tcpClients[-1][3], 0.1)
        self.no_connection()
        self.failureResultOf(done, ExchangeTimeout)
        self.assertEqual(len(self.clock.tcpClients), 1)
        self.assert_idle()

    def test_F45_a_timeout_tells_whether_the_request_was_sent(self) -> None:
        done = self.begin()
        self.connected()
        self.clock.pump([10.1, 0])
        self.assertTrue(self.failureResultOf(done, ExchangeTimeout).value.asked)

    def test_B2_L1_total_deadline_is_not_moved_by_data(self) -> None:
        done = self.begin()
        self.clock.advance(2.5)
        transport = self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        for _ in range(14):
            self.clock.advance(0.5)
            self.protocol.dataReceived(b"x")
        self.assertEqual(transport.ended, "")
        self.clock.advance(0.5)
        self.assertEqual(transport.ended, "aborted")
        self.clock.advance(0)
        self.failureResultOf(done, ExchangeTimeout)
        self.assert_idle()

    def test_L23_deadline_in_an_open_body_is_no_success(self) -> None:
        done = self.begin()
        transport = self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n<root>some")
        self.clock.pump([9.9, 0.2, 0])
        self.assertEqual(transport.ended, "aborted")
        self.failureResultOf(done, ExchangeTimeout)
        self.assert_idle()

    def test_L23_cap_in_an_open_body_is_no_success(self) -> None:
        done = self.begin()
        transport = self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001)
        self.assertEqual(transport.ended, "aborted")
        self.clock.advance(0)
        self.failureResultOf(done, ReplyTooLarge)
        self.assert_idle()

    def test_Q046_settled_reply_waits_a_second_for_more(self) -> None:
        done = self.begin()
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<a></a>")
        self.clock.advance(0.9)
        self.protocol.dataReceived(b"\r\n")
        self.clock.advance(0.9)
        self.assertNoResult(done)
        self.clock.pump([0.2, 0])
        self.assertEqual(self.successResultOf(done).body, b"<a></a>\r\n")
        self.assert_idle()

    def test_Q046_settling_does_not_outlast_the_deadline(self) -> None:
        done = self.begin()
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<a></a>")
        for _ in range(18):
            self.clock.advance(0.5)
            self.protocol.dataReceived(b" ")
        self.clock.advance(0.5)
        self.protocol.dataReceived(b" ")
        self.clock.pump([0.5, 0])
        self.assertEqual(self.successResultOf(done).status, 200)
        self.assert_idle()

    def test_error_page_without_length_ends_with_a_second_of_silence(self) -> None:
        done = self.begin()
        self.connected()
        self.protocol.dataReceived(b"HTTP/1.1 500 X\r\n\r\n")
        self.clock.advance(0.5)
        self.protocol.dataReceived(b"why")
        self.clock.pump([0.9])
        self.assertNoResult(done)
        self.clock.pump([0.2, 0])
        self.assertEqual(self.successResultOf(done).body, b"why")

    def test_lost_connections(self) -> None:
        for data, why, kind in [
            (b"", error.ConnectionDone(), BadReply),
            (b"", error.ConnectionLost(), BadReply),
            (b"HTTP/1.1 200 OK\r\n\r\nno XML", error.ConnectionLost(), BadReply),
            (b"HTTP/1.1 200 OK\r\n\r\nno XML", error.ConnectionDone(), None),
        ]:
            done = self.begin()
            self.connected()
            self.protocol.dataReceived(data)
            self.protocol.connectionLost(Failure(why))
            if kind is None:
                self.assertEqual(self.successResultOf(done).body, b"no XML")
            else:
                self.failureResultOf(done, kind)
            self.assert_idle()

    def test_kernel_timeout_is_a_timeout(self) -> None:
        done = self.begin()
        factory: Any = self.clock.tcpClients[0][2]
        factory.clientConnectionFailed(None, Failure(error.TCPTimedOutError()))
        self.failureResultOf(done, ExchangeTimeout)
        self.assert_idle()

    def test_cancel_before_the_connection(self) -> None:
        done = self.begin()
        connector = self.clock.connectors[0]
        connector.stopConnecting = lambda: self.clock.tcpClients[0][2].clientConnectionFailed(
            connector, Failure(error.UserError())
        )
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assert_idle()

    def test_cancel_with_a_body_reaches_the_connection(self) -> None:
        done = self.begin("POST", body=b"<a/>")
        transport = self.connected()
        done.cancel()
        self.assertEqual(transport.ended, "aborted")
        self.failureResultOf(done, CancelledError)
        self.clock.advance(0)
        self.assert_idle()

    def test_bad_requests_are_not_sent(self) -> None:
        for headers in ([("X", "a\r\nY: b")], [("X\n", "a")], [("X", "a\0")], [("", "a")], [("X", "\u20ac")]):
            done = self.exchange.request("GET", self.URL, headers, body_cap=10, seconds=1)
            self.failureResultOf(done, InvalidArgument)
        for url in (
            self.URL.with_target("/a b"),
            self.URL.with_target("x"),
            self.URL.with_target("/\r\nX: 1"),
            self.URL.with_target("/\xe9"),
        ):
            self.failureResultOf(self.exchange.request("GET", url, body_cap=10, seconds=1), InvalidArgument)
        self.failureResultOf(self.exchange.request("G T", self.URL, body_cap=10, seconds=1), InvalidArgument)
        self.assertEqual(self.clock.tcpClients, [])
        self.assert_idle()

    def test_agent_stays_with_its_device_A8(self) -> None:
        agent = DeviceAgent(self.clock, self.URL, body_cap=10, seconds=1)
        for uri in (b"http://192.0.2.2:5000/x", b"https://192.0.2.1:5000/x", b"http://192.0.2.1:50000/x", b"/x", b""):
            self.failureResultOf(agent.request(b"GET", uri), InvalidArgument)
        self.assertEqual(self.clock.tcpClients, [])

    def test_headers_survive_copies(self) -> None:
        headers = WireHeaders([("SOAPACTION", "x"), ("NT", "y"), ("soapaction", "z")]).copy()
        headers.addRawHeader(b"Accept-Encoding", b"gzip")
        self.assertEqual(headers.copy().pairs, (("SOAPACTION", "x"), ("NT", "y"), ("soapaction", "z")))


class UserAgentTests(SynchronousTestCase):
    def test_form(self) -> None:
        self.assertRegex(default_user_agent(), r"^[A-Za-z]+/[0-9.]+ UPnP/1\.1 txigd/[0-9][0-9a-z.+]*$")

    def test_Q057_no_word_that_turns_a_gateway_into_igd1(self) -> None:
        with mock.patch("platform.release", return_value="5.15.0-microsoft-standard-WSL2"):
            said = default_user_agent()
        self.assertIn("/5.15.0 UPnP/1.1", said)
        self.assertNotRegex(said.lower(), "microsoft|fdssdp")


class RequestOctetsTests(SynchronousTestCase):
    def test_samples(self) -> None:
        """The samples differ from ours in the fields that every request gets, and in nothing else."""
        for name in ("gena-subscribe-request", "gena-renew-request", "gena-unsubscribe-request", "soap-mpost-request"):
            sample = (SAMPLES / f"{name}.http").read_bytes()
            head, _, body = sample.partition(b"\r\n\r\n")
            first, host, *rest = head.decode().split("\r\n")
            method, target, _ = first.split(" ")
            fields = [tuple(line.split(": ", 1)) for line in rest]
            given = [(name, value) for name, value in fields if name not in ("USER-AGENT", "CONTENT-LENGTH")]
            octets = request_octets(method, target, host[6:], "UA", given, body)
            lines = octets.decode().split("\r\n")
            expected = [first, host, "USER-AGENT: UA", *(f"{name}: {value}" for name, value in given)]
            self.assertEqual(lines[: len(expected)], expected)
            self.assertTrue(octets.endswith(b"Connection: close\r\n\r\n" + body))
