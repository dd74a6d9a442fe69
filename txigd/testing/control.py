"""Control: from the octets of a SOAP request to the octets of its answer. Pure but for the state it changes.

Sources: UDA 1.0-2.0 section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from txigd.errors import ActionError, BadMessage
from txigd.testing import actions, other_actions, protection_actions, setting_actions
from txigd.testing.state import State
from txigd.testing.template import read_arguments
from txigd.testing.tree import ServiceNode
from txigd.upnp.control import soap

if TYPE_CHECKING:
    from txigd.testing.quirks import Played

__all__ = ["Answer", "Request", "answer", "implemented", "read"]

implemented = actions.implemented
_ENTERED: Final = (other_actions, protection_actions, setting_actions)  # imported for what they enter in the table


@dataclass(frozen=True, slots=True)
class Request:
    """A SOAP request as read; ``service_type`` is the one the caller named."""

    service_type: str
    action: str
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body to send; ``error`` is the UPnP error code, 0 for none."""

    status: int
    body: bytes
    error: int = 0


_UNREADABLE: Final = Request("", "")


def read(body: bytes, soap_action: str) -> Request:
    """Read a request. Where SOAPACTION is there it must name the action of the body, as a device has to check.

    What cannot be read comes back without an action, and is answered with 401 or 402.
    """
    try:
        service_type, action, arguments = soap.read_request(body)
    except BadMessage:
        return _UNREADABLE
    named = soap_action.strip().strip('"')
    if named and named != f"{service_type}#{action}":
        return _UNREADABLE
    return Request(service_type, action, arguments)


def answer(
    state: State, service: ServiceNode, request: Request, *, caller: str, now: float, played: Played | None = None
) -> Answer:
    """Perform a request on a service and write the answer; a refusal is a fault with status 500.

    :param played: changes values and error codes on their way out.
    """
    try:
        if request is _UNREADABLE:
            raise service.template.refusal(402)
        if request.service_type == soap.CONTROL:
            return Answer(200, _query(state, service, request))
        any_version = played is not None and "speaks any version" in played.traits
        if not speaks(service, request.service_type, any_version=any_version):
            raise service.template.refusal(401, request.action)
        if request.action not in implemented(service.name):
            raise service.template.refusal(401, request.action)
        values = read_arguments(service.template, request.action, request.arguments)
        call = actions.Call(service.template, request.action, values, caller, now, service.key)
        outputs = actions.perform(state, call)
        return Answer(200, _response(request, played.outputs(request.action, outputs) if played else outputs))
    except ActionError as error:
        code = played.code(request.action, error.code) if played else error.code
        return Answer(500, soap.fault(code, error.name), code)


def _response(request: Request, outputs: dict[str, str]) -> bytes:
    """The 200 answer; a PortListing goes in CDATA as from miniupnpd, since miniupnpc does not unescape it."""
    listing = outputs.get("NewPortListing")
    if listing is None:
        return soap.response(request.service_type, request.action, outputs)
    body = soap.response(request.service_type, request.action, {**outputs, "NewPortListing": ""})
    return body.replace(b"<NewPortListing>", b"<NewPortListing><![CDATA[" + listing.encode() + b"]]>", 1)


def speaks(service: ServiceNode, service_type: str, *, any_version: bool = False) -> bool:
    """Whether the service may be spoken to as this type: its own, or a lower version of it."""
    name, _, version = service_type.rpartition(":")
    own = service.template.service_type.rpartition(":")[0]
    return name == own and version.isdigit() and (any_version or 1 <= int(version) <= service.template.version)


def _query(state: State, service: ServiceNode, request: Request) -> bytes:
    """QueryStateVariable (UDA 1.0 section 3.3): the evented variables are what can be asked for."""
    if request.action != soap.QUERY or set(request.arguments) != {"varName"}:
        raise service.template.refusal(401, request.action)
    values = state.evented(service.key)
    name = request.arguments["varName"].strip()
    if name not in values:
        raise service.template.refusal(404, request.action)
    return soap.response(soap.CONTROL, soap.QUERY, {"return": values[name]})
