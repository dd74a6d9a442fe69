"""Other authors' control points are content with the simulated gateway, on a link with real multicast.

Each is believed on two counts: what it prints, and what the gateway was asked and has become.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

from .ground import (
    CLIENT,
    CLIENT_ADDRESS,
    CLIENT_ADDRESS_6,
    GATEWAY,
    GATEWAY_ADDRESS_6,
    VENV,
    PeersCase,
    Talker,
    require_programs,
    require_venv,
    until,
)

PUBLIC = "11.22.33.44"
IP_CONNECTION = "urn:upnp-org:serviceId:WANIPConn1"


class SimulatedCase(PeersCase):
    """``self.gateway``: a simulated gateway on the link, once :meth:`simulate` was called."""

    gateway: Talker

    def simulate(self, **options: object) -> dict[str, Any]:
        argv = [sys.executable, "-m", "tests.peers.simulated", json.dumps(options)]
        self.gateway = self.talker(GATEWAY, argv)
        state: dict[str, Any] = self.gateway.value()
        self.assertEqual(state["problems"], [])
        return state

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.gateway.ask("state")
        return state

    def do(self, *order: object) -> None:
        self.assertEqual(self.gateway.ask(*order), "done")

    def asked(self, agent: str) -> list[tuple[str, int, int]]:
        """(action or method and path, status, error) of each request of that program, in order."""
        seen = [one for one in self.state()["requests"] if agent in one["agent"]]
        return [(one["action"] or f"{one['method']} {one['path']}", one["status"], one["error"]) for one in seen]

    def ours(self) -> list[tuple[str, int, str, int]]:
        """The mappings, without what differs by the second."""
        keys = ("protocol", "external_port", "internal_client", "internal_port")
        return [tuple(entry[key] for key in keys) for entry in self.state()["mappings"]]


class UpnpcTests(SimulatedCase):
    """Debian's upnpc; the first call for a gateway finds it by multicast, which takes two seconds each time."""

    def setUp(self) -> None:
        require_programs("upnpc")
        super().setUp()
        self.found = ""

    def simulate(self, **options: object) -> dict[str, Any]:
        self.found = ""
        return super().simulate(**options)

    def upnpc(self, *arguments: str, status: int = 0) -> str:
        where = ["-u", self.found] if self.found else ["-m", "lan"]
        text = self.run_in(CLIENT, ["upnpc", *where, *arguments], status=status)
        if not self.found:
            self.found = str(self.state()["location"])
            self.assertIn(f"desc: {self.found}\n", text)
        return text

    def test_status(self) -> None:
        for version in (1, 2):
            with self.subTest(version=version):
                state = self.simulate(version=version)
                text = self.upnpc("-s")
                self.assertIn(f"desc: {state['location']}\n st: urn:schemas-upnp-org:device:InternetGateway", text)
                for line in (
                    "Found valid IGD",
                    f"Local LAN ip address : {CLIENT_ADDRESS}",
                    "Connection Type : IP_Routed",
                    "Status : Connected",
                    "MaxBitRateDown : 100000000 bps",
                    f"ExternalIPAddress = {PUBLIC}",
                    "Packets: Sent:        0\tRecv:        0",
                ):
                    self.assertIn(line, text)
                self.assertEqual({status for _, status, _ in self.asked("MiniUPnPc")}, {200})
                self.gateway.end()

    def test_drop_of_the_line(self) -> None:
        self.simulate()
        self.do("drop_wan")
        self.assertIn("Found a (not connected?) IGD", self.upnpc("-s", status=1))
        self.assertIn("Status : Disconnected", self.upnpc("-i", "-s"))
        self.do("restore_wan")
        self.do("change_address", "11.22.33.50")
        self.assertIn("ExternalIPAddress = 11.22.33.50", self.upnpc("-s"))

    def test_mappings(self) -> None:
        for version in (1, 2):
            with self.subTest(version=version):
                self.simulate(version=version)
                text = self.upnpc("-e", "from upnpc", "-a", "@", "8080", "8081", "TCP", "600")
                self.assertIn(f"external {PUBLIC}:8081 TCP is redirected to internal {CLIENT_ADDRESS}:8080", text)
                self.assertEqual(self.ours(), [("TCP", 8081, CLIENT_ADDRESS, 8080)])
                line = rf" 0 TCP  8081->{CLIENT_ADDRESS}:8080  'from upnpc' '' [56]\d\d\n"
                self.assertRegex(self.upnpc("-l"), line)
                if version == 2:
                    self.assertRegex(self.upnpc("-L"), line)
                    self.assertIn(("GetListOfPortMappings", 200, 0), self.asked("MiniUPnPc"))
                self.assertIn("UPNP_DeletePortMapping() returned : 0", self.upnpc("-d", "8081", "TCP"))
                self.assertEqual(self.ours(), [])
                self.gateway.end()

    def test_refusals_are_understood(self) -> None:
        self.simulate()
        self.do("add_foreign_mapping", "TCP", 8081)
        said = self.upnpc("-a", "@", "8080", "8081", "TCP", "600", status=2)
        self.assertIn("failed with code 718 (ConflictInMappingEntry)", said)
        said = self.upnpc("-n", CLIENT_ADDRESS, "8080", "8081", "TCP", "600")
        self.assertIn(f"external {PUBLIC}:8082 TCP is redirected to internal {CLIENT_ADDRESS}:8080", said)
        self.assertIn("failed with code : 714", self.upnpc("-d", "9999", "TCP", status=2))

    def test_pinholes(self) -> None:
        self.simulate()
        text = self.upnpc("-S")
        self.assertIn("Firewall Enabled: Yes\n   Inbound Pinhole Allowed: Yes", text)
        text = self.upnpc("-A", "fd78:0:0:1::9", "0", "fd78::2", "8080", "TCP", "600")
        self.assertIn("AddPinhole: ([fd78:0:0:1::9]:0 -> [fd78::2]:8080) / Pinhole ID = 1", text)
        (pinhole,) = self.state()["pinholes"]
        self.assertEqual((pinhole["client"], pinhole["port"], pinhole["protocol"]), ("fd78::2", 8080, 6))
        self.assertEqual((pinhole["remote"], pinhole["remote_port"]), ("fd78:0:0:1::9", 0))
        self.assertIn("UpdatePinhole: Pinhole ID = 1 with Lease Time: 1200", self.upnpc("-U", "1", "1200"))
        self.assertIn("CheckPinholeWorking() failed with code 709", self.upnpc("-C", "1"))
        self.assertIn("GetPinholePackets: Pinhole ID = 1 / PinholePackets = 0", self.upnpc("-K", "1"))
        self.do("pinhole_traffic", 1, 5)
        self.assertIn("CheckPinholeWorking: Pinhole ID = 1 / IsWorking = Yes", self.upnpc("-C", "1"))
        self.assertIn("GetPinholePackets: Pinhole ID = 1 / PinholePackets = 5", self.upnpc("-K", "1"))
        self.assertIn("UPNP_DeletePinhole() returned : 0", self.upnpc("-D", "1"))
        self.assertEqual(self.state()["pinholes"], [])
        self.assertIn("UPNP_DeletePinhole() returned : 704", self.upnpc("-D", "1"))

    def test_ipv6(self) -> None:
        """Found by ff02::c, spoken to at an IPv6 address, and a pinhole for the host that asks for it."""
        state = self.simulate(address=GATEWAY_ADDRESS_6, rules={"secure": True})
        self.assertIn(f"http://[{GATEWAY_ADDRESS_6}]:", state["location"])
        text = self.upnpc("-6", "-s")
        self.assertIn(f"desc: {state['location']}\n", text)
        self.assertIn(f"Local LAN ip address : {CLIENT_ADDRESS_6}", text)
        self.assertIn(f"ExternalIPAddress = {PUBLIC}", text)
        text = self.upnpc("-6", "-A", "", "0", CLIENT_ADDRESS_6, "8080", "UDP", "600")
        self.assertIn(f"AddPinhole: ([]:0 -> [{CLIENT_ADDRESS_6}]:8080) / Pinhole ID = 1", text)
        (pinhole,) = self.state()["pinholes"]
        self.assertEqual((pinhole["client"], pinhole["protocol"]), (CLIENT_ADDRESS_6, 17))
        said = self.upnpc("-6", "-A", "", "0", "fd78::3", "8080", "UDP", "600")
        self.assertIn("failed with code 606", said)
        self.assertEqual({one["peer"] for one in self.state()["requests"]}, {CLIENT_ADDRESS_6})


class UpnpClientTests(SimulatedCase):
    """The command of async-upnp-client."""

    def setUp(self) -> None:
        require_venv()
        super().setUp()

    def argv(self, *arguments: str) -> list[str]:
        return [str(VENV / "bin" / "upnp-client"), "--strict", *arguments]

    def call(self, location: str, action: str, *arguments: str, status: int = 0) -> dict[str, Any]:
        text = self.run_in(CLIENT, self.argv("call-action", location, action, *arguments), status=status)
        return json.loads(text)["out_parameters"] if status == 0 else {"said": text}

    def test_search(self) -> None:
        state = self.simulate()
        text = self.run_in(CLIENT, self.argv("--timeout", "2", "search", "--bind", CLIENT_ADDRESS))
        found = [json.loads(line) for line in text.splitlines()]
        self.assertEqual({one["LOCATION"] for one in found}, {state["location"]})
        self.assertEqual(len({one["USN"] for one in found}), 13)
        self.assertIn(f"{state['udn']}::upnp:rootdevice", {one["USN"] for one in found})
        target = "urn:schemas-upnp-org:service:WANIPConnection:1"
        text = self.run_in(CLIENT, self.argv("--timeout", "2", "search", "--search_target", target))
        self.assertEqual({json.loads(line)["ST"] for line in text.splitlines()}, {target})

    def test_search_by_ipv6(self) -> None:
        state = self.simulate(address=GATEWAY_ADDRESS_6)
        index = self.run_in(CLIENT, ["cat", "/sys/class/net/lan/ifindex"]).strip()
        for group in ("FF02::C", "FF05::C"):
            argv = self.argv("--timeout", "2", "search", "--target", f"{group}%{index}")
            found = [json.loads(line) for line in self.run_in(CLIENT, argv).splitlines()]
            self.assertEqual({one["LOCATION"] for one in found}, {state["location"]}, group)
            self.assertEqual(len({one["USN"] for one in found}), 13, group)

    def test_advertisements_from_the_first_to_the_last(self) -> None:
        listener = self.talker(CLIENT, self.argv("advertisements", "--bind", CLIENT_ADDRESS))
        until(lambda: "076C" in self.run_in(CLIENT, ["cat", "/proc/net/udp"]), 60, "it listens on port 1900")
        state = self.simulate()
        alive = json.loads(listener.line_with("ssdp:alive"))
        self.assertEqual((alive["NT"], alive["LOCATION"]), ("upnp:rootdevice", state["location"]))
        self.gateway.process.stdin.close()  # type: ignore[union-attr]
        self.gateway.process.wait(60)
        seen = [json.loads(listener.line_with("ssdp:byebye"))["NT"] for _ in range(13)]
        self.assertEqual(len(set(seen)), 13)

    def test_call_action(self) -> None:
        location = self.simulate()["location"]
        self.assertEqual(self.call(location, "WANIPConn1/GetExternalIPAddress"), {"NewExternalIPAddress": PUBLIC})
        status = self.call(location, "WANIPConn1/GetStatusInfo")
        self.assertEqual((status["NewConnectionStatus"], type(status["NewUptime"])), ("Connected", int))
        link = self.call(location, "WANCommonIFC1/GetCommonLinkProperties")
        self.assertEqual((link["NewPhysicalLinkStatus"], link["NewLayer1UpstreamMaxBitRate"]), ("Up", 100_000_000))
        wanted = {
            "NewRemoteHost": "",
            "NewExternalPort": "8085",
            "NewProtocol": "TCP",
            "NewInternalPort": "8080",
            "NewInternalClient": CLIENT_ADDRESS,
            "NewEnabled": "1",
            "NewPortMappingDescription": "a <b> & 'c'",
            "NewLeaseDuration": "600",
        }
        arguments = [f"{name}={value}" for name, value in wanted.items()]
        self.assertEqual(self.call(location, "WANIPConn1/AddPortMapping", *arguments), {})
        self.assertEqual(self.ours(), [("TCP", 8085, CLIENT_ADDRESS, 8080)])
        entry = self.call(location, "WANIPConn1/GetGenericPortMappingEntry", "NewPortMappingIndex=0")
        self.assertEqual((entry["NewPortMappingDescription"], entry["NewEnabled"]), ("a <b> & 'c'", True))
        self.assertEqual(self.call(location, "WANIPConn1/DeletePortMapping", *arguments[:3]), {})
        self.assertEqual(self.ours(), [])
        said = self.call(location, "WANIPConn1/DeletePortMapping", *arguments[:3], status=1)["said"]
        self.assertIn("714", said)
        self.assertEqual({status for name, status, _ in self.asked("aiohttp") if name.startswith("GET")}, {200})

    def delivered(self) -> dict[str, int]:
        return {one["service"]: one["delivered"] for one in self.state()["subscribers"]}

    def test_subscribe(self) -> None:
        location = self.simulate()["location"]
        listener = self.talker(CLIENT, self.argv("subscribe", location, "WANIPConn1", "WANCommonIFC1", "L3Forwarding1"))
        first = {event["service_id"]: event["state_variables"] for event in (listener.value() for _ in range(3))}
        self.assertEqual(len(first), 3)
        self.assertEqual(first[IP_CONNECTION]["ExternalIPAddress"], PUBLIC)
        self.assertEqual(first[IP_CONNECTION]["PortMappingNumberOfEntries"], 0)
        self.assertEqual(first["urn:upnp-org:serviceId:WANCommonIFC1"]["PhysicalLinkStatus"], "Up")
        orders: list[tuple[tuple[object, ...], dict[str, object]]] = [
            (("change_address", "11.22.33.50"), {"ExternalIPAddress": "11.22.33.50"}),
            (("add_foreign_mapping", "TCP", 80), {"PortMappingNumberOfEntries": 1, "SystemUpdateID": 2}),
        ]
        for order, expected in orders:
            self.do(*order)
            event = listener.value()
            self.assertEqual((event["service_id"], event["state_variables"]), (IP_CONNECTION, expected))
        self.do("drop_wan")
        said = [listener.value() for _ in range(2)]
        merged = {name: value for event in said for name, value in event["state_variables"].items()}
        self.assertEqual((merged["ConnectionStatus"], merged["PhysicalLinkStatus"]), ("Disconnected", "Down"))
        wanted = {"WANIPConnection": 4, "WANCommonInterfaceConfig": 2, "Layer3Forwarding": 1}
        until(lambda: self.delivered() == wanted, 60, f"it has acknowledged {wanted}")
        listener.process.send_signal(signal.SIGINT)
        listener.process.wait(60)
        until(lambda: not self.state()["subscribers"], 60, "it has unsubscribed")
        self.assertEqual([one[0][:11] for one in self.asked("")].count("UNSUBSCRIBE"), 3)


class GssdpTests(SimulatedCase):
    """gssdp-discover of gupnp-tools."""

    def setUp(self) -> None:
        require_programs("gssdp-discover")
        super().setUp()

    def test_it_sees_the_gateway_come_and_go(self) -> None:
        watching = self.talker(CLIENT, ["stdbuf", "-oL", "gssdp-discover", "-i", "lan", "-m", "all"])
        watching.line_with("Showing")
        state = self.simulate()
        root = f"{state['udn']}::urn:schemas-upnp-org:device:InternetGatewayDevice:2"
        self.assertTrue(watching.line_with(root))
        self.assertIn(state["location"], watching.line())
        self.gateway.process.stdin.close()  # type: ignore[union-attr]
        self.gateway.process.wait(60)
        self.assertTrue(watching.line_with("resource unavailable"))

    def test_its_search_is_answered(self) -> None:
        state = self.simulate(notify_seconds=1000)
        time.sleep(1)  # so that its first announcements are over
        target = "urn:schemas-upnp-org:service:WANIPConnection:1"
        text = self.run_in(CLIENT, ["gssdp-discover", "-i", "lan", "-n", "3", "-t", target])
        self.assertIn(f"::{target}\n  Location: {state['location']}", text)


class PackageTests(SimulatedCase):
    """Programs with Python packages; each script prints what its package returned."""

    def setUp(self) -> None:
        require_venv()
        super().setUp()

    def said(self, name: str, *arguments: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.run_in(CLIENT, self.script(name, *arguments)))
        return said

    def test_miniupnpc(self) -> None:
        for version in (1, 2):
            with self.subTest(version=version):
                state = self.simulate(version=version)
                self.do("add_foreign_mapping", "TCP", 8083)
                said = self.said("miniupnpc_client")
                self.assertEqual(said["discovered"], 1)
                self.assertEqual(said["control_url"], state["location"].replace("rootDesc.xml", "ctl/IPConn"))
                self.assertEqual((said["our_address"], said["external"]), (CLIENT_ADDRESS, PUBLIC))
                self.assertEqual((said["status"][0], said["type"]), ("Connected", "IP_Routed"))
                self.assertTrue(said["added"])
                self.assertEqual(said["specific"][:2], [CLIENT_ADDRESS, 8080])
                self.assertIn("718", [str(error) for _, _, error in self.asked("MiniUPnPc")])
                self.assertEqual(said["conflict"], "ConflictInMappingEntry")
                self.assertTrue(said["deleted"])
                self.assertEqual(len(self.ours()), 1)
                self.gateway.end()

    def test_upnpclient(self) -> None:
        state = self.simulate()
        said = self.said("upnpclient_client", CLIENT_ADDRESS)
        self.assertEqual((said["name"], said["location"]), ("Simulated gateway", state["location"]))
        self.assertEqual(said["external"], {"NewExternalIPAddress": PUBLIC})
        self.assertEqual(said["status"]["NewConnectionStatus"], "Connected")
        self.assertEqual((said["added"], said["deleted"]), ({}, {}))
        entry = said["entry"]
        self.assertEqual((entry["NewInternalPort"], entry["NewEnabled"]), (8080, True))
        self.assertEqual(entry["NewPortMappingDescription"], "upnpclient <&>")
        self.assertEqual(said["absent"], [714, "NoSuchEntryInArray"])
        self.assertIn("NewProtocol", said["invalid"])
        self.assertIn("GetListOfPortMappings", said["actions"])
        self.assertEqual(self.ours(), [])
        self.assertIn(("AddPortMapping", 200, 0), self.asked("python-requests"))
