"""Calls: the queue, the detours, the one retry, and the proxy that types them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadReply,
    ConnectFailed,
    ExchangeError,
    ExchangeTimeout,
    HTTPStatusError,
    InvalidArgument,
    ReplyRefused,
    ReplyTooLarge,
)
from txigd.interfaces import IExchange
from txigd.limits import (
    CALL_HASTY_SECONDS,
    CALLS_WAITING,
    HTTP_TOTAL_SECONDS,
    MAPPING_LIST_OCTETS,
    ROUTES,
    SCPD_ACTIONS,
    SOAP_OCTETS,
)
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.device import Service
from txigd.upnp.description.service import Action, Argument, ServiceDescription, StateVariable
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import DeviceURL

IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
IP2 = "urn:schemas-upnp-org:service:WANIPConnection:2"


@implementer(IExchange)
class FakeExchange:
    """Keeps what was asked; answers at once from a list, or when the test says so."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.open: list[Deferred[Reply]] = []
        self.cancelled = 0

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
        self.asked.append(
            {"method": method, "url": url, "headers": list(headers), "body": body, "cap": body_cap, "seconds": seconds}
        )
        if self.answers:
            answer = self.answers.pop(0)
            return succeed(answer) if isinstance(answer, Reply) else fail(answer)
        waiting: Deferred[Reply] = Deferred(self._cancelled)
        self.open.append(waiting)
        return waiting

    def _cancelled(self, waiting: Deferred[Reply]) -> None:
        self.open.remove(waiting)
        self.cancelled += 1

    @property
    def methods(self) -> list[str]:
        return [request["method"] for request in self.asked]

    @property
    def targets(self) -> list[str]:
        return [request["url"].target for request in self.asked]


def service(target: str = "/ctl", service_type: str = IP1) -> Service:
    url = DeviceURL(IPv4Address("192.0.2.1"), 5000, target)
    return Service(
        service_type=service_type,
        service_id="urn:upnp-org:serviceId:WANIPConn1",
        control_url=url,
        event_url=None,
        scpd_url=None,
        udn="uuid:1",
        path=(),
        problems=(),
    )


def good(action: str = "GetIt", **outputs: str) -> Reply:
    return Reply(200, body=soap.response(IP1, action, outputs))


def refused(code: int) -> Reply:
    return Reply(500, body=soap.fault(code))


def variable(name: str, data_type: str, **more: Any) -> StateVariable:
    fields: dict[str, Any] = {
        "evented": False,
        "multicast": False,
        "default": None,
        "allowed": (),
        "minimum": None,
        "maximum": None,
        "step": None,
    }
    return StateVariable(name=name, data_type=data_type, **{**fields, **more})


def table(*actions: Action, **variables: StateVariable) -> ServiceDescription:
    return ServiceDescription(actions={action.name: action for action in actions}, variables=variables)


TABLE = table(
    Action(name="GetIt", inputs=(), outputs=(Argument("NewUptime", "Uptime"), Argument("NewEnabled", "Enabled"))),
    Action(
        name="AddIt",
        inputs=(
            Argument("NewRemoteHost", "RemoteHost"),
            Argument("NewPort", "Port"),
            Argument("NewProtocol", "Protocol"),
            Argument("NewEnabled", "Enabled"),
        ),
        outputs=(),
    ),
    Uptime=variable("Uptime", "ui4"),
    Enabled=variable("Enabled", "boolean"),
    RemoteHost=variable("RemoteHost", "string"),
    Port=variable("Port", "ui2", minimum=1, maximum=65535),
    Protocol=variable("Protocol", "string", allowed=("TCP", "UDP")),
)
ADD: dict[str, Any] = {"NewRemoteHost": "", "NewPort": 80, "NewProtocol": "TCP", "NewEnabled": True}


class CallerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def caller(self, *answers: Reply | Exception) -> tuple[Caller, FakeExchange]:
        exchange = FakeExchange(*answers)
        return Caller(exchange, clock=self.clock), exchange

    def get(self, caller: Caller, **more: Any) -> Deferred[dict[str, str]]:
        return caller.call(service(), IP1, "GetIt", (), ("NewUptime",), **{"idempotent": True, **more})

    def add(self, caller: Caller, target: str = "/ctl", **more: Any) -> Deferred[dict[str, str]]:
        return caller.call(service(target), IP1, "AddIt", [("NewPort", "80")], (), **more)

    def test_the_fake_is_an_exchange(self) -> None:
        verifyObject(IExchange, FakeExchange())

    def test_one_request(self) -> None:
        caller, exchange = self.caller(good("AddIt"))
        self.assertEqual({}, self.successResultOf(self.add(caller)))
        self.assertEqual(
            [
                {
                    "method": "POST",
                    "url": service().control_url,
                    "headers": [("CONTENT-TYPE", 'text/xml; charset="utf-8"'), ("SOAPACTION", f'"{IP1}#AddIt"')],
                    "body": soap.request(IP1, "AddIt", [("NewPort", "80")]),
                    "cap": SOAP_OCTETS,
                    "seconds": HTTP_TOTAL_SECONDS,
                }
            ],
            exchange.asked,
        )

    def test_Q103_a_budget_that_is_no_number_is_refused_and_nobody_waits_for_it(self) -> None:
        caller, exchange = self.caller(good())
        wrong: tuple[Any, ...] = (None, "5", True, float("nan"), float("inf"), 10**400, ())
        for seconds in wrong:
            error = self.failureResultOf(self.get(caller, seconds=seconds), InvalidArgument).value
            self.assertIn("seconds", str(error))
            error = self.failureResultOf(self.get(caller, due=seconds or "x"), InvalidArgument).value
            self.assertIn("due", str(error))
        self.assertEqual(exchange.asked, [])
        self.successResultOf(self.get(caller, seconds=5, due=None))

    def test_Q103_whatever_an_exchange_raises_the_next_one_is_seated(self) -> None:
        caller, exchange = self.caller(good())
        self.patch(exchange, "request", lambda *_, **more: 1 / 0)
        for _ in range(2):
            self.failureResultOf(self.get(caller), ZeroDivisionError)

    def test_Q091_the_type_called_is_the_one_given(self) -> None:
        caller, exchange = self.caller(good())
        caller.call(service(service_type=IP2), IP1, "GetIt", (), ())
        self.assertIn(("SOAPACTION", f'"{IP1}#GetIt"'), exchange.asked[0]["headers"])
        self.assertIn(IP1.encode(), exchange.asked[0]["body"])

    def test_a_list_of_mappings_may_be_large(self) -> None:
        caller, exchange = self.caller(good("GetListOfPortMappings", NewPortListing=""))
        caller.call(service(), IP2, "GetListOfPortMappings", (), ("NewPortListing",))
        self.assertEqual(MAPPING_LIST_OCTETS, exchange.asked[0]["cap"])

    def test_no_control_url(self) -> None:
        caller, exchange = self.caller()
        mute = Service(IP1, "", None, None, None, "uuid:1", (), ())
        self.failureResultOf(caller.call(mute, IP1, "GetIt", (), ()), ActionNotOffered)
        self.assertEqual([], exchange.asked)

    def test_B10_nothing_bad_is_sent_nor_queued(self) -> None:
        caller, exchange = self.caller()
        self.failureResultOf(caller.call(service(), 'x"\r\n', "GetIt", (), ()), InvalidArgument)
        self.failureResultOf(caller.call(service(), IP1, "GetIt", [("A", "\0")], ()), InvalidArgument)
        self.assertEqual([], exchange.asked)
        self.get(caller)
        self.assertEqual(1, len(exchange.asked))

    # -- the queue
    def test_Q103_one_call_in_flight(self) -> None:
        caller, exchange = self.caller()
        first, second, third = (self.add(caller) for _ in range(3))
        self.assertEqual(1, len(exchange.open))
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(first)
        self.assertEqual((2, 1), (len(exchange.asked), len(exchange.open)))
        self.assertNoResult(second)
        exchange.open.pop().errback(ConnectFailed())
        self.failureResultOf(second, ConnectFailed)
        self.assertEqual(1, len(exchange.open))
        exchange.open.pop().callback(refused(718))
        self.assertEqual(718, self.failureResultOf(third, ActionError).value.code)
        self.assertEqual([], exchange.open)

    def test_cancelling_a_waiting_call_removes_it(self) -> None:
        caller, exchange = self.caller()
        first, second, third = (self.add(caller) for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(0, exchange.cancelled)
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(first)
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(third)
        self.assertEqual(2, len(exchange.asked))

    def test_cancelling_the_call_in_flight_closes_it_and_seats_the_next(self) -> None:
        caller, exchange = self.caller()
        first, second = self.add(caller), self.add(caller)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual((1, 1), (exchange.cancelled, len(exchange.open)))
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(second)

    def test_the_queue_is_bounded(self) -> None:
        caller, _ = self.caller()
        waiting = [self.add(caller) for _ in range(CALLS_WAITING + 1)]
        self.failureResultOf(self.add(caller), ExchangeError)
        self.assertNoResult(waiting[-1])
        waiting[5].cancel()
        self.failureResultOf(waiting[5], CancelledError)
        self.assertNoResult(self.add(caller))

    def test_a_full_queue_that_fails_at_once(self) -> None:
        """No recursion from one waiting call into the next."""
        caller, exchange = self.caller()
        first = self.add(caller)
        waiting = [self.add(caller) for _ in range(CALLS_WAITING)]
        exchange.answers = [ExchangeError("closed") for _ in waiting]
        exchange.open.pop().errback(ExchangeError("closed"))
        for call in (first, *waiting):
            self.failureResultOf(call, ExchangeError)

    def test_a_call_made_from_an_answer_comes_after_those_waiting(self) -> None:
        caller, exchange = self.caller()
        first, second = self.add(caller, "/1"), self.add(caller, "/2")
        late: list[Deferred[dict[str, str]]] = []
        first.addCallback(lambda _: late.append(self.add(caller, "/3")))
        exchange.open.pop().callback(good("AddIt"))
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(second)
        exchange.open.pop().callback(good("AddIt"))
        self.successResultOf(late[0])
        self.assertEqual(["/1", "/2", "/3"], exchange.targets)

    def test_Q103_a_caller_beside_waits_in_the_same_queue(self) -> None:
        caller, exchange = self.caller()
        other = FakeExchange()
        beside = caller.beside(other)
        first, second, third = self.add(caller, "/1"), self.add(beside, "/2"), self.add(caller, "/3")
        self.assertEqual((["/1"], []), (exchange.targets, other.targets))
        exchange.open.pop().callback(good("AddIt"))
        self.assertEqual((["/1"], ["/2"]), (exchange.targets, other.targets))
        other.open.pop().callback(good("AddIt"))
        exchange.open.pop().callback(good("AddIt"))
        for call in (first, second, third):
            self.successResultOf(call)

    def test_abandoned_calls_wake_nobody(self) -> None:
        caller, exchange = self.caller()
        calls = [self.add(caller) for _ in range(4)]
        exchange.open.clear()
        del caller, calls
        gc.collect()
        self.assertEqual(1, len(exchange.asked))
        self.assertEqual([], self.flushLoggedErrors())

    # -- time
    def test_the_budget_covers_all_attempts(self) -> None:
        caller, exchange = self.caller()
        call = self.get(caller, seconds=8.0)
        self.clock.advance(5)
        exchange.open.pop().errback(ConnectFailed())
        self.assertEqual([8.0, 3.0], [request["seconds"] for request in exchange.asked])
        self.clock.advance(3)
        exchange.open.pop().callback(good(NewUptime="1"))
        self.successResultOf(call)

    def test_no_attempt_without_time(self) -> None:
        caller, exchange = self.caller()
        call = self.get(caller, seconds=8.0)
        self.clock.advance(8)
        exchange.open.pop().errback(ConnectFailed())
        self.failureResultOf(call, ExchangeTimeout)
        self.assertEqual(1, len(exchange.asked))

    def test_waiting_does_not_use_up_the_budget(self) -> None:
        caller, exchange = self.caller()
        self.add(caller)
        self.get(caller, seconds=8.0)
        self.clock.advance(60)
        exchange.open.pop().callback(good("AddIt"))
        self.assertEqual(8.0, exchange.asked[1]["seconds"])

    # -- bad links
    def silent(self, exchange: FakeExchange, *, asked: bool = True) -> None:
        """What is open ends as an exchange does whose time is over."""
        self.clock.advance(exchange.asked[-1]["seconds"])
        exchange.open.pop().errback(ExchangeTimeout(asked=asked))

    def test_F46_what_is_due_first_goes_first(self) -> None:
        caller, exchange = self.caller()
        for target, due in (("/1", None), ("/look", 60.0), ("/user", None), ("/renewal", 5.0)):
            self.add(caller, target, due=due)
        for _ in range(4):
            exchange.open.pop().callback(good("AddIt"))
        self.assertEqual(["/1", "/renewal", "/user", "/look"], exchange.targets)

    def test_F46_a_prompt_gateway_that_is_silent_is_asked_again(self) -> None:
        caller, exchange = self.caller(good(NewUptime="1"))
        self.successResultOf(self.get(caller))
        call = self.get(caller)
        self.silent(exchange)
        self.assertNoResult(call)
        exchange.open.pop().callback(good(NewUptime="2"))
        self.assertEqual({"NewUptime": "2"}, self.successResultOf(call))
        seconds = [request["seconds"] for request in exchange.asked]
        self.assertEqual([HTTP_TOTAL_SECONDS, CALL_HASTY_SECONDS, HTTP_TOTAL_SECONDS - CALL_HASTY_SECONDS], seconds)

    def test_F46_the_second_silence_ends_it_within_the_budget(self) -> None:
        caller, exchange = self.caller(good(NewUptime="1"))
        self.successResultOf(self.get(caller))
        call = self.get(caller)
        self.silent(exchange)
        self.silent(exchange)
        self.failureResultOf(call, ExchangeTimeout)
        self.assertEqual((3, HTTP_TOTAL_SECONDS), (len(exchange.asked), self.clock.seconds()))
        self.get(caller)
        self.assertEqual(HTTP_TOTAL_SECONDS, exchange.asked[-1]["seconds"], "what was silent may be slow")

    def test_Q056_a_slow_gateway_has_all_the_time_in_one_try(self) -> None:
        caller, exchange = self.caller()
        for _ in range(3):
            call = self.get(caller)
            self.clock.advance(8)
            exchange.open.pop().callback(good(NewUptime="1"))
            self.successResultOf(call)
        self.assertEqual([HTTP_TOTAL_SECONDS] * 3, [request["seconds"] for request in exchange.asked])

    def test_Q056_a_gateway_that_becomes_slow_has_what_is_left(self) -> None:
        caller, exchange = self.caller(good(NewUptime="1"))
        self.successResultOf(self.get(caller))
        call = self.get(caller)
        self.silent(exchange)
        self.clock.advance(6)
        exchange.open.pop().callback(good(NewUptime="1"))
        self.successResultOf(call)
        self.get(caller)
        self.assertEqual(HTTP_TOTAL_SECONDS, exchange.asked[-1]["seconds"])

    def test_F46_only_where_silence_tells_of_a_loss(self) -> None:
        """Not where nothing connects, nor of other actions, nor within a short budget, nor of a reply that is long."""
        caller, exchange = self.caller(good(NewUptime="1"))
        self.successResultOf(self.get(caller))
        call = self.get(caller)
        self.silent(exchange, asked=False)
        self.failureResultOf(call, ExchangeTimeout)
        exchange.answers = [good(NewUptime="1"), good("GetListOfPortMappings", NewPortListing="")]
        self.successResultOf(self.get(caller))
        long = ("GetListOfPortMappings", (), ("NewPortListing",))
        self.successResultOf(caller.call(service(), IP2, *long, idempotent=True))
        for call in (
            self.get(caller, seconds=CALL_HASTY_SECONDS * 1.9),
            caller.call(service(), IP1, "GetOther", (), (), idempotent=True),
            caller.call(service(), IP2, *long, idempotent=True),
        ):
            asked = len(exchange.asked)
            self.silent(exchange)
            self.failureResultOf(call, ExchangeTimeout)
            self.assertEqual(asked, len(exchange.asked) - len(exchange.open))

    def test_F45_F46_a_prompt_action_that_changes_something_is_not_repeated(self) -> None:
        caller, exchange = self.caller(good("AddIt"))
        self.successResultOf(self.add(caller))
        call = self.add(caller)
        self.silent(exchange)
        self.failureResultOf(call, ExchangeTimeout)
        self.assertEqual([HTTP_TOTAL_SECONDS] * 2, [request["seconds"] for request in exchange.asked])

    def test_what_is_known_to_be_prompt_is_bounded(self) -> None:
        caller, exchange = self.caller()
        for number in range(SCPD_ACTIONS + 1):
            exchange.answers = [good(f"Get{number}")]
            self.successResultOf(caller.call(service(), IP1, f"Get{number}", (), (), idempotent=True))
        self.assertEqual(SCPD_ACTIONS, len(caller._prompt))

    # -- one retry
    def test_F44_lost_connection_is_tried_once_more(self) -> None:
        caller, exchange = self.caller(ConnectFailed(), good(NewUptime="1"))
        self.assertEqual({"NewUptime": "1"}, self.successResultOf(self.get(caller)))
        self.assertEqual(["POST", "POST"], exchange.methods)

    def test_F44_not_more_than_once(self) -> None:
        for second in (ConnectFailed(), BadReply("cut"), Reply(400)):
            caller, exchange = self.caller(BadReply("cut"), second, good(NewUptime="1"))
            self.failureResultOf(self.get(caller), ExchangeError)
            self.assertEqual(2, len(exchange.asked))

    def test_Q116_first_400(self) -> None:
        caller, _ = self.caller(Reply(400), good(NewUptime="1"))
        self.successResultOf(self.get(caller))
        caller, exchange = self.caller(Reply(400), Reply(400), good(NewUptime="1"))
        self.assertEqual(400, self.failureResultOf(self.get(caller), HTTPStatusError).value.status)
        self.assertEqual(2, len(exchange.asked))

    def test_Q114_reply_that_cannot_be_read_is_asked_for_again(self) -> None:
        caller, _ = self.caller(Reply(200, body=b"\x00junk"), good(NewUptime="1"))
        self.successResultOf(self.get(caller))

    def test_Q109_empty_reply_to_get(self) -> None:
        caller, exchange = self.caller(Reply(200), Reply(200))
        failed = self.failureResultOf(self.get(caller), BadReply)
        self.assertIn("empty reply", str(failed.value))
        self.assertEqual(2, len(exchange.asked))
        caller, _ = self.caller(Reply(200))
        self.assertEqual({}, self.successResultOf(self.add(caller)))

    def test_F45_what_may_have_been_done_is_not_repeated(self) -> None:
        for lost in (ConnectFailed(), BadReply("cut"), Reply(400), ExchangeTimeout(), Reply(200, body=b"junk")):
            caller, exchange = self.caller(lost, good("AddIt"))
            self.failureResultOf(self.add(caller), ExchangeError)
            self.assertEqual(1, len(exchange.asked))

    def test_other_failures_are_final(self) -> None:
        finals: list[Reply | Exception] = [ExchangeTimeout(), ReplyTooLarge(), ReplyRefused(), ExchangeError("closed")]
        finals += [Reply(500), Reply(404), Reply(503), Reply(501)]
        for final in finals:
            caller, exchange = self.caller(final, good(NewUptime="1"))
            self.failureResultOf(self.get(caller), ExchangeError)
            self.assertEqual(1, len(exchange.asked))
        caller, exchange = self.caller(refused(501), good(NewUptime="1"))
        self.failureResultOf(self.get(caller), ActionError)
        self.assertEqual(1, len(exchange.asked))

    # -- detours
    def test_Q102_mpost_after_405_and_from_then_on(self) -> None:
        caller, exchange = self.caller(Reply(405), good("AddIt"), good("AddIt"), good("AddIt"))
        self.successResultOf(self.add(caller))
        self.successResultOf(self.add(caller))
        self.successResultOf(self.add(caller, "/other"))
        self.assertEqual(["POST", "M-POST", "M-POST", "POST"], exchange.methods)
        self.assertEqual(soap.headers(IP1, "AddIt", mpost=True), exchange.asked[1]["headers"])
        self.assertEqual(exchange.asked[0]["body"], exchange.asked[1]["body"])

    def test_Q102_a_fault_by_mpost_shows_that_mpost_works(self) -> None:
        caller, exchange = self.caller(Reply(405), refused(718), good("AddIt"))
        self.failureResultOf(self.add(caller), ActionError)
        self.successResultOf(self.add(caller))
        self.assertEqual(["POST", "M-POST", "M-POST"], exchange.methods)

    def test_Q102_501_and_510_end_it(self) -> None:
        for status in (501, 510, 405):
            caller, exchange = self.caller(Reply(405), Reply(status), good("AddIt"))
            self.assertEqual(status, self.failureResultOf(self.add(caller), HTTPStatusError).value.status)
            self.successResultOf(self.add(caller))
            self.assertEqual(["POST", "M-POST", "POST"], exchange.methods)

    def test_Q102_mpost_that_works_no_more_is_forgotten(self) -> None:
        caller, exchange = self.caller(Reply(405), good("AddIt"), Reply(501), good("AddIt"))
        self.successResultOf(self.add(caller))
        self.failureResultOf(self.add(caller), HTTPStatusError)
        self.successResultOf(self.add(caller))
        self.assertEqual(["POST", "M-POST", "M-POST", "POST"], exchange.methods)

    def test_Q064_single_slash_after_404(self) -> None:
        caller, exchange = self.caller(Reply(404), good("AddIt"), good("AddIt"))
        self.successResultOf(self.add(caller, "//WANIPConnection?a=//b"))
        self.successResultOf(self.add(caller, "//WANIPConnection?a=//b"))
        single = "/WANIPConnection?a=//b"
        self.assertEqual(["//WANIPConnection?a=//b", single, single], exchange.targets)

    def test_Q064_once_only(self) -> None:
        caller, exchange = self.caller(Reply(404), Reply(404), good("AddIt"))
        self.failureResultOf(self.add(caller, "//a///b"), HTTPStatusError)
        self.assertEqual(["//a///b", "/a/b"], exchange.targets)
        caller, exchange = self.caller(Reply(404), good("AddIt"))
        self.failureResultOf(self.add(caller, "/a?//"), HTTPStatusError)

    def test_both_detours(self) -> None:
        caller, exchange = self.caller(Reply(404), Reply(405), good("AddIt"))
        self.successResultOf(self.add(caller, "//a"))
        self.assertEqual(
            [("POST", "//a"), ("POST", "/a"), ("M-POST", "/a")],
            list(zip(exchange.methods, exchange.targets, strict=True)),
        )

    def test_detours_remembered_are_bounded(self) -> None:
        caller, exchange = self.caller()
        for number in range(ROUTES + 1):
            exchange.answers = [Reply(405), good("AddIt")]
            self.successResultOf(self.add(caller, f"/{number}"))
        self.assertEqual(ROUTES, len(caller._routes))
        exchange.answers = [good("AddIt"), good("AddIt")]
        self.add(caller, "/0")
        self.add(caller, f"/{ROUTES}")
        self.assertEqual(["POST", "M-POST"], exchange.methods[-2:])

    @settings(deadline=None)
    @given(
        st.lists(
            st.sampled_from([200, 400, 404, 405, 500, 501, 510]).map(Reply)
            | st.sampled_from([ConnectFailed, BadReply, ExchangeTimeout, ReplyRefused]).map(lambda kind: kind("x")),
            min_size=8,
            max_size=8,
        ),
        st.booleans(),
    )
    def test_any_run_of_answers_ends(self, answers: list[Reply | Exception], idempotent: bool) -> None:
        caller, exchange = self.caller(*answers)
        done = caller.call(service("//a"), IP1, "GetIt", (), ("NewUptime",), idempotent=idempotent)
        self.failureResultOf(done, ExchangeError)
        self.assertLessEqual(len(exchange.asked), 4 if idempotent else 3)
        exchange.answers = [good(NewUptime="1")]
        self.successResultOf(self.get(caller))


class ProxyTests(SynchronousTestCase):
    def test_F46_due_reaches_the_queue(self) -> None:
        proxy = self.proxy()
        proxy.call("GetIt")
        later, soon = proxy.call("GetIt", due=60.0), proxy.call("GetIt", due=1.0)
        self.exchange.open.pop().callback(good())
        self.exchange.open.pop().callback(good(NewUptime="1"))
        self.assertEqual({"NewUptime": 1}, self.successResultOf(soon))
        self.assertNoResult(later)

    def proxy(self, *answers: Reply | Exception, offered: ServiceDescription | None = TABLE) -> ServiceProxy:
        self.exchange = FakeExchange(*answers)
        return ServiceProxy(service(), offered, Caller(self.exchange, clock=Clock()))

    def sent(self) -> dict[str, str]:
        return soap.read_request(self.exchange.asked[-1]["body"])[2]

    def rejects(self, proxy: ServiceProxy, *words: str, **arguments: Any) -> None:
        failed = self.failureResultOf(proxy.call("AddIt", **arguments), InvalidArgument)
        for word in words:
            self.assertIn(word, str(failed.value))
        self.assertEqual([], self.exchange.asked)

    def test_values_are_typed(self) -> None:
        proxy = self.proxy(good(NewUptime=" 0086", NewEnabled="yes", X_Extra="1"))
        got = self.successResultOf(proxy.call("GetIt"))
        self.assertEqual({"NewUptime": 86, "NewEnabled": True, "X_Extra": "1"}, got)

    def test_Q110_missing_is_absent(self) -> None:
        self.assertEqual({}, self.successResultOf(self.proxy(good()).call("GetIt")))

    def test_Q150_what_cannot_be_read_is_the_text(self) -> None:
        got = self.successResultOf(self.proxy(good(NewUptime="a while", NewEnabled="1")).call("GetIt"))
        self.assertEqual({"NewUptime": "a while", "NewEnabled": True}, got)

    def test_Q096_Q100_all_arguments_in_order(self) -> None:
        proxy = self.proxy(good("AddIt"))
        self.successResultOf(proxy.call("AddIt", **dict(reversed(ADD.items()))))
        self.assertEqual(
            [("NewRemoteHost", ""), ("NewPort", "80"), ("NewProtocol", "TCP"), ("NewEnabled", "1")],
            list(self.sent().items()),
        )

    def test_Q097_lists_as_the_device_spells_them(self) -> None:
        proxy = self.proxy(good("AddIt"))
        self.successResultOf(proxy.call("AddIt", **{**ADD, "NewProtocol": "tcp"}))
        self.assertEqual("TCP", self.sent()["NewProtocol"])

    def test_names_in_any_case(self) -> None:
        proxy = self.proxy(good("AddIt"))
        self.successResultOf(proxy.call("addit", **{name.lower(): value for name, value in ADD.items()}))
        self.assertIn("NewRemoteHost", self.sent())
        self.assertEqual({"GetIt": "unknown", "AddIt": "works"}, dict(proxy.capabilities))

    def test_wrong_arguments_name_the_right_ones(self) -> None:
        right = ("NewRemoteHost", "NewPort", "NewProtocol", "NewEnabled")
        proxy = self.proxy()
        self.rejects(proxy, *right, "NewPrt", **{**ADD, "NewPrt": 1})
        self.rejects(proxy, *right)
        self.rejects(proxy, *right, **{name: ADD[name] for name in right[:3]})
        self.rejects(proxy, *right, **{**ADD, "newport": 1})
        failed = self.failureResultOf(proxy.call("GetIt", NewX=1), InvalidArgument)
        self.assertIn("no argument", str(failed.value))

    def test_wrong_values_name_the_argument(self) -> None:
        proxy = self.proxy()
        for name, value in {
            "NewPort": "80",
            "NewRemoteHost": None,
            "NewEnabled": "maybe",
            "NewProtocol": "SCTP",
        }.items():
            self.rejects(proxy, name, **{**ADD, name: value})
        for port in (0, 65536, -1):
            self.rejects(proxy, "NewPort", **{**ADD, "NewPort": port})
        self.rejects(proxy, "TCP, UDP", **{**ADD, "NewProtocol": ""})

    def test_a_range_that_allows_nothing_is_ignored(self) -> None:
        odd = table(
            Action(name="AddIt", inputs=(Argument("NewPort", "Port"),), outputs=()),
            Port=variable("Port", "ui2", minimum=1, maximum=0),
        )
        self.successResultOf(self.proxy(good("AddIt"), offered=odd).call("AddIt", NewPort=5))

    def test_arguments_named_like_our_keywords_come_in_a_mapping(self) -> None:
        words = {"seconds": "3", "due": "now", "action": "x", "self": "y", "arguments": "z"}
        odd = table(Action(name="Wait", inputs=tuple(Argument(name, "Gone") for name in words), outputs=()))
        proxy = self.proxy(good("Wait"), good("Wait"), offered=odd)
        self.successResultOf(proxy.call("Wait", words, seconds=2.5))
        self.assertEqual((words, 2.5), (self.sent(), self.exchange.asked[0]["seconds"]))
        some = {"seconds": "3", "due": "now"}
        others: dict[str, Any] = {name: text for name, text in words.items() if name not in some}
        self.successResultOf(proxy.call("Wait", some, **others))
        self.assertEqual(words, self.sent())
        failed = self.failureResultOf(proxy.call("Wait", words, action="x"), InvalidArgument)
        self.assertIn("given twice: action", str(failed.value))

    def test_a_range_holds_for_every_kind_of_number(self) -> None:
        for kind, low, high, step, good_ones, bad_ones in (
            ("fixed.14.4", 1.5, 2.5, None, (Decimal("1.5"), Decimal("2.5"), 2), (Decimal("9.5"), Decimal("1.4"), 1)),
            ("fixed.14.4", 0.1, 0.5, 0.1, (Decimal("0.1"), Decimal("0.3")), (Decimal("0.15"), Decimal("0.05"))),
            ("r8", 1.5, 2.5, None, (1.5, 2), (9.5, 1)),
            ("r8", 0.1, 1.0, 0.1, (0.1, 0.1 + 0.2, 1.0), (0.25,)),
            ("ui2", 10, 100, 5, (10, 15, 100), (11, 99, 5)),
            ("i4", -10, 10, 4, (-10, -2, 10), (-9, 0)),  # the end of a range is in it, whatever the step
            ("ui2", 10, 100, 0, (11,), (9,)),  # a step of nothing is none
            ("ui2", None, 100, 5, (11,), (101,)),
        ):
            odd = table(
                Action(name="AddIt", inputs=(Argument("V", "V"),), outputs=()),
                V=variable("V", kind, minimum=low, maximum=high, step=step),
            )
            for value in good_ones:
                self.successResultOf(self.proxy(good("AddIt"), offered=odd).call("AddIt", V=value))
            for value in bad_ones:
                self.rejects(self.proxy(offered=odd), "V", V=value)

    def test_an_argument_without_variable_is_a_string(self) -> None:
        odd = table(Action(name="AddIt", inputs=(Argument("A", "Gone"),), outputs=()))
        self.successResultOf(self.proxy(good("AddIt"), offered=odd).call("AddIt", A="x"))
        self.assertEqual({"A": "x"}, self.sent())

    def test_an_action_that_is_not_offered(self) -> None:
        for proxy in (self.proxy(), self.proxy(offered=None)):
            self.failureResultOf(proxy.call("X_Other"), ActionNotOffered)
            self.assertEqual([], self.exchange.asked)

    def test_Q151_capabilities(self) -> None:
        proxy = self.proxy(refused(401), refused(602), good("AddIt"))
        capabilities = proxy.capabilities
        self.assertEqual({"GetIt": "unknown", "AddIt": "unknown"}, dict(capabilities))
        self.failureResultOf(proxy.call("GetIt"), ActionError)
        self.assertEqual("refused", capabilities["GetIt"])
        self.failureResultOf(proxy.call("AddIt", **ADD), ActionError)
        self.assertEqual("refused", capabilities["AddIt"])
        self.successResultOf(proxy.call("AddIt", **ADD))
        self.assertEqual("works", capabilities["AddIt"])

    def test_other_failures_say_nothing_of_the_action(self) -> None:
        proxy = self.proxy(refused(501), refused(718), ExchangeTimeout(), Reply(404))
        for _ in range(4):
            self.failureResultOf(proxy.call("AddIt", **ADD))
            self.assertEqual("unknown", proxy.capabilities["AddIt"])

    def test_only_reading_actions_are_repeated(self) -> None:
        for name, tries in {
            "GetIt": 2,
            "X_GetICSStatistics": 2,
            "X_AVM_GetHostList": 2,
            "AddIt": 1,
            "Getaway": 1,
            "SetGetIt": 1,
            "ForceTermination": 1,
        }.items():
            offered = table(Action(name=name, inputs=(), outputs=()))
            proxy = self.proxy(ConnectFailed(), ConnectFailed(), offered=offered)
            self.failureResultOf(proxy.call(name), ConnectFailed)
            self.assertEqual(tries, len(self.exchange.asked), name)

    def test_seconds(self) -> None:
        self.proxy(good()).call("GetIt", seconds=2.5)
        self.assertEqual(2.5, self.exchange.asked[0]["seconds"])

    def test_cancelling(self) -> None:
        proxy = self.proxy()
        call = proxy.call("GetIt")
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual(1, self.exchange.cancelled)

    def test_query(self) -> None:
        def answer(**values: str) -> Reply:
            return Reply(200, body=soap.response(soap.CONTROL, soap.QUERY, values))

        proxy = self.proxy(answer(**{"return": "7"}), answer(**{"return": "x"}), Reply(200, body=answer().body))
        self.assertEqual(7, self.successResultOf(proxy.query("Uptime")))
        self.assertEqual(soap.query_state_variable("Uptime"), self.exchange.asked[0]["body"])
        self.assertEqual("x", self.successResultOf(proxy.query("Nothing")))
        self.failureResultOf(proxy.query("Uptime"), BadReply)
        proxy = self.proxy(refused(404))
        self.assertEqual(404, self.failureResultOf(proxy.query("Uptime"), ActionError).value.code)

    @settings(deadline=None)
    @given(st.text(), st.integers(1, 65535), st.booleans())
    def test_any_argument_arrives_or_is_refused(self, host: str, port: int, enabled: bool) -> None:
        proxy = self.proxy(good("AddIt"))
        arguments = {**ADD, "NewRemoteHost": host, "NewPort": port, "NewEnabled": enabled}
        results: list[object] = []
        done: Deferred[Any] = proxy.call("AddIt", **arguments)
        keep: Callable[[object], None] = results.append
        done.addBoth(keep)
        if self.exchange.asked:
            self.assertEqual(
                {
                    "NewRemoteHost": host.strip(),
                    "NewPort": str(port),
                    "NewProtocol": "TCP",
                    "NewEnabled": str(int(enabled)),
                },
                self.sent(),
            )
        else:
            self.assertRegex(host, "[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Gateway(ServerFactory):
    """Answers each connection with the next of its octet strings and hangs up."""

    noisy = False

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []

    def buildProtocol(self, addr: object) -> Protocol:
        return GatewayConnection(self)


class GatewayConnection(Protocol):
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.seen = b""

    def dataReceived(self, data: bytes) -> None:
        self.seen += data
        if not self.seen.endswith(b"</s:Envelope>"):
            return
        assert self.transport is not None
        self.gateway.requests.append(self.seen)
        answer = self.gateway.answers.pop(0)
        if answer:
            self.transport.write(answer)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class WireTests(TestCase):
    """Through the real exchange, on loopback."""

    async def run_call(self, action: str, *answers: bytes) -> tuple[Any, list[bytes], int]:
        from twisted.internet import reactor

        real: Any = reactor
        gateway = Gateway(*answers)
        port = real.listenTCP(0, gateway, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        exchange = Exchange(real)
        self.addCleanup(exchange.close)
        url = DeviceURL(IPv4Address("127.0.0.1"), port.getHost().port, "/ctl")
        proxy = ServiceProxy(replace(service(), control_url=url), TABLE, Caller(exchange, clock=real))
        got = await proxy.call(action, **(ADD if action == "AddIt" else {}))
        return got, gateway.requests, url.port

    async def test_Q089_Q102_octets_of_both_attempts(self) -> None:
        body = soap.request(
            IP1, "AddIt", [("NewRemoteHost", ""), ("NewPort", "80"), ("NewProtocol", "TCP"), ("NewEnabled", "1")]
        )
        done = soap.response(IP1, "AddIt")
        _, (first, second), port = await self.run_call(
            "AddIt",
            b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n" + done,
        )
        for request, method, lines in (
            (first, b"POST", [f'SOAPACTION: "{IP1}#AddIt"']),
            (second, b"M-POST", [f'MAN: "{soap.ENVELOPE}"; ns=01', f'01-SOAPACTION: "{IP1}#AddIt"']),
        ):
            head, _, sent = request.partition(b"\r\n\r\n")
            self.assertEqual(body, sent)
            self.assertTrue(head.startswith(method + f" /ctl HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n".encode()), head)
            fields = head.decode().split("\r\n")[2:]
            start = fields.index('CONTENT-TYPE: text/xml; charset="utf-8"')
            self.assertEqual(lines, fields[start + 1 : start + 1 + len(lines)])
            self.assertIn(f"content-length: {len(body)}", [field.lower() for field in fields])
            self.assertNotIn(b"chunked", head)

    async def test_F44_reset_is_tried_once_more(self) -> None:
        answer = soap.response(IP1, "GetIt", {"NewUptime": "7"})
        got, requests, _ = await self.run_call("GetIt", b"", b"HTTP/1.1 200 OK\r\n\r\n" + answer)
        self.assertEqual({"NewUptime": 7}, got)
        self.assertEqual(2, len(requests))

    async def test_F45_reset_after_an_add_is_not(self) -> None:
        with self.assertRaises(ExchangeError):
            await self.run_call("AddIt", b"", b"")
