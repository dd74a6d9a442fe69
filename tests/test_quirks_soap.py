"""Quirks of calling actions (Q089-Q116, Q067, Q195) against the real caller, exchange and sockets, octet for octet.

The quirks of envelopes alone are tested in test_soap.py, those of the queue and the detours in test_action.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.raw_server import RawConnection, RawServer, reactor
from tests.test_action import IP1, TABLE, FakeExchange, good, service
from txigd.errors import ActionError, BadReply, HTTPStatusError, InvalidArgument
from txigd.igd.services import builtin_table
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.device import Service
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL

FIREWALL = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
CLOSE = b"Connection: close\r\n\r\n"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body) + CLOSE + body


def status(number: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n" % (number, len(body)) + CLOSE + body


def envelope(inside: str, prefix: str = "s", namespace: str = "http://schemas.xmlsoap.org/soap/envelope/") -> bytes:
    return (
        f'<?xml version="1.0"?><{prefix}:Envelope xmlns:{prefix}="{namespace}">'
        f"<{prefix}:Body>{inside}</{prefix}:Body></{prefix}:Envelope>"
    ).encode()


ADDRESS = '<u:GetExternalIPAddressResponse xmlns:u="{type}">{value}</u:GetExternalIPAddressResponse>'
VALUE = "<NewExternalIPAddress>203.0.113.5</NewExternalIPAddress>"
GIVEN = ADDRESS.format(type=IP1, value=VALUE)
FAULT = "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>{}</detail></s:Fault>"


class WireCase(TestCase):
    """A proxy of the built-in WANIPConnection:1 table over real loopback sockets."""

    timeout = 180

    def setUp(self) -> None:
        self.exchange = Exchange(reactor)
        self.addCleanup(self.exchange.close)

    def device(self, *answers: bytes | Callable[[RawConnection], object], target: str = "/ctl/IPConn") -> ServiceProxy:
        """A service whose control URL gives these answers one after the other."""
        left = list(answers)

        def script(connection: RawConnection) -> None:
            answer = left.pop(0)
            if isinstance(answer, bytes):
                connection.send(answer)
                connection.close()
            else:
                answer(connection)

        self.server = RawServer(script)
        self.addCleanup(self.server.stop)
        described = Service(IP1, "urn:upnp-org:serviceId:WANIPConn1", self.server.url(target), None, None)
        return ServiceProxy(described, builtin_table(IP1), Caller(self.exchange, clock=reactor))

    async def address(self, *answers: bytes) -> Any:
        values = await self.device(*answers).call("GetExternalIPAddress")
        return values.get("NewExternalIPAddress")


class RequestTests(WireCase):
    """What a gateway receives."""

    async def test_Q089_Q090_Q092_Q094_Q095_Q185_the_whole_request(self) -> None:
        proxy = self.device(ok(envelope(GIVEN)))
        await proxy.call("GetExternalIPAddress")
        head, _, body = self.server.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.assertEqual(lines[0], b"POST /ctl/IPConn HTTP/1.1")
        self.assertEqual([line.partition(b":")[0] for line in lines[1:]].count(b"SOAPACTION"), 1)
        action = next(line for line in lines if line.startswith(b"SOAPACTION"))
        self.assertEqual(action, b'SOAPACTION: "%s#GetExternalIPAddress"' % IP1.encode())
        self.assertIn(b"Content-Length: %d" % len(body), lines)
        # Q092: nothing that a careless reader could run together: every line ends with CR LF, none is folded
        self.assertNotIn(b"\n", head.replace(b"\r\n", b""))
        self.assertFalse([line for line in lines[1:] if line[:1] in b" \t" or b":" not in line])
        self.assertNotIn(b"chunked", head.lower())
        self.assertEqual(
            body,
            b'<?xml version="1.0"?>\n'  # as in the standard's examples and every capture; nothing more of the kind
            b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            b'<u:GetExternalIPAddress xmlns:u="%s"></u:GetExternalIPAddress></s:Body></s:Envelope>' % IP1.encode(),
        )

    async def test_Q093_head_and_body_in_one_piece(self) -> None:
        pieces: list[bytes] = []
        proxy = self.device(ok(envelope(GIVEN)))
        plain = RawConnection.dataReceived

        def counted(connection: RawConnection, data: bytes) -> None:
            pieces.append(data)
            plain(connection, data)

        self.patch(RawConnection, "dataReceived", counted)
        await proxy.call("GetExternalIPAddress")
        self.assertEqual(len(pieces), 1)

    async def test_Q096_Q097_Q098_Q100_Q101_arguments_on_the_wire(self) -> None:
        proxy = self.device(ok(envelope(f'<u:AddPortMappingResponse xmlns:u="{IP1}"/>')))
        await proxy.call(
            "AddPortMapping",
            NewLeaseDuration=3600,
            NewPortMappingDescription='"a" & <b>',
            NewEnabled=True,
            NewInternalClient="192.0.2.7",
            NewInternalPort=80,
            NewProtocol="tcp",
            NewExternalPort=8080,
            NewRemoteHost="",
        )
        inside = re.findall(rb"<(New\w+)>([^<]*)</", self.server.requests[0])
        self.assertEqual(
            inside,
            [
                (b"NewRemoteHost", b""),
                (b"NewExternalPort", b"8080"),
                (b"NewProtocol", b"TCP"),
                (b"NewInternalPort", b"80"),
                (b"NewInternalClient", b"192.0.2.7"),
                (b"NewEnabled", b"1"),
                (b"NewPortMappingDescription", b'"a" &amp; &lt;b&gt;'),
                (b"NewLeaseDuration", b"3600"),
            ],
        )


class ReplyTests(WireCase):
    """What gateways answer."""

    async def test_Q105_Q106_Q107_Q108_odd_envelopes(self) -> None:
        blank = "http://schemas.xmlsoap.org/soap/envelope/ "
        other = ADDRESS.format(type=IP1.replace("IPConnection", "PPPConnection") + "0", value=VALUE)
        for name, body in {
            "prefix": envelope(GIVEN, "SOAP-ENV"),
            "blank in the namespace": envelope(GIVEN, "soap", blank),
            "another type": envelope(other),
            "no type": envelope(f"<GetExternalIPAddressResponse>{VALUE}</GetExternalIPAddressResponse>"),
            "lower case": envelope(GIVEN.replace("NewExternalIPAddress", "newexternalipaddress")),
            "bare text": envelope(ADDRESS.format(type=IP1, value="203.0.113.5")),
        }.items():
            self.assertEqual(await self.address(ok(body)), "203.0.113.5", name)

    async def test_Q109_empty_replies(self) -> None:
        proxy = self.device(ok(b""), ok(b""), ok(b""))
        self.assertEqual(
            await proxy.call("DeletePortMapping", NewRemoteHost="", NewExternalPort=80, NewProtocol="TCP"), {}
        )
        with self.assertRaises(BadReply):
            await proxy.call("GetExternalIPAddress")
        self.assertEqual(len(self.server.requests), 3, "a Get is asked once more")

    async def test_Q111_Q112_Q113_faults(self) -> None:
        detail = '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{}</errorCode>{}</UPnPError>'
        said = "<errorDescription>No</errorDescription>"
        avm = detail.format(718, said).replace("schemas-upnp-org", "dslforum-org")
        bare = "<s:Fault><detail>" + detail.format(718, "") + "</detail></s:Fault>"
        camel = FAULT.format(detail.format(718, said)).replace("faultcode", "faultCode")
        for code, body in (
            (718, envelope(FAULT.format(detail.format(718, said)))),
            (718, envelope(FAULT.format(avm))),
            (718, envelope(bare)),
            (718, envelope(camel)),
            (-911, envelope(FAULT.format(detail.format(-911, said)))),
        ):
            for reply in (status(500, body), ok(body)):
                with self.assertRaises(ActionError) as caught:
                    await self.address(reply)
                self.assertEqual(caught.exception.code, code, body)
        self.assertEqual(caught.exception.name, "vendor")

    async def test_Q114_junk_behind_the_envelope(self) -> None:
        self.assertEqual(await self.address(ok(envelope(GIVEN) + b"\0\xff\xfejunk\x01")), "203.0.113.5")

    async def test_Q115_escaped_twice_is_unescaped_once(self) -> None:
        twice = envelope(
            ADDRESS.format(type=IP1, value="<NewExternalIPAddress>&amp;lt;x&amp;gt;</NewExternalIPAddress>")
        )
        self.assertEqual(await self.address(ok(twice)), "&lt;x&gt;")

    async def test_Q116_first_400_then_the_answer(self) -> None:
        self.assertEqual(await self.address(status(400, b"Bad Request"), ok(envelope(GIVEN))), "203.0.113.5")
        with self.assertRaises(HTTPStatusError) as caught:
            await self.address(status(500, b"<html>Internal error</html>"))
        self.assertIn("Internal error", str(caught.exception))


class DetourTests(SynchronousTestCase):
    """Q064, Q067: where else a control URL may be."""

    def call(self, exchange: FakeExchange, target: str, directory: str) -> Any:
        described = Service(IP1, "", DeviceURL(IPv4Address("192.0.2.1"), 5000, target), None, None, directory=directory)
        self.caller = getattr(self, "caller", None) or Caller(exchange, clock=Clock())
        return self.caller.call(described, IP1, "GetIt", (), ())

    def test_Q067_relative_to_the_root_after_404(self) -> None:
        exchange = FakeExchange(Reply(404), good(), good())
        self.successResultOf(self.call(exchange, "/dyndev/uuid:1/ctl?x=1", "/dyndev/uuid:1/"))
        self.successResultOf(self.call(exchange, "/dyndev/uuid:1/ctl?x=1", "/dyndev/uuid:1/"))
        self.assertEqual(exchange.targets, ["/dyndev/uuid:1/ctl?x=1", "/ctl?x=1", "/ctl?x=1"], "and it is remembered")

    def test_Q067_Q064_single_slashes_first(self) -> None:
        exchange = FakeExchange(Reply(404), Reply(404), good())
        self.successResultOf(self.call(exchange, "/igd//ctl", "/igd/"))
        self.assertEqual(exchange.targets, ["/igd//ctl", "/igd/ctl", "/ctl"])

    def test_Q067_nowhere(self) -> None:
        exchange = FakeExchange(*[Reply(404)] * 9)
        self.failureResultOf(self.call(exchange, "/igd/ctl", "/igd/"), HTTPStatusError)
        self.assertEqual(exchange.targets, ["/igd/ctl", "/ctl"])

    def test_Q067_only_after_404_and_only_below_the_directory(self) -> None:
        for target, directory, number in (("/igd/ctl", "/igd/", 500), ("/other/ctl", "/igd/", 404), ("/ctl", "/", 404)):
            self.caller = None
            exchange = FakeExchange(Reply(number))
            self.failureResultOf(self.call(exchange, target, directory), HTTPStatusError)
            self.assertEqual(exchange.targets, [target])

    def test_Q067_a_detour_that_works_no_more_is_forgotten(self) -> None:
        exchange = FakeExchange(Reply(404), good(), Reply(404), good())
        self.successResultOf(self.call(exchange, "/igd/ctl", "/igd/"))
        self.failureResultOf(self.call(exchange, "/igd/ctl", "/igd/"), HTTPStatusError)
        self.successResultOf(self.call(exchange, "/igd/ctl", "/igd/"))
        self.assertEqual(exchange.targets, ["/igd/ctl", "/ctl", "/ctl", "/igd/ctl"])


class ArgumentTests(SynchronousTestCase):
    """What never goes out."""

    def test_Q195_the_protocol_of_a_pinhole_is_a_number(self) -> None:
        exchange = FakeExchange(Reply(200, body=soap.response(FIREWALL, "AddPinhole", {"UniqueID": "7"})))
        proxy = ServiceProxy(service(service_type=FIREWALL), builtin_table(FIREWALL), Caller(exchange, clock=Clock()))
        given: dict[str, Any] = {
            "RemoteHost": "",
            "RemotePort": 0,
            "InternalClient": "2001:db8::7",
            "InternalPort": 80,
            "LeaseTime": 3600,
        }
        self.failureResultOf(proxy.call("AddPinhole", Protocol="TCP", **given), InvalidArgument)
        self.assertEqual(exchange.asked, [])
        self.assertEqual(self.successResultOf(proxy.call("AddPinhole", Protocol=6, **given)), {"UniqueID": 7})
        self.assertIn(b"<Protocol>6</Protocol>", exchange.asked[0]["body"])

    def test_Q151_Q083_an_action_refused_is_remembered_and_the_rest_works(self) -> None:
        exchange = FakeExchange(Reply(500, body=soap.fault(401)), good("GetIt", NewUptime="1"))
        proxy = ServiceProxy(service(), TABLE, Caller(exchange, clock=Clock()))
        fields: dict[str, Any] = {"NewRemoteHost": "", "NewPort": 1, "NewProtocol": "TCP", "NewEnabled": True}
        self.failureResultOf(proxy.call("AddIt", **fields), ActionError)
        self.successResultOf(proxy.call("GetIt"))
        self.assertEqual(dict(proxy.capabilities), {"AddIt": "refused", "GetIt": "works"})
