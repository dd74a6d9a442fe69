"""Our entries where nothing holds them any more: looked for until they are gone.

That is on the connections of a gateway that do not carry its traffic, and on all of a gateway that is not in use. Knows
a clock and the books. What is held takes leave of a connection by itself; here is what stays on record all the same:
the connection did not answer, or this process was killed meanwhile (F16, F23, F53).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txigd import log
from txigd.igd.books import Books
from txigd.igd.connection import Connection
from txigd.igd.mapping import PortMapping
from txigd.limits import FAREWELL_SECONDS, RETRY_CEILING_SECONDS

_log = log.logger("txigd.mappings")


class FormerConnections:
    """Those of one gateway.

    :param clock: the reactor's time.
    :param books: where what was done is written down, on a page for each connection.
    :param host_id: part of the tag of our entries.
    :param wanted: tells what is wanted on the live connection of a gateway that is not in use.
    :param on_look: called after they were looked at: where two connections show one table, what is wanted on the one in
        use may have been removed with it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        books: Books,
        *,
        host_id: str,
        wanted: Callable[[], Iterable[PortMapping]],
        on_look: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._books = books
        self._host_id = host_id
        self._wanted = wanted
        self._on_look = on_look
        self._connections: list[Connection] = []
        self._live: Connection | None = None
        self._later: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None

    def begin(self, connections: Iterable[Connection], live: Connection, *, in_use: bool) -> None:
        """Look when the farewell is over, and again every RETRY_CEILING_SECONDS until it is done or :meth:`end`.

        :param in_use: whether the gateway is: then what is on its live connection is let alone.
        """
        self.end()
        self._live = live
        others = [one for one in connections if one.udn != live.udn or not in_use]
        self._connections = [one for one in others if self._books.journal.entries(one.udn)]
        if self._connections:
            self._later = self._clock.callLater(FAREWELL_SECONDS, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._later is not None and self._later.active():
            self._later.cancel()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()

    # -- inside ------------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        self._looking = Deferred.fromCoroutine(self._clear())
        self._looking.addErrback(self._failed)

    async def _clear(self) -> None:
        done = True
        for one in self._connections:
            wanted, client = self._wanted() if one is self._live else (), one.local_address
            if isinstance(client, ipaddress.IPv4Address):
                done = await self._books.clear(one, wanted, client=client, host_id=self._host_id) and done
        self._on_look()
        if not done:
            self._later = self._clock.callLater(RETRY_CEILING_SECONDS, self._look)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("looking at a former connection met a fault", failure=failure)
