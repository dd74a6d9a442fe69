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


class RenewalTests(RefusedCase):
    """What stands works until its lease ends, whatever its renewal was answered."""

    def renewals(self, code, times=1000):
        """The next so many adds are refused."""
        left = [code] * times

        def instead(command):
            return Denied(left.pop(), "refused") if isinstance(command, Add) and left else None

        self.instead = instead
        self.router.log.clear()

    def test_F46_one_refusal_of_a_renewal_leaves_no_gap(self):
        for code in (0, 501, 606, 728, -911):
            for granted in (20, 60, 300, 3600):
                with self.subTest(code=code, granted=granted):
                    self.setUp()
                    self.router.grants = granted
                    lease = self.lease()
                    self.run_to_rest(lease)
                    self.renewals(code, 1)
                    states = set()
                    for _ in range(2 * granted):
                        self.assertEqual(self.gap(lease, 1), 0)
                        states.add(lease.status.state)
                    self.assertEqual(states, {MappingState.ACTIVE})
                    self.assertEqual(lease.status.reason, "")

    def test_F46_it_is_active_until_its_lease_ends_and_says_why_it_will_not_be(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.renewals(606)
        self.pass_time(lease, 1810)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertIn("606", lease.status.reason)
        self.assertGreater(lease.status.next_attempt, self.now)
        self.pass_time(lease, 3580 - self.now)
        self.assertState(lease, MappingState.ACTIVE)
        self.pass_time(lease, 40)
        self.assertState(lease, MappingState.REFUSED)
        self.assertLess(len(self.router.adds()), 25)

    def test_F35_so_it_is_where_nothing_can_be_read(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.renewals(606)
        self.pass_time(lease, 3580)
        self.assertState(lease, MappingState.UNVERIFIED)
        self.pass_time(lease, 40)
        self.assertState(lease, MappingState.REFUSED)

    def test_F35_after_a_restart_of_the_gateway_nothing_is_taken_to_be_there_that_nobody_saw(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.renewals(606)
        lease.gateway_restarted(self.now)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.REFUSED)

    def test_Q141_what_leads_elsewhere_does_not_work_however_long_it_lasts(self):
        lease = self.lease(on_record=lambda entry: True)
        self.run_to_rest(lease)
        self.router.put(80, str(US), 81, OURS, self.now, 3600)
        self.renewals(606)
        self.pass_time(lease, 61)
        self.assertState(lease, MappingState.REFUSED)

    def test_Q121_nor_does_what_we_deleted_ourselves(self):
        self.router.extends = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.instead = lambda command: Denied(728, "full") if isinstance(command, Add) and self.deletes() else None
        self.pass_time(lease, 1801)
        self.assertEqual(len(self.deletes()), 1)
        self.assertState(lease, MappingState.REFUSED)

    def test_Q121_what_we_may_not_delete_stands_until_its_lease_ends(self):
        self.router.extends = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.instead = lambda command: Denied(606, "not authorized") if isinstance(command, Delete) else None
        self.pass_time(lease, 3500)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertLess(len(self.deletes()), 6)
        self.pass_time(lease, 200)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(lease.status.reason, "")

    def test_F46_refused_renewals_and_one_lost_packet_are_no_loss(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.instead = lambda command: Denied(501, "ActionFailed") if isinstance(command, Add) else None
        while not lease.status.reason:
            self.pass_time(lease, 1)
        self.pass_time(lease, 200)
        lost = [Failed("one lost packet")]
        self.instead = lambda command: Denied(501, "") if isinstance(command, Add) else lost.pop() if lost else None
        while lost:
            self.pass_time(lease, 1)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F37_a_renewal_that_501_refused_is_tried_again_when_the_line_is_up(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.renewals(501)
        self.pass_time(lease, 2400)
        self.assertState(lease, MappingState.ACTIVE)
        self.renewals(501, 0)
        lease.line_came_up(self.now)
        self.run_to_rest(lease)
        self.assertEqual(len(self.router.adds()), 1)
        self.router.log.clear()
        lease.line_came_up(self.now)
        self.run_to_rest(lease)
        self.assertEqual(self.router.log, [], "what works is left alone")

    def test_D6_refusals_of_many_at_once_are_not_tried_again_at_once(self):
        """All mappings of a house are refused in the same second; their next tries are spread."""
        for code in (606, 718, 728):
            rests = set()
            for spread in (-1.0, -0.5, 0.0, 0.5, 1.0):
                self.setUp()
                self.router.deny["always"] = code
                lease = self.lease(spread=spread)
                rests.add(self.run_to_rest(lease).until)
            self.assertEqual(len(rests), 5)
            self.assertEqual((min(rests), max(rests)), (RETRY_CEILING_SECONDS * 0.9, RETRY_CEILING_SECONDS * 1.1))


class LongerLeaseTests(RefusedCase):
    """402 may be about the lease (Q118), or mean that the table is full (Q125)."""

    def denied(self, refuses):
        self.instead = lambda command: (
            Denied(402, "Invalid Args") if isinstance(command, Add) and refuses(command.lease_seconds) else None
        )

    def asked(self):
        return [add.lease_seconds for add in self.router.adds()]

    def test_Q125_F53_a_table_that_was_full_leaves_no_longer_lease_behind(self):
        for full_for in (10, 310, 910, 1210):
            with self.subTest(full_for=full_for):
                self.setUp()
                self.denied(lambda seconds, until=full_for: self.now < until)
                lease = self.lease()
                self.pass_time(lease, full_for + RETRY_CEILING_SECONDS * 1.2 + 1900)
                self.assertState(lease, MappingState.ACTIVE)
                self.assertEqual(self.asked()[-1], 3600)
                self.assertLessEqual(self.router.expiry[80] - self.now, 3600)
                self.assertEqual((self.deletes(), lease.losses), ([], 0))

    def test_Q125_nor_does_one_refusal_on_the_way(self):
        self.denied(lambda seconds: len(self.router.adds()) < 1)
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertEqual(self.asked(), [3600, 0])
        self.assertEqual(self.gap(lease, 4000), 0)
        self.assertEqual(self.asked(), [3600, 0, 3600, 3600])
        self.assertEqual(lease.status.lease_seconds, 3600)

    def test_Q118_what_is_about_the_lease_is_asked_once_more(self):
        for taken in (0, 604_800):
            with self.subTest(taken=taken):
                self.setUp()
                self.denied(lambda seconds, taken=taken: seconds != taken)
                lease = self.lease()
                self.pass_time(lease, 7 * DAY_SECONDS)
                self.assertEqual(self.asked().count(3600), 2)
                self.assertEqual(lease.status.lease_seconds, taken)
                self.assertLess(len(self.router.adds()), 20)
                self.assertEqual((self.deletes(), lease.losses), ([], 0))

    def test_Q118_Q125_it_is_found_although_the_table_was_full_at_first(self):
        self.denied(lambda seconds: self.now < 1000 or seconds != 604_800)
        lease = self.lease()
        self.pass_time(lease, 1000 + 3 * RETRY_CEILING_SECONDS * 1.2)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(lease.status.lease_seconds, 604_800)

    def test_Q125_F51_what_stands_while_the_lease_is_on_trial_may_be_permanent(self):
        self.denied(lambda seconds: len(self.router.adds()) < 1)
        lease = self.lease()
        self.run_to_rest(lease)
        self.instead = lambda command: Denied(501, "not now") if isinstance(command, Add) else None
        self.pass_time(lease, 1850)
        self.assertEqual(self.asked()[-1], 3600)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertFalse(lease._term.runs_out)
