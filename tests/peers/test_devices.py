"""Other authors' devices under txigd: miniupnpd, a gateway on async-upnp-client's classes, a light on gupnp."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.lab.case import LabCase
from tests.lab.lab import CLIENT as LAB_CLIENT

from .ground import (
    CLIENT,
    CLIENT_ADDRESS,
    GATEWAY,
    GATEWAY_ADDRESS,
    PeersCase,
    Talker,
    require_programs,
    require_venv,
    talker,
    until,
)

OLD, NEW = "11.22.33.44", "11.22.33.50"
APPLICATION = [sys.executable, "-m", "tests.peers.application", "8080"]
WATCH = [sys.executable, "-m", "txigd", "watch", "--json", "-vv", "--poll", "600"]


def commands_work(case: SynchronousTestCase, txigd: Callable[..., str], location: str, us: str) -> None:
    """Every command that does not wait, with what it says of the gateway."""
    (found,) = json.loads(txigd("discover", "--json"))
    case.assertEqual((found["location"], found["external_ip"]), (location, OLD))
    status = json.loads(txigd("status", "--json"))
    case.assertEqual((status["connected"], status["external_ip"], status["local_address"]), (True, OLD, us))
    case.assertEqual(txigd("ip"), f"{OLD}\n")
    made = json.loads(txigd("map", "tcp:8080:8081", "--lease", "600", "--json"))
    case.assertEqual((made["state"], made["external_port"]), ("active", 8081))
    made = json.loads(txigd("map", "udp:8080", "--json"))
    case.assertEqual((made["state"], made["external_port"]), ("active", 8080))
    keys = ("protocol", "external_port", "internal_client", "internal_port")
    listed = {tuple(entry[key] for key in keys) for entry in json.loads(txigd("list", "--json"))}
    case.assertEqual(listed, {("TCP", 8081, us, 8080), ("UDP", 8080, us, 8080)})
    case.assertEqual(txigd("unmap", "tcp:8081", "udp:8080"), "deleted tcp:8081\ndeleted udp:8080\n")
    case.assertIn("there is no mapping tcp:8081", txigd("unmap", "tcp:8081", status=1))
    case.assertEqual(json.loads(txigd("list", "--json")), [])


def events_are_watched(case: SynchronousTestCase, watching: Talker, change: Callable[[], object]) -> None:
    """``txigd watch`` with a poll that is too late hears of a new address: by an event."""
    first = watching.value()
    case.assertEqual((first["what"], first["new"]["external_ip"]), ("gateway", OLD))
    until(lambda: watching.complaints().count(": subscribed\n") >= 2, 60, "txigd has subscribed")
    change()
    told = watching.value()
    case.assertEqual((told["what"], told["old"]["external_ip"], told["new"]["external_ip"]), ("wan", OLD, NEW))
    case.assertEqual(told["new"]["learned"], "event")


def application_works(
    case: SynchronousTestCase, application: Talker, us: str, change: Callable[[], object]
) -> dict[str, Any]:
    """ControlPoint, a held mapping, and an address change that no poll can have told; what it said first."""
    first: dict[str, Any] = application.value()
    case.assertEqual((first["external_ip"], first["external_port"]), (OLD, 8080))
    case.assertEqual(first["entries"], [["TCP", 8080, us, 8080]])
    case.assertEqual(set(first["eventing"].values()), {"subscribed"})
    change()
    told = application.ask(NEW)
    case.assertEqual(told, {"external_ip": NEW, "learned": "event", "connected": True})
    assert application.process.stdin is not None
    application.process.stdin.close()
    case.assertEqual(application.process.wait(60), 0, application.complaints())
    return first


class AiohttpGatewayTests(PeersCase):
    """A gateway on the server classes of async-upnp-client."""

    def setUp(self) -> None:
        require_venv()
        super().setUp()
        self.gateway = self.talker(GATEWAY, self.script("aiohttp_gateway", GATEWAY_ADDRESS))
        self.location: str = self.gateway.value()["location"]

    def change(self) -> None:
        self.assertEqual(self.gateway.ask("change_address", NEW), "done")

    def test_commands(self) -> None:
        commands_work(self, self.txigd, self.location, CLIENT_ADDRESS)
        self.assertEqual(self.gateway.ask("state")["table"], [])

    def test_watch(self) -> None:
        watching = self.talker(CLIENT, WATCH)
        events_are_watched(self, watching, self.change)
        self.assertEqual(self.gateway.ask("drop_wan"), "done")
        self.assertEqual(watching.value()["new"]["connection_status"], "Disconnected")
        watching.end()
        self.assertEqual(self.gateway.ask("state")["subscribers"], [], "it has unsubscribed")

    def test_control_point(self) -> None:
        first = application_works(self, self.talker(CLIENT, APPLICATION), CLIENT_ADDRESS, self.change)
        self.assertEqual(sorted(first["eventing"]), ["WANCommonInterfaceConfig:1", "WANIPConnection:1"])
        state = self.gateway.ask("state")
        self.assertEqual((state["table"], state["subscribers"]), ([], []), "it has cleaned up")
        calls = [name for name, _ in state["calls"]]
        self.assertEqual((calls.count("AddPortMapping"), calls.count("DeletePortMapping")), (1, 1))


class LightTests(PeersCase):
    """gupnp-network-light of Debian's gupnp-tools: SwitchPower and Dimming on gupnp. It draws, so it gets a display."""

    def setUp(self) -> None:
        require_programs("gupnp-network-light", "Xvfb", "dbus-run-session")
        super().setUp()
        self.display = self.talker(GATEWAY, ["Xvfb", "-displayfd", "1", "-nolisten", "tcp"])
        self.addCleanup(self.display.end)  # killed, it would leave its lock in /tmp
        environment = {
            "DISPLAY": f":{self.display.line()}",
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
            "TMPDIR": str(self.folder),
        }
        argv = ["dbus-run-session", "--", "gupnp-network-light", "-i", "lan"]
        self.light = self.talker(GATEWAY, argv, env=environment)
        until(lambda: "gupnp" in self.run_in(GATEWAY, ["ss", "-tlnp"]), 60, "the light listens")

    def test_typed_calls_and_events(self) -> None:
        done = self.net.run(CLIENT, [sys.executable, "-m", "tests.peers.light"], 60)
        self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}{self.light.complaints()}")
        said = json.loads(done.stdout)
        self.assertRegex(said["type"], "^urn:schemas-upnp-org:device:(Binary|Dimmable)Light:1$")
        self.assertEqual(said["services"], ["Dimming", "SwitchPower"])
        self.assertEqual(said["states"], ["subscribed", "subscribed"])
        self.assertEqual(said["first_is_initial"], [True, True])
        self.assertEqual(said["one_variable"], [False, True, False])
        self.assertEqual(said["afterwards"], ["idle", "idle"])
        self.assertIn("GetStatus() -> ResultStatus: boolean", said["actions"])
        self.assertEqual(said["status"], {"ResultStatus": True})
        self.assertEqual(said["level"], {"retLoadlevelStatus": 40})
        self.assertIn("101", said["too_much"])
        self.assertIn("much", said["no_number"])
        self.assertIn("Explode", said["not_offered"])
        self.assertEqual(said["capabilities"]["SetTarget"], "works")


class MiniupnpdTests(LabCase):
    """The router of the lab as IGD:2."""

    version = 2

    def txigd(self, *arguments: str, status: int = 0) -> str:
        done = self.lab.run(LAB_CLIENT, [sys.executable, "-m", "txigd", *arguments], timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_commands(self) -> None:
        commands_work(self, self.txigd, self.lab.location(), "192.168.77.2")
        services = [one["service"] for one in json.loads(self.txigd("status", "--json"))["services"]]
        self.assertIn(f"WANIPConnection:{self.version}", services)

    def test_watch(self) -> None:
        events_are_watched(self, talker(self.lab.net, LAB_CLIENT, WATCH), lambda: self.lab.change_address(NEW))

    def test_control_point(self) -> None:
        application = talker(self.lab.net, LAB_CLIENT, APPLICATION)
        first = application_works(self, application, "192.168.77.2", lambda: self.lab.change_address(NEW))
        self.assertIn(f"WANIPConnection:{self.version}", first["eventing"])
        self.assertNotIn("application", self.lab.upnpc("-l"), "it has cleaned up")


class MiniupnpdIGD1Tests(MiniupnpdTests):
    """The same with ``-1``."""

    version = 1
    lab_config = {"igd1": True}
