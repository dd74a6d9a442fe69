"""Pure: refusals and lost answers while an entry of ours stands, and what of it may be given up because of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.test_lease import OURS, US, LeaseTestCase
from txigd.igd.lease_facts import Add, Command, Delete, Deleted, Denied, Fact, Failed, MappingState
from txigd.limits import DAY_SECONDS, RETRY_CEILING_SECONDS


class RefusedCase(LeaseTestCase):
    def setUp(self):
        super().setUp()
        self.instead: Callable[[Command], Fact | None] = lambda command: (
            None
        )  # the fact that comes back in place of what the router does
        answer = self.router.answer

        def answered(command, now):
            fact = self.instead(command)
            if fact is None:
                return answer(command, now)
            self.router.tick(now)
            self.router.log.append(command)
            return fact

        self.patch(self.router, "answer", answered)

    def gap(self, lease, seconds):
        """For how many seconds nothing of ours was there."""
        missing = 0
        for _ in range(seconds):
            self.pass_time(lease, 1)
            self.router.tick(self.now)
            missing += 80 not in self.router.table
        return missing

    def deletes(self):
        return [command for command in self.router.log if isinstance(command, Delete)]


class ClearingTests(RefusedCase):
    """Our own old entry has to go before a new one is taken (F32, Q121)."""

    def in_the_way(self, facts, lease=0):
        """The first deletes come to this, and our old entry stands in the way of any other."""
        facts = list(facts)
        self.router.put(80, str(US), 80, OURS, 0.0, lease)

        def instead(command):
            if isinstance(command, Delete) and facts:
                return facts.pop(0)
            if isinstance(command, Add) and command.port in self.router.table:
                return Denied(718, "ConflictInMappingEntry")
            return None

        self.instead = instead

    def test_F32_one_lost_answer_to_the_deletion_is_not_the_end_of_it(self):
        self.in_the_way([Failed("no answer")])
        lease = self.lease()
        self.pass_time(lease, 10)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(len(self.deletes()), 2)

    def test_F32_nor_is_a_deletion_that_was_refused_for_a_moment(self):
        self.in_the_way([Deleted(gone=False)])
        lease = self.lease()
        self.pass_time(lease, RETRY_CEILING_SECONDS * 1.2)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(len(self.deletes()), 2)

    def test_F32_D6_a_deletion_that_never_helps_is_no_storm(self):
        for fact in (Failed("no answer"), Deleted(gone=False)):
            with self.subTest(fact=fact):
                self.setUp()
                self.in_the_way([fact] * 1000)
                lease = self.lease()
                self.pass_time(lease, DAY_SECONDS)
                self.assertLess(len(self.deletes()), DAY_SECONDS / RETRY_CEILING_SECONDS + 12)

    def test_F32_our_old_entry_runs_out_and_the_next_one_is_there_at_once(self):
        self.in_the_way([Failed("no answer")], lease=400)
        lease = self.lease()
        self.assertLessEqual(self.gap(lease, 1200), 2)
        self.assertState(lease, MappingState.ACTIVE)

    def test_Q121_what_we_deleted_ourselves_is_not_called_active(self):
        self.router.extends = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.instead = lambda command: Failed("no answer") if self.deletes() else None
        states = set()
        while not self.deletes() or self.now < 1900:
            self.pass_time(lease, 1)
            if self.deletes():
                states.add(lease.status.state)
        self.assertEqual(states, {MappingState.LOST})
