"""The gateways among the devices: made of what was described, opened until they answer, kept while they are gone.

Which of them is in use, its subclass decides.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txigd import log
from txigd.errors import BadURL, DescriptionError, ExchangeError, NoConnection, NotAGateway, TxigdError
from txigd.igd.books import Books
from txigd.igd.firewall import Firewall
from txigd.igd.gateway import Gateway
from txigd.igd.gateway_kind import calls_itself_gateway, is_gateway, offers_connection
from txigd.igd.mappings import Mappings
from txigd.igd.pinholes import Pinholes
from txigd.igd.tables import known_table
from txigd.interfaces import IDeviceObserver
from txigd.limits import NAMED_RETRY_CEILING_SECONDS, SIGHTINGS, UNREADY_CEILING_SECONDS
from txigd.upnp import control_point
from txigd.upnp.discovery.message import normal_udn
from txigd.upnp.discovery.targets import IGD_TARGETS
from txigd.upnp.naming import host_of
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import DeviceURL, IPAddress, parse_named, without_zone

_log = log.logger("txigd.control_point")


@implementer(IDeviceObserver)
class Gateways(control_point.ControlPoint):
    """A control point that makes gateways of devices.

    :param reactor: Twisted's reactor.
    :param host_id: part of the tag of our entries on a gateway.
    :param poll_seconds: period of the cross-check of the WAN state.
    :param events: whether to subscribe to the events of gateways.
    :param books: where what is done is written down.
    :param more: as for :class:`txigd.upnp.control_point.ControlPoint`.
    :ivar mappings: the port mappings wanted on the gateway in use, see :class:`txigd.igd.mappings.Mappings`.
    :ivar pinholes: the IPv6 pinholes wanted in it, see :class:`txigd.igd.pinholes.Pinholes`.
    :ivar last_error: why the last opening failed; None after one that did not.
    """

    def __init__(
        self, reactor: Any, *, host_id: str, poll_seconds: float, events: bool, books: Books, **more: Any
    ) -> None:
        super().__init__(reactor, targets=IGD_TARGETS, tables=known_table, **more)
        self._host_id = host_id
        self._poll_seconds = poll_seconds
        self._events = events
        self._books = books
        self._gateways: dict[str, Gateway] = {}  # verified, by UDN
        self._known: dict[str, Gateway] = {}  # all there ever were: who comes back finds its observers and mappings
        self._opening: dict[str, Deferred[None]] = {}
        self._unready: dict[str, Deferred[None]] = {}
        self.last_error: TxigdError | None = None
        self.mappings = Mappings(self.reactor, host_id, books=books)
        self.pinholes = Pinholes(self.reactor, books=books)
        self.observe_devices(self)

    @property
    def unverified(self) -> tuple[Gateway, ...]:
        """Gateways that were described and whose WAN connection could not be read so far."""
        there = (gateway for gateway in self._known.values() if gateway.udn not in self._gateways)
        return tuple(gateway for gateway in there if gateway.udn in self._devices)

    def hosts_of(self, gateway: Gateway) -> tuple[IPAddress, ...]:
        """The addresses, without zones, from which a gateway is announced; not all of them need be described (Q038)."""
        return tuple(dict.fromkeys(without_zone(one.host) for one in self._announced_at(gateway.device)))

    # -- what the subclass decides -------------------------------------------------------------------------------------
    def _gateway_opened(self, gateway: Gateway) -> None:
        """It was described, and its WAN connection read; perhaps not for the first time."""

    def _choose(self) -> None:
        """A verified gateway is gone, or the default route another one."""

    def _no_gateway(self, error: NotAGateway) -> None:
        """The device that was named is none."""

    # -- devices -----------------------------------------------------------------------------------------------------
    def device_appeared(self, device: RemoteDevice) -> None:
        """A device was described: a gateway if it has a WAN connection service."""
        _end(self._unready, device.udn)
        if not offers_connection(device):
            self._refuse_or_wait(device)
            return
        gateway = self._known.get(device.udn)
        if gateway is not None:
            gateway.renew(device)
        else:
            gateway = Gateway(
                self.reactor,
                device,
                host_id=self._host_id,
                poll_seconds=self._poll_seconds,
                events=self._events,
                firewall=Firewall(
                    self.reactor, device, self.exchange, elsewhere=self._elsewhere, others=lambda: self.devices
                ),
                books=self._books,
            )
            gateway.settle_with = functools.partial(self._wanted_on, gateway)
            gateway.wan.on_unreachable = functools.partial(self._unreachable, gateway)
            self._make_room()
            self._known[gateway.udn] = gateway
        self._open(gateway)

    def device_changed(self, device: RemoteDevice) -> None:
        """Described again: everything is read and subscribed afresh."""
        gateway = self._known.get(device.udn)
        if gateway is not None and gateway.device is device and offers_connection(device):
            self._open(gateway)
        else:
            self.device_gone(device)
            self.device_appeared(device)

    def device_restarted(self, device: RemoteDevice) -> None:
        """A gateway has to answer calls as well before it is asked for events again."""
        if device.udn not in self._known:
            device.resubscribe()

    def device_grew(self, device: RemoteDevice) -> None:
        """Another tree of it was described: one that is in use stays as it is, with more services (Q197)."""
        if device.udn in self._unready or device.udn not in self._known:
            self.device_appeared(device)

    def device_gone(self, device: RemoteDevice) -> None:
        """Gone for good, or until it comes back."""
        _end(self._opening, device.udn)
        _end(self._unready, device.udn)
        verified = self._gateways.pop(device.udn, None)
        if verified is not None:
            _log.info("gateway {name!r} is gone; still looking", name=verified.friendly_name)
        gateway = self._known.get(device.udn)
        if gateway is not None:  # also one that was still being opened: its WAN side may be polled already
            gateway.lost("the gateway is gone")
        if verified is not None:
            self._choose()

    def device_doubted(self, device: RemoteDevice) -> None:
        """It said goodbye, yet it answers."""
        gateway = self._gateways.get(device.udn)
        if gateway is not None:
            gateway.verify()

    def links_changed(self) -> None:
        """What was unreachable may be reachable now, and another gateway the next hop (F15, F16)."""
        for gateway in self._gateways.values() if self.links else ():
            gateway.wan.hint()
        self._choose()

    def woke(self) -> None:
        """This host slept."""
        for gateway in tuple(self._gateways.values()):
            gateway.woke()

    def remembered(self) -> tuple[DeviceURL, ...]:
        """Where gateways were in use, in earlier runs too: the next hop's, or those of the host that is named (A4).

        On loopback one address is many devices: only what was named.
        """
        places: dict[DeviceURL, None] = {}
        named = host_of(self.named)
        # zones count: many routers are fe80::1, each on its link
        allowed = {hop.address for hop in self.next_hops} if named is None else {named}
        for pinned in self._books.journal.pinned():
            try:
                place = parse_named(pinned.location)
            except BadURL:
                continue
            if place.host in allowed and not place.host.is_loopback:
                places[place] = None
        return tuple(places)

    def named_failed(self, error: TxigdError) -> None:
        """The named gateway does not answer: said once, tried on."""
        if self.last_error is None:
            _log.warn("gateway {name}: {error}; still trying", name=str(self.named), error=str(error))
        self.last_error = error

    def _elsewhere(self, device: RemoteDevice) -> list[DeviceURL]:
        """Where the next hop shows the same device, which is not described there because the user named one place."""
        return [location for location in self._announced_at(device) if self.is_next_hop(location.host)]

    def _announced_at(self, device: RemoteDevice) -> list[DeviceURL]:
        udns = {normal_udn(part.udn) for part in device.description.root.walk()}
        seen = () if self.discovery is None else self.discovery.presence.sightings
        return [one.location for one in seen if one.udns & udns]

    def _refuse(self, device: RemoteDevice, why: str) -> None:
        """It is no gateway; for a device that was named by its URL that is the answer."""
        if isinstance(self.named, DeviceURL) and device.location == self.named:
            self.last_error = NotAGateway(f"{device.location} {why}")
            self._no_gateway(self.last_error)

    def _refuse_or_wait(self, device: RemoteDevice) -> None:
        """No WAN connection in its tree: what was a gateway, or says that it is one where one is to be, still boots."""
        former = self._was_gateway(device.udn)
        here = self.named is not None or self.is_next_hop(device.host)
        if former or (here and calls_itself_gateway(device)):
            name = device.description.root.friendly_name
            _log.info("{name!r} at {location} has no WAN yet", name=name, location=str(device.location))
            if self.named is not None:
                self.named_failed(DescriptionError("it describes no WAN connection"))
            self._read_again(device, 1.0)
        else:
            self._refuse(device, f"describes {device.description.root.device_type}, no Internet gateway")

    def _was_gateway(self, udn: str) -> bool:
        """In this run, or in an earlier one."""
        return udn in self._known or any(pinned.udn == udn for pinned in self._books.journal.pinned())

    def _read_again(self, device: RemoteDevice, pause: float) -> None:
        """Describe it once more after a pause that grows each time, without end (Q052)."""
        reading = self._background(self._keep_reading(device, pause))
        if not reading.called:
            self._unready[device.udn] = reading

    async def _keep_reading(self, device: RemoteDevice, pause: float) -> None:
        await self._sleep(pause)
        former, description = self._was_gateway(device.udn), None
        if former or not self.satisfied:
            with suppress(ExchangeError, DescriptionError):
                description = await self._fetches.once(self.exchange, device.location)
        self._unready.pop(device.udn, None)  # what follows may begin to read anew, and is not to end itself
        if description is not None and is_gateway(description):
            self._take(description, device.sightings.get(device.location), again=True)
        unready = self._devices.get(device.udn) is device and not offers_connection(device)
        if unready and device.udn not in self._unready:
            often = former or self.named is not None
            ceiling = NAMED_RETRY_CEILING_SECONDS if often else UNREADY_CEILING_SECONDS
            self._read_again(device, min(pause * 2, ceiling))

    def _wanted_on(self, gateway: Gateway) -> list[Mappings]:
        """What may be held on a gateway that is about to be opened: it may become the one in use."""
        return [gateway.mappings, self.mappings]

    def _unreachable(self, gateway: Gateway) -> None:
        self.suspect(gateway.device)

    def _make_room(self) -> None:
        """Bound what is remembered of gateways that are gone."""
        gone = [udn for udn in self._known if udn not in self._devices]
        if len(self._known) >= SIGHTINGS and gone:
            self._background(_finished(self._known.pop(gone[0]).close()))

    # -- opening -----------------------------------------------------------------------------------------------------
    def _open(self, gateway: Gateway) -> None:
        """One opening at a time for each gateway: the latest."""
        _end(self._opening, gateway.udn)
        opening = self._background(self._keep_opening(gateway))
        if not opening.called:
            self._opening[gateway.udn] = opening

    async def _keep_opening(self, gateway: Gateway) -> None:
        while True:
            try:
                await gateway.open()
            except ExchangeError as error:
                self.last_error = error
                pause = min(2.0**gateway.openings_failed, NAMED_RETRY_CEILING_SECONDS)
                gateway.openings_failed = min(gateway.openings_failed + 1, 16)
                _log.info("gateway {name!r}: {error}", name=gateway.friendly_name, error=str(error))
                if gateway.udn in self._gateways:
                    self.doubt(gateway.device)  # it is in use, perhaps, and nothing else asks whether it is there (F20)
            except NoConnection as error:
                self._refuse(gateway.device, str(error))
                return
            else:
                break
            await self._sleep(pause)
        self._opening.pop(gateway.udn, None)
        gateway.openings_failed = 0
        self.last_error = None
        self._gateways[gateway.udn] = gateway
        self._books.seen(gateway.udn, gateway.location)
        self._gateway_opened(gateway)


def _end(tasks: dict[str, Deferred[None]], udn: str) -> None:
    former = tasks.pop(udn, None)
    if former is not None:
        former.cancel()


async def _finished(deferred: Deferred[None]) -> None:
    await deferred
