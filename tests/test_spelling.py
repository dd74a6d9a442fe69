"""txigd.upnp.description.spelling: what people write goes out as it was meant, and what they are shown reads back."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.test_datatypes import NAMES, PRINTABLE
from txigd.errors import InvalidArgument
from txigd.upnp.description import datatypes, spelling
from txigd.upnp.description.service import StateVariable
from txigd.upnp.description.signature import Parameter

EAST = timezone(timedelta(hours=5, minutes=30))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(0, 127) for name in ("ui1", "ui2", "ui4", "ui8", "i1", "i2", "i4", "i8", "int")},
    **{name: st.floats(-1e30, 1e30).filter(lambda number: not 0 < abs(number) < 1e-30) for name in ("r4", "r8")},
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.integers(-(2**53), 2**53).map(float),
    "fixed.14.4": st.decimals(-(10**13), 10**13, places=4),
    "boolean": st.booleans(),
    "char": PRINTABLE.filter(lambda text: len(text) == 1),
    "string": PRINTABLE,
    "uri": st.just("http://192.0.2.1/a?b=c"),
    "uuid": st.uuids().map(str),
    "date": st.dates(),
    "datetime": st.datetimes(),
    "datetime.tz": st.datetimes(timezones=st.just(EAST)),
    "time": st.times(),
    "time.tz": st.times(timezones=st.just(timezone.utc)),
    "bin.base64": st.binary(),
    "bin.hex": st.binary(),
}


def written(data_type: str, text: str) -> str:
    """What goes out for a text that somebody wrote."""
    return datatypes.encode(data_type, Parameter("A", StateVariable("A", data_type)).value_of(text))


class ReadTests(SynchronousTestCase):
    def test_what_goes_out_was_written(self) -> None:
        for data_type, text, sent in (
            ("boolean", "Yes", "1"),
            ("r8", "-1e3", "-1000.0"),
            ("r4", "0.1", "0.1"),
            ("fixed.14.4", "+1.5", "1.5000"),
            ("char", " ", " "),
            ("string", " a ", " a "),
            ("date", "2026-01-05", "2026-01-05"),
            ("dateTime", "2026-01-05 10:00", "2026-01-05T10:00:00"),
            ("dateTime.tz", "2026-01-05T10:00:00.25+0530", "2026-01-05T10:00:00.250000+05:30"),
            ("time", "23:59:59", "23:59:59"),
            ("dt:time.tz", "10:00z", "10:00:00+00:00"),
            ("bin.base64", "aGkh", "aGkh"),
            ("bin.base64", "aGk=", "aGk="),
            ("bin.base64", "", ""),
            ("bin.hex", "00fF", "00ff"),
            ("x.vendor", " b", " b"),
        ):
            self.assertEqual(written(data_type, text), sent)

    def test_nothing_is_made_good_on_the_way_out(self) -> None:
        for data_type, *texts in (
            ("boolean", "on", "off", "2", "", " 1", "01"),
            ("r8", "nan", "1,5", " 1.5", "", "9007199254740993", "1e-400", "1e999"),
            ("fixed.14.4", " 1.5 ", "1.23456", ""),
            ("char", "", "ab", "  "),
            ("uri", " http://192.0.2.1/", "a b"),
            (
                "date",
                "2026-01-055",
                "2026-01-05junk",
                "2026-01-05T10:00:00",
                "2026-1-5",
                "2026-02-30",
                "",
                " 2026-01-05",
            ),
            ("dateTime", "2026-01-05", "2026-01-05T10:00:00.9999999", "2026-01-05T24:00:00", "2026-01-05T10:00:00x"),
            ("dateTime", "2026-01-05T10:00:00Z"),
            ("dateTime.tz", "2026-01-05T10:00:00+05:3", "2026-01-05T10:00:00+99:00"),
            ("time", "1:02:03", "24:00:00", "10:00:60", "10:00:00\n", "10"),
            ("bin.base64", "686921", "aGk", "aGk====", "aG k=", "_-8=", "aGl=", "!!"),
            ("bin.hex", "0x00ff", "00:ff", "00 ff", "0", "zz"),
        ):
            for text in texts:
                self.assertRaises(InvalidArgument, written, data_type, text)

    def test_the_message_shows_how_it_is_written(self) -> None:
        for data_type, text, said in (
            ("date", "2026-01-055", "A: '2026-01-055' is no date; write it like 2026-01-05"),
            ("bin.base64", "686921", "A: '686921' is no base64; write it like aGk="),
            (
                "r8",
                "9007199254740993",
                "A: 9007199254740993 has more digits than r8 carries; 9007199254740992.0 is what would be sent",
            ),
        ):
            self.assertEqual(str(self.assertRaises(InvalidArgument, written, data_type, text)), said)

    @given(st.sampled_from([*NAMES, "odd"]), st.text() | st.from_regex(r"[-+0-9.:TZeE ]{0,30}"))
    def test_only_invalid_argument(self, data_type: str, text: str) -> None:
        try:
            written(data_type, text)
        except InvalidArgument:
            pass


class ShowTests(SynchronousTestCase):
    def test_every_type_is_tried(self) -> None:
        self.assertEqual(set(VALUES), set(NAMES))

    @given(st.data())
    def test_what_is_shown_can_be_given_back(self, data: st.DataObject) -> None:
        data_type = data.draw(st.sampled_from(NAMES))
        value = data.draw(VALUES[data_type])
        shown = spelling.show(data_type, value)
        self.assertEqual(written(data_type, shown), datatypes.encode(data_type, value))

    def test_what_is_none_of_its_type_is_shown_all_the_same(self) -> None:
        for data_type, value, shown in (
            ("ui2", None, ""),
            ("ui2", "many", "many"),
            ("ui2", 70000, "70000"),
            ("fixed.14.4", Decimal("0.00001"), "0.00001"),
            ("bin.base64", "A*", "A*"),
            ("string", True, "1"),
            ("string", b"\0\xff", "00ff"),
            ("dateTime", datetime(2026, 1, 5, tzinfo=EAST), "2026-01-05T00:00:00+05:30"),
            ("string", date(2026, 1, 5), "2026-01-05"),
            ("time", time(10, tzinfo=timezone.utc), "10:00:00+00:00"),
        ):
            self.assertEqual(spelling.show(data_type, value), shown)
