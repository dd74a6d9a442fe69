"""Values of the data types as people write them: read, they go out as they were meant; shown, they can be read. Pure.

What devices send is read by :func:`txigd.upnp.description.datatypes.decode`, which guesses; here nothing is guessed.
Sources: UDA 1.0-2.0 section 2.5 (dataType).
"""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from typing import Final, NamedTuple

from txigd.errors import InvalidArgument
from txigd.upnp.description import datatypes
from txigd.upnp.description.datatypes import Value


class _Form(NamedTuple):
    """The texts of one data type, what they are called, and one of them."""

    pattern: re.Pattern[str]
    name: str
    example: str


_DATE: Final = r"\d{4}-\d\d-\d\d"
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,6})?)?"
_ZONE: Final = r"(?:Z|[+-]\d\d(?::?\d\d)?)?"
_REAL: Final = r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:E[+-]?[0-9]{1,4})?"
# the last digit has no bits but those of an octet: other spellings of the same octets are most likely no base64 at all
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"


def _form(pattern: str, name: str, example: str, flags: int = re.ASCII | re.IGNORECASE) -> _Form:
    return _Form(re.compile(pattern, flags), name, example)


_MOMENT: Final = _form(f"{_DATE}[T ]{_TIME}{_ZONE}", "date with a time", "2026-01-05T10:00:00")
_TIME_OF_DAY: Final = _form(_TIME + _ZONE, "time", "10:00:00")
_NUMBER: Final = _form(_REAL, "number", "1.5")
_FORMS: Final = {
    **dict.fromkeys(("r4", "r8", "number", "float", "fixed.14.4"), _NUMBER),
    "boolean": _form("[01]|true|false|yes|no", "bool", "1"),
    "date": _form(_DATE, "date", "2026-01-05"),
    **dict.fromkeys(("datetime", "datetime.tz"), _MOMENT),
    **dict.fromkeys(("time", "time.tz"), _TIME_OF_DAY),
    "bin.base64": _form(_BASE64, "base64", "aGk=", re.ASCII),
    "bin.hex": _form("(?:[0-9A-F]{2})*", "row of octets in hex digits", "00ff"),
}


def read(data_type: str, text: str) -> Value:
    """The value that somebody wrote; text of a type that has no form of its own is the value.

    :param data_type: any but an integer, see :meth:`txigd.upnp.description.signature.Parameter.value_of`.
    :raises InvalidArgument: for a text that is no such value, or whose value would go out as another.
    """
    form = _FORMS.get(data_type.strip().rpartition(":")[2].lower())
    if form is None:
        return text
    value = datatypes.decode(data_type, text) if form.pattern.fullmatch(text) else text
    if isinstance(value, str):
        raise InvalidArgument(f"{text!r:.80} is no {form.name}; write it like {form.example}")
    if isinstance(value, float) and Decimal(text) != Decimal(repr(value)):
        raise InvalidArgument(f"{text:.80} has more digits than {data_type} carries; {value!r} is what would be sent")
    return value


def show(data_type: str, value: Value) -> str:
    """A value as text of its data type; one that is none, or that may not be sent, in words that show it."""
    try:
        return datatypes.encode(data_type, value)
    except InvalidArgument:
        if isinstance(value, (bytes, bytearray)):
            return value.hex()
        if isinstance(value, (date, time)):
            return value.isoformat()
        return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
