"""The service that ``twistd igd`` runs: a control point, what is wanted of gateways, a log line for every change."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from txigd import log
from txigd.errors import InvalidArgument, Stopped, TxigdError
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.status import WANStatus
from txigd.interfaces import IGatewayObserver, IWANObserver
from txigd.limits import GATEWAY_PATIENCE_SECONDS
from txigd.service.options import Options
from txigd.service.state import StateFile, default_path
from txigd.upnp.control_point import NO_NETWORK

_log = log.logger("txigd.daemon")
_LOOPBACK = "lo"


@implementer(IGatewayObserver, IWANObserver)
class Daemon(Service):
    """Holds what the options want until it is stopped.

    :param reactor: Twisted's reactor.
    :param options: checked :class:`txigd.service.options.Options`.
    """

    def __init__(self, reactor: Any, options: Options) -> None:
        self._reactor = reactor
        self._options = options
        self._simulated: Any = None
        self._state: StateFile | None = None
        self._starting = False
        self._failed = ""
        self.control_point: ControlPoint | None = None

    def startService(self) -> None:
        """Open the sockets; what was asked for is done as soon as a gateway is found.

        :raises SystemExit: with status 1, when the sockets cannot be opened; the log says why.
        """
        Service.startService(self)
        log.set_level(self._options["log-level"])
        log.bound_lines(True)
        self._starting = True
        Deferred.fromCoroutine(self._start()).addErrback(self._fell_over)
        self._starting = False
        if self._failed and self._in_background():
            # the process that the user started waits for word, and Twisted passes on nothing but an Exception
            raise TxigdError(self._failed)
        if self._failed:
            raise SystemExit(1)

    async def _start(self) -> None:
        options = self._options
        links, gateway = options["links"], options["gateway"]
        if options["simulate"]:
            from txigd.testing import WAN_ADDRESS, SimulatedGateway

            self._simulated = SimulatedGateway(self._reactor, link=_LOOPBACK, wan_address=WAN_ADDRESS)
            await self._simulated.start()
            links, gateway = [_LOOPBACK], self._simulated.location
            _log.info("simulated gateway at {location}", location=gateway)
            _log.info("what is sent to a mapped port of {address} goes through the mapping", address=WAN_ADDRESS)
        else:
            path = Path(options["state"] or default_path(os.environ, os.geteuid()))
            self._state = StateFile(path, self._reactor)
            self._state.load()
        if not self.running:
            return
        self.control_point = point = ControlPoint(
            self._reactor,
            links=links,
            gateway=gateway,
            callback_port=options["callback-port"],
            callback_host=options["callback-host"],
            search_port=options["search-port"],
            poll_seconds=options["poll"],
            journal=None if self._state is None else self._state.journal,
            identity="" if self._state is None else str(self._state.path.absolute()),
        )
        point.observe(self)
        for wanted in options.wanted():
            point.mappings.hold(wanted)
        for pinhole in options["pinholes"]:
            point.pinholes.hold(pinhole)
        self._listen_for_reload()
        point.start()
        if not point.links:  # whatever else does not work, is logged where it is found
            _log.warn("{problem}", problem=NO_NETWORK)
        _log.info("looking for a gateway on {links}", links=", ".join(link.name for link in point.links) or "no link")
        point.gateway(GATEWAY_PATIENCE_SECONDS).addErrback(self._none_yet)

    def stopService(self) -> Deferred[None]:
        """Delete the mappings, cancel the subscriptions, close everything: a few seconds at most."""
        Service.stopService(self)
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        try:
            if self.control_point is not None:
                await self.control_point.stop()
            if self._simulated is not None:
                await self._simulated.stop()
        finally:
            if self._state is not None:
                self._state.close()
        _log.info("stopped")
        log.bound_lines(False)

    def _in_background(self) -> bool:
        parent = getattr(self._options, "parent", None)
        return parent is not None and not parent.get("nodaemon", True)

    def _listen_for_reload(self) -> None:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda number, frame: self._reactor.callFromThread(self.reload))

    def reload(self) -> None:
        """Read the file of mappings again: new ones are held, missing ones deleted (F54)."""
        if self.control_point is None or not self.running:
            return
        try:
            wanted = self._options.wanted()
            self.control_point.mappings.exchange(wanted)
        except (usage.UsageError, InvalidArgument) as error:
            _log.error("the mappings stay as they are: {problem}", problem=str(error))
            return
        _log.info("read the mappings again: {count} are wanted", count=len(wanted))

    def _none_yet(self, failure: Failure) -> None:
        if failure.check(Stopped):
            return  # the reactor ends: the control point hears of that first
        if failure.check(TxigdError) is None:
            _log.failure("looking for a gateway failed", failure=failure)
        elif self.running:
            _log.warn("{problem}; still looking", problem=str(failure.value))

    def _fell_over(self, failure: Failure) -> None:
        if failure.check(TxigdError, CannotListenError, OSError):
            _log.error("cannot start: {problem}", problem=str(failure.value))
        else:
            _log.failure("the daemon failed to start", failure=failure)
        self._failed = str(failure.value) or "it failed to start"
        if not self._starting:
            self._reactor.stop()

    # -- what happens ------------------------------------------------------------------------------------------------
    def gateway_found(self, gateway: Gateway) -> None:
        """Listen to its WAN side; the control point has logged it."""
        gateway.wan.observe(self)

    def gateway_lost(self, gateway: Gateway) -> None:
        """Another one, or the same again, may come."""
        gateway.wan.forget(self)

    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        """The one line that operators look for."""
        _log.info("WAN changed: {old} -> {new} [{learned}]", old=str(old), new=str(new), learned=new.learned.value)


def makeService(options: Options) -> IService:
    """What the plugin calls; opens nothing yet."""
    from twisted.internet import reactor

    _take_signals(reactor)
    reactor.callWhenRunning(_take_signals, reactor)  # once more: Twisted takes them for itself when it starts
    return Daemon(reactor, options)


def _take_signals(reactor: Any) -> None:
    """Who asks the daemon to end learns by status 0 that it ended well (F51); Twisted would end it by the signal."""

    def end(name: str) -> None:
        _log.info("got {name}: saying goodbye", name=name)
        for number in both:  # people press Ctrl-C twice; the farewell takes seconds at most
            signal.signal(number, signal.SIG_IGN)
        with suppress(ReactorNotRunning):
            reactor.stop()

    both = (signal.SIGINT, signal.SIGTERM)
    for number in both:
        signal.signal(number, lambda number, frame: reactor.callFromThread(end, signal.Signals(number).name))
