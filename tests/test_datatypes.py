"""txigd.upnp.description.datatypes: strict out, lenient in."""

from __future__ import annotations

import enum
import math
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.errors import InvalidArgument
from txigd.upnp.description import datatypes
from txigd.upnp.description.datatypes import decode, encode

RANGES = {
    "ui1": (0, 255),
    "ui2": (0, 65535),
    "ui4": (0, 4294967295),
    "ui8": (0, 18446744073709551615),
    "i1": (-128, 127),
    "i2": (-32768, 32767),
    "i4": (-2147483648, 2147483647),
    "i8": (-(2**63), 2**63 - 1),
    "int": (-(2**63), 2**63 - 1),
}
EAST = timezone(timedelta(hours=5, minutes=30))
NAMES = sorted(datatypes._TYPES)
PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"))


class Port(enum.IntEnum):
    HTTP = 80


class Protocol(str, enum.Enum):
    TCP = "tcp"


class EncodeTests(SynchronousTestCase):
    """Values go out in one form, or not at all."""

    def refused(self, data_type, *values):
        for value in values:
            self.assertRaises(InvalidArgument, encode, data_type, value)

    def test_messages_show_values_as_people_write_them(self):
        zoned = datetime(2024, 2, 3, 4, 5, tzinfo=EAST)
        for data_type, value, said in (
            ("fixed.14.4", Decimal("1.23456"), "1.23456 has more than 14 digits before or 4 after the point"),
            ("dateTime", zoned, "2024-02-03T04:05:00+05:30 has a zone, this data type has none"),
            ("ui2", "on", "'on' is no integer"),
            ("ui2", Decimal(8), "Decimal('8') is no integer"),  # for programs: here the type is wrong
            ("ui2", Port.HTTP + 2**16, "65616 is not in 0..65535"),
            ("ui2", 10**5000, "a number that long is not in 0..65535"),
        ):
            error = self.assertRaises(InvalidArgument, encode, data_type, value)
            self.assertEqual(str(error), said)

    def test_integer_ranges(self):
        for name, (low, high) in RANGES.items():
            self.assertEqual((encode(name, low), encode(name, high)), (str(low), str(high)))
            self.refused(name, low - 1, high + 1)

    def test_integers_only(self):
        self.refused("ui2", "80", 80.0, None, True, b"80", Decimal(80))
        self.assertEqual(encode("ui2", Port.HTTP), "80")

    def test_real(self):
        self.assertEqual(encode("r8", 1.5), "1.5")
        self.assertEqual(encode("float", 3), "3.0")
        self.assertEqual(encode("number", 1e300), "1E+300")
        self.assertEqual(encode("r4", 0), "0.0")
        self.assertEqual(encode("r4", -3.4e38), "-3.4E+38")
        self.refused("r4", 3.5e38, 1e-39)
        self.refused("r8", math.inf, -math.inf, math.nan, True, "1.5", 10**309)

    def test_fixed(self):
        self.assertEqual(encode("fixed.14.4", Decimal("12.5")), "12.5000")
        self.assertEqual(encode("fixed.14.4", Decimal("-99999999999999.9999")), "-99999999999999.9999")
        self.assertEqual(encode("fixed.14.4", 7), "7.0000")
        self.assertEqual(encode("fixed.14.4", Decimal("1E+3")), "1000.0000")
        self.refused("fixed.14.4", Decimal("0.00001"), Decimal(10**14), Decimal("NaN"), Decimal("Infinity"), 0.5, True)

    def test_boolean_is_0_or_1(self):
        self.assertEqual([encode("boolean", value) for value in (True, False, 1, 0)], ["1", "0", "1", "0"])
        self.refused("boolean", "yes", 2, None, 1.0)

    def test_text(self):
        self.assertEqual(encode("string", " a<&>\t\n\U0001f600"), " a<&>\t\n\U0001f600")
        self.refused("string", 5, None, b"x", "\0", "\x1b", "\ud800", "\ufffe")

    def test_text_of_an_enum_member(self):
        self.assertEqual(encode("string", Protocol.TCP), "tcp")

    def test_char(self):
        self.assertEqual(encode("char", "\u00e9"), "\u00e9")
        self.refused("char", "", "ab", 5)

    def test_uri(self):
        self.assertEqual(encode("uri", "http://192.0.2.1/x?y=1&z"), "http://192.0.2.1/x?y=1&z")
        self.refused("uri", "a b", "a\r\nb", "<", 5)

    def test_uuid(self):
        text = "5e0ca1e1-0002-4a11-9d00-02aa55c3d101"
        self.assertEqual(encode("uuid", text), text)
        self.assertEqual(encode("uuid", uuid.UUID(text)), text)
        self.assertEqual(encode("uuid", text.replace("-", "")), text.replace("-", ""))
        self.refused("uuid", "uuid:" + text, text[:-1], "", 5)

    def test_dates(self):
        moment = datetime(2004, 2, 29, 23, 59, 1)
        self.assertEqual(encode("date", date(2004, 2, 29)), "2004-02-29")
        self.assertEqual(encode("dateTime", moment), "2004-02-29T23:59:01")
        self.assertEqual(encode("dateTime.tz", moment.replace(tzinfo=EAST)), "2004-02-29T23:59:01+05:30")
        self.assertEqual(encode("dateTime.tz", moment), "2004-02-29T23:59:01")
        self.assertEqual(encode("time", time(1, 2, 3)), "01:02:03")
        self.assertEqual(encode("time.tz", time(1, 2, 3, tzinfo=timezone.utc)), "01:02:03+00:00")
        self.refused("date", moment, "2004-02-29", 5)
        self.refused("dateTime", moment.replace(tzinfo=EAST), date(2004, 2, 29), time(), "x")
        self.refused("dateTime.tz", moment.replace(tzinfo=timezone(timedelta(seconds=61))))
        self.refused("time", moment, time(tzinfo=EAST), "01:02:03")

    def test_octets(self):
        self.assertEqual(encode("bin.base64", b"\0\xff<"), "AP88")
        self.assertEqual(encode("bin.hex", bytearray(b"\0\xff")), "00ff")
        self.refused("bin.base64", "AP88", 5)
        self.refused("bin.hex", "00ff")

    def test_an_unknown_data_type_is_text(self):
        self.assertEqual(encode("x_vendor", "a"), "a")
        self.refused("x_vendor", 5)

    @given(st.sampled_from(NAMES), st.integers() | st.floats() | st.text() | st.binary() | st.none() | st.booleans())
    def test_only_invalid_argument(self, name, value):
        try:
            self.assertIsInstance(encode(name, value), str)
        except InvalidArgument:
            pass


class DecodeTests(SynchronousTestCase):
    """Whatever a device sends becomes a value, or stays the text."""

    def test_integers(self):
        for text in ("80", " 80\n", "+80", "0080", "0" * 5000 + "80"):
            self.assertEqual(decode("ui2", text), 80)
        self.assertEqual(decode("i4", "-5"), -5)
        self.assertEqual(decode("ui2", "00"), 0)

    def test_raw_where_there_is_no_number(self):
        for text in ("many", "8o", "0x50", "1e3", "80 81", "-", "9" * 5000, "\u0665", "8.0", "(null)"):
            self.assertEqual(decode("ui4", text), text)

    def test_out_of_range_is_still_a_number(self):
        self.assertEqual(decode("ui2", "70000"), 70000)
        self.assertEqual(decode("ui4", "4294967296"), 4294967296)

    def test_empty_is_none_but_for_text_and_octets(self):
        for name in NAMES:
            expected = {"string": "", "char": "", "uri": "", "uuid": "", "bin.base64": b"", "bin.hex": b""}.get(name)
            self.assertEqual(decode(name, ""), expected)
        self.assertIsNone(decode("ui4", " \n"))

    def test_Q152_negative_counters(self):
        self.assertEqual(decode("ui4", "-531985522"), 3762981774)
        self.assertEqual(decode("ui4", "-1"), 4294967295)
        self.assertEqual(decode("ui8", "-1"), 2**64 - 1)

    def test_Q152_negative_elsewhere_is_no_number(self):
        self.assertEqual(decode("ui2", "-1"), "-1")
        self.assertEqual(decode("ui1", "-1"), "-1")
        self.assertEqual(decode("ui4", "-2147483649"), "-2147483649")

    def test_Q087_64_bits(self):
        self.assertEqual(decode("ui8", "18446744073709551615"), 2**64 - 1)
        self.assertEqual(decode("i8", "-9223372036854775808"), -(2**63))

    def test_Q150_uptime_in_words(self):
        self.assertEqual(decode("ui4", "0 Days, 01:00:00"), 3600)
        self.assertEqual(decode("ui4", "12 days 01:02:03"), 12 * 86400 + 3723)
        self.assertEqual(decode("ui4", "1 day, 00:00:01"), 86401)
        self.assertEqual(decode("ui4", "100:00:01"), 360001)
        for text in ("1 week", "01:60:00", "01:00", "up 3 days"):
            self.assertEqual(decode("ui4", text), text)

    def test_boolean_words(self):
        for text in ("1", "true", "TRUE", "Yes", " yes "):
            self.assertIs(decode("boolean", text), True)
        for text in ("0", "false", "False", "NO"):
            self.assertIs(decode("boolean", text), False)
        for text in ("on", "On", "enabled", " Enabled "):
            self.assertIs(decode("boolean", text), True)
        for text in ("off", "OFF", "disabled"):
            self.assertIs(decode("boolean", text), False)
        for text in ("maybe", "2", "-1", "01", "1.0", "offline"):
            self.assertEqual(decode("boolean", text), text)

    def test_real(self):
        for text, number in (("1.5", 1.5), ("-.5", -0.5), ("3.", 3.0), ("1e3", 1000.0), ("+1E-2", 0.01)):
            self.assertEqual(decode("r4", text), number)
        for text in ("nan", "inf", "1e999", "1,5", "1_0", "0x1p3", "9" * 5000):
            self.assertEqual(decode("r8", text), text)

    def test_fixed(self):
        self.assertEqual(decode("fixed.14.4", "12.50"), Decimal("12.5"))
        self.assertEqual(decode("fixed.14.4", "NaN"), "NaN")

    def test_text_is_untouched(self):
        self.assertEqual(decode("string", " a "), " a ")
        self.assertEqual(decode("uri", " /x "), "/x")
        self.assertEqual(decode("char", "ab"), "ab")
        self.assertEqual(decode("char", " "), " ")
        self.assertEqual(decode("char", "\n a "), "a")

    def test_dates(self):
        moment = datetime(2004, 2, 29, 23, 59, 1)
        self.assertEqual(decode("date", "2004-02-29"), date(2004, 2, 29))
        self.assertEqual(decode("date", "2004-02-29T23:59:01"), date(2004, 2, 29))
        self.assertEqual(decode("dateTime", "2004-02-29T23:59:01"), moment)
        self.assertEqual(decode("dateTime", "2004-02-29 23:59:01"), moment)
        self.assertEqual(decode("dateTime", "2004-02-29"), datetime(2004, 2, 29))
        self.assertEqual(
            decode("dateTime.tz", "2004-02-29T23:59:01.25Z"), moment.replace(microsecond=250000, tzinfo=timezone.utc)
        )
        self.assertEqual(decode("dateTime.tz", "2004-02-29T23:59:01+0530"), moment.replace(tzinfo=EAST))
        self.assertEqual(str(decode("dateTime.tz", "2004-02-29T23:59:01+05:30")), "2004-02-29 23:59:01+05:30")
        self.assertEqual(decode("time", "23:59"), time(23, 59))
        self.assertEqual(str(decode("time.tz", "23:59:01-05")), "23:59:01-05:00")
        self.assertEqual(decode("time", "1:02:03"), time(1, 2, 3))
        self.assertEqual(decode("dateTime", "2004-02-29T1:02:03"), datetime(2004, 2, 29, 1, 2, 3))

    def test_24_o_clock_is_when_the_next_day_begins(self):
        self.assertEqual(decode("time", "24:00:00"), time())
        self.assertEqual(decode("time.tz", "24:00Z"), time(tzinfo=timezone.utc))
        self.assertEqual(decode("dateTime", "2004-02-29T24:00:00"), datetime(2004, 3, 1))
        self.assertEqual(decode("dateTime.tz", "2004-12-31 24:00:00.0+0530"), datetime(2005, 1, 1, tzinfo=EAST))
        for text in ("2004-02-29T24:00:01", "9999-12-31T24:00:00", "2004-02-29T25:00"):
            self.assertEqual(decode("dateTime", text), text)
        self.assertEqual(decode("time", "24:01"), "24:01")

    def test_dates_that_are_none(self):
        for text in ("2003-02-29", "2004-13-01", "today", "0000-00-00", "2004-02-29T25:00:00"):
            self.assertEqual(decode("dateTime", text), text)
        self.assertEqual(decode("date", "29.2.2004"), "29.2.2004")
        self.assertEqual(decode("date", "2004-02-299"), "2004-02-299")
        self.assertEqual(decode("time.tz", "01:00:00+99:00"), "01:00:00+99:00")
        self.assertEqual(decode("time", "01:00:00 noon"), "01:00:00 noon")

    def test_octets(self):
        self.assertEqual(decode("bin.base64", "AP\r\n 88"), b"\0\xff<")
        self.assertEqual(decode("bin.base64", "AA"), b"\0")
        self.assertEqual(decode("bin.base64", "A*"), "A*")
        self.assertEqual(decode("bin.base64", "\u00e9"), "\u00e9")
        self.assertEqual(decode("bin.base64", "_-8="), b"\xff\xef")
        for text in ("00 fF", "0x00FF", "00:ff", "00-ff", "00FF\n"):
            self.assertEqual(decode("bin.hex", text), b"\0\xff")
        for text in ("0", "0:0", "0x", "00:", "x00", "\uff10\uff10"):
            self.assertEqual(decode("bin.hex", text), text)

    def test_names_in_any_case_and_prefix(self):
        self.assertEqual(decode("UI4", "1"), 1)
        self.assertEqual(decode(" dt:ui4 ", "1"), 1)
        self.assertEqual(decode("DateTime.TZ", "2004-02-29"), datetime(2004, 2, 29))
        self.assertEqual(decode("x_vendor", " 1 "), " 1 ")

    @given(st.sampled_from([*NAMES, "odd"]), st.text() | st.from_regex(r"[-+0-9.:TZe ]{0,30}"))
    def test_never_fails(self, name, text):
        decode(name, text)


class RoundTripTests(SynchronousTestCase):
    """What goes out reads back."""

    def check(self, name, value):
        self.assertEqual(decode(name, encode(name, value)), value)

    @given(st.sampled_from(sorted(RANGES)), st.data())
    def test_integers(self, name, data):
        self.check(name, data.draw(st.integers(*RANGES[name])))

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_real(self, value):
        self.check("r8", value)

    @given(st.decimals(-(10**13), 10**13, places=4))
    def test_fixed(self, value):
        self.check("fixed.14.4", value)

    @given(st.booleans())
    def test_boolean(self, value):
        self.check("boolean", value)

    @given(PRINTABLE)
    def test_text(self, value):
        self.check("string", value)

    @given(st.binary())
    def test_octets(self, value):
        self.check("bin.base64", value)
        self.check("bin.hex", value)

    @given(st.datetimes())
    def test_moments(self, value):
        self.check("dateTime", value)
        self.check("dateTime.tz", value.replace(tzinfo=EAST))
        self.check("date", value.date())
        self.check("time", value.time())
        self.check("time.tz", value.time().replace(tzinfo=timezone.utc))
