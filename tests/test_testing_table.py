"""The port mapping table of the simulated gateway against the decision tables of IGD:1 and IGD:2."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import ActionError
from txigd.limits import LEASE_CEILING_SECONDS
from txigd.testing.entry import Entry
from txigd.testing.rules import Rules
from txigd.testing.table import MappingTable

ALICE, BOB = "192.0.2.10", "192.0.2.11"


def wish(**fields) -> Entry:
    values = {
        "protocol": "TCP",
        "external_port": 8080,
        "internal_client": ALICE,
        "internal_port": 80,
        "description": "d",
    }
    return Entry(**{**values, **fields})


class TableCase(SynchronousTestCase):
    def refused(self, code: int, call, *args, **kwargs) -> ActionError:
        error = self.assertRaises(ActionError, call, *args, **kwargs)
        self.assertEqual(error.code, code)
        return error


class ConflictTests(TableCase):
    """The requested rule against the one that stands: WANIPConnection:2, table of AddPortMapping."""

    ROWS: tuple = (
        # protocol, external port, remote host, client -> code, entries, any port
        ({"protocol": "UDP"}, 0, 2),
        ({"protocol": "UDP", "internal_client": BOB}, 0, 2),
        ({"external_port": 8081}, 0, 2),
        ({"external_port": 8081, "internal_client": BOB, "remote_host": "198.51.100.1"}, 0, 2),
        ({"remote_host": "198.51.100.1", "internal_client": BOB}, 718, 1),
        ({"remote_host": "198.51.100.1"}, 0, 2),  # the device's choice
        ({"internal_client": BOB}, 718, 1),
        ({"internal_port": 81, "description": "other"}, 0, 1),
    )

    def test_add(self) -> None:
        for version in (1, 2):
            for fields, code, count in self.ROWS:
                table = MappingTable(Rules(version=version))
                table.add(wish(), 60, now=0)
                if code:
                    self.refused(code, table.add, wish(**fields), 60, now=0)
                    self.assertIsNotNone(table.find("TCP", 8080), fields)
                else:
                    table.add(wish(**fields), 60, now=0)
                self.assertEqual(len(table), count, (version, fields))

    def test_add_any(self) -> None:
        for fields, code, _ in self.ROWS:
            table = MappingTable()
            table.add(wish(), 60, now=0)
            stored = table.add_any(wish(**fields), 60, now=0)
            wanted = wish(**fields).external_port
            self.assertEqual(stored.external_port != wanted, bool(code), fields)
            self.assertIs(table.find(stored.protocol, stored.external_port, stored.remote_host), stored)

    def test_overwrite_replaces_everything(self) -> None:
        table = MappingTable()
        table.add(wish(), 60, now=0)
        table.add(wish(internal_port=81, enabled=False, description="new"), 120, now=5)
        entry = table.find("TCP", 8080)
        assert entry is not None
        self.assertEqual(
            (entry.internal_port, entry.enabled, entry.description, entry.lease_left(5)), (81, False, "new", 120)
        )

    def test_rule_of_another_mechanism(self) -> None:
        for version, code in ((1, 718), (2, 729)):
            table = MappingTable(Rules(version=version))
            table.put(wish(managed=False))
            self.refused(code, table.add, wish(), 60, now=0)
            self.refused(606 if version == 2 else 714, table.delete, "TCP", 8080, "")
            table.clear()
            self.assertEqual(len(table), 1, "a static rule outlives the reboot")

    def test_Q128_reserved_port(self) -> None:
        self.refused(729, MappingTable(Rules(reserved_ports=frozenset({8080}))).add, wish(), 60, now=0)

    def test_Q132_overwrites_another_hosts_mapping(self) -> None:
        table = MappingTable(Rules(version=1, overwrites_all=True))
        table.add(wish(remote_host="198.51.100.1"), 60, now=0)
        table.add(wish(internal_client=BOB), 60, now=0)
        self.assertEqual([entry.internal_client for entry in table], [BOB])

    def test_Q125_full_table(self) -> None:
        for code in (728, 501, 402):
            table = MappingTable(Rules(capacity=1, full_code=code))
            table.add(wish(), 60, now=0)
            table.add(wish(description="again"), 60, now=0)
            self.refused(code, table.add, wish(external_port=1), 60, now=0)
            self.refused(code, table.add_any, wish(internal_client=BOB), 60, now=0)


class ArgumentTests(TableCase):
    ROWS: tuple = (
        # rules, wish, lease, code
        ({}, {"protocol": "tcp"}, 60, 601),
        ({}, {"protocol": "SCTP"}, 60, 601),
        ({"version": 1}, {"protocol": "SCTP"}, 60, 402),
        ({}, {"internal_client": " "}, 60, 715),
        ({}, {"internal_client": "host.example"}, 60, 600),
        ({}, {"internal_client": "0.0.0.0"}, 60, 600),
        ({}, {"internal_client": "224.0.0.1"}, 60, 600),
        ({}, {"internal_client": "255.255.255.255"}, 60, 600),
        ({}, {"internal_client": "255.255.255.255", "protocol": "UDP"}, 60, 0),
        ({}, {"remote_host": "somewhere"}, 60, 600),
        ({}, {"internal_port": 0}, 60, 732),
        ({"version": 1}, {"internal_port": 0}, 60, 402),
        ({}, {"external_port": 0}, 60, 716),
        ({"wildcard_port": True}, {"external_port": 0}, 60, 0),
        ({"wildcard_port": True}, {"external_port": 0, "internal_port": 0}, 60, 0),
        ({"wildcard_port_only": True}, {}, 60, 727),
        ({"wildcard_port_only": True}, {"external_port": 0}, 60, 0),
        ({"wildcard_remote_host_only": True}, {"remote_host": "198.51.100.1"}, 60, 726),
        ({"wildcard_remote_host_only": True}, {}, 60, 0),
        ({"same_port_only": True}, {}, 60, 724),
        ({"same_port_only": True}, {"internal_port": 8080}, 60, 0),
        ({"permanent_leases_only": True}, {}, 60, 725),
        ({"permanent_leases_only": True}, {}, 0, 0),
        ({"finite_leases_only": True}, {}, 0, 402),
        ({"finite_leases_only": True}, {}, 60, 0),
        ({"secure": True}, {"internal_client": BOB, "internal_port": 8080}, 60, 606),
        ({"secure": True, "version": 1}, {"internal_client": BOB}, 60, 718),
        ({"secure": True}, {"external_port": 443, "internal_port": 8080}, 60, 606),
        ({"secure": True}, {}, 60, 606),
        ({"secure": True, "version": 1}, {}, 60, 0),
        ({"secure": True}, {"internal_port": 8080}, 60, 0),
    )

    def test_rows(self) -> None:
        for rules, fields, lease, code in self.ROWS:
            for add in ("add", "add_any"):
                table = MappingTable(Rules(**rules))
                call = getattr(table, add)
                if code:
                    self.refused(code, call, wish(**fields), lease, now=0, caller=ALICE)
                    self.assertEqual(len(table), 0)
                else:
                    call(wish(**fields), lease, now=0, caller=ALICE)
                    self.assertEqual(len(table), 1, (rules, fields))

    def test_Q120_lease_that_is_granted(self) -> None:
        rows: tuple = (
            ({}, 0, LEASE_CEILING_SECONDS),
            ({}, 1, 1),
            ({}, LEASE_CEILING_SECONDS + 1, LEASE_CEILING_SECONDS),
            ({"version": 1}, 0, 0),
            ({"version": 1}, LEASE_CEILING_SECONDS + 1, LEASE_CEILING_SECONDS + 1),
            ({"min_lease": 120}, 60, 120),
            ({"max_lease": 300}, 3600, 300),
            ({"max_lease": 300}, 0, 300),
            ({"permanent_leases_only": True}, 0, 0),
        )
        for rules, lease, granted in rows:
            stored = MappingTable(Rules(**rules)).add(wish(), lease, now=1000)
            self.assertEqual(stored.lease_left(1000), granted, (rules, lease))


class WildcardTests(TableCase):
    def test_first_writer_wins(self) -> None:
        table = MappingTable(Rules(wildcard_port=True))
        self.assertEqual(table.add_any(wish(external_port=0), 60, now=0).external_port, 0)
        self.refused(718, table.add, wish(external_port=0, internal_client=BOB), 60, now=0)
        self.refused(728, table.add_any, wish(external_port=0, internal_client=BOB), 60, now=0)


class LeaseTests(TableCase):
    def test_counts_down_and_expires(self) -> None:
        table = MappingTable()
        table.add(wish(), 100, now=1000)
        table.add(wish(external_port=8081), 50, now=1000)
        self.assertEqual(table.next_expiry(), 1050)
        self.assertEqual([e.lease_left(1030) for e in table], [70, 20])
        before = table.update_id
        self.assertEqual([e.external_port for e in table.expire(1050)], [8081])
        self.assertEqual((len(table), table.update_id), (1, before + 1))
        self.assertEqual(table.expire(1099.9), [])
        table.expire(1100)
        self.assertEqual((len(table), table.next_expiry()), (0, None))

    def test_disabled_rule_counts_down_too(self) -> None:
        table = MappingTable()
        table.add(wish(enabled=False), 10, now=0)
        self.assertEqual(len(table.expire(10)), 1)

    def test_refresh(self) -> None:
        table = MappingTable()
        table.add(wish(), 100, now=0)
        before = table.update_id
        table.add(wish(), 100, now=90)
        self.assertEqual(table.expire(150), [])
        self.assertEqual(table.update_id, before, "a refresh changes no rule")
        table.add(wish(enabled=False), 100, now=90)
        self.assertEqual(table.update_id, before + 1)

    def test_static_entry_stays(self) -> None:
        table = MappingTable(Rules(version=1))
        table.add(wish(), 0, now=0)
        self.assertEqual(table.expire(10**9), [])
        self.assertEqual(next(iter(table)).lease_left(10**9), 0)


class ReadTests(TableCase):
    def setUp(self) -> None:
        self.table = MappingTable()
        for port, client in ((1000, ALICE), (2000, BOB), (3000, ALICE)):
            self.table.add(wish(external_port=port, internal_client=client), 60, now=0)

    def test_walk(self) -> None:
        self.assertEqual([self.table.generic(i).external_port for i in range(3)], [1000, 2000, 3000])
        self.refused(713, self.table.generic, 3)
        self.table.delete("TCP", 1000, "")
        self.assertEqual(self.table.generic(0).external_port, 2000, "the array compacts")

    def test_specific(self) -> None:
        self.table.add(wish(external_port=4000, remote_host="198.51.100.1"), 60, now=0)
        self.assertEqual(self.table.specific("TCP", 2000, "").internal_client, BOB)
        self.refused(714, self.table.specific, "TCP", 4000, "")
        self.assertEqual(self.table.specific("TCP", 4000, "198.51.100.1").external_port, 4000)
        self.refused(714, self.table.specific, "UDP", 2000, "")
        self.refused(601, self.table.specific, "ICMP", 2000, "")

    def test_list(self) -> None:
        ports = lambda *a: [e.external_port for e in self.table.listed(*a, caller=ALICE)]  # noqa: E731
        self.assertEqual(ports(0, 65535, "TCP", True, 0), [1000, 2000, 3000])
        self.assertEqual(ports(0, 65535, "TCP", False, 0), [1000, 3000])
        self.assertEqual(ports(0, 65535, "TCP", True, 2), [1000, 2000])
        self.assertEqual(ports(2000, 2000, "TCP", True, 0), [2000])
        self.refused(733, self.table.listed, 2, 1, "TCP", True, 0, caller=ALICE)
        self.refused(730, self.table.listed, 1, 2, "TCP", True, 0, caller=ALICE)
        self.refused(601, self.table.listed, 1, 2, "X", True, 0, caller=ALICE)

    def test_delete(self) -> None:
        self.refused(714, self.table.delete, "TCP", 1, "")
        self.refused(714, self.table.delete, "TCP", 1000, "198.51.100.1")  # Q136
        self.assertEqual(self.table.delete("TCP", 2000, "").internal_client, BOB)
        self.assertEqual(len(self.table), 2)

    def test_delete_range_is_one_step(self) -> None:
        before = self.table.update_id
        self.assertEqual(len(self.table.delete_range(0, 65535, "TCP", False, caller=ALICE)), 2)
        self.assertEqual(self.table.update_id, before + 1)
        self.refused(730, self.table.delete_range, 0, 65535, "TCP", False, caller=ALICE)
        self.assertEqual(len(self.table.delete_range(0, 65535, "TCP", True, caller=ALICE)), 1)
        self.refused(733, self.table.delete_range, 9, 8, "TCP", True)

    def test_two_box_rule(self) -> None:
        table = MappingTable(Rules(secure=True))
        table.put(wish(internal_client=BOB))
        table.put(wish(external_port=443))
        table.put(wish(external_port=9000))
        self.refused(606, table.generic, 0, caller=ALICE)
        self.assertEqual(table.generic(1, caller=ALICE).external_port, 443)
        self.refused(606, table.specific, "TCP", 8080, "", caller=ALICE)
        self.refused(606, table.delete, "TCP", 8080, "", caller=ALICE)
        self.refused(606, table.delete, "TCP", 443, "", caller=ALICE)
        self.assertEqual([e.external_port for e in table.listed(0, 65535, "TCP", True, 0, caller=ALICE)], [443, 9000])
        gone = table.delete_range(0, 65535, "TCP", True, caller=ALICE)
        self.assertEqual([e.external_port for e in gone], [9000], "what the caller may not delete is skipped")


class AnyPortTests(TableCase):
    def test_goes_up_and_round(self) -> None:
        table = MappingTable(Rules(reserved_ports=frozenset({65534})))
        table.add(wish(external_port=65533), 60, now=0)
        ports = [table.add_any(wish(external_port=65533, internal_client=BOB), 60, now=0).external_port for _ in "ab"]
        self.assertEqual(ports, [65535, 1024])

    def test_lower_ports_are_not_handed_out(self) -> None:
        table = MappingTable()
        table.add(wish(external_port=80), 60, now=0)
        self.assertEqual(table.add_any(wish(external_port=80, internal_client=BOB), 60, now=0).external_port, 1024)

    def test_no_port_left(self) -> None:
        table = MappingTable(Rules(reserved_ports=frozenset(range(65536))))
        self.refused(728, table.add_any, wish(), 60, now=0)

    def test_membership(self) -> None:
        table = MappingTable()
        stored = table.add(wish(), 60, now=0)
        self.assertIn(stored, table)
        self.assertNotIn(wish(external_port=1), table)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "add_any", "delete", "range", "expire"]),
                st.sampled_from(["TCP", "UDP", "X"]),
                st.integers(0, 5),
                st.sampled_from([ALICE, BOB, ""]),
                st.sampled_from(["", "198.51.100.1"]),
                st.integers(0, 20),
            ),
            max_size=40,
        ),
        st.sampled_from([1, 2]),
        st.booleans(),
    )
    def test_whatever_is_asked(self, steps, version, secure) -> None:
        """One entry per identity, never two clients on one port, update id grows with every change of the set."""
        table = MappingTable(Rules(version=version, capacity=4, secure=secure))
        for now, (verb, protocol, port, client, remote, lease) in enumerate(steps):
            before, id_before = set(table), table.update_id
            entry = Entry(protocol, port * 500, client, 2000, remote)
            try:
                if verb == "add":
                    table.add(entry, lease, now=now, caller=ALICE)
                elif verb == "add_any":
                    table.add_any(entry, lease, now=now, caller=ALICE)
                elif verb == "delete":
                    table.delete(protocol, port * 500, remote, caller=ALICE)
                elif verb == "range":
                    table.delete_range(0, port * 500, protocol, bool(lease % 2), caller=ALICE)
                else:
                    table.expire(now)
            except ActionError:
                self.assertEqual(set(table), before, "a refusal changes nothing")
            self.assertLessEqual(len(table), 4)
            owners: dict = {}
            for stored in table:
                owners.setdefault((stored.protocol, stored.external_port), set()).add(stored.internal_client)
            self.assertTrue(all(len(clients) == 1 for clients in owners.values()))
            if {e.key for e in table} != {e.key for e in before}:
                self.assertGreater(table.update_id, id_before)
