"""The IPv6 firewall of one gateway: WANIPv6FirewallControl, asked over IPv6 from the very address a pinhole leads to.

A gateway opens pinholes for the host that asks, and tells it by the TCP source address (Q193); so nothing here works
over IPv4. Thin. Sources: IGD:2 WANIPv6FirewallControl:1, quirks Q193-Q198.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import (
    ActionError,
    ActionNotOffered,
    AddressingError,
    BadReply,
    DescriptionError,
    ExchangeError,
    HTTPStatusError,
    NoFirewall,
)
from txigd.igd.lease_facts import Added, Denied, Failed, Missing, Unreadable
from txigd.igd.pinhole import PROTOCOL_NUMBERS, Closed, Opened, Pinhole, PinholeFact
from txigd.igd.services import WANIPv6FirewallControl1, builtin_table
from txigd.limits import HTTP_TOTAL_SECONDS, PINHOLE_SIGHT_SECONDS, PINHOLES
from txigd.upnp.addressing import address_towards
from txigd.upnp.control.action import REFUSALS, ServiceProxy
from txigd.upnp.description.device import Service
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange
from txigd.upnp.own_addresses import OwnAddress, own_addresses, stable_address
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.url import DeviceURL, without_zone

_log = log.logger("txigd.firewall")
SERVICE: Final = "WANIPv6FirewallControl"
_LOOK_AGAIN_SECONDS: Final = 0.5
# What UpdatePinhole says of a UniqueID that is not ours, or no more: 704 by the standard, 402 from miniupnpd, and 606
# where the number belongs to somebody else by now.
NOT_OURS: Final = frozenset({402, 606, 704})
_NO_TRAFFIC: Final = 709


@dataclass(frozen=True, slots=True)
class FirewallState:
    """What the gateway says of its IPv6 firewall; None where it says nothing."""

    enabled: bool | None = None
    inbound_allowed: bool | None = None


class Firewall:
    """Opens, extends and closes pinholes in one gateway.

    :param clock: the reactor's time.
    :param device: the gateway.
    :param exchange: of the control point.
    :param elsewhere: more locations of a device: those where it was seen without being described there.
    :param others: the other devices of the control point: a gateway may show its firewall in another tree only (Q197).
    :param own: our IPv6 addresses with their flags; None where the system does not tell them.

    :ivar device: the gateway; it may come back as another object.
    """

    def __init__(
        self,
        clock: IReactorTime,
        device: RemoteDevice,
        exchange: Exchange,
        *,
        elsewhere: Callable[[RemoteDevice], Iterable[DeviceURL]] = lambda device: (),
        others: Callable[[], Iterable[RemoteDevice]] = tuple,
        own: Callable[[], tuple[OwnAddress, ...] | None] = own_addresses,
    ) -> None:
        self._clock = clock
        self.device = device
        self._exchange = exchange
        self._elsewhere = elsewhere
        self._others = others
        self._own = own
        self._service: Service | None = None
        self._services: dict[ipaddress.IPv6Address, WANIPv6FirewallControl1] = {}

    # -- for everybody -----------------------------------------------------------------------------------------------
    def status(self) -> Deferred[FirewallState]:
        """GetFirewallStatus: whether there is a firewall, and whether it lets hosts open pinholes (Q196).

        :return: errbacks with :class:`txigd.errors.NoFirewall` where the gateway offers none over IPv6,
            :class:`txigd.errors.AddressingError` where this host has no address for a pinhole, or as any action does.
        """
        return Deferred.fromCoroutine(self._ask_status())

    def packets(self, unique_id: int, client: ipaddress.IPv6Address) -> Deferred[int]:
        """GetPinholePackets: how many came through. Often 0 for ever, and from memory (Q198)."""
        return Deferred.fromCoroutine(self._packets(unique_id, client))

    def is_working(self, unique_id: int, client: ipaddress.IPv6Address) -> Deferred[bool | None]:
        """CheckPinholeWorking; None while nothing came through that could tell. Optional for gateways (Q198)."""
        return Deferred.fromCoroutine(self._is_working(unique_id, client))

    def delete(self, unique_id: int, client: ipaddress.IPv6Address) -> Deferred[None]:
        """DeletePinhole.

        :return: errbacks with :class:`txigd.errors.ActionError`: 704 where there is none (miniupnpd: 402), 606 where it
            is for another address.
        """
        return Deferred.fromCoroutine(self._delete(unique_id, client))

    def client(
        self, wanted: ipaddress.IPv6Address | None = None, *, kept: ipaddress.IPv6Address | None = None
    ) -> ipaddress.IPv6Address:
        """Our address for a pinhole: the wanted one if it is ours, else a stable global one on the gateway's link.

        :param kept: the one in use, which stays while it is fit (Q194).
        :raises AddressingError: where there is none.
        """
        own, places = self._own(), list(self._places())
        towards = places[0][1].host if places else None
        towards6 = towards if isinstance(towards, ipaddress.IPv6Address) else None
        if own is None:  # nothing is told of temporary ones here: the system's choice has to do
            found = wanted or (towards6 and without_zone(address_towards(towards6)))
        elif wanted is not None:
            found = wanted if self.is_ours(wanted) else None
        else:
            links = {sighting.link for device in self._family() for sighting in device.sightings.values()}
            found = stable_address(own, link_names=links, towards=towards6, kept=kept)
        if not isinstance(found, ipaddress.IPv6Address) or found.is_link_local:
            what = "no stable global IPv6 address" if wanted is None else f"no address {wanted}"
            raise AddressingError(f"this host has {what} on the gateway's link")
        return found

    def is_ours(self, address: ipaddress.IPv6Address) -> bool:
        """Whether this host has the address now, as far as the system tells."""
        own = self._own()
        return own is None or any(one.address == address and one.is_usable for one in own)

    def evented(self) -> RemoteService | None:
        """The service as a tree of the gateway shows it with an event URL; None where none does (Q197)."""
        for device in self._family():
            for remote in device.services:
                if remote.service.name == SERVICE and remote.service.event_url is not None:
                    return remote
        return None

    def forget(self) -> None:
        """The gateway was described again: look its firewall up afresh."""
        self._service = None
        self._services.clear()

    # -- facts for the lease machine -----------------------------------------------------------------------------------
    async def open(
        self,
        wanted: Pinhole,
        client: ipaddress.IPv6Address,
        lease_seconds: int,
        *,
        due: float | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> PinholeFact:
        """Send AddPinhole: Opened, Denied or Failed. With the values of an open pinhole it extends that one.

        :param due: by when it should be done; what is due first goes first.
        :param before: called when nothing stands in the way of sending it.
        """
        try:
            state = await self._status(client)
            if state.enabled is False:
                return Denied(702, "the gateway's IPv6 firewall is switched off: no pinhole is needed")
            if state.inbound_allowed is False:
                return Denied(703, "the gateway's settings let no host open pinholes")
            service = await self._located(client)
            before()
            unique_id = await service.due_by(due).add_pinhole(
                remote_host=str(wanted.remote_host or ""),
                remote_port=wanted.remote_port,
                internal_client=str(client),
                internal_port=wanted.internal_port,
                protocol=PROTOCOL_NUMBERS[wanted.protocol],
                lease_time=lease_seconds,
            )
        except (ActionError, ActionNotOffered, NoFirewall, ExchangeError) as error:
            return _refusal(error)
        return Opened(unique_id, client)

    async def extend(
        self, unique_id: int, client: ipaddress.IPv6Address, lease_seconds: int, *, due: float | None = None
    ) -> PinholeFact:
        """Send UpdatePinhole: Added, Missing, Unreadable (not offered), Denied or Failed."""
        try:
            service = await self._located(client)
            await service.due_by(due).update_pinhole(unique_id=unique_id, lease_time=lease_seconds)
        except ActionError as error:
            if error.code in NOT_OURS:
                return Missing()
            return Unreadable() if error.code in REFUSALS else _refusal(error)
        except ActionNotOffered:
            return Unreadable()
        except (NoFirewall, ExchangeError) as error:
            return _refusal(error)
        return Added()

    async def close(self, unique_id: int, client: ipaddress.IPv6Address) -> PinholeFact:
        """Send DeletePinhole: Closed, whatever UPnP error it answers, or Failed."""
        try:
            await self._delete(unique_id, client)
        except ActionError as error:
            return Closed(gone=error.code in NOT_OURS)
        except ActionNotOffered:
            return Closed(gone=False)
        except (NoFirewall, ExchangeError) as error:
            return Failed(str(error))
        return Closed()

    # -- inside ------------------------------------------------------------------------------------------------------
    async def _ask_status(self) -> FirewallState:
        return await self._status(self.client())

    async def _status(self, client: ipaddress.IPv6Address) -> FirewallState:
        service = await self._located(client)
        try:
            told = await service.get_firewall_status()
        except (ActionError, ActionNotOffered, HTTPStatusError, BadReply):
            return FirewallState()
        return FirewallState(told.firewall_enabled, told.inbound_pinhole_allowed)

    async def _packets(self, unique_id: int, client: ipaddress.IPv6Address) -> int:
        return await (await self._located(client)).get_pinhole_packets(unique_id=unique_id)

    async def _delete(self, unique_id: int, client: ipaddress.IPv6Address) -> None:
        await (await self._located(client)).delete_pinhole(unique_id=unique_id)

    async def _is_working(self, unique_id: int, client: ipaddress.IPv6Address) -> bool | None:
        service = await self._located(client)
        try:
            return await service.check_pinhole_working(unique_id=unique_id)
        except ActionError as error:
            if error.code == _NO_TRAFFIC:
                return None
            raise

    async def _located(self, client: ipaddress.IPv6Address) -> WANIPv6FirewallControl1:
        """The service, called from ``client``. A gateway may take some seconds to show itself over IPv6."""
        if self._service is None:
            self._service = await self._look_for(client)
            self._services.clear()
        if client not in self._services:
            while len(self._services) >= PINHOLES:
                del self._services[next(iter(self._services))]
            caller = self.device.proxy(self._service, None).caller.beside(self._exchange.sending_from(client))
            proxy = ServiceProxy(self._service, builtin_table(self._service.service_type), caller)
            self._services[client] = WANIPv6FirewallControl1(proxy)
        return self._services[client]

    async def _look_for(self, client: ipaddress.IPv6Address) -> Service:
        deadline = self._clock.seconds() + PINHOLE_SIGHT_SECONDS
        looked: dict[DeviceURL, str] = {}
        while True:
            for udn, location in self._places():
                if location not in looked:
                    found = await self._look_at(udn, location, client)
                    if isinstance(found, Service):
                        _log.debug("IPv6 firewall found at {location}", location=str(location))
                        return found
                    looked[location] = found
            left = deadline - self._clock.seconds()
            if left <= 0:
                raise NoFirewall("; ".join(looked.values()) or "the gateway did not show itself over IPv6")
            await self._sleep(min(left, _LOOK_AGAIN_SECONDS))

    async def _look_at(self, udn: str, location: DeviceURL, client: ipaddress.IPv6Address) -> Service | str:
        """The service as the description at this location has it, or why there is none."""
        try:
            description = await fetch_description(
                self._exchange.sending_from(client), location, seconds=HTTP_TOTAL_SECONDS
            )
        except (ExchangeError, DescriptionError) as error:
            return f"no description at {location}: {error}"
        if description.root.udn != udn:
            return f"another device answers at {location}"
        for service in description.root.all_services():
            if service.name == SERVICE and service.control_url is not None:
                return service
        return f"the gateway offers no {SERVICE} at {location}"

    def _family(self) -> list[RemoteDevice]:
        """The gateway, and what else of it was described: devices that share an address with it (Q197)."""
        hosts = set(_hosts(self.device))
        family = [self.device]
        family += [other for other in self._others() if other is not self.device and hosts & set(_hosts(other))]
        return family

    def _places(self) -> Iterator[tuple[str, DeviceURL]]:
        """UDN and location of every description of the gateway that can be read over IPv6, global addresses first."""
        for device in self._family():
            known = dict.fromkeys((device.location, *device.sightings, *self._elsewhere(device)))
            over6 = [location for location in known if location.host.version == 6]
            for location in sorted(over6, key=lambda location: location.host.is_link_local):
                yield device.udn, location

    def _sleep(self, seconds: float) -> Deferred[None]:
        rest: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, rest.callback, None)
        return rest


def _hosts(device: RemoteDevice) -> Iterator[str]:
    for location in (device.location, *device.sightings):
        yield str(without_zone(location.host))


def _refusal(error: Exception) -> PinholeFact:
    """What an error other than "no such pinhole" means. One that is only unavailable (503) is asked again soon."""
    if isinstance(error, ActionError):
        return Denied(error.code, error.text or error.name)
    if isinstance(error, HTTPStatusError):
        return Failed(str(error)) if error.status == 503 else Denied(0, str(error))
    if isinstance(error, ExchangeError):
        return Failed(str(error))
    return Denied(0, str(error))
