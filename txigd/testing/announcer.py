"""The SSDP side of a simulated gateway: announcements and answers, over sockets of its own. Thin.

Knows a link, an address and the tree's announcements. The group socket hears multicast on the one link only; the other
is bound to the gateway's address, sends everything and hears unicast searches.
Sources: UDA 1.0-1.1 section 1, IGD:2 (byebye before the first alive).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.protocol import DatagramProtocol
from twisted.web.http import datetimeToString

from txigd import log
from txigd.errors import BadMessage
from txigd.limits import DATAGRAM_OCTETS, MULTICAST_TTL, SIMULATED_ANSWERS, SSDP_GROUP_V4
from txigd.testing.tree import Tree
from txigd.testing.web import SERVER
from txigd.upnp.discovery import message

_log: Final = log.logger("txigd.testing")
_IP_MULTICAST_ALL: Final = 49  # Linux
START_SECONDS: Final = (0.0, 0.25)  # the whole set is sent twice, as by miniupnpd
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

    :param link_index: the interface index; 0 for the system's choice.
    :param port: 1900, or another for tests that must not be heard.
    :param notify_seconds: between two sets of announcements; None for random times below half of max-age.
    :param answer_seconds: a multicast search is answered after a random time up to this, and up to its MX.
    :ivar problems: what could not be opened.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        tree: Callable[[], Tree],
        announced: Callable[[], Announced],
        *,
        address: str,
        link_index: int,
        port: int,
        notify_seconds: float | None,
        answer_seconds: float,
        random: Random,
    ) -> None:
        self.problems: list[str] = []
        self._reactor = reactor
        self._clock = clock
        self._tree = tree
        self._announced = announced
        self._address = address
        self._link_index = link_index
        self._port = port
        self._notify_seconds = notify_seconds
        self._answer_seconds = answer_seconds
        self._random = random
        self._ports: list[Any] = []
        self._calls: set[Any] = set()
        self._sender: _Listener | None = None

    @property
    def search_port(self) -> int | None:
        """SEARCHPORT.UPNP.ORG: where unicast searches go if not to port 1900."""
        if not self._ports or self._sender is None or self._sender.port == self._port:
            return None
        return self._sender.port if 49_152 <= self._sender.port <= 65_535 else None

    def open(self) -> None:
        """Open the sockets; what fails is a problem, and the rest goes on."""
        self.problems.clear()
        self._sender = self._adopt(self._address_socket, unicast=True)
        self._adopt(self._group_socket, unicast=False)

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
        ports, self._ports, self._sender = self._ports, [], None
        for port in ports:
            await defer.maybeDeferred(port.stopListening)

    def alive(self) -> None:
        """Announce everything once, now."""
        about = self._announced()
        self._send_group(
            message.alive(
                target,
                udn,
                about.location,
                host=self._host,
                server=SERVER,
                max_age=about.max_age,
                boot_id=about.boot_id,
                config_id=about.config_id,
                search_port=self.search_port,
            )
            for target, udn in self._tree().announcements()
        )

    def byebye(self) -> None:
        """Take leave of everybody, now."""
        about = self._announced()
        self._send_group(
            message.byebye(target, udn, host=self._host, boot_id=about.boot_id, config_id=about.config_id)
            for target, udn in self._tree().announcements()
        )

    # -- sending ---------------------------------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return f"{SSDP_GROUP_V4}:{self._port}"

    def _first(self) -> None:
        if self._tree().version >= 2:
            self.byebye()
        for seconds in START_SECONDS:
            self._later(seconds, self.alive)
        self._again()

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

    def _send_group(self, datagrams: Iterable[bytes]) -> None:
        self._send(datagrams, (SSDP_GROUP_V4, self._port))

    def _send(self, datagrams: Iterable[bytes], to: tuple[str, int]) -> None:
        if self._sender is None or self._sender.transport is None:
            return
        for datagram in datagrams:
            try:
                self._sender.transport.write(datagram, to)
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
        if not pairs or len(self._calls) > SIMULATED_ANSWERS:
            return
        if unicast:
            self._answer(pairs, sender)
        elif search.mx is not None:  # a multicast search without MX is to be ignored
            longest = min(search.mx, LONGEST_MX, self._answer_seconds)
            self._later(self._random.uniform(0, longest), self._answer, pairs, sender)

    def _answer(self, pairs: tuple[tuple[str, str], ...], to: tuple[str, int]) -> None:
        about = self._announced()
        self._send(
            (
                message.answer(
                    target,
                    udn,
                    about.location,
                    server=SERVER,
                    date=datetimeToString(self._clock.seconds()).decode(),
                    max_age=about.max_age,
                    boot_id=about.boot_id,
                    config_id=about.config_id,
                    search_port=self.search_port,
                )
                for target, udn in pairs
            ),
            to,
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
            port = self._reactor.adoptDatagramPort(made.fileno(), socket.AF_INET, listener, DATAGRAM_OCTETS + 1)
        finally:
            made.close()  # the reactor has a duplicate
        self._ports.append(port)
        return listener

    def _address_socket(self) -> socket.socket:
        made = _datagram_socket()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                made.bind((self._address, self._port))
            except OSError:  # another program has it: searches come to SEARCHPORT then
                made.bind((self._address, 0))
            chosen = struct.pack("=4s4si", bytes(4), socket.inet_aton(self._address), self._link_index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_TTL)
        except OSError:
            made.close()
            raise
        return made

    def _group_socket(self) -> socket.socket:
        made = _datagram_socket()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_BINDTODEVICE"):
                made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            made.bind((SSDP_GROUP_V4, self._port))
            member = struct.pack("=4s4si", socket.inet_aton(SSDP_GROUP_V4), bytes(4), self._link_index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        except OSError:
            made.close()
            raise
        return made


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


class _Listener(DatagramProtocol):
    noisy = False

    def __init__(self, announcer: Announcer, *, unicast: bool, port: int) -> None:
        self.port = port
        self._announcer = announcer
        self._unicast = unicast

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._announcer.search_received(datagram, addr, unicast=self._unicast)
