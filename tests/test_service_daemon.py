"""``twistd igd``: what the options do, as a service in this process and as the real program."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.child import ALONE, NO_NETWORK, TWISTD, Child, namespace_or_skip, own_loopback, reactor
from tests.pauses import ENDED_SECONDS, rest
from txigd.service import Options, makeService
from txigd.service.daemon import Daemon
from txigd.testing import WAN_ADDRESS, SimulatedGateway


class PluginTests(SynchronousTestCase):
    def test_the_plugin_is_found_and_makes_our_service(self):
        plugin: Any
        (plugin,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "igd"]
        self.assertEqual((plugin.module, plugin.name), ("txigd.service", "txigd"))
        options = plugin.options()
        self.assertIsInstance(options, Options)
        options.parseOptions([])
        for number in (signal.SIGINT, signal.SIGTERM):  # the reactor of the tests runs already
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        service = makeService(options)
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(service.running, "nothing is opened yet")


class OptionsToBehaviourTests(TestCase):
    """The service in this process, on a gateway of the test's own."""

    timeout = 180

    async def start(self, *words: str, **gateway: Any) -> Daemon:
        self.router = SimulatedGateway(reactor, **{"address": own_loopback(), "relay": False, "ssdp": False, **gateway})
        await self.router.start()
        self.addCleanup(self.router.stop)
        options = Options()
        options.parseOptions(["--link", "lo", "--gateway", self.router.location, "--state", self.mktemp(), *words])
        daemon = Daemon(reactor, options)
        daemon.startService()
        self.addCleanup(lambda: daemon.stopService() if daemon.running else None)
        return daemon

    def written(self, name: str, text: str) -> str:
        Path(name).write_text(text, encoding="ascii")
        return name

    async def until(self, holds: Any, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not come")
            await deferLater(reactor, 0.02)

    async def test_links_and_gateway(self):
        daemon = await self.start()
        point = daemon.control_point
        assert point is not None
        self.assertEqual([link.name for link in point.links], ["lo"])
        gateway = await point.gateway()
        self.assertEqual(gateway.location, self.router.location)

    async def test_mappings_are_held_and_deleted_at_the_end(self):
        daemon = await self.start("--map", "tcp:8080", "--map", "udp:5000:15000")
        await self.until(lambda: len(self.router.mappings) == 2)
        entry = self.router.mappings.find("UDP", 15000)
        assert entry is not None
        self.assertEqual((entry.internal_client, entry.internal_port), ("127.0.0.1", 5000))
        began = time.monotonic()
        await daemon.stopService()
        self.assertLess(time.monotonic() - began, ENDED_SECONDS)
        self.assertEqual((len(self.router.mappings), self.router.subscribers), (0, ()))

    async def test_F16_pinholes_are_wanted_of_whichever_gateway_is_in_use(self):
        daemon = await self.start("--pinhole", "tcp:8080", "--pinhole", "udp:5000")
        point = daemon.control_point
        assert point is not None
        gateway = await point.gateway()
        self.assertEqual([str(held.wanted) for held in point.pinholes], ["tcp6:8080", "udp6:5000"])
        self.assertEqual(len(gateway.pinholes), 0)

    async def test_F54_a_reload_deletes_what_is_no_longer_wanted_and_touches_nothing_else(self):
        file = self.written(self.mktemp(), "tcp:8080\ntcp:8081\n")
        daemon = await self.start("--map", "tcp:9090", "--map-file", file)
        await self.until(lambda: len(self.router.mappings) == 3)
        stays = self.router.mappings.find("TCP", 8081)
        self.written(file, "tcp:8081\ntcp:8082\n")
        daemon.reload()
        await self.until(lambda: {entry.external_port for entry in self.router.mappings} == {8081, 8082, 9090})
        self.assertIs(self.router.mappings.find("TCP", 8081), stays)
        self.written(file, "junk\n")
        daemon.reload()
        await rest(reactor, 0.2)
        self.assertEqual(len(self.router.mappings), 3, "a file with a mistake changes nothing")

    async def test_F54_a_reload_exchanges_all_of_them_or_none(self):
        file = self.written(self.mktemp(), "".join(f"tcp:{port}\n" for port in range(8000, 8016)))
        daemon = await self.start("--map-file", file)
        await self.until(lambda: len(self.router.mappings) == 16)
        point = daemon.control_point
        assert point is not None
        told: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            told.extend(word for word in [event.get("problem")] if event["log_namespace"] == "txigd.daemon" and word)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.written(file, "".join(f"tcp:{port}\n" for port in range(9000, 9016)))
        daemon.reload()
        self.written(file, "".join(f"tcp:{port}\n" for port in range(7000, 7016)))
        daemon.reload()  # while the first sixteen are leaving yet
        self.assertEqual(len(told), 1)
        await self.until(lambda: {entry.external_port for entry in self.router.mappings} == {*range(9000, 9016)})
        await self.until(lambda: len(point.mappings) == 16)
        daemon.reload()
        await self.until(lambda: {entry.external_port for entry in self.router.mappings} == {*range(7000, 7016)})
        self.assertEqual(len(told), 1)

    async def test_poll_finds_what_is_never_evented(self):
        daemon = await self.start("--poll", "1", silent_drops=True)
        point = daemon.control_point
        assert point is not None
        gateway = await point.gateway()
        self.router.drop_wan()
        status = await gateway.wan.when(lambda status: not status.connected)
        self.assertEqual(status.connection_status, "Disconnected")

    async def test_callback_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        await self.start("--callback-port", str(port))
        await self.until(lambda: self.router.subscribers)
        self.assertEqual({url.port for one in self.router.subscribers for url in one.callbacks}, {port})

    async def test_a_stop_before_any_gateway_was_found(self):
        daemon = await self.start("--map", "tcp:8080")
        await daemon.stopService()
        self.assertEqual(len(self.router.mappings), 0)


class TwistdTests(TestCase):
    """The real program."""

    timeout = 180

    def twistd(self, *words: str, before: tuple[str, ...] = ()) -> Child:
        """Started with a state file of its own: another daemon may run on this host."""
        return Child(self, [*before, *TWISTD, "--state", self.state_file(), *words])

    def state_file(self) -> str:
        return str(Path(self.mktemp()).absolute())

    async def test_simulate(self):
        """A mapping active, bytes through it, and a clean end."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            port = server.getsockname()[1]
            daemon = self.twistd("--simulate", "--map", f"tcp:{port}")
            await daemon.says(rf"mapping tcp:{port}:{port}: active on external port {port}")
            self.assertRegex(daemon.out, r"txigd\.daemon#info\] simulated gateway at http://127\.0\.0\.1:\d+/")
            self.assertRegex(daemon.out, r"gateway 'Simulated gateway' at \S+: Connected, 11\.22\.33\.44 \(public\)")
            with socket.create_connection((WAN_ADDRESS, port), timeout=5) as outside:
                outside.sendall(b"through the mapping")
                server.settimeout(5)
                inside, _ = server.accept()
                with inside:
                    inside.settimeout(5)
                    self.assertEqual(inside.recv(100), b"through the mapping")
        began = time.monotonic()
        daemon.signal("TERM")
        self.assertEqual(await daemon.end(), 0)
        self.assertLess(time.monotonic() - began, ENDED_SECONDS)
        self.assertIn(f"mapping tcp:{port}:{port}: released", daemon.out)
        self.assertRegex(daemon.out, r"txigd\.daemon#info\] stopped\n")
        self.assertNotIn("Traceback", daemon.out + daemon.err)
        self.assertNotIn("Unhandled", daemon.out + daemon.err)

    async def test_every_change_of_state_is_a_line(self):
        router = SimulatedGateway(reactor, address=own_loopback(), relay=False, ssdp=False)
        await router.start()
        self.addCleanup(router.stop)
        daemon = self.twistd("--link", "lo", "--gateway", router.location, "--map", "tcp:8080", "--poll", "2")
        await daemon.says("mapping tcp:8080:8080: adding")
        await daemon.says("mapping tcp:8080:8080: active on external port 8080")
        # a read may straddle a change, and then tells it in two steps: only where each ends is sure
        router.drop_wan()
        await daemon.says(r"WAN changed: Connected, .* -> Disconnected, no external address \[(event|poll)\]")
        router.restore_wan()
        await daemon.says(r"Disconnected, [^\n]*\n(?s:.*)WAN changed: .* -> Connected, 11\.22\.33\.44 \(public\)")
        router.change_address("11.22.33.50")
        await daemon.says(r"WAN changed: Connected, 11\.22\.33\.44 .* -> Connected, 11\.22\.33\.50 \(public\)")
        await router.reboot(seconds=6)
        await daemon.says(r"(?s)active on external port 8080.*active on external port 8080", 30)
        self.assertEqual(len(router.mappings), 1)
        await router.stop()
        await daemon.says("does not answer|is gone", 30)
        daemon.signal("INT")
        self.assertEqual(await daemon.end(), 0)
        self.assertNotIn("Traceback", daemon.out + daemon.err)
        for line in daemon.out.splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[")

    async def test_a_second_signal_during_the_farewell(self):
        for first, second in (("INT", "INT"), ("TERM", "INT")):
            router = SimulatedGateway(reactor, address=own_loopback(), relay=False, ssdp=False)
            await router.start()
            self.addCleanup(router.stop)
            daemon = self.twistd("--link", "lo", "--gateway", router.location, "--map", "tcp:8080")
            await daemon.says("mapping tcp:8080:8080: active on external port 8080")
            router.set_fault("DeletePortMapping", "hang")
            daemon.signal(first)
            await daemon.says(f"got SIG{first}")
            await deferLater(reactor, 0.5)
            daemon.signal(second)
            self.assertEqual(await daemon.end(), 0)
            self.assertNotIn("Traceback", daemon.out + daemon.err)
            self.assertIn("txigd.daemon#info] stopped\n", daemon.out)

    async def test_a_bad_option_is_one_line_and_status_2(self):
        for words, said in (
            ("--map tcp:0", "ports go from 1 to 65535"),
            ("--map tcp:70000", "ports go from 1 to 65535"),
            ("--map sctp:80", "TCP or UDP"),
            ("--bogus", "--bogus"),
            ("--link nope", "no such link: nope; this host has: "),
            ("--gateway router", "http://ADDRESS:PORT/PATH"),
            ("extra", "--map extra"),
        ):
            with self.subTest(words):
                daemon = self.twistd(*words.split())
                self.assertEqual(await daemon.end(), 2, daemon.out + daemon.err)
                self.assertEqual((daemon.out, daemon.err.count("\n")), ("", 1), daemon.err)
                self.assertIn(said, daemon.err)

    async def test_F58_a_callback_port_that_is_taken_is_told(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            daemon = self.twistd("--simulate", "--callback-port", str(port))
            await daemon.says(rf"#warn\] callback port {port} of 127\.0\.0\.1 is taken; another port is used")
            daemon.signal("TERM")
            self.assertEqual(await daemon.end(), 0)
        self.assertEqual(len(re.findall("is taken", daemon.out)), 1, "told once")

    async def test_F58_a_search_port_that_is_taken_is_told_once(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            daemon = self.twistd("--simulate", "--search-port", str(port))
            await daemon.says("WAN changed|#info\\] gateway ")
            daemon.signal("TERM")
            self.assertEqual(await daemon.end(), 0)
        told = re.findall(rf"#warn\] lo: cannot search from port {port}: .*; another port is used\n", daemon.out)
        self.assertEqual(len(told), 1, daemon.out)

    async def test_no_gateway_is_said_once_and_looked_for_on(self):
        namespace_or_skip()
        daemon = self.twistd("--link", "lo", "--map", "tcp:8080", before=ALONE)
        await daemon.says(r"#warn\] no gateway answered on lo in \d+ s; still looking", 30)
        daemon.signal("TERM")
        self.assertEqual(await daemon.end(), 0)
        self.assertEqual(len(re.findall("no gateway answered", daemon.out)), 1)

    async def test_no_network_is_said_and_waited_for(self):
        namespace_or_skip()
        daemon = self.twistd("--map", "tcp:8080", before=NO_NETWORK)
        await daemon.says(r"#warn\] this host has no network")
        await daemon.catches("TERM")
        daemon.signal("TERM")
        self.assertEqual(await daemon.end(), 0)
        self.assertNotIn("Traceback", daemon.out + daemon.err)

    async def test_a_second_daemon_with_the_same_state_ends_with_status_1(self):
        state = self.state_file()
        first = self.twistd("--link", "lo", "--gateway", "127.0.0.1", "--state", state)
        await first.says("looking for a gateway on lo")
        second = self.twistd("--link", "lo", "--gateway", "127.0.0.1", "--state", state)
        self.assertEqual(await second.end(), 1, second.out + second.err)
        self.assertEqual(len(re.findall(r"txigd\.daemon#error\] cannot start: ", second.out)), 1, second.out)
        self.assertNotIn("Traceback", second.out + second.err)
        await first.catches("TERM")
        first.signal("TERM")
        self.assertEqual(await first.end(), 0)

    async def test_a_log_level(self):
        daemon = self.twistd("--simulate", "--map", "tcp:8080", "--log-level", "error")
        await daemon.says("starting up")
        await daemon.catches("TERM")
        await deferLater(reactor, 2)
        daemon.signal("TERM")
        self.assertEqual(await daemon.end(), 0)
        self.assertNotIn("txigd.", daemon.out)
