"""SSDP messages: every wire sample, every quirk of the text, every writer to the octet."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadMessage, BadURL, InvalidArgument
from txigd.limits import DATAGRAM_OCTETS, MAX_AGE_CEILING, MAX_AGE_DEFAULT, SSDP_HEADERS, SSDP_LINE_OCTETS
from txigd.upnp import url
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import Kind, Message, parse

SAMPLES = Path(__file__).parent / "messages"
MANIFEST = {entry["file"]: entry for entry in json.loads((SAMPLES / "manifest.json").read_text())}
SENDER = ipaddress.ip_address("192.0.2.1")
GROUP = "239.255.255.250:1900"
AGENT = "linux/6.1 UPnP/1.1 txigd/0.1"
LINUX_26 = "linux/2.6 UPnP/1.0 samplegw/1.0"
LINUX_61 = "linux/6.1 UPnP/1.1 samplegw/2.0"
DATE = "Fri, 01 Jan 2021 00:00:00 GMT"
OLD = "uuid:5e0ca1e1-0001-4a11-9d00-02aa55c3d001"
NEW = "uuid:5e0ca1e1-0002-4a11-9d00-02aa55c3d101"
OLD_LOCATION = "http://192.0.2.1:5000/rootDesc.xml"
NEW_LOCATION = "http://192.0.2.1:49153/k3d9/rootDesc.xml"
IGD = "urn:schemas-upnp-org:device:InternetGatewayDevice:"
ROOT = "upnp:rootdevice"

NAMES = (
    *("HOST", "CACHE-CONTROL", "LOCATION", "NT", "NTS", "ST", "USN", "SERVER", "MX", "MAN", "EXT", "01-NLS", "http"),
    *("BOOTID.UPNP.ORG", "CONFIGID.UPNP.ORG", "SEARCHPORT.UPNP.ORG", "NEXTBOOTID.UPNP.ORG", "", " x"),
)
VALUES = (
    *(b"ssdp:alive", b"ssdp:byebye", b"ssdp:update", b"uuid:a::b", b"http://192.0.2.1/", b"7", b"", b"max-age=9"),
    *(b"max-age=" + b"0" * 900, b"9" * 500),
)


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.http").read_bytes()


def notify(*lines: str, nts: str = "ssdp:alive", usn: str = "USN: uuid:x::upnp:rootdevice") -> bytes:
    """A NOTIFY that lacks nothing, plus ``lines``."""
    fields = ["NOTIFY * HTTP/1.1", f"NTS: {nts}", "NT: upnp:rootdevice", usn, *lines]
    return "\r\n".join([*(line for line in fields if line), "", ""]).encode("latin-1")


def located(*lines: str, **fields: str) -> bytes:
    return notify("LOCATION: http://192.0.2.1/d.xml", *lines, **fields)


class SampleTests(SynchronousTestCase):
    """The wire samples, against the facts in their manifest."""

    def samples(self) -> list[str]:
        names = [
            name
            for name, entry in MANIFEST.items()
            if name.endswith(".http")
            and (
                entry["group"].startswith("SSDP")
                or any(word in name for word in ("msearch", "search-response", "befsr41-notify", "notify-rootdevice"))
                or name in ("intro-response-doubled-st.http", "miniupnpd-notify-alive.http")
            )
        ]
        self.assertEqual(len(names), 47)
        return names

    def test_valid(self) -> None:
        fields = {
            "st": lambda m: m.target,
            "nts": lambda m: m.kind.value,
            "usn": lambda m: m.usn,
            "mx": lambda m: m.mx,
            "max_age": lambda m: m.max_age,
            "location": lambda m: m.location,
            "boot_id": lambda m: m.boot_id,
            "next_boot_id": lambda m: m.next_boot_id,
            "config_id": lambda m: m.config_id,
            "search_port": lambda m: m.search_port,
            "cpfn": lambda m: "sample control point",  # a field for devices; only that it does no harm
        }
        seen: set[str] = set()
        for name in self.samples():
            if MANIFEST[name]["valid"]:
                read = parse((SAMPLES / name).read_bytes())
                for fact, value in MANIFEST[name]["expect"].items():
                    self.assertEqual(fields[fact](read), value, f"{name}: {fact}")
                    seen.add(fact)
        self.assertEqual(seen, set(fields))

    def test_bad(self) -> None:
        reasons = {
            "ssdp-bad-garbage": "start line",
            "ssdp-bad-notify-no-usn": "no usn",
            "ssdp-bad-notify-unknown-nts": "no nts",
            "ssdp-bad-response-404": "status",
            "ssdp-bad-response-no-location": "no location",
        }
        for name, reason in reasons.items():
            error = self.assertRaises(BadMessage, parse, sample(name))
            self.assertEqual(error.reason, reason, name)
        for name in ("ssdp-bad-response-foreign-location", "ssdp-bad-response-relative-location"):
            location = parse(sample(name)).location
            self.assertRaises(BadURL, url.check_location, location, sender=SENDER)
        bad = {name for name in self.samples() if not MANIFEST[name]["valid"]}
        tried = {f"{name}.http" for name in reasons} | {
            f"ssdp-bad-response-{w}-location.http" for w in ("foreign", "relative")
        }
        # a search for a target that nobody has is well-formed: that it finds nothing is the device's business
        self.assertEqual(bad - tried, {"intro-bad-msearch-ssdp-rootdevice.http"})
        self.assertEqual(parse(sample("intro-bad-msearch-ssdp-rootdevice")).target, "ssdp:rootdevice")

    def test_good_locations_pass_the_host_rule(self) -> None:
        for name in self.samples():
            if name.startswith("ssdp-") and MANIFEST[name]["valid"] and "ipv6" not in name:
                read = parse((SAMPLES / name).read_bytes())
                if read.location:
                    self.assertEqual(url.check_location(read.location, sender=SENDER).host, SENDER)

    def test_whole_alive(self) -> None:
        self.assertEqual(
            parse(sample("ssdp-notify-alive-uda11")),
            Message(
                Kind.ALIVE, ROOT, f"{NEW}::{ROOT}", NEW, NEW_LOCATION, 1800, 1609459200, None, 1337, 49200, LINUX_61
            ),
        )

    def test_whole_search(self) -> None:
        self.assertEqual(
            parse(sample("ssdp-msearch-all")),
            Message(Kind.SEARCH, "ssdp:all", mx=2, man="ssdp:discover", server=AGENT),
        )

    def test_answers_to_all(self) -> None:
        rows = (SAMPLES / "ssdp-all-answers-igd1.tsv").read_text().split("\n")[1:]
        pairs = [row.split("\t") for row in rows if row]
        self.assertEqual(len(pairs), MANIFEST["ssdp-all-answers-igd1.tsv"]["expect"]["count"])
        for target, usn in pairs:
            read = parse(message.answer(target, message.normal_udn(usn), OLD_LOCATION, server=LINUX_26))
            self.assertEqual((read.kind, read.target, read.usn), (Kind.ANSWER, target, usn))


class QuirkTests(SynchronousTestCase):
    """What gateways really send."""

    def test_Q016_folded_location(self) -> None:
        unfolded = parse(sample("note2004-wrt54g-search-response-unfolded"))
        self.assertEqual(parse(sample("note2004-wrt54g-search-response-folded")), unfolded)
        self.assertEqual(parse(sample("note2004-wrt54g-search-response-obs-fold")), unfolded)

    def test_Q016_every_field_folded(self) -> None:
        folded = sample("ssdp-notify-alive-uda11").replace(b": ", b":\r\n")
        self.assertEqual(parse(folded), parse(sample("ssdp-notify-alive-uda11")))

    def test_Q016_value_that_looks_like_a_field(self) -> None:
        folded = b'M-SEARCH * HTTP/1.1\r\nMAN:\r\n"ssdp:discover"\r\nST:\r\nssdp:all\r\n\r\n'
        self.assertEqual(parse(folded), Message(Kind.SEARCH, "ssdp:all", man="ssdp:discover"))
        self.assertEqual(parse(located("SERVER: a", "  b: c")).server, "a b: c")

    def test_Q016_empty_field_swallows_no_header(self) -> None:
        read = parse(located("EXT:", "SERVER: x", "OPT:", "BOOTID.UPNP.ORG: 5"))
        self.assertEqual((read.server, read.boot_id), ("x", 5))

    def test_Q017_names_and_blanks(self) -> None:
        read = parse(b"HTTP/1.1 200 OK\r\nlOcAtIoN:  \thttp://192.0.2.1/ \t\r\nst:a:b\r\nUSN :uuid:x\r\n\r\n")
        self.assertEqual((read.location, read.target, read.udn), ("http://192.0.2.1/", "a:b", "uuid:x"))

    def test_Q018_underscore_names(self) -> None:
        self.assertEqual(parse(located("CACHE_CONTROL: max-age=300")).max_age, 300)

    def test_Q019_blanks_after_the_start_line(self) -> None:
        self.assertEqual(parse(located().replace(b"HTTP/1.1\r", b"HTTP/1.1  \t\r")).kind, Kind.ALIVE)
        for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 Fine  "):
            datagram = line + b"\r\nLOCATION: http://192.0.2.1/\r\nST: a\r\nUSN: uuid:x\r\n\r\n"
            self.assertEqual(parse(datagram).kind, Kind.ANSWER, line)

    def test_Q020_ends_of_lines_and_message(self) -> None:
        whole = parse(located("CACHE-CONTROL: max-age=200"))
        text = located("CACHE-CONTROL: max-age=200")
        for form in (
            text.rstrip(),
            text.replace(b"\r\n", b"\n"),
            text.rstrip() + b"\0\0\0",
            text + b"\0",
            b"\r\n" + text,
            text + b"\r\n",
        ):
            self.assertEqual(parse(form), whole, form)

    def test_body_is_ignored(self) -> None:
        self.assertEqual(parse(located() + b"SERVER: body\r\n"), parse(located()))

    def test_Q021_first_copy_that_is_not_empty_wins(self) -> None:
        read = parse(located("SERVER:", "SERVER: first", "SERVER: second", "LOCATION: http://192.0.2.1/d.xml"))
        self.assertEqual(read.server, "first")
        self.assertEqual(read.location, "http://192.0.2.1/d.xml")
        self.assertEqual(parse(located("LOCATION:")).location, "http://192.0.2.1/d.xml")
        self.assertEqual(parse(notify("LOCATION: ", "LOCATION: http://192.0.2.1/")).location, "http://192.0.2.1/")

    def test_A1_Q021_differing_location_or_usn(self) -> None:
        for line, reason in (("LOCATION: http://192.0.2.2/", "doubled location"), ("USN: uuid:y", "doubled usn")):
            self.assertEqual(self.assertRaises(BadMessage, parse, located(line)).reason, reason)

    def test_Q022_line_without_colon(self) -> None:
        self.assertEqual(parse(located("no colon here", "SERVER: s")).server, "s")

    def test_Q023_alive_without_location(self) -> None:
        for datagram in (notify(), notify("LOCATION:"), notify("LOCATION: \t "), notify(nts="ssdp:update")):
            self.assertEqual(self.assertRaises(BadMessage, parse, datagram).reason, "no location")
        self.assertEqual(parse(notify(nts="ssdp:byebye")).kind, Kind.BYEBYE)

    def test_Q024_loopback_location_is_left_to_the_host_rule(self) -> None:
        for host in ("[::1]:1900", "127.0.0.1", "169.254.1.1"):
            read = parse(notify(f"LOCATION: http://{host}/ssdp/device-desc.xml"))
            self.assertRaises(BadURL, url.check_location, read.location, sender=SENDER)

    def test_Q026_location_with_garbage_behind(self) -> None:
        self.assertEqual(parse(notify("LOCATION: http://192.0.2.1/d.xml \xfe\x01?")).location, "http://192.0.2.1/d.xml")

    def test_Q027_udn_that_is_no_uuid(self) -> None:
        for udn in (
            "uuid:upnp-InternetGatewayDevice-1_0-083e",
            "uuid:UPnP_Thomson TG784n_1A2B",
            "uuid:UUID-MIKROTIK-INTERNET-GATEWAY-DEVICE-1",
            "uuid:=28344d00-1",
        ):
            self.assertEqual(parse(located(usn=f"USN: {udn}::upnp:rootdevice")).udn, udn)

    def test_Q028_prefix_of_the_udn(self) -> None:
        for usn in ("abc::upnp:rootdevice", "UUID:abc::upnp:rootdevice", "uuid: abc", "Uuid:abc"):
            read = parse(located(usn=f"USN: {usn}"))
            self.assertEqual((read.udn, read.usn), ("uuid:abc", usn))

    def test_Q029_usn_cut_short(self) -> None:
        for tail in ("::upnp:rootdevic", "::", ""):
            self.assertEqual(parse(located(usn=f"USN: uuid:abc{tail}")).udn, "uuid:abc")
        for usn in ("USN: ::upnp:rootdevice", "USN: uuid:", "USN: uuid:::upnp:rootdevice", "USN:", ""):
            self.assertEqual(self.assertRaises(BadMessage, parse, located(usn=usn)).reason, "no usn", usn)

    def test_Q030_forms_of_max_age(self) -> None:
        for value, seconds in (
            ("max-age = 1800", 1800),
            ('no-cache="Ext", MAX-AGE=\t300 , x', 300),
            ("max-age=40000", 40000),
            ('max-age="60"', 60),
            ("max-age=0001800", 1800),
            ("max-age", MAX_AGE_DEFAULT),
            ("max-age=", MAX_AGE_DEFAULT),
            ("max-age=soon", MAX_AGE_DEFAULT),
        ):
            self.assertEqual(parse(located(f"CACHE-CONTROL: {value}")).max_age, seconds, value)

    def test_Q032_no_cache_control(self) -> None:
        self.assertEqual(parse(located()).max_age, 1800)

    def test_Q033_boot_id_is_no_number(self) -> None:
        for value in ("abc", "", "-1", "1.5", "0x10", "12345678901"):
            read = parse(located(f"BOOTID.UPNP.ORG: {value}", f"CONFIGID.UPNP.ORG: {value}"))
            self.assertEqual((read.kind, read.boot_id, read.config_id), (Kind.ALIVE, None, None), value)

    def test_Q040_01_nls_instead_of_boot_id(self) -> None:
        self.assertEqual(parse(located("01-NLS: 1609459200")).boot_id, 1609459200)
        self.assertEqual(parse(located("01-NLS: 7", "BOOTID.UPNP.ORG: 8")).boot_id, 8)
        self.assertIsNone(parse(located("01-NLS: b9200ebb-736d-4b93-bf03-835149d13983")).boot_id)

    def test_Q042_update(self) -> None:
        read = parse(sample("ssdp-notify-update"))
        self.assertEqual((read.kind, read.boot_id, read.next_boot_id), (Kind.UPDATE, 1609459200, 1609459300))

    def test_nt_in_an_answer_and_st_in_a_notify(self) -> None:
        swapped = parse(sample("ssdp-response-igd1").replace(b"\nST:", b"\nNT:"))
        self.assertEqual(swapped, parse(sample("ssdp-response-igd1")))
        swapped = parse(sample("ssdp-notify-alive-uda10").replace(b"\nNT:", b"\nST:"))
        self.assertEqual(swapped, parse(sample("ssdp-notify-alive-uda10")))

    def test_nt_and_st_together(self) -> None:
        self.assertEqual(parse(located("ST: other")).target, ROOT)
        answer = sample("ssdp-response-rootdevice").replace(b"\r\nST:", b"\r\nNT: other\r\nST:")
        self.assertEqual(parse(answer).target, ROOT)

    def test_case_of_nts(self) -> None:
        self.assertEqual(parse(notify(nts="SSDP:ByeBye")).kind, Kind.BYEBYE)

    def test_target_from_the_usn(self) -> None:
        self.assertEqual(parse(located(usn="USN: uuid:a::b").replace(b"NT: upnp:rootdevice\r\n", b"")).target, "b")
        self.assertEqual(parse(located(usn="USN: uuid:a").replace(b"NT: upnp:rootdevice\r\n", b"")).target, "uuid:a")

    def test_search_without_target(self) -> None:
        self.assertEqual(self.assertRaises(BadMessage, parse, b"M-SEARCH * HTTP/1.1\r\n\r\n").reason, "no target")

    def test_search_port_of_the_standard_only(self) -> None:
        for value, port in (("49152", 49152), ("65535", 65535), ("22", None), ("65536", None), ("x", None)):
            self.assertEqual(parse(located(f"SEARCHPORT.UPNP.ORG: {value}")).search_port, port)

    def test_text_in_either_encoding(self) -> None:
        self.assertEqual(parse(located("SERVER: caf\xe9")).server, "caf\xe9")
        self.assertEqual(parse(located("SERVER: caf\xc3\xa9")).server, "caf\xe9")


class ThreatTests(SynchronousTestCase):
    """Hostile datagrams end as one BadMessage with a reason to count."""

    def test_A1_malformed(self) -> None:
        for datagram, reason in (
            (b"", "empty"),
            (b"\0" * 100, "empty"),
            (b"\r\n\r\n", "empty"),
            (b"x" * 65507, "too large"),
            (b"x" * 2000, "start line"),
            (b"NOTIFY", "start line"),
            (b"NOTIFY * HTTP/1.0\r\n\r\n", "start line"),
            (b"notify * http/1.1\r\n\r\n", "start line"),
            (b"NOTIFY /x HTTP/1.1\r\n\r\n", "start line"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "status"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "status"),
            (b"HTTP/1.0 200 OK\r\n\r\n", "status"),
            (b"NOTIFY * HTTP/1.1", "no nts"),
            (located("X: a\0b"), "nul"),
            (located("X: " + "a" * SSDP_LINE_OCTETS), "long line"),
            (located(*["X: y"] * SSDP_HEADERS), "too many headers"),
            (located(*["X:"] * 10_000), "too large"),
            (located(usn="USN: uuid:" + "a" * 300), "long usn"),
            (located(usn="USN: uuid:" + "a" * 60_000), "too large"),
            (notify("LOCATION: http://192.0.2.1/" + "a" * 600), "long location"),
        ):
            self.assertEqual(self.assertRaises(BadMessage, parse, datagram).reason, reason, datagram[:60])

    def test_A1_limits_are_reached(self) -> None:
        self.assertEqual(parse(located(*["X: y"] * (SSDP_HEADERS - 4))).kind, Kind.ALIVE)
        text = located("X: " + "a" * 1000)
        self.assertEqual(parse(text + b"b" * (DATAGRAM_OCTETS - len(text))).kind, Kind.ALIVE)
        self.assertEqual(
            self.assertRaises(BadMessage, parse, text.ljust(DATAGRAM_OCTETS + 1, b"b")).reason, "too large"
        )

    def test_A2_max_age(self) -> None:
        for value, seconds in (
            ("9" * 20, MAX_AGE_DEFAULT),
            ("300000000000", MAX_AGE_DEFAULT),
            ("1000000000", MAX_AGE_CEILING),
            ("-1", MAX_AGE_DEFAULT),
            ("1e9", 1),
            ("0", 0),
            ("\u0661\u0662".encode().decode("latin-1"), MAX_AGE_DEFAULT),  # Arabic digits
        ):
            self.assertEqual(parse(located(f"CACHE-CONTROL: max-age={value}")).max_age, seconds, value)

    def test_A2_other_numbers(self) -> None:
        for value in ("9" * 900, "-1", "1e9", "\xd9\xa1", "+1", " ", "1 2"):
            lines = [f"{n}.UPNP.ORG: {value}" for n in ("BOOTID", "CONFIGID", "NEXTBOOTID")]
            read = parse(located(*lines[:2]))
            self.assertEqual((read.boot_id, read.config_id), (None, None), value)
            self.assertIsNone(parse(located(lines[2])).next_boot_id)
            search = f"M-SEARCH * HTTP/1.1\r\nST: a\r\nMX: {value}\r\n\r\n".encode("latin-1")
            self.assertIsNone(parse(search).mx)
        self.assertEqual(parse(b"M-SEARCH * HTTP/1.1\r\nST: a\r\nMX: 9999999999\r\n\r\n").mx, 120)

    def read(self, datagram: bytes) -> None:
        try:
            read = parse(datagram)
        except BadMessage as error:
            self.assertIn(len(error.reason), range(3, 20))
        else:
            self.assertTrue(read.target)
            self.assertTrue(read.kind is Kind.SEARCH or read.udn.startswith("uuid:"))
            self.assertIn(read.max_age, range(MAX_AGE_CEILING + 1))

    @given(st.binary(max_size=3000))
    def test_A1_any_bytes(self, datagram: bytes) -> None:
        self.read(datagram)

    @given(
        st.sampled_from(["NOTIFY * HTTP/1.1", "HTTP/1.1 200 OK", "M-SEARCH * HTTP/1.1"]),
        st.lists(
            st.tuples(
                st.sampled_from(NAMES),
                st.sampled_from([":", ": ", "", ":\r\n", ":\n "]),
                st.one_of(st.binary(max_size=60), st.sampled_from(VALUES)),
            ),
            max_size=40,
        ),
        st.sampled_from(["\r\n", "\n", "\r\r\n"]),
    )
    def test_A1_any_fields(self, start: str, fields: list[tuple[str, str, bytes]], end: str) -> None:
        lines = [start.encode(), *(name.encode() + colon.encode() + value for name, colon, value in fields)]
        self.read(end.encode().join([*lines, b"", b""]))

    @given(st.data())
    def test_A1_mutated_samples(self, data: st.DataObject) -> None:
        datagram = bytearray(sample(data.draw(st.sampled_from(["ssdp-notify-alive-uda11", "ssdp-response-ipv6"]))))
        for _ in range(data.draw(st.integers(1, 8))):
            place = data.draw(st.integers(0, len(datagram) - 1))
            datagram[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=5))
            if not datagram:
                break
        self.read(bytes(datagram))


class WriterTests(SynchronousTestCase):
    """Spelling, order and line ends, to the octet."""

    def test_searches(self) -> None:
        for name, target, host, mx in (
            ("ssdp-msearch-all", "ssdp:all", GROUP, 2),
            ("ssdp-msearch-igd1", f"{IGD}1", GROUP, 2),
            ("ssdp-msearch-wanip2", "urn:schemas-upnp-org:service:WANIPConnection:2", GROUP, 2),
            ("ssdp-msearch-unicast", OLD, "192.0.2.1:1900", None),
            ("ssdp-msearch-unicast-searchport", ROOT, "192.0.2.1:49200", None),
            ("ssdp-msearch-ipv6-linklocal", f"{IGD}2", "[FF02::C]:1900", 2),
            ("ssdp-msearch-ipv6-sitelocal", ROOT, "[FF05::C]:1900", 2),
        ):
            written = message.search(target, host=host, mx=mx, user_agent=AGENT)
            self.assertEqual(written, sample(name), name)

    def test_search_literally(self) -> None:
        self.assertEqual(
            message.search("ssdp:all", host=GROUP, mx=3, user_agent="a/1 UPnP/1.1 b/2"),
            b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
            b'MAN: "ssdp:discover"\r\nMX: 3\r\nST: ssdp:all\r\nUSER-AGENT: a/1 UPnP/1.1 b/2\r\n\r\n',
        )

    def test_unicast_search_carries_no_mx(self) -> None:
        self.assertNotIn(b"MX", message.search(ROOT, host="192.0.2.1:1900"))

    def test_other_searches(self) -> None:
        self.assertEqual(message.search(ROOT, host=GROUP, mx=3), sample("ssdp-msearch-rootdevice-uda10"))
        named = [("CPFN.UPNP.ORG", "sample control point")]
        named += [("CPUUID.UPNP.ORG", "5e0ca1e1-00ff-4a11-9d00-02aa55c3dfff")]
        agent = "linux/6.1 UPnP/2.0 txigd/0.1"
        written = message.search(f"{IGD}2", host=GROUP, mx=1, user_agent=agent, extra=named)
        self.assertEqual(written, sample("ssdp-msearch-igd2-uda20"))

    def test_answers(self) -> None:
        for name, target, udn in (
            ("ssdp-response-rootdevice", ROOT, OLD),
            ("ssdp-response-uuid", f"{OLD[:-1]}3", f"{OLD[:-1]}3"),
            ("ssdp-response-igd1", f"{IGD}1", OLD),
            ("ssdp-response-wanip1", "urn:schemas-upnp-org:service:WANIPConnection:1", f"{OLD[:-1]}3"),
        ):
            written = message.answer(target, udn, OLD_LOCATION, server=LINUX_26, date=DATE)
            self.assertEqual(written, sample(name), name)

    def test_answers_with_boot_id(self) -> None:
        secure = [("SECURELOCATION.UPNP.ORG", "https://192.0.2.1:49443/k3d9/rootDesc.xml")]
        for name, version, port, extra in (
            ("ssdp-response-igd2-uda11", 2, 49200, secure),
            ("ssdp-response-igd2-asked-for-v1", 1, None, []),
        ):
            written = message.answer(
                f"{IGD}{version}",
                NEW,
                NEW_LOCATION,
                server=LINUX_61,
                date=DATE,
                boot_id=1609459200,
                config_id=1337,
                search_port=port,
                extra=extra,
            )
            self.assertEqual(written, sample(name), name)

    def test_answer_without_date(self) -> None:
        self.assertEqual(
            message.answer("a", "uuid:x", "http://192.0.2.1/", server="s", max_age=120),
            b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nEXT:\r\nLOCATION: http://192.0.2.1/\r\n"
            b"SERVER: s\r\nST: a\r\nUSN: uuid:x::a\r\n\r\n",
        )

    def test_alive(self) -> None:
        self.assertEqual(
            message.alive(f"{IGD}1", OLD, OLD_LOCATION, host=GROUP, server=LINUX_26), sample("ssdp-notify-alive-uda10")
        )
        self.assertEqual(
            message.alive(
                ROOT,
                NEW,
                NEW_LOCATION,
                host=GROUP,
                server=LINUX_61,
                boot_id=1609459200,
                config_id=1337,
                search_port=49200,
            ),
            sample("ssdp-notify-alive-uda11"),
        )
        location = "http://[fe80::ff:fe00:1]:49153/rootDesc.xml"
        self.assertEqual(
            message.alive(ROOT, NEW, location, host="[FF02::C]:1900", server=LINUX_61, boot_id=7, config_id=9),
            sample("ssdp-notify-alive-ipv6"),
        )

    def test_byebye(self) -> None:
        target = "urn:schemas-upnp-org:device:WANDevice:1"
        self.assertEqual(message.byebye(target, f"{OLD[:-1]}2", host=GROUP), sample("ssdp-notify-byebye-uda10"))
        self.assertEqual(
            message.byebye(ROOT, NEW, host=GROUP, boot_id=1609459200, config_id=1337),
            sample("ssdp-notify-byebye-uda11"),
        )

    def test_update(self) -> None:
        self.assertEqual(
            message.update(
                ROOT,
                NEW,
                NEW_LOCATION,
                host=GROUP,
                boot_id=1609459200,
                next_boot_id=1609459300,
                config_id=1337,
                search_port=49200,
            ),
            sample("ssdp-notify-update"),
        )

    def test_boot_id_zero_is_written(self) -> None:
        self.assertIn(b"\r\nBOOTID.UPNP.ORG: 0\r\n", message.byebye(ROOT, NEW, host=GROUP, boot_id=0))

    def test_own_words_are_checked(self) -> None:
        for bad in ("a\r\nX: y", "a\n", "a\0", "\x1b[0m", "\ud800"):
            self.assertRaises(InvalidArgument, message.search, bad, host=GROUP, mx=2)
            self.assertRaises(InvalidArgument, message.search, ROOT, host=GROUP, user_agent=bad)
        for mx in (0, 6, -1):
            self.assertRaises(InvalidArgument, message.search, ROOT, host=GROUP, mx=mx)

    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
    def test_what_is_written_is_read(self, name: str) -> None:
        read = parse(message.byebye(f"urn:{name}", "uuid:x", host=GROUP, boot_id=3))
        self.assertEqual((read.kind, read.target, read.udn, read.boot_id), (Kind.BYEBYE, f"urn:{name}", "uuid:x", 3))
