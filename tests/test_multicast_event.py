"""Multicast events as octets: what is read, what is refused, and what is a copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadMessage
from txigd.limits import EVENT_OCTETS, EVENT_PUBLISHERS, EVENT_REPEAT_SECONDS, EVENT_REPEATS
from txigd.upnp.eventing.gena import SEQ_MAX, following
from txigd.upnp.eventing.multicast_event import LEVELS, MulticastEvent, Repeats, parse, read_sealed, write

SAMPLE = (Path(__file__).with_name("messages") / "gena-multicast-notify.http").read_bytes()
UDN = "uuid:5e0ca1e1-0002-4a11-9d00-02aa55c3d101"


def edited(old: bytes, new: bytes) -> bytes:
    assert old in SAMPLE
    return SAMPLE.replace(old, new)


def event(seq: int, boot_id: int | None = 7, udn: str = UDN) -> MulticastEvent:
    return MulticastEvent(udn, "urn:x:service:S:1", "S1", seq, boot_id=boot_id)


class ReadingTests(SynchronousTestCase):
    def reason(self, datagram: bytes) -> str:
        return self.assertRaises(BadMessage, parse, datagram).reason

    def test_Q184_sample(self) -> None:
        self.assertEqual(
            parse(SAMPLE),
            MulticastEvent(
                UDN,
                "urn:schemas-upnp-org:service:Sample:1",
                "urn:upnp-org:serviceId:Sample1",
                4,
                "upnp:/warning",
                1609459200,
                {"Alarm": "overheat"},
            ),
        )

    def test_Q184_what_is_written_is_the_sample(self) -> None:
        self.assertEqual(write(parse(SAMPLE), host="239.255.255.246:7900"), SAMPLE)
        without = event(3)
        self.assertEqual(
            parse(write(replace(without, boot_id=None, values={"A": "<&>"}), host="x")).values, {"A": "<&>"}
        )
        self.assertNotIn(b"BOOTID", write(replace(without, boot_id=None), host="x"))

    def test_Q184_either_version_of_http_and_bare_line_ends(self) -> None:
        for datagram in (
            edited(b"HTTP/1.0", b"HTTP/1.1"),
            SAMPLE.replace(b"\r\n", b"\n"),
            b"\r\n" + SAMPLE + b"\0",
            edited(b"NTS: ", b"nts:").replace(b"SEQ: 4", b"Seq : 0004"),
        ):
            self.assertEqual((parse(datagram).seq, parse(datagram).values), (4, {"Alarm": "overheat"}))

    def test_F12_a_wrong_length_does_no_harm(self) -> None:
        for length in (b"144", b"0", b"9999", b"many"):
            self.assertEqual(parse(edited(b"CONTENT-LENGTH: 145", b"CONTENT-LENGTH: " + length)).seq, 4)

    def test_levels(self) -> None:
        for sent, read in {
            **{level: level for level in LEVELS},
            "UPNP:/Warning": "upnp:/warning",
            "upnp:/panic": "upnp:/general",
            "example.org:/hot": "example.org:/hot",
            "": "upnp:/general",
            "no level": "upnp:/general",
        }.items():
            self.assertEqual(parse(edited(b"upnp:/warning", sent.encode())).level, read, sent)
        self.assertEqual(parse(edited(b"LVL: upnp:/warning\r\n", b"")).level, "upnp:/general")

    def test_boot_id_is_optional(self) -> None:
        for sent in (b"", b"x", b"4294967296", b"-1"):
            self.assertIsNone(parse(edited(b"1609459200", sent)).boot_id, sent)

    def test_A1_what_is_no_multicast_event(self) -> None:
        for datagram, reason in (
            (b"", "head"),
            (b"NOTIFY * HTTP/1.0\r\n", "head"),
            (b"\0\xff" * 100 + b"\r\n\r\n", "head"),
            (SAMPLE + bytes(EVENT_OCTETS), "too large"),
            (edited(b"NOTIFY *", b"NOTIFY /path"), "start line"),
            (edited(b"NOTIFY *", b"M-SEARCH *"), "start line"),
            (edited(b"NT: upnp:event", b"NT: upnp:rootdevice"), "nt"),
            (edited(b"upnp:propchange", b"ssdp:alive"), "nt"),
            (edited(b"NTS: upnp:propchange\r\n", b""), "nt"),
            (edited(b"USN: ", b"X: "), "usn"),
            (edited(b"USN: ", b"USN: uuid:other\r\nUSN: "), "usn"),
            (edited(b"::urn", b"::" + b"x" * 300), "usn"),
            (edited(b"SVCID: ", b"X: "), "svcid"),
            (edited(b"serviceId:Sample1", b"x" * 200), "svcid"),
            (edited(b"SEQ: 4", b"X: 4"), "seq"),
            (edited(b"SEQ: 4", b"SEQ: 4\r\nSEQ: 5"), "seq"),
            (edited(b"SEQ: 4", b"SEQ: 4294967296"), "seq"),
            (edited(b"SEQ: 4", b"SEQ: -4"), "seq"),
            (edited(b"</e:propertyset>", b""), "xml"),
            (edited(b'<?xml version="1.0"?>', b"<!DOCTYPE a>"), "xml"),
            (edited(b"<e:property><Alarm>overheat</Alarm></e:property>", b""), "xml"),
            (SAMPLE.partition(b"<?xml")[0], "xml"),
        ):
            self.assertEqual(self.reason(datagram), reason, datagram[:200])

    def test_the_header_alone_opens_no_body(self) -> None:
        sealed = read_sealed(edited(b"</e:propertyset>", b""))
        self.assertEqual((sealed.event.udn, sealed.event.values), (UDN, {}))
        self.assertRaises(BadMessage, sealed.open)

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=3), st.integers(0, 40))
    @example(0, b"\n\n", 0)
    def test_A1_mutations_raise_nothing_else(self, at: int, put: bytes, cut: int) -> None:
        try:
            parse(SAMPLE[:at] + put + SAMPLE[at + cut :])
        except BadMessage:
            pass


class RepeatTests(SynchronousTestCase):
    def news(self, repeats: Repeats, *seqs: int, boot_id: int | None = 7, now: float = 0.0) -> list[int]:
        return [seq for seq in seqs if repeats.is_news(event(seq, boot_id), now)]

    def test_Q184_equal_seq_is_a_copy(self) -> None:
        self.assertEqual(self.news(Repeats(), 0, 0, 1, 1, 1, 2, 4, 4), [0, 1, 2, 4])

    def test_Q184_copies_that_were_overtaken(self) -> None:
        self.assertEqual(self.news(Repeats(), 5, 6, 5, 6, 7, 5), [5, 6, 7])

    def test_Q184_copies_on_every_link_and_after_an_hour(self) -> None:
        repeats = Repeats()
        self.assertEqual(self.news(repeats, 5), [5])
        self.assertEqual(self.news(repeats, 5, now=3600.0), [])

    def test_Q184_same_seq_of_another_usn_svcid_or_bootid(self) -> None:
        repeats = Repeats()
        for one in (
            event(4),
            event(4, 8),
            event(4, udn="uuid:other"),
            MulticastEvent(UDN, "urn:x:service:S:2", "S1", 4),
            MulticastEvent(UDN, "urn:x:service:S:1", "S2", 4),
        ):
            self.assertTrue(repeats.is_news(one, 0.0), one)
            self.assertFalse(repeats.is_news(one, 0.0), one)

    def test_wraparound_as_for_unicast(self) -> None:
        self.assertEqual(following(SEQ_MAX), 1)
        self.assertEqual(self.news(Repeats(), SEQ_MAX - 1, SEQ_MAX, 1, SEQ_MAX, 2, 1), [SEQ_MAX - 1, SEQ_MAX, 1, 2])
        self.assertEqual(self.news(Repeats(), 0, SEQ_MAX), [0, SEQ_MAX])

    def test_Q182_a_publisher_that_counts_anew(self) -> None:
        repeats = Repeats()
        self.assertEqual(self.news(repeats, 5000, 5000 - EVENT_REPEATS), [5000])
        self.assertEqual(self.news(repeats, 0, 0, 1), [0, 1], "far behind")
        self.assertEqual(self.news(repeats, 0, boot_id=8), [0], "another boot")

    def test_Q182_without_bootid_a_silence_ends_the_count(self) -> None:
        repeats = Repeats()
        self.assertEqual(self.news(repeats, 3, 3, boot_id=None), [3])
        self.assertEqual(self.news(repeats, 0, boot_id=None, now=EVENT_REPEAT_SECONDS - 1), [])
        self.assertEqual(self.news(repeats, 0, boot_id=None, now=2 * EVENT_REPEAT_SECONDS), [0])

    def test_A3_the_table_is_bounded_and_drops_the_quietest(self) -> None:
        repeats = Repeats()
        for number in range(EVENT_PUBLISHERS + 10):
            repeats.is_news(event(1, udn=f"uuid:{number}"), 0.0)
            repeats.is_news(event(1, udn="uuid:0"), 0.0)
        self.assertEqual(len(repeats), EVENT_PUBLISHERS)
        self.assertFalse(repeats.is_news(event(1, udn="uuid:0"), 0.0), "kept, for it speaks")
        self.assertTrue(repeats.is_news(event(1, udn="uuid:1"), 0.0), "forgotten")

    @given(st.integers(0, SEQ_MAX), st.integers(1, 50))
    def test_every_step_forward_is_news_once(self, start: int, steps: int) -> None:
        repeats, seq = Repeats(), start
        for _ in range(steps):
            self.assertTrue(repeats.is_news(event(seq), 0.0))
            self.assertFalse(repeats.is_news(event(seq), 0.0))
            seq = following(seq)
