"""Real programs on the real router: ``twistd igd`` and ``txigd`` beside miniupnpd, nftables and upnpc."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.pauses import ENDED_SECONDS

from .case import LabCase
from .lab import CLIENT, CLIENT_ADDRESS, INTERNET

BOUND = 2.0  # promised: an evented address change is told within two seconds
POLL = 3
DEAD = "table inet dead {\n chain out {\n  type filter hook output priority 0; policy drop;\n }\n}\n"


class DaemonCase(LabCase):
    """Starts daemons in the lab and reads their log."""

    def setUp(self) -> None:
        super().setUp()
        self.log = Path(self.mktemp())

    def daemon(self, *arguments: str):
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        with self.log.open("ab") as out:
            return self.lab.spawn(CLIENT, [*twistd, "-n", "--pidfile=", "igd", *arguments], stdout=out)

    def logged(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def wait(self, what: Callable[[], object], seconds: float) -> float:
        """Seconds until it was so."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                self.fail(f"not within {seconds} s:\n{self.log.read_text()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def ours(self) -> list[str]:
        return re.findall(r"'txigd\.[^']+'", self.lab.upnpc("-l"))


class DaemonTests(DaemonCase):
    """One lab, one daemon, the whole life of it."""

    def test_the_main_job(self) -> None:
        """Bytes through both mappings, an address change, a link drop, a restarted router, and a clean end."""
        daemon = self.daemon("--map", "tcp:8080", "--map", "udp:5000", "--poll", str(POLL))
        self.wait(lambda: len(self.logged("active on external port")) == 2, 60)
        self.assertEqual(len(self.ours()), 2)
        for protocol, port in (("TCP", 8080), ("UDP", 5000)):
            self.lab.echo(CLIENT, protocol, port)
            self.assertEqual(self.lab.ask(protocol, "11.22.33.44", port), b"echo:hello", protocol)

        self.lab.change_address("11.22.33.50")
        self.wait(lambda: self.logged(r"WAN changed: .*11\.22\.33\.44 .* -> .*11\.22\.33\.50 "), BOUND)
        time.sleep(2)
        self.assertEqual(len(self.logged("WAN changed:")), 1, "one event for one change")
        self.assertEqual(self.lab.ask("TCP", "11.22.33.50", 8080), b"echo:hello")

        self.lab.drop_wan()
        self.wait(lambda: self.logged("-> Disconnected"), POLL + 2)
        self.lab.restore_wan()
        self.wait(lambda: self.logged(r"Disconnected.* -> Connected, 11\.22\.33\.50"), POLL + 2)

        self.lab.kill_router()
        self.lab.restart_router()
        self.wait(lambda: len(self.logged("active on external port")) == 4, 60)
        self.assertEqual(len(self.ours()), 2)
        self.assertEqual(self.lab.ask("UDP", "11.22.33.50", 5000), b"echo:hello")

        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(60), 0)
        self.assertLess(time.monotonic() - began, ENDED_SECONDS)
        self.assertEqual(self.ours(), [])
        self.assertNotIn("Traceback", self.log.read_text())

    def test_no_gateway_is_said_once_and_found_later(self) -> None:
        self.lab.kill_router()
        daemon = self.daemon("--map", "tcp:8080")
        self.wait(lambda: self.logged("no gateway answered on lan in 10 s.*still looking"), 60)
        self.lab.restart_router()
        self.wait(lambda: self.logged("active on external port 8080"), 60)
        self.assertEqual(len(self.logged("no gateway answered")), 1)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        self.assertEqual(self.ours(), [])

    def test_F31_a_foreign_entry_is_left_alone(self) -> None:
        self.lab.add_foreign_mapping(8080)
        daemon = self.daemon("--map", "tcp:8080", "--map", "tcp:8081:any")
        self.wait(lambda: self.logged("mapping tcp:8080:8080: conflict"), 60)
        self.wait(lambda: self.logged("mapping tcp:8081:8081: active"), 60)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        self.assertIn("8080->192.168.77.3", self.lab.upnpc("-l"))


class CommandTests(LabCase):
    """The ``txigd`` command in the lab."""

    def txigd(self, *arguments: str, status: int = 0) -> str:
        done = self.lab.run(CLIENT, [sys.executable, "-m", "txigd", *arguments], timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_every_command_answers(self) -> None:
        self.assertEqual(self.txigd("ip"), "11.22.33.44\n")
        self.assertEqual(json.loads(self.txigd("ip", "--json")), {"external_ip": "11.22.33.44", "class": "public"})
        found = json.loads(self.txigd("discover", "--json"))
        self.assertEqual([gateway["external_ip"] for gateway in found], ["11.22.33.44"])
        self.assertIn("Connected", self.txigd("status"))
        self.assertTrue(json.loads(self.txigd("status", "--json"))["connected"])
        made = json.loads(self.txigd("map", "tcp:8080", "--name", "web", "--json"))
        self.assertEqual((made["external_port"], made["state"]), (8080, "active"))
        entries = json.loads(self.txigd("list", "--json"))
        self.assertEqual([(e["external_port"], e["internal_client"]) for e in entries], [(8080, CLIENT_ADDRESS)])
        self.lab.echo(CLIENT, "TCP", 8080)
        self.assertEqual(self.lab.ask("TCP", "11.22.33.44", 8080, host=INTERNET), b"echo:hello")
        self.assertIn("deleted", self.txigd("unmap", "tcp:8080"))
        self.assertEqual(json.loads(self.txigd("list", "--json")), [])

    def test_what_cannot_be_is_said_in_one_line(self) -> None:
        self.lab.add_foreign_mapping(8080)
        table = [
            (["unmap", "tcp:9999"], 1, "no mapping tcp:9999"),
            (["unmap", "tcp:8080"], 1, "--force"),
            (["map", "tcp:8080"], 1, "belongs to '192.168.77.3'"),
            (["status", "--link", "nope"], 2, "lan"),
            (["status", "--gateway", "http://192.168.77.3:1/x", "--timeout", "1"], 1, "192.168.77.3"),
            (["status", "--gateway", "192.168.77.99", "--timeout", "1"], 1, "192.168.77.99"),
            (["status", "--gateway", "ftp://192.168.77.1/"], 2, "http://ADDRESS"),
        ]
        for arguments, status, said in table:
            with self.subTest(" ".join(arguments)):
                line = self.txigd(*arguments, status=status)
                self.assertIn(said, line)
                self.assertEqual(line.count("\n"), 1)


class LifeTests(DaemonCase):
    """What outlives a daemon, and what must not."""

    def test_F53_after_a_kill_the_wanted_is_adopted_and_the_rest_removed(self) -> None:
        self.lab.add_foreign_mapping(9000)
        first = self.daemon("--map", "tcp:8080", "--map", "udp:5000", "--map", "tcp:8081")
        self.wait(lambda: len(self.logged("active on external port")) == 3, 60)
        first.send_signal(signal.SIGKILL)
        first.wait(5)
        self.assertEqual(len(self.ours()), 3)
        second = self.daemon("--map", "tcp:8080")
        self.wait(lambda: len(self.logged("active on external port")) == 4, 60)
        self.assertEqual(len(self.logged("left over from earlier")), 2)
        self.assertEqual(len(self.ours()), 1)
        self.assertIn("9000->192.168.77.3", self.lab.upnpc("-l"))
        second.send_signal(signal.SIGTERM)
        second.wait(60)
        self.assertEqual(self.ours(), [])

    def test_F54_a_reload_deletes_what_is_no_longer_wanted(self) -> None:
        wanted = Path(self.mktemp()).absolute()
        wanted.write_text("tcp:8080  # web\nudp:5000\n")
        daemon = self.daemon("--map-file", str(wanted))
        self.wait(lambda: len(self.logged("active on external port")) == 2, 60)
        wanted.write_text("tcp:8080\ntcp:8082\n")
        daemon.send_signal(signal.SIGHUP)
        self.wait(lambda: self.logged("mapping udp:5000:5000: released"), 60)
        self.wait(lambda: self.logged("mapping tcp:8082:8082: active"), 60)
        self.assertEqual(len(self.ours()), 2)
        wanted.write_text("tcp:99999\n")
        daemon.send_signal(signal.SIGHUP)
        self.wait(lambda: self.logged("the mappings stay as they are: .*line 1: "), 60)
        self.assertEqual(len(self.ours()), 2)

    def test_F55_a_second_daemon_with_the_same_state_refuses(self) -> None:
        self.daemon("--map", "tcp:8080")
        self.wait(lambda: self.logged("active on external port 8080"), 60)
        second = self.daemon("--map", "tcp:8081")
        self.assertEqual(second.wait(60), 1)
        self.assertEqual(len(self.logged("cannot start: .*another")), 1)
        self.assertEqual(len(self.ours()), 1)

    def test_F55_a_second_daemon_with_a_state_of_its_own_does_not_fight(self) -> None:
        self.daemon("--map", "tcp:8080")
        self.wait(lambda: self.logged("active on external port 8080"), 60)
        second = self.daemon("--map", "tcp:8081", "--state", str(Path(self.mktemp()).absolute()))
        self.wait(lambda: self.logged("active on external port 8081"), 60)
        self.assertEqual(len(self.ours()), 2)
        second.send_signal(signal.SIGTERM)
        second.wait(60)
        self.assertEqual(len(self.ours()), 1)

    def test_F52_a_dead_gateway_does_not_hold_the_end(self) -> None:
        daemon = self.daemon("--map", "tcp:8080")
        self.wait(lambda: self.logged("active on external port 8080"), 60)
        self.lab.nft(CLIENT, DEAD)
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(60), 0)
        self.assertLess(time.monotonic() - began, ENDED_SECONDS)
