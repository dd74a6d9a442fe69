"""The planted bugs can still be planted; ``make mutants`` shows whether they are found, in minutes."""

from __future__ import annotations

import ast

from twisted.trial.unittest import SynchronousTestCase

from tests.mutants import MUTATIONS, ROOT


class MutationsTests(SynchronousTestCase):
    def test_each_applies_once_and_leaves_python(self) -> None:
        for one in MUTATIONS:
            self.assertTrue(one.applies(), f"{one.name}: its text is not once in {one.file}")
            text = (ROOT / "txigd" / one.file).read_text(encoding="utf-8")
            ast.parse(text.replace(one.text, one.instead))
            self.assertNotEqual(one.text, one.instead)

    def test_names_tell_them_apart(self) -> None:
        names = [one.name for one in MUTATIONS]
        self.assertEqual(len(set(names)), len(names))
