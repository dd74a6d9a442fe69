"""Tests of the subscriber: a fake device on a task.Clock, and one run over the real callback port."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txigd.errors import AddressingError, BadReply, ConnectFailed, ExchangeTimeout
from txigd.interfaces import IExchange
from txigd.limits import HTTP_TOTAL_SECONDS, REFUSED_RETRY_SECONDS, UNSUBSCRIBE_SECONDS
from txigd.upnp.description.device import Service
from txigd.upnp.eventing.callback import CallbackServer
from txigd.upnp.eventing.gena import Envelope, propertyset
from txigd.upnp.eventing.subscriber import Subscriber
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL, IPAddress, parse

EVENT_URL = parse("http://192.0.2.1:5000/evt/IPConn")
OWN = ipaddress.ip_address("192.0.2.10")


def service(event_url: DeviceURL | None = EVENT_URL) -> Service:
    return Service(
        service_type="urn:schemas-upnp-org:service:WANIPConnection:1",
        service_id="urn:upnp-org:serviceId:WANIPConn1",
        control_url=None,
        event_url=event_url,
        scpd_url=None,
    )


@dataclass
class Request:
    """One request that the fake device received."""

    method: str
    url: DeviceURL
    headers: list[tuple[str, str]]
    seconds: float
    answer: Deferred[Reply]
    cancelled: bool = False

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    def grant(self, sid: str = "uuid:1", timeout: str = "Second-1800") -> None:
        self.answer.callback(Reply(200, "OK", (("SID", sid), ("TIMEOUT", timeout))))

    def refuse(self, status: int) -> None:
        self.answer.callback(Reply(status))

    def fail(self, error: Exception) -> None:
        self.answer.errback(error)


@implementer(IExchange)
class FakeExchange:
    """Keeps every request; ``at_once`` answers it before :meth:`request` returns."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.at_once: Sequence[Reply] = ()

    def request(
        self,
        method: str,
        url: DeviceURL,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        body_cap: int,
        seconds: float,
    ) -> Deferred[Reply]:
        def cancelled(_: object) -> None:
            request.cancelled = True

        answer: Deferred[Reply] = Deferred(cancelled)
        request = Request(method, url, list(headers), seconds, answer)
        self.requests.append(request)
        if self.at_once:
            answer.callback(self.at_once[0])
        return answer

    @property
    def last(self) -> Request:
        return self.requests[-1]

    @property
    def open(self) -> list[Request]:
        return [request for request in self.requests if not request.answer.called]


@dataclass
class FakePath:
    url: str
    options: dict
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeServer:
    """Opens paths and remembers them; events are put in by hand."""

    paths: list[FakePath] = field(default_factory=list)
    error: Exception | None = None

    def open(self, address: IPAddress, **options) -> FakePath:
        if self.error is not None:
            raise self.error
        self.paths.append(FakePath(f"http://{address}:45123/{len(self.paths) + 1}", options))
        return self.paths[-1]

    @property
    def open_paths(self) -> list[FakePath]:
        return [path for path in self.paths if not path.closed]

    def notify(self, seq: int | None, values: Mapping[str, str] | None, sid: str = "uuid:1", path: int = -1) -> bool:
        """Deliver as the callback port does; false where it would answer 412."""
        options = self.paths[path].options
        if not options["admits"](sid):
            return False
        options["on_notify"](Envelope(sid, seq), values)
        return True


class SubscriberCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.exchange = FakeExchange()
        self.server = FakeServer()
        self.values: list[tuple[dict[str, str], bool]] = []
        self.states: list[str] = []
        self.reads: list[str] = []
        self.subscriber = self.make()

    def make(self, event_url: DeviceURL | None = EVENT_URL) -> Subscriber:
        return Subscriber(
            self.clock,
            self.exchange,
            self.server,  # type: ignore[arg-type]
            service(event_url),
            lambda values, initial: self.values.append((values, initial)),
            self.states.append,
            on_read=self.reads.append,
            variables=("ConnectionStatus",),
            peers=[ipaddress.ip_address("192.0.2.2")],
            address_towards=lambda host: OWN,
            chance=lambda: 0.5,
        )

    def turn(self, seconds: float = 0) -> None:
        self.clock.pump([0, seconds, 0])

    def subscribe(self) -> None:
        self.subscriber.start()
        self.exchange.last.grant()
        self.server.notify(0, {"A": "0"})
        self.turn(1)
        self.values.clear()

    def renewal(self) -> Request:
        self.subscribe()
        self.turn(899)
        self.assertEqual(self.exchange.last.names, ["SID", "TIMEOUT"])
        return self.exchange.last

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.exchange.open, [])
        self.assertEqual(self.server.open_paths, [])


class SubscribeTests(SubscriberCase):
    def test_C10_Q171_request(self) -> None:
        verifyObject(IExchange, self.exchange)
        self.subscriber.start()
        request = self.exchange.last
        self.assertEqual((request.method, request.url, request.seconds), ("SUBSCRIBE", EVENT_URL, HTTP_TOTAL_SECONDS))
        self.assertEqual(
            request.headers,
            [("CALLBACK", "<http://192.0.2.10:45123/1>"), ("NT", "upnp:event"), ("TIMEOUT", "Second-1800")],
        )

    def test_Q192_peers_are_the_device_and_those_named(self) -> None:
        self.subscriber.start()
        options = self.server.paths[0].options
        self.assertEqual([str(peer) for peer in options["peers"]], ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(options["names"], ("ConnectionStatus",))

    def test_states_and_values(self) -> None:
        self.assertEqual(self.subscriber.state, "stopped")
        self.subscriber.start()
        self.exchange.last.grant()
        self.assertTrue(self.server.notify(0, {"A": "0"}))
        self.assertEqual(self.values, [], "in a later turn only")
        self.turn()
        self.assertEqual(self.values, [({"A": "0"}, True)])
        self.assertEqual(self.states, ["subscribing", "subscribed"])
        self.assertEqual(self.reads, [])

    def test_answer_before_request_returns(self) -> None:
        self.exchange.at_once = [Reply(200, "OK", (("SID", "uuid:1"),))]
        self.subscriber.start()
        self.assertEqual(self.subscriber.state, "subscribed")

    def test_Q157_F10_event_before_the_answer(self) -> None:
        self.subscriber.start()
        self.assertTrue(self.server.notify(0, {"A": "0"}))
        self.turn(2)
        self.assertEqual(self.values, [])
        self.exchange.last.grant()
        self.turn()
        self.assertEqual(self.values, [({"A": "0"}, True)])
        self.turn(60)
        self.assertEqual(len(self.values), 1)

    def test_C1_foreign_sid_is_not_admitted(self) -> None:
        self.subscribe()
        self.assertFalse(self.server.notify(5, {"A": "x"}, sid="uuid:foreign"))
        self.turn(60)
        self.assertEqual((self.values, self.reads, len(self.exchange.requests)), ([], [], 1))

    def test_Q158_Q173_no_initial_event(self) -> None:
        self.subscriber.start()
        self.exchange.last.grant()
        self.turn(5)
        self.assertEqual(self.reads, ["no initial event"])
        self.assertIn("callback port", self.subscriber.problems[0])

    def test_F06_Q170_refused(self) -> None:
        self.subscriber.start()
        self.exchange.last.refuse(412)
        self.assertEqual(self.subscriber.state, "refused")
        self.assertEqual(self.server.open_paths, [])
        self.assertEqual(len(self.subscriber.problems), 1)
        self.turn(REFUSED_RETRY_SECONDS - 1)
        self.assertEqual(len(self.exchange.requests), 1)
        self.turn(1)
        self.assertEqual(self.exchange.last.headers[0], ("CALLBACK", "<http://192.0.2.10:45123/2>"))
        self.exchange.last.refuse(412)
        self.assertEqual(len(self.subscriber.problems), 1, "a problem is told once")

    def test_F06_no_event_url(self) -> None:
        subscriber = self.make(None)
        subscriber.start()
        self.assertEqual(subscriber.state, "refused")
        self.assertEqual(subscriber.problems, ("the service has no event URL",))
        subscriber.reboot()
        self.assertEqual(subscriber.state, "refused")
        self.successResultOf(subscriber.stop())
        self.assertEqual(self.states, ["refused", "stopped"])
        self.assert_nothing_left()

    def test_C9_unusable_grant(self) -> None:
        self.subscriber.start()
        self.exchange.last.grant(sid="")
        self.assertEqual(self.subscriber.state, "refused")

    def test_connection_errors_back_off(self) -> None:
        self.subscriber.start()
        for delay in (1, 2, 4, 8):
            self.exchange.last.fail(ConnectFailed("refused"))
            self.assertEqual(self.subscriber.state, "failed")
            count = len(self.exchange.requests)
            self.turn(delay - 0.5)
            self.assertEqual(len(self.exchange.requests), count)
            self.turn(0.5)
            self.assertEqual(len(self.exchange.requests), count + 1)
        self.exchange.last.grant()
        self.assertEqual(self.subscriber.state, "subscribed")

    def test_C9_no_answer_or_no_http_waits_for_the_floor(self) -> None:
        for error in (ExchangeTimeout(), BadReply("x")):
            self.setUp()
            self.subscriber.start()
            self.exchange.last.fail(error)
            self.turn(29)
            self.assertEqual(len(self.exchange.requests), 1)
            self.turn(1)
            self.assertEqual(len(self.exchange.requests), 2)

    def test_no_own_address_is_a_connection_error(self) -> None:
        self.server.error = AddressingError("no callback port on 192.0.2.10")
        self.subscriber.start()
        self.turn()
        self.assertEqual(self.subscriber.state, "failed")
        self.server.error = None
        self.turn(1)
        self.assertEqual(len(self.exchange.requests), 1)

    def test_problems_are_logged_with_device_text_quoted(self) -> None:
        self.subscriber.start()
        self.exchange.last.grant(sid="bad \x1b[31m{log_source}\n")
        self.assertNotIn("\n", self.subscriber.problems[0])
        self.assertNotIn("\x1b", self.subscriber.problems[0])


class LivingTests(SubscriberCase):
    def test_renewal_at_half_time(self) -> None:
        renewal = self.renewal()
        self.assertEqual(renewal.headers, [("SID", "uuid:1"), ("TIMEOUT", "Second-1800")])
        self.assertEqual(renewal.seconds, HTTP_TOTAL_SECONDS)
        renewal.grant()
        self.server.notify(1, {"A": "1"})
        self.turn(1)
        self.assertEqual(self.values, [({"A": "1"}, False)])
        self.assertEqual(self.states, ["subscribing", "subscribed"])

    def test_F04_Q168_412_on_renewal(self) -> None:
        self.renewal().refuse(412)
        self.turn(1)
        self.assertEqual(self.exchange.last.headers[0], ("CALLBACK", "<http://192.0.2.10:45123/2>"))
        self.assertEqual(self.reads, ["the subscription was lost"])
        self.exchange.last.grant("uuid:2")
        self.assertTrue(self.server.notify(0, {"A": "2"}, sid="uuid:2"))
        self.turn(1)
        self.assertEqual(self.values, [({"A": "2"}, True)])
        self.assertFalse(self.server.paths[0].closed, "the old path stays valid for 30 s")
        self.turn(30)
        self.assertTrue(self.server.paths[0].closed)

    def test_F05_Q168_renewal_fails_otherwise(self) -> None:
        for how in (404, 500, ExchangeTimeout()):
            self.setUp()
            request = self.renewal()
            for _ in range(2):
                request = self.exchange.last
                request.refuse(how) if isinstance(how, int) else request.fail(how)
                self.turn(1)
            self.assertEqual(self.exchange.last.names, ["CALLBACK", "NT", "TIMEOUT"])
            self.assertEqual(len(self.exchange.requests), 4)

    def test_Q166_Q169_new_sid_in_the_renewal(self) -> None:
        self.renewal().grant("uuid:2")
        self.assertEqual((self.exchange.last.method, self.exchange.last.headers), ("UNSUBSCRIBE", [("SID", "uuid:1")]))
        self.exchange.last.refuse(412)
        self.assertTrue(self.server.notify(1, {"A": "1"}, sid="uuid:2"))
        self.assertFalse(self.server.notify(2, {"A": "2"}, sid="uuid:1"))

    def test_Q167_Q185_names_are_upper_case(self) -> None:
        self.renewal()
        self.subscriber.stop()
        for request in self.exchange.requests:
            self.assertTrue(all(name.isupper() for name in request.names))

    def test_F07_gap(self) -> None:
        self.subscribe()
        self.turn(60)
        self.server.notify(2, {"A": "2"})
        self.turn(2)
        methods = [request.method for request in self.exchange.requests[1:]]
        self.assertEqual(methods, ["UNSUBSCRIBE", "SUBSCRIBE"])
        self.assertEqual(self.reads, ["events were lost"])
        self.assertEqual(self.values, [({"A": "2"}, False)])

    def test_F08_reordered(self) -> None:
        self.subscribe()
        self.server.notify(2, {"A": "2"})
        self.server.notify(1, {"A": "1"})
        self.turn(5)
        self.assertEqual(self.values, [({"A": "2"}, False)], "merged in the right order")
        self.assertEqual(self.reads, [])

    def test_F09_initial_twice_is_one_callback(self) -> None:
        self.subscribe()
        self.server.notify(0, {"A": "0"})
        self.turn(10)
        self.assertEqual(self.values, [])

    def test_F13_flood_of_events(self) -> None:
        self.subscribe()
        for n in range(1, 3001):
            self.server.notify(n, {"A": str(n)})
            self.clock.advance(0.001)
        self.turn(2)
        self.assertLessEqual(len(self.values), 5)
        self.assertEqual(self.values[-1], ({"A": "3000"}, False))

    def test_F13_flood_of_unreadable_events(self) -> None:
        self.subscribe()
        for n in range(1, 3001):
            self.server.notify(n, None)
            self.clock.advance(0.001)
        self.turn(2)
        self.assertEqual((self.values, len(self.reads)), ([], 4))

    def test_Q179_values_and_reads_both_come(self) -> None:
        self.subscribe()
        self.server.notify(1, {"A": "1"})
        self.server.notify(2, None)
        self.turn(1)
        self.assertEqual((self.values, self.reads), ([({"A": "1"}, False)], ["an event could not be read"]))

    def test_Q182_reboot(self) -> None:
        self.subscribe()
        self.subscriber.reboot()
        self.assertEqual([request.method for request in self.exchange.requests], ["SUBSCRIBE", "SUBSCRIBE"])
        self.assertEqual(self.subscriber.state, "subscribing")

    def test_reboot_cancels_what_is_in_flight(self) -> None:
        renewal = self.renewal()
        self.subscriber.reboot()
        self.assertTrue(renewal.cancelled)
        self.assertEqual(len(self.exchange.open), 1)
        self.assertEqual(self.subscriber.counters["failed"], 0)

    def test_F14_rebind(self) -> None:
        self.subscribe()
        self.subscriber.rebind()
        self.assertEqual([r.method for r in self.exchange.requests[1:]], ["UNSUBSCRIBE", "SUBSCRIBE"])

    def test_Q183_suspended_beyond_the_expiry(self) -> None:
        self.subscribe()
        self.clock.rightNow += 7200
        self.turn()
        self.assertEqual(self.exchange.last.names, ["CALLBACK", "NT", "TIMEOUT"])
        self.assertEqual(self.reads, ["the subscription expired"])

    def test_F60_callbacks_that_raise(self) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        subscriber = Subscriber(
            self.clock,
            self.exchange,
            self.server,  # type: ignore[arg-type]
            service(),
            broken,
            broken,
            on_read=broken,
            address_towards=lambda host: OWN,
        )
        subscriber.start()
        self.exchange.last.grant()
        self.server.notify(0, {"A": "0"})
        self.server.notify(1, None)
        self.turn(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)
        self.assertEqual(subscriber.state, "subscribed")

    def test_four_weeks_of_renewals(self) -> None:
        self.subscribe()
        renewals = 0
        for _ in range(4 * 7 * 24 * 6):
            self.clock.advance(600)
            for request in self.exchange.open:
                request.grant()
                renewals += 1
        self.assertEqual(renewals, len(self.exchange.requests) - 1)
        self.assertTrue(2 * 7 * 24 * 2 <= renewals <= 4 * 7 * 24 * 4, renewals)
        self.assertEqual(self.subscriber.state, "subscribed")
        self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)


class StopTests(SubscriberCase):
    def test_F51_stop_unsubscribes(self) -> None:
        self.subscribe()
        stopping = self.subscriber.stop()
        request = self.exchange.last
        self.assertEqual((request.method, request.headers), ("UNSUBSCRIBE", [("SID", "uuid:1")]))
        self.assertEqual(request.seconds, UNSUBSCRIBE_SECONDS)
        self.assertNoResult(stopping)
        request.refuse(200)
        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual(self.states[-1], "stopped")
        self.assert_nothing_left()

    def test_Q181_F51_stop_whatever_is_answered(self) -> None:
        for how in (412, 500, ConnectFailed(), ExchangeTimeout()):
            self.setUp()
            self.subscribe()
            stopping = self.subscriber.stop()
            self.exchange.last.refuse(how) if isinstance(how, int) else self.exchange.last.fail(how)
            self.assertIsNone(self.successResultOf(stopping))
            self.assert_nothing_left()

    def test_F51_F52_stop_is_bounded(self) -> None:
        self.subscribe()
        stopping = self.subscriber.stop()
        self.clock.advance(UNSUBSCRIBE_SECONDS)
        self.assertIsNone(self.successResultOf(stopping))
        self.assertTrue(self.exchange.last.cancelled)
        self.assert_nothing_left()

    def test_each_caller_has_a_deferred(self) -> None:
        self.subscribe()
        first, second, third = (self.subscriber.stop() for _ in range(3))
        second.addErrback(lambda _: None)
        second.cancel()
        self.assertEqual(len(self.exchange.open), 1, "cancelling the wait cancels nothing else")
        self.exchange.last.refuse(200)
        self.successResultOf(gatherResults([first, third]))
        self.successResultOf(self.subscriber.stop())

    def arrange(self, state: str) -> None:
        """Bring the subscriber into a state."""
        if state in ("renewing", "afresh"):
            renewal = self.renewal()
            if state == "afresh":
                renewal.refuse(412)
        elif state in ("waiting", "gap"):
            self.subscribe()
            self.server.notify(2 if state == "gap" else 1, {"A": "1"})
            self.server.notify(3 if state == "gap" else 2, None)
        elif state != "never started":
            self.server.error = AddressingError() if state == "unsent" else None
            self.subscriber.start()
            answers = {
                "parked": lambda: self.server.notify(0, {"A": "0"}),
                "refused": lambda: self.exchange.last.refuse(500),
                "failed": lambda: self.exchange.last.fail(ConnectFailed()),
            }
            answers.get(state, lambda: None)()

    def test_stop_in_every_state(self) -> None:
        states = "never started,in flight,parked,refused,failed,unsent,renewing,afresh,waiting,gap"
        for state in states.split(","):
            self.setUp()
            self.arrange(state)
            self.values.clear()
            self.reads.clear()
            stopping = self.subscriber.stop()
            for request in self.exchange.open:
                self.assertEqual(request.method, "UNSUBSCRIBE", state)
                request.refuse(200)
            self.assertIsNone(self.successResultOf(stopping), state)
            self.assertEqual(self.subscriber.state, "stopped")
            self.assert_nothing_left()
            self.turn(4000)
            self.assertEqual((self.values, self.reads), ([], []))
            self.assertEqual(self.exchange.open, [])

    def test_stop_out_of_the_callbacks(self) -> None:
        """An application may stop from any callback."""
        for place in ("on_values", "on_state", "on_read"):
            self.setUp()
            setattr(self.subscriber, f"_{place}", lambda *_: self.subscriber.stop())
            self.subscriber.start()
            if self.exchange.open:
                self.exchange.last.grant()
            if self.subscriber.state == "subscribed":
                self.server.notify(0, {"A": "0"})
                self.server.notify(1, None)
                self.turn(1)
            self.assertEqual(self.subscriber.state, "stopped", place)
            for request in self.exchange.open:
                request.refuse(200)
            self.assert_nothing_left()

    def test_event_after_the_stop(self) -> None:
        self.subscribe()
        self.subscriber.stop()
        self.exchange.last.refuse(200)
        self.assertFalse(self.server.notify(1, {"A": "1"}))
        self.server.paths[0].options["on_notify"](Envelope("uuid:1", 1), {"A": "1"})
        self.assert_nothing_left()

    def test_start_again(self) -> None:
        self.subscribe()
        self.subscriber.stop()
        self.exchange.last.refuse(200)
        self.subscriber.start()
        self.exchange.last.grant("uuid:2")
        self.assertEqual(self.subscriber.state, "subscribed")

    def test_start_again_forgets_what_waited(self) -> None:
        self.subscribe()
        self.server.notify(1, {"A": "old"})
        self.server.notify(2, None)
        self.subscriber.stop()
        self.exchange.last.refuse(200)
        self.subscriber.start()
        self.exchange.last.grant("uuid:2")
        self.server.notify(0, {"B": "new"}, sid="uuid:2")
        self.turn(2)
        self.assertEqual((self.values, self.reads), ([({"B": "new"}, True)], []))

    def test_stop_in_the_middle_of_the_commands(self) -> None:
        """A grant that is there at once, a stop out of on_state, and a command that still follows."""
        self.renewal()
        self.exchange.at_once = [Reply(200, "OK", (("SID", "uuid:2"),))]
        self.subscriber._on_state = lambda state: self.subscriber.stop() if state == "subscribed" else None
        self.subscriber._shown = "subscribing"
        self.exchange.requests[-1].refuse(412)
        self.assertEqual(self.subscriber.state, "stopped")
        self.assert_nothing_left()


class Notifier(Protocol):
    """Sends one NOTIFY as a device does."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.octets)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


class Gateway(Protocol):
    """A device that sends the initial event before it answers SUBSCRIBE, and accepts whatever else comes."""

    transport: Any

    def __init__(self, tests: WiredTests) -> None:
        self.tests = tests
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.tests.requests.append((self.transport.getPeer().host, self.received))
            ensureDeferred(self.answer())

    async def answer(self) -> None:
        found = re.search(rb"CALLBACK: <([^>]*)>", self.received)
        if found is not None:
            self.tests.answers.append(await self.tests.notify(found[1].decode(), 0, {"A": "0"}))
        self.transport.write(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-300\r\n\r\n")
        self.transport.loseConnection()


class WiredTests(TestCase):
    """The real callback port, with a fake exchange or the real one."""

    timeout = 180

    def setUp(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.answers: list[bytes] = []

    async def test_C10_Q171_Q185_F10_on_the_wire(self) -> None:
        """Raw octets of SUBSCRIBE and UNSUBSCRIBE; the CALLBACK names the address that the request came from."""
        factory: Any = Factory.forProtocol(lambda: Gateway(self))
        factory.noisy = False
        device: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(device.stopListening)
        port = device.getHost().port
        exchange, server = Exchange(reactor, user_agent="x/1 UPnP/1.1 txigd/0"), CallbackServer(reactor)
        self.addCleanup(server.stop)
        self.addCleanup(exchange.close)
        values: list[tuple[dict[str, str], bool]] = []
        subscriber = Subscriber(
            reactor,
            exchange,
            server,
            service(parse(f"http://127.0.0.1:{port}/evt")),
            lambda got, initial: values.append((got, initial)),
            lambda state: None,
        )
        subscriber.start()
        while not values:
            await deferLater(reactor, 0.01)
        await subscriber.stop()
        self.assertEqual(values, [({"A": "0"}, True)])
        self.assertEqual(self.answers, [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
        (source, subscribe), (_, unsubscribe) = self.requests
        callback = re.search(rb"<(http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43})>", subscribe)
        assert callback is not None
        self.assertEqual(source, "127.0.0.1")
        host = b"HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\n" % port
        for octets, wanted in (
            (subscribe, b"CALLBACK: <%s>\r\nNT: upnp:event\r\nTIMEOUT: Second-1800\r\n" % callback[1]),
            (unsubscribe, b"SID: uuid:1\r\n"),
        ):
            self.assertIn(wanted, octets)
            self.assertIn(host, octets)
        self.assertTrue(subscribe.startswith(b"SUBSCRIBE /evt "))
        self.assertTrue(unsubscribe.startswith(b"UNSUBSCRIBE /evt "))

    async def notify(self, callback: str, seq: int, values: Mapping[str, str]) -> bytes:
        url, body = parse(callback), propertyset(values)
        head = (
            f"NOTIFY {url.target} HTTP/1.1\r\nHOST: {url.authority}\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
            f"SID: uuid:1\r\nSEQ: {seq}\r\nCONTENT-LENGTH: {len(body)}\r\n\r\n"
        )
        notifier = Notifier(head.encode() + body)
        await connectProtocol(TCP4ClientEndpoint(reactor, str(url.host), url.port), notifier)
        return await notifier.closed

    async def test_Q157_F10_over_sockets(self) -> None:
        exchange, server = FakeExchange(), CallbackServer(reactor)
        self.addCleanup(server.stop)
        values: list[tuple[dict[str, str], bool]] = []
        subscriber = Subscriber(
            reactor,
            exchange,
            server,
            service(parse("http://127.0.0.1:5000/evt")),
            lambda got, initial: values.append((got, initial)),
            lambda state: None,
        )
        subscriber.start()
        callback = dict(exchange.last.headers)["CALLBACK"].strip("<>")
        self.assertTrue(callback.startswith("http://127.0.0.1:"))
        answer = await self.notify(callback, 0, {"A": "0"})
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))
        exchange.last.grant()
        while not values:
            await deferLater(reactor, 0.01)
        self.assertEqual(values, [({"A": "0"}, True)])
        stopping = subscriber.stop()
        exchange.last.refuse(200)
        await stopping
        self.assertEqual(await self.notify_refused(callback), b"")

    async def notify_refused(self, callback: str) -> bytes:
        """After the stop no path is open, so nobody is expected to call."""
        return await self.notify(callback, 1, {"A": "1"})
