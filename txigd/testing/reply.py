"""How a simulated gateway answers one request: a page, at once or late, or a bad day. Thin.

Knows the connection and how HTTP is written; what is answered comes as a page, or as a fault that was set.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.web.http import RESPONSES

from txigd.testing.faults import GARBAGE, LATE_SECONDS, PAGE, Fault
from txigd.testing.page import HTML, XML, Page
from txigd.testing.quirks import Asked, Played
from txigd.testing.seen import Seen
from txigd.upnp.control import soap


class Reply:
    """What becomes of one request.

    :param request: Twisted's, whose connection is closed behind the reply.
    :param seen: its entry in the log, where the answer is written down.
    :param server: the SERVER field.
    :param played: the habits of the gateway.
    :param later: calls a function after so many seconds, unless the gateway stops before.
    :ivar asked: the request as habits that change octets want it.
    """

    def __init__(
        self,
        request: Any,
        seen: Seen,
        *,
        server: str,
        played: Played,
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.asked: Asked | None = None
        self._request = request
        self._transport = request.channel.transport
        self._seen = seen
        self._server = server
        self._played = played
        self._later = later
        self._gone = False
        request.notifyFinish().addErrback(self._left)

    def _left(self, failure: object) -> None:
        self._gone = True

    def give(self, fault: Fault | None, answer: Callable[[], Page]) -> None:
        """Do what was asked and tell it, or do what the fault says; nothing where nobody waits any more."""
        if self._gone:
            return
        if fault is not None:
            self._fail(fault, answer)
            return
        page = answer()
        if page.wait:
            self._write_late(page, page.wait)
        else:
            self.write(page)

    def write(self, page: Page) -> None:
        """Send a page now."""
        request = self._request
        self._seen.status = page.status
        request.channel.persistent = False
        request.setResponseCode(page.status)
        fields = [("Server", self._server), ("Ext", ""), ("Connection", "close"), *page.headers]
        if page.content_type:
            fields.append(("Content-Type", page.content_type))
        if self._played.rewrites:
            self._write_octets(page, fields)
        else:
            for name, value in fields:
                request.setHeader(name, value)
            request.setHeader("Content-Length", str(len(page.body)))
            request.defaultContentType = None
            if self._seen.method != "HEAD":
                request.write(page.body)
            request.finish()
        if page.then is not None:
            page.then()

    def _write_octets(self, page: Page, fields: list[tuple[str, str]]) -> None:
        """The reply as the habits of this gateway make it."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"HTTP/1.1 {page.status} {RESPONSES.get(page.status, b'OK').decode()}\r\n{lines}"
        octets = f"{head}Content-Length: {len(page.body)}\r\n\r\n".encode() + page.body
        self._transport.write(self._played.reply(octets, self.asked) if self.asked else octets)
        if "stays open" not in self._played.traits:
            self._transport.loseConnection()

    def _write_late(self, page: Page, seconds: float) -> None:
        if page.then is not None:
            page.then()

        def write() -> None:
            if not self._gone:
                self.write(Page(page.status, page.body, page.content_type, page.headers))

        self._later(seconds, write)

    def _fail(self, fault: Fault, answer: Callable[[], Page]) -> None:
        """A bad day: see :data:`txigd.testing.faults.WORDS`."""
        if isinstance(fault, HTTPStatus) or (isinstance(fault, int) and not self._seen.action):
            self.write(Page(int(fault)))
        elif isinstance(fault, int):
            self._seen.error = fault
            self.write(Page(500, soap.fault(fault), XML))
        elif fault == "html":
            self.write(Page(200, PAGE, HTML))
        elif fault == "empty":
            self.write(Page(200))
        elif fault == "reset":
            self._transport.abortConnection()
        elif fault == "late":
            self._write_late(answer(), LATE_SECONDS)
        elif fault != "hang":
            self._transport.write(fault if isinstance(fault, bytes) else self._last_words(fault, answer))
            self._transport.loseConnection()

    def _last_words(self, fault: Fault, answer: Callable[[], Page]) -> bytes:
        if fault == "garbage":
            return GARBAGE
        if fault == "close":
            return b""
        page = answer()
        if page.then is not None:
            page.then()
        if fault == "lost":
            return b""
        fields = f"Content-Type: {page.content_type}\r\nContent-Length: {len(page.body)}\r\n"
        return f"HTTP/1.1 {page.status} OK\r\n{fields}\r\n".encode() + page.body[: len(page.body) // 2]
