"""The habits of real gateways that the simulated one can play, by the ids of the quirk catalogue. Pure.

An id may have variants, ``Q046b`` beside ``Q046``: another form of the same habit. What is no habit of a gateway, or
cannot be played, stands in :data:`NOT_PLAYED` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from txigd.errors import InvalidArgument
from txigd.testing.control import Answer
from txigd.testing.faults import Fault
from txigd.testing.quirks.announcing import ANNOUNCING
from txigd.testing.quirks.control import CONTROL
from txigd.testing.quirks.documents import DOCUMENTS
from txigd.testing.quirks.eventing import EVENTING, FIREWALL
from txigd.testing.quirks.habit import Asked, Quirk, Scene
from txigd.testing.quirks.http import HTTP
from txigd.testing.quirks.mappings import MAPPINGS, STATUS
from txigd.testing.quirks.searching import SEARCHING
from txigd.testing.state import State

__all__ = ["NOT_PLAYED", "QUIRKS", "Asked", "Played", "Quirk", "Scene"]

#: All habits that can be played, by id.
TABLE: Final[Mapping[str, Quirk]] = MappingProxyType(
    {**SEARCHING, **ANNOUNCING, **HTTP, **DOCUMENTS, **CONTROL, **MAPPINGS, **STATUS, **EVENTING, **FIREWALL}
)

#: What each of them is, in a sentence.
QUIRKS: Final[Mapping[str, str]] = MappingProxyType({identifier: quirk.says for identifier, quirk in TABLE.items()})

#: Ids of the catalogue that are not played, with the reason: no gateway does them.
NOT_PLAYED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Q007": "the firewall that drops the answers is that of the control point's host",
        "Q014": "the interfaces that fail are those of the control point's host",
        "Q015": "the socket that hears nothing is the control point's",
        "Q139": "the control point names the wrong client; gateways that refuse it play Q129 and Q130",
        "Q141": "the address that changes is that of the control point's host",
        "Q183": "the one that sleeps is the control point's host",
        "Q185": "a control point spells the names; gateways that mind it play Q089 and Q167",
        "Q186": "a control point fails to read it; gateways that send it play Q044",
        "Q187": "a control point fails to read it; gateways that send it play Q049",
        "Q188": "a control point takes the wrong end for the right one; gateways that send it play Q043 and Q046",
        "Q189": "a control point's server fails to read it; gateways that send it play Q178",
        "Q190": "a control point joins the wrong interface",
        "Q191": "a control point gives the wrong answer to what no gateway is known to send",
        "Q192": "a control point's server lets everybody in; who comes uninvited is no gateway",
    }
)


class Played:
    """The habits that one gateway has, joined: each seam calls the one method of its kind.

    :param quirks: ids of :data:`QUIRKS`, or habits of one's own making.
    :raises InvalidArgument: for an id that is not there, or two that contradict each other.
    """

    def __init__(self, quirks: Collection[str | Quirk] = ()) -> None:
        self.identifiers = frozenset(quirk for quirk in quirks if isinstance(quirk, str))
        pairs = [(identifier, _quirk(identifier)) for identifier in sorted(self.identifiers)]
        pairs += [(repr(quirk.says), quirk) for quirk in quirks if isinstance(quirk, Quirk)]
        self._quirks = tuple(quirk for _, quirk in pairs)
        self.options = _joined(pairs, lambda quirk: quirk.options, "the option")
        self.rules = _joined(pairs, lambda quirk: quirk.rules, "the rule")
        self.faults: Mapping[str, tuple[Fault, int | None]] = _joined(pairs, lambda quirk: quirk.faults, "the fault of")
        _joined(pairs, lambda quirk: dict.fromkeys(quirk.slots, quirk), "")
        self.traits = frozenset(trait for quirk in self._quirks for trait in quirk.traits)
        self.paths = tuple(path for quirk in self._quirks for path in quirk.paths)
        self.documents: Mapping[str, bytes] = _joined(pairs, lambda quirk: quirk.documents, "the document")
        self.rewrites = any(quirk.reply or quirk.framing for quirk in self._quirks) or "stays open" in self.traits
        self.scene = Scene()

    def __bool__(self) -> bool:
        return bool(self._quirks)

    def _each(self, kind: str) -> Iterable[Callable[..., Any]]:
        return (function for quirk in self._quirks if (function := getattr(quirk, kind)) is not None)

    def over(self, **given: Any) -> dict[str, Any]:
        """These arguments of the gateway, with what the habits set in place of what was given."""
        return {name: self.options.get(name, value) for name, value in given.items()}

    # -- seams -----------------------------------------------------------------------------------------------------
    def setup(self, state: State) -> None:
        """At each boot."""
        for change in self._each("setup"):
            change(state, self.scene)

    def hears(self, search: bytes, *, unicast: bool) -> bool:
        """Whether a search is listened to."""
        found = [hears(search, unicast, self.scene) for hears in self._each("hears")]  # every one: some count
        return all(found)

    def sends(self, batch: Iterable[bytes]) -> list[bytes]:
        """The datagrams that leave for a batch of them."""
        datagrams = list(batch)
        for change in self._each("sends"):
            datagrams = list(change(datagrams, self.scene))
        return datagrams

    def asked(self, asked: Asked) -> Fault | None:
        """The fault of a request, or None."""
        found = [refuses(asked, self.scene) for refuses in self._each("asked")]
        return next((fault for fault in found if fault is not None), None)

    def held(self, asked: Asked) -> float:
        """Seconds for which an answer is held back."""
        return max((held(asked, self.scene) for held in self._each("held")), default=0.0)

    def outputs(self, action: str, values: dict[str, str]) -> dict[str, str]:
        """The out-arguments that are told."""
        values = {name: self.word(name.removeprefix("New"), text) for name, text in values.items()}
        for change in self._each("outputs"):
            values = change(action, values, self.scene)
        return values

    def word(self, variable: str, value: str) -> str:
        """The value of a variable that is told."""
        for change in self._each("word"):
            value = change(variable, value, self.scene)
        return value

    def code(self, action: str, code: int) -> int:
        """The error code that is told."""
        for change in self._each("code"):
            code = change(action, code, self.scene)
        return code

    def answers(self, answer: Answer, asked: Asked) -> Answer:
        """The answer to an action that is sent."""
        for change in self._each("answers"):
            answer = change(answer, asked, self.scene)
        return answer

    def description(self, document: bytes, path: str) -> bytes:
        """The description that is served."""
        self.scene.path = path
        for change in self._each("description"):
            document = change(document, self.scene)
        return document

    def scpd(self, document: bytes) -> bytes:
        """The service description that is served."""
        for change in self._each("scpd"):
            document = change(document, self.scene)
        return document

    def reply(self, octets: bytes, asked: Asked) -> bytes:
        """The octets of an HTTP reply."""
        for kind in ("reply", "framing"):
            for change in self._each(kind):
                octets = change(octets, asked, self.scene)
        return octets

    def notify(self, octets: bytes) -> bytes:
        """The octets of a NOTIFY."""
        for change in self._each("notify"):
            octets = change(octets, self.scene)
        return octets


def _quirk(identifier: str) -> Quirk:
    quirk = TABLE.get(identifier)
    if quirk is not None:
        return quirk
    reason = NOT_PLAYED.get(identifier)
    if reason is not None:
        raise InvalidArgument(f"quirk {identifier} cannot be played: {reason}")
    near = sorted(TABLE, key=lambda known: -_alike(known, str(identifier).upper()))[:3]
    raise InvalidArgument(f"there is no quirk {identifier!r} to play; near it: {', '.join(near)}")


def _alike(one: str, other: str) -> int:
    """How many characters agree, place by place."""
    return sum(a == b for a, b in zip(one, other, strict=False))


def _joined(
    quirks: Iterable[tuple[str, Quirk]], part: Callable[[Quirk], Mapping[str, Any]], what: str
) -> dict[str, Any]:
    found: dict[str, tuple[str, Any]] = {}
    for identifier, quirk in quirks:
        for name, value in part(quirk).items():
            other, before = found.setdefault(name, (identifier, value))
            if before != value:
                raise InvalidArgument(
                    f"quirks {other} and {identifier} contradict each other: {what} {name}".replace("  ", " ")
                )
    return {name: value for name, (_, value) in found.items()}
