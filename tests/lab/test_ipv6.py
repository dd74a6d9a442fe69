"""IPv6 on the real router: what its firewall lets through, where it announces itself, and what txigd makes of both.

miniupnpd 2.3.1 with nftables opens real pinholes. It announces a global address only, also from its link-local one, and
without a global address on the LAN it switches IPv6 off. UpdatePinhole takes its rule away and adds it anew: for a
moment, some milliseconds, nothing new comes through.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import LabCase
from .lab import CLIENT, CLIENT_ADDRESS6, INTERNET, INTERNET_ADDRESS6, NEIGHBOUR, NEIGHBOUR_ADDRESS6, until

# Leaves of SSDP over IPv6 nothing but the link-local group.
ONLY_LINK_LOCAL_GROUP = """
table inet only_group {
    chain output { type filter hook output priority 0; udp dport 1900 ip6 daddr != ff02::c drop; }
}
"""


class IPv6Case(LabCase):
    lab_config = {"ipv6": True}

    def pinholes(self) -> list[str]:
        """The rules that the router has for pinholes."""
        return [line.strip() for line in self.lab.router_rules().splitlines() if "dport" in line]

    def reaches(self, port: int = 8080, address: str = CLIENT_ADDRESS6, protocol: str = "TCP") -> bool:
        """Whether the internet host gets an answer of the client."""
        return self.lab.ask(protocol, address, port, seconds=0.5) == b"echo:hello"


class RouterTests(IPv6Case):
    """What the lab promises, and what miniupnpd answers; no txigd here."""

    def upnpc6(self, *arguments: str) -> str:
        return self.lab.run(CLIENT, ["upnpc", "-6", "-u", self.lab.location6(), *arguments]).stdout

    def ask(self, action: str, host: str = CLIENT, **arguments: object) -> str:
        words = [f"{name.removesuffix('_')}={value}" for name, value in arguments.items()]
        done = self.lab.run(host, [sys.executable, "-m", "tests.lab.soap_call", self.lab.location6(), action, *words])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def add(self, **more: object) -> str:
        values: dict[str, object] = {
            "RemoteHost": "",
            "RemotePort": 0,
            "InternalClient": CLIENT_ADDRESS6,
            "InternalPort": 8080,
            "Protocol": 6,
            "LeaseTime": 3600,
        }
        return self.ask("AddPinhole", CLIENT, **{**values, **more})

    def test_bytes_come_through_a_pinhole_only(self) -> None:
        for protocol in ("TCP", "UDP"):
            self.lab.echo(CLIENT, protocol, 8080)
            self.assertFalse(self.reaches(protocol=protocol))
            said = self.upnpc6("-A", "", "0", CLIENT_ADDRESS6, "8080", protocol, "3600")
            number = re.search(r"Pinhole ID = (\d+)", said)
            assert number is not None, said
            self.assertTrue(self.reaches(protocol=protocol))
            self.upnpc6("-D", number[1])
            self.assertFalse(self.reaches(protocol=protocol))
        self.assertEqual(self.pinholes(), [])

    def test_inside_and_outwards_nothing_is_in_the_way(self) -> None:
        for host in (NEIGHBOUR, INTERNET):
            self.lab.echo(host, "TCP", 7)
        for address in (NEIGHBOUR_ADDRESS6, INTERNET_ADDRESS6):
            self.assertEqual(self.lab.ask("TCP", address, 7, host=CLIENT), b"echo:hello")

    def test_Q193_only_for_the_host_that_asks_and_never_below_1024(self) -> None:
        self.assertEqual(self.add(), "1")
        self.assertEqual(self.add(), "1", "the same values extend")
        self.assertEqual(self.add(InternalClient=NEIGHBOUR_ADDRESS6), "606")
        self.assertEqual(self.add(InternalPort=80), "606")
        self.assertEqual(self.add(InternalClient="fe80::1"), "606")
        for action in ("GetPinholePackets", "DeletePinhole"):
            self.assertEqual(self.ask(action, NEIGHBOUR, UniqueID=1), "606")
        self.assertEqual(len(self.pinholes()), 1)

    def test_Q195_Q200_what_it_refuses(self) -> None:
        table: list[tuple[dict[str, object], str]] = [
            ({"Protocol": 65535}, "707"),
            ({"Protocol": 1}, "705"),
            ({"InternalPort": 0}, "706"),
            ({"InternalClient": ""}, "708"),
            ({"LeaseTime": 0}, "402"),
            ({"LeaseTime": 86401}, "402"),
        ]
        for values, code in table:
            with self.subTest(str(values)):
                self.assertEqual(self.add(**values), code)

    def test_Q198_packets_are_never_counted_and_an_unknown_id_is_402(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        self.add()
        self.assertTrue(self.reaches())
        self.assertEqual(self.ask("GetPinholePackets", UniqueID=1), "0")
        self.assertEqual(self.ask("CheckPinholeWorking", UniqueID=1), "709")
        for action in ("GetPinholePackets", "CheckPinholeWorking", "DeletePinhole"):
            self.assertEqual(self.ask(action, UniqueID=77), "402")
        self.assertEqual(self.ask("UpdatePinhole", UniqueID=77, NewLeaseTime=60), "402")

    def test_GetPinholePackets_does_not_notice_a_flush_and_UpdatePinhole_does(self) -> None:
        self.add()
        self.lab.run("router", ["nft", "flush", "chain", "inet", "filter", "miniupnpd"])
        self.assertEqual(self.ask("GetPinholePackets", UniqueID=1), "0")
        self.assertEqual(self.ask("UpdatePinhole", UniqueID=1, NewLeaseTime=60), "704")


class HoldTests(IPv6Case):
    """The library on the real router."""

    def hold(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the holder; what it tells is gathered in ``told``."""
        process = self.lab.spawn(CLIENT, [sys.executable, "-m", "tests.lab.hold", *words], stdout=subprocess.PIPE)
        self.told: list[dict[str, Any]] = []
        self.said: list[str] = []

        def gather() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                text = line.decode(errors="replace")
                self.said.append(text)
                if text.startswith("{"):
                    self.told.append(json.loads(text))

        self.gathering = threading.Thread(target=gather, daemon=True)
        self.gathering.start()
        return process

    def lan_url(self) -> str:
        """What a user names."""
        return self.lab.location()

    def txigd(self, *arguments: str, status: int = 0) -> str:
        # a busy machine may take longer than the five seconds that a person waits by default
        patient = [sys.executable, "-m", "txigd", arguments[0], "--timeout", "15", *arguments[1:]]
        done = self.lab.run(CLIENT, patient, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_the_commands(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        said = self.txigd("pinhole", "tcp:8080", "--lease", "600")
        self.assertEqual(said, f"[{CLIENT_ADDRESS6}]:8080 TCP is open for 600 s; its number is 1\n")
        self.assertTrue(self.reaches())
        self.assertEqual(self.txigd("unpinhole", "1"), "closed 1\n")
        self.assertFalse(self.reaches())
        made = json.loads(self.txigd("pinhole", "udp:5000", "--json", "--address", CLIENT_ADDRESS6))
        self.assertEqual((made["state"], made["address"], made["unique_id"]), ("active", CLIENT_ADDRESS6, 2))
        for arguments, status, text in (
            (["unpinhole", "77"], 1, "there is no pinhole 77"),
            (["pinhole", "tcp:80"], 1, "606"),
            (["pinhole", "tcp:8080", "--address", "2001:db8::1"], 1, "this host has no address 2001:db8::1"),
            (["pinhole", "tcp:8080", "--lease", "0"], 2, "1 to 86400"),
        ):
            with self.subTest(" ".join(arguments)):
                line = self.txigd(*arguments, status=status)
                self.assertIn(text, line)
                self.assertEqual(line.count("\n"), 1)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(60)
        self.gathering.join(5)
        self.assertNotIn("Traceback", "".join(self.said))

    def wait(self, what: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s: {self.said}")
            time.sleep(0.05)

    def states(self, held: str = "tcp6:8080") -> list[str]:
        return [fact["state"] for fact in self.told if fact.get("held") == held]

    def active(self, held: str = "tcp6:8080", times: int = 1) -> bool:
        states = self.states(held)
        return states.count("active") == times and states[-1] == "active"

    def test_a_real_pinhole_lets_the_internet_in_and_nothing_before_or_after(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        self.assertFalse(self.reaches())
        process = self.hold("pinhole:tcp:8080")
        self.wait(self.active)
        self.assertTrue(self.reaches())
        self.end(process)
        self.assertEqual(self.states()[-1], "released")
        self.assertFalse(self.reaches())
        self.assertEqual(self.pinholes(), [])

    def test_a_restarted_router_gets_mapping_and_pinhole_back(self) -> None:
        for port in (8080, 8081):
            self.lab.echo(CLIENT, "TCP", port)
        process = self.hold("pinhole:tcp:8080", "map:tcp:8081")
        self.wait(lambda: self.active() and self.active("tcp:8081:8081"))
        self.lab.kill_router()
        self.assertFalse(self.reaches())
        self.lab.restart_router()  # from here on it may be back in a moment
        self.wait(lambda: self.states().count("active") > 1 and self.states("tcp:8081:8081").count("active") > 1, 60)
        self.wait(lambda: self.states()[-1] == "active" and self.states("tcp:8081:8081")[-1] == "active")
        self.assertTrue(self.reaches())
        self.assertEqual(self.lab.ask("TCP", "11.22.33.44", 8081), b"echo:hello")
        self.assertNotIn("refused", self.states() + self.states("tcp:8081:8081"))
        self.end(process)
        self.assertEqual(self.pinholes(), [])

    def test_flushed_rules_are_noticed_at_the_next_look(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        process = self.hold("pinhole:tcp:8080:4")
        self.wait(self.active)
        process.send_signal(signal.SIGSTOP)  # else its next look may come before ours
        self.lab.run("router", ["nft", "flush", "chain", "inet", "filter", "miniupnpd"])
        self.assertFalse(self.reaches())
        process.send_signal(signal.SIGCONT)
        self.wait(lambda: self.active(times=2))
        self.wait(self.reaches)  # at once, but for the moments in which the router exchanges its rule
        self.end(process)

    def test_Q200_a_short_lease_never_lapses(self) -> None:
        process = self.hold("pinhole:tcp:8080:2")
        self.wait(self.active)
        time.sleep(8)
        self.assertEqual(self.states(), ["adding", "active"])
        self.end(process)

    def test_Q194_never_for_a_temporary_address(self) -> None:
        self.lab.net.script(
            f"""
            ip netns exec {CLIENT} sh -c 'echo 2 > /proc/sys/net/ipv6/conf/lan/use_tempaddr'
            ip -n {CLIENT} addr del {CLIENT_ADDRESS6}/64 dev lan
            ip -n {CLIENT} addr add {CLIENT_ADDRESS6}/64 dev lan mngtmpaddr nodad
            """
        )
        listed = self.lab.run(CLIENT, ["ip", "-6", "-o", "addr", "show", "dev", "lan", "temporary"]).stdout
        self.assertIn("2001:db8:77:", listed, "the system prefers this one for whatever does not choose")
        self.lab.echo(CLIENT, "TCP", 8080)
        process = self.hold("pinhole:tcp:8080")
        self.wait(self.active)
        self.assertEqual({fact["address"] for fact in self.told if fact.get("state") == "active"}, {CLIENT_ADDRESS6})
        self.assertTrue(self.reaches())
        self.end(process)
        self.assertEqual(self.pinholes(), [])

    def test_a_gateway_named_by_its_IPv4_URL_gets_its_pinhole_too(self) -> None:
        process = self.hold("pinhole:tcp:8080", f"gateway={self.lan_url()}")
        self.wait(self.active)
        self.assertEqual({fact["gateway"] for fact in self.told if "gateway" in fact}, {self.lan_url()})
        self.end(process)
        self.assertEqual(self.pinholes(), [])

    def test_a_new_address_gets_the_pinhole(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        process = self.hold("pinhole:tcp:8080:4")
        self.wait(self.active)
        new = "2001:db8:77::22"
        self.lab.net.script(
            f"ip -n {CLIENT} addr add {new}/64 dev lan nodad\nip -n {CLIENT} addr del {CLIENT_ADDRESS6}/64 dev lan"
        )
        self.wait(lambda: [f for f in self.told if f.get("address") == new and f["state"] == "active"])
        self.assertTrue(self.reaches(address=new))
        self.end(process)
        self.wait(lambda: not self.pinholes(), 6)  # the old one has run out by itself

    def test_Q038_one_gateway_under_both_addresses(self) -> None:
        process = self.hold()
        self.wait(lambda: [f for f in self.told if len((f.get("devices") or [[]])[0]) == 2])
        [locations] = self.told[-1]["devices"]
        port = self.lab.location().rpartition(":")[2]
        self.assertEqual(locations, [self.lab.location(), f"http://[fe80::1%lan]:{port}"], "with its zone")
        [found] = [fact for fact in self.told if "gateway" in fact]
        self.assertEqual(found["host"], "192.168.77.1")
        self.end(process)


class DaemonTests(IPv6Case):
    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.log, self.state = folder / "log", folder / "state.json"

    def daemon(self, *pinholes: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "igd"]
        words = [word for pinhole in pinholes for word in ("--pinhole", pinhole)]
        with self.log.open("ab") as out:
            return self.lab.spawn(CLIENT, [*argv, "--state", str(self.state), *words], stdout=out)

    def logged(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def ids(self) -> dict[int, int]:
        """The UniqueIDs on record, by port."""
        [page] = json.loads(self.state.read_text())["gateways"]
        return {pinhole["internal_port"]: pinhole["unique_id"] for pinhole in page["pinholes"]}

    def ports(self) -> list[int]:
        """Those of the client that the router lets in."""
        mine = [rule for rule in self.pinholes() if f"{int(ipaddress.IPv6Address(CLIENT_ADDRESS6)):#034x}" in rule]
        return sorted(int(found[1]) for rule in mine if (found := re.search(r" dport (\d+)", rule)))

    def test_Q199_after_a_kill_the_wanted_is_adopted_and_the_rest_closed(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        foreign = ["upnpc", "-6", "-u", self.lab.location6(), "-A", "", "0", NEIGHBOUR_ADDRESS6, "8081", "TCP", "3600"]
        self.assertIn("Pinhole ID", self.lab.run(NEIGHBOUR, foreign).stdout)
        first = self.daemon("tcp:8080", "tcp:8081", "udp:8082")
        until(lambda: len(self.logged("pinhole .*: active")) == 3, 60, "three active pinholes")
        first.kill()
        first.wait(5)
        before = self.ids()
        self.assertEqual((sorted(before), self.ports()), ([8080, 8081, 8082], [8080, 8081, 8082]))
        second = self.daemon("tcp:8080", "tcp:8083")
        until(lambda: len(self.logged("pinhole .*: active")) == 5, 60, "two more of another life")
        until(lambda: len(self.logged("closed .*, left over from earlier")) == 2, 60, "the rest is closed")
        self.assertEqual(self.ports(), [8080, 8083])
        self.assertTrue(self.reaches())
        until(lambda: sorted(self.ids()) == [8080, 8083], 60, "it is on record")
        self.assertEqual(self.ids()[8080], before[8080], "taken over, not opened anew")
        second.send_signal(signal.SIGTERM)
        second.wait(60)
        self.assertEqual(self.ports(), [])
        self.assertEqual(len(self.pinholes()), 1, "the neighbour's")

    def open(self, count: int) -> bool:
        return len(self.pinholes()) >= count

    def test_Q199_killed_while_it_opens_them_it_leaves_nothing_for_the_next_life_but_what_is_wanted(self) -> None:
        wanted = [f"tcp:{port}" for port in range(8080, 8088)]
        for count in (1, 3, 5):
            first = self.daemon(*wanted)
            until(functools.partial(self.open, count), 60, "some are open")
            first.kill()
            first.wait(5)
            left = self.ports()
            self.assertGreaterEqual(len(left), count)
            second = self.daemon("tcp:9000")
            until(lambda: list(self.ids()) == [9000], 60, "all others closed")
            self.assertEqual(self.ports(), [9000])
            second.send_signal(signal.SIGTERM)
            second.wait(60)
            self.assertEqual(self.pinholes(), [])

    def test_the_daemon_holds_a_pinhole_and_closes_it(self) -> None:
        daemon = self.daemon("tcp:8080")
        until(lambda: self.logged("pinhole tcp6:8080: active"), 60, "an active pinhole")
        self.lab.echo(CLIENT, "TCP", 8080)
        self.assertTrue(self.reaches())
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        self.assertEqual(self.pinholes(), [])


class IPv6OnlyTests(HoldTests):
    """A client without IPv4."""

    lab_config = {"ipv6": True, "ipv4": False}

    def lan_url(self) -> str:
        return self.lab.location6()

    def test_F61_the_gateway_is_found_and_asked_at_its_link_local_address(self) -> None:
        process = self.hold()
        self.wait(lambda: [fact for fact in self.told if "gateway" in fact])
        [found] = [fact for fact in self.told if "gateway" in fact]
        self.assertEqual(found["host"], "fe80::1%lan")
        self.assertTrue(found["local"].endswith("%lan"))
        self.end(process)

    def test_F61_by_the_link_local_group_alone(self) -> None:
        self.lab.nft(CLIENT, ONLY_LINK_LOCAL_GROUP)
        self.assertEqual(self.txigd("ip"), "11.22.33.44\n")

    def test_F61_commands_answer_or_say_why_not(self) -> None:
        self.assertEqual(self.txigd("ip"), "11.22.33.44\n")
        self.assertIn("Connected", self.txigd("status"))
        line = self.txigd("map", "tcp:8080", status=1)
        self.assertIn("reached over IPv6: no IPv4 port mapping", line)

    def test_a_restarted_router_gets_mapping_and_pinhole_back(self) -> None:
        self.lab.echo(CLIENT, "TCP", 8080)
        process = self.hold("pinhole:tcp:8080")
        self.wait(self.active)
        self.lab.restart_router()
        self.wait(lambda: self.states().count("active") > 1 and self.states()[-1] == "active", 60)
        self.assertTrue(self.reaches())
        self.end(process)

    def test_Q038_one_gateway_under_both_addresses(self) -> None:
        """There is but one address here."""
        process = self.hold()
        self.wait(lambda: [f for f in self.told if f.get("devices")])
        [locations] = self.told[-1]["devices"]
        self.assertEqual(len(locations), 1)
        self.end(process)
