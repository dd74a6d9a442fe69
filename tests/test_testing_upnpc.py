"""Another author's program is content with the simulated gateway: upnpc of Debian, on loopback and over a veth pair.

The second kind runs this file again inside ``unshare -Urnm --map-root-user``, with a network namespace for the client.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import react
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.raw_client import reactor
from txigd.testing import SimulatedGateway

ROOT = Path(__file__).resolve().parent.parent
GROUND = """
mount -t tmpfs none /run
ip link set lo up
ip netns add lan
ip link add gw0 type veth peer name lan0 netns lan
ip addr add 192.168.7.1/24 dev gw0
ip link set gw0 up
ip -n lan addr add 192.168.7.2/24 dev lan0
ip -n lan link set lan0 up
ip -n lan link set lo up
"""


def require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise SkipTest(f"no program {program} (on Debian: apt-get install miniupnpc iproute2 util-linux)")


class LoopbackTests(TestCase):
    timeout = 180

    def setUp(self) -> None:
        require("upnpc")

    async def upnpc(self, gateway: SimulatedGateway, *arguments: str) -> str:
        command = ["-u", gateway.location, *arguments]
        return (await getProcessOutput(shutil.which("upnpc") or "", command, errortoo=True, reactor=reactor)).decode()

    async def gateway(self, **options: Any) -> SimulatedGateway:
        made = SimulatedGateway(reactor, ssdp=False, **options)
        await made.start()
        self.addCleanup(made.stop)
        return made

    async def test_status(self) -> None:
        for version in (1, 2):
            for connection in ("IP", "PPP", "both-with-IP-live"):
                text = await self.upnpc(await self.gateway(version=version, connection=connection), "-s")
                for line in ("Found valid IGD", "Status : Connected", "ExternalIPAddress = 11.22.33.44"):
                    self.assertIn(line, text, (version, connection))

    async def test_Q143_told_the_url_it_takes_the_first_service(self) -> None:
        text = await self.upnpc(await self.gateway(connection="both-with-PPP-live"), "-s")
        self.assertIn("Status : Unconfigured", text)
        self.assertIn("ExternalIPAddress = 0.0.0.0", text)

    async def test_disconnected(self) -> None:
        gateway = await self.gateway()
        gateway.drop_wan()
        self.assertIn("Status : Disconnected", await self.upnpc(gateway, "-s"))

    async def test_add_list_delete(self) -> None:
        for version in (1, 2):
            gateway = await self.gateway(version=version)
            text = await self.upnpc(gateway, "-e", "mine & yours", "-a", "127.0.0.1", "18080", "18081", "TCP", "600")
            self.assertIn("external 11.22.33.44:18081 TCP is redirected to internal 127.0.0.1:18080", text)
            (entry,) = gateway.mappings
            self.assertEqual((entry.internal_port, entry.description), (18080, "mine & yours"))
            # it neither escapes what it sends nor unescapes what it gets
            wanted = r" 0 TCP 18081->127\.0\.0\.1:18080 +'mine &amp; yours' '' \d+"
            self.assertRegex(await self.upnpc(gateway, "-l"), wanted)
            if version == 2:
                listed = await self.upnpc(gateway, "-L")
                self.assertIn(" 0 TCP 18081->127.0.0.1:18080", listed)
            text = await self.upnpc(gateway, "-d", "18081", "TCP")
            self.assertIn("UPNP_DeletePortMapping() returned : 0", text)
            self.assertEqual(len(gateway.mappings), 0)

    async def test_any_port_and_range(self) -> None:
        gateway = await self.gateway()
        gateway.add_foreign_mapping("UDP", 18081)
        text = await self.upnpc(gateway, "-n", "127.0.0.1", "18080", "18081", "UDP", "600")
        self.assertIn("external 11.22.33.44:18082 UDP is redirected to internal 127.0.0.1:18080", text)
        await self.upnpc(gateway, "-N", "18082", "18090", "UDP", "1")
        self.assertEqual([entry.external_port for entry in gateway.mappings], [18081])

    async def test_conflict_and_refusals(self) -> None:
        gateway = await self.gateway(version=1, permanent_leases_only=True)
        gateway.add_foreign_mapping("TCP", 18081)
        for port, lease, code in (("18081", "0", "718"), ("18082", "600", "725")):
            text = await self.upnpc(gateway, "-a", "127.0.0.1", "18080", port, "TCP", lease)
            self.assertIn(f"failed with code {code}", text)
        self.assertEqual(len(gateway.mappings), 1)


class LinkTests(SynchronousTestCase):
    """Found by multicast on a named link, from another namespace."""

    def inside(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in namespaces of its own, with two hosts on one link; ``$0`` is this Python."""
        return subprocess.run(
            ["unshare", "-Urnm", "--map-root-user", "sh", "-eu", "-c", GROUND + script, sys.executable],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_discovered_on_a_real_link(self) -> None:
        require("upnpc", "unshare", "ip")
        ground = self.inside("true")
        if ground.returncode:
            raise SkipTest(f"no namespaces here: {ground.stderr.strip()[-200:]}")
        done = self.inside('exec "$0" -m tests.test_testing_upnpc')
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(found["problems"], [])
        self.assertIn("http://192.168.7.1:", found["location"])
        self.assertIn(found["location"], found["status"])
        self.assertIn("ExternalIPAddress = 11.22.33.44", found["status"])
        self.assertIn("18081 TCP is redirected to internal 192.168.7.2:18080", found["add"])
        self.assertIn("18081->192.168.7.2:18080", found["list"])
        self.assertIn("returned : 0", found["delete"])
        self.assertEqual(found["left"], 0)


async def _on_the_link(reactor: Any) -> None:
    gateway = SimulatedGateway(reactor, link="gw0", address="", wan_address="127.0.0.1")
    await gateway.start()
    found: dict[str, Any] = {"location": gateway.location, "problems": list(gateway.problems)}
    for name, arguments in (
        ("status", ["-s"]),
        ("add", ["-a", "192.168.7.2", "18080", "18081", "TCP", "600"]),
        ("list", ["-l"]),
        ("delete", ["-d", "18081", "TCP"]),
    ):
        command = ["netns", "exec", "lan", "upnpc", "-m", "lan0", *arguments]
        found[name] = (
            await getProcessOutput(shutil.which("ip") or "", command, errortoo=True, reactor=reactor)
        ).decode()
    found["left"] = len(gateway.mappings)
    await gateway.stop()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    react(_on_the_link)
