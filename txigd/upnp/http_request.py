"""The octets of a request to a device, spelled and ordered as devices want them. Pure.

Sources: UDA sections 2.5, 3.1 and 4.1 for the fields, quirks Q050-Q059 and Q089-Q094 for what gateways stumble over.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from txigd.errors import InvalidArgument
from txigd.upnp.http_reply import field_key

_WITH_BODY = frozenset({"POST", "M-POST"})
# Twisted's wrappers add some of these; the others are ours to write. No device needs a coding or a cookie (Q058, L4,
# L21), one took Expect amiss (Q059).
_NEVER_TAKEN = frozenset({"accept-encoding", "cookie", "expect", "host", "content-length", "transfer-encoding"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TARGET = re.compile(r"/[!-~]*")
_BREAKING = re.compile(r"[\r\n\0]")


def default_user_agent() -> str:
    """``OS/version UPnP/1.1 txigd/version`` (UDA 1.1 section 1.3.2).

    The OS version is digits only: a WSL kernel has "microsoft" in its name, and miniupnpd shows an old device to
    anybody who says that word (Q057).
    """
    release = re.match(r"[0-9]+(\.[0-9]+)*", platform.release())
    try:
        ours = version("txigd")
    except PackageNotFoundError:
        ours = "0"
    return f"{platform.system() or 'Unknown'}/{release[0] if release else '0'} UPnP/1.1 txigd/{ours}"


def request_octets(
    method: str, target: str, authority: str, user_agent: str, headers: Iterable[tuple[str, str]], body: bytes
) -> bytes:
    """Write a request: HOST first, then USER-AGENT, the caller's fields, Content-Length, Connection.

    :raises InvalidArgument: for what would break out of its place in the message.
    """
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise InvalidArgument(f"cannot be requested: {method[:20]!r} {target[:60]!r}")
    lines = [f"{method} {target} HTTP/1.1", f"HOST: {authority}"]
    given = [(field_key(name), name, value) for name, value in headers]
    if not any(key == "user-agent" for key, _, _ in given):
        lines.append(f"USER-AGENT: {user_agent}")
    for key, name, value in given:
        if not _TOKEN.fullmatch(name) or _BREAKING.search(value):
            raise InvalidArgument(f"no header field: {name[:40]!r}: {value[:60]!r}")
        if key not in _NEVER_TAKEN:
            lines.append(f"{name}: {value}")
    if body or method in _WITH_BODY:
        lines.append(f"Content-Length: {len(body)}")
    if not any(key == "connection" for key, _, _ in given):
        lines.append("Connection: close")  # Q051
    try:
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"cannot be sent in a header: {error.object[error.start : error.end]!r}") from error
