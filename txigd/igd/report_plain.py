"""A text as it reads, and the way back to how it is spelled: entities, percent signs and backslashes resolved. Pure.

What is private hides behind ``&#58;``, ``%2E`` and ``\\u002d`` as well. It is looked for in the plain text; its mask
is written into the spelled one, where each escape stays an escape of the same length.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

Span = tuple[int, int]

# Escaped twice is as good as once: an event holds XML in XML. Of a percent sign, only what is seen is resolved.
_ESCAPE: Final = re.compile(
    rb"&(?:amp;){0,2}(?:#0{0,6}([0-9]{1,4})|#x0{0,6}([0-9a-f]{1,4})|([a-z]{2,8}));"
    rb"|%(?:25){0,2}([2-7][0-9a-e]|[2-6]f|[89a-f][0-9a-f])|\\u00([2-7][0-9a-e]|[2-6]f)|\\(/)",
    re.IGNORECASE,
)
_NAMED: Final = {b"amp": 38, b"lt": 60, b"gt": 62, b"quot": 34, b"apos": 39, b"colon": 58, b"period": 46, b"sol": 47}
_OTHER: Final = 255  # any letter that is not ASCII
_LEAD: Final = re.compile(rb"&(?:amp;){0,2}(?=.{4})", re.DOTALL)


class Plain:
    """One text. Spans are of the plain one, unless said otherwise.

    :param resolve: False to take it as it is spelled.
    :ivar octets: the plain text.
    """

    def __init__(self, spelled: bytes, resolve: bool = True) -> None:
        self._places: list[int] = []  # of each escape: where its octet stands
        self._ends: list[int] = []  # and where it ends in the spelled text
        self._escapes: dict[int, bytes] = {}
        out, done = bytearray(), 0
        for found in _ESCAPE.finditer(spelled) if resolve else ():
            out += spelled[done : found.start()]
            done = found.end()
            self._places.append(len(out))
            self._ends.append(done)
            self._escapes[len(out)] = found[0]
            out.append(_octet(found))
        self.octets = bytes(out + spelled[done:])

    @property
    def is_spelled(self) -> bool:
        """Whether there is nothing to resolve."""
        return not self._places

    def spelled(self, start: int, end: int) -> Span:
        """Where a span stands in the spelled text."""
        return self._spelled_at(start), self._spelled_at(end)

    def _spelled_at(self, place: int) -> int:
        before = bisect_left(self._places, place)
        return place if not before else self._ends[before - 1] + place - self._places[before - 1] - 1

    def written(self, start: int, end: int, text: bytes) -> bytes:
        """How ``text``, of the same length, is spelled in place of what stands there."""
        first, last = bisect_left(self._places, start), bisect_left(self._places, end)
        out, done = [], start
        for place in self._places[first:last]:
            new, escape = text[place - start], self._escapes[place]
            out += [text[done - start : place - start], escape if new == self.octets[place] else _escaped(new, escape)]
            done = place + 1
        return b"".join([*out, text[done - start :]])


def _octet(found: re.Match[bytes]) -> int:
    decimal, hexadecimal, name, percent, unicode, _ = found.groups()
    if name is not None:
        return _NAMED.get(name.lower(), _OTHER)
    number = int(decimal) if decimal else int(hexadecimal or percent or unicode or b"2f", 16)
    return number if number < _OTHER else _OTHER


def _escaped(octet: int, like: bytes) -> bytes:
    """An escape of an octet, as long as another is. A letter that does not fit becomes a capital one."""
    if not like.startswith(b"&"):
        return like if like == b"\\/" else like[:-2] + b"%02x" % octet
    lead = _LEAD.match(like)
    room = len(like) - lead.end() - 2 if lead else 0
    if lead is None or room < 2:
        return b"X" * len(like)
    value = octet - 32 if octet >= 100 and room == 2 else octet
    return b"%s#%0*d;" % (lead[0], room, value)
