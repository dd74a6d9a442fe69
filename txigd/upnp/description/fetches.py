"""When descriptions are fetched: not twice at once, not too many, not again right after a failure.

Knows the exchange and a clock; what a device is to its owner (patience, again) is an argument. Sources: threats section
4 (description fetches), quirks Q052, Q056.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, succeed
from twisted.internet.interfaces import IReactorTime

from txigd.errors import DescriptionError, ExchangeError
from txigd.interfaces import IExchange
from txigd.limits import (
    BOOT_RETRY_SECONDS,
    DESCRIPTION_FETCHES,
    DESCRIPTION_FETCHES_PER_MINUTE,
    DESCRIPTION_RETRY_CEILING_SECONDS,
    DESCRIPTION_RETRY_SECONDS,
    DOUBT_AGAIN_SECONDS,
    HTTP_PATIENT_SECONDS,
    HTTP_TOTAL_SECONDS,
    SIGHTINGS,
)
from txigd.upnp.description.device import Description
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.url import DeviceURL


class _Tries:
    """What is under way at one location."""

    def __init__(self) -> None:
        self.running: Deferred[Description] | None = None
        self.anew = False

    def begin_anew(self) -> None:
        """Forget pauses and silence; of no effect where there is one try only."""
        if self.running is not None:
            self.anew = True
            self.running.cancel()


class Fetches:
    """The description fetches of one control point, DESCRIPTION_FETCHES at once."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._turns = DeferredSemaphore(DESCRIPTION_FETCHES)
        self._under_way: dict[DeviceURL, _Tries] = {}
        self._failed: dict[DeviceURL, tuple[float, float]] = {}  # until when not again, and the pause that was
        self._begun_at: list[float] = []

    def get(
        self, exchange: IExchange, location: DeviceURL, *, patient: bool, again: bool, anew: bool = False
    ) -> Deferred[Description | None]:
        """Fetch a description if it is time to.

        :param exchange: fetches it.
        :param patient: try for a minute, and however many were fetched: the device is in use, named, or the next hop.
        :param again: although it failed a moment ago.
        :param anew: the device told that it restarted: what is under way is tried at once and for another minute (F01).
        :return: fires with None where it is under way already, failed a moment ago or too many were fetched in this
            minute; errbacks with :class:`~txigd.errors.ExchangeError` or :class:`~txigd.errors.DescriptionError`.
        """
        tries = self._under_way.get(location)
        if tries is not None:
            if anew:
                tries.begin_anew()
            return succeed(None)
        return Deferred.fromCoroutine(self._get(exchange, location, patient, again))

    def once(
        self, exchange: IExchange, location: DeviceURL, *, seconds: float = HTTP_TOTAL_SECONDS
    ) -> Deferred[Description]:
        """Fetch a description in one try, as soon as fewer than DESCRIPTION_FETCHES are under way."""
        return Deferred.fromCoroutine(self._once(exchange, location, seconds))

    def twice(self, exchange: IExchange, location: DeviceURL) -> Deferred[Description]:
        """Fetch the description of a device that may be gone: what fails once may be an accident (A5)."""
        return Deferred.fromCoroutine(self._twice(exchange, location))

    def under_way(self, location: DeviceURL) -> bool:
        """Whether :meth:`get` is at work on it."""
        return location in self._under_way

    async def _get(self, exchange: IExchange, location: DeviceURL, patient: bool, again: bool) -> Description | None:
        now = self._clock.seconds()
        until, pause = self._failed.get(location, (now, DESCRIPTION_RETRY_SECONDS / 2))
        if now < until and not again:
            return None
        if not patient and not self._may_begin(now):
            return None
        tries = self._under_way[location] = _Tries()
        try:
            if patient:
                description = await self._patiently(exchange, location, tries)
            else:
                description = await self._once(exchange, location, HTTP_TOTAL_SECONDS)
        except (ExchangeError, DescriptionError):
            self._failed.pop(location, None)
            if len(self._failed) >= SIGHTINGS:
                del self._failed[next(iter(self._failed))]
            pause = min(pause * 2, DESCRIPTION_RETRY_CEILING_SECONDS)
            # who is tried for a minute, is tried again whenever it says a word
            self._failed[location] = (self._clock.seconds() + (0.0 if patient else pause), pause)
            raise
        finally:
            del self._under_way[location]
        self._failed.pop(location, None)
        return description

    def _may_begin(self, now: float) -> bool:
        self._begun_at = [at for at in self._begun_at if now - at < 60.0]
        if len(self._begun_at) >= DESCRIPTION_FETCHES_PER_MINUTE:
            return False
        self._begun_at.append(now)
        return True

    async def _patiently(self, exchange: IExchange, location: DeviceURL, tries: _Tries) -> Description:
        while True:
            tries.running = Deferred.fromCoroutine(self._for_a_minute(exchange, location))
            try:
                return await tries.running
            except CancelledError:
                if not tries.anew:
                    raise
                tries.anew = False

    async def _for_a_minute(self, exchange: IExchange, location: DeviceURL) -> Description:
        """A booting gateway answers late, or with an empty page at first (Q052, Q056)."""
        deadline = self._clock.seconds() + BOOT_RETRY_SECONDS
        seconds, pause = HTTP_TOTAL_SECONDS, 1.0
        while True:
            try:
                return await self._once(exchange, location, seconds)
            except (ExchangeError, DescriptionError):
                if self._clock.seconds() >= deadline:
                    raise
            await _sleep(self._clock, pause)
            pause, seconds = pause * 2, HTTP_PATIENT_SECONDS

    async def _twice(self, exchange: IExchange, location: DeviceURL) -> Description:
        try:
            return await self._once(exchange, location, HTTP_TOTAL_SECONDS)
        except (ExchangeError, DescriptionError):
            await _sleep(self._clock, DOUBT_AGAIN_SECONDS)
        return await self._once(exchange, location, HTTP_TOTAL_SECONDS)

    async def _once(self, exchange: IExchange, location: DeviceURL, seconds: float) -> Description:
        await self._turns.acquire()
        try:
            return await fetch_description(exchange, location, seconds=seconds)
        finally:
            self._turns.release()


def _sleep(clock: IReactorTime, seconds: float) -> Deferred[None]:
    rest: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, rest.callback, None)
    return rest
