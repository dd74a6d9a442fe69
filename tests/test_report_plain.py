"""Texts as they read, and back to how they are spelled."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txigd.igd.report_plain import Plain


class PlainTests(SynchronousTestCase):
    def test_escapes(self) -> None:
        for text, plain in (
            (b"a&#58;b&#x3A;c&amp;d&lt;e&amp;lt;f", b"a:b:c&d<e<f"),
            (b"%41%2e%2541%0d%zz%", b"A.A%0d%zz%"),
            (b"\\u0041\\/\\n", b"A/\\n"),
            (b"& &; &#; &#99999999; &;", b"& &; &#; &#99999999; &;"),
        ):
            self.assertEqual(Plain(text).octets, plain)

    def test_written_back_in_their_form(self) -> None:
        for text, masked in (
            (b"&#65;", b"&#88;"),
            (b"&#97;", b"&#88;"),
            (b"&#097;", b"&#120;"),
            (b"&amp;#x61;", b"&amp;#120;"),
            (b"%61", b"%78"),
            (b"\\u0061", b"\\u0078"),
            (b"&uuml;", b"&#120;"),
        ):
            self.assertEqual(Plain(text).written(0, 1, b"x"), masked)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from([b"&#5", b"8;", b"%3", b"a", b"%25", b"&amp;", b"#x3a;", b"\\u00", b"41", b"&Mu;", b"sn="])
        )
    )
    def test_any_escapes_keep_their_length(self, pieces: list[bytes]) -> None:
        text = b"".join(pieces)
        plain = Plain(text)
        self.assertEqual(plain.written(0, len(plain.octets), plain.octets), text)
        self.assertEqual(len(plain.written(0, len(plain.octets), b"z" * len(plain.octets))), len(text))
