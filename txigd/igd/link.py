"""The WAN interface of a gateway: its line, its counters, and both watched over time. Thin.

Knows WANCommonInterfaceConfig through its proxy and a clock; what counters mean is in traffic.py.
Sources: WANCommonInterfaceConfig:1, the X_GetICSStatistics of Windows [MS-UPIGD], quirks Q150-Q153, U05.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import ActionNotOffered, ExchangeError, InvalidArgument, Stopped, TxigdError
from txigd.igd.asking import ask
from txigd.igd.services import typed
from txigd.igd.traffic import Traffic, TrafficCounters, TrafficRate, counter_value
from txigd.igd.watched import Watched
from txigd.limits import LINK_PROPERTIES_SECONDS, RATE_CEILING, TRAFFIC_SECONDS
from txigd.upnp.control.action import ServiceProxy

if TYPE_CHECKING:
    from txigd.igd.services import WANCommonInterfaceConfig1

ICS_STATISTICS: Final = "X_GetICSStatistics"
_COUNTERS: Final = ("GetTotalBytesReceived", "GetTotalBytesSent", "GetTotalPacketsReceived", "GetTotalPacketsSent")
_ACCESS_TYPES: Final = ("DSL", "POTS", "Cable", "Ethernet", "Other")
_LINK_STATES: Final = ("Up", "Down", "Initializing", "Unavailable")
_SHORTEST_SECONDS: Final = 1.0
_log = log.logger("txigd.link")


@dataclass(frozen=True, slots=True)
class LinkProperties:
    """What a gateway says of its line; information only, for many make it up (Q153).

    ``access_type`` is DSL, POTS, Cable, Ethernet, Other or what a vendor invented; ``physical_link_status`` Up, Down,
    Initializing, Unavailable or the like; both empty where unknown. Bit rates are bit/s, None where unknown.
    """

    access_type: str = ""
    physical_link_status: str = ""
    upstream_max_bit_rate: int | None = None
    downstream_max_bit_rate: int | None = None

    @property
    def up(self) -> bool | None:
        """Whether the line is up; None where that is unknown."""
        return {"Up": True, "Down": False, "Unavailable": False, "Initializing": False}.get(self.physical_link_status)

    @property
    def line_rates(self) -> tuple[float | None, float | None]:
        """Octets a second up and down."""
        up, down = self.upstream_max_bit_rate, self.downstream_max_bit_rate
        return None if up is None else up / 8, None if down is None else down / 8


def bit_rate(told: object) -> int | None:
    """A bit rate as it was told; None for 0, for a stuck number and for what no line carries."""
    value = counter_value(told)
    return value if value and value <= 8 * RATE_CEILING else None


def _word(told: object, known: tuple[str, ...]) -> str:
    text = "" if told is None else str(told).strip()
    return next((word for word in known if word.lower() == text.lower()), text)


@dataclass(frozen=True, slots=True)
class Statistics:
    """One reading of counters as the gateway told them; ``at`` is the time of the clock when the octets were read."""

    counters: TrafficCounters
    at: float
    uptime_seconds: int | None = None


class CommonInterface:
    """The WANCommonInterfaceConfig service of a gateway.

    :param proxy: calls its actions.
    :raises ActionNotOffered: for another service.
    """

    def __init__(self, clock: IReactorTime, proxy: ServiceProxy) -> None:
        self._clock = clock
        self._proxy = proxy
        service = typed(proxy)
        if service.standard.name != "WANCommonInterfaceConfig":
            raise ActionNotOffered(f"{service.standard.name} counts no traffic")
        self._service = cast("WANCommonInterfaceConfig1", service)

    def properties(self) -> Deferred[LinkProperties]:
        """Ask for the properties of the line; a gateway that does not tell them leaves all unknown.

        Errbacks with an :class:`txigd.errors.ExchangeError` when the gateway does not answer.
        """
        return ensureDeferred(self._properties())

    async def _properties(self) -> LinkProperties:
        told = await ask(self._proxy, "GetCommonLinkProperties", self._service.get_common_link_properties)
        if told is None:
            return LinkProperties()
        return LinkProperties(
            _word(told.wan_access_type, _ACCESS_TYPES),
            _word(told.physical_link_status, _LINK_STATES),
            bit_rate(told.layer1_upstream_max_bit_rate),
            bit_rate(told.layer1_downstream_max_bit_rate),
        )

    def statistics(self) -> Deferred[Statistics]:
        """Ask for the counters, and where none of them is offered for the statistics of Windows.

        Errbacks with an :class:`txigd.errors.ExchangeError` when the gateway does not answer.
        """
        return ensureDeferred(self._statistics())

    async def _statistics(self) -> Statistics:
        ask_for, service = self._ask_for, self._service
        received = await ask(self._proxy, _COUNTERS[0], service.get_total_bytes_received)
        sent = await ask_for(_COUNTERS[1], service.get_total_bytes_sent)
        at = self._clock.seconds()
        packets_received = await ask_for(_COUNTERS[2], service.get_total_packets_received)
        packets_sent = await ask_for(_COUNTERS[3], service.get_total_packets_sent)
        counters = TrafficCounters(sent, received, packets_sent, packets_received)
        if not counters.known and await self._offers_ics():
            told = await ask(self._proxy, ICS_STATISTICS, lambda: self._proxy.call(ICS_STATISTICS))
            if told is not None:
                return _ics(told, self._clock.seconds())
        return Statistics(counters, at)

    async def _offers_ics(self) -> bool:
        """No standard knows of it: the gateway's own description does, read once where all counters are refused."""
        if all(self._proxy.capabilities.get(name) == "refused" for name in _COUNTERS):
            await self._proxy.own_description()
        return self._proxy.table is not None and ICS_STATISTICS in self._proxy.table.actions

    async def _ask_for(self, action: str, call: Callable[[], Deferred[int]]) -> int | None:
        """As :func:`~txigd.igd.asking.ask`, for what is lost only by itself: the rest was answered."""
        try:
            return await ask(self._proxy, action, call)
        except ExchangeError:
            return None


def _ics(told: Mapping[str, Any], at: float) -> Statistics:
    def number(name: str) -> int | None:
        value = told.get(name, told.get("New" + name))
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    counters = TrafficCounters(
        number("TotalBytesSent"),
        number("TotalBytesReceived"),
        number("TotalPacketsSent"),
        number("TotalPacketsReceived"),
    )
    return Statistics(counters, at, counter_value(number("Uptime")))


@dataclass(frozen=True, slots=True)
class TrafficReading:
    """What a :class:`TrafficMeter` knows at one time.

    ``counters`` are what the gateway told, None where it makes no sense; ``totals`` what was counted since the meter
    started, without wraps and resets; ``rate`` is between this reading and the last one. ``uptime_seconds`` is that of
    the connection, or what the gateway takes for it (Q150). ``answered`` is False before the first reading and when
    the gateway did not answer.
    """

    counters: TrafficCounters = field(default_factory=TrafficCounters)
    totals: TrafficCounters = field(default_factory=TrafficCounters)
    rate: TrafficRate = field(default_factory=TrafficRate)
    link: LinkProperties = field(default_factory=LinkProperties)
    uptime_seconds: int | None = None
    answered: bool = False


class TrafficMeter:
    """Reads counters and line of a gateway again and again, and tells observers.

    Nothing is sent before :meth:`start`. What the gateway refuses is asked for once. At 1 Gbit/s a ui4 counter of
    octets wraps within 34 s; a longer interval makes such rates too low.

    :param clock: the reactor's time.
    :param proxy: of WANCommonInterfaceConfig.
    :param interval_seconds: between two readings, at least 1.
    :param connection: of the WANIPConnection or WANPPPConnection whose uptime is read along.
    :raises InvalidArgument: for an interval that is too short.
    :raises ActionNotOffered: where ``proxy`` is of another service.
    """

    def __init__(
        self,
        clock: IReactorTime,
        proxy: ServiceProxy,
        interval_seconds: float = TRAFFIC_SECONDS,
        *,
        connection: ServiceProxy | None = None,
    ) -> None:
        if not interval_seconds >= _SHORTEST_SECONDS:
            raise InvalidArgument(f"an interval of {interval_seconds} s is shorter than {_SHORTEST_SECONDS} s")
        self._clock = clock
        self._interface = CommonInterface(clock, proxy)
        self._connection = connection
        self._interval = interval_seconds
        self._traffic = Traffic()
        self._restarted = False
        self._beginnings = 0
        self._properties_at: float | None = None
        self._watched: Watched[TrafficReading] = Watched(clock, TrafficReading())
        self._call: IDelayedCall | None = None
        self._reading: Deferred[None] | None = None
        self.running = False
        self._stopped = False

    # -- for everybody -------------------------------------------------------------------------------------------------
    @property
    def value(self) -> TrafficReading:
        """The last reading."""
        return self._watched.value

    def observe(self, callback: Callable[[TrafficReading, TrafficReading], object]) -> Callable[[], None]:
        """Call ``callback(old, new)`` for each reading from now on.

        :return: a function that ends this.
        """
        return self._watched.observe(callback)

    def when(self, predicate: Callable[[TrafficReading], bool]) -> Deferred[TrafficReading]:
        """A fresh Deferred of the first reading, the present one included, for which ``predicate`` is true."""
        return self._watched.when(predicate)

    # -- for the owner -------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Read now, and then every ``interval_seconds``.

        :raises Stopped: after :meth:`stop`.
        """
        if self._stopped:
            raise Stopped
        if not self.running:
            self.running = True
            self._read()

    def stop(self) -> None:
        """Read no more; waiters hear :class:`txigd.errors.Stopped`. A call under way is closed."""
        if self._stopped:
            return
        self.running, self._stopped = False, True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._reading is not None:
            self._reading.cancel()
        self._watched.close(Stopped())

    def use(self, proxy: ServiceProxy, *, connection: ServiceProxy | None = None) -> None:
        """The gateway came back, or another connection took over: read from these from now on, as after a restart.

        :raises ActionNotOffered: where ``proxy`` is of another service.
        """
        self._interface = CommonInterface(self._clock, proxy)
        self._connection = connection
        self.restarted()

    def restarted(self) -> None:
        """The gateway rebooted or its connection was made anew: the next reading begins the count again (Q152)."""
        self._restarted = True
        self._beginnings += 1
        self._properties_at = None

    def link_changed(self) -> None:
        """An event told of PhysicalLinkStatus: the line is read along next time."""
        self._properties_at = None

    # -- inside --------------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        self._call = None
        began = self._clock.seconds()

        def done(result: object) -> None:
            self._reading = None
            if self.running:
                spent = self._clock.seconds() - began
                self._call = self._clock.callLater(max(self._interval - spent, self._interval / 10), self._read)

        reading = self._reading = ensureDeferred(self._read_quietly())
        reading.addBoth(done)

    async def _read_quietly(self) -> None:
        try:
            await self._read_once()
        except CancelledError:
            pass
        except TxigdError as error:
            _log.debug("reading the counters failed: {error}", error=str(error))
            self._tell(replace(self.value, counters=TrafficCounters(), rate=TrafficRate(), answered=False))
        except Exception:
            _log.failure("reading the counters failed")

    async def _read_once(self) -> None:
        beginnings = self._beginnings
        statistics = await self._interface.statistics()
        link, uptime = self.value.link, statistics.uptime_seconds
        try:
            if uptime is None:
                uptime = await self._uptime()
            link = await self._link()
        except ExchangeError:
            if not statistics.counters.known:
                raise
        if beginnings != self._beginnings:  # asked before that: whose numbers these are, nobody knows
            self._properties_at = None
            return
        restarted, self._restarted = self._restarted, False
        rate = self._traffic.feed(
            statistics.counters,
            statistics.at,
            uptime_seconds=uptime,
            line_rates=link.line_rates,
            restarted=restarted,
        )
        self._tell(TrafficReading(statistics.counters.usable, self._traffic.totals, rate, link, uptime, answered=True))

    async def _uptime(self) -> int | None:
        connection = self._connection
        if connection is None:
            return None
        told = await ask(connection, "GetStatusInfo", lambda: connection.call("GetStatusInfo"))
        value = None if told is None else told.get("NewUptime")
        return counter_value(value) if isinstance(value, int) and value >= 0 else None

    async def _link(self) -> LinkProperties:
        now = self._clock.seconds()
        if self._properties_at is not None and now - self._properties_at < LINK_PROPERTIES_SECONDS:
            return self.value.link
        link = await self._interface.properties()
        self._properties_at = now
        return link

    def _tell(self, reading: TrafficReading) -> None:
        if self.running:
            self._watched.set(reading)
