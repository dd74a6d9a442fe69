"""Where the root element of a document ends, found in a growing buffer of octets. Pure.

No parser: it only answers "has ``</root>`` come", for replies whose framing is wrong or missing (Q046, Q047, F62). The
real parse follows in :mod:`txigd.upnp.xml`. Every search is linear and remembers where it stopped.
"""

from __future__ import annotations

import re

_PROLOG_OCTETS = 4096  # the root element begins within these, or it is not looked for
_BLANKS = b" \t\r\n\0\xef\xbb\xbf"  # with the byte order mark and stray NULs
_PART = re.compile(rb"<([A-Za-z_\x80-\xff][^\s<>/\"'=]{0,127})")
_START = re.compile(_PART.pattern + rb"(?=[\s/>])")
_CLOSE = re.compile(rb"[ \t\r\n]{0,64}>")
_CLOSE_OCTETS = 65
# what may stand before the root element, and what ends it
_SKIPPED = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!", b">"))


class RootElement:
    """Watches a buffer that somebody else appends to.

    The answers depend on the octets only, never on how many came at a time.
    """

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._tag: bytes | None = None  # "</name", b"" where there is no root element
        self._seen = 0  # octets that need no second look
        self._end: int | None = None

    @property
    def open(self) -> bool:
        """Whether the buffer begins like an XML document, be it that the root element's tag is not whole yet."""
        self._find_start()
        return bool(self._tag) or (self._tag is None and self._buffer.lstrip(_BLANKS).startswith(b"<"))

    def closed_at(self) -> int | None:
        """Index behind the root element's end, or None while it is not there."""
        self._find_start()
        while self._end is None and self._tag:
            found = self._buffer.find(self._tag, self._seen)
            if found < 0:
                self._seen = max(self._seen, len(self._buffer) - len(self._tag) + 1)
                break
            behind = found + len(self._tag)
            match = _CLOSE.match(self._buffer, behind)
            if match is not None:
                self._end = match.end()
            elif len(self._buffer) - behind < _CLOSE_OCTETS and not self._buffer[behind:].strip(b" \t\r\n"):
                self._seen = found
                break
            else:
                self._seen = behind
        return self._end

    def _find_start(self) -> None:
        """Set the name to look for, once enough has come to know it."""
        if self._tag is not None:
            return
        head = bytes(self._buffer[:_PROLOG_OCTETS])
        at = _skip_prolog(head)
        match = _START.match(head, at) if at is not None else None
        close = head.find(b">", at or 0) if match is not None else -1
        if match is not None and close >= 0:
            self._tag = b"</" + match[1]
            self._seen = close + 1
            if head[close - 1 : close] == b"/":
                self._end = close + 1
        elif len(head) == _PROLOG_OCTETS or (at is not None and _hopeless(head[at:])):
            self._tag = b""


def _skip_prolog(head: bytes) -> int | None:
    """Index of the first octet that is neither blank nor part of the prolog, or None while that is not known."""
    at = 0
    while True:
        at = len(head) - len(head[at:].lstrip(_BLANKS))
        for begin, end in _SKIPPED:
            if head.startswith(begin, at):
                # "<!" may still become "<!--", whose end differs
                if begin == b"<!" and len(head) - at < 4 and b"<!--".startswith(head[at:]):
                    return None
                close = head.find(end, at + len(begin))
                if close < 0:
                    return None
                at = close + len(end)
                break
        else:
            return at


def _hopeless(rest: bytes) -> bool:
    """Whether no root element can begin here, whatever follows."""
    if rest[:1] != b"<":
        return bool(rest)
    # a name that has not ended yet could still become one
    return rest != b"<" and _START.match(rest) is None and _PART.fullmatch(rest) is None
