"""What a simulated gateway does with each method and path: documents, control, subscriptions. Thin.

Knows its state and its publisher, and from a request as it was seen makes the page to answer; not how that is written,
nor what goes wrong on the way. Sources: UDA 1.0-2.0 sections 2 to 5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from txigd.errors import SubscriptionError
from txigd.testing import control
from txigd.testing.page import HTML, XML, Page
from txigd.testing.presentation import presentation
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Asked, Played
from txigd.testing.seen import Seen
from txigd.testing.state import State
from txigd.testing.tree import ServiceNode
from txigd.upnp.eventing import gena

EARLY_SECONDS: Final = 0.5  # by which an event comes before its grant (Q157)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request leads: ``names`` are what faults know it by, ``answer`` carries it out."""

    names: tuple[str, ...]
    answer: Callable[[], Page]


class Routes:
    """All that can be asked of a gateway over HTTP.

    :param now: tells the time.
    :param changed: called after each control request, for what the request changed to be made true elsewhere.
    :param description: the description for a USER-AGENT, a HOST and a path.
    :param played: the habits of this gateway.
    """

    def __init__(
        self,
        state: State,
        publisher: Publisher,
        *,
        now: Callable[[], float],
        changed: Callable[[], None],
        description: Callable[[str, str, str], bytes],
        played: Played,
    ) -> None:
        self._state = state
        self._publisher = publisher
        self._now = now
        self._changed = changed
        self._description = description
        self._played = played

    def of(self, method: str) -> Callable[[Seen], Route] | None:
        """What leads a request of this method on; None where the method is not known."""
        route = _METHODS.get(method)
        return None if route is None else lambda seen: route(self, seen)

    def service_type(self, path: str) -> str:
        """The type of the service behind a path of control or events; empty without one."""
        found = self._service(path, _control) or self._service(path, _events)
        return found.template.service_type if found else ""

    def _get(self, seen: Seen) -> Route:
        path = seen.path.partition("?")[0]

        def answer() -> Page:
            tree = self._state.tree
            if path == tree.description_path or path in self._played.paths:
                return Page(200, self._description(seen.header("user-agent"), seen.header("host"), path), XML)
            if path in self._played.documents:
                return Page(200, self._played.documents[path], XML)
            if path == "/":
                return Page(200, presentation(self._state, self._now()), HTML)
            for service in tree.services.values():
                if path == service.scpd_path:
                    document = tree.scpd(service, control.implemented(service.name))
                    return Page(200, self._played.scpd(document), XML)
            known = {p for s in tree.services.values() for p in (s.control_path, s.event_path)}
            return Page(405 if path in known else 404)

        return Route((path, "GET"), answer)

    def _post(self, seen: Seen) -> Route:
        service = self._service(seen.path, _control)
        if service is None:
            return Route((seen.path,), lambda: Page(404))
        values = [value for name, value in seen.headers if name.lower().removeprefix("01-") == "soapaction"]
        request = control.read(seen.body, values[0] if values else "")
        seen.action, seen.arguments = request.action, request.arguments

        def answer() -> Page:
            now = self._now()
            self._state.advance(now)
            reply = control.answer(self._state, service, request, caller=seen.peer, now=now, played=self._played)
            if self._played:
                asked = Asked(seen.method, seen.path, action=seen.action, arguments=seen.arguments)
                reply = self._played.answers(reply, asked)
            seen.error = reply.error
            return Page(reply.status, reply.body, XML, then=self._changed)

        return Route((request.action or "POST", "POST", seen.path), answer)

    def _subscribe(self, seen: Seen) -> Route:
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
            wait = EARLY_SECONDS if "early event" in self._played.traits else 0.0
            return Page(200, headers=tuple(gena.grant_headers(made.sid, seconds)), then=greet, wait=wait)

        return Route(("RENEW" if renewing else "SUBSCRIBE", seen.path), answer)

    def _unsubscribe(self, seen: Seen) -> Route:
        service = self._publishing(seen.path)

        def answer() -> Page:
            if service is None:
                return Page(404)
            try:
                self._publisher.unsubscribe(service.key, seen.headers)
            except SubscriptionError as error:
                return Page(error.status)
            return Page(200)

        return Route(("UNSUBSCRIBE", seen.path), answer)

    def _service(self, path: str, where: Callable[[ServiceNode], str]) -> ServiceNode | None:
        """The service at a path; a query is looked at only where a captured description has one."""
        for wanted in (path, path.partition("?")[0]):
            for service in self._state.tree.services.values():
                if wanted and where(service) == wanted:
                    return service
        return None

    def _publishing(self, path: str) -> ServiceNode | None:
        found = self._service(path, _events)
        if found is None and "events at control" in self._played.traits:
            found = self._service(path, lambda node: node.control_path if node.event_path else "")
        return found


def _control(node: ServiceNode) -> str:
    return node.control_path


def _events(node: ServiceNode) -> str:
    return node.event_path


_METHODS: Final[Mapping[str, Callable[[Routes, Seen], Route]]] = {
    "GET": Routes._get,
    "HEAD": Routes._get,
    "POST": Routes._post,
    "M-POST": Routes._post,
    "SUBSCRIBE": Routes._subscribe,
    "UNSUBSCRIBE": Routes._unsubscribe,
}
