"""Several of everything: description trees, gateways, connections; why one is chosen; what one gateway's hooks give."""

from __future__ import annotations

import ipaddress
from typing import Any, cast
from unittest.mock import Mock

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from tests.memory_lan import US, MemoryDiscovery, MemoryGateway
from tests.test_control_point import ControlPointTestCase, hop, link
from tests.test_gateway import GatewayTestCase
from txigd.errors import ActionNotOffered, NoService
from txigd.igd.control_point import ControlPoint
from txigd.igd.link_config import EthernetLink
from txigd.igd.mapping import PortMapping
from txigd.igd.ranking import ranking
from txigd.igd.report_view import ranking as view_of
from txigd.igd.traffic import TrafficCounters
from txigd.limits import BYEBYE_PROBE_SECONDS, DOUBT_AGAIN_SECONDS, LINK_POLL_SECONDS, TRAFFIC_SECONDS
from txigd.testing import SimulatedGateway
from txigd.upnp import control_point
from txigd.upnp.description import device
from txigd.upnp.discovery.targets import IGD_TARGETS

reactor: Any = installed
WEB = PortMapping("TCP", 8080, description="web")


class TreeTests(ControlPointTestCase):
    """One UDN, two description trees: the habit of Fritz!Box (Q038, Q197)."""

    def twin(self, address: str = "", **options: Any) -> MemoryGateway:
        options = {"port": 6000, "version": 1, **options}
        made = MemoryGateway(self.clock, address or self.router.address, udn=self.router.udn, **options)
        self.lan.gateways.append(made)
        return made

    def test_Q197_services_of_the_other_tree_are_found(self) -> None:
        gateway = self.found()
        before, asked = gateway.services, len(self.lan.asked)
        self.discovery.alive(self.twin())
        self.assertEqual([one.name for one in before], [one.name for one in gateway.services[: len(before)]])
        self.assertGreater(len(gateway.services), len(before))
        ports = {one.control_url.port for one in gateway.services if one.control_url}
        self.assertEqual(ports, {5000, 6000})
        self.assertEqual(self.observer.heard, [("found", "Router")], "the gateway in use stays as it is")
        self.assertEqual(set(self.lan.names()[asked:]), {"GET /rootDesc.xml"}, "nothing is read or subscribed again")
        connection = gateway.device.service("urn:schemas-upnp-org:service:WANIPConnection:1")
        told = self.successResultOf(connection.proxy.call("GetStatusInfo"))
        self.assertEqual(told["NewConnectionStatus"], "Connected")

    def test_Q038_the_connection_of_the_other_tree_is_no_second_line(self) -> None:
        gateway = self.found()
        self.discovery.alive(self.twin())
        self.router.boot_id = 2
        self.discovery.alive(self.router)
        self.assertEqual([one.name for one in gateway.wan.connections], ["WANIPConnection:2"])
        self.assertEqual(set(gateway.eventing.values()), {"subscribed"})
        self.assertEqual(len(gateway.eventing), 3)

    def test_Q197_the_tree_of_the_gateway_may_be_the_second(self) -> None:
        self.router.answers["GET /rootDesc.xml"] = lambda asked: _page(self.router.udn)
        self.point.start()
        self.discovery.alive(self.router)
        self.assertIsNone(self.point.current)
        self.discovery.alive(self.twin(version=2))
        gateway = self.successResultOf(self.point.gateway())
        self.assertEqual(gateway.wan.connection.name, "WANIPConnection:2")
        held = gateway.mappings.hold(WEB)
        self.assertEqual(held.status.external_port, 8080)

    def test_a_tree_that_is_gone_takes_its_services_along(self) -> None:
        gateway = self.found()
        before = gateway.services
        twin = self.twin()
        self.discovery.alive(twin)
        self.wait(BYEBYE_PROBE_SECONDS)
        del gateway.device.sightings[self.router.location]
        twin.faults["*"] = "refuse"
        self.point._sighted(_doubted(self, twin))
        self.wait(DOUBT_AGAIN_SECONDS)
        self.assertEqual(gateway.services, before)
        self.assertIs(self.point.current, gateway)

    def test_the_same_tree_over_IPv6_brings_nothing(self) -> None:
        self.own["fe80::1"] = ipaddress.ip_address("fe80::7")
        self.hops = (hop(), hop("fe80::1"))
        gateway = self.found()
        before = gateway.services
        self.discovery.alive(self.twin("fe80::1", version=2))
        self.assertEqual(gateway.services, before)
        self.assertEqual(len(gateway.device.descriptions), 2)


def _page(udn: str) -> Any:
    from tests.memory_lan import reply

    text = f"<root><device><deviceType>urn:x:device:Basic:1</deviceType><UDN>{udn}</UDN></device></root>"
    return reply(200, text.encode())


class _Said:
    """What the control point logs meanwhile."""

    def __init__(self, case: Any) -> None:
        self.lines: list[str] = []
        self.case = case

    def __enter__(self) -> _Said:
        globalLogPublisher.addObserver(cast(Any, self._heard))
        return self

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(cast(Any, self._heard))

    def _heard(self, event: Any) -> None:
        if str(event.get("log_namespace", "")).startswith("txigd"):
            self.lines.append(formatEvent(event))


def _doubted(case: TreeTests, twin: MemoryGateway) -> Any:
    from txigd.upnp.discovery.sighting import Doubted

    sighting = next(one for one in case.discovery.presence.sightings if one.location == twin.location)
    return Doubted(sighting, "byebye")


class RankingTests(ControlPointTestCase):
    def test_why_one_is_used_and_another_not(self) -> None:
        self.point = self.make(any_gateway=True)
        other = MemoryGateway(self.clock, "192.168.1.2", udn="uuid:other", name="Other")
        self.lan.gateways.append(other)
        self.point.start()
        self.discovery.alive(other)
        self.discovery.alive(self.router)
        used, spare = ranking(self.point)
        self.assertEqual((used.name, used.in_use, used.address), ("Router", True, self.router.address))
        self.assertIn("default route of this host", used.facts)
        self.assertEqual((spare.name, spare.in_use), ("Other", False))
        self.assertEqual(spare.facts[:2], ("not the default route", "the default route is preferred"))
        (connection,) = used.connections
        self.assertEqual((connection.rank, connection.meaning), (6, "connected, public address"))
        self.assertEqual((connection.external_ip, connection.in_use), ("11.22.33.44", True))

    def test_as_good_and_later(self) -> None:
        self.hops = ()
        other = MemoryGateway(self.clock, "192.168.1.2", udn="uuid:other", name="Other")
        self.lan.gateways.append(other)
        self.found()
        self.discovery.alive(other)
        self.assertIn("as good, but found later", ranking(self.point)[1].facts)

    def test_A4_what_is_not_asked_is_shown_all_the_same(self) -> None:
        rogue = MemoryGateway(self.clock, "192.168.1.66", udn="uuid:rogue")
        self.lan.gateways.append(rogue)
        self.found()
        self.discovery.alive(rogue)
        shown = ranking(self.point)[-1]
        self.assertEqual((shown.address, shown.in_use), ("192.168.1.66", False))
        self.assertIn("nothing is sent to it", shown.facts[0])
        self.assertEqual(self.to("192.168.1.66"), [])

    def test_another_address_of_the_router_is_no_other_gateway(self) -> None:
        """A router that is the default route over IPv4 announces itself over IPv6 as well."""
        over6 = MemoryGateway(self.clock, "fe80::1", udn=self.router.udn)
        self.lan.gateways.append(over6)
        self.found()
        with _Said(self) as said:
            self.discovery.alive(over6)
        shown = ranking(self.point)[-1]
        self.assertEqual(
            (shown.address, shown.facts),
            ("fe80::1", ("announces the gateway at 192.168.1.1 as well, so it is not asked",)),
        )
        self.assertEqual(said.lines, [])
        self.assertEqual(view_of(self.point)[-1], f"gateway at fe80::1: {shown.facts[0]}")

    def test_the_router_named_by_its_other_address_is_the_default_route(self) -> None:
        over6 = MemoryGateway(self.clock, "2001:db8::1", udn=self.router.udn)
        self.lan.gateways.append(over6)
        self.own["2001:db8::1"] = ipaddress.ip_address("2001:db8::7")
        self.point = self.make(gateway=str(over6.location))
        self.point.start()
        (used,) = ranking(self.point)
        self.assertIn("not the default route", used.facts, "nothing tells yet")
        self.discovery.alive(self.router)
        used = ranking(self.point)[0]
        self.assertEqual(
            used.facts[:2], ("named by the user", "default route of this host, at its address 192.168.1.1")
        )

    def test_one_that_does_not_answer_calls(self) -> None:
        self.router.faults["GetStatusInfo"] = self.router.faults["GetExternalIPAddress"] = "refuse"
        self.point.start()
        self.discovery.alive(self.router)
        (shown,) = ranking(self.point)
        self.assertEqual((shown.in_use, shown.facts[0]), (False, "not verified: refused"))
        self.assertEqual(shown.connections, ())

    def test_Q143_two_connections(self) -> None:
        self.router = MemoryGateway(self.clock, connection="both-with-PPP-live", version=1)
        self.lan.gateways[:] = [self.router]
        self.found()
        facts = {one.service: one for one in ranking(self.point)[0].connections}
        live, idle = facts["WANPPPConnection:1"], facts["WANIPConnection:1"]
        self.assertEqual((live.in_use, idle.in_use, live.rank > idle.rank), (True, False, True))

    def test_readings_follow_the_line(self) -> None:
        gateway = self.found()
        self.router.cut()
        self.successResultOf(gateway.wan.refresh())
        (connection,) = ranking(self.point)[0].connections
        self.assertEqual(connection.meaning, "not connected")


class SourceTests(ControlPointTestCase):
    """What the control point hears besides SSDP: a minissdpd, and multicast events."""

    def setUp(self) -> None:
        super().setUp()
        self.asking: list[Deferred[Any]] = []
        self.recalled: list[Any] = []
        self.targets: object = None
        case = self

        class Remembering:
            def __init__(self, clock: object, *, targets: object) -> None:
                case.targets = targets

            def ask(self, links: object) -> Deferred[Any]:
                case.asking.append(Deferred())
                return case.asking[-1]

        self.patch(control_point, "MiniSSDPd", Remembering)

        def recall(discovery: object, remembered: object) -> None:
            self.recalled.append(remembered)

        MemoryDiscovery.recall = recall  # type: ignore[attr-defined]
        self.addCleanup(delattr, MemoryDiscovery, "recall")

    def test_what_a_minissdpd_remembers_is_taken(self) -> None:
        self.point.start()
        self.assertEqual(self.targets, IGD_TARGETS)
        self.asking[0].callback(("remembered",))
        self.assertEqual(self.recalled, [("remembered",)])

    def test_nothing_remembered_is_nothing_said(self) -> None:
        self.point.start()
        self.asking[0].callback(())
        self.assertEqual(self.recalled, [])

    def test_F52_the_question_is_cancelled_at_stop(self) -> None:
        self.point.start()
        self.stop()
        self.assertTrue(self.asking[0].called)
        self.assertEqual(self.recalled, [])

    def test_the_listener_for_events_follows_start_links_and_stop(self) -> None:
        self.point.multicast = listener = Mock()
        listener.stop.return_value = succeed(None)
        self.point.start()
        self.links = (link(address="192.168.1.8/24"),)
        self.wait(LINK_POLL_SECONDS)
        self.stop()
        self.assertEqual([call[0] for call in listener.method_calls], ["set_links", "start", "set_links", "stop"])
        self.assertEqual(listener.method_calls[2].args, (self.links,))


class HookTests(GatewayTestCase):
    """What a gateway gives beside WAN and mappings."""

    def test_typed(self) -> None:
        self.open()
        service: Any = self.gateway.typed("WANIPConnection")
        self.assertEqual(type(service).__name__, "WANIPConnection2")
        told = self.successResultOf(service.get_status_info())
        self.assertEqual(told.connection_status, "Connected")
        self.assertEqual(self.gateway.service("WANIPConnection").capabilities["GetStatusInfo"], "works")
        self.assertRaises(NoService, self.gateway.typed, "RenderingControl")

    def test_typed_after_a_restart_with_other_urls(self) -> None:
        self.open()
        service: Any = self.gateway.typed("WANIPConnection")
        moved = MemoryGateway(self.clock, port=6000, udn=self.router.udn)
        self.lan.gateways[:] = [moved]
        self.gateway.device.described_again(device.parse(moved.document(), moved.location), US)
        self.assertEqual(self.successResultOf(service.get_external_ip_address()), "11.22.33.44")

    def test_a_service_of_no_standard(self) -> None:
        entry = (
            b"<service><serviceType>urn:x:service:Own:1</serviceType><serviceId>urn:x:serviceId:Own</serviceId>"
            b"<controlURL>/own</controlURL></service></serviceList>"
        )
        self.gateway = self.make(self.router.document().replace(b"</serviceList>", entry, 1))
        self.assertRaises(ActionNotOffered, self.gateway.typed, "Own")

    def test_link(self) -> None:
        self.open()
        self.assertEqual(self.successResultOf(self.gateway.link()), EthernetLink("Up"))
        self.gateway = self.make(self.router.document().replace(b"WANEthernetLinkConfig", b"WANOtherLinkConfig"))
        self.failureResultOf(self.gateway.link(), NoService)

    def test_traffic(self) -> None:
        self.open()
        self.lan.asked.clear()
        meter = self.gateway.traffic
        self.assertIs(self.gateway.traffic, meter)
        self.assertEqual(self.lan.asked, [], "nothing before it is started")
        meter.start()
        self.assertTrue(meter.value.answered)
        self.assertEqual(self.lan.count("GetTotalBytesSent"), 1)
        self.clock.advance(TRAFFIC_SECONDS)
        self.assertEqual(meter.value.rate.bytes_sent, 0.0)
        self.successResultOf(self.gateway.close())
        self.assertFalse(meter.running)

    def test_Q076_counters_and_line_of_the_wan_device_in_use(self) -> None:
        self.open()
        live = self.gateway.wan.connection.proxy.service
        document = self.router.document()
        start, end = document.index(b"<deviceList>") + len(b"<deviceList>"), document.rindex(b"</deviceList>")
        wan = document[start:end]
        other = wan.replace(b"<controlURL>/", b"<controlURL>/other/").replace(b"<UDN>uuid:", b"<UDN>uuid:other-")
        self.gateway = self.make(document[:start] + other + document[start:])
        self.open()
        self.assertNotEqual(self.gateway.service("WANCommonInterfaceConfig"), self.gateway.counters)
        self.assertEqual(self.gateway.wan.connection.proxy.service.control_url, live.control_url)
        self.assertNotIn("/other", str(self.gateway.counters.service.control_url))
        self.assertEqual(self.successResultOf(self.gateway.link()), EthernetLink("Up"))

    def test_traffic_goes_on_after_a_restart_and_says_no_nonsense(self) -> None:
        self.open()
        meter = self.gateway.traffic
        meter.start()
        self.clock.advance(TRAFFIC_SECONDS)
        before = meter.value.totals
        moved = MemoryGateway(self.clock, port=6000, udn=self.router.udn)
        self.lan.gateways[:] = [moved]
        self.gateway.device.described_again(device.parse(moved.document(), moved.location), US)
        self.open()
        self.clock.advance(TRAFFIC_SECONDS)
        self.assertIsNone(meter.value.rate.bytes_sent, "a restart is no wrap")
        self.clock.advance(TRAFFIC_SECONDS)
        self.assertEqual(meter.value.rate.bytes_sent, 0.0)
        self.assertEqual((meter.value.answered, meter.value.totals), (True, before))
        self.assertIsInstance(before, TrafficCounters)

    def test_an_event_of_the_line_is_read_along(self) -> None:
        self.open()
        self.initial()
        meter = self.gateway.traffic
        meter.start()
        self.clock.advance(TRAFFIC_SECONDS)
        self.assertEqual(self.lan.count("GetCommonLinkProperties"), 1)
        self.event(1, "CmnIfCfg", PhysicalLinkStatus="Down")
        self.clock.advance(TRAFFIC_SECONDS)
        self.assertEqual(self.lan.count("GetCommonLinkProperties"), 2)

    def test_none_that_counts(self) -> None:
        self.gateway = self.make(self.router.document().replace(b"WANCommonInterfaceConfig", b"WANOther"))
        with self.assertRaises(NoService):
            self.gateway.traffic


class ProfileTests(TestCase):
    """Models with several trees or lines, over real sockets."""

    timeout = 180

    async def gateway(self, name: str) -> Any:
        router = SimulatedGateway.profile(reactor, name, relay=False)
        await router.start()
        self.addCleanup(router.stop)
        point = ControlPoint(reactor, links=["lo"], gateway=router.location)
        point.start()
        self.addCleanup(point.stop)
        deadline = reactor.seconds() + 60
        while True:  # gateways of other tests live at this address as well
            self.assertLess(reactor.seconds(), deadline)
            mine = [one for one in point.gateways if one.udn == router.udn]
            if mine:
                return mine[0]
            await deferLater(reactor, 0.05)

    async def test_Q197_fritzbox(self) -> None:
        gateway = await self.gateway("fritzbox-like")
        deadline = reactor.seconds() + 60
        while len(gateway.device.descriptions) < 2:
            self.assertLess(reactor.seconds(), deadline)
            await deferLater(reactor, 0.05)
        versions = {f"{one.name}:{one.version}" for one in gateway.services}
        self.assertEqual(len(versions), len(gateway.services), "what both trees have counts once")
        self.assertEqual(len(gateway.wan.connections), 1)
        told = await gateway.device.service("WANIPConnection:1").call("GetStatusInfo")
        self.assertEqual(told["NewConnectionStatus"], "Connected")

    async def test_U04_two_WAN_ports(self) -> None:
        gateway = await self.gateway("er605-like")
        self.assertEqual(len(gateway.wan.connections), 2)
        self.assertEqual(len(gateway.wan.readings), 2)
        self.assertEqual(len({str(one.proxy.service.control_url) for one in gateway.wan.connections}), 2)


# what is inherited is tested where it stands
del ControlPointTestCase, GatewayTestCase
