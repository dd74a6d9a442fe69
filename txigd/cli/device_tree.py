"""A device as ``txigd describe`` shows it: data for programs, lines for people. Pure.

Text of devices is bounded where it is read; here it is only cleaned for the terminal (B11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from txigd.errors import BadURL
from txigd.upnp import url
from txigd.upnp.description.device import Description, Device, Service
from txigd.upnp.description.service import ServiceDescription, StateVariable
from txigd.upnp.description.signature import Parameter, describe, signatures

Tables = Mapping[Service, "tuple[ServiceDescription | None, str]"]
_WIDE = 100
_FACTS = {
    "manufacturer": "manufacturer",
    "manufacturer_url": "manufacturer URL",
    "model_description": "description",
    "model_name": "model",
    "model_number": "model number",
    "model_url": "model URL",
    "serial_number": "serial number",
    "upc": "UPC",
    "udn": "UDN",
    "presentation_url": "presentation page",
}


def description_data(description: Description, tables: Tables) -> dict[str, Any]:
    """All of a description.

    :param tables: by service what is known of it, and where from: ``own``, ``standard`` or ``none``.
    """
    return {
        "location": str(description.location),
        "base": str(description.base or description.location),
        "spec_version": ".".join(map(str, description.spec_version)),
        "config_id": description.config_id,
        "problems": list(description.problems),
        "device": _device(description.root, description, tables),
    }


def table_data(table: ServiceDescription | None) -> dict[str, Any]:
    """Actions and variables of one service."""
    return {
        "actions": [
            {
                "name": one.name,
                "in": [_parameter(parameter) for parameter in one.inputs],
                "out": [_parameter(parameter) for parameter in one.outputs],
            }
            for one in signatures(table).values()
        ],
        "variables": [_variable(one) for one in (table.variables.values() if table else ())],
    }


def _device(device: Device, description: Description, tables: Tables) -> dict[str, Any]:
    return {
        "type": device.device_type,
        "name": device.friendly_name,
        **{name: getattr(device, name) for name in _FACTS},
        "presentation_url": _absolute(device.presentation_url, description),
        "icons": [
            {"mimetype": i.mimetype, "width": i.width, "height": i.height, "depth": i.depth, "url": str(i.url)}
            for i in device.icons
        ],
        "services": [_service(service, *tables.get(service, (None, "none"))) for service in device.services],
        "devices": [_device(embedded, description, tables) for embedded in device.devices],
    }


def _absolute(text: str, description: Description) -> str:
    """To be shown, never to be fetched (Q088): what cannot be resolved stays as it is."""
    try:
        return str(url.resolve(description.base or description.location, text)) if text else ""
    except BadURL:
        return text


def _service(service: Service, table: ServiceDescription | None, source: str) -> dict[str, Any]:
    return {
        "type": service.service_type,
        "id": service.service_id,
        "path": service.place,
        "control_url": _text(service.control_url),
        "event_url": _text(service.event_url),
        "scpd_url": _text(service.scpd_url),
        "described_by": source,
        "problems": [*service.problems, *(table.problems if table else ())],
        **table_data(table),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _variable(one: StateVariable) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.data_type,
        "evented": one.evented,
        "multicast": one.multicast,
        "default": one.default,
        "allowed": list(one.allowed),
        "minimum": one.minimum,
        "maximum": one.maximum,
        "step": one.step,
    }


def _parameter(one: Parameter) -> dict[str, Any]:
    told = _variable(one.variable)
    kept = {name: told[name] for name in ("type", "allowed", "minimum", "maximum", "step")}
    return {"name": one.name, "variable": one.variable.name, **kept}


# -- for people ------------------------------------------------------------------------------------------------------
def description_lines(description: Description, tables: Tables) -> Iterator[str]:
    """The same, indented."""
    for line in (
        f"location: {description.location}",
        *([f"base: {description.base}"] if description.base not in (None, description.location) else []),
        *(f"problem: {problem}" for problem in description.problems),
        *_device_lines(description.root, description, tables),
    ):
        yield clean(line)


def _device_lines(device: Device, description: Description, tables: Tables) -> Iterator[str]:
    data = _device(device, description, {})
    yield f"device {device.friendly_name or '(no name)'}: {device.device_type}"
    yield from (f"  {word}: {data[name]}" for name, word in _FACTS.items() if data[name])
    yield from (f"  icon: {i.mimetype} {i.width}x{i.height}x{i.depth} {i.url}" for i in device.icons)
    for service in device.services:
        table, source = tables.get(service, (None, "none"))
        yield f"  service {service.name}:{service.version} ({service.place})"
        yield f"    type: {service.service_type}"
        yield f"    id: {service.service_id}"
        yield f"    control: {service.control_url or 'none'}"
        yield f"    events: {service.event_url or 'none'}"
        yield f"    description: {service.scpd_url or 'none'}{_SOURCES[source]}"
        yield from (f"    {line}" for line in table_lines(table))
    for embedded in device.devices:
        yield from (f"  {line}" for line in _device_lines(embedded, description, tables))


_SOURCES = {"own": "", "standard": " (cannot be read: the standard's is shown)", "none": " (cannot be read)"}


def table_lines(table: ServiceDescription | None) -> Iterator[str]:
    """Actions with their arguments, variables with what marks them."""
    if table is None:
        return
    yield from (f"problem: {problem}" for problem in table.problems)
    for one in signatures(table).values():
        line = str(one)
        if len(line) <= _WIDE:
            yield f"action {line}"
            continue
        yield f"action {one.name}"
        yield from (f"  in  {parameter}" for parameter in one.inputs)
        yield from (f"  out {parameter}" for parameter in one.outputs)
    for variable in table.variables.values():
        marks = [word for word, is_so in (("evented", variable.evented), ("multicast", variable.multicast)) if is_so]
        default = "" if variable.default is None else f" = {variable.default!r}"
        yield f"variable {variable.name}: {describe(variable)}{default}{_brackets(marks)}"


def _brackets(words: Iterable[str]) -> str:
    text = ", ".join(words)
    return f" [{text}]" if text else ""


def clean(text: str) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)
