"""``python -m tests.ssdp_stories``: the SSDP quirks of the simulated gateway before a real control point, on lo alone.

Meant for a network namespace of its own, where nobody else is on port 1900. Prints a line of JSON for each quirk: its
id, and the empty text or what went wrong.
"""

from __future__ import annotations

import ipaddress
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react

from tests.ticking import STEP_SECONDS, TickingReactor
from txigd import ControlPoint, PortMapping
from txigd.igd.gateway import Gateway
from txigd.testing import SimulatedGateway
from txigd.testing.profiles import PROFILES
from txigd.testing.quirks.announcing import ANNOUNCING
from txigd.testing.quirks.searching import SEARCHING
from txigd.upnp import addressing

ROUTER = ipaddress.IPv4Address("127.0.0.1")
ROUTER_6 = ipaddress.IPv6Address("2001:db8:1::1")  # put on lo by the test
NEVER = 1e6
CHANGED = "11.22.33.77"
# An answer that is late by a kernel's millisecond must not be late by seconds of a story.
SLOW = {"Q042": 0.001}
ELSEWHERE = {"Q008", "Q013"}  # they take more than lo has, see tests/family_stories.py
TOLD = (
    *(quirk for quirk in SEARCHING if quirk not in ELSEWHERE),
    *ANNOUNCING,
    "Q069",
    "Q070",
    "Q072",
    "Q197",
    *PROFILES,
)


class Story:
    """A gateway that plays one quirk, a control point, and what the one finds of the other."""

    device: SimulatedGateway
    point: ControlPoint
    router: Gateway

    def __init__(self, reactor: TickingReactor, identifier: str) -> None:
        self.reactor = reactor
        self.identifier = identifier

    async def tell(self) -> None:
        searched = self.identifier in SEARCHING or self.identifier in PROFILES
        # what is about searches must not be found by an announcement
        options: dict[str, Any] = {"notify_seconds": NEVER if searched else 10.0, "relay": False, "clock": self.reactor}
        if self.identifier in PROFILES:
            self.device = SimulatedGateway.profile(self.reactor, self.identifier, **options)
        else:
            self.device = SimulatedGateway(self.reactor, quirks={self.identifier}, **options)
        await self.device.start()
        if searched:
            await self.rest(1)
        self.point = ControlPoint(self.reactor, links=["lo"])
        self.point.start()
        try:
            self.router = await self.point.gateway(timeout=30)
            assert self.router.udn == self.device.udn, self.router.udn
            held = self.router.mappings.hold(PortMapping("TCP", 8080))
            await held.when_active(30)
            await SPECIAL.get(self.identifier, _usual)(self)
            await held.when_active(30)
            assert len(self.point.gateways) == 1, self.point.gateways
            await self.rest(3)
            self.device.change_address(CHANGED)
            await self.router.wan.when(lambda status: str(status.external_ip) == CHANGED, 60)
        finally:
            await self.point.stop()
            await self.device.stop()

    async def rest(self, seconds: float) -> None:
        await deferLater(self.reactor, seconds)  # type: ignore[arg-type]

    def count(self, action: str) -> int:
        return len([one for one in self.device.requests if one.action == action])


async def _usual(story: Story) -> None:
    """Found by a search and by announcements, and taken for the same gateway."""
    await story.rest(1)
    for _ in range(2):
        story.device.announce()
        await story.rest(0.5)
    assert story.router.device.boots == 0, "described again"


async def _stays(story: Story) -> None:
    """Through half a minute of what is said of it, it is neither lost nor mapped anew."""
    await story.rest(30)
    assert story.point.current is story.router
    assert story.count("AddPortMapping") == 1, story.count("AddPortMapping")


async def _moves(story: Story) -> None:
    """After a reboot without a word it is found at its new place, and its mappings are made again."""
    before = story.device.location
    await story.device.reboot()
    assert story.device.location != before
    for _ in range(300):
        if len(story.device.mappings) == 1 and story.point.current is not None:
            break
        await story.rest(0.2)
    assert story.point.current is not None
    assert story.point.current.location == story.device.location, story.point.current.location
    assert len(story.device.mappings) == 1


async def _two_places(story: Story) -> None:
    await _stays(story)
    assert len(story.router.device.sightings) == 2, story.router.device.sightings


async def _both_versions(story: Story) -> None:
    announced = [target for target, _ in story.device.state.tree.announcements()]
    assert not [target for target in announced if target.endswith(":2")], announced
    assert story.router.device.description.root.device_type.endswith(":2")
    await _usual(story)


async def _restarts_or_not(story: Story) -> None:
    await _stays(story)
    assert story.router.device.boots == 0, "another BOOTID that was announced is no restart"


async def _byebyes(story: Story) -> None:
    await story.rest(30)
    assert story.point.current is story.router
    assert story.router.device.boots <= 4, story.router.device.boots


async def _rewritten(story: Story) -> None:
    assert story.router.address == ROUTER
    await _usual(story)


async def firewall(reactor: TickingReactor) -> None:
    """Q197: the gateway lives at an IPv6 address, and a second description has what the first one lacks."""
    device = SimulatedGateway(reactor, quirks={"Q197"}, address=str(ROUTER_6), relay=False, clock=reactor)
    await device.start()
    point = ControlPoint(reactor, links=["lo"])
    point.start()
    try:
        router = await point.gateway(timeout=30)
        described = {service.name for service in router.device.description.root.all_services()}
        assert "WANIPv6FirewallControl" not in described, router.location
        assert router.firewall is not None
        status = await router.firewall.status()
        assert status.enabled, status
    finally:
        await point.stop()
        await device.stop()


SPECIAL: dict[str, Callable[[Story], Awaitable[None]]] = {
    "Q023": _stays,
    "Q025": _rewritten,
    "Q031": _stays,
    "Q034": _byebyes,
    "Q035": _byebyes,
    "Q036": _stays,
    "Q037": _moves,
    "Q038": _two_places,
    "Q039": _stays,
    "Q042": _restarts_or_not,
    "Q069": _moves,
    "Q070": _moves,
    "Q072": _both_versions,
}


async def _story(identifier: str) -> str:
    reactor = TickingReactor(SLOW.get(identifier, STEP_SECONDS))
    reactor.start()
    try:
        await (firewall(reactor) if identifier == "Q197" else Story(reactor, identifier).tell())
    except Exception:
        return traceback.format_exc()
    finally:
        reactor.stop()
    return ""


async def main(_: Any, *wanted: str) -> None:
    # the device on this host's loopback is the router of this host
    hops = tuple(addressing.NextHop(address, "lo", 0) for address in (ROUTER, ROUTER_6))
    addressing.next_hops = lambda: hops
    for identifier in wanted or TOLD:
        print(json.dumps([identifier, await _story(identifier)]), flush=True)


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, *sys.argv[1:])))
