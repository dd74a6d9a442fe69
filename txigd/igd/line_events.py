"""Whether the events of the line still come. A gateway that dropped its subscriber without a word sends nothing (Q174).

Knows a clock, the WAN side and the services that are observed: what was read, and no event told, puts a subscription in
doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.igd.status import LINE_VARIABLES
from txigd.igd.wan import WAN
from txigd.limits import EVENT_LATE_SECONDS, EVENTS_DOUBT_CEILING_SECONDS, EVENTS_DOUBT_SECONDS
from txigd.upnp.remote_service import RemoteService

_log = log.logger("txigd.gateway")


class LineEvents:
    """The subscription to the connection in use, compared with what is read of it.

    :param clock: the reactor's time.
    :param wan: tells of news, however they were learned.
    :param observed: the services that are subscribed to.
    """

    def __init__(self, clock: IReactorTime, wan: WAN, observed: Callable[[], Iterable[RemoteService]]) -> None:
        self._clock = clock
        self._wan = wan
        self._observed = observed
        self._told: dict[RemoteService, dict[str, Any]] = {}
        self._heard_at: dict[RemoteService, float] = {}
        self._news_at = -math.inf
        self._judging: IDelayedCall | None = None
        self._doubted_at, self._pause = -math.inf, EVENTS_DOUBT_SECONDS
        wan.on_news = self._news

    def heard(self, remote: RemoteService, values: Mapping[str, Any]) -> None:
        """An event of this service came."""
        told = {name: values[name] for name in LINE_VARIABLES if name in values}
        self._told[remote] = {**self._told.get(remote, {}), **told}
        self._heard_at[remote] = self._clock.seconds()

    def found_lost(self) -> None:
        """A subscription was indeed forgotten: the next doubt is as good as the first."""
        self._pause = EVENTS_DOUBT_SECONDS

    def begin(self) -> None:
        """Whatever is subscribed to begins anew, and tells all it has; or nothing is subscribed to any more."""
        if self._judging is not None and self._judging.active():
            self._judging.cancel()
        self._told.clear()
        self._heard_at.clear()

    # -- inside ------------------------------------------------------------------------------------------------------
    def _news(self) -> None:
        """An event may be a moment later than the read."""
        self._news_at = self._clock.seconds()
        if self._judging is None or not self._judging.active():
            self._judging = self._clock.callLater(EVENT_LATE_SECONDS, self._judge)

    def _judge(self) -> None:
        now, status = self._clock.seconds(), self._wan.status
        live = self._wan.connection.proxy if self._wan.connections else None
        remote = next((one for one in self._observed() if one.proxy is live), None)
        if remote is None or remote.eventing != "subscribed" or not status.reachable:
            return
        if self._heard_at.get(remote, -math.inf) >= self._news_at - EVENT_LATE_SECONDS:
            return  # they come; what is told wrong or not at all is read (Q161)
        if remote in self._told and status.agrees(self._told[remote]):
            return
        allowed = self._doubted_at + self._pause
        if now < allowed:
            self._judging = self._clock.callLater(allowed - now, self._judge)
            return
        self._doubted_at, self._pause = now, min(2 * self._pause, EVENTS_DOUBT_CEILING_SECONDS)
        _log.debug("no event of {service} told the news: asking whether it still knows us", service=remote.name)
        remote.verify_events()
