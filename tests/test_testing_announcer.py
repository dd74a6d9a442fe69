"""The SSDP side of the simulated gateway over real multicast on loopback, on a port of its own."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from random import Random
from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, TestCase

from tests.pauses import rest
from tests.raw_client import reactor
from txigd.errors import BadMessage
from txigd.limits import SSDP_GROUP_V4
from txigd.testing import SimulatedGateway
from txigd.testing import announcer as announcer_module
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import Kind, Message

LOOPBACK = socket.if_nametoindex("lo") if "lo" in [name for _, name in socket.if_nameindex()] else 0


class Ear(DatagramProtocol):
    """Hears the group, and what is sent to its own port; ``heard`` is read SSDP."""

    noisy = False
    transport: Any

    def __init__(self, port: int) -> None:
        self.heard: list[Message] = []
        self.raw: list[bytes] = []
        self.senders: set[tuple[str, int]] = set()
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((SSDP_GROUP_V4 if port else "127.0.0.1", port))
        member = struct.pack("=4s4si", socket.inet_aton(SSDP_GROUP_V4), bytes(4), LOOPBACK)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP if port else socket.IP_MULTICAST_IF, member)
        made.setblocking(False)
        self.port = reactor.adoptDatagramPort(made.fileno(), socket.AF_INET, self, 4096)
        made.close()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.raw.append(datagram)
        self.senders.add(addr)
        with contextlib.suppress(BadMessage):
            self.heard.append(message.parse(datagram))

    def kinds(self) -> Counter[Kind]:
        return Counter(heard.kind for heard in self.heard)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


class AnnouncerCase(TestCase):
    timeout = 180

    def setUp(self) -> None:
        if not LOOPBACK:
            raise SkipTest("there is no loopback link called lo")
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.ssdp_port = free_port()
        self.group = Ear(self.ssdp_port)
        self.addCleanup(self.group.port.stopListening)
        self.own = Ear(0)
        self.addCleanup(self.own.port.stopListening)

    def gateway(self, **options: Any) -> SimulatedGateway:
        settings = {"clock": self.clock, "ssdp_port": self.ssdp_port, "relay": False, "random": Random(1), **options}
        made = SimulatedGateway(reactor, **settings)
        made.startService()
        self.addCleanup(made.stop)
        self.assertEqual(made.problems, ())
        return made

    async def pause(self) -> None:
        """Long enough for loopback datagrams to arrive."""
        await rest(reactor, 0.05)

    async def quiet(self, gateway: SimulatedGateway) -> None:
        """Let the announcements of the start pass."""
        self.clock.pump([0.1, 0.3])
        await self.pause()
        self.group.heard.clear()

    async def search(self, target: str, *, mx: int | None = 1, to: str = SSDP_GROUP_V4, port: int = 0) -> list[Message]:
        self.own.heard.clear()
        host = f"{to}:{port or self.ssdp_port}"
        self.own.transport.write(message.search(target, host=host, mx=mx), (to, port or self.ssdp_port))
        await self.pause()
        self.clock.advance(0.05)
        await self.pause()
        return list(self.own.heard)


class AnnouncementTests(AnnouncerCase):
    async def test_start_of_version_2(self) -> None:
        gateway = self.gateway(version=2)
        count = len(gateway.state.tree.announcements())
        self.clock.advance(0.1)
        await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.BYEBYE: count, Kind.ALIVE: count})
        self.assertEqual({heard.kind for heard in self.group.heard[:count]}, {Kind.BYEBYE}, "byebye before alive")
        self.clock.advance(0.25)
        await self.pause()
        self.assertEqual(self.group.kinds()[Kind.ALIVE], 2 * count, "the set is sent twice")
        alive = self.group.heard[-1]
        self.assertEqual((alive.location, alive.boot_id, alive.config_id), (gateway.location, gateway.boot_id, 1))
        self.assertEqual((alive.max_age, alive.search_port), (1800, None))
        self.assertEqual(self.group.senders, {("127.0.0.1", self.ssdp_port)})

    async def test_start_of_version_1(self) -> None:
        gateway = self.gateway(version=1)
        self.clock.advance(0.1)
        await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.ALIVE: 10})
        pairs = {(heard.target, heard.usn) for heard in self.group.heard}
        self.assertEqual(pairs, {(t, message.usn_of(u, t)) for t, u in gateway.state.tree.announcements()})

    async def test_periodic(self) -> None:
        gateway = self.gateway(version=1, notify_seconds=60)
        await self.quiet(gateway)
        for _ in range(3):
            self.clock.advance(60)
            await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.ALIVE: 30})

    async def test_before_half_of_max_age(self) -> None:
        gateway = self.gateway(version=1, max_age=100)
        await self.quiet(gateway)
        self.clock.advance(50)
        await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.ALIVE: 10})

    async def test_an_answer_to_a_link_local_address_has_the_zone_of_the_link(self) -> None:
        gateway = self.gateway(address="::1")
        boot: Any = gateway._boot
        (announcer,) = boot.announcers
        told: list[tuple[str, int]] = []
        self.patch(announcer._answerer.transport, "write", lambda datagram, to: told.append(to))
        words = message.search("upnp:rootdevice", host="[FF02::C]:1900", mx=None)
        for host in ("fe80::7", "2001:db8::7", "fe80::7%lo"):
            announcer.search_received(words, (host, 50_000), unicast=True)
        self.assertEqual(told, [("fe80::7%lo", 50_000), ("2001:db8::7", 50_000), ("fe80::7%lo", 50_000)])

    async def test_byebye_at_stop(self) -> None:
        gateway = self.gateway(version=1)
        await self.quiet(gateway)
        await gateway.stop()
        await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.BYEBYE: 10})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_F01_reboot_is_silent_and_has_a_new_boot_id(self) -> None:
        gateway = self.gateway(version=1)
        await self.quiet(gateway)
        before = gateway.boot_id
        await gateway.reboot()
        await self.pause()
        self.assertEqual(self.group.heard, [])
        self.clock.advance(0.1)
        await self.pause()
        self.assertEqual({heard.boot_id for heard in self.group.heard}, {before + 1})

    async def test_verbs(self) -> None:
        gateway = self.gateway(version=1)
        await self.quiet(gateway)
        gateway.say_goodbye()
        gateway.announce()
        await self.pause()
        self.assertEqual(self.group.kinds(), {Kind.BYEBYE: 10, Kind.ALIVE: 10})


class SearchTests(AnnouncerCase):
    async def test_targets(self) -> None:
        gateway = self.gateway(version=2)
        rows = (
            ("ssdp:all", len(gateway.state.tree.announcements())),
            ("upnp:rootdevice", 1),
            (gateway.udn, 1),
            ("urn:schemas-upnp-org:device:InternetGatewayDevice:1", 1),
            ("urn:schemas-upnp-org:device:InternetGatewayDevice:2", 1),
            ("urn:schemas-upnp-org:device:InternetGatewayDevice:3", 0),
            ("urn:schemas-upnp-org:service:WANIPConnection:1", 1),
            ("urn:schemas-upnp-org:service:WANPPPConnection:1", 0),
            ("ssdp:rootdevice", 0),
        )
        for target, count in rows:
            found = await self.search(target)
            self.assertEqual(len(found), count, target)
            for answer in found:
                self.assertEqual((answer.kind, answer.location), (Kind.ANSWER, gateway.location))
                if target != "ssdp:all":
                    self.assertEqual(answer.target, target, "the answer names what was asked for")
        self.assertTrue(all(b"\r\nEXT:\r\n" in raw and b"\r\nDATE: " in raw for raw in self.own.raw))

    async def test_multicast_search_is_answered_after_a_random_time(self) -> None:
        gateway = self.gateway(answer_seconds=5)
        await self.quiet(gateway)
        before = set(self.clock.getDelayedCalls())
        for mx in (1, 2, 5):
            host = f"{SSDP_GROUP_V4}:{self.ssdp_port}"
            self.own.transport.write(message.search("ssdp:all", host=host, mx=mx), (SSDP_GROUP_V4, self.ssdp_port))
            await self.pause()
            (made,) = set(self.clock.getDelayedCalls()) - before
            before.add(made)
            self.assertLessEqual(made.getTime() - self.clock.seconds(), mx)
        self.assertEqual(self.own.heard, [])

    async def test_multicast_search_without_mx_is_ignored(self) -> None:
        self.gateway()
        self.assertEqual(await self.search("ssdp:all", mx=None), [])

    async def test_unicast_search_is_answered_at_once(self) -> None:
        gateway = self.gateway()
        await self.quiet(gateway)
        self.own.transport.write(
            message.search("upnp:rootdevice", host=f"127.0.0.1:{self.ssdp_port}"), ("127.0.0.1", self.ssdp_port)
        )
        await self.pause()
        self.assertEqual(len(self.own.heard), 1)

    async def test_unicast_port_taken(self) -> None:
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", self.ssdp_port))
        self.gateway()
        found = await self.search("upnp:rootdevice")
        self.assertEqual(len(found), 1)
        ((_, port),) = self.own.senders
        self.assertNotEqual(port, self.ssdp_port)
        self.assertEqual(found[0].search_port, port if port >= 49_152 else None)

    async def test_what_is_no_search(self) -> None:
        gateway = self.gateway()
        await self.quiet(gateway)
        good = message.search("ssdp:all", host=f"{SSDP_GROUP_V4}:{self.ssdp_port}", mx=1)
        for datagram in (
            b"",
            b"\xff" * 3000,
            good.replace(b"ssdp:discover", b"ssdp:other"),
            good.replace(b"M-S", b"S"),
        ):
            self.own.transport.write(datagram, (SSDP_GROUP_V4, self.ssdp_port))
        await self.pause()
        self.clock.advance(1)
        await self.pause()
        self.assertEqual(self.own.heard, [])

    async def test_waiting_answers_are_bounded(self) -> None:
        self.patch(announcer_module, "SIMULATED_ANSWERS", 5)
        gateway = self.gateway(answer_seconds=5)
        await self.quiet(gateway)
        for _ in range(20):
            await self.search("upnp:rootdevice", mx=5)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), 7)
