"""The control point, stopped by those whom it tells something, and what they do with it while it stops."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tests.memory_lan import ROUTER, MemoryGateway
from tests.test_control_point import WEB, ControlPointTestCase, Observer, hop
from tests.test_mappings import MappingsTestCase
from txigd.errors import Stopped
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease_facts import MappingState, MappingStatus
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.interfaces import IDeviceObserver, IMappingObserver
from txigd.limits import BYEBYE_PROBE_SECONDS, FAREWELL_SECONDS, LINK_POLL_SECONDS, POLL_SECONDS
from txigd.upnp.remote_device import RemoteDevice


class Stopper(Observer):
    """Stops the control point when it hears one of some words, and says whether that was still running each time."""

    def __init__(self, point: ControlPoint, *words: str) -> None:
        super().__init__()
        self.point = point
        self.words = words
        self.stopped: Deferred[None] | None = None

    def _hear(self, what: str, who: str) -> None:
        super()._hear(what, who if self.point.running else f"{who}, stopped")
        if what in self.words:
            self.stopped = self.point.stop()


class StopFromObserverTests(ControlPointTestCase):
    """Whoever is told of something may stop it all; then nothing more is told, held or left."""

    options = {"any_gateway": True}

    def setUp(self) -> None:
        super().setUp()
        self.other = MemoryGateway(self.clock, "192.168.1.254", udn="uuid:other", name="Other")
        self.lan.gateways.append(self.other)

    def two(self) -> None:
        self.found()
        self.discovery.gateways.append(self.other)
        self.discovery.alive(self.other)
        self.wait(1)
        self.assertEqual(len(self.point.gateways), 2)

    def over(self, stopper: Stopper) -> None:
        """It is stopped, and nothing is left."""
        self.wait(FAREWELL_SECONDS)
        assert stopper.stopped is not None
        self.successResultOf(stopper.stopped)
        self.assertEqual((self.clock.getDelayedCalls(), self.lan.open), ([], set()))
        self.assertEqual((self.point.current, self.point.gateways), (None, ()))
        self.failureResultOf(self.point.gateway(), Stopped)
        self.assertEqual((self.ports(), self.ports(self.other)), ([], []))
        self.assertEqual((self.router.subscriptions, self.other.subscriptions), (set(), set()))

    def next_life(self) -> None:
        """What is held now is held in the next life, and nowhere before."""
        held = self.point.mappings.hold(PortMapping("TCP", 8081))
        self.wait(1)
        self.assertEqual((held.status.state, self.ports(), self.ports(self.other)), (MappingState.WAITING, [], []))
        self.hops = (hop(),)
        self.found()
        self.assertEqual(self.successResultOf(held.when_active()).state, MappingState.ACTIVE)
        self.stop()

    def test_F16_when_another_gateway_takes_over(self) -> None:
        for word, heard in (("lost", [("lost", "Router")]), ("found", [("lost", "Router"), ("found", "Other")])):
            self.two()
            self.point.mappings.hold(WEB)
            self.wait(1)
            stopper, second = Stopper(self.point, word), Stopper(self.point)
            self.point.observe(stopper)
            self.point.observe(second)
            self.hops = (hop("192.168.1.254"),)
            self.wait(LINK_POLL_SECONDS)
            self.assertEqual((stopper.heard, second.heard), (heard, heard[:-1]))
            self.over(stopper)
            self.point.forget(stopper)
            self.point.forget(second)
            self.next_life()

    def test_the_one_that_answered_first_is_not_told_where_another_one_stopped(self) -> None:
        stopper = Stopper(self.point, "found")
        self.point.observe(stopper)
        self.point.start()
        waiting = self.point.gateway()
        self.discovery.alive(self.router)
        self.failureResultOf(waiting, Stopped)
        self.over(stopper)

    def test_when_it_opens_at_last(self) -> None:
        stopper = Stopper(self.point, "found")
        self.point.observe(stopper)
        self.router.faults["GetStatusInfo"] = self.router.faults["GetExternalIPAddress"] = "refuse"
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(1)
        self.router.faults.clear()
        self.wait(5)
        self.over(stopper)

    def test_F20_when_another_device_answers_in_its_place(self) -> None:
        self.found()
        self.wait(BYEBYE_PROBE_SECONDS)
        stopper = Stopper(self.point, "lost")
        self.point.observe(stopper)
        self.lan.gateways[:] = [MemoryGateway(self.clock, udn="uuid:instead", name="Instead")]
        self.router.subscriptions.clear()
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.wait(1)
        self.assertEqual(stopper.heard, [("lost", "Router")])
        self.over(stopper)
        self.assertEqual(self.point.devices, ())

    def test_by_one_of_several_who_waited(self) -> None:
        stopper = Stopper(self.point)
        self.point.start()
        one, other = self.point.gateway(), self.point.gateway()
        one.addCallback(lambda gateway: stopper._hear("waited", gateway.friendly_name))
        stopper.words = ("waited",)
        self.discovery.alive(self.router)
        self.failureResultOf(other, Stopped)
        self.over(stopper)

    def test_who_hears_of_the_loss_waits_for_the_next_one(self) -> None:
        self.two()
        waiting: list[Deferred[Gateway]] = []
        self.patch(self.observer, "gateway_lost", lambda gateway: waiting.append(self.point.gateway()))
        self.hops = (hop("192.168.1.254"),)
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.successResultOf(waiting[0]).friendly_name, "Other")
        self.stop()

    def test_the_only_gateway_is_gone(self) -> None:
        self.found()
        stopper = Stopper(self.point, "lost")
        self.point.observe(stopper)
        self.lan.gateways.remove(self.router)
        self.router.subscriptions.clear()
        self.discovery.byebye(self.router)
        self.wait(BYEBYE_PROBE_SECONDS)
        self.assertEqual(stopper.heard, [("lost", "Router")])
        self.over(stopper)

    def test_by_one_who_hears_of_the_line(self) -> None:
        gateway = self.found()
        stopper, second = Stopper(self.point, "wan"), Stopper(self.point)
        gateway.wan.observe(stopper)
        gateway.wan.observe(second)
        self.point.mappings.hold(WEB)
        self.router.cut()
        self.wait(POLL_SECONDS)
        self.assertEqual((len(stopper.heard), second.heard), (1, []))
        self.over(stopper)


@implementer(IMappingObserver, IDeviceObserver)
class Doer:
    """Does something, once, when it hears of a certain step."""

    def __init__(self, word: str, what: Callable[[Any], object]) -> None:
        self.word = word
        self.what: Callable[[Any], object] | None = what
        self.heard: list[str] = []

    def _hear(self, word: str, who: Any) -> None:
        self.heard.append(word)
        if word == self.word and self.what is not None:
            what, self.what = self.what, None
            what(who)

    def mapping_changed(self, held: HeldMapping, old: MappingStatus, new: MappingStatus) -> None:
        self._hear(new.state.value, held)

    def device_appeared(self, device: RemoteDevice) -> None:
        self._hear("appeared", device)

    def device_changed(self, device: RemoteDevice) -> None:
        self._hear("changed", device)

    def device_gone(self, device: RemoteDevice) -> None:
        self._hear("gone", device)


class OtherObserversTests(ControlPointTestCase):
    """Observers of mappings, devices and events that stop, release or hold from inside their callback."""

    def setUp(self) -> None:
        super().setUp()
        self.stopped: list[Deferred[None]] = []

    def stop_all(self, told: object = None) -> None:
        self.stopped.append(self.point.stop())

    def over(self) -> None:
        self.wait(FAREWELL_SECONDS)
        for stopped in self.stopped:
            self.successResultOf(stopped)
        self.assertNotEqual(self.stopped, [])
        self.assertEqual((self.clock.getDelayedCalls(), self.lan.open), ([], set()))
        self.assertEqual((self.ports(), self.router.subscriptions), ([], set()))
        self.assertEqual(self.callbacks.open_urls, [])
        asked = len(self.lan.asked)
        self.wait(2 * POLL_SECONDS)
        self.assertEqual(len(self.lan.asked), asked)

    def restart(self) -> None:
        self.router.state.table.clear()
        self.router.subscriptions.clear()
        self.router.boot_id += 1
        self.discovery.alive(self.router)

    def test_stopped_at_each_step_of_a_mapping(self) -> None:
        for word in ("adding", "active", "lost", "released"):
            self.found()
            doer = Doer(word, self.stop_all)
            self.point.mappings.observe(doer)
            self.point.mappings.hold(PortMapping("TCP", 7000))
            held = self.point.mappings.hold(WEB)
            self.wait(1)
            if word == "released":
                held.release()
            if word == "lost":
                self.point.mappings.detach("gone")
            self.clock.advance(0)
            self.assertIsNone(doer.what, word)
            self.over()
            self.assertEqual(len(self.point.mappings), 0)
            self.point.mappings.forget(doer)

    def test_stopped_before_the_end_of_a_mapping_was_told(self) -> None:
        self.found()
        self.point.mappings.observe(Doer("adding", self.stop_all))
        held = self.point.mappings.hold(WEB)
        self.successResultOf(held.release())
        self.over()
        self.assertEqual(tuple(self.point.mappings), ())

    def test_stopped_when_a_release_is_done(self) -> None:
        self.found()
        for _ in range(2):
            held = self.point.mappings.hold(WEB)
            self.point.mappings.hold(PortMapping("TCP", 7000))
            self.wait(1)
            held.release().addCallback(self.stop_all)
            self.over()
            self.found()
        self.stop()

    def test_stopped_when_a_release_is_given_up(self) -> None:
        self.found()
        held = self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "refuse"
        held.release().addCallback(lambda _: self.router.faults.clear()).addCallback(self.stop_all)
        self.wait(60)
        self.over()

    def test_stopped_when_a_release_is_done_by_the_opening_of_the_gateway(self) -> None:
        self.found()
        held = self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "hang"
        held.release().addCallback(self.stop_all)
        self.wait(1)
        self.router.faults.clear()
        self.own[ROUTER] = ipaddress.IPv6Address("fe80::7")
        self.restart()
        self.over()

    def test_stopped_by_one_who_hears_of_a_device(self) -> None:
        for word in ("appeared", "changed", "gone"):
            doer, second = Doer(word, self.stop_all), Doer("", self.stop_all)
            self.point.observe_devices(doer)
            self.point.observe_devices(second)
            self.point.start()
            self.discovery.gateways.append(self.router)
            self.discovery.alive(self.router)
            if word == "changed":
                self.wait(BYEBYE_PROBE_SECONDS)
                self.restart()
            elif word == "gone":
                self.lan.gateways.clear()
                self.router.subscriptions.clear()
                self.discovery.byebye(self.router)
            self.wait(BYEBYE_PROBE_SECONDS)
            self.assertIsNone(doer.what, word)
            self.assertEqual(second.heard, doer.heard[:-1])
            self.over()

    def test_stopped_at_each_state_of_a_subscription(self) -> None:
        for wanted in ("subscribing", "subscribed", "stopped"):
            gateway = self.found()
            heard: list[str] = []

            def told(state: str, heard: list[str] = heard, wanted: str = wanted) -> None:
                heard.append(state)
                if state == wanted:
                    self.stop_all()

            remote = gateway.device.service("WANCommonInterfaceConfig")
            remote.observe_events(lambda event: None, on_state=told)
            self.wait(BYEBYE_PROBE_SECONDS)
            self.router.faults["SUBSCRIBE"] = "hang"
            self.restart()
            if wanted == "stopped":
                self.point.stop()
            self.wait(BYEBYE_PROBE_SECONDS)
            self.router.faults.clear()
            self.wait(10 * POLL_SECONDS)
            self.assertIn(wanted, heard)
            self.over()

    def test_stopped_by_the_first_observer_of_a_service(self) -> None:
        for wanted in ("described", "subscribed"):
            self.point = self.make(events=False)
            gateway = self.found()
            heard: list[str] = []

            def told(state: str, heard: list[str] = heard, wanted: str = wanted) -> None:
                heard.append(state)
                if state == wanted:
                    self.stop_all()

            gateway.device.service("WANCommonInterfaceConfig").observe_events(lambda event: None, on_state=told)
            self.wait(1)
            self.assertIn(wanted, heard)
            self.over()

    def test_released_and_held_at_each_step(self) -> None:
        for word in ("adding", "active"):
            self.found()
            again: list[HeldMapping] = []

            def renew(held: HeldMapping, again: list[HeldMapping] = again) -> None:
                held.release()
                again.append(self.point.mappings.hold(held.wanted))

            doer = Doer(word, renew)
            self.point.mappings.observe(doer)
            self.point.mappings.hold(WEB)
            self.wait(2)
            self.assertEqual((again[0].status.state, len(self.point.mappings)), (MappingState.ACTIVE, 1))
            self.assertEqual(len(self.ports()), 1)
            self.stop_all()
            self.over()
            self.point.mappings.forget(doer)


class OtherConnectionTests(MappingsTestCase):
    def test_F23_stopped_when_a_release_is_done_by_another_connection(self) -> None:
        self.mappings.attach(self.connection)
        self.router.faults["GetSpecificPortMappingEntry"] = "hang"
        self.mappings.hold(WEB).release().addCallback(lambda _: self.mappings.stop())
        self.router.faults.clear()
        other = self.connect(self.router)
        other.udn = "uuid:other"
        self.mappings.attach(other)
        self.wait(FAREWELL_SECONDS)
        self.assertEqual(tuple(self.mappings), ())
        self.mappings.hold(PortMapping("TCP", 9000))
        self.wait(1)
        self.assertEqual(self.ports(), [])


class HeldWhileStoppingTests(ControlPointTestCase):
    """What is wanted of the control point while it stops is held in its next life; a gateway has none."""

    def test_held_in_the_next_life(self) -> None:
        for fault in (None, "hang"):
            self.found()
            former = self.point.mappings.hold(WEB)
            self.wait(1)
            if fault:
                self.router.faults["DeletePortMapping"] = fault
            again: list[HeldMapping] = []

            def renew(held: HeldMapping, again: list[HeldMapping] = again) -> None:
                again.append(self.point.mappings.hold(held.wanted))

            doer = Doer("released", renew)
            self.point.mappings.observe(doer)
            stopped = self.point.stop()
            other = self.point.mappings.hold(PortMapping("TCP", 9000))
            pinhole = self.point.pinholes.hold(Pinhole("TCP", 443))
            self.wait(FAREWELL_SECONDS)
            self.successResultOf(stopped)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(former.status.state, MappingState.RELEASED)
            for held in (*again, other):
                self.assertIn(held, tuple(self.point.mappings))
                self.assertEqual(held.status.state, MappingState.WAITING)
            self.assertEqual(tuple(self.point.pinholes), (pinhole,))
            self.router.faults.clear()
            self.found()
            self.wait(1)
            self.assertEqual([held.status.state for held in (*again, other)], [MappingState.ACTIVE] * 2)
            self.assertEqual(len(self.ports()), 2)
            self.point.mappings.forget(doer)
            self.stop()
            self.assertEqual((len(self.point.mappings), len(self.point.pinholes), self.ports()), (0, 0, []))

    def test_held_when_a_release_is_done_by_the_stop(self) -> None:
        self.found()
        former = self.point.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "hang"
        again: list[HeldMapping] = []
        former.release().addCallback(lambda _: again.append(self.point.mappings.hold(WEB)))
        stopped = self.point.stop()
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(tuple(self.point.mappings), tuple(again))
        self.assertEqual(again[0].status.state, MappingState.WAITING)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_by_the_gateway(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.wait(1)
        self.router.faults["DeletePortMapping"] = "hang"
        stopped = self.point.stop()
        for _ in range(2):
            self.assertRaises(Stopped, gateway.mappings.hold, WEB)
            self.assertRaises(Stopped, gateway.mappings.hold, PortMapping("TCP", 9000))
            self.assertRaises(Stopped, gateway.mappings.exchange, [WEB])
            self.assertRaises(Stopped, gateway.pinholes.hold, Pinhole("TCP", 443))
            self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
