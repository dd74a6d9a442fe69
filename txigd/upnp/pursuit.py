"""Looks for what is missing: searches again, and asks where it is to be or was.

Knows the table of devices and a clock; what counts as found, and where to ask, its subclasses decide.
Sources: faults F02, F03, F20, F56, threats A4, D3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from txigd.errors import AddressingError, DescriptionError, ExchangeError, TxigdError
from txigd.limits import (
    HTTP_PATIENT_SECONDS,
    HTTP_TOTAL_SECONDS,
    NAMED_RETRY_CEILING_SECONDS,
    REMEMBERED_PLACES,
    SEARCH_AGAIN_SECONDS,
)
from txigd.upnp.devices import Devices
from txigd.upnp.remote_device import RemoteDevice, Tables, own_table
from txigd.upnp.url import DeviceURL, IPAddress


class Pursuit(Devices):
    """Devices that are looked for until there are enough.

    Announcements get lost, and some networks drop all of SSDP. So it is searched again, at growing distances; and who
    was named, or is remembered, is asked again and again where it is to be, which needs no SSDP.

    :ivar named: the one device to use, if the user named one.
    """

    def __init__(self, reactor: Any, tables: Tables = own_table, named: DeviceURL | IPAddress | None = None) -> None:
        super().__init__(reactor, tables)
        self.named = named
        self._pursuit: Deferred[None] | None = None
        self._calls: dict[str, IDelayedCall] = {}

    # -- what subclasses decide ----------------------------------------------------------------------------------------
    @property
    def satisfied(self) -> bool:
        """Whether what was looked for is found; until then it is searched for again and again."""
        return any(not device.aside for device in self._devices.values())

    def remembered(self) -> Sequence[DeviceURL]:
        """Where to ask for what is not announced, the likeliest first; only where asking is allowed (A4)."""
        return ()

    def named_failed(self, error: TxigdError) -> None:
        """The device that the user named does not answer as one; it is tried again."""

    def matters(self, location: DeviceURL) -> bool:
        """What the user named matters as well."""
        return self.named is not None or super().matters(location)

    # -- when ----------------------------------------------------------------------------------------------------------
    def _begin_pursuit(self) -> None:
        """The first search is under way by itself."""
        self._again("search", SEARCH_AGAIN_SECONDS[0], functools.partial(self._search, 1))
        self._pursue()

    def _gone(self, device: RemoteDevice) -> None:
        """What was in use is looked for at once, but in a turn of its own: perhaps another one takes its place now."""
        super()._gone(device)
        if self.running and not self.satisfied:
            self._again("search", 0.0, functools.partial(self._search, 0))
            self._pursue()

    def _search(self, step: int) -> None:
        """Search unless it is found, and think of it again after the pause of this step (F56)."""
        pause = SEARCH_AGAIN_SECONDS[min(step, len(SEARCH_AGAIN_SECONDS) - 1)]
        self._again("search", pause, functools.partial(self._search, step + 1))
        if not self.satisfied and self.discovery is not None:
            self.discovery.search()

    def _again(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        """Do it then, instead of when it was to be done under this name; never where it was stopped meanwhile."""
        if not self.running:
            return
        former = self._calls.get(name)
        if former is not None and former.active():
            former.cancel()
        self._calls[name] = self.reactor.callLater(seconds, function)

    # -- where ---------------------------------------------------------------------------------------------------------
    def _pursue(self) -> None:
        """Ask around until it is found, for ever; one such task at a time."""
        nothing = self.named is None and self.discovery is None
        if nothing or not self.running or self._pursuit is not None:
            return

        def over(result: object) -> None:
            self._pursuit = None

        self._pursuit = pursuit = self._background(self._ask_around())
        pursuit.addBoth(over)

    async def _ask_around(self) -> None:
        pause = 1.0
        while not self.satisfied:
            await self._ask_named()
            await self._sleep(pause)  # who is announced needs not be remembered
            await self._ask_remembered()
            pause = min(pause * 2, NAMED_RETRY_CEILING_SECONDS)

    async def _ask_named(self) -> None:
        """Of an address only a search, by unicast, tells the URL of its description."""
        if isinstance(self.named, DeviceURL):
            await self._ask_at(self.named, HTTP_PATIENT_SECONDS)
        elif self.named is not None and self.discovery is not None and not self.discovery.probe(self.named):
            self.named_failed(AddressingError("no link in use leads there"))

    async def _ask_remembered(self) -> None:
        """One place after the other, so that what is announced meanwhile is described without delay."""
        places = () if self.satisfied else self.remembered()[:REMEMBERED_PLACES]
        if self.named is None and self.discovery is not None:
            for host in dict.fromkeys(place.host for place in places):
                self.discovery.probe(host)  # it may have moved to another port (F03)
        for place in places:
            if place != self.named and not self.satisfied:
                await self._ask_at(place, HTTP_TOTAL_SECONDS)

    async def _ask_at(self, location: DeviceURL, seconds: float) -> None:
        if self._device_at(location) is not None:
            return
        try:
            self._take(await self._fetches.once(self.exchange, location, seconds=seconds), None)
        except (ExchangeError, DescriptionError) as error:
            if location == self.named:
                self.named_failed(error)
        else:
            self._reconsider()  # another of its trees may have been sighted before it was known (Q197)
