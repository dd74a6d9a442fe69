"""Quirks of port mappings and of the WAN state (Q117-Q161, Q193): what the pure machines make of each.

The model of a gateway's table is that of test_lease.py, the LAN in memory that of test_wan.py, where most of the
quirks are tested; here stand those that no other file bears.
"""

from __future__ import annotations

import ipaddress

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.raw_server import RawConnection, RawServer, answer, reactor
from tests.test_lease import HOST, US, LeaseTestCase
from tests.test_wan import WANTestCase
from txigd.errors import InvalidArgument
from txigd.igd.lease import Lease
from txigd.igd.lease_facts import Add, Delete, MappingState, Read
from txigd.igd.mapping import PortMapping, PortMappingEntry
from txigd.igd.status import AddressClass, Learned, Reading, choose
from txigd.limits import POLL_SECONDS, PORT_RANGE, PORT_TRIES, RETRY_CEILING_SECONDS, VERIFY_SECONDS
from txigd.upnp.description import datatypes
from txigd.upnp.http import Exchange
from txigd.upnp.http_reply import Reply

DAY = 86_400


class RefusalTests(LeaseTestCase):
    """The ladder of errors, each told by a gateway that always says the same."""

    def told(self, code: int, seconds: float = 0, **fields: object) -> Lease:
        """A mapping whose AddPortMapping is answered with this error for so long."""
        self.router.deny = {"always": code}
        lease = self.lease(**fields)
        self.run_to_rest(lease)
        if seconds:
            self.pass_time(lease, seconds)
        return lease

    def test_Q124_501_where_718_is_due(self) -> None:
        self.router.deny = {"port 80": 501}
        lease = self.lease(any_port=True)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ADDING)
        self.pass_time(lease, 70)
        self.assertState(lease, MappingState.ACTIVE, 50_000)

    def test_Q124_501_on_a_fixed_port_is_tried_again_ever_more_slowly(self) -> None:
        lease = self.told(501, 3600)
        self.assertState(lease, MappingState.REFUSED)
        self.assertEqual({add.port for add in self.router.adds()}, {80})
        self.assertLess(len(self.router.adds()), 8 + 3600 / RETRY_CEILING_SECONDS + 1)
        self.router.deny.clear()
        self.pass_time(lease, RETRY_CEILING_SECONDS * 1.2)
        self.assertState(lease, MappingState.ACTIVE)

    def test_Q127_716_is_told_and_no_other_port_is_asked_for(self) -> None:
        lease = self.told(716, DAY)
        self.assertState(lease, MappingState.REFUSED)
        self.assertEqual({add.port for add in self.router.adds()}, {80})

    def test_Q124_716_is_another_port_where_any_will_do(self) -> None:
        self.router.deny = {"port 80": 716}
        lease = self.lease(any_port=True)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE, 50_000)
        self.setUp()
        lease = self.told(716, DAY, any_port=True)
        self.assertState(lease, MappingState.REFUSED)
        self.assertLessEqual(len({add.port for add in self.router.adds()}), 1 + 2 * PORT_TRIES)

    def test_Q128_a_port_of_the_gateways_own(self) -> None:
        for code in (718, 606, 501):
            self.setUp()
            lease = self.told(code, 3600)
            self.assertIn(lease.status.state, (MappingState.REFUSED, MappingState.CONFLICT), code)
            self.assertIn(str(code), lease.status.reason)

    def test_Q129_Q130_606_is_told_without_a_storm(self) -> None:
        lease = self.told(606, DAY)
        self.assertState(lease, MappingState.REFUSED)
        self.assertIn("606", lease.status.reason)
        self.assertLessEqual(len(self.router.adds()), DAY / RETRY_CEILING_SECONDS + 1)

    def test_Q129_mapped_is_the_address_that_talks_to_the_gateway(self) -> None:
        lease = Lease(
            PortMapping("TCP", 80), client=US, host_id=HOST, spread=lambda: 0.0, other_port=lambda: PORT_RANGE[0]
        )
        self.assertEqual(lease.client, US)

    def test_Q131_729_another_port_where_any_will_do(self) -> None:
        self.router.deny = {"port 80": 729}
        lease = self.lease(any_port=True)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE, 50_000)

    def test_Q131_729_on_a_fixed_port(self) -> None:
        lease = self.told(729, 3600)
        self.assertState(lease, MappingState.CONFLICT)
        self.assertFalse([command for command in self.router.log if isinstance(command, Delete)])

    def test_Q125_402_of_a_full_table_is_no_endless_ladder(self) -> None:
        lease = self.told(402, 3600)
        self.assertState(lease, MappingState.REFUSED)
        leases = [add.lease_seconds for add in self.router.adds()]
        self.assertEqual(leases[:3], [3600, 0, 604_800])
        self.assertLess(len(leases), 3 + 3600 / RETRY_CEILING_SECONDS + 1)


class VanishedTests(LeaseTestCase):
    """Entries that go without a word."""

    def test_Q119_a_permanent_entry_is_not_believed_to_be_one(self) -> None:
        self.router.deny = {"finite": 725}
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE)
        for wiped_after in (DAY, 7 * DAY):
            self.pass_time(lease, wiped_after)
            self.router.table.clear()
            self.pass_time(lease, VERIFY_SECONDS + 1)
            self.assertIn(80, self.router.table)
            self.assertState(lease, MappingState.ACTIVE)

    def test_Q134_Q133_rules_cleaned_while_idle(self) -> None:
        lease = self.lease()
        for _ in range(10):
            self.pass_time(lease, 600)
            self.router.table.clear()
            self.router.expiry.clear()
            self.pass_time(lease, VERIFY_SECONDS + 1)
            self.assertIn(80, self.router.table)
            self.assertState(lease, MappingState.ACTIVE)

    def test_Q142_a_reboot_that_is_told_is_answered_at_once(self) -> None:
        lease = self.lease()
        self.pass_time(lease, 600)
        self.router.table.clear()
        self.router.log.clear()
        lease.gateway_restarted(self.now)
        self.run_to_rest(lease)
        self.assertEqual(self.router.log, [Read(80), Add(80, 3600), Read(80)])
        self.assertState(lease, MappingState.ACTIVE)

    def test_F39_a_link_event_that_took_nothing_adds_nothing(self) -> None:
        lease = self.lease()
        self.pass_time(lease, 600)
        self.router.log.clear()
        lease.recheck(self.now)
        self.run_to_rest(lease)
        self.assertEqual(self.router.log, [Read(80)])

    def test_Q156_the_time_left_counts_down_at_some_and_is_nothing_at_others(self) -> None:
        for grants in (None, 0):
            self.setUp()
            self.router.grants = grants
            lease = self.lease()
            self.pass_time(lease, 4 * 3600)
            self.assertState(lease, MappingState.ACTIVE)
            self.assertLessEqual(len(self.router.adds()), 9, "each renewal is one at half the lease")


class WantedTests(SynchronousTestCase):
    """What is never asked for."""

    def test_Q127_D5_port_0(self) -> None:
        for ports in ((0, 80), (80, 0), (-1, 80), (80, 65_536)):
            self.assertRaises(InvalidArgument, PortMapping, "TCP", *ports)

    def test_Q139_addresses_that_are_no_host_on_the_link(self) -> None:
        for text in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1", "239.255.255.250", "laptop", "::1", ""):
            with self.assertRaises(InvalidArgument, msg=text):
                PortMapping("TCP", 80, internal_client=text)  # type: ignore[arg-type]

    def test_Q127_an_entry_of_port_0_can_be_read(self) -> None:
        dmz = PortMappingEntry("TCP", 0, "192.168.1.9", 0)
        self.assertFalse(dmz.leads_to(US, 80))


class StatusTests(SynchronousTestCase):
    """What an answer is taken for."""

    def test_Q145_another_nat_in_front(self) -> None:
        for text, double in {
            "10.0.0.1": True,
            "172.16.0.9": True,
            "192.168.1.1": True,
            "100.64.0.1": True,
            "100.127.255.254": True,
            "100.128.0.1": False,
            "192.0.0.8": False,
            "11.22.33.44": False,
        }.items():
            status = Reading("WANIPConnection:1", "Connected", text).status(Learned.READ)
            self.assertIs(status.double_nat, double, text)
            self.assertTrue(status.connected, "it maps all the same")
            self.assertIs(status.address_class is AddressClass.PUBLIC, text in ("100.128.0.1", "11.22.33.44"), text)

    def test_Q148_disconnected_though_online(self) -> None:
        says_so = Reading("WANIPConnection:1", "Disconnected", "11.22.33.44")
        idle = Reading("WANPPPConnection:1", "Unconfigured", "0.0.0.0")
        self.assertEqual(choose([idle, says_so]), 1, "it carries the traffic, whatever it says")
        self.assertFalse(says_so.status(Learned.READ).connected, "an address that stays on is no proof of a line")

    def test_Q154_an_error_that_no_list_has(self) -> None:
        word = datatypes.decode("string", "ERROR_OF_THE_VENDOR")
        status = Reading("WANIPConnection:1", "Disconnected", "", last_error=str(word)).status(Learned.READ)
        self.assertEqual(status.last_error, "ERROR_OF_THE_VENDOR")


class CrossCheckTests(WANTestCase):
    def test_Q161_a_change_that_was_never_evented_is_found_by_the_poll(self) -> None:
        self.connect()
        self.router.state.line.address = "11.22.33.50"
        self.wait(POLL_SECONDS + 1)
        self.assertEqual(self.steps(), [("Connected 11.22.33.44", "Connected 11.22.33.50")])
        self.assertIs(self.wan.status.learned, Learned.POLL)


class SourceTests(TestCase):
    timeout = 180

    async def test_Q193_an_exchange_from_a_chosen_address_of_ours(self) -> None:
        peers: list[str] = []

        def script(connection: RawConnection) -> None:
            peers.append(connection.transport.getPeer().host)
            answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)

        server = RawServer(script)
        self.addCleanup(server.stop)
        exchange = Exchange(reactor, source=ipaddress.ip_address("127.0.0.9"))
        self.addCleanup(exchange.close)
        waiting: Deferred[Reply] = exchange.request("POST", server.url(), body_cap=1000, seconds=5)
        reply = await waiting
        self.assertEqual((peers, reply.local_address), (["127.0.0.9"], ipaddress.ip_address("127.0.0.9")))
