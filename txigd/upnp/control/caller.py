"""Calls to one gateway: one at a time, with the detours and the one retry that old gateways and bad links need.

Knows the HTTP exchange and a clock; the envelopes are :mod:`txigd.upnp.control.soap`'s.
Sources: UDA 1.0 section 3, quirks Q064, Q067, Q100, Q102, Q103, Q109-Q116, faults F44-F46, threat B9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txigd import log
from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadReply,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    HTTPStatusError,
)
from txigd.interfaces import IExchange
from txigd.limits import (
    CALL_HASTY_SECONDS,
    FAREWELL_CALLS,
    HTTP_TOTAL_SECONDS,
    LARGE_REPLIES,
    ROUTES,
    SCPD_ACTIONS,
    SOAP_OCTETS,
)
from txigd.upnp.control import soap
from txigd.upnp.control.arguments import seconds_of
from txigd.upnp.control.route import Route
from txigd.upnp.control.turns import Turns
from txigd.upnp.description.device import Service
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL, detours

_log = log.logger("txigd.control")
_T = TypeVar("_T")


class Caller:
    """Calls actions of one gateway, one after the other (Q103).

    :ivar clock: the time by which calls are due.
    """

    def __init__(self, exchange: IExchange, *, clock: IReactorTime) -> None:
        self._exchange = exchange
        self.clock = clock
        self._turns = Turns()
        self._under_way: set[Deferred[dict[str, str]]] = set()
        self._routes: dict[DeviceURL, Route] = {}
        self._prompt: set[str] = set()  # actions whose last answer came soon

    def beside(self, exchange: IExchange) -> Caller:
        """A caller by another exchange that takes its turn in the same queue: the gateway stays one (Q103)."""
        caller = Caller(exchange, clock=self.clock)
        caller._turns, caller._under_way = self._turns, self._under_way
        return caller

    def close(self, reason: str) -> None:
        """The gateway is somewhere else now: what waits, is under way or comes later fails with an ExchangeError."""
        self._turns.close(ExchangeError(reason))
        for running in tuple(self._under_way):
            running.cancel()

    def hurry(self) -> None:
        """The end: what is to be done in a few seconds is asked for several at a time."""
        self._turns.widen(FAREWELL_CALLS)

    def call(
        self,
        service: Service,
        service_type: str,
        action: str,
        arguments: Sequence[tuple[str, str]],
        outputs: Sequence[str],
        *,
        seconds: float = HTTP_TOTAL_SECONDS,
        due: float | None = None,
        idempotent: bool = False,
    ) -> Deferred[dict[str, str]]:
        """Invoke an action and read its out-arguments as text.

        :param service: whose control URL is called.
        :param service_type: what SOAPACTION and the body name; commonly ``service.service_type`` (Q091).
        :param arguments: wire names and encoded values, all of them, in order (Q096, Q100).
        :param outputs: wire names of the out-arguments.
        :param seconds: budget for all attempts together, from the turn of this call: waiting for the calls before it
            does not count. Cancel the Deferred to give up sooner.
        :param due: by when it should be done, on our clock: what is due first goes first. None where nothing runs out:
            ``CALL_DUE_SECONDS`` from now.
        :param idempotent: whether a lost connection, a reply that cannot be read and a 400 may be answered by one
            more try (F44, Q114, Q116), and so may silence where an answer used to come soon (F46). Anything else may
            have been carried out although no answer came (F45).
        :return: fires with the values by name; fails with :class:`~txigd.errors.ActionError`,
            :class:`~txigd.errors.ExchangeError`, :class:`~txigd.errors.InvalidArgument` or
            :class:`~txigd.errors.ActionNotOffered`. Cancelling leaves the queue or closes the connection.
        """
        return Deferred.fromCoroutine(
            self._call(service, service_type, action, tuple(arguments), tuple(outputs), seconds, due, idempotent)
        )

    async def _call(
        self,
        service: Service,
        service_type: str,
        action: str,
        arguments: tuple[tuple[str, str], ...],
        outputs: tuple[str, ...],
        seconds: float,
        due: float | None,
        idempotent: bool,
    ) -> dict[str, str]:
        if service.control_url is None:
            raise ActionNotOffered(f"{service.service_type} has no control URL")
        body = soap.request(service_type, action, arguments)
        call = _Call(service_type, action, outputs, body, idempotent)
        way = Route(service.control_url, others=detours(service.control_url, service.directory))
        seconds = seconds_of("seconds", seconds)
        await self._turns.take(self.clock.seconds(), None if due is None else seconds_of("due", due))
        # Nothing between the turn and "running" may raise: only the end of "running" passes the turn on.
        running = Deferred.fromCoroutine(self._run(call, way, seconds))
        self._under_way.add(running)
        # No "finally": that would run as well when the garbage collector throws a suspended call away, and wake those
        # that are thrown away with it.
        return await running.addBoth(self._over, running)

    def _over(self, result: _T, running: Deferred[dict[str, str]]) -> _T | Failure:
        """Seat the next one; a call that was ended by :meth:`close` says so."""
        self._under_way.discard(running)
        self._turns.pass_on(None)
        closed = self._turns.closed
        if closed is not None and isinstance(result, Failure) and isinstance(result.value, CancelledError):
            return Failure(closed)
        return result

    async def _run(self, call: _Call, plain: Route, seconds: float) -> dict[str, str]:
        """Try the known route, take a detour where the status asks for one, and repeat once what may be repeated."""
        deadline = self.clock.seconds() + seconds
        route = self._routes.get(plain.url, plain)
        tries_left = 2 if call.idempotent else 1
        while True:
            hasty = tries_left > 1 and self._expects_haste(call, deadline)
            try:
                values = await self._attempt(call, route, deadline, CALL_HASTY_SECONDS if hasty else None)
            except ActionError:
                self._remember(plain, route)  # a refusal in due form shows that the route is right
                raise
            except HTTPStatusError as error:
                detour = route.detour(error.status)
                if detour is not None:
                    _log.debug(
                        "{action}: HTTP status {status}, trying {route}",
                        action=call.action,
                        status=error.status,
                        route=detour,
                    )
                    route = detour
                    continue
                tries_left -= 1
                if error.status != 400 or not tries_left:
                    self._routes.pop(plain.url, None)  # if it was a detour, it leads nowhere any more
                    raise
            except ExchangeTimeout as error:
                if not (hasty and error.asked):
                    raise
                tries_left -= 1
            except (ConnectFailed, BadReply):
                tries_left -= 1
                if not tries_left:
                    raise
            else:
                self._remember(plain, route)
                return values

    def _expects_haste(self, call: _Call, deadline: float) -> bool:
        """Whether silence most likely means a loss, and there is time for another try that has much of the budget."""
        return call.action in self._prompt and deadline - self.clock.seconds() >= 2 * CALL_HASTY_SECONDS

    async def _attempt(self, call: _Call, route: Route, deadline: float, at_most: float | None) -> dict[str, str]:
        began = self.clock.seconds()
        remaining = deadline - began
        if remaining <= 0:
            raise ExchangeTimeout(f"{call.action}: no time left for another try")
        self._prompt.discard(call.action)
        reply: Reply = await self._exchange.request(
            "M-POST" if route.mpost else "POST",
            route.url,
            soap.headers(call.service_type, call.action, mpost=route.mpost),
            call.body,
            body_cap=LARGE_REPLIES.get(call.action, SOAP_OCTETS),
            seconds=at_most or remaining,
        )
        if self.clock.seconds() - began <= CALL_HASTY_SECONDS / 2 and call.action not in LARGE_REPLIES:
            while len(self._prompt) >= SCPD_ACTIONS:
                self._prompt.pop()
            self._prompt.add(call.action)
        return soap.read_reply(call.action, reply.status, reply.body, call.outputs)

    def _remember(self, plain: Route, route: Route) -> None:
        if route == plain:
            return
        self._routes.pop(plain.url, None)
        while len(self._routes) >= ROUTES:
            del self._routes[next(iter(self._routes))]
        self._routes[plain.url] = route


@dataclass(frozen=True, slots=True)
class _Call:
    """What does not change from one attempt to the next."""

    service_type: str
    action: str
    outputs: tuple[str, ...]
    body: bytes
    idempotent: bool
