"""What an earlier life of ours left on one gateway, settled before anything new is done there, and until it is done.

Knows a clock, the books and what is wanted; what is adopted, deleted or forgotten is :mod:`txigd.igd.books`' affair.
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
from txigd.limits import RETRY_CEILING_SECONDS

_log = log.logger("txigd.mappings")


class Settlement:
    """The accounts with one gateway.

    :param clock: the reactor's time.
    :param books: where what was done is written down.
    :param wanted: tells what is wanted there now.
    :param host_id: part of the tag of our entries.
    """

    def __init__(
        self, clock: IReactorTime, books: Books, wanted: Callable[[], Iterable[PortMapping]], *, host_id: str
    ) -> None:
        self._clock = clock
        self._books = books
        self._wanted = wanted
        self._host_id = host_id
        self._later: IDelayedCall | None = None
        self._again: Deferred[None] | None = None

    async def begin(self, connection: Connection) -> None:
        """Settle what can be settled now; the rest is tried again every RETRY_CEILING_SECONDS until :meth:`end`."""
        self.end()
        await self._settle(connection)

    def end(self) -> None:
        """Try no more."""
        if self._later is not None and self._later.active():
            self._later.cancel()
        again, self._again = self._again, None
        if again is not None:
            again.cancel()

    async def sweep(self, connection: Connection) -> None:
        """The end: nothing is wanted any more, and what is still on record is looked for (F51)."""
        if isinstance(connection.local_address, ipaddress.IPv4Address):
            await self._books.clear(connection, client=connection.local_address, host_id=self._host_id)

    # -- inside ------------------------------------------------------------------------------------------------------
    async def _settle(self, connection: Connection) -> None:
        client = connection.local_address
        if not isinstance(client, ipaddress.IPv4Address):
            return
        # without a journal of an earlier run there may yet be a release that this gateway did not live to see
        settle = self._books.settle if self._books.kept else self._books.clear
        if not await settle(connection, self._wanted(), client=client, host_id=self._host_id):
            self._later = self._clock.callLater(RETRY_CEILING_SECONDS, self._try_again, connection)

    def _try_again(self, connection: Connection) -> None:
        self._again = Deferred.fromCoroutine(self._settle(connection))
        self._again.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("settling what an earlier run left met a fault", failure=failure)
