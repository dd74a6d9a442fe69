"""Our address changed, and the gateway lets nobody but the former one delete its entry."""

from __future__ import annotations

import ipaddress

from tests.memory_lan import MemoryGateway
from tests.test_lease import OURS, US, LeaseTestCase
from tests.test_mappings import WEB, MappingsTestCase
from txigd.errors import MappingRefused
from txigd.igd.journal import Journal
from txigd.igd.lease_facts import Add, Delete, Denied, MappingState, Unreadable
from txigd.limits import RETRY_CEILING_SECONDS
from txigd.testing import Rules

FORMER = "192.168.1.5"
MOVED = ipaddress.IPv4Address("192.168.1.8")


class FormerEntryTests(LeaseTestCase):
    """Pure: the machine against a gateway of secure mode."""

    def setUp(self):
        super().setUp()
        answer = self.router.answer

        def strict(command, now):
            self.router.tick(now)
            there = self.router.table.get(getattr(command, "port", 0))
            if isinstance(command, Delete) and there is not None and there.internal_client != str(US):
                self.router.log.append(command)
                return Denied(606, "Action not authorized")
            return answer(command, now)

        self.patch(self.router, "answer", strict)

    def moved(self, lease_seconds, **fields):
        self.router.put(80, FORMER, 80, OURS, lease=lease_seconds)
        lease = self.lease(on_record=lambda entry: True, **fields)
        self.run_to_rest(lease)
        return lease

    def test_F14_Q129_it_is_added_when_the_lease_of_before_ends(self):
        for seconds in (5, 200, 301, 3600):
            with self.subTest(lease=seconds):
                self.setUp()
                lease = self.moved(seconds)
                self.assertState(lease, MappingState.REFUSED)
                self.assertIn(FORMER, lease.status.reason)
                self.assertIn("until its lease ends", lease.status.reason)
                self.pass_time(lease, seconds - 1)
                self.assertState(lease, MappingState.REFUSED)
                self.pass_time(lease, 3)
                self.assertState(lease, MappingState.ACTIVE)
                self.assertEqual(self.router.table[80].internal_client, str(US))

    def test_F14_D6_it_is_no_storm_until_then(self):
        lease = self.moved(3600)
        reason = lease.status.reason
        self.pass_time(lease, 3000)
        self.assertLessEqual(len(self.router.log), 3 * 3000 / RETRY_CEILING_SECONDS + 6)
        self.assertEqual(lease.status.reason, reason, "told once")
        self.assertLessEqual(len([one for one in self.router.log if isinstance(one, Delete)]), 1)

    def test_F14_without_an_end_it_is_looked_at_now_and_then(self):
        lease = self.moved(0)
        self.assertState(lease, MappingState.REFUSED)
        self.assertIn("for ever", lease.status.reason)
        self.assertEqual(lease.status.next_attempt, RETRY_CEILING_SECONDS)
        self.router.table.clear()
        self.pass_time(lease, RETRY_CEILING_SECONDS + 1)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F14_a_gateway_that_is_late_to_drop_it_is_asked_again_soon(self):
        lease = self.moved(100)
        self.router.expiry.clear()
        self.router.expiry[80] = 107.0
        self.pass_time(lease, 115)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F14_where_any_port_does_another_one_is_taken_at_once(self):
        lease = self.moved(3600, any_port=True)
        self.assertState(lease, MappingState.ACTIVE, 50_000)
        self.assertEqual(self.router.table[80].internal_client, FORMER)

    def test_F14_what_is_not_shown_is_known_from_the_record(self):
        """IGD:2 shows nobody the entries of others."""
        self.router.put(80, FORMER, 80, OURS, lease=100)
        answer = self.router.answer

        def hidden(command, now):
            fact = answer(command, now)
            entry = getattr(fact, "entry", None)
            return Unreadable() if entry is not None and entry.internal_client != str(US) else fact

        self.patch(self.router, "answer", hidden)
        lease = self.lease(former=lambda port: (FORMER, 100 - self.now) if port == 80 and self.now < 100 else None)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.REFUSED)
        self.assertIn(FORMER, lease.status.reason)
        self.pass_time(lease, 102)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F31_somebody_else_who_took_the_port_is_named(self):
        lease = self.moved(100)
        self.router.put(80, "192.168.1.99", 80, "theirs")
        self.pass_time(lease, 150)
        self.assertState(lease, MappingState.CONFLICT)
        self.assertIn("192.168.1.99", lease.status.reason)
        self.assertEqual(self.router.table[80].internal_client, "192.168.1.99")

    def test_released_meanwhile(self):
        lease = self.moved(3600)
        lease.release()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.RELEASED)
        changes = [type(one) for one in self.router.log if isinstance(one, (Add, Delete))]
        self.assertEqual(changes, [Add, Delete, Delete], "it may have become possible since")


class SecureModeTests(MappingsTestCase):
    """The simulated gateway in secure mode, by what we keep on record."""

    def moved(self, version: int):
        self.router = MemoryGateway(self.clock, version=version)
        self.router.state.table.rules = Rules(version=version, secure=True)
        self.lan.gateways[:] = [self.router]
        self.mappings.attach(self.connect(self.router))
        held = self.mappings.hold(WEB)
        self.successResultOf(held.when_active())
        self.wait(600)
        self.router.caller = str(MOVED)
        self.mappings.attach(self.connect(self.router, MOVED))
        self.wait(1)
        return held

    def test_F14_Q129_Q130_the_mapping_is_back_when_the_lease_of_before_ends(self) -> None:
        for version in (1, 2):
            with self.subTest(version=version):
                self.setUp()
                held = self.moved(version)
                self.assertEqual(held.status.state, MappingState.REFUSED)
                self.assertIn(f"leads to {US}", held.status.reason)
                self.failureResultOf(held.when_active(), MappingRefused)
                (entry,) = self.router.table
                assert entry.expires is not None
                self.wait(entry.expires - self.clock.seconds() - 1)
                self.assertEqual(self.ports(), [(8080, str(US))])
                self.wait(5)
                self.assertEqual(self.ports(), [(8080, str(MOVED))])
                self.assertEqual(held.status.state, MappingState.ACTIVE)

    def test_F14_what_could_not_be_deleted_stays_on_record(self) -> None:
        self.moved(2)
        journal: Journal = self.mappings._books.journal
        self.assertEqual([record.internal_client for record in journal.entries("")], [str(US)])
