"""Calls of actions: one at a time per gateway, with the detours and the one retry that old gateways and bad links need.

Knows the HTTP exchange and a clock; the envelopes are :mod:`txigd.upnp.control.soap`'s.
Sources: UDA 1.0 section 3, quirks Q064, Q067, Q096, Q100, Q102, Q103, Q109-Q116, Q151, faults F44-F46, threat B9.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txigd import log
from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadReply,
    ConnectFailed,
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
from txigd.upnp.control.arguments import action_named, arranged, collected, decode, encode
from txigd.upnp.control.route import Route
from txigd.upnp.control.turns import Turns
from txigd.upnp.description import datatypes
from txigd.upnp.description.device import Service
from txigd.upnp.description.service import Action, ServiceDescription
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL, detours

_log = log.logger("txigd.control")

OwnDescription = Callable[[], "Deferred[ServiceDescription | None]"]
Capability = Literal["unknown", "works", "refused"]
REFUSALS: Final = frozenset({401, 602})  # Invalid Action, Optional Action Not Implemented: the action is not there
INVALID_ARGS: Final = 402
_IDEMPOTENT = re.compile(r"(?:X_(?:[A-Za-z0-9-]+_)?)?(?:Get|Query)(?![a-z])")


class Caller:
    """Calls actions of one gateway, one after the other (Q103).

    :ivar clock: the time by which calls are due.
    """

    def __init__(self, exchange: IExchange, *, clock: IReactorTime) -> None:
        self._exchange = exchange
        self.clock = clock
        self._turns = Turns()
        self._routes: dict[DeviceURL, Route] = {}
        self._prompt: set[str] = set()  # actions whose last answer came soon

    def beside(self, exchange: IExchange) -> Caller:
        """A caller by another exchange that takes its turn in the same queue: the gateway stays one (Q103)."""
        caller = Caller(exchange, clock=self.clock)
        caller._turns = self._turns
        return caller

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
        await self._turns.take(self.clock.seconds(), due)
        running = Deferred.fromCoroutine(self._run(call, way, self.clock.seconds() + seconds))
        # No "finally": that would run as well when the garbage collector throws a suspended call away, and wake those
        # that are thrown away with it.
        return await running.addBoth(self._turns.pass_on)

    async def _run(self, call: _Call, plain: Route, deadline: float) -> dict[str, str]:
        """Try the known route, take a detour where the status asks for one, and repeat once what may be repeated."""
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


class ServiceProxy:
    """One service of a device: its actions by their wire names, typed by a table.

    :param service: from the device description.
    :param table: a built-in table of the standard, or the service's own description; None where neither is known.
    :param caller: shared by all services of the gateway.
    :param own: reads the service's own description, once. It is asked only in need, see :meth:`own_description`.
    """

    def __init__(
        self, service: Service, table: ServiceDescription | None, caller: Caller, *, own: OwnDescription | None = None
    ) -> None:
        self.service = service
        self.table = table
        self.caller = caller
        self._own = own
        self._capabilities: dict[str, Capability] = {}
        self._orders: dict[str, tuple[str, ...]] = {}  # of in-arguments, by action, since the table's was refused
        if table is not None:
            self.describe(table)

    def describe(self, table: ServiceDescription) -> None:
        """Take another table; what is known of actions stays known."""
        self.table = table
        self._capabilities = {name: self._capabilities.get(name, "unknown") for name in table.actions}

    def renew(self, service: Service, table: ServiceDescription | None, caller: Caller) -> None:
        """The device was described again: what is known of actions is forgotten with all the rest."""
        self.service, self.table, self.caller = service, table, caller
        self._capabilities.clear()
        self._orders.clear()
        if table is not None:
            self.describe(table)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What is known of each action now: it works, it is refused (401 or 602), or not tried yet (Q151)."""
        return MappingProxyType(self._capabilities)

    def own_description(self) -> Deferred[ServiceDescription | None]:
        """What the service says of itself, read when this is first called; None where that cannot be had.

        What is sent follows :attr:`table`. This is for what the device refuses: where it does not take arguments (402),
        they are sent once more as it describes them itself (Q096).
        """
        return succeed(None) if self._own is None else self._own()

    def call(
        self,
        action: str,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        seconds: float = HTTP_TOTAL_SECONDS,
        due: float | None = None,
        **named: object,
    ) -> Deferred[dict[str, Any]]:
        """Invoke an action.

        :param action: the name in the service's description.
        :param arguments: in-arguments by their wire names in any case, as Python values of their data types. What is
            not in here is given by keyword, in ``named``; only here can one be called ``seconds`` or ``due``.
        :param seconds: budget as in :meth:`Caller.call`, of each try where it takes two (Q096).
        :param due: by when it should be done, as in :meth:`Caller.call`.
        :return: fires with the out-arguments by wire name; a value that cannot be read as its data type is the text
            itself, one that the device left out is absent (Q110). Fails with
            :class:`~txigd.errors.ActionNotOffered` where the description has no such action,
            :class:`~txigd.errors.InvalidArgument` before anything is sent, or as :meth:`Caller.call` does.
        """
        return Deferred.fromCoroutine(self._call(self.table, action, arguments, named, seconds, due))

    def call_by(
        self,
        table: ServiceDescription | None,
        action: str,
        arguments: Mapping[str, object],
        *,
        seconds: float = HTTP_TOTAL_SECONDS,
    ) -> Deferred[dict[str, Any]]:
        """As :meth:`call`, but typed and checked by another table."""
        return Deferred.fromCoroutine(self._call(table, action, arguments, {}, seconds, None))

    async def _call(
        self,
        table: ServiceDescription | None,
        name: str,
        arguments: Mapping[str, object] | None,
        named: Mapping[str, object],
        seconds: float,
        due: float | None,
    ) -> dict[str, Any]:
        action = action_named(table, name)
        if table is None or action is None:
            raise ActionNotOffered(f"{self.service.service_type} has no action {name!r}")
        texts = encode(table, action, collected(arguments, named, name))
        order = self._orders.get(action.name)
        try:
            answer = await self._send(action, texts if order is None else arranged(texts, order), seconds, due)
        except ActionError as error:
            if error.code != INVALID_ARGS or order is not None or len(texts) < 2:  # one argument has no order
                raise
            answer = await self._send_as_described(action, texts, error, seconds, due)
        return decode(table, action, answer)

    async def _send(
        self, action: Action, texts: Sequence[tuple[str, str]], seconds: float, due: float | None
    ) -> dict[str, str]:
        try:
            answer = await self.caller.call(
                self.service,
                self.service.service_type,
                action.name,
                texts,
                [output.name for output in action.outputs],
                seconds=seconds,
                due=due,
                idempotent=_IDEMPOTENT.match(action.name) is not None,
            )
        except ActionError as error:
            if error.code in REFUSALS:
                self._capabilities[action.name] = "refused"
            raise
        self._capabilities[action.name] = "works"
        return answer

    async def _send_as_described(
        self, action: Action, texts: Sequence[tuple[str, str]], refusal: ActionError, seconds: float, due: float | None
    ) -> dict[str, str]:
        """Once more with the in-arguments that the service itself describes, where these are others (Q096).

        Nothing was done so far. Whatever comes of it, this is tried once for each description.
        """
        sent = tuple(name for name, _ in texts)
        described = action_named(await self.own_description(), action.name)
        order = () if described is None else tuple(one.name for one in described.inputs)
        self._orders[action.name] = sent
        if order in ((), sent) or len(arranged(texts, order)) < len(order):
            raise refusal  # what we have no value for cannot be sent: the description errs (Q084)
        try:
            answer = await self._send(action, arranged(texts, order), seconds, due)
        except ActionError as error:
            if error.code != INVALID_ARGS:
                self._orders[action.name] = order
            raise
        self._orders[action.name] = order
        return answer

    def query(
        self, variable: str, *, seconds: float = HTTP_TOTAL_SECONDS, table: ServiceDescription | None = None
    ) -> Deferred[Any]:
        """Ask for one state variable by QueryStateVariable, deprecated since 2003; few devices still answer.

        :param table: types the value in place of :attr:`table`.
        :return: fires with the value, or its text where it cannot be read as the variable's data type. Fails as
            :meth:`call` does; 404 Invalid Var is what most devices say (UDA 1.0 section 3.3).
        """
        return Deferred.fromCoroutine(self._query(variable, seconds, table or self.table))

    async def _query(self, name: str, seconds: float, table: ServiceDescription | None) -> Any:
        answer = await self.caller.call(
            self.service, soap.CONTROL, soap.QUERY, [("varName", name)], ["return"], seconds=seconds, idempotent=True
        )
        if "return" not in answer:
            raise BadReply(f"{soap.QUERY}: no value of {name}")
        variable = table.variables.get(name) if table else None
        return datatypes.decode("string" if variable is None else variable.data_type, answer["return"])
