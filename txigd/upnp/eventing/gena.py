"""The messages of eventing: SUBSCRIBE, its answer, NOTIFY and the property set, read and written. Pure.

Sources: UDA 1.0-2.0 section 4; quirks Q157-Q184; threats C1, C9, C10. Header lists are pairs in the order and the
upper-case spelling that go on the wire (Q167, Q185); HOST is added by whoever sends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from txigd.errors import BadURL, DescriptionError, NotificationRefused, SubscriptionError
from txigd.limits import (
    GRANT_CEILING_SECONDS,
    GRANT_DEFAULT_SECONDS,
    GRANT_FLOOR_SECONDS,
    GRANT_INFINITE_SECONDS,
    NAME_OCTETS,
    NOTIFY_OCTETS,
    SCPD_VARIABLES,
    SID_OCTETS,
    SUBSCRIBE_SECONDS,
)
from txigd.upnp import xml
from txigd.upnp.http_reply import Reply, field_key
from txigd.upnp.url import DeviceURL, IPAddress, parse, unmapped, without_zone

Headers = Sequence[tuple[str, str]]

NT_EVENT = "upnp:event"
NTS_CHANGE = "upnp:propchange"
SEQ_MAX = 2**32 - 1  # followed by 1 (UDA 4.2)

_TIMEOUT = re.compile(r"(?:second-)?(?:(infinite)|0*([0-9]{1,15})(?:\.[0-9]*)?)", re.IGNORECASE)
_SID = re.compile(rf"[!-~]{{1,{SID_OCTETS}}}")
_SEQ = re.compile(r"0*([0-9]{1,10})")
_CALLBACK = re.compile(r"<([^<>]*)>")


def _values(headers: Headers, name: str) -> list[str]:
    """The different values of a field, names in any case (Q163), in the order received."""
    return list(dict.fromkeys(value.strip() for field_name, value in headers if field_key(field_name) == name))


# -- what a control point sends ----------------------------------------------------------------------------------------


def subscribe_headers(callback_url: str, seconds: int = SUBSCRIBE_SECONDS) -> list[tuple[str, str]]:
    """A new subscription (UDA 4.1): one CALLBACK (C10), an integer TIMEOUT (Q165)."""
    return [("CALLBACK", f"<{callback_url}>"), ("NT", NT_EVENT), ("TIMEOUT", f"Second-{seconds:d}")]


def renew_headers(sid: str, seconds: int = SUBSCRIBE_SECONDS) -> list[tuple[str, str]]:
    """A renewal: no NT and no CALLBACK, which would be answered 400 (UDA 4.1)."""
    return [("SID", sid), ("TIMEOUT", f"Second-{seconds:d}")]


def unsubscribe_headers(sid: str) -> list[tuple[str, str]]:
    """The end of a subscription (UDA 4.1)."""
    return [("SID", sid)]


@dataclass(frozen=True, slots=True)
class Grant:
    """A SUBSCRIBE that was accepted: ``seconds`` are clamped so that no answer makes a hot loop (C9)."""

    sid: str
    seconds: int


def read_grant(reply: Reply, *, renewing: str = "") -> Grant:
    """Read the answer to a SUBSCRIBE.

    :param renewing: the SID that was renewed; taken where the answer names none (Q166).
    :raises SubscriptionError: with the status of a refusal, or 0 where an acceptance has no usable SID.
    """
    if not 200 <= reply.status < 300:
        raise SubscriptionError(reply.status)
    sid = reply.get("SID").strip() or renewing
    if _SID.fullmatch(sid) is None:
        raise SubscriptionError(0, f"SUBSCRIBE accepted, but the SID is unusable: {sid[:40]!r}")
    return Grant(sid, read_timeout(reply.get("TIMEOUT")))


def read_timeout(text: str) -> int:
    """Seconds of a granted TIMEOUT in any of its spellings, clamped (Q164, C9)."""
    match = _TIMEOUT.fullmatch(text.strip())
    if match is None:
        return GRANT_DEFAULT_SECONDS
    if match[1]:
        return GRANT_INFINITE_SECONDS
    return min(max(int(match[2]), GRANT_FLOOR_SECONDS), GRANT_CEILING_SECONDS)


# -- what a control point receives -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the header of a NOTIFY says: ``seq`` is None where a lenient reader let a missing one pass (Q159)."""

    sid: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class Notification:
    """A whole event message: values as text, by variable name as sent."""

    sid: str
    seq: int | None
    values: Mapping[str, str]


def read_envelope(headers: Headers, *, lenient: bool = False) -> Envelope:
    """Check the header of a NOTIFY in the order of threat C1: NT and NTS, SID, SEQ.

    The type of the content is not looked at (Q178). Doubled fields pass if they agree.

    :param lenient: let a NOTIFY without SEQ pass (Q159); otherwise it is answered 400 as UDA's peers do.
    :raises NotificationRefused: with the status of uda.md 4.2.
    """
    nt, nts = _values(headers, "nt"), _values(headers, "nts")
    if not any(nt) or not any(nts):
        raise NotificationRefused(400, "nt")
    if [v.lower() for v in nt] != [NT_EVENT] or [v.lower() for v in nts] != [NTS_CHANGE]:
        raise NotificationRefused(412, "nt")
    sids = _values(headers, "sid")
    if len(sids) != 1 or _SID.fullmatch(sids[0]) is None:
        raise NotificationRefused(412, "sid")
    seqs = _values(headers, "seq")
    if lenient and not any(seqs):
        return Envelope(sids[0], None)
    match = _SEQ.fullmatch(seqs[0]) if len(seqs) == 1 else None
    if match is None or int(match[1]) > SEQ_MAX:
        raise NotificationRefused(400, "seq")
    return Envelope(sids[0], int(match[1]))


def read_values(body: bytes, names: Iterable[str] = ()) -> dict[str, str]:
    """Read a property set: any namespace, any prefix, several variables in one property (Q176, Q177).

    :param names: the variables of the service description; a name that differs in case only takes their spelling.
        Unknown variables are passed on.
    :raises NotificationRefused: with status 400 where the body is no property set.
    """
    try:
        root = xml.parse(body.rstrip(b"\0 \t\r\n"), cap=NOTIFY_OCTETS, root="propertyset")
    except DescriptionError as error:
        raise NotificationRefused(400, "xml", str(error)) from error
    spelling = {name.lower(): name for name in names}
    values: dict[str, str] = {}
    for child in root.children:
        # a variable outside of any property is told by not being called so
        for variable in child.children if child.name.lower() == "property" else (child,):
            if len(variable.name) <= NAME_OCTETS and len(values) < SCPD_VARIABLES:
                values[spelling.get(variable.name.lower(), variable.name)] = variable.text
    return values


def read_notification(
    headers: Headers, body: bytes, *, names: Iterable[str] = (), lenient: bool = False
) -> Notification:
    """Read a whole NOTIFY: :func:`read_envelope`, then :func:`read_values`.

    :raises NotificationRefused: with the status to answer.
    """
    envelope = read_envelope(headers, lenient=lenient)
    return Notification(envelope.sid, envelope.seq, read_values(body, names))


# -- the device's side -------------------------------------------------------------------------------------------------


def notify_headers(sid: str, seq: int) -> list[tuple[str, str]]:
    """The header of a NOTIFY (UDA 4.2)."""
    return [
        ("CONTENT-TYPE", 'text/xml; charset="utf-8"'),
        ("NT", NT_EVENT),
        ("NTS", NTS_CHANGE),
        ("SID", sid),
        ("SEQ", f"{seq:d}"),
    ]


def propertyset(values: Mapping[str, str]) -> bytes:
    """The body of a NOTIFY, one property per variable (UDA 4.3)."""
    lines = [
        '<?xml version="1.0"?>',
        '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">',
        *(f"<e:property><{name}>{xml.escape(text)}</{name}></e:property>" for name, text in values.items()),
        "</e:propertyset>",
        "",
    ]
    return "\n".join(lines).encode()


def following(seq: int) -> int:
    """The SEQ after this one: 4294967295 is followed by 1 (UDA 4.2)."""
    return 1 if seq >= SEQ_MAX else seq + 1


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """A SUBSCRIBE as a device reads it: a renewal where ``sid`` is not empty, else new with ``callbacks``."""

    sid: str
    callbacks: tuple[DeviceURL, ...]
    seconds: int
    variables: tuple[str, ...] = ()


def read_subscribe(headers: Headers, *, sender: IPAddress | None = None) -> SubscribeRequest:
    """Read a SUBSCRIBE with the rules of UDA 4.1.

    ``Second-infinite`` counts as no wish at all (1.1+).

    :param sender: where it came from; a CALLBACK elsewhere is refused (the 2020 rule, C10).
    :raises SubscriptionError: with the status to answer, 400 or 412.
    """
    sid, nt, callback = (" ".join(_values(headers, name)) for name in ("sid", "nt", "callback"))
    wish = _TIMEOUT.fullmatch(" ".join(_values(headers, "timeout")))
    seconds = SUBSCRIBE_SECONDS if wish is None or wish[2] is None else int(wish[2])
    if sid:
        if nt or callback:
            raise SubscriptionError(400, "SID together with NT or CALLBACK")
        return SubscribeRequest(sid, (), seconds)
    if nt.lower() != NT_EVENT:
        raise SubscriptionError(412, "NT is not upnp:event")
    callbacks = []
    for text in _CALLBACK.findall(callback):
        try:
            url = parse(text)
        except BadURL:
            continue
        if sender is None or url.host == unmapped(without_zone(sender)):
            callbacks.append(url)
    if not callbacks:
        raise SubscriptionError(412, "no CALLBACK that may be used")
    names = ",".join(_values(headers, "statevar")).split(",")
    return SubscribeRequest("", tuple(callbacks), seconds, tuple(name.strip() for name in names if name.strip()))


def read_unsubscribe(headers: Headers) -> str:
    """The SID of an UNSUBSCRIBE.

    :raises SubscriptionError: 400 with NT or CALLBACK, 412 without SID (UDA 4.1).
    """
    sid = " ".join(_values(headers, "sid"))
    if any(_values(headers, "nt")) or any(_values(headers, "callback")):
        raise SubscriptionError(400, "SID together with NT or CALLBACK")
    if not sid:
        raise SubscriptionError(412, "no SID")
    return sid


def grant_headers(sid: str, seconds: int) -> list[tuple[str, str]]:
    """The answer to a SUBSCRIBE (UDA 4.1)."""
    return [("SID", sid), ("TIMEOUT", f"Second-{seconds:d}")]
