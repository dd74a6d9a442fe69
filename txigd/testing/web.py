"""The web server of a simulated gateway: it looks at each request, keeps the log, says when it is carried out. Thin.

Knows which HOST is ours, the faults that were set and what holds an answer back. One connection per request, as
miniupnpd does; a foreign HOST is answered 404 like there (DNS rebinding).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from txigd.limits import SIMULATED_REQUEST_OCTETS
from txigd.testing.faults import Faults
from txigd.testing.page import Page
from txigd.testing.publisher import Publisher
from txigd.testing.quirks import Asked, Played
from txigd.testing.reply import Reply
from txigd.testing.routes import Route, Routes
from txigd.testing.seen import Seen
from txigd.testing.state import State

BLOCKED_SECONDS: Final = 0.01


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
        self._authority = authority
        self._played = played
        self._routes = Routes(
            state, publisher, now=clock.seconds, changed=changed, description=description, played=played
        )
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

    def render(self, request: Any) -> int:
        """Answer, or do what the fault for this request says."""
        seen = self._look(request)
        reply = Reply(request, seen, server=self._state.tree.model.server, played=self._played, later=self._later)
        lead = self._routes.of(seen.method)
        if lead is None:
            reply.write(Page(501))
        elif not self._is_ours(request):
            reply.write(Page(404))
        else:
            self._carry_out(request, seen, reply, lead(seen))
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
        if self._authority is None:
            return True
        host = (request.getHeader("host") or "").strip().lower()
        return any(host in (ours, f"localhost:{ours.rpartition(':')[2]}") for ours in self._authority())

    def _carry_out(self, request: Any, seen: Seen, reply: Reply, route: Route) -> None:
        if not self._played:
            reply.give(self._faults.take(*route.names), route.answer)
            return
        self._running += 1
        asked = reply.asked = self._asked(request, seen)
        fault, seconds = self._faults.take(*route.names) or self._played.asked(asked), self._played.held(asked)

        def give() -> None:
            self._running -= 1
            reply.give(fault, route.answer)

        self._when_free(seconds, give)

    def _asked(self, request: Any, seen: Seen) -> Asked:
        transport = request.channel.transport
        return Asked(
            seen.method,
            seen.path,
            transport.heard.partition(b"\r\n\r\n")[0],
            seen.body,
            seen.action,
            seen.arguments,
            self._routes.service_type(seen.path),
            transport.pieces,
            self._running,
            seen.peer,
        )

    def _when_free(self, seconds: float, function: Callable[[], None]) -> None:
        """At once, after a while, or when no NOTIFY of ours waits for its answer (Q175)."""
        blocked = "blocks in NOTIFY" in self._played.traits and self._publisher.busy
        if seconds or blocked:
            self._later(seconds or BLOCKED_SECONDS, partial(self._when_free, 0.0, function))
        else:
            function()

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        def run() -> None:
            self._late.discard(call)
            function()

        call = self._clock.callLater(seconds, run)
        self._late.add(call)
