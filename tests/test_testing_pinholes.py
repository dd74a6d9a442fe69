"""The pinholes of the simulated gateway against WANIPv6FirewallControl:1."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ActionError
from txigd.testing import pinholes
from txigd.testing.pinholes import Pinhole, PinholeTable

WISH = Pinhole("2001:db8::10", 8080, 6)


class PinholeTests(SynchronousTestCase):
    def refused(self, code: int, call, *args, **kwargs) -> None:
        self.assertEqual(self.assertRaises(ActionError, call, *args, **kwargs).code, code)

    def test_refusals(self) -> None:
        rows: tuple = (
            ({"internal_client": ""}, 60, 708),
            ({"protocol": 65535}, 60, 707),
            ({"protocol": 1}, 60, 705),
            ({"internal_port": 0}, 60, 706),
            ({"internal_client": "192.0.2.1"}, 60, 600),
            ({"internal_client": "fe80::1%eth0"}, 60, 600),
            ({"remote_host": "example"}, 60, 600),
            ({}, 0, 600),
            ({}, 86_401, 600),
            ({"internal_client": "2001:db8::11"}, 60, 606),
            ({"internal_port": 80}, 60, 606),
        )
        for fields, lease, code in rows:
            table = PinholeTable()
            self.refused(code, table.add, replace(WISH, **fields), lease, now=0, caller="2001:db8::10")
            self.assertEqual(len(table), 0)

    def test_same_values_extend_and_keep_the_id(self) -> None:
        table = PinholeTable()
        first = table.add(WISH, 60, now=0)
        self.assertEqual(table.add(WISH, 60, now=50), first)
        self.assertNotEqual(table.add(replace(WISH, remote_port=1), 60, now=50), first)
        table.expire(60)
        self.assertEqual(table.get(first).expires, 110)
        self.assertEqual(table.next_expiry(), 110)
        table.expire(110)
        self.refused(704, table.get, first)

    def test_update_and_delete(self) -> None:
        table = PinholeTable()
        unique_id = table.add(WISH, 60, now=0)
        table.update(unique_id, 600, now=10)
        self.assertEqual(table.get(unique_id).expires, 610)
        self.refused(600, table.update, unique_id, 0, now=10)
        table.delete(unique_id)
        self.refused(704, table.update, unique_id, 60, now=10)
        self.refused(704, table.delete, unique_id)

    def test_Q193_Q194_only_for_the_caller_and_only_its_own(self) -> None:
        table = PinholeTable()
        ours, other = "2001:db8::10", "2001:db8::11"
        unique_id = table.add(replace(WISH, internal_client="2001:0DB8::10"), 60, now=0, caller=ours)
        self.refused(606, table.add, WISH, 60, now=0, caller=other)
        self.refused(606, table.update, unique_id, 60, now=0, caller=other)
        self.refused(606, table.packets, unique_id, caller=other)
        self.refused(606, table.delete, unique_id, caller=other)
        self.refused(704, table.delete, unique_id + 1, caller=other)
        table.update(unique_id, 60, now=0, caller=ours)
        self.assertEqual(table.packets(unique_id, caller=ours), 0)
        table.delete(unique_id, caller=ours)

    def test_switches(self) -> None:
        for table, code in ((PinholeTable(firewall_enabled=False), 702), (PinholeTable(inbound_allowed=False), 703)):
            self.refused(code, table.add, WISH, 60, now=0)
            self.refused(code, table.delete, 1)

    def test_full(self) -> None:
        self.patch(pinholes, "SIMULATED_PINHOLES", 2)
        table = PinholeTable()
        for port in (1, 2):
            table.add(replace(WISH, internal_port=port), 60, now=0)
        self.refused(701, table.add, replace(WISH, internal_port=3), 60, now=0)
        table.clear()
        self.assertEqual(list(table), [])

    def test_packets_are_counted_while_the_pinhole_is_there(self) -> None:
        table = PinholeTable()
        unique_id = table.add(WISH, 60, now=0)
        self.assertEqual(table.packets(unique_id), 0)
        table.count(unique_id, 3)
        table.add(WISH, 60, now=10)
        table.count(unique_id, (1 << 32) - 1)
        self.assertEqual(table.packets(unique_id), 2, "a ui4")
        table.expire(70)
        self.refused(704, table.packets, unique_id)
        self.refused(704, table.count, unique_id, 1)
        again = table.add(WISH, 60, now=80)
        table.count(again, 1)
        table.delete(again)
        table.clear()
        self.assertEqual(table.packets(table.add(WISH, 60, now=80)), 0)
