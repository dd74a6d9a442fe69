"""Hostile HTTP servers, threats H01-H28 and the rows they prove: each ends with a declared outcome, nothing is left."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import TestCase

from tests.raw_server import RawConnection, RawServer, answer, reactor, timers
from txigd.errors import BadReply, ExchangeError, ExchangeTimeout, ReplyRefused, ReplyTooLarge
from txigd.limits import HTTP_OVERHEAD_OCTETS
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply

HEAD = b"HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/xml\r\n"
GOOD = b"<root>good</root>"
CAP = 32 * 1024
DEADLINE = 0.5
Script = Callable[[RawConnection], object] | bytes


class HostileTests(TestCase):
    timeout = 180

    def server(self, script: Script, **keywords: Any) -> RawServer:
        server = RawServer(script, **keywords)
        self.addCleanup(lambda: ensureDeferred(server.stop()))
        return server

    async def outcome(self, script: Script, *, method: str = "GET", **keywords: Any) -> Reply | ExchangeError:
        """What comes of one exchange with that server; then both sides hold nothing."""
        server = self.server(script, **keywords)
        exchange = Exchange(reactor)
        result: Reply | ExchangeError
        try:
            result = await exchange.request(method, server.url(), body_cap=CAP, seconds=DEADLINE)
        except ExchangeError as error:
            result = error
        self.assertEqual(exchange._open, set())
        await server.all_gone()
        self.assertEqual(len(server.connections), 1)
        self.sent = server.connections[0].sent
        self.assertEqual(timers(), [])
        return result

    async def good(self, script: Script, body: bytes = GOOD, **keywords: Any) -> Reply:
        result = await self.outcome(script, **keywords)
        if not isinstance(result, Reply):
            self.fail(f"not read: {result!r}")
        self.assertEqual((result.status, result.body), (200, body))
        return result

    async def bad(self, script: Script, kind: type[ExchangeError], **keywords: Any) -> ExchangeError:
        result = await self.outcome(script, **keywords)
        if not isinstance(result, kind):
            self.fail(f"{kind.__name__} expected, not {result!r}")
        return result

    # -- good ones -------------------------------------------------------------------------------------------------

    async def test_H01_good(self) -> None:
        await self.good(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)

    async def test_H02_good_http10(self) -> None:
        await self.good(b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end")

    async def test_H27_version_9_9(self) -> None:
        await self.good(b"HTTP/9.9 200 OK\r\n\r\n" + GOOD)

    # -- slow and endless ones ---------------------------------------------------------------------------------------

    async def test_H03_L1_F41_drip(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(HEAD + b"Content-Length: 30000\r\n\r\n")
            it.endlessly(b"x", 0.05)

        await self.bad(script, ExchangeTimeout)

    async def test_H03_drip_without_length_L23(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(HEAD + b"\r\n<root>")
            it.endlessly(b"x", 0.05)

        await self.bad(script, ExchangeTimeout)

    async def test_H03_drip_of_headers(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(b"HTTP/1.1 200 OK\r\n")
            it.endlessly(b"X: y\r\n", 0.05)

        await self.bad(script, ExchangeTimeout)

    async def test_H04_L3_B1_endless_headers(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(b"HTTP/1.1 200 OK\r\n")
            it.endlessly(b"X: " + b"a" * 1020 + b"\r\n")

        await self.bad(script, ReplyTooLarge)

    async def test_H05_B1_endless_continuation_lines(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(HEAD)
            it.endlessly(b" " + b"a" * 1020 + b"\r\n")

        await self.bad(script, ReplyTooLarge)

    async def test_H06_L6_B1_endless_100_continue(self) -> None:
        await self.bad(lambda it: it.endlessly(b"HTTP/1.1 100 Continue\r\n\r\n" * 40), ReplyTooLarge)

    async def test_H07_B1_F41_endless_chunks(self) -> None:
        chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"

        def script(it: RawConnection) -> None:
            it.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            it.endlessly(chunk)

        await self.bad(script, ReplyTooLarge)

    async def test_H08_L23_B1_endless_body_without_length(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(HEAD + b"\r\n")
            it.endlessly(b"a" * 1024)

        await self.bad(script, ReplyTooLarge)

    async def test_H09_F41_hundred_megabytes_are_declared(self) -> None:
        # the body never comes: what is refused is the announcement
        await self.bad(lambda it: it.send(HEAD + b"Content-Length: 100000000\r\n\r\n"), ReplyTooLarge)

    async def test_H12_B2_F40_silent_after_accept(self) -> None:
        await self.bad(lambda it: None, ExchangeTimeout, at_once=True)

    async def test_H13_B2_half_a_header_then_silent(self) -> None:
        await self.bad(lambda it: it.send(b"HTTP/1.1 200 OK\r\nContent-Le"), ExchangeTimeout)

    async def test_F40_silent_in_mid_body(self) -> None:
        await self.bad(lambda it: it.send(HEAD + b"Content-Length: 99\r\n\r\n<root>"), ExchangeTimeout)

    async def test_F62_open_connection_is_read_at_its_root(self) -> None:
        await self.good(lambda it: it.send(b"HTTP/1.0 200 OK\nserver:x\n\n" + GOOD))

    async def test_L23_whole_document_at_the_deadline(self) -> None:
        # no guard cut it: the document was whole, the framing was not
        await self.good(lambda it: it.send(HEAD + b"Content-Length: 9999\r\n\r\n" + GOOD))

    # -- refused ones ------------------------------------------------------------------------------------------------

    async def test_H10_L4_B3_gzip_bomb(self) -> None:
        bomb = gzip.compress(b"\0" * 3_000_000)

        def script(it: RawConnection) -> None:
            it.send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb))
            it.later(0.05, lambda: it.send(bomb))

        refused = await self.bad(script, ReplyRefused)
        self.assertIn("gzip", str(refused))
        self.assertLess(self.sent, 200)  # refused before a single octet of it was sent

    async def test_H11_L5_A8_F43_redirects(self) -> None:
        elsewhere = self.server(answer(HEAD + b"\r\n" + GOOD))
        for status in (301, 302, 303, 307, 308):
            for where in (str(elsewhere.url()), "/loop", ""):
                head = f"HTTP/1.1 {status} Found\r\n" + (f"Location: {where}\r\n" if where else "")
                for method in ("GET", "POST", "SUBSCRIBE"):
                    refused = await self.bad(head.encode() + b"\r\n", ReplyRefused, method=method)
                    self.assertEqual(str(refused), "redirect")
        self.assertEqual(elsewhere.connections, [])

    async def test_H17_transfer_coding_gzip(self) -> None:
        await self.bad(HEAD + b"Transfer-Encoding: gzip\r\n\r\nxx", ReplyRefused)

    async def test_H28_L21_B3_cookies(self) -> None:
        await self.bad(HEAD + b"Set-Cookie: a=1; Path=/\r\n" * 5000 + b"\r\n" + GOOD, ReplyTooLarge)

    # -- broken ones -------------------------------------------------------------------------------------------------

    async def test_H14_Q188_closed_in_mid_body(self) -> None:
        await self.bad(HEAD + b"Content-Length: 99\r\n\r\n<root>half", BadReply)

    async def test_Q188_reset_in_mid_body(self) -> None:
        def script(it: RawConnection) -> None:
            it.send(HEAD + b"\r\n<root>half")
            it.later(0.05, it.transport.abortConnection)

        await self.bad(script, BadReply)

    async def test_closed_without_a_word(self) -> None:
        await self.bad(b"", BadReply)

    async def test_H15_status_abc(self) -> None:
        await self.bad(b"HTTP/1.1 abc Fine\r\n\r\n", BadReply)

    async def test_H16_binary_garbage(self) -> None:
        # on an open connection: told by the first octets, not by the deadline
        await self.bad(lambda it: it.send(bytes(range(128, 256)) * 4), BadReply)

    async def test_H21_status_of_5000_digits(self) -> None:
        await self.bad(b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n", BadReply)

    async def test_H25_chunk_size_ZZ(self) -> None:
        await self.bad(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n", BadReply)

    async def test_H26_chunk_size_negative(self) -> None:
        await self.bad(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nxx\r\n0\r\n\r\n", BadReply)

    # -- where stock Twisted gives up and gateways are read all the same ---------------------------------------------

    async def test_H18_Q049_Q187_two_differing_lengths(self) -> None:
        await self.good(HEAD + b"Content-Length: 3\r\nContent-Length: 99\r\n\r\n" + GOOD)

    async def test_H19_length_negative(self) -> None:
        await self.good(HEAD + b"Content-Length: -1\r\n\r\n" + GOOD)

    async def test_H20_L9_length_of_5000_digits(self) -> None:
        await self.bad(lambda it: it.send(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), ReplyTooLarge)

    async def test_H22_header_without_colon(self) -> None:
        await self.good(HEAD + b"what is this\r\n\r\n" + GOOD)

    async def test_H23_block_starts_with_a_fold(self) -> None:
        await self.good(b"HTTP/1.1 200 OK\r\n folded\r\nX: y\r\n\r\n" + GOOD)

    async def test_H24_empty_header_name(self) -> None:
        await self.good(HEAD + b": nothing\r\n\r\n" + GOOD)

    async def test_Q044_Q186_version_without_slash(self) -> None:
        await self.good(b"HTTP1.1 200 OK\r\n\r\n" + GOOD)

    async def test_Q048_chunk_lines_of_LF(self) -> None:
        await self.good(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\n" % len(GOOD) + GOOD + b"\n0\n")

    # -- what the guards let through ---------------------------------------------------------------------------------

    async def test_B1_cut_is_near_the_cap(self) -> None:
        """A paced flood shows how much was taken: the caps and what was on its way, no more."""

        def script(it: RawConnection) -> None:
            it.send(HEAD + b"\r\n")
            it.endlessly(b"a" * 8192, 0.005)

        await self.bad(script, ReplyTooLarge)
        self.assertGreater(self.sent, CAP)
        self.assertLess(self.sent, CAP + HTTP_OVERHEAD_OCTETS + 64 * 1024)

    async def test_B2_request_that_is_never_read(self) -> None:
        """The peer neither reads nor answers; a body beyond its buffers must not keep the connection open."""
        server = self.server(lambda it: it.transport.pauseProducing(), at_once=True)
        exchange = Exchange(reactor)
        asked = exchange.request("POST", server.url(), (), b"x" * 20_000_000, body_cap=CAP, seconds=DEADLINE)
        with self.assertRaises(ExchangeTimeout):
            await asked
        self.assertEqual((exchange._open, timers()), (set(), []))
        server.connections[0].transport.resumeProducing()
        await server.all_gone()

    async def test_B2_early_answer_to_a_request_that_is_never_read(self) -> None:
        """The answer is there, but closing waits for octets that the peer does not take: the deadline ends that."""

        def script(it: RawConnection) -> None:
            it.transport.pauseProducing()
            it.send(HEAD + b"Content-Length: 2\r\n\r\nok")

        server = self.server(script, at_once=True)
        exchange = Exchange(reactor)
        reply = await exchange.request("POST", server.url(), (), b"x" * 20_000_000, body_cap=CAP, seconds=DEADLINE)
        self.assertEqual(reply.body, b"ok")
        self.assertEqual((exchange._open, timers()), (set(), []))
        server.connections[0].transport.resumeProducing()
        await server.all_gone()
