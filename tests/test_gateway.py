"""One gateway: what it says of itself, its events as hints, its actions, and the bad days over real sockets."""

from __future__ import annotations

import ipaddress
import itertools
from random import Random
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.memory_lan import US, MemoryCallbacks, MemoryGateway, MemoryLAN, MemoryPath
from tests.pauses import ENDED_SECONDS
from txigd.errors import ActionError, ExchangeError, ExchangeTimeout, NoConnection, NoGateway, NoService, NotAGateway
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.gateway_kind import is_gateway
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.igd.status import Learned, WANStatus
from txigd.igd.tables import known_table
from txigd.interfaces import IWANObserver
from txigd.limits import (
    CONFIRM_SECONDS,
    EVENT_LATE_SECONDS,
    EVENTS_DOUBT_CEILING_SECONDS,
    EVENTS_DOUBT_SECONDS,
    INITIAL_EVENT_SECONDS,
    RECHECK_SECONDS,
    RESUBSCRIBE_FLOOR_SECONDS,
)
from txigd.testing import SimulatedGateway
from txigd.testing.tree import Tree
from txigd.upnp.description import device
from txigd.upnp.eventing.gena import Envelope
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService

reactor: Any = installed
WEB = PortMapping("TCP", 8080, description="web")
NEW = ipaddress.IPv4Address("11.22.33.50")


@implementer(IWANObserver)
class Observer:
    def __init__(self) -> None:
        self.heard: list[tuple[WANStatus, WANStatus]] = []

    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        self.heard.append((old, new))


class GatewayTestCase(SynchronousTestCase):
    connection = "IP"

    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock, connection=self.connection)
        self.lan = MemoryLAN(self.clock, self.router)
        self.callbacks: Any = MemoryCallbacks(self.clock)
        self.gateway = self.make()
        self.observer = Observer()
        self.gateway.wan.observe(self.observer)

    def make(self, document: bytes | None = None, **options: Any) -> Gateway:
        described = device.parse(document or self.router.document(), self.router.location)
        remote = RemoteDevice(self.clock, self.lan, self.callbacks, described, US, tables=known_table)
        return Gateway(self.clock, remote, host_id="0a1b2c3d", poll_seconds=30.0, random=Random(1), **options)

    def open(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.gateway.open()))
        self.clock.advance(0)

    def path(self, name: str = "IPConn") -> MemoryPath:
        """The open callback path of the service whose event URL ends so."""
        url = next(url for target, url in self.lan.callbacks.items() if target.endswith(name))
        return next(path for path in self.callbacks.paths if path.url == url)

    def event(self, seq: int, name: str = "IPConn", **values: str) -> None:
        """The router events."""
        path = self.path(name)
        sid = f"uuid:{self.callbacks.paths.index(path) + 1}"
        path.options["on_notify"](Envelope(sid, seq), values)

    def initial(self) -> None:
        for name in ("IPConn", "CmnIfCfg", "L3F"):
            self.event(0, name, ConnectionStatus="Connected", PortMappingNumberOfEntries="0")
        self.clock.pump([0.1] * 30)
        self.lan.asked.clear()


class AboutTests(GatewayTestCase):
    def test_what_it_says_of_itself(self) -> None:
        gateway = self.gateway
        self.assertEqual(
            (gateway.udn, gateway.friendly_name, gateway.model, str(gateway.address), str(gateway.local_address)),
            (self.router.udn, "Router", "txigd Simulated gateway 2", "192.168.1.1", "192.168.1.7"),
        )
        self.assertEqual(gateway.location, str(self.router.location))
        self.assertIn("Layer3Forwarding", [service.name for service in gateway.services])

    def test_what_is_none(self) -> None:
        document = b"<root><device><deviceType>urn:x:device:Basic:1</deviceType><UDN>uuid:b</UDN></device></root>"
        self.assertFalse(is_gateway(device.parse(document, self.router.location)))
        with self.assertRaises(NotAGateway) as caught:
            self.make(document)
        self.assertIn("urn:x:device:Basic:1", str(caught.exception))

    def test_F24_what_is_advertised_is_used(self) -> None:
        for version, connection, name in ((1, "IP", "WANIPConnection:1"), (1, "PPP", "WANPPPConnection:1")):
            self.router = MemoryGateway(self.clock, version=version, connection=connection)
            self.lan.gateways = [self.router]
            self.gateway = self.make()
            self.open()
            self.assertEqual(self.gateway.wan.connection.name, name)
            self.assertEqual(self.gateway.mappings.hold(WEB).status.state, MappingState.ACTIVE)
            self.assertEqual(len(self.router.table), 1)

    def test_a_service_by_name(self) -> None:
        self.open()
        told = self.successResultOf(self.gateway.service("WANCommonInterfaceConfig").call("GetCommonLinkProperties"))
        self.assertEqual(told["NewPhysicalLinkStatus"], "Up")
        self.assertRaises(NoService, self.gateway.service, "RenderingControl")

    def test_Q151_what_it_can_is_remembered_until_it_is_described_again(self) -> None:
        self.open()
        self.router.faults["GetCommonLinkProperties"] = 401
        self.failureResultOf(
            self.gateway.service("WANCommonInterfaceConfig").call("GetCommonLinkProperties"), ActionError
        )
        known = self.gateway.service("WANCommonInterfaceConfig").capabilities
        self.assertEqual(known["GetCommonLinkProperties"], "refused")
        self.gateway.device.described_again(self.gateway.device.description, US)
        self.open()
        known = self.gateway.service("WANCommonInterfaceConfig").capabilities
        self.assertEqual(known["GetCommonLinkProperties"], "unknown")

    def test_external_ip(self) -> None:
        self.open()
        self.assertEqual(str(self.successResultOf(self.gateway.external_ip())), "11.22.33.44")
        self.router.state.line.address = ""
        self.assertIsNone(self.successResultOf(self.gateway.external_ip()))
        self.router.faults["*"] = "refuse"
        self.failureResultOf(self.gateway.external_ip(), ExchangeError)

    def test_external_ip_in_time_however_long_the_queue(self) -> None:
        self.open()
        self.router.faults["*"] = "hang"
        first = [self.gateway.service("Layer3Forwarding").call("GetDefaultConnectionService") for _ in range(5)]
        asked = self.gateway.external_ip(timeout=12)
        self.clock.advance(10)
        self.clock.advance(1.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.failureResultOf(asked, ExchangeTimeout)
        for call in first:
            call.cancel()
            self.failureResultOf(call)

    def test_no_control_url(self) -> None:
        document = self.router.document().replace(b"/ctl/IPConn<", b"<")
        self.gateway = self.make(document)
        self.failureResultOf(Deferred.fromCoroutine(self.gateway.open()), NoConnection)


class EventTests(GatewayTestCase):
    def test_every_evented_service_is_subscribed_to_once(self) -> None:
        self.open()
        self.assertEqual(
            sorted(self.gateway.eventing),
            ["Layer3Forwarding:1", "WANCommonInterfaceConfig:1", "WANIPConnection:2"],
        )
        self.assertEqual(set(self.gateway.eventing.values()), {"subscribed"})
        self.assertEqual(self.lan.count("SUBSCRIBE"), 3)

    def test_Q074_Q076_equal_services_are_called_by_their_places(self) -> None:
        self.router.state.tree = Tree(version=2, udn=self.router.udn, friendly_name="Router", connection="IP", wans=2)
        self.gateway = self.make()
        self.open()
        told = self.gateway.eventing
        self.assertIn("Layer3Forwarding:1", told)
        self.assertEqual(len(told), 5)
        for name in ("WANCommonInterfaceConfig:1 (0.0)", "WANCommonInterfaceConfig:1 (1.0)"):
            self.assertIn(name, told)
        self.assertLessEqual(told.keys(), set(self.gateway.device.labels.values()))
        self.open()
        self.assertEqual((self.gateway.eventing, self.lan.count("SUBSCRIBE")), (told, 5), "the same again")

    def test_without_events(self) -> None:
        self.gateway = self.make(events=False)
        self.open()
        self.assertEqual((self.gateway.eventing, self.lan.count("SUBSCRIBE")), ({}, 0))

    def test_F29_an_event_is_verified_and_told_once(self) -> None:
        self.open()
        self.initial()
        self.router.state.line.address = str(NEW)
        self.event(1, ConnectionStatus="Connected", ExternalIPAddress="6.6.6.6")
        self.clock.pump([0.1] * 40)
        ((old, new),) = self.observer.heard
        self.assertEqual((str(old.external_ip), new.external_ip, new.learned), ("11.22.33.44", NEW, Learned.EVENT))

    def test_F29_an_event_that_lies_is_no_change(self) -> None:
        self.open()
        self.initial()
        self.event(1, ConnectionStatus="Disconnected", ExternalIPAddress="0.0.0.0")
        self.clock.pump([0.1] * 40)
        self.assertEqual(self.observer.heard, [])
        self.assertEqual(self.lan.count("GetStatusInfo"), 3, "read after the burst, soon again, and confirmed")

    def test_F29_the_old_value_is_evented_first_and_the_new_one_never(self) -> None:
        """miniupnpd; the WAN gets its new address later than the event of the old one is read (Q161)."""
        self.open()
        told = {"ConnectionStatus": "Connected", "ExternalIPAddress": "11.22.33.44", "PortMappingNumberOfEntries": "0"}
        self.event(0, **told)
        self.clock.pump([0.1] * 30)
        begun = self.clock.seconds()
        self.event(1, **told)
        self.clock.pump([0.1] * 3)
        self.router.state.line.address = str(NEW)
        while not self.observer.heard:
            self.clock.advance(0.1)
        self.assertLess(self.clock.seconds() - begun, 1)

    def test_an_event_of_the_table_is_no_reason_to_hurry(self) -> None:
        self.open()
        self.initial()
        self.event(1, ConnectionStatus="Connected", PortMappingNumberOfEntries="1")
        self.clock.pump([0.1] * 40)
        self.assertEqual(self.lan.count("GetStatusInfo"), 2)

    def test_Q158_no_initial_event_is_read_by_action(self) -> None:
        self.open()
        self.lan.asked.clear()
        self.clock.pump([0.1] * round(10 * (INITIAL_EVENT_SECONDS + CONFIRM_SECONDS + 1)))
        self.assertGreaterEqual(self.lan.count("GetExternalIPAddress"), 1)

    def test_our_entries_are_read_back_when_the_table_changed(self) -> None:
        self.open()
        held = self.gateway.mappings.hold(WEB)
        self.initial()
        self.router.state.table.clear()
        self.event(1, PortMappingNumberOfEntries="7", SystemUpdateID="9")
        self.assertEqual(self.lan.asked, [])
        self.clock.pump([0.1] * round(10 * RECHECK_SECONDS + 20))
        self.assertEqual(len(self.router.table), 1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertNotIn("GetStatusInfo", self.lan.names(), "the table says nothing of the line")

    def test_an_event_that_repeats_what_is_known_of_the_table_is_no_look_at_it(self) -> None:
        """miniupnpd sends all five variables with every change."""
        self.open()
        self.gateway.mappings.hold(WEB)
        self.initial()
        self.event(1, ConnectionStatus="Connected", PortMappingNumberOfEntries="0")
        self.clock.pump([0.1] * 30)
        self.assertEqual(set(self.lan.names()), {"GetStatusInfo", "GetExternalIPAddress"})

    def test_a_burst_of_table_events_is_one_look(self) -> None:
        self.open()
        self.gateway.mappings.hold(WEB)
        self.initial()
        for number in range(1, 6):
            self.event(number, SystemUpdateID=str(number))
        self.clock.pump([0.1] * 30)
        self.assertEqual(self.lan.names(), ["GetSpecificPortMappingEntry"])

    def test_F39_verify_looks_and_changes_nothing(self) -> None:
        self.open()
        self.gateway.mappings.hold(WEB)
        self.initial()
        self.gateway.verify()
        self.clock.pump([0.1] * 30)
        self.assertEqual(
            set(self.lan.names()), {"GetSpecificPortMappingEntry", "GetStatusInfo", "GetExternalIPAddress"}
        )

    def test_F06_refused_subscriptions_leave_the_poll(self) -> None:
        self.router.faults["SUBSCRIBE"] = 412
        self.open()
        self.assertEqual(set(self.gateway.eventing.values()), {"refused"})
        self.router.cut()
        self.clock.pump([1.0] * 32)
        self.assertEqual(len(self.observer.heard), 1)


class DroppedTests(GatewayTestCase):
    """A gateway that forgot its subscriber sends nothing, and says nothing of that (Q174)."""

    def begin(self) -> None:
        self.open()
        for name in ("IPConn", "CmnIfCfg", "L3F"):
            self.event(0, name, ConnectionStatus="Connected", ExternalIPAddress="11.22.33.44")
        self.wait(RESUBSCRIBE_FLOOR_SECONDS)
        self.lan.asked.clear()

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.5] * round(seconds * 2))

    def told_by_the_poll(self) -> None:
        before = len(self.observer.heard)
        for _ in range(31):
            self.wait(1)
            if len(self.observer.heard) > before:
                return
        self.fail("not told")

    def test_Q174_news_that_only_the_poll_brought_ask_after_the_subscription(self) -> None:
        self.begin()
        self.router.subscriptions.clear()
        self.router.cut()
        self.told_by_the_poll()
        self.wait(EVENT_LATE_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 2, "renewed, and refused: subscribed afresh")
        self.assertEqual(set(self.gateway.eventing.values()), {"subscribed"})
        self.event(0, ConnectionStatus="Disconnected", ExternalIPAddress="0.0.0.0")
        self.router.restore()
        self.event(1, ConnectionStatus="Connected", ExternalIPAddress="11.22.33.44")
        self.wait(1)
        self.assertEqual(self.observer.heard[-1][1].learned, Learned.EVENT, "they come again")

    def test_Q174_found_by_a_read_that_somebody_asked_for(self) -> None:
        self.begin()
        self.router.subscriptions.clear()
        self.router.state.line.address = str(NEW)
        self.assertEqual(self.successResultOf(self.gateway.external_ip()), NEW)
        self.wait(EVENT_LATE_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 2)

    def test_Q174_an_event_a_moment_late_is_none_missed(self) -> None:
        self.begin()
        self.router.cut()
        self.told_by_the_poll()
        self.wait(EVENT_LATE_SECONDS - 1)
        self.event(1, ConnectionStatus="Disconnected", ExternalIPAddress="0.0.0.0")
        self.wait(60)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 0)

    def test_Q161_old_values_are_told_by_a_subscription_that_lives(self) -> None:
        self.begin()
        self.event(1, ConnectionStatus="Connected", ExternalIPAddress="11.22.33.44")
        self.wait(0.5)
        self.router.state.line.address = str(NEW)
        self.wait(60)
        self.assertEqual((len(self.observer.heard), self.lan.count("SUBSCRIBE")), (1, 0))

    def test_what_was_told_long_before_it_could_be_read_is_told(self) -> None:
        self.begin()
        self.event(1, ConnectionStatus="Disconnected", ExternalIPAddress="0.0.0.0")
        self.wait(15)
        self.router.cut()
        self.told_by_the_poll()
        self.wait(60)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 0)

    def test_what_is_not_evented_cannot_be_missed(self) -> None:
        self.open()
        self.event(0, PortMappingNumberOfEntries="0")
        self.wait(20)
        self.lan.asked.clear()
        self.router.cut()
        self.told_by_the_poll()
        self.wait(60)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 0)

    def test_Q158_without_a_first_event_it_is_in_doubt_as_well(self) -> None:
        self.open()
        self.wait(20)
        self.lan.asked.clear()
        self.router.cut()
        self.told_by_the_poll()
        self.wait(EVENT_LATE_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 1)

    def test_miniupnpd_never_tells_of_a_drop_and_is_asked_ever_more_seldom(self) -> None:
        self.begin()
        asked = []
        self.patch(RemoteService, "verify_events", lambda remote: asked.append(self.clock.seconds()))
        for _ in range(3 * 60):
            self.router.cut()
            self.wait(30)
            self.router.restore()
            self.wait(30)
        apart = [after - before for before, after in itertools.pairwise(asked)]
        for number, seconds in enumerate(apart, 1):
            self.assertGreaterEqual(seconds, min(EVENTS_DOUBT_SECONDS * 2**number, EVENTS_DOUBT_CEILING_SECONDS))
        self.assertIn(len(asked), range(5, 10), "in three hours")

    def test_Q174_each_loss_that_was_one_is_found_as_soon_as_the_first(self) -> None:
        self.begin()
        for number in range(4):
            self.router.subscriptions.clear()
            self.router.state.line.address = f"11.22.33.{50 + number}"
            self.lan.asked.clear()
            self.told_by_the_poll()
            self.wait(EVENT_LATE_SECONDS)
            self.assertEqual(self.lan.count("SUBSCRIBE"), 2, number)
            self.event(0, ConnectionStatus="Connected", ExternalIPAddress=f"11.22.33.{50 + number}")
            self.wait(EVENTS_DOUBT_SECONDS)

    def test_Q174_a_loss_soon_after_a_doubt_that_was_wrong_is_found_a_little_later(self) -> None:
        self.begin()
        self.router.state.line.address = "11.22.33.50"
        self.told_by_the_poll()
        self.wait(EVENT_LATE_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 1, "it knows the subscription, and told nothing all the same")
        self.router.subscriptions.clear()
        self.router.state.line.address = "11.22.33.51"
        self.told_by_the_poll()
        self.wait(EVENT_LATE_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 1)
        self.wait(2 * EVENTS_DOUBT_SECONDS)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 3)
        self.assertEqual(set(self.gateway.eventing.values()), {"subscribed"})

    def test_lost_while_in_doubt_it_asks_nothing(self) -> None:
        self.begin()
        self.router.cut()
        self.told_by_the_poll()
        self.gateway.lost("gone")
        self.lan.asked.clear()
        self.wait(60)
        self.assertEqual(self.lan.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LifeTests(GatewayTestCase):
    def test_described_again_it_subscribes_afresh_and_leaves_nothing_behind(self) -> None:
        self.open()
        self.gateway.mappings.hold(WEB)
        self.gateway.device.described_again(self.gateway.device.description, US)
        self.open()
        self.assertEqual((self.lan.count("SUBSCRIBE"), self.lan.count("UNSUBSCRIBE")), (6, 0))
        self.clock.pump([1.0] * 31)
        self.assertEqual(len(self.callbacks.open_urls), 3)
        self.assertEqual(self.lan.count("AddPortMapping"), 1)

    def test_lost_is_quiet_until_it_is_opened_again(self) -> None:
        self.open()
        held = self.gateway.mappings.hold(WEB)
        self.gateway.lost("gone")
        self.lan.asked.clear()
        self.clock.pump([1.0] * 120)
        self.assertEqual(self.lan.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((held.status.state, self.gateway.wan.status.reachable), (MappingState.LOST, False))
        self.gateway.renew(self.gateway.device)
        self.open()
        self.clock.advance(0)
        self.assertEqual((held.status.state, self.gateway.wan.status.reachable), (MappingState.ACTIVE, True))

    def test_close_says_goodbye(self) -> None:
        self.open()
        self.gateway.mappings.hold(WEB)
        self.event(0, PortMappingNumberOfEntries="1")
        self.event(1, PortMappingNumberOfEntries="2")
        self.clock.advance(1)
        self.successResultOf(self.gateway.close())
        self.assertEqual((self.router.table, self.callbacks.open_urls), ([], []))
        self.assertEqual(self.lan.count("UNSUBSCRIBE"), 3)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_F51_F52_close_takes_five_seconds_at_most(self) -> None:
        self.open()
        self.gateway.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        closed = self.gateway.close()
        self.clock.advance(4.9)
        self.assertNoResult(closed)
        self.clock.advance(0.1)
        self.successResultOf(closed)
        self.clock.advance(0)
        self.assertEqual((self.clock.getDelayedCalls(), self.lan.open), ([], set()))

    def test_a_mapping_set_of_somebody_else_follows_the_live_connection(self) -> None:
        self.router = MemoryGateway(self.clock, connection="both-with-PPP-live")
        self.lan.gateways = [self.router]
        self.gateway = self.make()
        self.open()
        self.gateway.mappings.hold(WEB)
        self.assertEqual(self.gateway.wan.connection.name, "WANPPPConnection:1")
        tree = self.router.state.tree
        tree.live_service = tree.services["WANIPConnection"]
        self.lan.asked.clear()
        self.gateway.wan.hint()
        self.clock.pump([0.1] * 30)
        looked = [a.url.target for a in self.lan.asked if a.name == "GetSpecificPortMappingEntry"]
        self.assertEqual(looked[-1], tree.live_service.control_path)
        self.assertEqual(len(self.router.table), 1, "two connections, one table")


class BadDayTests(TestCase):
    """The issue's bad days against a gateway with real sockets on loopback."""

    timeout = 180

    async def start(self, **options: Any) -> tuple[SimulatedGateway, ControlPoint]:
        router = SimulatedGateway(reactor, ssdp=False, wan_address="127.0.0.2", relay=False, **options)
        await router.start()
        self.addCleanup(router.stop)
        point = ControlPoint(reactor, links=["lo"], gateway=router.location, poll_seconds=1)
        point.start()
        self.addCleanup(point.stop)
        return router, point

    async def until(self, what, seconds: float = 60) -> None:
        deadline = reactor.seconds() + seconds
        while not what():
            if reactor.seconds() > deadline:
                self.fail(f"not within {seconds} s")
            await deferLater(reactor, 0.02)

    async def test_a_good_day(self) -> None:
        router, point = await self.start()
        gateway = await point.gateway()
        self.assertEqual(str(await gateway.external_ip()), "11.22.33.44")
        held = gateway.mappings.hold(WEB)
        self.assertEqual((await held.when_active()).external_port, 8080)
        await self.until(lambda: set(gateway.eventing.values()) == {"subscribed"})
        router.change_address(str(NEW))
        learned = [(await gateway.wan.when(lambda status: status.external_ip == NEW, timeout=60)).learned]
        router.drop_wan()
        learned.append((await gateway.wan.when(lambda status: not status.connected, timeout=60)).learned)
        self.assertEqual(learned, [Learned.EVENT] * 2)
        router.restore_wan()
        await gateway.wan.when(lambda status: status.connected, timeout=60)
        await point.stop()
        self.assertEqual((len(router.mappings), len(router.subscribers)), (0, 0))

    async def test_F06_SUBSCRIBE_is_refused_and_a_silent_drop_is_polled(self) -> None:
        router, point = await self.start(refuse=["SUBSCRIBE"], silent_drops=True)
        gateway = await point.gateway()
        await self.until(lambda: set(gateway.eventing.values()) == {"refused"})
        router.drop_wan()
        status = await gateway.wan.when(lambda status: not status.connected, timeout=60)
        self.assertEqual(status.learned, Learned.POLL)

    async def test_an_action_is_refused(self) -> None:
        router, point = await self.start(refuse=["GetStatusInfo", "AddPortMapping"])
        gateway = await point.gateway()
        self.assertEqual(str(await gateway.external_ip()), "11.22.33.44")
        held = gateway.mappings.hold(WEB)
        error = None
        try:
            await held.when_active(timeout=60)
        except Exception as raised:
            error = raised
        self.assertEqual(type(error).__name__, "MappingRefused")
        self.assertEqual(list(gateway.mappings), [held], "still wanted")
        self.assertEqual(len(router.mappings), 0)

    async def test_it_dies_in_the_middle_hangs_or_talks_html_and_recovers(self) -> None:
        router, point = await self.start()
        gateway = await point.gateway()
        held = gateway.mappings.hold(WEB)
        await held.when_active()
        for fault in ("html", "cut", "close", "reset", "garbage", "empty", "hang"):
            router.set_fault("*", fault)
            failed = None
            try:
                await gateway.external_ip(timeout=2)
            except ExchangeError as error:
                failed = error
            self.assertIsNotNone(failed, fault)
            held_now = list(gateway.mappings)
            router.clear_faults()
            self.assertEqual(held_now, [held])
            await gateway.wan.when(lambda status: status.connected, timeout=60)
            await self.until(lambda: point.current is gateway)
            self.assertEqual(str(await gateway.external_ip()), "11.22.33.44")
        router.forget_mappings()
        gateway.verify()
        await self.until(lambda: len(router.mappings) == 1)

    async def test_F01_it_reboots_and_everything_is_back(self) -> None:
        router, point = await self.start()
        gateway = await point.gateway()
        held = gateway.mappings.hold(WEB)
        await held.when_active()
        observer = Observer()
        gateway.wan.observe(observer)
        await router.reboot(seconds=4)
        await self.until(lambda: len(router.mappings) == 1 and len(router.subscribers) >= 3)
        await gateway.wan.when(lambda status: status.connected, timeout=60)
        self.assertIs(await point.gateway(), gateway)
        self.assertTrue(any(not new.reachable for _, new in observer.heard))

    async def test_there_is_none(self) -> None:
        router, former = await self.start()
        await router.stop()
        await former.stop()  # it may have been quick enough to find it
        point = ControlPoint(reactor, links=["lo"], gateway=router.location)
        point.start()
        self.addCleanup(point.stop)
        error = None
        try:
            await point.gateway(timeout=1)
        except NoGateway as raised:
            error = raised
        self.assertIn(router.location, str(error))

    async def test_F52_it_hangs_at_the_farewell(self) -> None:
        router, point = await self.start()
        gateway = await point.gateway()
        await gateway.mappings.hold(WEB).when_active()
        router.set_fault("*", "hang")
        began = reactor.seconds()
        await point.stop()
        self.assertLess(reactor.seconds() - began, ENDED_SECONDS)
