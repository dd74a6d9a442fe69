"""The lab itself: what it promises to the tests that stand on it, shown with Debian's upnpc."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from . import namespaces
from .case import LabCase, require_lab
from .lab import CLIENT, CLIENT_ADDRESS, INTERNET, Lab, until
from .namespaces import LabError

OUTSIDE = "11.22.33.44"


def running(*argv: str) -> bool:
    """Whether some process of this machine has just these arguments."""
    wanted = "".join(f"{word}\0" for word in argv).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes() == wanted:
                return True
    return False


class Ground(SynchronousTestCase):
    def test_absent_program_is_named_with_its_package(self) -> None:
        with mock.patch.object(namespaces, "SEARCH_PATH", "/nonexistent"):
            why_not = namespaces.mode.__wrapped__()[1]
        self.assertIn("miniupnpd", why_not or "")
        self.assertIn("apt-get install", why_not or "")

    def test_absent_lab_skips_or_fails_where_required(self) -> None:
        with mock.patch.object(Lab, "why_not", return_value="no such thing"):
            with mock.patch.dict(os.environ, {"TXIGD_LAB": ""}):
                self.assertRaises(SkipTest, require_lab)
            with mock.patch.dict(os.environ, {"TXIGD_LAB": "required"}):
                self.assertRaises(AssertionError, require_lab)

    def test_lab_that_is_not_running_says_so(self) -> None:
        lab = Lab()
        self.addCleanup(lab.stop)
        self.assertRaises(LabError, lab.run, CLIENT, ["true"])


class Hosts(LabCase):
    def test_client_reaches_the_internet_through_the_routers_address(self) -> None:
        script = "import socket; s = socket.create_server(('', 7)); print('up', flush=True); print(s.accept()[1][0])"
        server = self.lab.spawn(INTERNET, [sys.executable, "-ISc", script], stdout=subprocess.PIPE)
        assert server.stdout is not None
        self.assertEqual(server.stdout.readline(), b"up\n")
        self.lab.ask("TCP", "11.22.33.1", 7, host=CLIENT, seconds=2)
        self.assertEqual(server.stdout.readline().strip().decode(), OUTSIDE)

    def test_outside_is_out_of_reach(self) -> None:
        links = self.lab.run(CLIENT, ["ip", "-o", "link"]).stdout.splitlines()
        self.assertEqual({line.split(": ")[1].split("@")[0] for line in links}, {"lo", "lan"})

    def test_exit_status_and_signals_are_the_programs_own(self) -> None:
        self.assertEqual(self.lab.run(CLIENT, ["sh", "-c", "exit 7"]).returncode, 7)
        process = self.lab.spawn(CLIENT, ["sleep", "60"])
        name = Path(f"/proc/{process.pid}/comm")
        until(lambda: name.read_text() == "sleep\n", 60, "sleep runs under the id of spawn")
        process.terminate()
        self.assertEqual(process.wait(5), -15)

    def test_run_ends_a_program_at_its_timeout(self) -> None:
        self.assertRaises(subprocess.TimeoutExpired, self.lab.run, CLIENT, ["sleep", "60"], 0.2)

    def test_checkout_is_importable_inside(self) -> None:
        done = self.lab.run(CLIENT, [sys.executable, "-c", "import tests.lab; print('here')"])
        self.assertEqual(done.stdout, "here\n", done.stderr)

    def test_programs_run_in_the_scratch_folder(self) -> None:
        self.assertEqual(self.lab.run(CLIENT, ["pwd"]).stdout, f"{self.lab.folder}\n")

    def test_stop_leaves_no_process_behind(self) -> None:
        # A grandchild that nobody in the lab's own books knows of.
        self.lab.run(CLIENT, ["sh", "-c", "setsid sleep 61.25 >/dev/null 2>&1 & exit 0"])
        until(lambda: running("sleep", "61.25"), 60, "the grandchild runs")
        self.lab.stop()
        self.assertFalse(running("sleep", "61.25"))
        self.assertFalse(self.lab.folder.exists())

    def test_killed_owner_leaves_no_process_behind(self) -> None:
        script = (
            "import time; from tests.lab.lab import Lab; lab = Lab(); lab.start();"
            "print(lab.folder, lab.routers['router'].process.pid, flush=True); time.sleep(60)"
        )
        owner = subprocess.Popen(
            [sys.executable, "-c", script], env=self.lab.net.environment(), stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        assert owner.stdout is not None
        folder, router = owner.stdout.readline().split()
        self.addCleanup(subprocess.run, ["rm", "-r", folder])
        program = f"/proc/{router}/exe"  # unlike its folder, gone even if nobody collects the dead process
        self.assertTrue(os.path.exists(program))
        owner.kill()
        until(lambda: not os.path.exists(program), 60, "the router of a killed lab is gone")
        owner.stdout.close()


class Mappings(LabCase):
    def test_bytes_come_through_tcp_and_udp(self) -> None:
        for protocol in ("TCP", "UDP"):
            self.lab.echo(CLIENT, protocol, 8080)
            self.assertIsNone(self.lab.ask(protocol, OUTSIDE, 9090, seconds=0.5))
            self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", protocol)
            self.assertEqual(
                self.lab.ask(protocol, OUTSIDE, 9090, b"hello " + protocol.encode()), b"echo:hello " + protocol.encode()
            )
            self.assertIn("9090", self.lab.router_rules())
            self.lab.upnpc("-d", "9090", protocol)
            self.assertIsNone(self.lab.ask(protocol, OUTSIDE, 9090, seconds=0.5))
        self.assertNotIn("9090", self.lab.router_rules())

    def test_upnpc_finds_the_router_by_search(self) -> None:
        self.assertIn(f"ExternalIPAddress = {OUTSIDE}", self.lab.run(CLIENT, ["upnpc", "-s"]).stdout)

    def test_search_finds_nothing_while_ssdp_is_blocked(self) -> None:
        self.lab.block_ssdp()
        self.assertEqual(self.lab.search(), set())
        self.lab.unblock_ssdp()
        self.assertEqual(self.lab.search(expect=1), {self.lab.location()})

    def test_neighbour_holds_a_port_against_the_client(self) -> None:
        self.lab.add_foreign_mapping(9090)
        refused = self.assertRaises(LabError, self.lab.upnpc, "-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.assertIn("718", str(refused))
        self.assertIn("192.168.77.3:9090", self.lab.upnpc("-l"))


class WAN(LabCase):
    def address(self) -> str:
        found = [line for line in self.lab.upnpc("-s").splitlines() if line.startswith("ExternalIPAddress = ")]
        return found[0].partition(" = ")[2] if found else ""

    def test_address_changes_either_way_round(self) -> None:
        self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.lab.echo(CLIENT, "TCP", 8080)
        for new, old_first in (("11.22.33.99", False), ("11.22.44.7", True)):
            self.lab.change_address(new, old_first=old_first)
            self.assertEqual(self.address(), new)
            self.assertEqual(self.lab.ask("TCP", new, 9090), b"echo:hello")
        self.assertIsNone(self.lab.ask("TCP", OUTSIDE, 9090, seconds=0.5))

    def test_old_address_may_stay(self) -> None:
        self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.lab.echo(CLIENT, "TCP", 8080)
        self.lab.change_address("11.22.33.99", keep_old=True)
        for address in (OUTSIDE, "11.22.33.99"):
            self.assertEqual(self.lab.ask("TCP", address, 9090), b"echo:hello")

    def test_private_address_makes_the_router_refuse_mappings(self) -> None:
        self.lab.change_address("10.1.2.3")
        self.assertEqual(self.address(), "")
        refused = self.assertRaises(LabError, self.lab.upnpc, "-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.assertIn("501", str(refused))

    def test_link_drops_and_returns(self) -> None:
        self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.lab.echo(CLIENT, "TCP", 8080)
        self.lab.drop_wan()
        self.assertIn("Disconnected", self.lab.upnpc("-s"))
        self.assertEqual(self.address(), "")
        self.assertIsNone(self.lab.ask("TCP", OUTSIDE, 9090, seconds=0.5))
        self.lab.restore_wan()
        self.assertEqual(self.address(), OUTSIDE)
        self.assertEqual(self.lab.ask("TCP", OUTSIDE, 9090), b"echo:hello")


class Routers(LabCase):
    def test_killed_router_forgets_and_comes_back(self) -> None:
        self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.lab.kill_router()
        self.assertNotIn("9090", self.lab.router_rules())
        self.assertRaises(LabError, self.lab.location)
        self.assertEqual(self.lab.search(), set())
        self.lab.restart_router()
        self.assertNotIn("9090", self.lab.upnpc("-l"))

    def test_lease_file_keeps_mappings_over_a_restart(self) -> None:
        self.lab.restart_router(lease_file=True)
        self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "TCP")
        self.lab.restart_router()
        self.assertIn("9090", self.lab.router_rules())

    def test_named_port_and_version(self) -> None:
        for igd1, version in ((True, "InternetGatewayDevice:1"), (False, "InternetGatewayDevice:2")):
            self.lab.restart_router(port=5000, igd1=igd1)
            self.assertEqual(self.lab.location(), "http://192.168.77.1:5000/rootDesc.xml")
            fetch = (
                "import urllib.request; print(urllib.request.urlopen('http://192.168.77.1:5000/rootDesc.xml').read())"
            )
            self.assertIn(version, self.lab.run(CLIENT, [sys.executable, "-c", fetch]).stdout)

    def test_unknown_setting_is_refused(self) -> None:
        self.assertRaises(LabError, self.lab.start_router, color="red")

    def test_several_routers_each_with_a_wan(self) -> None:
        for name in ("second", "third"):
            self.lab.add_router(name)
        locations = {name: self.lab.location(name) for name in self.lab.routers}
        self.assertEqual(self.lab.search(expect=3), set(locations.values()))
        self.lab.echo(CLIENT, "UDP", 8080)
        for name in ("router", "second"):
            self.lab.upnpc("-a", CLIENT_ADDRESS, "8080", "9090", "UDP", name=name)
        self.lab.drop_wan("second")
        self.assertEqual(self.lab.ask("UDP", OUTSIDE, 9090), b"echo:hello")
        self.assertIsNone(self.lab.ask("UDP", "11.22.33.45", 9090, seconds=0.5))
        self.lab.stop_router("third")
        self.assertEqual(self.lab.search(), {locations["router"], locations["second"]})


class Shell(SynchronousTestCase):
    def test_verbs_are_commands_in_the_client_host(self) -> None:
        require_lab()
        script = (
            "lab-help | grep -q drop-wan; hostname -I; upnpc -u $(location) -a 192.168.77.2 80 8080 tcp >/dev/null;"
            "rules | grep -c 'dport 8080'; change-address 11.22.33.77; on router ip -o -4 addr show wan; drop-wan;"
            "upnpc -u $(location) -s | grep -c Disconnected; restart-router; kill-router; location; echo status $?;"
            "drop-wan nowhere; echo status $?; on client sh -c 'exit 9'"
        )
        with Lab() as lab:
            environment = lab.net.environment()
        done = subprocess.run(
            [sys.executable, "-m", "tests.lab", "bash", "-uc", script],
            cwd=namespaces.REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for expected in ("192.168.77.2", "1\n", "11.22.33.77/24", "http://192.168.77.1:", "status 1"):
            self.assertIn(expected, done.stdout, done.stderr)
        self.assertIn("router is not running", done.stderr)
        self.assertEqual(done.returncode, 9)
