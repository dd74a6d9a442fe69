"""One HTTP reply of a device, read leniently and within bounds. Pure.

Sources: RFC 9112 for what is right, quirks Q043-Q049 and Q186-Q188 for what gateways send instead, threats L3-L6, L23
and B1-B4 for what must not pass. However the octets are cut into pieces, the outcome is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from txigd.errors import BadReply, ReplyRefused, ReplyTooLarge
from txigd.limits import HTTP_HEADERS, HTTP_LINE_OCTETS, HTTP_OVERHEAD_OCTETS
from txigd.upnp.root_element import RootElement
from txigd.upnp.url import IPAddress


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply.

    ``headers`` are the fields in the order and spelling received, values stripped, octets as Latin-1.
    ``local_address`` is our own address on the connection that brought it: what CALLBACK must name (Q171).
    """

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    local_address: IPAddress | None = None

    def get(self, name: str, default: str = "") -> str:
        """The first value of the field, whatever its case; ``_`` counts as ``-``."""
        wanted = field_key(name)
        for field, value in self.headers:
            if field_key(field) == wanted:
                return value
        return default


def field_key(name: str) -> str:
    """The name that two spellings of one header field share."""
    return name.lower().replace("_", "-")


# Q045: names that are looked for inside values. Only fields that a device really sends: a word that merely ends in a
# colon must not be taken for one.
_GLUED = re.compile(
    r"[ \t](?=(?:cache-control|connection|content-encoding|content-language|content-length|content-type|date|expires"
    r"|ext|keep-alive|last-modified|pragma|server|sid|timeout|transfer-encoding)[ \t]?:)",
    re.IGNORECASE,
)
_VERSION = re.compile(rb"HTTP/?[0-9.]*", re.IGNORECASE)
_STATUS = re.compile(rb"[1-9][0-9][0-9](?![0-9])")
_CHUNK_SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,15})")
_LENGTH_DIGITS = 15  # a longer number is above every cap, and int() need not see it (L9, H20)


class ReplyReader:
    """Takes the octets of one connection until the reply is whole.

    :param body_cap: octets of body at most.
    :param no_body: the head alone is the whole reply, as for SUBSCRIBE.
    :param overhead_cap: octets of everything that is not body: interim replies, header fields, chunk framing. Framing
        may grow with the body it carries, since some devices send a chunk per line of their template.

    After :meth:`feed` returned true (or :meth:`finish` returned), ``status``, ``reason``, ``headers`` and ``body``
    hold the reply.
    """

    def __init__(self, body_cap: int, no_body: bool = False, *, overhead_cap: int = HTTP_OVERHEAD_OCTETS) -> None:
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self.complete = False
        self._body_cap = body_cap
        self._no_body = no_body
        self._overhead_cap = overhead_cap
        self._overhead = 0
        self._fields = 0
        self._pending = bytearray()
        self._body = bytearray()
        self._root = RootElement(self._body)
        self._room = 0  # octets still to come of a declared length, or of the chunk at hand
        self._overdue = False  # the declared length is there, but the root element goes on
        self._step: Callable[[], bool] = self._status_line

    # -- what the connection tells ---------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """Take octets; true when the reply is whole. What comes after it is ignored.

        :raises BadReply: where no leniency makes it a reply.
        :raises ReplyTooLarge: past a cap.
        :raises ReplyRefused: on a redirect, a content coding or a transfer coding other than chunked.
        """
        if not self.complete:
            self._pending += data
            while self._step() and not self.complete:
                pass
        return self.complete

    def finish(self, clean: bool = True) -> None:
        """The device closed the connection.

        :param clean: false where the connection broke (a reset), which ends a body of unknown length in the middle.
        :raises BadReply: unless the reply is whole, or looks so: see :attr:`settled` (Q046, Q048, Q188).
        """
        if self.complete:
            return
        if not self._in_body:
            # a SUBSCRIBE answer needs no blank line to be understood, but a value cut in the middle is none
            if not (self._no_body and clean and self.status >= 200):
                raise BadReply(
                    "connection closed before the reply" if not self.status else "reply cut short in its head"
                )
        elif not (self.settled or (clean and self._step == self._open_body) or self._at_last_chunk):
            raise BadReply(f"reply cut short after {len(self._body)} octets of body")
        self.complete = True

    @property
    def settled(self) -> bool:
        """Whether the reply would do if nothing more came, though its framing says that more should come.

        That is so when the root element is closed (Q046, Q188), when the declared length is there but the root element
        is not closed, and for an error status without a declared length (its body only helps a reader).
        """
        if not self._in_body:
            return False
        if self._overdue or (self._step == self._open_body and self.status >= 400):
            return True
        return self._root.closed_at() is not None

    @property
    def body(self) -> bytes:
        """The body so far, without framing."""
        return bytes(self._body)

    # -- the head ------------------------------------------------------------------------------------------------------

    def _line(self) -> bytes | None:
        """Take one line without its end, CRLF or LF alone, or None where it has not all come."""
        end = self._pending.find(b"\n")
        length = len(self._pending) if end < 0 else end + 1
        if length > HTTP_LINE_OCTETS or self._overhead + length > self._overhead_cap + len(self._body):
            raise ReplyTooLarge("more header or framing octets than a reply may have")
        if end < 0:
            return None
        line = bytes(self._pending[:end]).rstrip(b"\r")
        del self._pending[:length]
        self._overhead += length
        return line

    def _status_line(self) -> bool:
        start = bytes(self._pending[:4])
        if start and start[0] not in b"\r\n" and not b"HTTP".startswith(start.upper()):
            # told at once, so that a device that is no HTTP server does not cost the whole deadline
            raise BadReply(f"no HTTP reply: {start!r}")
        line = self._line()
        if line is None:
            return False
        if not line.strip():
            return True  # blank lines before the status line
        words = line.split(None, 2)
        if _VERSION.fullmatch(words[0]) is None or len(words) < 2 or _STATUS.match(words[1]) is None:
            raise BadReply(f"no HTTP status line: {line[:60]!r}")
        self.status = int(words[1][:3])
        # a redirect could lead anywhere (A8, L5)
        if 300 <= self.status < 400:
            raise ReplyRefused("redirect")
        self.reason = b" ".join([words[1][3:], *words[2:]]).strip().decode("latin-1")
        self._step = self._field_line
        return True

    def _field_line(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self._end_of_head()
            return True
        text = line.decode("latin-1")
        if text[0] in " \t":
            # a folded line; one that follows nothing is dropped
            if self.headers and text.strip():
                name, value = self.headers[-1]
                self.headers[-1] = (name, f"{value} {text.strip()}".strip())
            return True
        for field in _GLUED.split(text):
            name, colon, value = field.partition(":")
            name = name.strip()
            self._fields += 1
            if self._fields > HTTP_HEADERS:
                raise ReplyTooLarge(f"more than {HTTP_HEADERS} header fields")
            if colon and name:
                self.headers.append((name, value.strip()))
        return True

    def _values(self, key: str) -> list[str]:
        """The members of all fields of that name, lower-case, each once."""
        joined = ",".join(value for name, value in self.headers if field_key(name) == key)
        return list(dict.fromkeys(member for part in joined.lower().split(",") if (member := part.strip())))

    def _end_of_head(self) -> None:
        if self.status < 200:
            # an interim reply: its fields mean nothing, the real one follows
            self.status, self.reason, self.headers = 0, "", []
            self._step = self._status_line
            return
        if self._no_body or self.status == 204:
            self.complete = True
            return
        if coding := [value for value in self._values("content-encoding") if value != "identity"]:
            raise ReplyRefused(f"content coding {coding[0][:40]!r}")  # L4
        transfer = [value.partition(";")[0].strip() for value in self._values("transfer-encoding")]
        if unknown := [value for value in transfer if value not in ("identity", "chunked")]:
            raise ReplyRefused(f"transfer coding {unknown[0][:40]!r}")
        if "chunked" in transfer:
            self._step = self._chunk_size
            return
        lengths = self._values("content-length")
        digits = lengths[0].removeprefix("+").lstrip("0") if len(lengths) == 1 else "x"
        if not (digits.isascii() and digits.isdigit()) and digits:
            # none, several that differ (Q049), or no number: the end is found in the body
            self._step = self._open_body
        elif len(digits) > _LENGTH_DIGITS or int(digits or "0") > self._body_cap:
            raise ReplyTooLarge(
                f"a body of {digits[:_LENGTH_DIGITS]} octets is announced, at most {self._body_cap} are read"
            )
        else:
            self._room = int(digits or "0")
            self._step = self._sized_body

    # -- the body ------------------------------------------------------------------------------------------------------

    @property
    def _in_body(self) -> bool:
        return self._step not in (self._status_line, self._field_line)

    @property
    def _at_last_chunk(self) -> bool:
        """The last chunk has come, but not the end of its line (Q048)."""
        return self._step == self._chunk_size and bytes(self._pending).strip() == b"0"

    def _take(self) -> None:
        piece = self._pending[: self._room]
        self._body += piece
        self._room -= len(piece)
        del self._pending[: len(piece)]

    def _sized_body(self) -> bool:
        self._take()
        if self._room:
            return False
        if self._root.open and self._root.closed_at() is None:
            # Q046: counted in characters, or for another document: the root element tells where it ends
            self._overdue = True
            self._step = self._open_body
        else:
            self.complete = True
        return True

    def _open_body(self) -> bool:
        """A body without a usable length ends with its root element (Q047), or with the connection (Q043)."""
        self._body += self._pending
        self._pending.clear()
        end = self._root.closed_at()
        if end is not None and end <= self._body_cap:
            del self._body[end:]
            self.complete = True
        elif len(self._body) > self._body_cap:
            raise ReplyTooLarge(f"more than {self._body_cap} octets of body")
        return False

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        match = _CHUNK_SIZE.fullmatch(size)
        if match is None:
            if re.fullmatch(rb"[0-9A-Fa-f]+", size):
                raise ReplyTooLarge(f"more than {self._body_cap} octets of body")
            raise BadReply(f"no chunk size: {line[:40]!r}")
        self._room = int(match[1], 16)
        if not self._room:
            self.complete = True  # trailers carry nothing that is used
        elif len(self._body) + self._room > self._body_cap:
            raise ReplyTooLarge(f"more than {self._body_cap} octets of body")
        self._step = self._chunk_data
        return True

    def _chunk_data(self) -> bool:
        self._take()
        if self._room:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise BadReply("a chunk goes on after its size")
        self._step = self._chunk_size
        return True
