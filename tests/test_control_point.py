"""The control point for gateways, in memory: discovery fed by the test, gateways behind a fake exchange, a clock."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import replace
from random import Random
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.memory_lan import ROUTER, US, MemoryCallbacks, MemoryDiscovery, MemoryGateway, MemoryLAN, ending, reply
from txigd.errors import AddressingError, ExchangeError, InvalidArgument, NoGateway, NotAGateway, Stopped
from txigd.igd import waiters
from txigd.igd.control_point import ControlPoint, host_id
from txigd.igd.gateway import Gateway
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.igd.status import WANStatus
from txigd.interfaces import IGatewayObserver, IWANObserver
from txigd.limits import (
    BOOT_RETRY_SECONDS,
    BYEBYE_PROBE_SECONDS,
    DESCRIPTION_FETCHES,
    DESCRIPTION_FETCHES_PER_MINUTE,
    DESCRIPTION_RETRY_SECONDS,
    DOUBT_AGAIN_SECONDS,
    EXPIRY_GRACE_SECONDS,
    FAREWELL_SECONDS,
    LINK_POLL_SECONDS,
    LINKLESS_POLL_SECONDS,
    LOCATIONS_PER_DEVICE,
    NAMED_RETRY_CEILING_SECONDS,
    OLD_TOKEN_SECONDS,
    POLL_SECONDS,
    REBOOTS_AT_ONCE,
    RECHECK_SECONDS,
    SEARCH_AGAIN_SECONDS,
    UNREADY_CEILING_SECONDS,
    UPTIME_FALL_CEILING_SECONDS,
)
from txigd.upnp import addressing, control_point
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.discovery.sighting import Evicted
from txigd.upnp.url import DeviceURL

WEB = PortMapping("TCP", 8080, description="web")
ROGUE = "192.168.1.66"


def link(name: str = "eth0", address: str = "192.168.1.7/24", index: int = 2) -> Link:
    return Link(name, index, (ipaddress.IPv4Interface(address),))


def hop(address: str = ROUTER, name: str = "eth0") -> NextHop:
    return NextHop(ipaddress.ip_address(address), name)


@implementer(IGatewayObserver, IWANObserver)
class Observer:
    """Keeps what it hears; raises if told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[tuple[str, str]] = []
        self.error = error

    def _hear(self, what: str, who: str) -> None:
        self.heard.append((what, who))
        if self.error is not None:
            raise self.error

    def gateway_found(self, gateway: Gateway) -> None:
        self._hear("found", gateway.friendly_name)

    def gateway_lost(self, gateway: Gateway) -> None:
        self._hear("lost", gateway.friendly_name)

    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        self._hear("wan", str(new))


class ControlPointTestCase(SynchronousTestCase):
    options: dict[str, object] = {}

    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock)
        self.lan = MemoryLAN(self.clock, self.router)
        self.links: Any = (link(),)
        self.hops: tuple[NextHop, ...] = (hop(),)
        self.own: dict[str, object] = {}
        self.patch(addressing, "links", self._links)
        self.patch(addressing, "next_hops", lambda: self.hops)
        self.patch(addressing, "address_towards", self._towards)
        self.patch(control_point, "Discovery", MemoryDiscovery)
        self.patch(control_point, "Exchange", self._exchange)
        self.patch(control_point, "CallbackServer", MemoryCallbacks)
        self.observer = Observer()
        self.point = self.make(**self.options)

    def _links(self, names=()) -> tuple[Link, ...]:
        if isinstance(self.links, Exception):
            raise self.links
        return self.links

    def _towards(self, host):
        own = self.own.get(str(host), US)
        if isinstance(own, Exception):
            raise own
        return own

    def _exchange(self, reactor: Clock) -> MemoryLAN:
        self.lan.closed = False
        return self.lan

    def make(self, **options) -> ControlPoint:
        point = ControlPoint(self.clock, **options)
        point.observe(self.observer)
        return point

    @property
    def discovery(self) -> MemoryDiscovery:
        assert self.point.discovery is not None
        return cast(MemoryDiscovery, self.point.discovery)

    @property
    def callbacks(self) -> MemoryCallbacks:
        return cast(MemoryCallbacks, self.point.callbacks)

    def found(self) -> Gateway:
        """Start, let the router announce itself."""
        self.point.start()
        self.discovery.gateways.append(self.router)
        self.discovery.alive(self.router)
        return self.successResultOf(self.point.gateway())

    def wait(self, seconds: float, step: float = 0.5) -> None:
        self.clock.pump([step] * round(seconds / step))

    def fetched(self, gateway: MemoryGateway | None = None) -> int:
        location = (gateway or self.router).location
        return sum(asked.method == "GET" and asked.url == location for asked in self.lan.asked)

    def to(self, address: str) -> list[str]:
        return [asked.name for asked in self.lan.asked if str(asked.url.host) == address]

    def ports(self, gateway: MemoryGateway | None = None) -> list[tuple[int, str]]:
        return [(entry.external_port, entry.internal_client) for entry in (gateway or self.router).table]

    def stop(self) -> None:
        stopped = self.point.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lan.open, set())


class FindingTests(ControlPointTestCase):
    def test_at_once_without_a_fixed_wait(self) -> None:
        self.point.start()
        asked = self.point.gateway(5)
        self.discovery.alive(self.router)
        gateway = self.successResultOf(asked)
        self.assertEqual((gateway.friendly_name, gateway.udn), ("Router", self.router.udn))
        self.assertEqual(self.clock.seconds(), 0)
        self.assertEqual(self.observer.heard, [("found", "Router")])
        self.assertIs(self.point.current, gateway)
        self.assertEqual(self.point.gateways, (gateway,))

    def test_a_fresh_deferred_for_each_caller_cancellable(self) -> None:
        self.point.start()
        one, other = self.point.gateway(), self.point.gateway()
        self.assertIsNot(one, other)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.discovery.alive(self.router)
        self.successResultOf(other)
        self.stop()

    def test_F60_one_who_waited_ends_the_others(self) -> None:
        self.point.start()
        one, other, last = (self.point.gateway() for _ in range(3))
        one.addCallback(ending(other, last))
        self.discovery.alive(self.router)
        self.assertEqual(self.successResultOf(one).udn, self.router.udn)
        self.failureResultOf(other, CancelledError)
        self.failureResultOf(last, CancelledError)
        self.stop()

    def test_none_answers_in_time(self) -> None:
        self.point.start()
        asked = self.point.gateway(3)
        self.wait(2.5)
        self.assertNoResult(asked)
        self.wait(0.5)
        self.assertEqual(str(self.failureResultOf(asked, NoGateway).value), "no gateway answered on eth0 in 3 s")
        self.discovery.alive(self.router)
        self.successResultOf(self.point.gateway())

    def test_more_callers_than_may_wait(self) -> None:
        self.patch(waiters, "WAITERS", 1)
        self.point.start()
        self.point.gateway().addErrback(lambda _: None)
        self.failureResultOf(self.point.gateway(), NoGateway)
        self.stop()

    def test_a_gateway_counts_when_its_wan_side_was_read(self) -> None:
        self.router.faults["GetStatusInfo"] = self.router.faults["GetExternalIPAddress"] = "refuse"
        self.point.start()
        self.discovery.alive(self.router)
        asked = self.point.gateway(5)
        self.wait(2)
        self.assertNoResult(asked)
        self.assertEqual(self.point.gateways, ())
        self.router.faults.clear()
        self.wait(3)
        self.successResultOf(asked)

    def test_why_not_is_said(self) -> None:
        self.router.faults["GetStatusInfo"] = self.router.faults["GetExternalIPAddress"] = "html"
        self.point.start()
        self.discovery.alive(self.router)
        asked = self.point.gateway(3)
        self.wait(3)
        self.assertIn("HTML", str(self.failureResultOf(asked, NoGateway).value))

    def test_Q012_what_is_no_gateway_changes_nothing(self) -> None:
        other = MemoryGateway(self.clock, port=8000, udn="uuid:media")
        other.document = lambda: (  # type: ignore[method-assign]
            b"<root><device><deviceType>urn:x:device:MediaServer:1</deviceType><UDN>uuid:media</UDN></device></root>"
        )
        page = MemoryGateway(self.clock, port=8001, udn="uuid:page")
        page.faults["*"] = "html"
        self.lan.gateways += [other, page]
        self.point.start()
        asked = self.point.gateway()
        self.discovery.alive(other)
        self.discovery.alive(page)
        self.discovery.alive(self.router)
        self.assertEqual(self.successResultOf(asked).udn, self.router.udn)
        self.assertEqual(len(self.point.gateways), 1)
        self.stop()

    def test_a_connection_service_without_a_control_url_is_no_gateway(self) -> None:
        self.router.document = lambda: (  # type: ignore[method-assign]
            b"<root><device><deviceType>d</deviceType><UDN>uuid:1</UDN><serviceList><service><serviceType>"
            b"urn:schemas-upnp-org:service:WANIPConnection:1</serviceType></service></serviceList></device></root>"
        )
        self.point.start()
        self.discovery.alive(self.router)
        asked = self.point.gateway(1)
        self.wait(1)
        self.failureResultOf(asked, NoGateway)
        self.stop()

    def test_F56_it_is_searched_again_while_none_is_found_and_not_after(self) -> None:
        self.point.start()
        self.wait(sum(SEARCH_AGAIN_SECONDS) + 1, 1)
        self.assertEqual(self.discovery.searches, 1 + len(SEARCH_AGAIN_SECONDS))
        self.discovery.alive(self.router)
        self.wait(2 * SEARCH_AGAIN_SECONDS[-1], 1)
        self.assertEqual(self.discovery.searches, 1 + len(SEARCH_AGAIN_SECONDS))

    def test_context_manager_and_observers(self) -> None:
        bad = Observer(ZeroDivisionError())
        self.point.observe(bad)
        self.point.observe(self.observer)

        async def use():
            async with self.point as point:
                self.discovery.alive(self.router)
                return (await point.gateway()).friendly_name

        using = Deferred.fromCoroutine(use())
        self.assertEqual(self.successResultOf(using), "Router")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.observer.heard, [("found", "Router")] * 2)
        self.point.forget(bad)
        self.point.forget(bad)
        self.assertFalse(self.point.running)

    def test_host_id_is_stable_and_short(self) -> None:
        self.assertRegex(host_id(), "^[0-9a-f]{8}$")
        self.assertEqual(host_id(), host_id())


class RogueTests(ControlPointTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rogue = MemoryGateway(self.clock, ROGUE, udn="uuid:rogue", name="Rogue")
        self.lan.gateways.append(self.rogue)

    def test_A4_F22_no_request_to_one_that_is_not_the_next_hop(self) -> None:
        self.point.start()
        for _ in range(3):
            self.discovery.alive(self.rogue)
            self.rogue.boot_id += 1
            self.wait(BYEBYE_PROBE_SECONDS)
        self.discovery.byebye(self.rogue)
        self.assertEqual(self.to(ROGUE), [])
        self.assertEqual(self.point.declined_hosts, (ROGUE,))
        asked = self.point.gateway(1)
        self.wait(1)
        self.assertIn(ROGUE, str(self.failureResultOf(asked, NoGateway).value))
        self.discovery.alive(self.router)
        self.assertEqual(self.successResultOf(self.point.gateway()).address, ipaddress.ip_address(ROUTER))

    def test_A4_one_that_bears_the_name_of_the_gateway_in_use(self) -> None:
        self.found()
        twin = MemoryGateway(self.clock, ROGUE, port=81, udn=self.router.udn)
        self.lan.gateways.append(twin)
        self.discovery.alive(twin)
        self.discovery.byebye(twin)
        self.wait(5)
        self.assertEqual(self.to(ROGUE), [])
        self.assertEqual(str(self.point.gateways[0].address), ROUTER)

    def test_any_gateway_lists_both_and_uses_the_next_hop(self) -> None:
        self.point = self.make(any_gateway=True)
        self.point.start()
        self.discovery.alive(self.rogue)
        self.assertEqual(self.successResultOf(self.point.gateway()).friendly_name, "Rogue")
        held = self.point.mappings.hold(WEB)
        self.assertEqual(self.ports(self.rogue), [(8080, str(US))])
        self.discovery.alive(self.router)
        self.assertEqual([gateway.friendly_name for gateway in self.point.gateways], ["Router", "Rogue"])
        self.assertEqual(self.observer.heard, [("found", "Rogue"), ("lost", "Rogue"), ("found", "Router")])
        self.assertEqual((self.ports(self.rogue), self.ports()), ([], [(8080, str(US))]))
        self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_without_a_default_route_whatever_answers(self) -> None:
        self.hops = ()
        self.point.start()
        self.discovery.alive(self.rogue)
        self.successResultOf(self.point.gateway())

    def test_A4_a_default_route_that_goes_away_lets_no_other_in(self) -> None:
        self.point.start()
        self.discovery.alive(self.rogue)
        self.hops = ()
        self.wait(LINK_POLL_SECONDS + 1)
        self.discovery.alive(self.rogue)
        self.links = ()
        self.wait(LINK_POLL_SECONDS + 1)
        self.links = (link(),)
        self.wait(LINK_POLL_SECONDS + 1)
        self.rogue.boot_id += 1
        self.discovery.alive(self.rogue)
        self.assertEqual(self.to(ROGUE), [])

    def test_on_a_named_link_without_a_default_route(self) -> None:
        self.hops = (hop("10.0.0.1", "wlan0"),)
        self.point = self.make(links=["eth0"])
        self.point.start()
        self.discovery.alive(self.rogue, link="eth1")
        self.assertEqual(self.to(ROGUE), [])
        self.discovery.presence.forget(self.rogue.location)
        self.discovery.alive(self.rogue)
        self.successResultOf(self.point.gateway())

    def test_F16_the_default_route_moves(self) -> None:
        self.found()
        held = self.point.mappings.hold(WEB)
        self.discovery.alive(self.rogue)
        self.assertEqual(self.to(ROGUE), [])
        self.hops = (hop(ROGUE),)
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.successResultOf(self.point.gateway()).friendly_name, "Rogue")
        self.assertEqual((self.ports(), self.ports(self.rogue)), ([], [(8080, str(US))]))
        self.clock.advance(0)
        self.assertEqual(held.status.state, MappingState.ACTIVE)


class NamedTests(ControlPointTestCase):
    def test_by_url_without_any_discovery(self) -> None:
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        self.successResultOf(self.point.gateway())
        self.stop()

    def test_by_url_tried_on_until_it_answers(self) -> None:
        self.lan.gateways.clear()
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        asked = self.point.gateway(60)
        late = self.point.gateway(2)
        self.wait(20)
        self.assertNoResult(asked)
        self.assertIn("nobody at 192.168.1.1:5000", str(self.failureResultOf(late, NoGateway).value))
        self.lan.gateways.append(self.router)
        self.wait(30)
        self.successResultOf(asked)

    def test_by_url_gone_and_back_without_a_word(self) -> None:
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        gateway = self.successResultOf(self.point.gateway())
        self.router.faults["*"] = "refuse"
        self.wait(POLL_SECONDS + BOOT_RETRY_SECONDS + 40)
        self.assertIsNone(self.point.current)
        self.router.faults.clear()
        self.wait(31)
        self.assertIs(self.point.current, gateway)

    def test_by_url_described_once_while_control_does_not_answer(self) -> None:
        self.router.faults = {"GetStatusInfo": "refuse"}
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        self.wait(60)
        self.assertEqual(self.fetched(), 1)
        self.router.faults.clear()
        self.wait(31)
        self.successResultOf(self.point.gateway())

    def test_by_url_of_something_else(self) -> None:
        self.router.document = lambda: (  # type: ignore[method-assign]
            b"<root><device><deviceType>urn:x:device:Basic:1</deviceType><UDN>uuid:b</UDN></device></root>"
        )
        self.point = self.make(gateway=str(self.router.location))
        asked = self.point.gateway()
        self.point.start()
        self.assertIn("urn:x:device:Basic:1", str(self.failureResultOf(asked, NotAGateway).value))
        self.failureResultOf(self.point.gateway(), NotAGateway)
        before = len(self.lan.asked)
        self.wait(60)
        self.assertEqual(len(self.lan.asked), before, "it is what it is")
        self.stop()

    def test_by_url_of_a_page_for_people(self) -> None:
        self.router.faults["*"] = "html"
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        asked = self.point.gateway(5)
        self.wait(5)
        self.failureResultOf(asked, NotAGateway)

    def test_Q052_by_url_while_it_boots_and_answers_with_nothing(self) -> None:
        self.router.answers[f"GET {self.router.location.target}"] = lambda asked: reply(200, b"")
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        asked = self.point.gateway(20)
        self.wait(5)
        self.router.answers.clear()
        self.wait(15)
        self.successResultOf(asked)

    def test_by_url_that_hangs(self) -> None:
        self.router.faults["*"] = "hang"
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        asked = self.point.gateway(5)
        self.wait(5)
        self.failureResultOf(asked, NoGateway)
        self.stop()

    def test_F03_by_url_and_gone_to_another_port(self) -> None:
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        gateway = self.successResultOf(self.point.gateway())
        self.router.port = 5001
        self.wait(POLL_SECONDS + BOOT_RETRY_SECONDS + 40)
        self.assertIsNone(self.point.current)
        self.discovery.alive(self.router)
        self.assertIs(self.successResultOf(self.point.gateway()), gateway)
        self.assertIn(":5001/", gateway.location)
        self.stop()

    def test_by_address_asked_by_unicast_only_and_no_other_used(self) -> None:
        self.hops = (hop("192.168.1.254"),)
        self.point = self.make(gateway=ROUTER)
        self.point.start()
        self.wait(3)
        self.assertEqual(self.discovery.probed, [ROUTER] * 3)
        rogue = MemoryGateway(self.clock, ROGUE, udn="uuid:rogue")
        self.lan.gateways.append(rogue)
        self.discovery.alive(rogue)
        self.assertEqual(self.to(ROGUE), [])
        self.discovery.gateways.append(self.router)
        self.wait(10)
        self.successResultOf(self.point.gateway())
        probed = len(self.discovery.probed)
        self.wait(60)
        self.assertEqual(len(self.discovery.probed), probed)
        self.stop()

    def test_A4_Q006_only_what_is_named_is_searched_by_unicast(self) -> None:
        for named, searched in (
            (None, [True, True]),
            (ROUTER, [True, False]),
            (str(self.router.location), [True, False]),
            (ROGUE, [False, False]),
            (f"http://{ROGUE}:80/d.xml", [False, False]),
        ):
            self.point = self.make(gateway=named)
            self.point.start()
            may_ask = self.discovery.given["may_ask"]
            self.assertEqual([may_ask(hop(one).address) for one in (ROUTER, "192.168.1.254")], searched, named)
            self.assertEqual(self.discovery.given["next_hops"], self.hops, "what they say is believed all the same")
            self.successResultOf(self.point.stop())

    def test_by_address_where_something_else_answers_first(self) -> None:
        media = MemoryGateway(self.clock, port=8000, udn="uuid:media")
        media.document = lambda: (  # type: ignore[method-assign]
            b"<root><device><deviceType>urn:x:device:MediaServer:1</deviceType><UDN>uuid:media</UDN></device></root>"
        )
        self.lan.gateways.append(media)
        self.point = self.make(gateway=ROUTER)
        self.point.start()
        self.discovery.alive(media)
        probed = len(self.discovery.probed)
        self.wait(5)
        self.assertGreater(len(self.discovery.probed), probed, "still asking")
        self.discovery.alive(self.router)
        self.successResultOf(self.point.gateway())

    def test_by_address_that_no_link_leads_to(self) -> None:
        self.point = self.make(gateway="10.9.9.9")
        self.point.start()
        self.discovery.reaches = False
        asked = self.point.gateway(5)
        self.wait(5)
        self.assertIn("no link", str(self.failureResultOf(asked, NoGateway).value))

    def test_unusable_names(self) -> None:
        for name in ("router.lan", "http://router.lan/", "https://192.168.1.1/", "192.168.1.1/24"):
            self.assertRaises(InvalidArgument, self.make, gateway=name)


class PresenceTests(ControlPointTestCase):
    def test_A5_Q034_a_byebye_is_asked_about_before_it_is_believed(self) -> None:
        gateway = self.found()
        held = gateway.mappings.hold(WEB)
        self.clock.advance(0)
        self.lan.asked.clear()
        for _ in range(1000):
            self.discovery.byebye(self.router)
        self.wait(BYEBYE_PROBE_SECONDS - 1)
        self.assertEqual(self.fetched(), 1)
        self.assertIs(self.point.current, gateway)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertEqual(self.lan.count("AddPortMapping") + self.lan.count("SUBSCRIBE"), 0)
        self.assertEqual(self.observer.heard, [("found", "Router")])
        self.assertEqual(self.discovery.probed, [ROUTER], "its answer would tell a restart")

    def test_A5_a_byebye_of_a_gateway_that_lost_its_table_brings_the_entries_back(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.router.state.table.clear()
        self.discovery.byebye(self.router)
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_F34_a_byebye_that_is_true(self) -> None:
        gateway = self.found()
        self.point.mappings.hold(WEB)
        gateway.wan.observe(self.observer)
        self.discovery.gateways.clear()
        self.lan.gateways.clear()
        self.discovery.byebye(self.router)
        self.wait(DOUBT_AGAIN_SECONDS)
        self.assertEqual(
            self.observer.heard, [("found", "Router"), ("lost", "Router"), ("wan", "gateway does not answer")]
        )
        self.assertEqual((self.point.current, self.point.gateways, self.point.devices), (None, (), ()))
        self.assertEqual(self.discovery.presence.sightings, ())
        asked = self.point.gateway(3)
        self.wait(3)
        self.failureResultOf(asked, NoGateway)
        self.stop()

    def test_silence_is_asked_about_as_well(self) -> None:
        self.found()
        self.wait(1800 + EXPIRY_GRACE_SECONDS + 1, 10)
        self.lan.asked.clear()
        self.discovery.expire()
        self.assertEqual(self.fetched(), 1)
        self.assertIsNotNone(self.point.current)
        self.lan.gateways.clear()
        self.discovery.gateways.clear()
        self.wait(1800 + EXPIRY_GRACE_SECONDS + 1, 10)
        self.discovery.expire()
        self.wait(120)
        self.assertIsNone(self.point.current)

    def test_it_comes_back_and_finds_its_observers_and_mappings(self) -> None:
        gateway = self.found()
        gateway.wan.observe(self.observer)
        held = gateway.mappings.hold(WEB)
        also = self.point.mappings.hold(PortMapping("UDP", 9000))
        waiting = gateway.wan.when(lambda status: not status.reachable)
        self.lan.gateways.clear()
        self.discovery.gateways.clear()
        self.discovery.byebye(self.router)
        self.wait(DOUBT_AGAIN_SECONDS)
        self.successResultOf(waiting)
        self.assertEqual((held.status.state, also.status.state), (MappingState.LOST, MappingState.LOST))
        self.router.state.table.clear()
        self.router.boot_id += 1
        self.lan.gateways.append(self.router)
        self.observer.heard.clear()
        self.discovery.alive(self.router)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(self.point.gateway()), gateway)
        self.assertEqual([what for what, _ in self.observer.heard], ["found", "wan"])
        self.assertEqual((held.status.state, also.status.state), (MappingState.ACTIVE, MappingState.ACTIVE))
        self.assertEqual(len(self.ports()), 2)
        self.assertEqual(len(self.callbacks.open_urls), len(gateway.eventing))
        self.stop()

    def test_F01_Q142_a_restart_is_described_again_and_the_entries_are_back(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        subscribed = self.lan.count("SUBSCRIBE")
        self.router.state.table.clear()
        self.router.boot_id += 1
        self.lan.asked.clear()
        self.discovery.alive(self.router)
        self.assertEqual(self.fetched(), 1)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(self.lan.count("SUBSCRIBE"), subscribed)
        self.assertEqual(self.observer.heard, [("found", "Router")] * 2, "told again")
        self.assertEqual(gateway.device.boots, 1)

    def test_Q142_a_restart_that_only_the_uptime_tells_of(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.wait(POLL_SECONDS + 1)
        self.router.state.table.clear()
        self.router.state.line._since = self.clock.seconds()
        self.lan.asked.clear()
        self.wait(POLL_SECONDS + 1)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(self.lan.count("SUBSCRIBE"), len(gateway.eventing), "asked once for each whether it is known")

    def test_Q152_an_uptime_at_random_costs_little(self) -> None:
        self.found()
        random = Random(1)
        falls: list[float] = []
        assert self.point.current is not None
        self.point.current.wan.on_uptime_fell = lambda: falls.append(self.clock.seconds())
        for _ in range(12 * 60):
            self.router.state.line._since = self.clock.seconds() - random.randint(0, 10**6)
            self.wait(60)
        self.assertLess(len(falls), 2 * 12, "two an hour, of twelve hours")
        self.assertLess(max(b - a for a, b in itertools.pairwise(falls)), 2 * UPTIME_FALL_CEILING_SECONDS)

    def test_F04_a_gateway_that_forgot_a_subscription_may_have_forgotten_the_entries(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.wait(1)
        self.router.state.table.clear()
        self.router.subscriptions.clear()
        self.lan.asked.clear()
        for remote in gateway.device.services:
            remote.verify_events()
        self.wait(RECHECK_SECONDS + 1)
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_Q052_a_description_without_the_wan_after_a_restart_is_read_again(self) -> None:
        """It boots, and its tree has no WAN device yet; nothing else is ever announced of that."""
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.router.boot_id += 1
        self.router.state.table.clear()
        self.partial()
        self.discovery.alive(self.router)
        self.assertIsNone(self.point.current)
        self.lan.asked.clear()
        self.wait(20)
        self.assertEqual(self.fetched(), 4, "after 1, 3, 7 and 15 s")
        self.router.answers.clear()
        self.wait(12)
        self.assertIs(self.point.current, gateway)
        self.wait(2)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.lan.asked.clear()
        self.wait(600, 1)
        self.assertEqual(self.fetched(), 0)
        self.stop()

    def test_Q052_a_gateway_that_was_one_is_read_every_half_minute_for_ever(self) -> None:
        gateway = self.found()
        self.router.boot_id += 1
        self.partial()
        self.discovery.alive(self.router)
        self.wait(86_400, 5)
        self.assertIsNone(self.point.current)
        self.lan.asked.clear()
        self.wait(10 * NAMED_RETRY_CEILING_SECONDS, 1)
        self.assertEqual(self.fetched(), 10)
        self.router.answers.clear()
        self.wait(NAMED_RETRY_CEILING_SECONDS)
        self.assertIs(self.point.current, gateway)

    def test_Q052_the_router_and_this_host_start_together(self) -> None:
        self.partial()
        self.point.start()
        asked = self.point.gateway(60)
        self.discovery.alive(self.router)
        self.wait(10)
        self.assertNoResult(asked)
        self.router.answers.clear()
        self.wait(6)
        self.successResultOf(asked)
        self.stop()

    def test_Q052_the_default_router_that_never_was_a_gateway_is_read_ever_more_seldom(self) -> None:
        self.partial()
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(3600, 1)
        self.lan.asked.clear()
        for _ in range(24 * 60):
            self.discovery.alive(self.router)
            self.wait(60, 5)
        self.assertEqual(self.fetched(), 86_400 // UNREADY_CEILING_SECONDS)

    def test_Q052_a_restart_is_read_soon_however_long_it_was_no_gateway(self) -> None:
        self.partial()
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(3600, 1)
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.router.answers.clear()
        self.wait(1)
        self.successResultOf(self.point.gateway())

    def test_Q052_what_is_neither_the_router_nor_was_a_gateway_is_read_once(self) -> None:
        self.hops = (hop("192.168.1.254"),)
        self.point = self.make(any_gateway=True)
        self.partial()
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(3600, 5)
        self.assertEqual(self.fetched(), 1)

    def test_Q052_what_the_router_shows_of_other_kinds_is_read_once(self) -> None:
        tree = self.router.state.tree
        tree.root = replace(tree.root, device_type="upnp:rootdevice")
        self.partial("MediaServer")
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(3600, 5)
        self.assertEqual(self.fetched(), 1)

    def test_Q052_Q197_the_wan_shows_at_another_place(self) -> None:
        gateway = self.found()
        other = DeviceURL(self.router.location.host, self.router.port, "/other.xml")
        self.router.answers["GET /other.xml"] = lambda asked: reply(200, self.router.document())
        self.router.boot_id += 1
        self.partial()
        self.discovery.alive(self.router)
        self.assertIsNone(self.point.current)
        self.discovery.alive(self.router, location=other)
        self.assertIs(self.point.current, gateway)
        self.lan.asked.clear()
        self.wait(60)
        self.assertEqual(self.fetched(), 0)
        self.stop()

    def test_Q052_not_read_while_another_gateway_is_in_use(self) -> None:
        self.partial()
        other = MemoryGateway(self.clock, port=5001, udn="uuid:other", name="Other")
        self.lan.gateways.append(other)
        self.point.start()
        self.discovery.alive(self.router)
        self.discovery.alive(other)
        self.wait(3600, 5)
        self.assertEqual(self.fetched(), 1)
        self.assertEqual(self.fetched(other), 1)

    def test_Q052_by_url_and_without_the_wan_is_no_verdict_yet(self) -> None:
        self.partial()
        self.point = self.make(gateway=str(self.router.location))
        self.point.start()
        asked, impatient = self.point.gateway(60), self.point.gateway(5)
        self.wait(10)
        self.assertNoResult(asked)
        self.assertIn("no WAN connection", str(self.failureResultOf(impatient, NotAGateway).value))
        self.router.answers.clear()
        self.wait(6)
        self.successResultOf(asked)

    def partial(self, kind: str = "InternetGatewayDevice") -> None:
        """The router describes no WAN device, until its ``answers`` are cleared."""
        root = self.router.state.tree.root
        page = (
            f"<root><device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
            f"<friendlyName>Router</friendlyName><UDN>{root.udn}</UDN></device></root>"
        )
        self.router.answers[f"GET {self.router.location.target}"] = lambda asked: reply(200, page.encode())

    def test_gone_while_it_was_opened_nothing_is_asked_of_it_any_more(self) -> None:
        """The books were being settled with it: its WAN side was read before, and polled."""
        self.router.faults["GetGenericPortMappingEntry"] = self.router.faults["GetListOfPortMappings"] = "hang"
        self.point = self.make(journal=Journal())
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(2)
        self.assertIsNone(self.point.current)
        self.lan.gateways.clear()
        self.discovery.byebye(self.router)
        self.wait(30)
        self.assertEqual(self.point.devices, ())
        self.lan.asked.clear()
        searches = self.discovery.searches
        self.wait(3600, 1)
        self.assertNotIn("GetStatusInfo", self.lan.names())
        self.assertLessEqual(self.fetched(), 3600 / NAMED_RETRY_CEILING_SECONDS)
        often = len(SEARCH_AGAIN_SECONDS) + 3600 / SEARCH_AGAIN_SECONDS[-1]
        self.assertLessEqual(self.discovery.searches - searches, often)
        self.stop()

    def test_A5_a_storm_of_boot_ids_is_a_few_descriptions_and_then_one_in_half_a_minute(self) -> None:
        self.found()
        self.lan.asked.clear()
        for later in range(4):
            for _ in range(500):
                self.router.boot_id += 1
                self.discovery.alive(self.router)
            self.assertEqual(self.fetched(), REBOOTS_AT_ONCE + later)
            self.wait(BYEBYE_PROBE_SECONDS)

    def restart(self) -> None:
        """The router comes back at another port, without its table."""
        self.router.port += 1
        self.router.boot_id += 1
        self.router.state.table.clear()
        self.discovery.alive(self.router)

    def test_F01_F03_restarts_in_a_row_bring_the_entries_back_each_time(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        for _ in range(REBOOTS_AT_ONCE):
            self.wait(3)
            self.restart()
            self.clock.advance(0)
            self.assertEqual(self.ports(), [(8080, str(US))])

    def test_F01_a_restart_too_many_is_believed_when_our_own_call_finds_nobody(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        for _ in range(REBOOTS_AT_ONCE + 1):
            self.restart()
            self.clock.advance(0)
        self.assertEqual(self.ports(), [])
        gateway.mappings.recheck()
        self.clock.advance(0)
        self.wait(2)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertEqual(gateway.location, str(self.router.location))

    def test_F03_Q037_a_restart_at_another_port(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        old = self.router.location
        self.router.port, self.router.boot_id = 5001, 2
        self.router.state.table.clear()
        self.lan.asked.clear()
        self.discovery.alive(self.router)
        self.assertEqual(gateway.location, str(self.router.location))
        self.assertEqual(self.lan.names()[0], f"GET {self.router.location.target}")
        self.assertEqual({asked.url.port for asked in self.lan.asked if asked.method in ("GET", "POST")}, {5001})
        self.assertEqual([seen.location for seen in self.discovery.presence.sightings], [self.router.location])
        self.assertEqual(list(gateway.device.sightings), [self.router.location])
        self.assertNotIn(old, self.discovery.presence._pinned)
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_F03_the_former_place_stays_while_the_new_one_does_not_answer(self) -> None:
        gateway = self.found()
        old = self.router.location
        self.router.boot_id = 2
        elsewhere = MemoryGateway(self.clock, port=5999, udn=self.router.udn)
        self.discovery.alive(self.router, location=elsewhere.location)
        self.wait(BOOT_RETRY_SECONDS + 10)
        self.assertEqual(gateway.location, str(old))
        self.assertIs(self.point.current, gateway)
        self.assertEqual([seen.location for seen in self.discovery.presence.sightings], [old])

    def test_F20_another_gateway_at_the_same_url(self) -> None:
        self.found()
        self.point.mappings.hold(WEB)
        new = MemoryGateway(self.clock, udn="uuid:new", name="New")
        new.boot_id = 7
        self.lan.gateways[:] = [new]
        self.discovery.alive(new)
        self.assertEqual(self.observer.heard, [("found", "Router"), ("lost", "Router"), ("found", "New")])
        self.assertEqual(self.ports(new), [(8080, str(US))])
        self.assertEqual([device.udn for device in self.point.devices], ["uuid:new"])
        self.assertEqual(len(self.point.gateways), 1)
        self.stop()

    def test_Q197_on_loopback_another_tree_may_be_sighted_before_the_named_one_is_described(self) -> None:
        router = MemoryGateway(self.clock, "127.0.0.1")
        other = MemoryGateway(self.clock, "127.0.0.1", 5001)
        stranger = MemoryGateway(self.clock, "127.0.0.1", 5002, udn="uuid:other")
        self.lan.gateways.extend((router, other, stranger))
        router.faults["*"] = "refuse"
        self.point = self.make(gateway=str(router.location))
        self.point.start()
        self.discovery.alive(other)
        self.discovery.alive(stranger)
        self.wait(1)
        router.faults.clear()
        self.wait(60)
        (device,) = self.point.devices
        self.assertEqual(
            {str(one.location) for one in device.descriptions}, {str(router.location), str(other.location)}
        )
        self.assertEqual(self.fetched(stranger), 0)
        self.successResultOf(self.point.stop())

    def test_Q038_one_device_under_two_locations(self) -> None:
        gateway = self.found()
        twin = MemoryGateway(self.clock, port=6000, udn=self.router.udn)
        self.lan.gateways.append(twin)
        self.discovery.alive(twin)
        self.assertEqual(len(self.point.gateways), 1)
        self.assertEqual(set(gateway.device.sightings), {self.router.location, twin.location})
        self.assertEqual(gateway.location, str(self.router.location))
        self.assertEqual(self.observer.heard, [("found", "Router")])
        self.router.boot_id = twin.boot_id = 2
        for place in (self.router, twin):
            self.discovery.alive(place)
        self.assertEqual(gateway.location, str(self.router.location), "the place in use stays")
        self.assertEqual(gateway.device.boots, 1)

    def test_Q038_F21_the_other_location_is_used_when_the_first_falls_silent(self) -> None:
        gateway = self.found()
        twin = MemoryGateway(self.clock, port=6000, udn=self.router.udn)
        twin.state = self.router.state
        self.lan.gateways.append(twin)
        self.discovery.alive(twin)
        gateway.mappings.hold(WEB)
        self.wait(BYEBYE_PROBE_SECONDS)
        self.router.faults["*"] = "refuse"
        self.discovery.byebye(self.router)
        self.wait(DOUBT_AGAIN_SECONDS)
        self.assertEqual(gateway.location, str(twin.location))
        self.assertIs(self.point.current, gateway)
        self.assertEqual(self.observer.heard, [("found", "Router")] * 2)
        self.assertEqual(list(gateway.device.sightings), [twin.location])
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_ipv4_is_preferred_for_mappings_are(self) -> None:
        far = MemoryGateway(self.clock, "fe80::1", udn=self.router.udn)
        self.own["fe80::1"] = ipaddress.ip_address("fe80::7")
        self.hops = (hop(), hop("fe80::1"))
        self.lan.gateways.append(far)
        self.point.start()
        self.discovery.alive(far)
        gateway = self.successResultOf(self.point.gateway())
        self.assertEqual(gateway.address.version, 6)
        held = gateway.mappings.hold(WEB)
        self.discovery.alive(self.router)
        self.assertEqual((gateway.address.version, len(self.point.gateways)), (4, 1))
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.discovery.alive(far)
        self.assertEqual(gateway.address.version, 4)

    def test_a_bound_of_locations(self) -> None:
        self.point = self.make(any_gateway=True)
        gateway = self.found()
        for number in range(2 * LOCATIONS_PER_DEVICE):
            self.lan.gateways.append(MemoryGateway(self.clock, f"192.168.1.{100 + number}", udn=self.router.udn))
            self.discovery.alive(self.lan.gateways[-1])
        self.assertEqual(len(gateway.device.sightings), LOCATIONS_PER_DEVICE)
        self.assertEqual(self.discovery.presence._pinned, set(gateway.device.sightings))

    def test_what_is_described_is_pinned_until_it_is_gone(self) -> None:
        self.found()
        self.assertEqual(self.discovery.presence._pinned, {self.router.location})
        self.lan.gateways.clear()
        self.discovery.byebye(self.router)
        self.wait(DOUBT_AGAIN_SECONDS)
        self.assertEqual(self.discovery.presence._pinned, set())

    def test_evicted_is_no_news(self) -> None:
        self.found()
        (seen,) = self.discovery.presence.sightings
        self.lan.asked.clear()
        self.discovery.on_change(Evicted(seen))
        self.assertEqual(self.lan.asked, [])
        self.assertIsNotNone(self.point.current)

    def test_doubt_about_what_was_never_described_costs_nothing(self) -> None:
        rogue = MemoryGateway(self.clock, ROGUE, udn="uuid:rogue")
        self.point.start()
        self.discovery.alive(rogue)
        self.discovery.byebye(rogue)
        self.assertEqual((self.lan.asked, self.discovery.presence.sightings), ([], ()))


class FetchTests(ControlPointTestCase):
    options = {"any_gateway": True}

    def others(self, count: int, **fault: object) -> list[MemoryGateway]:
        made = [MemoryGateway(self.clock, f"192.168.1.{100 + n}", udn=f"uuid:{n}") for n in range(count)]
        for gateway in made:
            gateway.faults.update({"*": fault["fault"]} if fault else {})
        self.lan.gateways += made
        return made

    def test_four_at_once(self) -> None:
        self.point.start()
        for gateway in self.others(8, fault="hang"):
            self.discovery.alive(gateway)
        self.assertEqual(len(self.lan.open), DESCRIPTION_FETCHES)
        self.wait(60)
        self.assertEqual(self.lan.most_open, DESCRIPTION_FETCHES)
        self.stop()

    def test_ten_a_minute_and_the_next_hop_all_the_same(self) -> None:
        self.point.start()
        others = self.others(20)
        for gateway in others:
            self.discovery.alive(gateway)
        fetched = {str(a.url.host) for a in self.lan.asked if a.method == "GET"}
        self.assertEqual(len(fetched), DESCRIPTION_FETCHES_PER_MINUTE)
        self.discovery.alive(self.router)
        self.assertEqual(self.successResultOf(self.point.gateway()).friendly_name, "Router")
        self.wait(61)
        for gateway in others:
            self.discovery.alive(gateway)
        self.assertEqual(len(self.point.gateways), 1 + 20, "whoever speaks again, is fetched in a later minute")

    def test_a_failure_is_remembered_for_a_minute_doubled(self) -> None:
        (bad,) = self.others(1, fault="html")
        self.point.start()
        times = []
        for second in range(900):
            before = self.fetched(bad)
            self.discovery.alive(bad)
            if self.fetched(bad) != before:
                times.append(second)
            self.clock.advance(1)
        pause = int(DESCRIPTION_RETRY_SECONDS)
        self.assertEqual(times, [0, pause, pause + 2 * pause, pause + 2 * pause + 4 * pause])
        bad.faults.clear()
        self.wait(900)
        self.discovery.alive(bad)
        self.successResultOf(self.point.gateway())

    def test_the_next_hop_is_asked_for_a_minute_and_then_whenever_it_speaks(self) -> None:
        self.router.faults["*"] = "refuse"
        self.point.start()
        self.discovery.alive(self.router)
        self.wait(BOOT_RETRY_SECONDS + 10)
        asked = len(self.lan.asked)
        self.wait(20)
        self.assertEqual(len(self.lan.asked), asked)
        self.router.faults.clear()
        self.discovery.alive(self.router)
        self.successResultOf(self.point.gateway())

    def test_no_way_to_it_now_is_no_reason_to_forget_it(self) -> None:
        self.own[ROUTER] = AddressingError("no way")
        self.point.start()
        self.discovery.alive(self.router)
        self.assertEqual(self.point.devices, ())
        self.own.clear()
        self.discovery.alive(self.router)
        self.successResultOf(self.point.gateway())


class ArgumentTests(ControlPointTestCase):
    def test_a_poll_period_that_would_flood_or_never_come_is_refused(self) -> None:
        periods: tuple[Any, ...] = (0, 0.001, -1, float("nan"), float("inf"), 86_401, None, "x", "30", 30j)
        for seconds in periods:
            with self.subTest(seconds):
                error = self.assertRaises(InvalidArgument, self.make, poll_seconds=seconds)
                self.assertEqual(str(error), f"poll_seconds {seconds!r}: a number of seconds from 1 to 86400")
        for right in (1, 2.5, 86_400.0):
            self.make(poll_seconds=right)

    def test_a_port_that_is_none_is_refused(self) -> None:
        ports: tuple[Any, ...] = (-1, 65_536, 70_000, None, "80", 80.0)
        for name in ("callback_port", "search_port"):
            for port in ports:
                with self.subTest(name, port=port):
                    error = self.assertRaises(InvalidArgument, self.make, **{name: port})
                    self.assertEqual(str(error), f"{name} {port!r}: a port from 1 to 65535, or 0 for any")
            for port in (0, 1, 65_535):
                self.make(**{name: port})

    def test_F58_what_the_callback_port_has_to_tell_is_among_the_problems(self) -> None:
        self.found()
        self.callbacks.problems = ("callback port 7900 of 192.168.1.2 is taken; another port is used",)
        self.assertEqual(self.point.problems, self.callbacks.problems)


class LinkTests(ControlPointTestCase):
    def test_no_network_at_all_is_said_and_a_link_that_comes_is_used(self) -> None:
        self.links, self.hops = (), ()
        self.point.start()
        self.assertIn("no network", self.point.problems[0])
        asked = self.point.gateway(2)
        self.wait(2)
        self.assertIn("no network", str(self.failureResultOf(asked, NoGateway).value))
        held = self.point.mappings.hold(WEB)
        self.links, self.hops = (link(),), (hop(),)
        self.discovery.gateways.append(self.router)
        self.clock.advance(LINKLESS_POLL_SECONDS)
        self.assertEqual(self.point.problems, ())
        self.successResultOf(self.point.gateway())
        self.successResultOf(held.when_active())

    def test_a_named_link_that_is_not_there(self) -> None:
        self.links = AddressingError("no such link: eth9")
        self.assertRaises(AddressingError, self.point.start)
        self.assertFalse(self.point.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_named_link_that_goes_and_comes(self) -> None:
        self.found()
        self.links = AddressingError("no such link: eth9")
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.point.links, ())
        self.links = (link(index=9),)
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.point.links, self.links)
        self.assertEqual(len(self.discovery.links), 3)

    def test_nothing_changed_nothing_done(self) -> None:
        self.found()
        self.lan.asked.clear()
        self.wait(2 * LINK_POLL_SECONDS)
        self.assertEqual(len(self.discovery.links), 1)
        self.assertNotIn("GetSpecificPortMappingEntry", self.lan.names())

    def test_F01_however_long_it_was_away(self) -> None:
        for fault in ("refuse", "hang"):
            for down in range(20, 125, 15):
                self.setUp()
                self.found().mappings.hold(WEB)
                self.wait(20)
                self.router.faults["*"] = fault
                self.wait(down)
                self.router.faults.clear()
                self.router.state.table.clear()
                self.router.boot_id += 1
                self.discovery.alive(self.router)
                self.wait(2)
                self.assertEqual(self.ports(), [(8080, str(US))], (fault, down))

    def test_F03_F21_what_waits_for_an_answer_at_the_former_port_holds_nothing_up(self) -> None:
        gateway = self.found()
        for port in range(8080, 8090):
            self.point.mappings.hold(PortMapping("TCP", port))
        self.wait(20)
        former = self.router.port
        self.router.faults["*"] = "hang"
        asked = gateway.external_ip()  # waits in the queue
        gateway.verify()
        self.wait(2)
        silent = MemoryGateway(self.clock, port=former)
        silent.faults["*"] = "hang"
        self.lan.gateways.append(silent)
        self.router.faults.clear()
        self.router.port += 1
        self.router.boot_id += 1
        self.router.state.table.clear()
        self.lan.asked.clear()
        self.discovery.alive(self.router)
        self.wait(3)
        self.assertEqual(len(self.ports()), 10)
        self.assertEqual({asked.name for asked in self.lan.asked if asked.url.port == former}, {"UNSUBSCRIBE"})
        self.assertIn("has moved from http://", str(self.failureResultOf(asked, ExchangeError).value))

    def test_F03_whoever_hears_that_it_moved_may_end_another_call(self) -> None:
        gateway = self.found()
        self.wait(3)
        self.router.faults["*"] = "hang"
        proxy = gateway.wan.connection.proxy
        under_way, first, second = (proxy.call("GetExternalIPAddress") for _ in range(3))
        for one in (under_way, second):
            one.addErrback(lambda failure: None)
        first.addErrback(lambda failure: second.cancel())
        gateway.wan.hint()
        self.wait(1)
        moved = MemoryGateway(self.clock, port=6000, udn=self.router.udn)
        moved.boot_id = 2
        self.lan.gateways[:] = [moved]
        self.discovery.alive(moved)
        self.wait(60)
        self.assertEqual(gateway.location, str(moved.location))
        moved.cut()
        self.wait(POLL_SECONDS + 2)
        self.assertFalse(gateway.wan.status.connected, "the line is read on")

    def test_F14_Q141_our_address_changed(self) -> None:
        gateway = self.found()
        held = gateway.mappings.hold(WEB)
        old = self.callbacks.open_urls
        moved = ipaddress.ip_address("192.168.1.8")
        self.own[ROUTER] = moved
        self.links = (link(address="192.168.1.8/24"),)
        self.lan.asked.clear()
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(gateway.local_address, moved)
        self.assertEqual(self.callbacks.released, ["192.168.1.7"])
        self.assertEqual(self.ports(), [(8080, "192.168.1.8")])
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        self.assertEqual(self.lan.count("UNSUBSCRIBE"), len(old))
        self.wait(OLD_TOKEN_SECONDS)
        self.assertTrue(all("192.168.1.8:" in url for url in self.callbacks.open_urls))
        self.assertEqual(len(self.callbacks.open_urls), len(old))

    def test_F14_an_address_that_was_ours_between_two_looks_only(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.wait(1)
        self.own[ROUTER] = ipaddress.ip_address("192.168.1.8")  # the gateway is described again in that moment
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.wait(1)
        self.assertEqual(gateway.local_address, self.own.pop(ROUTER))
        self.wait(2 * LINK_POLL_SECONDS)
        self.assertEqual(gateway.local_address, US)
        self.assertEqual(self.ports(), [(8080, str(US))])

    def test_F15_a_link_that_goes_and_comes_with_the_same_address(self) -> None:
        gateway = self.found()
        self.wait(12)
        self.links = ()
        self.own[ROUTER] = AddressingError("no way")
        self.router.faults["*"] = "refuse"
        self.wait(LINK_POLL_SECONDS)
        self.assertIs(self.point.current, gateway)
        self.links = (link(),)
        self.own.clear()
        self.router.faults.clear()
        self.lan.asked.clear()
        before = self.callbacks.paths[:]
        self.wait(LINKLESS_POLL_SECONDS + 0.5, 0.1)
        self.assertLessEqual({"GetStatusInfo", "GetExternalIPAddress"}, set(self.lan.names()), "looked at at once")
        self.assertIs(self.point.current, gateway)
        # the listener was closed with the address, so the events have to come to another one
        self.assertEqual(self.lan.count("SUBSCRIBE"), len(before))
        self.assertEqual(set(gateway.eventing.values()), {"subscribed"})
        self.wait(OLD_TOKEN_SECONDS)
        self.assertFalse(any(path.is_open for path in before))

    def test_F18_after_two_hours_of_sleep_everything_is_looked_at(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.wait(10)
        self.router.state.table.clear()
        self.lan.asked.clear()
        searches = self.discovery.searches
        self.clock.advance(7200)
        self.wait(15)
        self.assertEqual(self.ports(), [(8080, str(US))])
        self.assertGreater(self.discovery.searches, searches)
        self.assertIn("GetStatusInfo", self.lan.names())
        self.assertGreaterEqual(self.lan.count("SUBSCRIBE"), len(gateway.eventing))

    def test_F18_the_clock_of_the_host_tells_it_too(self) -> None:
        self.found()
        boot = control_point._boot_seconds()
        self.patch(control_point, "_boot_seconds", lambda: boot + 7200)
        searches, subscribed = self.discovery.searches, self.lan.count("SUBSCRIBE")
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.discovery.searches, searches + 1)
        self.assertEqual(self.lan.count("SUBSCRIBE"), 2 * subscribed)
        self.wait(LINK_POLL_SECONDS)
        self.assertEqual(self.discovery.searches, searches + 1)


class BadDayTests(ControlPointTestCase):
    """It was found; then comes a bad day. Everything held stays wanted."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway = self.found()
        self.gateway.wan.observe(self.observer)
        self.held = self.point.mappings.hold(WEB)
        self.clock.advance(0)

    def test_it_falls_silent_is_lost_and_found_again(self) -> None:
        for fault in ("refuse", "hang", "html"):
            self.router.faults["*"] = fault
            self.discovery.gateways.clear()
            self.wait(POLL_SECONDS + BOOT_RETRY_SECONDS + 100)
            self.assertIsNone(self.point.current, fault)
            self.assertEqual(self.held.status.state, MappingState.LOST)
            self.router.faults.clear()
            self.router.state.table.clear()
            self.discovery.alive(self.router)
            self.clock.advance(0)
            self.assertIs(self.point.current, self.gateway)
            self.wait(20)
            self.assertEqual(self.held.status.state, MappingState.ACTIVE)
        self.assertEqual(len([what for what, _ in self.observer.heard if what == "lost"]), 3)
        self.stop()

    def test_control_is_broken_the_description_is_not(self) -> None:
        """Nothing piles up, and SUBSCRIBE is not repeated."""
        for action in ("GetStatusInfo", "GetExternalIPAddress"):
            self.router.faults[action] = "html"
        subscribed = self.lan.count("SUBSCRIBE")
        self.wait(600)
        self.assertEqual(self.lan.count("SUBSCRIBE"), subscribed)
        self.assertLess(self.lan.count("GetStatusInfo"), 200)
        self.assertLess(len(self.clock.getDelayedCalls()), 30)
        self.assertFalse(self.gateway.wan.status.reachable)
        self.router.faults.clear()
        self.wait(60)
        self.assertTrue(self.gateway.wan.status.connected)
        self.stop()

    def test_external_ip_fails_in_the_time_that_it_states(self) -> None:
        for fault in ("html", "refuse", "hang"):
            self.router.faults["*"] = fault
            asked = self.gateway.external_ip(timeout=20)
            self.wait(20)
            self.failureResultOf(asked)
            self.router.faults.clear()
            self.wait(30)


class StopTests(ControlPointTestCase):
    def test_farewell(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.point.mappings.hold(PortMapping("UDP", 9000))
        self.clock.advance(0)
        waiting = gateway.wan.when(lambda status: False)
        self.stop()
        self.assertEqual(self.ports(), [])
        self.assertEqual(self.lan.count("UNSUBSCRIBE"), self.lan.count("SUBSCRIBE"))
        self.failureResultOf(waiting, Stopped)
        self.assertTrue(self.callbacks.stopped)
        self.assertTrue(self.lan.closed)
        self.failureResultOf(self.point.gateway(), Stopped)

    def test_F52_everything_is_cancelled_within_five_seconds(self) -> None:
        gateway = self.found()
        gateway.mappings.hold(WEB)
        self.router.faults["*"] = "hang"
        gateway.wan.hint()
        self.router.boot_id += 1
        self.discovery.alive(self.router)
        self.wait(1)
        asked = gateway.external_ip()
        one, other = self.point.stop(), self.point.stop()
        self.assertIsNot(one, other)
        self.clock.advance(FAREWELL_SECONDS - 0.5)
        self.assertNoResult(one)
        self.assertRaises(Stopped, self.point.start)
        self.clock.advance(0.5)
        self.successResultOf(one)
        self.successResultOf(other)
        self.failureResultOf(asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lan.open, set())

    def test_while_waiting_and_while_describing(self) -> None:
        self.router.faults["*"] = "hang"
        self.point.start()
        asked = self.point.gateway()
        self.discovery.alive(self.router)
        self.stop()
        self.failureResultOf(asked, Stopped)

    def test_while_pursuing_and_while_opening(self) -> None:
        for fault in ("*", "GetStatusInfo"):
            self.router.faults = {fault: "hang"}
            self.point = self.make(gateway=str(self.router.location))
            self.point.start()
            self.wait(12)
            self.stop()

    def test_by_one_who_was_just_told_of_the_gateway(self) -> None:
        self.point = self.make(gateway=str(self.router.location))
        stopped = self.point.gateway().addCallback(lambda _: self.point.stop())
        self.point.start()
        self.successResultOf(stopped)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(self.point.current)

    def test_a_gateway_that_is_gone(self) -> None:
        gateway = self.found()
        held = gateway.mappings.hold(WEB)
        self.lan.gateways.clear()
        self.discovery.byebye(self.router)
        waiting = gateway.wan.when(lambda status: False)
        stopped = self.point.stop()
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual((self.clock.getDelayedCalls(), self.lan.open), ([], set()))
        self.failureResultOf(waiting, Stopped)
        self.assertEqual(held.status.state, MappingState.RELEASED)

    def test_F51_F60_waiters_that_end_each_other(self) -> None:
        gateway = self.found()
        held = gateway.mappings.hold(PortMapping("TCP", 9999, lease_seconds=0))
        self.wait(1)
        self.assertEqual(held.status.state, MappingState.ACTIVE)
        one, other = (gateway.wan.when(lambda status: not status.connected) for _ in range(2))
        one.addErrback(ending(other))
        self.stop()
        self.failureResultOf(one, Stopped)
        self.failureResultOf(other, CancelledError)
        self.assertEqual((self.ports(), self.router.subscriptions), ([], set()))

    def test_F51_a_fault_at_one_gateway_keeps_no_other_from_its_farewell(self) -> None:
        self.point = self.make(any_gateway=True)
        gateway = self.found()
        neighbour = MemoryGateway(self.clock, ROGUE, udn="uuid:neighbour", name="Neighbour")
        self.lan.gateways.append(neighbour)
        self.discovery.alive(neighbour)
        other = self.point.gateways[1]
        for one in (gateway, other, self.point):
            one.mappings.hold(PortMapping("TCP", 9000 + (one is other), lease_seconds=0))
        self.wait(1)
        self.assertEqual((len(self.ports()), len(self.ports(neighbour))), (1, 1))
        self.patch(gateway, "close", lambda seconds: 1 // 0)
        self.patch(self.point.pinholes, "stop", lambda seconds: fail(ArithmeticError()))
        stopped = self.point.stop()
        self.wait(FAREWELL_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual((self.ports(neighbour), neighbour.subscriptions, self.lan.open), ([], set(), set()))
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 2)

    def test_never_started_and_stopped_twice(self) -> None:
        self.successResultOf(self.point.stop())
        self.point.start()
        self.point.start()
        self.stop()
        self.successResultOf(self.point.stop())

    def test_another_life(self) -> None:
        gateway = self.found()
        self.stop()
        self.point.start()
        self.discovery.alive(self.router)
        again = self.successResultOf(self.point.gateway())
        self.assertIsNot(again, gateway)
        held = self.point.mappings.hold(WEB)
        self.successResultOf(held.when_active())
        self.stop()
        self.assertEqual(self.ports(), [])
