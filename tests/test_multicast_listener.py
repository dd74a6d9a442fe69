"""The listener for multicast events: with fake sockets and a clock, on real loopback, and on real links."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet import defer, reactor, task
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.test_discovery_multicast import DUAL, ETH0, ETH1, Lan, link
from tests.test_discovery_namespaces import ROOT, UNSHARE, Lab, equal, ip, reason_to_skip, true
from txigd import limits
from txigd.errors import AddressingError, InvalidArgument
from txigd.upnp import addressing
from txigd.upnp.addressing import Link
from txigd.upnp.discovery.ports import OpenSocket
from txigd.upnp.discovery.sockets import Role
from txigd.upnp.eventing import gena, multicast_listener
from txigd.upnp.eventing.multicast_event import MulticastEvent
from txigd.upnp.eventing.multicast_listener import GROUPS, MulticastListener, endpoints

SAMPLE = (Path(__file__).with_name("messages") / "gena-multicast-notify.http").read_bytes()
UDN = "uuid:5e0ca1e1-0002-4a11-9d00-02aa55c3d101"
SERVICE_ID = "urn:upnp-org:serviceId:Sample1"
HOST = ipaddress.ip_address("192.0.2.1")
SENDER = ("192.0.2.1", 40_000)


def notify(seq: int, udn: str = UDN, group: str = limits.EVENT_GROUP_V4, **values: str) -> bytes:
    """A multicast event as a device writes it."""
    body = gena.propertyset(values or {"Alarm": "overheat"})
    head = (
        f"NOTIFY * HTTP/1.0\r\nHOST: {group}:7900\r\nCONTENT-TYPE: text/xml\r\n"
        f"USN: {udn}::urn:schemas-upnp-org:service:Sample:1\r\nSVCID: {SERVICE_ID}\r\n"
        f"NT: upnp:event\r\nNTS: upnp:propchange\r\nSEQ: {seq}\r\nLVL: upnp:/info\r\n"
        f"BOOTID.UPNP.ORG: 7\r\nCONTENT-LENGTH: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class EndpointTests(SynchronousTestCase):
    def heard(self, of: Link) -> list[str]:
        made = endpoints(of)
        self.assertEqual({one.role for one in made} | {Role.LISTEN}, {Role.LISTEN})
        self.assertEqual({one.port for one in made} | {7900}, {7900})
        return [str(one.address) for one in made]

    def test_Q015_groups_of_the_address_families_of_a_link(self) -> None:
        self.assertEqual(self.heard(DUAL), ["239.255.255.246", "ff02::130", "ff05::130"])
        self.assertEqual(self.heard(ETH0), ["239.255.255.246"])
        self.assertEqual(self.heard(link("eth0", 2, "fe80::7/64")), ["ff02::130", "ff05::130"])
        self.assertEqual(self.heard(link("lo", 1, "127.0.0.1/8", "::1/128", loopback=True)), ["239.255.255.246"])
        self.assertEqual(self.heard(link("eth0", 2, "192.0.2.7/24", up=False)), [])
        self.assertEqual(self.heard(link("ppp0", 2, "192.0.2.7/32", multicast=False)), [])
        self.assertEqual(len(GROUPS), 3)


class ListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan()
        self.events: list[MulticastEvent] = []

    def listener(self, *links: Link) -> MulticastListener:
        made = MulticastListener(self.lan, links=links or (ETH0,), open_socket=cast(OpenSocket, self.lan.open_socket))
        self.addCleanup(made.stop)
        return made

    def observing(self, *links: Link, **more: Any) -> MulticastListener:
        made = self.listener(*links)
        made.start()
        made.observe(UDN, SERVICE_ID, self.events.append, **{"host": HOST, **more})
        return made

    def hear(self, datagram: bytes, sender: tuple[str, int] = SENDER, name: str = "eth0", **more: object) -> None:
        self.lan.port(Role.LISTEN, name, **more).protocol.datagramReceived(datagram, sender)

    def told(self) -> list[int]:
        self.lan.advance(0)
        seqs = [event.seq for event in self.events]
        self.events.clear()
        return seqs

    def test_Q184_sample_reaches_the_observer_in_a_later_turn(self) -> None:
        made = self.observing()
        self.hear(SAMPLE)
        self.assertEqual(self.events, [])
        self.lan.advance(0)
        (event,) = self.events
        self.assertEqual((event.udn, event.service_id, event.seq), (UDN, SERVICE_ID, 4))
        self.assertEqual((event.values, event.level), ({"Alarm": "overheat"}, "upnp:/warning"))
        self.assertEqual((made.counters, made.problems), ({}, ()))

    def test_Q184_sockets_are_open_only_while_somebody_observes(self) -> None:
        made = self.listener()
        made.start()
        self.assertEqual(self.lan.asked, [])
        forget = made.observe(UDN, SERVICE_ID, self.events.append, host=HOST)
        self.assertEqual([(one.port, str(one.address)) for one, _ in self.lan.asked], [(7900, "239.255.255.246")])
        self.assertEqual(self.lan.packet_sizes, {limits.EVENT_OCTETS + 1})
        forget()
        forget()
        self.assertEqual(len(self.lan.closed), 1)
        self.lan.advance(0)
        self.assertEqual(self.lan.getDelayedCalls(), [])

    def test_nothing_is_opened_before_start(self) -> None:
        made = self.listener()
        made.observe(UDN, SERVICE_ID, self.events.append, host=HOST)
        self.assertEqual(self.lan.asked, [])
        made.start()
        self.hear(notify(1))
        self.assertEqual(self.told(), [1])

    def test_Q184_repeats_are_dropped(self) -> None:
        made = self.observing()
        for seq in (1, 1, 2, 1, 2, 3):
            self.hear(notify(seq))
        self.assertEqual(self.told(), [1, 2, 3])
        self.assertEqual(made.counters, {"repeat": 3})

    def test_A6_another_host_of_the_link_is_not_believed(self) -> None:
        made = self.observing()
        self.hear(notify(1), ("192.0.2.66", 7900))
        self.hear(notify(1))
        self.assertEqual(self.told(), [1])
        self.assertEqual(made.counters, {"foreign host": 1})

    def test_D1_sources_off_the_link(self) -> None:
        made = self.observing()
        for host in ("198.51.100.1", "239.255.255.246", "0.0.0.0", "no address"):
            self.hear(notify(1), (host, 7900))
        self.assertEqual((self.told(), made.counters), ([], {"off link": 4}))

    def test_D1_the_same_link_local_address_on_another_link(self) -> None:
        one, two = link("eth0", 2, "fe80::7/64"), link("eth1", 3, "fe80::7/64")
        made = self.observing(one, two, host=ipaddress.ip_address("fe80::1%eth1"))
        address = GROUPS[1]
        self.hear(notify(1), ("fe80::1", 7900), "eth0", address=address)
        self.hear(notify(2), ("fe80::1", 7900), "eth1", address=address)
        self.assertEqual((self.told(), made.counters), ([2], {"foreign host": 1}))

    def test_one_device_observed_at_two_addresses(self) -> None:
        made = self.observing(DUAL)
        made.observe(UDN, SERVICE_ID, self.events.append, host=ipaddress.ip_address("fe80::1%eth0"))
        self.hear(notify(1), address=GROUPS[0])
        self.hear(notify(1), ("fe80::1", 7900), address=GROUPS[1])
        self.assertEqual((self.told(), made.counters), ([1, 1], {}))

    def test_what_nobody_observes_is_not_opened(self) -> None:
        made = self.observing()
        self.hear(notify(1, udn="uuid:other").replace(b"</e:propertyset>", b""))
        self.hear(notify(1).replace(b"Sample1", b"Sample2"))
        self.assertEqual((self.told(), made.counters), ([], {"not observed": 2}))

    def test_Q028_names_in_any_case_and_without_prefix(self) -> None:
        made = self.listener()
        made.start()
        made.observe(UDN.removeprefix("uuid:").upper(), SERVICE_ID.upper(), self.events.append, host=HOST)
        self.hear(notify(1))
        self.assertEqual(self.told(), [1])

    def test_A1_garbage_is_counted_by_reason(self) -> None:
        made = self.observing()
        for datagram in (b"", b"\0" * 2000, bytes(limits.EVENT_OCTETS + 1), notify(1)[:-10]):
            self.hear(datagram)
        self.assertEqual((self.told(), made.counters), ([], {"head": 2, "too large": 1, "xml": 1}))

    def test_A3_a_flood_of_one_source(self) -> None:
        made = self.observing()
        for seq in range(1, 101):
            self.hear(notify(seq))
        self.assertEqual(len(self.told()), limits.EVENTS_PER_SOURCE_PER_SECOND)
        self.assertEqual(made.counters, {"rate": 100 - limits.EVENTS_PER_SOURCE_PER_SECOND})
        self.lan.advance(1)
        self.hear(notify(101))
        self.assertEqual(self.told(), [101])

    def test_A3_a_flood_of_many_sources_hides_nobody_who_is_observed(self) -> None:
        made = self.observing()
        for number in range(2, 202):
            self.hear(notify(1), (f"192.0.2.{number}", 7900))
        self.hear(notify(1))
        self.assertEqual(self.told(), [1])
        self.assertEqual(made.counters["foreign host"], limits.EVENTS_PER_SECOND)

    def test_observers_are_bounded(self) -> None:
        made = self.listener()
        for number in range(limits.EVENT_PUBLISHERS):
            made.observe(f"uuid:{number}", SERVICE_ID, self.events.append, host=HOST)
        with self.assertRaises(InvalidArgument):
            made.observe("uuid:x", SERVICE_ID, self.events.append, host=HOST)

    def test_F60_an_observer_that_raises_is_logged_and_the_others_hear(self) -> None:
        made = self.listener()
        made.start()
        made.observe(UDN, SERVICE_ID, lambda event: 1 // 0, host=HOST)
        made.observe(UDN, SERVICE_ID, self.events.append, host=HOST)
        self.hear(notify(1))
        self.assertEqual(self.told(), [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_who_left_meanwhile_hears_nothing(self) -> None:
        made = self.listener()
        made.start()
        forget = made.observe(UDN, SERVICE_ID, self.events.append, host=HOST)
        self.hear(notify(1))
        forget()
        self.assertEqual(self.told(), [])

    def test_stop_leaves_nothing_and_start_goes_on(self) -> None:
        made = self.observing()
        self.hear(notify(1))
        stopped = made.stop()
        self.assertEqual([call for call in self.lan.getDelayedCalls() if "_deliver" in str(call)], [])
        self.lan.advance(0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual((self.events, self.lan.getDelayedCalls()), ([], []))
        made.start()
        self.hear(notify(2))
        self.assertEqual(self.told(), [2])

    def test_a_fault_of_ours_reaches_no_reactor_and_is_logged_once(self) -> None:
        made = self.observing()
        self.patch(multicast_listener, "read_sealed", lambda datagram: 1 // 0)
        for _ in range(3):
            self.hear(notify(1))
        self.assertEqual(made.counters, {"fault": 3})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_F14_links_that_come_and_go(self) -> None:
        made = self.observing()
        made.set_links((ETH1,))
        self.assertEqual([one.link_name for one in self.lan.closed], ["eth0"])
        self.hear(notify(1), ("198.51.100.1", 7900), "eth1")
        self.assertEqual((self.told(), made.counters), ([], {"foreign host": 1}))

    def test_D2_port_7900_held_by_another_program(self) -> None:
        self.lan.open_errors[GROUPS[0]] = OSError(98, "Address already in use")
        made = self.observing()
        (problem,) = made.problems
        self.assertIn("7900", problem)
        self.lan.open_errors.clear()
        self.lan.advance(limits.SOCKET_RETRY_SECONDS)
        self.assertEqual(made.problems, ())


class LoopbackTests(TestCase):
    """Real sockets on lo, and a source that only this process has."""

    timeout = 180

    async def test_Q184_a_real_datagram(self) -> None:
        try:
            (lo,) = [one for one in addressing.links(("lo",)) if one.ipv4 is not None]
        except (AddressingError, ValueError) as error:
            raise SkipTest(f"no loopback link called lo: {error}") from None
        host = f"127.{os.getpid() >> 16 & 127 | 128}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        heard: list[MulticastEvent] = []
        made = MulticastListener(reactor, links=(lo,))
        self.addCleanup(made.stop)
        made.start()
        made.observe(UDN, SERVICE_ID, heard.append, host=ipaddress.ip_address(host))
        self.assertEqual(made.problems, ())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.bind((host, 0))
            device.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for _ in range(3):
                device.sendto(SAMPLE, (limits.EVENT_GROUP_V4, limits.EVENT_PORT))
            while not heard or made.counters.get("repeat", 0) < 2:
                await task.deferLater(reactor, 0.01)
        self.assertEqual([event.values for event in heard], [{"Alarm": "overheat"}])
        await made.stop()
        self.assertEqual([call for call in reactor.getDelayedCalls() if "txigd" in repr(call)], [])


class NamespaceTests(SynchronousTestCase):
    """On veth pairs, IPv6 too; see test_discovery_namespaces."""

    def test_Q184_both_families_on_two_real_links(self) -> None:
        reason = reason_to_skip()
        if reason:
            raise SkipTest(reason)
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-m", "tests.test_multicast_listener"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn("passed", done.stdout, done.stderr)


async def two_links(reactor: Any) -> None:
    lab = Lab(reactor)
    lab.peer.link("a", ("192.0.2.7/24", "fe80::7/64", "fd00:a::7/64"), ("192.0.2.1/24", "fe80::1/64", "fd00:a::1/64"))
    lab.peer.link("b", ("198.51.100.7/24", "fe80::7/64"), ("198.51.100.1/24", "fe80::1/64"))
    ip("route add default via 198.51.100.1 dev b0")
    senders = {
        "v4": ("a1", "192.0.2.1", limits.EVENT_GROUP_V4),
        "link": ("a1", "fe80::1", limits.EVENT_GROUP_V6_LINK),
        "site": ("a1", "fd00:a::1", limits.EVENT_GROUP_V6_SITE),
        "other": ("b1", "fe80::1", limits.EVENT_GROUP_V6_LINK),
    }
    heard: list[tuple[str, dict[str, str]]] = []

    def noted(event: MulticastEvent) -> None:
        heard.append((event.udn.removeprefix("uuid:"), dict(event.values)))

    made = MulticastListener(reactor, links=addressing.links())
    made.start()
    for name, (end, address, _) in senders.items():
        zone = f"%{end[0]}0" if address.startswith("fe80") else ""
        host = ipaddress.ip_address(address + zone)
        made.observe(f"uuid:{name}", SERVICE_ID, noted, host=host)
    equal(made.problems, ())
    for name, (end, address, group) in senders.items():
        device = lab.peer.device(end, address, ())
        device.unicast.sendto(notify(1, f"uuid:{name}", group, From=name), (group, limits.EVENT_PORT))
    # believed on its own link only
    lab.peer.device("b1", "198.51.100.1", ()).unicast.sendto(notify(9, "uuid:v4"), (limits.EVENT_GROUP_V4, 7900))
    await lab.until(lambda: len(heard) == 4 and made.counters, "four events")
    await lab.pause()
    equal(sorted(heard, key=str), sorted(((name, {"From": name}) for name in senders), key=str))
    equal((made.counters, made.problems), ({"foreign host": 1}, ()))
    await made.stop()
    await task.deferLater(reactor, 0)
    equal([call for call in reactor.getDelayedCalls() if "txigd" in str(call)], [])
    true(not list(made._ports), "all closed")
    print("passed")


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(two_links(reactor)))
