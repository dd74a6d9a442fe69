"""Faults by their ids on the real router: what befalls it, the LAN and this host, and what the daemon makes of it.

What takes hours or hundreds of runs is in bench/; here stands the short form of each.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

from tests.pauses import ENDED_SECONDS
from txigd.limits import LINK_POLL_SECONDS, POLL_SECONDS, RECHECK_SECONDS, VERIFY_SECONDS

from .lab import CLIENT, CLIENT_ADDRESS
from .test_daemon import DaemonCase

POLL = 3
ROUTER = "192.168.77.1"
# Of TCP to the router: the SYN-ACK comes back, and nothing after it leaves.
HALF_OPEN = """
table inet half_open {
    chain output { type filter hook output priority 0; ip daddr 192.168.77.1 tcp flags & (syn | rst) == 0 drop; }
}
"""
RESET = """
table inet reset_it {
    chain output { type filter hook output priority 0; ip daddr 192.168.77.1 meta l4proto tcp reject with tcp reset; }
}
"""
LOSS = """
table inet loss {
    chain output { type filter hook output priority 0; numgen random mod 100 < 30 drop; }
    chain input { type filter hook input priority 0; iifname != "lo" numgen random mod 100 < 30 drop; }
}
"""
# Counts what leaves for the second router.
COUNT = """
table inet egress {
    chain output { type filter hook output priority 0; ip daddr 192.168.77.11 counter; }
}
"""
NO_MULTICAST = """
table inet no_multicast {
    chain output { type filter hook output priority 0; ip daddr 224.0.0.0/4 drop; }
    chain input { type filter hook input priority 0; ip daddr 224.0.0.0/4 drop; }
}
"""


class FaultCase(DaemonCase):
    """A daemon that holds two mappings."""

    held = ("tcp:8080", "udp:5000")

    def begin(self, *arguments: str):
        words = [word for mapping in self.held for word in ("--map", mapping)]
        daemon = self.daemon(*words, "--poll", str(POLL), *arguments)
        self.wait(lambda: len(self.logged("active on external port")) >= len(self.held), 60)
        return daemon

    def table(self) -> list[str]:
        """The entries of ours as ``8080->192.168.77.2:8080``."""
        return [line.split()[2] for line in self.lab.upnpc("-l").splitlines() if "'txigd." in line]

    def made_anew(self, times: int) -> bool:
        """Whether mappings became active that often."""
        return len(self.logged("active on external port")) >= times

    def move(self, old: str, new: str) -> None:
        """This host gets another address."""
        self.lab.net.script(
            f"ip -n {CLIENT} addr add {new}/24 dev lan\n"
            f"ip -n {CLIENT} addr del {old}/24 dev lan\n"
            f"ip -n {CLIENT} route replace default via {ROUTER}"
        )

    def clean(self) -> None:
        self.assertNotIn("Traceback", self.log.read_text())
        self.assertEqual(self.logged("Unhandled"), [])

    def end(self, daemon) -> float:
        """Seconds until it was gone."""
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(60), 0)
        self.clean()
        return time.monotonic() - began


class RouterTests(FaultCase):
    def test_F01_F51_the_router_restarts_and_a_farewell_leaves_nothing(self) -> None:
        daemon = self.begin()
        for run in range(2, 4):
            self.lab.restart_router()  # its table is empty then, for as long as we are not there
            # where its announcements got lost, the look of each minute finds out
            self.wait(lambda: self.made_anew(2 * run), 65)  # noqa: B023 - called before the next round
        self.assertEqual(sorted(self.table()), ["5000->192.168.77.2:5000", "8080->192.168.77.2:8080"])
        self.assertLess(self.end(daemon), ENDED_SECONDS)
        self.assertEqual(self.table(), [])

    def test_F02_it_restarts_and_nothing_is_announced(self) -> None:
        """Nor does the poll tell: it counts the uptime of its system. Only the look of each minute finds out."""
        daemon = self.begin("--poll", str(POLL_SECONDS))
        time.sleep(5 * RECHECK_SECONDS)  # what our own entries changed in the table is looked at once more
        self.lab.block_ssdp()
        self.lab.restart_router(port=int(self.lab.location().rpartition(":")[2].partition("/")[0]))
        self.assertEqual(self.table(), [])
        self.wait(lambda: len(self.table()) == 2, VERIFY_SECONDS + 5)
        self.end(daemon)

    def test_F02_F53_killed_where_nothing_is_announced_any_more(self) -> None:
        daemon = self.begin()
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(5)
        self.lab.block_ssdp()
        daemon = self.daemon("--map", "tcp:8080", "--poll", str(POLL))
        self.wait(lambda: len(self.logged("mapping tcp:8080:8080: active")) == 2, 60)
        self.wait(lambda: self.table() == ["8080->192.168.77.2:8080"], 60)
        self.end(daemon)
        self.assertEqual(self.table(), [])

    def test_F29_F38_the_address_changes_and_the_line_flaps(self) -> None:
        self.begin()
        self.lab.change_address("11.22.33.77")
        self.wait(lambda: self.logged(r"WAN changed: .* -> .*11\.22\.33\.77"), 60)
        before = len(self.logged("WAN changed:"))
        for _ in range(12):
            self.lab.drop_wan()
            self.lab.restore_wan()
        self.lab.drop_wan()
        self.wait(lambda: re.search(r"WAN changed: .* -> Disconnected[^\n]*\n?$", self.last_change()), 60)
        self.lab.restore_wan()
        self.wait(lambda: re.search(r"-> Connected, 11\.22\.33\.77", self.last_change()), 60)
        self.assertLessEqual(len(self.logged("WAN changed:")) - before, 10)
        self.assertEqual(len(self.table()), 2)
        self.clean()

    def last_change(self) -> str:
        changes = self.logged("WAN changed:.*")
        return changes[-1] if changes else ""

    def test_F34_somebody_deletes_our_entries(self) -> None:
        """Of flushed rules miniupnpd knows nothing: it lists what it remembers and renews without making a rule."""
        daemon = self.begin()
        self.lab.upnpc("-d", "8080", "TCP")
        self.wait(lambda: len(self.table()) == 2, VERIFY_SECONDS + 10)
        self.assertEqual(self.lab.router_rules().count("dnat "), 2)
        self.end(daemon)

    def test_F27_a_second_NAT(self) -> None:
        self.lab.change_address("10.1.2.3")
        self.daemon("--map", "tcp:8080", "--poll", str(POLL))
        self.wait(lambda: self.logged("mapping tcp:8080:8080: refused .*501"), 60)
        self.lab.change_address("11.22.33.44")
        self.wait(lambda: self.logged("mapping tcp:8080:8080: active"), 60)
        self.clean()


class TableTests(FaultCase):
    def test_F30_no_port_is_allowed_but_a_few(self) -> None:
        router = self.lab.routers["router"]
        arguments = router.arguments

        def narrow() -> list[str]:
            line = arguments()
            config = router.folder / f"{router.name}.conf"
            config.write_text(
                config.read_text().replace(
                    "allow 0-65535 0.0.0.0/0 0-65535", "allow 8080 0.0.0.0/0 1-65535\ndeny 0-65535 0.0.0.0/0 0-65535"
                )
            )
            return line

        router.arguments = narrow  # type: ignore[method-assign]
        self.lab.restart_router()
        self.daemon("--map", "tcp:8080", "--map", "tcp:8081", "--map", "udp:5000")
        self.wait(lambda: self.logged("mapping tcp:8080:8080: active"), 60)
        self.wait(lambda: len(self.logged(": refused")) == 2, 60)
        time.sleep(3)
        self.assertEqual(len(self.logged(": refused")), 2, "not tried again at once")
        self.assertEqual(self.table(), ["8080->192.168.77.2:8080"])
        self.clean()

    def test_F31_F36_a_flexible_port_and_the_neighbours(self) -> None:
        self.lab.add_foreign_mapping(8080)
        daemon = self.daemon("--map", "tcp:8080:any")
        self.wait(lambda: self.logged("active on external port"), 60)
        (port,) = self.logged(r"active on external port (\d+)")
        self.assertNotEqual(port, "8080")
        self.assertEqual(self.table(), [f"{port}->192.168.77.2:8080"])
        self.lab.echo(CLIENT, "TCP", 8080)
        self.assertEqual(self.lab.ask("TCP", "11.22.33.44", int(port)), b"echo:hello")
        self.end(daemon)
        self.assertIn("8080->192.168.77.3", self.lab.upnpc("-l"))

    def test_F32_an_old_entry_of_ours_with_another_target(self) -> None:
        """The daemon of yesterday had another address: its entries are on record, so they are replaced."""
        self.lab.restart_router(secure_mode=False)
        daemon = self.begin()
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(5)
        self.move(CLIENT_ADDRESS, "192.168.77.9")
        daemon = self.daemon("--map", "tcp:8080", "--map", "udp:5000")
        self.wait(lambda: len(self.logged("active on external port")) == 4, 60)
        self.assertEqual(sorted(self.table()), ["5000->192.168.77.9:5000", "8080->192.168.77.9:8080"])
        self.clean()


class LinkTests(FaultCase):
    """What happens to this host."""

    def test_F14_our_address_changes(self) -> None:
        self.lab.restart_router(secure_mode=False)
        daemon = self.begin()
        self.move(CLIENT_ADDRESS, "192.168.77.9")
        self.wait(
            lambda: sorted(self.table()) == ["5000->192.168.77.9:5000", "8080->192.168.77.9:8080"],
            LINK_POLL_SECONDS * 2 + 10,
        )
        self.lab.change_address("11.22.33.78")
        self.wait(lambda: self.logged(r"WAN changed: .* -> .*11\.22\.33\.78"), 60)
        self.end(daemon)
        self.assertEqual(self.table(), [])

    def test_F14_Q129_our_address_changes_and_the_router_keeps_what_the_former_one_made(self) -> None:
        """Secure mode: nobody but the former address may delete its entry, so its lease is waited for."""
        self.lab.restart_router()
        with self.log.open("ab") as out:
            program = self.lab.spawn(CLIENT, [sys.executable, "-m", "tests.lab.hold", "map:tcp:8080@40"], stdout=out)
        self.wait(lambda: self.logged('"state": "active"'), 60)
        self.move(CLIENT_ADDRESS, "192.168.77.9")
        self.wait(lambda: self.logged(f'"refused", "reason": "external port 8080 still leads to {CLIENT_ADDRESS}'), 60)
        self.wait(lambda: self.table() == ["8080->192.168.77.9:8080"], 60)
        self.wait(lambda: len(self.logged('"state": "active"')) == 2, 60)
        self.end(program)

    def test_F15_the_link_goes_down_and_comes_up(self) -> None:
        daemon = self.begin()
        self.lab.net.script(f"ip -n {CLIENT} link set lan down")
        self.wait(lambda: self.logged("link lan is gone"), LINK_POLL_SECONDS + 5)
        time.sleep(8)
        lines = len(self.log.read_text().splitlines())
        time.sleep(5)
        self.assertLessEqual(len(self.log.read_text().splitlines()) - lines, 3, "no storm of errors")
        self.lab.restart_router()  # what it had is gone as well
        self.lab.net.script(f"ip -n {CLIENT} link set lan up\nip -n {CLIENT} route replace default via {ROUTER}")
        self.wait(lambda: len(self.table()) == 2, 60)
        self.end(daemon)
        self.assertEqual(self.table(), [])

    def test_F16_F22_the_default_route_moves_to_another_router(self) -> None:
        self.lab.add_router("second")
        self.lab.nft(CLIENT, COUNT)
        daemon = self.begin()
        time.sleep(2)
        counted = self.lab.run(CLIENT, ["nft", "list", "table", "inet", "egress"]).stdout
        self.assertIn("packets 0", counted, "nothing was sent to a gateway that is not the default route")
        self.lab.net.script(f"ip -n {CLIENT} route replace default via 192.168.77.11")
        self.wait(lambda: self.lab.upnpc("-l", name="second").count("'txigd.") == 2, LINK_POLL_SECONDS + 20)
        self.wait(lambda: self.table() == [], 60)
        self.end(daemon)
        self.assertEqual(self.lab.upnpc("-l", name="second").count("'txigd."), 0)

    def test_F17_a_tunnel_comes_up_as_default_route(self) -> None:
        daemon = self.begin()
        self.lab.net.script(
            f"ip -n {CLIENT} tuntap add dev vpn0 mode tun\n"
            f"ip -n {CLIENT} addr add 10.99.0.2/32 peer 10.99.0.1 dev vpn0\n"
            f"ip -n {CLIENT} link set vpn0 up\n"
            f"ip -n {CLIENT} route add 0.0.0.0/1 dev vpn0\n"
            f"ip -n {CLIENT} route add 128.0.0.0/1 dev vpn0\n"
            f"ip -n {CLIENT} route replace default dev vpn0 metric 1"
        )
        time.sleep(LINK_POLL_SECONDS * 2 + 1)
        self.assertEqual(self.logged("is gone; still looking"), [])
        self.assertEqual(sorted(self.table()), ["5000->192.168.77.2:5000", "8080->192.168.77.2:8080"])
        self.lab.change_address("11.22.33.79")
        self.wait(lambda: self.logged(r"WAN changed: .* -> .*11\.22\.33\.79"), 60)
        self.end(daemon)
        self.assertEqual(self.table(), [])


class NetworkTests(FaultCase):
    def test_F40_connections_stay_half_open(self) -> None:
        daemon = self.begin()
        self.recovers(daemon, HALF_OPEN, "half_open", 26)
        self.end(daemon)

    def test_F44_every_connection_is_reset(self) -> None:
        daemon = self.begin()
        self.recovers(daemon, RESET, "reset_it", 8)
        self.end(daemon)

    def recovers(self, daemon, rules: str, name: str, seconds: float) -> None:
        """Nothing piles up meanwhile, and afterwards all is as it was."""
        before = self.descriptors(daemon)
        self.lab.nft(CLIENT, rules)
        most = before
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            most = max(most, self.descriptors(daemon))
            time.sleep(0.2)
        self.assertLessEqual(most, before + 12)
        self.lab.nft(CLIENT, f"delete table inet {name}")
        self.lab.change_address("11.22.33.80")
        self.wait(lambda: self.logged(r"11\.22\.33\.80"), 60)
        self.wait(lambda: len(self.table()) == 2, 60)
        self.wait(lambda: self.descriptors(daemon) <= before + 1, 60)
        self.clean()

    def descriptors(self, daemon) -> int:
        done = self.lab.run(CLIENT, ["sh", "-c", f"ls /proc/{daemon.pid}/fd | wc -l"])
        return int(done.stdout)

    def test_F46_thirty_percent_of_all_packets_are_lost(self) -> None:
        """The short form: found, mapped and kept for half a minute; the hour is bench/series/loss.py."""
        self.lab.nft(CLIENT, LOSS)
        daemon = self.daemon("--map", "tcp:8080", "--map", "udp:5000", "--poll", str(POLL))
        self.wait(lambda: len(self.logged("active on external port")) >= 2, 90)
        time.sleep(30)
        self.lab.nft(CLIENT, "delete table inet loss")
        self.assertEqual(len(self.table()), 2)
        self.end(daemon)

    def test_F56_multicast_is_dropped(self) -> None:
        self.lab.nft(CLIENT, NO_MULTICAST)
        daemon = self.begin()
        self.end(daemon)
        self.assertEqual(self.table(), [])

    def test_F58_D2_its_ports_are_taken(self) -> None:
        script = (
            "import socket, sys, time; u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 1900));"
            "t = socket.create_server(('', 45678)); print('taken', flush=True); time.sleep(60)"
        )
        thief = self.lab.spawn(CLIENT, [sys.executable, "-ISc", script], stdout=subprocess.PIPE)
        assert thief.stdout is not None
        self.assertEqual(thief.stdout.readline(), b"taken\n")
        daemon = self.begin("--callback-port", "45678")
        self.wait(lambda: self.logged("45678.*taken"), 60)
        self.assertTrue(self.logged("1900"))
        self.lab.change_address("11.22.33.81")
        self.wait(lambda: self.logged(r"WAN changed: .* -> .*11\.22\.33\.81"), 60)
        self.end(daemon)


class PrivilegeTests(FaultCase):
    def test_D4_without_any_privilege(self) -> None:
        """All capabilities dropped for good, as the unit of a careful administrator would."""
        without = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "igd"]
        with self.log.open("ab") as out:
            daemon = self.lab.spawn(CLIENT, [*without, *twistd, "--map", "tcp:8080", "--poll", str(POLL)], stdout=out)
        self.wait(lambda: self.logged("active on external port 8080"), 60)
        status = self.lab.run(CLIENT, ["cat", f"/proc/{daemon.pid}/status"]).stdout
        self.assertRegex(status, r"CapEff:\s+0000000000000000")
        self.lab.change_address("11.22.33.82")
        self.wait(lambda: self.logged(r"WAN changed: .* -> .*11\.22\.33\.82"), 60)
        self.lab.restart_router()
        self.wait(lambda: len(self.table()) == 1, 60)
        self.end(daemon)
        self.assertEqual(self.table(), [])
