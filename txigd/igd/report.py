"""A support report: all that a maintainer needs to know of a gateway, as one value. Pure.

Octets are kept as they came, so that what a parser tripped over can be tripped over again. A report
is masked as a whole (see :mod:`txigd.igd.report_mask`) before it can be written. The JSON form is the matter of
:mod:`txigd.igd.report_format`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from txigd.igd.report_mask import Mask

LEFT_OUT: Final = b"?"  # stands for each octet of a body that nobody can search for what is private


@dataclass(frozen=True, slots=True)
class Datagram:
    """One SSDP message. ``at`` is in seconds from the beginning, ``heard`` "search" or "group"."""

    at: float
    link: str
    source: str
    port: int
    heard: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One HTTP exchange: when it began and how long it took, in seconds, what was sent and what came.

    ``whole`` is False where ``received`` was cut for its size.
    """

    at: float
    seconds: float
    sent: bytes
    received: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried.

    ``kind`` is "description", "scpd", "call", "subscribe" or "unsubscribe"; ``service`` the service type and ``path``
    its place in the tree; ``name`` the action; ``outcome`` "ok" or what went wrong.
    """

    kind: str
    outcome: str
    service: str = ""
    path: str = ""
    name: str = ""
    exchanges: tuple[Exchanged, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One NOTIFY as it came, for the subscription of the service at ``path``."""

    at: float
    path: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class View:
    """What txigd made of it, as text.

    ``state`` by name; ``ranking`` are gateways and connections in order of preference; ``capabilities`` what is known
    of each action; ``problems`` what does not work.
    """

    state: Mapping[str, str] = field(default_factory=dict)
    ranking: tuple[str, ...] = ()
    capabilities: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report.

    :ivar made_at: date and time, ISO 8601.
    :ivar made_by: versions of txigd, Python and Twisted, and the system.
    :ivar model: manufacturer and model.
    :ivar location: URL of the description; empty where no gateway was found.
    :ivar masked: how many values were masked, by kind; None where that is still to be done.
    """

    made_at: str
    made_by: str
    model: str
    location: str
    view: View
    datagrams: tuple[Datagram, ...] = ()
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    masked: Mapping[str, int] | None = None


# -- masking -----------------------------------------------------------------------------------------------------------

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_CHUNKED: Final = re.compile(rb"^transfer-encoding[ \t]*:[^\r\n]*chunked", re.IGNORECASE | re.MULTILINE)
_CODED: Final = re.compile(rb"^content-encoding[ \t]*:[ \t]*(?!identity)\S", re.IGNORECASE | re.MULTILINE)
_CHUNK: Final = re.compile(rb"([0-9a-f]{1,8})[^\n]{0,128}\n", re.IGNORECASE)


def masked(report: Report, known: Iterable[str] = ()) -> Report:
    """The report without serial numbers, MACs, public addresses and other private values.

    Every octet string keeps its length. Bodies that cannot be searched, since they are compressed or of wide
    characters, become question marks.

    :param known: texts that are private wherever they stand, such as the name of this host.
    """
    mask = Mask(known)

    def learn(octets: bytes) -> bytes:
        mask.learn(octets)
        return octets

    _each(report, learn)
    done = _each(report, mask.apply)
    return replace(done, masked=mask.counts)


def _each(report: Report, change: Callable[[bytes], bytes]) -> Report:
    """The report with every octet string and every text of the network changed."""

    def text(given: str) -> str:
        return change(given.encode("utf-8", "replace")).decode("utf-8", "replace")

    def named(given: Mapping[str, str]) -> dict[str, str]:
        # masked together with its name, which may tell what the value is
        changed = {name: text(f"{name}: {value}") for name, value in given.items()}
        return {name: value.partition(": ")[2] for name, value in changed.items()}

    def exchanged(one: Exchanged) -> Exchanged:
        sent, received = through(one.sent, change), through(one.received, change)
        return replace(one, sent=sent, received=received)

    def step(one: Step) -> Step:
        return replace(one, outcome=text(one.outcome), exchanges=tuple(map(exchanged, one.exchanges)))

    view = report.view
    return replace(
        report,
        model=text(report.model),
        location=text(report.location),
        view=View(
            named(view.state),
            tuple(map(text, view.ranking)),
            named(view.capabilities),
            tuple(map(text, view.problems)),
        ),
        steps=tuple(map(step, report.steps)),
        events=tuple(replace(one, octets=through(one.octets, change)) for one in report.events),
        datagrams=tuple(
            replace(one, octets=change(one.octets), source=text(one.source), link=text(one.link))
            for one in report.datagrams
        ),
    )


def chunks(octets: bytes) -> list[tuple[int, int]]:
    """Where the data of a chunked message stand, chunk by chunk; empty for any other message.

    Where the framing makes no sense any more, the rest is one chunk.
    """
    end = _BLANK_LINE.search(octets)
    if end is None or _CHUNKED.search(octets, 0, end.start() + 1) is None:
        return []
    found: list[tuple[int, int]] = []
    place = end.end()
    while (size := _CHUNK.match(octets, place)) is not None:
        start, length = size.end(), int(size[1], 16)
        if not length:
            return found
        place = min(start + length, len(octets))
        found.append((start, place))
        place += 2 if octets.startswith(b"\r\n", place) else 1
    return [*found, (place, len(octets))] if place < len(octets) else found


def through(octets: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change an HTTP message as it is read: what is cut into chunks is one text, and is cut there again.

    :param change: keeps the length of what it is given.
    """
    end = _BLANK_LINE.search(octets)
    head, body = (octets, b"") if end is None else (octets[: end.end()], octets[end.end() :])
    if body and (_CODED.search(head) or body.count(0) * 10 > len(body)):
        return change(head) + LEFT_OUT * len(body)
    spans = chunks(octets)
    if not spans:
        return change(octets)
    changed = change(b"".join(octets[start:end] for start, end in spans))
    pieces, place, done = [], 0, 0
    for start, stop in spans:
        pieces += [change(octets[place:start]), changed[done : done + stop - start]]
        place, done = stop, done + stop - start
    return b"".join([*pieces, change(octets[place:])])
