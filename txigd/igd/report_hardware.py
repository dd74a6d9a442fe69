"""Hardware addresses in the spellings that occur: where they stand, and which digits they are. Pure.

By their form: 00:90:A2:77:77:7B, also with octets of one digit, and as EUI-64; 00-90-a2-77-77-7b; 0090.a277.777b and
0090-a277-777b; 0090a2-77777b; octets with spaces, underlines, dots or several separators between them, and other
spellings of two or three groups, if there is a letter in them. Without a letter, those of fours and halves that begin
with a nought, as no year does. By what stands before them: any digits in any groups. Escapes are resolved before.
A run of 12 digits with a letter among them is the matter of :func:`txigd.igd.report_secrets.long_hex`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

Span = tuple[int, int]

_I: Final = re.IGNORECASE
_SEPARATOR: Final = re.compile(rb"([:. \t_-])")
_WIDTHS: Final = {2: 6, 3: 4, 4: 4}  # digits of each group, by their number
_OCTET_WIDTH: Final = 2  # of more than five groups
_ALONE: Final = rb"(?<![0-9a-f])(?<![0-9a-f]{4}[.:-])"
_ENDS: Final = rb"(?![0-9a-f]|[.:-][0-9a-f:])"
# like an IPv6 address, they may follow a word and its colon
_AFTER: Final = rb"(?:(?<![0-9a-z:.])|(?<=[g-z]:))"

_OCTETS: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4,6}[0-9a-f]{2}(?![0-9a-f])", _I)
_SHORT: Final = re.compile(_AFTER + rb"[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?![0-9a-z]|[:.][0-9a-f:])", _I)
_QUADS: Final = re.compile(_ALONE + rb"[0-9a-f]{4}([.-])[0-9a-f]{4}\1[0-9a-f]{4}" + _ENDS, _I)
_HALVES: Final = re.compile(_ALONE + rb"[0-9a-f]{6}[:-][0-9a-f]{6}" + _ENDS, _I)
_EUI64: Final = re.compile(_AFTER + rb"[0-9a-f]{1,4}:[0-9a-f]{1,2}ff:fe[0-9a-f]{2}:[0-9a-f]{1,4}(?![0-9a-z:])", _I)
_NAMED: Final = re.compile(
    rb"(?:mac|bssid|(?:mac|hw|hardware|phys(?:ical)?|ll|link-?layer|ether(?:net)?)[ _-]?addr(?:ess)?)"
    rb"(?:[_-]?[0-9]{1,2}(?![0-9a-f]))?[\"']?"
    rb"(?:(?:\s[^<>]{0,200}?)?(?:>|&gt;)\s{0,64}(?:<!\[CDATA\[)?\s{0,64}|[ \t]{0,8}[:=]?[ \t]{0,8}[\"']?)(?:0x)?"
    rb"([0-9a-f]{12}|[0-9a-f]{6}[: _-][0-9a-f]{6}|[0-9a-f]{4}([:. _-])[0-9a-f]{4}\2[0-9a-f]{4}"
    rb"|[0-9a-f]{1,2}(?:([:. \t_-])[0-9a-f]{1,2})(?:\3[0-9a-f]{1,2}){4}"
    rb"|[0-9a-f]{2}(?:[:. _-][0-9a-f]{2}){5})(?![0-9a-f]|[:_-][0-9a-f])",
    _I,
)
# a longer run of spaced octets is taken whole: who knows where in it the address begins
_SPACED: Final = re.compile(rb"(?<![0-9a-z])[0-9a-f]{2}([ \t_.])(?:[0-9a-f]{2}\1){4,14}[0-9a-f]{2}(?![0-9a-z])", _I)
_MIXED: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{2}(?:[:._-][0-9a-f]{2}){5}(?![0-9a-f])", _I)
_TRIPLES: Final = re.compile(
    rb"(?<![0-9a-z])[0-9a-f]{2}([:._-])[0-9a-f]{2}\1[0-9a-f]{2}[ \t]"
    rb"[0-9a-f]{2}\1[0-9a-f]{2}\1[0-9a-f]{2}(?![0-9a-z]|\1[0-9a-f])",
    _I,
)
_SPACED_QUADS: Final = re.compile(rb"(?<![0-9a-z_:])[0-9a-f]{4}([ _])[0-9a-f]{4}\1[0-9a-f]{4}(?![0-9a-z_:])", _I)
_LETTER: Final = re.compile(rb"[a-f]", _I)
_DIGIT: Final = re.compile(rb"[0-9]")


def spans(octets: bytes) -> Iterator[Span]:
    """Where they stand; dates, times and versions, which have no letters, are none of them."""
    for found in _NAMED.finditer(octets):
        yield found.span(1)
    for pattern in (_OCTETS, _SHORT, _EUI64):
        for found in pattern.finditer(octets):
            yield found.span()
    for found in _grouped(octets):
        if _is_certain(found[0]):
            yield found.span()
    for found in _loose(octets):
        if _LETTER.search(found[0]):
            yield found.span()


def digit_spans(octets: bytes) -> Iterator[Span]:
    """What is one only if its digits are known: those without a letter, which may be a date or anything."""
    for found in _grouped(octets):
        if not _is_certain(found[0]):
            yield found.span()
    for found in _loose(octets):
        if not _LETTER.search(found[0]):
            yield found.span()


def _grouped(octets: bytes) -> Iterator[re.Match[bytes]]:
    for pattern in (_QUADS, _HALVES):
        yield from pattern.finditer(octets)


def _is_certain(text: bytes) -> bool:
    """Of fours and halves: without a letter they may be dates, unless dotted or with a nought where a year begins."""
    has_letter = _LETTER.search(text) is not None and (text[4:5] == b"-" or _DIGIT.search(text) is not None)
    return has_letter or text[4:5] == b"." or text.startswith(b"0")


def _loose(octets: bytes) -> Iterator[re.Match[bytes]]:
    for pattern in (_SPACED, _MIXED, _TRIPLES, _SPACED_QUADS):
        yield from pattern.finditer(octets)


def digits(piece: bytes) -> bytes:
    """The digits of an address in lower case, leading zeros of its groups written out."""
    groups = _SEPARATOR.split(piece)[::2]
    return b"".join(group.zfill(_width(len(groups), 0)) for group in groups).lower()


def spelled(like: bytes, text: bytes) -> bytes:
    """``text``, as many digits as ``like`` has, with the groups and separators of ``like``."""
    parts = _SEPARATOR.split(like)
    width = _width(len(parts) // 2 + 1, len(like))
    for place in range(0, len(parts), 2):
        start = place // 2 * width
        group = text[start : start + width]
        parts[place] = group[len(group) - len(parts[place]) :]
    return b"".join(parts)


def _width(groups: int, otherwise: int) -> int:
    return _OCTET_WIDTH if groups > 5 else _WIDTHS.get(groups, otherwise)


def of_interface(address: ipaddress.IPv6Address) -> bytes | None:
    """The digits of the MAC that the last half of an IPv6 address is made of (EUI-64), None where it is not."""
    own = address.packed[8:]
    if own[3:5] != b"\xff\xfe":
        return None
    return (bytes([own[0] ^ 2]) + own[1:3] + own[5:]).hex().encode()
