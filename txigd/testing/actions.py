"""What each action of a simulated gateway does to its state: one table from (service, action) to a function. Pure.

A function gets the state and the checked call and returns the out-arguments, or raises
:class:`txigd.errors.ActionError`. Sources: IGD:1 and IGD:2; where the text leaves a choice, the choice of miniupnpd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from txigd.errors import ActionError
from txigd.testing.entry import Entry
from txigd.testing.line import DISCONNECTED, UNCONFIGURED
from txigd.testing.state import State, possible_types
from txigd.testing.template import ServiceTemplate, Value
from txigd.upnp.xml import escape

IP: Final = "WANIPConnection"
PPP: Final = "WANPPPConnection"
COMMON: Final = "WANCommonInterfaceConfig"
BIT_RATE: Final = 100_000_000

Outputs = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Call:
    """One action request with checked arguments; ``caller`` is the address it came from.

    ``service_key`` tells the service apart from others of its type; empty where there is one only.
    """

    service: ServiceTemplate
    action: str
    arguments: Mapping[str, Value]
    caller: str
    now: float
    service_key: str = ""

    @property
    def key(self) -> str:
        """What :meth:`txigd.testing.state.State.line_of` asks for."""
        return self.service_key or self.service.name

    def text(self, name: str) -> str:
        """A string argument."""
        return str(self.arguments[name])

    def number(self, name: str) -> int:
        """A ui2 or ui4 argument."""
        return int(self.arguments[name])

    def flag(self, name: str) -> bool:
        """A boolean argument."""
        return bool(self.arguments[name])

    def refusal(self, code: int) -> ActionError:
        """The error to raise for a code."""
        return self.service.refusal(code, self.action)


Function = Callable[[State, Call], Outputs]
ACTIONS: Final[dict[tuple[str, str], Function]] = {}


def does(services: Iterable[str], *names: str) -> Callable[[Function], Function]:
    """Enter the decorated function for these actions of these services."""

    def enter(function: Function) -> Function:
        for service in services:
            ACTIONS.update({(service, name): function for name in names})
        return function

    return enter


def implemented(service_name: str) -> frozenset[str]:
    """The names of the actions that a service of the simulated gateway has."""
    return frozenset(action for service, action in ACTIONS if service == service_name)


def perform(state: State, call: Call) -> dict[str, str]:
    """Do it, and return the out-arguments in the template's order as they go on the wire.

    :raises ActionError: 401 for an action that is not there, else as the action says.
    """
    function = ACTIONS.get((call.service.name, call.action))
    template = call.service.actions.get(call.action)
    if function is None or template is None:
        raise call.refusal(401)
    values = function(state, call)
    return {argument.name: _wire(values[argument.name]) for argument in template.outputs}


def _wire(value: Value) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


# -- WANIPConnection and WANPPPConnection: the line -------------------------------------------------------------------

_BOTH = (IP, PPP)


@does(_BOTH, "RequestConnection", "RequestTermination", "ForceTermination")
def _connection(state: State, call: Call) -> Outputs:
    line = state.line_of(call.key)
    if call.action == "RequestConnection" and line.status == DISCONNECTED and not state.settings.can_dial(call.key):
        raise call.refusal(708)
    line.act(call.action, call.service, call.now)
    return {}


@does(_BOTH, "SetConnectionType")
def _set_connection_type(state: State, call: Call) -> Outputs:
    wanted = call.text("NewConnectionType")
    if wanted not in call.service.variables["ConnectionType"].allowed:
        raise call.refusal(601 if call.service.version >= 2 else 402)
    if state.read_only_type and call.service.version >= 2:
        raise call.refusal(731)
    line = state.line_of(call.key)
    if line.status not in (DISCONNECTED, UNCONFIGURED):
        raise call.refusal(703)
    line.connection_type = wanted
    return {}


@does(_BOTH, "GetConnectionTypeInfo")
def _connection_type(state: State, call: Call) -> Outputs:
    return {
        "NewConnectionType": state.line_of(call.key).connection_type,
        "NewPossibleConnectionTypes": possible_types(call.service.name),
    }


@does(_BOTH, "GetStatusInfo")
def _status(state: State, call: Call) -> Outputs:
    line = state.line_of(call.key)
    return {
        "NewConnectionStatus": line.status,
        "NewLastConnectionError": line.last_error,
        "NewUptime": line.uptime(call.now),
    }


@does(_BOTH, "GetExternalIPAddress")
def _external_address(state: State, call: Call) -> Outputs:
    return {"NewExternalIPAddress": state.external_address(call.key)}


@does(_BOTH, "GetNATRSIPStatus")
def _nat(state: State, call: Call) -> Outputs:
    return {"NewRSIPAvailable": False, "NewNATEnabled": True}


@does(_BOTH, "SetAutoDisconnectTime", "SetIdleDisconnectTime", "SetWarnDisconnectDelay")
def _set_time(state: State, call: Call) -> Outputs:
    line = state.line_of(call.key)
    name = call.action.removeprefix("Set")
    seconds = call.number(f"New{name}")
    if name == "AutoDisconnectTime":
        line.set_auto_disconnect(seconds, call.now)
    elif name == "IdleDisconnectTime":
        line.idle_disconnect = seconds
    else:
        line.warn_delay = seconds
    return {}


@does(_BOTH, "GetAutoDisconnectTime", "GetIdleDisconnectTime", "GetWarnDisconnectDelay")
def _time(state: State, call: Call) -> Outputs:
    line = state.line_of(call.key)
    return {
        "NewAutoDisconnectTime": line.auto_disconnect,
        "NewIdleDisconnectTime": line.idle_disconnect,
        "NewWarnDisconnectDelay": line.warn_delay,
    }


@does((PPP,), "ConfigureConnection")
def _configure(state: State, call: Call) -> Outputs:
    line = state.line_of(PPP)
    if state.settings.auto_config:
        raise call.refusal(719)
    if line.status not in (DISCONNECTED, UNCONFIGURED):
        raise call.refusal(703)
    state.user_name = call.text("NewUserName")
    return {}


@does((PPP,), "GetLinkLayerMaxBitRates", "GetPPPEncryptionProtocol", "GetPPPCompressionProtocol")
@does((PPP,), "GetPPPAuthenticationProtocol", "GetUserName", "GetPassword")
def _ppp(state: State, call: Call) -> Outputs:
    return {
        "NewUpstreamMaxBitRate": BIT_RATE,
        "NewDownstreamMaxBitRate": BIT_RATE,
        "NewPPPEncryptionProtocol": "None",
        "NewPPPCompressionProtocol": "None",
        "NewPPPAuthenticationProtocol": "PAP",
        "NewUserName": state.user_name,
        "NewPassword": "",  # no device should hand it out
    }


# -- WANIPConnection and WANPPPConnection: port mappings --------------------------------------------------------------


def _wanted(state: State, call: Call) -> tuple[Entry, int]:
    if not state.can_map:
        raise call.refusal(501)  # miniupnpd: no external address, nothing to map
    entry = Entry(
        protocol=call.text("NewProtocol"),
        external_port=call.number("NewExternalPort"),
        internal_client=call.text("NewInternalClient"),
        internal_port=call.number("NewInternalPort"),
        remote_host=call.text("NewRemoteHost"),
        description=call.text("NewPortMappingDescription"),
        enabled=call.flag("NewEnabled"),
    )
    return entry, call.number("NewLeaseDuration")


@does(_BOTH, "AddPortMapping")
def _add(state: State, call: Call) -> Outputs:
    state.table.add(*_wanted(state, call), now=call.now, caller=call.caller)
    return {}


@does((IP,), "AddAnyPortMapping")
def _add_any(state: State, call: Call) -> Outputs:
    stored = state.table.add_any(*_wanted(state, call), now=call.now, caller=call.caller)
    return {"NewReservedPort": stored.external_port}


@does(_BOTH, "DeletePortMapping")
def _delete(state: State, call: Call) -> Outputs:
    state.table.delete(
        call.text("NewProtocol"), call.number("NewExternalPort"), call.text("NewRemoteHost").strip(), caller=call.caller
    )
    return {}


@does((IP,), "DeletePortMappingRange")
def _delete_range(state: State, call: Call) -> Outputs:
    first, last = call.number("NewStartPort"), call.number("NewEndPort")
    state.table.delete_range(first, last, call.text("NewProtocol"), call.flag("NewManage"), caller=call.caller)
    return {}


def _entry_outputs(entry: Entry, now: float) -> dict[str, Value]:
    return {
        "NewRemoteHost": entry.remote_host,
        "NewExternalPort": entry.external_port,
        "NewProtocol": entry.protocol,
        "NewInternalPort": entry.internal_port,
        "NewInternalClient": entry.internal_client,
        "NewEnabled": entry.enabled,
        "NewPortMappingDescription": entry.description,
        "NewLeaseDuration": entry.lease_left(now),
    }


@does(_BOTH, "GetGenericPortMappingEntry")
def _generic(state: State, call: Call) -> Outputs:
    return _entry_outputs(state.table.generic(call.number("NewPortMappingIndex"), caller=call.caller), call.now)


@does(_BOTH, "GetSpecificPortMappingEntry")
def _specific(state: State, call: Call) -> Outputs:
    entry = state.table.specific(
        call.text("NewProtocol"), call.number("NewExternalPort"), call.text("NewRemoteHost").strip(), caller=call.caller
    )
    return _entry_outputs(entry, call.now)


# the two fields that are named otherwise inside a PortListing
_LISTING_NAMES: Final = {"NewPortMappingDescription": "NewDescription", "NewLeaseDuration": "NewLeaseTime"}


def port_listing(entries: Iterable[Entry], now: float) -> str:
    """NewPortListing: an XML document in a string (WANIPConnection:2 section 2.3.28)."""
    rows = []
    for entry in entries:
        fields = ((_LISTING_NAMES.get(k, k), _wire(v)) for k, v in _entry_outputs(entry, now).items())
        inside = "".join(f"<p:{name}>{escape(text)}</p:{name}>" for name, text in fields)
        rows.append(f"<p:PortMappingEntry>{inside}</p:PortMappingEntry>")
    return (
        '<?xml version="1.0"?>\n<p:PortMappingList xmlns:p="urn:schemas-upnp-org:gw:WANIPConnection" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="urn:schemas-upnp-org:gw:WANIPConnection '
        f'http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd">{"".join(rows)}</p:PortMappingList>'
    )


@does((IP,), "GetListOfPortMappings")
def _list(state: State, call: Call) -> Outputs:
    entries = state.table.listed(
        call.number("NewStartPort"),
        call.number("NewEndPort"),
        call.text("NewProtocol"),
        call.flag("NewManage"),
        call.number("NewNumberOfPorts"),
        caller=call.caller,
    )
    return {"NewPortListing": port_listing(entries, call.now)}
