"""The commands that ask any UPnP device once: ``txigd describe`` and ``call``."""

from __future__ import annotations

import argparse
import errno
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from txigd.cli.device_tree import clean, description_data, description_lines, table_data, table_lines
from txigd.cli.next_steps import MORE_TIME, after
from txigd.cli.report import Report
from txigd.errors import ActionNotOffered, BadURL, DescriptionError, ExchangeError, ExchangeTimeout, InvalidArgument
from txigd.igd.tables import known_table
from txigd.limits import DESCRIPTION_OCTETS, HTTP_TOTAL_SECONDS, SCPD_OCTETS
from txigd.upnp import url, xml
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.description import device as device_description
from txigd.upnp.description import service as service_description
from txigd.upnp.description import spelling
from txigd.upnp.description.device import Description, Service
from txigd.upnp.description.service import ServiceDescription
from txigd.upnp.description.signature import Signature
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.url import DeviceURL

NOWHERE = "http://192.0.2.1/"  # an address for documentation: where a saved description without a base is shown
_NO_MARKUP = "no XML that can be read: it does not begin with '<'"
_MARKS = b"\xef\xbb\xbf\xff\xfe"  # octets of the marks of UTF-8 and UTF-16
_Tables = dict[Service, "tuple[ServiceDescription | None, str]"]


async def describe(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Show a device, from the network or from a file."""
    if "://" not in options.url:
        return _describe_file(Path(options.url), options.base, report)
    if options.base is not None:
        raise InvalidArgument("--base is for a FILE: on the network a description says by itself where it came from")
    async with _point(reactor) as point:
        found = await point.device(location(options.url), seconds=options.timeout)
        tables: _Tables = {}
        late: list[str] = []
        for remote in found.services:
            # where one was late, most likely all others are
            seconds = min(options.timeout, HTTP_TOTAL_SECONDS) if late else options.timeout
            table = await remote.description(seconds=seconds)
            tables[remote.service] = (table, _source(remote.described is True, table))
            if isinstance(remote.unreadable, ExchangeTimeout):
                late.append(remote.name)
        _show(found.description, tables, report)
        if late:
            report.warn(f"no description of {', '.join(late)} in time; {MORE_TIME}")
    return 0


def _source(own: bool, table: ServiceDescription | None) -> str:
    return "own" if own else "none" if table is None else "standard"


def _show(description: Description, tables: _Tables, report: Report) -> None:
    report.value(description_data(description, tables), "\n".join(description_lines(description, tables)))


def location(text: str) -> DeviceURL:
    """The URL of a device as the user writes it."""
    try:
        return url.parse_named(text)
    except BadURL as error:
        raise InvalidArgument(f"{error}; write http://ADDRESS:PORT/PATH with an address, no name") from None


def _describe_file(file: Path, base: str | None, report: Report) -> int:
    try:
        document = _read(file, DESCRIPTION_OCTETS)
    except OSError as error:
        return report.failed(f"{file}: {error.strerror}; write a file, or http://ADDRESS:PORT/PATH", status=2)
    try:
        description = device_description.parse(document, _base(document, base))
    except DescriptionError as error:
        try:
            table = service_description.parse(document)
        except DescriptionError:
            raise (error if _markup(document) else DescriptionError(_NO_MARKUP)) from None
        report.value(table_data(table), "\n".join(map(clean, table_lines(table))))
        return 0
    tables: _Tables = {}
    for service in description.root.all_services():
        own = _beside(file, service)
        table_ = known_table(service.service_type, own)
        tables[service] = (table_, _source(own is not None, table_))
    _show(description, tables, report)
    return 0


def _read(file: Path, most: int) -> bytes:
    """One octet more than may be parsed, so that the parser says what is wrong.

    :raises OSError: where it cannot be read, and for a pipe or a device: to wait for one would hold up the reactor.
    """
    with open(file, "rb", opener=_open_at_once) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device")
        return opened.read(most + 1)


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _markup(document: bytes) -> bool:
    """Whether it may be quoted: what a user names by mistake may be private."""
    return document.lstrip(_MARKS + b"\0 \t\r\n").startswith(b"<")


def _base(document: bytes, named: str | None) -> DeviceURL:
    if named is not None:
        return location(named)
    try:
        return url.parse(xml.parse(document, cap=DESCRIPTION_OCTETS).text_of("URLBase"))
    except BadURL:
        return url.parse(NOWHERE)


def _beside(file: Path, service: Service) -> ServiceDescription | None:
    """The service description that was saved with it, under the last part of its path."""
    name = "" if service.scpd_url is None else PurePosixPath(service.scpd_url.target.partition("?")[0]).name
    try:
        return service_description.parse(_read(file.parent / name, SCPD_OCTETS)) if name else None
    except (OSError, ValueError, DescriptionError):
        return None


async def call(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Call an action."""
    async with _point(reactor) as point:
        device = await point.device(location(options.url), seconds=options.timeout)
        service = chosen(device, options.service, report)
        try:
            told, types = await _told(service, options)
        except (ExchangeError, ActionNotOffered) as error:
            return report.failed(after(error, url=options.url, described=True))
    shown = "\n".join(clean(f"{name}={word(value, types[name])}") for name, value in told.items())
    data = {name: jsonable(value, types[name]) for name, value in told.items()}
    report.value(data, shown or f"{options.action}: done")
    return 0


async def _told(service: RemoteService, options: argparse.Namespace) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The out-arguments, and the data types of all that there may be."""
    if options.action.lower() == "querystatevariable":
        return await _query(service, options)
    signature = await _signature(service, options.action, options.timeout)
    told = await service.call(signature.name, _values(signature, options.arguments), seconds=options.timeout)
    return told, {one.name: one.data_type for one in signature.outputs}


def chosen(device: RemoteDevice, name: str, report: Report) -> RemoteService:
    """The service that the user means; where several can be meant, it is said which one is taken (Q074, Q076)."""
    taken, *others = device.services_named(name)
    if others:
        called = device.labels
        left = ", ".join(called[one.service] for one in others)
        report.warn(f"{name!r} is {called[taken.service]} here, not {left}; a place in the tree names one of them")
    return taken


async def _query(service: RemoteService, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    given = [value for name, value in options.arguments if name.lower() == "varname"]
    if len(given) != 1 or len(options.arguments) != 1:
        raise InvalidArgument("QueryStateVariable takes varName=NAME")
    value = await service.query(given[0], seconds=options.timeout)
    return {given[0]: value}, {given[0]: type_of(service, given[0])}


async def _signature(service: RemoteService, name: str, seconds: float) -> Signature:
    if await service.description(seconds=seconds) is None:
        raise service.unknown() from service.unreadable
    found = next((one for key, one in service.actions.items() if key.lower() == name.lower()), None)
    if found is None:
        there = ", ".join(service.actions) or "none"
        raise ActionNotOffered(f"{service.name} has no action {name!r}; it has {there}")
    return found


def _values(signature: Signature, given: list[tuple[str, str]]) -> dict[str, Any]:
    """The arguments in their types; what is wrong with them is said with all that may be written."""
    inputs = {one.name.lower(): one for one in signature.inputs}
    names = [name.lower() for name, _ in given]
    if sorted(names) != sorted(inputs):
        right = ", ".join(map(str, signature.inputs)) or "no argument"
        raise InvalidArgument(
            f"{signature.name} takes {right}; given: {', '.join(name for name, _ in given) or 'none'}"
        )
    return {inputs[name.lower()].name: inputs[name.lower()].value_of(text) for name, text in given}


def _point(reactor: Any, **more: Any) -> ControlPoint:
    """One that looks for nothing: the device is named."""
    return ControlPoint(reactor, targets=(), tables=known_table, **more)


def type_of(service: RemoteService, variable: str) -> str:
    """The data type of a state variable by its name in any case; text where nothing is known of it."""
    types = (one.data_type for name, one in service.variables.items() if name.lower() == variable.lower())
    return next(types, "string")


def word(value: Any, data_type: str) -> str:
    """A value as it could be given to ``txigd call``."""
    return spelling.show(data_type, value)


def jsonable(value: Any, data_type: str) -> Any:
    """A value of a device as JSON has it: numbers and flags, and all else as :func:`word` has it."""
    return value if value is None or isinstance(value, (bool, int, float)) else word(value, data_type)


DEVICE_COMMANDS: dict[str, Callable[[Any, argparse.Namespace, Report], Awaitable[int]]] = {
    "describe": describe,
    "call": call,
}
