"""One connection service: reading the state, one entry, the table; every outcome as a fact or a typed error."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory_lan import US, Asked, MemoryGateway, MemoryLAN, reply
from txigd.errors import ActionError, BadReply, ConnectFailed, ExchangeTimeout, HTTPStatusError
from txigd.igd.connection import Connection
from txigd.igd.lease_facts import Added, Deleted, Denied, Failed, Found, Missing, Unreadable
from txigd.igd.mapping import PortMapping
from txigd.igd.status import Learned
from txigd.testing import Entry
from txigd.upnp.control import soap
from txigd.upnp.http_reply import Reply

WEB = PortMapping("TCP", 8080, description="web")


class ConnectionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.router = MemoryGateway(self.clock)
        self.lan = MemoryLAN(self.clock, self.router)
        self.connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US)

    def says(self, action: str, **outputs: str) -> None:
        """Let the router answer an action so."""
        service_type = self.connection.proxy.service.service_type
        self.router.answers[action] = lambda _: reply(200, soap.response(service_type, action, outputs))

    def fact(self, kind: str, *arguments: object):
        """The fact that one of the three commands brings."""
        calls = {
            "read": lambda: self.connection.read_entry(WEB, 8080),
            "add": lambda: self.connection.add_entry(WEB, 8080, client=US, description="web", lease_seconds=3600),
            "delete": lambda: self.connection.delete_entry(WEB, 8080),
        }
        return self.successResultOf(_deferred(calls[kind]()))


def _deferred(coroutine):
    return Deferred.fromCoroutine(coroutine)


class ReadTests(ConnectionTestCase):
    def test_status_and_address(self) -> None:
        reading = self.successResultOf(self.connection.read(is_default=True))
        self.assertEqual(
            (reading.service, reading.connection_status, reading.external_ip, reading.is_default),
            ("WANIPConnection:2", "Connected", "11.22.33.44", True),
        )

    def test_Q151_a_refused_action_leaves_the_other_part(self) -> None:
        self.router.faults["GetStatusInfo"] = 401
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), (None, "11.22.33.44"))
        self.router.faults = {"GetExternalIPAddress": 501}
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), ("Connected", None))

    def test_both_refused_is_a_reading_without_anything(self) -> None:
        self.router.faults["*"] = 401
        self.assertFalse(self.successResultOf(self.connection.read()).answered)

    def test_html_for_both_is_an_error(self) -> None:
        self.router.faults["*"] = "html"
        self.failureResultOf(self.connection.read(), BadReply)

    def test_Q144_an_empty_address_is_an_answer(self) -> None:
        self.says("GetExternalIPAddress", NewExternalIPAddress="")
        reading = self.successResultOf(self.connection.read())
        self.assertEqual(reading.external_ip, "")
        self.assertIsNone(reading.status(Learned.READ).external_ip)

    def test_Q150_uptime_as_text_or_negative(self) -> None:
        for text, seconds in (("0 Days, 01:00:00", 3600), ("-3", None), ("long", None)):
            self.says("GetStatusInfo", NewConnectionStatus="Up", NewLastConnectionError="X", NewUptime=text)
            reading = self.successResultOf(self.connection.read())
            self.assertEqual(
                (reading.connection_status, reading.uptime_seconds, reading.last_error), ("Up", seconds, "X")
            )

    def between(self, happens: Callable[[], None], *, times: int = 1) -> None:
        """Let something happen right after the next answers to GetStatusInfo."""
        answer, left = self.router.answer, [happens] * times

        def then(asked: Asked, body: bytes) -> Reply | None:
            told = answer(asked, body)
            if asked.name == "GetStatusInfo" and left:
                left.pop()()
            return told

        self.patch(self.router, "answer", then)

    def test_a_line_that_falls_between_the_two_answers_is_down(self) -> None:
        self.between(self.router.cut)
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), ("Disconnected", ""))
        self.assertEqual(self.lan.names(), ["GetStatusInfo", "GetExternalIPAddress", "GetStatusInfo"])

    def test_a_line_that_comes_up_between_the_two_answers_is_up(self) -> None:
        self.router.cut()
        self.between(self.router.restore)
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), ("Connected", "11.22.33.44"))

    def test_an_address_that_is_missing_for_a_moment_only_is_no_lack_of_one(self) -> None:
        """The old one was removed and the new one added: the line was up all the time."""
        addresses = ["", "11.22.33.50"]
        service_type = self.connection.proxy.service.service_type
        self.router.answers["GetExternalIPAddress"] = lambda _: reply(
            200, soap.response(service_type, "GetExternalIPAddress", {"NewExternalIPAddress": addresses.pop(0)})
        )
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), ("Connected", "11.22.33.50"))

    def test_Q144_answers_that_disagree_for_good_are_asked_for_twice_once(self) -> None:
        self.says("GetExternalIPAddress", NewExternalIPAddress="0.0.0.0")
        for calls in (4, 2, 2):
            self.lan.asked.clear()
            reading = self.successResultOf(self.connection.read())
            self.assertEqual((reading.connection_status, reading.external_ip), ("Connected", "0.0.0.0"))
            self.assertEqual(len(self.lan.asked), calls)
        self.router.answers.clear()
        self.successResultOf(self.connection.read())
        self.says("GetExternalIPAddress", NewExternalIPAddress="0.0.0.0")
        self.lan.asked.clear()
        self.successResultOf(self.connection.read())
        self.assertEqual(len(self.lan.asked), 4, "it agreed meanwhile")

    def test_a_refusal_of_the_second_look_leaves_the_first(self) -> None:
        def refuse() -> None:
            self.router.faults["GetStatusInfo"] = 501
            self.says("GetExternalIPAddress", NewExternalIPAddress="")

        self.between(refuse)
        reading = self.successResultOf(self.connection.read())
        self.assertEqual((reading.connection_status, reading.external_ip), ("Connected", ""))

    def test_silence_is_asked_once(self) -> None:
        self.router.faults["*"] = "hang"
        reading = self.connection.read()
        self.clock.advance(10)
        self.failureResultOf(reading, ExchangeTimeout)
        self.assertEqual(self.lan.names(), ["GetStatusInfo"])

    def test_nonsense_from_an_action_that_works_is_no_word_on_the_state(self) -> None:
        self.router.faults = {"GetStatusInfo": "html"}
        self.assertIsNone(self.successResultOf(self.connection.read()).connection_status)
        self.router.faults.clear()
        self.successResultOf(self.connection.read())
        for action in ("GetStatusInfo", "GetExternalIPAddress"):
            self.router.faults = {action: "html"}
            self.failureResultOf(self.connection.read(), BadReply)

    def test_dying_between_the_two_is_no_word_on_the_address(self) -> None:
        self.router.faults["GetExternalIPAddress"] = "refuse"
        self.failureResultOf(self.connection.read(), ConnectFailed)

    def test_cancelling_closes_what_it_opened(self) -> None:
        self.router.faults["*"] = "hang"
        reading = self.connection.read()
        self.assertEqual(len(self.lan.open), 1)
        reading.cancel()
        self.failureResultOf(reading)
        self.assertEqual(self.lan.open, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EntryTests(ConnectionTestCase):
    def test_found_and_missing(self) -> None:
        self.assertEqual(self.fact("read"), Missing())
        self.router.foreign(8080)
        found = self.fact("read")
        self.assertIsInstance(found, Found)
        entry = found.entry
        self.assertEqual((entry.protocol, entry.external_port, entry.internal_client), ("TCP", 8080, "192.168.1.99"))

    def test_what_each_fault_of_a_read_means(self) -> None:
        for action in ("GetGenericPortMappingEntry", "GetListOfPortMappings"):
            self.router.faults[action] = 401
        table = {713: Missing, 714: Missing, 401: Unreadable, 602: Unreadable, 501: Failed, "html": Failed}
        for fault, expected in table.items():
            with self.subTest(fault=fault):
                self.router.faults["GetSpecificPortMappingEntry"] = fault
                self.assertIsInstance(self.fact("read"), expected)
        self.router.faults["GetSpecificPortMappingEntry"] = "refuse"
        self.assertIsInstance(self.fact("read"), Failed)

    def test_an_entry_that_leads_nowhere_is_none(self) -> None:
        self.says("GetSpecificPortMappingEntry", NewInternalPort="0", NewInternalClient="", NewEnabled="0")
        self.assertEqual(self.fact("read"), Missing())

    def test_what_is_sent(self) -> None:
        self.assertEqual(self.fact("add"), Added())
        asked = self.lan.asked[-1]
        self.assertEqual(
            asked.arguments,
            {
                "NewRemoteHost": "",
                "NewExternalPort": "8080",
                "NewProtocol": "TCP",
                "NewInternalPort": "8080",
                "NewInternalClient": "192.168.1.7",
                "NewEnabled": "1",
                "NewPortMappingDescription": "web",
                "NewLeaseDuration": "3600",
            },
        )
        self.assertEqual(self.fact("read").entry.lease_seconds, 3600)

    def test_what_each_fault_of_an_add_means(self) -> None:
        for code in (501, 606, 718, 724, 725, 728):
            with self.subTest(code=code):
                self.router.faults["AddPortMapping"] = code
                fact = self.fact("add")
                self.assertIsInstance(fact, Denied)
                self.assertEqual(fact.code, code)
        self.router.faults.clear()
        for status, expected in ((503, Failed), (500, Denied), (404, Denied)):
            self.router.answers["AddPortMapping"] = lambda _, status=status: reply(status)  # type: ignore[misc]
            self.assertIsInstance(self.fact("add"), expected)
        self.router.faults["AddPortMapping"] = "html"
        self.assertIsInstance(self.fact("add"), Failed)
        self.router.faults["AddPortMapping"] = "refuse"
        self.assertIsInstance(self.fact("add"), Failed)

    def test_F45_an_add_is_never_sent_twice(self) -> None:
        self.router.faults["AddPortMapping"] = "refuse"
        self.fact("add")
        self.assertEqual(self.lan.count("AddPortMapping"), 1)

    def test_Q135_what_a_delete_is_refused_with_means_that_it_is_gone_but_for_606(self) -> None:
        self.assertEqual(self.fact("delete"), Deleted())
        for code in (402, 714):
            self.router.faults["DeletePortMapping"] = code
            self.assertEqual(self.fact("delete"), Deleted())
        self.router.faults["DeletePortMapping"] = 606
        self.assertIsInstance(self.fact("delete"), Denied)
        self.router.faults["DeletePortMapping"] = "refuse"
        self.assertIsInstance(self.fact("delete"), Failed)

    def test_Q136_the_remote_host_goes_with_every_command(self) -> None:
        wanted = PortMapping("UDP", 500, remote_host=ipaddress.IPv4Address("11.1.1.1"))
        self.successResultOf(
            _deferred(self.connection.add_entry(wanted, 500, client=US, description="x", lease_seconds=60))
        )
        self.assertIsInstance(self.successResultOf(_deferred(self.connection.read_entry(wanted, 500))), Found)
        self.successResultOf(_deferred(self.connection.delete_entry(wanted, 500)))
        self.assertEqual({asked.arguments["NewRemoteHost"] for asked in self.lan.asked}, {"11.1.1.1"})
        self.assertEqual(self.router.table, [])

    def test_entry_and_delete_say_what_was_wrong(self) -> None:
        self.assertEqual(self.failureResultOf(self.connection.entry("TCP", 1), ActionError).value.code, 714)
        self.assertEqual(self.failureResultOf(self.connection.delete("TCP", 1), ActionError).value.code, 714)
        self.router.foreign(8080)
        self.assertEqual(self.successResultOf(self.connection.entry("TCP", 8080)).description, "theirs")
        self.assertIsNone(self.successResultOf(self.connection.delete("TCP", 8080)))


class TableTests(ConnectionTestCase):
    def walk(self):
        return self.successResultOf(self.connection.entries())

    def test_all_of_it(self) -> None:
        self.assertEqual(self.walk(), [])
        for port in (1000, 2000, 3000):
            self.router.foreign(port)
        self.assertEqual({entry.external_port for entry in self.walk()}, {1000, 2000, 3000})

    def test_Q137_every_end_of_the_walk(self) -> None:
        self.router.foreign(1000)
        rest = self.router.answer

        def ended_by(end):
            def answer(asked, body):
                if asked.name == "GetGenericPortMappingEntry" and asked.arguments["NewPortMappingIndex"] != "0":
                    return end
                return rest(asked, body)

            return answer

        for end in (*(reply(500, soap.fault(code, "")) for code in (713, 714, 402, 401, 501)), reply(500, b"<html>")):
            self.patch(self.router, "answer", ended_by(end))
            self.assertEqual([entry.external_port for entry in self.walk()], [1000])

    def test_Q137_a_repeated_entry_ends_it_though_its_time_runs_down(self) -> None:
        left = iter(range(3600, 0, -1))
        self.router.answers["GetGenericPortMappingEntry"] = lambda _: reply(
            200,
            soap.response(
                self.connection.proxy.service.service_type,
                "GetGenericPortMappingEntry",
                {
                    "NewRemoteHost": "",
                    "NewExternalPort": "80",
                    "NewProtocol": "TCP",
                    "NewInternalPort": "80",
                    "NewInternalClient": "192.168.1.9",
                    "NewEnabled": "1",
                    "NewPortMappingDescription": "",
                    "NewLeaseDuration": str(next(left)),
                },
            ),
        )
        self.assertEqual(len(self.walk()), 1)
        self.assertEqual(sum("GetGenericPortMappingEntry" in str(asked) for asked in self.lan.asked), 2)

    def test_Q104_the_list_is_asked_for_from_port_1_of_a_small_table_only(self) -> None:
        self.router.foreign(1000)
        self.walk()
        asked = [asked for asked in self.lan.asked if asked.name == "GetListOfPortMappings"]
        self.assertEqual([one.arguments["NewProtocol"] for one in asked], ["TCP", "UDP"])
        self.assertEqual(
            {(one.arguments["NewStartPort"], one.arguments["NewEndPort"]) for one in asked}, {("1", "65535")}
        )
        self.lan.asked.clear()
        for port in range(2000, 2100):
            self.router.foreign(port)
        self.assertEqual(len(self.walk()), 101)
        self.assertNotIn("GetListOfPortMappings", {asked.name for asked in self.lan.asked})

    def test_Q138_the_walk_and_the_list_make_one_table(self) -> None:
        """Each shows one entry that the other leaves out."""
        self.router.foreign(1000)
        self.router.foreign(2000)
        rest = self.router.answer

        def answer(asked, body):
            if asked.name == "GetGenericPortMappingEntry" and asked.arguments["NewPortMappingIndex"] == "1":
                return reply(500, soap.fault(713, ""))
            return rest(asked, body)

        self.patch(self.router, "answer", answer)
        self.assertEqual({entry.external_port for entry in self.walk()}, {1000, 2000})
        self.router.faults["GetListOfPortMappings"] = 501
        self.assertEqual(len(self.walk()), 1)

    def listing(self, *codes):
        """The ranges that were asked for, in order, once the walk is refused by each of the codes."""
        for code in codes:
            self.lan.asked.clear()
            refusal = reply(500, soap.fault(code, "")) if isinstance(code, int) else code
            self.router.answers["GetGenericPortMappingEntry"] = lambda _, refusal=refusal: refusal  # type: ignore[misc]
            yield self.walk()

    def ranges(self, protocol: str = "TCP") -> list[tuple[int, int]]:
        asked = (asked.arguments for asked in self.lan.asked if asked.name == "GetListOfPortMappings")
        return [(int(a["NewStartPort"]), int(a["NewEndPort"])) for a in asked if a["NewProtocol"] == protocol]

    def test_Q138_the_list_is_asked_where_the_walk_is_refused(self) -> None:
        for port in (1, 1000, 65535):
            self.router.foreign(port)
        codes = (606, 401, 501, 602, 600, reply(500, b"<html>"), reply(500), reply(404), reply(200, b"<html>"))
        for table in self.listing(*codes):
            self.assertEqual([entry.external_port for entry in table], [1, 1000, 65535])
            self.assertEqual(self.ranges(), [(1, 65535)])
            self.assertFalse(self.successResultOf(self.connection.table())[1], "a list shows what the caller may see")

    def test_Q138_a_list_without_entries_is_an_answer_too(self) -> None:
        self.assertEqual(list(self.listing(606)), [[]])

    def test_Q138_a_list_that_is_refused_for_its_width_is_asked_for_in_parts(self) -> None:
        for port in (1, 200, 1000, 40000, 65535):
            self.router.foreign(port)
        rest = self.router.answer

        def narrow(asked, body):
            first, last = (int(asked.arguments.get(name, 0)) for name in ("NewStartPort", "NewEndPort"))
            if last - first >= 128:
                return reply(500, soap.fault(501, ""))
            return rest(asked, body)

        self.patch(self.router, "answer", narrow)
        for table in self.listing(606):
            self.assertEqual([entry.external_port for entry in table], [1, 200, 1000, 40000, 65535])
            self.assertEqual(len(self.ranges()), 9 + 512)
            self.assertEqual(len(self.ranges("UDP")), 512)

    def test_Q138_a_list_that_is_cut_is_asked_for_in_parts(self) -> None:
        ports = range(5000, 5300)
        for port in ports:
            self.router.foreign(port)
        rest = self.router.answer

        def cut(asked, body):
            if asked.name == "GetListOfPortMappings":
                body = body.replace(b"<NewNumberOfPorts>0<", b"<NewNumberOfPorts>128<")
            return rest(asked, body)

        self.patch(self.router, "answer", cut)
        for table in self.listing(606):
            self.assertEqual([entry.external_port for entry in table], list(ports))
            self.assertLess(len(self.ranges()), 9 + 512)
            self.assertEqual(self.ranges("UDP"), [(1, 65535)])

    def test_Q138_where_nothing_is_listed_the_refusal_of_the_walk_counts(self) -> None:
        self.router.faults["GetGenericPortMappingEntry"] = 606
        for fault, calls in ((501, 10), ("html", 2 * 10), (401, 1)):
            self.router.faults["GetListOfPortMappings"] = fault
            self.lan.asked.clear()
            self.assertEqual(self.failureResultOf(self.connection.entries(), ActionError).value.code, 606)
            self.assertEqual(len(self.ranges()), calls)
            self.assertEqual(self.ranges("UDP"), [])

    def test_Q138_silence_during_the_lists_is_no_table(self) -> None:
        self.router.faults.update({"GetGenericPortMappingEntry": 606, "GetListOfPortMappings": "refuse"})
        self.failureResultOf(self.connection.entries(), ConnectFailed)
        self.assertEqual(self.ranges("UDP"), [])

    def test_Q138_version_1_has_no_list(self) -> None:
        self.router = MemoryGateway(self.clock, version=1)
        self.lan = MemoryLAN(self.clock, self.router)
        self.connection = Connection(self.lan.proxy(self.router, "WANIPConnection"), US)
        self.router.faults["GetGenericPortMappingEntry"] = 606
        self.failureResultOf(self.connection.entries(), ActionError)
        self.assertEqual(self.ranges(), [])

    def test_half_a_table_is_never_taken_for_a_whole_one(self) -> None:
        self.router.foreign(1000)
        rest = self.router.answer

        def dies(asked, body):
            if asked.arguments.get("NewPortMappingIndex") == "1":
                raise ConnectFailed("gone")
            return rest(asked, body)

        self.patch(self.router, "answer", dies)
        self.failureResultOf(self.connection.entries(), ConnectFailed)

    def test_a_gateway_that_shows_no_table(self) -> None:
        self.router.faults["*"] = 401
        self.failureResultOf(self.connection.entries(), ActionError)
        self.router.faults["*"] = "html"
        self.failureResultOf(self.connection.entries(), BadReply)
        del self.router.faults["*"]
        self.router.answers["GetGenericPortMappingEntry"] = lambda _: reply(404)
        self.failureResultOf(self.connection.entries(), HTTPStatusError)

    def test_garbage_in_an_entry_is_harmless(self) -> None:
        self.router.state.table.put(Entry("TCP", 80, "host.name", 80, "", "x"))
        rest = self.router.answer

        def spoil(asked, body):
            answer = rest(asked, body)
            assert answer is not None
            spoiled = answer.body.replace(b"<NewInternalPort>80<", b"<NewInternalPort>eighty<")
            return reply(answer.status, spoiled)

        self.patch(self.router, "answer", spoil)
        (entry,) = self.walk()
        self.assertEqual((entry.internal_client, entry.internal_port), ("host.name", 0))
