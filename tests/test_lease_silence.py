"""Pure: a gateway that does not answer for a while, and a mapping that lives through it."""

from __future__ import annotations

from tests.test_lease import LeaseTestCase
from txigd.igd.lease_facts import Add, Delete, Failed, MappingState, Read, Rest
from txigd.limits import FAILURES_BORNE, RENEWAL_DUE_SECONDS, RETRY_FIRST_SECONDS, VERIFY_SECONDS


class SilenceTests(LeaseTestCase):
    def silence(self, lease, seconds):
        self.router.silent = True
        self.pass_time(lease, seconds)
        self.router.silent = False

    def test_F39_what_survived_is_not_added_again(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.silence(lease, 100)
        self.assertState(lease, MappingState.LOST)
        self.router.log.clear()
        self.pass_time(lease, 100)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(self.router.adds(), [])

    def test_F39_its_renewal_is_on_time_all_the_same(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.silence(lease, 1000)
        self.router.log.clear()
        self.pass_time(lease, 900)
        self.assertEqual(self.router.adds(), [Add(80, 3600)])
        self.assertEqual(self.router.expiry[80] // 3600, 1)

    def test_F45_an_answer_that_got_lost_after_the_renewal(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.now = 1800.0
        lease.learn(self.router.answer(lease.next(self.now), self.now), self.now)
        self.assertEqual(lease.next(self.now), Add(80, 3600))
        self.router.answer(lease.next(self.now), self.now)
        lease.learn(Failed("timed out"), self.now)
        self.router.log.clear()
        self.pass_time(lease, 30)
        self.assertEqual(self.router.log, [Read(80)])
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(lease.status.lease_seconds, 3599)

    def test_an_entry_of_ours_that_goes_elsewhere_is_made_right(self):
        lease = self.lease(on_record=lambda entry: entry.internal_port == 81)
        self.run_to_rest(lease)
        self.silence(lease, 100)
        self.router.put(80, "192.168.1.7", 81, self.router.table[80].description)
        self.pass_time(lease, 100)
        self.assertEqual(self.router.table[80].internal_port, 80)

    def test_F46_tries_come_closer_as_the_end_does(self):
        for seconds in (60, 3600):
            with self.subTest(lease=seconds):
                self.setUp()
                lease = self.lease(lease_seconds=seconds)
                self.run_to_rest(lease)
                self.router.silent = True
                self.now = seconds * 0.5
                while self.now < seconds:
                    left = seconds - self.now
                    until = self.run_to_rest(lease).until
                    self.assertLessEqual(until - self.now, max(RETRY_FIRST_SECONDS, left / 4) + 1e-6)
                    self.now = until

    def test_F46_what_ran_out_is_no_retry_storm(self):
        lease = self.lease(lease_seconds=60)
        self.run_to_rest(lease)
        self.silence(lease, 86_400)
        self.assertLess(len(self.router.log), 350)


class DueTests(LeaseTestCase):
    """By when a step should be done, with others waiting for the same gateway (F46)."""

    def step(self, lease):
        lease.learn(self.router.answer(lease.next(self.now), self.now), self.now)
        return lease.next(self.now)

    def due(self, lease):
        due = lease.due_by(self.now)
        return None if due is None else due - self.now

    def test_F46_a_new_mapping_waits_like_everybody(self):
        lease = self.lease(lease_seconds=60)
        self.assertIsInstance(lease.next(0), Read)
        self.assertIsNone(lease.due_by(0))
        self.assertIsInstance(self.step(lease), Add)
        self.assertIsNone(lease.due_by(0))
        self.assertIsInstance(self.step(lease), Read)
        self.assertIsNone(lease.due_by(0))

    def test_F46_a_renewal_is_due_before_a_look_and_at_the_end_of_the_lease_at_the_latest(self):
        for seconds, late, due in ((3600, 0, RENEWAL_DUE_SECONDS), (3600, 1790, 10), (60, 0, 30), (60, 20, 10)):
            with self.subTest(lease=seconds, late=late):
                self.setUp()
                lease = self.lease(lease_seconds=seconds)
                self.run_to_rest(lease)
                self.now = seconds / 2 + late
                self.assertIsInstance(lease.next(self.now), Read)
                self.assertAlmostEqual(self.due(lease), due, delta=1)
                self.assertIsInstance(self.step(lease), Add)
                self.assertAlmostEqual(self.due(lease), due, delta=1)
                self.assertIsInstance(self.step(lease), Read)
                self.assertEqual(self.due(lease), RENEWAL_DUE_SECONDS, "it stands for another lease already")

    def test_F46_a_look_gives_way_until_the_renewal(self):
        for seconds, due in ((3600, VERIFY_SECONDS), (600, VERIFY_SECONDS), (200, 100 - VERIFY_SECONDS), (140, 30)):
            with self.subTest(lease=seconds):
                self.setUp()
                lease = self.lease(lease_seconds=seconds)
                self.run_to_rest(lease)
                self.now = VERIFY_SECONDS
                self.assertIsInstance(lease.next(self.now), Read)
                self.assertAlmostEqual(self.due(lease), due, delta=1)

    def test_F46_what_is_gone_or_ran_out_waits_like_everybody(self):
        lease = self.lease(lease_seconds=600)
        self.run_to_rest(lease)
        self.now = VERIFY_SECONDS
        lease.next(self.now)
        self.router.table.clear()
        self.assertIsInstance(self.step(lease), Add)
        self.assertIsNone(lease.due_by(self.now))
        lease = self.lease(lease_seconds=600)
        self.run_to_rest(lease)
        self.now += 700
        lease.next(self.now)
        self.assertIsNone(lease.due_by(self.now))


class FewFailuresTests(LeaseTestCase):
    """Calls fail now and then; what is there until its lease ends is not lost by that."""

    def command_fails(self, lease, text="no answer"):
        """The next command fails; returns when the next try is due."""
        lease.learn(Failed(text), self.now)
        rest = lease.next(self.now)
        assert isinstance(rest, Rest)
        return rest.until

    def until_read(self, lease):
        rest = self.run_to_rest(lease)
        self.now = rest.until
        self.assertEqual(lease.next(self.now), Read(80))

    def test_F46_few_failed_reads_leave_it_active(self):
        for lease_seconds in (3600, 0):
            with self.subTest(lease=lease_seconds):
                self.setUp()
                lease = self.lease(lease_seconds=lease_seconds)
                self.until_read(lease)
                for _ in range(FAILURES_BORNE):
                    lease.next(self.now)
                    until = self.command_fails(lease)
                    self.assertState(lease, MappingState.ACTIVE)
                    self.assertEqual((lease.status.reason, lease.status.next_attempt), ("no answer", until))
                    self.assertEqual(lease.status.lease_seconds, lease_seconds)
                    self.now = until
                lease.next(self.now)
                self.command_fails(lease)
                self.assertState(lease, MappingState.LOST)

    def test_F46_a_failed_read_is_over_with_the_next_answer(self):
        lease = self.lease()
        for _ in range(5):
            self.until_read(lease)
            for _ in range(FAILURES_BORNE):
                self.now = self.command_fails(lease)
                self.assertEqual(lease.next(self.now), Read(80))
            self.run_to_rest(lease)
            self.assertState(lease, MappingState.ACTIVE)
            self.assertEqual(lease.status.reason, "")
        self.assertEqual(len(self.router.adds()), 1, "nothing added again")

    def test_F46_what_may_have_run_out_is_lost_at_once(self):
        lease = self.lease(lease_seconds=60)
        self.until_read(lease)
        self.now = 60.0
        self.command_fails(lease)
        self.assertState(lease, MappingState.LOST)

    def test_F45_a_renewal_without_an_answer_leaves_it_active(self):
        lease = self.lease()
        self.run_to_rest(lease)
        self.now = 1800.0
        lease.learn(self.router.answer(lease.next(self.now), self.now), self.now)
        self.assertEqual(lease.next(self.now), Add(80, 3600))
        self.now = self.command_fails(lease)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(lease.next(self.now), Read(80), "it is read before it is written")

    def test_F35_what_cannot_be_read_stays_unverified(self):
        self.router.readable = False
        lease = self.lease()
        rest = self.run_to_rest(lease)
        self.now = rest.until
        self.assertEqual(lease.next(self.now), Add(80, 3600))
        self.command_fails(lease)
        self.assertState(lease, MappingState.UNVERIFIED)

    def test_Q121_a_failed_delete_may_have_been_done(self):
        self.router.extends = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.now = 1800.0
        while not isinstance(lease.next(self.now), Delete):
            lease.learn(self.router.answer(lease.next(self.now), self.now), self.now)
        self.command_fails(lease)
        self.assertState(lease, MappingState.LOST)


class RefusedRenewalTests(LeaseTestCase):
    """A gateway that refuses a renewal, while the entry is there: there must not be two."""

    def refused(self, code, **fields):
        lease = self.lease(any_port=True, lease_seconds=60, **fields)
        self.run_to_rest(lease)
        self.router.deny["always"] = code
        self.pass_time(lease, 32)
        return lease

    def test_Q124_501_to_a_renewal_is_no_conflict(self):
        for code in (501, 718, 729):
            with self.subTest(code=code):
                self.setUp()
                self.refused(code)
                self.assertLessEqual(len(self.router.table), 1)
                self.assertLessEqual(set(self.router.table), {80})

    def test_Q124_it_comes_back_to_the_same_port(self):
        for code in (501, 718, 729):
            with self.subTest(code=code):
                self.setUp()
                lease = self.refused(code)
                self.router.deny.clear()
                self.pass_time(lease, 400)
                self.assertState(lease, MappingState.ACTIVE)
                self.assertEqual(list(self.router.table), [80])

    def test_Q122_a_port_that_went_to_somebody_else_is_left_to_him(self):
        """The renewal gets 718: what was there a while ago was ours, what is there now is not."""
        lease = self.lease(lease_seconds=100)
        self.run_to_rest(lease)
        self.pass_time(lease, 10)
        lease.recheck(self.now)
        self.run_to_rest(lease)
        self.router.put(80, "192.168.1.99", 80, "theirs")
        self.pass_time(lease, 100)
        self.assertEqual(self.router.table[80].internal_client, "192.168.1.99")
        self.assertState(lease, MappingState.CONFLICT)

    def test_D6_what_can_be_neither_renewed_nor_read_is_no_storm(self):
        for code in (501, 718, 729):
            with self.subTest(code=code):
                self.setUp()
                lease = self.lease(lease_seconds=100)
                self.run_to_rest(lease)
                self.router.deny["always"] = code
                self.router.readable = False
                self.router.log.clear()
                self.pass_time(lease, 3600)
                self.assertLess(len(self.router.log), 60)
