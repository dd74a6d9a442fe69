"""DeviceProtection:1 of a gateway that is reached without TLS, entered in the table of actions. Pure.

Whoever calls by plain HTTP has the role Public: what needs a certificate is refused with 606, and the rest is answered.
Source: DeviceProtection:1.
"""

from __future__ import annotations

import base64
from typing import Final

from txigd.igd.tables import NEEDS_TLS
from txigd.testing.actions import IP, PPP, Call, Outputs, does
from txigd.testing.other_actions import FIREWALL
from txigd.testing.state import State

PROTECTION: Final = "DeviceProtection"
_INTRODUCTION: Final = "WPS"
_LOGIN: Final = frozenset({"GetUserLoginChallenge", "UserLogin", "UserLogout"})  # open to whoever showed a certificate
_OWN_ONLY: Final = frozenset(  # what a secure gateway lets everybody do with entries of their own
    {
        *((name, action) for name in (IP, PPP) for action in ("AddPortMapping", "DeletePortMapping")),
        *((IP, action) for action in ("AddAnyPortMapping", "DeletePortMappingRange")),
        *((FIREWALL, action) for action in ("AddPinhole", "UpdatePinhole", "DeletePinhole", "GetPinholePackets")),
        (FIREWALL, "CheckPinholeWorking"),
    }
)


@does((PROTECTION,), "GetSupportedProtocols")
def _protocols(state: State, call: Call) -> Outputs:
    return {
        "ProtocolList": '<SupportedProtocols xmlns="urn:schemas-upnp-org:gw:DeviceProtection">'
        f"<Introduction><Name>{_INTRODUCTION}</Name></Introduction>"
        "<Login><Name>PKCS5</Name></Login></SupportedProtocols>"
    }


@does((PROTECTION,), "GetAssignedRoles")
def _roles(state: State, call: Call) -> Outputs:
    return {"RoleList": "Public"}


@does((PROTECTION,), "GetRolesForAction")
def _roles_for_action(state: State, call: Call) -> Outputs:
    devices = [device for device in state.tree.root.walk() if device.udn == call.text("DeviceUDN")]
    services = [one for device in devices for one in device.services if one.service_id == call.text("ServiceId")]
    action = call.text("ActionName")
    if not services or action not in services[0].template.actions:
        raise call.refusal(600)
    name = services[0].name
    if name == PROTECTION and action in NEEDS_TLS - _LOGIN:
        return {"RoleList": "Admin", "RestrictedRoleList": ""}
    if state.rules.secure and (name, action) in _OWN_ONLY:
        return {"RoleList": "Admin", "RestrictedRoleList": "Public"}
    return {"RoleList": "Public", "RestrictedRoleList": ""}


@does((PROTECTION,), "SendSetupMessage")
def _setup(state: State, call: Call) -> Outputs:
    if call.text("ProtocolType") != _INTRODUCTION:
        raise call.refusal(600)
    try:
        base64.b64decode(call.text("InMessage"), validate=True)
    except ValueError:
        raise call.refusal(402) from None
    raise call.refusal(704)  # there is nobody inside to be introduced to


@does((PROTECTION,), *sorted(NEEDS_TLS))
def _needs_certificate(state: State, call: Call) -> Outputs:
    raise call.refusal(606)
