"""Pure: wanted mappings as values, their text form, and the tag of our entries."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import InvalidArgument
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours, tag


class PortMappingTests(SynchronousTestCase):
    def test_the_forms_of_the_command_line(self):
        self.assertEqual(PortMapping.from_text("tcp:8080"), PortMapping("TCP", 8080))
        self.assertEqual(PortMapping.from_text("udp:5000:15000"), PortMapping("UDP", 5000, 15000))
        self.assertEqual(PortMapping.from_text("Tcp:80:any"), PortMapping("TCP", 80, any_port=True))
        self.assertEqual(PortMapping("TCP", 8080).wanted_port, 8080)
        self.assertEqual(PortMapping("TCP", 8080, 81).wanted_port, 81)
        self.assertEqual(str(PortMapping("UDP", 5000, 15000)), "udp:5000:15000")
        ranged = PortMapping.from_text("tcp:8080:50000-50100")
        self.assertEqual(ranged, PortMapping("TCP", 8080, port_range=(50000, 50100)))
        self.assertEqual((ranged.any_port, ranged.wanted_port), (True, 50000))

    def test_Q123_a_range_of_external_ports(self):
        for fields, first in (
            ({}, 8080),
            ({"port_range": (8000, 8100)}, 8080),
            ({"port_range": (50000, 50100)}, 50000),
            ({"port_range": (50000, 50100), "external_port": 50007}, 50007),
            ({"port_range": [9, 9]}, 9),
        ):
            with self.subTest(repr(fields)):
                wanted = PortMapping("TCP", 8080, **fields)
                self.assertEqual(wanted.wanted_port, first)
                self.assertTrue(wanted.takes(first))
                self.assertEqual(hash(wanted), hash(PortMapping("TCP", 8080, **fields)))
        ranged = PortMapping("TCP", 8080, port_range=(50000, 50100))
        self.assertEqual([port for port in (8080, 49999, 50000, 50100, 50101) if ranged.takes(port)], [50000, 50100])
        self.assertFalse(PortMapping("TCP", 80).takes(81))
        self.assertTrue(PortMapping("TCP", 80, any_port=True).takes(81))

    def test_bad_input_is_told_in_one_line(self):
        table = {
            "sctp:80": "TCP or UDP",
            "tcp:0": "1 to 65535",
            "tcp:70000": "1 to 65535",
            "tcp:80:0": "1 to 65535",
            "tcp:80:70000": "1 to 65535",
            "tcp:-1": "1 to 65535",
            "tcp:8o": "1 to 65535",
            "tcp:٨٠": "1 to 65535",
            "tcp": "tcp:8080",
            "tcp:1:2:3": "tcp:8080",
            "tcp:80:9000-8000": "9000-8000",
            "tcp:80:0-8000": "1 to 65535",
            "tcp:80:8000-": "1 to 65535",
            "tcp:80:-8000": "1 to 65535",
            "tcp:80:1-2-3": "1 to 65535",
            "": "tcp:8080",
        }
        for text, said in table.items():
            with self.subTest(text):
                error = self.assertRaises(InvalidArgument, PortMapping.from_text, text)
                self.assertIn(said, str(error))
                self.assertNotIn("\n", str(error))

    def test_D5_values_that_open_wider_holes_are_refused(self):
        bad: list[dict[str, Any]] = [
            {"internal_port": 0},
            {"internal_port": True},
            {"internal_port": "80"},
            {"external_port": 0},
            {"external_port": 65536},
            {"port_range": (0, 80)},
            {"port_range": (80, 65536)},
            {"port_range": (81, 80)},
            {"port_range": (80,)},
            {"port_range": 80},
            {"port_range": ("80", "81")},
            {"port_range": (5000, 5001), "external_port": 6000},
            {"lease_seconds": -1},
            {"lease_seconds": 604_801},
            {"lease_seconds": 1.5},
            {"remote_host": "example.org"},
            {"internal_client": "127.0.0.1"},
            {"internal_client": "0.0.0.0"},
            {"internal_client": "fe80::1"},
            {"remote_host": "224.0.0.1"},
            {"protocol": "SCTP"},
            {"protocol": None},
        ]
        for fields in bad:
            with self.subTest(repr(fields)):
                self.assertRaises(InvalidArgument, PortMapping, **{"protocol": "TCP", "internal_port": 80, **fields})

    def test_addresses_may_be_text(self):
        wanted = PortMapping("udp", 1, internal_client="192.168.1.7", remote_host="11.0.0.1")  # type: ignore[arg-type]
        self.assertEqual(wanted.internal_client, ipaddress.IPv4Address("192.168.1.7"))
        self.assertEqual(wanted.remote_host, ipaddress.IPv4Address("11.0.0.1"))

    @given(st.text(max_size=40))
    def test_any_text_gives_a_mapping_or_one_error(self, text):
        try:
            wanted = PortMapping.from_text(text)
        except InvalidArgument:
            return
        self.assertIn(wanted.protocol, ("TCP", "UDP"))
        self.assertTrue(1 <= wanted.internal_port <= 65535)


class TagTests(SynchronousTestCase):
    @given(st.text())
    def test_Q099_only_characters_that_every_gateway_takes(self, name):
        made = tag("0a1b2c3d", name)
        self.assertRegex(made, r"\Atxigd\.0a1b2c3d\.[A-Za-z0-9 ._-]+\Z")
        self.assertLessEqual(len(made), 63)
        self.assertTrue(is_ours(made, "0a1b2c3d"))
        self.assertFalse(is_ours(made, "ffffffff"))

    def test_Q099_a_long_name_is_cut(self):
        self.assertEqual(tag("0a1b2c3d", "w" * 100), "txigd.0a1b2c3d." + "w" * 48)
        self.assertEqual(tag("0a1b2c3d", "w" * 47 + " x"), "txigd.0a1b2c3d." + "w" * 47, "no blank at the cut")

    def test_others_are_not_ours(self):
        for text in ("", "txigd", "BitComet", "x txigd.0a1b2c3d.web", "TXIGD.0a1b2c3d.web"):
            self.assertFalse(is_ours(text, "0a1b2c3d"))

    def test_an_entry_leads_to_one_client_and_port(self):
        entry = PortMappingEntry("TCP", 80, " 192.168.1.7 ", 8080)
        self.assertTrue(entry.leads_to(ipaddress.ip_address("192.168.1.7"), 8080))
        self.assertFalse(entry.leads_to(ipaddress.ip_address("192.168.1.7"), 80))
        self.assertFalse(entry.leads_to(ipaddress.ip_address("192.168.1.70"), 8080))
