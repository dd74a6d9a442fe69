"""The WAN side of a gateway: read, hinted at by events, cross-checked by a poll, told to observers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import ExchangeError, NoConnection, Stopped, TxigdError
from txigd.igd.connection import Connection
from txigd.igd.status import Learned, Reading, WANStatus, choose
from txigd.igd.watched import Watched
from txigd.interfaces import IWANObserver
from txigd.limits import (
    BYEBYE_PROBE_SECONDS,
    CALM_SECONDS,
    CONFIRM_SECONDS,
    FLAP_SECONDS,
    FLAP_STEPS,
    POLL_SECONDS,
    SETTLE_CEILING_SECONDS,
    SETTLE_SECONDS,
    SOON_SECONDS,
    UNREACHABLE_READS,
    UPTIME_FALL_CEILING_SECONDS,
)

_log = log.logger("txigd.wan")


class WAN:
    """The live WAN connection of one gateway.

    Events are hints: a burst of them is followed by a read, soon by another one unless the first brought news, and by
    a last one a moment later, since gateways event the old value first and lose the last (miniupnpd loses 10-31 % of
    address changes). A poll finds what is never evented, link drops above all.

    :param clock: the reactor's time.
    :param poll_seconds: period of the cross-check.
    """

    def __init__(self, clock: IReactorTime, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._watched: Watched[WANStatus] = Watched(clock, WANStatus())
        self._forget: dict[object, Callable[[], None]] = {}
        self._connections: Sequence[Connection] = ()
        self._readings: tuple[Reading, ...] = ()
        self._live = 0
        self._chosen: Connection | None = None
        self._default = -1
        self._failures = 0
        self._failed_at = 0.0
        self._uptime: int | None = None
        self._fell_at, self._fall_pause = -math.inf, BYEBYE_PROBE_SECONDS
        self._opening = False
        self._reading: Deferred[None] | None = None
        self._again: Learned | None = None
        self._calls: dict[str, IDelayedCall] = {}
        self._hinted_at: float | None = None
        self._likely = False
        self._told_at: deque[float] = deque(maxlen=FLAP_STEPS)
        self._held: WANStatus | None = None
        self._stopped = False
        self.on_unreachable: Callable[[], object] = lambda: None
        self.on_uptime_fell: Callable[[], object] = lambda: None
        self.on_live: Callable[[Connection], object] = lambda connection: None
        self.on_up: Callable[[], object] = lambda: None
        self.on_news: Callable[[], object] = lambda: None

    # -- for everybody ---------------------------------------------------------------------------------------------
    @property
    def status(self) -> WANStatus:
        """The last known state, as it was told to observers."""
        return self._watched.value

    @property
    def connection(self) -> Connection:
        """The service that carries the traffic.

        :raises NoConnection: when the gateway has none.
        """
        if not self._connections:
            raise NoConnection
        return self._connections[self._live]

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connection services, in document order."""
        return tuple(self._connections)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What each of :attr:`connections` answered last; empty before they were read."""
        return self._readings

    def observe(self, observer: IWANObserver) -> None:
        """Tell an :class:`txigd.interfaces.IWANObserver` of every change from now on; once, however often it is asked.

        One that observes already misses nothing: a change that is about to be told is still told to it.
        """
        if observer not in self._forget:
            self._forget[observer] = self._watched.observe(IWANObserver(observer).wan_changed)

    def forget(self, observer: IWANObserver) -> None:
        """Tell it no more."""
        forget = self._forget.pop(observer, None)
        if forget is not None:
            forget()

    def when(self, predicate: Callable[[WANStatus], bool], timeout: float | None = None) -> Deferred[WANStatus]:
        """A fresh Deferred of the first status, the present one included, for which ``predicate`` is true.

        It errbacks with :class:`txigd.errors.WaitTimeout` after ``timeout`` seconds, and with
        :class:`txigd.errors.Stopped` when the control point is stopped.
        """
        return self._watched.when(predicate, timeout)

    def refresh(self) -> Deferred[WANStatus]:
        """Read the state now.

        :return: errbacks with an :class:`txigd.errors.ExchangeError` when the gateway does not answer, with
            :class:`txigd.errors.NoConnection` when it has no connection service.
        """
        return Deferred.fromCoroutine(self._read(Learned.READ))

    # -- for the gateway ---------------------------------------------------------------------------------------------
    async def use(self, connections: Sequence[Connection], default: int = -1) -> None:
        """Take the connection services of a (new) description, read them all and choose.

        :param default: index of the service that Layer3Forwarding names, or -1.
        :raises NoConnection: when there is none.
        :raises ExchangeError: when none answers.
        """
        if not connections:
            raise NoConnection
        self._connections, self._default = tuple(connections), default
        self._readings = ()
        self._uptime = None
        self._live = 0
        self._failures = 0
        self._opening = True
        try:
            await self._read_all(Learned.READ)
        finally:
            self._opening = False
        self._schedule("poll", self._poll_seconds, self._poll)
        self._catch_up()

    def hint(self, *, likely: bool = True) -> None:
        """An event told of something: read when the burst has settled, and once more a moment later.

        :param likely: whether this is what it told of: a read without news is then soon repeated.
        """
        if self._stopped or not self._connections:
            return
        now = self._clock.seconds()
        if self._hinted_at is None:
            self._hinted_at = now
        self._likely = self._likely or likely
        latest = self._hinted_at + SETTLE_CEILING_SECONDS
        self._schedule("settle", max(0.0, min(SETTLE_SECONDS, latest - now)), self._settled)
        self._schedule("confirm", CONFIRM_SECONDS, lambda: self._read_soon(Learned.EVENT))
        if self._held is not None:
            self._schedule("calm", CALM_SECONDS, self._calmed)

    def lost(self) -> None:
        """The gateway is gone: read nothing until the next :meth:`use`; observers and waiters stay."""
        self._rest()
        if self.status.learned is not Learned.NOTHING:
            self._publish(replace(self.status, reachable=False, learned=Learned.READ))

    def stop(self) -> None:
        """Read no more; waiters hear :class:`txigd.errors.Stopped`."""
        self._stopped = True
        self._rest()
        self._watched.close(Stopped())

    # -- inside ------------------------------------------------------------------------------------------------------
    def _rest(self) -> None:
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls.clear()
        self._hinted_at = self._held = self._again = None
        self._likely = False
        if self._reading is not None:
            self._reading.cancel()

    def _schedule(self, name: str, seconds: float, function: Callable[[], object]) -> None:
        if self._stopped:
            return
        self._unschedule(name)
        self._calls[name] = self._clock.callLater(seconds, function)

    def _unschedule(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None and call.active():
            call.cancel()

    def _settled(self) -> None:
        self._hinted_at = None
        likely, self._likely = self._likely, False
        if likely:
            self._schedule("soon", SOON_SECONDS, lambda: self._read_soon(Learned.EVENT))
        self._read_soon(Learned.EVENT)

    def _poll(self) -> None:
        self._schedule("poll", self._poll_seconds, self._poll)
        self._read_soon(Learned.POLL)

    def _read_soon(self, learned: Learned) -> None:
        """One read at a time; what is asked for meanwhile is read once afterwards."""
        if self._stopped:
            return
        if self._reading is not None or self._opening:
            self._again = learned
            return

        def done(result: object) -> None:
            self._reading = None
            self._catch_up()

        reading = self._reading = Deferred.fromCoroutine(self._read_quietly(learned))
        reading.addBoth(done)

    def _catch_up(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            self._read_soon(again)

    async def _read_quietly(self, learned: Learned) -> None:
        try:
            await self._read(learned)
        except CancelledError:
            pass
        except TxigdError as error:
            _log.debug("reading the WAN state failed: {error}", error=str(error))
        except Exception:
            _log.failure("reading the WAN state failed")

    async def _read(self, learned: Learned) -> WANStatus:
        """Read the live connection; when it is not up, look whether another one took over."""
        connection = self.connection
        try:
            reading = await connection.read(is_default=self._live == self._default)
        except ExchangeError:
            if connection is self.connection:
                self._failed(learned)
            raise
        status = reading.status(learned)
        if connection is not self.connection:
            return status  # described again meanwhile
        if self._fell_silent(reading) and self._asked_again(learned):
            return self.status
        self._compare_uptime(status)
        self._readings = (*self._readings[: self._live], reading, *self._readings[self._live + 1 :])
        self._failures = 0
        if len(self._connections) > 1 and not (status.connected and status.external_ip):
            return await self._read_all(learned)
        self._publish(status)
        return status

    def _fell_silent(self, reading: Reading) -> bool:
        """Whether a connection that told its state refuses to: some do for a moment."""
        return not reading.answered and bool(self._readings) and self._readings[self._live].answered

    def _asked_again(self, learned: Learned) -> bool:
        """A read that told nothing is asked again in a moment before it counts. Failures close together are one."""
        now = self._clock.seconds()
        if self._failures and now < self._failed_at + CONFIRM_SECONDS:
            return True
        self._failures += 1
        self._failed_at = now
        if self._failures < UNREACHABLE_READS:
            self._schedule("confirm", CONFIRM_SECONDS, lambda: self._read_soon(learned))
            return True
        return self._stopped

    def _failed(self, learned: Learned) -> None:
        """No answer: asked again in a moment, and then it counts as unreachable."""
        if self._asked_again(learned):
            return
        if self.status.learned is not Learned.NOTHING:
            self._publish(replace(self.status, reachable=False, learned=learned))
        self.on_unreachable()

    def _compare_uptime(self, status: WANStatus) -> None:
        """A fall is no news of the line (Q150), but its gateway may have begun anew (Q142).

        Some count at random: one that falls again and again is believed ever less often.
        """
        now, before = status.uptime_seconds, self._uptime
        if not status.connected or now is None:
            return
        self._uptime = now
        if before is None or now >= before:
            return
        calm = self._clock.seconds() - self._fell_at
        if calm >= self._fall_pause:
            again = min(self._fall_pause * 2, UPTIME_FALL_CEILING_SECONDS)
            self._fall_pause = BYEBYE_PROBE_SECONDS if calm > 2 * self._fall_pause else again
            self._fell_at = self._clock.seconds()
            self.on_uptime_fell()

    async def _read_all(self, learned: Learned) -> WANStatus:
        connections, before = self._connections, self.status.service
        readings: list[Reading] = []
        error: ExchangeError | None = None
        for index, connection in enumerate(connections):
            try:
                readings.append(await connection.read(is_default=index == self._default))
            except ExchangeError as this:
                error = this
                readings.append(Reading(connection.name))
        if error is not None and not any(reading.answered for reading in readings):
            raise error
        live = choose(readings, self._before(connections))
        status = readings[live].status(learned)
        if connections is not self._connections:
            return status  # described again meanwhile
        self._readings, self._chosen = tuple(readings), connections[live]
        if before and before != status.service:
            _log.info("WAN connection moves to {service}", service=status.service)
        moved, self._live = live != self._live, live
        self._publish(status)
        if moved and not self._opening:
            self.on_live(self.connection)
        return status

    def _before(self, connections: Sequence[Connection]) -> int | None:
        """Index of the connection that was chosen last, also of an earlier description; None where it is not there."""
        if self._chosen is None:
            return None
        was = self._chosen
        same = [i for i, one in enumerate(connections) if one is was or (one.udn and one.udn == was.udn)]
        return same[0] if same else None

    # -- telling -----------------------------------------------------------------------------------------------------
    def _publish(self, status: WANStatus) -> None:
        """Tell what is new. A line that flaps is told when it falls, and otherwise once it is calm (F38, Q147)."""
        old, now = self.status, self._clock.seconds()
        if status.differs(old) and status.usable:
            self._unschedule("soon")  # these are the news, and not half of them
        if not status.differs(old):
            self._held = None
            self._watched.value = replace(status, learned=old.learned)  # the same news: how it was learned stands
        elif old.learned is Learned.NOTHING:
            self._watched.set(status, silent=True)
        elif self._flaps(now) and not (old.connected and not status.connected):
            if self._held is None or status.differs(self._held):
                self._schedule("calm", CALM_SECONDS, self._calmed)
            self._held = status
        else:
            _log.debug("WAN: {old} -> {new}", old=str(old), new=str(status))
            self._held = None
            self._tell(status)

    def _flaps(self, now: float) -> bool:
        return len(self._told_at) == FLAP_STEPS and now - self._told_at[0] < FLAP_SECONDS

    def _calmed(self) -> None:
        status, self._held = self._held, None
        if status is not None and status.differs(self.status):
            self._tell(status)

    def _tell(self, status: WANStatus) -> None:
        old = self.status
        self._told_at.append(self._clock.seconds())
        self._watched.set(status)
        if not self._opening:
            self.on_news()
        if status.usable and not old.usable:
            self.on_up()
