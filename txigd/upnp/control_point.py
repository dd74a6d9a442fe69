"""The phases of the UPnP Device Architecture behind one object: links, discovery, description, control, eventing."""

from __future__ import annotations

import ipaddress
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import AddressingError, BadURL, DescriptionError, ExchangeError, InvalidArgument, TxigdError
from txigd.interfaces import IDeviceObserver
from txigd.limits import (
    BOOT_RETRY_SECONDS,
    DESCRIPTION_FETCHES,
    DESCRIPTION_FETCHES_PER_MINUTE,
    DESCRIPTION_RETRY_CEILING_SECONDS,
    DESCRIPTION_RETRY_SECONDS,
    HTTP_PATIENT_SECONDS,
    HTTP_TOTAL_SECONDS,
    LINK_POLL_SECONDS,
    LINKLESS_POLL_SECONDS,
    NAMED_RETRY_CEILING_SECONDS,
    SIGHTINGS,
)
from txigd.upnp import addressing
from txigd.upnp.addressing import Link, NextHop
from txigd.upnp.description.device import Description
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.presence import Appeared, Change, Doubted, Evicted, Rebooted, Sighting, Updated
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.http import USER_AGENT, Exchange
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import DeviceURL, IPAddress, parse, without_zone

_log = log.logger("txigd.control_point")


def named_device(text: str) -> DeviceURL | IPAddress:
    """The device that a user names: the URL of its description, or just its address.

    :raises InvalidArgument: for anything else.
    """
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        pass
    try:
        return parse(text)
    except BadURL as error:
        raise InvalidArgument(
            f"gateway {text!r}: {error}; write its address (192.168.1.1) or http://ADDRESS:PORT/PATH"
        ) from None


def callback_authority(host: str | None, port: int) -> tuple[IPAddress, int] | None:
    """What devices are to call where the host's own address cannot be reached by them (Q173); None for the usual way.

    :raises InvalidArgument: for anything but an address that may be on the device's own network (C10), or no port.
    """
    if host is None:
        return None
    try:
        address = ipaddress.ip_address(host.strip())
    except ValueError:
        raise InvalidArgument(f"callback host {host!r}: write an address") from None
    far = address.version == 4 and address.is_global
    if far or address.is_unspecified or address.is_multicast:
        raise InvalidArgument(f"callback host {address}: no address on the network of a gateway")
    if not port:
        raise InvalidArgument(f"callback host {address}: name the callback port as well")
    return address, port


class ControlPoint(Service):
    """Finds devices, reads what they are and keeps track of them.

    :param reactor: Twisted's reactor.
    :param links: names of the links to use; all usable ones by default.
    :param named: one device to use, wherever it is: its address or the URL of its description.
    :param targets: what to search for; only devices that announce one of these types are tracked.
    :param callback_port: TCP port that hears events; 0 for any.
    :param callback_host: the address that devices are to call, at ``callback_port``, where this host sits behind a
        forwarding of its own, for instance in a container (Q173).
    :param search_port: local UDP port of searches, for a firewall rule that lets the answers in (Q007); 0 for any.
    :raises InvalidArgument: for an unusable name or callback host.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        links: Sequence[str] = (),
        named: str | None = None,
        targets: Sequence[str],
        callback_port: int = 0,
        callback_host: str | None = None,
        search_port: int = 0,
    ) -> None:
        self.reactor = reactor
        self._link_names = tuple(links)
        self.named = None if named is None else named_device(named)
        self._targets = tuple(targets)
        self._search_port = search_port
        self.exchange = Exchange(reactor)
        advertised = callback_authority(callback_host, callback_port)
        self.callbacks = CallbackServer(reactor, port=callback_port, advertised=advertised)
        self.discovery: Discovery | None = None
        self.links: tuple[Link, ...] = ()
        self.next_hops: tuple[NextHop, ...] = ()
        self._devices: dict[str, RemoteDevice] = {}
        self._observers: list[IDeviceObserver] = []
        self._tasks: set[Deferred[Any]] = set()
        self._describing: set[DeviceURL] = set()
        self._failed: dict[DeviceURL, tuple[float, float]] = {}
        self._fetched_at: list[float] = []
        self._fetches = DeferredSemaphore(DESCRIPTION_FETCHES)
        self._link_poll: IDelayedCall | None = None

    # -- life --------------------------------------------------------------------------------------------------------
    def startService(self) -> None:
        """Open the sockets and search.

        :raises AddressingError: when a named link does not exist.
        """
        if self.running:
            return
        self.links = addressing.links(self._link_names)
        self.next_hops = addressing.next_hops()
        Service.startService(self)
        self.discovery = Discovery(
            self.reactor,
            self._sighted,
            links=self.links,
            next_hops=self.next_hops,
            targets=self._targets,
            user_agent=USER_AGENT,
            search_port=self._search_port,
        )
        self.discovery.start()
        self._poll_links()
        if isinstance(self.named, DeviceURL):
            self._background(self._pursue(self.named))
        elif self.named is not None:
            self._background(self._ask(self.named))

    def stopService(self) -> Deferred[None]:
        """Close everything; the Deferred fires when nothing is left open."""
        if not self.running:
            return gatherResults([]).addCallback(lambda _: None)
        Service.stopService(self)
        if self._link_poll is not None and self._link_poll.active():
            self._link_poll.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        closing: list[Deferred[Any]] = [self.callbacks.stop()]
        if self.discovery is not None:
            closing.append(self.discovery.stop())
        self.exchange.close()
        self._devices.clear()
        return gatherResults(closing, consumeErrors=True).addCallback(lambda _: None)

    # -- for everybody -----------------------------------------------------------------------------------------------
    @property
    def devices(self) -> tuple[RemoteDevice, ...]:
        """The devices that were described, first found first."""
        return tuple(self._devices.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work now, a sentence for each: a port taken, a link that refuses multicast."""
        return () if self.discovery is None else self.discovery.problems

    def observe_devices(self, observer: IDeviceObserver) -> None:
        """Tell an :class:`txigd.interfaces.IDeviceObserver` of devices that come, change and go."""
        self._observers.append(IDeviceObserver(observer))

    def accepts(self, sighting: Sighting) -> bool:
        """Whether the description of what was sighted is to be fetched."""
        host = self.named.host if isinstance(self.named, DeviceURL) else self.named
        return host is None or without_zone(sighting.location.host) == without_zone(host)

    def is_next_hop(self, host: IPAddress) -> bool:
        """Whether a default route of this host leads there."""
        return any(without_zone(hop.address) == without_zone(host) for hop in self.next_hops)

    def suspect(self, device: RemoteDevice) -> None:
        """Somebody found that the device does not answer: search again and look whether it moved."""
        if self.running and self.discovery is not None:
            self.discovery.search()
            self._background(self._describe(device.location, next(iter(device.sightings.values()), None), again=True))

    # -- links -------------------------------------------------------------------------------------------------------
    def _poll_links(self) -> None:
        seconds = LINK_POLL_SECONDS if self.links else LINKLESS_POLL_SECONDS
        self._link_poll = self.reactor.callLater(seconds, self._look_at_links)

    def _look_at_links(self) -> None:
        try:
            self._follow_links()
        finally:
            self._poll_links()

    def _follow_links(self) -> None:
        try:
            links = addressing.links(self._link_names)
        except AddressingError:
            links = ()  # a named link went away; it may come back
        hops = addressing.next_hops()
        if links == self.links and hops == self.next_hops:
            return
        difference = addressing.changes(self.links, links)
        for word, some in (("new", difference.added), ("gone", difference.removed)):
            for link in some:
                _log.info("link {name} is {word}", name=link.name, word=word)
        self.links, self.next_hops = links, hops
        assert self.discovery is not None
        self.discovery.set_links(links, hops)

    # -- presence ----------------------------------------------------------------------------------------------------
    def _sighted(self, change: Change) -> None:
        """Discovery told something; all of it is a hint."""
        sighting = change.sighting
        if isinstance(change, Evicted):
            return
        if not self.accepts(sighting):
            if isinstance(change, Appeared):
                self.declined(sighting)
            return
        if isinstance(change, Doubted):
            self._background(self._verify(sighting, change.why))
        elif isinstance(change, (Appeared, Rebooted, Updated)):
            known = self._device_at(sighting.location)
            if isinstance(change, Rebooted) and known is None:
                known = self._device_at(change.previous.location)
            if isinstance(change, Rebooted):
                self._failed.pop(sighting.location, None)
                _log.info("device at {location} restarted", location=str(sighting.location))
            again = known is not None and not isinstance(change, Appeared)
            self._background(self._describe(sighting.location, sighting, again=again))

    def declined(self, sighting: Sighting) -> None:
        """A device was sighted that is not accepted."""

    def _device_at(self, location: DeviceURL) -> RemoteDevice | None:
        for device in self._devices.values():
            if location == device.location or location in device.sightings:
                return device
        return None

    async def _verify(self, sighting: Sighting, why: str) -> None:
        """A byebye or a silence is believed only when the device does not answer (A5, Q034)."""
        assert self.discovery is not None
        presence = self.discovery.presence
        try:
            description = await fetch_description(self.exchange, sighting.location, seconds=HTTP_TOTAL_SECONDS)
        except (ExchangeError, DescriptionError):
            presence.forget(sighting.location)
            device = self._device_at(sighting.location)
            if device is None:
                return
            device.sightings.pop(sighting.location, None)
            if sighting.location == device.location:
                _log.info("device {name!r} is gone ({why})", name=device.description.root.friendly_name, why=why)
                self._gone(device)
            return
        presence.confirm(sighting.location, self.reactor.seconds())
        device = self._devices.get(description.root.udn)
        if device is None:
            self._take(description, sighting)
        elif why == "byebye" and sighting.location == device.location:
            # IGD:2 says byebye before its first alive: a restart so quick that only this shows
            self._take(description, sighting, again=True)

    # -- description -------------------------------------------------------------------------------------------------
    async def _describe(self, location: DeviceURL, sighting: Sighting | None, *, again: bool) -> None:
        """Fetch a description unless that is under way, failed a moment ago, or too much is fetched already."""
        now = self.reactor.seconds()
        patient = self.named is not None or self.is_next_hop(location.host)
        until, delay = self._failed.get(location, (0.0, DESCRIPTION_RETRY_SECONDS / 2))
        if location in self._describing or (now < until and not again):
            return
        if not patient and not self._may_fetch(now):
            return
        self._describing.add(location)
        try:
            description = await self._fetch(location, patient=patient)
        except (ExchangeError, DescriptionError) as error:
            if len(self._failed) >= SIGHTINGS:
                self._failed.pop(next(iter(self._failed)))
            delay = min(delay * 2, DESCRIPTION_RETRY_CEILING_SECONDS)
            self._failed[location] = (self.reactor.seconds() + delay, delay)
            _log.info("no description at {location}: {error}", location=str(location), error=str(error))
            return
        finally:
            self._describing.discard(location)
        self._failed.pop(location, None)
        self._take(description, sighting, again=again)

    def _may_fetch(self, now: float) -> bool:
        self._fetched_at = [at for at in self._fetched_at if now - at < 60.0]
        if len(self._fetched_at) >= DESCRIPTION_FETCHES_PER_MINUTE:
            return False
        self._fetched_at.append(now)
        return True

    async def _fetch(self, location: DeviceURL, *, patient: bool) -> Description:
        """One try; more for the next hop or a named device: a booting gateway answers late (Q052, Q056)."""
        budget, waited, pause = HTTP_TOTAL_SECONDS, 0.0, 1.0
        while True:
            await self._fetches.acquire()
            try:
                return await fetch_description(self.exchange, location, seconds=budget)
            except (ExchangeError, DescriptionError):
                if not patient or waited >= BOOT_RETRY_SECONDS:
                    raise
            finally:
                self._fetches.release()
            await self._sleep(pause)
            waited, pause, budget = waited + pause, pause * 2, HTTP_PATIENT_SECONDS

    async def _pursue(self, location: DeviceURL) -> None:
        """Keep trying to read the description of the device that the user named by URL."""
        pause = 1.0
        while not self._devices:
            try:
                description = await fetch_description(self.exchange, location, seconds=HTTP_PATIENT_SECONDS)
            except (ExchangeError, DescriptionError) as error:
                self.named_failed(error)
                await self._sleep(pause)
                pause = min(pause * 2, NAMED_RETRY_CEILING_SECONDS)
            else:
                self._take(description, None)

    async def _ask(self, host: IPAddress) -> None:
        """Keep asking the named host by unicast search until it is described."""
        pause = 1.0
        while not self._devices:
            assert self.discovery is not None
            self.discovery.probe(host)
            await self._sleep(pause)
            pause = min(pause * 2, NAMED_RETRY_CEILING_SECONDS)

    def named_failed(self, error: TxigdError) -> None:
        """The device that the user named does not answer as one; it is tried again."""

    def _take(self, description: Description, sighting: Sighting | None, *, again: bool = False) -> None:
        try:
            local_address = addressing.address_towards(description.location.host)
        except AddressingError as error:
            _log.info("no way to {location}: {error}", location=str(description.location), error=str(error))
            return
        device = self._devices.get(description.root.udn)
        if device is None:
            replaced = self._device_at(description.location)
            if replaced is not None:
                self._gone(replaced)  # F20: another device answers at this URL now
            device = RemoteDevice(self.reactor, self.exchange, self.callbacks, description, sighting, local_address)
            if len(self._devices) >= SIGHTINGS:
                return
            self._devices[device.udn] = device
            self._tell("device_appeared", device)
        elif again:
            device.described_again(description, sighting, local_address)
            self._tell("device_changed", device)
        elif sighting is not None:
            device.sightings[sighting.location] = sighting  # Q038: one device under several LOCATIONs
        if sighting is not None and self.discovery is not None:
            self.discovery.presence.pin(sighting.location)

    def _gone(self, device: RemoteDevice) -> None:
        if self._devices.pop(device.udn, None) is not None:
            self._tell("device_gone", device)
            if isinstance(self.named, DeviceURL):
                self._background(self._pursue(self.named))
            elif self.named is not None:
                self._background(self._ask(self.named))

    def _tell(self, what: str, device: RemoteDevice) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, what)(device)
            except Exception:
                _log.failure("a device observer raised")

    # -- background --------------------------------------------------------------------------------------------------
    def _sleep(self, seconds: float) -> Deferred[None]:
        call: IDelayedCall
        rest: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.reactor.callLater(seconds, rest.callback, None)
        return rest

    def _background(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Run it; what goes wrong is logged, and stopping cancels it."""
        task = ensureDeferred(coroutine)
        self._tasks.add(task)

        def done(result: object) -> None:
            self._tasks.discard(task)
            if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
                _log.failure("a background task failed", failure=result)

        task.addBoth(done)
