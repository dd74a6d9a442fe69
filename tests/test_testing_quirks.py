"""Each quirk that the simulated gateway plays, met by a real control point on loopback: found, read, mapped, heard.

Where a row of the catalogue asks for more, or for another state, a story of its own stands below; what is left is held
to the whole of it. Quirks of SSDP are in test_testing_quirks_ssdp.py, what is played in test_testing_quirk_table.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tests.quirk_case import CHANGED, PUBLIC, QuirkCase
from txigd import ControlPoint
from txigd.errors import ActionError, NotAGateway
from txigd.igd.lease_facts import Deleted, MappingState
from txigd.igd.mapping import PortMapping
from txigd.interfaces import IWANObserver
from txigd.limits import VERIFY_SECONDS
from txigd.testing.quirks import Quirk
from txigd.testing.quirks.control import CONTROL
from txigd.testing.quirks.documents import DOCUMENTS
from txigd.testing.quirks.eventing import EVENTING
from txigd.testing.quirks.http import HTTP
from txigd.testing.quirks.mappings import MAPPINGS, STATUS
from txigd.upnp.description.fetch import fetch_service
from txigd.upnp.remote_service import RemoteService

HOST = ipaddress.IPv4Address("203.0.113.9")
FOREIGN = "192.0.2.99"
WAN = "WANIPConnection"
PINHOLE: dict[str, Any] = {
    "RemoteHost": "",
    "RemotePort": 0,
    "InternalClient": "2001:db8::7",
    "InternalPort": 4000,
    "Protocol": 6,
    "LeaseTime": 3600,
}


def each(table: Mapping[str, Quirk]) -> Callable[[type[Whole]], type[Whole]]:
    """A test of the whole for every quirk of the table that has no story of its own."""

    def add(case: type[Whole]) -> type[Whole]:
        told = {name.split("_")[1] for name in dir(case) if name.startswith("test_Q")}
        for identifier in table:
            if identifier not in told:
                setattr(case, f"test_{identifier}_the_whole", _whole(identifier))
        return case

    return add


def _whole(identifier: str) -> Callable[[Whole], Any]:
    async def test(self: Whole) -> None:
        await self.find(identifier)
        await self.all_of_it(by=self.learned.get(identifier, "event"))

    return test


class Whole(QuirkCase):
    """``learned``: how a change is heard of where that is not by an event."""

    learned: Mapping[str, str] = {}


@each(HTTP)
class HTTPTests(Whole):
    ids = {
        "Q043", "Q044", "Q045", "Q046", "Q047", "Q048", "Q049", "Q050", "Q051", "Q052", "Q053", "Q054", "Q055", "Q056",
        "Q057", "Q058", "Q059", "Q060",
    }  # fmt: skip

    async def test_Q052_empty_then_404_then_there(self) -> None:
        await self.find("Q052")
        self.assertEqual([one.status for one in self.seen("GET")][:3], [200, 404, 200])
        await self.all_of_it()

    async def test_Q055_a_login_page_is_named_and_tried_again(self) -> None:
        with self.assertRaises(NotAGateway) as caught:
            await self.find("Q055", seconds=5)
        self.assertIn("Please log in", str(caught.exception))

    async def test_Q056_patience(self) -> None:
        before = self.reactor.seconds()
        await self.find("Q056")
        self.assertGreater(self.reactor.seconds() - before, 12)
        await self.all_of_it()


@each(DOCUMENTS)
class DocumentTests(Whole):
    ids = {
        "Q061", "Q062", "Q063", "Q064", "Q065", "Q066", "Q067", "Q068", "Q069", "Q070", "Q071", "Q072", "Q073", "Q074",
        "Q075", "Q076", "Q077", "Q078", "Q079", "Q080", "Q081", "Q082", "Q083", "Q084", "Q085", "Q086", "Q087", "Q088",
    }  # fmt: skip
    learned = {"Q068b": "poll"}

    async def table(self) -> Any:
        (service,) = [service for service in self.router.services if service.name == WAN]
        return await fetch_service(self.point.exchange, service)

    async def test_Q063_control_on_the_other_port(self) -> None:
        await self.find("Q063")
        port = self.router.device.location.port
        self.assertNotIn(port, {service.control_url.port for service in self.router.services if service.control_url})
        await self.all_of_it()

    async def test_Q071_a_version_that_no_standard_has(self) -> None:
        await self.find("Q071")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:2")
        await self.all_of_it()

    async def test_Q073_the_live_one_of_two(self) -> None:
        await self.find("Q073")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:1")
        await self.all_of_it()

    async def test_Q076_two_wan_devices(self) -> None:
        await self.find("Q076")
        self.assertEqual(len(self.router.wan.connections), 2)
        await self.all_of_it()

    async def test_Q082_no_service_description(self) -> None:
        await self.find("Q082")
        self.assertIsNone(await self.table())
        await self.all_of_it()

    async def test_Q083_a_hint_only(self) -> None:
        await self.find("Q083")
        table = await self.table()
        self.assertIn("X_GetWeather", table.actions)
        self.assertNotIn("GetNATRSIPStatus", table.actions)
        self.assertTrue((await self.router.service(WAN).call("GetNATRSIPStatus"))["NewNATEnabled"])
        await self.all_of_it()

    async def test_Q084_the_port_by_either_name(self) -> None:
        await self.find("Q084")
        outputs = [argument.name for argument in (await self.table()).actions["AddAnyPortMapping"].outputs]
        self.assertEqual(outputs, ["NewExternalPort"])
        typed: Any = self.router.typed(WAN)
        port = await typed.add_any_port_mapping(
            remote_host="", external_port=9000, protocol="TCP", internal_port=9000, internal_client="127.0.0.1",
            enabled=True, port_mapping_description="x", lease_duration=60,
        )  # fmt: skip
        self.assertEqual(port, 9000)
        await self.all_of_it()

    async def test_Q085_absent_means_yes(self) -> None:
        await self.find("Q085")
        table = await self.table()
        self.assertTrue({"ConnectionStatus", "ExternalIPAddress"} <= set(table.evented))
        await self.all_of_it()

    async def test_Q086_blanks_and_a_value_off_the_list(self) -> None:
        await self.find("Q086")
        self.assertIn("ConnectionStatus", (await self.table()).variables)
        told = await self.router.service(WAN).call("GetConnectionTypeInfo")
        self.assertEqual(told["NewConnectionType"], "IP_Bridged_By_Vendor")
        await self.all_of_it()

    async def test_Q087_wide_integers(self) -> None:
        await self.find("Q087")
        variables = (await self.table()).variables
        self.assertEqual(variables["PortMappingLeaseDuration"].data_type, "ui8")
        await self.all_of_it()

    async def test_Q088_shown_never_fetched(self) -> None:
        await self.find("Q088")
        root = self.router.device.description.root
        self.assertEqual(root.presentation_url, "http://www.routerlogin.net/")
        await self.all_of_it()


@each(CONTROL)
class ControlTests(Whole):
    ids = {
        "Q089", "Q090", "Q091", "Q092", "Q093", "Q094", "Q095", "Q096", "Q097", "Q098", "Q099", "Q100", "Q101", "Q102",
        "Q103", "Q104", "Q105", "Q106", "Q107", "Q108", "Q109", "Q110", "Q111", "Q112", "Q113", "Q114", "Q115", "Q116",
    }  # fmt: skip

    async def test_Q101_a_remote_host_is_refused_and_everybody_is_not(self) -> None:
        await self.find("Q101")
        held = await self.hold(internal_port=9000, remote_host=HOST, state=MappingState.REFUSED)
        self.assertIn("726", held.status.reason)
        await self.all_of_it()

    async def test_Q102_m_post_after_405(self) -> None:
        await self.find("Q102")
        await self.all_of_it()
        self.assertTrue(self.seen("M-POST"))

    async def test_Q104_port_0_of_a_range(self) -> None:
        await self.find("Q104")
        await self.hold()
        typed: Any = self.router.typed(WAN)
        fields = {"end_port": 9000, "protocol": "TCP", "manage": True, "number_of_ports": 0}
        with self.assertRaises(ActionError) as caught:
            await typed.get_list_of_port_mappings(start_port=0, **fields)
        self.assertEqual(caught.exception.code, 402)
        await typed.get_list_of_port_mappings(start_port=1, **fields)

    async def test_Q116_400_once(self) -> None:
        await self.find("Q116")
        await self.all_of_it()
        statuses = [one.status for one in self.seen("GetExternalIPAddress")]
        self.assertEqual((statuses[:2], statuses.count(400)), ([400, 200], 1))


@each(MAPPINGS)
class MappingTests(Whole):
    ids = {
        "Q117", "Q118", "Q119", "Q120", "Q121", "Q122", "Q123", "Q124", "Q125", "Q126", "Q127", "Q128", "Q129", "Q130",
        "Q131", "Q132", "Q133", "Q134", "Q135", "Q136", "Q137", "Q138", "Q140", "Q142",
    }  # fmt: skip

    async def test_Q117_permanent(self) -> None:
        await self.find("Q117")
        held = await self.hold()
        self.assertEqual(held.status.lease_seconds, 0)

    async def test_Q118_a_week_where_forever_is_refused(self) -> None:
        await self.find("Q118")
        held = await self.hold(lease_seconds=0)
        self.assertGreater(held.status.lease_seconds, 600_000)

    async def wiped(self) -> None:
        """What the gateway loses in silence is put back by the next look at it."""
        held = await self.hold(lease_seconds=0)
        self.device.mappings.rules = replace(self.device.mappings.rules, static_seconds=0, lifetime_seconds=0)
        await self.rest(19)
        self.assertEqual((len(self.device.mappings), len(self.seen("AddPortMapping"))), (1, 1))
        await self.rest(VERIFY_SECONDS + 5)
        self.assertEqual((len(self.device.mappings), held.status.state), (1, MappingState.ACTIVE))
        self.assertEqual(len(self.seen("AddPortMapping")), 2)

    async def test_Q119_a_day_played_in_twenty_seconds(self) -> None:
        await self.find("Q119")
        self.device.mappings.rules = replace(self.device.mappings.rules, static_seconds=20)
        await self.wiped()

    async def test_Q134_ten_minutes_played_in_twenty_seconds(self) -> None:
        await self.find("Q134")
        self.device.mappings.rules = replace(self.device.mappings.rules, lifetime_seconds=20)
        await self.wiped()

    async def test_Q120_the_lease_read_back_counts(self) -> None:
        await self.find("Q120")
        held = await self.hold(lease_seconds=0)
        self.assertGreater(held.status.lease_seconds, 600_000)

    async def renewed_by_deleting(self, quirk: str) -> None:
        await self.find(quirk)
        await self.hold(lease_seconds=40)
        await self.rest(25)
        self.assertEqual(len(self.seen("DeletePortMapping")), 1)
        (entry,) = self.device.mappings
        self.assertGreater(entry.lease_left(self.reactor.seconds()), 30)

    async def test_Q121_deleted_and_added_again(self) -> None:
        await self.renewed_by_deleting("Q121")

    async def test_Q122_deleted_and_added_again(self) -> None:
        await self.renewed_by_deleting("Q122")

    async def test_Q123_another_port_where_any_will_do(self) -> None:
        await self.find("Q123")
        await self.hold(state=MappingState.CONFLICT)
        held = await self.hold(internal_port=8081, any_port=True)
        self.assertGreaterEqual(held.external_port, 49_152)

    async def test_Q124_501_for_718(self) -> None:
        await self.find("Q124", rules=None)
        self.device.mappings.rules = replace(self.device.mappings.rules, conflict_below=49_152)
        held = await self.hold(any_port=True)
        self.assertGreaterEqual(held.external_port, 49_152)
        self.assertEqual({one.error for one in self.seen("AddPortMapping")}, {501, 0})

    async def test_Q125_a_full_table(self) -> None:
        await self.find("Q125")
        for port in (8080, 8081):
            await self.hold(internal_port=port)
        held = await self.hold(internal_port=8082, state=MappingState.REFUSED)
        self.assertIn("402", held.status.reason)

    async def test_Q126_equal_ports(self) -> None:
        await self.find("Q126")
        held = await self.hold(external_port=9000, any_port=True)
        self.assertEqual(held.external_port, 8080)

    async def test_Q127_port_0_is_never_asked_for(self) -> None:
        await self.find("Q127")
        await self.all_of_it()
        self.assertNotIn("0", {one.arguments["NewExternalPort"] for one in self.seen("AddPortMapping")})

    async def test_Q128_its_own_ports(self) -> None:
        await self.find("Q128")
        await self.hold(internal_port=80, state=MappingState.CONFLICT)
        await self.all_of_it()

    async def test_Q129_for_others(self) -> None:
        await self.find("Q129")
        await self.hold(internal_port=9000, internal_client=ipaddress.IPv4Address(FOREIGN), state=MappingState.CONFLICT)
        await self.all_of_it()

    async def test_Q130_low_ports(self) -> None:
        await self.find("Q130")
        held = await self.hold(internal_port=80, state=MappingState.REFUSED)
        self.assertIn("606", held.status.reason)
        await self.all_of_it()

    async def test_Q131_a_static_forward(self) -> None:
        await self.find("Q131")
        await self.hold(state=MappingState.CONFLICT)
        await self.hold(internal_port=8081, external_port=8080, protocol="UDP", state=MappingState.CONFLICT)
        await self.hold(internal_port=9000)

    async def test_Q132_a_foreign_mapping_stays(self) -> None:
        await self.find("Q132")
        foreign = self.device.add_foreign_mapping("TCP", 8080)
        await self.hold(state=MappingState.CONFLICT)
        self.assertEqual(list(self.device.mappings), [foreign])
        await self.hold(internal_port=8081)

    async def test_Q133_made_and_not_there(self) -> None:
        await self.find("Q133")
        held = await self.hold(state=MappingState.LOST)
        self.assertIn("does not store", held.status.reason)

    async def test_Q135_gone_is_gone(self) -> None:
        await self.find("Q135")
        held = await self.hold()
        self.device.forget_mappings()
        await held.release()
        self.assertIs(held.status.state, MappingState.RELEASED)
        self.assertEqual(self.seen("DeletePortMapping"), [], "what is read to be gone is not deleted")
        refused = self.router.wan.connection.delete_entry(PortMapping("TCP", 8080), 8080)
        self.assertEqual(await Deferred.fromCoroutine(refused), Deleted())
        self.assertEqual([one.error for one in self.seen("DeletePortMapping")], [402])

    async def test_Q136_deleted_with_its_remote_host(self) -> None:
        await self.find("Q136")
        held = await self.hold(remote_host=HOST)
        await held.release()
        self.assertEqual(len(self.device.mappings), 0)

    async def walked(self, quirk: str, count: int) -> None:
        await self.find(quirk)
        for port in (9000, 9001, 9002):
            self.device.add_foreign_mapping("TCP", port)
        self.assertEqual(len(await self.router.wan.connection.entries()), count)
        await self.all_of_it()

    async def test_Q137_a_page_behind_the_last(self) -> None:
        await self.walked("Q137", 3)

    async def test_Q137b_401_behind_the_last(self) -> None:
        await self.walked("Q137b", 3)

    async def test_Q138_both_ways_together(self) -> None:
        await self.walked("Q138", 3)

    async def test_Q140_stale_ones_are_left(self) -> None:
        await self.find("Q140")
        await self.all_of_it()
        self.assertEqual(len(self.device.mappings), 41)

    async def test_Q142_a_reboot(self) -> None:
        await self.find("Q142")
        held = await self.hold()
        await self.device.reboot()
        self.assertEqual(len(self.device.mappings), 0)
        await self.rest(65)
        self.assertEqual((len(self.device.mappings), held.status.state), (1, MappingState.ACTIVE))


@each(STATUS)
class StatusTests(Whole):
    ids = {
        "Q143", "Q144", "Q145", "Q146", "Q147", "Q148", "Q149", "Q150", "Q151", "Q152", "Q153", "Q154", "Q155", "Q156",
    }  # fmt: skip

    async def test_Q143_the_service_with_an_address(self) -> None:
        await self.find("Q143")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:1")
        await self.all_of_it()

    async def test_Q144_no_address_is_no_error(self) -> None:
        await self.find("Q144")
        self.assertIsNone(await self.router.external_ip())
        await self.hold(state=MappingState.REFUSED)
        await self.change()

    async def double_nat(self, quirk: str) -> None:
        await self.find(quirk)
        self.assertTrue(self.router.wan.status.double_nat)
        await self.hold()
        await self.change()

    async def test_Q145_private(self) -> None:
        await self.double_nat("Q145")

    async def test_Q145b_of_the_carrier(self) -> None:
        await self.double_nat("Q145b")

    async def no_address(self, quirk: str) -> None:
        await self.find(quirk)
        self.assertIsNone(await self.router.external_ip())
        self.assertTrue(self.router.wan.status.connected)
        await self.hold()

    async def test_Q146_ipv6(self) -> None:
        await self.no_address("Q146")

    async def test_Q146b_a_text(self) -> None:
        await self.no_address("Q146b")

    async def test_Q147_it_flips_and_mappings_stay(self) -> None:
        await self.find("Q147")
        held = await self.hold()
        told: list[object] = []
        self.router.wan.observe(_Observer(told))
        for _ in range(10):
            await self.router.external_ip()
            await self.rest(1)
        self.assertIs(held.status.state, MappingState.ACTIVE)
        self.assertEqual(len(self.seen("AddPortMapping")), 1)
        self.assertLessEqual(len(told), 6)

    async def test_Q148_up(self) -> None:
        await self.find("Q148")
        self.assertTrue(self.router.wan.status.connected)
        await self.all_of_it()

    async def test_Q148b_disconnected_and_online(self) -> None:
        await self.find("Q148b")
        self.assertEqual(self.router.wan.status.connection_status, "Disconnected")
        await self.all_of_it()

    async def test_Q149_the_other_is_unconfigured(self) -> None:
        await self.find("Q149")
        self.assertEqual(self.router.wan.status.service, "WANIPConnection:2")
        await self.all_of_it()

    async def test_Q150_a_text(self) -> None:
        await self.find("Q150")
        self.assertIn(self.router.wan.status.uptime_seconds, (None, *range(86_400, 86_460)))
        await self.all_of_it()

    async def test_Q150b_negative(self) -> None:
        await self.find("Q150b")
        self.assertIsNone(self.router.wan.status.uptime_seconds)
        await self.all_of_it()

    async def test_Q151_by_its_address(self) -> None:
        await self.find("Q151")
        self.assertTrue(self.router.wan.status.connected)
        self.assertEqual(self.router.wan.status.connection_status, "")
        await self.all_of_it()

    async def test_Q153_information_only(self) -> None:
        await self.find("Q153")
        with self.assertRaises(ActionError):
            await self.router.service("WANCommonInterfaceConfig").call("GetCommonLinkProperties")
        await self.all_of_it()

    async def test_Q154_a_string(self) -> None:
        await self.find("Q154")
        await self.settled()
        self.device.drop_wan()
        status = await self.router.wan.when(lambda status: not status.connected, 60)
        self.assertEqual(status.last_error, "ERROR_OF_THE_VENDOR")

    async def test_Q155_the_live_one_all_the_same(self) -> None:
        await self.find("Q155")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:1")
        await self.all_of_it()

    async def test_Q155b_the_live_one_all_the_same(self) -> None:
        await self.find("Q155b")
        self.assertEqual(self.router.wan.status.service, "WANPPPConnection:1")
        await self.all_of_it()

    async def test_Q156_renewed_by_what_was_asked_for(self) -> None:
        await self.find("Q156")
        await self.hold(lease_seconds=40)
        await self.rest(30)
        self.assertEqual(len(self.seen("AddPortMapping")), 2)
        self.assertEqual(len(self.seen("DeletePortMapping")), 0)


@each(EVENTING)
class EventingTests(Whole):
    ids = {
        "Q157", "Q158", "Q159", "Q160", "Q161", "Q162", "Q163", "Q164", "Q165", "Q166", "Q167", "Q168", "Q169", "Q170",
        "Q171", "Q172", "Q173", "Q174", "Q175", "Q176", "Q177", "Q178", "Q179", "Q180", "Q181", "Q182", "Q184",
    }  # fmt: skip
    learned = {"Q170": "poll"}

    async def test_Q158_primed_by_a_read(self) -> None:
        await self.find("Q158")
        await self.rest(6)
        await self.all_of_it()

    async def in_a_row(self, quirk: str) -> None:
        """Two changes in a row: the last one counts."""
        await self.find(quirk)
        await self.settled()
        self.device.change_address("11.22.33.66")
        self.device.change_address(CHANGED)
        await self.router.wan.when(lambda status: str(status.external_ip) == CHANGED, 20)
        await self.rest(3)
        self.assertEqual(str(self.router.wan.status.external_ip), CHANGED)

    async def test_Q161_the_last_change_is_lost(self) -> None:
        await self.in_a_row("Q161")

    async def test_Q162_the_last_change_comes_first(self) -> None:
        await self.in_a_row("Q162")

    async def after_renewal(self, quirk: str) -> None:
        """Events go on after the renewals of subscriptions that were granted for a minute."""
        await self.find(quirk, granted_seconds=60)
        await self.rest(65)
        self.assertGreater(len([one for one in self.seen("SUBSCRIBE") if _has(one, "sid")]), 0)
        await self.change()

    async def test_Q166_no_sid_in_the_answer(self) -> None:
        await self.after_renewal("Q166")

    async def test_Q166b_another_sid(self) -> None:
        await self.after_renewal("Q166b")

    async def test_Q168_412_to_renewals(self) -> None:
        await self.after_renewal("Q168")

    async def test_Q168b_500_to_renewals(self) -> None:
        await self.after_renewal("Q168b")

    async def test_Q169_the_old_one_is_cancelled(self) -> None:
        await self.after_renewal("Q169")
        self.assertTrue(self.seen("UNSUBSCRIBE"))
        self.assertLessEqual(len(self.device.subscribers), 2 * len(self.router.eventing))

    async def test_Q167_renewals_in_capitals(self) -> None:
        await self.after_renewal("Q167")

    async def test_Q170_nothing_but_polls(self) -> None:
        await self.find("Q170")
        await self.all_of_it(by="poll")
        self.assertEqual(set(self.router.eventing.values()), {"refused"})

    async def test_Q170b_one_service_refuses(self) -> None:
        await self.find("Q170b")
        await self.all_of_it()
        self.assertEqual(
            [name for name, state in self.router.eventing.items() if state == "refused"], ["Layer3Forwarding:1"]
        )

    async def test_Q173_it_is_said_and_polled(self) -> None:
        await self.find("Q173")
        await self.rest(10)
        said = [problem for remote in self.router.device.services for problem in remote.problems]
        self.assertTrue([problem for problem in said if "callback port" in problem], said)
        await self.all_of_it(by="poll")

    async def observed(self, quirk: str, *, read: bool) -> tuple[RemoteService, list[object]]:
        """The connection's service, and what is told of its address by events: one change, beside the first one.

        :param read: whether the service's own description was read before.
        """
        await self.play(quirk).start()
        self.point = ControlPoint(self.reactor, links=["lo"], gateway=self.device.location, events=False)
        self.addCleanup(self.point.stop)
        self.point.start()
        service = (await self.point.gateway(timeout=30)).device.service(WAN)
        if read:
            await service.description()
        told: list[object] = []
        service.observe("ExternalIPAddress", told.append)
        await self.rest(3)
        self.device.change_address(CHANGED)
        await self.rest(3)
        return service, told

    async def test_Q184_what_comes_both_ways_is_told_once(self) -> None:
        service, told = await self.observed("Q184", read=True)
        self.assertEqual((service.eventing, told), ("subscribed", [PUBLIC, CHANGED]))
        assert self.point.multicast is not None
        self.assertGreater(self.point.multicast.counters.get("repeat", 0), 0, "a copy of what was heard")

    async def test_Q184_the_whole(self) -> None:
        await self.find("Q184")
        await self.all_of_it()

    async def test_Q184b_heard_without_a_subscription(self) -> None:
        service, told = await self.observed("Q184b", read=False)
        self.assertEqual((service.eventing, told, self.seen("SUBSCRIBE")), ("multicast", [CHANGED], []))

    async def test_Q184b_the_whole(self) -> None:
        await self.find("Q184b")
        await self.all_of_it(by="poll")

    async def test_Q181_the_stop_is_not_held_up(self) -> None:
        await self.find("Q181")
        await self.settled()
        before = self.reactor.seconds()
        await self.point.stop()
        self.assertLess(self.reactor.seconds() - before, 2)
        self.assertEqual({one.status for one in self.seen("UNSUBSCRIBE")}, {412})

    async def test_Q182_void_after_a_reboot(self) -> None:
        await self.find("Q182", granted_seconds=60)
        await self.settled()
        await self.device.reboot()
        self.assertEqual(self.device.subscribers, ())
        await self.rest(70)
        self.assertEqual(len(self.device.subscribers), len(self.router.eventing))
        await self.change()


class FirewallTests(QuirkCase):
    """The actions of the IPv6 firewall, asked over IPv4; what takes IPv6 is in test_testing_quirks_ssdp.py."""

    def proxy(self) -> Any:
        return self.router.service("WANIPv6FirewallControl")

    async def refused(self, action: str, **arguments: Any) -> int:
        with self.assertRaises(ActionError) as caught:
            await self.proxy().call(action, **arguments)
        return caught.exception.code

    async def test_Q195_the_number_of_the_protocol(self) -> None:
        await self.find("Q195")
        self.assertTrue((await self.proxy().call("AddPinhole", **PINHOLE))["UniqueID"])
        (asked,) = self.seen("AddPinhole")
        self.assertEqual(asked.arguments["Protocol"], "6")

    async def test_Q196_nothing_comes_in(self) -> None:
        await self.find("Q196")
        told = await self.proxy().call("GetFirewallStatus")
        self.assertEqual((told["FirewallEnabled"], told["InboundPinholeAllowed"]), (True, False))
        self.assertEqual(await self.refused("AddPinhole", **PINHOLE), 703)

    async def test_Q198_nothing_is_counted(self) -> None:
        await self.find("Q198")
        number = (await self.proxy().call("AddPinhole", **PINHOLE))["UniqueID"]
        self.assertEqual(await self.refused("CheckPinholeWorking", UniqueID=number), 602)
        await self.proxy().call("UpdatePinhole", UniqueID=number, NewLeaseTime=60)

    async def test_Q200_a_day_at_most(self) -> None:
        await self.find("Q200")
        raw = self.proxy()
        number = (await raw.call("AddPinhole", **PINHOLE))["UniqueID"]
        texts = [("UniqueID", str(number)), ("NewLeaseTime", "86401")]
        with self.assertRaises(ActionError) as caught:
            await raw.caller.call(raw.service, raw.service.service_type, "UpdatePinhole", texts, [])
        self.assertEqual(caught.exception.code, 600)


class TogetherTests(QuirkCase):
    """Several at once, as real gateways have them."""

    async def test_Q016_Q043_Q074_Q105_Q117_Q163_old_linksys(self) -> None:
        await self.find("Q016", "Q043", "Q074", "Q077", "Q105", "Q117", "Q163")
        await self.all_of_it()

    async def test_Q044_Q063_Q068_Q078_Q107_Q176_everything_bent(self) -> None:
        await self.find("Q044", "Q046", "Q063", "Q068", "Q078", "Q106", "Q107", "Q112", "Q164", "Q176")
        self.assertEqual(str(self.router.wan.status.external_ip), PUBLIC)
        await self.all_of_it()


@implementer(IWANObserver)
class _Observer:
    def __init__(self, told: list[object]) -> None:
        self.told = told

    def wan_changed(self, old: object, new: object) -> None:
        self.told.append(new)


def _has(request: Any, name: str) -> bool:
    return any(field.lower() == name for field, _ in request.headers)
