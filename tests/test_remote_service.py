"""Any device, not only gateways: typed actions from its own description, shared subscriptions, several trees."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.memory_lan import US, MemoryCallbacks, MemoryPath, ending, reply
from tests.scripted_light import Light, sample
from tests.test_discovery_multicast import ETH0, Lan
from txigd.errors import (
    ActionError,
    ActionNotOffered,
    BadURL,
    ConnectFailed,
    DescriptionError,
    ExchangeError,
    InvalidArgument,
    NoService,
    Stopped,
)
from txigd.igd.tables import known_table
from txigd.interfaces import IDeviceObserver, IExchange
from txigd.limits import HTTP_TOTAL_SECONDS, LOCATIONS_PER_DEVICE
from txigd.testing import SimulatedGateway
from txigd.upnp.control import soap
from txigd.upnp.control_point import ControlPoint
from txigd.upnp.description import device, signature
from txigd.upnp.description.device import Description
from txigd.upnp.description.service import StateVariable
from txigd.upnp.discovery.ports import OpenSocket
from txigd.upnp.discovery.sighting import Sighting
from txigd.upnp.discovery.sockets import Role
from txigd.upnp.eventing.gena import Envelope, propertyset
from txigd.upnp.eventing.multicast_listener import MulticastListener
from txigd.upnp.http_reply import Reply
from txigd.upnp.remote_device import RemoteDevice
from txigd.upnp.remote_service import RemoteService
from txigd.upnp.service_events import Event
from txigd.upnp.url import DeviceURL, parse

reactor: Any = installed
HOST = "192.168.1.9"
SAMPLE = "urn:schemas-upnp-org:service:Sample:1"
IGD = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"


def service_entry(service_type: str, path: str, service_id: str = "") -> str:
    service_id = service_id or f"urn:upnp-org:serviceId:{service_type.split(':')[3]}"
    return (
        f"<service><serviceType>{service_type}</serviceType><serviceId>{service_id}</serviceId>"
        f"<SCPDURL>{path}.xml</SCPDURL><controlURL>{path}/c</controlURL><eventSubURL>{path}/e</eventSubURL></service>"
    )


def document(*services: str, udn: str = "uuid:sample", embedded: str = "") -> bytes:
    return (
        "<root xmlns='urn:schemas-upnp-org:device-1-0'><device><deviceType>urn:schemas-upnp-org:device:Sample:1"
        f"</deviceType><friendlyName>Sample</friendlyName><UDN>{udn}</UDN>"
        f"<serviceList>{''.join(services)}</serviceList>{embedded}</device></root>"
    ).encode()


def variable(name: str, data_type: str, *more: str, evented: str = "yes", multicast: str = "no") -> str:
    return (
        f"<stateVariable sendEvents='{evented}' multicast='{multicast}'><name>{name}</name>"
        f"<dataType>{data_type}</dataType>{''.join(more)}</stateVariable>"
    )


def scpd(*variables: str, actions: str = "") -> bytes:
    head = "<scpd xmlns='urn:schemas-upnp-org:service-1-0'>"
    table = f"<serviceStateTable>{''.join(variables)}</serviceStateTable>"
    return f"{head}<actionList>{actions}</actionList>{table}</scpd>".encode()


TYPES = {
    "Level": ("ui2", "7", 7),
    "Offset": ("i4", "-3", -3),
    "Ratio": ("r8", "0.5", 0.5),
    "On": ("boolean", "yes", True),
    "At": ("dateTime", "2024-02-03T04:05:06", datetime(2024, 2, 3, 4, 5, 6)),
    "Blob": ("bin.hex", "00ff", b"\x00\xff"),
    "Name": ("string", " a ", "a"),
    "Odd": ("x.vendor", "b", "b"),
    "Broken": ("ui2", "many", "many"),
}


@implementer(IExchange)
class Web:
    """Documents by path; every call and every subscription is answered. ``asked`` is what went out."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, str]] = []
        self.callbacks: list[str] = []
        self.hanging: list[Deferred[Reply]] = []
        self.closed: list[str] = []
        self.hangs = False
        self.down = False
        self.answers: dict[str, dict[str, str]] = {}
        self.budgets: list[tuple[str, float]] = []

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
        self.budgets.append((method, seconds))
        if self.down:
            return fail(ConnectFailed("down"))
        if method == "POST":
            service_type, action, self.arguments = soap.read_request(body)
            self.asked.append((method, action))
            return succeed(reply(200, soap.response(service_type, action, self.answers.get(action, {}))))
        self.asked.append((method, url.target))
        if self.hangs and method == "GET":
            self.hanging.append(Deferred(lambda _: self.closed.append(url.target)))
            return self.hanging[-1]
        if method == "SUBSCRIBE":
            self.callbacks.append(dict(headers).get("CALLBACK", ""))
            sid = f"uuid:{len(self.callbacks)}"
            return succeed(reply(200, headers=(("SID", sid), ("TIMEOUT", "Second-1800"))))
        page = self.pages.get(url.target)
        return succeed(reply(404) if page is None and method == "GET" else reply(200, page or b""))

    def count(self, method: str, target: str = "") -> int:
        return sum(one[0] == method and (not target or one[1] == target) for one in self.asked)


class MemoryCase(SynchronousTestCase):
    scpd = scpd(*(variable(name, kind) for name, (kind, _, _) in TYPES.items()))
    multicast: MulticastListener | None = None

    def setUp(self) -> None:
        self.clock: Clock = Clock()
        self.web = Web({"/s.xml": self.scpd})
        self.callbacks: Any = MemoryCallbacks(self.clock)
        self.location = parse(f"http://{HOST}:80/d.xml")
        self.device = self.make(document(service_entry(SAMPLE, "/s")))
        self.service = self.device.service("Sample")
        self.heard: list[Any] = []

    def make(self, text: bytes, location: DeviceURL | None = None) -> RemoteDevice:
        described = device.parse(text, location or self.location)
        return RemoteDevice(
            self.clock, self.web, self.callbacks, described, US, multicast=self.multicast, tables=known_table
        )

    @property
    def path(self) -> MemoryPath:
        return cast(MemoryPath, self.callbacks.paths[-1])

    def event(self, seq: int, **values: str) -> None:
        path = self.path
        path.options["on_notify"](Envelope(f"uuid:{self.callbacks.paths.index(path) + 1}", seq), values)
        self.clock.advance(1.0)

    def again(self, text: bytes | None = None) -> None:
        described = device.parse(text or document(service_entry(SAMPLE, "/s")), self.location)
        self.device.described_again(described, US)
        self.device.resubscribe()
        self.clock.advance(0)


class DescriptionTests(MemoryCase):
    def test_fetched_when_needed_and_once(self) -> None:
        self.assertEqual((self.web.asked, dict(self.service.actions), self.service.described), ([], {}, None))
        for _ in range(2):
            table = self.successResultOf(self.service.description())
            assert table is not None
            self.assertEqual(set(table.variables), set(TYPES))
        self.assertEqual(self.web.asked, [("GET", "/s.xml")])
        self.assertTrue(self.service.described)

    def test_all_who_ask_at_once_share_one_fetch_and_each_may_give_up(self) -> None:
        self.web.hangs = True
        first, second, third = (self.service.description() for _ in range(3))
        first.cancel()
        self.failureResultOf(first)
        self.web.hanging[0].callback(reply(200, self.scpd))
        for asked in (second, third):
            self.assertIsNotNone(self.successResultOf(asked))
        self.assertEqual(len(self.web.hanging), 1)

    def test_F60_one_who_hears_it_sends_the_others_away(self) -> None:
        self.web.hangs = True
        one, other = self.service.description(), self.service.description()
        one.addCallback(ending(other))
        self.web.hanging[0].callback(reply(200, self.scpd))
        self.assertIsNotNone(self.successResultOf(one))
        self.failureResultOf(other, CancelledError)

    def test_the_last_who_gives_up_closes_the_connection(self) -> None:
        self.web.hangs = True
        asked = self.service.description()
        asked.cancel()
        self.failureResultOf(asked)
        self.assertEqual(self.web.closed, ["/s.xml"])
        self.web.hangs = False
        self.assertIsNotNone(self.successResultOf(self.service.description()))

    def test_Q082_F25_broken_or_missing_leaves_the_table_of_the_standard(self) -> None:
        for page in (b"<html>Log in</html>", b"", None):
            self.web.pages = {} if page is None else {"/w.xml": page}
            known = self.make(document(service_entry(IGD, "/w"))).service("WANCommonInterfaceConfig")
            self.successResultOf(known.description())
            self.assertIn("GetTotalBytesSent", known.actions)
            self.assertFalse(known.described)

    def test_Q083_what_it_does_not_list_is_known_from_the_standard(self) -> None:
        self.web.pages["/w.xml"] = scpd(variable("X_Vendor", "string"), actions="<action><name>X_Do</name></action>")
        known = self.make(document(service_entry(IGD, "/w"))).service(IGD)
        self.successResultOf(known.description())
        self.assertLessEqual({"X_Do", "GetTotalBytesSent"}, set(known.actions))
        self.assertIn("X_Vendor", known.variables)

    def test_unknown_to_everybody(self) -> None:
        self.web.pages.clear()
        self.assertIsNone(self.successResultOf(self.service.description()))
        error = self.failureResultOf(self.service.call("Do"), ActionNotOffered).value
        self.assertIn("Sample:1 has no description", str(error))
        self.web.pages["/s.xml"] = self.scpd
        self.assertIsNotNone(self.successResultOf(self.service.description()), "it may have been booting")

    def test_signatures(self) -> None:
        text = scpd(
            variable("Port", "ui2", "<allowedValueRange><minimum>1</minimum><maximum>9</maximum></allowedValueRange>"),
            variable("Word", "string", "<allowedValueList><allowedValue>A</allowedValue><allowedValue>B</allowedValue>"
                     "</allowedValueList>"),
            actions="<action><name>Do</name><argumentList>"
            "<argument><name>P</name><direction>in</direction><relatedStateVariable>Port</relatedStateVariable>"
            "</argument><argument><name>W</name><direction>out</direction><relatedStateVariable>Word"
            "</relatedStateVariable></argument></argumentList></action>",
        )  # fmt: skip
        self.web.pages["/s.xml"] = text
        self.successResultOf(self.service.description())
        do = self.service.actions["Do"]
        self.assertEqual(str(do), "Do(P: ui2 1..9) -> W: string A|B")
        (port,) = do.inputs
        self.assertEqual(port.data_type, "ui2")
        for text_, value in (("5", 5), ("-1", -1), ("x", "x"), ("1 day, 0:0:1", "1 day, 0:0:1"), ("", "")):
            self.assertEqual(port.value_of(text_), value)
        self.assertEqual(port.value_of("+" + "0" * 5000 + "5"), 5)
        for digits in "9" * 31, "9" * 5000:
            error = self.assertRaises(InvalidArgument, port.value_of, digits)
            self.assertIn(f"P: ui2 1..9: a number of {len(digits)} digits is out of range", str(error))
        flag = signature.Parameter("F", StateVariable("F", "boolean"))
        self.assertEqual([flag.value_of(word) for word in ("1", "false", "yes")], [True, False, True])
        error = self.assertRaises(InvalidArgument, flag.value_of, "on")
        self.assertEqual(str(error), "F: 'on' is no bool; write it like 1")

    def test_arguments_by_keyword_or_in_a_mapping(self) -> None:
        words = ("seconds", "due", "action", "self")
        taken = "".join(f"<argument><name>{word}</name><direction>in</direction></argument>" for word in words)
        actions = f"<action><name>Wait</name><argumentList>{taken}</argumentList></action>"
        self.web.pages["/s.xml"] = scpd(variable("A", "ui2"), actions=actions)
        given = dict.fromkeys(words, "1")
        self.successResultOf(self.service.call("Wait", given, seconds=3.0))
        self.assertEqual(self.web.arguments, given)
        more: dict[str, Any] = {"due": "2", "action": "2", "self": "2"}
        self.successResultOf(self.service.call("Wait", {"seconds": "1"}, **more))
        self.assertEqual(self.web.arguments, {"seconds": "1", **more})

    def test_F25_who_gives_a_budget_waits_no_longer_for_the_description(self) -> None:
        self.web.pages["/s.xml"] = scpd(variable("A", "ui2"), actions="<action><name>Do</name></action>")
        self.web.hangs = True
        hurried = self.service.call("Do", seconds=3)
        described = self.service.description(seconds=4)
        self.service.observe_events(self.heard.append, seconds=4)
        patient = self.service.call("Do", seconds=30)
        self.clock.advance(3)
        error = self.failureResultOf(hurried, ActionNotOffered).value
        self.assertIn("(no whole reply in time), so", str(error))
        self.assertNoResult(patient)
        self.clock.advance(1)
        self.assertIsNone(self.successResultOf(described))
        self.assertEqual((self.web.closed, self.web.budgets[0]), ([], ("GET", HTTP_TOTAL_SECONDS)))
        self.web.hanging[0].callback(reply(200, self.web.pages["/s.xml"]))
        self.successResultOf(patient)
        self.assertEqual(self.web.count("GET"), 1, "one request for all of them")
        nothing: Any = None
        self.assertRaises(InvalidArgument, self.service.observe_events, print, seconds=nothing)

    def test_F25_a_description_that_nobody_waited_for_is_asked_for_again(self) -> None:
        self.web.pages["/s.xml"] = scpd(variable("A", "ui2"), actions="<action><name>Do</name></action>")
        self.web.hangs = True
        for seconds in (2, 0, -1):
            hurried = self.service.call("Do", seconds=seconds)
            self.clock.advance(2)
            self.failureResultOf(hurried, ActionNotOffered)
        self.assertEqual(len(self.web.closed), 3, "given up with the last who waited")
        self.web.hangs = False
        self.successResultOf(self.service.call("Do"))

    def test_F25_Q082_why_it_could_not_be_read(self) -> None:
        for page, why in ((None, "HTTP status 404"), (b"<scpd/>", "no state variables")):
            self.web.pages = {} if page is None else {"/s.xml": page}
            error = self.failureResultOf(self.service.call("Do"), ActionNotOffered).value
            self.assertIn(f"Sample:1 has no description that can be read ({self.service.unreadable}), so", str(error))
            self.assertIn(why, str(error))
            self.assertIs(error.__cause__, self.service.unreadable)
        self.web.pages = {"/s.xml": self.scpd}
        self.successResultOf(self.service.description())
        self.assertIsNone(self.service.unreadable)
        nowhere = self.make(document(service_entry(SAMPLE, "/s").replace("<SCPDURL>/s.xml</SCPDURL>", "")))
        error = self.failureResultOf(nowhere.service("Sample").call("Do"), ActionNotOffered).value
        self.assertIn("(the device names no URL for it)", str(error))

    def test_a_budget_that_is_no_number_is_refused_before_anything_is_asked(self) -> None:
        nothing: Any = None
        for asked in (self.service.call("Do", seconds=nothing), self.service.query("Level", seconds=nothing)):
            error = self.failureResultOf(asked, InvalidArgument).value
            self.assertIn("seconds None", str(error))
        self.assertEqual(self.web.asked, [])

    def test_described_again_nothing_that_was_learned_holds(self) -> None:
        self.web.pages["/s.xml"] = scpd(variable("A", "ui2"), actions="<action><name>Do</name></action>")
        self.successResultOf(self.service.call("Do"))
        self.assertEqual(self.service.capabilities["Do"], "works")
        self.web.pages["/t.xml"] = scpd(variable("B", "ui2"), actions="<action><name>Do</name></action>")
        self.again(document(service_entry(SAMPLE, "/t")))
        self.assertIs(self.device.service("Sample"), self.service)
        self.successResultOf(self.service.description())
        self.assertEqual((set(self.service.variables), self.service.capabilities["Do"]), ({"B"}, "unknown"))

    def test_described_again_while_the_description_is_fetched(self) -> None:
        self.web.hangs = True
        asked = self.service.description()
        self.again(document(service_entry(SAMPLE, "/t")))
        self.assertEqual(self.web.asked, [("GET", "/s.xml"), ("GET", "/t.xml")])
        self.web.hanging[1].callback(reply(200, self.scpd))
        self.assertIsNotNone(self.successResultOf(asked))


class ServiceTests(MemoryCase):
    def test_by_name_type_and_id(self) -> None:
        text = document(
            service_entry(SAMPLE, "/a", "urn:upnp-org:serviceId:First"),
            service_entry(SAMPLE, "/b", "urn:upnp-org:serviceId:Second"),
            service_entry("urn:schemas-upnp-org:service:Other:3", "/c"),
        )
        made = self.make(text)
        first, second, other = made.services
        table = {
            "Sample": first,
            "sample:1": first,
            SAMPLE: first,
            "urn:upnp-org:serviceId:second": second,
            "Second": second,
            "Other:3": other,
            "Other:1": other,
            "urn:schemas-upnp-org:service:Other:2": other,
        }
        for name, expected in table.items():
            self.assertIs(made.service(name), expected, name)
        for name in ("Other:4", "", "Nothing", "urn:schemas-upnp-org:service:Sample:2"):
            error = self.assertRaises(NoService, made.service, name)
        self.assertIn("Sample has no service", str(error))
        self.assertIn("it has Sample:1, Other:3", str(error))

    def test_Q074_by_the_place_in_the_tree(self) -> None:
        same = [service_entry(SAMPLE, f"/{n}", "urn:upnp-org:serviceId:Same") for n in range(2)]
        made = self.make(document(*same, service_entry(IGD, "/w")))
        first, second, other = made.services
        self.assertEqual(list(made.labels.values()), ["Sample:1 (0)", "Sample:1 (1)", "WANCommonInterfaceConfig:1"])
        self.assertEqual([made.service(place) for place in ("0", " 1 ", "2")], [first, second, other])
        self.assertRaises(NoService, made.service, "3")
        self.assertEqual(made.services_named("Sample"), (first, second))
        self.assertEqual(made.services_named("same"), (first, second))
        self.assertEqual(made.services_named("1"), (second,))
        self.assertRaises(NoService, made.services_named, "Nothing")

    def test_Q197_services_of_all_trees_of_one_device(self) -> None:
        """The habit of Fritz!Box: igddesc.xml and igd2desc.xml under one UDN."""
        one = service_entry(IGD, "/igd1/w")
        made = self.make(document(one))
        second = document(service_entry(IGD, "/igd2/w"), service_entry(SAMPLE, "/igd2/s"))
        elsewhere = parse(f"http://{HOST}:80/igd2desc.xml")
        before = made.services
        self.assertTrue(made.add_tree(device.parse(second, elsewhere)))
        self.assertFalse(made.add_tree(device.parse(second, elsewhere)), "nothing new")
        self.assertEqual(len(made.services), 2)
        self.assertIs(made.services[0], before[0], "the tree in use has it")
        self.assertEqual(str(made.service("Sample").service.control_url), f"http://{HOST}/igd2/s/c")
        made.drop_tree(elsewhere)
        self.assertEqual(made.services, before)

    def test_A3_no_more_trees_than_places(self) -> None:
        def tree(number: int) -> Description:
            return device.parse(document(service_entry(SAMPLE, "/s")), parse(f"http://{HOST}:{number}/d.xml"))

        for number in range(1, 2 * LOCATIONS_PER_DEVICE):
            self.device.add_tree(tree(number))
        self.assertEqual(len(self.device.descriptions), 1 + LOCATIONS_PER_DEVICE)
        for number in range(100, 100 + LOCATIONS_PER_DEVICE):  # it wanders, and answers at the former places still
            self.device.sightings[self.device.location] = cast(Sighting, None)
            self.device.described_again(tree(number), US)
            self.assertEqual(len(self.device.descriptions), 1 + LOCATIONS_PER_DEVICE)
        former = self.device.location
        self.device.sightings[former] = cast(Sighting, None)
        self.device.described_again(tree(1), US)
        self.assertEqual(len(self.device.descriptions), 1 + LOCATIONS_PER_DEVICE)
        self.assertIn(former, {one.location for one in self.device.descriptions}, "the place that is taken is free")

    def test_Q038_the_same_tree_over_another_address_brings_nothing_new(self) -> None:
        text = document(service_entry(SAMPLE, "/s"))
        again = device.parse(text, parse("http://[2001:db8::1]:80/d.xml"))
        self.assertFalse(self.device.add_tree(again))
        self.assertEqual(self.device.services, (self.service,))

    def test_Q074_services_of_one_id_keep_apart(self) -> None:
        same = [service_entry(SAMPLE, f"/{n}", "urn:upnp-org:serviceId:Same") for n in range(2)]
        made = self.make(document(*same))
        before = made.services
        made.described_again(device.parse(document(*same), self.location), US)
        self.assertEqual(made.services, before)
        self.assertEqual([str(s.service.control_url) for s in before], [f"http://{HOST}/{n}/c" for n in range(2)])

    def test_a_service_that_is_gone_ends(self) -> None:
        self.service.observe_events(self.heard.append)
        self.again(document(service_entry("urn:schemas-upnp-org:service:Other:1", "/o")))
        self.assertEqual(self.web.count("UNSUBSCRIBE"), 1)
        self.assertRaises(Stopped, self.service.observe_events, self.heard.append)
        self.assertRaises(NoService, self.device.service, "Sample")

    def test_a_higher_version_after_an_update_is_the_same_service(self) -> None:
        self.again(document(service_entry(SAMPLE[:-1] + "2", "/s")))
        self.assertIs(self.device.service("Sample"), self.service)
        self.assertEqual(self.service.name, "Sample:2")


class EventTests(MemoryCase):
    def observe(self, name: str = "Level") -> Any:
        forget = self.service.observe(name, self.heard.append)
        self.clock.advance(0)
        return forget

    def test_typed_by_the_description(self) -> None:
        self.service.observe_events(self.heard.append)
        self.event(0, **{name: text for name, (_, text, _) in TYPES.items()}, X_New="1")
        (event,) = self.heard
        self.assertTrue(event.initial)
        expected = {name: value for name, (_, _, value) in TYPES.items()} | {"Name": " a ", "X_New": "1"}
        self.assertEqual(dict(event.values), expected)

    def test_one_subscription_from_the_first_observer_to_the_last(self) -> None:
        forget = self.observe(), self.observe("On")
        self.assertEqual((self.web.count("SUBSCRIBE"), self.service.eventing), (1, "subscribed"))
        forget[0]()
        forget[0]()
        self.assertEqual(self.web.count("UNSUBSCRIBE"), 0)
        forget[1]()
        self.assertEqual((self.web.count("UNSUBSCRIBE"), self.service.eventing), (1, "idle"))
        self.assertEqual((self.callbacks.open_urls, self.clock.getDelayedCalls()), ([], []))
        self.observe()
        self.assertEqual((self.web.count("SUBSCRIBE"), self.service.eventing), (2, "subscribed"))

    def test_each_variable_for_itself(self) -> None:
        self.observe("level")
        self.event(0, Level="1", On="0")
        self.event(1, On="1")
        self.event(2, Level="1")
        self.event(3, Level="2")
        self.assertEqual(self.heard, [1, 1, 2])

    def test_who_comes_late_hears_what_was_told_before(self) -> None:
        self.observe()
        self.event(0, Level="1", On="0")
        late: list[Any] = []
        events: list[Event] = []
        self.service.observe("On", late.append)
        self.service.observe_events(events.append)
        forget = self.service.observe("On", self.fail)
        forget()
        self.assertEqual(late, [])
        self.clock.advance(0)
        self.assertEqual((late, self.heard), ([False], [1]))
        self.assertEqual([(dict(one.values), one.initial) for one in events], [({"Level": 1, "On": False}, True)])
        self.event(1, On="1")
        self.assertEqual(late, [False, True])

    def test_what_a_new_subscription_repeats_is_not_told_again(self) -> None:
        self.observe()
        self.event(0, Level="1", On="0")
        self.again()
        self.assertEqual((self.web.count("SUBSCRIBE"), self.web.count("UNSUBSCRIBE")), (2, 0))
        self.event(0, Level="1", On="1")
        self.assertEqual(self.heard, [1])
        self.event(1, Level="4")
        self.assertEqual(self.heard, [1, 4])

    def test_F03_another_event_url_after_a_restart(self) -> None:
        self.observe()
        self.again(document(service_entry(SAMPLE, "/t")))
        self.assertEqual([one for one in self.web.asked if one[0] == "SUBSCRIBE"][-1], ("SUBSCRIBE", "/t/e"))
        self.assertEqual(len(self.callbacks.open_urls), 1)

    def test_an_observer_that_leaves_when_it_is_told_of_a_restart(self) -> None:
        for unwelcome in ("idle", "described"):
            forget: list[Any] = []
            service = self.make(document(service_entry(SAMPLE, "/s"))).service("Sample")

            def on_state(state: str) -> None:
                if forget and state == unwelcome:  # noqa: B023
                    forget.pop()()  # noqa: B023

            forget.append(service.observe_events(self.heard.append, on_state=on_state))
            moved = device.parse(document(service_entry(SAMPLE, "/t")), self.location)
            service.device.described_again(moved, US)
            service.device.resubscribe()
            self.assertEqual((self.web.count("SUBSCRIBE", "/t/e"), self.callbacks.open_urls), (0, []), unwelcome)

    def test_F14_our_address_changed(self) -> None:
        self.observe()
        self.device.moved(ipaddress.ip_address("192.168.1.8"))
        self.clock.advance(1)
        self.assertIn("192.168.1.8", self.web.callbacks[-1])
        self.assertEqual(self.web.count("SUBSCRIBE"), 2)

    def test_F18_Q183_we_slept(self) -> None:
        self.observe()
        self.device.woke()
        self.clock.advance(1)
        self.assertEqual(self.web.count("SUBSCRIBE"), 2)

    def test_Q176_names_in_any_case(self) -> None:
        self.observe()
        self.assertEqual(set(self.path.options["names"]), set(TYPES))

    def test_Q158_no_initial_event_is_said(self) -> None:
        missed: list[str] = []
        self.service.observe("Level", self.heard.append, on_missed=missed.append)
        self.clock.pump([1.0] * 10)
        self.assertEqual(missed, ["no initial event"])
        self.assertIn("callback port", " ".join(self.service.problems))

    def test_states_are_told(self) -> None:
        states: list[str] = []
        self.service.observe_events(self.heard.append, on_state=states.append)
        self.successResultOf(self.device.stop())
        self.assertEqual(states, ["described", "subscribed", "stopped"])
        self.assertEqual(self.web.count("UNSUBSCRIBE"), 1)
        self.assertRaises(Stopped, self.service.observe, "Level", self.heard.append)

    def test_Q068_no_event_url(self) -> None:
        made = self.make(document(service_entry(SAMPLE, "/s").replace("/s/e", "")))
        made.service("Sample").observe("Level", self.heard.append)
        self.assertEqual((made.service("Sample").eventing, self.web.count("SUBSCRIBE")), ("refused", 0))

    def test_forgotten_while_the_description_is_fetched(self) -> None:
        self.web.hangs = True
        forget = self.service.observe("Level", self.heard.append)
        self.assertEqual(self.service.eventing, "described")
        forget()
        self.assertEqual((self.service.eventing, self.web.count("SUBSCRIBE")), ("idle", 0))

    def test_without_any_description_all_is_text(self) -> None:
        self.web.pages.clear()
        self.observe()
        self.event(0, Level="1")
        self.assertEqual(self.heard, ["1"])

    def test_the_standards_table_saves_the_fetch(self) -> None:
        made = self.make(document(service_entry(IGD, "/w")))
        made.service(IGD).observe("PhysicalLinkStatus", self.heard.append)
        self.assertEqual((self.web.count("GET"), self.web.count("SUBSCRIBE")), (0, 1))

    def test_F60_an_observer_that_raises(self) -> None:
        def bad(value: object) -> None:
            raise RuntimeError("bad")

        self.service.observe("Level", bad)
        self.observe()
        self.event(0, Level="1")
        self.assertEqual(self.heard, [1])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_one_that_leaves_another_out_in_the_middle(self) -> None:
        forget: list[Any] = []
        self.service.observe("Level", lambda value: forget[0]())
        forget.append(self.service.observe("Level", self.heard.append))
        self.event(0, Level="1")
        self.assertEqual(self.heard, [])

    def test_a_bound_of_observers(self) -> None:
        self.patch(__import__("txigd.upnp.service_events", fromlist=["x"]), "OBSERVERS", 2)
        self.observe()
        self.observe()
        self.assertRaises(InvalidArgument, self.service.observe, "Level", self.heard.append)

    def test_what_is_remembered_is_bounded(self) -> None:
        self.patch(__import__("txigd.upnp.service_events", fromlist=["x"]), "SCPD_VARIABLES", 3)
        self.observe()
        self.event(0, **{f"X_{n}": "1" for n in range(9)}, Level="1")
        self.service.observe_events(self.heard.append)
        self.clock.advance(0)
        self.assertEqual(len(self.heard[-1].values), 3)


class MulticastTests(MemoryCase):
    """UDA 1.1 section 4.3, over the real listener with sockets of the test."""

    scpd = scpd(variable("Alarm", "ui2", evented="no", multicast="yes"))

    def setUp(self) -> None:
        self.lan = Lan()
        self.multicast = MulticastListener(self.lan, links=(ETH0,), open_socket=cast(OpenSocket, self.lan.open_socket))
        self.multicast.start()
        super().setUp()
        self.clock = self.lan
        self.location = parse("http://192.0.2.1:80/d.xml")
        self.device = self.make(document(service_entry(SAMPLE, "/s")))
        self.service = self.device.service("Sample")

    def alarm(self, seq: int, **values: str) -> None:
        body = propertyset(values)
        head = (
            "NOTIFY * HTTP/1.0\r\nHOST: 239.255.255.246:7900\r\nCONTENT-TYPE: text/xml\r\n"
            f"USN: uuid:sample::{SAMPLE}\r\nSVCID: urn:upnp-org:serviceId:Sample\r\nNT: upnp:event\r\n"
            f"NTS: upnp:propchange\r\nSEQ: {seq}\r\nLVL: upnp:/warning\r\nCONTENT-LENGTH: {len(body)}\r\n\r\n"
        )
        port = self.lan.port(Role.LISTEN, "eth0")
        port.protocol.datagramReceived(head.encode() + body, ("192.0.2.1", 40_000))
        self.lan.advance(0)

    def test_Q184_heard_without_a_subscription(self) -> None:
        events: list[Event] = []
        self.service.observe("Alarm", self.heard.append)
        forget = self.service.observe_events(events.append)
        self.assertEqual((self.service.eventing, self.web.count("SUBSCRIBE")), ("multicast", 0))
        self.alarm(1, alarm="7")
        self.assertEqual((self.heard, events[0].level, dict(events[0].values)), ([7], "upnp:/warning", {"Alarm": 7}))
        forget()
        self.assertEqual(self.lan.closed, [])

    def test_Q184_the_last_observer_closes_the_sockets(self) -> None:
        self.service.observe("Alarm", self.heard.append)()
        self.assertEqual(len(self.lan.closed), 1)

    def test_what_comes_both_ways_is_told_once(self) -> None:
        self.web.pages["/s.xml"] = scpd(
            variable("Alarm", "ui2", multicast="yes"), variable("Only", "ui2", evented="no", multicast="yes")
        )
        self.service.observe_events(self.heard.append)
        self.assertEqual(self.service.eventing, "subscribed")
        self.alarm(1, Alarm="7")
        self.assertEqual(self.heard, [])
        self.alarm(2, Alarm="7", Only="1")
        self.assertEqual([dict(one.values) for one in self.heard], [{"Only": 1}])


class LightTests(TestCase):
    """The BinaryLight of the sample documents, over real sockets."""

    timeout = 180

    async def light(self, **options: Any) -> tuple[Light, ControlPoint, RemoteService]:
        light = Light(reactor, **options)
        light.open()
        self.addCleanup(light.close)
        point = ControlPoint(reactor, links=["lo"], targets=())
        point.startService()
        self.addCleanup(point.stopService)
        found = await point.device(light.location)
        self.assertIs(await point.device(light.location), found)
        return light, point, found.service("SwitchPower")

    async def until(self, what: Any, seconds: float = 60) -> None:
        deadline = reactor.seconds() + seconds
        while not what():
            self.assertLess(reactor.seconds(), deadline)
            await deferLater(reactor, 0.01)

    async def test_typed_both_ways(self) -> None:
        light, _, service = await self.light()
        self.assertEqual(await service.call("SetTarget", newTargetValue=True), {})
        self.assertTrue(light.on)
        self.assertEqual(await service.call("getstatus"), {"ResultStatus": True})
        self.assertEqual(
            [str(one) for one in service.actions.values()],
            ["SetTarget(NewTargetValue: boolean)", "GetTarget() -> RetTargetValue: boolean",
             "GetStatus() -> ResultStatus: boolean"],
        )  # fmt: skip
        self.assertEqual(light.lines().count("GET /SwitchPower1.xml"), 1)

    async def test_wrong_calls_are_not_sent(self) -> None:
        light, _, service = await self.light()
        await service.description()
        sent = len(light.lines())
        for action, arguments, error, said in (
            ("SetTarget", {}, InvalidArgument, "SetTarget takes NewTargetValue; given: none"),
            ("SetTarget", {"newTargetValue": "on"}, InvalidArgument, "NewTargetValue: 'on' is no bool"),
            ("SetTarget", {"newTargetValue": True, "x": 1}, InvalidArgument, "given: newTargetValue, x"),
            ("Explode", {}, ActionNotOffered, "has no action 'Explode'"),
        ):
            try:
                await service.call(action, **cast("dict[str, Any]", arguments))
            except error as refused:
                self.assertIn(said, str(refused))
            else:
                self.fail(f"{action} was sent")
        self.assertEqual(len(light.lines()), sent)

    async def test_events_from_the_first_observer_to_the_last(self) -> None:
        light, _, service = await self.light()
        heard: list[Any] = []
        forget = service.observe("Status", heard.append)
        await self.until(lambda: heard == [False])
        await service.call("SetTarget", NewTargetValue=True)
        await self.until(lambda: heard == [False, True])
        self.assertEqual(len(light.sids), 1)
        forget()
        await self.until(lambda: not light.sids)

    async def test_stopping_unsubscribes(self) -> None:
        light, point, service = await self.light()
        service.observe("Status", lambda value: None)
        await self.until(lambda: service.eventing == "subscribed")
        await point.stopService()
        self.assertEqual(light.sids, {})

    async def test_query_as_in_the_samples(self) -> None:
        light, _, service = await self.light()
        light.on = True
        self.assertIs(await service.query("status"), True)
        try:
            await service.query("Nothing")
        except ActionError as error:
            self.assertEqual((error.code, error.text), (404, "Invalid Var"))
        else:
            self.fail("it was answered")

    async def test_no_multicast_is_sent_or_heard_for_a_named_device(self) -> None:
        _, point, _ = await self.light()
        self.assertIsNone(point.discovery)
        self.assertEqual(point.problems, ())

    async def test_what_cannot_be_a_device(self) -> None:
        light, point, _ = await self.light()
        for location, error in (
            ("http://router.local/x.xml", BadURL),
            (f"{light.device.origin}/SwitchPower1.xml", DescriptionError),
            (f"{light.device.origin}/nothing.xml", ExchangeError),
        ):
            try:
                await point.device(location)
            except error:
                pass
            else:
                self.fail(location)
        await point.stopService()
        try:
            await point.device(light.location)
        except Stopped:
            pass
        else:
            self.fail("stopped")

    async def test_Q082_a_service_description_that_is_cut(self) -> None:
        _, _, service = await self.light(scpd=sample("intro-binarylight-scpd.xml")[:300])
        try:
            await service.call("SetTarget", NewTargetValue=True)
        except ActionNotOffered as error:
            self.assertIn("no description that can be read", str(error))
        heard: list[Any] = []
        service.observe("Status", heard.append)
        await self.until(lambda: heard == ["0"])


class SimulatedTests(TestCase):
    """Any service of a gateway, found by a search for everything."""

    timeout = 180

    async def test_ssdp_all(self) -> None:
        gateway = SimulatedGateway(reactor, relay=False)
        await gateway.start()
        self.addCleanup(gateway.stop)
        found: list[RemoteDevice] = []

        @implementer(IDeviceObserver)
        class Observer:
            def device_appeared(self, one: RemoteDevice) -> None:
                found.append(one)

            def device_changed(self, one: RemoteDevice) -> None: ...

            def device_gone(self, one: RemoteDevice) -> None: ...

        async with ControlPoint(reactor, links=["lo"], targets=("ssdp:all",)) as point:
            point.observe_devices(Observer())
            while not [one for one in found if one.udn == gateway.state.tree.root.udn]:
                await deferLater(reactor, 0.02)
            (mine,) = [one for one in point.devices if one.udn == gateway.state.tree.root.udn]
            service = mine.service("WANIPConnection:1")
            self.assertEqual(service.name, "WANIPConnection:2")
            told = await service.call("GetStatusInfo")
            self.assertEqual((told["NewConnectionStatus"], type(told["NewUptime"])), ("Connected", int))
            heard: list[Any] = []
            service.observe("ExternalIPAddress", heard.append)
            while not heard:
                await deferLater(reactor, 0.02)
            gateway.change_address("11.22.33.99")
            while len(heard) < 2:
                await deferLater(reactor, 0.02)
            self.assertEqual(heard, ["11.22.33.44", "11.22.33.99"])
            self.assertEqual(await service.query("ConnectionStatus"), "Connected")
            self.assertEqual(service.capabilities["GetStatusInfo"], "works")
        self.assertEqual(gateway.subscribers, ())

    async def test_a_device_that_was_asked_for_is_told_when_it_is_found(self) -> None:
        gateway = SimulatedGateway(reactor, relay=False)
        await gateway.start()
        self.addCleanup(gateway.stop)
        async with ControlPoint(reactor, links=["lo"], targets=("upnp:rootdevice",)) as point:
            mine = await point.device(gateway.location)
            while mine.aside:
                await deferLater(reactor, 0.02)
            self.assertTrue(point.satisfied)
