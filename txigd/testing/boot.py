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

from twisted.internet import defer
from twisted.internet.error import CannotListenError

from txigd.errors import AddressingError
from txigd.testing.announcer import Announced, Announcer
from txigd.testing.door import Door
from txigd.testing.faults import Faults
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Played, Scene
from txigd.testing.state import State
from txigd.testing.tree import Tree
from txigd.testing.web import Seen, Web
from txigd.upnp import addressing
from txigd.upnp.url import without_zone

_MICROSOFT: Final = ("microsoft", "fdssdp")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a gateway meets its network; the fields are those of :class:`txigd.testing.gateway.SimulatedGateway`.

    ``ssdp_port`` 0 means no SSDP; ``old_tree`` gives the version 1 tree for clients that take no other; ``other_port``
    is that of a second listening port, None for no such.
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
    played: Played
    other_port: int | None = None


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
        self._clock = clock
        self._random = random
        self.publisher = Publisher(
            reactor,
            clock,
            faults,
            address=self.address,
            granted_seconds=setup.granted_seconds,
            played=setup.played,
        )
        self._web = Web(
            clock,
            state,
            self.publisher,
            faults,
            requests,
            changed=changed,
            authority=(lambda: (self._authority(self.port), self._authority(self.other_port)))
            if setup.check_host
            else None,
            description=self._description,
            played=setup.played,
        )
        self._door = Door(reactor, self._web)
        self._other_door = None if setup.other_port is None else Door(reactor, self._web)
        self.other_port = setup.other_port or 0
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
                played=setup.played,
            )

    @property
    def origin(self) -> str:
        """``http://ADDRESS:PORT``; an IPv6 address is in brackets and has no zone."""
        return f"http://{self._authority(self.port)}"

    @property
    def other_origin(self) -> str:
        """The same with the second port; empty without one."""
        return f"http://{self._authority(self.other_port)}" if self._other_door is not None else ""

    def _authority(self, port: int) -> str:
        host = without_zone(self._ip)
        return f"{host}:{port}" if host.version == 4 else f"[{host}]:{port}"

    @property
    def location(self) -> str:
        """The URL of the description."""
        return self.origin + self._state.tree.description_path

    def open(self) -> None:
        """Listen, then announce. :raises CannotListenError: if the port of the web server is taken."""
        self._door.open(self.address, self.port)
        self.port = self._door.port
        if self._other_door is not None:
            try:
                self._other_door.open(self.address, self.other_port)
            except CannotListenError:
                defer.ensureDeferred(self._door.close())
                raise
            self.other_port = self._other_door.port
        played = self._setup.played
        played.scene = Scene(
            origin=self.origin,
            other_origin=self.other_origin,
            location=self.location,
            udn=self._state.tree.root.udn,
            external_ip=self._state.line.address,
            boot_id=self.boot_id,
            max_age=self._setup.max_age,
            now=self._clock.seconds,
            random=self._random,
            first_path=self._state.tree.description_path,
        )
        played.setup(self._state)
        if self.announcer is not None:
            self.announcer.open()
            self.announcer.start()

    async def close(self, *, silent: bool) -> None:
        """Say byebye unless ``silent``; close everything. Ends when the last socket is gone."""
        if self.announcer is not None:
            await self.announcer.stop(silent=silent)
        self._web.stop()
        await self._door.close()
        if self._other_door is not None:
            await self._other_door.close()
        await self.publisher.forget()

    def _description(self, user_agent: str, path: str) -> bytes:
        tree = self._state.tree
        if tree.version > 1 and any(word in user_agent.lower() for word in _MICROSOFT):
            tree = self._setup.old_tree(tree.prefix)  # Microsoft's clients do not take version 2
        document = tree.description(
            self.origin, urls=self._setup.urls, url_base=self._setup.url_base, other_origin=self.other_origin
        )
        return self._setup.played.description(document, path)


def _address_of(link_name: str) -> str:
    for link in addressing.links([link_name]):
        if link.ipv4 is not None:
            return str(link.ipv4)
    raise AddressingError(f"{link_name} has no IPv4 address")
