"""A device of every service of the standard. It knows igd.json, and nothing that txigd makes of it.

What it reads and writes goes through the standard library only, so that an error in txigd's own tables, types or
envelopes is not made on both ends.
"""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from txigd.testing import Received, ScriptedDevice

HEAD = b'HTTP/1.1 %s\r\nContent-Length: %d\r\nContent-Type: text/xml; charset="utf-8"\r\nEXT:\r\n\r\n'
ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
SERVICES: dict[str, Any] = json.loads(files("txigd.igd").joinpath("igd.json").read_text(encoding="utf-8"))["services"]
# Values that a narrower type could not hold, and that differ from argument to argument.
FIRST = {"ui1": 200, "ui2": 65_000, "ui4": 4_294_967_000}


def action_of(service_type: str, wire: str) -> dict[str, Any]:
    """The entry of an action in igd.json."""
    return next(entry for entry in SERVICES[service_type]["actions"] if entry["name"] == wire)


def told(argument: dict[str, str], place: int) -> str | int | bool | bytes:
    """What this device tells in the out-argument at a place."""
    kind = argument["type"]
    if kind == "boolean":
        return place % 2 == 0
    if kind == "bin.base64":
        return bytes((place, 0, 255))
    return f"<{argument['name']}> & {place}" if kind == "string" else FIRST[kind] + place


def as_text(value: object) -> str:
    """A value as UDA writes it in an envelope."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(int(value)) if isinstance(value, bool) else str(value)


def description() -> bytes:
    """One root device with one service of each type."""
    services = "".join(
        f"<service><serviceType>{kind}</serviceType><serviceId>urn:upnp-org:serviceId:S{number}</serviceId>"
        f"<controlURL>/control/{number}</controlURL><eventSubURL/><SCPDURL>/none</SCPDURL></service>"
        for number, kind in enumerate(SERVICES)
    )
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
        "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType><friendlyName>every action"
        f"</friendlyName><UDN>uuid:every-action</UDN><serviceList>{services}</serviceList></device></root>"
    ).encode()


class EveryService(ScriptedDevice):
    """Keeps what it was asked in ``calls``: (service type, action, names and texts of the arguments in order)."""

    def __init__(self, reactor: Any) -> None:
        self.calls: list[tuple[str, str, list[tuple[str, str]]]] = []
        super().__init__(reactor, {"GET /desc.xml": _http(description()), lambda request: True: self.answer})

    def answer(self, request: Received) -> bytes:
        """A value for every out-argument that igd.json has."""
        (body,) = ElementTree.fromstring(request.body).findall(f"{ENVELOPE}Body")
        (called,) = body
        service_type, _, wire = called.tag.removeprefix("{").partition("}")
        self.calls.append((service_type, wire, [(one.tag, one.text or "") for one in called]))
        outputs = "".join(
            f"<{one['name']}>{escape(as_text(told(one, place)))}</{one['name']}>"
            for place, one in enumerate(action_of(service_type, wire)["out"])
        )
        return _http(
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            f'<u:{wire}Response xmlns:u="{service_type}">{outputs}</u:{wire}Response></s:Body></s:Envelope>'.encode()
        )


def _http(body: bytes) -> bytes:
    return HEAD % (b"200 OK", len(body)) + body
