"""Pure: errors that pass by themselves, and what a mapping must not do because of them."""

from __future__ import annotations

from tests.test_lease import LeaseTestCase
from txigd.igd.lease_facts import Add, MappingState, Read
from txigd.limits import POLL_SECONDS, PORT_DOUBT_SECONDS, PORT_TRIES, RETRY_CEILING_SECONDS

DAY = 86_400


class AilingTests(LeaseTestCase):
    """501: the gateway is not ready yet, or the port is taken; which of them it does not say (Q124, F37)."""

    def setUp(self):
        super().setUp()
        self.line = True

    def flexible(self, **more):
        return self.lease(any_port=True, line_up=lambda: self.line, **more)

    def asked(self):
        return {command.port for command in self.router.log if isinstance(command, (Read, Add))}

    def test_F01_F37_what_was_ours_before_a_restart_comes_back_to_its_port(self):
        for kept in (0, 50_123):
            with self.subTest(kept=kept):
                self.setUp()
                lease = self.flexible(kept=kept)
                self.run_to_rest(lease)
                self.router.table.clear()
                self.router.expiry.clear()
                self.router.deny["always"] = 501
                lease.gateway_restarted(self.now)
                self.pass_time(lease, DAY)
                self.assertState(lease, MappingState.REFUSED, kept or 80)
                self.router.deny.clear()
                self.pass_time(lease, RETRY_CEILING_SECONDS * 1.2)
                self.assertState(lease, MappingState.ACTIVE, kept or 80)
                self.assertEqual(self.asked(), {kept or 80})

    def test_F01_F37_so_it_does_in_another_life_of_ours(self):
        self.router.deny["always"] = 501
        lease = self.flexible(kept=50_123)
        self.pass_time(lease, 3600)
        self.assertEqual(self.asked(), {50_123})

    def test_F37_while_the_line_is_down_no_port_is_given_up(self):
        self.line = False
        self.router.deny["always"] = 501
        lease = self.flexible()
        self.pass_time(lease, DAY)
        self.assertState(lease, MappingState.REFUSED)
        self.assertEqual(self.asked(), {80})
        self.line = True
        self.router.deny.clear()
        lease.line_came_up(self.now)
        self.run_to_rest(lease)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F37_what_is_refused_after_the_line_came_up_is_tried_again_soon(self):
        self.router.deny["always"] = 501
        lease = self.lease()
        self.pass_time(lease, 3600)
        lease.line_came_up(self.now)
        self.run_to_rest(lease)
        self.router.deny.clear()
        self.pass_time(lease, 5)
        self.assertState(lease, MappingState.ACTIVE)

    def test_F37_what_does_not_pass_is_not_hurried(self):
        self.router.deny["always"] = 606
        lease = self.lease()
        self.run_to_rest(lease)
        self.router.log.clear()
        lease.line_came_up(self.now)
        self.run_to_rest(lease)
        self.assertEqual(self.router.log, [])

    def test_Q124_another_port_when_it_lasts_longer_than_a_line_that_is_down_goes_unnoticed(self):
        self.assertGreater(PORT_DOUBT_SECONDS, POLL_SECONDS)
        self.router.deny["port 80"] = 501
        lease = self.flexible()
        self.pass_time(lease, PORT_DOUBT_SECONDS - 1)
        self.assertState(lease, MappingState.ADDING)
        self.assertIn("501", lease.status.reason)
        self.assertEqual(self.asked(), {80})
        self.pass_time(lease, PORT_DOUBT_SECONDS * 1.5)
        self.assertState(lease, MappingState.ACTIVE, 50_000)

    def test_Q124_D6_the_tries_of_a_day_are_not_spent_in_a_moment(self):
        self.router.deny["always"] = 501
        lease = self.flexible()
        self.pass_time(lease, 600)
        self.assertLessEqual(len(self.asked()), 3)
        self.pass_time(lease, DAY)
        self.assertLessEqual(len(self.asked()), 1 + PORT_TRIES + 1)
        self.assertLess(len(self.router.adds()), 320)
        self.router.deny.clear()
        self.pass_time(lease, RETRY_CEILING_SECONDS * 1.2)
        self.assertState(lease, MappingState.ACTIVE, 80)

    def test_F31_a_port_that_went_to_somebody_else_is_not_come_back_to(self):
        """Nor is a new one given up for 501, as long as there is hope."""
        self.router.put(50_123, "192.168.1.200", 80, "other")
        self.router.deny["always"] = 501
        lease = self.flexible(kept=50_123)
        self.pass_time(lease, 20)
        self.assertEqual(self.asked(), {50_123, 50_000})
        self.router.deny.clear()
        self.pass_time(lease, 30)
        self.assertState(lease, MappingState.ACTIVE, 50_000)
