"""A device of every service of the standard, that answers each action with sample values of its types."""

from __future__ import annotations

from typing import Any

from tests.actions.calls import sample
from txigd.igd.services import service_classes
from txigd.testing import Received, ScriptedDevice
from txigd.upnp.control import soap
from txigd.upnp.description import datatypes

HEAD = b'HTTP/1.1 %s\r\nContent-Length: %d\r\nContent-Type: text/xml; charset="utf-8"\r\nEXT:\r\n\r\n'
US = "192.168.1.7"


def description() -> bytes:
    """One root device with one service of each type."""
    services = "".join(
        f"<service><serviceType>{kind}</serviceType><serviceId>urn:upnp-org:serviceId:S{number}</serviceId>"
        f"<controlURL>/control/{number}</controlURL><eventSubURL/><SCPDURL>/none</SCPDURL></service>"
        for number, kind in enumerate(service_classes())
    )
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
        "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType><friendlyName>every action"
        f"</friendlyName><UDN>uuid:every-action</UDN><serviceList>{services}</serviceList></device></root>"
    ).encode()


class EveryService(ScriptedDevice):
    """Keeps what it was asked in ``calls``: (service type, action, arguments)."""

    def __init__(self, reactor: Any) -> None:
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        super().__init__(reactor, {"GET /desc.xml": _http(description()), lambda request: True: self.answer})

    def answer(self, request: Received) -> bytes:
        """Sample values for every out-argument."""
        service_type, action, given = soap.read_request(request.body)
        self.calls.append((service_type, action, given))
        service = service_classes()[service_type]
        table = next(one for one in service.actions.values() if one.wire == action)
        outputs = {one.wire: datatypes.encode(one.data_type, sample(one.variable, US)) for one in table.outputs}
        return _http(soap.response(service_type, action, outputs))


def _http(body: bytes) -> bytes:
    return HEAD % (b"200 OK", len(body)) + body
