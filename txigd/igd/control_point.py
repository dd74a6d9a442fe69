"""The control point for Internet gateways: finds them, chooses the one in use, holds mappings on it."""

from __future__ import annotations

import functools
import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from zope.interface import implementer

from txigd import log
from txigd.errors import (
    BadReply,
    DescriptionError,
    ExchangeError,
    HTTPStatusError,
    NoConnection,
    NoGateway,
    NotAGateway,
    Stopped,
    TxigdError,
)
from txigd.igd.books import Books
from txigd.igd.firewall import Firewall
from txigd.igd.gateway import Gateway, offers_connection
from txigd.igd.journal import Journal
from txigd.igd.mappings import Mappings
from txigd.igd.tables import known_table
from txigd.igd.waiters import Waiters
from txigd.interfaces import IDeviceObserver, IGatewayObserver
from txigd.limits import FAREWELL_SECONDS, NAMED_RETRY_CEILING_SECONDS, POLL_SECONDS, SIGHTINGS
from txigd.upnp import control_point
from txigd.upnp.discovery.message import normal_udn
from txigd.upnp.discovery.presence import Sighting
from txigd.upnp.discovery.targets import IGD_TARGETS
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.url import DeviceURL, IPAddress, without_zone

_log = log.logger("txigd.control_point")
_MACHINE_ID = Path("/etc/machine-id")


def host_id(identity: str = "") -> str:
    """Eight hex digits that stay the same on this host: part of the tag of our entries on a gateway.

    :param identity: tells several users of one host apart.
    """
    try:
        seed = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        seed = ""
    return hashlib.sha256(f"txigd {seed or uuid.getnode()} {identity}".rstrip().encode()).hexdigest()[:8]


@implementer(IDeviceObserver)
class ControlPoint(control_point.ControlPoint):
    """Finds Internet gateways and keeps in touch with them.

    ``async with ControlPoint(reactor) as control_point:`` starts and stops it; it is a Twisted service as well. Where
    the reactor ends meanwhile, as after Ctrl-C, what is awaited in the block fails; that leaves the block as
    ``SystemExit``, which ``twisted.internet.task.react`` takes for a good end.

    :param reactor: Twisted's reactor.
    :param links: names of the links (interfaces) to use; all usable ones by default.
    :param gateway: the gateway to use: its address or the URL of its description. By default the one that is this
        host's default route; a gateway elsewhere is used only when it is named, its link is named, or the system tells
        no default route (threat A4).
    :param any_gateway: use, and list, whatever gateway answers.
    :param callback_port: TCP port that hears events; 0 for any.
    :param callback_host: the address that gateways are to call, where this host sits behind a forwarding (Q173).
    :param search_port: local UDP port of searches, for a firewall rule (Q007); 0 for any.
    :param poll_seconds: period of the cross-check of the WAN state.
    :param events: whether to subscribe to the gateway's events; a program that only asks once needs none.
    :param journal: what earlier runs did, saved by its owner: their entries are taken over or removed.
    :param identity: tells several users of one host apart; those that keep a journal need one each.
    :raises InvalidArgument: for a gateway that is neither an address nor a usable URL.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        links: Sequence[str] = (),
        gateway: str | None = None,
        any_gateway: bool = False,
        callback_port: int = 0,
        callback_host: str | None = None,
        search_port: int = 0,
        poll_seconds: float = POLL_SECONDS,
        events: bool = True,
        journal: Journal | None = None,
        identity: str = "",
    ) -> None:
        super().__init__(
            reactor,
            links=links,
            named=gateway,
            targets=IGD_TARGETS,
            callback_port=callback_port,
            callback_host=callback_host,
            search_port=search_port,
            tables=known_table,
        )
        self._any_gateway = any_gateway
        self._poll_seconds = poll_seconds
        self._events = events
        self._host_id = host_id(identity)
        self._books = Books(journal)
        self._gateways: dict[str, Gateway] = {}  # verified, by UDN
        self._known: dict[str, Gateway] = {}  # all there ever were: who comes back finds its observers and mappings
        self._opening: dict[str, Deferred[None]] = {}
        self._current: Gateway | None = None
        self._waiting = Waiters(self.reactor)
        self._gateway_observers: list[IGatewayObserver] = []
        self._declined: set[str] = set()
        self.last_error: TxigdError | None = None
        self.mappings = Mappings(self.reactor, self._host_id, books=self._books)
        self.observe_devices(self)

    # -- for everybody -----------------------------------------------------------------------------------------------
    def gateway(self, timeout: float = 5.0) -> Deferred[Gateway]:
        """The gateway in use, as soon as one is verified: described, and its WAN connection read.

        :param timeout: seconds to wait.

        Errbacks with :class:`txigd.errors.NoGateway` when none answered in time, with
        :class:`txigd.errors.NotAGateway` when the named device is none, with :class:`txigd.errors.Stopped` when the
        control point is stopped.
        """
        if self._current is not None:
            return succeed(self._current)
        if self._ended:
            return fail(Stopped())
        if isinstance(self.last_error, NotAGateway):
            return fail(self.last_error)
        return self._waiting.add(timeout, self._none_in_time)

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        """All verified gateways, the one in use first."""
        return tuple(sorted(self._gateways.values(), key=lambda gateway: gateway is not self._current))

    @property
    def unverified(self) -> tuple[Gateway, ...]:
        """Gateways that were described and whose WAN connection could not be read so far."""
        there = (gateway for gateway in self._known.values() if gateway.udn not in self._gateways)
        return tuple(gateway for gateway in there if gateway.udn in self._devices)

    @property
    def current(self) -> Gateway | None:
        """The gateway in use, if any."""
        return self._current

    def observe(self, observer: IGatewayObserver) -> None:
        """Tell an :class:`txigd.interfaces.IGatewayObserver` of the gateway in use from now on."""
        self._gateway_observers.append(IGatewayObserver(observer))

    def forget(self, observer: IGatewayObserver) -> None:
        """Tell it no more."""
        if observer in self._gateway_observers:
            self._gateway_observers.remove(observer)

    def start(self) -> None:
        """Open the sockets and search.

        :raises AddressingError: when a named link does not exist.
        """
        self.startService()

    def stop(self) -> Deferred[None]:
        """Delete our mappings, cancel subscriptions, close everything; takes a few seconds at most."""
        return self.stopService()

    def farewell(self) -> Deferred[None]:
        """Say goodbye to every gateway, the ones that are gone included."""
        self._waiting.fail(Stopped())
        self.last_error = None
        farewells: list[Deferred[Any]] = [self.mappings.stop(FAREWELL_SECONDS)]
        farewells.extend(gateway.close() for gateway in self._known.values())
        there = [gateway for gateway in self._known.values() if gateway.udn in self._devices]
        for gathered in (self._gateways, self._known, self._opening, self._declined):
            gathered.clear()
        self._current = None
        parted = Deferred.fromCoroutine(self._part(farewells, there))
        return parted.addTimeout(FAREWELL_SECONDS, self.reactor).addBoth(lambda _: None)

    async def _part(self, farewells: list[Deferred[Any]], gateways: list[Gateway]) -> None:
        """What a gateway did not answer may still be there: with the time that is left it is looked at again."""
        await gatherResults(farewells, consumeErrors=True)
        await gatherResults([gateway.sweep() for gateway in gateways], consumeErrors=True)

    @property
    def satisfied(self) -> bool:
        """Whether there is a gateway, or the named device is none."""
        return self._current is not None or isinstance(self.last_error, NotAGateway)

    # -- choice ------------------------------------------------------------------------------------------------------
    def accepts(self, sighting: Sighting) -> bool:
        """Only the next hop is used, unless the user named something else (threat A4, F22).

        A default route that went away makes nobody else acceptable: it comes back, or another one does.
        """
        if self.named is not None:
            return super().accepts(sighting)
        if self._any_gateway or not self.routed or self.is_next_hop(sighting.location.host):
            return True
        return sighting.link in self._link_names and sighting.link not in self.routed

    def declined(self, sighting: Sighting) -> None:
        """Said once per host."""
        host = str(without_zone(sighting.location.host))
        if host not in self._declined and len(self._declined) < SIGHTINGS:
            self._declined.add(host)
            if not any(host in map(str, self.hosts_of(gateway)) for gateway in self.gateways):
                _log.info("gateway at {host} is not the default route: not used unless it is named", host=host)

    @property
    def declined_hosts(self) -> tuple[str, ...]:
        """Addresses of gateways that were seen and not used."""
        return tuple(sorted(self._declined))

    def hosts_of(self, gateway: Gateway) -> tuple[IPAddress, ...]:
        """The addresses, without zones, from which a gateway is announced; not all of them need be described (Q038)."""
        return tuple(dict.fromkeys(without_zone(one.host) for one in self._announced_at(gateway.device)))

    def _choose(self) -> None:
        """The next hop first, then whatever came first; the one in use stays while it is as good."""
        in_order = sorted(
            self._gateways.values(),
            key=lambda gateway: (not self.is_next_hop(gateway.address), gateway is not self._current),
        )
        best = in_order[0] if in_order else None
        if best is self._current:
            return
        old, self._current = self._current, best
        if old is not None:
            old.mapping_sets.remove(self.mappings)
            self.mappings.detach("no gateway") if best is None else self.mappings.part("another gateway took over")
            self._tell_gateway("gateway_lost", old)
        if best is None:
            return
        best.mapping_sets.append(self.mappings)
        self.mappings.attach(best.wan.connection)
        self._announce(best)
        self._waiting.fire(best)

    def _announce(self, gateway: Gateway) -> None:
        _log.info(
            "gateway {name!r} at {location}: {status}",
            name=gateway.friendly_name,
            location=gateway.location,
            status=str(gateway.wan.status),
        )
        self._tell_gateway("gateway_found", gateway)

    # -- devices -----------------------------------------------------------------------------------------------------
    def device_appeared(self, device: RemoteDevice) -> None:
        """A device was described: a gateway if it has a WAN connection service."""
        if not offers_connection(device):
            self._refuse(device, f"describes {device.description.root.device_type}, no Internet gateway")
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
        if device.udn not in self._known:
            self.device_appeared(device)

    def device_gone(self, device: RemoteDevice) -> None:
        """Gone for good, or until it comes back."""
        self._stop_opening(device.udn)
        gateway = self._gateways.pop(device.udn, None)
        if gateway is not None:
            _log.info("gateway {name!r} is gone; still looking", name=gateway.friendly_name)
            gateway.lost("the gateway is gone")
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
        for gateway in self._gateways.values():
            gateway.woke()

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
            self._waiting.fail(self.last_error)

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
    def _stop_opening(self, udn: str) -> None:
        former = self._opening.pop(udn, None)
        if former is not None:
            former.cancel()

    def _open(self, gateway: Gateway) -> None:
        """One opening at a time for each gateway: the latest."""
        self._stop_opening(gateway.udn)
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
        if gateway is self._current:
            self._announce(gateway)
        else:
            self._choose()

    def _none_in_time(self, seconds: float) -> TxigdError:
        if isinstance(self.last_error, DescriptionError):
            return NotAGateway(f"{self.named}: {self.last_error}")  # it answers, and is something else
        if isinstance(self.last_error, (HTTPStatusError, BadReply)):
            text = f"the gateway {self.named} answers with no description"
        elif self.named is not None:
            text = f"the gateway {self.named} did not answer in {seconds:g} s"
        elif self.links:
            text = f"no gateway answered on {', '.join(link.name for link in self.links)} in {seconds:g} s"
        else:
            text = f"this host has no network, so no gateway answered in {seconds:g} s"
        if self.last_error is not None:
            text += f": {self.last_error}".rstrip(".")
        elif self.named is None and self._declined:
            text += f" (seen, but not the default route: {', '.join(self.declined_hosts)})"
        none = NoGateway(text)
        none.__cause__ = self.last_error
        return none

    def _tell_gateway(self, what: str, gateway: Gateway) -> None:
        for observer in tuple(self._gateway_observers):
            try:
                getattr(observer, what)(gateway)
            except Exception:
                _log.failure("a gateway observer raised")


async def _finished(deferred: Deferred[None]) -> None:
    await deferred
