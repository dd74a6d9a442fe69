"""The actions that read and set what :mod:`txigd.testing.settings` keeps, entered in the table of actions. Pure.

Get tells what Set has set; values are checked first. Sources: WANDSLLinkConfig:1, WANCableLinkConfig:1,
WANPOTSLinkConfig:1 and LANHostConfigManagement:1, UDA 1.0 and 1.1 section 3.2.2 (600, 601 and 402).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final

from txigd.errors import ActionError
from txigd.limits import SIMULATED_LAN_ADDRESSES
from txigd.testing.actions import Call, Outputs, does
from txigd.testing.settings import CABLE, DSL, LAN, POTS
from txigd.testing.state import State
from txigd.testing.template import TEMPLATES, Value

# Lists that the standard gives in its text, not in its XML.
_LISTED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    (DSL, "LinkType"): ("EoA", "IPoA", "CIP", "PPPoA", "PPPoE", "Unconfigured"),
    (DSL, "ATMEncapsulation"): ("LLC", "VCMUX"),
}


def _actions(*prefixes: str, of: str) -> list[str]:
    """The actions of a service whose names begin so."""
    template = TEMPLATES[f"urn:schemas-upnp-org:service:{of}:1"]
    return [name for name in template.actions if name.startswith(prefixes)]


def _get(state: State, call: Call) -> Outputs:
    values = state.settings.of(call.key) | state.link_facts
    outputs = call.service.actions[call.action].outputs
    return {argument.name: values[argument.variable] for argument in outputs}


for _service in (DSL, CABLE, POTS, LAN):
    does((_service,), *_actions("Get", of=_service))(_get)


def _invalid(state: State, call: Call, code: int) -> ActionError:
    """UDA 1.0 has no code for a value that makes no sense but 402; 1.1 has 600, and 601 for what is not listed."""
    return call.refusal(code if state.tree.version >= 2 else 402)


def _given(state: State, call: Call) -> dict[str, Value]:
    """The arguments by their state variables. :raises ActionError: 601 or 402 for what is not in a list."""
    given: dict[str, Value] = {}
    for argument in call.service.actions[call.action].inputs:
        name = argument.variable
        allowed = _LISTED.get((call.service.name, name), call.service.variables[name].allowed)
        given[name] = call.arguments[argument.name]
        if allowed and given[name] not in allowed:
            raise _invalid(state, call, 601)
    return given


# -- the link ---------------------------------------------------------------------------------------------------------


@does((DSL,), *_actions("Set", of=DSL))
@does((POTS,), *_actions("Set", of=POTS))
def _set_link(state: State, call: Call) -> Outputs:
    given = _given(state, call)
    if call.service.name == DSL and state.settings.of(call.key)["AutoConfig"]:
        raise call.refusal(719)
    state.settings.of(call.key).update(given)
    return {}


# -- LANHostConfigManagement ------------------------------------------------------------------------------------------


def _is_address(text: Value) -> bool:
    try:
        ipaddress.IPv4Address(str(text))
    except ValueError:
        return False
    return True


def _is_mask(text: Value) -> bool:
    try:
        return str(ipaddress.IPv4Network(f"0.0.0.0/{text}").netmask) == text
    except ValueError:
        return False


def _is_range(given: Mapping[str, Value]) -> bool:
    ends = [str(given[name]) for name in ("MinAddress", "MaxAddress")]
    return all(map(_is_address, ends)) and ipaddress.IPv4Address(ends[0]) <= ipaddress.IPv4Address(ends[1])


_FITS: Final[Mapping[str, Callable[[Mapping[str, Value]], bool]]] = {
    "SetSubnetMask": lambda given: _is_mask(given["SubnetMask"]),
    "SetAddressRange": _is_range,
}


def _configurable(state: State, call: Call) -> dict[str, Value]:
    """The values to change. :raises ActionError: 501 while the DHCP server is not to be configured from outside."""
    values = state.settings.of(call.key)
    if not values["DHCPServerConfigurable"]:
        raise call.refusal(501)
    return values


@does((LAN,), "SetDHCPServerConfigurable")
def _set_configurable(state: State, call: Call) -> Outputs:
    state.settings.of(call.key).update(_given(state, call))
    return {}


@does((LAN,), "SetDHCPRelay", "SetSubnetMask", "SetDomainName", "SetAddressRange")
def _set_lan(state: State, call: Call) -> Outputs:
    values, given = _configurable(state, call), _given(state, call)
    fits = _FITS.get(call.action)
    if fits is not None and not fits(given):
        raise _invalid(state, call, 600)
    values.update(given)
    return {}


def _listed(text: Value) -> list[str]:
    """The parts of a CSV list; one that is empty has none."""
    return [part.strip() for part in str(text).split(",")] if text else []


@does((LAN,), "SetIPRouter", "SetReservedAddress", "SetDNSServer")
@does((LAN,), "DeleteIPRouter", "DeleteReservedAddress", "DeleteDNSServer")
def _change_list(state: State, call: Call) -> Outputs:
    """Set adds to a list, Delete takes out of it: all that are given, or none."""
    values = _configurable(state, call)
    (variable, text), *_ = _given(state, call).items()
    given, have = dict.fromkeys(_listed(text)), _listed(values[variable])
    if not given or not all(map(_is_address, given)):
        raise _invalid(state, call, 600)
    if call.action.startswith("Set"):
        if not given.keys().isdisjoint(have):
            raise call.refusal(701)
        kept = [*have, *given]
        if len(kept) > SIMULATED_LAN_ADDRESSES:
            raise call.refusal(501)
    else:
        if not given.keys() <= set(have):
            raise call.refusal(702)
        kept = [one for one in have if one not in given]
    values[variable] = ",".join(kept)
    return {}
