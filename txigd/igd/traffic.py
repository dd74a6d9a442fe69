"""Counters of a gateway as they are told, unwrapped into rates. Pure: time is an argument.

Sources: WANCommonInterfaceConfig:1 (ui4 counters), quirk Q152 (negative, wraps at 2^31 or 2^32, stuck at the largest
value, reset on reconnect), U05 of what users want: "unknown" instead of a nonsense rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from txigd.limits import RATE_CEILING

WIDTHS: Final = (31, 32)  # bits at which counters wrap; one that was seen above 2^32 never does in practice
# A counter that stopped at the largest number of its type counts nothing any more; -1 is what some say for "unknown".
_STUCK: Final = frozenset({2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1})
# What a wrap may imply: so much more than the fastest rate seen, than the line carries, or this where that is unknown.
_FASTER: Final = 4.0
_LINE_SLACK: Final = 1.25
_UNKNOWN_LINE: Final = 12_500_000.0  # octets a second, 100 Mbit/s


@dataclass(frozen=True, slots=True)
class TrafficCounters:
    """What passed the WAN interface, in octets and packets. None is unknown: not offered, refused or nonsense.

    As told by a gateway the numbers wrap and begin anew; as totals of :class:`Traffic` they only grow.
    """

    bytes_sent: int | None = None
    bytes_received: int | None = None
    packets_sent: int | None = None
    packets_received: int | None = None

    def __iter__(self) -> Iterator[int | None]:
        return (getattr(self, name) for name in NAMES)

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return any(value is not None for value in self)

    @property
    def usable(self) -> TrafficCounters:
        """The same through :func:`counter_value`: what says nothing is None."""
        return TrafficCounters(*map(counter_value, self))


NAMES: Final = tuple(one.name for one in fields(TrafficCounters))


@dataclass(frozen=True, slots=True)
class TrafficRate:
    """Octets and packets a second between two readings. None is unknown: the first reading, a reset, or nonsense."""

    bytes_sent: float | None = None
    bytes_received: float | None = None
    packets_sent: float | None = None
    packets_received: float | None = None


def counter_value(told: object) -> int | None:
    """A counter as it was told, on the scale from zero up; None where it says nothing.

    A negative number is one that was printed as signed: it is taken modulo 2^32, also where it went through an unsigned
    64-bit type on the way. The largest number of a type is where counters get stuck, and what -1 becomes (Q152).

    >>> counter_value(-531985522), counter_value(4294967295), counter_value(5_000_000_000)
    (3762981774, None, 5000000000)
    """
    if not isinstance(told, int) or isinstance(told, bool) or not -(2**63) <= told < 2**64:
        return None
    value = told - 2**64 if told >= 2**63 and told not in _STUCK else told
    if value < 0:
        value = value % 2**32 if value >= -(2**31) else -1
    return None if value < 0 or value in _STUCK else value


class Counter:
    """One counter: readings in, rate out.

    A reading below the last one is a wrap or a reset. It is a wrap where the step over the end of 31 or 32 bits is less
    than half of that range and no faster than the line, or the fastest rate seen, allow; the counter has never been
    above that end; and nothing says that the gateway began anew. Otherwise it is a reset, and the first rise after it
    is held to the same rates, for some values flap (U05). When in doubt the rate is unknown. A counter that wraps more
    than once between two readings cannot be told from a slow one.

    :ivar total: units counted since the first reading, None before it; what passed around a reset is not in it.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._last: tuple[int, float] | None = None
        self._highest = 0
        self._fastest = 0.0
        self._doubtful = False

    def feed(
        self, told: object, now: float, *, line_rate: float | None = None, restarted: bool = False
    ) -> float | None:
        """Take a reading.

        :param told: the number as the gateway gave it; None where there is none this time.
        :param now: seconds of a monotonic clock.
        :param line_rate: units a second that the line can carry; None where unknown.
        :param restarted: the gateway rebooted or reconnected since the last reading.
        :return: units a second since the last reading, or None.
        """
        value = counter_value(told)
        if value is None:
            if told is not None or restarted:
                self._last = None  # stuck: what it counts next has nothing to do with what it counted before
            return None
        last, self._last = self._last, (value, now)
        elapsed = 0.0 if last is None else now - last[1]
        step = None
        if last is not None and not restarted and elapsed > 0.0:
            step = self._step(last[0], value, elapsed, line_rate)
            self._doubtful = step is None
        self._highest = max(self._highest, value)
        self.total = (self.total or 0) + (step or 0)
        if step is None:
            return None
        rate = step / elapsed
        self._fastest = max(self._fastest, rate)
        return rate

    def _step(self, old: int, new: int, elapsed: float, line_rate: float | None) -> int | None:
        """The units between two readings, or None where the second one has nothing to do with the first."""
        line = _LINE_SLACK * line_rate if line_rate else _UNKNOWN_LINE
        ceiling = max(_FASTER * self._fastest, line)
        if new >= old:
            return new - old if new - old <= (ceiling if self._doubtful else RATE_CEILING) * elapsed else None
        for bits in WIDTHS:
            end = 1 << bits
            step = new - old + end
            if self._highest < end and step <= end // 2 and step <= ceiling * elapsed:
                return step
        return None

    def falls(self, told: object) -> bool:
        """Whether this reading is below the last one."""
        value = counter_value(told)
        return value is not None and self._last is not None and value < self._last[0]


class Traffic:
    """All counters of one WAN interface.

    Wraps come one at a time. Where several counters fall at once, the gateway began anew.

    :ivar rate: between the last two readings.
    """

    def __init__(self) -> None:
        self._counters = {name: Counter() for name in NAMES}
        self._uptime: int | None = None
        self.rate = TrafficRate()

    def feed(
        self,
        counters: TrafficCounters,
        now: float,
        *,
        uptime_seconds: int | None = None,
        line_rates: tuple[float | None, float | None] = (None, None),
        restarted: bool = False,
    ) -> TrafficRate:
        """Take a reading of all counters.

        :param counters: as told; see :func:`counter_value` for what is understood.
        :param now: seconds of a monotonic clock.
        :param uptime_seconds: of the connection. A fall of it makes a fall of a counter a reset; alone it proves
            nothing (Q150).
        :param line_rates: octets a second that the line carries up and down. They only help to tell wraps from resets,
            for many gateways report fancy numbers (Q153).
        :param restarted: the gateway rebooted or reconnected since the last reading: no rates this time.
        """
        began = uptime_seconds is not None and self._uptime is not None and uptime_seconds < self._uptime
        if uptime_seconds is not None:
            self._uptime = uptime_seconds
        told = dict(zip(NAMES, counters, strict=True))
        fallen = {name for name, counter in self._counters.items() if counter.falls(told[name])}
        reset = set(NAMES) if restarted else fallen if began or len(fallen) > 1 else set()
        lines = {"bytes_sent": line_rates[0], "bytes_received": line_rates[1]}
        rates = {
            name: counter.feed(told[name], now, line_rate=lines.get(name), restarted=name in reset)
            for name, counter in self._counters.items()
        }
        self.rate = TrafficRate(**rates)
        return self.rate

    @property
    def totals(self) -> TrafficCounters:
        """What was counted since the first reading, without wraps and resets; None for what never was told."""
        return TrafficCounters(**{name: counter.total for name, counter in self._counters.items()})
