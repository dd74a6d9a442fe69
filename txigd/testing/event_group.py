"""Multicast events of a simulated gateway, over a socket of its own (quirk Q184). Thin.

Knows a link, an address and the tree, which names the publisher. Nobody subscribes, nothing is answered.
Sources: UDA 1.1 section 4.3 (multicast eventing).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

from txigd import log
from txigd.limits import EVENT_PORT
from txigd.testing import ssdp_sockets
from txigd.testing.tree import Tree
from txigd.upnp.eventing import gena, multicast_event
from txigd.upnp.eventing.multicast_event import GROUPS, MulticastEvent
from txigd.upnp.url import IPAddress

_log: Final = log.logger("txigd.testing")
COPIES: Final = 2  # datagrams get lost, so a publisher says everything more than once
LEVEL: Final = "upnp:/info"


class EventGroup:
    """Sends events from one address of a gateway.

    :param address: the gateway's, of either family.
    :param link_index: of the interface; 0 for the system's choice.
    :ivar problems: what could not be opened.
    """

    def __init__(self, tree: Callable[[], Tree], boot_id: int, *, address: IPAddress, link_index: int) -> None:
        self.problems: list[str] = []
        self._tree = tree
        self._boot_id = boot_id
        self._address = address
        self._link_index = link_index
        self._socket: socket.socket | None = None
        self._seq: dict[str, int] = {}

    def open(self) -> None:
        """Open the socket; where that fails there is a problem and there are no events."""
        try:
            self._socket = ssdp_sockets.speaking(self._address, link_index=self._link_index, port=0)
        except OSError as error:
            self.problems.append(f"socket for multicast events: {error}")
            _log.warn("no multicast events from {address}: {error}", address=self._address, error=error)

    def close(self) -> None:
        """Send nothing more."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()

    def send(self, service_key: str, values: Mapping[str, str]) -> None:
        """Tell all who listen to the groups of the address's family."""
        if self._socket is None:
            return
        device, service = next(
            (device, service)
            for device in self._tree().root.walk()
            for service in device.services
            if service.key == service_key
        )
        seq = self._seq.get(service_key, 0)
        self._seq[service_key] = gena.following(seq)
        kind = service.template.service_type
        event = MulticastEvent(device.udn, kind, service.service_id, seq, LEVEL, self._boot_id, values)
        for group in GROUPS:
            if group.version == self._address.version:
                host = ssdp_sockets.host_field(group, EVENT_PORT)
                self._say(self._socket, multicast_event.write(event, host=host), group)

    def _say(self, made: socket.socket, datagram: bytes, group: IPAddress) -> None:
        try:
            for _ in range(COPIES):
                made.sendto(datagram, (str(group), EVENT_PORT))
        except OSError as error:  # the link is down, or full: what is lost is lost
            _log.debug("multicast event not sent: {error}", error=error)
