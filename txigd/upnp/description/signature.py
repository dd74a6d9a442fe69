"""The actions of a service with the types of their arguments, as people and programs want to see them. Pure.

Sources: UDA 1.0-2.0 section 2.5 (service description): the type of an argument is that of its state variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from txigd.errors import InvalidArgument
from txigd.upnp.description import datatypes, spelling
from txigd.upnp.description.service import Argument, ServiceDescription, StateVariable

_INTEGERS: Final = frozenset({"ui1", "ui2", "ui4", "ui8", "i1", "i2", "i4", "i8", "int"})
_INTEGER: Final = re.compile(r"([+-]?)([0-9]+)")
_DIGITS: Final = 30  # more than any type has


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an action; ``variable`` gives type, list and range, and is a plain string where unknown."""

    name: str
    variable: StateVariable

    @property
    def data_type(self) -> str:
        """A name as in :mod:`txigd.upnp.description.datatypes`."""
        return self.variable.data_type

    def value_of(self, text: str) -> datatypes.Value:
        """The value that somebody wrote as text.

        Unlike what comes from devices, nothing is guessed: it goes out as it was written, or not at all. Text that is
        no integer, or no text of its type, is given back as it is: a caller that checks the value will refuse it.

        :raises InvalidArgument: for an integer that no type has room for, and for text that is no value of any other
            type, see :func:`txigd.upnp.description.spelling.read`.
        """
        if self.data_type.rpartition(":")[2].lower() in _INTEGERS:
            return self._integer(text)
        try:
            return spelling.read(self.data_type, text)
        except InvalidArgument as error:
            raise InvalidArgument(f"{self.name}: {error}") from None

    def _integer(self, text: str) -> int | str:
        match = _INTEGER.fullmatch(text)
        if match is None:
            return text
        digits = match[2].lstrip("0") or "0"
        if len(digits) > _DIGITS:
            raise InvalidArgument(f"{self}: a number of {len(digits)} digits is out of range")
        return int(match[1] + digits)

    def __str__(self) -> str:
        return f"{self.name}: {describe(self.variable)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """An action with its arguments in order."""

    name: str
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()

    def __str__(self) -> str:
        given, told = (", ".join(map(str, some)) for some in (self.inputs, self.outputs))
        return f"{self.name}({given})" + (f" -> {told}" if told else "")


def signatures(table: ServiceDescription | None) -> Mapping[str, Signature]:
    """The actions of a service by name; nothing where it is not described."""
    if table is None:
        return MappingProxyType({})

    def typed(arguments: Iterable[Argument]) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(one.name, table.variables.get(one.variable) or StateVariable(one.variable or one.name))
            for one in arguments
        )

    return MappingProxyType(
        {name: Signature(name, typed(action.inputs), typed(action.outputs)) for name, action in table.actions.items()}
    )


def describe(variable: StateVariable) -> str:
    """Data type with list or range: ``ui2 0..65535``, ``string TCP|UDP``."""
    words = [variable.data_type]
    if variable.minimum is not None or variable.maximum is not None:
        low, high = ("" if end is None else str(end) for end in (variable.minimum, variable.maximum))
        words.append(f"{low}..{high}" + (f" step {variable.step}" if variable.step not in (None, 1) else ""))
    if variable.allowed:
        words.append("|".join(variable.allowed))
    return " ".join(words)
