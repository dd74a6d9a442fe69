"""``python -m tests.family_stories``: quirks that take IPv6 multicast, or a gateway at addresses of both families.

Meant for a network namespace of its own with a link ``d0``, see :data:`SCRIPT`: loopback has no IPv6 multicast. Prints
a line of JSON for each quirk: its id, and the empty text or what went wrong.
"""

from __future__ import annotations

import ipaddress
import json
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react

from tests.ticking import STEP_SECONDS, TickingReactor
from txigd import ControlPoint, limits
from txigd.errors import ActionError, NoGateway
from txigd.igd.gateway import Gateway
from txigd.igd.journal import Journal
from txigd.igd.pinhole import Pinhole
from txigd.testing import SimulatedGateway
from txigd.upnp.discovery import sockets
from txigd.upnp.own_addresses import own_addresses

# The gateway's addresses come behind ours, so that the ones that txigd takes are ours. What does not choose gets the
# gateway's own from the kernel, for it leaves for this very host.
SCRIPT = """
ip link set lo up
ip link add d0 type veth peer name d1
for end in d0 d1; do ip link set $end addrgenmode none; done
for name in accept_dad dad_transmits; do echo 0 > /proc/sys/net/ipv6/conf/d0/$name; done
echo 2 > /proc/sys/net/ipv6/conf/d0/use_tempaddr
for end in d0 d1; do ip link set $end up; done
for number in 7 1; do ip address add 192.0.2.$number/24 dev d0; done
ip address add fe80::7/64 dev d0 nodad
ip address add 2001:db8:1::7/64 dev d0 nodad mngtmpaddr
ip address add 2001:db8:1::f/64 dev d0 nodad
exec "$0" -m tests.family_stories
"""
ROUTER, ROUTER_6 = "192.0.2.1", "2001:db8:1::f"
OURS = ipaddress.IPv6Address("2001:db8:1::7")
NEVER = 1e6
FIREWALL = "WANIPv6FirewallControl"
# A datagram that is late by a kernel's millisecond must not be late by the moment that Q008 is about.
SLOW = {"Q008": 0.005}


class Story:
    """A gateway that plays one quirk, on both families unless a story wants it otherwise."""

    device: SimulatedGateway

    def __init__(self, reactor: TickingReactor, identifier: str) -> None:
        self.reactor = reactor
        self.identifier = identifier

    async def start(self, **options: Any) -> None:
        """Start the gateway, and let the announcements of the start pass: what finds it is a search."""
        given = {"address": ROUTER, "address6": ROUTER_6, "link": "d0", "notify_seconds": NEVER, "relay": False}
        self.device = SimulatedGateway(
            self.reactor, **{**given, **options}, quirks={self.identifier}, clock=self.reactor
        )
        await self.device.start()
        assert not self.device.problems, self.device.problems
        await self.rest(1)

    @asynccontextmanager
    async def point(self, **options: Any) -> AsyncIterator[ControlPoint]:
        point = ControlPoint(self.reactor, links=["d0"], **options)
        point.start()
        try:
            yield point
        finally:
            await point.stop()

    async def not_found(self) -> None:
        """A control point without what txigd does about the quirk."""
        async with self.point() as point:
            try:
                await point.gateway(timeout=30)
            except NoGateway:
                return
        raise AssertionError("found all the same")

    async def rest(self, seconds: float) -> None:
        await deferLater(self.reactor, seconds)  # type: ignore[arg-type]

    def asked_by(self, action: str) -> set[str]:
        """Who asked for the action, and was not refused."""
        return {one.peer for one in self.device.requests if one.action == action and not one.error}

    def ports(self) -> dict[int, int]:
        """The ports that are open, by UniqueID."""
        return {unique_id: pinhole.internal_port for unique_id, pinhole in self.device.state.pinholes}


async def _refused(router: Gateway, action: str, **arguments: Any) -> int:
    """The error of an action that is asked from where the system likes."""
    try:
        await router.service(FIREWALL).call(action, **arguments)
    except ActionError as error:
        return error.code
    return 0


async def families_apart(story: Story) -> None:
    await story.start()
    with patch.object(limits, "SEARCH_V6_DELAY_SECONDS", 0.0):
        await story.not_found()
    async with story.point() as point:
        router = await point.gateway(timeout=30)
        await story.rest(2)
        found = {str(location) for location in router.device.sightings}
        assert found == {story.device.location, story.device.location6}, found


async def site_local_group(story: Story) -> None:
    await story.start(address=ROUTER_6, address6="")
    with patch.object(sockets, "GROUP_V6_SITE", ipaddress.IPv6Address("ff05::dead")):
        await story.not_found()
    async with story.point() as point:
        router = await point.gateway(timeout=30)
        assert router.location == story.device.location, router.location


async def for_the_one_that_asks(story: Story) -> None:
    await story.start()
    async with story.point() as point:
        router = await point.gateway(timeout=30)
        wanted = {"RemoteHost": "", "RemotePort": 0, "InternalClient": str(OURS), "InternalPort": 8080, "Protocol": 6}
        assert await _refused(router, "AddPinhole", **wanted, LeaseTime=3600) == 606
        held = router.pinholes.hold(Pinhole("TCP", 8080))
        await held.when_active(30)
        assert held.address == OURS, held.status
        assert story.asked_by("AddPinhole") == {str(OURS)}, story.asked_by("AddPinhole")
    assert story.ports() == {}, "closed at the end"


async def from_a_stable_address(story: Story) -> None:
    await story.start()
    assert any(one.temporary for one in own_addresses() or ()), "the system made no temporary address"
    async with story.point() as point:
        router = await point.gateway(timeout=30)
        held = router.pinholes.hold(Pinhole("TCP", 8080, lease_seconds=40))
        status = await held.when_active(30)
        for action in ("UpdatePinhole", "DeletePinhole"):
            lease = {"NewLeaseTime": 60} if action == "UpdatePinhole" else {}
            assert await _refused(router, action, UniqueID=status.unique_id, **lease) == 606, action
        await story.rest(60)
        assert story.ports() == {status.unique_id: 8080}, story.ports()
    assert story.asked_by("UpdatePinhole") == story.asked_by("DeletePinhole") == {str(OURS)}
    assert story.ports() == {}, "closed at the end"


async def without_a_list(story: Story) -> None:
    await story.start()
    journal = Journal()
    async with story.point(journal=journal) as point:
        router = await point.gateway(timeout=30)
        table = await router.device.service(FIREWALL).description()
        assert table is not None
        told = {argument.name for action in table.actions.values() for argument in action.outputs}
        assert "InternalClient" not in told, "no action tells whose a pinhole is"
        for port in (8080, 8081):
            await router.pinholes.hold(Pinhole("TCP", port)).when_active(30)
        left = story.ports()
        story.device.set_fault("DeletePinhole", "close")  # as if it had been killed
    assert story.ports() == left, story.ports()
    assert sorted(left.values()) == [8080, 8081], left
    story.device.clear_faults()
    async with story.point(journal=journal) as point:
        router = await point.gateway(timeout=30)
        status = await router.pinholes.hold(Pinhole("TCP", 8080)).when_active(30)
        await story.rest(5)
        assert story.ports() == {status.unique_id: 8080}, story.ports()


STORIES: dict[str, Callable[[Story], Awaitable[None]]] = {
    "Q008": families_apart,
    "Q013": site_local_group,
    "Q193": for_the_one_that_asks,
    "Q194": from_a_stable_address,
    "Q199": without_a_list,
}


async def _tell(identifier: str) -> str:
    reactor = TickingReactor(SLOW.get(identifier, STEP_SECONDS))
    reactor.start()
    story = Story(reactor, identifier)
    try:
        await STORIES[identifier](story)
    except Exception:
        return traceback.format_exc()
    finally:
        await story.device.stop()
        reactor.stop()
    return ""


async def main(_: Any, *wanted: str) -> None:
    for identifier in wanted or STORIES:
        print(json.dumps([identifier, await _tell(identifier)]), flush=True)


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, *sys.argv[1:])))
