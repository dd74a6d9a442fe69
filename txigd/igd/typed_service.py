"""Services of IGD as classes with one typed method per action, built from the tables of the standard.

Knows the tables and a :class:`~txigd.upnp.control.action.ServiceProxy`; no method is written by hand.
Sources: the service templates of IGD:1 and IGD:2, quirks Q107, Q110, Q150, threat B9, igd data type habits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from twisted.internet.defer import Deferred

from txigd.errors import ActionError, BadReply
from txigd.igd.names import keyword_name, result_name, snake_case
from txigd.igd.tables import NEEDS_TLS, NOTES, Standard
from txigd.limits import HTTP_TOTAL_SECONDS
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.description import datatypes
from txigd.upnp.description.service import Action, Argument, StateVariable

_Self = TypeVar("_Self", bound="TypedService")
MODULE: Final = "txigd.igd.services"
PYTHON_TYPES: Final[Mapping[str, type]] = {
    "string": str,
    "boolean": bool,
    "ui1": int,
    "ui2": int,
    "ui4": int,
    "bin.base64": bytes,
}
# A port or an index beyond its type is a lie (B9); counters beyond ui4 are real (Q152).
_HIGHEST: Final[Mapping[str, int]] = {"ui1": 2**8 - 1, "ui2": 2**16 - 1}
# What an empty element means, by variable.
_WHEN_EMPTY: Final[Mapping[str, object]] = {"PortMappingEnabled": True, "PortMappingLeaseDuration": 0}


@dataclass(frozen=True, slots=True)
class TypedArgument:
    """One argument: ``wire`` is its name in envelopes, ``name`` in Python, ``variable`` what stands behind it."""

    wire: str
    name: str
    variable: StateVariable

    @property
    def data_type(self) -> str:
        return self.variable.data_type

    @property
    def python_type(self) -> type:
        return PYTHON_TYPES[self.data_type]

    def read(self, value: object) -> Any:
        """A value of a reply in its standard type; None where it is missing or makes no sense."""
        if value is None or value == "":
            return "" if value == "" and self.python_type is str else _WHEN_EMPTY.get(self.variable.name)
        if type(value) is not self.python_type:
            # the gateway's own description may type it differently, or the text could not be read at all (Q150)
            value = datatypes.decode(self.data_type, str(value))
        if type(value) is not self.python_type:
            return None
        highest = _HIGHEST.get(self.data_type)
        return None if highest is not None and not 0 <= int(str(value)) <= highest else value

    @property
    def documentation(self) -> str:
        """Type, values and units in one line."""
        notes = [self.data_type]
        low, high = self.variable.minimum, self.variable.maximum
        if low is not None or high is not None:
            notes[0] += f" {'' if low is None else low}..{'' if high is None else high}"
        if self.variable.allowed:
            notes.append("one of " + ", ".join(self.variable.allowed))
        if self.variable.name in NOTES:
            notes.append(NOTES[self.variable.name])
        return "; ".join(notes)


@dataclass(frozen=True, slots=True)
class TypedAction:
    """One action of a standard service and how it looks in Python.

    ``result`` is the NamedTuple of an action with several out-arguments, otherwise None.
    """

    wire: str
    name: str
    inputs: tuple[TypedArgument, ...]
    outputs: tuple[TypedArgument, ...]
    result: type[tuple[Any, ...]] | None

    def answer(self, values: Mapping[str, object]) -> Any:
        """The out-arguments of a reply as what the method promises.

        :raises BadReply: where the only out-argument is missing or no value of its type.
        """
        folded = {name.lower(): value for name, value in values.items()}
        if len(self.outputs) == len(folded) == 1:
            folded = {self.outputs[0].wire.lower(): value for value in folded.values()}  # whatever its name (Q084)
        read = [output.read(folded.get(output.wire.lower())) for output in self.outputs]
        if self.result is not None:
            return self.result(*read)
        if not read:
            return None
        if read[0] is None:
            raise BadReply(f"{self.wire}: no usable {self.outputs[0].wire}")
        return read[0]


class TypedService:
    """One IGD service with its actions as methods.

    :param proxy: calls the actions. Its table becomes that of the standard, with what it had besides.
    """

    standard: ClassVar[Standard]
    actions: ClassVar[Mapping[str, TypedAction]]

    def __init__(self, proxy: ServiceProxy) -> None:
        proxy.describe(self.standard.description.with_more(proxy.table))
        self.proxy = proxy
        self._due: float | None = None

    def due_by(self: _Self, due: float | None) -> _Self:
        """The same service, for calls that should be done by then: what is due first goes first.

        :param due: on the control point's clock; None where nothing runs out.
        """
        service = copy(self)
        service._due = due
        return service

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.proxy.service.service_type!r}>"

    async def _invoke(self, action: TypedAction, seconds: float, values: Mapping[str, object]) -> Any:
        arguments = {argument.wire: values[argument.name] for argument in action.inputs}
        try:
            answer = await self.proxy.call(action.wire, seconds=seconds, due=self._due, **arguments)
        except ActionError as error:
            name = self.standard.errors.get(error.code, error.name)
            if name == error.name:
                raise
            raise ActionError(error.code, name, error.text, error.action) from error
        return action.answer(answer)


def build(standard: Standard, results: dict[str, type[tuple[Any, ...]]]) -> type[TypedService]:
    """The class of one service.

    :param results: NamedTuples by name; those that the service needs and that are missing are added, so that services
        whose actions answer alike share them.
    """
    typed = [_typed_action(standard, action, results) for action in standard.description.actions.values()]
    actions = {action.name: action for action in typed}
    required = [action.name for action in typed if action.wire in standard.required]
    namespace: dict[str, Any] = {action.name: _method(standard, action) for action in typed}
    namespace |= {
        "standard": standard,
        "actions": actions,
        "__module__": MODULE,
        "__doc__": f"{standard.name}:{standard.version} of the Internet Gateway Device standard.\n\n"
        f"Type ``{standard.service_type}``. A gateway must offer {', '.join(required) or 'no action'}.\n\n"
        ":param proxy: calls the actions; see :class:`txigd.upnp.control.action.ServiceProxy`.\n",
    }
    # hyphens do not occur, so name and version make a Python name
    return type(f"{standard.name}{standard.version}", (TypedService,), namespace)


def _typed_action(standard: Standard, action: Action, results: dict[str, type[tuple[Any, ...]]]) -> TypedAction:
    inputs = tuple(_typed_argument(standard, argument) for argument in action.inputs)
    outputs = tuple(_typed_argument(standard, argument) for argument in action.outputs)
    result = _result(standard, action.name, outputs, results) if len(outputs) > 1 else None
    return TypedAction(action.name, snake_case(action.name), inputs, outputs, result)


def _typed_argument(standard: Standard, argument: Argument) -> TypedArgument:
    variable = standard.description.variables[argument.variable]
    return TypedArgument(argument.name, keyword_name(argument.name), variable)


def _result(
    standard: Standard,
    action: str,
    outputs: tuple[TypedArgument, ...],
    results: dict[str, type[tuple[Any, ...]]],
) -> type[tuple[Any, ...]]:
    name = result_name(action)
    fields = {output.name: output.python_type | None for output in outputs}
    known = results.get(name)
    if known is not None and known.__annotations__ == fields:
        return known
    if known is not None:
        name += f"{standard.name}{standard.version}"
    made: Any = NamedTuple(name, list(fields.items()))  # type: ignore[misc]
    made.__module__ = MODULE
    listed = "".join(f":ivar {output.name}: {output.documentation}.\n" for output in outputs)
    made.__doc__ = f"What {action} answers; None for a value that is missing or makes no sense.\n\n{listed}"
    results[name] = made
    return results[name]


def _method(standard: Standard, action: TypedAction) -> Callable[..., Deferred[Any]]:
    """The method of one action; everything about it comes from the table."""
    only = Parameter.KEYWORD_ONLY
    signature = Signature(
        [
            Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
            *(Parameter(argument.name, only, annotation=argument.python_type) for argument in action.inputs),
            Parameter("seconds", only, default=HTTP_TOTAL_SECONDS, annotation=float),
        ]
    )

    def method(self: TypedService, *args: object, **kwargs: object) -> Deferred[Any]:
        bound = signature.bind(self, *args, **kwargs)  # a TypeError like that of any function
        bound.apply_defaults()
        values = dict(bound.arguments)
        return Deferred.fromCoroutine(self._invoke(action, values.pop("seconds"), values))

    method.__name__ = action.name
    method.__qualname__ = f"{standard.name}{standard.version}.{action.name}"
    method.__module__ = MODULE
    method.__doc__ = _documentation(standard, action)
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


def _documentation(standard: Standard, action: TypedAction) -> str:
    service = f"{standard.name}:{standard.version}"
    need = "required of" if action.wire in standard.required else "optional for"
    lines = [f"{action.wire} of {service}, {need} the gateway.", ""]
    if action.wire in NEEDS_TLS:
        lines += [
            "Needs TLS with a certificate of either side. It is sent by plain HTTP here: anybody on the LAN can read",
            "it, and a gateway that keeps to the standard refuses it (606).",
            "",
        ]
    lines += [f":param {argument.name}: {argument.documentation}." for argument in action.inputs]
    lines.append(":param seconds: budget of the call once its turn has come.")
    if action.result is not None:
        lines.append(f":return: Deferred of :class:`{action.result.__name__}`.")
    elif action.outputs:
        output = action.outputs[0]
        lines.append(f":return: Deferred of {output.python_type.__name__}: {output.documentation}.")
    else:
        lines.append(":return: Deferred of None.")
    codes = [f"{code} {standard.errors[code]}" for code in sorted(standard.action_errors[action.wire])]
    lines.append(f":raises ActionError: {', '.join([*codes, '401, 402, 501 and 600-605 as for any action'])}.")
    lines += [
        ":raises InvalidArgument: before anything is sent, for a value of a wrong type or out of range.",
        ":raises ExchangeError: no answer, or none that can be used.",
        "",
        f"Source: the {service} service template, action {action.wire}.",
        "",
    ]
    return "\n".join(lines)
