"""A service description (SCPD): what a service claims to offer. Pure.

A hint, not a promise (Q083): actions may be missing here and work, or be listed and answer 401. Sources: UDA 1.0-2.0
section 2.5 (service description), quirks Q082-Q087.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from txigd.errors import DescriptionError
from txigd.limits import NAME_OCTETS, SCPD_ACTIONS, SCPD_ARGUMENTS, SCPD_OCTETS, SCPD_VARIABLES, TREE_PROBLEMS
from txigd.upnp import xml
from txigd.upnp.description import datatypes
from txigd.upnp.xml import Element


@dataclass(frozen=True, slots=True)
class StateVariable:
    """A state variable.

    ``data_type`` is a name as in :mod:`txigd.upnp.description.datatypes`. ``allowed`` is empty where the device gives
    no list or the type is no string; ``minimum``, ``maximum`` and ``step`` are None where absent or no number.
    """

    name: str
    data_type: str = "string"
    evented: bool = True
    multicast: bool = False
    default: str | None = None
    allowed: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument and the state variable that gives its data type."""

    name: str
    variable: str


@dataclass(frozen=True, slots=True)
class Action:
    """An action with its arguments in the order in which they must be sent."""

    name: str
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class ServiceDescription:
    """Actions and state variables by name, and what was wrong with the document."""

    actions: Mapping[str, Action]
    variables: Mapping[str, StateVariable]
    problems: tuple[str, ...] = ()

    @property
    def evented(self) -> tuple[str, ...]:
        """The names of the state variables that are sent in events."""
        return tuple(variable.name for variable in self.variables.values() if variable.evented)

    def with_more(self, other: ServiceDescription | None) -> ServiceDescription:
        """This one, and of the other what is not in it."""
        if other is None:
            return self
        return ServiceDescription(
            MappingProxyType({**other.actions, **self.actions}), MappingProxyType({**other.variables, **self.variables})
        )


def parse(document: bytes) -> ServiceDescription:
    """Read a service description.

    Whatever cannot be understood is left out and named in ``problems``; so is what goes beyond the bounds.

    :raises DescriptionError: for no XML, or XML without any state variable (Q082).
    """
    root = xml.parse(document, cap=SCPD_OCTETS)
    problems: list[str] = []
    variables: dict[str, StateVariable] = {}
    for element in _entries(root, "serviceStateTable", "stateVariable", SCPD_VARIABLES, problems):
        if name := _name(element, "state variable", variables, problems):
            variables[name] = _variable(name, element)
    if not variables:
        raise DescriptionError(f"no service description: no state variables; it begins {xml.excerpt(document)!r}")
    spelling = {name.lower(): name for name in reversed(variables)}
    actions: dict[str, Action] = {}
    for element in _entries(root, "actionList", "action", SCPD_ACTIONS, problems):
        if name := _name(element, "action", actions, problems):
            try:
                actions[name] = _action(name, element, variables, spelling)
            except DescriptionError as error:
                problems.append(str(error))
    return ServiceDescription(
        MappingProxyType(actions), MappingProxyType(variables), tuple(dict.fromkeys(problems))[:TREE_PROBLEMS]
    )


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def _entries(root: Element, holder: str, item: str, most: int, problems: list[str]) -> Iterator[Element]:
    """The items of a list that may occur more than once."""
    found = [element for listed in root.find_all(holder) for element in listed.find_all(item)]
    if len(found) > most:
        problems.append(f"{len(found)} entries named {item}, the first {most} are read")
    yield from found[:most]


def _name(element: Element, what: str, known: Mapping[str, object], problems: list[str]) -> str:
    """The name (Q086: blanks go); ``""`` for one that cannot be sent or is there already."""
    name = element.text_of("name")
    if len(name) > NAME_OCTETS or _NAME.fullmatch(name) is None:
        problems.append(f"{what} without a usable name: {name[:40]!r}")
        return ""
    if name in known:
        problems.append(f"{what} {name} is there twice, the first counts")
        return ""
    return name


def _variable(name: str, element: Element) -> StateVariable:
    data_type = element.text_of("dataType")[:NAME_OCTETS] or "string"
    default = element.find("defaultValue")
    bounds = element.find("allowedValueRange") or Element("allowedValueRange")
    words = element.find("allowedValueList") or Element("allowedValueList")
    textual = datatypes.data_type_named(data_type) is datatypes.data_type_named("string")
    return StateVariable(
        name=name,
        data_type=data_type,
        evented=_says(element, ("sendEvents", "sendEventsAttribute"), default=True),
        multicast=_says(element, ("multicast",), default=False),
        default=None if default is None else default.text,
        allowed=tuple(word.text for word in words.find_all("allowedValue")) if textual else (),
        minimum=None if textual else _number(bounds.text_of("minimum")),
        maximum=None if textual else _number(bounds.text_of("maximum")),
        step=None if textual else _number(bounds.text_of("step")),
    )


def _says(element: Element, names: tuple[str, ...], *, default: bool) -> bool:
    """A yes or no given as an attribute, or as an element (Q085)."""
    for name in names:
        said = datatypes.decode("boolean", element.attribute(name) or element.text_of(name))
        if isinstance(said, bool):
            return said
    return default


def _number(text: str) -> int | float | None:
    # by form, not by the variable's type: a bound of -1 must not be taken for a counter that went round (Q152)
    for data_type in ("i8", "r8"):
        number = datatypes.decode(data_type, text)
        if isinstance(number, (int, float)):
            return number
    return None


def _action(name: str, element: Element, variables: Mapping[str, StateVariable], spelling: Mapping[str, str]) -> Action:
    found = [argument for listed in element.find_all("argumentList") for argument in listed.find_all("argument")]
    if len(found) > SCPD_ARGUMENTS:
        raise DescriptionError(f"action {name} has {len(found)} arguments")
    inputs: list[Argument] = []
    outputs: list[Argument] = []
    for item in found:
        argument = item.text_of("name")
        if len(argument) > NAME_OCTETS or _NAME.fullmatch(argument) is None:
            raise DescriptionError(f"action {name} has an argument without a usable name: {argument[:40]!r}")
        related = item.text_of("relatedStateVariable")[:NAME_OCTETS]
        if related not in variables:
            related = spelling.get(related.lower(), related)
        outward = item.text_of("direction").lower() == "out" or item.find("retval") is not None
        (outputs if outward else inputs).append(Argument(argument, related))
    return Action(name, tuple(inputs), tuple(outputs))
