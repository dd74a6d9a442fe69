"""The tables of docs/quirks.md, docs/faults.md and docs/threats.md, written from the catalogues.

Only tables whose first column is ``id`` are ours, in the order of the sections; all other text of a page is written by
hand and stays. The column that shows what is tested is added when the pages are built, so that a new test makes no page
stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.ids.catalogue import Catalogue, Section

DOCS: Final = Path(__file__).resolve().parent.parent.parent / "docs"
_HEAD: Final = "| id |"


def page(catalogue: Catalogue) -> Path:
    """The file of the page."""
    return DOCS / f"{catalogue.name}.md"


def rendered(text: str, catalogue: Catalogue, reasons: Mapping[str, str]) -> str:
    """The text of a page with its tables as the catalogue has them now.

    :param reasons: why a row is not handled, by id.
    :raises ValueError: where the page has another number of tables, or a section under another heading.
    """
    lines: list[str] = []
    sections = iter(catalogue.sections)
    heading, inside = "", False
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
        if line.startswith(_HEAD):
            section = next(sections, None)
            if section is None or section.title != heading:
                raise ValueError(f"{catalogue.name}: no section for the table under {heading!r}")
            lines += _table(catalogue, section, reasons)
            inside = True
        elif not (inside and line.startswith("|")):
            inside = False
            lines.append(line)
    left = next(sections, None)
    if left is not None:
        raise ValueError(f"{catalogue.name}: no table for the section {left.title!r}")
    return "\n".join(lines) + "\n"


def _table(catalogue: Catalogue, section: Section, reasons: Mapping[str, str]) -> list[str]:
    lines = [_row(heading for heading, _ in catalogue.columns), "|" + "---|" * len(catalogue.columns)]
    for row in section.rows:
        reason = reasons.get(row["id"])
        cells = dict(row) if reason is None else {**row, "handling": f"**Not handled:** {reason}"}
        lines.append(_row(cells[field] for _, field in catalogue.columns))
    return lines


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
