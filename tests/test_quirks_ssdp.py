"""Quirks of searching and announcing (Q001-Q042, Q190) that concern discovery as a whole: octets in, octets out.

The quirks of one message are tested in test_discovery_message.py, those of presence in test_discovery_presence.py,
those of links and sockets in test_discovery_multicast.py and test_discovery_namespaces.py.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.test_discovery_multicast import DUAL, ETH0, ETH1, HOP, IGD1, LOCATION, ROUTER, UDN, Case, answer
from txigd import limits
from txigd.upnp.addressing import Link
from txigd.upnp.discovery import message, searches, sockets
from txigd.upnp.discovery.sighting import Appeared
from txigd.upnp.discovery.sockets import Endpoint, Role
from txigd.upnp.discovery.targets import IGD_TARGETS

MESSAGES = Path(__file__).parent / "messages"
PLAIN_SECONDS = 5.5  # all plain searches have left, no other form has yet


class FormTests(SynchronousTestCase):
    """What a search looks like on the wire."""

    def test_Q005_the_plain_form(self) -> None:
        self.assertEqual(
            searches.plain([IGD1], "239.255.255.250:1900", 2, "x/1 UPnP/1.1 y/1"),
            [
                b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
                b'MAN: "ssdp:discover"\r\nMX: 2\r\nST: ' + IGD1.encode() + b"\r\nUSER-AGENT: x/1 UPnP/1.1 y/1\r\n\r\n"
            ],
        )

    def test_Q004_man_without_quotes(self) -> None:
        (plain,) = searches.plain([IGD1], "h:1900", 2, "a/1")
        (other,) = searches.unquoted([IGD1], "h:1900", 2, "a/1")
        self.assertIn(b"\r\nMAN: ssdp:discover\r\n", other)
        self.assertEqual(other.replace(b"ssdp:discover", b'"ssdp:discover"'), plain)

    def test_Q004_the_form_of_windows_xp_octet_for_octet(self) -> None:
        sample = (MESSAGES / "note2004-xp-msearch.http").read_bytes()
        self.assertEqual(searches.other_order(["upnp:rootdevice"], "239.255.255.250:1900", 3, "a/1"), [sample])

    def test_Q004_every_form_is_one_search_for_each_target(self) -> None:
        for form in (searches.plain, *searches.FALLBACKS):
            for mx in (2, None):
                heard = [message.parse(datagram) for datagram in form(IGD_TARGETS, "192.0.2.1:1900", mx, "a/1")]
                wanted = ["ssdp:all"] if form is searches.everything else list(IGD_TARGETS)
                self.assertEqual([one.target for one in heard], wanted)
                self.assertEqual({one.man for one in heard}, {"ssdp:discover"})
                self.assertEqual({one.mx is None for one in heard}, {mx is None})


class FallbackTests(Case):
    """Q002, Q004: other forms where the plain one finds nothing, and only there."""

    def sent(self, link: str = "eth0", to: str = "239.255.255.250") -> list[bytes]:
        return [datagram for name, host, datagram in self.lan.written if (name, host) == (link, to)]

    def test_Q004_Q002_other_forms_follow_one_by_one(self) -> None:
        self.started()
        self.lan.advance(PLAIN_SECONDS)
        self.assertEqual(len(self.sent()), 18)
        counts = []
        for step in (0.5, 1, 1, 60):
            self.lan.advance(step)
            counts.append(len(self.sent()))
        self.assertEqual(counts, [24, 30, 31, 31])
        late = self.sent()[18:]
        self.assertTrue(all(b"\r\nMAN: ssdp:discover\r\n" in datagram for datagram in late[:6]))
        self.assertTrue(all(b"\r\nMan:" in datagram for datagram in late[6:12]))
        self.assertEqual(message.parse(late[12]).target, "ssdp:all")

    def test_Q004_a_gateway_that_knows_one_form_only_is_found(self) -> None:
        self.started()
        for _ in range(100):
            if any(b"\r\nMAN: ssdp:discover\r\n" in datagram for datagram in self.sent()):
                self.hear(answer())
                break
            self.lan.advance(0.1)
        (change,) = self.changes
        self.assertIsInstance(change, Appeared)
        before = len(self.lan.written)
        self.lan.advance(60)
        self.assertEqual(len(self.lan.written), before, "it was found: no further form")

    def test_Q010_no_ssdp_all_where_the_gateway_answered(self) -> None:
        self.started()
        self.hear(answer())
        self.lan.advance(60)
        self.assertEqual(len(self.sent()), 18)

    def test_Q004_each_link_by_itself(self) -> None:
        self.started(ETH0, ETH1)
        self.hear(answer())
        self.lan.advance(60)
        self.assertEqual((len(self.sent("eth0")), len(self.sent("eth1"))), (18, 31))

    def test_Q002_an_answer_for_the_root_device_alone_is_not_yet_a_gateway(self) -> None:
        self.started()
        self.hear(answer(target="upnp:rootdevice"))
        self.assertEqual(len(self.changes), 1)
        self.lan.advance(60)
        self.assertEqual(len(self.sent()), 31)

    def test_Q004_next_hops_hear_the_other_forms_too(self) -> None:
        self.started(next_hops=(HOP,))
        self.lan.advance(60)
        unicast = self.sent(to="192.0.2.1")
        self.assertEqual(len(unicast), 31)
        self.assertFalse([datagram for datagram in unicast if b"MX" in datagram])

    def test_Q008_the_other_forms_keep_the_families_apart(self) -> None:
        self.started(DUAL)
        self.lan.advance(limits.SEARCH_FALLBACK_SECONDS)
        self.assertEqual((len(self.sent()), len(self.sent(to="ff02::c"))), (24, 18))
        self.lan.advance(limits.SEARCH_V6_DELAY_SECONDS)
        self.assertEqual((len(self.sent()), len(self.sent(to="ff02::c"))), (24, 24))

    def test_a_new_search_and_a_stop_end_the_other_forms(self) -> None:
        made = self.started()
        self.lan.advance(6.5)
        made.search()
        self.lan.advance(5.9)
        self.assertEqual(len(self.sent()), 18 + 6 + 18)
        made.stop()
        self.lan.advance(60)
        self.assertEqual(len(self.sent()), 42)


class CrowdTests(Case):
    """Q010-Q012, Q041: the gateway among all that answers."""

    def test_Q010_the_gateway_is_found_among_fifty_media_devices(self) -> None:
        made = self.started()
        for number in range(50):
            host = f"192.0.2.{100 + number}"
            for target in ("upnp:rootdevice", "urn:schemas-upnp-org:device:MediaRenderer:1"):
                self.hear(answer(f"http://{host}:1400/d.xml", target, f"uuid:media-{number}"), (host, 1900))
        self.hear(answer(target="upnp:rootdevice"))
        self.hear(answer())
        self.assertIn(LOCATION, [str(sighting.location) for sighting in made.presence.sightings])
        self.assertLessEqual(len(made.presence.sightings), limits.SIGHTINGS)

    def test_Q010_the_receive_buffer_is_larger_than_usual(self) -> None:
        usual = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(usual.close)
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        endpoint = Endpoint(Role.SEARCH, "lo", socket.if_nametoindex("lo"), ipaddress.ip_address("127.0.0.1"))
        made = sockets.open_socket(endpoint)
        self.addCleanup(made.close)
        sizes = [each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in (made, usual)]
        self.assertGreaterEqual(sizes[0], 4 * sizes[1])

    def test_Q011_garbage_ends_no_search(self) -> None:
        made = self.started()
        for garbage in (
            b"",
            b"\0\xff" * 300,
            b"HTTP/1.1 200 OK\r\nST: InternetGatewayDevice\r\n\r\n",
            b"HTTP/1.1 404 InternetGatewayDevice\r\n\r\n",
            (MESSAGES / "ssdp-bad-garbage.http").read_bytes(),
        ):
            self.hear(garbage)
        self.assertEqual(sum(made.counters.values()), 5)
        self.assertEqual(self.changes, [])
        self.hear(answer())
        self.assertEqual([type(change) for change in self.changes], [Appeared])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_Q041_two_daemons_in_one_router(self) -> None:
        self.started()
        wps = "urn:schemas-wifialliance-org:device:WFADevice:1"
        self.hear(answer("http://192.0.2.1:1990/WFADevice.xml", "upnp:rootdevice", "uuid:wps"))
        self.hear(answer("http://192.0.2.1:1990/WFADevice.xml", wps, "uuid:wps"))
        self.hear(answer())
        self.assertIn(LOCATION, [str(change.sighting.location) for change in self.changes])

    def test_Q017_Q018_Q019_Q020_an_answer_with_every_liberty_is_heard(self) -> None:
        self.started()
        self.hear(
            f"HTTP/1.1 200 OK  \nlocation:\n  {LOCATION}\nCACHE_CONTROL:max-age = 120\nnonsense\n"
            f"st:{IGD1}\nusn :   {UDN}::{IGD1}\0\0".encode(),
            (ROUTER[0], 49_152),
        )
        (change,) = self.changes
        self.assertEqual(str(change.sighting.location), LOCATION)


class SocketTests(SynchronousTestCase):
    """Q190: what stock multicast ports get wrong."""

    def made(self, role: Role, address: str, link: str = "lo") -> socket.socket:
        index = socket.if_nametoindex(link)
        try:
            made = sockets.open_socket(Endpoint(role, link, index, ipaddress.ip_address(address)))
        except OSError as error:
            raise SkipTest(f"no IPv6 on {link}: {error}") from error
        self.addCleanup(made.close)
        return made

    def test_Q190_hop_limit_and_link_of_an_ipv6_search(self) -> None:
        made = self.made(Role.SEARCH, "::1")
        self.assertEqual(
            made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS), limits.MULTICAST_TTL, "not the system's 1"
        )
        index = made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
        self.assertEqual(index, socket.if_nametoindex("lo"))

    def test_Q190_an_ipv6_group_is_joined_on_the_link_named(self) -> None:
        self.made(Role.LISTEN, "ff02::c")
        group = ipaddress.ip_address("ff02::c").packed.hex()
        members = [line.split() for line in Path("/proc/net/igmp6").read_text("ascii").splitlines()]
        self.assertIn(("lo", group), {(member[1], member[2]) for member in members})

    def test_Q013_Q190_both_scopes_of_a_link(self) -> None:
        link = Link("eth0", 2, (ipaddress.ip_interface("fe80::7/64"), ipaddress.ip_interface("fd00::7/64")))
        groups = {str(group) for endpoint in sockets.endpoints(link) for group in endpoint.groups}
        self.assertEqual(groups, {"ff02::c", "ff05::c"})
