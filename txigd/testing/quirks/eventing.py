"""Habits of eventing and of the IPv6 firewall (quirks Q157-Q184, Q193-Q200). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from txigd.limits import NOTIFY_OCTETS
from txigd.testing.faults import Fault
from txigd.testing.quirks.habit import (
    END,
    Asked,
    Quirk,
    Scene,
    measured,
    renamed,
    split,
    with_fields,
    with_value,
    without,
)
from txigd.testing.state import State

_SEQ: Final = frozenset({"SEQ"})
_GRANT: Final = frozenset({"granted seconds"})
_RENEWAL: Final = frozenset({"renewal"})
_SUBSCRIBE: Final = frozenset({"SUBSCRIBE"})
_BODY: Final = frozenset({"property set"})
_MULTICAST: Final = frozenset({"multicast"})
_CONNECTION: Final = re.compile(rb"(<serviceType>[^<]*:WAN(?:IP|PPP)Connection:.*?<eventSubURL>)[^<]*(<)", re.DOTALL)
_VARIABLE: Final = re.compile(rb"(</?)([A-Z][A-Za-z]+)(?=>)")


def _notify(change: Callable[[bytes], bytes]) -> Callable[[bytes, Scene], bytes]:
    return lambda octets, scene: change(octets)


def _set(change: Callable[[bytes], bytes]) -> Callable[[bytes, Scene], bytes]:
    """Change the property set and mend the length."""

    def changed(octets: bytes, scene: Scene) -> bytes:
        head, body = split(octets)
        return measured(head + END + change(body))

    return changed


def _grants(
    change: Callable[[bytes], bytes], *, renewals: bool | None = None
) -> Callable[[bytes, Asked, Scene], bytes]:
    """Change the answer to SUBSCRIBE; ``renewals``: only those, or only the others."""

    def changed(reply: bytes, asked: Asked, scene: Scene) -> bytes:
        fits = asked.method == "SUBSCRIBE" and (renewals is None or renewals == bool(asked.value("SID")))
        return change(reply) if fits else reply

    return changed


def _timeout(text: bytes) -> Callable[[bytes, Asked, Scene], bytes]:
    return _grants(lambda reply: with_value(reply, "TIMEOUT", lambda _: text))


def _subscribing(refuses: Callable[[Asked, Scene], bool], status: HTTPStatus) -> Callable[[Asked, Scene], Fault | None]:
    return lambda asked, scene: status if asked.method == "SUBSCRIBE" and refuses(asked, scene) else None


def _odd_timeout(asked: Asked, scene: Scene) -> bool:
    return re.fullmatch(r"Second-[0-9]+", asked.value("TIMEOUT")) is None


def _odd_names(asked: Asked, scene: Scene) -> bool:
    return not (asked.has("TIMEOUT") and (asked.has("SID") or (asked.has("CALLBACK") and asked.has("NT"))))


def _callback_host(asked: Asked) -> str:
    found = re.fullmatch(r"<http://\[?([0-9a-f.:]+?)\]?(?::[0-9]+)?(?:/[^>]*)?>", asked.value("CALLBACK"))
    return found[1] if found else ""


def _foreign_callback(asked: Asked, scene: Scene) -> bool:
    return not asked.value("SID") and _callback_host(asked) != asked.peer


def _public_callback(asked: Asked, scene: Scene) -> bool:
    if asked.value("SID"):
        return False
    try:
        address = ipaddress.ip_address(_callback_host(asked))
    except ValueError:
        return True
    return address.is_global


def _prefixed(body: bytes) -> bytes:
    return _VARIABLE.sub(rb"\1s:\2", body)


def _in_one_property(body: bytes) -> bytes:
    return body.replace(b"</e:property>\n<e:property>", b"")


def _grown(body: bytes) -> bytes:
    log = b"<e:property><X_Log>" + b"0123456789abcdef" * (NOTIFY_OCTETS // 16 + 64) + b"</X_Log></e:property>"
    return body.replace(b"</e:propertyset>", log + b"</e:propertyset>")


def _unframed(octets: bytes) -> bytes:
    return without(octets, "CONTENT-TYPE", "CONTENT-LENGTH") + b"\0"


def _both_ways(document: bytes, scene: Scene) -> bytes:
    return document.replace(b' sendEvents="yes"', b' sendEvents="yes" multicast="yes"')


def _multicast_alone(document: bytes, scene: Scene) -> bytes:
    """Of a connection service no variable is sent to subscribers."""
    if b"<name>ConnectionStatus</name>" not in document:
        return document
    return document.replace(b' sendEvents="yes"', b' sendEvents="no" multicast="yes"')


def _no_subscription(document: bytes, scene: Scene) -> bytes:
    return _CONNECTION.sub(rb"\1\2", document)


def _closed_firewall(state: State, scene: Scene) -> None:
    state.pinholes.inbound_allowed = False


def _without_firewall(document: bytes, scene: Scene) -> bytes:
    """The description at its own place lacks the firewall, the one beside it has it."""
    if scene.path != scene.first_path:
        return document
    return re.sub(rb"<service><serviceType>[^<]*WANIPv6FirewallControl:1<.*?</service>", b"", document, flags=re.S)


def _firewall_place(batch: list[bytes], scene: Scene) -> list[bytes]:
    second = [with_value(d, "LOCATION", lambda _: scene.origin.encode() + b"/igddesc2.xml") for d in batch]
    return [datagram for pair in zip(batch, second, strict=True) for datagram in pair]


EVENTING: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q157": Quirk("the first NOTIFY leaves before the answer to SUBSCRIBE", traits=frozenset({"early event"})),
        "Q158": Quirk("no initial event", traits=frozenset({"no initial event"})),
        "Q159": Quirk("NOTIFY without SEQ", notify=_notify(lambda n: without(n, "SEQ")), slots=_SEQ),
        "Q159b": Quirk("SEQ is always 0", notify=_notify(lambda n: with_value(n, "SEQ", lambda _: b"0")), slots=_SEQ),
        "Q160": Quirk("loses every second event and its SEQ", traits=frozenset({"gaps"})),
        "Q161": Quirk("loses a change while a NOTIFY is under way, without a gap", traits=frozenset({"one at a time"})),
        "Q162": Quirk("of two events in a row the second comes first", traits=frozenset({"out of order"})),
        "Q163": Quirk(
            "Sid and Nts in any case, a SID without uuid:",
            notify=_notify(lambda n: renamed(n, bytes.title)),
            reply=_grants(lambda r: renamed(r, bytes.lower)),
            traits=frozenset({"plain SID"}),
        ),
        "Q164": Quirk("no TIMEOUT in the grant", reply=_grants(lambda r: without(r, "TIMEOUT")), slots=_GRANT),
        "Q164b": Quirk("TIMEOUT: Second-infinite", reply=_timeout(b"Second-infinite"), slots=_GRANT),
        "Q164c": Quirk("TIMEOUT is a bare number", reply=_timeout(b"1800"), slots=_GRANT),
        "Q164d": Quirk("grants a minute whatever was asked for", options={"granted_seconds": 60}, slots=_GRANT),
        "Q165": Quirk(
            "400 unless TIMEOUT is Second- and an integer", asked=_subscribing(_odd_timeout, HTTPStatus.BAD_REQUEST)
        ),
        "Q166": Quirk(
            "no SID in the answer to a renewal",
            reply=_grants(lambda r: without(r, "SID"), renewals=True),
            slots=_RENEWAL,
        ),
        "Q166b": Quirk("a renewal brings another SID", traits=frozenset({"new SID on renewal"}), slots=_RENEWAL),
        "Q167": Quirk(
            "412 unless SID, TIMEOUT, NT and CALLBACK are in capitals",
            asked=_subscribing(_odd_names, HTTPStatus.PRECONDITION_FAILED),
        ),
        "Q168": Quirk("412 to every renewal", faults={"RENEW": (412, None)}, slots=_RENEWAL),
        "Q168b": Quirk("500 to every renewal", faults={"RENEW": (500, None)}, slots=_RENEWAL),
        "Q169": Quirk(
            "takes a renewal for a new subscription", traits=frozenset({"renewal is a subscription"}), slots=_RENEWAL
        ),
        "Q170": Quirk("501 to every SUBSCRIBE", faults={"SUBSCRIBE": (501, None)}, slots=_SUBSCRIBE),
        "Q170b": Quirk(
            "412 to SUBSCRIBE on Layer3Forwarding",
            asked=_subscribing(
                lambda asked, scene: "Layer3Forwarding" in asked.service_type, HTTPStatus.PRECONDITION_FAILED
            ),
            slots=_SUBSCRIBE,
        ),
        "Q171": Quirk(
            "412 unless CALLBACK is a numeric URL at the address that subscribes",
            asked=_subscribing(_foreign_callback, HTTPStatus.PRECONDITION_FAILED),
        ),
        "Q172": Quirk(
            "412 unless CALLBACK is in a private range",
            asked=_subscribing(_public_callback, HTTPStatus.PRECONDITION_FAILED),
        ),
        "Q173": Quirk("no NOTIFY arrives, as where the callback cannot be reached", faults={"NOTIFY": ("skip", None)}),
        "Q174": Quirk("one NOTIFY that fails ends the subscription for good", traits=frozenset({"drops who failed"})),
        "Q175": Quirk("answers nothing while a NOTIFY waits for its answer", traits=frozenset({"blocks in NOTIFY"})),
        "Q176": Quirk("an undeclared prefix before variables", notify=_set(_prefixed), slots=_BODY),
        "Q176b": Quirk(
            "variables in lower case",
            notify=_set(lambda b: _VARIABLE.sub(lambda m: m[1] + m[2].lower(), b)),
            slots=_BODY,
        ),
        "Q177": Quirk(
            "a property set without namespace, all variables in one property",
            notify=_set(lambda b: re.sub(rb"e:(?=property)|\sxmlns:e=\"[^\"]*\"", b"", _in_one_property(b))),
            slots=_BODY,
        ),
        "Q177b": Quirk(
            "a property set in the namespace of control",
            notify=_set(lambda b: b.replace(b"event-1-0", b"control-1-0")),
            slots=_BODY,
        ),
        "Q178": Quirk("NOTIFY without type and length, with a trailing NUL", notify=_notify(_unframed)),
        "Q179": Quirk("NOTIFYs of more than 64 KiB", notify=_set(_grown)),
        "Q180": Quirk(
            "empty header values in the answer to SUBSCRIBE",
            reply=_grants(lambda r: with_fields(r, b"Content-Type: ", b"X-Vendor:")),
        ),
        "Q181": Quirk("412 to every UNSUBSCRIBE", faults={"UNSUBSCRIBE": (412, None)}),
        "Q182": Quirk("a reboot voids all subscriptions without a word (as it always does)"),
        "Q184": Quirk(
            "changes are sent to the multicast group as well as to subscribers",
            scpd=_both_ways,
            traits=frozenset({"multicast events"}),
            slots=_MULTICAST,
        ),
        "Q184b": Quirk(
            "changes of a connection are sent to the multicast group alone: it has no eventSubURL",
            scpd=_multicast_alone,
            description=_no_subscription,
            traits=frozenset({"multicast events"}),
            slots=_MULTICAST | {"event URLs"},
        ),
    }
)

FIREWALL: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q193": Quirk(
            "606 to a pinhole for another address than the one that asks",
            rules={"secure": True},
            options={"version": 2},
        ),
        "Q194": Quirk(
            "606 to the end of a pinhole unless its own address asks", rules={"secure": True}, options={"version": 2}
        ),
        "Q195": Quirk("402 to a pinhole whose protocol is no number (as it always does)", options={"version": 2}),
        "Q196": Quirk("the firewall lets no pinhole in: 703", options={"version": 2}, setup=_closed_firewall),
        "Q197": Quirk(
            "the IPv6 firewall stands in a second description only",
            options={"version": 2},
            description=_without_firewall,
            sends=_firewall_place,
            paths=("/igddesc2.xml",),
        ),
        "Q198": Quirk(
            "602 to CheckPinholeWorking, and no pinhole ever counts a packet",
            options={"version": 2},
            faults={"CheckPinholeWorking": (602, None)},
        ),
        "Q199": Quirk("no action lists pinholes (as it always does)", options={"version": 2}),
        "Q200": Quirk("no pinhole lives longer than a day (as it always does)", options={"version": 2}),
    }
)
