"""Discovery on real links: veth pairs between two network namespaces that the test makes for itself, unprivileged.

Each test runs this file again inside ``unshare -Urnm --map-root-user``, with the name of a scenario. There, a peer
namespace holds the other ends of the links; its sockets are opened in the same process after a setns().
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import ipaddress
import os
import shutil
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet import defer, task
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.pauses import rest
from txigd import limits
from txigd.upnp import addressing
from txigd.upnp.addressing import Link
from txigd.upnp.discovery import message
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.sighting import Change
from txigd.upnp.discovery.targets import IGD_TARGETS

ROOT = Path(__file__).resolve().parent.parent
UNSHARE = ("unshare", "-Urnm", "--map-root-user")
GROUP = "239.255.255.250"
IGD1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
CLONE_NEWNET = 0x40000000
IP_RECVTTL = 12


def reason_to_skip() -> str | None:
    """Why namespaces cannot be made here, or None."""
    for program in ("unshare", "ip", "nsenter"):
        if shutil.which(program) is None:
            return f"no program {program}"
    trial = subprocess.run(
        [*UNSHARE, "ip", "link", "add", "a0", "type", "veth", "peer", "name", "a1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return None if trial.returncode == 0 else f"no veth in a namespace of our own: {trial.stderr.strip()}"


class NamespaceTests(SynchronousTestCase):
    skipped: str | None = ""

    def setUp(self) -> None:
        if NamespaceTests.skipped == "":
            NamespaceTests.skipped = reason_to_skip()
        if NamespaceTests.skipped:
            raise SkipTest(NamespaceTests.skipped)

    def scenario(self, name: str) -> None:
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-m", "tests.test_discovery_namespaces", name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if done.returncode or f"passed {name}" not in done.stdout:
            self.fail(f"{name}:\n{done.stdout}\n{done.stderr}")

    def test_Q013_D1_each_datagram_is_heard_on_its_own_link_only(self):
        self.scenario("two_links")

    def test_Q014_odd_links_do_not_break_the_others(self):
        self.scenario("odd_links")

    def test_D2_F58_port_1900_held_by_another_program(self):
        self.scenario("port_taken")

    def test_F15_link_down_and_up(self):
        self.scenario("down_and_up")

    def test_F14_the_address_changes(self):
        self.scenario("address_changes")

    def test_D1_sources_off_the_link(self):
        self.scenario("off_link")

    def test_Q006_F56_only_unicast_works(self):
        self.scenario("unicast_only")

    def test_F61_IPv6_only_link_local(self):
        self.scenario("ipv6_only")


# -- inside the namespace ----------------------------------------------------------------------------------------------


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=20)


def ip(text: str) -> None:
    """One ``ip`` command in our own namespace."""
    run("ip", *text.split())


class Peer:
    """The other namespace."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._check(self._libc.unshare(CLONE_NEWNET))
        self._away = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._check(self._libc.setns(self._home, CLONE_NEWNET))
        self.path = f"/proc/{os.getpid()}/fd/{self._away}"
        self.ip("link set lo up")

    def _check(self, result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def ip(self, text: str) -> None:
        run("nsenter", f"--net={self.path}", "ip", *text.split())

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets made in here belong to the peer."""
        self._check(self._libc.setns(self._away, CLONE_NEWNET))
        try:
            yield
        finally:
            self._check(self._libc.setns(self._home, CLONE_NEWNET))

    def link(self, name: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
        """A veth pair: ``name``0 is ours, ``name``1 the peer's."""
        ip(f"link add {name}0 type veth peer name {name}1")
        ip(f"link set {name}1 netns {self.path}")
        for do, end, addresses in ((ip, f"{name}0", ours), (self.ip, f"{name}1", theirs)):
            do(f"link set {end} addrgenmode none")
            do(f"link set {end} up")
            for address in addresses:
                do(f"addr add {address} dev {end}" + (" nodad" if ":" in address else ""))

    def device(self, end: str, address: str, groups: tuple[str, ...] = (GROUP,)) -> Device:
        with self.inside():
            return Device(end, address, groups)


class Device:
    """A device's sockets at one end: hears searches to the groups and to port 1900 of its address, and sends."""

    def __init__(self, end: str, address: str, groups: tuple[str, ...]) -> None:
        index = socket.if_nametoindex(end)
        self.address = ipaddress.ip_address(address)
        self.index = index
        self.family = socket.AF_INET if self.address.version == 4 else socket.AF_INET6
        zone = index if self.address.is_link_local else 0
        self.heard = [self._member(group, index) for group in groups]
        self.unicast = socket.socket(self.family, socket.SOCK_DGRAM)
        self.unicast.bind((address, 1900) if self.family == socket.AF_INET else (address, 1900, 0, zone))
        self.unicast.setblocking(False)
        if self.family == socket.AF_INET:
            self.unicast.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
        else:
            self.unicast.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)

    def _member(self, group: str, index: int) -> socket.socket:
        made = socket.socket(self.family, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, socket.if_indextoname(index).encode())
        packed = socket.inet_pton(self.family, group)
        if self.family == socket.AF_INET:
            made.bind((group, 1900))
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", packed, b"", index))
            made.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        else:
            made.bind((group, 1900, 0, index))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("@I", index))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        return made

    def searches(self) -> list[tuple[str, Any, int]]:
        """What came to the groups: target, sender as the socket gives it, TTL."""
        found = []
        for one in self.heard:
            for datagram, control, _, sender in _drained(lambda one=one: one.recvmsg(4096, 256)):  # type: ignore[misc]
                (ttl,) = [struct.unpack("@i", data)[0] for _, _, data in control]
                found.append((message.parse(datagram).target, sender, ttl))
        return found

    def asked(self) -> list[tuple[bytes, Any]]:
        """What came by unicast: datagram and sender."""
        return list(_drained(lambda: self.unicast.recvfrom(4096)))

    @property
    def location(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"http://{host}:5000/root.xml"

    @property
    def udn(self) -> str:
        return f"uuid:{self.address}".replace(":", "-").replace("uuid-", "uuid:")

    def answer(self, to: Any) -> None:
        words = message.answer(IGD1, self.udn, self.location, server="x/1 UPnP/1.1 y/1")
        self.unicast.sendto(words, to)

    def announce(self, group: str = GROUP) -> None:
        words = message.alive(IGD1, self.udn, self.location, host=f"{group}:1900", server="x/1 UPnP/1.1 y/1")
        self.unicast.sendto(words, (group, 1900))


def _drained(receive: Callable[[], Any]) -> Iterator[Any]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield receive()


def once(searches: list[tuple[str, Any, int]]) -> list[str]:
    """What was searched for, each target once: where the machine stalled, the search of a second later came as well."""
    return list(dict.fromkeys(target for target, _, _ in searches))


def asked_for(asked: list[tuple[bytes, Any]]) -> list[str]:
    """The same of unicast searches."""
    return list(dict.fromkeys(message.parse(datagram).target for datagram, _ in asked))


class Lab:
    """What every scenario uses: the peer, the reactor, and what discovery told."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.peer = Peer()
        self.changes: list[Change] = []
        self.arrived: list[tuple[str, str, bytes]] = []
        self.discovery: Discovery | None = None
        ip("link set lo up")

    def start(self, *links: Link, **more: Any) -> Discovery:
        """Discovery on ``links``, or on all that are usable; what arrives is noted with its link and group."""
        made = Discovery(self.reactor, self.changes.append, links=links or addressing.links(), **more)
        take = made._ports._received

        def noted(endpoint: Any, datagram: bytes, sender: tuple[str, int]) -> None:
            self.arrived.append((endpoint.link_name, str(endpoint.address).partition("%")[0], datagram))
            take(endpoint, datagram, sender)

        made._ports._received = noted
        self.discovery = made
        made.start()
        return made

    async def pause(self, seconds: float = 0.15) -> None:
        await rest(self.reactor, seconds)

    async def until(self, true: Callable[[], Any], what: str) -> None:
        for _ in range(3000):
            if true():
                return
            await self.pause(0.02)
        raise AssertionError(f"never: {what}; problems {self.discovery and self.discovery.problems}")

    def found(self) -> list[tuple[str, str]]:
        """Address and link of the devices, in the order of their coming."""
        return [(str(change.sighting.location.host), change.sighting.link) for change in self.changes]


def equal(got: object, wanted: object) -> None:
    if got != wanted:
        raise AssertionError(f"got    {got!r}\nwanted {wanted!r}")


def true(got: object, what: str) -> None:
    if not got:
        raise AssertionError(what)


async def two_links(lab: Lab) -> None:
    lab.peer.link(
        "a", ("192.0.2.7/24", "fe80::a:7/64", "fd00:a::7/64"), ("192.0.2.1/24", "fe80::a:1/64", "fd00:a::1/64")
    )
    lab.peer.link(
        "b", ("198.51.100.7/24", "fe80::b:7/64", "fd00:b::7/64"), ("198.51.100.1/24", "fe80::b:1/64", "fd00:b::1/64")
    )
    ip("route add default via 198.51.100.1 dev b0")  # must not draw the searches of a0
    a4, b4 = lab.peer.device("a1", "192.0.2.1"), lab.peer.device("b1", "198.51.100.1")
    a6, b6 = lab.peer.device("a1", "fe80::a:1", ("ff02::c",)), lab.peer.device("b1", "fe80::b:1", ("ff02::c",))
    wide, wide_b = lab.peer.device("a1", "fd00:a::1", ("ff05::c",)), lab.peer.device("b1", "fd00:b::1", ("ff05::c",))
    limits.GROUP_REJOIN_SECONDS = 2.0  # type: ignore[misc]
    made = lab.start()
    equal(made.problems, ())
    # the first searches have been sent when start() returns
    await lab.pause(0.05)
    for device, our in ((a4, "192.0.2.7"), (b4, "198.51.100.7")):
        searches = device.searches()
        equal(once(searches), list(IGD_TARGETS))
        equal({(sender[0], ttl) for _, sender, ttl in searches}, {(our, 2)})
    await lab.pause(limits.SEARCH_V6_DELAY_SECONDS + 0.1)
    for device, our in ((a6, "fe80::a:7"), (b6, "fe80::b:7"), (wide, "fd00:a::7"), (wide_b, "fd00:b::7")):
        searches = device.searches()
        equal(once(searches), list(IGD_TARGETS))
        equal({(sender[0].partition("%")[0], ttl) for _, sender, ttl in searches}, {(our, 2)})
        device.answer(searches[0][1])
    await lab.until(lambda: len(lab.changes) == 4, "four answers over IPv6")
    equal(
        sorted(lab.found()),
        [("fd00:a::1", "a0"), ("fd00:b::1", "b0"), ("fe80::a:1%a0", "a0"), ("fe80::b:1%b0", "b0")],
    )
    # announcements, after the groups were joined again: each on the socket of its own link and group, on no other
    await lab.pause(4)
    lab.arrived.clear()
    for device, group in (
        (a4, GROUP),
        (b4, GROUP),
        (a6, "ff02::c"),
        (b6, "ff02::c"),
        (wide, "ff05::c"),
        (b6, "ff05::c"),
    ):
        device.announce(group)
    await lab.until(lambda: len(lab.arrived) >= 6, "six announcements")
    await lab.pause()
    equal(
        sorted((link, group) for link, group, _ in lab.arrived),
        [("a0", GROUP), ("a0", "ff02::c"), ("a0", "ff05::c"), ("b0", GROUP), ("b0", "ff02::c"), ("b0", "ff05::c")],
    )
    equal(sorted(lab.found())[:2], [("192.0.2.1", "a0"), ("198.51.100.1", "b0")])
    equal(made.counters, {})
    # unicast to port 1900 is not ours to take
    words = message.alive(IGD1, a4.udn, a4.location, host="192.0.2.7:1900", server="x")
    a4.unicast.sendto(words, ("192.0.2.7", 1900))
    await lab.pause()
    equal((len(lab.arrived), made.problems), (6, ()))


def vpn() -> int | None:
    """A point-to-point link with a carrier; its descriptor, or None where there is no /dev/net/tun."""
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR)
    except OSError:
        return None
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001))  # TUNSETIFF, IFF_TUN
    ip("addr add 10.8.0.2 peer 10.8.0.1 dev tun0")
    ip("link set tun0 up")
    return tun


async def odd_links(lab: Lab) -> None:
    lab.peer.link("a", ("192.0.2.7/24",), ("192.0.2.1/24",))
    lab.peer.link("bare", (), ())
    lab.peer.link("down", ("198.51.100.7/24",), ())
    ip("link set down0 down")
    lab.peer.link("idle", ("203.0.113.7/24",), ())
    lab.peer.ip("link set idle1 down")  # no carrier
    ip("link add br0 type bridge")
    ip("addr add 172.17.0.1/16 dev br0")
    ip("link set br0 up")
    lab.peer.link("port", (), ())
    ip("link set port0 master br0")
    tun = vpn()
    await lab.pause(0.5)
    if tun is not None:  # F17: a VPN is used when named, not otherwise
        (named,) = addressing.links(("tun0",))
        equal((named.point_to_point, str(named.ipv4)), (True, "10.8.0.2"))
    usable = [link.name for link in addressing.links()]
    equal(sorted(set(usable) - {"port0"}), ["a0", "br0"])
    # worse than links() would give: everything, as if up, and one that is not there at all
    every = [Link(link.name, link.index, link.addresses) for link in addressing._all_links() if not link.loopback]
    every.insert(0, Link("gone0", 999, (ipaddress.ip_interface("192.0.2.99/24"),)))
    device = lab.peer.device("a1", "192.0.2.1")
    made = lab.start(*every)
    await lab.pause(0.05)
    searches = device.searches()
    equal(once(searches), list(IGD_TARGETS))
    device.answer(searches[0][1])
    device.announce()
    await lab.until(lambda: lab.changes, "the device on a0")
    await lab.pause()
    equal(lab.found(), [("192.0.2.1", "a0")])
    true([problem for problem in made.problems if problem.startswith("gone0")], f"gone0 in {made.problems}")
    equal([problem for problem in made.problems if problem.startswith("a0")], [])


async def port_taken(lab: Lab) -> None:
    limits.SOCKET_RETRY_SECONDS = 0.2  # type: ignore[misc]
    lab.peer.link("a", ("192.0.2.7/24", "fe80::a:7/64"), ("192.0.2.1/24", "fe80::a:1/64"))
    device = lab.peer.device("a1", "192.0.2.1")
    taken = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
    taken[0].bind(("0.0.0.0", 1900))
    taken[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    taken[1].bind(("::", 1900))
    made = lab.start()
    equal(len(made.problems), 3)
    true(all("1900" in problem for problem in made.problems), str(made.problems))
    await lab.pause(0.05)
    device.answer(device.searches()[0][1])
    await lab.until(lambda: lab.changes, "an answer")
    for one in taken:
        one.close()
    await lab.until(lambda: not made.problems, "listening after all")
    lab.arrived.clear()
    device.announce()
    await lab.until(lambda: [link for link, group, _ in lab.arrived if group == GROUP], "an announcement")


async def down_and_up(lab: Lab) -> None:
    """Without a word of set_links(): the sockets themselves survive."""
    lab.peer.link("a", ("192.0.2.7/24",), ("192.0.2.1/24",))
    device = lab.peer.device("a1", "192.0.2.1")
    made = lab.start()
    before = addressing.links()
    await lab.pause(3.5)
    device.searches()
    ip("link set a0 down")
    true(addressing.changes(before, addressing.links()).removed, "a down link is no usable link")
    made.search()
    ip("link set a0 up")
    await lab.until(addressing.links, "the link is up")
    equal(addressing.links(), before)
    made.search()
    await lab.until(lambda: device.searches(), "a search after the link came back")
    equal(made.problems, ())
    device.announce()
    await lab.until(lambda: lab.changes, "an announcement after the link came back")
    # and with it, as the control point does: gone, and back
    made.set_links(())
    await lab.pause()
    device.searches()
    made.set_links(before)
    await lab.pause(0.05)
    equal(once(device.searches()), list(IGD_TARGETS))
    lab.arrived.clear()
    device.announce()
    await lab.until(lambda: lab.arrived, "an announcement to the new socket")


async def address_changes(lab: Lab) -> None:
    lab.peer.link("a", ("192.0.2.7/24",), ("192.0.2.1/24",))
    device = lab.peer.device("a1", "192.0.2.1")
    made = lab.start()
    before = addressing.links()
    await lab.pause(3.5)
    device.searches()
    ip("addr add 192.0.2.8/24 dev a0")
    ip("addr del 192.0.2.7/24 dev a0")
    ip("addr replace 192.0.2.8/24 dev a0")  # a secondary address goes with its first one on some systems
    changes = addressing.changes(before, addressing.links())
    equal([str(address) for address in changes.addresses_gained], ["192.0.2.8"])
    equal([str(address) for address in changes.addresses_lost], ["192.0.2.7"])
    made.set_links(addressing.links())
    await lab.pause(0.05)
    searches = device.searches()
    equal({sender[0] for _, sender, _ in searches}, {"192.0.2.8"})
    device.answer(searches[0][1])
    device.announce()
    await lab.until(lambda: len(lab.arrived) == 2, "answer and announcement")
    equal((lab.found(), made.problems), ([("192.0.2.1", "a0")], ()))


def believe_any_source(link: str) -> None:
    """Let the kernel pass what a spoofer on the link sends, so that the dropping is ours."""
    for name in ("all", link):
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")


async def off_link(lab: Lab) -> None:
    lab.peer.link("a", ("192.0.2.7/24",), ("192.0.2.1/24", "8.8.8.8/32"))
    believe_any_source("a0")
    device, stranger = lab.peer.device("a1", "192.0.2.1"), lab.peer.device("a1", "8.8.8.8", ())
    made = lab.start()
    await lab.pause(0.05)
    searcher = device.searches()[0][1]
    stranger.announce()
    stranger.answer(searcher)
    stranger.unicast.sendto(message.search("ssdp:all", host="239.255.255.250:1900", mx=1), (GROUP, 1900))
    device.unicast.sendto(message.search("ssdp:all", host="239.255.255.250:1900", mx=1), (GROUP, 1900))
    await lab.until(lambda: sum(made.counters.values()) >= 4, "four datagrams dropped")
    equal((made.counters, lab.changes), ({"off link": 3, "search": 1}, []))
    await lab.pause(limits.SEARCH_MX)
    equal((device.asked(), stranger.asked()), ([], []))


async def unicast_only(lab: Lab) -> None:
    lab.peer.link("a", ("192.0.2.7/24",), ("192.0.2.1/24",))
    ip("route add default via 192.0.2.1 dev a0 metric 7")
    hops = addressing.next_hops()
    equal([(str(hop.address), hop.link_name, hop.metric) for hop in hops], [("192.0.2.1", "a0", 7)])
    equal(str(addressing.address_towards(ipaddress.ip_address("203.0.113.1"))), "192.0.2.7")
    router = lab.peer.device("a1", "192.0.2.1", ())
    made = lab.start(next_hops=hops)
    await lab.pause(0.05)
    asked = router.asked()
    equal(asked_for(asked), list(IGD_TARGETS))
    true(all(b"HOST: 192.0.2.1:1900\r\n" in datagram and b"MX:" not in datagram for datagram, _ in asked), "no MX")
    router.answer(asked[0][1])
    await lab.until(lambda: lab.changes, "an answer")
    equal((lab.found(), made.problems), ([("192.0.2.1", "a0")], ()))


async def ipv6_only(lab: Lab) -> None:
    lab.peer.link("a", ("fe80::7/64",), ("fe80::1/64",))
    lab.peer.link("b", ("fe80::7/64",), ("fe80::1/64",))  # the same addresses: only the zone tells them apart
    ip("-6 route add default via fe80::1 dev b0")
    hops = addressing.next_hops()
    equal([(str(hop.address), hop.link_name) for hop in hops], [("fe80::1%b0", "b0")])
    host = ipaddress.ip_address("fe80::1%b0")
    equal(str(addressing.address_towards(host)), "fe80::7%b0")
    devices = {name: lab.peer.device(f"{name}1", "fe80::1", ("ff02::c", "ff05::c")) for name in "ab"}
    made = lab.start(next_hops=hops)
    await lab.pause(0.05)
    for device in devices.values():
        searches = device.searches()
        equal(once(searches), list(IGD_TARGETS))
        device.answer(searches[0][1])
        equal({sender[3] for _, sender, _ in searches}, {device.index})
    equal(asked_for(devices["b"].asked()), list(IGD_TARGETS))
    equal(devices["a"].asked(), [])
    await lab.until(lambda: len(lab.changes) == 2, "two answers")
    equal(sorted(lab.found()), [("fe80::1%a0", "a0"), ("fe80::1%b0", "b0")])
    await lab.pause(3.2)
    devices["a"].asked()
    true(made.probe(ipaddress.ip_address("fe80::1%a0")), "a link leads there")
    await lab.pause(0.1)
    equal(asked_for(devices["a"].asked()), list(IGD_TARGETS))
    equal(made.problems, ())


def main(name: str) -> None:
    async def whole(reactor: Any) -> None:
        lab = Lab(reactor)
        try:
            await globals()[name](lab)
        except Exception:
            traceback.print_exc()
            print(
                "problems",
                lab.discovery and lab.discovery.problems,
                "counters",
                lab.discovery and lab.discovery.counters,
            )
            raise SystemExit(1) from None
        if lab.discovery is not None:
            await lab.discovery.stop()
        await task.deferLater(reactor, 0)
        left = [call for call in reactor.getDelayedCalls() if "txigd" in str(call)]
        equal(left, [])
        print("passed", name)

    task.react(lambda reactor: defer.ensureDeferred(whole(reactor)))


if __name__ == "__main__":
    main(sys.argv[1])
