"""The ``txigd`` command as a person and as a program meets it: real processes, against a simulated gateway."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
import time
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.child import ALONE, NO_NETWORK, ROOT, TXIGD, Child, namespace_or_skip, own_loopback, reactor
from txigd.cli import arguments, commands, next_steps, report, simulation
from txigd.errors import AddressingError, ConnectFailed, ExchangeTimeout, HTTPStatusError, MappingConflict
from txigd.testing import WAN_ADDRESS, SimulatedGateway
from txigd.upnp.addressing import Link


class UsageTests(SynchronousTestCase):
    """What may not be written: one line that says what and how to mend it, status 2."""

    def refused(self, *argv: str) -> str:
        written: list[str] = []
        self.patch(sys, "stderr", _Writer(written))
        with self.assertRaises(SystemExit) as caught:
            arguments.parse(argv)
        self.assertEqual(caught.exception.code, 2)
        line = "".join(written)
        self.assertEqual(line.count("\n"), 1, line)
        self.assertIn("--help", line)
        return line

    def test_every_usage_error_names_what_is_wrong(self):
        table: list[tuple[str, str]] = [
            ("", "txigd discover"),
            ("bogus", "no such command: 'bogus' (choose from"),
            ("--bogus", "--bogus"),
            ("status --bogus", "--bogus"),
            ("map", "PROTOCOL:INTERNAL[:EXTERNAL]"),
            ("map 8080", "'8080' is no mapping: write PROTOCOL:INTERNAL[:EXTERNAL], for example tcp:8080"),
            ("map tcp:0", "'tcp:0': internal port 0: ports go from 1 to 65535"),
            ("map tcp:70000", "internal port 70000: ports go from 1 to 65535"),
            ("map tcp:80:0", "external port 0: ports go from 1 to 65535"),
            ("map tcp:80:70000", "external port 70000"),
            ("map tcp:-1", "internal port '-1'"),
            ("map tcp:http", "internal port 'http'"),
            ("map sctp:80", "protocol 'sctp': a gateway maps TCP or UDP"),
            ("map tcp:80:81:82", "is no mapping"),
            (
                "map tcp:80 tcp:81:80",
                "txigd map: tcp:81:80: external port 80 is already wanted for tcp:80:80; choose another EXTERNAL (see",
            ),
            ("map tcp:80:any tcp:80", "external port 80 is already wanted for tcp:80:80"),
            ("map tcp:80 --lease x", "--lease: 'x': write seconds"),
            ("map tcp:80 --lease -5", "--lease"),
            ("map tcp:80 --lease 604801", "604800 (a week)"),
            ("unmap tcp", "'tcp' is no mapping: write PROTOCOL:EXTERNAL"),
            ("unmap tcp:0", "port 0: ports go from 1 to 65535"),
            ("unmap tcp:70000", "'tcp:70000': port 70000"),
            ("unmap sctp:1", "TCP or UDP"),
            ("status --timeout 0", "--timeout: '0': write a number of seconds above 0"),
            ("status --timeout soon", "'soon'"),
            ("status --timeout nan", "'nan'"),
            ("status --link", "--link"),
            ("watch --for -1", "--for: '-1'"),
            ("watch --poll 0", "--poll: '0': write a number of seconds from 1 to 86400"),
            ("watch --poll 0.001", "--poll: '0.001'"),
            ("watch --poll 86401", "--poll: '86401'"),
            ("watch --poll nan", "--poll: 'nan'"),
            ("simulate --port 70000", "--port: '70000': ports go from 1 to 65535"),
            ("simulate --igd 3", "--igd"),
            ("simulate --medium smoke", "--medium"),
            ("simulate --external-ip router", "write an IPv4 address"),
            ("status --time 3", "--time"),
        ]
        for words, said in table:
            with self.subTest(words):
                self.assertIn(said, self.refused(*words.split()))

    def test_what_is_wrong_stays_on_one_line(self):
        self.assertNotIn("\x1b", self.refused("status", "a\nb\x1b[2J"))
        self.refused("map", "tcp:1\n2")

    def test_defaults(self):
        self.assertEqual(arguments.parse(["discover"]).timeout, 3)
        self.assertEqual(arguments.parse(["status"]).timeout, 5, "discover's default is its own")
        options = arguments.parse(["map", "tcp:80", "UDP:5000:any", "--lease", "0"])
        self.assertEqual([str(wanted) for wanted in options.mappings], ["tcp:80:80", "udp:5000:5000"])
        self.assertEqual([wanted.any_port for wanted in options.mappings], [False, True])
        self.assertEqual(options.lease, 0)
        self.assertEqual(len(arguments.parse(["map", "tcp:80", "udp:80", "tcp:80"]).mappings), 3, "no clash")
        self.assertEqual(arguments.parse(["unmap", "tcp:80:81"]).ports[0].wanted_port, 81)

    def test_every_command_of_the_parser_exists(self):
        (words,) = [action.choices for action in arguments.parser()._actions if action.choices]
        self.assertEqual(set(words), set(commands.COMMANDS))


class _Writer:
    def __init__(self, written: list[str]) -> None:
        self.write = written.append

    def flush(self) -> None:
        """Nothing is kept."""


class HelpTests(SynchronousTestCase):
    def python(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def test_help_and_usage_errors_load_no_twisted(self):
        code = (
            "import sys\nfrom txigd.cli.main import run\n"
            "try: run(sys.argv[1:])\nexcept SystemExit as end: status = end.code\n"
            "loaded = {name.partition('.')[0] for name in sys.modules} & {'twisted', 'treq', 'lxml', 'zope'}\n"
            "print('loaded', sorted(loaded), 'status', status)"
        )
        for words, status in (["--help"], 0), (["map", "--help"], 0), (["--version"], 0), (["map", "tcp:0"], 2):
            with self.subTest(" ".join(words)):
                self.assertIn(f"loaded [] status {status}", self.python(code, *words).stdout)

    def test_help_of_every_command(self):
        top = self.python("from txigd.cli.main import script; script()", "--help").stdout
        for name in commands.COMMANDS:
            with self.subTest(name):
                self.assertIn(f"\n    {name} ", top)
                said = self.python("from txigd.cli.main import script; script()", name, "--help")
                self.assertEqual((said.returncode, said.stderr), (0, ""))
                self.assertIn(f"usage: txigd {name}", said.stdout)
                self.assertIn("--verbose", said.stdout)
        self.assertIn("Exit status", top)


class ReportTests(SynchronousTestCase):
    def test_B11_text_of_a_gateway_cannot_draw_on_the_terminal(self):
        self.assertEqual(report.printable("a\x1b[31m\nb\u202e"), "a?[31m?b?")
        self.assertEqual(len(report.printable("x" * 1000)), 120)

    def test_F58_what_does_not_work_is_told_once(self):
        written: list[str] = []
        self.patch(sys, "stderr", _Writer(written))
        tell = report.ProblemTeller(report.Report("txigd watch"))
        source = Logger(namespace="txigd.discovery", observer=tell)
        for _ in range(2):
            source.warn("{problem}", problem="eth0: another program holds UDP port 1900\x1b")
            source.info("{problem}", problem="nothing")
            source.warn("events of {service!r}", service="WANIPConnection")
        self.assertEqual("".join(written), "txigd watch: eth0: another program holds UDP port 1900?\n")

    def test_next_steps(self):
        self.assertIn("--gateway", next_steps.after_no_gateway(None))
        self.assertIn("--gateway URL", next_steps.after_no_gateway("192.168.1.1"))
        self.assertIn("--link", next_steps.after_no_gateway("127.0.0.1", reason=AddressingError()))
        self.assertIn("txigd discover", next_steps.after_no_gateway("http://192.168.1.1/x.xml"))
        self.assertIn("'any'", next_steps.after(MappingConflict("taken.")))
        self.assertEqual(
            next_steps.after(HTTPStatusError(404), url="http://192.168.1.1/x.xml").partition(";")[0],
            "http://192.168.1.1/x.xml: HTTP status 404",
        )
        for error, said in (
            (HTTPStatusError(404), "http://192.168.1.1/x.xml: HTTP status 404"),
            (ConnectFailed("no."), "http://192.168.1.1/x.xml: no; 'txigd describe URL' shows where it says that it "),
            (ExchangeTimeout("late"), "http://192.168.1.1/x.xml: late; try --timeout 60"),
        ):
            told = next_steps.after(error, url="http://192.168.1.1/x.xml", described=True)
            self.assertTrue(told.startswith(said) and "is this the URL" not in told, told)


class CommandTests(TestCase):
    """Each command, run to its end against a gateway of the test's own."""

    timeout = 180

    async def gateway(self, **options: Any) -> SimulatedGateway:
        gateway = SimulatedGateway(reactor, **{"address": own_loopback(), "relay": False, "ssdp": False, **options})
        await gateway.start()
        self.addCleanup(gateway.stop)
        self.router = gateway
        return gateway

    def start(self, *words: str, named: bool = True) -> Child:
        where = ["--link", "lo", *(["--gateway", self.router.location] if named else [])]
        return Child(self, [*TXIGD, words[0], *where, *words[1:]])

    async def txigd(self, *words: str, status: int = 0, named: bool = True) -> str:
        child = self.start(*words, named=named)
        self.assertEqual(await child.end(), status, child.out + child.err)
        self.assertNotIn("Traceback", child.err)
        if status:
            self.assertEqual(child.err.count("\n"), 1, child.err)
            self.assertEqual(child.err.partition(":")[0], f"txigd {words[0]}")
            return child.err
        self.assertEqual(child.err, "")
        return child.out

    async def test_discover_finds_by_multicast(self):
        router = await self.gateway(ssdp=True, friendly_name="Box\x07 of \u202e mine")
        rows = json.loads(await self.txigd("discover", "--json", named=False))
        (row,) = [row for row in rows if row["udn"] == router.udn]
        self.assertEqual(row["location"], router.location)
        self.assertEqual((row["external_ip"], row["connected"], row["class"]), ("11.22.33.44", True, "public"))
        text = await self.txigd("discover", named=False)
        self.assertRegex(text, r"^ADDRESS +NAME +EXTERNAL +STATUS +DEFAULT ROUTE +LOCATION\n")
        self.assertRegex(text, rf"{router.address} .* 11\.22\.33\.44 +Connected +no +{router.location}\n")

    async def test_status(self):
        router = await self.gateway()
        told = json.loads(await self.txigd("status", "--json"))
        self.assertEqual(
            (told["udn"], told["address"], told["local_address"]), (router.udn, router.address, "127.0.0.1")
        )
        self.assertIn("WANIPConnection:2", [service["service"] for service in told["services"]])
        text = await self.txigd("status")
        self.assertIn("WANIPConnection:2: Connected\n", text)
        self.assertIn("11.22.33.44 (public)\n", text)
        self.assertIn("WANCommonInterfaceConfig:1\n", text, "no service is cut off")

    async def test_status_warns_of_a_second_NAT(self):
        await self.gateway(external_ip="100.64.1.1")
        self.assertIn("behind another NAT", await self.txigd("status"))

    async def test_ip(self):
        router = await self.gateway()
        self.assertEqual(await self.txigd("ip"), "11.22.33.44\n")
        self.assertEqual(
            json.loads(await self.txigd("ip", "--json")), {"external_ip": "11.22.33.44", "class": "public"}
        )
        router.drop_wan()
        self.assertIn("no external address now: Disconnected", await self.txigd("ip", status=1))

    async def test_map_list_unmap(self):
        router = await self.gateway()
        self.assertEqual(await self.txigd("list", "--json"), "[]\n")
        text = await self.txigd("map", "tcp:8080", "udp:5000:15000", "--name", "web", "--lease", "600")
        lasts = r"for (600|5\d\d) s\n"  # what the gateway says is left of it
        self.assertRegex(text, rf"\A11\.22\.33\.44:8080 -> 127\.0\.0\.1:8080 TCP, {lasts}")
        self.assertRegex(text, rf"\n11\.22\.33\.44:15000 -> 127\.0\.0\.1:5000 UDP, {lasts}\Z")
        listed = json.loads(await self.txigd("list", "--json"))
        self.assertEqual(
            [(e["protocol"], e["external_port"], e["internal_client"], e["internal_port"]) for e in listed],
            [("TCP", 8080, "127.0.0.1", 8080), ("UDP", 15000, "127.0.0.1", 5000)],
        )
        self.assertTrue(all(e["description"].endswith(".web") for e in listed))
        text = await self.txigd("list")
        self.assertRegex(text, r"TCP +8080 +127\.0\.0\.1:8080 +\* +\d+ +txigd\.[0-9a-f]{8}\.web\n")
        self.assertEqual(await self.txigd("unmap", "tcp:8080", "udp:15000"), "deleted tcp:8080\ndeleted udp:15000\n")
        self.assertEqual(len(router.mappings), 0)

    async def test_map_tells_programs_all_of_it(self):
        await self.gateway()
        made = json.loads(await self.txigd("map", "tcp:8080", "--json"))
        self.assertIn(made.pop("lease_seconds"), range(3500, 3601), "what the gateway says is left of it")
        self.assertEqual(
            made,
            {
                "mapping": "tcp:8080:8080",
                "external_ip": "11.22.33.44",
                "state": "active",
                "external_port": 8080,
                "reason": "",
            },
        )

    async def test_F31_another_hosts_mapping_stays(self):
        router = await self.gateway()
        router.add_foreign_mapping("TCP", 8080)
        self.assertIn("192.0.2.99", await self.txigd("map", "tcp:8080", status=1))
        line = await self.txigd("unmap", "tcp:8080", status=1)
        self.assertIn("leads to 192.0.2.99:8080 ('foreign'), not to a mapping made here; add --force", line)
        self.assertIsNotNone(router.mappings.find("TCP", 8080))
        self.assertRegex(await self.txigd("map", "tcp:8080:any"), r"11\.22\.33\.44:(?!8080)\d+ -> 127\.0\.0\.1:8080")

    async def test_unmap_of_nothing(self):
        await self.gateway()
        self.assertIn("no mapping tcp:9; 'txigd list' shows", await self.txigd("unmap", "tcp:9", status=1))

    async def test_Q132_unmap_leaves_another_program_of_this_host_alone(self):
        router = await self.gateway()
        router.add_foreign_mapping("TCP", 8080, internal_client="127.0.0.1", description="BitComet")
        self.assertIn("('BitComet'), not to a mapping made here", await self.txigd("unmap", "tcp:8080", status=1))
        self.assertEqual(len(router.mappings), 1)
        await self.txigd("unmap", "tcp:8080", "--force")
        self.assertEqual(len(router.mappings), 0)

    async def test_one_refusal_does_not_hide_what_was_made(self):
        router = await self.gateway()
        router.add_foreign_mapping("TCP", 8080)
        child = self.start("map", "tcp:8080", "tcp:8081")
        self.assertEqual(await child.end(), 1)
        self.assertIn("11.22.33.44:8081 -> ", child.out)
        self.assertEqual(child.err.count("\n"), 1)

    async def test_a_refused_action_is_told_with_its_error(self):
        router = await self.gateway()
        router.set_fault("AddPortMapping", 401)
        router.set_fault("AddAnyPortMapping", 401)
        self.assertIn("tcp:8080", await self.txigd("map", "tcp:8080", status=1))

    async def test_a_gateway_that_hangs_is_given_up_in_time(self):
        router = await self.gateway()
        for name in ("AddPortMapping", "AddAnyPortMapping"):
            router.set_fault(name, "hang")
        self.assertIn("tcp:8080", await self.txigd("map", "tcp:8080", status=1))
        for name in ("GetStatusInfo", "GetExternalIPAddress"):
            router.set_fault(name, "hang")
        began = time.monotonic()
        self.assertIn("did not answer in 2 s", await self.txigd("ip", "--timeout", "2", status=1))
        self.assertLess(time.monotonic() - began, 10)

    async def test_map_hold_ends_clean_on_an_interrupt(self):
        for name in ("INT", "TERM"):
            router = await self.gateway()
            child = self.start("map", "tcp:8080", "--hold")
            await child.says("11.22.33.44:8080 -> ")
            self.assertEqual(len(router.mappings), 1)
            self.assertTrue(router.subscribers)
            child.signal(name)
            self.assertEqual(await child.end(10), 0, child.err)
            self.assertIn("released", child.out)
            self.assertEqual((len(router.mappings), router.subscribers, child.err), (0, (), ""))

    async def test_a_second_interrupt_changes_nothing(self):
        router = await self.gateway()
        router.set_fault("UNSUBSCRIBE", "hang")  # makes the farewell last
        child = self.start("map", "tcp:8080", "--hold")
        await child.says("11.22.33.44:8080 -> ")
        child.signal("TERM")
        await child.says("released")
        child.signal("TERM")
        child.signal("INT")
        self.assertEqual(await child.end(10), 0, child.err)
        self.assertEqual((len(router.mappings), child.err), (0, ""))

    async def test_watch_tells_changes_as_lines_of_JSON(self):
        router = await self.gateway()
        child = self.start("watch", "--json", "--poll", "2")
        await child.says('"what": "gateway"')
        router.drop_wan()
        await child.says('"connection_status": "Disconnected"')
        router.restore_wan()
        await child.says('(?s)"Disconnected".*"new": {"connection_status": "Connected", "external_ip": "11')
        router.change_address("11.22.33.50")
        await child.says("11.22.33.50")
        child.signal("TERM")
        self.assertEqual(await child.end(10), 0, child.err)
        lines = [json.loads(line) for line in child.out.splitlines()]
        self.assertEqual([line["what"] for line in lines], ["gateway"] + ["wan"] * (len(lines) - 1))
        self.assertEqual((lines[0]["name"], lines[0]["location"]), ("Simulated gateway", router.location))
        (last,) = [line for line in lines[1:] if line["new"]["external_ip"] == "11.22.33.50"]
        self.assertEqual(last["old"]["external_ip"], "11.22.33.44")
        self.assertIn(last["new"]["learned"], ("event", "poll"))
        self.assertRegex(last["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$")
        self.assertEqual(router.subscribers, (), "the subscriptions are cancelled")

    async def test_watch_ends_on_an_interrupt_and_after_its_time(self):
        await self.gateway()
        child = self.start("watch")
        await child.says("gateway: Simulated gateway at ")
        child.signal("INT")
        self.assertEqual(await child.end(10), 0)
        self.assertEqual(child.err, "")
        self.assertIn("Connected, 11.22.33.44 (public)", await self.txigd("watch", "--for", "1.5"))

    async def test_nobody_reads_on(self):
        router = await self.gateway()
        child = self.start("watch", "--poll", "1")
        await child.says("gateway: ")
        child.close_output()
        router.drop_wan()
        self.assertEqual(await child.end(10), 0)
        self.assertEqual(child.err, "")

    async def test_F03_watch_tells_that_the_gateway_went_and_came_back(self):
        await self.gateway()
        child = self.start("watch", "--poll", "1")
        await child.says("gateway: Simulated gateway")
        await self.router.reboot(seconds=3)
        await child.says(r"  wan: Connected, \S+ \(public\) -> gateway does not answer \[")
        await child.says(r"does not answer [^\n]*\n(?s:.*)(-> |: )Connected, 11\.22\.33\.44 \(public\)", 30)
        self.assertIsNone(child.status, "it goes on")
        child.signal("INT")
        self.assertEqual((await child.end(5), child.err), (0, ""))

    async def test_what_is_no_gateway_is_told(self):
        await self.gateway()
        for location, status, said in (
            ("http://127.0.0.1:1/x.xml", 1, "did not answer in 3 s: Connection refused; 'txigd discover' shows"),
            ("router", 2, "gateway: no URL with an address in it: 'router'; write its address (192.168.1.1) or http"),
            (
                "127.0.0.1:80",
                2,
                "no URL with an address in it: '127.0.0.1:80'; write its address (192.168.1.1) or http",
            ),
            ("ftp://127.0.0.1/", 2, "'ftp://127.0.0.1/': scheme 'ftp' instead of http; write its address"),
            ("192.0.2.1", 1, "no link in use leads there; name that link with --link, or the URL of its description"),
            (
                self.router.location.replace("rootDesc.xml", "nothing"),
                1,
                "answers with no description: HTTP status 404",
            ),
        ):
            with self.subTest(location):
                child = Child(self, [*TXIGD, "status", "--link", "lo", "--timeout", "3", "--gateway", location])
                self.assertEqual(await child.end(), status, child.err)
                self.assertIn(said, child.err)
                self.assertEqual((child.err.count("\n"), child.err.count(location) < 2), (1, True), child.err)
                self.assertNotRegex(child.err, r"[.:;][.:;]")

    async def test_a_link_that_does_not_exist(self):
        for command in ("status", "simulate", "discover", "watch"):
            with self.subTest(command):
                child = Child(self, [*TXIGD, command, "--link", "nope"])
                self.assertEqual(await child.end(), 2)
                self.assertRegex(child.err, r"^txigd \w+: no such link: nope; this host has: .*lo.*\n$")

    async def test_nothing_answers(self):
        namespace_or_skip()
        child = Child(self, [*ALONE, *TXIGD, "status", "--link", "lo", "--timeout", "1"])
        self.assertEqual(await child.end(), 1)
        self.assertRegex(
            child.err, r"^txigd status: no gateway answered on lo in 1 s; try --timeout 15, or --gateway .*\n$"
        )

    async def test_no_network_at_all(self):
        namespace_or_skip()
        child = Child(self, [*NO_NETWORK, *TXIGD, "ip", "--timeout", "1"])
        self.assertEqual(await child.end(), 1)
        self.assertRegex(child.err, r"no network.*; connect it")
        self.assertEqual(child.err.count("\n"), 1)


class SimulateTests(TestCase):
    """``txigd simulate``, alone."""

    timeout = 180

    async def test_it_says_where_it_is_and_ends_clean(self):
        for name in ("INT", "TERM"):
            child = Child(self, [*TXIGD, "simulate", "--external-ip", "11.22.33.99", "--json"])
            await child.says("\n")
            told = json.loads(child.out)
            self.assertEqual(told["wan_address"], WAN_ADDRESS)
            asked = Child(self, [*TXIGD, "ip", "--link", "lo", "--gateway", told["location"]])
            self.assertEqual(await asked.end(), 0, asked.err)
            self.assertEqual(asked.out, "11.22.33.99\n")
            child.signal(name)
            self.assertEqual(await child.end(5), 0)
            self.assertEqual(child.err, "")

    async def test_like_a_model_with_a_quirk_more(self):
        child = Child(self, [*TXIGD, "simulate", "--profile", "wrt54g", "--quirk", "Q117", "--json"])
        await child.says("\n")
        location = json.loads(child.out)["location"]
        asked = Child(self, [*TXIGD, "status", "--link", "lo", "--gateway", location, "--json"])
        self.assertEqual(await asked.end(), 0, asked.err)
        self.assertEqual(json.loads(asked.out)["model"], "Linksys Inc. WRT54G v2.02.2")
        child.signal("INT")
        self.assertEqual(await child.end(5), 0)

    async def test_a_line_of_another_medium_and_a_lan(self):
        child = Child(self, [*TXIGD, "simulate", "--medium", "DSL", "--lan-device", "--json"])
        await child.says("\n")
        location = json.loads(child.out)["location"]
        for service, action, words in (
            ("WANDSLLinkConfig", "SetDestinationAddress", ["NewDestinationAddress=PVC: 1/32"]),
            ("WANDSLLinkConfig", "GetDestinationAddress", []),
            ("LANHostConfigManagement", "GetDomainName", []),
        ):
            asked = Child(self, [*TXIGD, "call", location, service, action, *words])
            self.assertEqual(await asked.end(), 0, asked.err)
            self.assertIn(
                {"GetDestinationAddress": "PVC: 1/32", "GetDomainName": "home.arpa"}.get(action, ""), asked.out
            )
        child.signal("INT")
        self.assertEqual(await child.end(5), 0)

    async def test_models_and_quirks(self):
        for options, words in {
            ("--list",): ("wrt54g ", "Q016 ", "Q008 ", "Q013 ", "Q184 ", "Q193 "),
            ("--profile", "wrt45g"): ("no profile 'wrt45g'", "--list"),
            ("--quirk", "Q01x"): ("no quirk 'Q01x'", "Q010"),
            ("--quirk", "Q117", "--quirk", "Q118"): ("Q117 and Q118 contradict each other",),
        }.items():
            child = Child(self, [*TXIGD, "simulate", *options])
            self.assertEqual(await child.end(), 0 if options == ("--list",) else 2)
            for word in words:
                self.assertIn(word, child.out + child.err)

    async def test_a_quirk_in_small_letters(self):
        for quirk, status, said in (
            ("q046B", 0, ""),
            ("q141", 2, "quirk Q141 cannot be played: the address that changes is"),
        ):
            child = Child(self, [*TXIGD, "simulate", "--quirk", quirk, "--for", "0.1"])
            self.assertEqual(await child.end(), status, child.err)
            self.assertIn(said, child.err)

    async def test_a_quirk_that_cannot_show_is_said(self):
        both = "an IPv6 address (--address6) and a --link that carries IPv6 multicast"
        for words, said in (
            (("Q008",), [f"Q008 does not show: it takes {both}"]),
            (("q013", "--address6", "::1"), ["Q013 does not show: it takes a --link that carries IPv6 multicast"]),
            (
                ("Q193", "--quirk", "Q194", "--quirk", "Q117"),
                [f"{one} does not show: it takes an IPv6 address (--address6)" for one in ("Q193", "Q194")],
            ),
            (("Q193", "--address6", "::1"), []),
        ):
            child = Child(self, [*TXIGD, "simulate", "--for", "0.1", "--quirk", *words])
            self.assertEqual(await child.end(), 0, child.err)
            self.assertEqual(child.err.splitlines(), [f"txigd simulate: {one}" for one in said])
        link = Link("eth0", 2)
        self.assertEqual(list(simulation._unseen(["Q013"], ipaddress.IPv6Address("fe80::1"), link)), [])

    async def test_a_wan_address_that_is_not_ours(self):
        for address, here in ("224.0.0.1", False), ("255.255.255.255", False), ("127.0.0.3", True):
            self.assertIs(simulation._is_here(address), here, address)
        for address, status in ("8.8.8.8", 2), ("127.0.0.3", 0):
            child = Child(self, [*TXIGD, "simulate", "--wan-address", address, "--for", "0.1"])
            self.assertEqual(await child.end(), status, child.err)
            self.assertEqual(status != 0, f"--wan-address {address} is no address of this host" in child.err, child.err)

    async def test_at_addresses_of_both_families(self):
        child = Child(self, [*TXIGD, "simulate", "--address6", "::1", "--for", "0.1", "--json"])
        self.assertEqual(await child.end(), 0, child.err)
        told = json.loads(child.out)
        port = told["location"].rpartition(":")[2]
        self.assertEqual((told["location6"], told["problems"]), (f"http://[::1]:{port}", []))

    async def test_an_address_that_is_not_ours(self):
        child = Child(self, [*TXIGD, "simulate", "--address6", "2001:db8::99"])
        self.assertEqual(await child.end(), 1)
        self.assertRegex(child.err, r"^txigd simulate: --address6 2001:db8::99 cannot be used: .+\n$")

    @inlineCallbacks
    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            child = Child(self, [*TXIGD, "simulate", "--port", str(taken.getsockname()[1])])
            status = yield child.end()
        self.assertEqual(status, 1)
        self.assertRegex(child.err, r"^txigd simulate: port \d+ of 127\.0\.0\.1 cannot be used; leave out --port.*\n$")
