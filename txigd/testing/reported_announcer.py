"""Says by SSDP what a support report heard: unasked, or in answer to a search for it. Thin.

Knows sockets of one link; what is said is a list of octet strings, and what they mean was found out before.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import DatagramProtocol

from txigd.errors import BadMessage
from txigd.limits import DATAGRAM_OCTETS, SIMULATED_ANSWERS
from txigd.testing import ssdp_sockets
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import Kind, Message
from txigd.upnp.discovery.targets import IGD_TARGETS, Targets
from txigd.upnp.url import IPAddress

_SOON: Final = 0.05
_GATEWAYS: Final = Targets(IGD_TARGETS)


@dataclass(frozen=True, slots=True)
class Said:
    """One message: as it is read, None where it cannot be; whether it answered a search; and its octets."""

    heard: Message | None
    is_answer: bool
    octets: bytes


class ReportedAnnouncer:
    """The SSDP side of a replayed gateway.

    :param port: 1900, or another for tests that nobody else should hear.
    :ivar problems: what could not be opened or sent.
    """

    def __init__(
        self, reactor: Any, said: Sequence[Said], *, address: IPAddress, link: str, link_index: int, port: int
    ) -> None:
        self.problems: list[str] = []
        self._reactor = reactor
        self._said = tuple(said)
        self._address = address
        self._link = link
        self._link_index = link_index
        self._port = port
        self._ports: list[Any] = []
        self._sender: _Listener | None = None
        self._calls: set[Any] = set()

    def open(self) -> None:
        """Open the sockets and announce; what fails is a problem, and the rest goes on."""
        index, port = self._link_index, self._port
        self._sender = self._adopt(lambda: ssdp_sockets.speaking(self._address, link_index=index, port=port))
        for group in ssdp_sockets.groups(self._address):
            self._adopt(
                lambda group=group: ssdp_sockets.listening(group, link=self._link, link_index=index, port=port)  # type: ignore[misc]
            )
        self._later(self.alive)

    def stop(self) -> Deferred[None]:
        """Say goodbye and close."""
        for call in self._calls:
            call.cancel()
        self._calls.clear()
        self.byebye()
        ports, self._ports, self._sender = self._ports, [], None
        closing: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in ports]
        return gatherResults(closing).addCallback(lambda _: None)

    def alive(self) -> None:
        """Send what was heard unasked, but for byebyes."""
        self._send_groups(
            lambda host: [
                one.octets
                for one in self._said
                if not one.is_answer and (one.heard is None or one.heard.kind is not Kind.BYEBYE)
            ]
        )

    def byebye(self) -> None:
        """Take leave of everybody for everything that was said."""
        known = sorted({(one.heard.target, one.heard.udn) for one in self._said if one.heard is not None})
        self._send_groups(lambda host: [message.byebye(target, udn, host=host) for target, udn in known])

    def search_received(self, datagram: bytes, sender: tuple[str, int]) -> None:
        """Answer with what was heard in answer to such a search, and with what nobody could read."""
        try:
            search = message.parse(datagram)
        except BadMessage:
            return
        if search.kind is Kind.SEARCH and len(self._calls) < SIMULATED_ANSWERS:
            self._later(self._send, list(self._answers(search.target.lower())), sender)

    def _answers(self, target: str) -> Iterable[bytes]:
        for one in self._said:
            fits = _GATEWAYS.wanted(target) if one.heard is None else one.heard.target.lower() == target
            if one.is_answer and (fits or target == message.ALL):
                yield one.octets

    def _later(self, what: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            self._calls.discard(call)
            what(*arguments)

        call = self._reactor.callLater(_SOON, run)
        self._calls.add(call)

    def _send_groups(self, written: Callable[[str], list[bytes]]) -> None:
        for group in ssdp_sockets.groups(self._address):
            self._send(written(ssdp_sockets.host_field(group, self._port)), (str(group), self._port))

    def _send(self, datagrams: Sequence[bytes], to: tuple[str, int]) -> None:
        if self._sender is None or self._sender.transport is None:
            return
        try:
            for datagram in datagrams:
                self._sender.transport.write(datagram, to)
        except OSError as error:
            self.problems = [f"SSDP: not sent: {error}"]

    def _adopt(self, make: Callable[[], socket.socket]) -> _Listener | None:
        try:
            made = make()
        except OSError as error:
            self.problems.append(f"SSDP socket: {error}")
            return None
        with made:  # the reactor has a duplicate
            listener = _Listener(self)
            self._ports.append(
                self._reactor.adoptDatagramPort(made.fileno(), made.family, listener, DATAGRAM_OCTETS + 1)
            )
        return listener


class _Listener(DatagramProtocol):
    noisy = False

    def __init__(self, announcer: ReportedAnnouncer) -> None:
        self._announcer = announcer

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._announcer.search_received(datagram, addr)
