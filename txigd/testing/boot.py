"""One uptime of a simulated gateway, from its first listening socket to its last: what a reboot replaces. Thin.

Knows the sockets and the servers on them; what the gateway is and remembers comes from outside.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.error import CannotListenError

from txigd.errors import AddressingError
from txigd.testing.announcer import Announced, Announcer
from txigd.testing.door import Door
from txigd.testing.event_group import EventGroup
from txigd.testing.faults import Faults
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Played, Scene
from txigd.testing.seen import Seen
from txigd.testing.state import State
from txigd.testing.tree import Tree
from txigd.testing.web import Web
from txigd.upnp import addressing
from txigd.upnp.url import IPAddress, without_zone

_MICROSOFT: Final = ("microsoft", "fdssdp")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a gateway meets its network; the fields are those of :class:`txigd.testing.gateway.SimulatedGateway`.

    ``address6`` is empty where it lives at one address; ``ssdp_port`` 0 means no SSDP; ``old_tree`` gives the version 1
    tree for clients that take no other; ``other_port`` is that of a second listening port, None for no such.
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
    address6: str = ""


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
        texts = (self.address, setup.address6) if setup.address6 else (self.address,)
        self._ips: tuple[IPAddress, ...] = tuple(map(ipaddress.ip_address, texts))
        self._setup = setup
        self._state = state
        self._clock = clock
        self._random = random
        tells = "multicast events" in setup.played.traits
        link_index = socket.if_nametoindex(setup.link) if setup.link and (setup.ssdp_port or tells) else 0
        self._event_groups = [
            EventGroup(lambda: state.tree, boot_id, address=ip, link_index=link_index)
            for ip in (self._ips if tells else ())
        ]
        self.publisher = Publisher(
            reactor,
            clock,
            faults,
            addresses=self._ips,
            granted_seconds=setup.granted_seconds,
            played=setup.played,
            multicast=self._multicast,
        )
        self._web = Web(
            clock,
            state,
            self.publisher,
            faults,
            requests,
            changed=changed,
            authority=self._authorities if setup.check_host else None,
            description=self._description,
            played=setup.played,
        )
        self._doors = {ip: Door(reactor, self._web) for ip in self._ips}
        self._other_door = None if setup.other_port is None else Door(reactor, self._web)
        self.other_port = setup.other_port or 0
        self.announcers = tuple(
            Announcer(
                reactor,
                clock,
                lambda: state.tree,
                partial(self._announced, ip),
                address=ip,
                link=setup.link,
                link_index=link_index,
                port=setup.ssdp_port,
                notify_seconds=setup.notify_seconds,
                answer_seconds=setup.answer_seconds,
                random=random,
                played=setup.played,
            )
            for ip in (self._ips if setup.ssdp_port else ())
        )

    @property
    def origin(self) -> str:
        """``http://ADDRESS:PORT``; an IPv6 address is in brackets and has no zone."""
        return f"http://{_authority(self._ips[0], self.port)}"

    @property
    def other_origin(self) -> str:
        """The same with the second port; empty without one."""
        return f"http://{_authority(self._ips[0], self.other_port)}" if self._other_door is not None else ""

    def _authorities(self) -> tuple[str, ...]:
        return (*(_authority(ip, self.port) for ip in self._ips), _authority(self._ips[0], self.other_port))

    @property
    def locations(self) -> tuple[str, ...]:
        """The URLs of the description, one for each address."""
        path = self._state.tree.description_path
        return tuple(f"http://{_authority(ip, self.port)}{path}" for ip in self._ips)

    @property
    def location(self) -> str:
        """The URL of the description, by the first address."""
        return self.locations[0]

    @property
    def problems(self) -> list[str]:
        """What could not be opened."""
        found = [announcer.problems for announcer in self.announcers]
        found += [group.problems for group in self._event_groups]
        return [problem for problems in found for problem in problems]

    def _announced(self, ip: IPAddress) -> Announced:
        location = self.locations[self._ips.index(ip)]
        return Announced(location, self._setup.max_age, self.boot_id, self._state.tree.config_id)

    def _multicast(self, service: str, values: Mapping[str, str]) -> None:
        for group in self._event_groups:
            group.send(service, values)

    def _listen(self) -> None:
        doors = list(self._doors.values())
        try:
            for ip, door in self._doors.items():
                door.open(str(ip), self.port)
                self.port = door.port
            if self._other_door is not None:
                self._other_door.open(self.address, self.other_port)
                self.other_port = self._other_door.port
        except CannotListenError:
            for door in doors:
                defer.ensureDeferred(door.close())
            raise

    def open(self) -> None:
        """Listen, then announce. :raises CannotListenError: if the port of the web server is taken."""
        self._listen()
        for group in self._event_groups:
            group.open()
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
        for announcer in self.announcers:
            announcer.open()
            announcer.start()

    async def close(self, *, silent: bool) -> None:
        """Say byebye unless ``silent``; close everything. Ends when the last socket is gone."""
        for announcer in self.announcers:
            await announcer.stop(silent=silent)
        self._web.stop()
        for door in (*self._doors.values(), self._other_door):
            if door is not None:
                await door.close()
        await self.publisher.forget()
        for group in self._event_groups:
            group.close()

    def _description(self, user_agent: str, host: str, path: str) -> bytes:
        """The description; where it writes whole URLs, they are on the address that was asked."""
        tree = self._state.tree
        if tree.version > 1 and any(word in user_agent.lower() for word in _MICROSOFT):
            tree = self._setup.old_tree(tree.prefix)  # Microsoft's clients do not take version 2
        origins = {authority: f"http://{authority}" for authority in (_authority(ip, self.port) for ip in self._ips)}
        origin = origins.get(host.strip().lower(), self.origin)
        document = tree.description(
            origin, urls=self._setup.urls, url_base=self._setup.url_base, other_origin=self.other_origin
        )
        return self._setup.played.description(document, path)


def _authority(ip: IPAddress, port: int) -> str:
    host = without_zone(ip)
    return f"{host}:{port}" if host.version == 4 else f"[{host}]:{port}"


def _address_of(link_name: str) -> str:
    for link in addressing.links([link_name]):
        if link.ipv4 is not None:
            return str(link.ipv4)
    raise AddressingError(f"{link_name} has no IPv4 address")
