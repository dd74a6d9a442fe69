"""A real control point before a simulated gateway on loopback, in a time that runs fast: the ground of quirk tests."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

import txigd.upnp.control_point
from tests.ticking import TickingReactor
from txigd import ControlPoint, PortMapping
from txigd.igd.gateway import Gateway
from txigd.igd.held_mapping import HeldMapping
from txigd.igd.lease_facts import MappingState
from txigd.igd.status import WANStatus
from txigd.testing import SimulatedGateway
from txigd.testing.quirks import Quirk
from txigd.upnp.discovery.presence import Presence

PUBLIC = "11.22.33.44"
CHANGED = "11.22.33.77"
ADDING = frozenset({MappingState.WAITING, MappingState.ADDING})


class NoDiscovery:
    """For gateways that are named by their URL: no socket of SSDP is opened, so parallel runs hear nothing."""

    problems = ()

    def __init__(self, *arguments: object, **options: object) -> None:
        self.presence = Presence()
        self.counters: dict[str, int] = {}

    def start(self) -> None:
        pass

    def search(self) -> None:
        pass

    def probe(self, *arguments: object) -> bool:
        return True

    def set_links(self, *arguments: object) -> None:
        pass

    def stop(self) -> Deferred[None]:
        return succeed(None)


class QuirkCase(TestCase):
    """``self.device`` is the simulated gateway, ``self.point`` the control point, ``self.router`` what it found."""

    timeout = 180
    device: SimulatedGateway
    point: ControlPoint
    router: Gateway

    def setUp(self) -> None:
        self.patch(txigd.upnp.control_point, "Discovery", NoDiscovery)
        self.reactor = TickingReactor()
        self.reactor.start()
        self.addCleanup(self.reactor.stop)

    def play(self, *quirks: str | Quirk, profile: str = "", **options: Any) -> SimulatedGateway:
        """The device, not started yet."""
        options = {"ssdp": False, "relay": False, "quirks": quirks, **options}
        if profile:
            self.device = SimulatedGateway.profile(self.reactor, profile, **options)
        else:
            self.device = SimulatedGateway(self.reactor, **options)
        self.addCleanup(self.device.stop)
        return self.device

    async def find(self, *quirks: str | Quirk, seconds: float = 30, **options: Any) -> Gateway:
        """Start a device that plays these quirks, and a control point that finds it."""
        await self.play(*quirks, **options).start()
        self.point = ControlPoint(self.reactor, gateway=self.device.location)
        self.addCleanup(self.point.stop)
        self.point.start()
        self.router = await self.point.gateway(timeout=seconds)
        return self.router

    async def hold(self, *, state: MappingState = MappingState.ACTIVE, **fields: Any) -> HeldMapping:
        """Hold a mapping until the gateway has said yes or no, and expect this state of it."""
        held = self.router.mappings.hold(PortMapping(**{"protocol": "TCP", "internal_port": 8080, **fields}))
        await held.watched.when(lambda status: status.state not in ADDING, 60)
        self.assertIs(held.status.state, state, held.status)
        if state is MappingState.ACTIVE:
            entry = self.device.mappings.find("TCP", held.external_port, str(fields.get("remote_host") or ""))
            assert entry is not None
            self.assertEqual((entry.internal_client, entry.internal_port), ("127.0.0.1", held.wanted.internal_port))
        return held

    async def change(self, *, by: str = "event", address: str = CHANGED) -> WANStatus:
        """Give the line another address, and hear of it in this way."""
        await self.settled()
        self.device.change_address(address)
        status = await self.router.wan.when(lambda status: str(status.external_ip) == address, 100)
        self.assertEqual(status.learned.value, by)
        return status

    async def settled(self) -> None:
        """Wait until every subscription is granted or refused, and the reads that they bring are over."""
        for _ in range(400):
            if "subscribing" not in self.router.eventing.values():
                break
            await self.rest(0.05)
        await self.rest(2.5)

    async def all_of_it(self, *, by: str = "event") -> None:
        """The address, a mapping, and a change: what every gateway has to give."""
        self.assertEqual(str(await self.router.external_ip()), PUBLIC)
        await self.hold()
        await self.change(by=by)

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        await deferLater(self.reactor, seconds)  # type: ignore[arg-type]

    def seen(self, method_or_action: str) -> list[Any]:
        """The requests of one method, or for one action."""
        return [one for one in self.device.requests if method_or_action in (one.method, one.action)]
