"""The seams that have two implementations, as zope interfaces."""

from __future__ import annotations

from zope.interface import Interface


class IExchange(Interface):
    """One bounded HTTP exchange with a device."""

    def request(  # type: ignore[no-untyped-def]
        method, url, headers=(), body=b"", *, body_cap, seconds
    ):
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

    def wan_changed(old, new):  # type: ignore[no-untyped-def]
        """The status changed from ``old`` to ``new`` (frozen :class:`txigd.igd.wan.WANStatus`)."""


class IDeviceObserver(Interface):
    """Hears of devices that come and go."""

    def device_appeared(device):  # type: ignore[no-untyped-def]
        """A device was found and its description read."""

    def device_changed(device):  # type: ignore[no-untyped-def]
        """A known device rebooted, moved or changed its description."""

    def device_gone(device):  # type: ignore[no-untyped-def]
        """A device said goodbye or fell silent, and did not answer a probe."""
