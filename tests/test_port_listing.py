"""The listing inside GetListOfPortMappings, in every form that occurs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.test_soap import MANIFEST, split
from txigd.errors import BadReply
from txigd.igd import port_listing
from txigd.igd.mapping import PortMappingEntry
from txigd.igd.port_listing import Ranges
from txigd.limits import MAPPING_LIST_FULL, MAPPING_LIST_NARROW, MAPPING_WALK
from txigd.upnp.control import soap

FIRST = PortMappingEntry("TCP", 6881, "192.0.2.10", 6881, "Tom & Jerry", 3571, True, "")
SECOND = PortMappingEntry("TCP", 6882, "192.0.2.10", 22, "ssh", 604800, True, "198.51.100.9")


def entry(**more: str) -> str:
    fields = {"NewExternalPort": "1", "NewProtocol": "TCP", "NewInternalPort": "2", "NewInternalClient": "a", **more}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f"<PortMappingEntry>{inside}</PortMappingEntry>"


def listing(*entries: str) -> str:
    return f"<PortMappingList>{''.join(entries)}</PortMappingList>"


class PortListingTests(SynchronousTestCase):
    def test_samples(self) -> None:
        for form, wanted in {
            "escaped": (FIRST, SECOND),
            "cdata": (FIRST, SECOND),
            "nested": (FIRST, SECOND),
            "empty": (),
        }.items():
            name = f"soap-GetListOfPortMappings-response-{form}.http"
            values = soap.read_reply("GetListOfPortMappings", 200, split(name)[2], ("NewPortListing",))
            self.assertEqual(wanted, port_listing.read(values["NewPortListing"]), form)
            self.assertEqual(MANIFEST[name]["expect"]["entries"], len(wanted))

    def test_nothing_at_all(self) -> None:
        for nothing in ("", " \n", '<?xml version="1.0"?>', "<PortMappingList/>"):
            self.assertEqual((), port_listing.read(nothing))

    def test_attributes(self) -> None:
        text = listing(
            '<PortMappingEntry NewRemoteHost="" NewExternalPort="6881" NewProtocol="TCP" NewInternalPort="6881" '
            'NewInternalClient="192.0.2.10" NewEnabled="1" NewDescription="Tom &amp; Jerry" NewLeaseTime="3571"/>'
        )
        self.assertEqual((FIRST,), port_listing.read(text))

    def test_names_of_the_arguments_instead_of_the_schema(self) -> None:
        text = listing(entry(NewPortMappingDescription="x", NewLeaseDuration="7"))
        self.assertEqual(PortMappingEntry("TCP", 1, "a", 2, "x", 7), port_listing.read(text)[0])

    def test_other_case_and_lower_protocol(self) -> None:
        text = listing(entry(NewProtocol="udp")).lower()
        self.assertEqual((PortMappingEntry("UDP", 1, "a", 2),), port_listing.read(text))

    def test_empty_enabled_and_lease(self) -> None:
        (read,) = port_listing.read(listing(entry(NewEnabled="", NewLeaseTime="")))
        self.assertEqual((True, 0), (read.enabled, read.lease_seconds))
        (read,) = port_listing.read(listing(entry(NewEnabled="0", NewLeaseTime="9")))
        self.assertEqual((False, 9), (read.enabled, read.lease_seconds))

    def test_B9_entries_that_make_no_sense_are_left_out(self) -> None:
        bad = [
            entry(NewExternalPort="70000"),
            entry(NewExternalPort="-1"),
            entry(NewExternalPort=""),
            entry(NewInternalPort="x"),
            entry(NewProtocol="SCTP"),
            "<PortMappingEntry/>",
        ]
        self.assertEqual(1, len(port_listing.read(listing(*bad, entry()))))

    def test_the_declared_encoding_is_that_of_text_no_longer(self) -> None:
        text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + listing(entry(NewDescription="Küche"))
        self.assertEqual("Küche", port_listing.read(text)[0].description)

    def test_no_listing(self) -> None:
        for text in ("none", "<a/>", "<PortMappingList>", "&lt;PortMappingList/&gt;"):
            self.assertRaises(BadReply, port_listing.read, text)

    def test_bounded(self) -> None:
        """Short entries: the parser allows more of them than a walk may take."""
        text = listing('<PortMappingEntry e="1"/>' * (MAPPING_WALK + 1) + entry())
        self.assertEqual((), port_listing.read(text))

    @settings(deadline=None)
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        try:
            self.assertIsInstance(port_listing.read(text), tuple)
        except BadReply:
            pass


class RangesTests(SynchronousTestCase):
    def test_Q104_all_ports_but_0_at_once(self) -> None:
        ranges = Ranges()
        self.assertEqual((1, 65535), ranges.next())
        ranges.listed([FIRST])
        self.assertIsNone(ranges.next())

    def test_a_width_that_is_refused_is_never_asked_for_again(self) -> None:
        ranges = Ranges()
        ranges.refused()
        self.assertEqual((1, 32768), ranges.next())
        ranges.listed([])
        self.assertEqual((32769, 65535), ranges.next())
        ranges.listed([])
        self.assertIsNone(ranges.next())
        ranges.begin()
        self.assertEqual((1, 32768), ranges.next())

    def test_a_long_answer_may_have_been_cut(self) -> None:
        ranges = Ranges()
        ranges.listed([FIRST] * (MAPPING_LIST_FULL - 1))
        self.assertIsNone(ranges.next())
        ranges.begin()
        ranges.listed([FIRST] * MAPPING_LIST_FULL)
        self.assertEqual((1, 32768), ranges.next())
        ranges.begin()
        self.assertEqual((1, 65535), ranges.next(), "the other protocol may have few")

    def test_an_answer_that_takes_no_notice_of_the_range_is_all_there_is(self) -> None:
        ranges = Ranges()
        ranges.refused()
        ranges.listed([PortMappingEntry("TCP", 40000, "a", 2)] * MAPPING_LIST_FULL)
        self.assertIsNone(ranges.next())

    def test_whatever_is_answered_it_ends(self) -> None:
        for step in (Ranges.refused, lambda ranges: ranges.listed([PortMappingEntry("TCP", 0, "a", 2)] * 200)):
            ranges, widths = Ranges(), []
            while (asked := ranges.next()) is not None:
                widths.append(asked[1] - asked[0] + 1)
                step(ranges)
            self.assertIn(MAPPING_LIST_NARROW, widths)
            self.assertGreaterEqual(min(widths), MAPPING_LIST_NARROW - 1, "65535 is the last port")
            self.assertLessEqual(len(widths), 9 + 512)
        ranges = Ranges()
        for _ in range(10):
            ranges.refused()
        ranges.begin()
        self.assertIsNone(ranges.next(), "the other protocol is not tried where not even a narrow one is answered")
