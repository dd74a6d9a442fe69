"""The data types of UPnP variables, text to Python values and back. Pure.

Strict when a value goes out, lenient when a text comes in. Sources: UDA 1.0-2.0 section 2.5 (dataType), IGD practice;
quirks Q087, Q150, Q152.

=============================  ===================================
data type                      Python value
=============================  ===================================
ui1 ui2 ui4 ui8 i1 i2 i4 i8    ``int``
int                            ``int`` in the range of i8
r4 r8 number float             ``float``
fixed.14.4                     ``decimal.Decimal``
boolean                        ``bool``
char string uri uuid           ``str``
date                           ``datetime.date``
dateTime dateTime.tz           ``datetime.datetime``, aware if a zone is given
time time.tz                   ``datetime.time``, the same
bin.base64 bin.hex             ``bytes``
=============================  ===================================

A data type that is not in the table is treated as ``string``; the names are compared without case and prefix.
"""

from __future__ import annotations

import base64
import re
import sys
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from txigd.errors import InvalidArgument

Value = None | bool | int | float | Decimal | str | bytes | date | datetime | time


class DataType(NamedTuple):
    """How one data type is written and read."""

    write: Callable[[object], str]  # raises InvalidArgument
    read: Callable[[str], Value]  # of stripped, non-empty text; raises ValueError
    empty: Value = None  # what empty text stands for


def encode(data_type: str, value: object) -> str:
    """A value as the text that goes into an argument, not yet escaped.

    :raises InvalidArgument: for a value of another Python type, out of range, or not expressible in XML.
    """
    return data_type_named(data_type).write(value)


def decode(data_type: str, text: str) -> Value:
    """A text as a value.

    Never fails: text that cannot be read is returned as it is, so that a caller can show it, and empty text is None for
    everything but text and octets. Numbers may be out of range; a negative ui4 or ui8 is a counter that was printed as
    signed and is taken modulo its width (Q152); an uptime in words is seconds (Q150). The day ends at 24:00. A boolean
    is one of 1, true, yes, on, enabled, or of 0, false, no, off, disabled: 2 is none, so it stays text.
    """
    kind = data_type_named(data_type)
    if kind is _STRING or (kind is _CHAR and len(text) == 1):  # a blank is a character
        return text
    stripped = text.strip()
    if not stripped:
        return kind.empty
    try:
        return kind.read(stripped)
    except (ValueError, OverflowError):
        return text


def data_type_named(name: str) -> DataType:
    """The data type of that name, any case, any prefix; ``string`` where there is none."""
    return _TYPES.get(name.strip().rpartition(":")[2].lower(), _STRING)


def _shown(value: object) -> str:
    """A value of the right type in a message, as people write it."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return "a number that long"
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, (int, Decimal)) else repr(value)


_SHOWN_BITS = 128


# -- integers ----------------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,20})")
_IN_WORDS = re.compile(r"(?:([0-9]{1,6}) *days?,? *)?([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])", re.IGNORECASE)


def _write_integer(low: int, high: int, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{value!r} is no integer")
    if not low <= value <= high:
        raise InvalidArgument(f"{_shown(value)} is not in {low}..{high}")
    return str(int(value))


def _read_integer(low: int, high: int, text: str) -> int:
    match = _INTEGER.fullmatch(text)
    if match is None:
        return _read_duration(text)
    number = int(match[1] + match[2])
    if number < 0 <= low:
        # only counters are printed as signed by mistake; for a port or a flag a negative number is nonsense
        if high < 2**32 - 1 or number < -(high + 1) // 2:
            raise ValueError(text)
        return number + high + 1
    return number


def _read_duration(text: str) -> int:
    match = _IN_WORDS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds


# -- other numbers -----------------------------------------------------------------------------------------------------

_REAL = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_R4 = (1.17549435e-38, 3.40282347e38)
_R8 = (5e-324, sys.float_info.max)


def _write_real(low: float, high: float, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgument(f"{value!r} is no number")
    if value != 0 and not low <= abs(value) <= high:  # also refuses what is no number or infinite
        raise InvalidArgument(f"the magnitude of {value!r} is not in {low}..{high}")
    return repr(float(value)).upper()


def _read_real(text: str) -> float:
    if _REAL.fullmatch(text) is None:
        raise ValueError(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _write_fixed(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise InvalidArgument(f"{value!r} is no Decimal")
    number = Decimal(value)
    if not number.is_finite() or abs(number) >= 10**14 or number != round(number, 4):
        raise InvalidArgument(f"{_shown(value)} has more than 14 digits before or 4 after the point")
    return f"{round(number, 4):f}"


def _read_fixed(text: str) -> Decimal:
    if _REAL.fullmatch(text) is None:
        raise ValueError(text)
    return Decimal(text)


# -- boolean -----------------------------------------------------------------------------------------------------------

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on", "enabled"), True),
    **dict.fromkeys(("0", "false", "no", "off", "disabled"), False),
}


def _write_boolean(value: object) -> str:
    if not isinstance(value, int) or value not in (0, 1):
        raise InvalidArgument(f"{value!r} is no bool")
    return "1" if value else "0"  # the words are for reading only


def _read_boolean(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


# -- text --------------------------------------------------------------------------------------------------------------

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_URI = re.compile(r"[^\x00-\x20<>\"\\^`{|}\x7f]*")


def _write_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{value!r} is no str")
    if _NO_XML.search(value):
        raise InvalidArgument(f"{_shown(value)} has a character that XML cannot carry")
    return str.__str__(value)  # the text of an enum member, not its name


def _write_char(value: object) -> str:
    text = _write_text(value)
    if len(text) != 1:
        raise InvalidArgument(f"{value!r} is not one character")
    return text


def _write_uri(value: object) -> str:
    text = _write_text(value)
    if _URI.fullmatch(text) is None:
        raise InvalidArgument(f"{value!r} is no URI")
    return text


def _write_uuid(value: object) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    text = _write_text(value)
    if re.fullmatch(r"[0-9A-Fa-f]{32}", text.replace("-", "")) is None:
        raise InvalidArgument(f"{value!r} is no UUID")
    return text


def _read_text(text: str) -> str:
    return text


# -- date and time -----------------------------------------------------------------------------------------------------

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d{0,6})?)?"
_ZONE = r"(?:\s*(Z|[+-]\d\d(?::?\d\d)?))?"
_DATE_FORM = re.compile(_DATE + r"(?!\d)", re.ASCII)
_TIME_FORM = re.compile(_TIME + _ZONE, re.ASCII | re.IGNORECASE)
_BOTH_FORM = re.compile(f"({_DATE})(?:[T ]({_TIME}{_ZONE}))?", re.ASCII | re.IGNORECASE)


def _write_date(value: object) -> str:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InvalidArgument(f"{value!r} is no date")
    return value.isoformat()


def _write_moment(kind: type[datetime] | type[time], zoned: bool, value: object) -> str:
    if not isinstance(value, (datetime, time)) or not isinstance(value, kind):
        raise InvalidArgument(f"{value!r} is no {kind.__name__}")
    if value.tzinfo is not None and not zoned:
        raise InvalidArgument(f"{_shown(value)} has a zone, this data type has none")
    offset = value.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        raise InvalidArgument(f"{_shown(value)} is off by seconds from UTC")
    return value.isoformat()


def _read_date(text: str) -> date:
    match = _DATE_FORM.match(text)  # a time behind it is tolerated
    if match is None:
        raise ValueError(text)
    return date(int(match[1]), int(match[2]), int(match[3]))


def _read_time(text: str) -> time:
    return _time_and_days(text)[0]


def _time_and_days(text: str) -> tuple[time, timedelta]:
    """The time, and 0 days: or 1, for 24:00 is when the next day begins."""
    match = _TIME_FORM.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hours, minutes, seconds, fraction, zone = match.groups()
    hour, minute, second, micro = int(hours), int(minutes), int(seconds or 0), int((fraction or "").ljust(6, "0"))
    over = (hour, minute, second, micro) == (24, 0, 0, 0)
    return time(0 if over else hour, minute, second, micro, tzinfo=_zone(zone)), timedelta(days=over)


def _read_both(text: str) -> datetime:
    match = _BOTH_FORM.fullmatch(text)
    if match is None:
        raise ValueError(text)
    moment, days = _time_and_days(match[5]) if match[5] else (time(), timedelta())
    return datetime.combine(_read_date(match[1]), moment) + days


def _zone(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text in "Zz":
        return timezone.utc
    minutes = int(text[1:3]) * 60 + int(text[-2:] if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


# -- octets ------------------------------------------------------------------------------------------------------------


def _write_octets(form: Callable[[bytes], str], value: object) -> str:
    if not isinstance(value, (bytes, bytearray)):
        raise InvalidArgument(f"{value!r} is no bytes")
    return form(bytes(value))


def _to_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _read_base64(text: str) -> bytes:
    packed = "".join(text.split()).rstrip("=").translate(_FROM_URL)
    return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)


def _read_hex(text: str) -> bytes:
    match = _HEX.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return bytes.fromhex(match[1].replace(":", " ").replace("-", " "))


_FROM_URL = str.maketrans("-_", "+/")  # RFC 4648 section 5
_HEX = re.compile(r"(?:0x)?([0-9a-f]{2}(?:[\s:-]*[0-9a-f]{2})*)", re.ASCII | re.IGNORECASE)


def _integer(low: int, high: int) -> DataType:
    return DataType(partial(_write_integer, low, high), partial(_read_integer, low, high))


def _real(low: float, high: float) -> DataType:
    return DataType(partial(_write_real, low, high), _read_real)


_STRING = DataType(_write_text, _read_text, "")
_CHAR = DataType(_write_char, _read_text, "")
_TYPES: dict[str, DataType] = {
    "ui1": _integer(0, 2**8 - 1),
    "ui2": _integer(0, 2**16 - 1),
    "ui4": _integer(0, 2**32 - 1),
    "ui8": _integer(0, 2**64 - 1),  # Q087
    "i1": _integer(-(2**7), 2**7 - 1),
    "i2": _integer(-(2**15), 2**15 - 1),
    "i4": _integer(-(2**31), 2**31 - 1),
    "i8": _integer(-(2**63), 2**63 - 1),
    "int": _integer(-(2**63), 2**63 - 1),  # UDA states no size
    "r4": _real(*_R4),
    "r8": _real(*_R8),
    "number": _real(*_R8),
    "float": _real(*_R8),
    "fixed.14.4": DataType(_write_fixed, _read_fixed),
    "boolean": DataType(_write_boolean, _read_boolean),
    "char": _CHAR,
    "string": _STRING,
    "uri": DataType(_write_uri, _read_text, ""),
    "uuid": DataType(_write_uuid, _read_text, ""),
    "date": DataType(_write_date, _read_date),
    "datetime": DataType(partial(_write_moment, datetime, False), _read_both),
    "datetime.tz": DataType(partial(_write_moment, datetime, True), _read_both),
    "time": DataType(partial(_write_moment, time, False), _read_time),
    "time.tz": DataType(partial(_write_moment, time, True), _read_time),
    "bin.base64": DataType(partial(_write_octets, _to_base64), _read_base64, b""),
    "bin.hex": DataType(partial(_write_octets, bytes.hex), _read_hex, b""),
}
