"""A small world for whole sessions: gateways, a LAN with delays and losses, lives of a control point. On a task.Clock.

The gateways live on when a life is killed, and what was under way to them still arrives. What must hold is in
:mod:`tests.session_checks`.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from tests.memory_lan import Asked, MemoryDiscovery
from tests.session_callbacks import SessionCallbacks
from tests.session_checks import Checks
from tests.session_gateway import SILENT, SessionGateway
from tests.session_life import Broken, Doom, Life
from txigd.errors import AddressingError
from txigd.igd import gateways, mappings, pinholes
from txigd.igd.firewall import Firewall
from txigd.igd.mapping import PortMapping
from txigd.igd.pinhole import Pinhole
from txigd.limits import ADDS_AT_ONCE, RENEW_FLOOR_SECONDS
from txigd.testing import Entry, Rules
from txigd.testing import pinholes as testing
from txigd.upnp import addressing, control_point
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.eventing.gena import Envelope
from txigd.upnp.own_addresses import OwnAddress
from txigd.upnp.url import IPAddress

ADDRESSES = ("192.168.1.7", "192.168.1.8")
OWN6 = ipaddress.IPv6Address("2001:db8:1::7")
HOPS = ("192.168.1.1", "192.168.1.254")
ROGUE = "192.168.1.66"
PEACE_MINUTES = 11
LATELY = 300  # requests, arrivals and other steps that are told with what is broken
TURNS = 20_000  # timers in one stretch of time; more is a loop without an end
REQUESTS_A_MINUTE = 300  # far above what any plan of retries may come to
# Of one mapping in one life: what is lost again and again is made anew at once ADDS_AT_ONCE times, and then with the
# floor in between (Q134). What is refused, is taken or cannot be read back (F30, F31, F35, F37, Q130) stays far below.
ADDS_SECONDS = 600
ADDS_IN_TIME = ADDS_AT_ONCE + int(ADDS_SECONDS / RENEW_FLOOR_SECONDS)

Foreign = dict[tuple[str, int, str], Entry]


class World(Checks):
    """Everything there is; one life of the control point at a time.

    :ivar six: whether there is IPv6.
    :ivar doom: the kill that waits for its moment.
    :ivar under_way: how many requests have left and not arrived.
    :ivar churning: whether a table changes all the time now.
    :ivar adds: when this life asked for each mapping, by protocol and internal port.
    :ivar unanswered: what stands on a gateway under a port that we were never told.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.latency = 0.02
        self.cable = True
        self.churning = False
        self.six = False
        self.own = ADDRESSES[0]
        self.hop = HOPS[0]
        self.was_hop = {self.hop}
        self.gateways: list[SessionGateway] = []
        self.foreign: Foreign = {}
        self.foreign_pinholes: dict[tuple[str, int], testing.Pinhole] = {}
        self.unanswered: set[Any] = set()
        self.disk = b""
        self.wanted: list[PortMapping] = []
        self.pinholes: list[Pinhole] = []
        self.doom: Doom | None = None
        self.trouble: list[str] = []
        self.lately: deque[str] = deque(maxlen=LATELY)
        self.asked: deque[float] = deque(maxlen=REQUESTS_A_MINUTE)
        self.adds: dict[tuple[str, str], deque[float]] = {}
        self.under_way = 0
        self._rebirth: Any = None
        self._lives: list[Life] = []  # the dead ones too: a process that is killed collects no garbage
        self._ground = ExitStack()
        firewall = functools.partial(Firewall, own=self._own_addresses)
        chance = functools.partial(Random, 1)  # what happened can be made to happen again
        for module, name, value in (
            (addressing, "links", self._links),
            (addressing, "next_hops", self._next_hops),
            (addressing, "address_towards", self._towards),
            (gateways, "Firewall", firewall),
            (mappings, "Random", chance),
            (pinholes, "Random", chance),
            (control_point, "Discovery", self._discovery),
            (control_point, "Exchange", lambda clock: self.life.exchange()),
            (control_point, "CallbackServer", SessionCallbacks),
        ):
            self._ground.enter_context(mock.patch.object(module, name, value))
        observer: Any = self._logged
        globalLogPublisher.addObserver(observer)
        self._ground.callback(globalLogPublisher.removeObserver, observer)
        self.life: Life

    def make(self, rules: Rules, *, word: str = "") -> None:
        """Let there be gateways with these rules, and a first life.

        :param word: what they show as the description of every entry.
        """
        for number, (address, name) in enumerate(zip((*HOPS, ROGUE), ("Router", "Other", "Rogue"), strict=True), 1):
            udn = f"uuid:00000000-0000-0000-0000-{number:012d}"
            self.gateways.append(SessionGateway(self, address, udn=udn, name=name, version=rules.version))
            self.gateways[-1].state.table.rules = rules
            self.gateways[-1].word = word
        self._see_hop()
        self.begin()

    def close(self) -> None:
        """Take the patches away."""
        if self.gateways:
            self.life.kill()
        self._ground.close()

    # -- lives ---------------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Another life, with what is on disk."""
        rebirth, self._rebirth = self._rebirth, None
        if rebirth is not None and rebirth.active():
            rebirth.cancel()
        self.note(f"a life begins, wanted {', '.join(map(str, (*self.wanted, *self.pinholes)))}")
        self.adds.clear()
        self.life = Life(self)
        self._lives.append(self.life)
        self.life.begin()

    @property
    def living(self) -> bool:
        """Whether there is somebody to ask."""
        return not (self.life.clock.dead or self.life.doomed)

    def die(self, doom: Doom) -> None:
        """SIGKILL; after a while it is started again, perhaps with other wishes."""
        self.life.kill()
        self.note(f"killed: {doom}")
        for wishes in (self.wanted, self.pinholes):
            del wishes[max(0, len(wishes) - doom.fewer) :]
        self._rebirth = self.clock.callLater(doom.down, self.begin)

    def doom_of(self, asked: Asked, *moments: str) -> Doom | None:
        """The kill that is due now; it comes once."""
        doom = self.doom
        if doom is None or doom.moment not in moments or doom.name not in (asked.name, "*") or not self.living:
            return None
        self.doom = None
        return doom

    # -- wishes --------------------------------------------------------------------------------------------------------
    def hold(self, wanted: PortMapping) -> None:
        """Want it, now and in later lives."""
        if wanted not in self.wanted:
            self.wanted.append(wanted)
        if self.living:
            self.life.point.mappings.hold(wanted)

    def release(self, wanted: PortMapping) -> None:
        """Want it no more."""
        self.wanted.remove(wanted)
        for held in self.life.point.mappings if self.living else ():
            if held.wanted == wanted:
                held.release()

    def hold_pinhole(self, wanted: Pinhole) -> None:
        """The same for a pinhole."""
        if wanted not in self.pinholes:
            self.pinholes.append(wanted)
        if self.living:
            self.life.point.pinholes.hold(wanted)

    def release_pinhole(self, wanted: Pinhole) -> None:
        """Want it no more."""
        self.pinholes.remove(wanted)
        for held in self.life.point.pinholes if self.living else ():
            if held.wanted == wanted:
                held.release()

    # -- what the control point is given ---------------------------------------------------------------------------
    def _links(self, names: Sequence[str] = ()) -> tuple[Link, ...]:
        own = [ipaddress.ip_interface(f"{self.own}/24")]
        if self.six:
            own.append(ipaddress.ip_interface(f"{OWN6}/64"))
        return (Link("eth0", 2, tuple(own)),) if self.cable else ()

    def _next_hops(self) -> tuple[NextHop, ...]:
        hosts = [self.hop, self.router.address6] if self.six else [self.hop]
        return tuple(NextHop(ipaddress.ip_address(host), "eth0") for host in hosts) if self.cable else ()

    def _towards(self, host: Any) -> IPAddress:
        if not self.cable:
            raise AddressingError("network is unreachable")
        return ipaddress.ip_address(self.own_towards(host))

    def own_towards(self, host: IPAddress) -> str:
        """Our address towards a host."""
        return self.own if host.version == 4 else str(OWN6)

    def _own_addresses(self) -> tuple[OwnAddress, ...]:
        there = self.six and self.cable
        return (OwnAddress(OWN6, ipaddress.IPv6Network((int(OWN6), 64), strict=False), 2, "eth0"),) if there else ()

    def _discovery(self, reactor: Any, on_change: Any, **given: Any) -> MemoryDiscovery:
        world = self

        class Discovery(MemoryDiscovery):
            """Gateways answer a search after a moment, if they hear it; without a link nobody hears anything."""

            heard_on: object = given["links"]

            def set_links(self, links: object, next_hops: object) -> None:
                self.heard_on = links
                super().set_links(links, next_hops)

            def hear(self, *message: Any) -> None:
                if self.heard_on:
                    super().hear(*message)

            def search(self) -> None:
                self.searches += 1
                for gateway in world.gateways:
                    reactor.callLater(world.latency, world.alive, gateway)

            def probe(self, host: Any, port: int = 1900) -> bool:
                for gateway in world.gateways:
                    if str(host) in (gateway.address, gateway.address6):
                        reactor.callLater(world.latency, world.alive, gateway)
                return world.cable

            def stop(self) -> Deferred[None]:
                self.on_change = lambda change: None
                return super().stop()

        return Discovery(reactor, on_change, **given)

    # -- what happens ----------------------------------------------------------------------------------------------
    def at(self, address: str, port: int) -> SessionGateway | None:
        """Who answers there."""
        there = (one for one in self.gateways if address in (one.address, one.address6) and one.port == port)
        return next((one for one in there if one.up), None)

    @property
    def careless(self) -> bool:
        """Whether the gateways overwrite whatever stands in the way."""
        return self.gateways[0].state.table.rules.overwrites_all

    def alive(self, gateway: SessionGateway) -> None:
        discovery = self.life.discovery
        if gateway.up and self.cable and discovery is not None and discovery.running:
            discovery.alive(gateway)
            if self.six:
                discovery.alive(gateway, location=gateway.location6)

    def byebye(self, gateway: SessionGateway) -> None:
        discovery = self.life.discovery
        if self.cable and discovery is not None and discovery.running:
            discovery.byebye(gateway)

    def deliver(self, url: str, envelope: Envelope, values: dict[str, str]) -> None:
        """A NOTIFY reaches the callback port, which lets pass what it admits."""
        if not self.cable or not self.living:
            return
        callbacks: Any = self.life.point.callbacks
        for path in callbacks.paths:
            if path.url == url and path.is_open and callbacks.hears(url) and path.options["admits"](envelope.sid):
                self.life.clock.callLater(0, path.options["on_notify"], envelope, values)

    def move_hop(self) -> None:
        """The default route leads to the other gateway now."""
        self.hop = HOPS[1 - HOPS.index(self.hop)]
        self._see_hop()

    def _see_hop(self) -> None:
        self.was_hop |= {self.hop, self.router.address6}

    def occupy(self, gateway: SessionGateway, protocol: str, port: int) -> None:
        """The neighbour takes a port, unless it is taken.

        A gateway that overwrites anything protects nobody between our look and our request: it is not done then.
        """
        if self.careless and (self.under_way or any(wire.open for wire in self.life.wires)):
            return
        entry = gateway.occupy(protocol, port)
        if entry is not None:
            self.foreign[gateway.udn, port, protocol] = entry

    def occupy_number(self, gateway: SessionGateway, port: int) -> None:
        """The neighbour opens a pinhole."""
        opened = gateway.occupy_number(port)
        if opened is not None:
            self.foreign_pinholes[gateway.udn, opened[0]] = opened[1]

    def forget_foreign(self, gateway: SessionGateway, *, pinholes_only: bool = False) -> None:
        """What the neighbour had there is gone: a restart takes his pinholes in any case."""
        for number in [key for key in self.foreign_pinholes if key[0] == gateway.udn]:
            del self.foreign_pinholes[number]
        for place in [key for key in self.foreign if key[0] == gateway.udn and not pinholes_only]:
            del self.foreign[place]

    def neighbours_leave(self, gateway: SessionGateway) -> None:
        """The neighbour takes away what he had there."""
        for (udn, port, protocol), _ in tuple(self.foreign.items()):
            if udn == gateway.udn:
                gateway.state.table.delete(protocol, port, "")
        for udn, number in tuple(self.foreign_pinholes):
            if udn == gateway.udn:
                gateway.state.pinholes.delete(number)
        self.forget_foreign(gateway)

    def wait(self, seconds: float) -> None:
        """Time passes, from timer to timer."""
        end = self.clock.seconds() + seconds
        for _ in range(TURNS):
            discovery = self.life.discovery
            if discovery is not None and discovery.running:
                discovery.expire()
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            step = min(max(due - self.clock.seconds(), 0.0), 1.0)
            if self.clock.seconds() + step > end:
                self.clock.advance(max(0.0, end - self.clock.seconds()))
                return
            self.clock.advance(step)
            if step == 1.0:
                continue
            if self.clock.seconds() >= end and not any(
                call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()
            ):
                return
        raise Broken(f"{TURNS} turns in {seconds} s")

    def bearable(self, name: str, fault: object) -> object:
        """The fault, or another one where it is what nobody could see through.

        That is to say that what stands there is gone; and to gateways that overwrite anything, that nothing stands
        there: those cannot be used without harm then.
        """
        if self.careless and name in ("*", "GetSpecificPortMappingEntry"):
            return fault if fault in SILENT else "hang"
        told = name == "*" or name.startswith(("Get", "Delete", "Update"))
        return 501 if told and fault in (402, 714) else fault

    def heal(self) -> None:
        """Everything works from now on."""
        self.cable = True
        self.latency = 0.02
        self.doom = None
        for gateway in self.gateways:
            gateway.faults.clear()
            gateway.once.clear()
            gateway.snatches = 0
            gateway.whole_at = 0.0
            gateway.up = True
            gateway.state.line.carrier = True
            if not gateway.state.line.is_connected:
                gateway.state.line.connect(self.clock.seconds())
        if not self.living:
            self.wait(0.0)
        if not self.living:
            self.begin()

    def peace(self) -> None:
        """Everything works, and some minutes go by in which the router announces itself; then all is as wanted."""
        self.heal()
        for _ in range(PEACE_MINUTES):
            self.alive(self.router)
            self.wait(60)
            self.check()
        self.check_wanted()

    def note(self, what: str) -> None:
        """Keep what happened for whoever looks into what broke."""
        if not self.trouble:
            self.lately.append(f"{self.clock.seconds():.2f} {what}")

    # -- what is seen --------------------------------------------------------------------------------------------------
    def _logged(self, event: Any) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self.trouble.append(str(event.get("log_format")) + (failure.getTraceback() if failure else ""))

    def sees(self, asked: Asked) -> None:
        """A request leaves."""
        host = str(asked.url.host)
        if host not in self.was_hop:
            self.trouble.append(f"{asked.name} to {host}, which never was the next hop")
        now = self.clock.seconds()
        if len(self.asked) == REQUESTS_A_MINUTE and now - self.asked[0] < 60:
            self.trouble.append(f"more than {REQUESTS_A_MINUTE} requests in a minute")
        if not (self.churning and asked.name.startswith("Get")):  # a look at each change is as it should be
            self.asked.append(now)
        if asked.name in ("AddPortMapping", "AddAnyPortMapping"):
            self._count_add(asked, now)

    def _count_add(self, asked: Asked, now: float) -> None:
        mapping = asked.arguments["NewProtocol"], asked.arguments["NewInternalPort"]
        times = self.adds.setdefault(mapping, deque(maxlen=ADDS_IN_TIME))
        if len(times) == ADDS_IN_TIME and now - times[0] < ADDS_SECONDS:
            self.trouble.append(f"{mapping} was asked for more than {ADDS_IN_TIME} times in {ADDS_SECONDS} s")
        times.append(now)
