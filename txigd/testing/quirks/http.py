"""Habits of the web server: which requests it takes, how its replies are written (quirks Q043-Q060). Pure."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from txigd.testing.faults import Fault
from txigd.testing.quirks.habit import END, Asked, Quirk, Scene, measured, split, with_fields, with_value, without

_FRAMING: Final = frozenset({"end of a reply"})
_SLOW_SECONDS: Final = 12.0  # Q056
_PAUSE_SECONDS: Final = 0.02  # long enough for a second request, or a FIN, to come in
_CHUNK: Final = 1000
_Reply = Callable[[bytes, Asked, Scene], bytes]


def _octets(change: Callable[[bytes], bytes]) -> _Reply:
    return lambda reply, asked, scene: change(reply)


def _is_description(asked: Asked, scene: Scene) -> bool:
    return asked.method == "GET" and scene.location.endswith(asked.path)


def _old(reply: bytes) -> bytes:
    head, body = split(without(reply, "Content-Length", "Content-Type", "Connection"))
    return with_fields(
        head.replace(b"HTTP/1.1", b"HTTP/1.0", 1) + END + body, b"CONTENT-TYPE: application/octet-stream"
    )


def _glued(reply: bytes) -> bytes:
    kind = re.search(rb"\r\n(Content-Type:[^\r\n]*)", reply, re.I)
    if kind is None:
        return reply
    return with_value(without(reply, "Content-Type"), "Connection", lambda _: b"close " + kind[1])


def _lengthened(octets: int) -> Callable[[bytes], bytes]:
    return lambda reply: with_value(reply, "Content-Length", lambda n: b"%d" % max(0, int(n) + octets))


def _too_short(reply: bytes) -> bytes:
    """Counted in characters where the body has others than ASCII, else four octets short."""
    return _lengthened(-4)(reply) if len(split(reply)[1]) > 4 else reply


def _chunked(reply: bytes) -> bytes:
    head, body = split(without(reply, "Content-Length"))
    pieces = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
    framed = b"".join(b"%x\n%s\n" % (len(piece), piece) for piece in pieces)
    return with_fields(head + END, b"Transfer-Encoding: chunked") + framed + b"0\n\n"


def _two_lengths(reply: bytes) -> bytes:
    return with_fields(reply, b"Content-Length: 17") if split(reply)[1] else reply


def _zipped(reply: bytes, asked: Asked, scene: Scene) -> bytes:
    if "gzip" not in asked.value("Accept-Encoding"):
        return reply
    head, body = split(reply)
    return measured(with_fields(head + END, b"Content-Encoding: gzip") + gzip.compress(body))


def _exact_host(asked: Asked, scene: Scene) -> Fault | None:
    host = scene.origin.partition("//")[2]
    fine = asked.value("Host") == host or (host.endswith(":80") and asked.value("Host") == host[:-3])
    return None if fine else HTTPStatus.BAD_REQUEST


def _numeric_host(asked: Asked, scene: Scene) -> Fault | None:
    return (
        None
        if re.fullmatch(r"[0-9.]+(:[0-9]+)?|\[[0-9a-f:]+\](:[0-9]+)?", asked.value("Host"))
        else HTTPStatus.FORBIDDEN
    )


def _no_expectations(asked: Asked, scene: Scene) -> Fault | None:
    return HTTPStatus.PAYMENT_REQUIRED if asked.value("Expect") else None


def _not_ready(asked: Asked, scene: Scene) -> Fault | None:
    """Empty, then 404, then as it should be."""
    if not _is_description(asked, scene):
        return None
    faults: dict[int, Fault] = {1: "empty", 2: HTTPStatus.NOT_FOUND}
    return faults.get(scene.nth("description"))


def _login_page(asked: Asked, scene: Scene) -> Fault | None:
    return "html" if _is_description(asked, scene) else None


def _slow(asked: Asked, scene: Scene) -> float:
    return _SLOW_SECONDS if _is_description(asked, scene) and scene.nth("description") == 1 else 0.0


HTTP: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q043": Quirk("HTTP/1.0, no Content-Length, application/octet-stream", framing=_octets(_old), slots=_FRAMING),
        "Q044": Quirk("a status line without the slash", reply=_octets(lambda r: r.replace(b"HTTP/1.", b"HTTP1.", 1))),
        "Q045": Quirk("two header fields on one line", reply=_octets(_glued)),
        "Q046": Quirk("Content-Length too big: the body ends early", framing=_octets(_lengthened(99)), slots=_FRAMING),
        "Q046b": Quirk("Content-Length too small: more follows", framing=_octets(_too_short), slots=_FRAMING),
        "Q047": Quirk(
            "no Content-Length, and the connection stays open",
            framing=_octets(lambda r: without(r, "Content-Length", "Connection")),
            traits=frozenset({"stays open"}),
            slots=_FRAMING,
        ),
        "Q048": Quirk("always chunked, with LF-only chunk lines", framing=_octets(_chunked), slots=_FRAMING),
        "Q049": Quirk("two Content-Length that differ", framing=_octets(_two_lengths), slots=_FRAMING),
        "Q050": Quirk(
            "drops a connection whose other half is shut before the reply", held=lambda asked, scene: _PAUSE_SECONDS
        ),
        "Q051": Quirk(
            "promises keep-alive and closes",
            reply=_octets(lambda r: with_value(r, "Connection", lambda _: b"Keep-Alive")),
        ),
        "Q052": Quirk("the first description after a boot is empty, the second a 404", asked=_not_ready),
        "Q053": Quirk("400 unless HOST is exactly its address and port", asked=_exact_host),
        "Q054": Quirk("403 unless HOST is a numeric address", asked=_numeric_host),
        "Q055": Quirk("a login page with status 200 where the description should be", asked=_login_page),
        "Q056": Quirk("twelve seconds for the first description", held=_slow),
        "Q057": Quirk("shows IGD:1 to a USER-AGENT of Microsoft's (as it always does)"),
        "Q058": Quirk("sends gzip where it is asked for", framing=_zipped, slots=_FRAMING),
        "Q059": Quirk("402 to a request with Expect", asked=_no_expectations),
        "Q060": Quirk("no Content-Type", reply=_octets(lambda r: without(r, "Content-Type"))),
    }
)
