"""A minissdpd as a source of gateways: its words, a fake one on a real unix socket, and the real program."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import defer, reactor, task
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.test_discovery_multicast import ETH0, ETH1, Lan, link
from tests.test_discovery_namespaces import ROOT, UNSHARE, Lab, equal, ip, reason_to_skip, true
from txigd.errors import BadMessage, InvalidArgument
from txigd.limits import CACHE_ENTRIES, CACHE_OCTETS, EXPIRY_GRACE_SECONDS, MAX_AGE_FLOOR, USN_OCTETS
from txigd.upnp import addressing
from txigd.upnp.discovery import cache_message, message, minissdpd
from txigd.upnp.discovery.cache_message import AnswerReader, Entry, Remembered, length, remembered, select
from txigd.upnp.discovery.message import Kind
from txigd.upnp.discovery.minissdpd import MiniSSDPd, socket_path, trusted
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.ports import OpenSocket
from txigd.upnp.discovery.presence import Presence
from txigd.upnp.discovery.sighting import Appeared, Change, Doubted
from txigd.upnp.discovery.sockets import Role

IGD1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
IGD = IGD1[:-1]
IP = "urn:schemas-upnp-org:service:WANIPConnection:"
PPP = "urn:schemas-upnp-org:service:WANPPPConnection:"
UDN = "uuid:11111111-2222-3333-4444-555555555555"
LOCATION = "http://192.0.2.1:5000/root.xml"
PROGRAM = shutil.which("minissdpd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def entry(location: str = LOCATION, target: str = IGD1, udn: str = UDN) -> Entry:
    return Entry(location, target, f"{udn}::{target}")


def answer(*entries: Entry) -> bytes:
    texts = [text.encode("latin-1") for one in entries for text in (one.location, one.target, one.usn)]
    return bytes([len(entries)]) + b"".join(length(len(text)) + text for text in texts)


class WordsTests(SynchronousTestCase):
    def test_lengths_are_groups_of_seven_bits(self) -> None:
        for number, octets in {
            0: b"\0",
            127: b"\x7f",
            128: b"\x81\0",
            300: b"\x82\x2c",
            16383: b"\xff\x7f",
            16384: b"\x81\x80\0",
        }.items():
            self.assertEqual(length(number), octets)

    def test_a_request(self) -> None:
        self.assertEqual(cache_message.request(IGD), b"\x01\x32" + IGD.encode())
        for prefix in ("", "x" * (USN_OCTETS + 1), "\u00e9"):
            with self.assertRaises(InvalidArgument):
                cache_message.request(prefix)

    def test_Q003_each_type_is_asked_for_once_in_all_versions(self) -> None:
        self.assertEqual(cache_message.prefixes(), (IGD, IP, PPP))
        self.assertEqual(cache_message.prefixes(["upnp:rootdevice", "ssdp:all"]), ())

    @given(st.lists(st.builds(Entry, *[st.text(st.characters(max_codepoint=255), max_size=300)] * 3), max_size=12))
    def test_answers_are_read_back_from_any_pieces(self, entries: list[Entry]) -> None:
        octets = answer(*entries)
        reader = AnswerReader()
        pieces = [reader.feed(octets[place : place + 1]) for place in range(len(octets))]
        self.assertEqual(pieces[:-1], [None] * (len(octets) - 1))
        self.assertEqual(pieces[-1], entries)

    def test_A1_what_is_no_answer(self) -> None:
        for octets, reason in (
            (b"\x01\xff\xff\xff\xff\xff", "length"),
            (b"\x01\x83\xff\x7f", "length"),
            (b"\xff" + bytes(CACHE_OCTETS), "too large"),
            (answer(entry()) + b"x", "trailing octets"),
            (b"\0\0", "trailing octets"),
        ):
            self.assertEqual(self.assertRaises(BadMessage, AnswerReader().feed, octets).reason, reason)

    @given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
    def test_A1_any_octets_end_in_entries_or_the_refusal(self, pieces: list[bytes]) -> None:
        reader = AnswerReader()
        try:
            for piece in pieces:
                if reader.feed(piece) is not None:
                    break
        except BadMessage:
            pass


class JudgeTests(SynchronousTestCase):
    def reason(self, one: Entry, *links: addressing.Link) -> str:
        return self.assertRaises(BadMessage, remembered, one, links or (ETH0, ETH1)).reason

    def test_a_good_one(self) -> None:
        got = remembered(entry(), (ETH1, ETH0))
        self.assertEqual((str(got.location), got.link, str(got.source)), (LOCATION, "eth0", "192.0.2.1"))
        said = got.message
        self.assertEqual((said.kind, said.target, said.udn, said.max_age), (Kind.ANSWER, IGD1, UDN, MAX_AGE_FLOOR))

    def test_A6_the_host_must_be_on_one_of_our_links(self) -> None:
        for location, reason in {
            "http://203.0.113.1/x": "off link",
            "http://127.0.0.1:80/x": "off link",
            "http://[2001:db8::1]/x": "off link",
            "http://router.example/x": "bad location",
            "https://192.0.2.1/x": "bad location",
            "http://192.0.2.1@203.0.113.1/x": "bad location",
            "http://239.255.255.250/x": "bad location",
            "http://192.0.2.1/" + "x" * 600: "bad location",
            "": "bad location",
            "file:///etc/passwd": "bad location",
        }.items():
            self.assertEqual(self.reason(entry(location)), reason, location)

    def test_A3_other_types_and_bad_names(self) -> None:
        self.assertEqual(self.reason(entry(target="urn:schemas-upnp-org:device:MediaServer:1")), "other type")
        self.assertEqual(self.reason(entry(target=IGD1 + "x")), "other type")
        self.assertEqual(self.reason(Entry(LOCATION, IGD1, "")), "no usn")
        self.assertEqual(self.reason(Entry(LOCATION, IGD1, "uuid:" + "x" * 300)), "long usn")

    def test_Q003_any_version(self) -> None:
        self.assertEqual(remembered(entry(target=IGD + "7"), (ETH0,)).message.target, IGD + "7")

    def test_link_local_hosts_get_the_zone_of_the_only_link(self) -> None:
        one, two = link("eth0", 2, "fe80::7/64"), link("eth1", 3, "192.0.2.7/24")
        here = entry("http://[fe80::1]:80/x")
        self.assertEqual(remembered(here, (two, one)).source, ipaddress.ip_address("fe80::1%eth0"))
        self.assertEqual(self.reason(here, one, link("eth1", 3, "fe80::7/64")), "no zone")

    def test_A3_many_entries(self) -> None:
        entries = [entry(f"http://192.0.2.{number}:80/x", udn=f"uuid:{number}") for number in range(1, 101)]
        kept, dropped = select([*entries, entry("nonsense")], (ETH0,))
        self.assertEqual(len(kept), CACHE_ENTRIES)
        self.assertEqual(dropped, {"too many": 100 - CACHE_ENTRIES, "bad location": 1})

    def test_copies_count_once(self) -> None:
        self.assertEqual(len(select([entry()] * 3, (ETH0,))[0]), 1)

    def test_presence_takes_it(self) -> None:
        presence = Presence()
        (got,) = select([entry()], (ETH0,))[0]
        (change,) = presence.learn(got.message, location=got.location, source=got.source, link=got.link, now=1.0)
        assert isinstance(change, Appeared)
        self.assertEqual((change.sighting.targets, change.sighting.expires), (frozenset({IGD1}), 1.0 + MAX_AGE_FLOOR))


class RecallTests(SynchronousTestCase):
    """Discovery takes what is remembered."""

    def setUp(self) -> None:
        self.lan = Lan()
        self.changes: list[Change] = []
        opened = cast(OpenSocket, self.lan.open_socket)
        self.discovery = Discovery(self.lan, self.changes.append, links=(ETH0,), open_socket=opened)
        self.addCleanup(self.discovery.stop)

    def recall(self, *entries: Entry) -> list[Change]:
        self.changes.clear()
        self.discovery.recall(select(entries, (ETH0,))[0])
        return self.changes

    def test_what_is_new_appears_with_all_its_types(self) -> None:
        self.discovery.start()
        (change,) = self.recall(entry(), entry(target=IP + "1"))
        self.assertIsInstance(change, Appeared)
        (sighting,) = self.discovery.presence.sightings
        self.assertEqual((str(sighting.location), sighting.link), (LOCATION, "eth0"))
        self.assertEqual(sighting.targets, {IGD1, IP + "1"})
        self.assertEqual(self.recall(entry()), [])

    def test_a_memory_that_nobody_confirms_is_doubted(self) -> None:
        self.discovery.start()
        self.recall(entry())
        self.changes.clear()
        self.lan.advance(MAX_AGE_FLOOR + EXPIRY_GRACE_SECONDS + 1)
        self.assertEqual([type(change) for change in self.changes], [Doubted])

    def test_what_was_heard_is_better(self) -> None:
        self.discovery.start()
        heard = message.alive(IGD1, UDN, LOCATION, host="239.255.255.250:1900", server="x", max_age=1800)
        self.lan.port(Role.LISTEN).protocol.datagramReceived(heard, ("192.0.2.1", 1900))
        (before,) = self.discovery.presence.sightings
        self.assertEqual(self.recall(entry(udn="uuid:stale")), [])
        self.assertEqual(self.discovery.presence.sightings, (before,))

    def test_not_after_stop(self) -> None:
        self.assertEqual(self.recall(entry()), [])
        self.assertEqual(self.lan.getDelayedCalls(), [])


class Answering(Protocol):
    """The device's side: keeps what was asked and sends the next answer of the server's list."""

    def connectionMade(self) -> None:
        self.server: FakeServer = self.factory
        self.server.opened += 1
        self.server.open += 1

    def connectionLost(self, reason: object = None) -> None:
        self.server.open -= 1

    def dataReceived(self, data: bytes) -> None:
        self.server.asked.append(data)
        for piece in next(self.server.answers, ()):
            if piece is None:
                self.transport.loseConnection()  # type: ignore[union-attr]
            else:
                self.transport.write(piece)  # type: ignore[union-attr]


class FakeServer(Factory):
    protocol = Answering
    noisy = False

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.asked: list[bytes] = []
        self.opened = self.open = 0


class ClientTests(TestCase):
    """On a real unix socket."""

    timeout = 180

    def setUp(self) -> None:
        # unix sockets have short names, trial's folders long ones
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = os.path.join(folder, "s")

    def serve(self, *answers: Any) -> FakeServer:
        server = FakeServer(*answers)
        port = reactor.listenUNIX(self.path, server)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return server

    def client(self, **more: Any) -> MiniSSDPd:
        return MiniSSDPd(reactor, **{"paths": (self.path + "-other", self.path), "seconds": 5.0, **more})

    async def closed(self, server: FakeServer) -> None:
        while server.open:
            await task.deferLater(reactor, 0.005)

    async def test_each_type_in_turn_on_one_connection(self) -> None:
        ppp = entry(target=PPP + "1")
        server = self.serve([answer(entry())], [b"\0"], [answer(ppp)[:9], answer(ppp)[9:]])
        client = self.client()
        got = await client.ask((ETH0,))
        self.assertEqual([one.message.target for one in got], [IGD1, PPP + "1"])
        self.assertEqual(server.asked, list(map(cache_message.request, (IGD, IP, PPP))))
        self.assertEqual((server.opened, client.problem, client.counters), (1, "", {}))
        await self.closed(server)

    async def test_A6_what_is_dropped_is_counted(self) -> None:
        server = self.serve([answer(entry("http://203.0.113.1/x"), entry())], [b"\0"], [b"\0"])
        client = self.client()
        self.assertEqual(len(await client.ask((ETH0,))), 1)
        self.assertEqual(client.counters, {"off link": 1})
        await self.closed(server)

    async def test_where_there_is_none(self) -> None:
        client = self.client()
        self.assertEqual((self.successResultOf(client.ask((ETH0,))), client.problem), ((), ""))

    async def test_a_socket_that_nobody_serves(self) -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.path)
        client = self.client()
        self.assertEqual(await client.ask((ETH0,)), ())
        self.assertIn(self.path, client.problem)

    async def test_silence_ends_with_the_budget(self) -> None:
        server = self.serve()
        client = self.client(seconds=0.05)
        self.assertEqual(await client.ask((ETH0,)), ())
        self.assertIn("in time", client.problem)
        await self.closed(server)

    async def test_what_came_before_the_silence_counts(self) -> None:
        server = self.serve([answer(entry())])
        client = self.client(seconds=0.2)
        self.assertEqual(len(await client.ask((ETH0,))), 1)
        self.assertEqual(client.problem, "")
        await self.closed(server)

    async def test_one_that_closes_after_an_answer(self) -> None:
        server = self.serve([answer(entry()), None])
        self.assertEqual(len(await self.client().ask((ETH0,))), 1)
        await self.closed(server)

    async def test_one_that_closes_without_a_word(self) -> None:
        server = self.serve([None])
        client = self.client()
        self.assertEqual(await client.ask((ETH0,)), ())
        self.assertIn("closed", client.problem)
        await self.closed(server)

    async def test_A1_garbage_and_floods(self) -> None:
        for pieces in ([b"\x01\xff\xff\xff\xff\xff"], [b"\xff" + bytes(3 * CACHE_OCTETS)], [b"HTTP/1.1 400 Bad"]):
            self.path += "x"
            server = self.serve(pieces)
            client = self.client(seconds=0.2)
            self.assertEqual(await client.ask((ETH0,)), ())
            self.assertNotEqual(client.problem, "")
            await self.closed(server)

    async def test_cancelling_closes_the_connection(self) -> None:
        server = self.serve()
        asking: Deferred[tuple[Remembered, ...]] = self.client().ask((ETH0,))
        while not server.asked:
            await task.deferLater(reactor, 0.005)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        await self.closed(server)

    async def test_cancelling_at_once(self) -> None:
        server = self.serve()
        asking = self.client().ask((ETH0,))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        await self.closed(server)

    async def test_only_a_process_of_root_or_of_our_own_is_heard(self) -> None:
        server = self.serve([answer(entry())], [b"\0"], [b"\0"])
        client = self.client()
        self.patch(minissdpd._Asking, "_peer", lambda asking: os.geteuid() + 4711)
        self.assertEqual(await client.ask((ETH0,)), ())
        self.assertEqual((server.asked, "another user" in client.problem), ([], True))
        await self.closed(server)

    def test_only_a_socket_of_root_or_of_our_own_is_looked_at(self) -> None:
        self.assertEqual([trusted(uid) for uid in (0, os.geteuid(), os.geteuid() + 4711)], [True, True, False])
        with open(self.path, "wb"):
            pass
        self.assertEqual(socket_path((self.path,)), "", "no socket")
        os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(self.path)
        self.assertEqual(socket_path(("/nowhere", self.path)), self.path)
        self.patch(minissdpd, "trusted", lambda uid: False)
        self.assertEqual(socket_path((self.path,)), "")

    def test_nothing_to_ask_for(self) -> None:
        server = self.serve()
        self.assertEqual(self.successResultOf(self.client(targets=["upnp:rootdevice"]).ask((ETH0,))), ())
        self.assertEqual(server.opened, 0)


class ProgramTests(SynchronousTestCase):
    """Debian's minissdpd in namespaces of our own; see test_discovery_namespaces."""

    def test_the_real_minissdpd(self) -> None:
        if PROGRAM is None:
            raise SkipTest("no program minissdpd (on Debian: apt-get install minissdpd)")
        reason = reason_to_skip()
        if reason:
            raise SkipTest(reason)
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-m", "tests.test_minissdpd"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn("passed", done.stdout, done.stdout + done.stderr)


def start_program() -> subprocess.Popen[bytes]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    assert PROGRAM is not None
    quiet = subprocess.DEVNULL
    return subprocess.Popen([PROGRAM, "-d", "-6", "-i", "a0"], stdin=quiet, stdout=quiet, stderr=quiet)


async def real_program(reactor: Any) -> None:
    lab = Lab(reactor)
    lab.peer.link("a", ("192.0.2.7/24", "fe80::7/64"), ("192.0.2.1/24", "fe80::1/64"))
    ip("route add default via 192.0.2.1 dev a0")
    daemon = start_program()
    try:
        await told_by(lab, MiniSSDPd(reactor))
        equal(daemon.poll(), None)
    finally:
        daemon.kill()
        daemon.wait()
    print("passed")


async def told_by(lab: Lab, client: MiniSSDPd) -> None:
    await lab.until(socket_path, "its socket")
    links = addressing.links()
    equal((await client.ask(links), client.problem), ((), ""))

    device, other = lab.peer.device("a1", "192.0.2.1"), lab.peer.device("a1", "fe80::1", ("ff02::c",))

    def announce(of: Any, target: str, location: str, group: str = "239.255.255.250") -> None:
        words = message.alive(target, UDN, location, host=f"{group}:1900", server="x/1 UPnP/1.1 y/1")
        of.unicast.sendto(words, (group, 1900))

    announce(device, IGD + "2", LOCATION)
    announce(device, IP + "1", LOCATION)
    announce(device, "urn:schemas-upnp-org:device:MediaServer:1", LOCATION)
    announce(device, PPP + "1", "http://203.0.113.9/x")
    announce(device, IP + "2", "http://192.0.2.1/" + "y" * 200)  # a length of two octets
    announce(other, IGD + "1", "http://[fe80::1]:80/x", "ff02::c")
    got: tuple[Remembered, ...] = ()
    for _ in range(200):
        got = await client.ask(links)
        if len(got) == 4:
            break
        await lab.pause(0.02)
    equal(client.problem, "")
    equal(
        sorted((one.message.target, str(one.location), str(one.source), one.link) for one in got),
        sorted(
            [
                (IGD + "2", LOCATION, "192.0.2.1", "a0"),
                (IP + "1", LOCATION, "192.0.2.1", "a0"),
                (IP + "2", "http://192.0.2.1/" + "y" * 200, "192.0.2.1", "a0"),
                (IGD + "1", "http://[fe80::1%a0]/x", "fe80::1%a0", "a0"),
            ]
        ),
    )
    equal({one.message.udn for one in got}, {UDN})
    true(client.counters.get("off link"), f"the foreign one is dropped: {client.counters}")
    equal(set(client.counters), {"off link"})

    # what a program of this host submitted: a gateway that runs here
    with socket.socket(socket.AF_UNIX) as submitting:
        submitting.connect(socket_path())
        texts = [IGD1, f"uuid:here::{IGD1}", "x/1 UPnP/1.1 y/1", "http://192.0.2.7:5000/x"]
        submitting.sendall(b"\x04" + b"".join(length(len(text)) + text.encode() for text in texts))
    got = await client.ask(links)
    equal([str(one.source) for one in got if one.message.udn == "uuid:here"], ["192.0.2.7"])

    device.unicast.sendto(message.byebye(IP + "1", UDN, host="239.255.255.250:1900"), ("239.255.255.250", 1900))
    for _ in range(200):
        if IP + "1" not in {one.message.target for one in await client.ask(links)}:
            return
        await lab.pause(0.02)
    raise AssertionError("the byebye is not heard")


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(real_program(reactor)))
