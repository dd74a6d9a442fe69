"""Multicast events as the simulated gateway sends them; what hears them is in test_testing_quirks."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txigd.limits import EVENT_GROUP_V4, EVENT_PORT
from txigd.testing import event_group, ssdp_sockets
from txigd.testing.event_group import COPIES, EventGroup
from txigd.testing.tree import Tree
from txigd.upnp.eventing import multicast_event


class Socket:
    """Takes what is sent, or refuses it."""

    def __init__(self, error: OSError | None = None) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.error = error
        self.closed = False

    def sendto(self, datagram: bytes, to: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((datagram, to))

    def close(self) -> None:
        self.closed = True


class EventGroupTests(SynchronousTestCase):
    def group(self, made: Socket | OSError, address: str = "192.0.2.1") -> EventGroup:
        def speaking(*given: object, **more: object) -> Socket:
            if isinstance(made, OSError):
                raise made
            return made

        self.patch(ssdp_sockets, "speaking", speaking)
        tree = Tree(version=2, udn="uuid:1", friendly_name="x", wans=2)
        group = EventGroup(lambda: tree, 77, address=ipaddress.ip_address(address), link_index=0)
        group.open()
        return group

    def test_Q184_each_change_is_said_twice_and_counted_by_service(self) -> None:
        made = Socket()
        group = self.group(made)
        for key in ("WANIPConnection", "WANIPConnection", "WANIPConnection#2"):
            group.send(key, {"ExternalIPAddress": "11.22.33.44"})
        self.assertEqual({to for _, to in made.sent}, {(EVENT_GROUP_V4, EVENT_PORT)})
        heard = [multicast_event.parse(datagram) for datagram, _ in made.sent]
        self.assertEqual(heard[0::COPIES], heard[1::COPIES])
        told = [(one.udn, one.service_id.rpartition(":")[2], one.seq, one.boot_id) for one in heard[::COPIES]]
        first, second = "uuid:1-2", "uuid:1-4"
        self.assertEqual(
            told, [(first, "WANIPConn1", 0, 77), (first, "WANIPConn1", 1, 77), (second, "WANIPConn2", 0, 77)]
        )
        self.assertEqual(dict(heard[0].values), {"ExternalIPAddress": "11.22.33.44"})
        group.close()
        group.send("WANIPConnection", {"ExternalIPAddress": ""})
        self.assertEqual((made.closed, len(made.sent)), (True, 3 * COPIES))

    def test_Q184_both_groups_of_ipv6(self) -> None:
        made = Socket()
        self.group(made, "2001:db8::1").send("Layer3Forwarding", {"DefaultConnectionService": "x"})
        self.assertEqual([to[0] for _, to in made.sent], ["ff02::130"] * COPIES + ["ff05::130"] * COPIES)
        self.assertIn(b"HOST: [FF02::130]:7900\r\n", made.sent[0][0])

    def test_what_cannot_be_opened_or_sent(self) -> None:
        group = self.group(OSError(99, "no such address"))
        self.assertEqual(len(group.problems), 1)
        group.send("Layer3Forwarding", {"DefaultConnectionService": "x"})
        group.close()
        self.group(Socket(OSError(101, "network is down"))).send("Layer3Forwarding", {"A": "x"})

    def test_a_real_socket_hears_it(self) -> None:
        tree = Tree(version=1, udn="uuid:1", friendly_name="x")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.bind((EVENT_GROUP_V4, 0))
            self.patch(event_group, "EVENT_PORT", ear.getsockname()[1])
            member = socket.inet_aton(EVENT_GROUP_V4) + socket.inet_aton("127.0.0.1")
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            ear.settimeout(10)
            group = EventGroup(lambda: tree, 1, address=ipaddress.ip_address("127.0.0.1"), link_index=0)
            group.open()
            group.send("Layer3Forwarding", {"DefaultConnectionService": "x"})
            group.close()
            self.assertEqual(multicast_event.parse(ear.recv(4096)).values, {"DefaultConnectionService": "x"})
