"""The phases of the UPnP Device Architecture behind one object: links, discovery, description, control, eventing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorCore

from txigd import log
from txigd.errors import AddressingError, Stopped, TxigdError
from txigd.limits import LINK_POLL_SECONDS, LINKLESS_POLL_SECONDS, SLEPT_SECONDS
from txigd.steady import SteadyReactor, steady
from txigd.upnp import addressing
from txigd.upnp.addressing import Link
from txigd.upnp.discovery.cache_message import Remembered
from txigd.upnp.discovery.message import Kind, Message, normal_udn
from txigd.upnp.discovery.minissdpd import MiniSSDPd
from txigd.upnp.discovery.multicast import Discovery
from txigd.upnp.discovery.sighting import Sighting
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.http import USER_AGENT, Exchange
from txigd.upnp.naming import callback_authority, host_of, own_port
from txigd.upnp.naming import named_device as named_device
from txigd.upnp.pursuit import Pursuit
from txigd.upnp.remote_device import RemoteDevice, Tables, own_table
from txigd.upnp.url import DeviceURL, IPAddress, without_zone
from txigd.waiting import Waiting

_log = log.logger("txigd.control_point")
_Self = TypeVar("_Self", bound="ControlPoint")
NO_NETWORK = "this host has no network: no link that is up has an address"


class ControlPoint(Pursuit, Service):
    """Finds devices, reads what they are and keeps track of them.

    :param reactor: Twisted's reactor.
    :param links: names of the links to use; all usable ones by default.
    :param named: one device to use, wherever it is: its address or the URL of its description.
    :param targets: what to search for, ``("ssdp:all",)`` for everything; only devices that announce one of these types
        are tracked. Without any, nothing is searched for or listened to: see :meth:`device`.
    :param tables: what is known of services besides their own descriptions, see
        :func:`txigd.igd.tables.known_table`.
    :param callback_port: TCP port that hears events; 0 for any.
    :param callback_host: the address that devices are to call, at ``callback_port``, where this host sits behind a
        forwarding of its own, for instance in a container (Q173).
    :param search_port: local UDP port of searches, for a firewall rule that lets the answers in (Q007); 0 for any.
    :raises InvalidArgument: for an unusable name, port or callback host.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        links: Sequence[str] = (),
        named: str | None = None,
        targets: Sequence[str],
        callback_port: int = 0,
        callback_host: str | None = None,
        search_port: int = 0,
        tables: Tables = own_table,
    ) -> None:
        reactor = steady(reactor)
        super().__init__(reactor, tables, None if named is None else named_device(named))
        self._link_names = tuple(links)
        self._targets = tuple(targets)
        self._search_port = own_port("search_port", search_port)
        self._reactor_end: object = None
        self._reactor_ended = False
        self.exchange = Exchange(reactor)
        self._callback_port = own_port("callback_port", callback_port)
        self._advertised = callback_authority(callback_host, callback_port)
        self.callbacks = self._callback_server()
        self.links: tuple[Link, ...] = ()
        self._looked_at = (0.0, 0.0)
        self._ended = False
        self._stopping = False
        self._stops: Waiting[None] = Waiting()

    def _callback_server(self) -> CallbackServer:
        return CallbackServer(self.reactor, port=self._callback_port, advertised=self._advertised)

    # -- life --------------------------------------------------------------------------------------------------------
    def startService(self) -> None:
        """Open the sockets and search. Without any network it waits for one.

        :raises AddressingError: when a named link does not exist, or a link-local URL was named without its link.
        """
        if self.running:
            return
        if self._stopping:
            raise Stopped("the control point is being stopped")
        if isinstance(self.named, DeviceURL):
            addressing.check_zone(self.named)
        self.links, self.next_hops = addressing.links(self._link_names), addressing.next_hops()
        self.routed = frozenset(hop.link_name for hop in self.next_hops)
        if self._ended:  # another life
            self._ended = False
            self.exchange, self.callbacks = Exchange(self.reactor), self._callback_server()
        Service.startService(self)
        if isinstance(self.reactor, SteadyReactor):
            self.reactor.start()
        if IReactorCore.providedBy(self.reactor):  # a clock alone never ends
            self._reactor_end = self.reactor.addSystemEventTrigger("before", "shutdown", self._reactor_ends)
        if self.multicast is not None:
            self.multicast.set_links(self.links)
            self.multicast.start()
        if self._targets:
            self._discover()
        self._poll_links()
        self._begin_pursuit()

    def _discover(self) -> Discovery:
        self.discovery = discovery = Discovery(
            self.reactor,
            self._sighted,
            links=self.links,
            next_hops=self.next_hops,
            may_ask=self.may_ask,
            targets=self._targets,
            user_agent=USER_AGENT,
            search_port=self._search_port,
        )
        discovery.start()
        self._background(self._recall(discovery))
        return discovery

    async def _recall(self, discovery: Discovery) -> None:
        """What a minissdpd of this host remembers is there before the first answer."""
        remembered = await MiniSSDPd(self.reactor, targets=self._targets).ask(self.links)
        if remembered:
            discovery.recall(remembered)

    def stopService(self) -> Deferred[None]:
        """Look for nothing more, say farewell, close everything; fires when nothing is left open."""
        if not (self.running or self._stopping):
            return succeed(None)
        stopped = self._stops.add()
        if self.running:
            self._stop()
        return stopped

    def _reactor_ends(self) -> Deferred[None]:
        """A program that is interrupted says farewell as well: ``task.react`` leaves its coroutine where it stands."""
        self._reactor_end, self._reactor_ended = None, True
        return self.stopService()

    def _stop(self) -> None:
        Service.stopService(self)
        end, self._reactor_end = self._reactor_end, None
        if end is not None:
            self.reactor.removeSystemEventTrigger(end)
        self._ended = self._stopping = True
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls.clear()
        for task in tuple(self._tasks):
            task.cancel()
        closing = Deferred.fromCoroutine(self._close())
        closing.addErrback(lambda failure: _log.failure("the farewell failed", failure=failure))
        closing.addBoth(self._closed)

    async def _close(self) -> None:
        discovery, self.discovery = self.discovery, None
        closing: list[Deferred[Any]] = [one.stop() for one in (discovery, self.multicast) if one is not None]
        try:
            await self.farewell()
            await gatherResults([device.stop() for device in self.devices])
        finally:
            self._devices.clear()
            self.exchange.close()
            await gatherResults([*closing, self.callbacks.stop()], consumeErrors=True)

    def _closed(self, result: object) -> None:
        self._stopping = False
        if isinstance(self.reactor, SteadyReactor):
            self.reactor.stop()
        self._stops.fire(None)

    def farewell(self) -> Deferred[None]:
        """What has to be said to devices before the exchange is closed; must take seconds only."""
        return succeed(None)

    async def __aenter__(self: _Self) -> _Self:
        self.startService()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stopService()
        if self._reactor_ended and isinstance(error, TxigdError):
            raise SystemExit from error  # the one error that task.react takes for a good end

    # -- for everybody -----------------------------------------------------------------------------------------------
    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work now, a sentence for each: no network, a port taken, a link that refuses multicast."""
        if self.discovery is None:
            return self.callbacks.problems
        none = () if self.links else (NO_NETWORK,)
        return none + self.discovery.problems + self.callbacks.problems

    def may_ask(self, host: IPAddress) -> bool:
        """Whether a default router is searched by unicast as well (Q006): not where another device is named."""
        named = host_of(self.named)
        return named is None or without_zone(named) == without_zone(host)

    def accepts(self, sighting: Sighting) -> bool:
        """Whether the description of what was sighted is to be fetched."""
        host = host_of(self.named)
        if host is None:
            return True
        if without_zone(sighting.location.host) != without_zone(host):
            return False
        if not host.is_loopback or not isinstance(self.named, DeviceURL):
            return True
        # on loopback one address is many devices: simulated ones that run side by side
        known = {normal_udn(part.udn) for device in self.devices for part in device.description.root.walk()}
        return sighting.location == self.named or not known.isdisjoint(sighting.udns)

    # -- links -------------------------------------------------------------------------------------------------------
    def _poll_links(self) -> None:
        seconds = LINK_POLL_SECONDS if self.links else LINKLESS_POLL_SECONDS
        self._looked_at = (self.reactor.seconds() + seconds, _boot_seconds() + seconds)
        self._again("links", seconds, self._look_at_links)

    def _look_at_links(self) -> None:
        late = max(self.reactor.seconds() - self._looked_at[0], _boot_seconds() - self._looked_at[1])
        try:
            self._follow_links()
            if late > SLEPT_SECONDS:
                _log.info("this host slept for {seconds} s: looking at everything again", seconds=round(late))
                if self.discovery is not None:
                    self.discovery.search()
                for device in self.devices:
                    device.woke()
                self.woke()
        finally:
            self._poll_links()

    def _follow_links(self) -> None:
        try:
            links = addressing.links(self._link_names)
        except AddressingError:
            links = ()  # a named link went away; it may come back
        hops = addressing.next_hops()
        if links == self.links and hops == self.next_hops:
            ours = {host for link in links for host in link.hosts}
            for device in self.devices:
                if device.local_address not in ours:  # an address that was ours for a moment, between two looks
                    self._find_own_address(device, frozenset())
            return
        difference = addressing.changes(self.links, links)
        for word, some in (("new", difference.added), ("gone", difference.removed)):
            for link in some:
                _log.info("link {name} is {word}", name=link.name, word=word)
        self.links, self.next_hops = links, hops
        self.routed |= {hop.link_name for hop in hops}
        if self.multicast is not None:
            self.multicast.set_links(links)
        if self.discovery is not None:
            self.discovery.set_links(links, hops)
        for address in difference.addresses_lost:
            self.callbacks.release(address)
        for device in self.devices:
            self._find_own_address(device, difference.addresses_gained)
        self._reconsider()  # what was declined may be the next hop now (F16)
        self.links_changed()

    def _find_own_address(self, device: RemoteDevice, gained: frozenset[IPAddress]) -> None:
        """An address that was away lost its listener, so events have to come to another one (F14, F15)."""
        try:
            own = addressing.address_towards(device.host)
        except AddressingError:
            return  # the link is down; the address may be the same when it is up again
        if own != device.local_address or own in gained:
            _log.info("our address towards {host} is {own} now", host=str(device.host), own=str(own))
            device.moved(own)
            if not device.aside:
                self._tell("device_changed", device)

    def links_changed(self) -> None:
        """Links, addresses or default routes changed; devices were told before of a change of our own address."""

    def woke(self) -> None:
        """Time passed in which nothing could be heard or done (F18)."""

    def follow(self, device: RemoteDevice) -> None:
        """Stay with a device that :meth:`device` gave: hear that it goes, restarts or moves.

        When it is gone it is looked for. From then on observers are told of it, and of no other. Of no effect where
        something is searched for anyway.
        """
        if self.discovery is not None or not self.running:
            return
        self.named, device.aside = device.location, False
        root = device.description.root
        self._targets = (device.udn, root.device_type)
        discovery = self._discover()
        # its answer may be lost, and a goodbye counts only of what was sighted
        link = next((link.name for link in self.links if link.contains(device.host)), "")
        said = Message(Kind.ALIVE, root.device_type, f"{root.udn}::{root.device_type}", normal_udn(root.udn))
        discovery.recall([Remembered(said, device.location, link)])


def _boot_seconds() -> float:
    """A clock that goes on while the host sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
