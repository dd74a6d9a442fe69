"""The seams that have two implementations, as zope interfaces."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface


class IExchange(Interface):
    """One bounded HTTP exchange with a device."""

    def request(
        method: str, url: Any, headers: Any = (), body: bytes = b"", *, body_cap: int, seconds: float
    ) -> Deferred[Any]:
        """Send one request on a connection of its own and read the whole reply.

        :param method: upper-case method, sent as given.
        :param url: a :class:`txigd.upnp.url.DeviceURL`.
        :param headers: pairs of ``str``, sent in this order and spelling after HOST.
        :param body: octets; Content-Length is added when there are any, or the method is POST or M-POST.
        :param body_cap: octets of body at most.
        :param seconds: budget from connect to the last octet.
        :return: Deferred of :class:`txigd.upnp.http_reply.Reply`; errback with an
            :class:`txigd.errors.ExchangeError`. Cancelling closes the connection.
        """


class IWANObserver(Interface):
    """Hears of changes of one gateway's WAN connection."""

    def wan_changed(old: Any, new: Any) -> None:
        """The status changed from ``old`` to ``new`` (frozen :class:`txigd.igd.wan.WANStatus`)."""


class IMappingObserver(Interface):
    """Hears of changes of held mappings, or of held pinholes."""

    def mapping_changed(held: Any, old: Any, new: Any) -> None:
        """``held`` went from ``old`` to ``new``, both frozen :class:`txigd.igd.lease_facts.MappingStatus`.

        Of a pinhole, both are :class:`txigd.igd.pinhole.PinholeStatus`.
        """


class IGatewayObserver(Interface):
    """Hears of the gateway in use."""

    def gateway_found(gateway: Any) -> None:
        """This gateway is now the one in use; also after it was described again."""

    def gateway_lost(gateway: Any) -> None:
        """This gateway is not the one in use any more.

        It said goodbye or fell silent, and did not answer a probe; or another one takes over, of which
        :meth:`gateway_found` tells next, and then this one may be there still. Not told of the end of the control
        point.
        """


class IDeviceObserver(Interface):
    """Hears of devices that come and go."""

    def device_appeared(device: Any) -> None:
        """A device was found and its description read."""

    def device_changed(device: Any) -> None:
        """A known device rebooted, moved or changed its description."""

    def device_gone(device: Any) -> None:
        """A device said goodbye or fell silent, and did not answer a probe."""
