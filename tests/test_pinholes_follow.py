"""Pinholes wanted of the gateway in use: they follow it, and what was wanted of one gateway alone stays there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests import session_life
from tests.session_checks import OWN_HOST6
from tests.session_gateway import SessionGateway
from tests.session_life import Doom
from tests.session_world import World
from txigd import log
from txigd.igd.control_point import ControlPoint
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.igd.pinholes import HeldPinhole
from txigd.interfaces import IMappingObserver
from txigd.limits import (
    FAREWELL_SECONDS,
    HTTP_TOTAL_SECONDS,
    LEFTOVERS_SECONDS,
    LINK_POLL_SECONDS,
    RETRY_CEILING_SECONDS,
)
from txigd.testing import Rules
from txigd.upnp.http_reply import Reply

HOLE = Pinhole("TCP", 8080)
OTHER = Pinhole("UDP", 5001)
EVENTS = "WANIPv6FirewallControl:1"


@implementer(IMappingObserver)
class Observer:
    def __init__(self, told: list[tuple[HeldPinhole, str]]) -> None:
        self.told = told

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        self.told.append((held, new.state.value))


class NoJournal(ControlPoint):
    """One that is given no journal: what this run did is remembered all the same."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **{**more, "journal": None})


class FollowTests(SynchronousTestCase):
    def setUp(self) -> None:
        log.set_level("error")
        self.addCleanup(log.set_level, "info")
        self.world = World()
        self.addCleanup(self.world.close)
        self.world.six = True
        self.world.pinholes = [HOLE]
        self.world.make(Rules())
        self.world.wait(10)
        self.first, self.second = self.world.gateways[:2]
        (self.held,) = self.point.pinholes

    @property
    def point(self) -> Any:
        return self.world.life.point

    def open_ports(self, gateway: SessionGateway) -> list[int]:
        return sorted(one.internal_port for _, one in gateway.pinholes if one.internal_client == OWN_HOST6)

    def recorded(self, gateway: SessionGateway) -> list[int]:
        return [one.internal_port for one in self.world.record.pinholes(gateway.udn)]

    def heard(self, gateway: SessionGateway) -> bool:
        return any("Firewall" in one.key for one in gateway.subscribers.values())

    def move(self, seconds: float = LINK_POLL_SECONDS + FAREWELL_SECONDS) -> None:
        self.world.move_hop()
        self.world.wait(seconds)

    def counted(self, gateway: SessionGateway) -> Counter[str]:
        """What it is asked for from now on."""
        asked: Counter[str] = Counter()
        respond = gateway.respond

        def count(what: Any, body: bytes, source: str) -> Reply | None:
            asked[what.name] += 1
            return respond(what, body, source)

        self.patch(gateway, "respond", count)
        return asked

    def test_F16_the_default_route_moves(self) -> None:
        self.assertEqual((self.held.status.state, self.open_ports(self.first)), (MappingState.ACTIVE, [8080]))
        self.move()
        self.assertEqual(self.held.status.state, MappingState.ACTIVE)
        self.assertEqual((self.open_ports(self.first), self.open_ports(self.second)), ([], [8080]))
        self.world.wait(2)
        self.assertEqual((self.recorded(self.first), self.recorded(self.second)), ([], [8080]))
        self.assertEqual(list(self.point.pinholes), [self.held])

    def test_F22_the_former_gateway_is_asked_for_no_pinhole_any_more(self) -> None:
        self.move()
        former, current = self.counted(self.first), self.counted(self.second)
        self.world.wait(600)
        self.assertEqual([name for name in former if "hole" in name or "Firewall" in name], [])
        self.assertGreaterEqual(current["UpdatePinhole"], 9)

    def test_F16_a_former_gateway_that_does_not_answer_holds_nothing_up(self) -> None:
        self.first.faults["DeletePinhole"] = "hang"
        self.move(LINK_POLL_SECONDS + 1)
        self.assertEqual((self.held.status.state, self.open_ports(self.second)), (MappingState.ACTIVE, [8080]))
        self.world.wait(FAREWELL_SECONDS)
        self.assertEqual((self.open_ports(self.first), self.recorded(self.first)), ([8080], [8080]))

    def test_F16_released_a_moment_before_the_default_route_moves(self) -> None:
        for port in (8081, 8082, 8083):
            self.world.hold_pinhole(Pinhole("TCP", port))
        for port in (9081, 9082, 9083):
            self.world.hold(PortMapping("TCP", port))
        self.world.wait(5)
        self.assertEqual((self.open_ports(self.first), len(self.first.state.table)), ([8080, 8081, 8082, 8083], 3))
        self.world.latency = 0.2
        self.world.move_hop()
        self.point._follow_links()
        self.world.wait(0.8)
        for held in (*self.point.pinholes, *self.point.mappings):
            held.release()
        self.world.wait(2 * FAREWELL_SECONDS)
        self.assertEqual((self.open_ports(self.first), len(self.first.state.table)), ([], 0))
        self.assertEqual(self.recorded(self.first), [])
        self.world.pinholes.clear()
        self.world.wanted.clear()

    def test_F16_a_former_gateway_that_did_not_answer_is_asked_again(self) -> None:
        own = self.point.current.pinholes.hold(OTHER)
        self.world.wait(2)
        self.first.faults["DeletePinhole"] = "hang"
        self.move(LINK_POLL_SECONDS + FAREWELL_SECONDS + HTTP_TOTAL_SECONDS)
        self.first.faults.clear()
        self.assertEqual(self.open_ports(self.first), [5001, 8080])
        self.world.wait(RETRY_CEILING_SECONDS + HTTP_TOTAL_SECONDS)
        self.assertEqual((self.open_ports(self.first), self.open_ports(self.second)), ([5001], [8080]))
        self.assertEqual((self.recorded(self.first), own.status.state), ([5001], MappingState.ACTIVE))
        asked = self.counted(self.first)
        self.world.wait(2 * RETRY_CEILING_SECONDS)
        self.assertEqual(asked["AddPinhole"] + asked["DeletePinhole"], 0)

    def test_F16_in_use_again_it_keeps_what_is_wanted(self) -> None:
        self.first.faults["DeletePinhole"] = "hang"
        self.move(LINK_POLL_SECONDS + 2)
        self.first.faults.clear()
        self.move(2 * RETRY_CEILING_SECONDS)
        self.assertEqual((self.open_ports(self.first), self.open_ports(self.second)), ([8080], []))
        self.assertEqual(self.held.status.state, MappingState.ACTIVE)

    def test_F16_what_is_wanted_of_one_gateway_stays_there(self) -> None:
        own = self.point.current.pinholes.hold(OTHER)
        self.world.wait(2)
        self.assertEqual(self.open_ports(self.first), [5001, 8080])
        self.move()
        self.assertEqual((own.status.state, self.open_ports(self.first)), (MappingState.ACTIVE, [5001]))
        self.assertEqual(self.open_ports(self.second), [8080])

    def test_released_held_and_observed_like_mappings(self) -> None:
        told: list[tuple[HeldPinhole, str]] = []
        self.point.pinholes.observe(Observer(told))
        self.held.release()
        self.world.wait(1)
        self.assertEqual((told, self.open_ports(self.first)), ([(self.held, "released")], []))
        held = self.point.pinholes.hold(HOLE)
        self.assertIsNot(held, self.held)
        self.world.wait(1)
        self.assertEqual((held.status.state, self.open_ports(self.first)), (MappingState.ACTIVE, [8080]))

    def test_F02_without_a_gateway_it_stays_wanted(self) -> None:
        gateway = self.point.current
        self.point.device_gone(gateway.device)
        self.assertEqual((self.held.status.state, self.held.status.reason), (MappingState.LOST, "no gateway"))
        asked = self.counted(self.first)
        self.world.wait(5)
        self.assertEqual(asked["UpdatePinhole"] + asked["AddPinhole"], 0)
        self.point.device_appeared(gateway.device)
        self.world.wait(2)
        self.assertEqual((self.held.status.state, self.open_ports(self.first)), (MappingState.ACTIVE, [8080]))

    def test_F33_F51_released_while_the_gateway_is_away(self) -> None:
        for journal in (True, False):
            if not journal:
                self.patch(session_life, "ControlPoint", NoJournal)
                self.setUp()
            gateway = self.point.current
            self.point.device_gone(gateway.device)
            self.held.release()
            self.world.wait(1)
            self.assertEqual(self.open_ports(self.first), [8080])
            self.point.device_appeared(gateway.device)
            self.world.wait(LEFTOVERS_SECONDS + 2)
            self.assertEqual((self.open_ports(self.first), self.recorded(self.first)), ([], []))
            self.world.pinholes.clear()

    def test_F03_opened_again_after_a_restart(self) -> None:
        self.first.reboot(keep=False, move=False)
        self.world.alive(self.first)
        self.world.wait(10)
        self.assertEqual((self.held.status.state, self.open_ports(self.first)), (MappingState.ACTIVE, [8080]))

    def test_Q196_the_firewall_of_the_gateway_in_use_is_heard(self) -> None:
        former = self.point.current
        self.assertEqual((former.eventing.get(EVENTS), self.heard(self.first)), ("subscribed", True))
        self.move()
        self.assertEqual((self.point.current.eventing.get(EVENTS), self.heard(self.second)), ("subscribed", True))
        self.assertEqual((former.eventing.get(EVENTS), self.heard(self.first)), (None, False))
        self.second.state.pinholes.inbound_allowed = False
        self.second.publish()
        self.world.wait(0.5)
        self.assertEqual(self.held.status.state, MappingState.REFUSED)

    def test_Q196_events_that_were_lost_and_other_hints_are_for_them_too(self) -> None:
        for hint in (self.point.current.verify, self.point.current._began_anew):
            asked = self.counted(self.first)
            hint()
            self.world.wait(1)
            self.assertEqual(asked["UpdatePinhole"], 1)

    def test_Q199_a_gateway_of_its_own_pinholes_closes_none_of_them(self) -> None:
        """What an earlier run left is settled once for each gateway, for all that is wanted of it."""
        own = self.point.current.pinholes.hold(OTHER)
        self.world.wait(2)
        self.world.die(Doom("*", ""))
        self.world.begin()
        asked = self.counted(self.first)
        self.world.wait(LEFTOVERS_SECONDS + 2)
        (held,) = self.point.pinholes
        self.assertEqual((held.status.state, held.status.unique_id), (MappingState.ACTIVE, self.held.status.unique_id))
        self.assertEqual((self.open_ports(self.first), self.recorded(self.first)), ([8080], [8080]))
        self.assertEqual((asked["DeletePinhole"], own.wanted), (1, OTHER))

    def test_F51_closed_at_the_end(self) -> None:
        self.world.life.stop()
        self.world.wait(1)
        self.assertEqual((self.open_ports(self.first), self.recorded(self.first)), ([], []))
        self.assertEqual((len(self.point.pinholes), self.held.status.state), (0, MappingState.RELEASED))
