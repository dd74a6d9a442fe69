"""Pure: the lease machine against a model of a gateway's table."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.lease import Lease
from txigd.igd.lease_facts import (
    Add,
    Added,
    Delete,
    Deleted,
    Denied,
    Done,
    Failed,
    Found,
    MappingState,
    Missing,
    Read,
    Rest,
    Unreadable,
)
from txigd.igd.mapping import PortMapping, PortMappingEntry, tag
from txigd.limits import FAREWELL_SECONDS

US = ipaddress.IPv4Address("192.168.1.7")
HOST = "0a1b2c3d"
OURS = tag(HOST, "web")


class Router:
    """A model of a gateway's table, with switches for what gateways do wrong."""

    def __init__(self):
        self.table: dict[int, PortMappingEntry] = {}
        self.expiry: dict[int, float] = {}
        self.deny: dict[str, object] = {}
        self.readable = True
        self.passing = False
        self.silent = False
        self.stores = True
        self.extends = True
        self.grants: int | None = None
        self.log: list[object] = []

    def tick(self, now):
        for port in [port for port, at in self.expiry.items() if at <= now]:
            del self.table[port], self.expiry[port]

    def answer(self, command, now):
        self.tick(now)
        self.log.append(command)
        if self.silent:
            return Failed("no answer")
        if isinstance(command, Read):
            if not self.readable:
                return Unreadable(passing=self.passing)
            entry = self.table.get(command.port)
            if entry is None:
                return Missing()
            left = int(self.expiry[command.port] - now) if command.port in self.expiry else 0
            return Found(
                PortMappingEntry(
                    "TCP", command.port, entry.internal_client, entry.internal_port, entry.description, left
                )
            )
        if isinstance(command, Delete):
            self.table.pop(command.port, None)
            self.expiry.pop(command.port, None)
            return Deleted()
        assert isinstance(command, Add)
        for predicate, code in tuple(self.deny.items()):
            if DENIALS[predicate](command):
                return Denied(code, predicate)  # type: ignore[arg-type]
        there = self.table.get(command.port)
        if there is not None and there.internal_client != str(US):
            return Denied(718, "ConflictInMappingEntry")
        if self.stores and (there is None or self.extends):
            lease = self.grants if self.grants is not None else command.lease_seconds
            self.put(command.port, str(US), 80, OURS, now, lease)
        return Added()

    def put(self, port, client, internal, description, now=0.0, lease=0):
        self.table[port] = PortMappingEntry("TCP", port, client, internal, description)
        self.expiry.pop(port, None)
        if lease:
            self.expiry[port] = now + lease

    def adds(self):
        return [command for command in self.log if isinstance(command, Add)]


DENIALS = {
    "finite": lambda add: add.lease_seconds > 0,
    "permanent": lambda add: add.lease_seconds == 0,
    "above an hour": lambda add: not 0 < add.lease_seconds <= 3600,
    "unequal ports": lambda add: add.port != 80,
    "always": lambda add: True,
    "port 80": lambda add: add.port == 80,
}


class LeaseTestCase(SynchronousTestCase):
    def setUp(self):
        self.router = Router()
        self.now = 0.0
        self.ports = iter(range(50_000, 60_000))

    def lease(
        self,
        on_record=lambda entry: False,
        former=lambda port: None,
        kept=0,
        line_up=lambda: None,
        spread=0.0,
        **fields,
    ):
        wanted = PortMapping("TCP", 80, **{"description": "web", **fields})
        return Lease(
            wanted,
            client=US,
            host_id=HOST,
            spread=lambda: spread,
            other_port=lambda: next(self.ports),
            on_record=on_record,
            former=former,
            external_port=kept,
            line_up=line_up,
        )

    def run_to_rest(self, lease, steps=40):
        for _ in range(steps):
            command = lease.next(self.now)
            if isinstance(command, (Rest, Done)):
                return command
            lease.learn(self.router.answer(command, self.now), self.now)
        raise AssertionError(f"no rest after {steps} commands: {self.router.log[-6:]}")

    def pass_time(self, lease, seconds):
        end = self.now + seconds
        while True:
            command = self.run_to_rest(lease)
            if isinstance(command, Done) or command.until > end:
                break
            self.now = max(self.now, command.until)
        self.now = end

    def assertState(self, lease, state, port=80):
        self.assertEqual((lease.status.state, lease.status.external_port), (state, port), lease.status.reason)


class HoldTests(LeaseTestCase):
    def test_reads_adds_reads_back(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertEqual(self.router.log, [Read(80), Add(80, 3600), Read(80)])
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(lease.status.lease_seconds, 3600)

    def test_renews_at_half_time_and_verifies_each_minute(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.log.clear()
        self.pass_time(lease, 1795)
        self.assertEqual(self.router.adds(), [])
        self.assertGreaterEqual(len(self.router.log), 29)
        self.pass_time(lease, 10)
        self.assertEqual(self.router.adds(), [Add(80, 3600)])

    def test_stays_for_a_week(self):
        lease = self.lease()
        for _ in range(7 * 24):
            self.pass_time(lease, 3600)
            self.router.tick(self.now)
            self.assertIn(80, self.router.table)
            self.assertState(lease, MappingState.ACTIVE)

    def test_F01_an_emptied_table_is_filled_again(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.table.clear()
        lease.gateway_restarted(self.now)
        self.run_to_rest(lease)
        self.assertIn(80, self.router.table)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F02_without_any_sign_it_is_found_by_the_verify(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.table.clear()
        self.pass_time(lease, 61)
        self.assertIn(80, self.router.table)

    def test_F34_a_lease_shortened_in_silence_is_believed_by_the_table(self):
        self.router.grants = 200
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertEqual(lease.status.lease_seconds, 200)
        for _ in range(100):
            self.pass_time(lease, 50)
            self.router.tick(self.now)
            self.assertIn(80, self.router.table)
        self.assertEqual([c for c in self.router.log if isinstance(c, Delete)], [])

    def test_F35_without_read_back_it_is_added_blindly_at_half_time(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.UNVERIFIED)
        self.pass_time(lease, 3600 * 5)
        self.assertEqual(len(self.router.adds()), 11)

    def test_Q121_adding_again_does_not_extend(self):
        self.router.extends = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.pass_time(lease, 1801)
        self.assertEqual(self.router.log[-4:], [Read(80), Delete(80), Add(80, 3600), Read(80)])
        self.assertGreater(self.router.expiry[80] - self.now, 3500)

    def test_Q133_accepted_but_not_stored(self):
        self.router.stores = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.LOST)
        self.assertIn("does not store", lease.status.reason)
        self.assertEqual(len(self.router.adds()), 2)

    def test_Q141_own_address_changed(self):
        """What we made from our former address is on record; without one it may be a cloned host's (CloneTests)."""
        self.router.put(80, "192.168.1.99", 80, OURS)
        lease = self.lease(on_record=lambda entry: entry.internal_client == "192.168.1.99")
        self.run_to_rest(lease)
        self.assertEqual(self.router.table[80].internal_client, str(US))
        self.assertState(lease, MappingState.ACTIVE)

    def test_Q141_an_entry_of_ours_that_leads_elsewhere_is_put_right_while_active(self):
        """An earlier life of ours, at another address or for another port, wrote over it since the last look."""
        for client, internal in (("192.168.1.99", 80), (str(US), 81)):
            self.router = Router()
            lease = self.lease(on_record=lambda entry: True)
            self.run_to_rest(lease)
            self.assertState(lease, MappingState.ACTIVE)
            self.router.put(80, client, internal, OURS, self.now, 3600)
            self.pass_time(lease, 61)
            entry = self.router.table[80]
            self.assertEqual((entry.internal_client, entry.internal_port), (str(US), 80))
            self.assertState(lease, MappingState.ACTIVE)


class LadderTests(LeaseTestCase):
    def test_Q117_F33_only_permanent_leases(self):
        self.router.deny = {"finite": 725}
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertEqual([add.lease_seconds for add in self.router.adds()], [3600, 0])
        self.assertState(lease, MappingState.ACTIVE)
        self.router.table.clear()
        self.pass_time(lease, 61)
        self.assertIn(80, self.router.table)
        self.assertEqual(self.router.adds()[-1].lease_seconds, 0)

    def test_Q118_lease_0_refused(self):
        self.router.deny = {"permanent": 402}
        lease = self.lease(lease_seconds=0)
        self.run_to_rest(lease)
        self.assertEqual([add.lease_seconds for add in self.router.adds()], [0, 604_800])
        self.router = Router()
        self.router.deny = {"above an hour": 402}
        lease = self.lease(lease_seconds=0)
        self.run_to_rest(lease)
        self.assertEqual([add.lease_seconds for add in self.router.adds()], [0, 604_800, 3600])
        self.assertState(lease, MappingState.ACTIVE)

    def test_402_to_everything_ends_in_refused(self):
        self.router.deny = {"always": 402}
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.REFUSED)
        self.assertEqual([add.lease_seconds for add in self.router.adds()], [3600, 0, 604_800])

    def test_Q126_same_port_required(self):
        self.router.deny = {"unequal ports": 724}
        lease = self.lease(external_port=81)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.REFUSED, 81)
        self.assertIn("external port 80", lease.status.reason)
        lease = self.lease(external_port=81, any_port=True)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE, 80)

    def test_Q126_D6_same_port_required_and_refused_all_the_same(self):
        self.router.deny = {"always": 724}
        lease = self.lease(external_port=81, any_port=True)
        self.pass_time(lease, 86_000)
        self.assertLess(len(self.router.adds()), 300)
        self.assertState(lease, MappingState.REFUSED)

    def test_F31_Q123_a_foreign_entry_on_a_fixed_port(self):
        self.router.put(80, "192.168.1.200", 80, "other")
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.CONFLICT)
        self.pass_time(lease, 3600)
        self.assertEqual(self.router.adds(), [])
        self.assertEqual(self.router.table[80].description, "other")
        del self.router.table[80]
        self.pass_time(lease, 301)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F31_a_flexible_port_moves_on(self):
        self.router.put(80, "192.168.1.200", 80, "other")
        lease = self.lease(any_port=True)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE, 50_000)

    def test_Q132_a_program_on_this_host_is_foreign_too(self):
        self.router.put(80, str(US), 80, "BitComet")
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.CONFLICT)
        lease.release()
        self.run_to_rest(lease)
        self.assertEqual(self.router.table[80].description, "BitComet")

    def test_D6_no_retry_storm_in_a_day_of_conflicts(self):
        self.router.deny = {"always": 718}
        lease = self.lease(any_port=True)
        self.pass_time(lease, 86_000)
        self.assertLessEqual(len({add.port for add in self.router.adds()}), 5)
        self.assertLessEqual(len(self.router.adds()), 300)
        self.assertState(lease, MappingState.CONFLICT)

    def test_F32_Q122_718_against_our_own_old_entry(self):
        self.router.put(80, str(US), 80, OURS)
        self.router.deny = {"port 80": 718}
        lease = self.lease()
        deleted = []
        for _ in range(12):
            command = lease.next(self.now)
            if isinstance(command, Rest):
                break
            if isinstance(command, Delete):
                self.router.deny.clear()
                deleted.append(command)
            lease.learn(self.router.answer(command, self.now), self.now)
        self.assertEqual(deleted, [Delete(80)])
        self.assertState(lease, MappingState.ACTIVE)

    def test_F30_table_full(self):
        self.router.deny = {"always": 728}
        lease = self.lease()
        self.pass_time(lease, 3600)
        self.assertState(lease, MappingState.REFUSED)
        self.assertLessEqual(len(self.router.adds()), 13)

    def test_F37_501_for_a_while(self):
        self.router.deny = {"always": 501}
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.REFUSED)
        self.pass_time(lease, 5)
        self.router.deny.clear()
        self.pass_time(lease, 10)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F45_a_timeout_is_read_before_it_is_repeated(self):
        lease = self.lease()
        lease.learn(self.router.answer(lease.next(0.0), 0.0), 0.0)
        add = lease.next(0.0)
        self.router.answer(add, 0.0)  # applied, but the answer is lost
        lease.learn(Failed("timed out"), 0.0)
        self.assertIsInstance(lease.next(0.0), Rest)
        self.now = 2.0
        self.assertEqual(lease.next(2.0), Read(80))
        self.run_to_rest(lease)
        self.assertEqual(len(self.router.table), 1)


class ReleaseTests(LeaseTestCase):
    def test_release_deletes_ours(self):
        lease = self.lease()
        self.run_to_rest(lease)
        lease.release()
        self.assertIsInstance(self.run_to_rest(lease), Done)
        self.assertEqual(self.router.table, {})
        self.assertState(lease, MappingState.RELEASED)

    def test_release_before_anything_was_sent(self):
        lease = self.lease()
        lease.release()
        self.assertIsInstance(lease.next(0.0), Done)
        self.assertEqual(self.router.log, [])

    def test_release_after_a_lost_answer_looks_first(self):
        for left in (OURS, "other"):
            router = self.router = Router()
            lease = self.lease()
            lease.learn(Missing(), 0.0)
            lease.learn(Failed("timed out"), 0.0)
            router.put(80, str(US) if left == OURS else "192.168.1.200", 80, left)
            lease.release()
            self.assertIsInstance(self.run_to_rest(lease), Done)
            self.assertEqual(bool(router.table), left == "other")

    def test_a_silent_gateway_does_not_hold_the_release(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.silent = True
        lease.release()
        while isinstance(command := self.run_to_rest(lease), Rest):
            self.now = command.until
        self.assertLess(self.now, FAREWELL_SECONDS)

    def test_an_entry_that_became_foreign_stays(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.put(80, "192.168.1.200", 80, "other")
        self.pass_time(lease, 61)
        self.assertState(lease, MappingState.CONFLICT)
        lease.release()
        self.run_to_rest(lease)
        self.assertIn(80, self.router.table)

    def test_an_entry_that_became_foreign_since_the_last_look_stays(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.put(80, "192.168.1.200", 80, "other")
        lease.release()
        self.assertIsInstance(self.run_to_rest(lease), Done)
        self.assertEqual(self.router.table[80].description, "other")

    def test_F35_what_never_could_be_read_is_deleted_on_our_word(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        lease.release()
        self.assertIsInstance(self.run_to_rest(lease), Done)
        self.assertEqual(self.router.table, {})

    def test_what_cannot_be_read_any_more_runs_out_with_its_lease(self):
        for lease_seconds in (3600, 0):
            router = self.router = Router()
            lease = self.lease(lease_seconds=lease_seconds)
            self.run_to_rest(lease)
            router.readable = False
            lease.release()
            self.assertIsInstance(self.run_to_rest(lease), Done)
            self.assertEqual(bool(router.table), bool(lease_seconds))


class CloneTests(LeaseTestCase):
    """Two hosts with one id, as virtual machines of one image have: our tag is on entries of the other one."""

    def test_D5_the_entry_of_the_other_one_is_foreign(self):
        self.router.put(80, "192.168.1.8", 80, OURS)
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.CONFLICT)
        lease.release()
        self.run_to_rest(lease)
        self.assertEqual(self.router.table[80].internal_client, "192.168.1.8")

    def test_D5_Q123_another_program_of_this_host_has_the_same_id(self):
        """Two of one id on one host: what leads to another port of it, and is not on our record, is the other one's."""
        self.router.put(80, str(US), 8000, OURS)
        lease = self.lease()
        self.pass_time(lease, 3600)
        self.assertState(lease, MappingState.CONFLICT)
        self.assertEqual((self.router.table[80].internal_port, self.router.adds()), (8000, []))
        lease.release()
        self.run_to_rest(lease)
        self.assertEqual(self.router.table[80].internal_port, 8000)
        other = self.lease(any_port=True)
        self.run_to_rest(other)
        self.assertState(other, MappingState.ACTIVE, 50_000)

    def test_F54_what_we_made_for_another_port_of_this_host_is_made_right(self):
        self.router.put(80, str(US), 8000, OURS)
        lease = self.lease(on_record=lambda entry: entry.internal_port == 8000)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(self.router.table[80].internal_port, 80)


FACTS = st.one_of(
    st.builds(
        Found,
        st.builds(
            PortMappingEntry,
            st.just("TCP"),
            st.just(80),
            st.sampled_from([str(US), "192.168.1.200", "", "router"]),
            st.sampled_from([80, 81, 0]),
            st.sampled_from([OURS, "", "other"]),
            st.integers(0, 604_800),
        ),
    ),
    st.just(Missing()),
    st.just(Unreadable()),
    st.just(Added()),
    st.builds(Denied, st.sampled_from([0, 402, 501, 606, 718, 724, 725, 726, 728, 729, -911]), st.just("x")),
    st.just(Failed("x")),
    st.just(Deleted()),
)


class AnyOrderTests(LeaseTestCase):
    @settings(max_examples=300)
    @given(
        st.lists(st.one_of(FACTS, st.sampled_from(["release", "restart", "recheck", "silent"])), max_size=40),
        st.booleans(),
        st.floats(0.1, 2000),
    )
    def test_any_facts_in_any_order(self, facts, any_port, step):
        """Never an exception, never port 0, never a Delete of what the last read called foreign."""
        ports = iter(range(50_000, 60_000))
        wanted = PortMapping("TCP", 80, any_port=any_port)
        lease = Lease(wanted, client=US, host_id=HOST, spread=lambda: 0.5, other_port=lambda: next(ports))
        now, foreign = 0.0, False
        for fact in facts:
            now += step
            command = lease.next(now)
            if isinstance(command, (Read, Add, Delete)):
                self.assertTrue(1 <= command.port <= 65535)
            if isinstance(command, Delete):
                self.assertFalse(foreign)
            if fact == "release":
                lease.release()
            elif fact == "restart":
                lease.gateway_restarted(now)
            elif fact == "recheck":
                lease.recheck(now)
            elif fact == "silent":
                lease.gateway_silent("gone")
            else:
                lease.learn(fact, now)
                if isinstance(command, Read) and isinstance(fact, Found):
                    foreign = fact.entry.description == "other" and fact.entry.internal_client != str(US)
                elif isinstance(command, (Read, Add)):
                    foreign = False
