"""Trouble that takes its time in a whole session: links, boots, tables, ports, subscriptions, doubts.

Each is a function of the world, good in the middle of a session; what must hold afterwards is in
:mod:`tests.session_ends`.
"""

from __future__ import annotations

from tests.session_gateway import NEIGHBOUR, SessionGateway
from tests.session_world import World
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.limits import LINK_POLL_SECONDS
from txigd.testing import Entry

BLIND = ("GetSpecificPortMappingEntry", "GetGenericPortMappingEntry", "GetListOfPortMappings")
TABLE_VARIABLES = ("PortMappingNumberOfEntries", "SystemUpdateID")
ADDS = ("AddPortMapping", "AddAnyPortMapping")
PARTIAL_SECONDS = 20.0
CHURN_PORT = 60_999
CHURN_EVERY_SECONDS = 2.0
# As many changes as would break the bound on requests to add, if each of them caused one.
CHURN_SECONDS = 150.0


def blip(world: World, seconds: float = LINK_POLL_SECONDS + 1.0) -> None:
    """The link goes down, and comes up again with the same address: the route knows nothing of it."""
    world.cable = False
    world.wait(seconds)
    world.cable = True


def partial(world: World, gateway: SessionGateway, seconds: float = PARTIAL_SECONDS) -> None:
    """It restarts, and shows no WAN device for some seconds, in the same life (Q052)."""
    gateway.reboot(keep=False, move=False)
    gateway.whole_at = world.clock.seconds() + seconds
    world.alive(gateway)


def grave(world: World, gateway: SessionGateway, *, silent: float = 1.0) -> None:
    """It falls silent while it is asked for everything, and comes back at another port; its old one drops packets."""
    current = world.life.point.current if world.living else None
    gateway.up = False
    if current is not None:
        current.verify()
    world.wait(silent)
    gateway.reboot(keep=False, move=True)
    gateway.up = True
    world.alive(gateway)


def churn(world: World, gateway: SessionGateway, seconds: float = CHURN_SECONDS) -> None:
    """Another host's entry comes and goes all the time, and each time an event tells of it."""
    table, end = gateway.state.table, world.clock.seconds() + seconds
    world.churning = True
    while world.clock.seconds() < end:
        if table.find("TCP", CHURN_PORT) is None:
            table.put(Entry("TCP", CHURN_PORT, NEIGHBOUR, CHURN_PORT, "", "comes and goes"))
        else:
            table.delete("TCP", CHURN_PORT, "")
        gateway.publish(TABLE_VARIABLES)
        world.wait(CHURN_EVERY_SECONDS)
    world.churning = False
    if table.find("TCP", CHURN_PORT) is not None:
        table.delete("TCP", CHURN_PORT, "")


def unsure(world: World, mapping: PortMapping | None, pinhole: Pinhole | None, *, seconds: float) -> None:
    """It is asked for, done, the answer gets lost, and then it is wanted no more (F45)."""
    once = world.router.once
    for name in (*ADDS, "AddPinhole"):
        once[name] = ["lost"] * 3  # a call that is answered late is repeated (F46)
    if mapping is not None:
        world.hold(mapping)
    if pinhole is not None:
        world.hold_pinhole(pinhole)
    world.wait(seconds)
    if mapping in world.wanted:
        world.release(mapping)
    if pinhole in world.pinholes:
        world.release_pinhole(pinhole)
    for name in (*ADDS, "AddPinhole"):
        once.pop(name, None)
