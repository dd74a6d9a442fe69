"""The WAN interface of a gateway: what is asked, what is made of the answers, and the meter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.test_action import refused, service
from txigd.errors import ActionNotOffered, ConnectFailed, ExchangeError, ExchangeTimeout, InvalidArgument, Stopped
from txigd.igd.link import (
    ICS_STATISTICS,
    CommonInterface,
    LinkProperties,
    Statistics,
    TrafficMeter,
    TrafficReading,
    bit_rate,
)
from txigd.igd.link_config import (
    LINK_CONFIGS,
    CableLink,
    DSLLink,
    EthernetLink,
    LinkConfig,
    POTSLink,
    read_link_config,
)
from txigd.igd.tables import builtin_table, standards
from txigd.igd.traffic import TrafficCounters, TrafficRate
from txigd.interfaces import IExchange
from txigd.limits import LINK_PROPERTIES_SECONDS
from txigd.testing import SimulatedGateway
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description.fetch import fetch_description
from txigd.upnp.description.service import Action, Argument, ServiceDescription, StateVariable
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply
from txigd.upnp.url import parse

TYPE = "urn:schemas-upnp-org:service:{}:1"
COMMON = TYPE.format("WANCommonInterfaceConfig")
UI4 = 2**32
COUNTERS = ("GetTotalBytesReceived", "GetTotalBytesSent", "GetTotalPacketsReceived", "GetTotalPacketsSent")
ACTION = re.compile(r'#([A-Za-z0-9_]+)"')
Answer = dict[str, object] | int | Exception


@implementer(IExchange)
class FakeGateway:
    """Answers actions from a table: out-arguments, an error code, or how the exchange fails; None: not at all yet."""

    def __init__(self, **answers: Answer | None) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.waiting: list[Deferred[Reply]] = []
        self.cancelled = 0

    def request(self, method: str, url: Any, headers: Any = (), body: bytes = b"", **budget: object) -> Deferred[Reply]:
        (action,) = [found[1] for name, value in headers if (found := ACTION.search(value)) and name == "SOAPACTION"]
        self.asked.append(action)
        answer = self.answers.get(action, 401)
        if answer is None:
            self.waiting.append(Deferred(self._cancel))
            return self.waiting[-1]
        if isinstance(answer, Exception):
            return fail(answer)
        if isinstance(answer, int):
            return succeed(refused(answer))
        outputs = {name: str(value) for name, value in answer.items()}
        return succeed(Reply(200, body=soap.response(COMMON, action, outputs)))

    def _cancel(self, waiting: Deferred[Reply]) -> None:
        self.cancelled += 1

    def count(self, sent: object = None, received: object = None, **more: object) -> None:
        """Set the counters; None where they are refused."""
        told = {"BytesSent": sent, "BytesReceived": received, **more}
        for name, value in told.items():
            self.answers[f"GetTotal{name}"] = 401 if value is None else {f"NewTotal{name}": value}


def proxy(gateway: FakeGateway, clock: Clock, service_type: str = COMMON, own: Any = None) -> ServiceProxy:
    table = own or builtin_table(service_type)
    return ServiceProxy(service(service_type=service_type), table, Caller(gateway, clock=clock))


def properties(up: object = 1_000_000, down: object = 8_000_000, access: str = "DSL", status: str = "Up") -> Answer:
    return {
        "NewWANAccessType": access,
        "NewLayer1UpstreamMaxBitRate": up,
        "NewLayer1DownstreamMaxBitRate": down,
        "NewPhysicalLinkStatus": status,
    }


class PropertiesTests(SynchronousTestCase):
    def read(self, answer: Answer | None) -> LinkProperties:
        clock = Clock()
        interface = CommonInterface(clock, proxy(FakeGateway(GetCommonLinkProperties=answer), clock))
        return self.successResultOf(interface.properties())

    def test_plain(self) -> None:
        made = self.read(properties())
        self.assertEqual(made, LinkProperties("DSL", "Up", 1_000_000, 8_000_000))
        self.assertEqual((made.up, made.line_rates), (True, (125_000.0, 1_000_000.0)))

    def test_Q153_zero_and_nonsense_are_unknown(self) -> None:
        for told in (0, UI4 - 1, -1, "", "fast", 2**31 - 1, 10**15):
            made = self.read(properties(told, told))
            self.assertEqual((made.upstream_max_bit_rate, made.downstream_max_bit_rate), (None, None), told)
            self.assertEqual((made.access_type, made.line_rates), ("DSL", (None, None)))
        self.assertEqual([bit_rate(told) for told in (10**10, 1, True, None)], [10**10, 1, None, None])

    def test_Q153_it_fails_while_all_else_works(self) -> None:
        for answer in (401, 501, 602, 899):
            made = self.read(answer)
            self.assertEqual((made, made.up), (LinkProperties(), None))

    def test_words_in_any_case_and_words_of_vendors(self) -> None:
        made = self.read(properties(access=" ethernet ", status="UP"))
        self.assertEqual((made.access_type, made.physical_link_status), ("Ethernet", "Up"))
        made = self.read(properties(access="X_LTE", status="Sleeping"))
        self.assertEqual((made.access_type, made.physical_link_status, made.up), ("X_LTE", "Sleeping", None))
        self.assertEqual([self.read(properties(status=word)).up for word in ("Down", "Initializing")], [False, False])

    def test_a_gateway_that_is_gone(self) -> None:
        clock = Clock()
        gateway = FakeGateway(GetCommonLinkProperties=ExchangeTimeout())
        self.failureResultOf(CommonInterface(clock, proxy(gateway, clock)).properties(), ExchangeTimeout)

    def test_another_service(self) -> None:
        clock = Clock()
        for other in ("WANIPConnection", "WANDSLLinkConfig", "SwitchPower"):
            with self.assertRaises(ActionNotOffered):
                CommonInterface(clock, proxy(FakeGateway(), clock, TYPE.format(other)))


def ics_table() -> ServiceDescription:
    names = (
        "TotalBytesSent",
        "TotalBytesReceived",
        "TotalPacketsSent",
        "TotalPacketsReceived",
        "Layer1DownstreamMaxBitRate",
        "Uptime",
    )
    action = Action(ICS_STATISTICS, (), tuple(Argument(name, name) for name in names))
    return ServiceDescription({action.name: action}, {name: StateVariable(name, "ui4", False) for name in names})


ICS: Answer = {
    "TotalBytesSent": 10,
    "TotalBytesReceived": 20,
    "TotalPacketsSent": 1,
    "TotalPacketsReceived": 2,
    "Layer1DownstreamMaxBitRate": 1000,
    "Uptime": 77,
}


class StatisticsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(5.0)
        self.gateway = FakeGateway()

    def interface(self, own: ServiceDescription | None = None) -> CommonInterface:
        return CommonInterface(self.clock, proxy(self.gateway, self.clock, own=own))

    def test_plain(self) -> None:
        self.gateway.count(1, 2, PacketsSent=3, PacketsReceived=4)
        got = self.successResultOf(self.interface().statistics())
        self.assertEqual(got, Statistics(TrafficCounters(1, 2, 3, 4), 5.0))
        self.assertEqual(tuple(self.gateway.asked), COUNTERS)

    def test_Q151_what_is_refused_is_asked_for_once(self) -> None:
        self.gateway.count(1, 2)
        interface = self.interface()
        for _ in range(3):
            got = self.successResultOf(interface.statistics())
            self.assertEqual(got.counters, TrafficCounters(1, 2))
        self.assertEqual([self.gateway.asked.count(action) for action in COUNTERS], [3, 3, 1, 1])

    def test_Q151_what_fails_otherwise_is_asked_for_again(self) -> None:
        self.gateway.count(1, 2)
        self.gateway.answers["GetTotalBytesSent"] = 501
        interface = self.interface()
        self.assertEqual(self.successResultOf(interface.statistics()).counters, TrafficCounters(None, 2))
        self.gateway.count(1, 2)
        self.assertEqual(self.successResultOf(interface.statistics()).counters, TrafficCounters(1, 2))

    def test_Q152_numbers_as_told(self) -> None:
        self.gateway.count("-531985522", "4294967295", PacketsSent=str(2**40), PacketsReceived="many")
        got = self.successResultOf(self.interface().statistics())
        self.assertEqual(got.counters, TrafficCounters(UI4 - 531985522, UI4 - 1, 2**40, None))

    def test_statistics_of_windows_where_nothing_else_is_offered(self) -> None:
        self.gateway.answers[ICS_STATISTICS] = ICS
        got = self.successResultOf(self.interface(ics_table()).statistics())
        self.assertEqual(got, Statistics(TrafficCounters(10, 20, 1, 2), 5.0, 77))

    def test_statistics_of_windows_are_not_asked_for_where_counters_work(self) -> None:
        self.gateway.count(1, 2)
        self.successResultOf(self.interface(ics_table()).statistics())
        self.assertNotIn(ICS_STATISTICS, self.gateway.asked)

    def test_statistics_of_windows_are_asked_for_only_where_described(self) -> None:
        got = self.successResultOf(self.interface().statistics())
        self.assertFalse(got.counters.known)
        self.assertEqual(tuple(self.gateway.asked), COUNTERS)

    def test_statistics_of_windows_refused(self) -> None:
        interface = self.interface(ics_table())
        for _ in range(2):
            self.assertFalse(self.successResultOf(interface.statistics()).counters.known)
        self.assertEqual(self.gateway.asked.count(ICS_STATISTICS), 1)

    def test_a_gateway_that_is_gone_is_asked_once(self) -> None:
        self.gateway.answers["GetTotalBytesReceived"] = ExchangeTimeout()
        self.failureResultOf(self.interface().statistics(), ExchangeTimeout)
        self.assertEqual(len(self.gateway.asked), 1)

    def test_an_answer_that_is_lost_takes_only_itself(self) -> None:
        self.gateway.count(1, 2)
        self.gateway.answers["GetTotalBytesSent"] = ExchangeTimeout()
        got = self.successResultOf(self.interface().statistics())
        self.assertEqual(got.counters, TrafficCounters(None, 2))


class MeterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gateway = FakeGateway(GetCommonLinkProperties=properties())
        self.gateway.count(1000, 2000)
        self.seen: list[TrafficReading] = []

    def meter(self, seconds: float = 10.0, **more: Any) -> TrafficMeter:
        made = TrafficMeter(self.clock, proxy(self.gateway, self.clock), seconds, **more)
        made.observe(lambda old, new: self.seen.append(new))
        self.addCleanup(made.stop)
        return made

    def step(self, sent: object = None, received: object = None, seconds: float = 10.0) -> TrafficReading:
        self.gateway.count(sent, received)
        self.clock.advance(seconds)
        self.clock.advance(0)
        return self.seen[-1]

    def test_rates_between_readings(self) -> None:
        made = self.meter()
        self.assertEqual((self.gateway.asked, made.value), ([], TrafficReading()))
        made.start()
        self.clock.advance(0)
        (first,) = self.seen
        self.assertEqual(first.counters, TrafficCounters(1000, 2000))
        self.assertEqual((first.rate, first.answered), (TrafficRate(), True))
        self.assertEqual(first.link, LinkProperties("DSL", "Up", 1_000_000, 8_000_000))
        second = self.step(2000, 42_000)
        self.assertEqual(second.rate, TrafficRate(100.0, 4000.0))
        self.assertEqual(second.totals, TrafficCounters(1000, 40_000))
        self.assertIs(made.value, second)

    def test_observers_are_told_in_a_later_turn(self) -> None:
        self.meter().start()
        self.assertEqual(self.seen, [])

    def test_when(self) -> None:
        made = self.meter()
        fast = made.when(lambda reading: (reading.rate.bytes_received or 0) > 100)
        made.start()
        self.assertNoResult(fast)
        self.step(1000, 12_000)
        self.assertEqual(self.successResultOf(fast).rate.bytes_received, 1000.0)

    def test_U05_stuck_counter_is_unknown_not_zero(self) -> None:
        self.gateway.count(UI4 - 1, 2000)
        self.meter().start()
        reading = self.step(UI4 - 1, 3000)
        self.assertEqual((reading.counters, reading.rate), (TrafficCounters(None, 3000), TrafficRate(None, 100.0)))
        self.assertEqual(reading.totals, TrafficCounters(None, 1000))

    def test_Q152_wrap(self) -> None:
        self.gateway.count(UI4 - 500, 0)
        self.meter().start()
        self.assertEqual(self.step(500, 0).rate, TrafficRate(100.0, 0.0))

    def test_Q152_reset(self) -> None:
        self.gateway.count(UI4 - 500, UI4 - 500)
        self.meter().start()
        self.assertEqual(self.step(500, 500).rate, TrafficRate())
        self.assertEqual(self.step(1500, 500).rate, TrafficRate(100.0, 0.0))

    def test_Q152_told_of_a_reboot(self) -> None:
        made = self.meter()
        made.start()
        made.restarted()
        self.assertEqual(self.step(2000, 3000).rate, TrafficRate())
        self.assertEqual(self.gateway.asked.count("GetCommonLinkProperties"), 2, "the line may be another one")
        self.assertEqual(self.step(3000, 4000).rate, TrafficRate(100.0, 100.0))

    def test_F16_a_reading_under_way_when_another_takes_over_counts_for_neither(self) -> None:
        made = self.meter()
        made.start()
        self.gateway.answers["GetTotalBytesReceived"] = None
        self.clock.advance(10)
        (waiting,) = self.gateway.waiting
        other = FakeGateway(GetCommonLinkProperties=properties(status="Down"))
        other.count(900_000, 900_000)
        made.use(proxy(other, self.clock))
        waiting.callback(
            Reply(200, body=soap.response(COMMON, "GetTotalBytesReceived", {"NewTotalBytesReceived": "3000"}))
        )
        self.clock.advance(0)
        self.assertEqual(len(self.seen), 1)
        self.clock.advance(10)
        self.clock.advance(0)
        self.assertEqual(self.seen[-1].counters, TrafficCounters(900_000, 900_000))
        self.assertEqual((self.seen[-1].rate, self.seen[-1].totals), (TrafficRate(), TrafficCounters(0, 0)))
        self.assertIs(self.seen[-1].link.up, False)

    def test_properties_are_read_seldom_and_after_an_event(self) -> None:
        made = self.meter(100.0)
        made.start()
        asked = lambda: self.gateway.asked.count("GetCommonLinkProperties")  # noqa: E731
        for _ in range(int(LINK_PROPERTIES_SECONDS / 100) - 1):
            self.step(1, 1, 100.0)
        self.assertEqual(asked(), 1)
        self.step(1, 1, 100.0)
        self.assertEqual(asked(), 2)
        made.link_changed()
        self.gateway.answers["GetCommonLinkProperties"] = properties(status="Down")
        self.assertIs(self.step(1, 1, 100.0).link.up, False)

    def test_Q153_properties_fail_and_the_counters_go_on(self) -> None:
        for answer in (501, 401, ExchangeTimeout()):
            self.gateway.answers["GetCommonLinkProperties"] = answer
            self.gateway.count(0, 0)
            self.seen.clear()
            self.meter().start()
            self.assertEqual(self.step(1000, 0).rate, TrafficRate(100.0, 0.0), answer)
            self.assertEqual(self.seen[-1].link, LinkProperties())

    def test_a_gateway_that_is_gone_for_a_while(self) -> None:
        self.meter().start()
        self.gateway.answers["GetTotalBytesReceived"] = ConnectFailed()
        self.clock.advance(10)
        self.clock.advance(0)
        gone = self.seen[-1]
        self.assertEqual((gone.answered, gone.counters, gone.rate), (False, TrafficCounters(), TrafficRate()))
        self.assertEqual(gone.link.access_type, "DSL")
        self.assertEqual(self.step(3000, 4000).rate, TrafficRate(100.0, 100.0))

    def test_Q151_a_gateway_without_counters_is_left_alone(self) -> None:
        self.gateway.answers.clear()
        self.meter().start()
        for _ in range(5):
            self.assertTrue(self.step().answered)
        self.assertEqual(sorted(self.gateway.asked), sorted((*COUNTERS, "GetCommonLinkProperties")))

    def test_uptime_of_the_connection(self) -> None:
        other = FakeGateway(GetStatusInfo={"NewConnectionStatus": "Connected", "NewUptime": "0 Days, 01:00:05"})
        connection = proxy(other, self.clock, TYPE.format("WANIPConnection"))
        self.meter(connection=connection).start()
        self.clock.advance(0)
        self.assertEqual(self.seen[-1].uptime_seconds, 3605)  # Q150
        answers: tuple[Answer, ...] = (401, {"NewUptime": "long"}, {"NewUptime": "-5"}, {}, ExchangeTimeout())
        for told in answers:
            other.answers["GetStatusInfo"] = told
            reading = self.step(5000, 5000)
            self.assertIn(reading.uptime_seconds, (None, UI4 - 5), told)
            self.assertTrue(reading.answered)

    def test_a_slow_gateway_is_never_asked_twice_at_once(self) -> None:
        self.gateway.answers["GetTotalBytesReceived"] = None
        made = self.meter()
        made.start()
        self.clock.advance(60)
        self.assertEqual(self.gateway.asked, ["GetTotalBytesReceived"])
        (waiting,) = self.gateway.waiting
        self.gateway.count(1, 2)
        waiting.errback(ExchangeTimeout())
        self.clock.advance(0.9)
        self.assertEqual(len(self.gateway.asked), 1, "and gets a rest")
        self.clock.advance(0.1)
        self.assertGreater(len(self.gateway.asked), 1)

    def test_stop_closes_the_call_under_way(self) -> None:
        self.gateway.answers["GetTotalBytesReceived"] = None
        made = self.meter()
        waiter = made.when(lambda reading: reading.answered)
        made.start()
        made.stop()
        made.stop()
        self.failureResultOf(waiter, Stopped)
        self.assertEqual((self.gateway.cancelled, self.clock.getDelayedCalls()), (1, []))
        with self.assertRaises(Stopped):
            made.start()

    def test_stop_between_readings(self) -> None:
        made = self.meter()
        made.start()
        made.start()
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.seen), 1, "what was read before is still told")

    def test_F60_an_observer_that_raises(self) -> None:
        made = self.meter()
        made.observe(lambda old, new: 1 // 0)
        made.start()
        self.step(1, 1)
        self.assertEqual(len(self.seen), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_intervals(self) -> None:
        for seconds in (0.0, 0.99, -1.0, float("nan")):
            with self.assertRaises(InvalidArgument):
                self.meter(seconds)


class LinkConfigTests(SynchronousTestCase):
    def read(self, name: str, **answers: Answer | None) -> LinkConfig:
        self.gateway = FakeGateway(**answers)
        self.proxy = proxy(self.gateway, Clock(), TYPE.format(name))
        return self.successResultOf(read_link_config(self.proxy))

    def test_a_field_for_everything_that_can_be_asked(self) -> None:
        """And nothing else: held against the standard's tables."""
        samples: dict[str, Callable[[], object]] = {"string": lambda: "x", "boolean": lambda: 1, "ui4": lambda: 5}
        for entry in standards():
            made = LINK_CONFIGS.get(entry.name)
            if made is None:
                continue
            answers: dict[str, Answer | None] = {}
            for action in entry.description.actions.values():
                if not action.inputs:
                    answers[action.name] = {
                        one.name: samples[entry.description.variables[one.variable].data_type]()
                        for one in action.outputs
                    }
            got = self.read(entry.name, **answers)
            values = [getattr(got, name) for name in made.__dataclass_fields__]
            self.assertEqual(set(map(repr, values)) - {"'x'", "True", "5"}, set(), got)
            self.assertEqual(len(values), sum(len(answer) for answer in answers.values() if isinstance(answer, dict)))
            self.assertEqual(sorted(self.gateway.asked), sorted(answers))
            self.assertIsInstance(got, made)

    def test_dsl(self) -> None:
        got = self.read(
            "WANDSLLinkConfig",
            GetDSLLinkInfo={"NewLinkType": "PPPoE", "NewLinkStatus": "Up"},
            GetAutoConfig={"NewAutoConfig": "yes"},
            GetDestinationAddress={"NewDestinationAddress": "PVC: 8/35"},
            GetFCSPreserved=501,
        )
        self.assertEqual(got, DSLLink("PPPoE", "Up", True, destination_address="PVC: 8/35"))

    def test_Q151_what_is_refused_is_none_and_asked_for_once(self) -> None:
        for name, empty in {
            "WANCableLinkConfig": CableLink(),
            "WANEthernetLinkConfig": EthernetLink(),
            "WANPOTSLinkConfig": POTSLink(),
        }.items():
            self.assertEqual(self.read(name), empty)
            asked = len(self.gateway.asked)
            self.assertEqual(self.successResultOf(read_link_config(self.proxy)), empty)
            self.assertEqual(len(self.gateway.asked), asked)

    def test_a_gateway_that_is_gone_is_asked_once(self) -> None:
        gateway = FakeGateway(GetDSLLinkInfo=ExchangeTimeout(), GetAutoConfig=ExchangeTimeout())
        asking = read_link_config(proxy(gateway, Clock(), TYPE.format("WANDSLLinkConfig")))
        self.failureResultOf(asking, ExchangeError)
        self.assertEqual(len(gateway.asked), 1)

    def test_a_gateway_that_falls_silent_is_asked_no_more_and_what_it_said_is_kept(self) -> None:
        for silence in (ExchangeTimeout(), ConnectFailed()):
            got = self.read(
                "WANDSLLinkConfig",
                GetDSLLinkInfo={"NewLinkType": "PPPoE", "NewLinkStatus": "Up"},
                GetAutoConfig=501,
                GetModulationType=silence,
                GetDestinationAddress={"NewDestinationAddress": "PVC: 8/35"},
            )
            self.assertEqual(got, DSLLink("PPPoE", "Up"))
            self.assertEqual(list(dict.fromkeys(self.gateway.asked))[-1], "GetModulationType")

    def test_another_service(self) -> None:
        for name in ("WANIPConnection", "SwitchPower"):
            asking = read_link_config(proxy(FakeGateway(), Clock(), TYPE.format(name)))
            self.failureResultOf(asking, ActionNotOffered)


class SimulatedTests(TestCase):
    """Against the simulated gateway, over real sockets."""

    timeout = 180

    async def test_meter_and_link_of_a_whole_gateway(self) -> None:
        gateway = SimulatedGateway(reactor, ssdp=False, version=2)
        await gateway.start()
        self.addCleanup(gateway.stop)
        exchange = Exchange(reactor)
        self.addCleanup(exchange.close)
        description = await fetch_description(exchange, parse(gateway.location), seconds=5)
        caller = Caller(exchange, clock=reactor)
        proxies = {
            one.name: ServiceProxy(one, builtin_table(one.service_type), caller)
            for one in description.root.all_services()
        }
        meter = TrafficMeter(reactor, proxies["WANCommonInterfaceConfig"], 1.0, connection=proxies["WANIPConnection"])
        self.addCleanup(meter.stop)
        meter.start()
        first = await meter.when(lambda reading: reading.answered)
        self.assertEqual((first.counters, first.rate), (TrafficCounters(0, 0, 0, 0), TrafficRate()))
        self.assertEqual((first.link.access_type, first.link.up), ("Ethernet", True))
        self.assertIsNotNone(first.uptime_seconds)
        gateway._state.traffic.sent(UI4 + 500_000)
        moved = await meter.when(lambda reading: bool(reading.rate.packets_sent))
        self.assertEqual(moved.counters.bytes_sent, 500_000)
        self.assertGreater(moved.rate.bytes_sent or 0, 0)
        self.assertEqual(await read_link_config(proxies["WANEthernetLinkConfig"]), EthernetLink("Up"))
        meter.stop()
        await task.deferLater(reactor, 0)
