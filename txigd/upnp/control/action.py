"""The actions of one service, by name and typed by its description.

Knows :mod:`txigd.upnp.control.caller`, which brings them to the gateway, and the rules for arguments beside it.
Sources: UDA 1.0 section 3, quirks Q096, Q100, Q151.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred, succeed

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadReply,
)
from txigd.limits import (
    HTTP_TOTAL_SECONDS,
)
from txigd.upnp.control import soap
from txigd.upnp.control.arguments import action_named, arranged, collected, decode, encode
from txigd.upnp.control.caller import Caller
from txigd.upnp.description import datatypes
from txigd.upnp.description.device import Service
from txigd.upnp.description.service import Action, ServiceDescription

OwnDescription = Callable[[], "Deferred[ServiceDescription | None]"]
Capability = Literal["unknown", "works", "refused"]
REFUSALS: Final = frozenset({401, 602})  # Invalid Action, Optional Action Not Implemented: the action is not there
INVALID_ARGS: Final = 402
_IDEMPOTENT = re.compile(r"(?:X_(?:[A-Za-z0-9-]+_)?)?(?:Get|Query)(?![a-z])")


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
