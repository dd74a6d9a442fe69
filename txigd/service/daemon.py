"""The service that ``twistd igd`` runs: a control point, the wanted mappings, and a log line for every change."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from txigd import log
from txigd.errors import AddressingError, TxigdError
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.status import WANStatus
from txigd.interfaces import IGatewayObserver, IWANObserver
from txigd.limits import GATEWAY_PATIENCE_SECONDS
from txigd.service.options import Options

_log = log.logger("txigd.daemon")


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
        self.control_point: ControlPoint | None = None

    def startService(self) -> None:
        """Open the sockets; what was asked for is done as soon as a gateway is found."""
        Service.startService(self)
        log.set_level(self._options["log-level"])
        ensureDeferred(self._start()).addErrback(self._fell_over)

    async def _start(self) -> None:
        options = self._options
        links, gateway = options["links"], options["gateway"]
        if options["simulate"]:
            from txigd.testing import SimulatedGateway

            self._simulated = SimulatedGateway(self._reactor)
            await self._simulated.start()
            links, gateway = ["lo"], self._simulated.location
            _log.info("simulated gateway at {location}", location=gateway)
        if not self.running:
            return
        self.control_point = point = ControlPoint(
            self._reactor,
            links=links,
            gateway=gateway,
            callback_port=options["callback-port"],
            poll_seconds=options["poll"],
        )
        point.observe(self)
        for wanted in options["mappings"]:
            point.mappings.hold(wanted)
        point.start()
        for problem in point.problems:
            _log.warn("{problem}", problem=problem)
        _log.info("looking for a gateway on {links}", links=", ".join(link.name for link in point.links) or "no link")
        point.gateway(GATEWAY_PATIENCE_SECONDS).addErrback(self._none_yet)

    def stopService(self) -> Deferred[None]:
        """Delete the mappings, cancel the subscriptions, close everything: a few seconds at most."""
        Service.stopService(self)
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self.control_point is not None:
            await self.control_point.stop()
        if self._simulated is not None:
            await self._simulated.stop()
        _log.info("stopped")

    def _none_yet(self, failure: Failure) -> None:
        if failure.check(TxigdError) is None:
            _log.failure("looking for a gateway failed", failure=failure)
        elif self.running:
            _log.warn("{problem}; still looking", problem=str(failure.value))

    def _fell_over(self, failure: Failure) -> None:
        if failure.check(AddressingError, TxigdError):
            _log.error("{problem}", problem=str(failure.value))
        else:
            _log.failure("the daemon failed to start", failure=failure)
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

    return Daemon(reactor, options)
