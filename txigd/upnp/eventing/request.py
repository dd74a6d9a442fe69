"""One HTTP request on the callback port, read leniently and within bounds. Pure.

The head is read first and judged by somebody else; only then is a body looked at. Sources: quirks Q178 and Q189 and
fault F12 for what gateways send, threats C6, L7-L9 for what must not pass.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

from txigd.errors import BadMessage
from txigd.limits import (
    CALLBACK_HEADER_OCTETS,
    CALLBACK_HEADERS,
    CALLBACK_LINE_OCTETS,
    HTTP_OVERHEAD_OCTETS,
    NOTIFY_OCTETS,
)
from txigd.upnp.http_reply import field_key
from txigd.upnp.root_element import RootElement

_LINE = re.compile(r"([!-~]+)[ \t]+([!-~]+)[ \t]+HTTP/(1\.[0-9])[ \t]*")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(r"0*([0-9]{1,15})")
_CHUNK_SIZE = re.compile(rb"[ \t]*0*([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?", re.DOTALL)
_CHUNK_LINE_OCTETS = 1024
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")  # UTF-16: its root element is not looked for


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request line and the fields, octets as Latin-1, values stripped, folded lines joined."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """All values of the field, doubled ones too."""
        return [value for field, value in self.headers if field_key(field) == name]


class HeadReader:
    """Takes octets until the head is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """The head and the octets behind it, or None while more is needed.

        :raises BadMessage: ``head``, where it is no HTTP/1 request or past a cap.
        """
        self._buffer += data
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))]
        end = _END_OF_HEAD.search(self._buffer, 0, CALLBACK_HEADER_OCTETS)
        if end is not None:
            return read_head(bytes(self._buffer[: end.start()])), bytes(self._buffer[end.end() :])
        if len(self._buffer) >= CALLBACK_HEADER_OCTETS:
            raise BadMessage("head", "the head is too long")
        return None


def read_head(octets: bytes) -> RequestHead:
    """Read request line and fields; lines may end with LF alone, a blank may precede a colon (Q189).

    :raises BadMessage: ``head``.
    """
    lines = octets.decode("latin-1").split("\n")
    match = _LINE.fullmatch(lines[0].rstrip("\r"))
    if match is None:
        raise BadMessage("head", "no HTTP/1 request line")
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        text = line.rstrip("\r")
        name, colon, value = text.partition(":")
        if "\0" in text or "\r" in text or len(text) > CALLBACK_LINE_OCTETS or len(fields) >= CALLBACK_HEADERS:
            raise BadMessage("head", "a header line that is not allowed")
        if text[:1] in (" ", "\t") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {text.strip()}".strip())
        elif colon and name.strip():
            fields.append((name.strip(), value.strip()))
    return RequestHead(match[1], match[2], match[3], tuple(fields))


@dataclass(frozen=True, slots=True)
class Framing:
    """How the end of the body is told: a length, chunks, or neither (Q178)."""

    length: int | None = None
    chunked: bool = False


def framing(head: RequestHead) -> Framing:
    """How the body of the request is framed.

    :raises BadMessage: ``length``, for two lengths (equal ones too, C7), a length with chunks (C6), a length that is
        no number or has thousands of digits (L9), or an unknown coding.
    """
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    codings = [coding.lower() for coding in codings if coding.lower() != "identity"]
    if head.values("content-encoding") not in ([], ["identity"], [""]):
        raise BadMessage("length", "a content coding")
    if codings:
        if codings != ["chunked"] or lengths:
            raise BadMessage("length", "a transfer coding that is not allowed")
        return Framing(chunked=True)
    if not lengths:
        return Framing()
    match = _LENGTH.fullmatch(lengths[0])
    if match is None or len(lengths) > 1:
        raise BadMessage("length", "no usable Content-Length")
    return Framing(length=int(match[1]))


class Progress(enum.Enum):
    """What a reader of a body says after each piece."""

    MORE = "more is needed"
    SETTLING = "the length and the root element disagree on whether this is all"
    WHOLE = "this is all"
    LARGE = "more than the limit"


class BodyReader:
    """Takes the octets of a body.

    A length one too small (F12) is mended by the octets that follow it, a missing one by the end of the root element.
    """

    def __init__(self, how: Framing) -> None:
        self._how = how
        self._raw = 0
        self._body = bytearray()
        self._root = RootElement(self._body)
        self._chunks = _Chunks() if how.chunked else None

    @property
    def body(self) -> bytes:
        """The octets so far, without framing."""
        return bytes(self._body)

    @property
    def closed(self) -> bool:
        """Whether the body looks like a whole document: its root element has ended."""
        return self._root.closed_at() is not None or self._body.startswith(_WIDE)

    @property
    def drained(self) -> bool:
        """Whether framing told the end and nothing follows it, so that closing resets nothing."""
        if self._chunks is not None:
            return self._chunks.ended and not self._chunks.rest
        return self._how.length == self._raw

    def feed(self, data: bytes) -> Progress:
        """Take octets.

        :raises BadMessage: ``length``, where chunk framing is broken.
        """
        self._raw += len(data)
        self._body += self._chunks.decode(data) if self._chunks is not None else data
        if len(self._body) > NOTIFY_OCTETS or self._raw > NOTIFY_OCTETS + HTTP_OVERHEAD_OCTETS:
            return Progress.LARGE
        if self._chunks is not None:
            told = self._chunks.ended
        elif self._how.length is not None:
            if self._how.length > NOTIFY_OCTETS:
                return Progress.LARGE
            told = self._raw >= self._how.length
        else:
            return Progress.WHOLE if self.closed and not self._body.startswith(_WIDE) else Progress.MORE
        if told and (self.closed or self._chunks is not None):
            return Progress.WHOLE
        return Progress.SETTLING if told or self._root.closed_at() is not None else Progress.MORE


class _Chunks:
    """Chunk framing, line ends with LF alone allowed; trailers are dropped."""

    def __init__(self) -> None:
        self.ended = False
        self.rest = bytearray()
        self._room = 0
        self._step: Callable[[bytearray], bool] = self._size

    def decode(self, data: bytes) -> bytes:
        out = bytearray()
        self.rest += data
        while not self.ended and self._step(out):
            pass
        return bytes(out)

    def _line(self) -> bytes | None:
        end = self.rest.find(b"\n")
        if (end if end >= 0 else len(self.rest)) > _CHUNK_LINE_OCTETS:
            raise BadMessage("length", "a chunk line is too long")
        if end < 0:
            return None
        line = bytes(self.rest[:end]).rstrip(b"\r")
        del self.rest[: end + 1]
        return line

    def _size(self, _out: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise BadMessage("length", "no chunk size")
        self._room = int(match[1], 16)
        self._step = self._data if self._room else self._trailer
        return True

    def _data(self, out: bytearray) -> bool:
        piece = self.rest[: self._room]
        out += piece
        self._room -= len(piece)
        del self.rest[: len(piece)]
        if not self._room:
            self._step = self._gap
        return not self._room

    def _gap(self, _out: bytearray) -> bool:
        line = self._line()
        if line:
            raise BadMessage("length", "a chunk goes on after its size")
        if line is not None:
            self._step = self._size
        return line is not None

    def _trailer(self, _out: bytearray) -> bool:
        line = self._line()
        self.ended = line == b""
        return line is not None
