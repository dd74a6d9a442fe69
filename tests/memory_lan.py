"""A LAN in memory: gateways behind one exchange, on a clock of the test. No socket, no reactor.

The gateways are made of the pure parts of :mod:`txigd.testing`; faults are set by the name of what they befall.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from txigd.errors import ConnectFailed, ExchangeError, ExchangeTimeout
from txigd.igd.services import builtin_table
from txigd.interfaces import IExchange
from txigd.testing import Entry, Rules, control
from txigd.testing.line import Line
from txigd.testing.state import State
from txigd.testing.tree import DESCRIPTION_PATH, Tree
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description import device
from txigd.upnp.discovery.message import Kind, Message, normal_udn
from txigd.upnp.discovery.presence import Presence
from txigd.upnp.discovery.sighting import Change
from txigd.upnp.discovery.targets import Targets
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL, IPAddress

US = ipaddress.IPv4Address("192.168.1.7")
ROUTER = "192.168.1.1"
PAGE = b"<html><head><title>Router</title></head><body>Please log in</body></html>"


@dataclass
class Asked:
    """One request as it came in; ``name`` is the action, or the method and path."""

    method: str
    url: DeviceURL
    name: str
    headers: dict[str, str]
    arguments: dict[str, str] = field(default_factory=dict)


class MemoryGateway:
    """A gateway; ``faults`` maps a name of :class:`Asked` or ``"*"`` to ``"hang"``, ``"refuse"``, ``"html"``, a UPnP
    error (control) or an HTTP status (else), and ``answers`` to a function that makes the reply."""

    def __init__(
        self,
        clock: Clock,
        address: str = ROUTER,
        port: int = 5000,
        *,
        version: int = 2,
        connection: str = "IP",
        udn: str = "uuid:00000000-0000-0000-0000-000000000001",
        name: str = "Router",
        external_ip: str = "11.22.33.44",
    ) -> None:
        self.clock = clock
        self.address = address
        self.port = port
        self.name = name
        self.prefix = ""
        self.boot_id = 1
        self.caller = str(US)
        self.faults: dict[str, object] = {}
        self.answers: dict[str, Callable[[Asked], Reply]] = {}
        self.sids = 0
        self.subscriptions: set[str] = set()
        tree = Tree(version=version, udn=udn, friendly_name=name, connection=connection)
        self.state = State(tree, Line(external_ip), Rules(version=version))
        self.state.line.connect(0.0)

    @property
    def udn(self) -> str:
        return self.state.tree.root.udn

    @property
    def location(self) -> DeviceURL:
        return DeviceURL(ipaddress.ip_address(self.address), self.port, DESCRIPTION_PATH)

    @property
    def table(self) -> list[Entry]:
        self.state.advance(self.clock.seconds())
        return list(self.state.table)

    def foreign(self, port: int, client: str = "192.168.1.99", description: str = "theirs") -> None:
        self.state.table.put(Entry("TCP", port, client, port, "", description))

    def cut(self) -> None:
        self.state.line.cut("ERROR_NO_CARRIER")

    def restore(self) -> None:
        self.state.line.connect(self.clock.seconds())

    def document(self) -> bytes:
        return self.state.tree.description(f"http://{self.location.authority}")

    def answer(self, asked: Asked, body: bytes) -> Reply | None:
        """The reply, or None to hang."""
        fault = self.faults.get(asked.name, self.faults.get("*"))
        if fault == "hang":
            return None
        if fault == "refuse":
            raise ConnectFailed("refused")
        if fault == "html":
            return reply(200, PAGE)
        if isinstance(fault, int):
            return reply(500, soap.fault(fault, "")) if asked.arguments or asked.method == "POST" else reply(fault)
        if asked.name in self.answers:
            return self.answers[asked.name](asked)
        if asked.method == "GET":
            return reply(200, self.document()) if asked.url == self.location else reply(404)
        if asked.method == "SUBSCRIBE":
            sid = asked.headers.get("SID") or f"uuid:{self.sids + 1}"
            if "SID" not in asked.headers:
                self.sids += 1
                self.subscriptions.add(sid)
            if sid not in self.subscriptions:
                return reply(412)
            return reply(200, headers=(("SID", sid), ("TIMEOUT", "Second-1800")))
        if asked.method == "UNSUBSCRIBE":
            self.subscriptions.discard(asked.headers.get("SID", ""))
            return reply(200)
        services = self.state.tree.services.values()
        service = next((s for s in services if s.control_path == asked.url.target), None)
        if service is None:
            return reply(404)
        now = self.clock.seconds()
        self.state.advance(now)
        request = control.read(body, asked.headers.get("SOAPACTION", ""))
        answer = control.answer(self.state, service, request, caller=self.caller, now=now)
        return reply(answer.status, answer.body)


def ending(*others: Deferred[Any]) -> Callable[[Any], Any]:
    """A callback of one who waits: it sends others away."""

    def told(result: Any) -> Any:
        for other in others:
            other.cancel()
        return result

    return told


def reply(status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, "", headers, body, None)


@implementer(IExchange)
class MemoryLAN:
    """The exchange to all gateways in ``gateways``; ``asked`` is what went out. Answers come in the same turn."""

    def __init__(self, clock: Clock, *gateways: MemoryGateway) -> None:
        self.clock = clock
        self.gateways = list(gateways)
        self.asked: list[Asked] = []
        self.open: set[Deferred[Any]] = set()
        self.most_open = 0
        self.closed = False
        self.callbacks: dict[str, str] = {}  # path of an event URL -> the latest CALLBACK

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
        asked = Asked(method, url, f"{method} {url.target}", dict(headers))
        if method in ("POST", "M-POST"):
            _, asked.name, asked.arguments = soap.read_request(body)
        elif method != "GET":
            asked.name = method
        self.asked.append(asked)
        if "CALLBACK" in asked.headers:
            self.callbacks[url.target] = asked.headers["CALLBACK"].strip("<>")
        if self.closed:
            return fail(ExchangeError("closed"))
        gateway = next((g for g in self.gateways if (g.address, g.port) == (str(url.host), url.port)), None)
        if gateway is None:
            return fail(ConnectFailed(f"nobody at {url.authority}"))
        try:
            answer = gateway.answer(asked, body)
        except ExchangeError:
            return fail()
        return self._hang(seconds) if answer is None else succeed(answer)

    def _hang(self, seconds: float) -> Deferred[Reply]:
        def over(result: object) -> object:
            self.open.discard(hanging)
            if call.active():
                call.cancel()
            return result

        hanging: Deferred[Any] = Deferred()
        call = self.clock.callLater(seconds, lambda: hanging.errback(ExchangeTimeout("no answer")))
        self.open.add(hanging)
        self.most_open = max(self.most_open, len(self.open))
        return hanging.addBoth(over)

    def close(self) -> None:
        self.closed = True
        for hanging in tuple(self.open):
            hanging.errback(ExchangeError("closed"))

    # -- for tests ---------------------------------------------------------------------------------------------------
    def names(self) -> list[str]:
        return [asked.name for asked in self.asked]

    def count(self, name: str) -> int:
        return self.names().count(name)

    def proxy(self, gateway: MemoryGateway, name: str) -> ServiceProxy:
        """A proxy to the service of this name, on a queue of its own."""
        described = device.parse(gateway.document(), gateway.location)
        service = next(s for s in described.root.all_services() if s.name == name)
        return ServiceProxy(service, builtin_table(service.service_type), Caller(self, clock=self.clock))


class MemoryDiscovery:
    """In the place of :class:`txigd.upnp.discovery.multicast.Discovery`: the real presence table, fed by the test."""

    def __init__(self, reactor: Clock, on_change: Callable[[Change], None], **given: Any) -> None:
        self.clock = reactor
        self.on_change = on_change
        self.given = given
        self.presence = Presence(Targets(given["targets"]).wanted)
        self.problems: tuple[str, ...] = ()
        self.searches = 0
        self.probed: list[str] = []
        self.reaches = True
        self.running = False
        self.links: list[object] = [given["links"]]
        self.gateways: list[MemoryGateway] = []  # those that answer a search

    def start(self) -> None:
        self.running = True
        self.search()

    def stop(self) -> Deferred[None]:
        self.running = False
        return succeed(None)

    def search(self) -> None:
        self.searches += 1
        for gateway in self.gateways:
            self.alive(gateway)

    def probe(self, host: IPAddress, port: int = 1900) -> bool:
        self.probed.append(str(host))
        for gateway in self.gateways:
            if gateway.address == str(host):
                self.alive(gateway)
        return self.reaches

    def set_links(self, links: object, next_hops: object) -> None:
        self.links.append((links, next_hops))
        self.search()

    def alive(
        self, gateway: MemoryGateway, *, location: DeviceURL | None = None, link: str = "eth0", boot_id: bool = True
    ) -> None:
        """The gateway announces itself."""
        self.hear(gateway, Kind.ALIVE, location or gateway.location, link, boot_id)

    def byebye(self, gateway: MemoryGateway) -> None:
        self.hear(gateway, Kind.BYEBYE, None, "eth0", True)

    def hear(self, gateway: MemoryGateway, kind: Kind, location: DeviceURL | None, link: str, boot_id: bool) -> None:
        device_type = gateway.state.tree.root.device_type
        heard = Message(
            kind,
            device_type,
            f"{gateway.udn}::{device_type}",
            normal_udn(gateway.udn),
            str(location or ""),
            boot_id=gateway.boot_id if boot_id else None,
        )
        source = ipaddress.ip_address(gateway.address)
        now = self.clock.seconds()
        for change in self.presence.learn(heard, location=location, source=source, link=link, now=now):
            self.on_change(change)

    def expire(self) -> None:
        for change in self.presence.expire(self.clock.seconds()):
            self.on_change(change)


class MemoryCallbacks:
    """In the place of the callback server: paths that nobody calls but the test, by their ``options``."""

    def __init__(self, reactor: Clock, **given: Any) -> None:
        self.paths: list[MemoryPath] = []
        self.released: list[str] = []
        self.problems: tuple[str, ...] = ()
        self.stopped = False

    def open(self, address: IPAddress, **options: Any) -> MemoryPath:
        path = MemoryPath(self, f"http://{address}:45123/{len(self.paths) + 1}", options)
        self.paths.append(path)
        return path

    def release(self, address: IPAddress) -> None:
        self.released.append(str(address))

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)

    @property
    def open_urls(self) -> list[str]:
        return [path.url for path in self.paths if path.is_open]


@dataclass
class MemoryPath:
    server: MemoryCallbacks
    url: str
    options: dict[str, Any]
    is_open: bool = True

    def close(self) -> None:
        self.is_open = False
