"""Calls every action that a device offers, with sample arguments, and says in a word what came back.

    python -m tests.actions.calls LOCATION [SOURCE]

prints one line of JSON for each action: service, action, method, answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.task import react

from txigd.errors import ActionError, TxigdError
from txigd.igd.services import service_classes, typed
from txigd.igd.tables import standard
from txigd.igd.typed_service import TypedAction, TypedService
from txigd.upnp import addressing
from txigd.upnp.control.action import Caller, ServiceProxy
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange
from txigd.upnp.url import parse

# Sample values by state variable; what is not listed takes the sample of its type.
SAMPLES: dict[str, object] = {
    "ExternalPort": 8080,
    "InternalPort": 8080,
    "PortMappingProtocol": "TCP",
    "PortMappingLeaseDuration": 600,
    "PortMappingDescription": "every action",
    "PortMappingNumberOfEntries": 0,
    "RemoteHost": "",
    "A_ARG_TYPE_Manage": True,
    "ConnectionType": "IP_Routed",
    "A_ARG_TYPE_Protocol": 6,
    "A_ARG_TYPE_LeaseTime": 600,
    "A_ARG_TYPE_UniqueID": 1,
    "A_ARG_TYPE_IPv6Address": "",
    "A_ARG_TYPE_Port": 8080,
    "DefaultConnectionService": "uuid:none:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1",
}
BY_TYPE: dict[str, object] = {"string": "text", "boolean": True, "ui1": 1, "ui2": 1, "ui4": 1, "bin.base64": b"\x01"}
# What breaks a connection or ends a lease comes last, so that the others meet a gateway in order.
LAST = ("RequestTermination", "ForceTermination", "DeletePortMapping", "DeletePortMappingRange", "DeletePinhole")


def sample(variable: Any, client: str) -> object:
    """A value for a state variable: the first allowed one, a listed one, or that of its type."""
    if variable.name == "InternalClient":
        return client
    if variable.name in SAMPLES:
        return SAMPLES[variable.name]
    if variable.allowed:
        return variable.allowed[0]
    if variable.minimum is not None:
        return int(variable.minimum)
    return BY_TYPE[variable.data_type]


def arguments(action: TypedAction, client: str) -> dict[str, object]:
    """Sample arguments of an action, by their Python names."""
    return {argument.name: sample(argument.variable, client) for argument in action.inputs}


async def answer(service: TypedService, action: TypedAction, client: str) -> str:
    """What a device says to an action: ``ok``, its values, or its error."""
    try:
        result = await getattr(service, action.name)(**arguments(action, client))
    except ActionError as error:
        return f"{error.code} {error.name}"
    except TxigdError as error:
        return f"{type(error).__name__}: {error}"
    return "ok" if result is None else shown(result)


def shown(result: object) -> str:
    """A result as text of bounded length."""
    fields = getattr(result, "_fields", None)
    text = ", ".join(f"{name}={getattr(result, name)!r}" for name in fields) if fields else repr(result)
    return text if len(text) <= 160 else text[:157] + "..."


async def every_action(
    reactor: Any, location: str, source: str | None = None
) -> AsyncIterator[tuple[str, TypedAction, str]]:
    """Service, action and answer of everything that the device at this location offers."""
    own = None if source is None else parse(f"http://{source}/").host
    exchange = Exchange(reactor, source=own)
    description = await fetch_description(exchange, parse(location), seconds=10)
    client = str(own or addressing.address_towards(parse(location).host))
    caller = Caller(exchange, clock=reactor)
    known = [s for s in description.root.all_services() if standard(s.service_type) and s.control_url is not None]
    for found in known:
        service = typed(ServiceProxy(found, None, caller))
        actions = sorted(service.actions.values(), key=lambda action: action.wire in LAST)
        for action in actions:
            yield f"{found.name}:{service.standard.version}", action, await answer(service, action, client)


def typed_names() -> dict[str, list[tuple[str, str]]]:
    """Of every standard service, the actions and the names of their methods."""
    return {
        f"{made.standard.name}:{made.standard.version}": [
            (a.wire, f"{made.__name__}.{a.name}") for a in made.actions.values()
        ]
        for made in service_classes().values()
    }


async def main(reactor: Any, location: str, source: str | None = None) -> None:
    """Print the lines."""
    async for service, action, said in every_action(reactor, location, source):
        print(json.dumps([service, action.wire, said]), flush=True)


if __name__ == "__main__":
    react(main, sys.argv[1:])
