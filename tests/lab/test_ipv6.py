"""IPv6 on the real router: what its firewall lets through, where it announces itself, and what txigd makes of both."""

from __future__ import annotations

import re

from .case import LabCase
from .lab import CLIENT_ADDRESS6, INTERNET_ADDRESS6, NEIGHBOUR, NEIGHBOUR_ADDRESS6


class RouterTests(LabCase):
    """What the lab promises, shown with Debian's upnpc."""

    lab_config = {"ipv6": True}

    def pinholes(self) -> list[str]:
        return [line.strip() for line in self.lab.router_rules().splitlines() if "dport" in line]

    def upnpc6(self, *arguments: str) -> str:
        return self.lab.run("client", ["upnpc", "-6", "-u", self.lab.location6(), *arguments]).stdout

    def test_bytes_come_through_a_pinhole_only(self) -> None:
        for protocol in ("TCP", "UDP"):
            self.lab.echo("client", protocol, 8080)
            self.assertIsNone(self.lab.ask(protocol, CLIENT_ADDRESS6, 8080, seconds=0.5))
            said = self.upnpc6("-A", "", "0", CLIENT_ADDRESS6, "8080", protocol, "3600")
            number = re.search(r"Pinhole ID = (\d+)", said)
            assert number is not None, said
            self.assertEqual(self.lab.ask(protocol, CLIENT_ADDRESS6, 8080), b"echo:hello")
            self.upnpc6("-D", number[1])
            self.assertIsNone(self.lab.ask(protocol, CLIENT_ADDRESS6, 8080, seconds=0.5))
        self.assertEqual(self.pinholes(), [])

    def test_inside_and_outwards_nothing_is_in_the_way(self) -> None:
        for host in (NEIGHBOUR, "internet"):
            self.lab.echo(host, "TCP", 7)
        for address in (NEIGHBOUR_ADDRESS6, INTERNET_ADDRESS6):
            self.assertEqual(self.lab.ask("TCP", address, 7, host="client"), b"echo:hello")
