"""Whether a device is an Internet gateway: by what it offers, and by what it calls itself. Knows no gateway."""

from __future__ import annotations

from txigd.upnp.description.device import Description
from txigd.upnp.remote_device import RemoteDevice

CONNECTIONS = ("WANIPConnection", "WANPPPConnection")
_GATEWAY = ":internetgatewaydevice:"


def is_gateway(description: Description) -> bool:
    """Whether a device has a WAN connection service, wherever in its tree (Q012)."""
    return any(service.name in CONNECTIONS for service in description.root.all_services())


def offers_connection(device: RemoteDevice) -> bool:
    """Whether one of the trees that a device shows is a gateway's (Q197)."""
    return any(map(is_gateway, device.descriptions))


def calls_itself_gateway(device: RemoteDevice) -> bool:
    """Whether it describes or announces itself as an InternetGatewayDevice, whatever it offers."""
    told = [device.description.root.device_type, *(name for one in device.sightings.values() for name in one.targets)]
    return any(_GATEWAY in name.lower() for name in told)
