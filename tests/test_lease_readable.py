"""Pure: a gateway that cannot be read for a while, and one that never can."""

from __future__ import annotations

from tests.test_lease import LeaseTestCase
from txigd.igd.lease_facts import MappingState


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
