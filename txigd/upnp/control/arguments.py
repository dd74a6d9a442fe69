"""The arguments of actions by a service's table: Python values to wire names and texts, and back. Pure.

Strict when they go out, lenient when they come in. Sources: UDA 1.0-2.0 sections 2.5 (allowedValueList and
allowedValueRange) and 3.1 (argument), quirks Q086, Q096, Q097, Q100, Q110.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Final

from txigd.errors import InvalidArgument
from txigd.upnp.description import datatypes
from txigd.upnp.description.service import Action, Argument, ServiceDescription, StateVariable

_ROUNDING: Final = Fraction(1, 10**9)  # how far a float may be off a step: 0.1 + 0.2 is one of 0.1


def action_named(table: ServiceDescription | None, name: str) -> Action | None:
    """The action of that name in any case; None where the table has none."""
    actions = table.actions if table else {}
    return actions.get(name) or next((one for key, one in actions.items() if key.lower() == name.lower()), None)


def collected(given: Mapping[str, object] | None, named: Mapping[str, object], action: str) -> dict[str, object]:
    """In-arguments given in a mapping and by keyword, together.

    :raises InvalidArgument: for one that is given both ways.
    """
    both = {**(given or {}), **named}
    if len(both) != len(given or {}) + len(named):
        raise InvalidArgument(f"{action}: given twice: {', '.join(sorted(named.keys() & (given or {}).keys()))}")
    return both


def seconds_of(name: str, given: object) -> float:
    """A time or a span of it as an application gives it.

    :param name: of the keyword, for the message.
    :raises InvalidArgument: for what is no finite number.
    """
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        with suppress(OverflowError):
            if isfinite(given):
                return given
    raise InvalidArgument(f"{name} {given!r:.80}: give a number of seconds")


def encode(table: ServiceDescription, action: Action, given: Mapping[str, object]) -> list[tuple[str, str]]:
    """All in-arguments as wire names and texts, in the order of the table (Q096, Q100).

    :param given: the values by name in any case.
    :raises InvalidArgument: for wrong names, and for values that the table does not allow.
    """
    values = {name.lower(): value for name, value in given.items()}
    known = {argument.name.lower() for argument in action.inputs}
    if len(values) != len(given) or values.keys() != known:
        right = ", ".join(argument.name for argument in action.inputs) or "no argument"
        raise InvalidArgument(f"{action.name} takes {right}; given: {', '.join(given) or 'none'}")
    return [(argument.name, _encode_one(table, argument, values[argument.name.lower()])) for argument in action.inputs]


def arranged(texts: Iterable[tuple[str, str]], names: Iterable[str]) -> list[tuple[str, str]]:
    """The same texts under these names and in their order; what is not named stays out, each comes once."""
    by_name = {name.lower(): text for name, text in texts}
    return [(name, by_name.pop(name.lower())) for name in names if name.lower() in by_name]


def decode(table: ServiceDescription, action: Action, answer: Mapping[str, str]) -> dict[str, Any]:
    """The out-arguments of an answer as values; text that is none of its type is given as it is (Q086, Q110)."""
    types = {output.name: _type(table, output) for output in action.outputs}
    return {name: datatypes.decode(types[name], text) if name in types else text for name, text in answer.items()}


def _encode_one(table: ServiceDescription, argument: Argument, value: object) -> str:
    try:
        text = datatypes.encode(_type(table, argument), value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{argument.name}: {error}") from error
    variable = table.variables.get(argument.variable)
    return text if variable is None else _check(argument.name, variable, text, value)


def _type(table: ServiceDescription, argument: Argument) -> str:
    variable = table.variables.get(argument.variable)
    return "string" if variable is None else variable.data_type


def _check(name: str, variable: StateVariable, text: str, value: object) -> str:
    """Hold an in-argument against list and range; lists are spelled as the device spells them (Q097)."""
    if variable.allowed and text not in variable.allowed:
        alike = next((word for word in variable.allowed if word.lower() == text.lower()), None)
        if alike is None:
            raise InvalidArgument(f"{name} {value!r}: use one of {', '.join(variable.allowed)}")
        return alike
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        _check_number(name, variable, value)
    return text


def _check_number(name: str, variable: StateVariable, value: int | float | Decimal) -> None:
    """By decimal digits: 0.1 as a Decimal is within a range that begins with the float 0.1."""
    number = _exactly(value)
    low, high, step = (
        None if end is None else _exactly(end) for end in (variable.minimum, variable.maximum, variable.step)
    )
    if low is not None and high is not None and low > high:
        return  # a description that allows nothing is wrong
    if low is not None and number < low:
        raise InvalidArgument(f"{name} {value}: at least {variable.minimum}")
    if high is not None and number > high:
        raise InvalidArgument(f"{name} {value}: at most {variable.maximum}")
    if low is None or step is None or step <= 0 or number == high:
        return
    steps = (number - low) / step
    if abs(steps - round(steps)) > (_ROUNDING if isinstance(value, float) else 0):
        raise InvalidArgument(f"{name} {value}: {variable.minimum} and steps of {variable.step} from there")


def _exactly(number: int | float | Decimal) -> Fraction:
    return Fraction(repr(float(number)) if isinstance(number, float) else number)
