"""Pure: the last calls for one mapping. What could be read before, and cannot be now, may be a neighbour's by now."""

from __future__ import annotations

from tests.test_lease import OURS, US, LeaseTestCase, Router
from txigd.igd.lease_facts import Deleted, Denied, Done, Failed, Found, MappingState, Read, Rest, Unreadable
from txigd.igd.lease_farewell import Farewell, Step
from txigd.igd.mapping import PortMappingEntry
from txigd.limits import READ_TRIES, RETRY_FIRST_SECONDS

ENTRY = PortMappingEntry("TCP", 80, str(US), 80, OURS)


def farewell(*, made: bool = True, blind: bool = False, runs_out: bool = True, begin: Step = Step.CHECK) -> Farewell:
    return Farewell(begin, 80, made=made, blind=blind, runs_out=runs_out, ours=lambda entry: entry.description == OURS)


class FarewellTests(LeaseTestCase):
    def release(self, lease) -> None:
        lease.release()
        self.pass_time(lease, 60)
        self.assertState(lease, MappingState.RELEASED)

    def test_F37_a_read_that_fails_for_a_moment_is_tried_again_after_a_pause(self):
        lease = self.lease()
        self.run_to_rest(lease)
        lease.release()
        self.assertEqual(lease.next(self.now), Read(80))
        lease.learn(Failed("HTTP status 503"), self.now)
        self.assertEqual(lease.next(self.now), Rest(self.now + RETRY_FIRST_SECONDS))
        self.now += RETRY_FIRST_SECONDS
        self.assertIsInstance(self.run_to_rest(lease), Done)
        self.assertEqual(self.router.table, {})

    def test_F52_not_for_ever(self):
        for step, fact in ((Step.CHECK, Failed("x")), (Step.SEEK, Failed("x")), (Step.DELETE, Failed("x"))):
            last = farewell(begin=step)
            for tries in range(1, READ_TRIES + 1):
                over = last.learn(fact, 10.0 * tries)
                self.assertEqual(over, tries == READ_TRIES, step)

    def test_what_failed_is_not_deleted_blindly(self):
        for permanent in (False, True):
            self.router = Router()
            lease = self.lease(lease_seconds=0 if permanent else 3600)
            self.run_to_rest(lease)
            self.router.put(80, "192.168.1.200", 80, "other")
            self.router.silent = True
            lease.release()
            self.run_to_rest(lease)
            self.now += 10
            self.run_to_rest(lease)
            self.now += 10
            self.assertIsInstance(self.run_to_rest(lease), Done)
            self.assertEqual(self.router.table[80].description, "other")

    def test_what_is_shown_no_more_runs_out_but_where_it_never_would(self):
        for runs_out, blind, made, step in (
            (True, False, True, Step.DONE),
            (False, False, True, Step.DELETE),
            (True, True, True, Step.DELETE),
            (False, True, True, Step.DELETE),
            (False, True, False, Step.DONE),
        ):
            last = farewell(made=made, blind=blind, runs_out=runs_out)
            last.learn(Unreadable(), 0.0)
            self.assertEqual(last._step, step, (runs_out, blind, made))

    def test_F45_a_deletion_that_was_not_answered_is_looked_after(self):
        for fact in (Failed("timed out"), Deleted(gone=False)):
            last = farewell()
            last.learn(Found(ENTRY), 0.0)
            self.assertFalse(last.learn(fact, 0.0))
            self.assertEqual(last.next(RETRY_FIRST_SECONDS), Read(80))
        last = farewell()
        last.learn(Found(ENTRY), 0.0)
        self.assertTrue(last.learn(Denied(606, "not yours"), 0.0))

    def test_a_deletion_is_due_at_once_and_a_look_like_everybodys(self):
        lease = self.lease()
        self.run_to_rest(lease)
        lease.release()
        self.assertIsNone(lease.due_by(self.now))
        lease.learn(Found(self.router.table[80]), self.now)
        self.assertEqual(lease.due_by(self.now), self.now)
