"""Pure: a gateway that cannot be read for a while, and one that never can."""

from __future__ import annotations

from tests.test_lease import LeaseTestCase
from txigd.igd.lease_facts import Failed, MappingState, Read
from txigd.limits import BLIND_SECONDS, VERIFY_SECONDS


class ReadableTests(LeaseTestCase):
    def test_F35_what_could_not_be_read_once_is_read_after_the_next_renewal(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.UNVERIFIED)
        self.router.readable = True
        self.pass_time(lease, 1900)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F35_and_is_looked_after_again_from_then_on(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.readable = True
        self.pass_time(lease, 1900)
        self.router.table.clear()
        self.pass_time(lease, 70)
        self.assertIn(80, self.router.table)

    def test_F35_what_never_can_be_read_is_asked_once_a_renewal(self):
        self.router.readable = False
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.log.clear()
        self.pass_time(lease, 3600 * 5)
        self.assertEqual(len(self.router.adds()), 10)
        self.assertLessEqual(len(self.router.log), 20)

    def test_F35_however_long_the_lease_it_is_added_again_blindly_now_and_then(self):
        for seconds in (0, 604_800):
            with self.subTest(lease=seconds):
                self.setUp()
                self.router.readable = False
                lease = self.lease(lease_seconds=seconds)
                self.run_to_rest(lease)
                self.router.table.clear()
                self.router.expiry.clear()
                self.pass_time(lease, BLIND_SECONDS + 1)
                self.assertIn(80, self.router.table)
                self.pass_time(lease, 86_400)
                self.assertLessEqual(len(self.router.adds()), 3 + 86_400 / BLIND_SECONDS)


class PassingTests(LeaseTestCase):
    """Errors that last for minutes and then pass."""

    def setUp(self):
        super().setUp()
        self.router.readable = False
        self.router.passing = True

    def test_F34_F35_it_is_looked_at_on_time_and_not_added_again_for_that(self):
        for seconds in (3600, 0):
            with self.subTest(lease=seconds):
                self.setUp()
                lease = self.lease(lease_seconds=seconds)
                self.pass_time(lease, 600)
                self.assertState(lease, MappingState.UNVERIFIED)
                self.assertEqual(len(self.router.adds()), 1)
                self.assertGreaterEqual(self.router.log.count(Read(80)), 10)
                self.router.readable = True
                self.pass_time(lease, VERIFY_SECONDS + 1)
                self.assertState(lease, MappingState.ACTIVE)
                self.router.table.clear()
                self.router.expiry.clear()
                self.pass_time(lease, VERIFY_SECONDS + 1)
                self.assertIn(80, self.router.table)

    def test_F35_it_is_renewed_meanwhile(self):
        lease = self.lease(lease_seconds=200)
        self.run_to_rest(lease)
        for _ in range(60):
            self.pass_time(lease, 60)
            self.router.tick(self.now)
            self.assertIn(80, self.router.table)
        self.assertState(lease, MappingState.UNVERIFIED)

    def test_Q116_what_was_seen_and_cannot_be_read_any_more_may_be_gone(self):
        self.router.readable = True
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.readable = False
        self.router.table.clear()
        self.router.expiry.clear()
        self.pass_time(lease, VERIFY_SECONDS + 1)
        self.assertIn(80, self.router.table)

    def test_F34_an_error_at_the_read_back_is_over_with_the_next_look(self):
        for seconds in (3600, 0):
            with self.subTest(lease=seconds):
                self.setUp()
                self.router.readable = True
                lease = self.lease(lease_seconds=seconds)
                for _ in range(2):
                    lease.learn(self.router.answer(lease.next(0.0), 0.0), 0.0)
                self.assertEqual(lease.next(0.0), Read(80))
                lease.learn(Failed("error 501"), 0.0)
                self.pass_time(lease, 2)
                self.assertState(lease, MappingState.ACTIVE)
                self.assertEqual(len(self.router.adds()), 1)
