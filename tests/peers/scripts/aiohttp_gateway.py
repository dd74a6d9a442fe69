"""``aiohttp_gateway.py ADDRESS``: an IGD:1 gateway on the server classes of async-upnp-client. For the peers' Python.

Each line of standard input is a JSON list: ``["state"]``, ``["change_address", IP]`` or ``["drop_wan"]``; each is
answered with a line of JSON. Written against the standard, with what the classes give: SID without "uuid:", TIMEOUT
without "Second-", HTTP 400 without a SOAP fault for an action that is not there, all variables in every event.
"""
# mypy: ignore-errors
# ruff: noqa: N803 - the classes take arguments by their names on the wire

import asyncio
import json
import sys
import time
import xml.etree.ElementTree as ET

from async_upnp_client.const import DeviceInfo, ServiceInfo
from async_upnp_client.exceptions import UpnpActionError
from async_upnp_client.server import (
    UpnpServer,
    UpnpServerDevice,
    UpnpServerService,
    callable_action,
    create_event_var,
    create_state_var,
)

PORT = 8200
ROOT = "uuid:6b0e4f6e-57d5-4f0c-9d4d-8b9a30000001"
TABLE = {}
CALLS = []
BEGAN = time.monotonic()


def about(kind, number):
    return DeviceInfo(
        device_type=f"urn:schemas-upnp-org:device:{kind}:1",
        friendly_name=f"aiohttp {kind}",
        manufacturer="txigd's tests",
        manufacturer_url=None,
        model_description=None,
        model_name="async-upnp-client",
        model_number=None,
        model_url=None,
        serial_number=None,
        udn=ROOT[:-1] + str(number),
        upc=None,
        presentation_url=None,
        url="/device.xml",
        icons=[],
        xml=ET.Element("device"),
    )


def served(name, service_id):
    return ServiceInfo(
        service_id=f"urn:upnp-org:serviceId:{service_id}",
        service_type=f"urn:schemas-upnp-org:service:{name}:1",
        control_url=f"/control/{name}",
        event_sub_url=f"/event/{name}",
        scpd_url=f"/{name}.xml",
        xml=ET.Element("service"),
    )


class Service(UpnpServerService):
    """Notes what it is asked."""

    async def async_handle_action(self, action_name, **arguments):
        CALLS.append([action_name, arguments])
        return await super().async_handle_action(action_name, **arguments)


class Common(Service):
    SERVICE_DEFINITION = served("WANCommonInterfaceConfig", "WANCommonIFC1")
    STATE_VARIABLE_DEFINITIONS = {
        "WANAccessType": create_state_var("string", allowed=["DSL", "POTS", "Cable", "Ethernet"], default="Cable"),
        "Layer1UpstreamMaxBitRate": create_state_var("ui4", default="1000000"),
        "Layer1DownstreamMaxBitRate": create_state_var("ui4", default="5000000"),
        "PhysicalLinkStatus": create_event_var("string", allowed=["Up", "Down"], default="Up"),
    }

    @callable_action(
        name="GetCommonLinkProperties",
        in_args={},
        out_args={
            "NewWANAccessType": "WANAccessType",
            "NewLayer1UpstreamMaxBitRate": "Layer1UpstreamMaxBitRate",
            "NewLayer1DownstreamMaxBitRate": "Layer1DownstreamMaxBitRate",
            "NewPhysicalLinkStatus": "PhysicalLinkStatus",
        },
    )
    async def properties(self):
        return {f"New{name}": variable for name, variable in self.state_variables.items()}


KEY = {"NewRemoteHost": "RemoteHost", "NewExternalPort": "ExternalPort", "NewProtocol": "PortMappingProtocol"}
REST = {
    "NewInternalPort": "InternalPort",
    "NewInternalClient": "InternalClient",
    "NewEnabled": "PortMappingEnabled",
    "NewPortMappingDescription": "PortMappingDescription",
    "NewLeaseDuration": "PortMappingLeaseDuration",
}


class Connection(Service):
    SERVICE_DEFINITION = served("WANIPConnection", "WANIPConn1")
    STATE_VARIABLE_DEFINITIONS = {
        "ConnectionType": create_state_var("string", default="IP_Routed"),
        "PossibleConnectionTypes": create_event_var("string", default="IP_Routed"),
        "ConnectionStatus": create_event_var("string", allowed=["Connected", "Disconnected"], default="Connected"),
        "Uptime": create_state_var("ui4", default="0"),
        "LastConnectionError": create_state_var("string", default="ERROR_NONE"),
        "RSIPAvailable": create_state_var("boolean", default="0"),
        "NATEnabled": create_state_var("boolean", default="1"),
        "ExternalIPAddress": create_event_var("string", default="11.22.33.44"),
        "PortMappingNumberOfEntries": create_event_var("ui2", default="0"),
        "PortMappingEnabled": create_state_var("boolean"),
        "PortMappingLeaseDuration": create_state_var("ui4"),
        "RemoteHost": create_state_var("string"),
        "ExternalPort": create_state_var("ui2"),
        "InternalPort": create_state_var("ui2"),
        "PortMappingProtocol": create_state_var("string", allowed=["TCP", "UDP"]),
        "InternalClient": create_state_var("string"),
        "PortMappingDescription": create_state_var("string"),
    }

    def tell(self, name, value):
        self.state_variables[name].value = value

    @callable_action(
        name="GetStatusInfo",
        in_args={},
        out_args={
            "NewConnectionStatus": "ConnectionStatus",
            "NewLastConnectionError": "LastConnectionError",
            "NewUptime": "Uptime",
        },
    )
    async def status(self):
        return {
            "NewConnectionStatus": self.state_variables["ConnectionStatus"],
            "NewLastConnectionError": self.state_variables["LastConnectionError"],
            "NewUptime": int(time.monotonic() - BEGAN),
        }

    @callable_action(name="GetExternalIPAddress", in_args={}, out_args={"NewExternalIPAddress": "ExternalIPAddress"})
    async def address(self):
        return {"NewExternalIPAddress": self.state_variables["ExternalIPAddress"]}

    @callable_action(name="AddPortMapping", in_args={**KEY, **REST}, out_args={})
    async def add(
        self,
        NewRemoteHost: str,
        NewExternalPort: int,
        NewProtocol: str,
        NewInternalPort: int,
        NewInternalClient: str,
        NewEnabled: bool,
        NewPortMappingDescription: str,
        NewLeaseDuration: int,
    ):
        key = (NewRemoteHost, NewExternalPort, NewProtocol)
        if TABLE.get(key, {"NewInternalClient": NewInternalClient})["NewInternalClient"] != NewInternalClient:
            raise UpnpActionError(error_code=718)
        TABLE[key] = {
            "NewInternalPort": NewInternalPort,
            "NewInternalClient": NewInternalClient,
            "NewEnabled": NewEnabled,
            "NewPortMappingDescription": NewPortMappingDescription,
            "NewLeaseDuration": NewLeaseDuration,
        }
        self.tell("PortMappingNumberOfEntries", len(TABLE))
        return {}

    @callable_action(name="DeletePortMapping", in_args=KEY, out_args={})
    async def delete(self, NewRemoteHost: str, NewExternalPort: int, NewProtocol: str):
        if TABLE.pop((NewRemoteHost, NewExternalPort, NewProtocol), None) is None:
            raise UpnpActionError(error_code=714)
        self.tell("PortMappingNumberOfEntries", len(TABLE))
        return {}

    @callable_action(name="GetSpecificPortMappingEntry", in_args=KEY, out_args=REST)
    async def specific(self, NewRemoteHost: str, NewExternalPort: int, NewProtocol: str):
        entry = TABLE.get((NewRemoteHost, NewExternalPort, NewProtocol))
        if entry is None:
            raise UpnpActionError(error_code=714)
        return entry

    @callable_action(
        name="GetGenericPortMappingEntry",
        in_args={"NewPortMappingIndex": "PortMappingNumberOfEntries"},
        out_args={**KEY, **REST},
    )
    async def generic(self, NewPortMappingIndex: int):
        if NewPortMappingIndex >= len(TABLE):
            raise UpnpActionError(error_code=713)
        key, entry = list(TABLE.items())[NewPortMappingIndex]
        return {**dict(zip(KEY, key, strict=True)), **entry}


class ConnectionDevice(UpnpServerDevice):
    DEVICE_DEFINITION = about("WANConnectionDevice", 3)
    EMBEDDED_DEVICES = []
    SERVICES = [Connection]


class WANDevice(UpnpServerDevice):
    DEVICE_DEFINITION = about("WANDevice", 2)
    EMBEDDED_DEVICES = [ConnectionDevice]
    SERVICES = [Common]


class GatewayDevice(UpnpServerDevice):
    DEVICE_DEFINITION = about("InternetGatewayDevice", 1)
    EMBEDDED_DEVICES = [WANDevice]
    SERVICES = []


async def main(address):
    server = UpnpServer(GatewayDevice, source=(address, 0), http_port=PORT)
    await server.async_start()
    (connection,) = [service for service in server._device.all_services if isinstance(service, Connection)]
    said = {"location": f"http://{address}:{PORT}/device.xml", "udn": ROOT}
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        print(json.dumps(said), flush=True)
        line = await reader.readline()
        if not line:
            break
        order, *arguments = json.loads(line)
        said = "done"
        if order == "change_address":
            connection.tell("ExternalIPAddress", arguments[0])
        elif order == "drop_wan":
            connection.tell("ConnectionStatus", "Disconnected")
        else:
            table = [[*key, *entry.values()] for key, entry in TABLE.items()]
            subscribers = [subscriber.url for subscriber in connection._subscribers]
            said = {"table": table, "calls": CALLS, "subscribers": subscribers}
    await server.async_stop()


asyncio.run(main(sys.argv[1]))
