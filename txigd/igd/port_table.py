"""The port mapping table of one WAN connection service, read by action: by index, and as lists. Thin.

Knows the service through its proxy, and the document inside a list through :mod:`txigd.igd.port_listing`.
Sources: WANIPConnection:1 and :2 (GetGenericPortMappingEntry, GetListOfPortMappings), quirks Q101, Q104, Q137, Q138.
"""

from __future__ import annotations

from typing import Any, Final

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    InvalidArgument,
    TxigdError,
)
from txigd.igd import port_listing
from txigd.igd.mapping import PROTOCOLS, PortMappingEntry
from txigd.igd.port_listing import Ranges
from txigd.limits import MAPPING_LIST_SAFE, MAPPING_WALK
from txigd.upnp.control.action import REFUSALS, ServiceProxy

NO_ENTRY: Final = frozenset({713, 714})
_END: Final = frozenset({*NO_ENTRY, 402})
_NONE_LISTED: Final = frozenset({*NO_ENTRY, 730})
_WALK: Final = "GetGenericPortMappingEntry"
_LIST: Final = "GetListOfPortMappings"
_SILENCE: Final = (ConnectFailed, ExchangeTimeout)

Place = tuple[str, int, str]


class PortTable:
    """One reading of the table of ``proxy``'s service.

    :param due: by when its calls should be done; what is due first goes first.
    :ivar found: what it read, by place.
    :ivar complete: whether what was found is surely all of it.
    :ivar broke_off: what the walk ended with, where that is no end of a table: there may be more.
    """

    def __init__(self, proxy: ServiceProxy, *, due: float | None = None) -> None:
        self._proxy = proxy
        self._due = due
        self.found: dict[Place, PortMappingEntry] = {}
        self.broke_off: TxigdError | None = None
        self._refusal: TxigdError | None = None
        self._listed = False
        self.complete = False

    async def read(self) -> list[PortMappingEntry]:
        """Walk it by index, and complete it by lists: a gateway may leave something out of either (Q138).

        :raises ExchangeError: when the gateway fell silent.
        :raises ActionError: when it refused the first index with something else than "no such entry", and the lists
            as well.
        :raises ActionNotOffered: as before, where its description has no walk.
        """
        await self.walk()
        # miniupnpd 2.3.1 dies of a list of more than 132 entries; its walk always works, so that a table of unknown
        # size is none of its
        if self.offers_list and len(self.found) <= MAPPING_LIST_SAFE:
            await self._read_lists()
        if self._refusal is not None and not self._listed:
            raise self._refusal
        return list(self.found.values())

    async def walk(self, first: int = 0, end: int = MAPPING_WALK) -> None:
        """From an index to the first refusal, a repeated entry or a cap, whichever the gateway offers (Q137).

        :raises ExchangeError: when the gateway fell silent.
        """
        for index in range(first, end):
            try:
                told = await self._proxy.call(_WALK, due=self._due, NewPortMappingIndex=index)
            except _SILENCE:
                raise
            except (ActionError, ActionNotOffered, ExchangeError) as error:
                self.complete = isinstance(error, ActionError) and error.code in _END
                if index == 0 and not self.complete:
                    self._refusal = error
                if not (self.complete or (index and isinstance(error, ActionError) and error.code in REFUSALS)):
                    self.broke_off = error
                return
            entry = entry_of(told)
            if _place(entry) in self.found:  # the time left counts down, so whole entries would differ
                return
            self.found[_place(entry)] = entry

    @property
    def offers_list(self) -> bool:
        """Whether the list action may be asked, as far as is known."""
        return self._proxy.service.version >= 2 and self._proxy.capabilities.get(_LIST, "refused") != "refused"

    async def list_port(self, place: Place) -> None:
        """Ask for the list of one port.

        :raises ActionError: as the gateway refuses it.
        :raises ExchangeError: when the gateway fell silent, or answered nonsense.
        """
        self._add(await self._list(place[0], place[1], place[1]))

    async def _read_lists(self) -> None:
        """After a whole walk one list for each protocol; else as many as it takes, of ever narrower ranges."""
        ranges = Ranges()
        for protocol in PROTOCOLS:
            ranges.begin()
            while (asked := ranges.next()) is not None and len(self.found) < MAPPING_WALK:
                try:
                    entries = await self._list(protocol, *asked)
                except _SILENCE:
                    if self._refusal is not None:
                        raise  # half a table is never taken for a whole one
                    return
                except (ActionError, ActionNotOffered, ExchangeError, InvalidArgument):
                    if not self.offers_list:
                        return
                    ranges.refused()
                else:
                    self._listed = True
                    self._add(entries)
                    ranges.listed(entries)
                if self.complete:
                    break

    async def _list(self, protocol: str, first: int, last: int) -> tuple[PortMappingEntry, ...]:
        try:
            told = await self._proxy.call(
                _LIST,
                due=self._due,
                NewStartPort=first,
                NewEndPort=last,
                NewProtocol=protocol,
                NewManage=True,
                NewNumberOfPorts=0,
            )
        except ActionError as error:
            if error.code in _NONE_LISTED:
                return ()
            raise
        return port_listing.read(str(told.get("NewPortListing") or ""))

    def _add(self, entries: tuple[PortMappingEntry, ...]) -> None:
        for entry in entries:
            known = self.found.setdefault(_place(entry), entry)
            if not known.lease_seconds and entry.lease_seconds:
                self.found[_place(entry)] = entry


def _place(entry: PortMappingEntry) -> Place:
    """What tells two entries of one table apart; everybody is shown in several ways (Q101)."""
    remote = "" if entry.remote_host in ("0.0.0.0", "*") else entry.remote_host
    return entry.protocol, entry.external_port, remote


def entry_of(told: dict[str, Any]) -> PortMappingEntry:
    """An entry as a gateway tells it; what is missing or unreadable takes the harmless value (igd data type habits)."""

    def number(name: str) -> int:
        value = told.get(name)
        return value if isinstance(value, int) else 0

    enabled = told.get("NewEnabled")
    return PortMappingEntry(
        protocol=str(told.get("NewProtocol") or "").strip().upper(),
        external_port=number("NewExternalPort"),
        internal_client=str(told.get("NewInternalClient") or "").strip(),
        internal_port=number("NewInternalPort"),
        description=str(told.get("NewPortMappingDescription") or ""),
        lease_seconds=number("NewLeaseDuration"),
        enabled=enabled if isinstance(enabled, bool) else True,
        remote_host=str(told.get("NewRemoteHost") or "").strip(),
    )
