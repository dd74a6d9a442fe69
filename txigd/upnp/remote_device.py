"""One device as the control point knows it: where it is, what it describes, how its services are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from txigd.errors import ConnectFailed, InvalidArgument, NoService
from txigd.interfaces import IExchange
from txigd.limits import HTTP_TOTAL_SECONDS, LOCATIONS_PER_DEVICE
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.device import Description, Service, labels
from txigd.upnp.description.service import ServiceDescription
from txigd.upnp.discovery.sighting import Sighting
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.multicast_listener import MulticastListener, OnEvent
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.url import DeviceURL, IPAddress

Tables = Callable[[str, "ServiceDescription | None"], "ServiceDescription | None"]


def own_table(service_type: str, own: ServiceDescription | None) -> ServiceDescription | None:
    """What is known of a service where no standard is: what the device says of it."""
    return own


class RemoteDevice:
    """A root device that answered with its description.

    :param multicast: hears multicast events; without it there are none.
    :param tables: what is known of a service by its type and, where it could be read, its own description.
    :ivar description: the latest one, see :class:`txigd.upnp.description.device.Description`.
    :ivar sightings: where it was announced; empty for a device that was named by the user.
    :ivar local_address: our own address towards it.
    :ivar boots: how often it was described again.
    :ivar caller: one call at a time goes to the device.
    :ivar aside: asked for by its URL only, so that nobody was told of it.
    :ivar on_unreachable: called when one of our calls or subscriptions could not connect to it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        exchange: IExchange,
        callbacks: CallbackServer,
        description: Description,
        local_address: IPAddress,
        *,
        multicast: MulticastListener | None = None,
        tables: Tables = own_table,
    ) -> None:
        self.clock = clock
        self.on_unreachable: Callable[[], object] = _nothing
        self.exchange: IExchange = _Noticed(exchange, lambda: self.on_unreachable())
        self._callbacks = callbacks
        self._multicast = multicast
        self.tables = tables
        self.caller = Caller(self.exchange, clock=clock)
        self.description = description
        self._trees: dict[DeviceURL, Description] = {}
        self.sightings: dict[DeviceURL, Sighting] = {}
        self.local_address = local_address
        self.boots = 0
        self.aside = False
        self._services: tuple[RemoteService, ...] = ()
        self._follow(again=False)

    @property
    def udn(self) -> str:
        """Unique Device Name of the root device, opaque (Q027)."""
        return self.description.root.udn

    @property
    def location(self) -> DeviceURL:
        """The URL of the description in use."""
        return self.description.location

    @property
    def host(self) -> IPAddress:
        """The device's address, with its zone if link-local IPv6."""
        return self.description.location.host

    @property
    def link(self) -> str:
        """Name of the link that it was seen on; empty for a named device."""
        return next((sighting.link for sighting in self.sightings.values()), "")

    # -- services ------------------------------------------------------------------------------------------------------
    @property
    def descriptions(self) -> tuple[Description, ...]:
        """The description in use, and the other trees that it shows at other places (Q038, Q197)."""
        return (self.description, *self._trees.values())

    @property
    def services(self) -> tuple[RemoteService, ...]:
        """All services of all its trees; one that several trees have, as the description in use has it."""
        return self._services

    @property
    def labels(self) -> dict[Service, str]:
        """How each service is called so that no two are called alike, see
        :func:`txigd.upnp.description.device.labels`.
        """
        return labels(remote.service for remote in self._services)

    def service(self, name: str) -> RemoteService:
        """A service by its type, its id, or just its name, with or without the version: ``SwitchPower``.

        The first of several, see :meth:`services_named`. Their ids tell them apart, or else (Q074) their places in the
        tree, ``1.0.1``, which are names as well. A higher version than asked for serves as well, since it has all of
        the lower one (UDA 1.0 section 2.1).

        :raises NoService: where there is none; the text names those that there are.
        """
        return self.services_named(name)[0]

    def services_named(self, name: str) -> tuple[RemoteService, ...]:
        """All services that a name fits equally well, in the order of the description; never none.

        :param name: as for :meth:`service`.
        :raises NoService: as :meth:`service` does.
        """
        wanted = name.strip().lower()
        for fits in (_has_name, _has_newer_type):
            found = tuple(one for one in self._services if fits(one.service, wanted))
            if found:
                return found
        there = ", ".join(dict.fromkeys(service.name for service in self._services)) or "none"
        raise NoService(f"{self.description.root.friendly_name or self.host} has no service {name!r}; it has {there}")

    def _described(self) -> Iterator[Service]:
        """The same service at another address, or in another tree, counts once."""
        seen: set[tuple[str, str, str]] = set()
        for description in self.descriptions:
            of_tree = tuple(description.root.all_services())
            yield from (service for service in of_tree if _identity(service) not in seen)
            seen.update(map(_identity, of_tree))

    def _follow(self, *, again: bool) -> None:
        """Each service keeps its object wherever it went; what is not there any more ends.

        :param again: the device began anew, so what is known of those that stay is void.
        """
        left = list(self._services)
        described = tuple(self._described())
        kept: dict[Service, RemoteService] = {}
        for likeness in (_place, _identity, _loose_identity):
            for service in described:
                alike = (one for one in left if likeness(one.service) == likeness(service))
                former = None if service in kept else next(alike, None)
                if former is not None:
                    left.remove(former)
                    kept[service] = former
        self._services = tuple(kept.get(service) or RemoteService(self, service) for service in described)
        for gone in left:
            gone.stop()
        for service, remote in kept.items():
            if again or remote.service != service:
                remote.described_again(service)

    # -- what services need --------------------------------------------------------------------------------------------
    def proxy(self, service: Service, table: ServiceDescription | None) -> ServiceProxy:
        """Calls the actions of ``service`` as ``table`` describes them; one call at a time for the whole device."""
        return ServiceProxy(service, table, self.caller)

    def subscriber(
        self,
        service: Service,
        on_values: Callable[[dict[str, str], bool], object],
        on_state: Callable[[str], object],
        on_read: Callable[[str], object],
        *,
        variables: Iterable[str] = (),
        seconds: float = HTTP_TOTAL_SECONDS,
    ) -> Subscriber:
        """An event subscription to ``service``, not started yet; each request may take so many seconds."""
        return Subscriber(
            self.clock,
            self.exchange,
            self._callbacks,
            service,
            on_values,
            on_state,
            on_read=on_read,
            variables=variables,
            seconds=seconds,
            address_towards=lambda host: self.local_address,
        )

    def hear_multicast(self, service: Service, callback: OnEvent) -> Callable[[], None]:
        """Hear the multicast events of a service until the returned function is called."""
        if self._multicast is None:
            return _nothing
        try:
            return self._multicast.observe(service.udn or self.udn, service.service_id, callback, host=self.host)
        except InvalidArgument:
            return _nothing

    # -- for the control point -----------------------------------------------------------------------------------------
    def described_again(self, description: Description, local_address: IPAddress) -> None:
        """Take a new description: URLs, and the queue of calls, are new. Events are, after :meth:`resubscribe`.

        Calls to where it was before would only hold others up until nobody answers there (F03, F21).
        """
        former, self.description = self.description, description
        self._trees.pop(description.location, None)
        if former.location != description.location and former.location in self.sightings:
            self._keep(former)
        self.local_address = local_address
        caller, self.caller = self.caller, Caller(self.exchange, clock=self.clock)
        self.boots += 1
        self._follow(again=True)
        if former.location != description.location:  # last: whoever hears of it may ask again at once
            caller.close(f"the device has moved from {former.location} to {description.location}")

    def resubscribe(self) -> None:
        """It began anew, and works: subscribe afresh what is observed."""
        for service in self._services:
            service.resubscribe()

    def add_tree(self, description: Description) -> bool:
        """Take what it describes at another place as well; True where it has services that were not known (Q197)."""
        before = len(self._services)
        self._keep(description)
        self._follow(again=False)
        return len(self._services) > before

    def _keep(self, description: Description) -> None:
        if len(self._trees) < LOCATIONS_PER_DEVICE or description.location in self._trees:
            self._trees[description.location] = description

    def drop_tree(self, location: DeviceURL) -> None:
        """Nothing answers there any more."""
        if self._trees.pop(location, None) is not None:
            self._follow(again=False)

    def moved(self, local_address: IPAddress) -> None:
        """Our own address towards it is another one."""
        self.local_address = local_address
        for service in self._services:
            service.rebind()

    def woke(self) -> None:
        """This host slept: subscribe afresh (F18, Q183)."""
        for service in self._services:
            service.reboot()

    def stop(self) -> Deferred[None]:
        """It is gone, or we go: end all subscriptions within two seconds."""
        return gatherResults([service.stop() for service in self._services], consumeErrors=True).addBoth(lambda _: None)


@implementer(IExchange)
class _Noticed:
    """An exchange that tells when nobody could be connected to."""

    def __init__(self, exchange: IExchange, on_unreachable: Callable[[], object]) -> None:
        self._exchange = exchange
        self._on_unreachable = on_unreachable

    def request(self, *words: Any, **more: Any) -> Deferred[Any]:
        asked: Deferred[Any] = self._exchange.request(*words, **more)
        return asked.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(ConnectFailed):
            self._on_unreachable()
        return failure


def _identity(service: Service) -> tuple[str, str, str]:
    return service.udn.lower(), service.service_type, service.service_id


def _loose_identity(service: Service) -> tuple[str, str, str]:
    """After an update of its firmware, the version may differ."""
    return service.udn.lower(), service.name, service.service_id


def _place(service: Service) -> tuple[object, ...]:
    """What tells apart even services that have one id (Q074)."""
    return service.udn.lower(), service.path, service.service_type, service.service_id


def _has_name(service: Service, wanted: str) -> bool:
    names = (
        service.service_type,
        service.service_id,
        service.name,
        f"{service.name}:{service.version}",
        service.place,
    )
    return wanted in map(str.lower, names)


def _has_newer_type(service: Service, wanted: str) -> bool:
    """``urn:...:WANIPConnection:1`` where there is version 2; the short form and the last part of an id as well."""
    head, _, version = wanted.rpartition(":")
    if version.isdecimal() and service.version >= int(version):
        return head in (service.service_type.rpartition(":")[0].lower(), service.name.lower())
    return wanted == service.service_id.rpartition(":")[2].lower()


def _nothing() -> None:
    """There is nothing to end."""
