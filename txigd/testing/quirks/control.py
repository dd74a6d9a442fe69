"""Habits of control: how strictly a request is read, how its answer is written (quirks Q089-Q116). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from txigd.testing.control import Answer
from txigd.testing.faults import Fault
from txigd.testing.quirks.habit import Asked, Quirk, Scene
from txigd.testing.template import TEMPLATES

_PAUSE_SECONDS: Final = 0.02
_FINE_TEXT: Final = re.compile(r"[A-Za-z0-9 ._-]{1,63}")
_ENVELOPE: Final = b"http://schemas.xmlsoap.org/soap/envelope/"
_VALUE: Final = re.compile(rb"(<New[A-Za-z0-9]+>)([^<]*)(</New[A-Za-z0-9]+>)")
_PREFIX: Final = re.compile(rb"(</?)s(?=:)")
_Refusal = Callable[[Asked, Scene], Fault | None]


def _posts(refuses: Callable[[Asked], Fault | None]) -> _Refusal:
    return lambda asked, scene: refuses(asked) if asked.method in ("POST", "M-POST") else None


def _bodies(change: Callable[[bytes], bytes], *, faults: bool = True) -> Callable[[Answer, Asked, Scene], Answer]:
    def changed(answer: Answer, asked: Asked, scene: Scene) -> Answer:
        if answer.error and not faults:
            return answer
        return Answer(answer.status, change(answer.body), answer.error)

    return changed


# -- requests ---------------------------------------------------------------------------------------------------------


def _exact_name(asked: Asked) -> Fault | None:
    return None if asked.has("SOAPACTION") or asked.has("SOAPAction") else HTTPStatus.NOT_IMPLEMENTED


def _quoted(asked: Asked) -> Fault | None:
    return None if re.fullmatch(r'"[^"]+#[^"]+"', asked.value("SOAPACTION") or asked.value("01-SOAPACTION")) else 401


def _own_type(asked: Asked) -> Fault | None:
    wanted = asked.service_type.encode()
    named = asked.value("SOAPACTION").strip('"').rpartition("#")[0].encode()
    return None if named == wanted and b'"' + wanted + b'"' in asked.body else 401


def _reads_on(asked: Asked) -> Fault | None:
    """The name of the action goes on to the next quotation mark, through whatever stands between."""
    name = re.search(rb'SOAPACTION:[^#]*#([^"]*)"', asked.head + b"\r\n\r\n" + asked.body, re.I | re.S)
    return None if name and name[1].decode("latin-1") == asked.action else 401


def _one_piece(asked: Asked) -> Fault | None:
    return "close" if asked.pieces > 1 else None


def _counted(asked: Asked) -> Fault | None:
    chunked = "chunked" in asked.value("Transfer-Encoding").lower()
    return HTTPStatus.LENGTH_REQUIRED if chunked or not asked.has("Content-Length") else None


def _compact(asked: Asked) -> Fault | None:
    body = re.sub(rb"^<\?xml[^>]*\?>\s*", b"", asked.body)
    plain = b"standalone" not in asked.body[:80] and _ENVELOPE in body and re.search(rb">\s+<", body) is None
    return None if plain else HTTPStatus.INTERNAL_SERVER_ERROR


def _in_order(asked: Asked) -> Fault | None:
    template = TEMPLATES.get(asked.service_type)
    action = template.actions.get(asked.action) if template else None
    return 402 if action and list(asked.arguments) != [argument.name for argument in action.inputs] else None


def _no_quote_entities(asked: Asked) -> Fault | None:
    return 402 if re.search(rb"&(quot|apos|#)", asked.body) else None


def _fine_description(asked: Asked) -> Fault | None:
    text = asked.arguments.get("NewPortMappingDescription")
    return 501 if text is not None and not _FINE_TEXT.fullmatch(text) else None


def _every_argument(asked: Asked) -> Fault | None:
    mapping = asked.action in ("AddPortMapping", "AddAnyPortMapping")
    whole = "NewRemoteHost" in asked.arguments and asked.arguments.get("NewEnabled") in ("0", "1")
    return None if whole or not mapping else 402


def _no_post(asked: Asked) -> Fault | None:
    return HTTPStatus.METHOD_NOT_ALLOWED if asked.method == "POST" else None


def _alone(asked: Asked) -> Fault | None:
    return "close" if asked.running > 1 else None


def _real_range(asked: Asked) -> Fault | None:
    return 402 if asked.arguments.get("NewStartPort") == "0" else None


# -- answers ----------------------------------------------------------------------------------------------------------


def _other_prefix(body: bytes) -> bytes:
    body = (
        _PREFIX.sub(rb"\1SOAP-ENV", body).replace(b"xmlns:s=", b"xmlns:SOAP-ENV=").replace(b" s:enc", b" SOAP-ENV:enc")
    )
    return body.replace(_ENVELOPE + b'"', _ENVELOPE + b' "')


def _other_type(body: bytes) -> bytes:
    return re.sub(rb'(xmlns:u="urn:[^"]*:service:)[^":]*:[0-9]+"', rb'\1WANPPPConnection:9"', body)


def _lower_names(body: bytes) -> bytes:
    return _VALUE.sub(lambda m: m[1].lower() + m[2] + m[3].lower(), body)


def _bare_value(body: bytes) -> bytes:
    return _VALUE.sub(lambda m: m[2], body) if len(_VALUE.findall(body)) == 1 else body


def _empty_success(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    changes = asked.action.startswith(("Add", "Delete"))
    return Answer(200, b"") if changes and not answer.error else answer


def _other_arguments(action: str, values: dict[str, str], scene: Scene) -> dict[str, str]:
    values = {name: value for name, value in values.items() if name != "NewLastConnectionError"}
    return {**values, "X_Vendor": "1"} if values else values


def _as_200(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    return Answer(200, answer.body, answer.error)


def _bare_fault(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    if not answer.error:
        return answer
    body = re.sub(
        rb"<faultstring>.*?</faultstring>|<errorDescription>.*?</errorDescription>", b"", answer.body, flags=re.S
    )
    body = body.replace(b"faultcode>", b"faultCode>").replace(b"schemas-upnp-org:control", b"dslforum-org:control")
    return Answer(answer.status, body, answer.error)


def _vendor_code(action: str, code: int, scene: Scene) -> int:
    return -911 if code in (401, 402, 501) else code


def _junk(body: bytes) -> bytes:
    return body + b"\0\x01\xff\xfe\x80 leftover of a buffer \x7f"


def _twice_escaped(body: bytes) -> bytes:
    """One character more than needed, then escaped once more."""
    return re.sub(rb"(<NewPortMappingDescription>)([^<]*)", lambda m: m[1] + m[2] + b" &amp;lt;x&amp;gt;", body)


def _first_400(asked: Asked, scene: Scene) -> Fault | None:
    first = asked.action.startswith("Get") and scene.nth(f"{asked.path} {asked.action}") == 1
    return HTTPStatus.BAD_REQUEST if first else None


def _page_for_faults(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    page = b"<html><body>Internal error %d</body></html>" % answer.error
    return Answer(500, page, answer.error) if answer.error else answer


CONTROL: Final[Mapping[str, Quirk]] = MappingProxyType(
    {
        "Q089": Quirk("501 unless the field is called SOAPACTION or SOAPAction", asked=_posts(_exact_name)),
        "Q090": Quirk("401 unless the value of SOAPACTION is quoted", asked=_posts(_quoted)),
        "Q091": Quirk(
            "401 unless SOAPACTION and body name the very type of the service behind the URL", asked=_posts(_own_type)
        ),
        "Q092": Quirk("reads the name of the action up to the next quotation mark", asked=_posts(_reads_on)),
        "Q093": Quirk("closes unless head and body come in one piece", asked=_posts(_one_piece)),
        "Q094": Quirk("411 to a request without Content-Length", asked=_posts(_counted)),
        "Q095": Quirk("500 to an envelope with line ends or indentation, or of SOAP 1.2", asked=_posts(_compact)),
        "Q096": Quirk("402 unless the arguments are in the order of the standard", asked=_posts(_in_order)),
        "Q097": Quirk("402 to a protocol in lower case (as it always does)"),
        "Q098": Quirk("402 to &quot; and &apos;", asked=_posts(_no_quote_entities)),
        "Q099": Quirk(
            "501 to a mapping description that is empty, long or has punctuation", asked=_posts(_fine_description)
        ),
        "Q100": Quirk("402 without NewRemoteHost, and to booleans but 0 and 1", asked=_posts(_every_argument)),
        "Q101": Quirk("726 to a RemoteHost that is not empty", rules={"wildcard_remote_host_only": True}),
        "Q102": Quirk("405 to POST, takes M-POST", asked=_posts(_no_post)),
        "Q103": Quirk(
            "closes a request that comes while another is answered",
            asked=_posts(_alone),
            held=lambda asked, scene: _PAUSE_SECONDS if asked.method == "POST" else 0.0,
        ),
        "Q104": Quirk("402 to a port range that begins with 0", asked=_posts(_real_range)),
        "Q105": Quirk(
            "prefix SOAP-ENV and a blank at the end of the namespace",
            answers=_bodies(_other_prefix),
        ),
        "Q106": Quirk("answers name another service type", answers=_bodies(_other_type)),
        "Q107": Quirk("out-arguments in lower case", answers=_bodies(_lower_names), slots=frozenset({"arguments"})),
        "Q108": Quirk(
            "a single out-argument is bare text", answers=_bodies(_bare_value), slots=frozenset({"arguments"})
        ),
        "Q109": Quirk("adding and deleting are answered with an empty 200", answers=_empty_success),
        "Q110": Quirk("out-arguments too many and missing", outputs=_other_arguments),
        "Q111": Quirk("faults come with status 200", answers=_as_200, slots=frozenset({"faults"})),
        "Q112": Quirk("faults without texts, in another namespace", answers=_bare_fault, slots=frozenset({"faults"})),
        "Q113": Quirk("error codes of the vendor, negative ones", code=_vendor_code),
        "Q114": Quirk("binary junk behind the envelope", answers=_bodies(_junk)),
        "Q115": Quirk("texts are escaped twice", answers=_bodies(_twice_escaped)),
        "Q116": Quirk("the first call of each Get action is answered 400", asked=_first_400),
        "Q116b": Quirk("faults are pages for people", answers=_page_for_faults, slots=frozenset({"faults"})),
    }
)
