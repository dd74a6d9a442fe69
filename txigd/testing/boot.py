"""One uptime of a simulated gateway, from its first listening socket to its last: what a reboot replaces. Thin.

Knows the sockets and the servers on them; what the gateway is and remembers comes from outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.error import CannotListenError

from txigd.testing.announcer import Announced, Announcer
from txigd.testing.door import Door
from txigd.testing.event_group import EventGroup
from txigd.testing.faults import Faults
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Scene
from txigd.testing.seen import Seen
from txigd.testing.setup import Setup
from txigd.testing.state import State
from txigd.testing.tree import Tree
from txigd.testing.web import Web
from txigd.testing.whereabouts import Whereabouts
from txigd.upnp.url import IPAddress

_MICROSOFT: Final = ("microsoft", "fdssdp")


class Boot:
    """The running half of the gateway.

    :param boot_id: BOOTID.UPNP.ORG of this uptime.
    :param port: of the web server; 0 for any.
    :param changed: called after requests that may have changed the state.

    :ivar where: its places; the ports are true once it is open.
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
        self.where = Whereabouts(setup.addresses(), port, setup.second_port)
        self._reactor = reactor
        self._clock = clock
        self._setup = setup
        self._state = state
        self._faults = faults
        self._random = random
        self.publisher = self._publisher()
        self._web = self._server(requests, changed)
        self._doors = {ip: Door(reactor, self._web) for ip in self.where.addresses}
        self._other_door = None if self.where.other_port is None else Door(reactor, self._web)
        index = setup.link_index()
        self._event_groups = [self._event_group(ip, index) for ip in self.where.addresses if setup.tells]
        self.announcers = tuple(self._announcer(ip, index) for ip in self.where.addresses if setup.ssdp_port)

    # -- its parts -------------------------------------------------------------------------------------------------

    def _publisher(self) -> Publisher:
        return Publisher(
            self._reactor,
            self._clock,
            self._faults,
            addresses=self.where.addresses,
            granted_seconds=self._setup.granted_seconds,
            played=self._setup.played,
            multicast=self._multicast,
        )

    def _server(self, requests: deque[Seen], changed: Callable[[], None]) -> Web:
        return Web(
            self._clock,
            self._state,
            self.publisher,
            self._faults,
            requests,
            changed=changed,
            authority=(lambda: self.where.authorities) if self._setup.check_host else None,
            description=self._description,
            played=self._setup.played,
        )

    def _event_group(self, ip: IPAddress, link_index: int) -> EventGroup:
        return EventGroup(self._tree, self.boot_id, address=ip, link_index=link_index)

    def _announcer(self, ip: IPAddress, link_index: int) -> Announcer:
        setup = self._setup
        return Announcer(
            self._reactor,
            self._clock,
            self._tree,
            lambda: self._announced(ip),
            address=ip,
            link=setup.link,
            link_index=link_index,
            port=setup.ssdp_port,
            notify_seconds=setup.notify_seconds,
            answer_seconds=setup.answer_seconds,
            random=self._random,
            played=setup.played,
        )

    # -- what it says of itself ------------------------------------------------------------------------------------

    @property
    def locations(self) -> tuple[str, ...]:
        """The URLs of the description, one for each address."""
        return self.where.locations(self._state.tree.description_path)

    @property
    def problems(self) -> list[str]:
        """What could not be opened."""
        found = [announcer.problems for announcer in self.announcers]
        found += [group.problems for group in self._event_groups]
        return [problem for problems in found for problem in problems]

    def _tree(self) -> Tree:
        return self._state.tree

    def _announced(self, ip: IPAddress) -> Announced:
        location = self.locations[self.where.addresses.index(ip)]
        return Announced(location, self._setup.max_age, self.boot_id, self._state.tree.config_id)

    def _multicast(self, service: str, values: Mapping[str, str]) -> None:
        for group in self._event_groups:
            group.send(service, values)

    def _description(self, user_agent: str, host: str, path: str) -> bytes:
        """The description; where it writes whole URLs, they are on the address that was asked."""
        setup, tree = self._setup, self._state.tree
        if tree.version > 1 and any(word in user_agent.lower() for word in _MICROSOFT):
            tree = setup.shape.tree(version=1, prefix=tree.prefix)  # Microsoft's clients do not take version 2
        document = tree.description(
            self.where.origin_of(host),
            urls=setup.urls,
            url_base=setup.url_base,
            other_origin=self.where.other_origin,
        )
        return setup.played.description(document, path)

    # -- life ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Listen, then announce. :raises CannotListenError: if the port of the web server is taken."""
        self._listen()
        for group in self._event_groups:
            group.open()
        played = self._setup.played
        played.scene = self._scene()
        played.setup(self._state)
        for announcer in self.announcers:
            announcer.open()
            announcer.start()

    def _listen(self) -> None:
        where = self.where
        doors = list(self._doors.values())
        try:
            for ip, door in self._doors.items():
                door.open(str(ip), where.port)
                where.port = door.port
            if self._other_door is not None:
                self._other_door.open(str(where.addresses[0]), where.other_port or 0)
                where.other_port = self._other_door.port
        except CannotListenError:
            for door in doors:
                defer.ensureDeferred(door.close())
            raise

    def _scene(self) -> Scene:
        return Scene(
            origin=self.where.origin,
            other_origin=self.where.other_origin,
            location=self.locations[0],
            udn=self._state.tree.root.udn,
            external_ip=self._state.line.address,
            boot_id=self.boot_id,
            max_age=self._setup.max_age,
            now=self._clock.seconds,
            random=self._random,
            first_path=self._state.tree.description_path,
        )

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
