"""How a session ends: from peace, one more thing happens, and it must be over soon.

Each is a function of the world. All begin with a control point that runs, and with what is wanted there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.session_checks import is_of
from tests.session_life import Broken, Doom
from tests.session_world import ADDRESSES, World

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
    """The default route leads to another router now; nothing stays on the former one."""
    former = world.router
    world.move_hop()
    world.wait(2 * SOON)
    world.check_wanted()
    left = [entry for entry in world.ours(former) if any(is_of(entry, wanted) for wanted in world.wanted)]
    if left or world.our_pinholes(former):
        raise Broken(f"left on {former.name}: {left} {world.our_pinholes(former)}")


def same(world: World) -> None:
    """Killed, and started again with the same wishes."""
    world.die(Doom("*", ""))
    world.wait(SOON)
    world.check_wanted()
    world.check_unwanted()


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


ENDS: Final = _by_name(quiet, reboot, moved, news, forgets, releases, hop, same)
LAST: Final = _by_name(address, fewer, stop)  # of every session
