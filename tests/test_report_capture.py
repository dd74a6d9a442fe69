"""Reports captured from gateways on loopback, and replayed: what comes back is what was there, but for the masks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.raw_client import ask, request
from tests.raw_server import RawServer, answer, timers
from txigd.errors import AddressingError, BadReport, ExchangeError, NoGateway, NotAGateway
from txigd.igd import report_capture, report_recorder
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.report import Datagram, Report, Step
from txigd.igd.report_capture import NEVER_CALLED, capture
from txigd.igd.report_format import from_text, to_text
from txigd.limits import REPORT_RECORD_OCTETS
from txigd.testing import ScriptedDevice, SimulatedGateway
from txigd.testing.reported import ReportedGateway
from txigd.upnp import addressing
from txigd.upnp.addressing import NextHop
from txigd.upnp.http import Exchange
from txigd.upnp.url import parse

reactor: Any = installed
SAMPLES = Path(__file__).parent / "messages"
OUTSIDE = "84.22.33.44"


def named(report: Report, kind: str, name: str = "") -> list[Step]:
    return [step for step in report.steps if step.kind == kind and name in (step.name, "")]


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Deaf(ControlPoint):
    """Knows what it is told only: other tests on this machine have gateways on loopback, too."""

    def accepts(self, sighting: Any) -> bool:
        return False


class Case(TestCase):
    """Waits on the real reactor, and no longer than it must."""

    timeout = 180

    def setUp(self) -> None:
        self.patch(report_capture, "REPORT_LISTEN_SECONDS", 0.4)
        self.patch(report_capture, "REPORT_EVENT_SECONDS", 1.0)
        self.patch(report_recorder, "SEARCH_OFFSETS_SECONDS", (0.0, 0.2))

    async def simulated(self, **more: Any) -> SimulatedGateway:
        gateway = SimulatedGateway(reactor, **{"external_ip": OUTSIDE, "relay": False, "ssdp": False, **more})
        self.addCleanup(gateway.stop)
        await gateway.start()
        return gateway

    async def replayed(self, report: Report, **more: Any) -> ReportedGateway:
        gateway = ReportedGateway(reactor, from_text(to_text(report)), **{"ssdp": False, **more})
        self.addCleanup(gateway.stop)
        await gateway.start()
        self.assertEqual(gateway.problems, ())
        return gateway

    async def captured(self, gateway: str, **more: Any) -> Report:
        async with Deaf(reactor, links=["lo"], gateway=gateway, events=False) as point:
            return await capture(point, **more)

    async def seen(self, gateway: str, look: Callable[[Gateway], Any], **more: Any) -> Any:
        async with Deaf(reactor, links=["lo"], gateway=gateway, **{"events": False, **more}) as point:
            found = look(await point.gateway())
            return await found if isinstance(found, Deferred) else found


class CaptureTests(Case):
    async def test_everything_is_asked_and_nothing_changed(self) -> None:
        gateway = await self.simulated()
        gateway.add_foreign_mapping("TCP", 4711, description="annas game")
        report = await self.captured(gateway.location)
        self.assertEqual([step.outcome for step in named(report, "description")], ["ok"])
        services = {step.service.split(":")[3] for step in named(report, "scpd")}
        self.assertLessEqual({"WANIPConnection", "WANCommonInterfaceConfig", "Layer3Forwarding"}, services)
        called = {seen.action for seen in gateway.requests if seen.action}
        self.assertLessEqual({"GetStatusInfo", "GetExternalIPAddress", "GetGenericPortMappingEntry"}, called)
        self.assertEqual([name for name in called if not name.startswith("Get") or name in NEVER_CALLED], [])
        self.assertEqual(len(gateway.mappings), 1)
        # each subscription brought its first event, and is over
        subscribed = named(report, "subscribe")
        self.assertEqual({event.path for event in report.events}, {step.path for step in subscribed})
        self.assertEqual([step.outcome for step in named(report, "unsubscribe")], ["ok"] * len(subscribed))
        self.assertEqual(gateway.subscribers, ())
        self.assertTrue(all(event.octets.startswith(b"NOTIFY /") for event in report.events))
        # our own view
        self.assertEqual(report.view.state["status"], "Connected")
        self.assertEqual(report.view.capabilities["WANIPConnection:2 GetStatusInfo"], "works")
        self.assertIn("in use", report.view.ranking[0])
        self.assertEqual(report.model, "txigd Simulated gateway 2")

    async def test_Q074_Q076_what_each_of_two_equal_services_can(self) -> None:
        gateway = await self.simulated(quirks={"Q074", "Q076"})
        report = await self.captured(gateway.location)
        told = [name for name in report.view.capabilities if name.endswith(" GetStatusInfo")]
        self.assertEqual(told, [f"WANIPConnection:2 ({place}) GetStatusInfo" for place in ("0.0.1", "1.0.1")])
        lines = [one for one in report.view.ranking if one.startswith("connection ")]
        self.assertEqual(len(set(lines)), 2, lines)
        self.assertEqual(from_text(to_text(report)).view, report.view)

    async def test_nothing_private_is_in_the_file(self) -> None:
        gateway = await self.simulated(udn="uuid:8c80f73f-4ba0-45fa-835d-0090a277777b", ssdp=True)
        gateway.add_foreign_mapping("TCP", 4711, description="annas game", remote_host="85.1.2.3")
        report = await self.captured(gateway.location)
        text = to_text(report).lower()
        for secret in (OUTSIDE, "annas game", "85.1.2.3", "0090a277777b", "8c80f73f"):
            self.assertNotIn(secret, text)
        self.assertIn('"format": "txigd-report"', text)
        assert report.masked is not None
        self.assertGreaterEqual(report.masked["public addresses"], 2)
        self.assertTrue(report.datagrams)

    async def test_octets_are_those_of_the_wire(self) -> None:
        gateway = await self.simulated()
        report = await self.captured(gateway.location)
        (one,) = named(report, "call", "GetStatusInfo")[0].exchanges
        self.assertTrue(one.received.startswith(b"HTTP/1.1 200 OK\r\n"), one.received)
        self.assertIn(b"\r\nServer: ", one.received)
        self.assertTrue(one.sent.startswith(b"POST "))
        self.assertIn(b"\r\nSOAPACTION: ", one.sent)
        self.assertTrue(one.whole)
        self.assertGreater(one.seconds, 0)

    async def test_refusals_are_noted_and_the_rest_goes_on(self) -> None:
        gateway = await self.simulated(refuse={"SUBSCRIBE", "GetStatusInfo"})
        gateway.set_fault("GetNATRSIPStatus", "garbage")
        report = await self.captured(gateway.location)
        self.assertIn("401", named(report, "call", "GetStatusInfo")[0].outcome)
        self.assertNotEqual(named(report, "call", "GetNATRSIPStatus")[0].outcome, "ok")
        self.assertEqual(named(report, "call", "GetExternalIPAddress")[0].outcome, "ok")
        self.assertEqual({step.outcome[:17] for step in named(report, "subscribe")}, {"SubscriptionError"})
        self.assertEqual(named(report, "unsubscribe"), [])
        self.assertEqual(report.view.capabilities["WANIPConnection:2 GetStatusInfo"], "refused")

    async def test_a_description_that_cannot_be_read_is_the_report(self) -> None:
        broken = b"<root><device><serialNumber>AB12C345</serialNumber>"
        device = ScriptedDevice(reactor, {"GET /desc.xml": ok(broken)})
        device.open()
        self.addCleanup(device.close)
        report = await self.captured(f"{device.origin}/desc.xml", timeout=0.5)
        (step,) = report.steps
        self.assertIn("DescriptionError", step.outcome)
        self.assertIn(b"<serialNumber>XX00X001<", step.exchanges[0].received)
        self.assertTrue(report.location.endswith("/desc.xml"))
        self.assertTrue(report.view.problems)
        self.assertNotIn("AB12C345", to_text(report))
        again = await self.replayed(report)
        with self.assertRaises(NotAGateway) as caught:
            await self.seen(again.location, lambda gateway: gateway)
        self.assertIn(again.location, str(caught.exception))

    async def test_a_silent_service_does_not_cost_the_whole_time(self) -> None:
        gateway = await self.simulated()
        self.patch(report_capture, "REPORT_CALL_SECONDS", 1.0)
        for name in ("GetEnabledForInternet", "GetCommonLinkProperties"):
            gateway.set_fault(name, "hang")
        report = await self.captured(gateway.location)
        called = [step.name for step in named(report, "call") if "WANCommonInterfaceConfig" in step.service]
        self.assertEqual(called, ["GetEnabledForInternet", "GetCommonLinkProperties"])
        self.assertIn("silent", " ".join(report.view.problems))
        self.assertEqual(named(report, "call", "GetExternalIPAddress")[0].outcome, "ok")

    async def test_it_ends_in_time(self) -> None:
        gateway = await self.simulated()
        self.patch(report_capture, "REPORT_SECONDS", 0.0)
        report = await self.captured(gateway.location)
        self.assertEqual([step.kind for step in report.steps], ["description"])
        self.assertIn("before all was asked", " ".join(report.view.problems))

    async def test_nothing_at_all_is_no_report(self) -> None:
        self.patch(report_capture, "_GATEWAY_WORDS", (b"no such thing",))
        with self.assertRaises(NoGateway):
            await self.captured("127.0.0.9", timeout=0.2)
        self.assertEqual(timers(), [])

    def test_other_devices_are_nobodys_business(self) -> None:
        concerns = report_capture._concerns_gateways
        self.assertFalse(concerns(b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nSERVER: Television/1.0\r\n\r\n"))
        self.assertTrue(concerns(b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:service:WANPPPConnection:1\r\n\r\n"))

    async def test_another_gateway_of_the_same_host_is_not_reported(self) -> None:
        wanted, other = await self.simulated(), await self.simulated()
        async with Deaf(reactor, links=["lo"], gateway=other.location, events=False) as point:
            await point.gateway()
            point.named = parse(wanted.location)
            report = await capture(point)
        self.assertEqual(report.location, wanted.location)
        self.assertEqual(report.view.state, {})

    async def test_cancelling_closes_everything(self) -> None:
        gateway = await self.simulated()
        async with Deaf(reactor, links=["lo"], gateway=gateway.location, events=False) as point:
            for reached in (
                lambda: True,
                lambda: any(seen.action for seen in gateway.requests),
                lambda: len(gateway.subscribers) > 1,
            ):
                running = capture(point)
                while not reached():
                    await deferLater(reactor, 0.001, lambda: None)
                running.cancel()
                with self.assertRaises(CancelledError):
                    await running
        # what was subscribed to is not any more, but for a SUBSCRIBE that was under way; trial complains of the rest
        self.assertLess(len(gateway.subscribers), 2)


class ReplayTests(Case):
    async def test_same_status_entries_and_events(self) -> None:
        real = await self.simulated(external_ip="192.168.7.7")
        real.add_foreign_mapping("UDP", 4711)
        real.add_foreign_mapping("TCP", 4712)
        before = await self.seen(real.location, lambda gateway: gateway.wan.status)
        entries = await self.seen(real.location, lambda gateway: gateway.wan.connection.entries())
        report = await self.captured(real.location)
        await real.stop()
        replay = await self.replayed(report)
        self.assertNotEqual(replay.location, report.location)
        after = await self.seen(replay.location, lambda gateway: gateway.wan.status)
        self.assertFalse(after.differs(before), (before, after))
        self.assertEqual(after.address_class, before.address_class)
        # descriptions of mappings are masked, all else is as it was
        shown = await self.seen(replay.location, lambda gateway: gateway.wan.connection.entries())
        self.assertEqual(
            [(one.protocol, one.external_port, one.internal_client) for one in shown],
            [(one.protocol, one.external_port, one.internal_client) for one in entries],
        )

    async def test_masked_address_is_public_still(self) -> None:
        real = await self.simulated()
        before = await self.seen(real.location, lambda gateway: gateway.wan.status)
        replay = await self.replayed(await self.captured(real.location))
        after = await self.seen(replay.location, lambda gateway: gateway.wan.status)
        self.assertEqual(
            (after.connection_status, after.service, after.address_class, after.connected),
            (before.connection_status, before.service, before.address_class, before.connected),
        )
        self.assertNotEqual(after.external_ip, before.external_ip)
        self.assertEqual(len(str(after.external_ip)), len(OUTSIDE))

    async def test_a_report_of_the_replay_is_the_same_report(self) -> None:
        real = await self.simulated(version=1, urls="absolute", url_base=True)
        first = await self.captured(real.location)
        await real.stop()
        replay = await self.replayed(first)
        second = await self.captured(replay.location)
        self.assertEqual(
            [(step.kind, step.service, step.path, step.name, step.outcome) for step in second.steps],
            [(step.kind, step.service, step.path, step.name, step.outcome) for step in first.steps],
        )
        self.assertEqual(len(second.events), len(first.events))
        bodies = [
            [
                one.received.partition(b"\r\n\r\n")[2]
                for step in report.steps
                if step.kind == "call"
                for one in step.exchanges
            ]
            for report in (first, second)
        ]
        # the second report masks the mask
        bodies = [[re.sub(rb"11\.[0-9.]+", b"ADDRESS", body) for body in some] for some in bodies]
        self.assertEqual(bodies[0], bodies[1])

    async def test_found_by_search_and_events_arrive(self) -> None:
        real = await self.simulated(ssdp=True)
        report = await self.captured(real.location)
        await real.stop()
        replay = await self.replayed(report, ssdp=True)

        async def watched(gateway: Gateway) -> dict[str, str]:
            for _ in range(100):
                if "subscribing" not in gateway.eventing.values() and gateway.eventing:
                    break
                await deferLater(reactor, 0.02, lambda: None)
            return gateway.eventing

        async with ControlPoint(reactor, links=["lo"], any_gateway=True, gateway="127.0.0.1") as point:
            for _ in range(200):
                found = [gateway for gateway in point.gateways if gateway.location == replay.location]
                if found:
                    break
                await deferLater(reactor, 0.02, lambda: None)
            self.assertTrue(found, [gateway.location for gateway in point.gateways])
            states = await watched(found[0])
            self.assertEqual(set(states.values()), {"subscribed"})

    async def test_several_ports_become_several_ports(self) -> None:
        control = ScriptedDevice(reactor, {"GET /s.xml": ok(b"<scpd/>"), "SUBSCRIBE /e": ok(b"")})
        control.open()
        self.addCleanup(control.close)
        text = (
            "<root><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><UDN>uuid:x</UDN>"
            "<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
            f"<serviceId>a</serviceId><SCPDURL>{control.origin}/s.xml</SCPDURL><controlURL>{control.origin}/c</controlURL>"
            f"<eventSubURL>{control.origin}/e</eventSubURL></service></serviceList></device></root>"
        )
        device = ScriptedDevice(reactor, {"GET /desc.xml": ok(text.encode())})
        device.open()
        self.addCleanup(device.close)
        report = await self.captured(f"{device.origin}/desc.xml", timeout=0.5)
        self.assertTrue(named(report, "scpd")[0].exchanges)
        replay = await self.replayed(report)
        again = await self.captured(replay.location, timeout=0.5)
        self.assertEqual(
            [(step.kind, step.name, step.outcome) for step in again.steps],
            [(step.kind, step.name, step.outcome) for step in report.steps],
        )

    async def test_a_captured_fault_is_there_again(self) -> None:
        # a gateway that counts characters instead of octets, glues its headers and forgets the end of its envelope
        gateway = await self.simulated()
        bad = b"HTTP/1.0 200 OK\nContent-Length : 9\nServer: x Content-Type: text/xml\n\n<s:Envelope><oops>"
        gateway.set_fault("GetStatusInfo", bad)
        before = await self.captured(gateway.location)
        replay = await self.replayed(before)
        after = await self.captured(replay.location)
        outcomes = [named(report, "call", "GetStatusInfo")[0].outcome for report in (before, after)]
        self.assertNotEqual(outcomes[0], "ok")
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(named(after, "call", "GetStatusInfo")[0].exchanges[0].received, bad)

    async def test_report_without_an_answer_is_refused(self) -> None:
        report = await self.captured((await self.simulated()).location)
        self.assertRaises(BadReport, ReportedGateway, reactor, replace(report, location="", steps=()))

    async def test_a_start_that_fails_halfway_leaves_nothing_open(self) -> None:
        report = await self.captured((await self.simulated()).location)
        (step, *_) = report.steps
        sent = re.sub(rb"(?i)(host: *127.0.0.1):[0-9]+", rb"\1:9", step.exchanges[0].sent)
        elsewhere = replace(step, exchanges=(replace(step.exchanges[0], sent=sent),))
        report = replace(report, steps=(*report.steps, elsewhere))
        listened: list[Any] = []

        class Full:
            """Has room for so many ports."""

            room = 1

            def __getattr__(self, name: str) -> Any:
                return getattr(reactor, name)

            def listenTCP(self, port: int, factory: Any, interface: str = "") -> Any:
                if len(listened) >= self.room:
                    raise CannotListenError(interface, port, OSError(24, "too many open files"))
                listened.append(reactor.listenTCP(port, factory, interface=interface))
                return listened[-1]

        full = Full()
        replay = ReportedGateway(full, report, ssdp=False)
        self.addCleanup(replay.stop)
        self.assertIn("too many open files", str(self.assertRaises(CannotListenError, replay.start)))
        await deferLater(reactor, 0, lambda: None)
        self.assertEqual([port.connected for port in listened], [False])
        self.assertFalse(replay.running)
        full.room = 3
        await replay.start()
        self.assertEqual(len(listened), 3)
        await replay.stop()
        nowhere = ReportedGateway(reactor, report, link="no-such-link")
        self.assertIn("no-such-link", str(self.assertRaises(AddressingError, nowhere.startService)))
        self.assertFalse(nowhere.running)
        await deferLater(reactor, 0, lambda: None)  # trial complains of what is left

    async def test_stopped_in_the_middle_nothing_is_left(self) -> None:
        report = await self.captured((await self.simulated()).location)
        replay = await self.replayed(report)
        exchange = Exchange(reactor)
        (step, *_) = named(report, "subscribe")
        target = step.exchanges[0].sent.split(b" ")[1].decode()
        port = parse(replay.location).port
        fields = [("CALLBACK", "<http://127.0.0.1:9/x>"), ("NT", "upnp:event")]
        reply = await exchange.request(
            "SUBSCRIBE", parse(f"http://127.0.0.1:{port}{target}"), fields, body_cap=100, seconds=5
        )
        self.assertEqual(reply.status, 200)
        self.assertTrue(replay.requests)
        await replay.stop()  # trial complains of what is left


class LocationTests(SynchronousTestCase):
    """Where a description is that txigd itself could not use."""

    def likely(self, *said: tuple[str, str, str], named: str | None = None) -> str:
        point = Deaf(reactor, links=["lo"], gateway=named)
        point.links = addressing.links(["lo"])
        point.next_hops = (NextHop(IPv4Address("127.0.0.5"), "lo", 0),)
        making = report_capture._Capture(point)
        for source, target, location in said:
            octets = f"HTTP/1.1 200 OK\r\nST: {target}\r\nUSN: uuid:x\r\nLOCATION: {location}\r\n\r\n".encode()
            making._datagrams._heard["", source, octets] = Datagram(0, "lo", source, 1900, "search", octets)
        return str(making._likely_location())

    def test_A6_only_where_the_sender_itself_is(self) -> None:
        igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
        self.assertEqual(
            self.likely(
                ("127.0.0.2", igd, "http://127.0.0.3/victim"),
                ("127.0.0.2", igd, "http://[broken"),
                ("10.9.8.7", igd, "http://10.9.8.7/off-link"),
                ("127.0.0.2", "upnp:rootdevice", "http://127.0.0.2/television"),
                ("127.0.0.4", igd, "http://127.0.0.4/d"),
            ),
            "http://127.0.0.4/d",
        )
        self.assertEqual(self.likely(("127.0.0.2", igd, "http://127.0.0.3/victim")), "None")

    def test_the_default_route_first_and_the_named_one_only(self) -> None:
        igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
        said = [(f"127.0.0.{n}", igd, f"http://127.0.0.{n}/d") for n in (4, 5, 6)]
        self.assertEqual(self.likely(*said), "http://127.0.0.5/d")
        self.assertEqual(self.likely(*said, named="127.0.0.6"), "http://127.0.0.6/d")
        self.assertEqual(self.likely(*said, named="http://127.0.0.9:1/x"), "http://127.0.0.9:1/x")


class EventTests(TestCase):
    """The ear of the event probe."""

    timeout = 180

    def setUp(self) -> None:
        self.came: list[str] = []

    def ear(self, peer: str = "127.0.0.1") -> report_recorder.EventRecorder:
        made = report_recorder.EventRecorder(
            reactor,
            reactor.seconds(),
            address=IPv4Address("127.0.0.1"),
            peer=IPv4Address(peer),
            on_event=self.came.append,
        )
        self.addCleanup(made.stop)
        return made

    async def notify(self, target: str, head: bytes, body: bytes) -> Any:
        exchange = Exchange(reactor)
        agent = parse(target)
        fields = [("X", "1")]
        if head:
            name, _, value = head.decode().partition(": ")
            fields.append((name, value))
        try:
            return await exchange.request("NOTIFY", agent, fields, body, body_cap=100, seconds=2)
        except ExchangeError as error:
            return error

    async def test_kept_as_it_came_and_answered(self) -> None:
        ear = self.ear()
        reply = await self.notify(ear.url("0.1"), b"SEQ: 0", b"<e:propertyset/>")
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.came, ["0.1"])
        (event,) = ear.events
        self.assertTrue(event.octets.startswith(b"NOTIFY /"))
        self.assertTrue(event.octets.endswith(b"\r\n\r\n<e:propertyset/>"))

    async def test_C1_strangers_and_unknown_paths_are_not_kept(self) -> None:
        ear = self.ear()
        await self.notify(ear.url("0").rpartition("/")[0] + "/other", b"", b"<x/>")
        stranger = self.ear(peer="127.0.0.9")
        error = await self.notify(stranger.url("0"), b"", b"<x/>")
        self.assertIsInstance(error, ExchangeError)
        self.assertEqual((ear.events, stranger.events, self.came), ([], [], []))

    async def test_the_root_element_ends_a_body_without_a_length(self) -> None:
        ear = self.ear()
        where = parse(ear.url("3"))
        octets = b"NOTIFY %s HTTP/1.0\n\n<a></e:propertyset>" % where.target.encode()
        self.assertEqual((await ask(where.port, octets)).status, 200)
        self.assertEqual([event.octets for event in ear.events], [octets])

    async def test_what_was_cut_is_kept_and_nothing_left_open(self) -> None:
        ear = self.ear()
        where = parse(ear.url("0"))
        octets = request("NOTIFY", where.target, where.port, "Content-Length: 10")
        talking = ensureDeferred(ask(where.port, octets))
        await deferLater(reactor, 0.1, lambda: None)
        await ear.stop()
        self.assertEqual((await talking).raw, b"")
        self.assertEqual([event.octets for event in ear.events], [octets])

    async def test_no_more_connections_than_allowed(self) -> None:
        self.patch(report_recorder, "REPORT_CONNECTIONS", 0)
        self.assertEqual((await ask(parse(self.ear().url("0")).port, b"NOTIFY")).raw, b"")


class WatchTests(TestCase):
    """The tap of the exchange, and what keeps what comes out of it."""

    timeout = 180

    async def watched(self, octets: bytes, **more: Any) -> Any:
        server = RawServer(answer(octets) if isinstance(octets, bytes) else octets)
        self.addCleanup(lambda: ensureDeferred(server.stop()))
        recorder = report_recorder.ExchangeRecorder(reactor, reactor.seconds())
        exchange = Exchange(reactor, on_connection=recorder.watch)
        try:
            await exchange.request("GET", server.url(), **{"body_cap": 1000, "seconds": 5.0, **more})
        except ExchangeError as error:
            return error, recorder.take()[0], server.requests[0]
        return None, recorder.take()[0], server.requests[0]

    async def test_octets_of_a_good_reply(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        error, one, request = await self.watched(raw)
        self.assertIsNone(error)
        self.assertEqual((one.received, one.sent, one.whole), (raw, request, True))

    async def test_octets_of_what_is_refused(self) -> None:
        for raw in (b"SSH-2.0-x\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", b"HTTP/1.1 2"):
            error, one, _ = await self.watched(raw)
            self.assertIsInstance(error, ExchangeError)
            self.assertEqual(one.received, raw)

    async def test_too_much_is_cut_and_said_so(self) -> None:
        self.patch(report_recorder, "REPORT_RECORD_OCTETS", 50)
        error, one, _ = await self.watched(ok(b"x" * 500))
        self.assertIsNone(error)
        self.assertEqual((len(one.received), one.whole), (50, False))
        self.assertGreater(REPORT_RECORD_OCTETS, 256 * 1024)

    async def test_all_together_is_bounded_too(self) -> None:
        self.patch(report_recorder, "REPORT_RAW_OCTETS", 10)
        _, one, _ = await self.watched(ok(b"x" * 50))
        self.assertEqual((len(one.received), one.whole), (10, False))
