"""Two gateways on one LAN, two WAN connections in one gateway: the right one is used, the other one is seen.

Packets are counted by nftables on the client: what txigd says it did not send is not believed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from .case import LabCase
from .lab import CLIENT, until

# Not counted is what the client's kernel says by itself: that the port is closed to which an answer came late.
COUNTERS = """
table inet watched {{
    counter first {{ }}
    counter second {{ }}
    chain output {{
        type filter hook output priority 0; policy accept;
        ip daddr {first} meta l4proto {{ tcp, udp }} counter name first
        ip daddr {second} meta l4proto {{ tcp, udp }} counter name second
    }}
}}
"""


class SeveralCase(LabCase):
    def txigd(self, *words: str, status: int = 0) -> Any:
        """What one command says as JSON."""
        done = self.lab.run(CLIENT, [sys.executable, "-m", "txigd", *words, "--json"], 60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return json.loads(done.stdout)


class TwoGatewaysTests(SeveralCase):
    """The default route of the client leads to the first; the second announces the higher version."""

    lab_config = {"igd1": True}

    def setUp(self) -> None:
        super().setUp()
        self.second = self.lab.add_router("second")
        self.first = self.lab.routers["router"]
        addresses = {"first": self.first.lan_address, "second": self.second.lan_address}
        self.lab.nft(CLIENT, COUNTERS.format(**addresses))

    def packets(self, name: str) -> int:
        """TCP and UDP packets that the client sent to a router's address."""
        said = self.lab.run(CLIENT, ["nft", "list", "counter", "inet", "watched", name]).stdout
        found = re.search(r"packets (\d+)", said)
        assert found is not None, said
        return int(found[1])

    def test_F22_A4_only_the_default_route_is_used_and_the_other_is_seen(self) -> None:
        both = {self.lab.location(), self.lab.location("second")}
        self.assertEqual(self.lab.search(expect=2), both, "both answer a search")
        status = self.txigd("status", "-v")
        self.assertEqual((status["address"], status["next_hop"]), (self.first.lan_address, True))
        used, other = status["ranking"]
        self.assertEqual((used["address"], used["in_use"]), (self.first.lan_address, True))
        self.assertIn("default route of this host", used["facts"])
        self.assertEqual((other["address"], other["in_use"]), (self.second.lan_address, False))
        self.assertIn("nothing is sent to it", other["facts"][0])

        made = self.txigd("map", "tcp:8080")
        self.assertEqual((made["state"], made["external_ip"]), ("active", self.first.wan_addresses[0]))
        self.assertIn("8080", self.lab.router_rules("router"))
        self.assertNotIn("8080", self.lab.router_rules("second"))
        self.lab.echo(CLIENT, "TCP", 8080)
        self.assertEqual(self.lab.ask("TCP", self.first.wan_addresses[0], 8080), b"echo:hello")
        self.assertEqual(self.packets("second"), 0, "not one packet went there")
        self.assertGreater(self.packets("first"), 0)

        rows = {row["address"]: row for row in self.txigd("discover")}
        self.assertEqual(set(rows), {self.first.lan_address, self.second.lan_address})
        self.assertEqual(rows[self.second.lan_address]["external_ip"], self.second.wan_addresses[0])
        self.assertEqual([rows[one.lan_address]["next_hop"] for one in (self.first, self.second)], [True, False])
        self.assertGreater(self.packets("second"), 0, "who is asked for all asks all")

    def test_F16_F22_the_default_route_decides(self) -> None:
        self.lab.net.script(f"ip -n {CLIENT} route replace default via {self.second.lan_address}")
        status = self.txigd("status", "-v")
        self.assertEqual([one["address"] for one in status["ranking"] if one["in_use"]], [self.second.lan_address])
        self.assertEqual(self.packets("first"), 0)

    def test_A4_the_other_one_when_it_is_named(self) -> None:
        for named in (self.second.lan_address, self.lab.location("second")):
            made = self.txigd("map", "udp:9090", "--gateway", named)
            self.assertEqual(made["external_ip"], self.second.wan_addresses[0])
            self.assertNotIn("9090", self.lab.router_rules("router"))
            self.assertEqual(self.packets("first"), 0, "not one packet went to the default router")
        self.txigd("report", "--gateway", self.lab.location("second"), "--output", str(self.lab.folder / "report.json"))
        self.assertEqual(self.packets("first"), 0, "nor did one of a report")

    def test_F22_none_is_better_than_the_wrong_one(self) -> None:
        self.lab.kill_router("router")
        done = self.lab.run(CLIENT, [sys.executable, "-m", "txigd", "ip", "--timeout", "3"])
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(f"seen, but not the default route: {self.second.lan_address}", done.stderr)
        self.assertEqual(self.packets("second"), 0)


class TwoConnectionsTests(SeveralCase):
    """A gateway with a WANIPConnection and a WANPPPConnection, one of which carries nothing (Q143)."""

    def serve(self, live: str) -> None:
        self.lab.kill_router()
        self.requests = self.lab.folder / f"requests-{live}"
        argv = [sys.executable, "-m", "tests.lab.two_lines", "192.168.77.1", live, str(self.requests)]
        router = self.lab.spawn("router", argv, stdout=subprocess.PIPE)
        self.addCleanup(router.kill)
        assert router.stdout is not None
        self.assertEqual(router.stdout.readline(), b"ready\n")

    def chosen(self, live: str, idle: str) -> None:
        self.serve(live)
        status = self.txigd("status", "-v")
        (used,) = status["ranking"]
        facts = {one["service"].split(":")[0]: one for one in used["connections"]}
        self.assertTrue(facts[f"WAN{live}Connection"]["in_use"])
        self.assertFalse(facts[f"WAN{idle}Connection"]["in_use"])
        self.assertGreater(facts[f"WAN{live}Connection"]["rank"], facts[f"WAN{idle}Connection"]["rank"])
        made = self.txigd("map", "tcp:8080")
        self.assertEqual(made["state"], "active")

        def added() -> list[str]:
            return [line for line in self.requests.read_text().splitlines() if "AddPortMapping" in line]

        self.assertEqual(len(until(added, 60, "the call was written down")), 1)
        self.assertIn(f"{live}Conn", added()[0])

    def test_Q143_the_one_that_carries_the_line(self) -> None:
        self.chosen("PPP", "IP")

    def test_Q143_the_other_way_round(self) -> None:
        self.chosen("IP", "PPP")


class DeviceTests(SeveralCase):
    """The real miniupnpd as any UPnP device: all that it offers, by its own descriptions."""

    def test_describe_call_and_subscribe(self) -> None:
        location = self.lab.location()
        told = self.txigd("describe", location)
        services = list(_services(told["device"]))
        self.assertIn("WANIPConnection", {one["type"].split(":")[3] for one in services})
        self.assertEqual({one["described_by"] for one in services}, {"own"})
        for one in services:
            self.assertTrue(one["control_url"].startswith(location.rpartition("/")[0]), one["control_url"])
        told = self.txigd("call", location, "WANIPConn1", "GetExternalIPAddress")
        self.assertEqual(told, {"NewExternalIPAddress": "11.22.33.44"})
        self.assertEqual(self.txigd("call", location, "WANIPConnection", "QueryStateVariable",
                                    "varName=ConnectionStatus"), {"ConnectionStatus": "Connected"})  # fmt: skip
        heard = self.txigd("subscribe", location, "WANIPConnection", "--for", "2")
        self.assertTrue(heard["initial"])
        self.assertEqual(heard["values"]["ExternalIPAddress"], "11.22.33.44")
        self.assertIsInstance(heard["values"]["PortMappingNumberOfEntries"], int)


def _services(told: dict[str, Any]) -> Any:
    yield from told["services"]
    for one in told["devices"]:
        yield from _services(one)
