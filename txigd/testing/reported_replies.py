"""What a support report has in answer to a request, moved to where it is replayed.

A gateway is replayed at another address and on other ports than its own: every URL of its own in what it said names
the new place, and lengths follow. Where a length was wrong, it stays wrong by as much. Opens nothing, sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from txigd.errors import BadMessage, BadURL
from txigd.igd.report import Datagram, Event, Exchanged, Report, chunks
from txigd.testing.replay import NOT_FOUND, Received
from txigd.upnp import url
from txigd.upnp.control import soap
from txigd.upnp.discovery import message
from txigd.upnp.discovery.message import Kind, Message
from txigd.upnp.url import DeviceURL

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(rb"^(content-length[ \t]*:[ \t]*)([0-9]{1,9})", re.IGNORECASE | re.MULTILINE)
_TARGET: Final = re.compile(rb"\A(\S+) \S+")
_HOST: Final = re.compile(rb"^(host[ \t]*:[ \t]*)[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_NOT_CAPTURED: Final = soap.fault(501, "the support report has no answer to this")

Place = tuple[str, int]  # literal host and port, as URLs name them
Key = tuple[Place, str, str, str]


def place(authority: str) -> Place:
    """Host and port of what HOST names.

    :raises BadURL: for no address.
    """
    found = url.parse(f"http://{authority}/")
    return str(found.host), found.port


def served(report: Report) -> tuple[Place, ...]:
    """Where the gateway answered HTTP, the place of its description first; every place once."""
    found: dict[Place, None] = {}
    for authority in (_authority(report.location), *(Received(one.sent).header("HOST") for one in _exchanges(report))):
        try:
            found.setdefault(place(authority))
        except BadURL:
            continue
    return tuple(found)


def _authority(location: str) -> str:
    return location.partition("://")[2].partition("/")[0]


def _exchanges(report: Report) -> Iterable[Exchanged]:
    return (one for step in report.steps for one in step.exchanges)


class Move:
    """Rewrites URLs from where the gateway was to where it is now."""

    def __init__(self, places: Mapping[Place, DeviceURL]) -> None:
        self._places = dict(places)
        hosts = {host for host, _ in places}
        literals = b"|".join(re.escape(f"[{host}]" if ":" in host else host).encode() for host in sorted(hosts))
        self._urls = re.compile(rb"(://)(%s)(?::([0-9]{1,5}))?(?![0-9.:])" % literals, re.IGNORECASE)

    def text(self, octets: bytes) -> bytes:
        """URLs moved; lengths are not looked at."""
        return self._urls.sub(self._moved, octets) if self._places else octets

    def _moved(self, found: re.Match[bytes]) -> bytes:
        host, port = found[2].decode().strip("[]").lower(), int(found[3] or 80)
        new = self._places.get((host, port))
        if new is None:  # nothing is served there: the port stays
            new = DeviceURL(next(iter(self._places.values())).host, port)
        return found[1] + new.authority.encode()

    def reply(self, octets: bytes) -> bytes:
        """An HTTP message moved, its length corrected by what the URLs made of it."""
        end = _BLANK_LINE.search(octets)
        if end is None:
            return self.text(octets)
        head, body = octets[: end.end()], octets[end.end() :]
        if spans := chunks(octets):
            return self.text(head) + self._chunked(octets, end.end(), spans)
        moved = self.text(body)
        grown = len(moved) - len(body)
        return _LENGTH.sub(lambda found: found[1] + b"%d" % max(0, int(found[2]) + grown), self.text(head)) + moved

    def _chunked(self, octets: bytes, start: int, spans: Sequence[tuple[int, int]]) -> bytes:
        """Chunk by chunk, as they came; in one where a URL is cut by their framing."""
        whole = b"".join(octets[a:b] for a, b in spans)
        moved = self.text(whole)
        if moved == whole:
            return octets[start:]
        pieces = [self.text(octets[a:b]) for a, b in spans]
        if b"".join(pieces) != moved:
            pieces = [moved]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


class Replies:
    """Answers requests as the gateway did.

    An action is answered by what it was answered with these very arguments, else by its last answer, which of a walk
    through a table is the refusal at its end. Of several answers to one request each is given once, the last for ever.
    """

    def __init__(self, report: Report) -> None:
        self._known: dict[Key, list[tuple[Mapping[str, str], bytes]]] = {}
        self._turns: dict[tuple[Key, frozenset[tuple[str, str]]], int] = {}
        self._events: dict[tuple[Place, str], str] = {}
        self._notified = report.events
        for step in report.steps:
            for one in step.exchanges:
                request = Received(one.sent)
                try:
                    key = _key(place(request.header("HOST")), request)
                except BadURL:
                    continue
                self._known.setdefault(key, []).append((_arguments(request), one.received))
                if step.kind == "subscribe":
                    self._events[key[0], key[2]] = step.path

    def answer(self, at: Place, request: Received) -> bytes | None:
        """The octets of the answer, not moved; None where there never was one."""
        key = _key(at, request)
        known = self._known.get(key, [])
        if not known:
            return _http(500, _NOT_CAPTURED) if key[1] in ("POST", "M-POST") else NOT_FOUND
        given = _arguments(request)
        same = [received for arguments, received in known if arguments == given] or [known[-1][1]]
        turn = self._turns.setdefault((key, frozenset(given.items())), 0)
        self._turns[key, frozenset(given.items())] = turn + 1
        return same[min(turn, len(same) - 1)] or None

    def events(self, at: Place, request: Received) -> tuple[Event, ...]:
        """The NOTIFYs that followed a SUBSCRIBE."""
        path = self._events.get((at, _key(at, request)[2]))
        return tuple(event for event in self._notified if event.path == path)


def _key(at: Place, request: Received) -> Key:
    method, target, *_ = [*request.line.split(" "), "", ""]
    action = request.action or request.header("01-SOAPACTION").strip('"').rpartition("#")[2]
    return at, method, target, action


def _arguments(request: Received) -> Mapping[str, str]:
    try:
        return soap.read_request(request.body)[2]
    except BadMessage:
        return {}


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Internal Server Error\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def notify(event: Event, callback: DeviceURL) -> bytes:
    """A captured NOTIFY for another callback URL; the rest is as it came."""
    end = _BLANK_LINE.search(event.octets)
    head, body = (event.octets, b"") if end is None else (event.octets[: end.end()], event.octets[end.end() :])
    head = _TARGET.sub(lambda found: found[1] + b" " + callback.target.encode(), head, count=1)
    return _HOST.sub(lambda found: found[1] + callback.authority.encode(), head, count=1) + body


def announcements(report: Report) -> tuple[tuple[Message | None, Datagram], ...]:
    """What the reported gateway itself said by SSDP; None for what cannot be read.

    Of others, only what they said of gateways is in a report; it is not replayed.
    """
    places = served(report)
    found: list[tuple[Message | None, Datagram]] = []
    for one in report.datagrams:
        if not places or one.source.partition("%")[0] != places[0][0]:
            continue
        try:
            heard = message.parse(one.octets)
        except BadMessage:
            found.append((None, one))
            continue
        if heard.kind is Kind.BYEBYE or _place_of(heard.location) in places:
            found.append((heard, one))
    return tuple(found)


def _place_of(location: str) -> Place | None:
    try:
        return place(_authority(location))
    except BadURL:
        return None
