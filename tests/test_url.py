"""URLs of devices: the host rule, resolution, and that nothing but BadURL comes out."""

from __future__ import annotations

import ipaddress
from urllib.parse import urljoin, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import BadURL
from txigd.limits import LOCATION_OCTETS
from txigd.upnp.url import DeviceURL, check_location, parse, parse_named, resolve, unmapped, with_zone, without_zone

SENDER = ipaddress.ip_address("192.168.1.1")
LAN = [ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fe80::/64")]

GOOD_FORMS = ("http://192.168.1.1:22/", "HTTP://192.168.1.1/")
BAD_FORMS = {
    "http://192.168.1.1@127.0.0.1/": "userinfo",
    "http://2130706433/": "no literal",
    "http://[::ffff:127.0.0.1]/": "another host once unmapped",
    "http://192.168.1.1:99999/": "port",
    "http://192.168.1.1\\@evil/": "backslash",
    "ftp://192.168.1.1/": "scheme",
    "http:///x": "no host",
    "http://192.168.1.1.evil.com/": "name",
    "http://\uff11\uff19\uff12.168.1.1/": "full-width digits",
    "http://192.168.1.1#@evil/": "fragment",
    "http://127.1/": "no literal",
    "http://0x7f.1/": "no literal",
    "http://[::1%25eth0]/": "zone in the URL",
    "http://192.168.1.1:0/": "port",
    "http://192.168.1.1%00.evil/": "percent",
    "file:///etc/passwd": "scheme",
    "//192.168.1.1/": "no scheme",
    "http://192.168.001.001/": "octal-looking",
    "http://[fe80::1]/": "another host",
    "http://192.168.1.1:80:80/": "two ports",
}
ANY_URL_TEXT = st.one_of(
    st.text(max_size=600),
    st.text("http:/[]0123456789.afAF%?#@\\ x", max_size=80),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["http://", "HTTP://", "//", "/", "", "https://", "../", "?", "http:"]),
            st.sampled_from(
                ["192.168.1.1", "[fe80::1]", "[::ffff:192.168.1.1]", "127.0.0.1", "a@b", "x", "[]", "[:::]"]
            ),
            st.sampled_from(["", ":80", ":0", ":99999", ":", ":-1", ":8 0"]),
            st.text(st.characters(max_codepoint=300), max_size=20),
        ),
    ),
)


def base(target: str = "/dir/rootDesc.xml", port: int = 5000) -> DeviceURL:
    return DeviceURL(SENDER, port, target)


class HostRuleTests(SynchronousTestCase):
    """Which LOCATION is believed."""

    def test_A6_good_forms(self) -> None:
        self.assertEqual(check_location(GOOD_FORMS[0], sender=SENDER), DeviceURL(SENDER, 22, "/"))
        self.assertEqual(check_location(GOOD_FORMS[1], sender=SENDER, networks=LAN), DeviceURL(SENDER, 80, "/"))

    def test_A6_bad_forms(self) -> None:
        self.assertEqual(len(BAD_FORMS) + len(GOOD_FORMS), 22)
        for form, reason in BAD_FORMS.items():
            try:
                url = check_location(form, sender=SENDER, networks=LAN)
            except BadURL:
                continue
            self.fail(f"{form!r} ({reason}) passed as {url!r}")

    def test_A6_more_bad_forms(self) -> None:
        for form in (
            "",
            "http",
            "http://",
            "http:/192.168.1.1/",
            "intent://192.168.1.1/",
            "https://192.168.1.1/",
            "http://gw.evil.com/",
            "http://localhost/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://[192.168.1.1]/",
            "http://::1/",
            "http://192.168.1.1:/",
            "http://192.168.1.1:8 0/",
            "http://192.168.1.1:+80/",
            "http://192.168.1.1/a b",
            "http://192.168.1.1/\r\nX: y",
            "http://192.168.1.1/\0",
            "http://192.168.1.1/\x7f",
            "http://192.168.1.1/\xe9",
            "http://192.168.1.1/#x",
            'http://192.168.1.1/"',
            "http://192.168.1.1/<x>",
            "http://192.168.1.1;x/",
            "http://192.168.1.1./",
            "http://192.168.1.1/" + "a" * LOCATION_OCTETS,
        ):
            self.assertRaises(BadURL, check_location, form, sender=SENDER)

    def test_A6_no_address_of_a_host_even_from_itself(self) -> None:
        for host in ("0.0.0.0", "255.255.255.255", "239.255.255.250", "::", "ff02::c"):
            address = ipaddress.ip_address(host)
            literal = f"[{host}]" if address.version == 6 else host
            self.assertRaises(BadURL, check_location, f"http://{literal}/", sender=address)

    def test_A6_mapped_sender(self) -> None:
        for sender in (SENDER, ipaddress.ip_address("::ffff:192.168.1.1")):
            for form in ("http://192.168.1.1/", "http://[::ffff:192.168.1.1]/", "http://[::FFFF:c0a8:101]/"):
                self.assertEqual(check_location(form, sender=sender, networks=LAN), DeviceURL(SENDER, 80, "/"))

    def test_A6_sender_off_the_link(self) -> None:
        stranger = ipaddress.ip_address("10.0.0.9")
        self.assertRaises(BadURL, check_location, "http://10.0.0.9/", sender=stranger, networks=LAN)
        self.assertEqual(check_location("http://10.0.0.9/", sender=stranger).host, stranger)

    def test_Q024_loopback_and_auto_ip(self) -> None:
        for form in ("http://[::1]:1900/x", "http://127.0.0.1/x", "http://169.254.7.7/x"):
            self.assertRaises(BadURL, check_location, form, sender=SENDER, networks=LAN)
        auto = ipaddress.ip_address("169.254.7.7")
        self.assertRaises(BadURL, check_location, "http://169.254.7.7/", sender=auto, networks=LAN)
        own = [ipaddress.ip_network("169.254.0.0/16")]
        self.assertEqual(check_location("http://169.254.7.7/", sender=auto, networks=own).host, auto)

    def test_zone_comes_from_the_sender(self) -> None:
        sender = ipaddress.ip_address("fe80::1%lan0")
        url = check_location("http://[fe80::1]:49153/rootDesc.xml", sender=sender, networks=LAN)
        self.assertEqual(url, DeviceURL(sender, 49153, "/rootDesc.xml"))
        self.assertNotEqual(url, DeviceURL(ipaddress.ip_address("fe80::1%lan1"), 49153, "/rootDesc.xml"))
        self.assertRaises(BadURL, check_location, "http://[fe80::1%lan0]/", sender=sender)

    def test_a_user_may_write_the_zone(self) -> None:
        zoned = DeviceURL(ipaddress.ip_address("fe80::1%lan0"), 49153, "/x")
        for text in ("http://[fe80::1%lan0]:49153/x", " http://[fe80::1%25lan0]:49153/x "):
            self.assertEqual(parse_named(text), zoned)
            self.assertRaises(BadURL, parse, text)
        self.assertEqual(parse_named("http://192.0.2.1/x%20y"), parse("http://192.0.2.1/x%20y"))
        for text in ("http://[2001:db8::1%lan0]/", "http://[fe80::1%]/", "http://[fe80::1%a%b]/", "http://[fe80::1%a/b]/",
                     "https://[fe80::1%lan0]/", "http://192.0.2.1%lan0/"):  # fmt: skip
            self.assertRaises(BadURL, parse_named, text)

    def test_zone_stays_off_the_wire(self) -> None:
        url = DeviceURL(ipaddress.ip_address("fe80::1%lan0"), 49153, "/x")
        self.assertEqual((url.authority, url.on_the_wire), ("[fe80::1]:49153", "http://[fe80::1]:49153/x"))

    def test_what_is_shown_can_be_written_again(self) -> None:
        """A link-local address without its link cannot be named: which of them all would it be?"""
        for text in (
            "http://[fe80::1%lan0]:49153/x",
            "http://[fe80::1%lan0]/",
            "http://[2001:db8::1]/a]b",
            "http://192.0.2.1/%25",
        ):
            self.assertEqual(str(parse_named(text)), text)
            self.assertEqual(parse_named(str(parse_named(text))), parse_named(text))
        found = check_location("http://[fe80::1]:5000/x", sender=ipaddress.ip_address("fe80::1%lan0"))
        self.assertEqual(str(found), "http://[fe80::1%lan0]:5000/x")
        self.assertEqual(str(resolve(found, "/c")), "http://[fe80::1%lan0]:5000/c")

    def test_zones_of_addresses(self) -> None:
        link_local = ipaddress.ip_address("fe80::1%lan0")
        self.assertEqual(without_zone(link_local), ipaddress.ip_address("fe80::1"))
        self.assertEqual(without_zone(SENDER), SENDER)
        self.assertEqual(with_zone(link_local, "lan1"), ipaddress.ip_address("fe80::1%lan1"))
        self.assertEqual(with_zone(link_local, ""), link_local)
        for other in (SENDER, ipaddress.ip_address("2001:db8::1")):
            self.assertEqual(with_zone(other, "lan1"), other)
            self.assertEqual(unmapped(other), other)

    def test_Q053_authority_leaves_out_port_80(self) -> None:
        self.assertEqual(parse("http://192.168.1.1:80/x").authority, "192.168.1.1")
        self.assertEqual(parse("http://192.168.1.1:8080/x").authority, "192.168.1.1:8080")
        self.assertEqual(parse("http://192.168.1.1:00080/x").port, 80)
        self.assertEqual(parse("http://[2001:db8::1]/").authority, "[2001:db8::1]")

    def test_target_is_kept_as_it_is(self) -> None:
        for target in (
            "/dyndev/uuid:000625d8-095f",
            "//x",
            "/a/../b",
            "/%7E%2f",
            "/c?WANIPConnection",
            "/?",
            "/a|b^{}",
        ):
            self.assertEqual(parse(f"http://192.168.1.1{target}").target, target)
        self.assertEqual(parse("http://192.168.1.1").target, "/")
        self.assertEqual(parse("http://192.168.1.1?x").target, "/?x")
        self.assertEqual(parse(" \thttp://192.168.1.1/x\r\n").target, "/x")

    @given(ANY_URL_TEXT)
    def test_A6_any_text(self, text: str) -> None:
        try:
            url = check_location(text, sender=SENDER, networks=LAN)
        except BadURL:
            return
        self.assertEqual(url.host, SENDER)
        self.assertEqual(parse(str(url)), url)
        self.assertTrue(str(url).isascii() and str(url).isprintable())

    @given(ANY_URL_TEXT)
    def test_A6_any_text_agrees_with_the_stock_parser(self, text: str) -> None:
        """Two parsers that see different hosts are how such rules get bypassed."""
        try:
            url = parse(text)
        except BadURL:
            return
        other = urlsplit(text.strip())
        self.assertEqual(other.scheme, "http")
        self.assertIsNone(other.username)
        self.assertEqual(unmapped(ipaddress.ip_address(other.hostname or "")), url.host)
        self.assertEqual(other.port or 80, url.port)


class ResolveTests(SynchronousTestCase):
    """URLs inside a description."""

    def test_A7_other_hosts(self) -> None:
        for reference in (
            "http://127.0.0.1:631/",
            "//10.0.0.9/",
            "//10.0.0.9",
            "//10.0.0.9:80/",
            "//10.0.0.9?x",
            "//[::1]/",
            "http://gw:80@evil/",
            "http://192.168.1.1:80@127.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "HTTP://10.0.0.9/",
            "https://192.168.1.1/",
            "ftp://192.168.1.1/",
            "file:///etc/passwd",
            "javascript://x",
            "\\\\10.0.0.9\\x",
            "/\\10.0.0.9/",
            "/x\r\nX: y",
            "/x y",
            "/\xe9",
            "/" + "a" * LOCATION_OCTETS,
        ):
            self.assertRaises(BadURL, resolve, base(), reference)

    def test_empty(self) -> None:
        for reference in ("", " ", "\r\n\t", "#", "#x"):
            self.assertRaises(BadURL, resolve, base(), reference)

    def test_Q061_location_is_the_base(self) -> None:
        self.assertEqual(resolve(base("/k3d9/rootDesc.xml"), "ctl/IPConn"), base("/k3d9/ctl/IPConn"))

    def test_Q062_url_base(self) -> None:
        location = parse("http://192.168.1.1:5678/rootDesc.xml")
        other_port = resolve(location, "http://192.168.1.1:2468")
        self.assertEqual(resolve(other_port, "/x"), base("/x", 2468))
        for wrong in ("", "http://127.0.0.1/", "http://203.0.113.5:5678/"):
            self.assertRaises(BadURL, resolve, location, wrong)

    def test_Q063_control_url_on_another_port(self) -> None:
        self.assertEqual(resolve(base(), "http://192.168.1.1:2468//WANIPConnection"), base("//WANIPConnection", 2468))

    def test_Q064_double_slash(self) -> None:
        for path in ("//WANIPConnection", "//ctl//x", "//5/ctl", "//1.0/ctl", "///x", "/a//b", "//evil.com/x"):
            self.assertEqual(resolve(base(), path), base(path))
        self.assertEqual(resolve(base(), "//192.168.1.1:99/x"), base("/x", 99))

    def test_Q065_wrong_host_is_never_connected_to(self) -> None:
        self.assertRaises(BadURL, resolve, base(), "http://203.0.113.5:2468/ctl")

    def test_Q066_query(self) -> None:
        self.assertEqual(resolve(base(), "/control?WANIPConnection"), base("/control?WANIPConnection"))
        self.assertEqual(resolve(base(), "soap.cgi?service=a/../b"), base("/dir/soap.cgi?service=a/../b"))
        self.assertEqual(resolve(base("/soap.cgi?x=/y/"), "?service=1"), base("/soap.cgi?service=1"))
        self.assertEqual(resolve(base("/a/b?x=/y/"), "c"), base("/a/c"))

    def test_Q067_relative_to_a_deep_path(self) -> None:
        location = base("/dyndev/uuid:000625d8-095f-0006-25d8-095f0032aa18")
        self.assertEqual(resolve(location, "ctl"), base("/dyndev/ctl"))
        self.assertEqual(resolve(location, "uuid:0006/WANIP:1"), base("/dyndev/uuid:0006/WANIP:1"))
        self.assertEqual(resolve(location, "/uuid:0006/WANIP:1"), base("/uuid:0006/WANIP:1"))

    def test_dot_segments(self) -> None:
        for reference, target in (
            ("./x", "/a/b/x"),
            ("../x", "/a/x"),
            ("../../../x", "/x"),
            ("..", "/a/"),
            (".", "/a/b/"),
            ("x/./y/../z", "/a/b/x/z"),
            ("x/..", "/a/b/"),
            ("x/.", "/a/b/x/"),
            (".x/..y/...", "/a/b/.x/..y/..."),
        ):
            self.assertEqual(resolve(base("/a/b/d.xml"), reference), base(target), reference)

    def test_fragment_is_cut(self) -> None:
        self.assertEqual(resolve(base(), "/x#y"), base("/x"))

    def test_blanks_around(self) -> None:
        self.assertEqual(resolve(base(), "\n  /x \n"), base("/x"))

    def test_zone_stays(self) -> None:
        start = DeviceURL(ipaddress.ip_address("fe80::1%lan0"), 80, "/d.xml")
        for reference in ("x", "/x", "http://[fe80::1]/x", "//[fe80::1]/x"):
            self.assertEqual(resolve(start, reference), start.with_target("/x"))

    @given(ANY_URL_TEXT, st.sampled_from(["/", "/a/b", "/?x", "//a//b/", "/a/..?b"]))
    def test_A7_any_text_stays_on_the_host(self, reference: str, target: str) -> None:
        for host in (SENDER, ipaddress.ip_address("fe80::1%lan0")):
            try:
                url = resolve(DeviceURL(host, 80, target), reference)
            except BadURL:
                continue
            self.assertEqual(url.host, host)
            self.assertTrue(url.target.startswith("/"))
            self.assertTrue(str(url).isascii() and str(url).isprintable() and "#" not in str(url))

    @given(st.lists(st.sampled_from(["a", "b", ".", "..", "c.d", "e?f"]), min_size=1, max_size=8))
    def test_relative_paths_agree_with_rfc_3986(self, segments: list[str]) -> None:
        reference = "/".join(segments)
        start = base("/x/y/z/d.xml")
        self.assertEqual(str(resolve(start, reference)), urljoin(str(start), reference))
