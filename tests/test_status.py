"""Pure: WAN status values, classes of addresses, and the choice between connections."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.status import AddressClass, Learned, Reading, WANStatus, choose, classify, default_index, rank


class ClassTests(SynchronousTestCase):
    def test_F28_every_special_range_has_its_class(self):
        table = {
            "0.1.2.3": AddressClass.RESERVED,
            "10.1.2.3": AddressClass.PRIVATE,
            "100.64.3.4": AddressClass.CGNAT,
            "100.127.255.255": AddressClass.CGNAT,
            "127.0.0.1": AddressClass.RESERVED,
            "169.254.7.7": AddressClass.RESERVED,
            "172.16.0.1": AddressClass.PRIVATE,
            "172.31.255.1": AddressClass.PRIVATE,
            "192.0.0.1": AddressClass.RESERVED,
            "192.0.2.1": AddressClass.RESERVED,
            "192.168.0.1": AddressClass.PRIVATE,
            "198.18.0.1": AddressClass.RESERVED,
            "198.51.100.4": AddressClass.RESERVED,
            "203.0.113.7": AddressClass.RESERVED,
            "224.0.0.1": AddressClass.RESERVED,
            "240.0.0.1": AddressClass.RESERVED,
            "255.255.255.255": AddressClass.RESERVED,
            "11.22.33.44": AddressClass.PUBLIC,
            "172.32.0.1": AddressClass.PUBLIC,
            "100.128.0.1": AddressClass.PUBLIC,
        }
        for text, expected in table.items():
            with self.subTest(text):
                self.assertEqual(classify(text), (ipaddress.IPv4Address(text), expected))

    def test_Q144_Q146_what_is_no_dotted_quad_is_no_address(self):
        for text in ("", " ", "0.0.0.0", "(null)", "2001:db8::1", "router.example", "1.2.3", "1.2.3.4.5", "01.2.3.4"):
            with self.subTest(text):
                self.assertEqual(classify(text), (None, AddressClass.NONE))

    def test_blanks_around_an_address_do_not_matter(self):
        self.assertEqual(classify(" 11.22.33.44 \r\n")[0], ipaddress.IPv4Address("11.22.33.44"))


class StatusTests(SynchronousTestCase):
    def test_Q148_connected_in_any_spelling(self):
        for word in ("Connected", "connected", "Up", "UP"):
            self.assertTrue(WANStatus(word).connected)
        for word in ("Disconnected", "Connecting", "Unconfigured", "Disconnecting", "PendingDisconnect"):
            self.assertFalse(WANStatus(word, ipaddress.IPv4Address("11.0.0.1"), AddressClass.PUBLIC).connected)

    def test_Q174_what_events_told_of_the_same(self):
        up = WANStatus("Connected", ipaddress.IPv4Address("11.22.33.44"), AddressClass.PUBLIC)
        down = WANStatus("Disconnected")
        for status, told, expected in (
            (up, {"ConnectionStatus": " connected ", "ExternalIPAddress": "11.22.33.44"}, True),
            (up, {"ConnectionStatus": "Connected", "ExternalIPAddress": "11.22.33.50"}, False),
            (up, {"ConnectionStatus": "Disconnected"}, False),
            (up, {}, True),
            (down, {"ConnectionStatus": "Disconnected", "ExternalIPAddress": "0.0.0.0"}, True),
            (down, {"ConnectionStatus": "Disconnected", "ExternalIPAddress": "11.22.33.44"}, False),
            (WANStatus(""), {"ConnectionStatus": "Connected"}, True),
        ):
            with self.subTest(told=told, status=status):
                self.assertEqual(status.agrees(told), expected)

    def test_Q151_without_status_the_address_decides(self):
        self.assertTrue(Reading("s", None, "11.22.33.44").status(Learned.READ).connected)
        self.assertFalse(Reading("s", None, "").status(Learned.READ).connected)

    def test_a_gateway_that_does_not_answer_is_not_connected(self):
        self.assertFalse(WANStatus("Connected", reachable=False).connected)

    def test_double_nat_is_private_or_carrier_grade(self):
        for text, expected in (("10.0.0.1", True), ("100.64.0.1", True), ("11.0.0.1", False), ("", False)):
            self.assertIs(Reading("s", "Connected", text).status(Learned.READ).double_nat, expected)

    def test_uptime_and_source_are_no_news(self):
        one = WANStatus("Connected", uptime_seconds=1, learned=Learned.READ)
        self.assertFalse(one.differs(WANStatus("connected", uptime_seconds=2, learned=Learned.POLL)))
        self.assertTrue(one.differs(WANStatus("Disconnected")))
        self.assertTrue(one.differs(WANStatus("Connected", ipaddress.IPv4Address("11.0.0.1"))))
        self.assertTrue(one.differs(WANStatus("Connected", reachable=False)))

    def test_each_kind_of_status_can_be_printed(self):
        address = ipaddress.IPv4Address("11.0.0.1")
        self.assertEqual(str(WANStatus()), "not known yet")
        self.assertEqual(
            str(WANStatus("Connected", address, AddressClass.PUBLIC, Learned.READ)), "Connected, 11.0.0.1 (public)"
        )
        self.assertEqual(str(WANStatus("", None, learned=Learned.READ)), "status not told, no external address")
        self.assertEqual(str(WANStatus(reachable=False, learned=Learned.POLL)), "gateway does not answer")


class ChoiceTests(SynchronousTestCase):
    def test_Q143_the_pppoe_line_of_the_WRT54G(self):
        readings = [
            Reading("WANIPConnection:1", "Connected", "0.0.0.0"),
            Reading("WANPPPConnection:1", "Connected", "11.22.33.44"),
        ]
        self.assertEqual(choose(readings), 1)

    def test_order_of_ranks(self):
        public, private = "11.22.33.44", "192.168.7.2"
        best_first = [
            Reading("a", "Connected", public),
            Reading("a", "Connected", private),
            Reading("a", "Disconnected", public),
            Reading("a", "Connected", ""),
            Reading("a", "Disconnected", ""),
            Reading("a", "Unconfigured", ""),
            Reading("a"),
        ]
        ranks = [rank(reading) for reading in best_first]
        self.assertEqual(ranks, sorted(ranks, reverse=True))
        self.assertEqual(len(set(ranks)), len(ranks))

    def test_Q149_the_unused_service_is_last(self):
        self.assertEqual(choose([Reading("a", "Unconfigured", ""), Reading("b", "Disconnected", "")]), 1)

    def test_the_default_breaks_ties_only(self):
        same = Reading("a", "Connected", "11.0.0.1")
        default = Reading("b", "Connected", "11.0.0.2", is_default=True)
        self.assertEqual(choose([same, default]), 1)
        self.assertEqual(choose([same, Reading("b", "Connected", "0.0.0.0", is_default=True)]), 0)
        self.assertEqual(choose([same, same]), 0)

    def test_F23_the_one_in_use_stays_until_another_is_connected_and_better(self):
        down, other = Reading("a", "Disconnected", ""), Reading("b", "Disconnected", "11.0.0.2", is_default=True)
        up = Reading("b", "Connected", "11.0.0.2", is_default=True)
        for readings, live, chosen in (
            ([down, other], 0, 0),
            ([Reading("a"), other], 0, 0),
            ([down, up], 0, 1),
            ([up, up], 0, 0),
            ([up, up], 1, 1),
            ([up, Reading("b", "Connected", "0.0.0.0")], 1, 0),
        ):
            self.assertEqual(choose(readings, live), chosen)

    def test_nothing_to_choose_from(self):
        with self.assertRaises(ValueError):
            choose([])

    def test_Q155_default_connection_service_in_its_forms(self):
        services = [
            ("uuid:A-1", "urn:upnp-org:serviceId:WANIPConn1"),
            ("uuid:A-2", "urn:upnp-org:serviceId:WANPPPConn1"),
        ]
        table = {
            "uuid:A-2:WANConnectionDevice:1,urn:upnp-org:serviceId:WANPPPConn1": 1,
            "UUID:a-1:WANConnectionDevice:2,urn:upnp-org:serviceId:WANIPConn1": 0,
            "uuid:A-2": 1,
            "uuid:A-1:WANConnectionDevice:1,INVALID_SERVICE_ID": 0,
            "": -1,
            "uuid:B": -1,
        }
        for text, expected in table.items():
            with self.subTest(text):
                self.assertEqual(default_index(text, services), expected)
        self.assertEqual(default_index("uuid:A", [("uuid:A", "x"), ("uuid:A", "y")]), -1)
