"""The catalogues of ids, the scan of test names and the pages: that the three agree, and that each can disagree."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ids import __main__ as command
from tests.ids import catalogue, found, pages
from tests.ids.catalogue import Catalogue, Section

SMALL = Catalogue(
    "quirks",
    (("id", "id"), ("on the wire", "symptom"), ("what txigd does", "handling")),
    (
        Section("One", ({"id": "Q901", "symptom": "a | b", "handling": "reads it"},)),
        Section("Two", ({"id": "Q902", "symptom": "c", "handling": "reads it too"},)),
    ),
)
PAGE = (
    "# Title\n\nProse.\n\n## One\n| id | old |\n|---|---|\n| Q900 | x |\n\n"
    "## Two\nMore.\n\n| id |\n|---|\n\n| other |\n"
)


class CatalogueTests(SynchronousTestCase):
    def test_nothing_is_missing(self) -> None:
        quirks, faults, threats = catalogue.read()
        self.assertEqual(quirks.ids, tuple(f"Q{number:03d}" for number in range(1, len(quirks.ids) + 1)))
        self.assertGreaterEqual(len(quirks.ids), 200)
        self.assertEqual(faults.ids[:62], tuple(f"F{number:02d}" for number in range(1, 63)))
        for letter, last in {"A": 8, "B": 13, "C": 10, "D": 6}.items():
            of_letter = tuple(name for name in threats.ids if name.startswith(letter))
            self.assertEqual(of_letter[:last], tuple(f"{letter}{number}" for number in range(1, last + 1)))

    def test_a_reason_is_a_sentence_and_no_test_contradicts_it(self) -> None:
        tests = found.found()
        for identifier, reason in catalogue.not_handled().items():
            self.assertGreater(len(reason.split()), 4, identifier)
            self.assertNotIn(identifier, tests, "is tested, and said to be not handled")

    def test_doubled_id(self) -> None:
        self._write('[{"section": "One", "rows": [{"id": "Q901"}, {"id": "Q901"}]}]')
        self.assertRaises(ValueError, catalogue.read, self.folder)

    def test_row_without_a_text(self) -> None:
        self._write('[{"section": "One", "rows": [{"id": "Q901", "symptom": "s", "handling": " ", "evidence": "e"}]}]')
        self.assertRaises(ValueError, catalogue.read, self.folder)

    def _write(self, quirks: str) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        for name in ("faults", "threats"):
            (self.folder / f"{name}.json").write_text("[]", encoding="utf-8")
        (self.folder / "quirks.json").write_text(quirks, encoding="utf-8")


class FoundTests(SynchronousTestCase):
    def test_names(self) -> None:
        for name, identifiers in {
            "test_Q089_Q102_octets": ("Q089", "Q102"),
            "test_get_Q051_Q053": ("Q051", "Q053"),
            "test_C1_order": ("C1",),
            "test_H03_L1_F41_drip": ("F41",),
            "test_Q16_too_short": (),
            "test_WRT54G_A": (),
            "_Q016_no_test": (),
        }.items():
            self.assertEqual(found.in_name(name), identifiers, name)

    def test_methods_and_declarations(self) -> None:
        folder = Path(self.mktemp())
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "test_one.py").write_text(
            'ids = {"F01"}\n\n\n'
            'class T:\n    ids: set[str] = {"Q002"}\n\n'
            "    def test_Q001_x(self): ...\n\n    async def test_Q001_y(self): ...\n\n"
            "    def helps_Q003(self): ...\n",
            encoding="utf-8",
        )
        (folder / "other.py").write_text("class T:\n    def test_Q004_x(self): ...\n", encoding="utf-8")
        self.assertEqual(
            found.found(folder),
            {
                "F01": ("deep.test_one",),
                "Q002": ("deep.test_one.T",),
                "Q001": ("deep.test_one.T.test_Q001_x", "deep.test_one.T.test_Q001_y"),
            },
        )

    def test_no_test_bears_an_id_that_does_not_exist(self) -> None:
        self.assertEqual(command.unknown(catalogue.read(), found.found(), catalogue.not_handled()), ())

    def test_an_id_that_does_not_exist(self) -> None:
        slips = command.unknown((SMALL,), {"Q901": ("t",), "Q999": ("t.test_Q999_x",)}, {"F99": "why"})
        self.assertEqual(len(slips), 2)
        self.assertIn("t.test_Q999_x", slips[0])


class PageTests(SynchronousTestCase):
    def test_pages_say_what_the_catalogues_say(self) -> None:
        stale = command.stale(catalogue.read(), catalogue.not_handled())
        self.assertEqual(stale, (), "python -m tests.ids --write")

    def test_tables_are_replaced_and_prose_stays(self) -> None:
        text = pages.rendered(PAGE, SMALL, {"Q902": "nobody sends it"})
        self.assertEqual(
            text,
            "# Title\n\nProse.\n\n## One\n"
            "| id | on the wire | what txigd does |\n|---|---|---|\n| Q901 | a \\| b | reads it |\n\n"
            "## Two\nMore.\n\n"
            "| id | on the wire | what txigd does |\n|---|---|---|\n"
            "| Q902 | c | **Not handled:** nobody sends it |\n\n| other |\n",
        )
        self.assertEqual(pages.rendered(text, SMALL, {"Q902": "nobody sends it"}), text)

    def test_page_of_another_shape(self) -> None:
        for page in ("## One\n| id |\n", PAGE + "## Three\n| id |\n", PAGE.replace("## Two", "## Second")):
            self.assertRaises(ValueError, pages.rendered, page, SMALL, {})


class ReportTests(SynchronousTestCase):
    def test_tested_not_handled_untested(self) -> None:
        self.assertEqual(command.untested(SMALL, {"Q901": ("t",)}, {}), ("Q902",))
        self.assertEqual(command.untested(SMALL, {}, {"Q901": "why", "Q902": "why"}), ())
        lines = command.report(SMALL, {"Q901": ("a.B.test_Q901_c",)}, {}, every=True)
        self.assertEqual(lines[0], "quirks: 1 tested, 0 not handled, 1 untested")
        self.assertIn("a.B.test_Q901_c", lines[1])
        self.assertIn("UNTESTED: c", lines[2])
