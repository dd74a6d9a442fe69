"""A gateway in memory that is reached over IPv6, and looks at the address that asks; with our addresses on its LAN."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from txigd.errors import ConnectFailed, ExchangeTimeout
from txigd.igd.firewall import Firewall
from txigd.interfaces import IExchange
from txigd.testing import Rules, control
from txigd.testing.line import Line
from txigd.testing.pinholes import PinholeTable
from txigd.testing.state import State
from txigd.testing.tree import DESCRIPTION_PATH, Tree
from txigd.upnp.control import soap
from txigd.upnp.description import device
from txigd.upnp.discovery.sighting import Sighting
from txigd.upnp.http_reply import Reply
from txigd.upnp.own_addresses import OwnAddress
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import DeviceURL, IPAddress, parse

OURS, TEMPORARY = ipaddress.IPv6Address("2001:db8:77::2"), ipaddress.IPv6Address("2001:db8:77::dead")
OVER4, OVER6 = "192.168.1.1", "[2001:db8:77::1]"


def own(address: ipaddress.IPv6Address, **flags: Any) -> OwnAddress:
    """One of our addresses on the link ``lan``."""
    return OwnAddress(address, ipaddress.IPv6Network((int(address), 64), strict=False), 2, "lan", **flags)


def at(host: str, path: str = DESCRIPTION_PATH) -> DeviceURL:
    """A location of the gateway."""
    return parse(f"http://{host}:5000{path}")


def sighting(location: DeviceURL, udn: str) -> Sighting:
    """The gateway as announced there, on the link ``lan``."""
    return Sighting(location, location.host, "lan", frozenset({udn}), frozenset(), None, None, None, "", expires=1800.0)


class Gateway6:
    """A gateway; ``faults`` maps an action to an error code, an HTTP status above 2000 as 2000 + status, or "hang"."""

    def __init__(self, clock: Clock, *hosts: str, udn: str = "uuid:1", extra_services: bool = True) -> None:
        self.clock = clock
        self.hosts = hosts or (OVER4, OVER6)
        self.tree = Tree(version=2, udn=udn, friendly_name="Router", connection="IP", extra_services=extra_services)
        self.state = State(self.tree, Line("11.22.33.44"), Rules(version=2))
        self.faults: dict[str, object] = {}

    @property
    def pinholes(self) -> PinholeTable:
        self.state.advance(self.clock.seconds())
        return self.state.pinholes

    def document(self, location: DeviceURL) -> bytes:
        return self.tree.description(f"http://{location.authority}")

    def answer(self, method: str, url: DeviceURL, headers: dict[str, str], body: bytes, source: str) -> Reply | None:
        if method == "GET":
            return Reply(200, "", (), self.document(url), None) if url.target == DESCRIPTION_PATH else _status(404)
        name = soap.read_request(body)[1]
        fault = self.faults.get(name, self.faults.get("*"))
        if fault == "hang":
            return None
        if isinstance(fault, int):
            return _status(fault - 2000) if fault > 2000 else Reply(500, "", (), soap.fault(fault, ""), None)
        service = next(s for s in self.tree.services.values() if s.control_path == url.target)
        request = control.read(body, headers.get("SOAPACTION", ""))
        self.state.advance(self.clock.seconds())
        answer = control.answer(self.state, service, request, caller=source, now=self.clock.seconds())
        return Reply(answer.status, "", (), answer.body, None)


def _status(status: int) -> Reply:
    return Reply(status, "", (), b"", None)


class LAN6:
    """What the exchanges of all sources lead to; ``asked`` holds (source, host, action or path)."""

    def __init__(self, clock: Clock, *gateways: Gateway6) -> None:
        self.clock = clock
        self.gateways = gateways
        self.asked: list[tuple[str, str, str]] = []
        self.hanging: set[Deferred[Any]] = set()
        self.own: tuple[OwnAddress, ...] | None = (own(TEMPORARY, temporary=True), own(OURS))

    def actions(self) -> list[str]:
        """The actions that were asked for."""
        return [name for _, _, name in self.asked if not name.startswith("/")]

    def device(self, gateway: Gateway6, *hosts: str, link_local: str = "") -> RemoteDevice:
        """The gateway as the control point knows it, seen at these hosts; the first is where it was described."""
        locations = [at(host) for host in hosts or gateway.hosts]
        if link_local:
            bare = at(f"[{link_local.partition('%')[0]}]")
            locations.append(DeviceURL(ipaddress.IPv6Address(link_local), bare.port, bare.target))
        described = device.parse(gateway.document(locations[0]), locations[0])
        remote = RemoteDevice(
            self.clock,
            FakeExchange(self, "192.168.1.7"),
            cast(Any, None),
            described,
            ipaddress.ip_address("192.168.1.7"),
        )
        remote.sightings = {location: sighting(location, gateway.tree.root.udn) for location in locations}
        return remote

    def firewall(self, remote: RemoteDevice, *others: RemoteDevice) -> Firewall:
        exchange = cast(Any, FakeExchange(self, "192.168.1.7"))
        return Firewall(self.clock, remote, exchange, others=lambda: others, own=lambda: self.own)


@implementer(IExchange)
class FakeExchange:
    """The exchange from one source address."""

    def __init__(self, lan: LAN6, source: str) -> None:
        self.lan = lan
        self.source = source

    def sending_from(self, source: IPAddress) -> FakeExchange:
        return FakeExchange(self.lan, str(source))

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
        host = url.authority.removesuffix(f":{url.port}")
        name = url.target if method == "GET" else soap.read_request(body)[1]
        self.lan.asked.append((self.source, host, name))
        gateway = next((g for g in self.lan.gateways if host in g.hosts), None)
        if gateway is None:
            return fail(ConnectFailed(f"nobody at {host}"))
        answer = gateway.answer(method, url, dict(headers), body, self.source)
        return self._hang(seconds) if answer is None else succeed(answer)

    def _hang(self, seconds: float) -> Deferred[Reply]:
        waiting: Deferred[Reply] = Deferred()
        call = self.lan.clock.callLater(seconds, lambda: waiting.errback(ExchangeTimeout("no answer")))
        self.lan.hanging.add(waiting)

        def over(result: object) -> object:
            self.lan.hanging.discard(waiting)
            if call.active():
                call.cancel()
            return result

        return waiting.addBoth(cast(Any, over))
