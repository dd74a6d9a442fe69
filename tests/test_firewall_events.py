"""What an IPv6 firewall tells by itself: heard while there are pinholes, and acted upon at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.ipv6_gateway import LAN6, OURS, Gateway6
from txigd import ControlPoint
from txigd.errors import Stopped
from txigd.igd.firewall import Firewall
from txigd.igd.firewall_events import FirewallEvents
from txigd.igd.lease_facts import MappingState
from txigd.igd.pinhole import Pinhole
from txigd.igd.pinholes import Pinholes
from txigd.limits import SCPD_VARIABLES
from txigd.testing import SimulatedGateway
from txigd.upnp.control import soap
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.service_events import Event

reactor: Any = installed
WEB = Pinhole("TCP", 8080)
OPEN = {"FirewallEnabled": True, "InboundPinholeAllowed": True}
CLOSED = {"FirewallEnabled": True, "InboundPinholeAllowed": False}


class Heard:
    """One who observes a service, in place of a subscription."""

    def __init__(self) -> None:
        self.callback: Callable[[Event], object] | None = None
        self.missed: Callable[[str], object] | None = None
        self.begun = 0

    def observe_events(self, service: RemoteService, callback: Any, *, on_missed: Any, on_state: Any) -> Any:
        self.callback, self.missed = callback, on_missed
        self.begun += 1
        return self.forget

    def forget(self) -> None:
        self.callback = self.missed = None

    def tell(self, initial: bool = False, **values: Any) -> None:
        assert self.callback is not None
        self.callback(Event(values, initial))


class EventsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gateway = Gateway6(self.clock)
        self.lan = LAN6(self.clock, self.gateway)
        self.firewall = self.lan.firewall(self.lan.device(self.gateway))
        self.pinholes = Pinholes(self.clock)
        self.heard = heard = Heard()
        self.patch(
            RemoteService, "observe_events", lambda service, *a, **more: heard.observe_events(service, *a, **more)
        )
        self.events = FirewallEvents(self.pinholes, self.firewall)

    def tearDown(self) -> None:
        self.successResultOf(self.pinholes.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def open(self) -> None:
        self.pinholes.attach(self.firewall)
        self.events.begin()
        self.clock.pump([0.1] * 3)

    def test_nothing_is_heard_without_a_pinhole(self) -> None:
        self.open()
        self.assertEqual((self.heard.begun, self.events.eventing), (0, {}))
        held = self.pinholes.hold(WEB)
        self.clock.pump([0.1] * 3)
        self.assertEqual((self.heard.begun, list(self.events.eventing)), (1, ["WANIPv6FirewallControl:1"]))
        self.pinholes.hold(Pinhole("UDP", 5000))
        self.clock.pump([0.1] * 3)
        held.release()
        self.clock.pump([0.1] * 3)
        self.assertIsNotNone(self.heard.callback, "there is one left")
        for one in self.pinholes:
            one.release()
        self.clock.pump([0.1] * 3)
        self.assertIsNone(self.heard.callback)
        self.assertEqual((self.heard.begun, self.events.eventing), (1, {}))

    def test_Q196_a_change_is_acted_upon_at_once(self) -> None:
        held = self.pinholes.hold(WEB)
        self.open()
        self.heard.tell(initial=True, **OPEN)
        self.lan.asked.clear()
        self.gateway.state.pinholes.inbound_allowed = False
        self.heard.tell(**CLOSED)
        self.assertEqual(held.status.state, MappingState.REFUSED)
        self.gateway.state.pinholes.inbound_allowed = True
        self.heard.tell(**OPEN)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_Q196_a_change_while_the_former_one_is_looked_at_is_not_lost(self) -> None:
        held = self.pinholes.hold(WEB)
        self.open()
        self.heard.tell(initial=True, **OPEN)
        self.gateway.faults["UpdatePinhole"] = "hang"
        self.heard.tell(**CLOSED)
        (hanging,) = self.lan.hanging
        self.heard.tell(**OPEN)
        self.gateway.faults.clear()
        hanging.callback(Reply(500, "", (), soap.fault(703, ""), None))
        self.clock.advance(0)
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_what_tells_nothing_new_is_no_reason_to_ask(self) -> None:
        self.pinholes.hold(WEB)
        self.open()
        self.heard.tell(initial=True, **OPEN)
        self.lan.asked.clear()
        self.heard.tell(**OPEN)
        self.heard.tell(initial=True, **OPEN)
        self.assertEqual(self.lan.asked, [])

    def test_D6_names_without_end_are_not_kept(self) -> None:
        self.pinholes.hold(WEB)
        self.open()
        for number in range(SCPD_VARIABLES + 1):
            told: dict[str, Any] = {f"X_{number}": "1"}
            self.heard.tell(**told)
        self.assertEqual(len(self.events._last), SCPD_VARIABLES)

    def test_events_that_were_lost_are_made_up_for(self) -> None:
        self.pinholes.hold(WEB)
        self.open()
        self.heard.tell(initial=True, **OPEN)
        self.lan.asked.clear()
        assert self.heard.missed is not None
        self.heard.missed("a gap")
        self.assertEqual(self.lan.actions(), ["UpdatePinhole"])

    def test_a_gateway_that_is_gone_is_not_heard_until_it_is_back(self) -> None:
        self.pinholes.hold(WEB)
        self.open()
        self.events.end()
        self.pinholes.detach("gone")
        self.clock.pump([0.1] * 3)
        self.assertIsNone(self.heard.callback)
        self.open()
        self.assertEqual(self.heard.begun, 2)

    def test_Q197_heard_from_another_tree_of_the_same_host(self) -> None:
        bare = Gateway6(self.clock, extra_services=False)
        firewall = self.lan.firewall(self.lan.device(bare), self.lan.device(self.gateway))
        events = FirewallEvents(self.pinholes, firewall)
        self.pinholes.hold(WEB)
        events.begin()
        self.assertEqual(self.heard.begun, 1)

    def test_a_gateway_without_such_a_service_has_no_events(self) -> None:
        bare = Gateway6(self.clock, extra_services=False)
        events = FirewallEvents(self.pinholes, self.lan.firewall(self.lan.device(bare)))
        self.pinholes.hold(WEB)
        events.begin()
        self.assertEqual((self.heard.begun, events.eventing), (0, {}))

    def test_a_device_that_ended_meanwhile_is_not_heard(self) -> None:
        def gone(*words: Any, **more: Any) -> Any:
            raise Stopped

        self.patch(RemoteService, "observe_events", gone)
        self.pinholes.hold(WEB)
        self.open()
        self.assertEqual(self.events.eventing, {})


class SimulatedTests(TestCase):
    """Real sockets on loopback."""

    timeout = 180

    async def until(self, what: Callable[[], object], seconds: float = 60) -> None:
        deadline = reactor.seconds() + seconds
        while not what():
            self.assertLess(reactor.seconds(), deadline, "not in time")
            await deferLater(reactor, 0.02)

    async def test_Q196_a_firewall_that_is_switched(self) -> None:
        router = SimulatedGateway(reactor, address="::1", ssdp=False, relay=False)
        try:
            await router.start()
        except CannotListenError as error:
            raise SkipTest(f"no IPv6 here: {error}") from None
        self.addCleanup(router.stop)
        # this host need have no global address: it asks from loopback for another one
        self.patch(Firewall, "client", lambda *_, **__: OURS)
        self.patch(Exchange, "sending_from", lambda exchange, source: exchange)
        point = ControlPoint(reactor, gateway=router.location)
        point.start()
        self.addCleanup(point.stop)
        gateway = await point.gateway(timeout=20)
        name = "WANIPv6FirewallControl:1"
        self.assertNotIn(name, gateway.eventing)
        held = gateway.pinholes.hold(WEB)
        await held.when_active(timeout=20)
        await self.until(lambda: gateway.eventing.get(name) == "subscribed")
        router.state.pinholes.inbound_allowed = False
        router.update()
        await self.until(lambda: held.status.state is MappingState.REFUSED)
        router.state.pinholes.inbound_allowed = True
        router.update()
        await self.until(lambda: held.status.state is MappingState.ACTIVE)
        await held.release()
        await self.until(lambda: name not in gateway.eventing)
