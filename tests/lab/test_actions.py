"""Every action on the real miniupnpd: what docs/actions.md says it answers is what it answers."""

from __future__ import annotations

import re

from tests.actions.table import PAGE, real, simulated

from .case import LabCase


def _said(column: int) -> dict[tuple[str, str], str]:
    """Outcome (ok, value or error code) by service and action, as the page has it."""
    told: dict[tuple[str, str], str] = {}
    service = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            service = line[3:].strip()
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if service and len(cells) == 5 and cells[1].startswith("`") and cells[column] != "-":
            told[service, cells[0]] = _kind(cells[column].strip("`"))
    return told


def _kind(said: str) -> str:
    """Values differ from run to run (addresses, times); whether it worked, and the error code, do not."""
    return said[:3] if said[:3].isdigit() and said[3:4] == " " else "value"


class ActionTests(LabCase):
    def test_IGD2(self) -> None:
        answers = real(self.lab)
        self.assertGreaterEqual(len(answers), 40)
        self.assertEqual({key: _kind(said) for key, said in answers.items()}, _said(3))

    def test_simulated(self) -> None:
        self.assertEqual({key: _kind(said) for key, said in simulated().items()}, _said(2))


class FirstVersionTests(LabCase):
    lab_config = {"igd1": True}

    def test_IGD1(self) -> None:
        self.assertEqual({key: _kind(said) for key, said in real(self.lab).items()}, _said(4))
