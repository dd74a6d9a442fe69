"""The SSDP side of a simulated gateway: announcements and answers, over sockets of its own. Thin.

Knows a link, an address and the tree's announcements. The group sockets hear multicast on the one link only; the other
is bound to the gateway's address, sends everything and hears unicast searches. At an IPv6 address there are two groups.
Sources: UDA 1.0-1.1 section 1, UDA 2.0 annex A, IGD:2 (byebye before the first alive).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.protocol import DatagramProtocol
from twisted.web.http import datetimeToString

from txigd import log
from txigd.errors import BadMessage
from txigd.limits import DATAGRAM_OCTETS, SIMULATED_ANSWERS
from txigd.testing import ssdp_sockets
from txigd.testing.quirks import Played
from txigd.testing.tree import Tree
from txigd.upnp.discovery import message
from txigd.upnp.url import IPAddress, with_zone

_log: Final = log.logger("txigd.testing")
START_SECONDS: Final = (0.0, 0.25)  # the whole set is sent twice, as by miniupnpd
STORM_SECONDS: Final = 1.0  # between byebyes of a gateway that says them all the time (Q035)
LONGEST_MX: Final = 5  # UDA 1.1: a greater MX counts as 5


@dataclass(frozen=True, slots=True)
class Announced:
    """What every message tells: where the description is, and which boot and configuration it belongs to."""

    location: str
    max_age: int
    boot_id: int
    config_id: int


class Announcer:
    """Announces one gateway on one link.

    :param address: the gateway's, of either family.
    :param link: the name of the interface.
    :param link_index: its index; 0 for the system's choice.
    :param port: 1900, or another for tests that must not be heard.
    :param notify_seconds: between two sets of announcements; None for random times below half of max-age.
    :param answer_seconds: a multicast search is answered after a random time up to this, and up to its MX.
    :param played: the habits of this gateway.
    :ivar problems: what could not be opened.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        tree: Callable[[], Tree],
        announced: Callable[[], Announced],
        *,
        address: IPAddress,
        link: str,
        link_index: int,
        port: int,
        notify_seconds: float | None,
        answer_seconds: float,
        random: Random,
        played: Played | None = None,
    ) -> None:
        self.problems: list[str] = []
        self._played = played or Played()
        self._reactor = reactor
        self._clock = clock
        self._tree = tree
        self._announced = announced
        self._address = address
        self._link = link
        self._link_index = link_index
        self._port = port
        self._notify_seconds = notify_seconds
        self._answer_seconds = answer_seconds
        self._random = random
        site_only = "site-local group only" in self._played.traits
        self._groups = ssdp_sockets.groups(address, site_only=site_only)
        self._ports: list[Any] = []
        self._calls: set[Any] = set()
        self._sender: _Listener | None = None
        self._answerer: _Listener | None = None

    @property
    def search_port(self) -> int | None:
        """SEARCHPORT.UPNP.ORG: where unicast searches go if not to port 1900."""
        if not self._ports or self._sender is None or self._sender.port == self._port:
            return None
        return self._sender.port if 49_152 <= self._sender.port <= 65_535 else None

    def open(self) -> None:
        """Open the sockets; what fails is a problem, and the rest goes on."""
        self.problems.clear()
        link_index, port = self._link_index, self._port
        self._sender = self._adopt(
            lambda: ssdp_sockets.speaking(self._address, link_index=link_index, port=port), unicast=True
        )
        self._answerer = self._sender
        if "answers from another port" in self._played.traits:
            self._answerer = self._adopt(
                lambda: ssdp_sockets.speaking(self._address, link_index=link_index, port=0), unicast=True
            )
        if "no multicast" in self._played.traits:
            return
        for group in self._groups:
            made = partial(ssdp_sockets.listening, group, link=self._link, link_index=link_index, port=port)
            self._adopt(made, unicast=False)

    def start(self) -> None:
        """Announce: byebye first in version 2, then alive twice, then periodically."""
        self._later(self._random.uniform(0, 0.1), self._first)

    async def stop(self, *, silent: bool = False) -> None:
        """Say goodbye unless ``silent``, and close."""
        for call in tuple(self._calls):
            call.cancel()
        self._calls.clear()
        if not silent:
            self.byebye()
        ports, self._ports, self._sender, self._answerer = self._ports, [], None, None
        for port in ports:
            await defer.maybeDeferred(port.stopListening)

    def alive(self) -> None:
        """Announce everything once, now."""
        about = self._announced()
        self._send_groups(
            lambda target, udn, host: message.alive(
                target,
                udn,
                about.location,
                host=host,
                server=self._tree().model.server,
                max_age=about.max_age,
                boot_id=about.boot_id,
                config_id=about.config_id,
                search_port=self.search_port,
            )
        )

    def byebye(self) -> None:
        """Take leave of everybody, now."""
        about = self._announced()
        self._send_groups(
            lambda target, udn, host: message.byebye(
                target, udn, host=host, boot_id=about.boot_id, config_id=about.config_id
            )
        )

    # -- sending ---------------------------------------------------------------------------------------------------

    def _first(self) -> None:
        if self._tree().version >= 2:
            self.byebye()
        for seconds in START_SECONDS:
            self._later(seconds, self.alive)
        self._again()
        if "byebye storm" in self._played.traits:
            self._later(STORM_SECONDS, self._storm)

    def _storm(self) -> None:
        self.byebye()
        self._later(STORM_SECONDS, self._storm)

    def _again(self) -> None:
        seconds = self._notify_seconds
        if seconds is None:
            seconds = self._announced().max_age * self._random.uniform(0.25, 0.45)
        self._later(seconds, self._periodic)

    def _periodic(self) -> None:
        self.alive()
        self._again()

    def _later(self, seconds: float, what: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            self._calls.discard(call)
            what(*arguments)

        call = self._clock.callLater(seconds, run)
        self._calls.add(call)

    def _send_groups(self, written: Callable[[str, str, str], bytes]) -> None:
        if "no multicast" in self._played.traits:
            return
        pairs = self._tree().announcements()
        for group in self._groups:
            host = ssdp_sockets.host_field(group, self._port)
            batch = self._played.sends(written(target, udn, host) for target, udn in pairs)
            self._send(batch, (str(group), self._port))

    def _send(
        self, datagrams: Iterable[bytes], to: tuple[str, int], by: Callable[[], _Listener | None] | None = None
    ) -> None:
        sender = by() if by else self._sender
        if sender is None or sender.transport is None:
            return
        for datagram in datagrams:
            try:
                sender.transport.write(datagram, to)
            except OSError as error:  # the link is down or lost its address: a device can only try again
                _log.debug("announcement not sent: {error}", error=error)
                return

    # -- searches --------------------------------------------------------------------------------------------------

    def search_received(self, datagram: bytes, sender: tuple[str, int], *, unicast: bool) -> None:
        """Answer a search as UDA 1.1 section 1.3.3 wants: at once by unicast, else after a random time."""
        try:
            search = message.parse(datagram)
        except BadMessage:
            return
        if search.kind is not message.Kind.SEARCH or search.man != message.DISCOVER:
            return
        pairs = self._tree().answers(search.target)
        if not self._played.hears(datagram, unicast=unicast):
            return
        if not pairs or not self._ports or len(self._calls) > SIMULATED_ANSWERS:  # no ports: closing, but still heard
            return
        zoned = str(with_zone(ipaddress.ip_address(sender[0].partition("%")[0]), self._link))
        sender = (zoned, sender[1])  # who searches from a link-local address is to be reached from any of ours
        if unicast:
            self._answer(pairs, sender)
        elif search.mx is not None:  # a multicast search without MX is to be ignored
            longest = min(search.mx, LONGEST_MX, self._answer_seconds)
            self._later(self._random.uniform(0, longest), self._answer, pairs, sender)

    def _answer(self, pairs: tuple[tuple[str, str], ...], to: tuple[str, int]) -> None:
        about = self._announced()
        self._send(
            self._played.sends(
                message.answer(
                    target,
                    udn,
                    about.location,
                    server=self._tree().model.server,
                    date=datetimeToString(self._clock.seconds()).decode(),
                    max_age=about.max_age,
                    boot_id=about.boot_id,
                    config_id=about.config_id,
                    search_port=self.search_port,
                )
                for target, udn in pairs
            ),
            to,
            lambda: self._answerer,
        )

    # -- sockets ---------------------------------------------------------------------------------------------------

    def _adopt(self, make: Callable[[], socket.socket], *, unicast: bool) -> _Listener | None:
        try:
            made = make()
        except OSError as error:
            self.problems.append(f"SSDP socket: {error}")
            _log.warn("no SSDP socket on {address}: {error}", address=self._address, error=error)
            return None
        listener = _Listener(self, unicast=unicast, port=made.getsockname()[1])
        try:
            port = self._reactor.adoptDatagramPort(made.fileno(), made.family, listener, DATAGRAM_OCTETS + 1)
        finally:
            made.close()  # the reactor has a duplicate
        self._ports.append(port)
        return listener


class _Listener(DatagramProtocol):
    noisy = False

    def __init__(self, announcer: Announcer, *, unicast: bool, port: int) -> None:
        self.port = port
        self._announcer = announcer
        self._unicast = unicast

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._announcer.search_received(datagram, addr, unicast=self._unicast)
