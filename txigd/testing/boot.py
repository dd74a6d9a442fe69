"""One uptime of a simulated gateway, from its first listening socket to its last: what a reboot replaces. Thin.

Knows the sockets and the servers on them; what the gateway is and remembers comes from outside.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from txigd.errors import AddressingError
from txigd.testing.announcer import Announced, Announcer
from txigd.testing.door import Door
from txigd.testing.faults import Faults
from txigd.testing.publisher import Publisher
from txigd.testing.state import State
from txigd.testing.tree import DESCRIPTION_PATH, Tree
from txigd.testing.web import Seen, Web
from txigd.upnp import addressing
from txigd.upnp.url import without_zone

_MICROSOFT: Final = ("microsoft", "fdssdp")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a gateway meets its network; the fields are those of :class:`txigd.testing.gateway.SimulatedGateway`.

    ``ssdp_port`` 0 means no SSDP; ``old_tree`` gives the version 1 tree for clients that take no other.
    """

    address: str
    link: str
    ssdp_port: int
    notify_seconds: float | None
    answer_seconds: float
    max_age: int
    granted_seconds: int | None
    urls: str
    url_base: bool
    check_host: bool
    old_tree: Callable[[str], Tree]


class Boot:
    """The running half of the gateway.

    :param boot_id: BOOTID.UPNP.ORG of this uptime.
    :param port: of the web server; 0 for any. Afterwards the one in use.
    :param changed: called after requests that may have changed the state.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        setup: Setup,
        state: State,
        faults: Faults,
        requests: deque[Seen],
        *,
        boot_id: int,
        port: int,
        changed: Callable[[], None],
        random: Random,
    ) -> None:
        self.boot_id = boot_id
        self.port = port
        self.address = setup.address or _address_of(setup.link)
        self._ip = ipaddress.ip_address(self.address)
        self._setup = setup
        self._state = state
        self.publisher = Publisher(reactor, clock, faults, address=self.address, granted_seconds=setup.granted_seconds)
        self._web = Web(
            clock,
            state,
            self.publisher,
            faults,
            requests,
            changed=changed,
            authority=(lambda: self._authority) if setup.check_host else None,
            description=self._description,
        )
        self._door = Door(reactor, self._web)
        self.announcer: Announcer | None = None
        if setup.ssdp_port:
            self.announcer = Announcer(
                reactor,
                clock,
                lambda: state.tree,
                lambda: Announced(self.location, setup.max_age, self.boot_id, state.tree.config_id),
                address=self._ip,
                link=setup.link,
                link_index=socket.if_nametoindex(setup.link) if setup.link else 0,
                port=setup.ssdp_port,
                notify_seconds=setup.notify_seconds,
                answer_seconds=setup.answer_seconds,
                random=random,
            )

    @property
    def origin(self) -> str:
        """``http://ADDRESS:PORT``; an IPv6 address is in brackets and has no zone."""
        return f"http://{self._authority}"

    @property
    def _authority(self) -> str:
        host = without_zone(self._ip)
        return f"{host}:{self.port}" if host.version == 4 else f"[{host}]:{self.port}"

    @property
    def location(self) -> str:
        """The URL of the description."""
        return f"{self.origin}{self._state.tree.prefix}{DESCRIPTION_PATH}"

    def open(self) -> None:
        """Listen, then announce. :raises CannotListenError: if the port of the web server is taken."""
        self._door.open(self.address, self.port)
        self.port = self._door.port
        if self.announcer is not None:
            self.announcer.open()
            self.announcer.start()

    async def close(self, *, silent: bool) -> None:
        """Say byebye unless ``silent``; close everything. Ends when the last socket is gone."""
        if self.announcer is not None:
            await self.announcer.stop(silent=silent)
        self._web.stop()
        await self._door.close()
        await self.publisher.forget()

    def _description(self, user_agent: str) -> bytes:
        tree = self._state.tree
        if tree.version > 1 and any(word in user_agent.lower() for word in _MICROSOFT):
            tree = self._setup.old_tree(tree.prefix)  # Microsoft's clients do not take version 2
        return tree.description(self.origin, urls=self._setup.urls, url_base=self._setup.url_base)


def _address_of(link_name: str) -> str:
    for link in addressing.links([link_name]):
        if link.ipv4 is not None:
            return str(link.ipv4)
    raise AddressingError(f"{link_name} has no IPv4 address")
