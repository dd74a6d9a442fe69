"""The gateways of the founding documents, byte for byte, driven end to end by the ``txigd`` command."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .case import require_lab
from .namespaces import Namespaces

HOSTS = """
for host in gateway client; do
    ip netns add $host
    ip -n $host link set lo up
done
ip -n gateway link add lan type veth peer name lan netns client
ip -n gateway addr add 192.168.1.1/24 dev lan
ip -n client addr add 192.168.1.2/24 dev lan
ip -n gateway link set lan up
ip -n client link set lan up
ip -n client route add default via 192.168.1.1
"""


class SeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        require_lab()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.requests = folder / "requests"
        self.net = Namespaces(folder)
        self.addCleanup(self.net.stop)
        self.net.start()
        self.net.script(HOSTS)

    def serve(self, name: str) -> None:
        argv = [sys.executable, "-m", "tests.lab.seed_device", name, str(self.requests)]
        device = self.net.spawn("gateway", argv, stdout=subprocess.PIPE)
        assert device.stdout is not None
        self.assertEqual(device.stdout.readline(), b"ready\n")

    def txigd(self, *arguments: str, status: int = 0) -> str:
        done = self.net.run("client", [sys.executable, "-m", "txigd", *arguments], timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout or done.stderr

    def asked(self) -> list[str]:
        """The requests so far, each as ``METHOD PATH ACTION``."""
        lines = [base64.b64decode(line).decode("latin-1") for line in self.requests.read_bytes().splitlines()]
        out = []
        for text in lines:
            method, path, _ = text.split("\r\n")[0].split(" ")
            action = text.partition("SOAPACTION: ")[2].partition("\r\n")[0].strip('"').rpartition("#")[2]
            out.append(f"{method} {path} {action}".strip())
        return out

    def test_befsr41(self) -> None:
        """A NOTIFY as the answer; control on another port, with a double slash."""
        self.serve("befsr41")
        self.assertEqual(self.txigd("ip"), "11.22.33.44\n")
        made = json.loads(self.txigd("map", "tcp:8080", "--json"))
        self.assertEqual((made["state"], made["external_port"]), ("active", 8080))
        self.assertIn("POST //WANIPConnection AddPortMapping", self.asked())
        self.assertIn("deleted", self.txigd("unmap", "tcp:8080"))
        self.assertIn("POST //WANIPConnection DeletePortMapping", self.asked())

    def test_wrt54g(self) -> None:
        """A folded LOCATION, an odd description, 0.0.0.0 on the IP service: the PPP service is the live one (Q143)."""
        self.serve("wrt54g")
        status = json.loads(self.txigd("status", "--json"))
        self.assertEqual(status["external_ip"], "11.22.33.44")
        self.assertEqual(status["connections"], ["WANIPConnection:1", "WANPPPConnection:1"])
        self.assertEqual(status["model"], "Linksys Inc. WRT54G v2.02.2")
        made = json.loads(self.txigd("map", "udp:27360", "--json"))
        self.assertEqual((made["state"], made["external_port"]), ("active", 27360))
        adds = [line for line in self.asked() if line.endswith("AddPortMapping")]
        self.assertEqual(adds, ["POST /uuid:000625d8-095f-0006-25d8-095f0232aa18/WANPPPConnection:1 AddPortMapping"])
        self.assertIn("deleted", self.txigd("unmap", "udp:27360"))

    def test_huawei_3com(self) -> None:
        """Glued header fields, a relative control URL, BitComet's mapping as it was captured."""
        self.serve("huawei")
        self.assertEqual(self.txigd("ip"), "11.22.33.44\n")
        self.assertIn("belongs to '192.168.1.2' ('BitComet", self.txigd("map", "tcp:25118", status=1))
        made = json.loads(self.txigd("map", "tcp:8080", "--json"))
        self.assertEqual((made["state"], made["external_port"]), ("active", 8080))
        self.assertIn("POST /EmWeb/UPnP/Control/4 AddPortMapping", self.asked())
        self.assertNotIn("POST /EmWeb/UPnP/Control/4 DeletePortMapping", self.asked())
