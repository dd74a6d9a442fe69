"""A small world for whole sessions: gateways, a LAN with delays and losses, lives of a control point. On a task.Clock.

A life can be killed: its timers never fire, its open requests are never answered, and what it had on disk is what the
next life begins with. The gateways live on, and what was under way to them still arrives.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from zope.interface import implementer

from tests.memory_lan import PAGE, Asked, MemoryCallbacks, MemoryDiscovery, MemoryGateway, reply
from txigd.errors import AddressingError, ConnectFailed, ExchangeError, ExchangeTimeout
from txigd.igd.control_point import ControlPoint, host_id
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import MappingState
from txigd.igd.mapping import PortMapping, is_ours
from txigd.interfaces import IExchange
from txigd.limits import STATE_SAVE_SECONDS
from txigd.testing import Entry, Rules, control
from txigd.testing.tree import Tree
from txigd.upnp import addressing, control_point
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.control import soap
from txigd.upnp.eventing.gena import Envelope
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL

HOST_ID = host_id("session")
ADDRESSES = ("192.168.1.7", "192.168.1.8")
HOPS = ("192.168.1.1", "192.168.1.254")
ROGUE = "192.168.1.66"
NEIGHBOUR = "192.168.1.99"
TURNS = 20_000  # timers in one stretch of time; more is a loop without an end
REQUESTS_A_MINUTE = 300  # far above what any plan of retries may come to


class Broken(AssertionError):
    """An invariant does not hold."""


@implementer(IReactorTime)
class LifeClock:
    """The time of one life: the world's, until it is killed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.dead = False
        self._calls: set[Any] = set()

    def seconds(self) -> float:
        return self.clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:  # noqa: A002
        if self.dead:
            raise Broken("something of a dead life runs")
        self._calls = {one for one in self._calls if one.active()}
        call = self.clock.callLater(delay, callable, *args, **kw)
        self._calls.add(call)
        return call

    def getDelayedCalls(self) -> list[Any]:
        return [call for call in self._calls if call.active()]

    def kill(self) -> None:
        self.dead = True
        for call in self.getDelayedCalls():
            call.cancel()


@dataclass
class Subscription:
    """One subscriber of a gateway."""

    url: str
    key: str
    seq: int = 0


class SessionGateway(MemoryGateway):
    """A gateway with events; the fault ``"lost"`` does what is asked and does not answer."""

    def __init__(self, world: World, address: str, **options: Any) -> None:
        super().__init__(world.clock, address, **options)
        self.world = world
        self.subscribers: dict[str, Subscription] = {}
        self.up = True

    def answer(self, asked: Asked, body: bytes) -> Reply | None:
        names = (asked.name, asked.method, "*")
        fault = next((self.faults[name] for name in names if name in self.faults), None)
        if fault == "hang":
            return None
        if fault == "refuse":
            raise ConnectFailed("refused")
        if fault == "html":
            return reply(200, PAGE)
        if isinstance(fault, int):
            return reply(500, soap.fault(fault, "")) if asked.method == "POST" else reply(fault)
        answered = self._do(asked, body)
        return None if fault == "lost" else answered

    def _do(self, asked: Asked, body: bytes) -> Reply:
        if asked.method == "GET":
            return reply(200, self.document()) if asked.url == self.location else reply(404)
        services = self.state.tree.services.values()
        if asked.method == "UNSUBSCRIBE":
            return reply(200 if self.subscribers.pop(asked.headers.get("SID", ""), None) else 412)
        if asked.method == "SUBSCRIBE":
            service = next((one for one in services if one.event_path == asked.url.target), None)
            return reply(404) if service is None else self._subscribe(asked, service.key)
        service = next((one for one in services if one.control_path == asked.url.target), None)
        if service is None:
            return reply(404)
        now = self.clock.seconds()
        self.state.advance(now)
        request = control.read(body, asked.headers.get("SOAPACTION", ""))
        answer = control.answer(self.state, service, request, caller=self.world.own, now=now)
        return reply(answer.status, answer.body)

    def _subscribe(self, asked: Asked, key: str) -> Reply:
        sid = asked.headers.get("SID", "")
        if sid and sid not in self.subscribers:
            return reply(412)
        if not sid:
            self.sids += 1
            sid = f"uuid:{self.udn[-4:]}-{self.boot_id}-{self.sids}"
            self.subscribers[sid] = Subscription(asked.headers["CALLBACK"].strip("<>"), key)
            self.clock.callLater(self.world.latency, self.notify, sid)
        return reply(200, headers=(("SID", sid), ("TIMEOUT", "Second-300")))

    def publish(self) -> None:
        """Tell every subscriber how it is."""
        for sid in tuple(self.subscribers):
            self.notify(sid)

    def notify(self, sid: str, *, back: int = 0, skip: int = 0, lie: dict[str, str] | None = None) -> None:
        """One event; ``back`` repeats an earlier SEQ, ``skip`` loses some before it, ``lie`` says what is not so."""
        subscriber = self.subscribers.get(sid)
        if subscriber is None:
            return
        subscriber.seq += skip
        seq = max(0, subscriber.seq - back)
        self.world.deliver(subscriber.url, Envelope(sid, seq), {**self.state.evented(subscriber.key), **(lie or {})})
        if not back:
            subscriber.seq += 1

    def reboot(self, *, keep: bool, move: bool) -> None:
        self.subscribers.clear()
        self.boot_id += 1
        self.state.reboot(keep_mappings=keep)
        self.state.line.connect(self.clock.seconds())
        if move:
            self.port += 1

    def replaced(self, udn: str) -> None:
        """Another gateway stands here now."""
        self.state.tree = Tree(version=self.state.tree.version, udn=udn, friendly_name=self.name)


@implementer(IExchange)
class Wire:
    """The exchange of one life: requests arrive after half of the world's latency, answers after all of it."""

    def __init__(self, world: World, clock: LifeClock) -> None:
        self.world = world
        self.clock = clock
        self.open: set[Deferred[Reply]] = set()
        self.closed = False

    def request(
        self,
        method: str,
        url: DeviceURL,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        body_cap: int,
        seconds: float,
    ) -> Deferred[Reply]:
        asked = Asked(method, url, method, dict(headers))
        if method in ("POST", "M-POST"):
            _, asked.name, asked.arguments = soap.read_request(body)
        self.world.sees(asked)
        if self.clock.dead:
            raise Broken("a dead life asks")
        waiting: Deferred[Reply] = Deferred(self.open.discard)
        self.open.add(waiting)
        if self.closed:
            self._answer(waiting, ExchangeError("closed"))
        elif not self.world.cable:
            self._answer(waiting, ConnectFailed("network is unreachable"))
        else:
            limit = self.clock.callLater(seconds, self._answer, waiting, ExchangeTimeout("no answer"))
            waiting.addBoth(_stop, limit)
            self.world.clock.callLater(self.world.latency / 2, self._arrive, waiting, asked, body)
        return waiting

    def _arrive(self, waiting: Deferred[Reply], asked: Asked, body: bytes) -> None:
        world = self.world
        gateway = world.at(str(asked.url.host), asked.url.port)
        if gateway is None or not world.cable:
            return  # nobody there: silence
        answer: Reply | ExchangeError | None
        try:
            answer = gateway.answer(asked, body)
        except ExchangeError as error:
            answer = error
        if asked.name.endswith("PortMapping"):
            self.world.looks()
        if answer is not None and not self.clock.dead:
            self.clock.callLater(world.latency / 2, self._answer, waiting, answer)

    def _answer(self, waiting: Deferred[Reply], answer: Reply | ExchangeError) -> None:
        if waiting in self.open:
            self.open.discard(waiting)
            if isinstance(answer, ExchangeError):
                waiting.errback(answer)
            else:
                waiting.callback(answer)

    def close(self) -> None:
        self.closed = True
        for waiting in tuple(self.open):
            self._answer(waiting, ExchangeError("closed"))


def _stop(result: Any, call: Any) -> Any:
    if call.active():
        call.cancel()
    return result


class Life:
    """One run of the program, from its start to its stop or its death."""

    def __init__(self, world: World, wanted: Sequence[PortMapping]) -> None:
        self.world = world
        self.clock = LifeClock(world.clock)
        self.wires: list[Wire] = []
        journal = Journal.decode(world.disk, boot="this", now=world.clock.seconds()) if world.disk else Journal("this")
        journal.on_change = self._changed
        self.journal = journal
        self._save: Any = None
        self.point = ControlPoint(self.clock, journal=journal, identity="session")
        self.point._books.now = self.clock.seconds
        for one in wanted:
            self.point.mappings.hold(one)

    def _changed(self, at_once: bool) -> None:
        if at_once:
            self.flush()
        elif self._save is None:
            self._save = self.clock.callLater(STATE_SAVE_SECONDS, self.flush)

    def flush(self) -> None:
        if self._save is not None and self._save.active():
            self._save.cancel()
        self._save = None
        self.world.disk = self.journal.encode(self.world.clock.seconds())

    def exchange(self) -> Wire:
        self.wires.append(Wire(self.world, self.clock))
        return self.wires[-1]

    @property
    def discovery(self) -> MemoryDiscovery | None:
        found: Any = self.point.discovery
        return found

    def kill(self) -> None:
        self.clock.kill()
        for wire in self.wires:
            wire.open.clear()

    def stop(self) -> None:
        """An orderly end, within the promised time, with nothing left open."""
        stopped = self.point.stop()
        self.world.wait(6.0)
        if not stopped.called:
            raise Broken("stopping takes more than six seconds")
        self.flush()
        left = self.clock.getDelayedCalls()
        if left:
            raise Broken(f"left behind: {left}")
        if any(wire.open for wire in self.wires):
            raise Broken("an exchange is still open")
        callbacks: Any = self.point.callbacks
        if callbacks.open_urls or not callbacks.stopped:
            raise Broken("a callback path is still open")
        self.kill()


class World:
    """Everything there is; one life of the control point at a time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.latency = 0.02
        self.cable = True
        self.own = ADDRESSES[0]
        self.hop = HOPS[0]
        self.was_hop = {self.hop}
        self.gateways: list[SessionGateway] = []
        self.foreign: dict[tuple[str, int, str], Entry] = {}
        self.disk = b""
        self.wanted: list[PortMapping] = []
        self.own_ports: set[int] = set()
        self.trouble: list[str] = []
        self.asked: deque[float] = deque(maxlen=REQUESTS_A_MINUTE)
        self._ground = ExitStack()
        for module, name, value in (
            (addressing, "links", self._links),
            (addressing, "next_hops", self._next_hops),
            (addressing, "address_towards", self._towards),
            (control_point, "Discovery", self._discovery),
            (control_point, "Exchange", lambda clock: self.life.exchange()),
            (control_point, "CallbackServer", MemoryCallbacks),
        ):
            self._ground.enter_context(mock.patch.object(module, name, value))
        observer: Any = self._logged
        globalLogPublisher.addObserver(observer)
        self._ground.callback(globalLogPublisher.removeObserver, observer)
        self.life: Life

    def make(self, rules: Rules) -> None:
        """Let there be gateways with these rules, and a first life."""
        for number, (address, name) in enumerate(zip((*HOPS, ROGUE), ("Router", "Other", "Rogue"), strict=True), 1):
            udn = f"uuid:00000000-0000-0000-0000-{number:012d}"
            self.gateways.append(SessionGateway(self, address, udn=udn, name=name, version=rules.version))
            self.gateways[-1].state.table.rules = rules
        self.begin()

    def close(self) -> None:
        """Take the patches away."""
        if self.gateways:
            self.life.kill()
        self._ground.close()

    def begin(self) -> None:
        """Another life, with what is on disk."""
        self.life = Life.__new__(Life)
        self.life.wires = []
        self.life.world, self.life.clock = self, LifeClock(self.clock)
        Life.__init__(self.life, self, self.wanted)
        self.life.point.start()

    # -- what the control point is given ---------------------------------------------------------------------------
    def _links(self, names: Sequence[str] = ()) -> tuple[Link, ...]:
        return (Link("eth0", 2, (ipaddress.IPv4Interface(f"{self.own}/24"),)),) if self.cable else ()

    def _next_hops(self) -> tuple[NextHop, ...]:
        return (NextHop(ipaddress.IPv4Address(self.hop), "eth0"),) if self.cable else ()

    def _towards(self, host: object) -> ipaddress.IPv4Address:
        if not self.cable:
            raise AddressingError("network is unreachable")
        return ipaddress.IPv4Address(self.own)

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
                    if gateway.address == str(host):
                        reactor.callLater(world.latency, world.alive, gateway)
                return world.cable

            def stop(self) -> Deferred[None]:
                self.on_change = lambda change: None
                return super().stop()

        return Discovery(reactor, on_change, **given)

    # -- what happens ----------------------------------------------------------------------------------------------
    def at(self, address: str, port: int) -> SessionGateway | None:
        return next((one for one in self.gateways if one.up and (one.address, one.port) == (address, port)), None)

    @property
    def router(self) -> SessionGateway:
        """The one that is the default route."""
        return next(one for one in self.gateways if one.address == self.hop)

    def alive(self, gateway: SessionGateway) -> None:
        discovery = self.life.discovery
        if gateway.up and self.cable and discovery is not None and discovery.running:
            discovery.alive(gateway)

    def byebye(self, gateway: SessionGateway) -> None:
        discovery = self.life.discovery
        if self.cable and discovery is not None and discovery.running:
            discovery.byebye(gateway)

    def deliver(self, url: str, envelope: Envelope, values: dict[str, str]) -> None:
        """A NOTIFY reaches the callback port, which lets pass what it admits."""
        if not self.cable or self.life.clock.dead:
            return
        callbacks: Any = self.life.point.callbacks
        for path in callbacks.paths:
            if path.url == url and path.is_open and path.options["admits"](envelope.sid):
                self.life.clock.callLater(0, path.options["on_notify"], envelope, values)

    def move_hop(self) -> None:
        self.hop = HOPS[1 - HOPS.index(self.hop)]
        self.was_hop.add(self.hop)

    def occupy(self, gateway: SessionGateway, protocol: str, port: int) -> None:
        """The neighbour takes a port, unless it is taken."""
        if gateway.state.table.find(protocol, port) is None:
            entry = Entry(protocol, port, NEIGHBOUR, port, "", "theirs")
            gateway.state.table.put(entry)
            self.foreign[gateway.udn, port, protocol] = entry

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

    # -- what must hold --------------------------------------------------------------------------------------------
    def _logged(self, event: Any) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self.trouble.append(str(event.get("log_format")) + (failure.getTraceback() if failure else ""))

    def sees(self, asked: Asked) -> None:
        host = str(asked.url.host)
        if host not in self.was_hop:
            self.trouble.append(f"{asked.name} to {host}, which never was the next hop")
        now = self.clock.seconds()
        if len(self.asked) == REQUESTS_A_MINUTE and now - self.asked[0] < 60:
            self.trouble.append(f"more than {REQUESTS_A_MINUTE} requests in a minute")
        self.asked.append(now)

    def ours(self, gateway: SessionGateway) -> list[Entry]:
        return [entry for entry in gateway.table if is_ours(entry.description, HOST_ID)]

    def check(self) -> None:
        """What must hold at any moment.

        :raises Broken: saying what does not.
        """
        if self.trouble:
            raise Broken("\n".join(self.trouble))
        if not self.gateways:
            return
        journal = self.life.journal
        for gateway in self.gateways:
            targets = [(entry.protocol, entry.internal_port, entry.description) for entry in self.ours(gateway)]
            if len(targets) != len(set(targets)):
                raise Broken(f"two entries for one mapping: {self.ours(gateway)}")
            for (udn, port, protocol), entry in self.foreign.items():
                if udn == gateway.udn and gateway.state.table.find(protocol, port) is not entry:
                    raise Broken(f"the neighbour's {entry} became {gateway.state.table.find(protocol, port)}")
            # under the name that this place had when it was made: another box may stand there since
            known = {(one.protocol, one.external_port) for udn in journal.udns for one in journal.entries(udn)}
            for entry in self.ours(gateway):
                picked = entry.external_port not in self.own_ports  # by the gateway: on record with its answer
                if (entry.protocol, entry.external_port) not in known and not picked:
                    raise Broken(f"not on record: {entry}")

    def looks(self) -> None:
        """The same in the middle of things: what does not hold is found at the next check."""
        try:
            self.check()
        except Broken as broken:
            self.trouble = [str(broken)]

    def heal(self) -> None:
        """Everything works from now on."""
        self.cable = True
        self.latency = 0.02
        for gateway in self.gateways:
            gateway.faults.clear()
            gateway.up = True
            gateway.state.line.carrier = True
            if not gateway.state.line.is_connected:
                gateway.state.line.connect(self.clock.seconds())

    def check_wanted(self) -> None:
        """After some minutes without trouble: what is wanted and possible is there, and nothing else of ours.

        :raises Broken: saying what is not so.
        """
        router, now = self.router, self.clock.seconds()
        for held in self.life.point.mappings:
            entries = [
                entry
                for entry in self.ours(router)
                if (entry.protocol, entry.internal_port) == (held.wanted.protocol, held.wanted.internal_port)
            ]
            taken = (router.udn, held.wanted.wanted_port, held.wanted.protocol) in self.foreign
            if held.status.state is MappingState.CONFLICT and taken:
                continue
            if held.status.state is MappingState.REFUSED and self._must_refuse(held.wanted):
                continue
            if held.status.state is not MappingState.ACTIVE:
                raise Broken(f"{held.wanted} is {held.status} at {now}; {self._where()}")
            if [(one.external_port, one.internal_client) for one in entries] != [(held.external_port, self.own)]:
                raise Broken(f"{held.wanted} is {held.status}, but there is {entries}")

    def _must_refuse(self, wanted: PortMapping) -> bool:
        """Whether no gateway with these rules would map it."""
        rules = self.router.state.table.rules
        full = len(self.router.table) >= rules.capacity
        return full or (rules.same_port_only and wanted.internal_port != wanted.wanted_port)

    def _where(self) -> str:
        point = self.life.point
        current = point.current and point.current.location
        return f"current {current}, trouble {point.last_error}, table {self.router.table}"

    def check_left(self) -> None:
        """After a farewell without trouble, nothing of ours is left on the gateway in use."""
        if self.ours(self.router):
            raise Broken(f"left on the gateway: {self.ours(self.router)}")
