"""One habit of real gateways as the simulated one plays it: its id, its sentence, and the small change it makes. Pure.

A change is made at one of few seams: octets that leave (datagrams, HTTP replies, NOTIFYs), documents, requests before
they are carried out, the values and codes of actions, the rules of the mapping table, arguments and faults of the
gateway. Whatever is about order and sockets is a *trait*, a word that the servers look at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, Final

from txigd.testing.control import Answer
from txigd.testing.faults import Fault
from txigd.testing.state import State

#: Words about order and sockets, and what the servers do for them.
TRAITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answers from another port": "answers to searches leave from a socket of their own",
        "no multicast": "nothing is announced and no multicast search is heard",
        "site-local group only": "of the IPv6 groups only the site-local one is listened to and spoken to",
        "silent departure": "no byebye at a stop, and a reboot always brings another port",
        "byebye storm": "says byebye once a second although it stays",
        "stays open": "the connection is left open behind the reply",
        "early event": "the initial event leaves before the answer to SUBSCRIBE",
        "no initial event": "nothing is sent before the first change",
        "gaps": "every second event behind the initial one is lost and its SEQ with it",
        "one at a time": "a change that comes while a NOTIFY is under way is lost without a gap",
        "out of order": "of two events in a row the second leaves first",
        "new SID on renewal": "a renewal is granted under another SID",
        "renewal is a subscription": "a renewal makes one subscription more, with an initial event",
        "plain SID": "SIDs without uuid:",
        "drops who failed": "one NOTIFY that fails ends the subscription",
        "blocks in NOTIFY": "no request is answered while a NOTIFY waits for its answer",
        "random paths": "every boot has a prefix of its own before all paths",
        "random port": "every boot has another port",
        "other port": "a second port is listened on",
        "events at control": "SUBSCRIBE is taken at control URLs",
        "multicast events": "changes are sent to the multicast groups of eventing as well",
        "speaks any version": "services answer to every version of their type",
    }
)


@dataclass
class Scene:
    """What a change may know of its gateway and of this uptime; ``memory`` counts what happened since the boot.

    ``origin`` is ``http://ADDRESS:PORT``; ``other_origin`` that of a second listening port, if there is one;
    ``path`` is where a description is asked for, ``first_path`` where it stands.
    """

    origin: str = ""
    other_origin: str = ""
    location: str = ""
    udn: str = ""
    external_ip: str = ""
    boot_id: int = 1
    max_age: int = 1800
    now: Callable[[], float] = lambda: 0.0
    random: Random = field(default_factory=Random)
    memory: Counter[str] = field(default_factory=Counter)
    path: str = ""
    first_path: str = ""

    def nth(self, what: str) -> int:
        """How often this was asked, the present time included."""
        self.memory[what] += 1
        return self.memory[what]


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request: ``head`` as its octets came, ``pieces`` the number of segments, ``running`` requests under way.

    ``service_type`` is that of the service behind the path, empty where there is none.
    """

    method: str
    path: str
    head: bytes = b""
    body: bytes = b""
    action: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    service_type: str = ""
    pieces: int = 1
    running: int = 1
    peer: str = ""

    def has(self, name: str) -> bool:
        """Whether a field of exactly this spelling is there."""
        return re.search(rb"^" + re.escape(name.encode()) + rb"[ \t]*:", self.head, re.MULTILINE) is not None

    def value(self, name: str) -> str:
        """The value of a field, its name in any case."""
        found = re.search(rb"^" + re.escape(name.encode()) + rb"[ \t]*:([^\r\n]*)", self.head, re.M | re.I)
        return found[1].strip().decode("latin-1") if found else ""


@dataclass(frozen=True, eq=False)
class Quirk:
    """One habit. All but ``says`` is optional.

    :ivar says: the sentence for users.
    :ivar options: arguments of the gateway that it sets.
    :ivar rules: fields of :class:`txigd.testing.rules.Rules` that it sets.
    :ivar faults: faults by name, each with the number of requests it befalls or None.
    :ivar traits: of :data:`TRAITS`.
    :ivar slots: what it takes for itself: two quirks with the same one contradict each other.
    :ivar paths: further paths at which the description stands.
    :ivar documents: other documents, by path.
    :ivar setup: changes the state at each boot.
    :ivar hears: whether a search is listened to: its octets, whether it came by unicast, the scene.
    :ivar sends: a batch of datagrams to the one that leaves instead.
    :ivar asked: the fault of a request, None to carry it out.
    :ivar held: seconds for which the answer to a request is held back.
    :ivar outputs: the out-arguments of an action to those that are told.
    :ivar word: the value of a variable, in actions and events alike: name and value to value.
    :ivar code: an error code to the one that is told, 0 to do as if it went well: action and code.
    :ivar answers: the answer to an action to the one that is sent.
    :ivar description: the description to the one that is served.
    :ivar scpd: the same for service descriptions.
    :ivar reply: the octets of an HTTP reply to those that are sent.
    :ivar framing: the same, after all others: where a reply ends.
    :ivar notify: the octets of a NOTIFY to those that are sent.
    """

    says: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, tuple[Fault, int | None]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    slots: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)
    setup: Callable[[State, Scene], None] | None = None
    hears: Callable[[bytes, bool, Scene], bool] | None = None
    sends: Callable[[list[bytes], Scene], Sequence[bytes]] | None = None
    asked: Callable[[Asked, Scene], Fault | None] | None = None
    held: Callable[[Asked, Scene], float] | None = None
    outputs: Callable[[str, dict[str, str], Scene], dict[str, str]] | None = None
    word: Callable[[str, str, Scene], str] | None = None
    code: Callable[[str, int, Scene], int] | None = None
    answers: Callable[[Answer, Asked, Scene], Answer] | None = None
    description: Callable[[bytes, Scene], bytes] | None = None
    scpd: Callable[[bytes, Scene], bytes] | None = None
    reply: Callable[[bytes, Asked, Scene], bytes] | None = None
    framing: Callable[[bytes, Asked, Scene], bytes] | None = None
    notify: Callable[[bytes, Scene], bytes] | None = None


# -- octets, for the tables -------------------------------------------------------------------------------------------

END: Final = b"\r\n\r\n"


def split(octets: bytes) -> tuple[bytes, bytes]:
    """Head without its blank line, and body."""
    head, _, body = octets.partition(END)
    return head, body


def without(octets: bytes, *names: str) -> bytes:
    """A message without these header fields."""
    head, body = split(octets)
    for name in names:
        head = re.sub(rb"\r\n" + re.escape(name.encode()) + rb"[ \t]*:[^\r\n]*", b"", head, flags=re.I)
    return head + END + body


def renamed(octets: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A message with every header name changed."""
    head, body = split(octets)
    start, *lines = head.split(b"\r\n")
    fields = [change(name) + colon + value for name, colon, value in (line.partition(b":") for line in lines)]
    return b"\r\n".join([start, *fields]) + END + body


def with_fields(octets: bytes, *lines: bytes) -> bytes:
    """A message with more header lines at the end of its head."""
    head, body = split(octets)
    return b"\r\n".join([head, *lines]) + END + body


def with_value(octets: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """A message with the value of a field changed where the field is there."""
    head, body = split(octets)
    pattern = rb"(\r\n" + re.escape(name.encode()) + rb":)[ \t]*([^\r\n]*)"
    return re.sub(pattern, lambda m: m[1] + b" " + change(m[2]), head, flags=re.I) + END + body


def measured(octets: bytes) -> bytes:
    """A message whose Content-Length tells the length of its body."""
    head, body = split(octets)
    return with_value(head + END, "Content-Length", lambda _: b"%d" % len(body)) + body
