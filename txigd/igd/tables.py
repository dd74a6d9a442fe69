"""What the standard says of every IGD service: actions, variables, errors. Read once from igd.json.

The tables serve where a gateway's own service description is missing, and the typed services are built from them.
Sources: the service templates of IGD:1 and IGD:2; quirk Q096; UDA section 2.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from txigd.upnp.control.soap import ERROR_NAMES
from txigd.upnp.description.service import Action, Argument, ServiceDescription, StateVariable

_SERVICE_TYPE = re.compile(r":service:([A-Za-z0-9_-]+):([0-9]{1,3})\s*$", re.IGNORECASE)

# Actions of DeviceProtection:1 whose caller must have shown a certificate: its roles and its login hang on that. All
# others have the role Public, which suffices without TLS.
NEEDS_TLS: Final = frozenset(
    (
        "GetUserLoginChallenge",
        "UserLogin",
        "UserLogout",
        "GetACLData",
        "AddIdentityList",
        "RemoveIdentity",
        "SetUserLoginPassword",
        "AddRolesForIdentity",
        "RemoveRolesForIdentity",
    )
)

# Units and special values by state variable; what the documentation of an argument says beyond its type.
NOTES: Final[Mapping[str, str]] = {
    "A_ARG_TYPE_LeaseTime": "seconds",
    "A_ARG_TYPE_Manage": "False for the caller's own entries only",
    "A_ARG_TYPE_OutboundPinholeTimeout": "seconds",
    "A_ARG_TYPE_Port": "0 for any",
    "A_ARG_TYPE_PortListing": "an XML document, see txigd.igd.port_listing",
    "A_ARG_TYPE_Protocol": "IANA number, 6 TCP, 17 UDP, 65535 for any",
    "AutoDisconnectTime": "seconds after connecting, 0 for never",
    "DNSServers": "comma-separated",
    "DefaultConnectionService": "UDN:device type,serviceId",
    "DelayBetweenRetries": "seconds",
    "DownstreamMaxBitRate": "bit/s",
    "ExternalIPAddress": "dotted quad; empty or 0.0.0.0 when unknown",
    "ExternalPort": "0 for any",
    "IPRouters": "comma-separated",
    "IdleDisconnectTime": "seconds without traffic, 0 for never",
    "InternalClient": "an address",
    "Layer1DownstreamMaxBitRate": "bit/s",
    "Layer1UpstreamMaxBitRate": "bit/s",
    "PortMappingLeaseDuration": "seconds, 0 for permanent (a week in IGD:2)",
    "PossibleConnectionTypes": "comma-separated",
    "RemoteHost": "empty for any",
    "ReservedAddresses": "comma-separated",
    "TotalBytesReceived": "octets, wraps at 2^32",
    "TotalBytesSent": "octets, wraps at 2^32",
    "Uptime": "seconds",
    "UpstreamMaxBitRate": "bit/s",
    "WarnDisconnectDelay": "seconds in PendingDisconnect, 0 for no warning",
}


@dataclass(frozen=True, slots=True)
class Standard:
    """One service of the standard.

    ``errors`` names the codes of the service and of UDA; ``action_errors`` lists by action the codes it may answer
    besides those any action may; ``required`` are the actions that a device must offer.
    """

    service_type: str
    name: str
    version: int
    description: ServiceDescription
    errors: Mapping[int, str]
    action_errors: Mapping[str, tuple[int, ...]]
    required: frozenset[str]


@cache
def standards() -> tuple[Standard, ...]:
    """All services of IGD:1 and IGD:2, in the order of the standard."""
    text = files("txigd.igd").joinpath("igd.json").read_text(encoding="utf-8")
    return tuple(_standard(service_type, entry) for service_type, entry in json.loads(text)["services"].items())


def standard(service_type: str) -> Standard | None:
    """The standard service that a type means: by name, whatever the domain, nearest lower version.

    ``urn:vendor-com:service:WANPPPConnection:2`` means WANPPPConnection:1, which is the highest there is. A version
    below the lowest known means the lowest. None for a service that is not of IGD.
    """
    match = _SERVICE_TYPE.search(service_type)
    if match is None:
        return None
    alike = [entry for entry in standards() if entry.name.lower() == match[1].lower()]
    fitting = [entry for entry in alike if entry.version <= int(match[2])]
    return max(fitting, key=_version, default=None) or min(alike, key=_version, default=None)


def builtin_table(service_type: str) -> ServiceDescription | None:
    """The description of a standard service for a gateway that does not give its own; matched as by :func:`standard`.

    It holds every optional action, so that any of them may turn out to be refused (401, 602).
    """
    found = standard(service_type)
    return None if found is None else found.description


def known_table(service_type: str, own: ServiceDescription | None) -> ServiceDescription | None:
    """What is known of any service: its own description, completed where it is one of the standard."""
    found = standard(service_type)
    return own if found is None else completed_table(found, own)


def completed_table(known: Standard, own: ServiceDescription | None) -> ServiceDescription:
    """A gateway's own description with what it lacks of the standard.

    Descriptions of gateways are hints: actions that they do not list may work (Q083). Theirs are kept as they are,
    order of arguments included (Q096), unless the names of in-arguments are not those of the standard: there the
    description errs, not the gateway (Q084).
    """
    if own is None or own is known.description:
        return known.description
    actions = dict(known.description.actions)
    for action in own.actions.values():
        listed = actions.get(action.name)
        if listed is None or _names(listed.inputs) == _names(action.inputs):
            actions[action.name] = action
    return ServiceDescription(
        actions=MappingProxyType(actions),
        variables=MappingProxyType({**known.description.variables, **own.variables}),
    )


def error_names(service_type: str) -> Mapping[int, str]:
    """Names of error codes as this service means them: 703 is something else to WANIPv6FirewallControl."""
    found = standard(service_type)
    return MappingProxyType(ERROR_NAMES) if found is None else found.errors


def _names(arguments: Iterable[Argument]) -> set[str]:
    return {argument.name.lower() for argument in arguments}


def _version(entry: Standard) -> int:
    return entry.version


def _standard(service_type: str, entry: Mapping[str, Any]) -> Standard:
    match = _SERVICE_TYPE.search(service_type)
    assert match is not None
    actions = [
        Action(name=action["name"], inputs=_arguments(action["in"]), outputs=_arguments(action["out"]))
        for action in entry["actions"]
    ]
    variables = [_variable(variable) for variable in entry["variables"]]
    own = {int(code): name for code, name in entry["errors"].items()}
    general = {code: name for code, name in ERROR_NAMES.items() if code < 700}
    return Standard(
        service_type=service_type,
        name=match[1],
        version=int(match[2]),
        description=ServiceDescription(
            actions=MappingProxyType({action.name: action for action in actions}),
            variables=MappingProxyType({variable.name: variable for variable in variables}),
        ),
        errors=MappingProxyType(general | own),
        action_errors=MappingProxyType({action["name"]: tuple(action["errors"]) for action in entry["actions"]}),
        required=frozenset(action["name"] for action in entry["actions"] if action["required"]),
    )


def _arguments(entries: Iterable[Mapping[str, str]]) -> tuple[Argument, ...]:
    return tuple(Argument(name=entry["name"], variable=entry["variable"]) for entry in entries)


def _variable(entry: Mapping[str, Any]) -> StateVariable:
    limits = entry.get("range", {})
    return StateVariable(
        name=entry["name"],
        data_type=entry["type"],
        evented=entry["evented"],
        multicast=False,
        default=entry.get("default"),
        allowed=tuple(entry.get("allowed", ())),
        minimum=limits.get("minimum"),
        maximum=limits.get("maximum"),
        step=limits.get("step"),
    )
