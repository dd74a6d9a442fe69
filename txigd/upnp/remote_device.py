"""One device as the control point knows it: where it is, what it describes, how its actions are called."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txigd.interfaces import IExchange
from txigd.upnp.control.action import Caller, ServiceProxy
from txigd.upnp.description.device import Description, Service
from txigd.upnp.description.service import ServiceDescription
from txigd.upnp.discovery.presence import Sighting
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.url import DeviceURL, IPAddress


class RemoteDevice:
    """A root device that answered with its description.

    :ivar description: the latest one, see :class:`txigd.upnp.description.device.Description`.
    :ivar sightings: where it was announced; empty for a device that was named by the user.
    :ivar local_address: our own address towards it.
    :ivar boots: how often it was described again.
    """

    def __init__(
        self,
        clock: IReactorTime,
        exchange: IExchange,
        callbacks: CallbackServer,
        description: Description,
        local_address: IPAddress,
    ) -> None:
        self._clock = clock
        self._exchange = exchange
        self._callbacks = callbacks
        self._caller = Caller(exchange, clock=clock)
        self.description = description
        self.sightings: dict[DeviceURL, Sighting] = {}
        self.local_address = local_address
        self.boots = 0

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

    def proxy(self, service: Service, table: ServiceDescription | None) -> ServiceProxy:
        """Calls the actions of ``service`` as ``table`` describes them; one call at a time for the whole device."""
        return ServiceProxy(service, table, self._caller)

    def subscriber(
        self,
        service: Service,
        on_values: Callable[[dict[str, str], bool], object],
        on_state: Callable[[str], object],
        on_read: Callable[[str], object],
    ) -> Subscriber:
        """An event subscription to ``service``, not started yet."""
        own = self.local_address
        return Subscriber(
            self._clock,
            self._exchange,
            self._callbacks,
            service,
            on_values,
            on_state,
            on_read=on_read,
            address_towards=lambda host: own,
        )

    def described_again(self, description: Description, local_address: IPAddress) -> None:
        """Take a new description: URLs, and the queue of calls, are new."""
        self.description = description
        self.local_address = local_address
        self._caller = Caller(self._exchange, clock=self._clock)
        self.boots += 1
