"""What gateways say of their own services: a hint that stands in nobody's way, and the last word where they insist.

A real control point before a simulated gateway whose service descriptions differ from the standard (Q083, Q086, Q096).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.quirk_case import QuirkCase
from tests.test_action import FakeExchange, refused, service
from tests.test_action import good as granted
from txigd.errors import ActionError, InvalidArgument
from txigd.igd.connection import Connection
from txigd.igd.lease_facts import Deleted, Denied, MappingState, Unreadable
from txigd.igd.mapping import PortMapping
from txigd.igd.tables import builtin_table
from txigd.testing.control import Answer
from txigd.testing.faults import Fault
from txigd.testing.quirks import Asked, Quirk, Scene
from txigd.testing.tree import DESCRIPTION_PATH
from txigd.upnp.control import soap
from txigd.upnp.control.action import ServiceProxy
from txigd.upnp.control.caller import Caller
from txigd.upnp.description import service as service_description
from txigd.upnp.description.service import ServiceDescription

ADDING_ACTIONS = ("AddPortMapping", "AddAnyPortMapping")
IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
COMMON = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
COUNTERS = ("GetTotalBytesReceived", "GetTotalBytesSent", "GetTotalPacketsReceived", "GetTotalPacketsSent")
Change = Callable[[bytes], bytes]


def ranged(low: int, high: int) -> str:
    ends = f"<minimum>{low}</minimum><maximum>{high}</maximum>"
    return f"<allowedValueRange>{ends}</allowedValueRange>"


def listed(*words: str) -> str:
    allowed = "".join(f"<allowedValue>{word}</allowedValue>" for word in words)
    return f"<allowedValueList>{allowed}</allowedValueList>"


def declared(name: str, data_type: str, more: str = "") -> Change:
    """A service description that declares this variable so."""
    wanted = re.compile(rb"(<stateVariable[^>]*><name>%s</name>).*?(</stateVariable>)" % name.encode(), re.S)
    inside = f"<dataType>{data_type}</dataType>{more}".encode()
    return lambda document: wanted.sub(lambda found: found[1] + inside + found[2], document)


def described(*changes: Change, asked: Callable[[Asked], Fault | None] | None = None) -> Quirk:
    """A habit: these service descriptions, and what is refused whatever they say."""

    def scpd(document: bytes, scene: Scene) -> bytes:
        for change in changes:
            document = change(document)
        return document

    return Quirk("describes itself so", scpd=scpd, asked=None if asked is None else lambda one, scene: asked(one))


VARIANTS: dict[str, Change] = {
    "leases of at most 1800 s": declared("PortMappingLeaseDuration", "ui4", ranged(0, 1800)),
    "leases of at least two hours": declared("PortMappingLeaseDuration", "ui4", ranged(7200, 604800)),
    "leases in steps": declared(
        "PortMappingLeaseDuration", "ui4", ranged(0, 604800).replace("</allowed", "<step>7</step></allowed")
    ),
    "leases are text": declared("PortMappingLeaseDuration", "string"),
    "external ports from 20000": declared("ExternalPort", "ui2", ranged(20000, 65535)),
    "external ports are text": declared("ExternalPort", "string"),
    "internal ports below 1024": declared("InternalPort", "ui2", ranged(1, 1023)),
    "one remote host": declared("RemoteHost", "string", listed("0.0.0.0")),
    "enabled is a number": declared("PortMappingEnabled", "ui1"),
    "enabled is never": declared("PortMappingEnabled", "string", listed("0")),
    "protocols of its own": declared("PortMappingProtocol", "string", listed("6", "17")),
    "one client": declared("InternalClient", "string", listed("192.0.2.77")),
    "one name": declared("PortMappingDescription", "string", listed("Skype")),
}


class OwnCase(QuirkCase):
    def leases(self) -> list[int]:
        """Those that were asked for, one after the other."""
        return [int(one.arguments["NewLeaseDuration"]) for one in self.seen("AddPortMapping")]


class HintTests(OwnCase):
    """The gateway takes what its description forbids, as many do."""

    async def hold_there(self, change: Change, name: str) -> None:
        router = await self.find(described(change))
        remote = router.device.service("WANIPConnection")
        await remote.description()  # an application is curious
        self.assertTrue(remote.described)
        held = await self.hold()
        self.assertEqual((held.external_port, self.leases()), (8080, [3600]), name)
        await held.release()
        self.assertIsNone(self.device.mappings.find("TCP", 8080, ""), name)
        await self.point.stop()
        await self.device.stop()

    async def test_Q083_Q086_no_range_list_or_type_of_its_own_stands_in_the_way(self) -> None:
        for name, change in VARIANTS.items():
            await self.hold_there(change, name)

    async def test_Q083_Q086_nor_do_all_of_them(self) -> None:
        def all_of_them(document: bytes) -> bytes:
            for change in VARIANTS.values():
                document = change(document)
            return document

        await self.hold_there(all_of_them, "all")

    async def test_what_an_application_sends_by_hand_is_held_against_it(self) -> None:
        router = await self.find(described(VARIANTS["leases of at most 1800 s"]))
        remote = router.device.service("WANIPConnection")
        given: dict[str, Any] = {
            "NewRemoteHost": "",
            "NewExternalPort": 8080,
            "NewProtocol": "TCP",
            "NewInternalPort": 80,
            "NewInternalClient": "127.0.0.1",
            "NewEnabled": True,
            "NewPortMappingDescription": "by hand",
        }
        with self.assertRaises(InvalidArgument) as caught:
            await remote.call("AddPortMapping", given, NewLeaseDuration=3600)
        self.assertIn("at most 1800", str(caught.exception))
        self.assertEqual(self.seen("AddPortMapping"), [])
        await remote.call("AddPortMapping", given, NewLeaseDuration=1800)
        self.assertIn("ui4 0..1800", str(remote.actions["AddPortMapping"]))

    async def test_nothing_more_is_asked_of_a_gateway_that_refuses_nothing(self) -> None:
        await self.find()
        held = await self.hold()
        await held.release()
        self.assertEqual([one.path for one in self.seen("GET")], [DESCRIPTION_PATH])


def _over(name: str, low: int, high: int) -> Callable[[Asked], Fault | None]:
    """402 to an argument out of this range."""

    def refuses(asked: Asked) -> Fault | None:
        text = asked.arguments.get(name, "")
        adds = asked.action in ADDING_ACTIONS
        return 402 if adds and text.isdigit() and not low <= int(text) <= high else None

    return refuses


def _reversed(document: bytes) -> bytes:
    """In-arguments of every action in the opposite order."""
    entry = re.compile(rb"<argument><name>\w+</name><direction>in</direction>.*?</argument>", re.S)

    def turned(found: re.Match[bytes]) -> bytes:
        inputs = entry.findall(found[0])
        return b"<argumentList>" + b"".join(reversed(inputs)) + entry.sub(b"", found[0][len(b"<argumentList>") :])

    return re.sub(rb"<argumentList>.*?</argumentList>", turned, document, flags=re.S)


def _insists_on_reversed(asked: Asked) -> Fault | None:
    table = builtin_table(asked.service_type)
    action = table.actions.get(asked.action) if table else None
    if action is None:
        return None
    return None if list(asked.arguments) == [one.name for one in reversed(action.inputs)] else 402


class NeedTests(OwnCase):
    """The gateway insists, and its description says on what."""

    def fetched(self) -> int:
        return len([one for one in self.seen("GET") if one.path.endswith("WANIPCn.xml")])

    async def test_Q096_the_order_of_its_own_description_where_the_standards_is_refused(self) -> None:
        await self.find(described(_reversed, asked=_insists_on_reversed))
        self.assertEqual(self.fetched(), 0)
        held = await self.hold()
        self.assertEqual((held.external_port, self.leases()[-1], self.fetched()), (8080, 3600, 1))
        adds = len(self.seen("AddPortMapping"))
        other = await self.hold(internal_port=8081)
        self.assertEqual(len(self.seen("AddPortMapping")), adds + 1, "the order is known by now")
        for one in (held, other):
            await one.release()
        self.assertEqual((list(self.device.mappings), self.fetched()), ([], 1))

    async def test_Q118_Q086_the_lease_that_its_own_description_allows(self) -> None:
        for low, high, wanted, lease in ((0, 1800, 3600, 1800), (7200, 86400, 3600, 7200), (1, 900, 0, 900)):
            own = declared("PortMappingLeaseDuration", "ui4", ranged(low, high))
            await self.find(described(own, asked=_over("NewLeaseDuration", low, high)))
            await self.hold(lease_seconds=wanted)
            self.assertEqual((self.leases(), self.fetched()), ([wanted, lease], 1))
            await self.point.stop()
            await self.device.stop()

    async def test_Q086_a_port_that_its_own_description_does_not_allow(self) -> None:
        own = declared("ExternalPort", "ui2", ranged(20000, 65535))
        await self.find(described(own, asked=_over("NewExternalPort", 20000, 65535)))
        held = await self.hold(state=MappingState.REFUSED)
        self.assertIn("it describes external ports 20000..65535", held.status.reason)
        self.assertEqual(len(self.seen("AddPortMapping")), 1)
        held = await self.hold(internal_port=8081, any_port=True)
        self.assertGreaterEqual(held.external_port, 20000)

    async def test_Q086_a_port_where_the_gateway_cannot_pick_another(self) -> None:
        own = declared("ExternalPort", "ui2", ranged(20000, 65535))
        await self.find(described(own, asked=_over("NewExternalPort", 20000, 65535)), version=1)
        self.assertGreaterEqual((await self.hold(any_port=True)).external_port, 20000)

    async def test_Q082_refused_without_a_description_to_read(self) -> None:
        await self.find("Q082", described(asked=_over("NewLeaseDuration", 0, 0)))
        held = await self.hold()
        self.assertEqual((held.external_port, self.fetched()), (8080, 1))


ICS = {
    "TotalBytesSent": "10",
    "TotalBytesReceived": "20",
    "TotalPacketsSent": "1",
    "TotalPacketsReceived": "2",
    "Layer1DownstreamMaxBitRate": "1000",
    "Uptime": "77",
}


def _with_ics(document: bytes) -> bytes:
    """The statistics of Windows in the description of the counters."""
    if b"GetTotalBytesSent" not in document:
        return document
    arguments = "".join(
        f"<argument><name>{name}</name><direction>out</direction><relatedStateVariable>X_{name}"
        "</relatedStateVariable></argument>"
        for name in ICS
    )
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>X_{name}</name><dataType>ui4</dataType></stateVariable>' for name in ICS
    )
    action = f"<action><name>X_GetICSStatistics</name><argumentList>{arguments}</argumentList></action></actionList>"
    document = document.replace(b"</actionList>", action.encode())
    return document.replace(b"</serviceStateTable>", f"{variables}</serviceStateTable>".encode())


def _answers_ics(answer: Answer, asked: Asked, scene: Scene) -> Answer:
    if asked.action != "X_GetICSStatistics":
        return answer
    return Answer(HTTPStatus.OK, soap.response(COMMON, asked.action, ICS))


class CounterTests(QuirkCase):
    async def test_Q151_the_statistics_of_windows_where_all_counters_are_refused(self) -> None:
        habit = Quirk("counts as Windows does", scpd=lambda document, scene: _with_ics(document), answers=_answers_ics)
        router = await self.find(habit, described(asked=lambda one: 401 if one.action in COUNTERS else None))
        router.traffic.start()
        for _ in range(2):
            await self.rest(12)
            told = router.traffic.value
            self.assertEqual((told.counters.bytes_sent, told.counters.bytes_received), (10, 20))
        self.assertEqual(told.uptime_seconds, 77)
        self.assertEqual([len(self.seen(action)) for action in COUNTERS], [1] * 4)
        self.assertEqual(len([one for one in self.seen("GET") if one.path.endswith("WANCfg.xml")]), 1)
        self.assertGreater(len(self.seen("X_GetICSStatistics")), 1)

    async def test_the_description_is_not_read_where_anything_is_counted(self) -> None:
        router = await self.find(described(asked=lambda one: 401 if one.action in COUNTERS[1:] else None))
        router.traffic.start()
        await self.rest(12)
        self.assertTrue(router.traffic.value.answered)
        self.assertEqual([one for one in self.seen("GET") if one.path.endswith("WANCfg.xml")], [])


class RepeatTests(SynchronousTestCase):
    """The repetition itself, request for request."""

    GIVEN: dict[str, Any] = {"NewRemoteHost": "", "NewExternalPort": 80, "NewProtocol": "TCP"}

    def proxy(self, *answers: Any, names: tuple[str, ...] | None) -> ServiceProxy:
        """A proxy whose service describes DeletePortMapping with these in-arguments; None: it describes nothing."""
        self.exchange = FakeExchange(*answers)
        self.read = 0

        def own() -> Deferred[ServiceDescription | None]:
            self.read += 1
            return succeed(None if names is None else service_description.parse(self.scpd(names)))

        return ServiceProxy(service(), builtin_table(IP1), Caller(self.exchange, clock=Clock()), own=own)

    @staticmethod
    def scpd(names: tuple[str, ...]) -> bytes:
        arguments = "".join(f"<argument><name>{name}</name><direction>in</direction></argument>" for name in names)
        return (
            f"<scpd><actionList><action><name>deleteportmapping</name><argumentList>{arguments}</argumentList></action>"
            "</actionList><serviceStateTable><stateVariable><name>V</name></stateVariable></serviceStateTable></scpd>"
        ).encode()

    def sent(self) -> list[list[str]]:
        return [list(soap.read_request(one["body"])[2]) for one in self.exchange.asked]

    STANDARD = ("NewRemoteHost", "NewExternalPort", "NewProtocol")
    TURNED = ("NewProtocol", "NewExternalPort", "NewRemoteHost")

    def test_Q096_another_order_or_fewer_arguments(self) -> None:
        done = granted("DeletePortMapping")
        for names in (
            self.TURNED,
            ("NewProtocol", "NewExternalPort"),
            ("newremotehost", "NewExternalPort", "NewProtocol"),
        ):
            proxy = self.proxy(refused(402), done, done, refused(402), names=names)
            self.successResultOf(proxy.call("DeletePortMapping", self.GIVEN))
            self.successResultOf(proxy.call("DeletePortMapping", self.GIVEN))
            self.failureResultOf(proxy.call("DeletePortMapping", self.GIVEN), ActionError)
            self.assertEqual(self.sent(), [list(self.STANDARD), *[list(names)] * 3])
            self.assertEqual(self.read, 1)

    def test_Q096_Q084_nothing_is_repeated_that_would_be_the_same_or_cannot_be_said(self) -> None:
        twice = ("NewProtocol", *self.STANDARD)
        for names in (None, self.STANDARD, (*self.STANDARD, "X_More"), ("NewHost", "NewPort"), (), twice):
            proxy = self.proxy(refused(402), refused(402), names=names)
            for _ in range(2):
                failed = self.failureResultOf(proxy.call("DeletePortMapping", self.GIVEN), ActionError)
                self.assertEqual(failed.value.code, 402)
            self.assertEqual((len(self.exchange.asked), self.read), (2, 1), names)

    def test_Q096_tried_once_where_it_does_not_help(self) -> None:
        proxy = self.proxy(refused(402), refused(402), refused(402), names=self.TURNED)
        for _ in range(2):
            self.failureResultOf(proxy.call("DeletePortMapping", self.GIVEN), ActionError)
        self.assertEqual(self.sent(), [list(self.STANDARD), list(self.TURNED), list(self.STANDARD)])

    def test_Q096_another_refusal_shows_that_it_was_understood(self) -> None:
        proxy = self.proxy(refused(402), refused(714), refused(714), names=self.TURNED)
        for _ in range(2):
            failed = self.failureResultOf(proxy.call("DeletePortMapping", self.GIVEN), ActionError)
            self.assertEqual(failed.value.code, 714)
        self.assertEqual(self.sent()[1:], [list(self.TURNED)] * 2)

    def test_Q137_one_argument_has_no_order(self) -> None:
        proxy = self.proxy(refused(402), names=self.TURNED)
        self.failureResultOf(proxy.call("GetGenericPortMappingEntry", NewPortMappingIndex=0), ActionError)
        self.assertEqual(self.read, 0)

    def test_Q096_a_device_that_was_described_again_is_asked_afresh(self) -> None:
        done = granted("DeletePortMapping")
        proxy = self.proxy(refused(402), done, refused(402), done, names=self.TURNED)
        self.successResultOf(proxy.call("DeletePortMapping", self.GIVEN))
        proxy.renew(service(), builtin_table(IP1), proxy.caller)
        self.successResultOf(proxy.call("DeletePortMapping", self.GIVEN))
        self.assertEqual((self.sent(), self.read), ([list(self.STANDARD), list(self.TURNED)] * 2, 2))


class FactTests(SynchronousTestCase):
    """Whatever is not sent at all is a fact to those who hold mappings."""

    def test_a_value_that_a_table_forbids(self) -> None:
        table = builtin_table(IP1)
        assert table is not None
        odd = service_description.parse(
            b"<scpd><serviceStateTable><stateVariable><name>ExternalPort</name><dataType>ui2</dataType>"
            + ranged(20000, 65535).encode()
            + b"</stateVariable></serviceStateTable></scpd>"
        ).with_more(table)
        proxy = ServiceProxy(service(), odd, Caller(FakeExchange(refused(401)), clock=Clock()))
        connection = Connection(proxy, IPv4Address("192.0.2.7"))
        wanted, client = PortMapping("TCP", 8080), IPv4Address("192.0.2.7")

        def fact(asked: Any) -> Any:
            return self.successResultOf(Deferred.fromCoroutine(asked))

        told = fact(connection.add_entry(wanted, 8080, client=client, description="x", lease_seconds=0))
        self.assertEqual(told, Denied(0, "NewExternalPort 8080: at least 20000"))
        self.assertEqual(fact(connection.read_entry(wanted, 8080)), Unreadable())
        self.assertEqual(fact(connection.delete_entry(wanted, 8080)), Deleted(gone=False))
