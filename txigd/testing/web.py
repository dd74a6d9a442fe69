"""The web server of a simulated gateway: descriptions, control, event subscription, presentation. Thin.

Routes by path and method, answers faults that were set, keeps the log of requests. One connection per request, as
miniupnpd does; a foreign HOST is answered 404 like there (DNS rebinding). Sources: UDA 1.0-2.0 sections 2 to 5.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from txigd.errors import SubscriptionError
from txigd.limits import SIMULATED_REQUEST_OCTETS
from txigd.testing import control
from txigd.testing.faults import GARBAGE, LATE_SECONDS, PAGE, Fault, Faults
from txigd.testing.publisher import Publisher
from txigd.testing.state import State
from txigd.testing.tree import DESCRIPTION_PATH, ServiceNode
from txigd.upnp.control import soap
from txigd.upnp.eventing import gena
from txigd.upnp.xml import escape

SERVER: Final = "Linux/6.1 UPnP/1.1 txigd/1.0"
_XML: Final = 'text/xml; charset="utf-8"'
_HTML: Final = "text/html; charset=utf-8"
Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Seen:
    """One request as it came in. ``action``, ``arguments`` and ``error`` are filled for control requests.

    ``status`` is what was answered, 0 while or where nothing was.
    """

    time: float
    peer: str
    method: str
    path: str
    headers: Headers
    body: bytes
    action: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    error: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to be written; ``then`` runs after it is."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Headers = ()
    then: Callable[[], None] | None = None


@implementer(IResource)
class Web:
    """The one resource of the gateway; it takes every path and method.

    :param requests: the log, bounded by its maker.
    :param changed: called after each control request, for what the request changed to be made true elsewhere.
    :param authority: tells the host and port that HOST must name; None switches that check off.
    """

    isLeaf = True
    server = SERVER

    def __init__(
        self,
        clock: Any,
        state: State,
        publisher: Publisher,
        faults: Faults,
        requests: deque[Seen],
        *,
        changed: Callable[[], None],
        authority: Callable[[], str] | None,
        description: Callable[[str], bytes],
    ) -> None:
        self.requests = requests
        self._clock = clock
        self._state = state
        self._publisher = publisher
        self._faults = faults
        self._changed = changed
        self._authority = authority
        self._description = description
        self._late: set[Any] = set()

    def getChildWithDefault(self, name: bytes, request: Any) -> Web:
        """Not called: this is a leaf."""
        return self

    def putChild(self, path: bytes, child: Any) -> None:
        """Not called: the paths are those of the tree."""
        raise NotImplementedError

    def stop(self) -> None:
        """Forget the answers that are still held back."""
        for call in tuple(self._late):
            call.cancel()
        self._late.clear()

    # -- one request -----------------------------------------------------------------------------------------------

    def render(self, request: Any) -> int:
        """Answer, or do what the fault for this request says."""
        seen = self._look(request)
        route = _METHODS.get(seen.method)
        if route is None:
            self._write(request, seen, Page(501))
            return NOT_DONE_YET
        if self._authority is not None and not self._is_ours(request):
            self._write(request, seen, Page(404))
            return NOT_DONE_YET
        names, answer = route(self, seen)
        fault = self._faults.take(*names)
        if fault is None:
            self._write(request, seen, answer())
        else:
            self._fail(request, seen, fault, answer, is_action=bool(seen.action))
        return NOT_DONE_YET

    def _look(self, request: Any) -> Seen:
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
        )
        seen = Seen(
            self._clock.seconds(),
            request.getClientAddress().host,
            request.method.decode("latin-1"),
            request.uri.decode("latin-1"),
            headers,
            request.content.read(SIMULATED_REQUEST_OCTETS) if request.content is not None else b"",
        )
        self.requests.append(seen)
        return seen

    def _is_ours(self, request: Any) -> bool:
        assert self._authority is not None
        host = (request.getHeader("host") or "").strip().lower()
        ours = self._authority()
        return host in (ours, f"localhost:{ours.rpartition(':')[2]}")

    def _write(self, request: Any, seen: Seen, page: Page) -> None:
        seen.status = page.status
        request.channel.persistent = False
        request.setResponseCode(page.status)
        fields = [("Server", self.server), ("Ext", ""), ("Connection", "close"), *page.headers]
        if page.content_type:
            fields.append(("Content-Type", page.content_type))
        for name, value in fields:
            request.setHeader(name, value)
        request.setHeader("Content-Length", str(len(page.body)))
        request.defaultContentType = None
        if seen.method != "HEAD":
            request.write(page.body)
        request.finish()
        if page.then is not None:
            page.then()

    def _fail(self, request: Any, seen: Seen, fault: Fault, answer: Callable[[], Page], *, is_action: bool) -> None:
        """A bad day: see :data:`txigd.testing.faults.WORDS`."""
        transport = request.channel.transport
        if isinstance(fault, HTTPStatus) or (isinstance(fault, int) and not is_action):
            self._write(request, seen, Page(int(fault)))
        elif isinstance(fault, int):
            seen.error = fault
            self._write(request, seen, Page(500, soap.fault(fault), _XML))
        elif fault == "html":
            self._write(request, seen, Page(200, PAGE, _HTML))
        elif fault == "empty":
            self._write(request, seen, Page(200))
        elif fault == "reset":
            transport.abortConnection()
        elif fault == "late":
            self._write_late(request, seen, answer())
        elif fault != "hang":
            transport.write(fault if isinstance(fault, bytes) else self._last_words(fault, answer))
            transport.loseConnection()

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

    def _write_late(self, request: Any, seen: Seen, page: Page) -> None:
        if page.then is not None:
            page.then()
        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: gone.append(True))

        def write() -> None:
            self._late.discard(call)
            if not gone:
                self._write(request, seen, Page(page.status, page.body, page.content_type, page.headers))

        call = self._clock.callLater(LATE_SECONDS, write)
        self._late.add(call)

    # -- routes: what a request goes by, and how it is answered --------------------------------------------------------

    def _get(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        path = seen.path.partition("?")[0]

        def answer() -> Page:
            if path == self._state.tree.prefix + DESCRIPTION_PATH:
                agent = {name.lower(): value for name, value in seen.headers}.get("user-agent", "")
                return Page(200, self._description(agent), _XML)
            if path == "/":
                return Page(200, self._presentation(), _HTML)
            for service in self._state.tree.services.values():
                if path == service.scpd_path:
                    return Page(200, self._state.tree.scpd(service, control.implemented(service.name)), _XML)
            known = {p for s in self._state.tree.services.values() for p in (s.control_path, s.event_path)}
            return Page(405 if path in known else 404)

        return (path, "GET"), answer

    def _post(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        service = self._service(seen.path, lambda node: node.control_path)
        if service is None:
            return (seen.path,), lambda: Page(404)
        values = [value for name, value in seen.headers if name.lower().removeprefix("01-") == "soapaction"]
        request = control.read(seen.body, values[0] if values else "")
        seen.action, seen.arguments = request.action, request.arguments

        def answer() -> Page:
            now = self._clock.seconds()
            self._state.advance(now)
            reply = control.answer(self._state, service, request, caller=seen.peer, now=now)
            seen.error = reply.error
            return Page(reply.status, reply.body, _XML, then=self._changed)

        return (request.action or "POST", "POST", seen.path), answer

    def _subscribe(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        renewing = any(name.lower() == "sid" for name, _ in seen.headers)
        service = self._service(seen.path, lambda node: node.event_path)

        def answer() -> Page:
            if service is None:
                return Page(404)
            self._changed()
            try:
                made, seconds, is_new = self._publisher.subscribe(
                    service.name, seen.headers, ipaddress.ip_address(seen.peer)
                )
            except SubscriptionError as error:
                return Page(error.status)
            values = self._state.evented(service.name)
            greet = (lambda: self._publisher.greet(made, values)) if is_new else None
            return Page(200, headers=tuple(gena.grant_headers(made.sid, seconds)), then=greet)

        return ("RENEW" if renewing else "SUBSCRIBE", seen.path), answer

    def _unsubscribe(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        service = self._service(seen.path, lambda node: node.event_path)

        def answer() -> Page:
            if service is None:
                return Page(404)
            try:
                self._publisher.unsubscribe(service.name, seen.headers)
            except SubscriptionError as error:
                return Page(error.status)
            return Page(200)

        return ("UNSUBSCRIBE", seen.path), answer

    def _service(self, path: str, where: Callable[[ServiceNode], str]) -> ServiceNode | None:
        return next((s for s in self._state.tree.services.values() if path and where(s) == path), None)

    def _presentation(self) -> bytes:
        state = self._state
        now = self._clock.seconds()
        rows = "".join(
            f"<tr><td>{entry.protocol}<td>{entry.external_port}<td>{escape(entry.internal_client)}:{entry.internal_port}"
            f"<td>{escape(entry.description)}<td>{entry.lease_left(now)}"
            for entry in state.table
        )
        name = escape(state.tree.root.friendly_name)
        line = f"{state.line.status}, {escape(state.external_address(state.tree.live_service.name))}"
        return (
            f"<!DOCTYPE html><title>{name}</title><h1>{name}</h1><p>{line}</p>"
            f"<table><tr><th>protocol<th>port<th>to<th>for<th>seconds left{rows}</table>"
        ).encode()


_METHODS: Final[Mapping[str, Callable[[Web, Seen], tuple[tuple[str, ...], Callable[[], Page]]]]] = {
    "GET": Web._get,
    "HEAD": Web._get,
    "POST": Web._post,
    "M-POST": Web._post,
    "SUBSCRIBE": Web._subscribe,
    "UNSUBSCRIBE": Web._unsubscribe,
}
