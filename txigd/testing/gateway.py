"""A simulated Internet gateway over real sockets: the public face of this package. Thin.

It is discovered by SSDP, described, controlled, subscribed to and mapped like a router, and what comes in on a mapped
port is carried to its internal client. Made for tests and demonstrations; not a router: it has no WAN of its own.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.task import deferLater

from txigd.errors import InvalidArgument
from txigd.limits import SIMULATED_REQUESTS
from txigd.testing.boot import Boot, Setup
from txigd.testing.captured import CapturedTree
from txigd.testing.entry import Entry
from txigd.testing.faults import Fault, Faults
from txigd.testing.line import CONNECTED, Line
from txigd.testing.model import Model
from txigd.testing.profiles import PROFILES, profile
from txigd.testing.publisher import Subscription
from txigd.testing.quirks import Played, Quirk
from txigd.testing.relay import Relay
from txigd.testing.rules import Rules
from txigd.testing.seen import Seen
from txigd.testing.state import State
from txigd.testing.table import MappingTable
from txigd.testing.tree import CONNECTIONS, Tree

_BOOT_IDS: Final = 1 << 31
_REFUSED_SUBSCRIBE: Final = 412  # what gateways answer that do not want to be subscribed to (F06)
_REFUSED_ACTION: Final = 401  # Q151


class SimulatedGateway(Service):
    """An Internet gateway in software, with real sockets and without root.

    :param reactor: listens, connects and, unless ``clock`` is given, makes all timers.
    :param version: 1 or 2, of InternetGatewayDevice.
    :param address: where the gateway lives, of either family, a link-local one with its zone; ``""`` takes the first
        IPv4 address of ``link``.
    :param link: the interface on which it is announced.
    :param address6: an IPv6 address where it lives as well, beside an IPv4 ``address``; empty for none.
    :param http_port: of descriptions and control; 0 for any.
    :param external_ip: what it says its WAN address is.
    :param wan_address: where mapped ports are opened, an address of this host. ``"127.0.0.2"`` (Linux) keeps them apart
        from servers on 127.0.0.1, so that internal and external port may be equal.
    :param udn: ``uuid:...``; None for a fresh one.
    :param relay: whether traffic is really carried.
    :param ssdp: whether it is announced and found; without it only :attr:`location` leads to it.
    :param ssdp_port: 1900, or another for tests that nobody else should hear.
    :param notify_seconds: between two announcements; None for random times below half of ``max_age``.
    :param answer_seconds: longest random delay of an answer to a search.
    :param connection: ``"IP"``, ``"PPP"``, ``"both-with-PPP-live"`` or ``"both-with-IP-live"``; the idle one says
        Unconfigured and 0.0.0.0 (Q143, Q149).
    :param permanent_leases_only: 725 for every lease but 0 (Q117).
    :param same_port_only: 724 unless the two ports are equal (Q126).
    :param min_lease: seconds, shorter leases are raised to it.
    :param max_lease: seconds, longer ones are cut to it; None for what the version allows.
    :param rules: all other habits of the mapping table; ``version`` and the four arguments before it are put into it.
    :param refuse: names of actions, ``"SUBSCRIBE"`` or other names of :class:`txigd.testing.faults.Faults` that are
        refused, or a mapping of such names to faults.
    :param silent_events: subscriptions are accepted, the initial event comes, and never another.
    :param silent_drops: a drop of the line is never evented, as by miniupnpd.
    :param granted_seconds: what every subscription is granted; None for what was asked.
    :param hide_private_address: a private ``external_ip`` is reported as unknown and nothing is mapped (miniupnpd).
    :param setup_seconds: how long Connecting and Disconnecting last.
    :param urls: how the description writes URLs: ``"path"``, ``"relative"`` or ``"absolute"``.
    :param url_base: whether the description has a URLBase.
    :param check_host: whether a foreign HOST is answered 404, as by miniupnpd.
    :param extra_services: whether version 2 has its optional services too (IPv6 firewall, DeviceProtection, link).
    :param clock: tells the time and makes the timers instead of the reactor, for example a ``task.Clock``.
    :param random: source of the random delays.
    :param wans: how many WAN devices it has (Q076); the first is the one in use.
    :param announced_version: what SSDP says of the version, 0 for the truth (Q072).
    :param model: what it says of its make, and its paths; a captured description is served octet for octet.
    :param description_path: where the description stands, if not where the model has it.
    :param other_port: a second TCP port, 0 for any; None for no such unless a quirk or a model needs it.
    :param quirks: ids of :data:`txigd.testing.QUIRKS`: habits of real gateways; or such of one's own making. What they
        set goes before other arguments.
    :raises InvalidArgument: for a version, connection or quirk that there is not, for quirks that contradict each
        other, and for an ``address6`` that is none.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        version: int = 2,
        address: str = "127.0.0.1",
        link: str = "lo",
        address6: str = "",
        http_port: int = 0,
        external_ip: str = "11.22.33.44",
        wan_address: str = "127.0.0.1",
        udn: str | None = None,
        friendly_name: str = "Simulated gateway",
        relay: bool = True,
        ssdp: bool = True,
        ssdp_port: int = 1900,
        notify_seconds: float | None = None,
        answer_seconds: float = 0.05,
        max_age: int = 1800,
        connection: str = "IP",
        permanent_leases_only: bool = False,
        same_port_only: bool = False,
        min_lease: int = 1,
        max_lease: int | None = None,
        rules: Rules | None = None,
        refuse: Collection[str] | Mapping[str, Fault] = (),
        silent_events: bool = False,
        silent_drops: bool = False,
        granted_seconds: int | None = None,
        hide_private_address: bool = False,
        setup_seconds: float = 0.0,
        urls: str = "path",
        url_base: bool = False,
        check_host: bool = True,
        extra_services: bool = True,
        clock: Any = None,
        random: Random | None = None,
        wans: int = 1,
        announced_version: int = 0,
        model: Model | None = None,
        description_path: str = "",
        other_port: int | None = None,
        quirks: Collection[str | Quirk] = (),
    ) -> None:
        played = Played(quirks)
        option = played.options.get
        version, connection = option("version", version), option("connection", connection)
        if version not in (1, 2):
            raise InvalidArgument(f"version {version!r}: there is InternetGatewayDevice 1 and 2")
        if connection not in CONNECTIONS:
            raise InvalidArgument(f"connection {connection!r}: use one of {', '.join(CONNECTIONS)}")
        self._played = played
        self.udn = option("udn", udn) or f"uuid:{uuid.uuid4()}"
        self.version = version
        self.friendly_name = friendly_name
        self.silent_events = silent_events
        self.silent_drops = silent_drops
        self._reactor = reactor
        self._clock = clock or reactor
        self._random = random or Random()
        model = model or Model()
        path = option("description_path", description_path)
        self._shape: dict[str, Any] = {
            "connection": connection,
            "extra_services": extra_services,
            "wans": option("wans", wans),
            "announced_version": option("announced_version", announced_version),
            "model": replace(model, description_path=path) if path else model,
        }
        if other_port is None and ("other port" in played.traits or len(model.captured) > 1):
            other_port = 0
        self._setup = Setup(
            address=address,
            link=link,
            address6=_second(address, address6),
            ssdp_port=ssdp_port if ssdp else 0,
            notify_seconds=notify_seconds,
            answer_seconds=answer_seconds,
            max_age=option("max_age", max_age),
            granted_seconds=option("granted_seconds", granted_seconds),
            urls=urls,
            url_base=option("url_base", url_base),
            check_host=check_host,
            old_tree=lambda prefix: self._tree(version=1, prefix=prefix),
            played=played,
            other_port=other_port,
        )
        self._next_port = http_port
        self._next_boot_id = int(self._clock.seconds()) % _BOOT_IDS or 1
        self._boot: Boot | None = None
        self._last: Boot | None = None
        self._lock = defer.DeferredLock()
        self._timer: Any = None
        self._faults = Faults()
        for name, fault in _refusals(refuse).items():
            self._faults.set(name, fault)
        for name, (fault, times) in played.faults.items():
            self._faults.set(name, fault, times)
        given = {
            "permanent_leases_only": permanent_leases_only,
            "same_port_only": same_port_only,
            "min_lease": min_lease,
            "max_lease": max_lease,
            **played.rules,
        }
        self._state = State(
            self._fresh_tree(),
            Line(option("external_ip", external_ip), setup_seconds=setup_seconds),
            replace(rules or Rules(), **{**given, "version": version}),
            hide_private_address=hide_private_address,
            word=played.word,
        )
        if model.document:
            self.udn, self.friendly_name = self._state.tree.root.udn, self._state.tree.root.friendly_name
        self._relay = Relay(reactor, wan_address, self._state.traffic) if relay else None
        self._requests: deque[Seen] = deque(maxlen=SIMULATED_REQUESTS)

    @classmethod
    def profile(cls, reactor: Any, name: str, **options: Any) -> SimulatedGateway:
        """A gateway after a model, see :meth:`profiles`.

        :param options: further arguments of this class; quirks are added to those of the model, all else goes before.
        :raises InvalidArgument: for a name that there is not, and as the class does.
        """
        found = profile(name)
        quirks = (*found.quirks, *found.habits, *options.pop("quirks", ()))
        return cls(reactor, **{**found.options, **options}, quirks=quirks)

    @classmethod
    def profiles(cls) -> dict[str, str]:
        """The names of the models that there are, and a sentence on each."""
        return {name: found.says for name, found in PROFILES.items()}

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it lives; empty before the start if it is to be taken from the link."""
        return self._last.address if self._last else self._setup.address

    @property
    def port(self) -> int:
        """The port of the web server, the latest one after a stop; 0 before the first start."""
        return self._last.port if self._last else 0

    @property
    def location(self) -> str:
        """The URL of the description, the latest one after a stop; empty before the first start."""
        return self._last.location if self._last else ""

    @property
    def location6(self) -> str:
        """The same at ``address6``; empty where it does not live there, or before the first start."""
        return self._last.locations[-1] if self._last and self._setup.address6 else ""

    @property
    def boot_id(self) -> int:
        """BOOTID.UPNP.ORG."""
        return self._last.boot_id if self._last else self._next_boot_id

    @property
    def mappings(self) -> MappingTable:
        """The live table: iterate it, take its ``len()``, or ``find("TCP", 8080)``."""
        return self._state.table

    @property
    def requests(self) -> deque[Seen]:
        """The latest requests, oldest first."""
        return self._requests

    @property
    def subscribers(self) -> tuple[Subscription, ...]:
        """The live subscriptions."""
        return self._boot.publisher.subscribers if self._boot else ()

    @property
    def state(self) -> State:
        """Everything else it knows of itself; call :meth:`update` after a change."""
        return self._state

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work, as sentences: sockets and ports that could not be opened."""
        found = self._boot.problems if self._boot else []
        if self._relay is not None:
            found += [f"{key[2]} port {key[1]}: {text}" for key, text in self._relay.problems.items()]
        return tuple(found)

    # -- life --------------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen and announce. :raises CannotListenError: if ``http_port`` is taken."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._open()
        except BaseException:
            self.running = False
            raise

    def start(self) -> defer.Deferred[None]:
        """Start unless running; fires when it can be reached."""
        if not self.running:
            self.startService()
        return defer.succeed(None)

    def stopService(self) -> defer.Deferred[None]:
        """Say byebye and close everything; fires when no socket and no timer is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._lock.run(lambda: defer.ensureDeferred(self._close(silent=False)))

    def stop(self) -> defer.Deferred[None]:
        """Stop if running."""
        return self.stopService() if self.running else defer.succeed(None)

    def reboot(
        self, *, new_port: bool = False, keep_mappings: bool = False, seconds: float = 0.0
    ) -> defer.Deferred[None]:
        """Go without a word and come back with a new BOOTID, empty of subscriptions and mappings.

        :param new_port: come back on another port and with other paths (F03).
        :param keep_mappings: as with miniupnpd's lease file.
        :param seconds: how long it is gone.
        """
        return self._lock.run(lambda: defer.ensureDeferred(self._reboot(new_port, keep_mappings, seconds)))

    async def _reboot(self, new_port: bool, keep_mappings: bool, seconds: float) -> None:
        if not self.running:
            return
        await self._close(silent=True)
        if seconds:
            await deferLater(self._clock, seconds)
        if not self.running:  # stopped meanwhile
            return
        if new_port or "random port" in self._played.traits:
            self._next_port = 0
        self._state.tree = self._fresh_tree(random_paths=new_port)
        self._state.reboot(keep_mappings=keep_mappings)
        self._state.line.cut("ERROR_NONE")
        self._open()

    def _open(self) -> None:
        boot = Boot(
            self._reactor,
            self._clock,
            self._setup,
            self._state,
            self._faults,
            self._requests,
            boot_id=self._next_boot_id,
            port=self._next_port,
            changed=self.update,
            random=self._random,
        )
        boot.open()
        self._boot = self._last = boot
        self._next_port = boot.port
        self._next_boot_id = boot.boot_id % (_BOOT_IDS - 1) + 1
        if self._state.line.carrier and self._state.line.status != CONNECTED:
            self._state.line.connect(self._clock.seconds())
        self.update()

    async def _close(self, *, silent: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        boot, self._boot = self._boot, None
        if boot is not None:
            await boot.close(silent=silent or "silent departure" in self._played.traits)
        if self._relay is not None:
            await self._relay.stop()

    # -- what happens to it --------------------------------------------------------------------------------------------

    def drop_wan(self, error: str = "ERROR_NO_CARRIER") -> None:
        """The line goes down at once; mappings carry nothing until :meth:`restore_wan`.

        :param error: LastConnectionError.
        """
        self._state.line.carrier = False
        self._state.line.cut(error)
        self.update(silent=self.silent_drops)

    def restore_wan(self) -> None:
        """The line comes back and connects."""
        self._state.line.carrier = True
        if not self._state.line.is_connected:
            self._state.line.connect(self._clock.seconds())
        self.update(silent=self.silent_drops)

    def change_address(self, ip: str) -> None:
        """The provider gives another external address; ``""`` for none."""
        self._state.line.address = ip
        self.update()

    def add_foreign_mapping(
        self,
        protocol: str,
        external_port: int,
        *,
        internal_client: str = "192.0.2.99",
        internal_port: int = 0,
        description: str = "foreign",
        remote_host: str = "",
        lease_seconds: int = 0,
        managed: bool = True,
    ) -> Entry:
        """Another host has, or makes, this mapping.

        :param managed: False for a rule made by other means than UPnP, which UPnP cannot change (729).
        """
        expires = self._clock.seconds() + lease_seconds if lease_seconds else None
        entry = Entry(
            protocol,
            external_port,
            internal_client,
            internal_port or external_port,
            remote_host,
            description,
            expires=expires,
            managed=managed,
        )
        self._state.table.put(entry)
        self.update()
        return entry

    def pinhole_traffic(self, unique_id: int, packets: int = 1) -> None:
        """Packets come through a pinhole: they are counted only, there is no IPv6 internet behind this gateway.

        :raises ActionError: 704 without that pinhole, 702 and 703 while the firewall does not allow any.
        """
        self._state.pinholes.count(unique_id, packets)

    def forget_mappings(self) -> None:
        """Lose the table without a reboot, as some gateways do (Q134)."""
        self._state.table.clear()
        self.update(silent=True)

    def set_fault(self, name: str, fault: Fault | None, times: int | None = None) -> None:
        """Make requests of that name fail, or with None work again; see :class:`txigd.testing.faults.Faults`."""
        self._faults.set(name, fault, times)

    def clear_faults(self) -> None:
        """Make everything work again."""
        self._faults.clear()

    def announce(self) -> None:
        """Send all announcements now."""
        for announcer in self._boot.announcers if self._boot else ():
            announcer.alive()

    def say_goodbye(self) -> None:
        """Send byebye now, without leaving."""
        for announcer in self._boot.announcers if self._boot else ():
            announcer.byebye()

    def update(self, *, silent: bool = False) -> None:
        """Make a changed state true: relay, events, timers. ``silent``: nobody is told."""
        now = self._clock.seconds()
        self._state.advance(now)
        silent = silent or self._state.table.vanished
        if self._relay is not None and self._boot is not None:
            self._relay.follow(self._state.active_entries())
        if self._boot is not None:
            for name in self._state.tree.services:
                values = self._state.evented(name)
                self._boot.publisher.publish(name, values, silent=silent or self.silent_events)
        self._schedule(now)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _fresh_tree(self, *, random_paths: bool = False) -> Tree:
        """The tree of a new boot."""
        if random_paths or "random paths" in self._played.traits:
            return self._tree(prefix=f"/{self._random.getrandbits(32):08x}")
        return self._tree(prefix=self._state.tree.prefix if self._last else "")

    def _tree(self, *, version: int = 0, prefix: str = "") -> Tree:
        if self._shape["model"].document:
            return CapturedTree(self._shape["model"])
        return Tree(
            version=version or self.version,
            udn=self.udn,
            friendly_name=self.friendly_name,
            prefix=prefix,
            **self._shape,
        )

    def _schedule(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._state.next_change()
        if due is not None and self._boot is not None:
            self._timer = self._clock.callLater(max(0.0, due - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.update()


def _second(address: str, address6: str) -> str:
    """``address6``, if it may stand beside the other one."""
    try:
        fits = not address6 or (
            ipaddress.ip_address(address6).version == 6 and (not address or ipaddress.ip_address(address).version == 4)
        )
    except ValueError:
        fits = False
    if not fits:
        raise InvalidArgument(f"address6 {address6!r}: write an IPv6 address, beside an IPv4 one")
    return address6


def _refusals(refuse: Collection[str] | Mapping[str, Fault]) -> Mapping[str, Fault]:
    if isinstance(refuse, Mapping):
        return refuse
    return {name: _REFUSED_SUBSCRIBE if name == "SUBSCRIBE" else _REFUSED_ACTION for name in refuse}
