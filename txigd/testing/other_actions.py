"""The actions of the services beside the connection services, entered in the same table. Pure.

Sources: WANCommonInterfaceConfig:1, Layer3Forwarding:1, WANEthernetLinkConfig:1 and WANIPv6FirewallControl:1.
"""

from __future__ import annotations

from typing import Final

from txigd.testing.actions import BIT_RATE, COMMON, IP, PPP, Call, Outputs, does
from txigd.testing.pinholes import Pinhole
from txigd.testing.state import State

L3F: Final = "Layer3Forwarding"
FIREWALL: Final = "WANIPv6FirewallControl"
PROVIDER: Final = "Simulated provider"
OUTBOUND_TIMEOUT: Final = 200  # seconds; the upper end of what miniupnpd declares
_UI4: Final = 1 << 32

# -- WANCommonInterfaceConfig and the link ----------------------------------------------------------------------------


@does((COMMON,), "GetCommonLinkProperties")
def _link(state: State, call: Call) -> Outputs:
    return {
        "NewWANAccessType": state.tree.access_type,
        "NewLayer1UpstreamMaxBitRate": BIT_RATE,
        "NewLayer1DownstreamMaxBitRate": BIT_RATE,
        "NewPhysicalLinkStatus": state.link_status,
    }


@does((COMMON,), "GetTotalBytesSent", "GetTotalBytesReceived", "GetTotalPacketsSent", "GetTotalPacketsReceived")
def _totals(state: State, call: Call) -> Outputs:
    traffic = state.traffic
    return {
        "NewTotalBytesSent": traffic.octets_sent % _UI4,
        "NewTotalBytesReceived": traffic.octets_received % _UI4,
        "NewTotalPacketsSent": traffic.packets_sent % _UI4,
        "NewTotalPacketsReceived": traffic.packets_received % _UI4,
    }


@does((COMMON,), "GetWANAccessProvider", "GetMaximumActiveConnections", "GetEnabledForInternet")
def _interface(state: State, call: Call) -> Outputs:
    return {
        "NewWANAccessProvider": PROVIDER,
        "NewMaximumActiveConnections": 1,
        "NewEnabledForInternet": state.line.enabled_for_internet,
    }


@does((COMMON,), "SetEnabledForInternet")
def _enable(state: State, call: Call) -> Outputs:
    state.line.enabled_for_internet = call.flag("NewEnabledForInternet")
    if not state.line.enabled_for_internet and state.line.is_connected:
        state.line.disconnect(call.now, "ERROR_NOT_ENABLED_FOR_INTERNET")
    return {}


@does((COMMON,), "GetActiveConnection")
def _active(state: State, call: Call) -> Outputs:
    if call.number("NewActiveConnectionIndex") or not state.line.is_connected:
        raise call.refusal(713)
    return {
        "NewActiveConnDeviceContainer": state.tree.connection_container,
        "NewActiveConnectionServiceID": state.tree.live_service.service_id,
    }


@does(("WANEthernetLinkConfig",), "GetEthernetLinkStatus")
def _ethernet(state: State, call: Call) -> Outputs:
    return {"NewEthernetLinkStatus": state.link_status}


# -- Layer3Forwarding -------------------------------------------------------------------------------------------------


@does((L3F,), "GetDefaultConnectionService")
def _default(state: State, call: Call) -> Outputs:
    return {"NewDefaultConnectionService": state.default_connection}


@does((L3F,), "SetDefaultConnectionService")
def _set_default(state: State, call: Call) -> Outputs:
    wanted = call.text("NewDefaultConnectionService")
    container, _, service_id = wanted.partition(",")
    devices = [d for d in state.tree.root.walk() if container.lower().startswith(d.udn.lower())]
    if not devices:
        raise call.refusal(720)
    found = [s.name for d in devices for s in d.services if s.service_id.lower() == service_id.lower()]
    if not found:
        raise call.refusal(721)
    if found[0] not in (IP, PPP):
        raise call.refusal(723)
    state.default_connection = wanted
    return {}


# -- WANIPv6FirewallControl -------------------------------------------------------------------------------------------


@does((FIREWALL,), "GetFirewallStatus")
def _firewall(state: State, call: Call) -> Outputs:
    return {
        "FirewallEnabled": state.pinholes.firewall_enabled,
        "InboundPinholeAllowed": state.pinholes.inbound_allowed,
    }


@does((FIREWALL,), "GetOutboundPinholeTimeout")
def _outbound(state: State, call: Call) -> Outputs:
    if not state.pinholes.firewall_enabled:
        raise call.refusal(702)
    return {"OutboundPinholeTimeout": OUTBOUND_TIMEOUT}


@does((FIREWALL,), "AddPinhole")
def _add_pinhole(state: State, call: Call) -> Outputs:
    wanted = Pinhole(
        call.text("InternalClient").strip(),
        call.number("InternalPort"),
        call.number("Protocol"),
        call.text("RemoteHost").strip(),
        call.number("RemotePort"),
    )
    caller = _checked(state, call)
    return {"UniqueID": state.pinholes.add(wanted, call.number("LeaseTime"), now=call.now, caller=caller)}


def _checked(state: State, call: Call) -> str | None:
    """Whose pinholes may be touched; None for everybody's (Q193, Q194)."""
    return call.caller if state.rules.secure else None


@does((FIREWALL,), "UpdatePinhole")
def _update_pinhole(state: State, call: Call) -> Outputs:
    caller = _checked(state, call)
    state.pinholes.update(call.number("UniqueID"), call.number("NewLeaseTime"), now=call.now, caller=caller)
    return {}


@does((FIREWALL,), "DeletePinhole")
def _delete_pinhole(state: State, call: Call) -> Outputs:
    state.pinholes.delete(call.number("UniqueID"), caller=_checked(state, call))
    return {}


@does((FIREWALL,), "GetPinholePackets")
def _packets(state: State, call: Call) -> Outputs:
    return {"PinholePackets": state.pinholes.packets(call.number("UniqueID"), caller=_checked(state, call))}


@does((FIREWALL,), "CheckPinholeWorking")
def _check_pinhole(state: State, call: Call) -> Outputs:
    if not state.pinholes.packets(call.number("UniqueID"), caller=_checked(state, call)):
        raise call.refusal(709)  # nothing was sent, so nothing can be said
    return {"IsWorking": True}
