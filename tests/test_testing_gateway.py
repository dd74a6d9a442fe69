"""The simulated gateway as a whole: its life, its bad days, its relay, and that it leaves nothing behind."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet import defer
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.raw_client import Collector, ask, reactor, request
from tests.test_testing_relay import free_port
from txigd import ControlPoint
from txigd.errors import AddressingError, InvalidArgument
from txigd.testing import Rules, SimulatedGateway
from txigd.testing.quirks import Quirk
from txigd.upnp import url
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange


class GatewayCase(TestCase):
    timeout = 180

    def gateway(self, **options: Any) -> SimulatedGateway:
        made = SimulatedGateway(reactor, **{"ssdp": False, "relay": False, **options})
        self.addCleanup(made.stop)
        return made


class LifeTests(GatewayCase):
    async def test_start_and_stop_again_and_again(self) -> None:
        gateway = self.gateway(ssdp=True, ssdp_port=free_port(), relay=True)
        verifyObject(IService, gateway)
        self.assertEqual((gateway.location, gateway.port), ("", 0))
        locations = set()
        for _ in range(3):
            await gateway.start()
            await gateway.start()
            locations.add(gateway.location)
            self.assertEqual((await ask(gateway.port, request("GET", "/rootDesc.xml", gateway.port))).status, 200)
            await gateway.stop()
            with self.assertRaises(ConnectError):
                await ask(gateway.port, b"")
        self.assertEqual(len(locations), 1, "it keeps its port")

    async def test_in_a_multi_service(self) -> None:
        parent = MultiService()
        gateway = self.gateway()
        gateway.setServiceParent(parent)
        parent.startService()
        self.assertTrue(gateway.location)
        await parent.stopService()
        self.assertFalse(gateway.running)

    def test_port_taken(self) -> None:
        first = self.gateway()
        first.startService()
        second = self.gateway(http_port=first.port)
        self.assertRaises(CannotListenError, second.startService)
        self.assertFalse(second.running)

    def test_arguments(self) -> None:
        self.assertRaises(InvalidArgument, SimulatedGateway, reactor, version=3)
        self.assertRaises(InvalidArgument, SimulatedGateway, reactor, connection="none")
        self.assertRaises(InvalidArgument, SimulatedGateway, reactor, refuse={"GET": "sulk"})

    def test_unknown_link(self) -> None:
        gateway = self.gateway(address="", link="nosuchlink0")
        self.assertRaises(AddressingError, gateway.startService)

    async def test_address_of_the_link(self) -> None:
        gateway = self.gateway(address="")
        await gateway.start()
        self.assertEqual(gateway.address, "127.0.0.1")

    async def test_description_by_the_package_itself(self) -> None:
        exchange = Exchange(reactor)
        self.addCleanup(exchange.close)
        gateway = self.gateway(version=2, friendly_name="A & B")
        await gateway.start()
        read = await fetch_description(exchange, url.parse(gateway.location), seconds=5)
        self.assertEqual((read.root.friendly_name, read.root.udn), ("A & B", gateway.udn))

    async def test_stop_in_the_middle_of_everything(self) -> None:
        gateway = self.gateway(ssdp=True, ssdp_port=free_port(), relay=True)
        await gateway.start()
        gateway.set_fault("*", "hang")
        waiting = defer.ensureDeferred(ask(gateway.port, request("GET", "/", gateway.port)))
        gateway.add_foreign_mapping("TCP", free_port(), internal_client="127.0.0.1", lease_seconds=600)
        while not gateway.requests:
            await deferLater(reactor, 0)
        rebooting = gateway.reboot()
        await gateway.stop()
        await rebooting
        self.assertEqual((await waiting).raw, b"")
        self.assertFalse(gateway.running)


class RebootTests(GatewayCase):
    async def test_what_is_lost_and_what_stays(self) -> None:
        collector = Collector()
        self.addCleanup(collector.stop)
        clock = Clock()
        clock.advance(5000)
        gateway = self.gateway(clock=clock)
        await gateway.start()
        fields = (f"CALLBACK: <http://127.0.0.1:{collector.port}/x>", "NT: upnp:event")
        answer = await ask(gateway.port, request("SUBSCRIBE", "/evt/IPConn", gateway.port, *fields))
        await collector.heard.get()
        gateway.add_foreign_mapping("TCP", 4000)
        gateway.add_foreign_mapping("TCP", 4001, managed=False)
        await collector.heard.get()
        before = (gateway.location, gateway.boot_id, gateway.udn)
        await gateway.reboot()
        self.assertEqual((gateway.location, gateway.boot_id, gateway.udn), (before[0], before[1] + 1, before[2]))
        self.assertEqual([entry.external_port for entry in gateway.mappings], [4001])
        self.assertEqual(gateway.subscribers, ())
        renewal = request("SUBSCRIBE", "/evt/IPConn", gateway.port, f"SID: {answer.headers['sid']}")
        self.assertEqual((await ask(gateway.port, renewal)).status, 412)
        self.assertEqual(gateway.state.line.uptime(clock.seconds()), 0)

    async def test_F03_new_port_and_paths(self) -> None:
        gateway = self.gateway()
        await gateway.start()
        port, location = gateway.port, gateway.location
        await gateway.reboot(new_port=True, keep_mappings=True)
        self.assertNotEqual((gateway.port, gateway.location.rpartition(":")[2]), (port, location.rpartition(":")[2]))
        with self.assertRaises(ConnectError):
            await ask(port, b"")
        path = "/" + gateway.location.split("/", 3)[3]
        self.assertEqual((await ask(gateway.port, request("GET", path, gateway.port))).status, 200)
        self.assertEqual((await ask(gateway.port, request("GET", "/rootDesc.xml", gateway.port))).status, 404)

    async def test_keep_mappings(self) -> None:
        gateway = self.gateway()
        await gateway.start()
        gateway.add_foreign_mapping("TCP", 4000)
        await gateway.reboot(keep_mappings=True)
        self.assertEqual(len(gateway.mappings), 1)

    async def test_stays_away_and_may_be_stopped_meanwhile(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock)
        await gateway.start()
        for stop in (False, True):
            rebooting = gateway.reboot(seconds=30)
            while not clock.getDelayedCalls():
                await deferLater(reactor, 0)
            with self.assertRaises(ConnectError):
                await ask(gateway.port, b"")
            stopping = gateway.stop() if stop else defer.succeed(None)
            clock.advance(30)
            await rebooting
            await stopping
        self.assertEqual((gateway.running, clock.getDelayedCalls()), (False, []))

    async def test_not_running(self) -> None:
        gateway = self.gateway()
        await gateway.reboot()
        self.assertEqual(gateway.location, "")


class Echo(Protocol):
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())
        self.transport.loseConnection()


class RelayTests(GatewayCase):
    """Traffic goes through a mapping exactly while it is active."""

    async def setUp(self) -> None:  # type: ignore[override]
        inside = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
        self.addCleanup(inside.stopListening)
        self.clock = Clock()
        self.mapped = self.gateway(relay=True, clock=self.clock)
        await self.mapped.start()
        self.outside = free_port()
        self.wish = {"internal_client": "127.0.0.1", "internal_port": inside.getHost().port}

    async def passes(self) -> bool:
        try:
            return (await ask(self.outside, b"hello")).raw == b"HELLO"
        except ConnectError:
            return False

    async def test_lease(self) -> None:
        self.assertFalse(await self.passes())
        self.mapped.add_foreign_mapping("TCP", self.outside, lease_seconds=60, **self.wish)
        self.assertTrue(await self.passes())
        self.clock.advance(61)
        await deferLater(reactor, 0)
        self.assertFalse(await self.passes())
        self.assertGreater(self.mapped.state.traffic.octets_received, 0)

    async def test_wan_drop(self) -> None:
        self.mapped.add_foreign_mapping("TCP", self.outside, **self.wish)
        self.mapped.drop_wan()
        await deferLater(reactor, 0)
        self.assertFalse(await self.passes())
        self.mapped.restore_wan()
        self.assertTrue(await self.passes())

    async def test_reboot_and_forgetting(self) -> None:
        for forget in (self.mapped.reboot, self.mapped.forget_mappings):
            self.mapped.add_foreign_mapping("TCP", self.outside, **self.wish)
            await deferLater(reactor, 0)
            self.assertTrue(await self.passes())
            await defer.maybeDeferred(forget)
            await deferLater(reactor, 0)
            self.assertFalse(await self.passes())

    async def test_port_taken_is_a_problem_not_a_failure(self) -> None:
        self.mapped.add_foreign_mapping("TCP", self.mapped.port, **self.wish)
        self.assertEqual(len(self.mapped.problems), 1)
        self.assertIn(f"TCP port {self.mapped.port}", self.mapped.problems[0])


class MemoryTests(SynchronousTestCase):
    """On a reactor in memory: nothing but the given reactor is used."""

    def test_timers(self) -> None:
        memory = MemoryReactorClock()
        gateway = SimulatedGateway(memory, ssdp=False, relay=False, http_port=5000)
        gateway.startService()
        self.assertEqual(memory.tcpServers[0][0], 5000)
        gateway.add_foreign_mapping("TCP", 1, lease_seconds=10)
        memory.advance(9)
        self.assertEqual(len(gateway.mappings), 1)
        memory.advance(1)
        self.assertEqual(len(gateway.mappings), 0)
        self.successResultOf(gateway.stop())

    def test_rules_and_shortcuts_meet(self) -> None:
        gateway = SimulatedGateway(
            MemoryReactorClock(), version=1, rules=Rules(version=2, secure=True), min_lease=60, same_port_only=True
        )
        rules = gateway.mappings.rules
        self.assertEqual((rules.version, rules.secure, rules.min_lease, rules.same_port_only), (1, True, 60, True))

    def test_a_habit_of_ones_own_goes_before_an_argument(self) -> None:
        habit = Quirk("another name and many WAN devices", options={"friendly_name": "Box", "wans": 2})
        gateway = SimulatedGateway(MemoryReactorClock(), friendly_name="mine", quirks=[habit, "Q031"])
        self.assertEqual((gateway.friendly_name, len(gateway.state.tree.root.devices)), ("Box", 2))

    def test_import_installs_no_reactor(self) -> None:
        script = "import sys, txigd.testing; sys.exit('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", script], check=False).returncode, 0)


class FamilyTests(TestCase):
    """One gateway at addresses of both families."""

    timeout = 180

    def gateway(self, **options: Any) -> SimulatedGateway:
        made = SimulatedGateway(reactor, **{"address6": "::1", "ssdp": False, "relay": False, **options})
        try:
            made.startService()
        except CannotListenError as error:
            raise SkipTest(f"no IPv6 here: {error}") from None
        self.addCleanup(made.stop)
        return made

    async def test_the_same_gateway_at_both(self) -> None:
        gateway = self.gateway(urls="absolute")
        self.assertEqual(gateway.location6, f"http://[::1]:{gateway.port}/rootDesc.xml")
        point = ControlPoint(reactor, gateway=gateway.location6)
        self.addCleanup(point.stop)
        point.start()
        router = await point.gateway(timeout=20)
        self.assertEqual({s.control_url.host for s in router.services if s.control_url}, {ipaddress.ip_address("::1")})
        told: defer.Deferred[Any] = defer.Deferred()
        router.device.service("WANIPConnection").observe("ExternalIPAddress", told.callback)
        self.assertEqual(await told, "11.22.33.44")
        self.assertEqual({one.peer for one in gateway.requests}, {"::1"})
        other = ControlPoint(reactor, gateway=gateway.location)
        self.addCleanup(other.stop)
        other.start()
        self.assertEqual((await other.gateway(timeout=20)).udn, router.udn)

    async def test_the_places_stay_after_a_reboot_and_are_free_after_a_stop(self) -> None:
        gateway = self.gateway()
        before = gateway.location, gateway.location6
        await gateway.reboot()
        self.assertEqual((gateway.location, gateway.location6), before)
        await gateway.stop()
        for host in ("127.0.0.1", "::1"):
            port = reactor.listenTCP(gateway.port, ServerFactory(), interface=host)
            await port.stopListening()

    async def test_a_port_that_is_taken_at_the_second_address(self) -> None:
        gateway = self.gateway()
        await gateway.stop()
        taken = reactor.listenTCP(gateway.port, ServerFactory(), interface="::1")
        self.addCleanup(taken.stopListening)
        self.assertRaises(CannotListenError, gateway.startService)
        self.assertFalse(gateway.running)
        await deferLater(reactor, 0)
        first = reactor.listenTCP(gateway.port, ServerFactory(), interface="127.0.0.1")
        await first.stopListening()

    def test_addresses_that_do_not_go_together(self) -> None:
        for address, address6 in (("127.0.0.1", "127.0.0.2"), ("::1", "::2"), ("127.0.0.1", "lo")):
            with self.assertRaises(InvalidArgument):
                SimulatedGateway(reactor, address=address, address6=address6)
        self.assertEqual(SimulatedGateway(reactor).location6, "")
