"""SOAP envelopes of actions: requests written exactly, replies read leniently, and both sides of it. Pure.

Knows envelopes, UPnP errors and their standard names; nothing of HTTP beyond the status, nothing of data types.
Sources: UDA 1.0 section 3 (the 1.1 and 2.0 texts only take away), quirks Q089-Q116, threats B9 and B10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from txigd.errors import ActionError, BadMessage, BadReply, DescriptionError, HTTPStatusError, InvalidArgument
from txigd.limits import ERROR_TEXT_CHARACTERS, MAPPING_LIST_OCTETS, NAME_OCTETS, SCPD_ARGUMENTS
from txigd.upnp import xml

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
CONTROL: Final = "urn:schemas-upnp-org:control-1-0"
QUERY: Final = "QueryStateVariable"

ERROR_NAMES: Final[dict[int, str]] = {
    # UDA 1.0-2.0 section 3
    401: "Invalid Action",
    402: "Invalid Args",
    403: "Out of Sync",
    404: "Invalid Var",
    501: "Action Failed",
    600: "Argument Value Invalid",
    601: "Argument Value Out of Range",
    602: "Optional Action Not Implemented",
    603: "Out of Memory",
    604: "Human Intervention Required",
    605: "String Argument Too Long",
    606: "Action not authorized",
    607: "Signature Failure",
    608: "Signature Missing",
    609: "Not Encrypted",
    610: "Invalid Sequence",
    611: "Invalid Control URL",
    612: "No Such Session",
    # WANIPConnection and WANPPPConnection; 701-709 mean something else to other services (txigd.igd.services renames)
    703: "InactiveConnectionStateRequired",
    704: "ConnectionSetupFailed",
    705: "ConnectionSetupInProgress",
    706: "ConnectionNotConfigured",
    707: "DisconnectInProgress",
    708: "InvalidLayer2Address",
    709: "InternetAccessDisabled",
    710: "InvalidConnectionType",
    711: "ConnectionAlreadyTerminated",
    713: "SpecifiedArrayIndexInvalid",
    714: "NoSuchEntryInArray",
    715: "WildCardNotPermittedInSrcIP",
    716: "WildCardNotPermittedInExtPort",
    718: "ConflictInMappingEntry",
    719: "ActionDisallowedWhenAutoConfigEnabled",
    720: "InvalidDeviceUUID",
    721: "InvalidServiceID",
    723: "InvalidConnServiceSelection",
    724: "SamePortValuesRequired",
    725: "OnlyPermanentLeasesSupported",
    726: "RemoteHostOnlySupportsWildcard",
    727: "ExternalPortOnlySupportsWildcard",
    728: "NoPortMapsAvailable",
    729: "ConflictWithOtherMechanisms",
    730: "PortMappingNotFound",
    731: "ReadOnly",
    732: "WildCardNotPermittedInIntPort",
    733: "InconsistentParameters",
}

# Q095: SOAP 1.1, a plain declaration, no blank and no line end inside the envelope.
_HEAD = (
    '<?xml version="1.0"?>\n'
    f'<s:Envelope xmlns:s="{ENVELOPE}" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
)
_TAIL = "</s:Body></s:Envelope>"
_CONTENT_TYPE = ("CONTENT-TYPE", 'text/xml; charset="utf-8"')

_SERVICE_TYPE = re.compile(r"urn:[A-Za-z0-9.-]+:service:[A-Za-z0-9_.-]+:[0-9]{1,3}")  # B10
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_.-]{{0,{NAME_OCTETS - 1}}}")
# Not XML at all, or (a carriage return) silently changed by every XML parser.
_UNSENDABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CODE = re.compile(r"[+-]?[0-9]{1,9}")
_BARE_CODE = re.compile(rb"<(?:[\w.-]+:)?errorCode\b[^<>]*>\s*([+-]?[0-9]{1,9})\s*<", re.IGNORECASE)
_BARE_TEXT = re.compile(rb"<(?:[\w.-]+:)?errorDescription\b[^<>]*>([^<>]*)<", re.IGNORECASE)


# -- the control point writes ------------------------------------------------------------------------------------------


def request(service_type: str, action: str, arguments: Iterable[tuple[str, str]] = ()) -> bytes:
    """The body of an action request, compact, arguments in the order given (Q096, Q100).

    :param arguments: wire names and encoded values, every in-argument of the action.
    :raises InvalidArgument: for a service type, name or text that may not go on the wire (B10).
    """
    tag = _tag(service_type, action)
    if service_type == CONTROL:
        return query_state_variable(dict(arguments).get("varName", ""))
    return _body(tag, service_type, arguments)


def headers(service_type: str, action: str, *, mpost: bool = False) -> list[tuple[str, str]]:
    """The header fields of an action request, in order; HOST and the length are the exchange's (Q089, Q090).

    :param mpost: the form of the second attempt after a 405 (UDA 1.0 section 3.2.1, Q102).
    :raises InvalidArgument: for a service type or name that may not go on the wire (B10).
    """
    value = f'"{_service_type(service_type)}#{_tag(service_type, action)}"'
    if mpost:
        return [_CONTENT_TYPE, ("MAN", f'"{ENVELOPE}"; ns=01'), ("01-SOAPACTION", value)]
    return [_CONTENT_TYPE, ("SOAPACTION", value)]


def query_state_variable(name: str) -> bytes:
    """The body of a QueryStateVariable request, deprecated since 2003 (UDA 1.0 section 3.3).

    It goes with ``headers(CONTROL, QUERY)``; the answer is read with ``outputs=("return",)``.

    :raises InvalidArgument: for a name that may not go on the wire.
    """
    return _envelope(f'<u:{QUERY} xmlns:u="{CONTROL}"><u:varName>{_name(name)}</u:varName></u:{QUERY}>')


# -- the control point reads -------------------------------------------------------------------------------------------


def read_reply(action: str, status: int, body: bytes, outputs: Sequence[str]) -> dict[str, str]:
    """The out-arguments of a reply, as text.

    Names in any case are given as in ``outputs`` (Q107); extras are kept, missing ones are absent (Q110). A value that
    is markup instead of text is given as markup.

    :param status: the HTTP status.
    :param outputs: wire names of the out-arguments that the action has.
    :raises ActionError: the device sent a UPnP error, whatever the status and the form (Q111-Q114).
    :raises HTTPStatusError: an error status without UPnP error (Q116).
    :raises BadReply: a success that is no answer to this action.
    """
    succeeded = 200 <= status < 300
    if succeeded and not body.strip(b" \t\r\n\0"):
        if outputs:
            raise BadReply(f"{action}: empty reply")
        return {}  # Q109
    try:
        root = xml.parse(body, cap=MAPPING_LIST_OCTETS)
    except DescriptionError as error:
        _raise_bare_error(action, body)
        if not succeeded:
            raise HTTPStatusError(status, xml.excerpt(body)) from error
        raise BadReply(f"{action}: {error}") from error
    content = root.find("Body") or root
    if not succeeded:
        _raise_error(action, root)
        raise HTTPStatusError(status, _fault_text(root) or xml.excerpt(body))
    for element in (root, *content.children):
        if element.name.lower() in ("fault", "upnperror"):  # before any value (Q111)
            _raise_error(action, element)
            raise BadReply(f"{action}: fault without UPnP error: {_printable(_fault_text(element))!r}")
    return _values(action, root, content, outputs)


def error_name(code: int, names: Mapping[int, str] = ERROR_NAMES) -> str:
    """The standard name of an error code; ``"vendor"`` outside the standard's range (Q113), else ``"unknown"``."""
    return names.get(code) or ("unknown" if 0 <= code < 800 else "vendor")


def _values(action: str, root: xml.Element, content: xml.Element, outputs: Sequence[str]) -> dict[str, str]:
    wanted = f"{action}Response".lower()
    response = next((element for element in root.iter() if element.name.lower() == wanted), None)  # Q105, Q106
    if response is None:
        if not outputs and content is not root and not content.children:
            return {}  # an envelope round nothing is as good as nothing (Q109)
        found = content.children[0].name if content.children else content.name
        raise BadReply(f"{action}: the reply holds {found[:NAME_OCTETS]!r}")
    known = {name.lower(): name for name in outputs}
    values: dict[str, str] = {}
    for child in response.children:
        name = known.get(child.name.lower())
        if name is not None or len(values) < SCPD_ARGUMENTS:
            values.setdefault(name or child.name, _content(child))
    if not response.children and response.text and len(outputs) == 1:
        values[outputs[0]] = response.text  # Q108
    return values


def _content(element: xml.Element) -> str:
    """The text of an argument; where a device forgot to escape a document, that document."""
    return element.text + "".join(_markup(child, "") for child in element.children)


def _markup(element: xml.Element, namespace: str) -> str:
    """An element as text again, namespaces as default namespaces; as deep as the parser lets through."""
    attributes = [(name, value) for name, value in element.attributes if _NAME.fullmatch(name)]
    if element.namespace != namespace:
        attributes.insert(0, ("xmlns", element.namespace))
    listed = "".join(' {}="{}"'.format(name, xml.escape(value).replace('"', "&quot;")) for name, value in attributes)
    inside = xml.escape(element.text) + "".join(_markup(child, element.namespace) for child in element.children)
    return f"<{element.name}{listed}>{inside}</{element.name}>"


def _raise_error(action: str, fault: xml.Element) -> None:
    """Only errorCode counts, anywhere below, by local name (Q112)."""
    for element in fault.iter():
        if element.name.lower() == "errorcode" and _CODE.fullmatch(element.text):
            texts = (e.text for e in fault.iter() if e.name.lower() == "errordescription")
            _raise_action_error(action, int(element.text), next(texts, ""))


def _raise_bare_error(action: str, body: bytes) -> None:
    """The last resort where junk made the envelope unreadable (Q114)."""
    code = _BARE_CODE.search(body)
    if code is not None:
        text = _BARE_TEXT.search(body)
        _raise_action_error(action, int(code[1]), text[1].decode("utf-8", "replace") if text else "")


def _raise_action_error(action: str, code: int, text: str) -> NoReturn:
    raise ActionError(code, error_name(code), _printable(text), action)


def _fault_text(fault: xml.Element) -> str:
    return next((e.text for e in fault.iter() if e.name.lower() == "faultstring"), "")


def _printable(text: str) -> str:
    """One line of bounded length: the text of a device ends up in logs and on terminals."""
    cut = text[: 4 * ERROR_TEXT_CHARACTERS]
    return " ".join("".join(c if c.isprintable() else " " for c in cut).split())[:ERROR_TEXT_CHARACTERS]


# -- the device --------------------------------------------------------------------------------------------------------


def read_request(body: bytes) -> tuple[str, str, dict[str, str]]:
    """Service type (the namespace), action and in-arguments of a request, by local name.

    :raises BadMessage: for anything that is no action request.
    """
    try:
        root = xml.parse(body, cap=MAPPING_LIST_OCTETS, root="Envelope")
    except DescriptionError as error:
        raise BadMessage("soap", str(error)) from error
    content = root.find("Body")
    if content is None or len(content.children) != 1:
        raise BadMessage("soap", "no Body with one element")
    element = content.children[0]
    if len(element.children) > SCPD_ARGUMENTS:
        raise BadMessage("soap", f"{len(element.children)} arguments")
    return element.namespace, element.name, {child.name: _content(child) for child in element.children}


def response(service_type: str, action: str, outputs: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> bytes:
    """The body of a 200 answer, out-arguments in the order given (UDA section 3.2).

    :raises InvalidArgument: for what may not go on the wire.
    """
    pairs = outputs.items() if isinstance(outputs, Mapping) else outputs
    return _body(_tag(service_type, action) + "Response", service_type, pairs)


def fault(code: int, text: str | None = None) -> bytes:
    """The body of a 500 answer (UDA section 3.2.2); ``text`` is the standard name of the code unless given."""
    described = xml.escape(_sendable("errorDescription", error_name(code) if text is None else text))
    return _envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="{CONTROL}"><errorCode>{int(code)}</errorCode>'
        f"<errorDescription>{described}</errorDescription></UPnPError></detail></s:Fault>"
    )


# -- writing -----------------------------------------------------------------------------------------------------------


def _envelope(content: str) -> bytes:
    return (_HEAD + content + _TAIL).encode("utf-8")


def _body(element: str, service_type: str, arguments: Iterable[tuple[str, str]]) -> bytes:
    inside = "".join(f"<{_name(name)}>{xml.escape(_sendable(name, value))}</{name}>" for name, value in arguments)
    return _envelope(f'<u:{element} xmlns:u="{_service_type(service_type)}">{inside}</u:{element}>')


def _tag(service_type: str, action: str) -> str:
    if service_type == CONTROL and action != QUERY:
        raise InvalidArgument(f"{CONTROL} has no action {action!r}")
    return _name(action)


def _service_type(service_type: str) -> str:
    if service_type != CONTROL and not _SERVICE_TYPE.fullmatch(service_type):
        raise InvalidArgument(f"{service_type!r} is no service type")
    return service_type


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is no name of an action, argument or variable")
    return name


def _sendable(name: str, value: str) -> str:
    found = _UNSENDABLE.search(value)
    if found is not None:
        raise InvalidArgument(f"{name}: the character {found[0]!r} cannot be sent in XML")
    return value
