"""The web server of a simulated gateway: descriptions, control, event subscription, presentation. Thin.

Routes by path and method, answers faults that were set, keeps the log of requests. One connection per request, as
miniupnpd does; a foreign HOST is answered 404 like there (DNS rebinding). Sources: UDA 1.0-2.0 sections 2 to 5.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from twisted.web.http import RESPONSES
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from txigd.errors import SubscriptionError
from txigd.limits import SIMULATED_REQUEST_OCTETS
from txigd.testing import control
from txigd.testing.faults import GARBAGE, LATE_SECONDS, PAGE, Fault, Faults
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Asked, Played
from txigd.testing.state import State
from txigd.testing.tree import ServiceNode
from txigd.upnp.control import soap
from txigd.upnp.eventing import gena
from txigd.upnp.xml import escape

_XML: Final = 'text/xml; charset="utf-8"'
_HTML: Final = "text/html; charset=utf-8"
BLOCKED_SECONDS: Final = 0.01
EARLY_SECONDS: Final = 0.5  # by which an event comes before its grant (Q157)
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
    """An answer to be written, after ``wait`` seconds; ``then`` runs after it is."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Headers = ()
    then: Callable[[], None] | None = None
    wait: float = 0.0


@implementer(IResource)
class Web:
    """The one resource of the gateway; it takes every path and method.

    :param requests: the log, bounded by its maker.
    :param changed: called after each control request, for what the request changed to be made true elsewhere.
    :param description: the description for a USER-AGENT, a HOST and a path.
    :param authority: tells the hosts and ports of which HOST must name one; None switches that check off.
    :param played: the habits of this gateway.
    """

    isLeaf = True

    def __init__(
        self,
        clock: Any,
        state: State,
        publisher: Publisher,
        faults: Faults,
        requests: deque[Seen],
        *,
        changed: Callable[[], None],
        authority: Callable[[], Collection[str]] | None,
        description: Callable[[str, str, str], bytes],
        played: Played,
    ) -> None:
        self.requests = requests
        self._clock = clock
        self._state = state
        self._publisher = publisher
        self._faults = faults
        self._changed = changed
        self._authority = authority
        self._description = description
        self._played = played
        self._late: set[Any] = set()
        self._running = 0

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
        if not self._played:
            self._answer(request, seen, self._faults.take(*names), answer)
            return NOT_DONE_YET
        self._running += 1
        asked = request.asked = self._asked(request, seen)
        fault, seconds = self._faults.take(*names) or self._played.asked(asked), self._played.held(asked)

        def carry_out() -> None:
            self._running -= 1
            if not gone:
                self._answer(request, seen, fault, answer)

        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: gone.append(True))
        self._when_free(seconds, carry_out)
        return NOT_DONE_YET

    def _answer(self, request: Any, seen: Seen, fault: Fault | None, answer: Callable[[], Page]) -> None:
        if fault is not None:
            self._fail(request, seen, fault, answer, is_action=bool(seen.action))
            return
        page = answer()
        if page.wait:
            self._write_late(request, seen, page, page.wait)
        else:
            self._write(request, seen, page)

    def _when_free(self, seconds: float, carry_out: Callable[[], None]) -> None:
        """At once, after a while, or when no NOTIFY of ours waits for its answer (Q175)."""
        blocked = "blocks in NOTIFY" in self._played.traits and self._publisher.busy
        if not seconds and not blocked:
            carry_out()
            return

        def again() -> None:
            self._late.discard(call)
            self._when_free(0.0, carry_out)

        call = self._clock.callLater(seconds or BLOCKED_SECONDS, again)
        self._late.add(call)

    def _asked(self, request: Any, seen: Seen) -> Asked:
        places = (lambda node: node.control_path, lambda node: node.event_path)
        found = (self._service(seen.path, place) for place in places)
        service = next((node for node in found if node is not None), None)
        transport = request.channel.transport
        return Asked(
            seen.method,
            seen.path,
            transport.heard.partition(b"\r\n\r\n")[0],
            seen.body,
            seen.action,
            seen.arguments,
            service.template.service_type if service else "",
            transport.pieces,
            self._running,
            seen.peer,
        )

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
        return any(host in (ours, f"localhost:{ours.rpartition(':')[2]}") for ours in self._authority())

    def _write(self, request: Any, seen: Seen, page: Page) -> None:
        seen.status = page.status
        request.channel.persistent = False
        request.setResponseCode(page.status)
        server = self._state.tree.model.server
        fields = [("Server", server), ("Ext", ""), ("Connection", "close"), *page.headers]
        if page.content_type:
            fields.append(("Content-Type", page.content_type))
        if self._played.rewrites:
            self._write_octets(request, page, fields)
            return
        for name, value in fields:
            request.setHeader(name, value)
        request.setHeader("Content-Length", str(len(page.body)))
        request.defaultContentType = None
        if seen.method != "HEAD":
            request.write(page.body)
        request.finish()
        if page.then is not None:
            page.then()

    def _write_octets(self, request: Any, page: Page, fields: Headers | list[tuple[str, str]]) -> None:
        """The reply as the habits of this gateway make it."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"HTTP/1.1 {page.status} {RESPONSES.get(page.status, b'OK').decode()}\r\n{lines}"
        octets = f"{head}Content-Length: {len(page.body)}\r\n\r\n".encode() + page.body
        asked = getattr(request, "asked", None)
        transport = request.channel.transport
        transport.write(self._played.reply(octets, asked) if asked else octets)
        if "stays open" not in self._played.traits:
            transport.loseConnection()
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
            self._write_late(request, seen, answer(), LATE_SECONDS)
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

    def _write_late(self, request: Any, seen: Seen, page: Page, seconds: float) -> None:
        if page.then is not None:
            page.then()
        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: gone.append(True))

        def write() -> None:
            self._late.discard(call)
            if not gone:
                self._write(request, seen, Page(page.status, page.body, page.content_type, page.headers))

        call = self._clock.callLater(seconds, write)
        self._late.add(call)

    # -- routes: what a request goes by, and how it is answered --------------------------------------------------------

    def _get(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        path = seen.path.partition("?")[0]

        def answer() -> Page:
            if path == self._state.tree.description_path or path in self._played.paths:
                fields = {name.lower(): value for name, value in seen.headers}
                agent, host = fields.get("user-agent", ""), fields.get("host", "")
                return Page(200, self._description(agent, host, path), _XML)
            if path in self._played.documents:
                return Page(200, self._played.documents[path], _XML)
            if path == "/":
                return Page(200, self._presentation(), _HTML)
            for service in self._state.tree.services.values():
                if path == service.scpd_path:
                    document = self._state.tree.scpd(service, control.implemented(service.name))
                    return Page(200, self._played.scpd(document), _XML)
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
            reply = control.answer(self._state, service, request, caller=seen.peer, now=now, played=self._played)
            if self._played:
                asked = Asked(seen.method, seen.path, action=seen.action, arguments=seen.arguments)
                reply = self._played.answers(reply, asked)
            seen.error = reply.error
            return Page(reply.status, reply.body, _XML, then=self._changed)

        return (request.action or "POST", "POST", seen.path), answer

    def _subscribe(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        renewing = any(name.lower() == "sid" for name, _ in seen.headers)
        service = self._publishing(seen.path)

        def answer() -> Page:
            if service is None:
                return Page(404)
            self._changed()
            try:
                made, seconds, is_new = self._publisher.subscribe(
                    service.key, seen.headers, ipaddress.ip_address(seen.peer)
                )
            except SubscriptionError as error:
                return Page(error.status)
            values = self._state.evented(service.key)
            greet = (lambda: self._publisher.greet(made, values)) if is_new else None
            granted = tuple(gena.grant_headers(made.sid, seconds))
            if "early event" in self._played.traits:
                return Page(200, headers=granted, then=greet, wait=EARLY_SECONDS)
            return Page(200, headers=granted, then=greet)

        return ("RENEW" if renewing else "SUBSCRIBE", seen.path), answer

    def _unsubscribe(self, seen: Seen) -> tuple[tuple[str, ...], Callable[[], Page]]:
        service = self._publishing(seen.path)

        def answer() -> Page:
            if service is None:
                return Page(404)
            try:
                self._publisher.unsubscribe(service.key, seen.headers)
            except SubscriptionError as error:
                return Page(error.status)
            return Page(200)

        return ("UNSUBSCRIBE", seen.path), answer

    def _service(self, path: str, where: Callable[[ServiceNode], str]) -> ServiceNode | None:
        """The service at a path; a query is looked at only where a captured description has one."""
        for wanted in (path, path.partition("?")[0]):
            for service in self._state.tree.services.values():
                if wanted and where(service) == wanted:
                    return service
        return None

    def _publishing(self, path: str) -> ServiceNode | None:
        found = self._service(path, lambda node: node.event_path)
        if found is None and "events at control" in self._played.traits:
            found = self._service(path, lambda node: node.control_path if node.event_path else "")
        return found

    def _presentation(self) -> bytes:
        state = self._state
        now = self._clock.seconds()
        rows = "".join(
            f"<tr><td>{entry.protocol}<td>{entry.external_port}<td>{escape(entry.internal_client)}:{entry.internal_port}"
            f"<td>{escape(entry.description)}<td>{entry.lease_left(now)}"
            for entry in state.table
        )
        name = escape(state.tree.root.friendly_name)
        line = f"{state.line.status}, {escape(state.external_address(state.tree.live_service.key))}"
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
