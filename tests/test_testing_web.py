"""The simulated gateway over HTTP: documents, control, subscriptions, and its bad days."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path

from twisted.internet import defer
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from tests.raw_client import Answer, Collector, ask, reactor, request
from txigd.errors import InvalidArgument
from txigd.limits import SIMULATED_REQUEST_OCTETS
from txigd.testing import SimulatedGateway
from txigd.testing import door as door_module
from txigd.testing import publisher as publisher_module
from txigd.upnp.control import soap
from txigd.upnp.eventing import gena

MESSAGES = Path(__file__).with_name("messages")
WANIP = "urn:schemas-upnp-org:service:WANIPConnection:2"


def event(raw: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")[1:]]
    note = gena.read_notification(headers, body)  # type: ignore[arg-type]
    return note.seq or 0, dict(note.values)


class WebCase(TestCase):
    timeout = 180

    def gateway(self, **options) -> SimulatedGateway:
        made = SimulatedGateway(reactor, **{"ssdp": False, "relay": False, **options})
        made.startService()
        self.addCleanup(made.stop)
        return made

    async def send(self, gateway: SimulatedGateway, method: str, path: str, *fields: str, body: bytes = b"") -> Answer:
        return await ask(gateway.port, request(method, path, gateway.port, *fields, body=body))

    async def call(self, gateway: SimulatedGateway, action: str, **arguments: str) -> Answer:
        body = soap.request(WANIP, action, tuple(arguments.items()))
        return await self.send(gateway, "POST", "/ctl/IPConn", f'SOAPACTION: "{WANIP}#{action}"', body=body)


class DocumentTests(WebCase):
    async def test_every_document(self) -> None:
        gateway = self.gateway()
        for path in ("/rootDesc.xml", "/", *(s.scpd_path for s in gateway.state.tree.services.values())):
            answer = await self.send(gateway, "GET", path)
            self.assertEqual((answer.status, int(answer.headers["content-length"])), (200, len(answer.body)), path)
            self.assertEqual(answer.headers["connection"], "close")
            head = await self.send(gateway, "HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""))
        self.assertIn("UPnP/", answer.headers["server"])

    async def test_description_request_sample(self) -> None:
        gateway = self.gateway()
        sample = (MESSAGES / "description-request.http").read_bytes()
        sample = re.sub(rb"192\.0\.2\.1:\d+", b"127.0.0.1:%d" % gateway.port, sample)
        answer = await ask(gateway.port, re.sub(rb"/\S*rootDesc.xml", b"/rootDesc.xml", sample))
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, 'text/xml; charset="utf-8"'))
        self.assertIn(b"InternetGatewayDevice:2", answer.body)

    async def test_microsoft_gets_version_1(self) -> None:
        gateway = self.gateway()
        for agent in ("Microsoft-Windows/10.0 UPnP/1.0", "FDSSDP"):
            answer = await self.send(gateway, "GET", "/rootDesc.xml", f"User-Agent: {agent}")
            self.assertIn(b"InternetGatewayDevice:1", answer.body)
            self.assertIn(gateway.udn.encode(), answer.body)

    async def test_statuses(self) -> None:
        gateway = self.gateway()
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("POST", "/nothing", 404),
            ("SUBSCRIBE", "/nothing", 404),
            ("UNSUBSCRIBE", "/nothing", 404),
            ("GET", "/ctl/IPConn", 405),
            ("DELETE", "/", 501),
            ("NOTIFY", "/evt/IPConn", 501),
        ):
            self.assertEqual((await self.send(gateway, method, path)).status, status, (method, path))

    async def test_Q053_host_is_checked(self) -> None:
        raw = b"GET /rootDesc.xml HTTP/1.1\r\nHost: %s\r\n\r\n"
        for check, status in ((True, 404), (False, 200)):
            gateway = self.gateway(check_host=check)
            for host in (b"127.0.0.1", b"example.com", b"evil.example:%d" % gateway.port):
                self.assertEqual((await ask(gateway.port, raw % host)).status, status)
            self.assertEqual((await ask(gateway.port, raw % (b"127.0.0.1:%d" % gateway.port))).status, 200)

    async def test_bounds(self) -> None:
        gateway = self.gateway()
        answer = await self.send(gateway, "POST", "/ctl/IPConn", body=b"x" * (SIMULATED_REQUEST_OCTETS + 1))
        self.assertEqual(answer.status, 413)
        self.patch(door_module, "SIMULATED_CONNECTIONS", 0)
        self.assertEqual((await self.send(gateway, "GET", "/")).raw, b"")


class ControlTests(WebCase):
    async def test_call_and_log(self) -> None:
        gateway = self.gateway()
        answer = await self.call(gateway, "GetExternalIPAddress")
        self.assertEqual(answer.status, 200)
        self.assertIn("ext", answer.headers)
        self.assertIn(b"<NewExternalIPAddress>11.22.33.44</NewExternalIPAddress>", answer.body)
        self.assertEqual((await self.call(gateway, "Nothing")).status, 500)
        first, second = gateway.requests
        self.assertEqual(
            (first.method, first.path, first.action, first.status), ("POST", "/ctl/IPConn", "GetExternalIPAddress", 200)
        )
        self.assertEqual((second.error, second.peer), (401, "127.0.0.1"))

    async def test_mpost(self) -> None:
        gateway = self.gateway()
        body = soap.request(WANIP, "GetStatusInfo")
        fields = [f"{name}: {value}" for name, value in soap.headers(WANIP, "GetStatusInfo", mpost=True)]
        self.assertEqual((await self.send(gateway, "M-POST", "/ctl/IPConn", *fields, body=body)).status, 200)

    async def test_refuse(self) -> None:
        gateway = self.gateway(refuse={"GetStatusInfo", "SUBSCRIBE"})
        self.assertIn(b"<errorCode>401<", (await self.call(gateway, "GetStatusInfo")).body)
        self.assertEqual((await self.call(gateway, "GetExternalIPAddress")).status, 200)
        fields = ("CALLBACK: <http://127.0.0.1:9/x>", "NT: upnp:event")
        self.assertEqual((await self.send(gateway, "SUBSCRIBE", "/evt/IPConn", *fields)).status, 412)
        gateway = self.gateway(refuse={"GetStatusInfo": 602, "SUBSCRIBE": 501})
        self.assertIn(b"<errorCode>602<", (await self.call(gateway, "GetStatusInfo")).body)
        self.assertEqual((await self.send(gateway, "SUBSCRIBE", "/evt/IPConn", *fields)).status, 501)


class FaultTests(WebCase):
    async def test_words(self) -> None:
        gateway = self.gateway()
        whole = await self.call(gateway, "GetStatusInfo")
        gateway.set_fault("GetStatusInfo", 501)
        answer = await self.call(gateway, "GetStatusInfo")
        self.assertEqual((answer.status, b"<errorCode>501<" in answer.body), (500, True))
        gateway.set_fault("GetStatusInfo", HTTPStatus.SERVICE_UNAVAILABLE)
        self.assertEqual((await self.call(gateway, "GetStatusInfo")).status, 503)
        gateway.set_fault("GetStatusInfo", "html")
        answer = await self.call(gateway, "GetStatusInfo")
        self.assertEqual((answer.status, answer.headers["content-type"][:9]), (200, "text/html"))
        gateway.set_fault("GetStatusInfo", "empty")
        self.assertEqual((await self.call(gateway, "GetStatusInfo")).body, b"")
        for word in ("close", "reset"):
            gateway.set_fault("GetStatusInfo", word)
            self.assertEqual((await self.call(gateway, "GetStatusInfo")).raw, b"", word)
        gateway.set_fault("GetStatusInfo", "garbage")
        self.assertFalse((await self.call(gateway, "GetStatusInfo")).raw.startswith(b"HTTP"))
        gateway.set_fault("GetStatusInfo", b"HTTP/1.0 200 OK\r\n\r\nmine")
        self.assertEqual((await self.call(gateway, "GetStatusInfo")).raw, b"HTTP/1.0 200 OK\r\n\r\nmine")
        gateway.set_fault("GetStatusInfo", "cut")
        answer = await self.call(gateway, "GetStatusInfo")
        self.assertEqual(answer.body, whole.body[: len(whole.body) // 2])
        self.assertEqual(int(answer.headers["content-length"]), len(whole.body))
        gateway.clear_faults()
        self.assertEqual((await self.call(gateway, "GetStatusInfo")).status, 200)

    async def test_hang_ends_with_the_gateway(self) -> None:
        gateway = self.gateway()
        gateway.set_fault("*", "hang")
        waiting = defer.ensureDeferred(self.call(gateway, "GetStatusInfo"))
        while not gateway.requests:
            await defer.ensureDeferred(_turn())
        self.assertFalse(waiting.called)
        await gateway.stop()
        self.assertEqual((await waiting).raw, b"")

    async def test_F45_applied_but_not_answered(self) -> None:
        gateway = self.gateway()
        gateway.set_fault("AddPortMapping", "lost", times=1)
        wish = {
            "NewRemoteHost": "",
            "NewExternalPort": "8080",
            "NewProtocol": "TCP",
            "NewInternalPort": "80",
            "NewInternalClient": "127.0.0.1",
            "NewEnabled": "1",
            "NewPortMappingDescription": "",
            "NewLeaseDuration": "60",
        }
        self.assertEqual((await self.call(gateway, "AddPortMapping", **wish)).raw, b"")
        self.assertEqual(len(gateway.mappings), 1)
        self.assertEqual((await self.call(gateway, "AddPortMapping", **wish)).status, 200, "befell one request only")

    async def test_late(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock)
        gateway.set_fault("GetStatusInfo", "late")
        waiting = defer.ensureDeferred(self.call(gateway, "GetStatusInfo"))
        while not gateway.requests:
            await defer.ensureDeferred(_turn())
        clock.advance(1.9)
        self.assertFalse(waiting.called)
        clock.advance(0.1)
        self.assertEqual((await waiting).status, 200)

    async def test_documents_and_times(self) -> None:
        gateway = self.gateway()
        gateway.set_fault("GET", HTTPStatus.NOT_FOUND, times=2)
        gateway.set_fault("/L3F.xml", 500)
        statuses = [(await self.send(gateway, "GET", "/rootDesc.xml")).status for _ in range(3)]
        self.assertEqual(statuses, [404, 404, 200])
        self.assertEqual((await self.send(gateway, "GET", "/L3F.xml")).status, 500)

    async def test_taken_away(self) -> None:
        gateway = self.gateway()
        gateway.set_fault("GetStatusInfo", 501)
        gateway.set_fault("GetStatusInfo", None)
        self.assertEqual((await self.call(gateway, "GetStatusInfo")).status, 200)

    def test_unknown_word(self) -> None:
        self.assertRaises(InvalidArgument, self.gateway().set_fault, "GET", "sulk")


async def _turn() -> None:
    await deferLater(reactor, 0)


class EventCase(WebCase):
    def setUp(self) -> None:
        self.collector = Collector()
        self.addCleanup(self.collector.stop)
        self.callback = f"CALLBACK: <http://127.0.0.1:{self.collector.port}/evt/1>"

    async def subscribe(self, gateway: SimulatedGateway, *fields: str, path: str = "/evt/IPConn") -> Answer:
        fields = fields or (self.callback, "NT: upnp:event", "TIMEOUT: Second-300")
        return await self.send(gateway, "SUBSCRIBE", path, *fields)

    async def settled(self, gateway: SimulatedGateway) -> None:
        """The gateway has read the answers to its NOTIFYs, so that a jump of the clock cuts none."""
        while any(subscription.sending for subscription in gateway.subscribers):
            await _turn()

    async def event(self) -> tuple[int, dict[str, str]]:
        return event(await self.collector.heard.get())


class SubscriptionTests(EventCase):
    async def test_manifest_of_bad_requests(self) -> None:
        gateway = self.gateway()
        manifest = json.loads((MESSAGES / "manifest.json").read_text())
        asked = 0
        for row in manifest:
            if not row["file"].startswith("gena-bad-subscribe-request-"):
                continue
            sample = (MESSAGES / row["file"]).read_bytes().replace(b"192.0.2.1:5000", b"127.0.0.1:%d" % gateway.port)
            self.assertEqual((await ask(gateway.port, sample)).status, row["expect"]["answer"], row["file"])
            asked += 1
        self.assertEqual((asked, gateway.subscribers), (3, ()))

    async def test_statuses(self) -> None:
        gateway = self.gateway()
        rows: tuple = (
            (("NT: upnp:event",), 412),
            ((self.callback,), 412),
            ((self.callback, "NT: upnp:other"), 412),
            (("CALLBACK: <https://127.0.0.1/x>", "NT: upnp:event"), 412),
            (("CALLBACK: <http://localhost:1/x>", "NT: upnp:event"), 412),
            (("CALLBACK: nonsense", "NT: upnp:event"), 412),
            (("SID: uuid:nobody",), 412),
            (("SID: uuid:nobody", "NT: upnp:event"), 400),
            (("SID: uuid:nobody", self.callback), 400),
        )
        for fields, status in rows:
            self.assertEqual((await self.subscribe(gateway, *fields)).status, status, fields)
        for fields, status in (((), 412), (("SID: uuid:nobody",), 412), (("SID: x", "NT: upnp:event"), 400)):
            self.assertEqual((await self.send(gateway, "UNSUBSCRIBE", "/evt/IPConn", *fields)).status, status, fields)

    async def test_life_of_a_subscription(self) -> None:
        clock = Clock()
        clock.advance(1000)
        gateway = self.gateway(clock=clock)
        answer = await self.subscribe(gateway)
        self.assertEqual((answer.status, answer.headers["timeout"], answer.body), (200, "Second-300", b""))
        sid = answer.headers["sid"]
        self.assertRegex(sid, r"\Auuid:[0-9a-f-]{36}\Z")
        seq, values = await self.event()
        self.assertEqual(seq, 0)
        self.assertEqual(
            values,
            {
                "PossibleConnectionTypes": "IP_Routed",
                "ConnectionStatus": "Connected",
                "ExternalIPAddress": "11.22.33.44",
                "PortMappingNumberOfEntries": "0",
                "SystemUpdateID": "1",
            },
        )
        await self.settled(gateway)
        clock.advance(299)
        renewed = await self.subscribe(gateway, f"SID: {sid}", "TIMEOUT: Second-600")
        self.assertEqual((renewed.headers["sid"], renewed.headers["timeout"]), (sid, "Second-600"))
        gateway.change_address("11.22.33.55")
        self.assertEqual(await self.event(), (1, {"ExternalIPAddress": "11.22.33.55"}))
        self.assertEqual(self.collector.heard.pending, [], "a renewal sends no initial event")
        wrong = await self.send(gateway, "UNSUBSCRIBE", "/evt/CmnIfCfg", f"SID: {sid}")
        self.assertEqual(wrong.status, 412, "a SID belongs to its service")
        await self.settled(gateway)
        clock.advance(601)
        self.assertEqual(gateway.subscribers, ())
        self.assertEqual((await self.subscribe(gateway, f"SID: {sid}")).status, 412)

    async def test_unsubscribe(self) -> None:
        gateway = self.gateway()
        sid = (await self.subscribe(gateway)).headers["sid"]
        await self.event()
        self.assertEqual((await self.send(gateway, "UNSUBSCRIBE", "/evt/IPConn", f"SID: {sid}")).status, 200)
        self.assertEqual((await self.send(gateway, "UNSUBSCRIBE", "/evt/IPConn", f"SID: {sid}")).status, 412)
        gateway.drop_wan()
        self.assertEqual((gateway.subscribers, self.collector.heard.pending), ((), []))

    async def test_every_service_sends_its_variables(self) -> None:
        gateway = self.gateway(connection="both-with-PPP-live")
        for service in gateway.state.tree.services.values():
            self.assertEqual((await self.subscribe(gateway, path=service.event_path)).status, 200)
            seq, values = await self.event()
            self.assertEqual((seq, set(values)), (0, set(service.template.evented)), service.name)

    async def test_grants(self) -> None:
        for options, asked, granted in (
            ({}, "Second-1", "Second-1"),
            ({}, "Second-infinite", "Second-1800"),
            ({}, "Second-999999", "Second-86400"),
            ({"granted_seconds": 60}, "Second-1800", "Second-60"),
        ):
            gateway = self.gateway(**options)
            answer = await self.subscribe(gateway, self.callback, "NT: upnp:event", f"TIMEOUT: {asked}")
            self.assertEqual(answer.headers["timeout"], granted)
            await self.event()

    async def test_503_when_full(self) -> None:
        self.patch(publisher_module, "SIMULATED_SUBSCRIBERS", 1)
        gateway = self.gateway()
        self.assertEqual([(await self.subscribe(gateway)).status for _ in "ab"], [200, 503])
        await self.event()


class EventTests(EventCase):
    async def test_wan_drop_and_return(self) -> None:
        gateway = self.gateway()
        await self.subscribe(gateway)
        await self.event()
        gateway.drop_wan()
        self.assertEqual(await self.event(), (1, {"ConnectionStatus": "Disconnected", "ExternalIPAddress": ""}))
        gateway.restore_wan()
        self.assertEqual(await self.event(), (2, {"ConnectionStatus": "Connected", "ExternalIPAddress": "11.22.33.44"}))

    async def test_passing_states_and_the_common_service(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock, setup_seconds=1.0)
        clock.advance(1)
        await self.subscribe(gateway, path="/evt/CmnIfCfg")
        self.assertEqual((await self.event())[1]["PhysicalLinkStatus"], "Up")
        gateway.drop_wan()
        self.assertEqual((await self.event())[1], {"PhysicalLinkStatus": "Down", "NumberOfActiveConnections": "0"})
        await self.subscribe(gateway)
        await self.event()
        gateway.restore_wan()
        first, second = await self.event(), await self.event()
        self.assertIn((1, {"ConnectionStatus": "Connecting"}), (first, second))
        clock.advance(1)
        first, second = await self.event(), await self.event()
        self.assertIn("Connected", [first[1].get("ConnectionStatus"), second[1].get("ConnectionStatus")])

    async def test_mappings_and_leases(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock)
        await self.subscribe(gateway)
        await self.event()
        gateway.add_foreign_mapping("TCP", 4000, lease_seconds=60)
        self.assertEqual((await self.event())[1], {"PortMappingNumberOfEntries": "1", "SystemUpdateID": "2"})
        await self.settled(gateway)
        clock.advance(59.9)
        self.assertEqual(len(gateway.mappings), 1)
        clock.advance(0.2)
        self.assertEqual((await self.event())[1], {"PortMappingNumberOfEntries": "0", "SystemUpdateID": "3"})

    async def test_silent_events(self) -> None:
        gateway = self.gateway(silent_events=True)
        await self.subscribe(gateway)
        await self.event()
        gateway.drop_wan()
        self.assertEqual(gateway.subscribers[0].next_seq, 1)

    async def test_silent_drops(self) -> None:
        gateway = self.gateway(silent_drops=True)
        await self.subscribe(gateway)
        await self.event()
        gateway.drop_wan()
        gateway.restore_wan()
        gateway.change_address("11.22.33.55")
        self.assertEqual(await self.event(), (1, {"ExternalIPAddress": "11.22.33.55"}))

    async def test_headers_and_source_of_a_notify(self) -> None:
        gateway = self.gateway()
        sid = (await self.subscribe(gateway)).headers["sid"]
        raw = await self.collector.heard.get()
        self.assertTrue(raw.startswith(b"NOTIFY /evt/1 HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\n" % self.collector.port))
        for line in (b"NT: upnp:event", b"NTS: upnp:propchange", f"SID: {sid}".encode(), b"SEQ: 0"):
            self.assertIn(b"\r\n%s\r\n" % line, raw)
        self.assertEqual(self.collector.peers, ["127.0.0.1"])

    async def test_412_ends_the_subscription(self) -> None:
        gateway = self.gateway()
        self.collector.answer = b"HTTP/1.1 412 Precondition Failed\r\n\r\n"
        await self.subscribe(gateway)
        await self.event()
        while gateway.subscribers:
            await _turn()

    async def test_other_failures_are_retried_then_given_up(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock)
        self.collector.answer = b""
        await self.subscribe(gateway)
        for _ in range(3):
            self.assertEqual((await self.event())[0], 0)
            while not clock.getDelayedCalls() or clock.getDelayedCalls()[0].getTime() - clock.seconds() > 10:
                if gateway.subscribers[0].sending is None:
                    break
                await _turn()
            clock.advance(2)
        self.collector.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        while gateway.subscribers[0].sending is not None:
            await _turn()
        gateway.change_address("11.22.33.55")
        self.assertEqual(await self.event(), (1, {"ExternalIPAddress": "11.22.33.55"}))

    async def test_callbacks_in_their_order(self) -> None:
        gateway = self.gateway()
        dead = Collector()
        await dead.stop()
        both = f"CALLBACK: <http://127.0.0.1:{dead.port}/no><http://127.0.0.1:{self.collector.port}/yes>"
        self.assertEqual((await self.subscribe(gateway, both, "NT: upnp:event")).status, 200)
        self.assertTrue((await self.collector.heard.get()).startswith(b"NOTIFY /yes "))

    async def test_one_at_a_time_in_order(self) -> None:
        gateway = self.gateway()
        await self.subscribe(gateway)
        for number in range(1, 21):
            gateway.change_address(f"11.22.33.{number}")
        events = [await self.event() for _ in range(21)]
        self.assertEqual([seq for seq, _ in events], list(range(21)))
        self.assertEqual(events[-1][1], {"ExternalIPAddress": "11.22.33.20"})

    async def test_F07_F09_lost_and_doubled_events(self) -> None:
        gateway = self.gateway()
        gateway.set_fault("NOTIFY", "twice", times=1)
        await self.subscribe(gateway)
        self.assertEqual([(await self.event())[0] for _ in "ab"], [0, 0])
        gateway.set_fault("NOTIFY", "skip", times=1)
        gateway.change_address("11.22.33.1")
        gateway.change_address("11.22.33.2")
        self.assertEqual((await self.event())[0], 2)
        gateway.set_fault("NOTIFY", b"<no/>", times=1)
        gateway.change_address("11.22.33.3")
        self.assertTrue((await self.collector.heard.get()).endswith(b"<no/>"))

    async def test_F10_initial_event_before_the_answer(self) -> None:
        clock = Clock()
        gateway = self.gateway(clock=clock)
        gateway.set_fault("SUBSCRIBE", "late")
        waiting = defer.ensureDeferred(self.subscribe(gateway))
        self.assertEqual((await self.event())[0], 0)
        self.assertFalse(waiting.called)
        clock.advance(2)
        self.assertEqual((await waiting).status, 200)

    async def test_stop_while_a_notify_is_under_way(self) -> None:
        gateway = self.gateway()
        self.collector.answer = b""
        await self.subscribe(gateway)
        await self.event()
        await gateway.stop()
        self.assertEqual(gateway.subscribers, ())

    async def test_statevar_is_ignored_as_allowed(self) -> None:
        gateway = self.gateway()
        sample = (MESSAGES / "gena-subscribe-request-statevar.http").read_bytes()
        sample = re.sub(rb"192\.0\.2\.1:5000", b"127.0.0.1:%d" % gateway.port, sample)
        sample = re.sub(rb"192\.0\.2\.10:\d+", b"127.0.0.1:%d" % self.collector.port, sample)
        self.assertEqual((await ask(gateway.port, sample)).status, 200)
        self.assertEqual(len((await self.event())[1]), 5)
