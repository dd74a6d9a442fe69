"""One Internet gateway: its WAN side, its port mappings, its events."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import ActionError, ActionNotOffered, ExchangeError, ExchangeTimeout, NotAGateway
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.firewall import Firewall
from txigd.igd.mappings import Mappings
from txigd.igd.pinholes import Pinholes
from txigd.igd.services import builtin_table
from txigd.igd.status import default_index
from txigd.igd.wan import WAN
from txigd.limits import ANSWER_SECONDS, FAREWELL_SECONDS, RECHECK_SECONDS
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.description.device import Description, Service
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import IPAddress

_log = log.logger("txigd.gateway")
_CONNECTIONS = ("WANIPConnection", "WANPPPConnection")
_EVENTED = (*_CONNECTIONS, "WANCommonInterfaceConfig", "Layer3Forwarding")
_TABLE_VARIABLES = ("PortMappingNumberOfEntries", "SystemUpdateID")


def is_gateway(description: Description) -> bool:
    """Whether a device has a WAN connection service, wherever in its tree (Q012)."""
    return any(service.name in _CONNECTIONS for service in description.root.all_services())


class Gateway:
    """An Internet Gateway Device, IGD:1 or IGD:2.

    :ivar wan: connection status and external address, see :class:`txigd.igd.wan.WAN`.
    :ivar mappings: the port mappings wanted on this gateway, see :class:`txigd.igd.mappings.Mappings`.
    :ivar pinholes: the IPv6 pinholes wanted in it, see :class:`txigd.igd.pinholes.Pinholes`.
    :ivar firewall: its IPv6 firewall, see :class:`txigd.igd.firewall.Firewall`; None where nobody asks it.
    :ivar device: the UPnP device behind it.
    :ivar openings_failed: how often in a row :meth:`open` failed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        device: RemoteDevice,
        *,
        host_id: str,
        poll_seconds: float,
        events: bool = True,
        random: Random | None = None,
        firewall: Firewall | None = None,
        books: Books | None = None,
    ) -> None:
        if not is_gateway(device.description):
            raise NotAGateway(f"{device.location} describes {device.description.root.device_type}, no Internet gateway")
        self._clock = clock
        self._events = events
        self._host_id = host_id
        self._books = Books() if books is None else books
        self.device = device
        self.wan = WAN(clock, poll_seconds=poll_seconds)
        self.mappings = Mappings(clock, host_id, books=self._books, random=random)
        self.pinholes = Pinholes(clock, books=self._books, random=random)
        self.firewall = firewall
        self._subscribers: dict[str, Subscriber] = {}
        self._last: dict[str, dict[str, str]] = {}
        self._recheck: IDelayedCall | None = None
        self._proxies: dict[Service, ServiceProxy] = {}
        self.openings_failed = 0
        self.mapping_sets = [self.mappings]
        self.settle_with: Callable[[], Sequence[Mappings]] = lambda: self.mapping_sets

    # -- what it is --------------------------------------------------------------------------------------------------
    @property
    def udn(self) -> str:
        """Unique Device Name, opaque."""
        return self.device.udn

    @property
    def friendly_name(self) -> str:
        """The name that the gateway gives itself."""
        return self.device.description.root.friendly_name

    @property
    def model(self) -> str:
        """Manufacturer and model, as far as told."""
        root = self.device.description.root
        return " ".join(word for word in (root.manufacturer, root.model_name, root.model_number) if word)

    @property
    def location(self) -> str:
        """URL of the description."""
        return str(self.device.location)

    @property
    def address(self) -> IPAddress:
        """The gateway's address on the LAN."""
        return self.device.host

    @property
    def local_address(self) -> IPAddress:
        """This host's address towards the gateway."""
        return self.device.local_address

    @property
    def services(self) -> tuple[Service, ...]:
        """All services of all its devices."""
        return tuple(self.device.description.root.all_services())

    @property
    def eventing(self) -> dict[str, str]:
        """State of the event subscription of each service: subscribing, subscribed, refused, failed or stopped."""
        return {name: subscriber.state for name, subscriber in self._subscribers.items()}

    # -- what it does --------------------------------------------------------------------------------------------------
    def external_ip(self, timeout: float = ANSWER_SECONDS) -> Deferred[ipaddress.IPv4Address | None]:
        """Ask for the external address now; None while there is none.

        :param timeout: seconds for the whole of it, calls that wait for their turn before it included.
        :return: errbacks with an :class:`txigd.errors.ExchangeError` when the gateway does not answer, among them
            :class:`txigd.errors.ExchangeTimeout` when it does not in time.
        """

        def late(result: object, seconds: float) -> None:
            raise ExchangeTimeout(f"no answer in {seconds:g} s")

        asked: Deferred[ipaddress.IPv4Address | None] = self.wan.refresh().addCallback(lambda now: now.external_ip)
        return asked.addTimeout(timeout, self._clock, late)

    def service(self, name: str) -> ServiceProxy:
        """Calls the actions of the first service of this name, for example ``"WANCommonInterfaceConfig"``.

        :raises NotAGateway: when it has no such service.
        """
        for service in self.services:
            if service.name == name:
                return self._proxy(service)
        raise NotAGateway(f"{self.friendly_name} offers no {name}")

    # -- for the control point -----------------------------------------------------------------------------------------
    def renew(self, device: RemoteDevice) -> None:
        """The gateway came back as another device object; observers and wanted mappings stay."""
        self.device = device
        self.openings_failed = 0
        if self.firewall is not None:
            self.firewall.device = device

    async def open(self) -> None:
        """Read the WAN state of the (new) description, attach mappings and pinholes and subscribe to events.

        :raises ExchangeError: when no connection service answers.
        :raises NoConnection: when there is none that could be asked.
        """
        self._proxies.clear()
        services = [s for s in self.services if s.name in _CONNECTIONS and s.control_url is not None]
        connections = [Connection(self._proxy(service), self.local_address, udn=self.udn) for service in services]
        default = await self._default(services) if len(services) > 1 else -1
        self.wan.on_live = self._attach
        await self.wan.use(connections, default)
        await self._settle(self.wan.connection)
        self._attach(self.wan.connection)
        if self.firewall is not None:
            self.firewall.forget()
            self.pinholes.attach(self.firewall)
        self._subscribe()

    def verify(self) -> None:
        """Something may have happened to it: look at the WAN side and at our entries, change nothing (F39)."""
        self.wan.hint()
        self._look_at_table()
        self.pinholes.recheck()

    def woke(self) -> None:
        """Time passed in which nothing was heard: look, and subscribe afresh (F18, Q183)."""
        self.verify()
        for subscriber in self._subscribers.values():
            subscriber.reboot()

    def lost(self, reason: str) -> None:
        """The gateway is gone and may come back: observers and wanted mappings stay."""
        self.wan.lost()
        self._quiet()
        self.mappings.detach(reason)
        self.pinholes.detach(reason)

    def close(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Say goodbye: delete our mappings and pinholes and cancel the subscriptions within ``seconds``."""
        self.wan.stop()
        closing: list[Deferred[Any]] = [*self._quiet(), self.mappings.stop(seconds), self.pinholes.stop(seconds)]
        done = gatherResults(closing, consumeErrors=True)
        done.addTimeout(seconds, self._clock)
        return done.addBoth(lambda _: None)

    # -- inside ------------------------------------------------------------------------------------------------------
    def _proxy(self, service: Service) -> ServiceProxy:
        """One proxy for each service of a description: it remembers what the gateway can."""
        if service not in self._proxies:
            self._proxies[service] = self.device.proxy(service, builtin_table(service.service_type))
        return self._proxies[service]

    def _quiet(self) -> list[Deferred[None]]:
        if self._recheck is not None and self._recheck.active():
            self._recheck.cancel()
        old, self._subscribers = self._subscribers, {}
        self._last.clear()
        return [subscriber.stop() for subscriber in old.values()]

    async def _default(self, services: list[Service]) -> int:
        try:
            told = await self.service("Layer3Forwarding").call("GetDefaultConnectionService")
        except (NotAGateway, ActionError, ActionNotOffered, ExchangeError):
            return -1
        text = str(told.get("NewDefaultConnectionService") or "")
        return default_index(text, [(service.udn, service.service_id) for service in services])

    async def _settle(self, connection: Connection) -> None:
        """Before anything new is done: what an earlier run of ours left here is taken over or removed."""
        if not self._books.kept or not isinstance(self.local_address, ipaddress.IPv4Address):
            return
        self._books.seen(self.udn, self.location)
        wanted = [held.wanted for mappings in self.settle_with() for held in mappings if not held.leaving]
        await self._books.settle(connection, wanted, client=self.local_address, host_id=self._host_id)

    def _attach(self, connection: Connection) -> None:
        for mappings in self.mapping_sets:
            mappings.attach(connection)

    def _subscribe(self) -> None:
        self._quiet()
        for service in self.services:
            if not self._events or service.name not in _EVENTED or service.event_url is None:
                continue
            key = f"{service.name}:{service.version}"
            if key in self._subscribers:
                key = f"{key} ({'.'.join(map(str, service.path))})"
            self._subscribers[key] = subscriber = self.device.subscriber(
                service,
                lambda values, initial, key=key: self._evented(key, values, initial),  # type: ignore[misc]
                lambda state, key=key: self._subscription(key, state),  # type: ignore[misc]
                lambda reason: self.wan.hint(),
            )
            subscriber.start()

    def _subscription(self, key: str, state: str) -> None:
        if state in ("refused", "failed"):
            _log.info("no events of {service} ({state}): polling instead", service=key, state=state)
        else:
            _log.debug("events of {service}: {state}", service=key, state=state)

    def _evented(self, key: str, values: dict[str, str], initial: bool) -> None:
        """Every event is a hint: the WAN state is read back, and our mappings when the table changed."""
        last = self._last.get(key, {})
        changed = {name for name, value in values.items() if last.get(name) != value}
        self._last[key] = {**last, **values}
        if values.keys() - set(_TABLE_VARIABLES):
            self.wan.hint()
        if (
            not initial
            and changed.intersection(_TABLE_VARIABLES)
            and (self._recheck is None or not self._recheck.active())
        ):
            self._recheck = self._clock.callLater(RECHECK_SECONDS, self._look_at_table)

    def _look_at_table(self) -> None:
        for mappings in self.mapping_sets:
            mappings.recheck()
