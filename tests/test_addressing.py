"""Links, routes and our own address."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from unittest import mock, skipUnless

import ifaddr
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import AddressingError
from txigd.limits import LINKS
from txigd.upnp import addressing
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.url import parse_named

HEADING = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
ROUTES4 = HEADING + "".join(
    line + "\t0\t0\t0\n"
    for line in (
        "wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t600\t00000000",
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000",
        "tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000",  # point-to-point: no next hop
        "tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080",  # 0.0.0.0/1 of a VPN
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF",
        "eth1\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000",  # not up
    )
)
ZERO = "0" * 32
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
ROUTES6 = "".join(
    line + "\n"
    for line in (
        f"{ZERO} 00 {ZERO} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0",
        f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000100 00000002 00000000 00450003     eth1",
        f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000200 00000002 00000000 00450003     eth1",
        f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo",
        f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000009 00000001 00000001 00000000 00000203     eth1",
        f"fe800000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000002 00000000 00000001     eth0",
    )
)


def link(name: str = "eth0", index: int = 2, *addresses: str, **flags: bool) -> Link:
    return Link(name, index, tuple(ipaddress.ip_interface(address) for address in addresses), **flags)


class RouteTests(SynchronousTestCase):
    @skipUnless(sys.byteorder == "little", "the sample was taken on a little-endian host")
    def test_F17_F22_ipv4_default_routes_with_a_next_hop_best_first(self):
        self.assertEqual(
            addressing.parse_route4(ROUTES4),
            (
                NextHop(ipaddress.ip_address("192.168.1.1"), "eth0", 100),
                NextHop(ipaddress.ip_address("192.168.1.254"), "wlan0", 600),
            ),
        )

    def test_ipv6_default_routes_carry_the_zone_and_come_once(self):
        hops = addressing.parse_route6(ROUTES6)
        self.assertEqual([(hop.link_name, hop.metric) for hop in hops], [("eth1", 0x100), ("eth0", 0x400)])
        self.assertEqual([str(hop.address) for hop in hops], ["fe80::1%eth1", "fd00::1"])

    def test_the_number_of_routers_is_bounded(self):
        line = f"{ZERO} 00 {ZERO} 00 %032x 00000400 00000002 00000000 00000003 eth0\n"
        text = "".join(line % (0xFD << 120 | number) for number in range(1, 3 * LINKS))
        self.assertEqual(len(addressing.parse_route6(text)), LINKS)

    @given(st.text())
    def test_no_text_raises(self, text):
        self.assertIsInstance(addressing.parse_route4(text), tuple)
        self.assertIsInstance(addressing.parse_route6(text), tuple)

    @given(st.lists(st.sampled_from(["eth0", "00000000", "FFFFFFFFFF", "-1", "0003", "0", ZERO, "00"]), max_size=12))
    def test_no_row_raises(self, fields):
        addressing.parse_route4("\t".join(fields))
        addressing.parse_route6(" ".join(fields))

    def test_a_system_that_tells_no_routes_has_no_next_hops(self):
        with mock.patch.multiple(addressing, _ROUTES_V4=Path("/nonexistent/4"), _ROUTES_V6=Path("/nonexistent/6")):
            self.assertEqual(addressing.next_hops(), ())


class LinkTests(SynchronousTestCase):
    def test_addresses_by_kind(self):
        both = link("eth0", 2, "192.0.2.7/24", "2001:db8::7/64", "fd00::7/64", "fe80::7/64", "192.0.2.8/24")
        self.assertEqual(str(both.ipv4), "192.0.2.7")
        self.assertEqual(str(both.ipv6_link_local), "fe80::7%eth0")
        self.assertEqual(str(both.ipv6_routable), "fd00::7")
        self.assertEqual(
            [str(network) for network in both.networks], ["192.0.2.0/24", "2001:db8::/64", "fd00::/64", "fe80::/64"]
        )
        bare = link()
        self.assertEqual((bare.ipv4, bare.ipv6_link_local, bare.ipv6_routable, bare.networks), (None, None, None, ()))
        self.assertEqual(str(link("eth0", 2, "2001:db8::7/64").ipv6_routable), "2001:db8::7")

    def test_D1_a_link_contains_its_subnets_and_its_own_zone_only(self):
        both = link("eth0", 2, "192.0.2.7/24", "fe80::7/64")
        for text, inside in (
            ("192.0.2.1", True),
            ("192.0.3.1", False),
            ("fe80::1", True),
            ("fe80::1%eth0", True),
            ("fe80::1%2", True),
            ("fe80::1%eth1", False),
            ("2001:db8::1", False),
        ):
            self.assertIs(both.contains(ipaddress.ip_address(text)), inside, text)

    def test_changes_name_links_and_addresses(self):
        old = (link("eth0", 2, "192.0.2.7/24"), link("eth1", 3, "198.51.100.7/24"), link("wan", 4, "203.0.113.1/24"))
        new = (link("eth0", 2, "192.0.2.9/24"), link("eth1", 9, "198.51.100.7/24"), link("wan", 4, "203.0.113.1/24"))
        found = addressing.changes(old, new)
        self.assertTrue(found)
        self.assertEqual(found.added, (new[1],))
        self.assertEqual(found.removed, (old[1],))
        self.assertEqual(found.altered, ((old[0], new[0]),))
        self.assertEqual(found.addresses_gained, {ipaddress.ip_address("192.0.2.9")})
        self.assertEqual(found.addresses_lost, {ipaddress.ip_address("192.0.2.7")})

    def test_no_change_is_false(self):
        self.assertFalse(addressing.changes([link()], [link()]))


class LinksTests(SynchronousTestCase):
    def adapters(self, *rows):
        made = [
            ifaddr.Adapter(name, name, [ifaddr.IP(ip, prefix, name) for ip, prefix in ips], index=index)
            for name, index, ips in rows
        ]
        self.patch(ifaddr, "get_adapters", lambda include_unconfigured: made)

    def flags(self, **down_or_not):
        real = Link

        def bare(name, index, probe):
            return real(name, index, **down_or_not.get(name, {}))

        self.patch(addressing, "_bare_link", bare)

    def test_Q014_F17_only_usable_links_unless_named(self):
        self.adapters(
            ("lo", 1, [("127.0.0.1", 8)]),
            ("veth1", 2, [(("fe80::1", 0, 2), 64)]),
            ("tun0", 3, [("10.8.0.2", 32)]),
            ("down0", 4, [("192.0.2.4", 24)]),
            ("bare0", 5, []),
            ("eth0", 6, [("192.0.2.6", 24)]),
            ("eth0:1", 6, [("192.0.2.66", 24)]),
            ("eth1", 7, [("198.51.100.7", 24)]),
            ("gone", None, [("198.51.100.8", 24)]),
        )
        self.flags(lo={"loopback": True}, tun0={"point_to_point": True}, down0={"up": False})
        self.patch(addressing, "next_hops", lambda: (NextHop(ipaddress.ip_address("198.51.100.1"), "eth1"),))
        found = addressing.links()
        self.assertEqual([one.name for one in found], ["eth1", "eth0", "veth1"])
        self.assertEqual([str(host) for host in found[1].hosts], ["192.0.2.6", "192.0.2.66"])
        self.assertEqual(str(found[2].addresses[0]), "fe80::1%veth1/64")
        named = addressing.links(("tun0", "lo", "down0"))
        self.assertEqual([one.name for one in named], ["tun0", "lo"])

    def test_an_unknown_name_says_which_links_there_are(self):
        self.adapters(("eth0", 6, [("192.0.2.6", 24)]), ("lo", 1, [("127.0.0.1", 8)]))
        error = self.assertRaises(AddressingError, addressing.links, ("eth9",))
        self.assertIn("eth9", str(error))
        self.assertIn("eth0, lo", str(error))

    def test_the_number_of_links_is_bounded(self):
        self.adapters(*((f"veth{n}", n, [(("fe80::1", 0, n), 64)]) for n in range(1, 300)))
        self.flags()
        self.assertEqual(len(addressing.links()), LINKS)

    def test_a_system_that_fails_is_an_addressing_error(self):
        self.patch(ifaddr, "get_adapters", mock.Mock(side_effect=OSError(24, "Too many open files")))
        self.assertRaises(AddressingError, addressing.links)

    def test_loopback_of_this_host(self):
        (lo,) = addressing.links([LOOPBACK])
        self.assertTrue(lo.loopback)
        self.assertFalse(lo.point_to_point)
        self.assertEqual(str(lo.ipv4), "127.0.0.1")
        self.assertNotIn(lo, addressing.links())


class FlagsTests(SynchronousTestCase):
    def test_a_system_that_tells_no_flags_has_ordinary_links(self):
        self.patch(addressing, "_FLAGS_REQUEST", {})
        (lo,) = addressing.links([LOOPBACK])
        self.assertTrue(lo.loopback, "told by its addresses")
        self.assertTrue(lo.up)

    def test_a_link_that_went_away_meanwhile_is_down(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            self.assertFalse(addressing._bare_link("nolink0", 9, probe).up)


class AddressTowardsTests(SynchronousTestCase):
    def test_loopback_is_reached_from_loopback(self):
        here = ipaddress.ip_address("127.0.0.1")
        self.assertEqual(addressing.address_towards(here), here)

    def test_links_that_lead_to_a_host(self):
        there = [
            link("lo", 1, "127.0.0.1/8"),
            link("eth0", 2, "192.0.2.7/24", "fe80::7/64"),
            link("eth1", 3, "fe80::8/64"),
        ]
        self.patch(addressing, "_all_links", lambda: there)
        for host, names in (
            ("127.3.2.1", ("lo",)),
            ("192.0.2.1", ("eth0",)),
            ("fe80::1%eth1", ("eth1",)),
            ("198.51.100.1", ()),
        ):
            self.assertEqual(addressing.links_to(ipaddress.ip_address(host)), names)

    def test_a_link_local_url_says_on_which_link(self):
        wanting = parse_named("http://[fe80::1]:5000/d.xml")
        for there, said in (
            (("eth0", "wlan0"), "Write http://[fe80::1%eth0]:5000/d.xml (or wlan0 for eth0)"),
            (("eth0",), "Write http://[fe80::1%eth0]:5000/d.xml"),
            ((), "Write http://[fe80::1%LINK]:5000/d.xml"),
        ):
            made = tuple(link(name, number, "fe80::7/64") for number, name in enumerate(there, 2))
            self.patch(addressing, "links", lambda names=(), made=made: made)
            error = self.assertRaises(AddressingError, addressing.check_zone, wanting)
            self.assertTrue(str(error).endswith(said), str(error))
        for text in ("http://[fe80::1%1]/", "http://[2001:db8::1]/", "http://169.254.1.1/", "http://192.0.2.1/"):
            addressing.check_zone(parse_named(text))

    def test_an_unknown_zone_is_an_addressing_error(self):
        host = ipaddress.ip_address("fe80::1%nolink0")
        self.assertRaises(AddressingError, addressing.address_towards, host)

    def test_no_route_is_an_addressing_error(self):
        def unreachable(self, name):
            raise OSError(101, "Network is unreachable")

        class Unreachable(socket.socket):
            connect = unreachable

        self.patch(socket, "socket", Unreachable)
        error = self.assertRaises(AddressingError, addressing.address_towards, ipaddress.ip_address("192.0.2.1"))
        self.assertIn("Network is unreachable", str(error))

    def test_zones_are_names_or_numbers(self):
        self.assertEqual(addressing.zone_index(ipaddress.ip_address("fe80::1%7")), 7)
        self.assertEqual(addressing.zone_index(ipaddress.ip_address("fe80::1")), 0)
        self.assertEqual(addressing.zone_index(ipaddress.ip_address("192.0.2.1")), 0)
