"""The support report itself: what is masked and how, its file, and the move of what it holds to another place."""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadReport, InvalidArgument
from txigd.igd import report_secrets
from txigd.igd.report import Datagram, Event, Exchanged, Report, Step, View, chunks, masked, through
from txigd.igd.report_format import from_text, to_text
from txigd.igd.report_mask import Mask
from txigd.igd.status import AddressClass, classify
from txigd.limits import REPORT_OCTETS, REPORT_STEPS
from txigd.testing.replay import Received
from txigd.testing.reported_replies import Move, Replies, announcements, notify, served
from txigd.upnp import url, xml
from txigd.upnp.http_reply import ReplyReader

SAMPLES = Path(__file__).parent / "messages"
MAC = "00:90:A2:77:77:7B"


def mask(*texts: bytes, known: tuple[str, ...] = ()) -> tuple[bytes, ...]:
    """All texts of one report, masked."""
    one = Mask(known)
    for text in texts:
        one.learn(text)
    return tuple(one.apply(text) for text in texts)


def http(body: bytes, *fields: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join([*head, b"", b""]) + body


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


class MaskTests(SynchronousTestCase):
    def test_one_mac_in_all_its_spellings(self) -> None:
        (out,) = mask(
            b"<a>00:90:A2:77:77:7B 00-90-a2-77-77-7b 0090.a277.777b 0090A277777B"
            b" uuid:8c80f73f-4ba0-45fa-835d-0090a277777b uuid:upnp-IGD-1_0-0090a277777b xSN0090A277777Bx</a>"
        )
        self.assertEqual(
            out,
            b"<a>02:00:00:00:00:01 02-00-00-00-00-01 0200.0000.0001 020000000001"
            b" uuid:00000001-0000-4000-8000-020000000001 uuid:upnp-IGD-1_0-020000000001 xSN020000000001x</a>",
        )

    def test_a_mac_in_unusual_spellings(self) -> None:
        for text, masked_text in (
            (b"0090-a277-777b", b"0200-0000-0001"),
            (b"0090A2-77777B", b"020000-000001"),
            (b"0:90:a2:77:77:7b,", b"2:00:00:00:00:01,"),
            (b"SN:0:90:a2:77:77:7b.", b"SN:2:00:00:00:00:01."),
            (b"a:b:c:d:e:f", b"2:0:0:0:0:1"),
            (b"?m=00%3A90%3aA2%3A77%3A77%3A7B&", b"?m=02%3A00%3a00%3A00%3A00%3A01&"),
            (b"00:90:a2:ff:fe:77:77:7b", b"02:00:00:00:00:00:00:01"),
            (b"id 290:a2ff:fe77:777b", b"id 200:0000:0000:0001"),
            (b"uuid:igd-0090-a277-777b", b"uuid:igd-0200-0000-0001"),
            (b"name abcdefabcdef", b"name 020000000001"),
            (b"<ClientMac>001122334455</ClientMac>", b"<ClientMac>020000000001</ClientMac>"),
            (b'<LanHwAddr a="b"> 001122334455</LanHwAddr>', b'<LanHwAddr a="b"> 020000000001</LanHwAddr>'),
            (b"&lt;MAC&gt;001122334455&lt;/MAC&gt;", b"&lt;MAC&gt;020000000001&lt;/MAC&gt;"),
            (b'{"mac": "001122334455"}', b'{"mac": "020000000001"}'),
            (b"hwaddr=001122334455", b"hwaddr=020000000001"),
            (b"MAC 00 11 22 33 44 55", b"MAC 02 00 00 00 00 01"),
            (b"mac:0-11-22-33-44-5", b"mac:2-00-00-00-00-1"),
        ):
            self.assertEqual(mask(text), (masked_text,))

    def test_one_mac_however_short(self) -> None:
        (out,) = mask(b"0:90:a2:7:77:7b 00:90:a2:07:77:7b 0090a207777b 0:90:a2:7:77:7c")
        self.assertEqual(out, b"2:00:00:0:00:01 02:00:00:00:00:01 020000000001 2:00:00:0:00:02")

    def test_a_mac_of_digits_only_is_known_from_an_address(self) -> None:
        out = mask(b"ssid-001122334455 fe80::211:22ff:fe33:4455")[0]
        self.assertTrue(out.startswith(b"ssid-020000000001 fe80::"))

    def test_what_only_looks_like_a_mac(self) -> None:
        for text in (
            b"12:34:56 2026-11-20 1-2-3-4-5-6 2024-1011-1213 20261120-160727",
            b"Server: Linux/2.6.30.9 build 123456-123456",
            b"fe80::1 ff02::c [ff05::c] ::1 1.2.3.4.5.6",
            b"<mac>enabled</mac> stomach 42 mac 17",
            b"uuid:upnp-InternetGatewayDevice-1_0",
        ):
            self.assertEqual(mask(text), (text,))

    def test_a_mac_of_digits_only_is_known_from_elsewhere(self) -> None:
        out = mask(b"ssid-001122334455 SentBytes=123456789012", b"<NewMACAddress>00:11:22:33:44:55</NewMACAddress>")
        self.assertEqual(out[0], b"ssid-020000000001 SentBytes=123456789012")

    def test_serial_number_everywhere_though_named_once(self) -> None:
        out = mask(b"SERVER: box/1.0 AB12C345x", b"<serialNumber> AB12C345 </serialNumber>", b"/ctl/ab12c345/wan")
        self.assertEqual(
            out, (b"SERVER: box/1.0 XX00X001x", b"<serialNumber> XX00X001 </serialNumber>", b"/ctl/xx00x001/wan")
        )

    def test_words_of_the_protocol_are_masked_where_they_are_secret_only(self) -> None:
        texts = (b"<serialNumber>WANIPConnection</serialNumber><serialNumber>200 OK</serialNumber>", b"HTTP/1.1 200 OK")
        out = mask(*texts, b"urn:schemas-upnp-org:service:WANIPConnection:1")
        self.assertNotIn(b"WANIPConnection", out[0])
        self.assertEqual(out[1:], (texts[1], b"urn:schemas-upnp-org:service:WANIPConnection:1"))

    def test_public_addresses_stay_public_and_apart(self) -> None:
        out = mask(b"84.22.33.4 84.22.33.5 84.22.33.4 11.22.33.44 192.168.1.1 10.0.0.1 100.64.0.1 127.0.0.1 0.0.0.0")[0]
        masks = out.decode().split()
        self.assertEqual(masks[0], masks[2])
        self.assertEqual(len({masks[0], masks[1], masks[3]}), 3)
        for text in (masks[0], masks[1], masks[3]):
            self.assertIs(classify(text)[1], AddressClass.PUBLIC)
        self.assertEqual(masks[4:], ["192.168.1.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "0.0.0.0"])

    def test_versions_are_no_addresses_unless_they_are(self) -> None:
        text = b"SERVER: Linux/2.6.30.9 UPnP/1.0\r\n<modelNumber>7.29.1.4</modelNumber>"
        self.assertEqual(mask(text), (text,))
        out = mask(b"Server: at/84.22.33.4\r\n", b"<NewExternalIPAddress>84.22.33.4</NewExternalIPAddress>")
        self.assertNotIn(b"84.22.33.4", b"".join(out))

    def test_v6_in_all_spellings_and_in_its_network(self) -> None:
        (out,) = mask(
            b"[2003:c1:1234::1] 2003:00C1:1234:0:0:0:0:1 2003:c1:1234::2 fe80::290:a2ff:fe77:777b fe80::1 fd00::1"
        )
        bracketed, long, neighbour, local, *kept = out.decode().split()
        one, same, other = (ipaddress.IPv6Address(text) for text in (bracketed.strip("[]"), long, neighbour))
        self.assertEqual(one, same)
        self.assertNotEqual(one, ipaddress.IPv6Address("2003:c1:1234::1"))
        self.assertTrue(one.is_global)
        self.assertEqual(int(one) >> 64, int(other) >> 64)
        self.assertTrue(ipaddress.IPv6Address(local).is_link_local)
        self.assertNotIn("a2ff:fe77", local)
        self.assertEqual(kept, ["fe80::1", "fd00::1"])

    def test_a_mac_in_a_group_and_in_an_escaped_url(self) -> None:
        (out,) = mask(b"ff02::1:ff77:777b")
        self.assertTrue(out.startswith(b"ff02::1:"))
        self.assertFalse(b"77" in out or b"7b" in out)
        (out,) = mask(b"http://%5Bfe80::290:a2ff:fe77:777b%5D:80/x")
        self.assertNotIn(b"a2ff", out)
        self.assertTrue(out.startswith(b"http://%5Bfe80::") and out.endswith(b"%5D:80/x"), out)

    def test_a_mac_in_a_unique_local_address(self) -> None:
        (out,) = mask(b"fd12:3456:789a:1:290:a2ff:fe77:777b")
        self.assertTrue(out.startswith(b"fd12:3456:789a:1:"))
        self.assertNotIn(b"a2ff:fe77", out)

    def test_v4_inside_v6(self) -> None:
        for private in (b"2002:5bb6:212c::1", b"2001:0:4136:e378:8000:63bf:a449:ded3"):
            (out,) = mask(private)
            self.assertFalse(set(private.split(b":")) & {b"5bb6", b"212c", b"a449", b"ded3"} & set(out.split(b":")))
        (out,) = mask(b"::ffff:91.182.33.44")
        self.assertTrue(out.startswith(b"::ffff:"))
        masked = ipaddress.IPv6Address(out.decode()).ipv4_mapped
        assert masked is not None
        self.assertTrue(masked.is_global)
        self.assertNotEqual(str(masked), "91.182.33.44")

    def test_texts_known_by_their_names(self) -> None:
        for before, secret, after in (
            (b"<u:X_AVM-DE_SSID>", b"Villa Kunterbunt", b"</u:X_AVM-DE_SSID>"),
            (b"<NewPortMappingDescription>", b"Annas game", b"</NewPortMappingDescription>"),
            (b"&lt;p:NewPortMappingDescription&gt;", b"Annas game", b"&lt;/p:NewPortMappingDescription&gt;"),
            (b"<serialNumber><![CDATA[", b"AB-77", b"]]></serialNumber>"),
            (b"<NewDomainName>", b"anna.example", b"</NewDomainName>"),
            (b"<presentationURL>http://", b"annas-box.fritz.box", b"/</presentationURL>"),
            (b"http://", b"annas-box.example", b"./x"),
            (b"http://-:-@", b"annas-box.example", b":80/x"),
            (b"<a>http%3A%2F%2F", b"annas-box.example", b"%2Fx"),
            (b'{"url":"http:\\/\\/', b"annas-box.example", b'\\/x"}'),
            (b"http://", "böx.example".encode(), b"/x"),
            (b"http://", b".".join([b"anna"] * 12), b"/x"),
            (b"GET /d HTTP/1.1\r\nHost: ", b"annas-box.example", b":80\r\n"),
            (b"GET /x?a=1&amp;sid=", b"ab12cd", b"&b=2"),
            (b"GET /x?n=", b"a1b2c3d4", b" HTTP/1.1"),
            (b"GET /", b"hG73kfu-8_2Kdk30dlJ", b"/desc.xml"),
            (b"\r\nSet-Cookie: ", b"session=abc", b"\r\n"),
            (b"\nSID: uuid:", b"RINCON_sub12", b"\r\n"),
            (b"http://", b"anna:geheim", b"@192.168.1.1/"),
            (b"contact ", b"anna@example.org", b" please"),
            (b'{"ssid": "', b"Villa", b'"}'),
            (b"Serial Number: ", b"77-AB-1", b"\r\n"),
            (b"<UDN>", b"SN77AB12", b"</UDN>"),
            (b"link enx", b"001122334455", b" up"),
            (b"host ", b"router.lan", b" is up"),
        ):
            (out,) = mask(before + secret + after)
            self.assertEqual(len(out), len(before + secret + after))
            self.assertTrue(out.startswith(before) and out.endswith(after), (before, out))
            self.assertNotIn(secret, out)

    def test_what_says_nothing_of_anybody_stays(self) -> None:
        for text in (
            b"<manufacturerURL>http://www.vendor.example/</manufacturerURL><modelURL>http://vendor.example/x1</modelURL>",
            b'<root xmlns="urn:schemas-upnp-org:device-1-0" xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">',
            b"<serialNumber>00000000</serialNumber><NewUserName></NewUserName><SSID>unknown</SSID>",
            b"<SSIDBroadcastEnabled>true</SSIDBroadcastEnabled><name>SerialNumber</name><PasswordRequired>1</PasswordRequired>",
            b"<SCPDURL>WANIPCn.xml</SCPDURL><controlURL>/upnp/control/WANCommonInterfaceConfig1</controlURL>",
            b"<NewTotalBytesSent>123456789012</NewTotalBytesSent> 12:34:56 2026-11-20T16:07:27",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\nUSN: uuid:igd::upnp:rootdevice\r\nDate: Fri, 20 Nov 2026",
            b"00000000-0000-0000-0000-000000000000",
        ):
            self.assertEqual(mask(text), (text,))

    def test_markup_survives(self) -> None:
        text = b"<r><SSID>M&#252;ller &amp; Co</SSID><serialNumber>\xc3\xa4b1&lt;2</serialNumber></r>"
        (out,) = mask(text)
        self.assertEqual(len(out), len(text))
        self.assertEqual([child.name for child in xml.parse(out, cap=1000).children], ["SSID", "serialNumber"])
        # what a parser tripped over is still there
        self.assertIn(b"& ", mask(b"<SSID>Tom & Jerry</SSID>")[0])

    def test_known_texts(self) -> None:
        self.assertEqual(mask(b"at annas-laptop now", known=("annas-laptop",)), (b"at xxxxx-xxxxxy now",))

    def test_every_sample_keeps_its_length_and_its_meaning(self) -> None:
        for file in sorted(SAMPLES.glob("*.http")):
            octets = file.read_bytes()
            (out,) = mask(octets)
            self.assertEqual(len(out), len(octets), file.name)
            self.assertEqual(_status(octets), _status(out), file.name)

    def test_counts(self) -> None:
        one = Mask()
        one.apply(f"84.22.33.4 84.22.33.4 {MAC} 8c80f73f-4ba0-45fa-835d-0090a277777b".encode())
        self.assertEqual(list(one.counts.values()), [1, 1, 1, 0])


def _status(octets: bytes) -> object:
    reader = ReplyReader(10**6)
    try:
        reader.feed(octets)
        reader.finish()
    except Exception as error:
        return type(error)
    return reader.status, len(reader.body), len(reader.headers)


HEX = st.text("0123456789abcdef", min_size=12, max_size=12).filter(
    lambda text: len(set(text)) > 1 and not text.startswith("02")  # the masks are like that
)
SERIAL = st.from_regex(r"[B-W]{2,4}[1-9][A-Z0-9]{3,6}", fullmatch=True).filter(
    lambda text: text.lower().encode() not in report_secrets.vocabulary()
)
NAME = st.from_regex(r"[a-w][a-zA-Z0-9 _.-]{8,24}", fullmatch=True).filter(
    lambda text: text.lower().strip().encode() not in report_secrets.vocabulary()
)
PUBLIC = st.ip_addresses(v=4).filter(lambda one: classify(str(one))[1] is AddressClass.PUBLIC).map(str)
WIDE = st.integers(0, 2**125 - 1).map(lambda n: ipaddress.IPv6Address((1 << 125) + n)).filter(lambda one: one.is_global)


@st.composite
def reports(draw: st.DrawFn) -> tuple[Report, list[bytes]]:
    """A report as a gateway would give it, and what of it is private."""
    serial, mac, public, wide, ssid = draw(SERIAL), draw(HEX), draw(PUBLIC), str(draw(WIDE)), draw(NAME).strip()
    assume(len(ssid) >= 9)
    separator = draw(st.sampled_from([":", "-"]))
    spelled = separator.join(mac[at : at + 2] for at in range(0, 12, 2))
    body = (
        f"<root><device><serialNumber>{serial}</serialNumber><UDN>uuid:8c80f73f-4ba0-45fa-835d-{mac}</UDN>"
        f"<friendlyName>Box {spelled.upper()}</friendlyName><X_SSID>{ssid}</X_SSID>"
        f"<presentationURL>http://[{wide}]/{serial}</presentationURL><x>{public}</x></device></root>"
    ).encode()
    reply = draw(st.sampled_from([http(body), chunked(body, draw(st.integers(1, 64)))]))
    datagram = f"HTTP/1.1 200 OK\r\nUSN: uuid:{mac}::x\r\nSERVER: {serial}\r\nX: {public} {wide}\r\n\r\n".encode()
    report = Report(
        "now",
        "txigd",
        f"Box {serial}",
        f"http://{public}:80/{mac}",
        View({"external_ip": public, "name": spelled}, (f"gateway '{ssid}'",), {}, (f"at {wide}: {serial}",)),
        (Datagram(0.1, "lan", public, 1900, "search", datagram),),
        (Step("scpd", f"no {serial}", exchanges=(Exchanged(0.2, 0.1, f"GET /{mac} {public}".encode(), reply),)),),
        (Event(0.3, "0", http(body, f"X: {wide}".encode())),),
    )
    return report, [text.encode() for text in (serial, mac, spelled, public, wide, ssid)]


def everything(report: Report) -> bytes:
    """All texts and octets of a report, chunks joined, in lower case."""
    view = report.view
    texts = [report.model, report.location, *view.state.values(), *view.ranking, *view.problems]
    texts += [step.outcome for step in report.steps] + [one.source for one in report.datagrams]
    octets = [one.octets for one in report.datagrams] + [one.octets for one in report.events]
    for step in report.steps:
        for one in step.exchanges:
            octets += [one.sent, one.received, b"".join(one.received[a:b] for a, b in chunks(one.received))]
    return b"\n".join([*(text.encode() for text in texts), *octets]).lower()


class WholeReportTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(reports())
    def test_nothing_private_is_left(self, made: tuple[Report, list[bytes]]) -> None:
        report, private = made
        left = everything(masked(report))
        for secret in private:
            self.assertNotIn(secret.lower(), left)

    @settings(max_examples=60, deadline=None)
    @given(reports())
    def test_lengths_stay_and_the_file_comes_back(self, made: tuple[Report, list[bytes]]) -> None:
        done = masked(made[0])
        before, after = made[0].steps[0].exchanges[0].received, done.steps[0].exchanges[0].received
        self.assertEqual(len(after), len(before))
        self.assertEqual(_status(after), _status(before))
        self.assertEqual(from_text(to_text(done)), done)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=400), st.integers(1, 30))
    def test_any_octets_keep_their_length(self, octets: bytes, size: int) -> None:
        for text in (octets, http(octets), chunked(octets, size), chunked(octets, size)[: -size - 3]):
            self.assertEqual(len(through(text, Mask().apply)), len(text))

    def test_bodies_that_cannot_be_searched_are_left_out(self) -> None:
        secret = b"<serialNumber>AB12C345</serialNumber>"
        for octets in (
            http(gzip.compress(secret), b"Content-Encoding: gzip"),
            http(secret.decode().encode("utf-16")),
        ):
            out = through(octets, Mask().apply)
            head, _, body = out.partition(b"\r\n\r\n")
            self.assertEqual(head, octets.partition(b"\r\n\r\n")[0])
            self.assertEqual(body, b"?" * len(body))

    def test_a_value_cut_by_chunks_is_masked(self) -> None:
        out = through(chunked(b"<serialNumber>AB12C345</serialNumber>", 3), Mask().apply)
        self.assertEqual(b"".join(out[a:b] for a, b in chunks(out)), b"<serialNumber>XX00X001</serialNumber>")


REPORT = masked(
    Report(
        "2026-11-20T16:00:00+00:00",
        "txigd",
        "Box",
        "http://192.168.1.1:5000/desc.xml",
        View({"status": "Connected"}, ("one",), {"a": "works"}, ()),
        (Datagram(0.5, "lan", "192.168.1.1", 1900, "search", b"HTTP/1.1 200 OK\r\n\r\n"),),
        (
            Step("description", "ok", exchanges=(Exchanged(1, 0.25, b"GET / HTTP/1.1\r\n\r\n", b"\xff\0", False),)),
            Step("call", "ok", "urn:x:service:Y:1", "0.1", "GetZ"),
        ),
        (Event(3, "0.1", b"NOTIFY /x HTTP/1.1\r\n\r\n"),),
    )
)


class FileTests(SynchronousTestCase):
    def changed(self, change: Any) -> str:
        plain = json.loads(to_text(REPORT))
        change(plain)
        return json.dumps(plain)

    def test_round_trip(self) -> None:
        text = to_text(REPORT)
        self.assertEqual(from_text(text), REPORT)
        self.assertEqual(from_text(text.encode()), REPORT)
        self.assertEqual(to_text(from_text(text)), text)
        # readable where it can be, exact where not
        self.assertIn('"HTTP/1.1 200 OK\\r\\n"', text)
        self.assertIn('"base64": "/wA="', text)

    def test_only_what_is_masked_is_written(self) -> None:
        self.assertRaises(InvalidArgument, to_text, replace(REPORT, masked=None))
        self.assertRaises(InvalidArgument, to_text, replace(REPORT, model="a\nb"))

    def test_reader_is_strict(self) -> None:
        def item(*path: Any, value: Any) -> Any:
            def change(plain: Any) -> None:
                for key in path[:-1]:
                    plain = plain[key]
                plain[path[-1]] = value

            return change

        for change, said in (
            (item("format", value="other"), "no support report"),
            (item("version", value=2), "version 2"),
            (item("version", value=True), "version True"),
            (item("extra", value=1), "report: needs"),
            (item("model", value=7), "report.model"),
            (item("model", value="a\x1bb"), "report.model"),
            (item("location", value="x" * 1000), "report.location"),
            (item("masked", value={"a": -1}), "report.masked.a"),
            (item("masked", value={"a": True}), "report.masked.a"),
            (item("view", "ranking", value="text"), "report.view.ranking"),
            (item("view", "state", value=[]), "report.view.state"),
            (item("datagrams", 0, "at", value=-1), r"report.datagrams\[0\].at"),
            (item("datagrams", 0, "at", value=True), r"report.datagrams\[0\].at"),
            (item("datagrams", 0, "port", value=1.5), r"report.datagrams\[0\].port"),
            (item("datagrams", 0, "octets", value="text"), r"report.datagrams\[0\].octets"),
            (item("datagrams", 0, "octets", value=[1]), r"report.datagrams\[0\].octets"),
            (item("datagrams", 0, "octets", value=["\ud800"]), r"report.datagrams\[0\].octets"),
            (item("datagrams", 0, "octets", value={"base64": "?"}), r"report.datagrams\[0\].octets"),
            (item("datagrams", 0, "octets", value={"base64": 5}), r"report.datagrams\[0\].octets"),
            (item("datagrams", 0, "octets", value=["x" * 600_000]), "more than"),
            (item("steps", 0, "exchanges", 0, "whole", value=1), r"report.steps\[0\].exchanges\[0\].whole"),
            (item("steps", value=[{}] * (REPORT_STEPS + 1)), "report.steps: no list"),
            (item("steps", value=[7]), r"report.steps\[0\]: needs"),
        ):
            with self.assertRaises(BadReport) as caught:
                from_text(self.changed(change))
            self.assertRegex(str(caught.exception), said)

    def test_what_is_no_report_at_all(self) -> None:
        for text in (
            b"",
            b"\xff",
            "[]",
            "7",
            '{"a": 1, "a": 2}',
            "[" * 100_000,
            '{"at": NaN}',
            " " * (REPORT_OCTETS + 1),
        ):
            self.assertRaises(BadReport, from_text, text)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_no_file_raises_anything_else(self, data: st.DataObject) -> None:
        text = to_text(REPORT)
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 20))
        try:
            from_text(text[:at] + data.draw(st.text(max_size=5)) + text[at + cut :])
        except BadReport:
            pass


def asked(line: str, host: str = "192.168.1.1:5000", body: bytes = b"", *fields: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", f"HOST: {host}", *fields, "", ""]).encode() + body


def call(action: str, arguments: dict[str, str], answer: bytes, host: str = "192.168.1.1:5000") -> Step:
    from txigd.upnp.control import soap

    kind = "urn:schemas-upnp-org:service:WANIPConnection:1"
    body = soap.request(kind, action, arguments.items())
    sent = asked("POST /ctl", host, body, *(f"{name}: {value}" for name, value in soap.headers(kind, action)))
    return Step("call", "ok", name=action, exchanges=(Exchanged(0, 0, sent, answer),))


class ReplayTests(SynchronousTestCase):
    place = ("192.168.1.1", 5000)

    def replies(self, *steps: Step, events: tuple[Event, ...] = ()) -> Replies:
        return Replies(replace(REPORT, steps=steps, events=events))

    def test_answers_by_arguments_then_by_the_last(self) -> None:
        steps = [call("GetE", {"I": str(index)}, b"answer %d" % index) for index in range(3)]
        replies = self.replies(*steps)
        for index in (2, 0, 1, 2):
            request = Received(steps[index].exchanges[0].sent)
            self.assertEqual(replies.answer(self.place, request), b"answer %d" % index)
        beyond = Received(call("GetE", {"I": "9"}, b"").exchanges[0].sent)
        self.assertEqual(replies.answer(self.place, beyond), b"answer 2")

    def test_answers_of_one_request_in_their_order(self) -> None:
        step = Step("description", "ok", exchanges=tuple(Exchanged(0, 0, asked("GET /d"), b"%d" % n) for n in range(2)))
        replies = self.replies(step)
        self.assertEqual([replies.answer(self.place, Received(asked("GET /d"))) for _ in range(3)], [b"0", b"1", b"1"])

    def test_silence_and_what_was_not_asked(self) -> None:
        replies = self.replies(Step("scpd", "no", exchanges=(Exchanged(0, 5, asked("GET /s"), b""),)))
        self.assertIsNone(replies.answer(self.place, Received(asked("GET /s"))))
        self.assertIn(b" 404 ", replies.answer(self.place, Received(asked("GET /other"))) or b"")
        unknown = Received(call("AddPortMapping", {}, b"").exchanges[0].sent)
        self.assertIn(b"<errorCode>501<", replies.answer(self.place, unknown) or b"")

    def test_events_belong_to_the_service_subscribed_to(self) -> None:
        steps = [
            Step("subscribe", "ok", path=path, exchanges=(Exchanged(0, 0, asked(f"SUBSCRIBE /e{path}"), b"ok"),))
            for path in ("0", "1")
        ]
        events = (Event(0, "1", b"one"), Event(0, "0", b"nought"))
        replies = self.replies(*steps, events=events)
        self.assertEqual(replies.events(self.place, Received(asked("SUBSCRIBE /e0"))), events[1:])
        self.assertEqual(replies.events(self.place, Received(asked("SUBSCRIBE /other"))), ())

    def test_places_in_order(self) -> None:
        steps = [
            call("GetE", {}, b"", host) for host in ("192.168.1.1:49152", "192.168.1.1", "192.168.1.1:5000", "name")
        ]
        report = replace(REPORT, steps=tuple(steps))
        self.assertEqual(served(report), (self.place, ("192.168.1.1", 49152), ("192.168.1.1", 80)))
        self.assertEqual(served(replace(report, location="", steps=())), ())

    def test_urls_move_and_lengths_follow(self) -> None:
        move = Move({self.place: url.parse("http://127.0.0.1:8"), ("192.168.1.1", 80): url.parse("http://127.0.0.1:9")})
        body = (
            b"<a>http://192.168.1.1:5000/x http://192.168.1.1/y http://192.168.1.1:443/ http://192.168.1.10:5000/</a>"
        )
        moved = b"<a>http://127.0.0.1:8/x http://127.0.0.1:9/y http://127.0.0.1:443/ http://192.168.1.10:5000/</a>"
        self.assertEqual(move.reply(http(body)), http(moved))
        # a length that was wrong is wrong by as much
        wrong = http(body).replace(b"Content-Length: %d" % len(body), b"content-length:%d" % (len(body) + 7))
        self.assertIn(b"content-length:%d\r" % (len(moved) + 7), move.reply(wrong))
        for size in (1, 20, 500):
            out = move.reply(chunked(body, size))
            self.assertEqual(b"".join(out[a:b] for a, b in chunks(out)), moved)
            reader = ReplyReader(1000)
            self.assertTrue(reader.feed(out))
        self.assertEqual(move.reply(chunked(b"<b/>", 2)), chunked(b"<b/>", 2))
        self.assertEqual(move.reply(b"no HTTP"), b"no HTTP")

    def test_ipv6_urls_move(self) -> None:
        move = Move({("fe80::1", 5000): url.parse("http://[::1]:7/")})
        self.assertEqual(move.text(b"LOCATION: http://[fe80::1]:5000/d"), b"LOCATION: http://[::1]:7/d")

    def test_notify_goes_to_the_new_callback_otherwise_unchanged(self) -> None:
        event = Event(0, "0", b"NOTIFY /old HTTP/1.0\r\nHost:192.168.1.2:99\r\nSEQ:  0\r\n\r\n<x/>\0")
        out = notify(event, url.parse("http://127.0.0.1:5/new"))
        self.assertEqual(out, b"NOTIFY /new HTTP/1.0\r\nHost:127.0.0.1:5\r\nSEQ:  0\r\n\r\n<x/>\0")

    def test_only_the_reported_gateway_announces(self) -> None:
        def said(source: str, location: str, kind: bytes = b"HTTP/1.1 200 OK") -> Datagram:
            text = kind + f"\r\nLOCATION: {location}\r\nST: upnp:rootdevice\r\nUSN: uuid:x\r\n\r\n".encode()
            return Datagram(0, "lan", source, 1900, "search", text)

        own = said("192.168.1.1", "http://192.168.1.1:5000/desc.xml")
        broken = said("192.168.1.1", "http://192.168.1.1:5000/desc.xml", b"HTP")
        others = [said("192.168.1.9", "http://192.168.1.9:5000/d"), said("192.168.1.1", "http://192.168.1.1:77/d")]
        found = announcements(replace(REPORT, datagrams=(own, *others, broken)))
        self.assertEqual([(heard is None, one) for heard, one in found], [(False, own), (True, broken)])


class SafetyTests(SynchronousTestCase):
    def test_nothing_but_harmless_questions_is_ever_called(self) -> None:
        from txigd.igd.report_capture import ARGUMENTS, NEVER_CALLED

        for name in ARGUMENTS:
            self.assertRegex(name, r"^Get[A-Z]")
            self.assertNotIn(name, NEVER_CALLED)
        for name in ("GetPassword", "GetUserName", "GetACLData"):
            self.assertIn(name, NEVER_CALLED)
        self.assertIsNone(re.match("Get", "Set"))
