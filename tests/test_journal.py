"""Pure: the journal, its octets, and what is adopted, deleted and forgotten after a restart."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import InvalidArgument
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry, JournalPinhole, latest_end
from txigd.igd.lease_facts import Added, Deleted, Denied, Fact, Failed, Found, Missing, Unreadable
from txigd.igd.mapping import PortMapping, PortMappingEntry, tag
from txigd.igd.reconciliation import reconcile
from txigd.limits import (
    DESCRIPTION_TAG_OCTETS,
    JOURNAL_ENTRIES,
    JOURNAL_GATEWAYS,
    JOURNAL_PINHOLES,
    JOURNAL_PORTS,
    JOURNAL_SEEN_SECONDS,
    JOURNAL_SLACK_SECONDS,
    LEASE_CEILING_SECONDS,
    LOCATION_OCTETS,
    STATE_OCTETS,
    USN_OCTETS,
)

US = ipaddress.IPv4Address("192.168.1.7")
OLD_US = ipaddress.IPv4Address("192.168.1.50")
HOST = "0a1b2c3d"
UDN = "uuid:00000000-0000-0000-0000-000000000001"
WEB = PortMapping("TCP", 8080, description="web")
GAME = PortMapping("UDP", 5000, any_port=True, description="game")


def made(wanted=WEB, port=0, client=US, description=""):
    """The record of a wanted mapping."""
    return JournalEntry.of(
        wanted, port or wanted.wanted_port, client=client, description=description or tag(HOST, wanted.description)
    )


def shown(wanted=WEB, port=0, client=US, description=None, **fields):
    """The entry of a wanted mapping as the gateway shows it."""
    return PortMappingEntry(
        wanted.protocol,
        port or wanted.wanted_port,
        str(client),
        wanted.internal_port,
        tag(HOST, wanted.description) if description is None else description,
        **{"lease_seconds": 3600, **fields},
    )


def journal_with(*entries, now=1000.0, lease_seconds=3600):
    journal = Journal("run-1")
    for entry in entries:
        journal.will_add(UDN, entry, lease_seconds=lease_seconds, now=now)
        journal.added(UDN, entry, lease_seconds=lease_seconds, now=now)
    return journal


def content(journal):
    """Everything that a journal tells."""
    return (
        {udn: (journal.entries(udn), journal.pinholes(udn)) for udn in journal.udns},
        journal.pinned(),
        dict(journal._ports),
    )


class Operations(SynchronousTestCase):
    def setUp(self):
        self.changes: list[bool] = []
        self.journal = Journal("run-1", on_change=self.changes.append)

    def test_F53_written_ahead_before_it_is_sent(self):
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.2)
        self.assertEqual(self.changes, [True])
        (entry,) = self.journal.entries(UDN)
        self.assertFalse(entry.sure)
        self.assertEqual(entry.expires, 1001 + 3600 + JOURNAL_SLACK_SECONDS)

    def test_answered(self):
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.added(UDN, made(), lease_seconds=3600, now=1001.0)
        (entry,) = self.journal.entries(UDN)
        self.assertTrue(entry.sure)
        self.assertEqual(self.changes, [True, False])

    def test_a_renewal_need_not_be_written_ahead(self):
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.added(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=2800.0)
        self.assertEqual(self.changes, [True, False, False])
        (entry,) = self.journal.entries(UDN)
        self.assertTrue(entry.sure)
        self.assertEqual(entry.expires, 2800 + 3600 + JOURNAL_SLACK_SECONDS)

    def test_Q117_finite_turned_permanent_is_written_ahead(self):
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.will_add(UDN, made(), lease_seconds=0, now=1001.0)
        self.assertEqual(self.changes, [True, True])
        self.assertIsNone(self.journal.entries(UDN)[0].expires)
        # and a shorter lease that is asked for now does not make the permanent one of before end
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1002.0)
        self.assertIsNone(self.journal.entries(UDN)[0].expires)

    def test_refused_is_taken_back_but_not_what_was_made_before(self):
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.not_added(UDN, made())
        self.assertEqual(self.journal.entries(UDN), ())
        self.assertEqual(self.journal.udns, ())
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.added(UDN, made(), lease_seconds=3600, now=1000.0)
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=2000.0)
        self.journal.not_added(UDN, made())
        self.assertEqual(len(self.journal.entries(UDN)), 1)

    def test_F14_old_target_stays_on_record_until_the_new_one_is_answered(self):
        self.journal.will_add(UDN, made(client=OLD_US), lease_seconds=3600, now=1000.0)
        self.journal.added(UDN, made(client=OLD_US), lease_seconds=3600, now=1000.0)
        self.journal.will_add(UDN, made(), lease_seconds=3600, now=1100.0)
        self.assertEqual({e.internal_client for e in self.journal.entries(UDN)}, {str(OLD_US), str(US)})
        self.journal.added(UDN, made(), lease_seconds=3600, now=1100.0)
        self.assertEqual({e.internal_client for e in self.journal.entries(UDN)}, {str(US)})

    def test_Q136_remote_host_is_part_of_the_place(self):
        wanted = replace(WEB, remote_host=ipaddress.IPv4Address("198.51.100.9"))
        self.journal.will_add(UDN, made(wanted), lease_seconds=3600, now=1000.0)
        self.journal.deleted(UDN, made().slot)
        self.assertEqual(self.journal.entries(UDN)[0].remote_host, "198.51.100.9")
        self.journal.deleted(UDN, made(wanted).slot)
        self.assertEqual(self.journal.entries(UDN), ())

    def test_every_answer_of_a_gateway(self):
        unsure, sure = (False,), (True,)
        table: list[tuple[Fact, tuple[bool, ...]]] = [
            (Added(), sure),
            (Denied(718, "taken"), ()),
            (Denied(0, "HTTP status 500"), unsure),
            (Failed("timeout"), unsure),  # F45
            (Unreadable(), unsure),
            (Missing(), ()),
            (Deleted(), ()),
            (Found(shown()), sure),
            (Found(shown(client=OLD_US)), ()),
        ]
        for fact, left in table:
            journal = Journal()
            journal.will_add(UDN, made(), lease_seconds=3600, now=0.0)
            journal.learn(UDN, made(), fact, lease_seconds=3600, now=1.0)
            self.assertEqual(tuple(entry.sure for entry in journal.entries(UDN)), left, fact)

    def test_found_of_what_is_not_on_record_changes_nothing(self):
        self.journal.found(UDN, shown(), now=1.0)
        self.assertEqual((self.journal.udns, self.changes), ((), []))

    def test_Q156_lease_that_is_not_told_is_taken_for_permanent(self):
        journal = journal_with(made())
        journal.found(UDN, shown(lease_seconds=0, description="UPnP"), now=1001.0)
        self.assertIsNone(journal.entries(UDN)[0].expires)
        self.assertEqual(journal.entries(UDN)[0].shown, "UPnP")

    def test_Q140_external_port_is_kept_for_those_that_take_any(self):
        self.journal.keep_port(GAME, 50_001)
        self.journal.keep_port(GAME, 50_001)
        self.assertEqual(self.changes, [False])
        self.assertEqual(self.journal.port_for(GAME), 50_001)
        self.journal.keep_port(WEB, 50_002)
        self.assertEqual(self.journal.port_for(WEB), 0)
        # configured afresh to be a must: the port of before is no suggestion
        self.assertEqual(self.journal.port_for(replace(GAME, any_port=False)), 0)

    def test_gateways_are_pinned_to_the_hour(self):
        self.journal.pin(UDN, "http://192.168.1.1:5000/a.xml", now=100.0)
        self.journal.pin(UDN, "http://192.168.1.1:5000/a.xml", now=200.0)
        self.assertEqual(len(self.changes), 1)
        self.journal.pin(UDN, "http://192.168.1.1:6000/a.xml", now=300.0)
        self.journal.pin(UDN, "http://192.168.1.1:6000/a.xml", now=300.0 + JOURNAL_SEEN_SECONDS)
        self.assertEqual(len(self.changes), 3)
        self.journal.pin("uuid:2", "http://192.168.2.1/", now=9000.0)
        self.assertEqual([gateway.udn for gateway in self.journal.pinned()], ["uuid:2", UDN])

    def test_pinholes(self):
        hole = JournalPinhole(7, 6, "2001:db8::7", 8080, "", 0, 4000)
        self.journal.pinhole_opened(UDN, hole)
        self.assertEqual(self.changes, [True])
        self.assertEqual(self.journal.pinholes(UDN), (hole,))
        self.assertEqual(Journal.decode(self.journal.encode(0.0), boot="run-1", now=1.0).pinholes(UDN), (hole,))
        self.journal.expire(4000.0)
        self.assertEqual(self.journal.pinholes(UDN), ())
        self.journal.pinhole_opened(UDN, hole)
        self.journal.pinhole_closed(UDN, replace(hole, unique_id=0))
        self.assertEqual(self.journal.udns, ())

    def test_pinholes_are_written_ahead(self):
        ahead = JournalPinhole(0, 6, "2001:db8::7", 8080, "", 0, 4000)
        self.journal.will_open(UDN, ahead)
        self.assertEqual((self.changes, self.journal.pinholes(UDN)), ([True], (ahead,)))
        self.journal.not_opened(UDN, ahead)
        self.assertEqual(self.journal.udns, ())
        self.journal.will_open(UDN, ahead)
        self.journal.pinhole_opened(UDN, replace(ahead, unique_id=7))
        self.assertEqual(self.changes[-1], True)
        self.journal.pinhole_opened(UDN, replace(ahead, unique_id=7))
        self.assertEqual(self.changes[-1], False, "a renewal")
        self.journal.will_open(UDN, replace(ahead, expires=3000))
        self.assertEqual(self.changes[-1], False)
        self.assertEqual(self.journal.pinholes(UDN), (replace(ahead, unique_id=7),), "the longer of two leases")
        self.journal.not_opened(UDN, ahead)
        self.assertEqual(len(self.journal.pinholes(UDN)), 1, "one that was opened earlier stays")
        other = replace(ahead, unique_id=7, internal_port=8081)
        self.journal.pinhole_opened(UDN, other)
        nameless = replace(ahead, unique_id=0)
        self.assertEqual(self.journal.pinholes(UDN), (nameless, other), "its number belongs to another one now")

    def test_no_record_of_what_is_never_sent(self):
        good = made()
        for wrong in (
            {"external_port": 0},  # D5
            {"external_port": True},
            {"internal_client": "router.lan"},
            {"internal_client": "010.0.0.1"},
            {"protocol": "ICMP"},
            {"description": "x" * 64},
            {"description": "\ud800"},
            {"expires": 1.5},
        ):
            with self.assertRaises(InvalidArgument, msg=str(wrong)):
                replace(good, **wrong)


class Bounds(SynchronousTestCase):
    def test_D3_the_fullest_journal_fits_the_file(self):
        journal = Journal("b" * 36)
        quotes = '"\\' * 256  # octets that JSON doubles
        for g in range(JOURNAL_GATEWAYS + 3):
            udn = f"{g:03}" + quotes
            journal.pin(udn, quotes * 2, now=1e9)
            for n in range(JOURNAL_ENTRIES + 3):
                wanted = PortMapping(
                    "UDP", 65_535, 65_000 + n, any_port=True, remote_host=ipaddress.IPv4Address("198.51.100.199")
                )
                entry = made(wanted, client=ipaddress.IPv4Address("192.168.100.100"), description=quotes)
                journal.will_add(udn, entry, lease_seconds=LEASE_CEILING_SECONDS, now=1e9)
                journal.found(
                    udn,
                    shown(wanted, client="192.168.100.100", description=quotes, remote_host="198.51.100.199"),
                    now=1e9,
                )
                journal.named(udn, shown(wanted, client="192.168.100.100", remote_host="198.51.100.199"), quotes)
                journal.will_add(udn, entry, lease_seconds=LEASE_CEILING_SECONDS, now=1e9)
                journal.keep_port(replace(wanted, internal_port=1 + n + 70 * g), 65_535)
            for n in range(JOURNAL_PINHOLES + 3):
                address = "2001:db8:1111:2222:3333:4444:5555:6666"
                journal.pinhole_opened(udn, JournalPinhole(n, 65_535, address, 65_535, address, 60_000 + n, 2 * 10**9))
        octets = journal.encode(1e9)
        self.assertLess(len(octets), STATE_OCTETS)
        again = Journal.decode(octets, boot="b" * 36, now=1e9)
        self.assertEqual((again.damage, content(again)), ("", content(journal)))
        self.assertEqual(len(again.udns), JOURNAL_GATEWAYS)
        self.assertTrue(again.udns[-1].startswith("018"))
        self.assertEqual(len(again.udns[-1]), USN_OCTETS)
        self.assertEqual(len(again.entries(again.udns[-1])), JOURNAL_ENTRIES)
        self.assertEqual(len(again.entries(again.udns[-1])[0].shown), DESCRIPTION_TAG_OCTETS)
        self.assertEqual(len(again.entries(again.udns[-1])[0].named), DESCRIPTION_TAG_OCTETS)
        self.assertEqual(len(again.pinholes(again.udns[-1])), JOURNAL_PINHOLES)
        self.assertEqual(len(again.pinned()), JOURNAL_GATEWAYS)
        self.assertEqual(len(again.pinned()[0].location), LOCATION_OCTETS)
        self.assertEqual(len(again._ports), JOURNAL_PORTS)

    def test_what_ends_by_itself_is_dropped_before_what_is_permanent(self):
        journal = Journal()
        permanent = made(replace(WEB, external_port=1))
        journal.will_add(UDN, permanent, lease_seconds=0, now=0.0)
        for port in range(2, JOURNAL_ENTRIES + 3):
            journal.will_add(UDN, made(replace(WEB, external_port=port)), lease_seconds=3600, now=0.0)
        ports = [entry.external_port for entry in journal.entries(UDN)]
        self.assertEqual(len(ports), JOURNAL_ENTRIES)
        self.assertIn(1, ports)
        self.assertNotIn(2, ports)
        for n in range(JOURNAL_GATEWAYS + 2):
            journal.will_add(f"uuid:{n}", made(), lease_seconds=3600, now=0.0)
        self.assertEqual(len(journal.udns), JOURNAL_GATEWAYS)
        self.assertIn(UDN, journal.udns)

    def test_text_of_a_gateway_is_made_plain(self):
        journal = Journal()
        udn = "uuid:\ud800\n\x1b[2Jä" * 200
        journal.will_add(udn, made(), lease_seconds=3600, now=0.0)
        journal.pin(udn, "http://\udfff/", now=0.0)
        again = Journal.decode(journal.encode(0.0), now=0.0)
        self.assertEqual(again.damage, "")
        self.assertEqual(len(again.entries(udn)), 1)


class Clocks(SynchronousTestCase):
    def test_F19_time_goes_on_in_the_same_run_of_the_host(self):
        octets = journal_with(made(), now=1000.0).encode(1000.0)
        later = Journal.decode(octets, boot="run-1", now=1000.0 + 3600)
        self.assertEqual(later.entries(UDN)[0].expires, 4600 + JOURNAL_SLACK_SECONDS)
        gone = Journal.decode(octets, boot="run-1", now=4600.0 + JOURNAL_SLACK_SECONDS)
        self.assertEqual((gone.damage, gone.udns), ("", ()))

    def test_F19_after_a_restart_of_the_host_nothing_has_run_out_yet(self):
        octets = journal_with(made(), now=1000.0).encode(1600.0)
        for boot, now in (("run-2", 5.5), ("run-2", 90_000.0), ("", 1700.0), ("run-1", 1500.0)):
            again = Journal.decode(octets, boot=boot, now=now)
            left = (again.entries(UDN)[0].expires or 0) - now
            self.assertGreaterEqual(left, 3000 + JOURNAL_SLACK_SECONDS, boot)
            self.assertLess(left, 3001 + JOURNAL_SLACK_SECONDS, boot)

    def test_F19_runs_without_a_name_cannot_be_told_apart(self):
        journal = Journal("")
        journal.will_add(UDN, made(), lease_seconds=3600, now=0.0)
        again = Journal.decode(journal.encode(0.0), boot="", now=1e6)
        self.assertEqual(again.entries(UDN)[0].expires, 1_000_000 + 3600 + JOURNAL_SLACK_SECONDS)

    @given(
        lease=st.integers(1, LEASE_CEILING_SECONDS),
        start=st.floats(0, 1e8),
        pauses=st.lists(st.tuples(st.floats(0, 1e6), st.booleans(), st.floats(0, 1e5)), max_size=4),
    )
    @settings(max_examples=200, deadline=None)
    def test_F19_never_thought_gone_before_it_is(self, lease, start, pauses):
        """However often the process and the host restart, no live entry is forgotten."""
        run, now, lived = 1, start, 0.0
        journal = Journal("run-1")
        journal.will_add(UDN, made(), lease_seconds=lease, now=now)
        for pause, host_restarts, fresh in pauses:
            octets = journal.encode(now)
            lived += pause
            now += pause
            if host_restarts:
                run, now = run + 1, fresh
            journal = Journal.decode(octets, boot=f"run-{run}", now=now)
            self.assertEqual(journal.damage, "")
            if lived < lease:
                self.assertEqual(len(journal.entries(UDN)), 1)

    def test_saving_again_and_again_makes_no_lease_longer(self):
        journal = journal_with(made(), now=1000.5)
        before = journal.entries(UDN)[0].expires
        for n in range(50):
            journal = Journal.decode(journal.encode(1001 + n / 10), boot="run-1", now=1001.05 + n / 10)
        self.assertEqual(journal.entries(UDN)[0].expires, before)

    def test_lease_beyond_the_standard_is_taken_for_permanent(self):
        self.assertIsNone(latest_end(0, 5.0))
        self.assertIsNone(latest_end(2**32 - 1, 5.0))
        self.assertIsNone(latest_end(-1, 5.0))
        self.assertEqual(latest_end(1, 5.1), 7 + JOURNAL_SLACK_SECONDS)


_udns = st.sampled_from([UDN, "uuid:2", "uuid:3"])
_wanted = st.builds(
    PortMapping,
    st.sampled_from(["TCP", "UDP"]),
    st.integers(1, 5),
    st.none() | st.integers(1, 5),
    any_port=st.booleans(),
    remote_host=st.none() | st.just(ipaddress.IPv4Address("198.51.100.1")),
)
_leases = st.sampled_from([0, 1, 3600, LEASE_CEILING_SECONDS])
_clients = st.sampled_from([US, OLD_US])
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("will_add"), _udns, _wanted, _clients, _leases),
        st.tuples(st.just("added"), _udns, _wanted, _clients, _leases),
        st.tuples(st.just("not_added"), _udns, _wanted, _clients, _leases),
        st.tuples(st.just("found"), _udns, _wanted, _clients, st.integers(-1, 2**32)),
        st.tuples(st.just("deleted"), _udns, _wanted, _clients, _leases),
        st.tuples(st.just("pin"), _udns, _wanted, _clients, _leases),
        st.tuples(st.just("port"), _udns, _wanted, _clients, st.integers(1, 65_535)),
        st.tuples(st.just("pinhole"), _udns, _wanted, _clients, st.integers(0, 65_535)),
    ),
    max_size=30,
)


def play(steps, text=""):
    journal = Journal("run-1")
    for now, (what, udn, wanted, client, number) in enumerate(steps):
        entry = made(wanted, client=client, description=text)
        if what == "will_add":
            journal.will_add(udn, entry, lease_seconds=number, now=now)
        elif what == "added":
            journal.added(udn, entry, lease_seconds=number, now=now)
        elif what == "not_added":
            journal.not_added(udn, entry)
        elif what == "found":
            journal.found(udn, shown(wanted, client=client, description=text, lease_seconds=number), now=now)
        elif what == "deleted":
            journal.deleted(udn, entry.slot)
        elif what == "pin":
            journal.pin(udn, f"http://{client}/{text}", now=now * 1800)
        elif what == "port":
            journal.keep_port(wanted, number)
        else:
            journal.pinhole_opened(udn, JournalPinhole(number, 17, "2001:db8::7%eth0", 0, "", number % 7, now + 100))
    return journal


class Octets(SynchronousTestCase):
    @given(_steps, st.text(max_size=80))
    @settings(max_examples=200, deadline=None)
    def test_what_was_written_is_read_again(self, steps, text):
        journal = play(steps, text)
        octets = journal.encode(30.0)
        again = Journal.decode(octets, boot="run-1", now=30.0)
        self.assertEqual((again.damage, content(again)), ("", content(journal)))
        self.assertEqual(again.encode(30.0), octets)

    @given(st.binary(max_size=400))
    @settings(max_examples=300, deadline=None)
    def test_D3_arbitrary_octets_raise_nothing(self, octets):
        self.assertNotEqual(Journal.decode(octets, now=0.0).damage, "")

    @given(_steps, st.data())
    @settings(max_examples=300, deadline=None)
    def test_D3_mutations_raise_nothing(self, steps, data):
        octets = bytearray(play(steps).encode(30.0))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(octets) - 1))
            what = data.draw(st.integers(0, 2))
            if what == 0:
                octets[at] = data.draw(st.integers(0, 255))
            elif what == 1:
                del octets[at : at + data.draw(st.integers(1, 40))]
            else:
                octets[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            if not octets:
                break
        journal = Journal.decode(bytes(octets), boot="run-1", now=30.0)
        if journal.damage:
            self.assertEqual(content(journal), ({}, (), {}))
        else:
            # whatever passed is a journal: it is written, and read to the same
            again = Journal.decode(journal.encode(30.0), boot="run-1", now=30.0)
            self.assertEqual(content(again), content(journal))

    def test_F50_truncated_at_every_length(self):
        octets = journal_with(made(), made(GAME)).encode(1000.0)
        self.assertTrue(octets.endswith(b"}\n"))
        for length in range(len(octets) - 1):
            journal = Journal.decode(octets[:length], boot="run-1", now=1000.0)
            self.assertNotEqual(journal.damage, "", length)
            self.assertEqual(content(journal), ({}, (), {}))

    def test_D3_wrong_types_everywhere(self):
        """Each value of a good file in turn becomes each wrong one."""
        journal = journal_with(made())
        journal.pin(UDN, "http://192.168.1.1/", now=1000.0)
        journal.keep_port(GAME, 50_000)
        journal.pinhole_opened(UDN, JournalPinhole(7, 6, "2001:db8::7", 8080, "", 0, 4000))
        good = journal.encode(1000.0)
        self.assertEqual(Journal.decode(good, boot="run-1", now=1000.0).damage, "")
        wrong: list[object] = [None, True, 1.5, -1, 10**30, "x\n", "é", [], {}, [[]], {"a": 1}, "x" * 600]
        tried = 0
        fits = {  # what is good at some places
            "None": ("expires",),
            "True": ("sure",),
            "-1": ("expires", "seen", "saved"),
            "[]": ("gateways", "entries", "pinholes", "pinned", "ports"),
        }
        for path in list(_paths(json.loads(good))):
            for value in wrong:
                book = json.loads(good)
                _set(book, path, value)
                decoded = Journal.decode(json.dumps(book).encode(), boot="run-1", now=1000.0)
                tried += 1
                if not decoded.damage:
                    self.assertIn(path[-1], fits.get(repr(value), ()), (path, value))
        self.assertGreater(tried, 300)

    def test_D3_hostile_documents(self):
        empty = Journal("").encode(0.0)
        self.assertEqual(Journal.decode(empty, now=0.0).damage, "")
        for octets, word in (
            (b"", "JSON"),
            (b"[" * 200_000, ""),
            (b'{"a":' * 100_000, ""),
            (b"9" * 100_000, ""),
            (b"{}", "not a state file"),
            (b"null", "not a state file"),
            (b"\x80\x04K\x01.", "JSON"),
            (b'cos\nsystem\n(S"id"\ntR.', "JSON"),
            (empty.replace(b'"version": 1', b'"version": 2'), "version 2"),
            (empty.replace(b'"version": 1', b'"version": true'), "version True"),
            (empty.replace(b'"version": 1', b'"version": NaN'), "NaN"),
            (empty.replace(b'"saved": 0', b'"saved": Infinity'), "Infinity"),
            (empty.replace(b'"saved": 0', b'"saved": 1e400'), "time"),
            (empty.replace(b'"saved": 0', b'"saved": 0, "saved": 0'), "twice"),
            (empty.replace(b'"saved": 0', b'"saved": 0, "more": 0'), "record"),
            (empty.replace(b'"ports": []', b'"ports": %s' % (b"[" * 5000 + b"]" * 5000)), ""),
            (empty + b" " * STATE_OCTETS, "octets"),
            (empty.decode().encode("utf-16"), "JSON"),
        ):
            damage = Journal.decode(octets, now=0.0).damage
            self.assertTrue(damage, octets[:40])
            self.assertIn(word, damage)
            self.assertLessEqual(len(damage), 200)

    def test_a_name_is_kept_and_files_of_before_have_none(self):
        journal = journal_with(made())
        self.assertNotIn(b"named", journal.encode(1000.0))
        journal.named(UDN, shown(), "mypc" * 40)
        again = Journal.decode(journal.encode(1000.0), boot="run-1", now=1000.0)
        self.assertEqual((again.damage, content(again)), ("", content(journal)))
        (entry,) = again.entries(UDN)
        self.assertEqual(entry.named, ("mypc" * 40)[:DESCRIPTION_TAG_OCTETS])
        again.will_add(UDN, made(), lease_seconds=3600, now=1000.0)
        again.added(UDN, made(), lease_seconds=3600, now=1000.0)
        self.assertEqual(again.entries(UDN)[0].named, entry.named, "a renewal changes no name")

    def test_twins_are_damage(self):
        book = json.loads(journal_with(made()).encode(1000.0))
        book["gateways"] *= 2
        self.assertIn("twice", Journal.decode(json.dumps(book).encode(), now=0.0).damage)
        book["gateways"] = book["gateways"][:1]
        book["gateways"][0]["entries"] *= 2
        self.assertIn("twice", Journal.decode(json.dumps(book).encode(), now=0.0).damage)

    def test_Q140_ports_survive(self):
        journal = Journal()
        journal.keep_port(GAME, 50_001)
        self.assertEqual(Journal.decode(journal.encode(0.0), now=0.0).port_for(GAME), 50_001)


def _paths(value, path=()):
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _paths(part, (*path, key))


def _set(book, path, value):
    for key in path[:-1]:
        book = book[key]
    book[path[-1]] = value


class Reconciling(SynchronousTestCase):
    def reconcile(self, journal, wanted, table, **more):
        return reconcile(
            journal, UDN, wanted, table, client=US, host_id=HOST, **{"now": 1001.0, "complete": True, **more}
        )

    def outcome(self, *arguments, **more):
        found = self.reconcile(*arguments, **more)
        return (
            [(adoption.wanted, adoption.entry.external_port) for adoption in found.adopt],
            sorted(entry.external_port for entry in found.delete),
            sorted(record.external_port for record in found.forget),
        )

    def test_F53_wanted_adopted_unwanted_deleted_missing_forgotten(self):
        journal = journal_with(made(), made(GAME), made(PortMapping("TCP", 22)))
        table = [shown(), shown(GAME), shown(PortMapping("TCP", 443), client="192.168.1.9", description="nas")]
        self.assertEqual(self.outcome(journal, [WEB], table), ([(WEB, 8080)], [5000], [22]))

    def test_F53_by_tag_when_the_journal_is_lost(self):
        table = [shown(), shown(GAME)]
        self.assertEqual(self.outcome(Journal(), [WEB], table), ([(WEB, 8080)], [5000], []))

    def test_F53_killed_between_sending_and_the_answer(self):
        journal = Journal()
        journal.will_add(UDN, made(), lease_seconds=0, now=1000.0)
        self.assertEqual(self.outcome(journal, [], [shown(lease_seconds=0)]), ([], [8080], []))
        self.assertEqual(self.outcome(journal, [], []), ([], [], [8080]))

    def test_D5_a_name_is_ours_by_a_live_record_only_and_no_other_one_once_it_was_shown(self):
        named = shown(client="mypc")
        self.assertEqual(self.outcome(journal_with(made()), [WEB], [named]), ([(WEB, 8080)], [], []))
        self.assertEqual(self.outcome(journal_with(made()), [], [named], now=90000.0), ([], [], [8080]), "run out")
        for seen in ("mypc", str(US)):
            journal = journal_with(made())
            journal.found(UDN, shown(), now=1000.0)
            if seen != str(US):
                journal.named(UDN, shown(), seen)
            self.assertEqual(self.outcome(journal, [WEB], [shown(client=seen)]), ([(WEB, 8080)], [], []))
            self.assertEqual(self.outcome(journal, [], [shown(client="clone")]), ([], [], [8080]))

    def test_F54_a_mapping_less_in_the_configuration(self):
        journal = journal_with(made(), made(GAME))
        self.assertEqual(self.outcome(journal, [GAME], [shown(), shown(GAME)]), ([(GAME, 5000)], [8080], []))

    def test_configured_to_lead_elsewhere(self):
        wanted = PortMapping("TCP", 8081, 8080)
        self.assertEqual(self.outcome(journal_with(made()), [wanted], [shown()]), ([], [8080], []))

    def test_Q140_many_stale_ones_with_random_ports(self):
        journal = Journal()
        journal.keep_port(GAME, 50_003)
        table = [shown(GAME, port) for port in range(50_000, 50_010)]
        adopted, deleted, _ = self.outcome(journal, [GAME], table)
        self.assertEqual(adopted, [(GAME, 50_003)])
        self.assertEqual(deleted, [port for port in range(50_000, 50_010) if port != 50_003])

    def test_foreign_entries_are_never_named(self):
        journal = journal_with(made())
        foreign = [
            shown(client="192.168.1.9", description="nas"),  # took our port after our lease
            shown(client="192.168.1.9", description=""),
            shown(client="192.168.1.9"),  # another host with our id (a cloned container)
            shown(PortMapping("TCP", 8081, 8080), description="nas"),  # this host, another program
            shown(description="Transmission at 8080"),  # the same, on our very port
            shown(GAME, client=OLD_US),  # tagged, but neither here nor on record
            shown(GAME, description="txigd.ffffffff.game"),  # another instance's tag
            shown(GAME, description=""),
            replace(shown(), external_port=0),  # every port there is
        ]
        for entry in foreign:
            found = self.reconcile(journal, [WEB, GAME], [entry])
            self.assertEqual((found.adopt, found.delete), ((), ()), entry)

    def test_gateway_that_keeps_no_description(self):
        journal = journal_with(made(), made(GAME))
        journal.found(UDN, shown(description="libminiupnpd"), now=1000.0)
        table = [shown(description="libminiupnpd"), shown(GAME, description=" ")]
        self.assertEqual(self.outcome(journal, [WEB], table), ([(WEB, 8080)], [5000], []))

    def test_record_whose_lease_is_over_gives_no_right(self):
        journal = journal_with(made(), now=1000.0)
        late = {"now": 1000.0 + 3600 + JOURNAL_SLACK_SECONDS}
        self.assertEqual(self.outcome(journal, [], [shown(description="")], **late), ([], [], [8080]))
        # our tag does
        self.assertEqual(self.outcome(journal, [], [shown()], **late)[1], [8080])

    def test_F14_entry_that_leads_to_our_address_of_before(self):
        journal = journal_with(made(client=OLD_US))
        self.assertEqual(self.outcome(journal, [WEB], [shown(client=OLD_US)]), ([], [8080], []))

    def test_mapping_for_another_host_that_was_wanted(self):
        nas = replace(WEB, internal_client=ipaddress.IPv4Address("192.168.1.9"))
        journal = journal_with(made(nas, client=nas.internal_client))
        self.assertEqual(self.outcome(journal, [nas], [shown(client="192.168.1.9")])[0], [(nas, 8080)])
        self.assertEqual(self.outcome(journal, [], [shown(client="192.168.1.9")])[1], [8080])

    def test_Q137_part_of_a_table_lets_nothing_be_forgotten(self):
        journal = journal_with(made(), made(GAME))
        self.assertEqual(self.outcome(journal, [], [shown()], complete=False), ([], [8080], []))

    def test_F35_table_that_cannot_be_read(self):
        journal = journal_with(made(), made(GAME), made(PortMapping("TCP", 22), client=OLD_US))
        journal.will_add(UDN, made(PortMapping("TCP", 23)), lease_seconds=3600, now=1000.0)  # perhaps refused
        self.assertEqual(self.outcome(journal, [WEB], None), ([(WEB, 8080)], [5000], []))

    def test_Q101_every_spelling_of_everybody(self):
        for spelling in ("", "*", "0.0.0.0", " "):
            found = self.reconcile(journal_with(made()), [], [shown(remote_host=spelling)])
            self.assertEqual([entry.remote_host for entry in found.delete], [""])
        one = replace(WEB, remote_host=ipaddress.IPv4Address("198.51.100.1"))
        found = self.reconcile(Journal(), [WEB], [shown(one, remote_host="198.51.100.1")])
        self.assertEqual([entry.remote_host for entry in found.delete], ["198.51.100.1"])

    def test_nobody_takes_what_only_another_can_use(self):
        any_port = PortMapping("TCP", 80, any_port=True)
        must = PortMapping("TCP", 80, 9090)
        adopted, deleted, _ = self.outcome(Journal(), [any_port, must], [shown(must)])
        self.assertEqual((adopted, deleted), ([(must, 9090)], []))
        other = PortMapping("TCP", 81, 9090)  # wants the port, for another target
        self.assertEqual(self.outcome(Journal(), [any_port, other], [shown(must)]), ([], [9090], []))
        first, second = PortMapping("TCP", 80, 1000, any_port=True), PortMapping("TCP", 80, 1001, any_port=True)
        journal = Journal()
        journal.keep_port(second, 50_002)
        self.assertEqual(self.outcome(journal, [first, second], [shown(second, 50_002)])[0], [(second, 50_002)])

    @given(
        _steps,
        st.lists(_wanted, max_size=4),
        st.lists(
            st.builds(
                lambda wanted, client, description: shown(wanted, client=client, description=description),
                _wanted,
                st.sampled_from([US, OLD_US, ipaddress.IPv4Address("192.168.1.9")]),
                st.sampled_from(["", "nas", tag(HOST, "x"), "txigd.ffffffff.x"]),
            ),
            max_size=8,
        ),
    )
    @settings(max_examples=300, deadline=None)
    def test_F53_only_ours_and_each_once(self, steps, wanted, table):
        journal = play(steps)
        before = content(journal)
        found = self.reconcile(journal, wanted, table, now=5.0)
        self.assertEqual(content(journal), before)
        targets = {record.target for record in journal.entries(UDN)}
        adopted = [adoption.entry for adoption in found.adopt]
        self.assertEqual(len(set(adopted) | set(found.delete)), len(adopted) + len(found.delete))
        self.assertLessEqual(len(adopted), len(wanted))
        for entry in (*adopted, *found.delete):
            on_record = any(
                target == ((entry.protocol, entry.external_port, entry.remote_host), entry.internal_client, port)
                for target in targets
                for port in (entry.internal_port,)
            )
            tagged = entry.description == tag(HOST, "x")
            self.assertTrue(tagged or on_record)
            self.assertTrue(entry.internal_client == str(US) or (tagged and on_record))
            self.assertNotIn(entry.description, ("nas", "txigd.ffffffff.x"))
        # what is ours for sure, by tag and address, is never left alone
        ours = {e for e in table if e.description == tag(HOST, "x") and e.internal_client == str(US)}
        self.assertEqual(ours - set(adopted) - set(found.delete), set())
