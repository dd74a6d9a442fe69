"""Thirty days on a simulated clock with a random fault every minute: what must hold does, and nothing grows.

    python -m bench.series.simulated [--days 30] [--seed 1]

The whole control point above sockets, one life of it, in the world of tests/session_world.py: gateways that hang,
refuse, lie, forget, move, get replaced; a line that drops and changes its address; a neighbour that takes ports; a
cable that comes out; routes and addresses that change. Each fault lasts less than a minute. What must hold at any
moment is checked after every fault. Every six hours come eleven minutes of peace, after which everything wanted must be
there and nothing else; then the live objects of txigd and Twisted are counted by type.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tests import session_troubles, session_world
from tests.memory_lan import MemoryPath
from tests.session_callbacks import SessionCallbacks
from tests.session_gateway import SILENT, SessionGateway
from tests.session_life import Broken
from tests.session_world import ADDRESSES, World
from txigd import log
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.testing import Rules
from txigd.upnp.url import IPAddress

from .record import Record, slope

WANTED = (
    PortMapping("TCP", 8080, description="web"),
    PortMapping("UDP", 5000, description="game", any_port=True, lease_seconds=600),
    PortMapping("TCP", 9000, 9001, description="long", lease_seconds=0),
    PortMapping("TCP", 7000, description="short", lease_seconds=300),
)
PINHOLES = (Pinhole("TCP", 8080), Pinhole("UDP", 5001, lease_seconds=300))
BRIEFLY = PortMapping("TCP", 6000, description="brief")
BRIEF_PINHOLE = Pinhole("TCP", 6000)
NAMES = (
    "*",
    "AddPortMapping",
    "GetSpecificPortMappingEntry",
    "GetGenericPortMappingEntry",
    "DeletePortMapping",
    "AddPinhole",
    "UpdatePinhole",
    "GetStatusInfo",
    "SUBSCRIBE",
    "GET",
)
ANSWERS = ("hang", "refuse", "lost", "html", 501, 402, 718, 725, 728, 401)
LIES = (None, {"ConnectionStatus": "Disconnected"}, {"ExternalIPAddress": "6.6.6.6"})
CHECKPOINT_SECONDS = 6 * 3600
ALIVE_SECONDS = 900


class Callbacks(SessionCallbacks):
    """Forgets the paths that are closed: thirty days open many."""

    def open(self, address: IPAddress, **options: Any) -> MemoryPath:
        path = super().open(address, **options)
        self.paths = [path for path in self.paths if path.is_open]
        self.released.clear()
        return path


class Misfortune:
    """One fault a minute, drawn from a table."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.befallen: Counter[str] = Counter()
        self.lately: deque[str] = deque(maxlen=8)  # for whoever looks into what broke
        self._kinds: tuple[tuple[int, Callable[[SessionGateway], object]], ...] = (
            (30, self.trouble),
            (8, self.reboot),
            (6, self.power),
            (8, self.line_down),
            (8, self.external_address),
            (6, self.table_forgotten),
            (6, self.entry_lost),
            (4, self.neighbour_comes),
            (6, self.neighbours_leave),
            (8, self.odd_event),
            (4, self.subscribers_dropped),
            (4, self.cable_out),
            (2, self.own_address),
            (2, self.route_moves),
            (4, self.slow),
            (4, self.false_byebye),
            (1, self.replaced),
            (3, self.next_calls_fail),
            (3, self.partial),
            (3, self.grave),
            (3, self.unsure),
        )

    def minute(self) -> None:
        """One fault somewhere in a minute, and its mending."""
        first = self.chance.uniform(0, 15)
        self.world.wait(first)
        kinds = self._kinds
        _, befall = self.chance.choices(kinds, [weight for weight, _ in kinds])[0]
        self.befallen[befall.__name__] += 1
        gateway = self.world.router if self.chance.random() < 0.9 else self.chance.choice(self.world.gateways)
        befall(gateway)
        told = f"{self.world.clock.seconds():.1f} {befall.__name__} {gateway.name} {gateway.faults or ''}"
        self.lately.append(told.strip())
        lasts = self.chance.uniform(0, 40)
        self.world.wait(lasts)
        self.world.check()
        self.world.heal()
        self.world.wait(60 - first - lasts)
        self.world.check()

    def trouble(self, gateway: SessionGateway) -> None:
        name = self.chance.choice(NAMES)
        gateway.faults[name] = self.world.bearable(name, self.chance.choice(ANSWERS))

    def next_calls_fail(self, gateway: SessionGateway) -> None:
        """Of an action that changes something, while the table was lost."""
        gateway.once[self.chance.choice(NAMES[1:])] = self.chance.choices(SILENT, k=self.chance.randint(1, 3))
        self.table_forgotten(gateway)
        gateway.publish()

    def reboot(self, gateway: SessionGateway) -> None:
        gateway.reboot(keep=self.chance.random() < 0.3, move=self.chance.random() < 0.5)
        self.world.alive(gateway)

    def partial(self, gateway: SessionGateway) -> None:
        """It restarts without a WAN device, until it is healed."""
        session_troubles.partial(self.world, gateway, 60.0)

    def grave(self, gateway: SessionGateway) -> None:
        session_troubles.grave(self.world, gateway)

    def unsure(self, gateway: SessionGateway) -> None:
        """Wished for beside all others, and let go in doubt."""
        session_troubles.unsure(self.world, BRIEFLY, BRIEF_PINHOLE, seconds=1.0)

    def power(self, gateway: SessionGateway) -> None:
        gateway.up = False

    def line_down(self, gateway: SessionGateway) -> None:
        gateway.state.line.carrier = False
        gateway.state.line.cut("ERROR_NO_CARRIER")
        if self.chance.random() < 0.5:
            gateway.publish()

    def external_address(self, gateway: SessionGateway) -> None:
        gateway.state.line.address = f"11.22.33.{self.chance.randint(1, 250)}"
        if self.chance.random() < 0.7:
            gateway.publish()

    def table_forgotten(self, gateway: SessionGateway) -> None:
        gateway.forget()

    def entry_lost(self, gateway: SessionGateway) -> None:
        ours = self.world.ours(gateway)
        if ours:
            entry = self.chance.choice(ours)
            gateway.state.table.delete(entry.protocol, entry.external_port, "")

    def neighbour_comes(self, gateway: SessionGateway) -> None:
        wanted = self.chance.choice(WANTED)
        self.world.occupy(gateway, wanted.protocol, wanted.wanted_port)

    def neighbours_leave(self, gateway: SessionGateway) -> None:
        self.world.neighbours_leave(gateway)

    def odd_event(self, gateway: SessionGateway) -> None:
        sids = sorted(gateway.subscribers)
        if sids:
            skip, back = self.chance.randint(0, 2), self.chance.randint(0, 3)
            gateway.notify(self.chance.choice(sids), back=back, skip=skip, lie=self.chance.choice(LIES))

    def subscribers_dropped(self, gateway: SessionGateway) -> None:
        gateway.subscribers.clear()

    def cable_out(self, gateway: SessionGateway) -> None:
        self.world.cable = False

    def own_address(self, gateway: SessionGateway) -> None:
        self.world.own = self.chance.choice(ADDRESSES)

    def route_moves(self, gateway: SessionGateway) -> None:
        self.world.move_hop()

    def slow(self, gateway: SessionGateway) -> None:
        self.world.latency = self.chance.choice((0.0, 0.4, 3.0))

    def false_byebye(self, gateway: SessionGateway) -> None:
        self.world.byebye(gateway)

    def replaced(self, gateway: SessionGateway) -> None:
        if gateway is not self.world.gateways[2]:
            gateway.replaced()
            self.world.alive(gateway)


def census() -> Counter[str]:
    """How many live objects of each class of ours and of Twisted there are, and how many in all."""
    gc.collect()
    counts: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        counts["all"] += 1
        name = f"{kind.__module__}.{kind.__qualname__}"  # a class made by C may have anything as its module
        if name.startswith(("txigd.", "twisted.")):
            counts[name] += 1
    return counts


def rss() -> int:
    """Octets in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def run(world: World, misfortune: Misfortune, days: float, record: Record) -> list[Counter[str]]:
    """The days; a row and a census at every checkpoint."""
    counts: list[Counter[str]] = []
    began, start = time.monotonic(), world.clock.seconds()
    checkpoint = announced = start
    while (now := world.clock.seconds()) - start < days * 86_400:
        if now - announced >= ALIVE_SECONDS:
            announced = now
            world.alive(world.router)
        misfortune.minute()
        if world.clock.seconds() - checkpoint < CHECKPOINT_SECONDS:
            continue
        checkpoint = world.clock.seconds()
        world.peace()
        discovery = world.life.discovery
        if discovery is not None:
            del discovery.links[:-1], discovery.probed[:]
        counts.append(census())
        row = {"day": round((checkpoint - start) / 86_400, 2), "wall": round(time.monotonic() - began, 1), "rss": rss()}
        record.rows.append(
            {
                **row,
                "objects": counts[-1]["all"],
                "calls": len(world.life.clock.getDelayedCalls()),
                "faults": misfortune.befallen.total(),
            }
        )
        print(record.rows[-1], flush=True)
    return counts


def growing(counts: list[Counter[str]]) -> list[str]:
    """Types of which there were at every checkpoint of the last third more than ever in the second third."""
    third = len(counts) // 3
    middle, last = counts[third : 2 * third], counts[2 * third :]
    kinds = {kind for count in last for kind in count if kind != "all"}
    return sorted(
        f"{kind}: {max(c[kind] for c in middle)} -> {max(c[kind] for c in last)}"
        for kind in kinds
        if middle and min(c[kind] for c in last) > max(c[kind] for c in middle)
    )


def measure(days: float, seed: int = 1) -> Record:
    """One life."""
    record = Record(
        "simulated", f"{days:g} simulated days with a fault every minute (seed {seed})", (__doc__ or "").strip(), 1
    )
    log.set_level("error")
    random.seed(seed)
    broken = ""
    with mock.patch.object(session_world, "SessionCallbacks", Callbacks):
        world = World()
        world.six = True
        world.make(Rules())
    misfortune = Misfortune(world, random.Random(seed))
    counts: list[Counter[str]] = []
    began, start = time.monotonic(), world.clock.seconds()
    try:
        world.alive(world.router)
        world.wait(10)
        for wanted in WANTED:
            world.wanted.append(wanted)
            world.life.point.mappings.hold(wanted)
        for pinhole in PINHOLES:
            world.hold_pinhole(pinhole)
        world.wait(30)
        counts = run(world, misfortune, days, record)
        world.peace()
        world.life.stop()
        world.check_left()
        world.check()
    except Broken as error:
        broken = f"day {(world.clock.seconds() - start) / 86_400:.3f}"
        record.notes.append(f"once more: python -m bench.series.simulated --days {days:g} --seed {seed}")
        record.notes += [*dict.fromkeys(str(error).splitlines()[:200]), *misfortune.lately, *world.lately]
    finally:
        world.close()
    record.figure("simulated days", (world.clock.seconds() - start) / 86_400, f">= {days:g}", not broken)
    record.figure("faults", misfortune.befallen.total())
    record.figure("what must hold, broken", broken or "never", "never", not broken)
    record.figure("wall time (s)", time.monotonic() - began)
    grown = growing(counts)
    record.figure("types of objects that grow", ", ".join(grown) or "none", "none", not grown)
    half = record.rows[len(record.rows) // 3 :]
    if half:
        record.figure("objects in all: growth a day", slope([(row["day"], row["objects"]) for row in half]))
        record.figure("RSS: growth a day (kB)", slope([(row["day"], row["rss"] / 1e3) for row in half]))
        record.figure("DelayedCalls, most at a checkpoint", max(row["calls"] for row in half))
    record.notes.append("faults: " + ", ".join(f"{name} {n}" for name, n in sorted(misfortune.befallen.items())))
    return record


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = measure(options.days, options.seed)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
