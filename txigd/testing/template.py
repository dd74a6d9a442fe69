"""The standard's services as a device needs them. Pure.

A control point reads leniently; a device checks every argument, so the strict reading of the few data types of IGD
stands here. Sources: IGD:1 and IGD:2 service templates (:mod:`txigd.igd.tables`), UDA 1.0-2.0 sections 2.4 and 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from txigd.errors import ActionError
from txigd.igd.tables import Standard, standards
from txigd.upnp.control.soap import error_name
from txigd.upnp.description.service import Action, StateVariable

SERVICE_PREFIX: Final = "urn:schemas-upnp-org:service:"
_LARGEST: Final = {"ui2": 0xFFFF, "ui4": 0xFFFF_FFFF}

Value = str | int | bool


@dataclass(frozen=True)
class ServiceTemplate:
    """One standard service, seen from the device."""

    standard: Standard

    @property
    def service_type(self) -> str:
        """The whole type, for example ``"urn:schemas-upnp-org:service:WANIPConnection:2"``."""
        return self.standard.service_type

    @property
    def name(self) -> str:
        """The bare name, for example ``"WANIPConnection"``."""
        return self.standard.name

    @property
    def version(self) -> int:
        """The version, for example 2."""
        return self.standard.version

    @property
    def actions(self) -> Mapping[str, Action]:
        """All actions by name."""
        return self.standard.description.actions

    @property
    def variables(self) -> Mapping[str, StateVariable]:
        """All state variables by name."""
        return self.standard.description.variables

    @property
    def evented(self) -> tuple[str, ...]:
        """The names of the evented variables, in the template's order."""
        return self.standard.description.evented

    def refusal(self, code: int, action: str = "") -> ActionError:
        """The error to raise for ``code``, with the name that this service gives it."""
        name = error_name(code, self.standard.errors)
        return ActionError(code, name, name, action)


TEMPLATES: Final[Mapping[str, ServiceTemplate]] = {s.service_type: ServiceTemplate(s) for s in standards()}

_NUMBER = re.compile(r"[0-9]{1,20}")
_BOOLEANS: Final = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}


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
        value = _read(service.variables[argument.variable].data_type, given[argument.name])
        if value is None:
            raise service.refusal(402, action)
        values[argument.name] = value
    return values


def _read(data_type: str, text: str) -> Value | None:
    if data_type == "boolean":
        return _BOOLEANS.get(text.strip().lower())
    if data_type in _LARGEST:
        digits = text.strip()
        return int(digits) if _NUMBER.fullmatch(digits) and int(digits) <= _LARGEST[data_type] else None
    return text
