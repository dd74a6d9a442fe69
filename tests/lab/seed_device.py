"""The gateways of the two founding documents, served byte for byte at 192.168.1.1 inside a namespace.

    python -m tests.lab.seed_device befsr41|wrt54g|huawei REQUESTS

What the captures hold is sent as captured; actions of which there is no capture are answered in the plain form of the
standard. Every request is appended to the file REQUESTS, a line of base64 each.
"""

from __future__ import annotations

import base64
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import react

from txigd.testing import Received, ScriptedDevice
from txigd.upnp.control import soap

SAMPLES = Path(__file__).parent.parent / "messages"
HOST = "192.168.1.1"
PUBLIC = "11.22.33.44"


def sample(name: str) -> bytes:
    """A captured message."""
    return (SAMPLES / name).read_bytes()


@dataclass
class Seed:
    """One gateway: its captures, its ports, and the table behind them."""

    search_answer: bytes
    ports: tuple[int, ...]
    documents: dict[str, bytes]
    # control path -> (status, external address): what that service says of itself
    services: dict[str, tuple[str, str]]
    captured: dict[tuple[str, str], bytes] = field(default_factory=dict)
    table: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    log: Path = Path("/dev/null")

    def answer(self, request: Received) -> bytes | None:
        """The octets to send for a request."""
        with self.log.open("ab") as log:
            log.write(base64.b64encode(request.raw) + b"\n")
        method, path, *_ = [*request.line.split(" "), "", ""]
        if method == "GET":
            return self.documents.get(path, b"HTTP/1.0 404 Not Found\r\n\r\n")
        if method != "POST" or path not in self.services:
            return b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"  # they event nothing
        service_type, action, arguments = soap.read_request(request.body)
        key = (arguments.get("NewProtocol", ""), arguments.get("NewExternalPort", ""))
        captured = self.captured.get((path, f"{action} {key[1]}")) or self.captured.get((path, action))
        if action == "AddPortMapping":
            self.table[key] = arguments
        if action == "DeletePortMapping":
            self.table.pop(key, None)
        return captured or self.composed(path, service_type, action, key)

    def composed(self, path: str, service_type: str, action: str, key: tuple[str, str]) -> bytes:
        """What no capture shows."""
        status, address = self.services[path]
        outputs: dict[str, str] | None = {
            "GetStatusInfo": {
                "NewConnectionStatus": status,
                "NewLastConnectionError": "ERROR_NONE",
                "NewUptime": "5",
            },
            "GetExternalIPAddress": {"NewExternalIPAddress": address},
            "AddPortMapping": {},
            "DeletePortMapping": {},
        }.get(action)
        if action == "GetSpecificPortMappingEntry":
            entry = self.table.get(key)
            names = ("NewInternalPort", "NewInternalClient", "NewEnabled", "NewPortMappingDescription")
            if entry is None:
                return _http(b"500 Internal Server Error", soap.fault(714))
            outputs = {**{name: entry[name] for name in names}, "NewLeaseDuration": entry["NewLeaseDuration"]}
        if outputs is None:
            return _http(b"500 Internal Server Error", soap.fault(401))
        return _http(b"200 OK", soap.response(service_type, action, outputs))


def _http(status: bytes, body: bytes) -> bytes:
    head = b'HTTP/1.1 %s\r\nContent-Length: %d\r\nContent-Type: text/xml; charset="utf-8"\r\nEXT:\r\n\r\n'
    return head % (status, len(body)) + body


def seeds() -> dict[str, Seed]:
    """The three gateways."""
    wrt = "/uuid:000625d8-095f-0006-25d8-095f0232aa18"
    description = sample("note2004-befsr41-description-completed.xml")
    return {
        "befsr41": Seed(
            sample("note2004-befsr41-notify-as-answer.http"),
            (5678, 2468),
            {"/rootDesc.xml": b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n" + description},
            {"//WANIPConnection": ("Connected", PUBLIC)},
        ),
        "wrt54g": Seed(
            sample("note2004-wrt54g-search-response-folded.http"),
            (5431,),
            {"/dyndev/uuid:000625d8-095f-0006-25d8-095f0032aa18": sample("note2004-wrt54g-description-response.http")},
            {
                f"{wrt}/WANIPConnection:1": ("Connected", "0.0.0.0"),
                f"{wrt}/WANPPPConnection:1": ("Connected", PUBLIC),
            },
            {
                (f"{wrt}/WANIPConnection:1", "GetExternalIPAddress"): sample(
                    "note2004-wrt54g-getexternalip-response.http"
                ),
                (f"{wrt}/WANPPPConnection:1", "AddPortMapping"): sample("note2004-wrt54g-addportmapping-response.http"),
                (f"{wrt}/WANPPPConnection:1", "DeletePortMapping"): sample(
                    "note2004-wrt54g-deleteportmapping-response.http"
                ),
            },
        ),
        "huawei": Seed(
            b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age = 1800\r\nEXT:\r\n"
            b"LOCATION: http://192.168.1.1:2800/InternetGatewayDevice.xml\r\n"
            b"SERVER: Unknown/0.0 UPnP/1.0 Conexant-EmWeb/R6_1_0\r\n"
            b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
            b"USN: uuid:ab270226-590c-8539-3c7d-8ee91a399470"
            b"::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n",
            (2800,),
            {"/InternetGatewayDevice.xml": sample("intro-huawei-description-completed.http")},
            {"/EmWeb/UPnP/Control/4": ("Connected", PUBLIC)},
            {
                ("/EmWeb/UPnP/Control/4", "GetSpecificPortMappingEntry 25118"): sample(
                    "intro-huawei-getspecific-response.http"
                )
            },
        ),
    }


class Searched(DatagramProtocol):
    """Answers each search for what the capture names, with the captured octets."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """One answer for one search."""
        if datagram.startswith(b"M-SEARCH") and self.transport is not None:
            self.transport.write(self.answer, addr)


def main(reactor, name: str, log: str):
    """Serve until ended."""
    seed = seeds()[name]
    seed.log = Path(log)
    for port in seed.ports:
        ScriptedDevice(reactor, {lambda request: True: seed.answer}, address=HOST, port=port).open()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", 1900))
    membership = struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(HOST))
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    listener.setblocking(False)
    reactor.adoptDatagramPort(listener.fileno(), socket.AF_INET, Searched(seed.search_answer))
    print("ready", flush=True)
    from twisted.internet.defer import Deferred

    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
