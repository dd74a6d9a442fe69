"""The standard's service templates as a device needs them. Pure; reads one packaged file when imported.

Knows the shapes of ``igd/igd.json`` and nothing about a running gateway. A control point reads leniently; a device
checks every argument, so the strict reading of the few data types of IGD stands here.
Sources: IGD:1 and IGD:2 service templates, UDA 1.0-2.0 sections 2.3, 2.4 and 3.3.
"""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from txigd.errors import ActionError
from txigd.upnp.control.soap import ERROR_NAMES, error_name

SERVICE_PREFIX: Final = "urn:schemas-upnp-org:service:"
_RANGES: Final = {"ui2": 0xFFFF, "ui4": 0xFFFF_FFFF}


@dataclass(frozen=True, slots=True)
class Variable:
    """One state variable. ``minimum`` and ``maximum`` are None where the template sets no range."""

    name: str
    data_type: str
    evented: bool
    allowed: tuple[str, ...] = ()
    default: str | None = None
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an action; ``variable`` is the related state variable."""

    name: str
    variable: str
    data_type: str


@dataclass(frozen=True, slots=True)
class ActionTemplate:
    """One action with its arguments in the template's order."""

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class ServiceTemplate:
    """One service type with its actions, variables and error names."""

    service_type: str
    service_id: str
    actions: Mapping[str, ActionTemplate]
    variables: Mapping[str, Variable]
    errors: Mapping[int, str]

    @property
    def name(self) -> str:
        """The bare name, for example ``"WANIPConnection"``."""
        return self.service_type.removeprefix(SERVICE_PREFIX).partition(":")[0]

    @property
    def version(self) -> int:
        """The version, for example 2."""
        return int(self.service_type.rpartition(":")[2])

    @property
    def evented(self) -> tuple[str, ...]:
        """The names of the evented variables, in the template's order."""
        return tuple(name for name, variable in self.variables.items() if variable.evented)

    def refusal(self, code: int, action: str = "") -> ActionError:
        """The error to raise for ``code``, with the name that this service gives it."""
        name = error_name(code, {**ERROR_NAMES, **self.errors})
        return ActionError(code, name, name, action)


def _arguments(items: Sequence[Mapping[str, str]]) -> tuple[Argument, ...]:
    return tuple(Argument(item["name"], item["variable"], item["type"]) for item in items)


def _variable(item: Mapping[str, Any]) -> Variable:
    limits = item.get("range", {})
    return Variable(
        item["name"],
        item["type"],
        item["evented"],
        tuple(item.get("allowed", ())),
        item.get("default"),
        limits.get("minimum"),
        limits.get("maximum"),
    )


def _load() -> dict[str, ServiceTemplate]:
    raw = pkgutil.get_data("txigd.igd", "igd.json") or b"{}"
    found = {}
    for service_type, item in json.loads(raw)["services"].items():
        found[service_type] = ServiceTemplate(
            service_type,
            item["serviceIds"][0],
            {a["name"]: ActionTemplate(a["name"], _arguments(a["in"]), _arguments(a["out"])) for a in item["actions"]},
            {v["name"]: _variable(v) for v in item["variables"]},
            {int(code): name for code, name in item.get("errors", {}).items()},
        )
    return found


TEMPLATES: Final[Mapping[str, ServiceTemplate]] = _load()

_NUMBER = re.compile(r"[0-9]{1,20}")
_BOOLEANS: Final = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}

Value = str | int | bool


def read_arguments(service: ServiceTemplate, action: str, given: Mapping[str, str]) -> dict[str, Value]:
    """Check the arguments of a request as a device must, and read them by their data types.

    :raises ActionError: 401 for an unknown action; 402 for a missing, extra or wrongly typed argument (UDA 3.3).
    """
    template = service.actions.get(action)
    if template is None:
        raise service.refusal(401, action)
    if set(given) != {argument.name for argument in template.inputs}:
        raise service.refusal(402, action)
    values: dict[str, Value] = {}
    for argument in template.inputs:
        text = given[argument.name]
        if argument.data_type == "boolean":
            word = text.strip().lower()
            if word not in _BOOLEANS:
                raise service.refusal(402, action)
            values[argument.name] = _BOOLEANS[word]
        elif argument.data_type in _RANGES:
            digits = text.strip()
            if not _NUMBER.fullmatch(digits) or int(digits) > _RANGES[argument.data_type]:
                raise service.refusal(402, action)
            values[argument.name] = int(digits)
        else:
            values[argument.name] = text
    return values
