"""The devices that are there: what was sighted is described, what may be gone is asked, observers are told.

Knows discovery's presence table, the exchange and a clock; which sightings count, its subclass decides.
Sources: UDA 1.0-2.0 sections 1.2 and 2, quirks Q012, Q034-Q042, faults F03, F20, F21, threats A4, A5.
"""

from __future__ import annotations

import functools
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorSocket
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import AddressingError, DescriptionError, ExchangeError, Stopped
from txigd.interfaces import IDeviceObserver
from txigd.limits import HTTP_PATIENT_SECONDS, LOCATIONS_PER_DEVICE, SIGHTINGS, SSDP_PORT
from txigd.upnp import addressing
from txigd.upnp.addressing import NextHop
from txigd.upnp.description.device import Description
from txigd.upnp.description.fetches import Fetches
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.sighting import Appeared, Change, Doubted, Evicted, Rebooted, Sighting, Updated
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.multicast_listener import MulticastListener
from txigd.upnp.http import Exchange
from txigd.upnp.remote_device import RemoteDevice, Tables, own_table
from txigd.upnp.url import DeviceURL, IPAddress, parse_named, without_zone

_log = log.logger("txigd.control_point")


class Devices:
    """The table of devices, fed with what discovery tells.

    :ivar discovery: None while nothing is looked for.
    :ivar routed: names of the links that had a default route since the start, even if they have none now.
    :ivar multicast: hears multicast events; None where the reactor adopts no sockets.
    """

    exchange: Exchange
    callbacks: CallbackServer
    running: int

    def __init__(self, reactor: Any, tables: Tables = own_table) -> None:
        self.reactor = reactor
        adopts = IReactorSocket(reactor, None) is not None
        self.multicast = MulticastListener(reactor, links=()) if adopts else None
        self._tables = tables
        self.discovery: Discovery | None = None
        self.next_hops: tuple[NextHop, ...] = ()
        self.routed: frozenset[str] = frozenset()
        self._devices: dict[str, RemoteDevice] = {}
        self._observers: list[IDeviceObserver] = []
        self._tasks: set[Deferred[Any]] = set()
        self._fetches = Fetches(reactor)

    @property
    def devices(self) -> tuple[RemoteDevice, ...]:
        """The devices that were described, first found first."""
        return tuple(self._devices.values())

    def device(self, location: str | DeviceURL, *, seconds: float = HTTP_PATIENT_SECONDS) -> Deferred[RemoteDevice]:
        """The device that a description describes, without any discovery; observers are not told of it.

        :param location: URL of the description, with an address as its host.
        :param seconds: budget of fetching it.
        :return: a cancellable Deferred; fails with :class:`~txigd.errors.BadURL`,
            :class:`~txigd.errors.ExchangeError`, :class:`~txigd.errors.DescriptionError`,
            :class:`~txigd.errors.AddressingError` when no link leads there or a link-local address names none, or
            :class:`~txigd.errors.Stopped`.
        """
        return Deferred.fromCoroutine(self._named_device(location, seconds))

    async def _named_device(self, location: str | DeviceURL, seconds: float) -> RemoteDevice:
        where = parse_named(location) if isinstance(location, str) else location
        addressing.check_zone(where)
        known = self._device_at(where)
        if known is not None:
            return known
        if self.running:
            description = await self._fetches.once(self.exchange, where, seconds=seconds)
        if not self.running:
            raise Stopped
        addressing.address_towards(where.host)
        self._take(description, None, aside=True)
        if description.root.udn not in self._devices:
            raise DescriptionError(f"too many devices are known to take {where} as well")
        return self._devices[description.root.udn]

    def observe_devices(self, observer: IDeviceObserver) -> None:
        """Tell an :class:`txigd.interfaces.IDeviceObserver` of devices that come, change and go."""
        self._observers.append(IDeviceObserver(observer))

    def accepts(self, sighting: Sighting) -> bool:
        """Whether the description of what was sighted is to be fetched."""
        return True

    def matters(self, location: DeviceURL) -> bool:
        """Whether a description that does not come is tried for again for a minute."""
        return self.is_next_hop(location.host) or self._device_at(location) is not None

    def is_next_hop(self, host: IPAddress) -> bool:
        """Whether a default route of this host leads there."""
        return any(without_zone(hop.address) == without_zone(host) for hop in self.next_hops)

    def suspect(self, device: RemoteDevice) -> None:
        """Somebody found that the device does not answer: search again and look whether it moved, or is gone."""
        if self.discovery is not None:
            self.discovery.search()
            sighting = device.sightings.get(device.location)
            self._background(self._describe(device.location, sighting, again=True))

    # -- presence ----------------------------------------------------------------------------------------------------
    def _sighted(self, change: Change) -> None:
        """Discovery told something; all of it is a hint."""
        sighting = change.sighting
        if isinstance(change, Evicted):
            return
        if isinstance(change, Doubted):
            if self._device_at(sighting.location) is not None:
                self._background(self._verify(sighting.location, sighting, change.why))
            elif self.discovery is not None:
                self.discovery.presence.forget(sighting.location)  # never described, so of no use
        elif not self.accepts(sighting):
            if isinstance(change, Appeared):
                self.declined(sighting)
            elif isinstance(change, Rebooted) and change.previous.location.host == sighting.location.host:
                self._void(change.previous.location)
        elif isinstance(change, Rebooted):
            _log.info("device at {location} restarted", location=str(sighting.location))
            former = change.previous.location
            self._background(self._describe(sighting.location, sighting, again=True, former=former))
        else:
            self._background(self._describe(sighting.location, sighting, again=isinstance(change, Updated)))

    def _nobody_there(self, device: RemoteDevice) -> None:
        """A call of ours could not connect: what was held back of its restarts is no mere hint any more."""
        if self.discovery is not None:
            for change in self.discovery.presence.unreachable(device.location, self.reactor.seconds()):
                self._sighted(change)

    def _reconsider(self) -> None:
        """What was declined may be accepted now."""
        for sighting in () if self.discovery is None else self.discovery.presence.sightings:
            if self._device_at(sighting.location) is None and self.accepts(sighting):
                self._background(self._describe(sighting.location, sighting))

    def _void(self, location: DeviceURL) -> None:
        """A device that cannot be asked restarted: what is known of it is void, perhaps it is another by now (F20)."""
        device = self._device_at(location)
        if device is not None and device.location == location:
            self._gone(device)

    def declined(self, sighting: Sighting) -> None:
        """A device was sighted that is not accepted."""

    def _device_at(self, location: DeviceURL) -> RemoteDevice | None:
        for device in self._devices.values():
            if location == device.location or location in device.sightings:
                return device
        return None

    def doubt(self, device: RemoteDevice) -> None:
        """Somebody found that the device does not answer: look whether it is there, and change nothing if it is."""
        self._background(self._verify(device.location, device.sightings.get(device.location), "silent"))

    async def _verify(self, location: DeviceURL, sighting: Sighting | None, why: str) -> None:
        """A byebye or a silence is believed only when the device does not answer, asked twice (A5, Q034)."""
        try:
            description = await self._fetches.twice(self.exchange, location)
        except (ExchangeError, DescriptionError):
            await self._lose(location, why)
            return
        if self.discovery is None:
            return
        self.discovery.presence.confirm(location, self.reactor.seconds())
        device = self._device_at(location)
        if device is None or device.udn != description.root.udn:
            self._take(description, sighting)
        elif why == "byebye":
            # a restart so quick that only this shows: its answer to a search tells by BOOTID
            port = SSDP_PORT if sighting is None else sighting.search_port or SSDP_PORT
            self.discovery.probe(location.host, port)
            self.device_doubted(device)

    def device_doubted(self, device: RemoteDevice) -> None:
        """It said goodbye and yet answers: it may have lost its state."""

    async def _lose(self, location: DeviceURL, why: str) -> None:
        """Nobody answers at a location: its device is gone, unless it answers at another one (Q038, F21)."""
        device = self._device_at(location)
        self._forget(location)
        if device is None:
            return
        device.sightings.pop(location, None)
        device.drop_tree(location)
        if location != device.location:
            return
        for sighting in tuple(device.sightings.values()):
            try:
                description = await self._fetches.once(self.exchange, sighting.location)
            except (ExchangeError, DescriptionError):
                device.sightings.pop(sighting.location, None)
                device.drop_tree(sighting.location)
                self._forget(sighting.location)
            else:
                self._take(description, sighting, again=True)
                return
        if self._devices.get(device.udn) is device and device.location == location:
            _log.info("device {name!r} is gone ({why})", name=device.description.root.friendly_name, why=why)
            self._gone(device)

    def _forget(self, location: DeviceURL) -> None:
        """The next message from there is an appearance."""
        if self.discovery is not None:
            self.discovery.presence.unpin(location)
            self.discovery.presence.forget(location)

    # -- description -------------------------------------------------------------------------------------------------
    async def _describe(
        self,
        location: DeviceURL,
        sighting: Sighting | None,
        *,
        again: bool = False,
        former: DeviceURL | None = None,
    ) -> None:
        """Fetch a description, if it is time to, and take it.

        :param again: the device is to be read afresh.
        :param former: where the device that restarted was before: of no more use once it is found at ``location``.
        """
        patient = self.matters(location)
        try:
            description = await self._fetches.get(
                self.exchange, location, patient=patient, again=again, anew=former is not None
            )
        except (ExchangeError, DescriptionError) as error:
            _log.info("no description at {location}: {error}", location=str(location), error=str(error))
            await self._lose(location, "no description")
            return
        if description is None:
            if self._device_at(location) is None and not self._fetches.under_way(location):
                self._forget(location)
            return
        self._take(description, sighting, again=again, former=former)
        device = self._devices.get(description.root.udn)
        other = None if former is None else self._device_at(former)
        if other is not None and other is not device:
            self.suspect(other)  # it told that it moved, and another one answers in that place (F20)
        if device is not None and former is not None and former not in (location, device.location):
            device.sightings.pop(former, None)
            device.drop_tree(former)
            self._forget(former)

    def _take(
        self,
        description: Description,
        sighting: Sighting | None,
        *,
        again: bool = False,
        former: DeviceURL | None = None,
        aside: bool = False,
    ) -> None:
        location = description.location
        try:
            local_address = addressing.address_towards(location.host)
        except AddressingError as error:
            _log.info("no way to {location}: {error}", location=str(location), error=str(error))
            self._forget(location)
            return
        device = self._devices.get(description.root.udn)
        if device is None:
            replaced = self._device_at(location)
            if replaced is not None:
                replaced.sightings.pop(location, None)  # it is the other one's now, and is not to be forgotten
                self._gone(replaced)  # F20: another device answers at this URL now
            if not self.running or len(self._devices) >= SIGHTINGS:
                return
            device = RemoteDevice(
                self.reactor,
                self.exchange,
                self.callbacks,
                description,
                local_address,
                multicast=self.multicast,
                tables=self._tables,
            )
            device.aside = aside
            device.on_unreachable = functools.partial(self._nobody_there, device)
            self._devices[device.udn] = device
            what = "device_appeared"
        elif self._serves_better(device, location, again, former):
            device.described_again(description, local_address)
            self.device_restarted(device)
            what = "device_changed"
        elif location != device.location and device.add_tree(description):
            what = "device_grew"  # Q038, Q197: one device under several LOCATIONs, with another tree at each
        else:
            what = ""
        if device.aside:
            device.aside = aside
            what = "" if aside else "device_appeared"
        if sighting is not None and (location in device.sightings or len(device.sightings) < LOCATIONS_PER_DEVICE):
            device.sightings[location] = sighting
            if self.discovery is not None:
                self.discovery.presence.pin(location)
        if what == "device_grew":
            self.device_grew(device)
        elif what:
            self._tell(what, device)

    def device_restarted(self, device: RemoteDevice) -> None:
        """It was described again."""
        device.resubscribe()

    def device_grew(self, device: RemoteDevice) -> None:
        """It shows further services at another LOCATION."""
        self._tell("device_changed", device)

    def _serves_better(self, device: RemoteDevice, location: DeviceURL, again: bool, former: DeviceURL | None) -> bool:
        """The place in use is left when it is lost, or for IPv4, since only IPv4 is mapped."""
        home = device.location
        if home != location and home != former and home in device.sightings:
            return location.host.version < home.host.version
        return again

    def _gone(self, device: RemoteDevice) -> None:
        if self._devices.pop(device.udn, None) is not None:
            for location in device.sightings:
                self._forget(location)
            if not device.aside:
                self._tell("device_gone", device)
            device.stop()

    def _tell(self, what: str, device: RemoteDevice) -> None:
        for observer in tuple(self._observers):
            if not self.running:
                return  # one of them stopped it all
            try:
                getattr(observer, what)(device)
            except Exception:
                _log.failure("a device observer raised")

    def _sleep(self, seconds: float) -> Deferred[None]:
        if not self.running:
            return fail(CancelledError())  # stopped by somebody who was told something by the very task that asks
        call: IDelayedCall
        rest: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.reactor.callLater(seconds, rest.callback, None)
        return rest

    def _background(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[None]:
        """Run it; what goes wrong is logged, and stopping cancels it.

        :return: fires with None when it has ended; cancelling ends it.
        """
        task: Deferred[Any] = Deferred.fromCoroutine(coroutine)
        self._tasks.add(task)

        def done(result: object) -> None:
            self._tasks.discard(task)
            if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
                _log.failure("a background task failed", failure=result)

        return task.addBoth(done)
