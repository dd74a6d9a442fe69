"""A gateway as somebody else has it: a support report, replayed over real sockets. Thin.

>>> gateway = ReportedGateway(reactor, report_format.from_text(text))      # doctest: +SKIP
>>> await gateway.start()                                                   # doctest: +SKIP
>>> gateway.location                                                        # doctest: +SKIP

Every answer is the one that was captured, octet for octet but for masks and the URLs of the place where it is replayed.
It has no state: what was not asked when the report was made is refused.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from txigd.errors import BadReport, BadURL
from txigd.igd.report import Event, Report
from txigd.limits import CALLBACK_SECONDS
from txigd.testing.replay import Received, ScriptedDevice
from txigd.testing.reported_announcer import ReportedAnnouncer, Said
from txigd.testing.reported_replies import Move, Place, Replies, announcements, notify, served
from txigd.upnp import addressing, url
from txigd.upnp.url import DeviceURL

_CALLBACK: Final = re.compile(r"<([^<>]*)>")
_SOON: Final = 0.05  # after the answer to a SUBSCRIBE, or the start


class ReportedGateway(Service):
    """A simulated gateway that says what a support report holds.

    :param reactor: Twisted's reactor.
    :param report: see :func:`txigd.igd.report_format.from_text`.
    :param address: where it is to live.
    :param link: the link on which it is announced and found.
    :param http_port: of its description; 0 for any. Other ports that the gateway used become any others.
    :param ssdp: whether it is announced and found; without it only :attr:`location` leads to it.
    :param ssdp_port: 1900, or another for tests that nobody else should hear.
    :raises BadReport: for a report without an answer of a gateway.
    """

    def __init__(
        self,
        reactor: Any,
        report: Report,
        *,
        address: str = "127.0.0.1",
        link: str = "lo",
        http_port: int = 0,
        ssdp: bool = True,
        ssdp_port: int = 1900,
    ) -> None:
        self.report = report
        self.location = ""
        self._reactor = reactor
        self._address = address
        self._link = link
        self._http_port = http_port
        self._ssdp_port = ssdp_port if ssdp else 0
        self._places = served(report)
        if not self._places:
            raise BadReport("the report has no answer of a gateway")
        self._replies = Replies(report)
        self._devices: dict[Place, ScriptedDevice] = {}
        self._move = Move({})
        self._announcer: ReportedAnnouncer | None = None
        self._calls: set[Any] = set()
        self._messengers: set[_Messenger] = set()

    @property
    def requests(self) -> tuple[Received, ...]:
        """The latest requests, by port, oldest first."""
        return tuple(request for device in self._devices.values() for request in device.received)

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work, as sentences."""
        return () if self._announcer is None else tuple(self._announcer.problems)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> defer.Deferred[None]:
        """Start unless running; fires when it can be reached."""
        if not self.running:
            self.startService()
        return defer.succeed(None)

    def startService(self) -> None:
        """Listen and announce; where a part of it fails, nothing stays open.

        :raises CannotListenError: if ``http_port`` is taken, or ``address`` is not of this host.
        :raises AddressingError: if there is no such ``link``.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._open()
        except BaseException:
            self.running = False
            defer.ensureDeferred(self._close())
            raise

    def _open(self) -> None:
        host = ipaddress.ip_address(self._address)
        where: dict[Place, DeviceURL] = {}
        self._devices = {}
        for number, place in enumerate(self._places):
            device = ScriptedDevice(
                self._reactor,
                {_any: lambda request, place=place: self._answer(place, request)},  # type: ignore[misc]
                address=self._address,
                port=0 if number else self._http_port,
            )
            device.open()
            self._devices[place] = device
            where[place] = DeviceURL(host, device.port)
        self._move = Move(where)
        self.location = self._move.text(self.report.location.encode()).decode()
        if self._ssdp_port:
            self._announce()

    def _announce(self) -> None:
        (link,) = addressing.links([self._link])
        said = [
            Said(heard, one.heard == "search", self._move.text(one.octets)) for heard, one in announcements(self.report)
        ]
        self._announcer = ReportedAnnouncer(
            self._reactor,
            said,
            address=ipaddress.ip_address(self._address),
            link=link.name,
            link_index=link.index,
            port=self._ssdp_port,
        )
        self._announcer.open()

    def stop(self) -> defer.Deferred[None]:
        """Stop if running."""
        return self.stopService() if self.running else defer.succeed(None)

    def stopService(self) -> defer.Deferred[None]:
        """Say byebye and close everything; fires when no socket and no timer is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        return defer.ensureDeferred(self._close())

    async def _close(self) -> None:
        for call in tuple(self._calls):
            call.cancel()
        self._calls.clear()
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.stop()
        closing = [device.close() for device in self._devices.values()]
        for messenger in tuple(self._messengers):
            closing.append(messenger.gone)
            messenger.abort()
        await defer.gatherResults(closing, consumeErrors=True)

    # -- answers -----------------------------------------------------------------------------------------------------

    def _answer(self, place: Place, request: Received) -> bytes | None:
        octets = self._replies.answer(place, request)
        if octets is None:
            return None
        if request.line.startswith("SUBSCRIBE ") and (found := _CALLBACK.search(request.header("CALLBACK"))):
            try:
                callback = url.parse(found[1])
            except BadURL:
                return self._move.reply(octets)
            for number, event in enumerate(self._replies.events(place, request), 1):
                self._later(_SOON * number, event, callback)
        return self._move.reply(octets)

    def _later(self, seconds: float, event: Event, callback: DeviceURL) -> None:
        def send() -> None:
            self._calls.discard(call)
            messenger = _Messenger(self._reactor, notify(event, callback))
            self._messengers.add(messenger)
            messenger.gone.addBoth(lambda _: self._messengers.discard(messenger))
            messenger.open(callback)

        call = self._reactor.callLater(seconds, send)
        self._calls.add(call)


def _any(request: Received) -> bool:
    return True


class _Messenger(Protocol):
    """Carries one NOTIFY, waits for the answer and closes."""

    transport: Any

    def __init__(self, reactor: Any, octets: bytes) -> None:
        self.gone: defer.Deferred[None] = defer.Deferred()
        self._reactor = reactor
        self._octets = octets
        self._connector: Any = None

    def open(self, callback: DeviceURL) -> None:
        """Connect."""
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: self  # type: ignore[method-assign]
        factory.clientConnectionFailed = lambda connector, reason: self._end()  # type: ignore[method-assign]
        self._connector = self._reactor.connectTCP(str(callback.host), callback.port, factory, timeout=CALLBACK_SECONDS)

    def abort(self) -> None:
        """Cut it, or stop trying."""
        if self.transport is not None:
            self.transport.abortConnection()
        else:
            self._connector.stopConnecting()

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.write(self._octets)

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()

    def _end(self) -> None:
        if not self.gone.called:
            self.gone.callback(None)
