"""Asks a minissdpd on this host for the gateways that it remembers. Thin.

With it a gateway is found in milliseconds instead of the seconds of a search; it never replaces the search. The
protocol is in cache_message.py. Nothing is asked where the socket is not root's or our own: another user of this host
must not tell us where gateways are. Sources: quirks Q001, Q006, threats A3, A6.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Sequence
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConnector, IReactorTime, IReactorUNIX
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from txigd import limits, log
from txigd.errors import BadMessage
from txigd.upnp.addressing import Link
from txigd.upnp.discovery import cache_message
from txigd.upnp.discovery.cache_message import AnswerReader, Entry, Remembered
from txigd.upnp.discovery.targets import IGD_TARGETS

PATHS: Final = ("/run/minissdpd.sock", "/var/run/minissdpd.sock")
_PEER: Final = struct.Struct("@iII")  # struct ucred of Linux: process, user, group
_log = log.logger("txigd.minissdpd")


def trusted(uid: int) -> bool:
    """Whether this user may tell us where gateways are: root or ourselves."""
    return uid in (0, os.geteuid())


def socket_path(paths: Sequence[str] = PATHS) -> str:
    """The first of the paths that is a unix socket of root or of our own; empty where there is none."""
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        if stat.S_ISSOCK(found.st_mode) and trusted(found.st_uid):
            return path
    return ""


class MiniSSDPd:
    """The minissdpd of this host, if there is one.

    :ivar counters: entries dropped, by reason.
    :ivar problem: why the last question was not answered; empty where it was, or where there is no minissdpd.

    :param reactor: provides IReactorUNIX and IReactorTime.
    :param targets: device and service types to ask for, whatever their versions.
    :param paths: where its socket may be.
    :param seconds: budget for connecting and all questions together.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        targets: Sequence[str] = IGD_TARGETS,
        paths: Sequence[str] = PATHS,
        seconds: float = limits.CACHE_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._unix = IReactorUNIX(reactor, None)
        self._targets = tuple(targets)
        self._requests = tuple(map(cache_message.request, cache_message.prefixes(targets)))
        self._paths = tuple(paths)
        self._seconds = seconds
        self.counters: dict[str, int] = {}
        self.problem = ""

    def ask(self, links: Sequence[Link]) -> Deferred[tuple[Remembered, ...]]:
        """What it remembers of gateways on these links.

        :return: fires within the budget and never fails, but when it is cancelled, which closes the connection. Empty
            where there is no minissdpd, or no answer: then :attr:`problem` says why.
        """
        self.problem = ""
        path = socket_path(self._paths) if self._unix is not None and self._requests else ""
        if self._unix is None or not path:
            return succeed(())
        question = _Question(self._requests)
        connector = self._unix.connectUNIX(path, question, timeout=self._seconds)
        question.connector = connector
        deadline = self._reactor.callLater(self._seconds, question.give_up, "no answer in time")

        def ended(result: list[Entry] | Failure) -> list[Entry] | Failure:
            if deadline.active():
                deadline.cancel()
            return result

        done: Deferred[list[Entry]] = question.done
        return done.addBoth(ended).addCallbacks(partial(self._select, tuple(links)), partial(self._failed, path))

    def _select(self, links: Sequence[Link], entries: list[Entry]) -> tuple[Remembered, ...]:
        kept, dropped = cache_message.select(entries, links, self._targets)
        for reason, count in dropped.items():
            self.counters[reason] = self.counters.get(reason, 0) + count
        return kept

    def _failed(self, path: str, failure: Failure) -> tuple[Remembered, ...]:
        failure.trap(BadMessage)
        self.problem = f"{path}: {failure.getErrorMessage()}"
        _log.debug("minissdpd gave no answer: {problem}", problem=self.problem)
        return ()


class _Question(ClientFactory):
    """One connection: a request, its answer, the next request. Old versions read one request at a time."""

    noisy = False
    connector: IConnector | None = None

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.requests = list(requests)
        self.entries: list[Entry] = []
        self.done: Deferred[list[Entry]] = Deferred(self._cancelled)
        self._ended = False

    def buildProtocol(self, addr: object) -> _Asking:
        return _Asking(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.give_up(reason.getErrorMessage())

    def finish(self) -> None:
        """All is answered."""
        if self._close():
            self.done.callback(self.entries)

    def give_up(self, why: str) -> None:
        """There will be no further answer; those that came are good."""
        if not self._close():
            return
        if self.entries:
            self.done.callback(self.entries)
        else:
            self.done.errback(BadMessage("minissdpd", why))

    def _cancelled(self, done: Deferred[list[Entry]]) -> None:
        self._close()
        done.errback(CancelledError())

    def _close(self) -> bool:
        """Close the connection; False where that was done before."""
        if self._ended:
            return False
        self._ended = True
        if self.connector is not None:
            self.connector.disconnect()
        return True


class _Asking(Protocol):
    def __init__(self, question: _Question) -> None:
        self._question = question
        self._reader = AnswerReader()

    def connectionMade(self) -> None:
        # the file may have been replaced since it was looked at: the process at the other end is what counts
        if trusted(self._peer()):
            self._next()
        else:
            self._question.give_up("its process is another user's")

    def _peer(self) -> int:
        """The user at the other end; where the system does not tell, the owner of the file has to do."""
        if not hasattr(socket, "SO_PEERCRED"):
            return os.geteuid()
        handle = self.transport.getHandle()  # type: ignore[union-attr]
        user: int = _PEER.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        return user

    def _next(self) -> None:
        if not self._question.requests:
            self._question.finish()
            return
        self._reader = AnswerReader()
        self.transport.write(self._question.requests.pop(0))  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        try:
            entries = self._reader.feed(data)
        except BadMessage as error:
            self._question.give_up(f"an answer that cannot be read: {error}")
            return
        if entries is not None:
            self._question.entries += entries
            self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        closed = reason.check(ConnectionDone) is not None
        self._question.give_up("the connection was closed" if closed else reason.getErrorMessage())
