"""The scripted device, and with it the three gateways of the seeds, driven by the package's own parts."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import defer
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.raw_client import ask, reactor, request
from txigd.errors import ActionError
from txigd.testing import Received, ScriptedDevice
from txigd.upnp import url
from txigd.upnp.control import soap
from txigd.upnp.description import device
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.http import Exchange

MESSAGES = Path(__file__).with_name("messages")
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:1"


def sample(name: str) -> bytes:
    return (MESSAGES / name).read_bytes()


class ReplayCase(TestCase):
    timeout = 180

    def device(self, replies, **options) -> ScriptedDevice:
        made = ScriptedDevice(reactor, replies, **options)
        made.open()
        self.addCleanup(made.close)
        return made


class ScriptedDeviceTests(ReplayCase):
    async def test_octet_for_octet(self) -> None:
        octets = bytes(range(256)) + b"\r\n\r\n\0"
        made = self.device({"GET /x": octets})
        asked = request("GET", "/x", made.port, "X-Odd:  spelling")
        self.assertEqual((await ask(made.port, asked)).raw, octets)
        self.assertEqual([received.raw for received in made.received], [asked])
        self.assertEqual(made.received[0].header("x-odd"), "spelling")
        self.assertEqual((await ask(made.port, request("GET", "/y", made.port))).status, 404)

    async def test_matchers(self) -> None:
        made = self.device(
            {
                "POST /c One": b"one",
                "POST /c": [b"first", b"then"],
                lambda received: received.body == b"magic": lambda received: received.line.encode(),
            }
        )
        action = f'SOAPACTION: "{WANIP}#One"'
        self.assertEqual((await ask(made.port, request("POST", "/c", made.port, action, body=b"a"))).raw, b"one")
        replies = [(await ask(made.port, request("POST", "/c", made.port, body=b"a"))).raw for _ in range(3)]
        self.assertEqual(replies, [b"first", b"then", b"then"])
        magic = await ask(made.port, request("PUT", "/m", made.port, body=b"magic"))
        self.assertEqual(magic.raw, b"PUT /m HTTP/1.1")

    async def test_request_in_pieces_and_dripping_reply(self) -> None:
        made = self.device({"POST /c": b"0123456789"}, drip=3)
        self.assertEqual((await ask(made.port, request("POST", "/c", made.port, body=b"x" * 5000))).raw, b"0123456789")
        self.assertEqual(made.received[0].body, b"x" * 5000)

    async def test_never_answers_until_closed(self) -> None:
        made = self.device({"GET /x": None})
        waiting = defer.ensureDeferred(ask(made.port, request("GET", "/x", made.port)))
        while not made.received:
            await deferLater(reactor, 0)
        await made.close()
        self.assertEqual((await waiting).raw, b"")

    def test_received(self) -> None:
        received = Received(b'POST /c HTTP/1.1\r\nsoapaction: "a#B"\r\n\r\nbody')
        self.assertEqual((received.action, received.body, received.head[-5:]), ("B", b"body", b'"a#B"'))
        self.assertEqual((Received(b"x").body, Received(b"x").action), (b"", ""))


class SeedTests(ReplayCase):
    """Description and calls of the captured gateways, end to end over sockets."""

    def setUp(self) -> None:
        self.exchange = Exchange(reactor)
        self.addCleanup(self.exchange.close)

    async def described(self, made: ScriptedDevice, path: str) -> device.Description:
        location = url.parse(f"{made.origin}{path}")
        return await fetch_description(self.exchange, location, seconds=5)

    async def call(self, service: device.Service, action: str, outputs: list[str], **arguments: str) -> dict[str, str]:
        assert service.control_url is not None
        body = soap.request(WANIP, action, tuple(arguments.items()))
        reply = await self.exchange.request(
            "POST", service.control_url, soap.headers(WANIP, action), body, body_cap=65536, seconds=5
        )
        return soap.read_reply(action, reply.status, reply.body, outputs)

    async def test_wrt54g(self) -> None:
        path = "/dyndev/uuid:000625d8-095f-0006-25d8-095f0032aa18"
        control = "/uuid:000625d8-095f-0006-25d8-095f0232aa18/WANIPConnection:1"
        made = self.device(
            {
                f"GET {path}": sample("note2004-wrt54g-description-response.http"),
                f"POST {control} AddPortMapping": sample("note2004-wrt54g-addportmapping-response.http"),
                f"POST {control} DeletePortMapping": sample("note2004-wrt54g-deleteportmapping-response.http"),
                f"POST {control} GetExternalIPAddress": sample("note2004-wrt54g-getexternalip-response.http"),
            }
        )
        described = await self.described(made, path)
        self.assertEqual(described.root.model_name, "WRT54G")
        services = {service.name: service for service in described.root.all_services()}
        self.assertEqual(len(services), 4)
        found = services["WANIPConnection"]
        address = await self.call(found, "GetExternalIPAddress", ["NewExternalIPAddress"])
        self.assertEqual(address, {"NewExternalIPAddress": "0.0.0.0"})
        self.assertEqual(await self.call(found, "AddPortMapping", [], NewRemoteHost=""), {})
        self.assertEqual(await self.call(found, "DeletePortMapping", [], NewRemoteHost=""), {})
        self.assertEqual(made.received[-1].line, f"POST {control} HTTP/1.1")

    async def test_befsr41(self) -> None:
        """URLBase and control URL name other ports; the double slash is kept."""
        control = self.device({"POST //WANIPConnection": sample("note2004-wrt54g-addportmapping-response.http")})
        document = sample("note2004-befsr41-description-completed.xml")
        document = document.replace(b"http://192.168.1.1:2468", control.origin.encode())
        made = self.device({"GET /rootDesc.xml": b"HTTP/1.0 200 OK\r\n\r\n" + document})
        made.replies["GET /rootDesc.xml"] = b"HTTP/1.0 200 OK\r\n\r\n" + document.replace(
            b"http://192.168.1.1:5678", made.origin.encode()
        )
        described = await self.described(made, "/rootDesc.xml")
        (found,) = [s for s in described.root.all_services() if s.name == "WANIPConnection"]
        self.assertEqual(await self.call(found, "AddPortMapping", [], NewRemoteHost=""), {})
        self.assertEqual(control.received[0].line, "POST //WANIPConnection HTTP/1.1")

    async def test_huawei_3com(self) -> None:
        made = self.device({"POST /EmWeb/UPnP/Control/4": sample("intro-huawei-getspecific-response.http")})
        document = sample("intro-huawei-description-completed.http").replace(
            b"http://192.168.1.1:2800", made.origin.encode()
        )
        asked = sample("intro-huawei-description-request.http").split()[1].decode()
        made.replies[f"GET {asked}"] = document
        described = await self.described(made, asked)
        (found,) = [s for s in described.root.all_services() if s.name == "WANIPConnection"]
        outputs = [
            "NewInternalPort",
            "NewInternalClient",
            "NewEnabled",
            "NewPortMappingDescription",
            "NewLeaseDuration",
        ]
        entry = await self.call(found, "GetSpecificPortMappingEntry", outputs, NewRemoteHost="")
        self.assertEqual((entry["NewInternalClient"], entry["NewInternalPort"]), ("192.168.1.2", "25118"))

    async def test_fault(self) -> None:
        made = self.device({"POST /c": sample("miniupnpd-fault-718.http")})
        body = soap.request(WANIP, "AddPortMapping")
        target = url.parse(f"{made.origin}/c")
        reply = await self.exchange.request("POST", target, (), body, body_cap=65536, seconds=5)
        error = self.assertRaises(ActionError, soap.read_reply, "AddPortMapping", reply.status, reply.body, ())
        self.assertEqual(error.code, 718)
