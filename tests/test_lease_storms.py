"""Pure: entries that do not last, and how much may be asked of a gateway because of them."""

from __future__ import annotations

from tests.test_lease import LeaseTestCase
from txigd.igd.lease_facts import Delete, MappingState
from txigd.limits import ADDS_FREE, DAY_SECONDS, LIFESPAN_LOSSES, RENEW_FLOOR_SECONDS, RETRY_CEILING_SECONDS

A_DAY_OF_TRIES = ADDS_FREE + 30 + DAY_SECONDS / RETRY_CEILING_SECONDS


class StormCase(LeaseTestCase):
    lifetime = 0.0

    def setUp(self):
        super().setUp()
        put = self.router.put

        def short_lived(port, client, internal, description, now=0.0, lease=0):
            put(port, client, internal, description, now, lease)
            self.vanishes = now + self.lifetime if self.lifetime else float("inf")

        tick = self.router.tick

        def drop(now):
            tick(now)
            if now >= self.vanishes:
                self.router.table.pop(80, None)
                self.router.expiry.pop(80, None)

        self.vanishes = float("inf")
        self.patch(self.router, "put", short_lived)
        self.patch(self.router, "tick", drop)

    def gaps(self, lease, seconds, step=1.0):
        """How long nothing was there, altogether, looked at each second."""
        missing = 0.0
        for _ in range(round(seconds / step)):
            self.pass_time(lease, step)
            self.router.tick(self.now)
            missing += step * (80 not in self.router.table)
        return missing


class StormTests(StormCase):
    def test_D6_F34_a_lease_that_cannot_be_kept_is_not_chased(self):
        for granted in (1, 2, 5, 19):
            with self.subTest(granted=granted):
                self.setUp()
                self.router.grants = granted
                lease = self.lease()
                self.pass_time(lease, 60)
                self.assertLessEqual(len(self.router.adds()), 1 + 60 / RENEW_FLOOR_SECONDS)
                self.assertLessEqual(len(self.router.log), 40)
                self.pass_time(lease, DAY_SECONDS)
                self.assertLess(len(self.router.adds()), A_DAY_OF_TRIES)
                self.assertIn("times in a day", lease.status.reason)

    def test_D6_it_is_kept_again_once_the_gateway_gives_more(self):
        self.router.grants = 1
        lease = self.lease()
        self.pass_time(lease, DAY_SECONDS)
        self.router.grants = None
        self.pass_time(lease, RETRY_CEILING_SECONDS * 1.2)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual(self.gaps(lease, 7200, 10.0), 0)

    def test_D6_Q134_what_is_dropped_again_and_again(self):
        self.lifetime = 5
        lease = self.lease()
        self.pass_time(lease, DAY_SECONDS)
        self.assertLess(len(self.router.adds()), A_DAY_OF_TRIES)
        self.assertGreater(len(self.router.adds()), 200)

    def test_D6_what_is_dropped_and_told_so_at_once(self):
        self.lifetime = 1
        lease = self.lease()
        for _ in range(3600):
            self.pass_time(lease, 1)
            self.router.tick(self.now)
            lease.recheck(self.now)
        self.assertLess(len(self.router.adds()), A_DAY_OF_TRIES)
        self.assertState(lease, MappingState.LOST)
        self.assertIn("times in a day", lease.status.reason)

    def test_F34_a_short_lease_that_is_kept_never_lapses(self):
        for granted in (20, 30, 60, 120):
            with self.subTest(granted=granted):
                self.setUp()
                self.router.grants = granted
                lease = self.lease()
                self.run_to_rest(lease)
                self.assertEqual(self.gaps(lease, 3 * 3600, 1.0), 0)
                self.assertEqual(lease.losses, 0)

    def test_F01_what_restarts_take_is_made_again_at_once(self):
        lease = self.lease()
        for _ in range(300):
            self.pass_time(lease, 20)
            self.router.table.clear()
            self.router.expiry.clear()
            lease.gateway_restarted(self.now)
            self.run_to_rest(lease)
            self.assertState(lease, MappingState.ACTIVE)

    def test_F02_what_lives_for_a_while_is_made_again_at_once(self):
        lease = self.lease()
        for _ in range(300):
            self.pass_time(lease, RETRY_CEILING_SECONDS * 1.1)
            self.router.table.clear()
            self.router.expiry.clear()
            lease.recheck(self.now)
            self.run_to_rest(lease)
            self.assertState(lease, MappingState.ACTIVE)


class LifespanTests(StormCase):
    def test_F34_a_lease_that_is_shown_longer_than_it_was_asked_for_is_not_believed(self):
        self.router.grants = 604_800
        self.lifetime = 3600  # what was asked for, and what it means
        lease = self.lease()
        self.run_to_rest(lease)
        self.assertEqual(self.gaps(lease, 4 * 3600), 0)
        self.assertEqual(len(self.router.adds()), 1 + 8)

    def test_Q121_nor_is_its_renewal_by_deletion(self):
        self.router.grants = 604_800
        lease = self.lease()
        self.pass_time(lease, 4 * 3600)
        self.assertFalse([command for command in self.router.log if isinstance(command, Delete)])

    def test_F34_what_goes_at_one_age_is_renewed_before_it(self):
        for lifetime in (100, 300, 600, 1500):
            with self.subTest(lifetime=lifetime):
                self.setUp()
                self.lifetime = lifetime
                lease = self.lease()
                self.pass_time(lease, (lifetime + 61) * (LIFESPAN_LOSSES + 1))
                self.assertEqual(lease.losses, LIFESPAN_LOSSES)
                self.assertEqual(self.gaps(lease, 20 * lifetime), 0)
                self.assertEqual(lease.losses, LIFESPAN_LOSSES)
                self.assertState(lease, MappingState.ACTIVE)

    def test_F34_losses_at_any_age_teach_nothing(self):
        lease = self.lease()
        for wait in (200, 700, 400, 1300, 900):
            self.pass_time(lease, wait)
            self.router.table.clear()
            self.router.expiry.clear()
            self.pass_time(lease, 61)
        self.router.log.clear()
        self.pass_time(lease, 1700)
        self.assertEqual(self.router.adds(), [])

    def test_F34_restarts_teach_nothing(self):
        lease = self.lease()
        for _ in range(5):
            self.pass_time(lease, 300)
            self.router.table.clear()
            self.router.expiry.clear()
            lease.gateway_restarted(self.now)
        self.run_to_rest(lease)
        self.router.log.clear()
        self.pass_time(lease, 1700)
        self.assertEqual(self.router.adds(), [])


class ShortenedTests(LeaseTestCase):
    def test_F34_a_lease_that_is_shortened_while_it_is_active(self):
        """Without a word, and without a renewal: the next look shows less than was given."""
        lease = self.lease()
        self.run_to_rest(lease)
        self.pass_time(lease, 61)
        self.router.expiry[80] = self.now + 150
        for _ in range(30):
            self.pass_time(lease, 10)
            self.router.tick(self.now)
            self.assertIn(80, self.router.table)
        self.assertState(lease, MappingState.ACTIVE)
        self.assertEqual((len(self.router.adds()), lease.losses), (2, 0))
