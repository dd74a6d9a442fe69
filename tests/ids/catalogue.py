"""The catalogues of ids as they stand in the JSON files beside this one. Knows files, no tests and no pages.

A catalogue is a list of sections, a section a title and its rows, one row a line. ``not_handled.json`` holds, by id,
the reason why txigd does nothing about a row; such a row needs no test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
NOT_HANDLED: Final = "not_handled.json"


@dataclass(frozen=True)
class Section:
    """Rows that belong together; a row maps the names of its fields to texts."""

    title: str
    rows: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Catalogue:
    """All ids of one kind.

    :ivar name: "quirks", "faults" or "threats": also the name of the JSON file and of the page in docs/.
    :ivar columns: heading in the page and field of the row, in order.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    def rows(self) -> Iterator[Mapping[str, str]]:
        """All rows in order."""
        for section in self.sections:
            yield from section.rows

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids in order."""
        return tuple(row["id"] for row in self.rows())


_COLUMNS: Final = {
    "quirks": (
        ("id", "id"),
        ("on the wire", "symptom"),
        ("what txigd does", "handling"),
        ("seen in", "evidence"),
    ),
    "faults": (("id", "id"), ("fault", "fault"), ("expected behaviour", "handling"), ("shown by", "shown")),
    "threats": (("id", "id"), ("attack", "attack"), ("what defends", "handling")),
}


def read(folder: Path = HERE) -> tuple[Catalogue, ...]:
    """The three catalogues.

    :raises ValueError: for an id that is there twice, or a row that lacks a field.
    """
    catalogues = tuple(_read(folder, name) for name in _COLUMNS)
    seen: set[str] = set()
    for catalogue in catalogues:
        for row in catalogue.rows():
            if row["id"] in seen:
                raise ValueError(f"{row['id']} is there twice")
            seen.add(row["id"])
            for _, field in catalogue.columns:
                if not row.get(field, "").strip():
                    raise ValueError(f"{row['id']} has no {field}")
    return catalogues


def not_handled(folder: Path = HERE) -> dict[str, str]:
    """The reason by id, for rows about which txigd does nothing."""
    reasons = json.loads((folder / NOT_HANDLED).read_text(encoding="utf-8"))
    return {str(identifier): str(reason) for identifier, reason in reasons.items()}


def _read(folder: Path, name: str) -> Catalogue:
    sections = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Catalogue(
        name, _COLUMNS[name], tuple(Section(section["section"], tuple(section["rows"])) for section in sections)
    )
