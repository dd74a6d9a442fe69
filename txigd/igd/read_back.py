"""One entry of a port mapping table, read by whatever action a gateway offers. Thin.

Knows the service through its proxy, and the table through :mod:`txigd.igd.port_table`. GetSpecificPortMappingEntry is
asked first; where it is not offered, a list of the one port, then the table by index. An error that may pass is no word
on the entry: whoever takes it for one overwrites a neighbour's (Q132).
Sources: faults F34, F35, F37, quirks Q116, Q132, Q137, Q138.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadReply,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    HTTPStatusError,
    InvalidArgument,
    TxigdError,
)
from txigd.igd.lease_facts import Fact, Failed, Found, Missing, Unreadable
from txigd.igd.mapping import PortMappingEntry
from txigd.igd.port_table import NO_ENTRY, Place, PortTable, entry_of
from txigd.limits import PAGES_SECONDS, READ_TRIES, READS_IN_TROUBLE, TABLE_SECONDS, TABLE_WALKS, UNREADABLE_SECONDS
from txigd.upnp.control.action import REFUSALS, ServiceProxy
from txigd.waiting import Waiting

REFUSED: Final = (ActionError, ActionNotOffered, ExchangeError, InvalidArgument)
SILENCE: Final = (ConnectFailed, ExchangeTimeout)
_SPECIFIC: Final = "GetSpecificPortMappingEntry"


def will_not_pass(error: TxigdError) -> bool:
    """Whether an action is not there, or not for us; any other answer may be another one in a moment (F37)."""
    if isinstance(error, ActionError):
        return error.code in REFUSALS or is_hidden(error)
    return isinstance(error, (ActionNotOffered, InvalidArgument))


def is_hidden(error: TxigdError) -> bool:
    """Whether there is something that we may not see: what the table shows us is no word on it then (Q130)."""
    return isinstance(error, ActionError) and error.code == 606


def _is_page(error: TxigdError) -> bool:
    """Whether the answer was nothing that a program can read; some say "no such entry" in this way (Q116)."""
    return isinstance(error, BadReply) or (isinstance(error, HTTPStatusError) and error.status == 500)


@dataclass(slots=True)
class _Trouble:
    """``times`` in a row GetSpecificPortMappingEntry failed, and ``since`` when nothing else tells of the entry."""

    times: int = 0
    since: float | None = None


class ReadBack:
    """Reads the entries of one connection service.

    :param proxy: calls the actions of that service.
    """

    def __init__(self, proxy: ServiceProxy) -> None:
        self._proxy = proxy
        self._walk: _Walk | None = None
        self._stood: dict[Place, int] = {}  # the index of each entry in the latest table
        self._troubles: dict[Place, _Trouble] = {}

    async def read(self, protocol: str, port: int, remote_host: str, due: float | None = None) -> Fact:
        """The entry at a place: Found or Missing; Unreadable where a gateway offers no way; Failed for now.

        :param due: by when it should be done; what is due first goes first.
        """
        place = protocol, port, remote_host
        try:
            entry = await self._entry(place, due)
        except SILENCE as error:
            return Failed(str(error))
        except REFUSED as error:
            return self.unread(place, error)
        self.was_read(place)
        if entry is None or (not entry.internal_client and not entry.internal_port):
            return Missing()  # an entry that leads nowhere is none
        return Found(entry)

    def unread(self, place: Place, error: TxigdError) -> Fact:
        """What an error says of a place: Unreadable where it will not pass, or did not for a while."""
        if will_not_pass(error):
            return Unreadable()
        trouble, now = self._trouble(place), self._now
        trouble.since = now if trouble.since is None else trouble.since
        lasts = now - trouble.since >= (PAGES_SECONDS if _is_page(error) else UNREADABLE_SECONDS)
        return Unreadable(passing=True) if lasts else Failed(str(error))

    def was_read(self, place: Place) -> None:
        """What a place holds is known."""
        if place in self._troubles:
            self._troubles[place].since = None

    def wrote(self) -> None:
        """We changed the table: what was read of it before is old, and what is being read now may have gaps (Q137)."""
        if self._walk is not None and self._walk.begun:
            self._walk.is_old = True

    # -- inside ------------------------------------------------------------------------------------------------------
    @property
    def _now(self) -> float:
        return self._proxy.caller.clock.seconds()

    def _trouble(self, place: Place) -> _Trouble:
        while place not in self._troubles and len(self._troubles) >= READS_IN_TROUBLE:
            del self._troubles[next(iter(self._troubles))]
        return self._troubles.setdefault(place, _Trouble())

    async def _entry(self, place: Place, due: float | None) -> PortMappingEntry | None:
        """None where there is none. Where two ways fail, what may pass is raised."""
        ways = [self._specific, self._from_table]
        if self._proxy.capabilities.get(_SPECIFIC, "refused") == "refused":
            ways.reverse()  # it may come to work all the same: some refuse what is not there
        failed: list[TxigdError] = []
        for way in ways:
            try:
                return await way(place, due)
            except SILENCE:
                raise
            except REFUSED as error:
                if way == self._specific and (is_hidden(error) or not (will_not_pass(error) or self._lasts(place))):
                    raise
                failed.append(error)
        raise next((error for error in failed if not will_not_pass(error)), failed[0])

    def _lasts(self, place: Place) -> bool:
        """Whether what failed once more failed so often that something else has to tell."""
        trouble = self._trouble(place)
        trouble.times += 1
        return trouble.times >= READ_TRIES

    async def _specific(self, place: Place, due: float | None) -> PortMappingEntry | None:
        protocol, port, remote = place
        asked: dict[str, Any] = {"NewRemoteHost": remote, "NewExternalPort": port, "NewProtocol": protocol}
        try:
            told = await self._proxy.call(_SPECIFIC, due=due, **asked)
        except ActionError as error:
            if error.code not in NO_ENTRY:
                raise
            told = None
        self._troubles.pop(place, None)
        return None if told is None else entry_of({**told, **asked})

    async def _from_table(self, place: Place, due: float | None) -> PortMappingEntry | None:
        """By list, where that shows it, else by index: either may leave something out (Q138)."""
        table = PortTable(self._proxy, due=due)
        listed = False
        if table.offers_list:
            try:
                await table.list_port(place)
                listed = True
            except SILENCE:
                raise
            except REFUSED:
                pass
        if place in table.found:
            return table.found[place]
        try:
            return await self._by_index(place, due)
        except (ActionError, ActionNotOffered, InvalidArgument) as error:
            if listed and will_not_pass(error):
                return None
            raise

    async def _by_index(self, place: Place, due: float | None) -> PortMappingEntry | None:
        """One walk serves all who ask at this time; where there is none, it is asked for where it stood last time."""
        for count in range(TABLE_WALKS):
            walk = self._walk
            if walk is None or not walk.serves(self._now):
                entry = await self._where_it_stood(place, due) if not count else None
                if entry is not None:
                    return entry
                walk = self._walk = _Walk(PortTable(self._proxy, due=due), lambda: self._now)
            await walk.follow()
            found = walk.table.found
            if not walk.is_old or place in found:
                self._stood = {one: index for index, one in enumerate(found)}
                if place not in found and walk.table.broke_off is not None:
                    raise walk.table.broke_off
                return found.get(place)
        raise BadReply("the table changed while it was read")

    async def _where_it_stood(self, place: Place, due: float | None) -> PortMappingEntry | None:
        index = self._stood.get(place)
        table = PortTable(self._proxy, due=due)
        if index is not None:
            await table.walk(index, index + 1)
        return table.found.get(place)


class _Walk:
    """A walk through the table that serves all who follow it; it ends when nobody does.

    :ivar is_old: we changed the table since it began.
    """

    def __init__(self, table: PortTable, now: Callable[[], float]) -> None:
        self.table = table
        self.is_old = False
        self._now = now
        self._ended_at: float | None = None
        self._failure: Failure | None = None
        self._walking: Deferred[None] | None = None
        self._followers: Waiting[None] = Waiting(self._one_left)

    @property
    def begun(self) -> bool:
        """Whether it saw anything: what we wrote before that is in what it will see."""
        return bool(self.table.found) or self._ended_at is not None

    def serves(self, now: float) -> bool:
        """Whether somebody who asks now may have what it says."""
        if self._ended_at is None:
            return not self.is_old
        failed = self._failure is not None or self.table.broke_off is not None
        return not (self.is_old or failed) and now - self._ended_at <= TABLE_SECONDS

    def follow(self) -> Deferred[None]:
        """Fires at its end; cancelling leaves it."""
        if self._ended_at is not None:
            return succeed(None)
        follower = self._followers.add()
        if self._walking is None:
            self._walking = Deferred.fromCoroutine(self.table.walk())
            self._walking.addCallbacks(self._end, self._end)
        return follower

    def _one_left(self) -> None:
        if not self._followers and self._walking is not None:
            self._walking.cancel()

    def _end(self, result: Failure | None) -> None:
        self._ended_at, self._failure = self._now(), result
        if result is None:
            self._followers.fire(None)
        else:
            self._followers.fail(result)
