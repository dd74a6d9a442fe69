"""How a session ends: from peace, one more thing happens, and it must be over soon.

Each is a function of the world. All begin with a control point that runs, and with what is wanted there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.session_checks import is_of
from tests.session_gateway import SessionGateway
from tests.session_life import Broken, Doom
from tests.session_troubles import ADDS, BLIND, PARTIAL_SECONDS, churn
from tests.session_troubles import blip as link_blips
from tests.session_troubles import grave as moves_from_a_grave
from tests.session_troubles import partial as boots_in_parts
from tests.session_troubles import unsure as released_unsure
from tests.session_world import ADDRESSES, World
from txigd.igd.lease_facts import MappingState
from txigd.limits import BOOT_RETRY_SECONDS, FAREWELL_SECONDS, HTTP_TOTAL_SECONDS, POLL_SECONDS

SOON = 15.0  # bounds what is told to a control point that polls every 30 s, and looks at everything every 60 s


def quiet(world: World) -> None:
    """Nothing happens: all leases are renewed in time."""
    for _ in range(70):
        world.wait(5)
        world.check_wanted()
        world.check_leases()


def reboot(world: World) -> None:
    """The router forgot everything, and says that it started."""
    world.router.reboot(keep=False, move=False)
    world.alive(world.router)
    world.wait(SOON)
    world.check_wanted()
    if not _is_heard(world):
        raise Broken(f"not subscribed {SOON} s after a restart")
    news(world)


def moved(world: World) -> None:
    """The same, and it answers at another port."""
    world.router.reboot(keep=False, move=True)
    world.alive(world.router)
    world.wait(SOON)
    world.check_wanted()
    if not _is_heard(world):
        raise Broken(f"not subscribed {SOON} s after a restart")
    news(world)


def news(world: World) -> None:
    """The external address changes, and an event tells those who are subscribed."""
    if _is_heard(world):
        world.router.state.line.address = "11.22.44.1"
        world.router.publish()
        world.wait(5)
        current = world.life.point.current
        if current is None or str(current.wan.status.external_ip) != "11.22.44.1":
            raise Broken(f"5 s after the event: {current and current.wan.status}, {current and current.eventing}")


def forgets(world: World) -> None:
    """The table is flushed, and an event tells those who are subscribed."""
    world.router.publish()
    world.wait(2.0)
    heard = _is_heard(world)
    world.router.state.table.clear()
    world.forget_foreign(world.router)
    world.router.publish()
    world.wait(SOON if heard else 5 * SOON)
    world.check_wanted()


def _is_heard(world: World) -> bool:
    """Whether the router has a subscriber to its connection: one that it dropped does not know yet."""
    return any("Connection" in one.key for one in world.router.subscribers.values())


def releases(world: World) -> None:
    """A wish less."""
    for wanted in world.wanted[-1:]:
        world.release(wanted)
    for pinhole in world.pinholes[-1:]:
        world.release_pinhole(pinhole)
    world.wait(SOON)
    world.check_wanted()
    world.check_unwanted()


def hop(world: World) -> None:
    """The default route leads to another router now; nothing stays on the former one, not even until a later look."""
    former = world.router
    world.move_hop()
    for _ in range(int(SOON)):
        world.wait(1)
        current = world.life.point.current
        if current is not None and current.udn == world.router.udn:
            break
    world.wait(FAREWELL_SECONDS - 2)
    _nothing_left(world, former)
    world.wait(2 * SOON)
    world.check_wanted()
    _nothing_left(world, former)


def _nothing_left(world: World, former: SessionGateway) -> None:
    left = [entry for entry in world.ours(former) if any(is_of(entry, wanted) for wanted in world.wanted)]
    if left or world.our_pinholes(former):
        raise Broken(f"left on {former.name}: {left} {world.our_pinholes(former)}")


def same(world: World) -> None:
    """Killed, and started again with the same wishes: each keeps its port (Q140)."""
    ports = _ports(world)
    world.die(Doom("*", ""))
    world.wait(SOON)
    world.check_wanted()
    world.check_unwanted()
    now = _ports(world)
    moved = {str(one): (port, now.get(one)) for one, port in ports.items() if now.get(one, port) != port}
    if moved and not world.fleeting:
        raise Broken(f"other ports after a restart: {moved}")


def _ports(world: World) -> dict[object, int]:
    held = world.life.point.mappings
    return {one.wanted: one.external_port for one in held if one.status.state is MappingState.ACTIVE}


def blip(world: World) -> None:
    """The link was down for a moment, and has the same address as before."""
    heard = _is_heard(world)
    link_blips(world)
    world.wait(SOON)
    world.check_wanted()
    if heard:
        _must_hear(world, "the link was down for a moment")
        news(world)


def partial(world: World) -> None:
    """A restart, after which the description has no WAN device for a while (Q052)."""
    boots_in_parts(world, world.router)
    world.wait(PARTIAL_SECONDS + BOOT_RETRY_SECONDS + SOON)
    world.check_wanted()


def grave(world: World) -> None:
    """It moves to another port, and drops whatever is on its way to the old one."""
    moves_from_a_grave(world, world.router)
    world.wait(SOON)
    world.check_wanted()
    _must_hear(world, "it moved")


def refused_churn(world: World) -> None:
    """All is refused while the table changes all the time: what is asked for again and again shows at the check."""
    for number, name in enumerate(ADDS):
        world.router.faults[name] = (606, 728)[number]
    world.router.forget()
    churn(world, world.router)
    world.check()
    world.router.faults.clear()
    reboot(world)


def blind_churn(world: World) -> None:
    """The same where nothing can be read back. A gateway that overwrites anything cannot be used without harm then."""
    if world.careless:
        return
    for name in BLIND:
        world.router.faults[name] = 401
    churn(world, world.router)
    world.check()
    world.router.faults.clear()
    reboot(world)


def dropped(world: World) -> None:
    """A subscriber that the router forgot without a word: the poll tells, and then it is known (F06)."""
    if not _is_heard(world):
        return
    world.router.subscribers.clear()
    world.router.state.line.address = "11.22.44.2"
    world.wait(POLL_SECONDS + 2.0)
    current = world.life.point.current
    if current is None or str(current.wan.status.external_ip) != "11.22.44.2":
        raise Broken(f"not told by the poll: {current and current.wan.status}")
    world.wait(SOON)
    _must_hear(world, "the poll brought news that no event had told of")
    news(world)


def unsure(world: World) -> None:
    """A wish less, while nobody knows what came of it (F45)."""
    mapping = world.wanted[-1] if world.wanted else None
    pinhole = world.pinholes[-1] if world.pinholes else None
    if mapping is not None:
        world.release(mapping)
    if pinhole is not None:
        world.release_pinhole(pinhole)
    world.wait(SOON)
    released_unsure(world, mapping, pinhole, seconds=HTTP_TOTAL_SECONDS + 2.0)
    world.wait(HTTP_TOTAL_SECONDS + 2 * SOON)
    world.check_wanted()
    world.check_unwanted()


def _must_hear(world: World, why: str) -> None:
    if not _is_heard(world):
        raise Broken(f"not subscribed {SOON} s after {why}")


def fewer(world: World) -> None:
    """Killed, and started again with a wish less."""
    world.die(Doom("*", "", 1, 2.0))
    world.wait(2.0 + SOON)
    world.check_wanted()
    world.check_unwanted()


def address(world: World) -> None:
    """Our own address changes in the life that went through it all."""
    world.own = ADDRESSES[1 - ADDRESSES.index(world.own)]
    world.wait(400)
    world.check_wanted()


def stop(world: World) -> None:
    """An orderly end."""
    world.life.stop()
    world.check_left()


def _by_name(*ends: Callable[[World], None]) -> dict[str, Callable[[World], None]]:
    return {one.__name__: one for one in ends}


ENDS: Final = _by_name(
    *(quiet, reboot, moved, news, forgets, releases, hop, same),
    *(blip, partial, grave, refused_churn, blind_churn, dropped, unsure),
)
LAST: Final = _by_name(address, fewer, stop)  # of every session
