"""The lenient reply reader: what gateways send is read, what must not pass does not, whatever the cut."""

from __future__ import annotations

import http.client
import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadReply, ExchangeError, ReplyRefused, ReplyTooLarge
from txigd.limits import DESCRIPTION_OCTETS, HTTP_HEADERS
from txigd.upnp.http_reply import Reply, ReplyReader

SAMPLES = Path(__file__).parent / "messages"
XML = b'<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0"><device/></root>'
HEAD = b"HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/xml\r\n"


def reader(body_cap: int = DESCRIPTION_OCTETS, no_body: bool = False, **keywords: int) -> ReplyReader:
    return ReplyReader(body_cap, no_body, **keywords)


def read(data: bytes, into: ReplyReader | None = None, *, step: int = 0, clean: bool = True) -> ReplyReader:
    """Feed ``data`` in pieces of ``step`` octets (0: whole), then end the connection."""
    into = into or reader()
    for at in range(0, len(data), step or len(data) or 1):
        into.feed(data[at : at + (step or len(data))])
    into.finish(clean)
    return into


def outcome(pieces: Iterable[bytes], into: ReplyReader, clean: bool = True) -> tuple[Any, ...]:
    """What comes of the octets: the reply's parts, or the kind of error."""
    try:
        for piece in pieces:
            into.feed(piece)
        into.finish(clean)
    except ExchangeError as error:
        return (type(error),)
    return into.status, into.reason, tuple(into.headers), into.body


def both(data: bytes, **keywords: Any) -> ReplyReader:
    """Read whole and octet by octet; the same must come of it."""
    whole, slow = read(data, reader(**keywords)), read(data, reader(**keywords), step=1)
    assert (whole.status, whole.headers, whole.body) == (slow.status, slow.headers, slow.body)
    return whole


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


class SampleTests(SynchronousTestCase):
    """Every sample of a reply, against Python's own reader."""

    def samples(self) -> list[Path]:
        found = [
            path
            for path in sorted(SAMPLES.glob("*.http"))
            if path.read_bytes()[:5] == b"HTTP/" and not path.name.startswith("ssdp-")
        ]
        self.assertGreater(len(found), 80)
        return found

    def test_every_sample_whole_and_by_octet(self) -> None:
        for path in self.samples():
            data = path.read_bytes()
            no_body = "subscribe" in path.name or "renew" in path.name
            fast = outcome([data], reader(no_body=no_body))
            slow = outcome((data[at : at + 1] for at in range(len(data))), reader(no_body=no_body))
            self.assertEqual(fast, slow, path.name)
            if path.name == "soap-bad-response-truncated.http":
                self.assertEqual(fast, (BadReply,), path.name)
                continue
            self.assertEqual(len(fast), 4, (path.name, fast))
            known = http.client.HTTPResponse(_Socket(data))  # type: ignore[arg-type]
            known.begin()
            self.assertEqual((fast[0], fast[1]), (known.status, known.reason), path.name)
            body = b"" if no_body else known.read()
            self.assertEqual(fast[3], body[: len(fast[3])], path.name)
            self.assertEqual(body[len(fast[3]) :].strip(b"\r\n \0"), b"", path.name)

    def test_note_wrt54g_description_Q043(self) -> None:
        got = both((SAMPLES / "note2004-wrt54g-description-response.http").read_bytes())
        self.assertTrue(got.body.endswith(b"</root>"))
        self.assertIn(("CONTENT-TYPE", "application/octet-stream"), got.headers)

    def test_interim_reply_is_skipped(self) -> None:
        got = both((SAMPLES / "soap-response-100-continue.http").read_bytes())
        self.assertEqual(got.status, 200)
        self.assertTrue(got.body.endswith(b"Envelope>"), got.body[-30:])


class ReplyTests(SynchronousTestCase):
    def test_get_is_blind_to_case_and_underscore(self) -> None:
        reply = Reply(200, "OK", (("Sid", "uuid:1"), ("SID", "uuid:2"), ("NEXT_BOOTID", "7")))
        self.assertEqual(reply.get("SID"), "uuid:1")
        self.assertEqual(reply.get("next-bootid"), "7")
        self.assertEqual(reply.get("TIMEOUT", "none"), "none")


class HeadTests(SynchronousTestCase):
    """Start line and fields."""

    def test_Q044_version_without_slash(self) -> None:
        got = both(b"HTTP1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((got.status, got.reason), (200, "OK"))

    test_Q186_version_without_slash = test_Q044_version_without_slash

    def test_odd_status_lines(self) -> None:
        for line, status, reason in [
            (b"HTTP/1.1 200", 200, ""),
            (b"HTTP/1.1  200  OK then", 200, "OK then"),
            (b"http/1.0 500 Internal Server Error", 500, "Internal Server Error"),
            (b"HTTP/9.9 200 OK", 200, "OK"),
            (b"HTTP/1.1 200OK", 200, "OK"),
            (b"\r\n\n\r\r\nHTTP/1.1 404 Not Found", 404, "Not Found"),
        ]:
            got = both(line + b"\r\nContent-Length: 0\r\n\r\n")
            self.assertEqual((got.status, got.reason), (status, reason), line)

    def test_no_status_line(self) -> None:
        for line in (
            b"HTTP/1.1 abc",
            b"HTTP/1.1",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 20",
            b"<root/>",
            b"\x16\x03\x01",
            b"ICY 200",
        ):
            self.assertRaises(BadReply, read, line + b"\r\n\r\n")
            self.assertRaises(BadReply, read, line + b"\r\n\r\n", step=1)

    def test_garbage_is_told_before_its_line_ends(self) -> None:
        self.assertRaises(BadReply, reader().feed, b"SSH-2.0-dropbear")

    def test_Q045_glued_fields(self) -> None:
        got = both((SAMPLES / "intro-huawei-description-response-start.http").read_bytes())
        self.assertIn(("Connection", "close"), got.headers)
        self.assertIn(("Content-Type", "text/xml"), got.headers)
        self.assertIn(("Cache-Control", "no-cache"), got.headers)
        self.assertIn(("Pragma", "no-cache"), got.headers)

    def test_Q045_glued_length_counts(self) -> None:
        got = reader()
        self.assertTrue(got.feed(b"HTTP/1.1 200 OK\r\nConnection: close Content-Length: 2\r\n\r\nok"))
        self.assertEqual(got.body, b"ok")

    def test_values_with_colons_stay_whole(self) -> None:
        got = both(HEAD + b"SID: uuid:1 a:b\r\nX: see date or http://x/ y:z\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(("SID", "uuid:1 a:b"), got.headers)
        self.assertIn(("X", "see date or http://x/ y:z"), got.headers)

    def test_lenient_fields(self) -> None:
        got = both(
            b"HTTP/1.1 200 OK\n folded onto nothing\nServer : x\nno colon here\n: no name\nempty:\n"
            b"Long: one\n\ttwo\n  three\ncontent-length:2\n\nok"
        )
        expected = [("Server", "x"), ("empty", ""), ("Long", "one two three"), ("content-length", "2")]
        self.assertEqual(got.headers, expected)
        self.assertEqual(got.body, b"ok")

    def test_latin1_values(self) -> None:
        got = both(b"HTTP/1.1 200 Gr\xfc\xdf\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((got.reason, got.headers[0]), ("Grüß", ("X", "é")))

    def test_L3_B1_header_flood_in_all(self) -> None:
        head = reader()
        with self.assertRaises(ReplyTooLarge):
            for _ in range(100):
                head.feed(b"X: " + b"a" * 1000 + b"\r\n" if head.status else b"HTTP/1.1 200 OK\r\n")

    def test_L3_number_of_fields(self) -> None:
        line = b"X: 1\r\n"
        both(HEAD + line * (HTTP_HEADERS - 2) + b"Content-Length: 0\r\n\r\n")
        self.assertRaises(ReplyTooLarge, read, HEAD + line * (HTTP_HEADERS - 1) + b"Content-Length: 0\r\n\r\n")

    def test_L3_one_line_without_end(self) -> None:
        self.assertRaises(ReplyTooLarge, read, b"HTTP/1.1 200 " + b"a" * 9000)
        self.assertRaises(ReplyTooLarge, read, HEAD + b"X: " + b"a" * 9000)

    def test_L6_interim_flood(self) -> None:
        self.assertRaises(ReplyTooLarge, read, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def test_blank_line_flood(self) -> None:
        self.assertRaises(ReplyTooLarge, read, b"\r\n" * 20_000)

    def test_L5_A8_redirects_are_refused(self) -> None:
        for status in (300, 301, 302, 303, 304, 307, 308):
            refused = self.assertRaises(ReplyRefused, reader().feed, b"HTTP/1.1 %d X\r\n" % status)
            self.assertEqual(str(refused), "redirect")

    def test_L4_B3_content_coding_is_refused_before_the_body(self) -> None:
        for coding in (b"gzip", b"deflate", b"x-gzip, identity", b"br"):
            self.assertRaises(ReplyRefused, reader().feed, HEAD + b"Content-Encoding: " + coding + b"\r\n\r\n")
        both(HEAD + b"Content-Encoding: identity\r\nContent-Length: 0\r\n\r\n")

    def test_Q187_transfer_codings(self) -> None:
        self.assertRaises(ReplyRefused, reader().feed, HEAD + b"Transfer-Encoding: gzip\r\n\r\n")
        self.assertRaises(ReplyRefused, reader().feed, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n")
        self.assertEqual(both(HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok").body, b"ok")
        self.assertEqual(both(HEAD + b"Transfer-Encoding: identity, Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").body, b"ok")

    def test_B4_crafted_values_cost_nothing(self) -> None:
        # outcome only: a quadratic pattern would show as a test that hangs
        for value in (b" " * 8000, b" connection" * 700, b'";' * 4000, b"a:" * 4000, b"\t" * 8000 + b":"):
            both(HEAD + b"Content-Type: " + value + b"\r\nContent-Length: 0\r\n\r\n")
        self.assertRaises(BadReply, read, b"HTTP/1.1" + b" " * 8000 + b"x\r\n")
        self.assertRaises(BadReply, read, b"HTTP" + b"1." * 4000 + b"x 200\r\n")

    def test_H28_L21_cookies_by_the_thousand(self) -> None:
        self.assertRaises(ReplyTooLarge, read, HEAD + b"Set-Cookie: a=1\r\n" * 5000 + b"\r\n")

    def test_head_cut_short(self) -> None:
        self.assertRaises(BadReply, read, b"")
        self.assertRaises(BadReply, read, HEAD)
        self.assertRaises(BadReply, read, b"HTTP/1.1 100 Continue\r\n\r\n")


class BodylessTests(SynchronousTestCase):
    """Answers to SUBSCRIBE: the head is all."""

    def test_head_completes(self) -> None:
        for extra in (b"", b"Content-Length: 0\r\n", b"Content-Length: 99\r\n", b"Transfer-Encoding: chunked\r\n"):
            head = reader(no_body=True)
            self.assertTrue(head.feed(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\n" + extra + b"\r\n"))
            self.assertEqual(head.body, b"")

    def test_no_blank_line_at_the_end(self) -> None:
        got = both(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-3", no_body=True)
        self.assertEqual(got.headers, [("SID", "uuid:1")])  # a value cut in the middle is no value
        self.assertRaises(BadReply, read, b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\n", reader(no_body=True), clean=False)

    def test_204_has_no_body(self) -> None:
        self.assertTrue(reader().feed(b"HTTP/1.1 204 No Content\r\n\r\n"))


class SizedTests(SynchronousTestCase):
    """Content-Length, right and wrong."""

    def test_surplus_is_ignored(self) -> None:
        self.assertEqual(both(HEAD + b"Content-Length: 2\r\n\r\nok and more").body, b"ok")

    def test_Q046_length_too_big(self) -> None:
        got = both(HEAD + b"Content-Length: 5000\r\n\r\n" + XML + b"\r\n")
        self.assertEqual(got.body.rstrip(), XML)
        self.assertEqual(read(HEAD + b"Content-Length: 5000\r\n\r\n" + XML, clean=False).body, XML)

    test_Q188_short_body_with_its_root_closed = test_Q046_length_too_big

    def test_Q046_length_too_big_on_an_open_connection(self) -> None:
        got = reader()
        self.assertFalse(got.feed(HEAD + b"Content-Length: 5000\r\n\r\n" + XML[:-1]))
        self.assertFalse(got.settled)
        self.assertFalse(got.feed(XML[-1:]))
        self.assertTrue(got.settled)

    def test_Q046_length_too_small(self) -> None:
        for length in (1, 30, 60, len(XML) - 1):
            got = both(HEAD + b"Content-Length: %d\r\n\r\n" % length + XML)
            self.assertEqual(got.body, XML)

    def test_Q046_length_too_small_and_never_closed(self) -> None:
        got = reader()
        self.assertFalse(got.feed(HEAD + b"Content-Length: 60\r\n\r\n" + XML[:60]))
        self.assertTrue(got.settled)  # the length is there: it is for the XML parser to judge
        got.finish(clean=False)
        self.assertEqual(got.body, XML[:60])

    def test_Q188_short_body_with_its_root_open(self) -> None:
        for clean in (True, False):
            self.assertRaises(BadReply, read, HEAD + b"Content-Length: 5000\r\n\r\n" + XML[:-1], clean=clean)
        self.assertRaises(BadReply, read, HEAD + b"Content-Length: 5000\r\n\r\nnot XML at all")

    def test_Q049_equal_lengths(self) -> None:
        for fields in (b"Content-Length: 2\r\ncontent-length : 2", b"Content-Length: 2, 2", b"Content-Length: +2"):
            got = reader()
            self.assertTrue(got.feed(HEAD + fields + b"\r\n\r\nok"), fields)

    def test_Q049_differing_lengths(self) -> None:
        got = both(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nread to close")
        self.assertEqual(got.body, b"read to close")

    def test_lengths_that_are_none(self) -> None:
        for length in (b"-1", b"abc", b"0x10", "\u0663".encode(), b"1 2"):
            self.assertEqual(both(HEAD + b"Content-Length: " + length + b"\r\n\r\n" + XML).body, XML, length)

    def test_B1_length_above_the_cap_is_refused_before_the_body(self) -> None:
        for length in (b"257", b"1" * 5000):
            head = HEAD + b"Content-Length: " + length + b"\r\n\r\n"
            self.assertRaises(ReplyTooLarge, reader(256).feed, head)
        read(HEAD + b"Content-Length: 256\r\n\r\n" + b"a" * 256, reader(256))
        read(HEAD + b"Content-Length: 0000000000000000000000001\r\n\r\na", reader(256))


class OpenTests(SynchronousTestCase):
    """No usable length."""

    def test_Q047_F62_root_ends_the_body(self) -> None:
        for document in (
            XML,
            b"<scpd>\n<actionList/></scpd>",
            b"\xef\xbb\xbf<?xml version='1.0'?><!-- </x> --><s:Envelope a='1'><s:Body/></s:Envelope  >",
            b"<SOAP-ENV:Envelope>x</SOAP-ENV:Envelope\r\n>",
            b"\r\n <root/>",
            b"<rootlike><root></root></rootlike>",
        ):
            for step in (1, len(document)):
                got = reader()
                got.feed(HEAD + b"\r\n")
                done = [got.feed(document[at : at + step]) for at in range(0, len(document), step)]
                self.assertTrue(done[-1], document)
                self.assertFalse(any(done[:-1]), document)
                self.assertEqual(got.body, document)

    def test_Q047_another_closing_tag_is_none(self) -> None:
        got = reader()
        self.assertFalse(got.feed(HEAD + b"\r\n<root><a></a></roots></roo></root x></rootie"))
        self.assertFalse(got.settled)
        self.assertTrue(got.feed(b"</root>"))

    def test_Q043_close_ends_the_body(self) -> None:
        self.assertEqual(both(b"HTTP/1.0 200 OK\r\n\r\nno XML").body, b"no XML")
        self.assertEqual(both(b"HTTP/1.0 200 OK\r\n\r\n").body, b"")

    def test_Q188_reset_ends_no_body(self) -> None:
        self.assertRaises(BadReply, read, HEAD + b"\r\n" + XML[:-1], clean=False)
        self.assertEqual(read(HEAD + b"\r\n" + XML, clean=False).body, XML)

    def test_L23_an_open_body_is_not_settled(self) -> None:
        got = reader()
        got.feed(HEAD + b"\r\n" + XML[:-1])
        self.assertFalse(got.settled)

    def test_error_status_needs_no_end(self) -> None:
        got = reader()
        self.assertFalse(got.feed(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: M-POST\r\n\r\n"))
        self.assertTrue(got.settled)
        got.finish(clean=False)
        self.assertEqual((got.status, got.body), (405, b""))

    def test_B1_body_without_end(self) -> None:
        self.assertRaises(ReplyTooLarge, read, HEAD + b"\r\n" + b"a" * 257, reader(256))
        self.assertRaises(ReplyTooLarge, read, HEAD + b"\r\n<a>" + b"b" * 250 + b"</a>", reader(256))
        self.assertEqual(len(read(HEAD + b"\r\n<a>" + b"b" * 249 + b"</a>....", reader(256)).body), 256)

    def test_no_root_within_reach(self) -> None:
        for start in (b"<!-- " * 2000, b"<?" * 3000, b" " * 5000, b"<" + b"a" * 5000, b"<!DOCTYPE " + b"x" * 5000):
            got = both(HEAD + b"\r\n" + start + b"<r></r>")
            self.assertEqual(len(got.body), len(start) + 7)


class ChunkedTests(SynchronousTestCase):
    CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

    def test_Q048_forms(self) -> None:
        for framed in (
            b"2\r\nok\r\n0\r\n\r\n",
            b"2\nok\n0\n\n",
            b"1;x=y\r\no\r\n1 ; z\r\nk\r\n0;last\r\nTrailer: 1\r\n\r\n",
            b"0002\r\nok\r\n000\r\n",
            b"2\r\nok\r\n0\r\n",
            b"2\r\nok\r\n0",
            b" 2 \r\nok\r\n0\r\n\r\nmore",
        ):
            self.assertEqual(both(self.CHUNKED + framed).body, b"ok", framed)

    def test_length_beside_chunks_is_ignored(self) -> None:
        got = both(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        self.assertEqual(got.body, b"ok")

    def test_H25_H26_no_size(self) -> None:
        for size in (b"ZZ", b"-1", b"", b"0x2", b"+2"):
            self.assertRaises(BadReply, read, self.CHUNKED + size + b"\r\nok\r\n0\r\n\r\n")

    def test_chunk_that_goes_on(self) -> None:
        self.assertRaises(BadReply, read, self.CHUNKED + b"2\r\nokay\r\n0\r\n\r\n")

    def test_B1_H07_too_much(self) -> None:
        for size in (b"101", b"f" * 15, b"f" * 16, b"f" * 400):
            self.assertRaises(ReplyTooLarge, reader(256).feed, self.CHUNKED + size + b"\r\n")
        self.assertRaises(ReplyTooLarge, read, self.CHUNKED + b"80\r\n" + b"a" * 128 + b"\r\n81\r\n", reader(256))

    def test_framing_is_bounded_by_what_it_carries(self) -> None:
        small = self.CHUNKED + b"4\r\nabcd\r\n" * 6000 + b"0\r\n\r\n"
        self.assertEqual(len(read(small).body), 24_000)
        self.assertRaises(ReplyTooLarge, read, self.CHUNKED + (b"1;" + b"x" * 500 + b"\r\na\r\n") * 100)

    def test_Q188_cut_short(self) -> None:
        self.assertRaises(BadReply, read, self.CHUNKED + b"5\r\n<root")
        self.assertRaises(BadReply, read, self.CHUNKED + b"2\r\nok\r\n")
        self.assertEqual(both(self.CHUNKED + b"%x\r\n" % len(XML) + XML).body, XML)

    def test_root_closed_but_no_last_chunk_settles(self) -> None:
        got = reader()
        self.assertFalse(got.feed(self.CHUNKED + b"%x\r\n" % len(XML) + XML + b"\r\n"))
        self.assertTrue(got.settled)


FRAGMENTS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP1.0 500 X\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 ", b"404", b"302 F\r\n"),
    *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"X: y", b" Server: z"),
    *(b"\r\n", b"\n", b"\r", b" ", b":", b"0", b"5", b"1f", b"-1", b";e", b"\0", b"\xff", b"a" * 30),
    *(b"<?xml?>", b"<!-- ", b"-->", b"<!", b"<", b"<root>", b"<root/>", b"</root>", b"</root", b">", b"\xef\xbb\xbf"),
]
near_http = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(lambda parts: FRAGMENTS[0] + b"".join(parts)),
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(lambda parts: FRAGMENTS[0] + b"\r\n" + b"".join(parts)),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[low:high] for low, high in itertools.pairwise(marks)]


class AnyOctetsTests(SynchronousTestCase):
    """Whatever comes: a reply or a declared error, and the same for any cut."""

    @settings(max_examples=600, deadline=None)
    @given(near_http, st.lists(st.integers(0, 400), max_size=12), st.booleans(), st.booleans())
    def test_cut_does_not_matter(self, data: bytes, cuts: list[int], no_body: bool, clean: bool) -> None:
        outcomes = {
            outcome(cut, reader(48, no_body, overhead_cap=160), clean)
            for cut in ([data], pieces(data, cuts), [data[at : at + 1] for at in range(len(data))])
        }
        self.assertEqual(len(outcomes), 1, outcomes)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_damaged_samples(self, draw: Any) -> None:
        names = (
            "description-response-chunked",
            "soap-response-chunked",
            "soap-fault-718",
            "soap-response-100-continue",
        )
        data = bytearray((SAMPLES / f"{draw.draw(st.sampled_from(names))}.http").read_bytes())
        for _ in range(draw.draw(st.integers(0, 6))):
            at = draw.draw(st.integers(0, len(data) - 1))
            data[at : at + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
        cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=20))
        whole = outcome([bytes(data)], reader(2048))
        self.assertEqual(whole, outcome(pieces(bytes(data), cuts), reader(2048)))
