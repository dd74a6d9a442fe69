"""Captures a support report: asks a gateway everything that is safe to ask, and keeps every octet of it. Thin.

Only Get actions of the standard are called, and of these none that answers with a name, a password or an account.
Nothing is set, mapped or ended; what is subscribed to is cancelled at the end. Each step may fail: that is what the
report is for.
"""

from __future__ import annotations

import ipaddress
import platform
import socket
from collections.abc import Awaitable
from datetime import datetime, timezone
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred

import twisted
import txigd
from txigd.errors import (
    AddressingError,
    BadMessage,
    BadURL,
    ConnectFailed,
    ExchangeTimeout,
    NoGateway,
    TxigdError,
)
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.report import Datagram, Report, Step, View, masked
from txigd.igd.report_recorder import DatagramRecorder, EventRecorder, ExchangeRecorder
from txigd.igd.report_view import line, ranking, state_of
from txigd.igd.tables import completed_table, standard
from txigd.limits import (
    FAREWELL_SECONDS,
    REPORT_CALL_SECONDS,
    REPORT_DATAGRAMS,
    REPORT_ENTRIES,
    REPORT_EVENT_SECONDS,
    REPORT_LISTEN_SECONDS,
    REPORT_SECONDS,
    REPORT_STEPS,
    REPORT_WORDS,
    SOAP_OCTETS,
    UNSUBSCRIBE_SECONDS,
)
from txigd.upnp import addressing, url
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.device import Description, Service, labels
from txigd.upnp.description.fetch import fetch_description, fetch_service
from txigd.upnp.discovery import message
from txigd.upnp.eventing.gena import read_grant, subscribe_headers, unsubscribe_headers
from txigd.upnp.http import USER_AGENT, Exchange
from txigd.upnp.url import DeviceURL, IPAddress, without_zone

# What these answer is nobody's business: accounts, telephone numbers, identities, files with both.
NEVER_CALLED: Final = frozenset({"GetUserName", "GetPassword", "GetISPInfo", "GetACLData", "GetConfigFile"})
# Get actions with in-arguments, and what they are given; other such actions are not called. Port 9 is hardly ever
# mapped: the refusal shows. A range of 128 is what every gateway survives.
ARGUMENTS: Final[dict[str, tuple[dict[str, object], ...]]] = {
    "GetGenericPortMappingEntry": tuple({"NewPortMappingIndex": index} for index in range(REPORT_ENTRIES)),
    "GetSpecificPortMappingEntry": ({"NewRemoteHost": "", "NewExternalPort": 9, "NewProtocol": "TCP"},),
    "GetListOfPortMappings": (
        {"NewStartPort": 1, "NewEndPort": 128, "NewProtocol": "TCP", "NewManage": False, "NewNumberOfPorts": 8},
    ),
    "GetActiveConnection": ({"NewActiveConnectionIndex": 0},),
}
_SILENCES: Final = 2  # calls without an answer before the rest of a service is left out
# A message with one of these is of a gateway, whoever sent it; "upnp:rootdevice" alone says every television.
_GATEWAY_WORDS: Final = (b"internetgatewaydevice", b"wanipconnection", b"wanpppconnection")


def capture(point: ControlPoint, *, timeout: float = 5.0) -> Deferred[Report]:
    """Make a report of the gateway in use, or of the one that should be; takes about ten seconds, and two minutes at
    most.

    :param point: running; it says which gateway, and what txigd itself makes of it.
    :param timeout: seconds to wait for the gateway.
    :return: fires with the report, masked. Fails with :class:`~txigd.errors.NoGateway` where not even a datagram came.
        Cancelling closes everything.
    """
    return Deferred.fromCoroutine(_Capture(point).run(timeout))


class _Capture:
    """One report in the making."""

    def __init__(self, point: ControlPoint) -> None:
        self._point = point
        self._reactor = point.reactor
        self._began: float = self._reactor.seconds()
        self._recorder = ExchangeRecorder(self._reactor, self._began)
        self._exchange = Exchange(self._reactor, on_connection=self._recorder.watch)
        self._datagrams = DatagramRecorder(self._reactor, self._began, links=point.links, user_agent=USER_AGENT)
        self._steps: list[Step] = []
        self._problems: list[str] = []
        self._capabilities: dict[str, str] = {}

    async def run(self, timeout: float) -> Report:
        events: tuple[Any, ...] = ()
        self._datagrams.start([hop for hop in self._point.next_hops if self._point.may_ask(hop.address)])
        try:
            gateway = await self._find(timeout)
            named = self._point.named
            if gateway is not None and isinstance(named, DeviceURL) and str(named) != gateway.location:
                gateway = None  # on the same host, but another one
            location = gateway.device.location if gateway is not None else self._likely_location()
            if location is None:
                heard = self._relevant(None)
                if not heard:
                    raise NoGateway("nothing that could be a gateway answered: there is nothing to report")
                return self._report("", None, heard, (), gateway)
            self._datagrams.ask(location.host)
            fetched = fetch_description(self._exchange, location, seconds=REPORT_CALL_SECONDS * 2)
            description: Description | None = await self._step("description", fetched)
            if description is not None:
                await self._describe_and_call(description)
                events = await self._probe_events(description, location.host)
        finally:
            self._exchange.close()
            await self._datagrams.stop()
        return self._report(location.on_the_wire, description, self._relevant(location.host), events, gateway)

    # -- which gateway -----------------------------------------------------------------------------------------------

    async def _find(self, timeout: float) -> Gateway | None:
        """The gateway in use; meanwhile, and for a moment at least, SSDP is listened to."""
        listened = self._pause(REPORT_LISTEN_SECONDS)
        try:
            gateway = await self._point.gateway(timeout)
        except TxigdError as error:
            self._problems.append(str(error))
            gateway = None
        await listened
        return gateway

    def _likely_location(self) -> DeviceURL | None:
        """Where the description of a gateway is that txigd could not use; the default route's first."""
        if isinstance(self._point.named, DeviceURL):
            return self._point.named
        found = [location for heard in self._datagrams.datagrams if (location := self._location(heard)) is not None]
        wanted = [one for one in found if self._point.named in (None, without_zone(one.host))]
        wanted.sort(key=lambda one: not self._point.is_next_hop(one.host))
        return wanted[0] if wanted else None

    def _location(self, heard: Datagram) -> DeviceURL | None:
        """The LOCATION that a datagram names, under the host rule (A6): on a link, at the very sender."""
        link = next((link for link in self._point.links if link.name == heard.link), None)
        if link is None or not _concerns_gateways(heard.octets):
            return None
        try:
            text = message.parse(heard.octets).location
            return url.check_location(text, sender=_address(heard, link.name), networks=link.networks)
        except (BadMessage, BadURL, ValueError):
            return None

    def _relevant(self, host: IPAddress | None) -> tuple[Datagram, ...]:
        """What the gateway said, and what may come from others like it; other devices are nobody's business."""
        own = "" if host is None else str(without_zone(host))
        heard = [one for one in self._datagrams.datagrams if one.source == own or _concerns_gateways(one.octets)]
        return tuple(sorted(heard, key=lambda one: one.source != own)[:REPORT_DATAGRAMS])

    # -- steps -------------------------------------------------------------------------------------------------------

    async def _step(
        self, kind: str, doing: Awaitable[Any], service: Service | None = None, name: str = ""
    ) -> Any | None:
        """Do one thing and note what became of it; None where it failed."""
        result, outcome = None, "ok"
        try:
            result = await doing
        except CancelledError:
            raise
        except TxigdError as error:
            outcome = f"{type(error).__name__}: {error}"
        except Exception as error:
            # a fault of ours is the best reason for a report
            outcome = f"fault in txigd: {type(error).__name__}: {error}"
        if len(self._steps) < REPORT_STEPS:
            self._steps.append(
                Step(
                    kind,
                    line(outcome),
                    "" if service is None else line(service.service_type),
                    "" if service is None else service.place,
                    name,
                    self._recorder.take(),
                )
            )
        return result

    @property
    def _time_left(self) -> bool:
        if self._reactor.seconds() - self._began < REPORT_SECONDS:
            return True
        text = f"the report ended after {REPORT_SECONDS:g} s, before all was asked"
        if text not in self._problems:
            self._problems.append(text)
        return False

    async def _describe_and_call(self, description: Description) -> None:
        caller = Caller(self._exchange, clock=self._reactor)
        called = labels(description.root.all_services())
        for service in description.root.all_services():
            if not self._time_left:
                return
            own = await self._step("scpd", fetch_service(self._exchange, service, seconds=REPORT_CALL_SECONDS), service)
            known = standard(service.service_type)
            if known is None or service.control_url is None:
                continue
            proxy = ServiceProxy(service, completed_table(known, own), caller)
            await self._call_all(proxy, [name for name in known.description.actions if name.startswith("Get")])
            for action, capability in proxy.capabilities.items():
                if len(self._capabilities) < REPORT_WORDS:
                    self._capabilities[line(f"{called[service]} {action}")] = capability

    async def _call_all(self, proxy: ServiceProxy, names: list[str]) -> None:
        silences = 0
        for name in names:
            table = proxy.table
            assert table is not None
            inputs = table.actions[name].inputs
            if name in NEVER_CALLED or (inputs and name not in ARGUMENTS):
                continue
            for arguments in ARGUMENTS.get(name, ({},)) if inputs else ({},):
                if not self._time_left:
                    return
                called = proxy.call(name, seconds=REPORT_CALL_SECONDS, due=None, **arguments)
                answer = await self._step("call", called, proxy.service, name)
                if answer is None:
                    silent = self._steps[-1].outcome.startswith((ConnectFailed.__name__, ExchangeTimeout.__name__))
                    silences = silences + 1 if silent else 0
                    break
                silences = 0
            if silences >= _SILENCES:
                self._problems.append(line(f"{proxy.service.service_type}: silent, the rest of it was not called"))
                return

    # -- events ------------------------------------------------------------------------------------------------------

    async def _probe_events(self, description: Description, host: IPAddress) -> tuple[Any, ...]:
        """Subscribe to every service, wait for the first events, and take leave."""
        services = [service for service in description.root.all_services() if service.event_url is not None]
        if not services or not self._time_left:
            return ()
        waiting: set[str] = set()
        all_came: Deferred[None] = Deferred()

        def came(path: str) -> None:
            waiting.discard(path)
            if not waiting and subscribed and not all_came.called:
                all_came.callback(None)

        subscribed = False
        try:
            ear = EventRecorder(
                self._reactor, self._began, address=addressing.address_towards(host), peer=host, on_event=came
            )
        except (AddressingError, OSError) as error:
            self._problems.append(line(f"no events can be heard: {error}"))
            return ()
        sids: list[tuple[Service, str]] = []
        try:
            for service in services:
                path = service.place
                waiting.add(path)
                sid = await self._step("subscribe", self._subscribe(service, ear.url(path)), service)
                if sid is None:
                    waiting.discard(path)
                else:
                    sids.append((service, sid))
            subscribed = True
            if waiting:
                all_came.addTimeout(REPORT_EVENT_SECONDS, self._reactor, onTimeoutCancel=lambda result, _: None)
                await all_came
        finally:
            await self._take_leave(sids)
            await ear.stop()
        return tuple(ear.events)

    async def _subscribe(self, service: Service, callback: str) -> str:
        reply = await self._exchange.request(
            "SUBSCRIBE",
            _known(service.event_url),
            subscribe_headers(callback, 300),
            body_cap=SOAP_OCTETS,
            seconds=REPORT_CALL_SECONDS,
        )
        return read_grant(reply).sid

    async def _take_leave(self, sids: list[tuple[Service, str]]) -> None:
        until = self._reactor.seconds() + FAREWELL_SECONDS
        for service, sid in sids:
            if self._reactor.seconds() < until:
                leaving = self._exchange.request(
                    "UNSUBSCRIBE",
                    _known(service.event_url),
                    unsubscribe_headers(sid),
                    body_cap=SOAP_OCTETS,
                    seconds=UNSUBSCRIBE_SECONDS,
                )
                await self._step("unsubscribe", leaving, service)

    # -- the result --------------------------------------------------------------------------------------------------

    def _report(
        self,
        location: str,
        description: Description | None,
        datagrams: tuple[Datagram, ...],
        events: tuple[Any, ...],
        gateway: Gateway | None,
    ) -> Report:
        root = None if description is None else description.root
        words = () if root is None else (root.manufacturer, root.model_name, root.model_number)
        problems = [*self._point.problems, *self._datagrams.problems, *self._problems]
        if description is not None:
            problems += [*description.problems]
            problems += [
                f"{one.service_type}: {text}" for one in description.root.all_services() for text in one.problems
            ]
        raw = Report(
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            made_by=f"txigd {txigd.__version__}, Python {platform.python_version()}, Twisted {twisted.__version__}, "
            f"{platform.system()} {platform.release()}",
            model=line(" ".join(word for word in words if word)),
            location=location,
            view=View(
                {} if gateway is None else state_of(gateway),
                tuple(map(line, ranking(self._point)))[:REPORT_WORDS],
                self._capabilities,
                tuple(dict.fromkeys(map(line, problems)))[:REPORT_WORDS],
            ),
            datagrams=datagrams,
            steps=tuple(self._steps),
            events=events,
        )
        return masked(raw, (socket.gethostname(), socket.gethostname().partition(".")[0]))

    def _pause(self, seconds: float) -> Deferred[None]:
        rest: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, rest.callback, None)
        return rest


def _address(heard: Datagram, zone: str) -> IPAddress:
    return url.with_zone(ipaddress.ip_address(heard.source), zone)


def _concerns_gateways(octets: bytes) -> bool:
    text = octets.lower()
    return any(word in text for word in _GATEWAY_WORDS)


def _known(address: DeviceURL | None) -> DeviceURL:
    assert address is not None
    return address
