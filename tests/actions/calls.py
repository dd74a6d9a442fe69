"""Calls every action that a device offers, with sample arguments, and says in a word what came back.

    python -m tests.actions.calls LOCATION [LOCATION6]

prints one line of JSON for each action: service, action, answer. What belongs to IPv6 is called at LOCATION6, where
there is one. The order is a user's: set and add, then read, then delete, and the line goes down and up last. What was
set before is set again at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from twisted.internet.task import react

from txigd.errors import ActionError, TxigdError
from txigd.igd.services import service_classes, typed
from txigd.igd.tables import standard
from txigd.igd.typed_service import TypedAction, TypedService
from txigd.upnp import addressing
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.device import Device, Service
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange
from txigd.upnp.url import parse

FIREWALL = "WANIPv6FirewallControl"
DP = 'xmlns="urn:schemas-upnp-org:gw:DeviceProtection"'
USER = f"<Identity {DP}><User><Name>user</Name></User></Identity>"
# Sample values by argument as the standard writes it, or by action and argument; all others are of their list or type.
SAMPLES: dict[str, object] = {
    "NewExternalPort": 8080,
    "NewInternalPort": 8080,
    "AddAnyPortMapping.NewExternalPort": 8081,
    "AddAnyPortMapping.NewInternalPort": 8081,
    "NewStartPort": 8080,
    "NewEndPort": 8089,
    "NewNumberOfPorts": 0,
    "NewRemoteHost": "",
    "NewLeaseDuration": 600,
    "NewPortMappingDescription": "every action",
    "NewPortMappingIndex": 0,
    "NewActiveConnectionIndex": 0,
    "NewConnectionType": "IP_Routed",
    "NewAutoDisconnectTime": 3600,
    "NewIdleDisconnectTime": 600,
    "NewWarnDisconnectDelay": 5,
    "RemoteHost": "",
    "RemotePort": 0,
    "InternalPort": 8080,
    "Protocol": 6,
    "LeaseTime": 600,
    "NewLeaseTime": 1200,
    "SetDSLLinkType.NewLinkType": "PPPoA",
    "NewDestinationAddress": "PVC: 1/32",
    "NewATMEncapsulation": "VCMUX",
    "NewISPPhoneNumber": "+1 555 0100",
    "NewISPInfo": "every action",
    "NewNumberOfRetries": 7,
    "NewDelayBetweenRetries": 60,
    "NewSubnetMask": "255.255.254.0",
    "NewIPRouters": "192.168.1.254",
    "NewDNSServers": "192.168.1.53",
    "NewReservedAddresses": "192.168.1.9",
    "NewDomainName": "lan.example",
    "NewMinAddress": "192.168.1.100",
    "NewMaxAddress": "192.168.1.150",
    "ProtocolType": "PKCS5",
    "SendSetupMessage.ProtocolType": "WPS",
    "ActionName": "GetACLData",
    "Name": "user",
    "RoleList": "Basic",
    "Identity": USER,
    "IdentityList": f"<Identities {DP}>{USER}</Identities>",
}
BY_TYPE: dict[str, object] = {"string": "text", "boolean": True, "ui1": 1, "ui2": 1, "ui4": 1, "bin.base64": b"\x01"}
# A user's order: by the word that an action begins with, and at the end what stops the line, and what it must stop for.
STAGES = (("Set", "Add", "Update"), ("Get", "Check"), ("Delete", "Remove"))
LAST = ("ForceTermination", "SetConnectionType", "ConfigureConnection", "RequestConnection", "RequestTermination")


def sample(
    action: str, argument: str, data_type: str, allowed: Sequence[str] = (), minimum: float | None = None
) -> object:
    """A value for an in-argument: a listed one, else the first or the least that is allowed, else one of its type."""
    for name in (f"{action}.{argument}", argument):
        if name in SAMPLES:
            return SAMPLES[name]
    if allowed:
        return allowed[0]
    return BY_TYPE[data_type] if minimum is None else int(minimum)


def turn(wire: str) -> int:
    """When an action is called; those of one turn go as the standard has them."""
    if wire in LAST:
        return len(STAGES) + LAST.index(wire)
    return next((number for number, words in enumerate(STAGES) if wire.startswith(words)), 0)


class Conversation:
    """What is said to one service.

    :param known: values that only this device and this host know, by argument.
    """

    def __init__(self, service: TypedService, known: dict[str, object]) -> None:
        self.service = service
        self.known = known
        self.before: dict[str, object] = {}
        self.done: list[TypedAction] = []

    async def answers(self) -> AsyncIterator[tuple[TypedAction, str]]:
        """Each action, and what it answered: ``ok``, its values, or its error."""
        await self._look()
        for action in sorted(self.service.actions.values(), key=lambda action: turn(action.wire)):
            yield action, await self._say(action)
        await self._restore()

    async def _look(self) -> None:
        """Read what can be read, so that it can be set again."""
        for action in self.service.actions.values():
            if action.wire.startswith("Get") and not action.inputs:
                try:
                    self._learn(action, await self._call(action, {}), self.before)
                except TxigdError:
                    continue
        if "DefaultConnectionService" in self.before:
            self.known["NewDefaultConnectionService"] = self.before["DefaultConnectionService"]

    @staticmethod
    def _learn(action: TypedAction, result: Any, into: dict[str, object]) -> None:
        values = result if action.result is not None else (result,)
        into.update({output.variable.name: value for output, value in zip(action.outputs, values, strict=False)})

    async def _call(self, action: TypedAction, values: dict[str, object]) -> object:
        return await getattr(self.service, action.name)(**values)

    async def _say(self, action: TypedAction) -> str:
        values = {
            one.name: self.known.get(one.wire)
            or sample(action.wire, one.wire, one.data_type, one.variable.allowed, one.variable.minimum)
            for one in action.inputs
        }
        try:
            result = await self._call(action, values)
        except ActionError as error:
            return f"{error.code} {error.name}"
        except TxigdError as error:
            return f"{type(error).__name__}: {error}"
        self.done.append(action)
        if action.wire == "AddPinhole":
            self.known["UniqueID"] = result
        return "ok" if result is None else shown(result)

    async def _restore(self) -> None:
        """What was set is set as before, and a line that was stopped connects. A value that cannot be set was kept."""
        by_wire = {action.wire: action for action in self.service.actions.values()}
        stopped = any(action.wire.endswith("Termination") for action in self.done)
        calls: list[tuple[TypedAction, dict[str, object]]] = []
        for action in self.done:
            if action.inputs and action.wire.startswith(("Set", "Configure")):
                values = {one.name: self.before.get(one.variable.name) for one in action.inputs}
                calls.append((action, values))
        if stopped:
            calls = [(by_wire["ForceTermination"], {}), *calls, (by_wire["RequestConnection"], {})]
        for action, values in calls:
            if None not in values.values():
                try:
                    await self._call(action, values)
                except TxigdError:
                    continue


def shown(result: object) -> str:
    """A result as text of bounded length."""
    fields = getattr(result, "_fields", None)
    text = ", ".join(f"{name}={getattr(result, name)!r}" for name in fields) if fields else repr(result)
    return text if len(text) <= 160 else text[:157] + "..."


async def every_action(reactor: Any, location: str, location6: str = "") -> AsyncIterator[tuple[str, TypedAction, str]]:
    """Service, action and answer of everything that the device at this location offers."""
    exchange = Exchange(reactor)
    caller = Caller(exchange, clock=reactor)
    for place in filter(None, (location, location6)):
        description = await fetch_description(exchange, parse(place), seconds=10)
        client = str(addressing.address_towards(parse(place).host))
        for found in description.root.all_services():
            at_home = not location6 or (place == location6) == (found.name == FIREWALL)
            if at_home and standard(found.service_type) and found.control_url is not None:
                service = typed(ServiceProxy(found, None, caller))
                told = Conversation(service, _known(description.root, found, client))
                async for action, said in told.answers():
                    yield f"{found.name}:{service.standard.version}", action, said


def _known(root: Device, service: Service, client: str) -> dict[str, object]:
    return {
        "NewInternalClient": client,
        "InternalClient": client,
        "DeviceUDN": root.udn,
        "ServiceId": service.service_id,
    }


def typed_names() -> dict[str, list[tuple[str, str]]]:
    """Of every standard service, the actions and the names of their methods."""
    return {
        f"{made.standard.name}:{made.standard.version}": [
            (a.wire, f"{made.__name__}.{a.name}") for a in made.actions.values()
        ]
        for made in service_classes().values()
    }


async def main(reactor: Any, location: str, location6: str = "") -> None:
    """Print the lines."""
    async for service, action, said in every_action(reactor, location, location6):
        print(json.dumps([service, action.wire, said]), flush=True)


if __name__ == "__main__":
    react(main, sys.argv[1:])
