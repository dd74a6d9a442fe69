"""Quirks of HTTP (Q043-Q060, Q185-Q188) from the wire to the description: what a gateway sends, raw, over loopback.

One row of a table is one gateway; each of them is read by the whole way of txigd, from the socket to the tree. The
finer points are tested in test_http_reply.py, test_http.py and test_http_hostile.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.raw_server import RawConnection, RawServer, answer, reactor
from txigd.errors import DescriptionError, HTTPStatusError, ReplyRefused
from txigd.upnp.description.device import Description
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange
from txigd.upnp.http_request import default_user_agent

MESSAGES = Path(__file__).parent / "messages"
BODY = (MESSAGES / "description-igd1.xml").read_bytes()
UTF8 = BODY.decode("utf-8").replace("</friendlyName>", "é</friendlyName>", 1).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"
XML = b"Content-Type: text/xml\r\n"


def length(number: int) -> bytes:
    return b"Content-Length: %d\r\n" % number


def chunks(body: bytes, end: bytes, last: bytes) -> bytes:
    """The body in chunks of 1000 octets, their lines ended by ``end``."""
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    return b"".join(b"%x%s%s%s" % (len(piece), end, piece, end) for piece in pieces) + last


CLOSED: dict[str, bytes] = {
    "Q043 HTTP/1.0, no length, no XML type": b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"
    + BODY,
    "Q044 no slash in the version": b"HTTP1.1 200 OK\r\n" + XML + length(len(BODY)) + b"\r\n" + BODY,
    "Q045 two fields on one line": HEAD + b"Connection: close Content-Type: text/xml\r\n\r\n" + BODY,
    "Q045 the length glued on": HEAD + b"Server: x Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "Q046 length too big": HEAD + length(len(BODY) + 99) + b"\r\n" + BODY,
    "Q046 length in characters, not octets": HEAD + length(len(UTF8.decode())) + b"\r\n" + UTF8,
    "Q046 multi-byte counted twice": HEAD + length(len(UTF8) + 1) + b"\r\n" + UTF8,
    "Q048 chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(BODY, b"\r\n", b"0\r\n\r\n"),
    "Q048 chunked, LF only": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(BODY, b"\n", b"0\n\n"),
    "Q048 chunked, the end cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(BODY, b"\r\n", b"0\r\n"),
    "Q049 equal lengths": HEAD + 2 * length(len(BODY)) + b"\r\n" + BODY,
    "Q049 differing lengths": HEAD + length(17) + length(len(BODY)) + b"\r\n" + BODY,
    "Q060 no type": HEAD + length(len(BODY)) + b"\r\n" + BODY,
    "Q060 another type": HEAD + b"Content-Type: text/html\r\n" + length(len(BODY)) + b"\r\n" + BODY,
    "Q187 a coding that says nothing": HEAD + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "Q188 no length": HEAD + b"\r\n" + BODY,
    "F62 lower case and LF only": b"HTTP/1.0 200 OK\nserver: x\ncontent-length:%d\n\n" % len(BODY) + BODY,
}
OPEN: dict[str, bytes] = {
    "Q047 no length, connection open": HEAD + XML + b"\r\n" + BODY,
    "Q046 length too big, connection open": HEAD + length(len(BODY) + 99) + b"\r\n" + BODY,
}


class DescriptionCase(TestCase):
    """Fetches over real sockets."""

    timeout = 180

    def setUp(self) -> None:
        self.exchange = Exchange(reactor)
        self.addCleanup(self.exchange.close)

    async def fetch(self, script: Callable[[RawConnection], object] | bytes, seconds: float = 10) -> Description:
        self.server = RawServer(script)
        self.url = self.server.url("/root.xml")
        try:
            return await fetch_description(self.exchange, self.url, seconds=seconds)
        finally:
            await self.server.stop()


class RepliesTests(DescriptionCase):
    ids = {"Q043", "Q044", "Q045", "Q046", "Q047", "Q048", "Q049", "Q060", "Q187", "Q188"}

    async def test_every_reply_gives_the_description(self) -> None:
        whole = (await self.fetch(CLOSED["Q060 no type"])).root
        for name, octets in CLOSED.items():
            root = (await self.fetch(octets)).root
            self.assertEqual(root.udn, whole.udn, name)
            self.assertEqual(len(list(root.all_services())), len(list(whole.all_services())), name)

    async def test_every_reply_in_single_octets_at_the_head(self) -> None:
        for name, octets in CLOSED.items():

            def drip(connection: RawConnection, octets: bytes = octets) -> None:
                for at in range(40):
                    connection.later(at * 0.001, lambda at=at: connection.send(octets[at : at + 1]))  # type: ignore[misc]
                connection.later(0.06, lambda: answer(octets[40:])(connection))

            self.assertTrue((await self.fetch(drip)).root.udn, name)

    async def test_Q047_Q046_the_connection_stays_open(self) -> None:
        for name, octets in OPEN.items():
            root = (await self.fetch(lambda connection, octets=octets: connection.send(octets))).root  # type: ignore[misc]
            self.assertTrue(root.udn, name)
            self.assertFalse(self.server.connections[0].alive, "it is we who close")


class RequestsTests(DescriptionCase):
    """What a gateway is asked."""

    async def test_Q053_Q054_Q057_Q058_Q059_Q051_the_whole_request(self) -> None:
        await self.fetch(CLOSED["Q060 no type"])
        self.assertEqual(
            self.server.requests,
            [
                b"GET /root.xml HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\nUSER-AGENT: %s\r\nConnection: close\r\n\r\n"
                % (self.url.port, default_user_agent().encode())
            ],
        )

    async def test_Q050_our_half_stays_open(self) -> None:
        def late(connection: RawConnection) -> None:
            connection.later(0.3, lambda: answer(CLOSED["Q188 no length"])(connection) if connection.alive else None)

        self.assertTrue((await self.fetch(late)).root.udn)

    async def test_Q059_a_hundred_continue_that_nobody_asked_for(self) -> None:
        self.assertTrue((await self.fetch(b"HTTP/1.1 100 Continue\r\n\r\n" + CLOSED["Q060 no type"])).root.udn)


class RefusalsTests(DescriptionCase):
    """What is no description, and what is said then."""

    async def test_Q055_a_login_page(self) -> None:
        page = b"<html><head><title>Please log in</title></head></html>"
        for number, error in ((200, DescriptionError), (501, HTTPStatusError)):
            with self.assertRaises(error) as caught:
                await self.fetch(b"HTTP/1.1 %d X\r\n" % number + length(len(page)) + b"\r\n" + page)
            self.assertIn("Please log in", str(caught.exception))

    async def test_Q058_gzip_is_not_asked_for_and_refused(self) -> None:
        with self.assertRaises(ReplyRefused):
            await self.fetch(HEAD + b"Content-Encoding: gzip\r\n" + length(9) + b"\r\nnot read!")
        self.assertNotIn(b"encoding", self.server.requests[0].lower())

    async def test_Q052_empty_after_boot(self) -> None:
        for octets in (HEAD + length(0) + b"\r\n", b"HTTP/1.1 404 Not Found\r\n" + length(0) + b"\r\n"):
            with self.assertRaises((DescriptionError, HTTPStatusError)):
                await self.fetch(octets)
