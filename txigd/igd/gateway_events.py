"""What a gateway tells by itself of its line and its table. Every event is a hint: what it says is read back.

Knows a clock, the WAN side and the services that are observed. Sources: quirks Q161, Q174, faults F04, F06, F30.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.igd.last_told import LastTold
from txigd.igd.line_events import LineEvents
from txigd.igd.looks import Pace
from txigd.igd.wan import WAN
from txigd.upnp.eventing.subscription_facts import SUBSCRIPTION_LOST
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.service_events import Event

_log = log.logger("txigd.gateway")
_EVENTED = ("WANIPConnection", "WANPPPConnection", "WANCommonInterfaceConfig", "Layer3Forwarding")
_TABLE_VARIABLES = ("PortMappingNumberOfEntries", "SystemUpdateID")


class GatewayEvents:
    """The subscriptions to the services of one gateway, and what comes of their events.

    :param clock: the reactor's time.
    :param wan: is read at each hint.
    :ivar on_forgotten: called when the gateway had forgotten a subscription, so perhaps all else (F04).
    :ivar on_table: called when something changed in the table, ours or anybody's; at a bounded rate.
    :ivar on_link: called when the physical link changed.
    """

    def __init__(self, clock: IReactorTime, wan: WAN) -> None:
        self.on_forgotten: Callable[[], object] = _nothing
        self.on_table: Callable[[], object] = _nothing
        self.on_link: Callable[[], object] = _nothing
        self._clock = clock
        self._wan = wan
        self._observed: dict[RemoteService, Callable[[], None]] = {}
        self._line = LineEvents(clock, wan, lambda: self._observed)
        self._last: dict[RemoteService, LastTold] = {}
        self._pace = Pace()
        self._later: IDelayedCall | None = None

    @property
    def observed(self) -> tuple[RemoteService, ...]:
        """The services that are subscribed to."""
        return tuple(self._observed)

    def subscribe(self, services: Iterable[RemoteService]) -> None:
        """Hear these from now on. One that stays keeps its subscription: the device begins it anew where needed."""
        former, self._observed = self._observed, {}
        self._last.clear()
        self._line.begin()
        for remote in services:
            if remote.service.name not in _EVENTED or remote.service.event_url is None:
                continue
            if remote in former:
                self._observed[remote] = former.pop(remote)
                continue
            self._observed[remote] = remote.observe_events(
                functools.partial(self._evented, remote),
                on_missed=self._missed,
                on_state=functools.partial(self._told, remote),
            )
        for forget in former.values():
            forget()

    def verify(self) -> None:
        """Ask of each subscription whether the gateway still knows it."""
        for remote in self._observed:
            remote.verify_events()

    def end(self, *, unsubscribe: bool = True) -> None:
        """Hear no more.

        :param unsubscribe: not where the device is stopped: it ends the subscriptions and knows when that is done.
        """
        self._line.begin()
        if self._later is not None and self._later.active():
            self._later.cancel()
        observed, self._observed = self._observed, {}
        self._last.clear()
        for forget in observed.values() if unsubscribe else ():
            forget()

    # -- inside ------------------------------------------------------------------------------------------------------
    def _missed(self, reason: str) -> None:
        if reason == SUBSCRIPTION_LOST:
            self._line.found_lost()
            self.on_forgotten()
        else:
            self._wan.hint()

    def _told(self, remote: RemoteService, state: str) -> None:
        service = remote.device.labels.get(remote.service, remote.name)
        if state in ("refused", "failed"):
            _log.info("no events of {service} ({state}): polling instead", service=service, state=state)
        else:
            _log.debug("events of {service}: {state}", service=service, state=state)

    def _evented(self, remote: RemoteService, event: Event) -> None:
        values = event.values
        self._line.heard(remote, values)
        changed = self._last.setdefault(remote, LastTold()).take(values)
        if "PhysicalLinkStatus" in changed:
            self.on_link()
        if values.keys() - set(_TABLE_VARIABLES):
            # an event without news is the first of two: miniupnpd tells the old value, and may lose the other (Q161)
            of_the_table = bool(changed) and changed.issubset(_TABLE_VARIABLES)
            self._wan.hint(likely=not event.initial and not of_the_table)
        waiting = self._later is not None and self._later.active()
        if not event.initial and changed.intersection(_TABLE_VARIABLES) and not waiting:
            self._later = self._clock.callLater(self._pace.wait(self._clock.seconds()), lambda: self.on_table())


def _nothing() -> None:
    """Nobody is to hear."""
