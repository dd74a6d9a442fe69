"""Our own IPv6 addresses: the system's list, and which of them lasts."""

from __future__ import annotations

import ipaddress
import sys
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from txigd.upnp import own_addresses
from txigd.upnp.own_addresses import OwnAddress, parse_if_inet6, stable_address

# a laptop: SLAAC with a stable-privacy address, two temporary ones of which one is deprecated, a ULA, a static address
LISTED = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db800770000000000000000dead 02 40 00 01     wlan0
20010db8007700000000000000000bad 02 40 00 21     wlan0
20010db8007700001122334455667788 02 40 00 900     wlan0
20010db8007700000000000000000002 02 40 00 80     wlan0
20010db8006600001122334455667788 02 40 00 20     wlan0
20010db8005500000000000000000005 02 40 00 c0     wlan0
20010db8004400000000000000000004 02 40 00 88     wlan0
fd000000000000001122334455667788 02 40 00 00     wlan0
fe800000000000001122334455667788 02 40 20 80     wlan0
20010db8008800000000000000000008 03 40 00 80      eth0
"""
STATIC, SLAAC = ipaddress.IPv6Address("2001:db8:77::2"), ipaddress.IPv6Address("2001:db8:77:0:1122:3344:5566:7788")
OTHER_LINK = ipaddress.IPv6Address("2001:db8:88::8")


class ListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.own = {str(one.address): one for one in parse_if_inet6(LISTED)}

    def test_flags(self) -> None:
        self.assertEqual(len(self.own), 11)
        static = self.own["2001:db8:77::2"]
        self.assertEqual((static.link_name, static.link_index), ("wlan0", 2))
        self.assertEqual(static.network, ipaddress.IPv6Network("2001:db8:77::/64"))
        flags = {
            "2001:db8:77::2": "permanent",
            "2001:db8:77::dead": "temporary",
            "2001:db8:66:0:1122:3344:5566:7788": "deprecated",
        }
        for address, flag in flags.items():
            for name in ("permanent", "temporary", "deprecated", "tentative"):
                self.assertEqual(getattr(self.own[address], name), name == flag, (address, name))
        self.assertTrue(self.own["2001:db8:55::5"].tentative)
        self.assertTrue(self.own["2001:db8:44::4"].tentative, "a duplicate cannot be used")

    def test_which_the_internet_can_send_to(self) -> None:
        for address, own in self.own.items():
            self.assertEqual(own.is_global, address.startswith("2001:"), address)

    def test_lines_cut_short_are_left_out(self) -> None:
        for cut in range(60):
            parse_if_inet6(LISTED.splitlines()[1][:cut])
        self.assertEqual(parse_if_inet6("2001 02 40 00 80 eth0\nxyz\n\n"), ())

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        self.assertIsInstance(parse_if_inet6(text), tuple)

    def test_the_systems_own_list(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SkipTest("only Linux lists them so")
        listed = own_addresses.own_addresses()
        if listed is None:
            raise SkipTest("this kernel has no IPv6")
        for own in listed:
            self.assertIn(own.address, own.network)

    def test_where_nothing_is_listed(self) -> None:
        with mock.patch.object(own_addresses, "_LISTED") as path:
            path.open.side_effect = FileNotFoundError()
            self.assertIsNone(own_addresses.own_addresses())


class ChoiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.own = parse_if_inet6(LISTED)

    def without(self, *addresses: ipaddress.IPv6Address) -> list[OwnAddress]:
        return [one for one in self.own if one.address not in addresses]

    def test_Q194_a_lasting_one_on_the_gateways_link(self) -> None:
        self.assertEqual(stable_address(self.own, link_names=["wlan0"]), STATIC)
        self.assertEqual(stable_address(self.without(STATIC), link_names=["wlan0"]), SLAAC)
        self.assertEqual(stable_address(self.own, link_names=["eth0"]), OTHER_LINK)
        self.assertIsNone(stable_address(self.own, link_names=["lo"]))
        self.assertIsNone(stable_address([one for one in self.own if one.temporary]))

    def test_the_gateways_subnet_comes_first(self) -> None:
        self.assertEqual(stable_address(self.own, towards=ipaddress.IPv6Address("2001:db8:88::1")), OTHER_LINK)
        link_local = ipaddress.IPv6Address("fe80::1%wlan0")
        self.assertEqual(stable_address(self.own, link_names=["wlan0"], towards=link_local), STATIC)

    def test_the_one_in_use_stays_while_it_is_fit(self) -> None:
        self.assertEqual(stable_address(self.own, link_names=["wlan0"], kept=SLAAC), SLAAC)
        deprecated = ipaddress.IPv6Address("2001:db8:66:0:1122:3344:5566:7788")
        self.assertEqual(stable_address(self.own, link_names=["wlan0"], kept=deprecated), STATIC)
        gone = ipaddress.IPv6Address("2001:db8:99::1")
        self.assertEqual(stable_address(self.own, link_names=["wlan0"], kept=gone), STATIC)

    def test_a_deprecated_one_is_better_than_none(self) -> None:
        own = self.without(STATIC, SLAAC)
        chosen = stable_address(own, link_names=["wlan0"])
        self.assertEqual(chosen, ipaddress.IPv6Address("2001:db8:66:0:1122:3344:5566:7788"))
