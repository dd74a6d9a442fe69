"""The IPv6 firewall of a gateway: from where it is asked, where it is found, and what its answers mean."""

from __future__ import annotations

import ipaddress
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.ipv6_gateway import LAN6, OURS, OVER4, OVER6, TEMPORARY, FakeExchange, Gateway6, at, own
from txigd.errors import ActionError, AddressingError, NoFirewall
from txigd.igd.firewall import Firewall, FirewallState
from txigd.igd.lease_facts import Added, Denied, Failed, Missing, Unreadable
from txigd.igd.pinhole import Closed, Opened, Pinhole, PinholeFact
from txigd.limits import PINHOLE_SIGHT_SECONDS

WANTED = Pinhole("TCP", 8080)


class FirewallCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gateway = Gateway6(self.clock)
        self.lan = LAN6(self.clock, self.gateway)
        self.firewall = self.lan.firewall(self.lan.device(self.gateway))

    def fact(self, asking: Coroutine[Deferred[Any], Any, PinholeFact]) -> PinholeFact:
        return self.successResultOf(Deferred.fromCoroutine(asking))

    def open(self, wanted: Pinhole = WANTED) -> PinholeFact:
        return self.fact(self.firewall.open(wanted, self.firewall.client(), 3600))


class FactTests(FirewallCase):
    def test_Q193_asked_from_the_very_address_over_IPv6(self) -> None:
        self.assertEqual(self.open(), Opened(1, OURS))
        self.assertEqual({(source, host) for source, host, _ in self.lan.asked}, {(str(OURS), OVER6)})
        [(_, pinhole)] = self.gateway.pinholes
        self.assertEqual((pinhole.internal_client, pinhole.internal_port), (str(OURS), 8080))

    def test_Q195_the_protocol_is_a_number(self) -> None:
        self.open(Pinhole("udp", 5000, remote_host=ipaddress.IPv6Address("2001:DB8::1"), remote_port=7))
        [(_, pinhole)] = self.gateway.pinholes
        self.assertEqual((pinhole.protocol, pinhole.remote_host, pinhole.remote_port), (17, "2001:db8::1", 7))

    def test_the_same_values_extend(self) -> None:
        self.assertEqual(self.open(), self.open())

    def test_Q196_a_closed_firewall_is_reported_and_not_asked(self) -> None:
        for enabled, allowed, code in ((True, False, 703), (False, True, 702)):
            self.gateway.state.pinholes.firewall_enabled = enabled
            self.gateway.state.pinholes.inbound_allowed = allowed
            fact = self.open()
            assert isinstance(fact, Denied)
            self.assertEqual(fact.code, code)
        self.assertEqual(self.lan.actions(), ["GetFirewallStatus"] * 2)

    def test_a_gateway_that_tells_no_status_is_asked_all_the_same(self) -> None:
        for fault in (401, 606, 2403):
            self.gateway.faults["GetFirewallStatus"] = fault
            self.assertIsInstance(self.open(), Opened)
            self.assertEqual(self.successResultOf(self.firewall.status()), FirewallState())

    def test_refusals_of_AddPinhole(self) -> None:
        for fault, expected in ((606, Denied), (701, Denied), (2403, Denied), (2503, Failed), (2999, Denied)):
            with self.subTest(fault):
                self.gateway.faults["AddPinhole"] = fault
                self.assertIsInstance(self.open(), expected)

    def test_what_UpdatePinhole_says(self) -> None:
        self.open()
        table: dict[object, type] = {704: Missing, 402: Missing, 606: Missing, 401: Unreadable, 602: Unreadable}
        table |= {703: Denied, 501: Denied, 2503: Failed, None: Added}
        for fault, expected in table.items():
            with self.subTest(fault):
                self.gateway.faults["UpdatePinhole"] = fault
                self.assertIsInstance(self.fact(self.firewall.extend(1, OURS, 60)), expected)

    def test_UpdatePinhole_extends(self) -> None:
        self.open()
        self.clock.advance(3000)
        self.assertEqual(self.fact(self.firewall.extend(1, OURS, 3600)), Added())
        self.clock.advance(3000)
        self.assertEqual(len(self.gateway.pinholes), 1)

    def test_what_DeletePinhole_says(self) -> None:
        self.open()
        self.assertEqual(self.fact(self.firewall.close(1, OURS)), Closed())
        self.assertEqual(len(self.gateway.pinholes), 0)
        self.assertEqual(self.fact(self.firewall.close(1, OURS)), Closed())
        self.gateway.faults["DeletePinhole"] = 2503
        self.assertIsInstance(self.fact(self.firewall.close(1, OURS)), Failed)

    def test_DeletePinhole_by_itself_says_why_not(self) -> None:
        self.open()
        error = self.failureResultOf(self.firewall.delete(7, OURS), ActionError).value
        self.assertEqual(error.code, 704)
        self.successResultOf(self.firewall.delete(1, OURS))
        self.assertEqual(len(self.gateway.pinholes), 0)

    def test_silence_is_no_answer(self) -> None:
        self.open()
        self.gateway.faults["*"] = "hang"
        for asking in (
            self.firewall.open(WANTED, OURS, 60),
            self.firewall.extend(1, OURS, 60),
            self.firewall.close(1, OURS),
        ):
            waiting = Deferred.fromCoroutine(asking)
            self.assertNoResult(waiting)
            self.clock.advance(30)
            self.assertIsInstance(self.successResultOf(waiting), Failed)

    def test_packets_and_check(self) -> None:
        self.open()
        self.assertEqual(self.successResultOf(self.firewall.packets(1, OURS)), 0)
        for fault, code in ((704, 704), (501, 501)):
            self.gateway.faults["CheckPinholeWorking"] = fault
            error = self.failureResultOf(self.firewall.is_working(1, OURS), ActionError).value
            self.assertEqual(error.code, code)
        self.gateway.faults["CheckPinholeWorking"] = 709
        self.assertIsNone(self.successResultOf(self.firewall.is_working(1, OURS)))


class PlaceTests(FirewallCase):
    """Where the service is found."""

    def refused(self, waiting: Deferred[Any]) -> str:
        for _ in range(20):
            self.clock.advance(0.5)
        return str(self.failureResultOf(waiting, NoFirewall).value)

    def test_a_gateway_not_seen_over_IPv6_is_waited_for_then_refused(self) -> None:
        self.firewall = self.lan.firewall(self.lan.device(self.gateway, OVER4))
        waiting = Deferred.fromCoroutine(self.firewall.open(WANTED, OURS, 60))
        self.clock.advance(PINHOLE_SIGHT_SECONDS - 0.1)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(waiting), Denied(0, "the gateway did not show itself over IPv6"))
        self.assertEqual(self.lan.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_gateway_seen_over_IPv6_a_moment_later_is_asked(self) -> None:
        remote = self.lan.device(self.gateway, OVER4)
        later = self.lan.device(self.gateway, OVER6)
        self.firewall = self.lan.firewall(remote)
        waiting = Deferred.fromCoroutine(self.firewall.open(WANTED, OURS, 60))
        self.clock.advance(1)
        remote.sightings |= later.sightings
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waiting), Opened(1, OURS))

    def test_Q197_the_service_in_another_tree_of_the_same_host(self) -> None:
        plain = Gateway6(self.clock, OVER4, udn="uuid:igd1", extra_services=False)
        full = Gateway6(self.clock, OVER6, udn="uuid:igd2")
        elsewhere = Gateway6(self.clock, "[2001:db8:77::99]", udn="uuid:other")
        self.lan = LAN6(self.clock, full, elsewhere)
        others = [self.lan.device(elsewhere, "192.168.1.99", "[2001:db8:77::99]"), self.lan.device(full, OVER4, OVER6)]
        self.firewall = self.lan.firewall(self.lan.device(plain, OVER4), *others)
        self.assertEqual(self.open(), Opened(1, OURS))
        self.assertEqual({host for _, host, _ in self.lan.asked}, {OVER6})

    def test_a_gateway_without_the_service_says_so(self) -> None:
        plain = Gateway6(self.clock, extra_services=False)
        self.lan = LAN6(self.clock, plain)
        self.firewall = self.lan.firewall(self.lan.device(plain))
        self.assertIn("offers no WANIPv6FirewallControl", self.refused(self.firewall.status()))
        self.assertEqual(len(self.lan.asked), 1)  # one look, not one every half second

    def test_another_device_at_its_address_is_not_asked(self) -> None:
        remote = self.lan.device(self.gateway)
        self.lan.gateways = (Gateway6(self.clock, OVER6, udn="uuid:impostor"),)
        self.assertIn("another device", self.refused(self.lan.firewall(remote).status()))
        self.assertEqual(self.lan.actions(), [])

    def test_an_address_that_does_not_answer_is_passed_over(self) -> None:
        remote = self.lan.device(self.gateway, "[2001:db8:77::9]", OVER6)
        self.firewall = self.lan.firewall(remote)
        self.assertEqual(self.open(), Opened(1, OURS))
        self.lan.gateways = ()
        self.firewall.forget()
        self.assertIn("nobody at", self.refused(self.firewall.status()))

    def test_a_named_gateway_is_asked_where_it_was_only_seen(self) -> None:
        remote = self.lan.device(self.gateway, OVER4)
        exchange: Any = FakeExchange(self.lan, "192.168.1.7")
        seen = [at(OVER4), at(OVER6)]
        self.firewall = Firewall(self.clock, remote, exchange, elsewhere=lambda _: seen, own=lambda: self.lan.own)
        self.assertEqual(self.open(), Opened(1, OURS))

    def test_F61_a_link_local_gateway_is_asked_from_our_global_address(self) -> None:
        self.lan.gateways = (Gateway6(self.clock, "[fe80::1]"),)
        self.firewall = self.lan.firewall(self.lan.device(self.gateway, OVER4, link_local="fe80::1%lan"))
        self.assertEqual(self.open(), Opened(1, OURS))
        self.assertEqual({(source, host) for source, host, _ in self.lan.asked}, {(str(OURS), "[fe80::1]")})

    def test_found_once_and_afresh_when_forgotten(self) -> None:
        for _ in range(3):
            self.successResultOf(self.firewall.status())
        documents = [name for _, _, name in self.lan.asked if name.startswith("/")]
        self.assertEqual(len(documents), 1)
        self.firewall.forget()
        self.successResultOf(self.firewall.status())
        self.assertEqual(len(self.lan.asked), 6)

    def test_a_gateway_that_moved_is_asked_at_its_new_place(self) -> None:
        remote = self.lan.device(self.gateway)
        self.firewall = self.lan.firewall(remote)
        self.assertEqual(self.open(), Opened(1, OURS))
        moved = "[2001:db8:77::9]"
        self.gateway.hosts = (moved,)
        remote.sightings = self.lan.device(self.gateway).sightings
        self.firewall.forget()
        self.assertEqual(self.open(), Opened(1, OURS))
        self.assertEqual(self.lan.asked[-1][1], moved)

    def test_one_call_at_a_time_for_the_whole_gateway(self) -> None:
        remote = self.lan.device(self.gateway)
        firewall = self.lan.firewall(remote)
        self.successResultOf(firewall.status())
        self.gateway.faults["*"] = "hang"
        first = firewall.status()
        second = remote.proxy(remote.description.root.services[0], None).caller.call(
            remote.description.root.services[0], "urn:x:service:X:1", "GetX", (), ()
        )
        self.assertEqual(len(self.lan.hanging), 1)
        first.addErrback(lambda _: None)
        first.cancel()
        self.assertEqual(self.lan.asked[-1][2], "GetX")
        second.addErrback(lambda _: None)
        second.cancel()


class ClientTests(FirewallCase):
    """Which of our addresses a pinhole is for."""

    def test_Q194_never_a_temporary_address(self) -> None:
        self.assertEqual(self.firewall.client(), OURS)
        self.lan.own = (own(TEMPORARY, temporary=True),)
        error = self.assertRaises(AddressingError, self.firewall.client)
        self.assertIn("no stable global IPv6 address", str(error))
        self.failureResultOf(self.firewall.status(), AddressingError)

    def test_a_wanted_address_must_be_ours(self) -> None:
        self.assertEqual(self.firewall.client(TEMPORARY), TEMPORARY)
        self.assertRaises(AddressingError, self.firewall.client, ipaddress.IPv6Address("2001:db8::1"))

    def test_another_link_does_not_count(self) -> None:
        self.lan.own = (own(OURS),)
        remote = self.lan.device(self.gateway)
        self.assertEqual(self.lan.firewall(remote).client(), OURS)
        far = own(OURS)
        self.lan.own = (type(far)(far.address, far.network, 3, "wifi"),)
        self.assertRaises(AddressingError, self.lan.firewall(remote).client)

    def test_where_the_system_tells_no_flags_its_choice_has_to_do(self) -> None:
        self.lan.own = None
        here = ipaddress.IPv6Address("2001:db8:77::5")
        self.patch(__import__("txigd.igd.firewall", fromlist=["x"]), "address_towards", lambda host: here)
        self.assertEqual(self.firewall.client(), here)
        self.assertEqual(self.firewall.client(OURS), OURS)
        seen_over4 = self.lan.firewall(self.lan.device(self.gateway, OVER4))
        self.assertRaises(AddressingError, seen_over4.client)
