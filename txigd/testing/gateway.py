"""A simulated Internet gateway over real sockets: the public face of this package. Thin.

It is discovered by SSDP, described, controlled, subscribed to and mapped like a router, and what comes in on a mapped
port is carried to its internal client. Made for tests and demonstrations; not a router: it has no WAN of its own.

Knows what may be asked for, makes the parts that are asked for, and lets things happen to them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from txigd.testing.entry import Entry
from txigd.testing.faults import Fault, Faults
from txigd.testing.life import Life
from txigd.testing.line import Line
from txigd.testing.model import Model
from txigd.testing.profiles import PROFILES, profile
from txigd.testing.quirks import Played, Quirk
from txigd.testing.relay import Relay
from txigd.testing.rules import Rules
from txigd.testing.setup import Setup
from txigd.testing.shape import Shape
from txigd.testing.state import State


class SimulatedGateway(Life):
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
    :param medium: ``"DSL"``, ``"POTS"``, ``"Cable"`` or ``"Ethernet"``: what its line is; the link service of it is
        there, in either version. Empty for Ethernet, or DSL with a PPP connection, and no link service but that of
        ``extra_services``.
    :param lan_device: whether it has a LANDevice, with LANHostConfigManagement.
    :param clock: tells the time and makes the timers instead of the reactor, for example a ``task.Clock``.
    :param random: source of the random delays.
    :param wans: how many WAN devices it has (Q076); the first is the one in use.
    :param announced_version: what SSDP says of the version, 0 for the truth (Q072).
    :param model: what it says of its make, and its paths; a captured description is served octet for octet.
    :param description_path: where the description stands, if not where the model has it.
    :param other_port: a second TCP port, 0 for any; None for no such unless a quirk or a model needs it.
    :param quirks: ids of :data:`txigd.testing.QUIRKS`: habits of real gateways; or such of one's own making. What they
        set goes before other arguments.
    :raises InvalidArgument: for a version, connection, medium or quirk that there is not, for quirks that contradict
        each other, and for an ``address6`` that is none.
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
        medium: str = "",
        lan_device: bool = False,
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
        clock, random = clock or reactor, random or Random()
        shape = Shape(
            **played.over(version=version, connection=connection, wans=wans, announced_version=announced_version),
            **played.over(extra_services=extra_services, friendly_name=friendly_name, udn=udn or ""),
            **played.over(medium=medium, lan_device=lan_device),
            **played.over(description_path=description_path, model=model or Model()),
            random_paths="random paths" in played.traits,
        )
        setup = Setup(
            shape,
            played,
            **played.over(address=address, address6=address6, link=link, other_port=other_port, check_host=check_host),
            **played.over(notify_seconds=notify_seconds, answer_seconds=answer_seconds, max_age=max_age),
            **played.over(granted_seconds=granted_seconds, urls=urls, url_base=url_base),
            ssdp_port=ssdp_port if ssdp else 0,
        )
        shortcuts = {
            "permanent_leases_only": permanent_leases_only,
            "same_port_only": same_port_only,
            "min_lease": min_lease,
            "max_lease": max_lease,
        }
        state = State(
            shape.next_tree(random),
            Line(played.options.get("external_ip", external_ip), setup_seconds),
            replace(rules or Rules(), **{**shortcuts, **played.rules, "version": shape.version}),
            hide_private_address=hide_private_address,
            word=played.word,
        )
        self.silent_drops = silent_drops
        super().__init__(
            reactor,
            setup,
            state,
            Faults(refuse, played.faults),
            clock=clock,
            random=random,
            http_port=http_port,
            relay=Relay(reactor, wan_address, state.traffic) if relay else None,
            silent_events=silent_events,
        )

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
