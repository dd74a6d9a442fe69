"""One Internet gateway: its WAN side, its port mappings, its events."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime

from txigd.errors import ActionError, ActionNotOffered, ExchangeError, ExchangeTimeout, NoService, NotAGateway
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.firewall import Firewall
from txigd.igd.firewall_events import FirewallEvents
from txigd.igd.former_connections import FormerConnections
from txigd.igd.gateway_events import GatewayEvents
from txigd.igd.gateway_kind import CONNECTIONS, is_gateway, offers_connection
from txigd.igd.link import TrafficMeter
from txigd.igd.link_config import LINK_CONFIGS, LinkConfig, read_link_config
from txigd.igd.mapping import PortMapping
from txigd.igd.mappings import Mappings
from txigd.igd.pinhole_books import settle
from txigd.igd.pinholes import Pinholes
from txigd.igd.services import TypedService, typed
from txigd.igd.settlement import Settlement
from txigd.igd.status import default_index
from txigd.igd.wan import WAN
from txigd.limits import ANSWER_SECONDS, FAREWELL_SECONDS
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.description.device import Service
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.url import IPAddress

_COUNTERS = "WANCommonInterfaceConfig"


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
        if not offers_connection(device):
            raise NotAGateway(f"{device.location} describes {device.description.root.device_type}, no Internet gateway")
        self._clock = clock
        self._events = events
        self._books = Books() if books is None else books
        self.device = device
        self.wan = WAN(clock, poll_seconds=poll_seconds)
        self.mappings = Mappings(clock, host_id, books=self._books, random=random)
        self.pinholes = Pinholes(clock, books=self._books, random=random)
        self.firewall = firewall
        self._firewall_events = FirewallEvents(self.pinholes, firewall) if firewall is not None and events else None
        self._own_events = GatewayEvents(clock, self.wan)
        self._own_events.on_forgotten = self.verify
        self._own_events.on_table = self._table_changed
        self._own_events.on_link = self._link_changed
        self._traffic: TrafficMeter | None = None
        self._settlement = Settlement(clock, self._books, lambda: _wanted_of(self.settle_with()), host_id=host_id)
        self._former = FormerConnections(
            clock,
            self._books,
            host_id=host_id,
            wanted=lambda: _wanted_of(self.mapping_sets),
            on_look=self._look_at_table,
        )
        self.openings_failed = 0
        self._closed = False
        self.mapping_sets = [self.mappings]
        self._pinhole_sets = [self.pinholes]
        self.pinholes.settles_for = lambda: self._pinhole_sets
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
        """All services of all its devices, in all its trees (Q197)."""
        return tuple(remote.service for remote in self.device.services)

    @property
    def eventing(self) -> dict[str, str]:
        """State of the event subscription of each service: subscribing, subscribed, refused, failed or stopped.

        The services are called as in :attr:`txigd.upnp.remote_device.RemoteDevice.labels`.
        """
        labels = self.device.labels
        told = {labels.get(one.service, one.name): one.eventing for one in self._own_events.observed}
        return told if self._firewall_events is None else {**told, **self._firewall_events.eventing}

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

        :param name: name, type or id, see :meth:`txigd.upnp.remote_device.RemoteDevice.service`.
        :raises NoService: when it has no such service.
        """
        return self.device.service(name).proxy

    def typed(self, name: str) -> TypedService:
        """A service of the standard with its actions as methods: an object of :mod:`txigd.igd.services`.

        :raises NoService: when it has no such service.
        :raises ActionNotOffered: when no standard that is known has such a service.
        """
        return typed(self.service(name))

    @property
    def counters(self) -> ServiceProxy:
        """The WANCommonInterfaceConfig of the WANDevice that the connection in use belongs to (Q076).

        :raises NoService: where the gateway counts nothing.
        """
        return self._beside(_COUNTERS) or self.service(_COUNTERS)

    @property
    def traffic(self) -> TrafficMeter:
        """Octets and packets through the WAN interface, as rates. Nothing is read before its ``start()``.

        :raises NoService: where the gateway counts nothing.
        """
        if self._traffic is None:
            connection = self.wan.connection.proxy if self.wan.connections else None
            self._traffic = TrafficMeter(self._clock, self.counters, connection=connection)
        return self._traffic

    def link(self) -> Deferred[LinkConfig]:
        """Ask what the gateway tells of its line by its medium: DSL, cable, Ethernet or telephone.

        :return: errbacks with :class:`txigd.errors.NoService` where it tells nothing, with an
            :class:`txigd.errors.ExchangeError` when it does not answer.
        """
        beside = self._beside(*LINK_CONFIGS)
        if beside is not None:
            return read_link_config(beside)
        for remote in self.device.services:
            if remote.service.name in LINK_CONFIGS:
                return read_link_config(remote.proxy)
        return fail(NoService(f"{self.friendly_name} describes no line: none of {', '.join(LINK_CONFIGS)}"))

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
        offered = self._offered()
        connections = self._connections(offered)
        default = await self._default([one.service for one in offered]) if len(offered) > 1 else -1
        self.wan.on_live = self._attach
        self.wan.on_uptime_fell = self._began_anew
        self.wan.on_up = self._line_came_up
        await self.wan.use(connections, default)
        await self._settlement.begin(self.wan.connection)
        self._attach(self.wan.connection)
        if self.firewall is not None:
            self.firewall.forget()
            for pinholes in self._pinhole_sets:
                pinholes.attach(self.firewall, settled_by=self.pinholes)
        if self._closed:
            raise CancelledError  # whoever was told that a release is over stopped it all
        self._own_events.subscribe(self._own_services() if self._events else ())
        if self._firewall_events is not None:
            self._firewall_events.begin()
        self.device.resubscribe()

    def take_over(self, mappings: Mappings, pinholes: Pinholes) -> None:
        """It is the gateway in use: what is wanted of that one is held here as well."""
        self.mapping_sets.append(mappings)
        self._look_at_former()  # what is on record here is wanted again
        self._pinhole_sets.append(pinholes)
        if self._firewall_events is not None:
            self._firewall_events.join(pinholes)
        mappings.attach(self.wan.connection)
        if self.firewall is not None and not self._closed:  # as whoever was told that a release is over may have wanted
            pinholes.attach(self.firewall, settled_by=self.pinholes)

    def hand_over(self, mappings: Mappings, pinholes: Pinholes) -> None:
        """It is not the gateway in use any more; what of these is still there, they know."""
        self.mapping_sets.remove(mappings)
        self._pinhole_sets.remove(pinholes)
        if self._firewall_events is not None:
            self._firewall_events.leave(pinholes)

    def clear_up(self) -> None:
        """It is there and not in use any more: what it does not see go now is looked for until it is gone (F16)."""
        self._look_at_former()
        self.pinholes.settle_later()

    def verify(self) -> None:
        """Something may have happened to it: look at the WAN side and at our entries, change nothing (F39)."""
        self.wan.hint()
        self._look_at_table()
        self._look_at_firewall()

    def woke(self) -> None:
        """Time passed in which nothing was heard: look. The device subscribes afresh (F18, Q183)."""
        self.verify()

    def _began_anew(self) -> None:
        """Its uptime fell, so it may have lost its state without a word."""
        self._look_at_table()
        self._look_at_firewall()
        self._own_events.verify()

    def _line_came_up(self) -> None:
        for mappings in self.mapping_sets:
            mappings.line_came_up()

    def lost(self, reason: str) -> None:
        """The gateway is gone and may come back: observers and wanted mappings stay."""
        self.wan.lost()
        self._quiet()
        if self._firewall_events is not None:
            self._firewall_events.end()
        self.mappings.detach(reason)
        self.pinholes.detach(reason)

    def close(self, seconds: float = FAREWELL_SECONDS) -> Deferred[None]:
        """Say goodbye: delete our mappings and pinholes and cancel the subscriptions within ``seconds``."""
        self._closed = True
        self.wan.stop()
        self.device.caller.hurry()
        self._quiet(unsubscribe=False)
        if self._traffic is not None:
            self._traffic.stop()
        closing: list[Deferred[Any]] = [self.device.stop(), self.mappings.close(seconds), self.pinholes.close(seconds)]
        done = gatherResults(closing, consumeErrors=True)
        done.addTimeout(seconds, self._clock)
        return done.addBoth(lambda _: None)

    def sweep(self) -> Deferred[None]:
        """After the farewell: remove what is still on record, since it was not seen to go (F51)."""
        return Deferred.fromCoroutine(self._sweep())

    # -- inside ------------------------------------------------------------------------------------------------------
    async def _sweep(self) -> None:
        for connection in self.wan.connections or self._connections(self._offered()):
            await self._settlement.sweep(connection)
        if self.firewall is not None:
            await settle(self._books, self.firewall, tuple)

    def _offered(self) -> list[RemoteService]:
        """The connection services that can be asked."""
        offered = [one for one in self._own_services() if one.service.name in CONNECTIONS]
        return [one for one in offered if one.service.control_url is not None]

    def _connections(self, offered: list[RemoteService]) -> list[Connection]:
        """Each has its page in the journal, since each may have its table; the first one the gateway's own (F23)."""
        own = [""] + [f"#{one.service.udn}#{one.service.service_id}" for one in offered[1:]]
        return [Connection(one.proxy, self.local_address, udn=self.udn + own[at]) for at, one in enumerate(offered)]

    def _own_services(self) -> list[RemoteService]:
        """Those of the tree that is a gateway's: another one may name the same connection again (Q038)."""
        tree = next((one for one in self.device.descriptions if is_gateway(one)), self.device.description)
        own = set(tree.root.all_services())
        return [remote for remote in self.device.services if remote.service in own]

    def _beside(self, *names: str) -> ServiceProxy | None:
        """The service of one of these names that is nearest to the connection in use: on its device or one above."""
        live = self.wan.connection.proxy.service if self.wan.connections else None
        remotes = [one for one in self._own_services() if live is not None and one.service.name in names]
        # the last number of a path is the place among the services of a device
        above = [one for one in remotes if live and live.path[: len(one.service.path) - 1] == one.service.path[:-1]]
        return max(above, key=lambda one: len(one.service.path)).proxy if above else None

    def _quiet(self, *, unsubscribe: bool = True) -> None:
        self._settlement.end()
        self._former.end()
        self._own_events.end(unsubscribe=unsubscribe)

    async def _default(self, services: list[Service]) -> int:
        try:
            told = await self.service("Layer3Forwarding").call("GetDefaultConnectionService")
        except (NoService, ActionError, ActionNotOffered, ExchangeError):
            return -1
        text = str(told.get("NewDefaultConnectionService") or "")
        return default_index(text, [(service.udn, service.service_id) for service in services])

    def _attach(self, connection: Connection) -> None:
        for mappings in self.mapping_sets:
            mappings.attach(connection)
        if self._closed:  # whoever was told that a release is over may have wanted it
            return
        self._look_at_former()
        if self._traffic is not None:
            with suppress(NoService):  # it counts no more: the meter says so
                self._traffic.use(self.counters, connection=connection.proxy)

    def _link_changed(self) -> None:
        if self._traffic is not None:
            self._traffic.link_changed()

    def _table_changed(self) -> None:
        for mappings in self.mapping_sets:
            mappings.table_changed()

    def _look_at_former(self) -> None:
        if not self._closed:
            in_use = len(self.mapping_sets) > 1  # what is wanted of the gateway in use is held here as well
            self._former.begin(self.wan.connections, self.wan.connection, in_use=in_use)

    def _look_at_table(self) -> None:
        for mappings in self.settle_with():
            mappings.recheck()

    def _look_at_firewall(self) -> None:
        for pinholes in self._pinhole_sets:
            pinholes.recheck()


def _wanted_of(sets: Sequence[Mappings]) -> list[PortMapping]:
    return [held.wanted for mappings in sets for held in mappings if not held.leaving]
