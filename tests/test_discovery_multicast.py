"""Discovery with fake sockets and a clock, and on real loopback."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import defer, reactor, task
from twisted.internet.error import MessageLengthError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from txigd import limits
from txigd.errors import AddressingError, InvalidArgument
from txigd.upnp import addressing
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.discovery import message, sockets
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.ports import OpenSocket
from txigd.upnp.discovery.sighting import Appeared, Change, Doubted, Rebooted
from txigd.upnp.discovery.sockets import GROUP_V4, GROUP_V6_LINK, GROUP_V6_SITE, Endpoint, Role
from txigd.upnp.discovery.sources import Sources
from txigd.upnp.discovery.targets import IGD_TARGETS, Targets

IGD1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
UDN = "uuid:11111111-2222-3333-4444-555555555555"
ROUTER = ("192.0.2.1", 1900)
LOCATION = "http://192.0.2.1:5000/root.xml"


def link(name: str = "eth0", index: int = 2, *addresses: str, **flags: bool) -> Link:
    return Link(name, index, tuple(ipaddress.ip_interface(address) for address in addresses), **flags)


ETH0 = link("eth0", 2, "192.0.2.7/24")
ETH1 = link("eth1", 3, "198.51.100.7/24")
DUAL = link("eth0", 2, "192.0.2.7/24", "fd00::7/64", "fe80::7/64")
HOP = NextHop(ipaddress.ip_address("192.0.2.1"), "eth0")


def answer(location: str = LOCATION, target: str = IGD1, udn: str = UDN, **more) -> bytes:
    return message.answer(target, udn, location, server="x/1 UPnP/1.1 y/1", **more)


def alive(location: str = LOCATION, target: str = IGD1, udn: str = UDN, **more) -> bytes:
    return message.alive(target, udn, location, host="239.255.255.250:1900", server="x/1 UPnP/1.1 y/1", **more)


class FakeSocket:
    """Stands where open_socket() would give a real one."""

    family = socket.AF_INET

    def __init__(self, endpoint: Endpoint, port: int) -> None:
        self.endpoint = endpoint
        self.name = (str(endpoint.address).partition("%")[0], port or 40_000)
        self.options: list[tuple] = []

    def fileno(self) -> int:
        return id(self)

    def getsockname(self) -> tuple[str, int]:
        return self.name

    def setsockopt(self, *option: object) -> None:
        self.options.append(option)

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class FakeTransport:
    """The adopted port: keeps what was written."""

    def __init__(self, lan: Lan, made: FakeSocket, protocol) -> None:
        self.lan = lan
        self.made = made
        self.protocol = protocol
        self.written: list[tuple[bytes, tuple[str, int]]] = []
        self.open = True

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        error = self.lan.write_errors.get(self.made.endpoint.link_name)
        if error is not None:
            raise error
        self.written.append((datagram, addr))

    def getHandle(self) -> FakeSocket:
        return self.made

    def stopListening(self) -> defer.Deferred[None]:
        self.open = False
        self.lan.closed.append(self.made.endpoint)
        return task.deferLater(self.lan, 0, self.protocol.doStop)


class Lan(MemoryReactorClock):
    """A reactor whose datagram ports are fake, and the place where tests look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, FakeSocket] = {}
        self.transports: dict[Endpoint, FakeTransport] = {}
        self.closed: list[Endpoint] = []
        self.open_errors: dict[object, OSError] = {}
        self.write_errors: dict[str, Exception] = {}
        self.asked: list[tuple[Endpoint, int]] = []
        self.packet_sizes: set[int] = set()

    def open_socket(self, endpoint: Endpoint, port: int) -> FakeSocket:
        self.asked.append((endpoint, port))
        for key in (endpoint.link_name, endpoint.role, endpoint.address, port or None):
            if key in self.open_errors:
                raise self.open_errors[key]
        made = FakeSocket(endpoint, port)
        self.made[made.fileno()] = made
        return made

    def adoptDatagramPort(self, fileDescriptor, addressFamily, protocol, maxPacketSize=8192):  # noqa: N803
        made = self.made[fileDescriptor]
        transport = FakeTransport(self, made, protocol)
        self.transports[made.endpoint] = transport
        self.packet_sizes.add(maxPacketSize)
        protocol.makeConnection(transport)
        return transport

    def port(self, role: Role, link_name: str = "eth0", address: object = None) -> FakeTransport:
        (found,) = (
            transport
            for endpoint, transport in self.transports.items()
            if endpoint.role is role
            and endpoint.link_name == link_name
            and transport.open
            and (address is None or endpoint.address == address)
        )
        return found

    @property
    def written(self) -> list[tuple[str, str, bytes]]:
        """All that was sent, as link name, destination and datagram."""
        return [
            (endpoint.link_name, addr[0], datagram)
            for endpoint, transport in self.transports.items()
            for datagram, addr in transport.written
        ]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan()
        self.changes: list[Change] = []

    def discovery(self, *links: Link, on_change: Callable[[Change], Any] | None = None, **more) -> Discovery:
        made = Discovery(
            self.lan,
            on_change or self.changes.append,
            links=links or (ETH0,),
            open_socket=cast(OpenSocket, self.lan.open_socket),
            **more,
        )
        self.addCleanup(made.stop)
        return made

    def started(self, *links: Link, **more) -> Discovery:
        made = self.discovery(*links, **more)
        made.start()
        return made

    def hear(self, datagram: bytes, sender: tuple[str, int] = ROUTER, role: Role = Role.SEARCH, name: str = "eth0"):
        self.lan.port(role, name).protocol.datagramReceived(datagram, sender)


class SearchTests(Case):
    def test_first_datagrams_leave_in_start(self):
        self.started()
        sent = self.lan.port(Role.SEARCH).written
        self.assertEqual([to for _, to in sent], [("239.255.255.250", 1900)] * 6)
        self.assertEqual([message.parse(datagram).target for datagram, _ in sent], list(IGD_TARGETS))
        self.assertEqual({message.parse(datagram).mx for datagram, _ in sent}, {limits.SEARCH_MX})
        self.assertIn(b"\r\nHOST: 239.255.255.250:1900\r\n", sent[0][0])
        self.assertEqual(self.lan.packet_sizes, {limits.DATAGRAM_OCTETS + 1})

    def test_Q001_Q002_the_whole_set_three_times_over_three_seconds(self):
        self.started()
        counts = []
        for step in (0, 0.99, 0.01, 1.99, 0.01, 2.9):
            self.lan.advance(step)
            counts.append(len(self.lan.written))
        self.assertEqual(counts, [6, 6, 12, 12, 18, 18])

    def test_search_again_replaces_a_search_under_way(self):
        made = self.started()
        self.lan.advance(0.5)
        made.search()
        self.lan.advance(5.9)
        self.assertEqual(len(self.lan.written), 4 * 6)

    def test_A4_Q006_next_hops_that_may_not_be_asked_are_not(self):
        other = NextHop(ipaddress.ip_address("192.0.2.2"), "eth0")
        asked = []
        made = self.started(ETH0, next_hops=(HOP, other), may_ask=lambda host: host == other.address)
        self.lan.advance(limits.SEARCH_FALLBACK_SECONDS + 5)
        for transport in self.lan.transports.values():
            asked += [addr[0] for _, addr in transport.written]
        self.assertEqual(set(asked), {str(GROUP_V4), "192.0.2.2"})
        self.assertTrue(made.running)

    def test_Q006_F56_next_hops_are_asked_by_unicast_without_mx(self):
        self.started(ETH0, ETH1, next_hops=(HOP, NextHop(ipaddress.ip_address("203.0.113.1"), "eth0")))
        unicast = [(name, datagram) for name, to, datagram in self.lan.written if to == "192.0.2.1"]
        self.assertEqual([name for name, _ in unicast], ["eth0"] * 6)
        self.assertIn(b"\r\nHOST: 192.0.2.1:1900\r\n", unicast[0][1])
        self.assertNotIn(b"MX", unicast[0][1])
        self.assertFalse([to for _, to, _ in self.lan.written if to.startswith("203")])
        sent = self.lan.port(Role.SEARCH).written
        self.assertEqual(sent[0][1][0], "239.255.255.250", "multicast reaches any gateway, so it goes first")

    def test_Q008_ipv6_follows_ipv4_after_a_moment(self):
        self.started(DUAL)
        self.assertEqual({to for _, to, _ in self.lan.written}, {"239.255.255.250"})
        self.lan.advance(limits.SEARCH_V6_DELAY_SECONDS)
        self.assertEqual({to for _, to, _ in self.lan.written}, {"239.255.255.250", "ff02::c", "ff05::c"})

    def test_Q013_F61_an_ipv6_only_link_is_searched_at_once_in_both_scopes(self):
        hop = NextHop(ipaddress.ip_address("fe80::1%eth0"), "eth0")
        self.started(link("eth0", 2, "fd00::7/64", "fe80::7/64"), next_hops=(hop,))
        local = self.lan.port(Role.SEARCH, address=ipaddress.ip_address("fe80::7%eth0"))
        wide = self.lan.port(Role.SEARCH, address=ipaddress.ip_address("fd00::7"))
        self.assertEqual([to for _, to in local.written], [("ff02::c", 1900)] * 6 + [("fe80::1", 1900)] * 6)
        self.assertEqual([to for _, to in wide.written], [("ff05::c", 1900)] * 6)
        self.assertIn(b"\r\nHOST: [FF02::C]:1900\r\n", local.written[0][0])
        self.assertIn(b"\r\nHOST: [FE80::1]:1900\r\n", local.written[6][0])

    def test_probe_asks_one_host_twice(self):
        made = self.started(ETH0, ETH1)
        self.lan.advance(30)
        before = len(self.lan.written)
        self.assertTrue(made.probe(ipaddress.ip_address("198.51.100.1"), 50_000))
        self.lan.advance(30)
        sent = self.lan.port(Role.SEARCH, "eth1").written[-12:]
        self.assertEqual(len(self.lan.written) - before, 12)
        self.assertEqual({to for _, to in sent}, {("198.51.100.1", 50_000)})
        self.assertIn(b"HOST: 198.51.100.1:50000\r\n", sent[0][0])

    def test_probe_of_a_host_on_no_link_sends_nothing(self):
        made = self.started()
        self.lan.advance(30)
        before = len(self.lan.written)
        self.assertFalse(made.probe(ipaddress.ip_address("203.0.113.1")))
        self.assertFalse(made.probe(ipaddress.ip_address("fe80::1%eth0")))
        self.assertEqual(len(self.lan.written), before)

    def test_Q007_the_search_port_can_be_fixed(self):
        made = self.started(search_port=50_001)
        self.assertEqual(self.lan.asked[0][1], 50_001)
        self.assertEqual(self.lan.asked[1], (self.lan.port(Role.LISTEN).made.endpoint, 0))
        self.assertEqual(made.problems, ())

    def test_Q007_a_search_port_that_is_taken_is_told_and_another_is_used(self):
        self.lan.open_errors[50_001] = OSError(errno.EADDRINUSE, "")
        made = self.started(search_port=50_001)
        self.assertEqual(len(self.lan.written), 6)
        self.assertIn("50001", made.problems[0])

    def test_a_user_agent_that_breaks_the_message_is_the_callers_mistake(self):
        self.assertRaises(InvalidArgument, self.discovery, user_agent="a\r\nX: y")


class HearTests(Case):
    def test_an_answer_reaches_on_change_in_the_same_turn(self):
        self.started()
        self.hear(answer())
        (change,) = self.changes
        self.assertIsInstance(change, Appeared)
        self.assertEqual(str(change.sighting.location), LOCATION)
        self.assertEqual((str(change.sighting.source), change.sighting.link), ("192.0.2.1", "eth0"))

    def test_Q009_F57_an_answer_from_another_port_and_with_another_type_is_taken_once(self):
        self.started()
        self.hear(answer(target="upnp:rootdevice"), ("192.0.2.1", 54321))
        self.hear(answer(), ("192.0.2.1", 1901))
        self.assertEqual([type(change) for change in self.changes], [Appeared])

    def test_an_announcement_is_heard_on_either_socket(self):
        self.started()
        self.hear(alive(), role=Role.LISTEN)
        self.hear(alive(boot_id=1), role=Role.SEARCH)
        self.hear(alive(boot_id=2), role=Role.SEARCH)
        self.assertEqual([type(change) for change in self.changes], [Appeared, Rebooted])

    def test_D1_an_answer_to_the_group_is_dropped(self):
        made = self.started()
        self.hear(answer(), role=Role.LISTEN)
        self.assertEqual((self.changes, made.counters), ([], {"answer to group": 1}))

    def test_D1_sources_off_the_link_are_dropped_before_parsing(self):
        made = self.started(ETH0, ETH1)
        self.patch(message, "parse", self.fail)
        for source in ("8.8.8.8", "198.51.100.1", "192.0.3.1", "fe80::1", "0.0.0.0", "what", ""):
            self.hear(alive(), (source, 1900), Role.LISTEN)
        self.assertEqual(made.counters, {"off link": 7})
        self.assertEqual(self.changes, [])

    def test_D1_searches_of_others_are_counted_and_never_answered(self):
        made = self.started()
        before = len(self.lan.written)
        self.hear(message.search("ssdp:all", host="239.255.255.250:1900", mx=2), ("192.0.2.9", 4000), Role.LISTEN)
        self.assertEqual(made.counters, {"search": 1})
        self.assertEqual(len(self.lan.written), before)

    def test_our_own_search_looped_back_is_ignored_silently(self):
        made = self.started()
        datagram, _ = self.lan.port(Role.SEARCH).written[0]
        self.hear(datagram, ("192.0.2.7", 40_000), Role.LISTEN)
        self.assertEqual(made.counters, {})

    def test_A1_bad_datagrams_are_counted_by_reason(self):
        made = self.started()
        names = b"InternetGatewayDevice"
        for bad in (
            b"",
            names + b"x" * limits.DATAGRAM_OCTETS,
            names,
            b"\0" * 40 + names,
            b"NOTIFY * HTTP/1.1\r\nNT: " + names + b"\r\n\r\n",
        ):
            self.hear(bad)
        self.assertEqual(sum(made.counters.values()), 5)
        self.assertEqual(made.counters["too large"], 1)
        self.assertEqual(made.counters["other type"], 1)
        self.assertEqual(self.changes, [])

    def test_A3_a_flood_of_one_source_is_cut_before_parsing(self):
        made = self.started()
        for _ in range(3 * limits.SSDP_PER_SOURCE_PER_SECOND):
            self.hear(answer(), ("192.0.2.99", 1900))
        self.assertEqual(made.counters["rate"], 2 * limits.SSDP_PER_SOURCE_PER_SECOND)
        self.hear(answer())
        self.assertEqual(len(self.changes), 1)
        self.lan.advance(1)
        self.hear(b"InternetGatewayDevice", ("192.0.2.99", 1900))
        self.assertEqual(made.counters["start line"], 1)

    def test_A3_a_flood_of_many_sources_does_not_hide_the_router(self):
        made = self.started(
            link("eth0", 2, "10.0.0.7/8"), next_hops=(NextHop(ipaddress.ip_address("10.0.0.1"), "eth0"),)
        )
        for number in range(10 * limits.SSDP_PER_SECOND):
            self.hear(b"InternetGatewayDevice", (f"10.1.{number >> 8}.{number & 255}", 1900))
        self.assertEqual(made.counters["start line"], limits.SSDP_PER_SECOND)
        self.hear(answer("http://10.0.0.1/"), ("10.0.0.1", 1900))
        self.assertEqual(len(self.changes), 1)

    def test_A3_other_types_are_dropped_unparsed_unless_the_source_is_known(self):
        made = self.started()
        other = alive(target="urn:schemas-upnp-org:device:MediaServer:1")
        part = alive(target="urn:schemas-upnp-org:device:WANDevice:1", udn="uuid:part")
        self.hear(other)
        self.hear(part)
        self.assertEqual(made.counters, {"other type": 2})
        self.hear(alive())
        self.hear(part)
        self.assertEqual(made.counters, {"other type": 2})
        self.assertIn("uuid:part", made.presence.sightings[0].udns)

    def test_A6_location_must_name_the_sender(self):
        made = self.started()
        for location in ("http://192.0.2.2/", "http://127.0.0.1/", "http://[fe80::1]/", "http://[::ffff:127.0.0.1]/"):
            self.hear(answer(location))
        self.assertEqual(made.counters.pop("foreign location"), 4)
        for location in ("http://gw.example/", "ftp://192.0.2.1/", "http://192.0.2.1:0/", "http://a@192.0.2.1/"):
            self.hear(answer(location))
        self.assertEqual(made.counters.pop("bad location"), 4)
        self.assertEqual((made.counters, self.changes), ({}, []))

    def test_Q025_F21_a_router_that_names_another_of_its_addresses_is_asked_at_its_own(self):
        made = self.started(next_hops=(HOP,))
        self.hear(answer("http://203.0.113.9:5000/root.xml"))
        self.assertEqual(str(self.changes[0].sighting.location), LOCATION)
        self.assertEqual(made.counters, {"rewritten location": 1})

    def test_Q024_a_router_that_names_loopback_is_not_believed(self):
        made = self.started(next_hops=(HOP,))
        for location in ("http://127.0.0.1/", "http://169.254.1.1/", "http://[::1]:1900/"):
            self.hear(answer(location))
        self.assertEqual((made.counters, self.changes), ({"foreign location": 3}, []))

    def test_F61_a_link_local_sender_carries_the_zone(self):
        self.started(link("eth0", 2, "fe80::7/64"))
        self.hear(answer("http://[fe80::1]:5000/root.xml"), ("fe80::1", 1900))
        sighting = self.changes[0].sighting
        self.assertEqual((str(sighting.source), str(sighting.location.host)), ("fe80::1%eth0", "fe80::1%eth0"))
        self.assertEqual(str(sighting.location), "http://[fe80::1%eth0]:5000/root.xml")

    def test_the_number_of_drop_reasons_is_bounded(self):
        made = self.started()
        for number in range(2 * limits.DROP_REASONS):
            made._drop(f"reason {number}")
        self.assertEqual(len(made.counters), limits.DROP_REASONS + 1)
        self.assertEqual(made.counters["other"], limits.DROP_REASONS)

    def test_F60_an_on_change_that_raises_is_logged_and_discovery_goes_on(self):
        heard: list[Change] = []

        def on_change(change: Change) -> None:
            heard.append(change)
            raise ZeroDivisionError

        self.started(on_change=on_change)
        self.hear(alive(boot_id=1))
        self.hear(alive(boot_id=2))
        self.assertEqual(len(heard), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_fault_of_our_own_never_reaches_the_reactor_and_is_logged_once(self):
        made = self.started()

        def broken(*args, **kwargs):
            raise ZeroDivisionError

        self.patch(made.presence, "learn", broken)
        self.hear(answer())
        self.hear(answer())
        self.assertEqual(made.counters, {"fault": 2})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ExpiryTests(Case):
    def test_Q031_silence_is_told_by_the_clock(self):
        self.started()
        self.hear(alive(max_age=1800))
        self.lan.advance(1800)
        self.assertEqual([type(change) for change in self.changes], [Appeared])
        self.lan.advance(limits.EXPIRY_GRACE_SECONDS + 1)
        self.assertEqual(self.changes[-1], Doubted(self.changes[-1].sighting, "expired"))

    def test_a_renewed_device_is_not_doubted(self):
        self.started()
        for _ in range(5):
            self.hear(alive(max_age=1800))
            self.lan.advance(1000)
        self.assertEqual([type(change) for change in self.changes], [Appeared])

    def test_a_shorter_expiry_is_not_missed(self):
        self.started(ETH0, ETH1)
        self.hear(alive(max_age=80_000))
        self.hear(alive("http://198.51.100.1/", udn="uuid:b", max_age=200), ("198.51.100.1", 1), name="eth1")
        self.lan.advance(300)
        self.assertEqual([type(change) for change in self.changes], [Appeared, Appeared, Doubted])

    def test_Q034_A5_a_byebye_is_doubt(self):
        self.started()
        self.hear(alive())
        bye = message.byebye(IGD1, UDN, host="239.255.255.250:1900")
        for _ in range(100):
            self.hear(bye, role=Role.LISTEN)
        self.assertEqual([type(change) for change in self.changes], [Appeared, Doubted])


class LinkTests(Case):
    def test_each_link_has_its_own_sockets(self):
        self.started(ETH0, DUAL_ETH1)
        self.hear(alive(), role=Role.LISTEN)
        self.assertEqual(self.changes[0].sighting.link, "eth0")
        listening = [
            str(endpoint.address)
            for endpoint in self.lan.transports
            if endpoint.role is Role.LISTEN and endpoint.link_name == "eth1"
        ]
        self.assertEqual(listening, ["239.255.255.250", "ff02::c", "ff05::c"])

    def test_Q014_a_link_that_cannot_open_stops_no_other(self):
        self.lan.open_errors["eth0"] = OSError(errno.EADDRNOTAVAIL, "")
        with capturedLogs() as events:
            made = self.started(ETH0, ETH1)
        self.assertEqual({name for name, _, _ in self.lan.written}, {"eth1"})
        self.assertEqual(len(made.problems), 2)
        self.assertEqual(len([event for event in events if "problem" in event]), 2)
        self.lan.open_errors.clear()
        self.lan.advance(limits.SOCKET_RETRY_SECONDS)
        self.assertEqual({name for name, _, _ in self.lan.written}, {"eth0", "eth1"})
        self.assertEqual(made.problems, ())

    def test_Q014_F15_a_link_that_cannot_send_stops_no_other_and_logs_once(self):
        for error in (OSError(errno.ENETUNREACH, "Network is unreachable"), MessageLengthError("message too long")):
            with self.subTest(error=error), capturedLogs() as events:
                self.setUp()
                self.lan.write_errors["eth0"] = error
                made = self.started(ETH0, ETH1, next_hops=(HOP,))
                self.lan.advance(5)
                self.assertEqual(len(self.lan.written), 18)
                self.assertEqual(len(made.problems), 2)
                self.assertIn("eth0: cannot send a search to 239.255.255.250", made.problems[0])
                made.search()
                self.assertEqual(len([event for event in events if "problem" in event]), 2)
                self.lan.write_errors.clear()
                made.search()
                self.assertEqual(made.problems, ())

    def test_F15_a_flapping_link_logs_once_a_minute(self):
        made = self.started()
        with capturedLogs() as events:
            for _ in range(100):
                self.lan.write_errors["eth0"] = OSError(errno.ENETDOWN, "")
                made.search()
                self.lan.write_errors.clear()
                made.search()
                self.lan.advance(1)
        self.assertEqual(len([event for event in events if "problem" in event]), 2)

    def test_D2_F58_port_1900_taken_is_told_and_the_search_goes_on(self):
        self.lan.open_errors[Role.LISTEN] = OSError(errno.EADDRINUSE, "")
        made = self.started()
        self.assertEqual(len(self.lan.written), 6)
        self.assertIn("1900", made.problems[0])
        self.hear(answer())
        self.assertEqual(len(self.changes), 1)
        self.lan.open_errors.clear()
        self.lan.advance(limits.SOCKET_RETRY_SECONDS)
        self.assertEqual(made.problems, ())
        self.assertEqual(len(self.lan.port(Role.LISTEN).written), 0)

    def test_F14_an_address_that_changes_gets_new_sockets_and_a_search(self):
        made = self.started(ETH0, ETH1)
        self.lan.advance(10)
        before = len(self.lan.written)
        moved = link("eth0", 2, "192.0.2.8/24")
        made.set_links((moved, ETH1))
        self.assertEqual(self.lan.closed, [sockets.endpoints(ETH0)[0]], "the listening socket stays")
        self.assertEqual([name for name, _, _ in self.lan.written[before:]], ["eth0"] * 6)
        self.hear(alive(), role=Role.LISTEN)
        self.assertEqual(len(self.changes), 1)

    def test_F15_a_link_that_goes_and_comes_is_searched_again(self):
        made = self.started(ETH0, ETH1)
        made.set_links((ETH1,))
        self.assertEqual(len(self.lan.closed), 2)
        self.lan.advance(10)
        made.set_links((ETH0, ETH1))
        self.hear(answer())
        self.assertEqual(len(self.changes), 1)
        self.assertEqual(len(self.lan.port(Role.SEARCH).written), 6)

    def test_F15_problems_of_a_link_that_went_are_forgotten(self):
        self.lan.open_errors["eth0"] = OSError(errno.ENODEV, "")
        made = self.started(ETH0, ETH1)
        made.set_links((ETH1,))
        self.assertEqual(made.problems, ())

    def test_F16_new_next_hops_are_asked_from_then_on(self):
        made = self.started()
        made.set_links((ETH0,), (HOP,))
        made.search()
        self.assertIn("192.0.2.1", {to for _, to, _ in self.lan.written})

    def test_a_down_link_and_one_without_address_need_no_socket(self):
        made = self.started(link("eth0", 2, "192.0.2.7/24", up=False), link("eth1", 3), ETH_NO_MULTICAST)
        self.assertEqual([endpoint.link_name for endpoint in self.lan.transports], ["ppp0"])
        self.assertEqual(self.lan.written, [])
        self.assertTrue(made.probe(ipaddress.ip_address("203.0.113.7")))

    def test_links_beyond_the_bound_are_left_out(self):
        many = [link(f"eth{number}", number, f"10.0.{number}.7/24") for number in range(1, 100)]
        self.started(*many)
        self.assertEqual(len(self.lan.transports), 2 * limits.LINKS)

    def test_a_socket_that_the_reactor_gave_up_is_made_again(self):
        made = self.started()
        lost = self.lan.port(Role.SEARCH)
        lost.open = False
        lost.protocol.doStop()
        self.assertEqual(len(made.problems), 1)
        self.lan.advance(limits.SOCKET_RETRY_SECONDS)
        self.assertEqual(made.problems, ())
        self.assertEqual(len(self.lan.port(Role.SEARCH).written), 6)

    def test_F56_groups_are_joined_again_now_and_then(self):
        self.started(ETH0, DUAL_ETH1)
        self.lan.advance(limits.GROUP_REJOIN_SECONDS)
        made = self.lan.port(Role.LISTEN, "eth0").made
        self.assertEqual([name for _, name, _ in made.options], [socket.IP_DROP_MEMBERSHIP, socket.IP_ADD_MEMBERSHIP])
        self.lan.advance(limits.GROUP_REJOIN_SECONDS)
        self.assertEqual(len(made.options), 4)
        v6 = self.lan.port(Role.LISTEN, "eth1", GROUP_V6_LINK).made
        self.assertEqual(v6.options[1][2], GROUP_V6_LINK.packed + b"\x03\0\0\0")

    def test_F56_a_group_that_cannot_be_joined_again_is_a_problem(self):
        made = self.started()

        def refuse(*option: object) -> None:
            raise OSError(errno.ENODEV, "")

        self.patch(self.lan.port(Role.LISTEN).made, "setsockopt", refuse)
        self.lan.advance(limits.GROUP_REJOIN_SECONDS)
        self.assertIn("239.255.255.250", made.problems[0])


class StopTests(Case):
    def test_stop_closes_all_and_leaves_no_call(self):
        self.lan.open_errors["eth1"] = OSError(errno.ENODEV, "")
        made = self.started(ETH0, ETH1)
        self.hear(alive())
        made.probe(ipaddress.ip_address("192.0.2.1"))
        stopped = made.stop()
        self.assertNoResult(stopped)
        self.assertEqual(len(self.lan.closed), 2)
        self.lan.advance(0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.lan.getDelayedCalls(), [])

    def test_nothing_is_heard_or_sent_after_stop(self):
        made = self.started()
        port = self.lan.port(Role.SEARCH)
        made.stop()
        port.protocol.datagramReceived(answer(), ROUTER)
        made.search()
        self.assertFalse(made.probe(ipaddress.ip_address("192.0.2.1")))
        self.assertEqual((self.changes, made.counters, len(self.lan.written)), ([], {}, 6))

    def test_stop_waits_for_ports_that_set_links_closes(self):
        made = self.started()
        made.set_links(())
        stopped = made.stop()
        self.assertNoResult(stopped)
        self.lan.advance(0)
        self.successResultOf(stopped)

    def test_stop_before_start_and_twice(self):
        made = self.discovery()
        self.successResultOf(made.stop())
        self.successResultOf(made.stop())

    def test_start_twice_and_again_after_stop(self):
        made = self.started()
        made.start()
        self.assertEqual(len(self.lan.written), 6)
        made.stop()
        self.lan.advance(0)
        self.lan.transports.clear()
        made.start()
        self.assertEqual(len(self.lan.written), 6)

    def test_an_on_change_may_stop_discovery(self):
        made: Discovery = self.started(on_change=lambda change: made.stop())
        self.hear(alive())
        self.lan.advance(0)
        self.assertEqual(self.lan.getDelayedCalls(), [])


DUAL_ETH1 = link("eth1", 3, "198.51.100.7/24", "fd00::7/64", "fe80::7/64")
ETH_NO_MULTICAST = link("ppp0", 9, "203.0.113.7/32", multicast=False, point_to_point=True)


class EndpointTests(SynchronousTestCase):
    def kinds(self, of: Link) -> list[tuple]:
        return [(one.role, str(one.address), one.groups) for one in sockets.endpoints(of)]

    def test_Q013_Q015_what_a_link_needs(self):
        self.assertEqual(
            self.kinds(DUAL),
            [
                (Role.SEARCH, "192.0.2.7", (GROUP_V4,)),
                (Role.SEARCH, "fe80::7%eth0", (GROUP_V6_LINK,)),
                (Role.SEARCH, "fd00::7", (GROUP_V6_SITE,)),
                (Role.LISTEN, "239.255.255.250", ()),
                (Role.LISTEN, "ff02::c", ()),
                (Role.LISTEN, "ff05::c", ()),
            ],
        )

    def test_without_a_wider_address_the_link_local_one_searches_both_scopes(self):
        self.assertEqual(
            self.kinds(link("eth0", 2, "fe80::7/64"))[0],
            (Role.SEARCH, "fe80::7%eth0", (GROUP_V6_LINK, GROUP_V6_SITE)),
        )

    def test_loopback_has_ipv4_multicast_only(self):
        lo = link("lo", 1, "127.0.0.1/8", "::1/128", multicast=False, loopback=True)
        self.assertEqual(
            self.kinds(lo),
            [
                (Role.SEARCH, "127.0.0.1", (GROUP_V4,)),
                (Role.SEARCH, "::1", ()),
                (Role.LISTEN, "239.255.255.250", ()),
            ],
        )


class SourcesTests(SynchronousTestCase):
    def test_A3_the_table_is_bounded(self):
        sources = Sources()
        wide = link("eth0", 2, "10.0.0.7/8")
        for number in range(4 * limits.SSDP_SOURCES):
            sources.admit(wide, f"10.1.{number >> 8}.{number & 255}", 0.0)
        self.assertEqual(len(sources), limits.SSDP_SOURCES)

    def test_a_clock_that_steps_back_locks_nobody_out(self):
        sources = Sources()
        for now in (1000.0, 1.0):
            for _ in range(limits.SSDP_PER_SOURCE_PER_SECOND):
                self.assertEqual(sources.admit(ETH0, "192.0.2.1", now), ipaddress.ip_address("192.0.2.1"))


class TargetsTests(SynchronousTestCase):
    def test_Q003_versions_are_not_told_apart(self):
        targets = Targets(IGD_TARGETS)
        for wanted in (
            "urn:schemas-upnp-org:device:InternetGatewayDevice:9",
            "urn:schemas-upnp-org:service:WANPPPConnection:2",
            "URN:schemas-upnp-org:device:internetgatewaydevice:1",
        ):
            self.assertTrue(targets.wanted(wanted), wanted)
        for other in ("upnp:rootdevice", "urn:schemas-upnp-org:device:MediaServer:1", "urn:x", "", ":"):
            self.assertFalse(targets.wanted(other), other)

    def test_ssdp_all_wants_everything(self):
        self.assertTrue(Targets(("ssdp:all",)).wanted("urn:x:device:y:1"))
        self.assertTrue(Targets(("ssdp:all",)).may_concern(b""))

    def test_a_uuid_target_is_looked_for_as_a_whole(self):
        targets = Targets(("uuid:ABC",))
        self.assertTrue(targets.may_concern(b"USN: uuid:abc::x"))
        self.assertFalse(targets.may_concern(b"USN: uuid:def::x"))


class LoopbackTests(TestCase):
    """On the real reactor, over the real loopback link, which other programs and tests may be using meanwhile."""

    timeout = 180
    agent = f"x/1 UPnP/1.1 txigd-test/{os.getpid()}"
    host = f"127.{os.getpid() >> 16 & 127 | 128}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # rates count by source
    location = f"http://{host}:5000/root.xml"

    def setUp(self) -> None:
        try:
            (self.lo,) = [one for one in addressing.links(("lo",)) if one.ipv4 is not None]
        except (AddressingError, ValueError) as error:
            raise SkipTest(f"no loopback link called lo: {error}") from None
        self.changes: list[Change] = []
        self.device = self.device_socket()

    def device_socket(self) -> socket.socket:
        """A device's socket: member of the group on lo."""
        (listener,) = [one for one in sockets.endpoints(self.lo) if one.role is Role.LISTEN]
        made = sockets.open_socket(listener)
        self.addCleanup(made.close)
        return made

    def started(self) -> Discovery:
        made = Discovery(reactor, self.on_change, links=(self.lo,), user_agent=self.agent)
        self.addCleanup(made.stop)
        made.start()
        return made

    def on_change(self, change: Change) -> None:
        if str(change.sighting.location) == self.location:
            self.changes.append(change)

    def searcher(self) -> tuple[str, int]:
        """Where our own search came from; it lies in the device's socket when start() returns."""
        while True:
            datagram, sender = self.device.recvfrom(4096)
            heard = message.parse(datagram)
            if heard.server == self.agent:
                self.assertEqual((heard.kind, heard.target), (message.Kind.SEARCH, IGD_TARGETS[0]))
                return sender

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await task.deferLater(reactor, 0.01)

    async def test_search_answer_and_announcement(self):
        made = self.started()
        self.assertEqual(made.problems, ())
        sender = self.searcher()
        self.assertEqual(sender[0], "127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as replies:
            replies.bind((self.host, 0))
            replies.sendto(answer(self.location, boot_id=1), sender)
            await self.until(lambda: self.changes)
            self.assertEqual(self.changes[0].sighting.link, "lo")
            replies.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            replies.sendto(alive(self.location, boot_id=2), ("239.255.255.250", 1900))
            await self.until(lambda: len(self.changes) > 1)
        self.assertIsInstance(self.changes[1], Rebooted)
        await made.stop()
        self.assertEqual([call for call in reactor.getDelayedCalls() if "txigd" in repr(call)], [])

    async def test_A1_a_datagram_of_the_largest_size_is_seen_as_truncated(self):
        made = self.started()
        self.device.sendto(b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n" + b"x" * 60_000, self.searcher())
        await self.until(lambda: "too large" in made.counters)
        self.assertEqual(made.counters["too large"], 1)

    async def test_probe_reaches_a_device_on_loopback(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.bind(("127.0.0.1", 0))
            device.settimeout(5)
            made = self.started()
            self.assertTrue(made.probe(ipaddress.ip_address("127.0.0.1"), device.getsockname()[1]))
            self.assertIsNone(message.parse(device.recv(4096)).mx)

    def test_a_socket_that_cannot_be_made_ready_is_closed(self):
        closed: list[int] = []

        class Counted(socket.socket):
            def close(self) -> None:
                closed.append(self.fileno())
                super().close()

        self.patch(socket, "socket", Counted)
        foreign = Endpoint(Role.SEARCH, "lo", self.lo.index, ipaddress.ip_address("192.0.2.250"))
        self.assertRaises(OSError, sockets.open_socket, foreign)
        self.assertEqual(len(closed), 1)
