"""One run of the program in a whole session: its time, its requests, its state file. It can be killed at any moment.

A killed life does nothing more: its timers never fire, its open requests are never answered, and what it had on disk
is what the next life begins with. What was under way to a gateway still arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.memory_lan import Asked, MemoryDiscovery
from txigd.errors import ConnectFailed, ExchangeError, ExchangeTimeout
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.journal import Journal
from txigd.interfaces import IExchange, IGatewayObserver
from txigd.limits import STATE_SAVE_SECONDS
from txigd.upnp.control import soap
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL, IPAddress

if TYPE_CHECKING:
    from tests.session_world import World

NEVER = 1e12
MOMENTS = ("before it is sent", "sent", "applied", "answered")


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Doom:
    """A kill that waits for a request of this name to come to this moment.

    :ivar fewer: how many wishes the next life has less.
    :ivar down: seconds until the next life begins.
    """

    name: str
    moment: str
    fewer: int = 0
    down: float = 0.0


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
        if self.dead:  # only the garbage collector moves anything there
            return self.clock.callLater(NEVER, callable, *args, **kw)
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


class _Open(set[Deferred[Reply]]):
    """The requests that are not answered, and whether there may be new ones."""

    closed = False


@implementer(IExchange)
class Wire:
    """The exchange of one life: requests arrive after half of the world's latency, answers after all of it."""

    def __init__(self, life: Life, source: str = "") -> None:
        self.life = life
        self.world = life.world
        self.clock = life.clock
        self.source = source
        self.open = _Open()

    def sending_from(self, source: IPAddress) -> Wire:
        sibling = Wire(self.life, str(source))
        sibling.open = self.open
        return sibling

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
        waiting: Deferred[Reply] = Deferred(self.open.discard)
        self.open.add(waiting)
        if self.life.doomed:
            return waiting
        self.world.sees(asked)
        self.world.note(f"-> {told(asked)}")
        doom = self.world.doom_of(asked, *MOMENTS[:2])
        if doom is not None:
            self.life.doomed = True
            self.world.clock.callLater(0, self.world.die, doom)
        if self.open.closed:
            self._answer(waiting, ExchangeError("closed"))
        elif not self.world.cable:
            self._answer(waiting, ConnectFailed("network is unreachable"))
        elif doom is None or doom.moment != MOMENTS[0]:
            limit = self.clock.callLater(seconds, self._answer, waiting, ExchangeTimeout("no answer"))
            waiting.addBoth(_stop, limit)
            self.world.under_way += 1
            self.world.clock.callLater(self.world.latency / 2, self._arrive, waiting, asked, body)
        return waiting

    def _arrive(self, waiting: Deferred[Reply], asked: Asked, body: bytes) -> None:
        world = self.world
        world.under_way -= 1
        if waiting.called:
            return  # given up before it arrived: its connection was closed
        gateway = world.at(str(asked.url.host), asked.url.port)
        if gateway is None or not world.cable:
            return  # nobody there: silence
        answer: Reply | ExchangeError | None
        before = world.made_by(gateway, asked)
        try:
            answer = gateway.respond(asked, body, self.source or world.own_towards(asked.url.host))
        except ExchangeError as error:
            answer = error
        world.note(f"{gateway.name} {told(asked)}: {_outcome(answer)}")
        made = world.made_by(gateway, asked)
        made -= before
        world.unanswered |= made
        if "PortMapping" in asked.name or "Pinhole" in asked.name:
            world.looks()
        if self.life is not world.life or self.clock.dead:
            return
        doom = world.doom_of(asked, MOMENTS[2])
        if doom is not None:
            world.die(doom)
        elif answer is not None:
            world.clock.callLater(world.latency / 2, self._deliver, waiting, answer, asked, made)

    def _deliver(self, waiting: Deferred[Reply], answer: Reply | ExchangeError, asked: Asked, made: set[Any]) -> None:
        if self.life.doomed:
            return
        if waiting in self.open:
            self._answer(waiting, answer)
            self.world.unanswered -= made
        doom = self.world.doom_of(asked, MOMENTS[3])
        if doom is not None:
            self.world.die(doom)
        if made:
            self.world.looks()

    def _answer(self, waiting: Deferred[Reply], answer: Reply | ExchangeError) -> None:
        if waiting in self.open:
            self.open.discard(waiting)
            if isinstance(answer, ExchangeError):
                waiting.errback(answer)
            else:
                waiting.callback(answer)

    def close(self) -> None:
        self.open.closed = True
        for waiting in tuple(self.open):
            self._answer(waiting, ExchangeError("closed"))


def told(asked: Asked) -> str:
    """A request in a few words."""
    names = ("NewExternalPort", "NewReservedPort", "NewInternalClient", "InternalPort", "UniqueID", "NewLeaseDuration")
    return " ".join((asked.name, *(asked.arguments[name] for name in names if name in asked.arguments)))


def _outcome(answer: Reply | ExchangeError | None) -> str:
    if not isinstance(answer, Reply):
        return str(answer or "silence")
    code = answer.body.partition(b"<errorCode>")[2].partition(b"<")[0].decode()
    return f"{answer.status} {code}".strip()


def _stop(result: Any, call: Any) -> Any:
    if call.active():
        call.cancel()
    return result


@implementer(IGatewayObserver)
class Life:
    """One run of the program, from its start to its stop or its death.

    :ivar doomed: about to be killed: nothing leaves it any more.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = LifeClock(world.clock)
        self.wires: list[Wire] = []
        self.doomed = False
        journal = Journal.decode(world.disk, boot="this", now=world.clock.seconds()) if world.disk else Journal("this")
        journal.on_change = self._changed
        self.journal = journal
        self._save: Any = None
        self._unsaved = False
        self.point: ControlPoint

    def begin(self) -> None:
        """Start the control point."""
        self.point = ControlPoint(self.clock, journal=self.journal, identity="session")
        self.point._books.now = self.clock.seconds
        self.point.observe(self)
        for one in self.world.wanted:
            self.point.mappings.hold(one)
        for pinhole in self.world.pinholes:
            self.point.pinholes.hold(pinhole)
        self.point.start()

    def gateway_found(self, gateway: Gateway) -> None:
        pass

    def gateway_lost(self, gateway: Gateway) -> None:
        pass

    # -- its state file ------------------------------------------------------------------------------------------------
    def _changed(self, at_once: bool) -> None:
        self._unsaved = True
        if at_once:
            self.flush()
        elif self._save is None:
            self._save = self.clock.callLater(STATE_SAVE_SECONDS, self.flush)

    def flush(self) -> None:
        if self._save is not None and self._save.active():
            self._save.cancel()
        self._save = None
        if not self.doomed and self._unsaved:
            self._unsaved = False
            self.world.disk = self.journal.encode(self.world.clock.seconds())

    def exchange(self) -> Wire:
        self.wires.append(Wire(self))
        return self.wires[-1]

    @property
    def discovery(self) -> MemoryDiscovery | None:
        """None where nothing is looked for, and in a dead life."""
        found: Any = None if self.clock.dead or self.doomed else self.point.discovery
        return found

    # -- its end -------------------------------------------------------------------------------------------------------
    def kill(self) -> None:
        self.doomed = True
        self.clock.kill()
        for wire in self.wires:
            wire.open.clear()

    def stop(self) -> None:
        """An orderly end, within the promised time, with nothing left open."""
        stopped = self.point.stop()
        self.world.wait(6.0)
        if self.clock.dead:
            return
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
