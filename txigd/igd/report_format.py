"""The file of a support report: version 1 of its JSON, written and strictly read. Pure.

Octets are a list of lines, each with its line end, where they are text that an editor shows unharmed, and otherwise
``{"base64": ...}``. A reader takes no key that it does not know, no value of another type and nothing beyond the
bounds: what it returns can be replayed without another look.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from txigd.errors import BadReport, InvalidArgument
from txigd.igd.report import Datagram, Event, Exchanged, Report, Step, View
from txigd.limits import (
    REPORT_DATAGRAMS,
    REPORT_EVENTS,
    REPORT_EXCHANGES,
    REPORT_OCTETS,
    REPORT_RECORD_OCTETS,
    REPORT_STEPS,
    REPORT_TEXT_CHARACTERS,
    REPORT_WORDS,
)

FORMAT: Final = "txigd-report"
VERSION: Final = 1
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
# an editor, a mail program or a tracker would change these
_UNSHOWN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa1-\u2027\u202f-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0001ffff]"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of value is written, and read again; reading is told where the value stands, for its error."""

    write: Callable[[Any], Any]
    read: Callable[[Any, str], Any]


def to_text(report: Report) -> str:
    """The file, indented for people.

    :raises InvalidArgument: for a report that is not masked, or beyond the bounds.
    """
    if report.masked is None:
        raise InvalidArgument("the report is not masked")
    plain = {"format": FORMAT, "version": VERSION, **_REPORT.write(report)}
    text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
    try:
        from_text(text)
    except BadReport as error:
        raise InvalidArgument(f"the report cannot be written: {error}") from error
    return text


def from_text(text: str | bytes) -> Report:
    """Read a file.

    :raises BadReport: saying what is wrong, and where.
    """
    if len(text) > REPORT_OCTETS:
        raise BadReport(f"larger than {REPORT_OCTETS} octets")
    try:
        plain = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadReport(f"no JSON: {str(error)[:80]}") from error
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise BadReport("no support report of txigd")
    version = plain.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise BadReport(f"version {str(version)[:20]}: this txigd reads version {VERSION}")
    report: Report = _REPORT.read(plain, "report")
    return report


def _no_number(word: str) -> None:
    raise BadReport(f"{word} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise BadReport("a key stands twice in one object")
    return made


# -- forms -------------------------------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _read_text(given: Any, where: str) -> str:
    if not isinstance(given, str) or len(given) > REPORT_TEXT_CHARACTERS or not given.isprintable():
        raise BadReport(f"{where}: no printable text of at most {REPORT_TEXT_CHARACTERS} characters")
    return given


def _read_seconds(given: Any, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < 1e6 or math.isnan(given):
        raise BadReport(f"{where}: no number of seconds")
    return float(given)


def _read_count(given: Any, where: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**31:
        raise BadReport(f"{where}: no count")
    return given


def _read_truth(given: Any, where: str) -> bool:
    if not isinstance(given, bool):
        raise BadReport(f"{where}: neither true nor false")
    return given


def _write_octets(octets: bytes) -> Any:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if _UNSHOWN.search(text):
        return {"base64": base64.b64encode(octets).decode("ascii")}
    return _LINE.findall(text)


def _read_octets(given: Any, where: str) -> bytes:
    try:
        if isinstance(given, list):
            octets = "".join(given).encode("utf-8")
        elif isinstance(given, dict) and given.keys() == {"base64"}:
            octets = base64.b64decode(given["base64"], validate=True)
        else:
            raise TypeError
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadReport(f"{where}: neither lines nor base64") from error
    if len(octets) > REPORT_RECORD_OCTETS:
        raise BadReport(f"{where}: more than {REPORT_RECORD_OCTETS} octets")
    return octets


_TEXT: Final = _Form(_same, _read_text)
_SECONDS: Final = _Form(lambda value: round(float(value), 3), _read_seconds)
_COUNT: Final = _Form(_same, _read_count)
_TRUTH: Final = _Form(_same, _read_truth)
_OCTETS: Final = _Form(_write_octets, _read_octets)


def _several(form: _Form, at_most: int) -> _Form:
    def read(given: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(given, list) or len(given) > at_most:
            raise BadReport(f"{where}: no list of at most {at_most}")
        return tuple(form.read(one, f"{where}[{place}]") for place, one in enumerate(given))

    return _Form(lambda values: [form.write(value) for value in values], read)


def _by_name(form: _Form) -> _Form:
    def read(given: Any, where: str) -> dict[str, Any]:
        if not isinstance(given, dict) or len(given) > REPORT_WORDS:
            raise BadReport(f"{where}: no object of at most {REPORT_WORDS} names")
        return {_read_text(name, where): form.read(value, f"{where}.{name[:40]}") for name, value in given.items()}

    return _Form(lambda values: {name: form.write(value) for name, value in values.items()}, read)


def _record(made: Callable[..., Any], fields: Mapping[str, _Form]) -> _Form:
    def read(given: Any, where: str) -> Any:
        if not isinstance(given, dict) or given.keys() != fields.keys():
            raise BadReport(f"{where}: needs {', '.join(fields)} and nothing else")
        return made(**{name: form.read(given[name], f"{where}.{name}") for name, form in fields.items()})

    return _Form(lambda value: {name: form.write(getattr(value, name)) for name, form in fields.items()}, read)


_DATAGRAM: Final = _record(
    Datagram,
    {"at": _SECONDS, "link": _TEXT, "source": _TEXT, "port": _COUNT, "heard": _TEXT, "octets": _OCTETS},
)
_EXCHANGED: Final = _record(
    Exchanged,
    {
        "at": _SECONDS,
        "seconds": _SECONDS,
        "sent": _OCTETS,
        "received": _OCTETS,
        "whole": _TRUTH,
    },
)
_STEP: Final = _record(
    Step,
    {
        "kind": _TEXT,
        "service": _TEXT,
        "path": _TEXT,
        "name": _TEXT,
        "outcome": _TEXT,
        "exchanges": _several(_EXCHANGED, REPORT_EXCHANGES),
    },
)
_EVENT: Final = _record(Event, {"at": _SECONDS, "path": _TEXT, "octets": _OCTETS})
_VIEW: Final = _record(
    View,
    {
        "state": _by_name(_TEXT),
        "ranking": _several(_TEXT, REPORT_WORDS),
        "capabilities": _by_name(_TEXT),
        "problems": _several(_TEXT, REPORT_WORDS),
    },
)
_REPORT: Final = _record(
    Report,
    {
        "made_at": _TEXT,
        "made_by": _TEXT,
        "model": _TEXT,
        "location": _TEXT,
        "masked": _by_name(_COUNT),
        "view": _VIEW,
        "datagrams": _several(_DATAGRAM, REPORT_DATAGRAMS),
        "steps": _several(_STEP, REPORT_STEPS),
        "events": _several(_EVENT, REPORT_EVENTS),
    },
)
