"""What one series found: raw rows, figures beside what was promised, and where they are kept. Knows nothing of labs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank); nan of nothing."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, min(len(ordered), -(-round(len(ordered) * share * 1000) // 1000)) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: the growth of the second per unit of the first; 0 for less than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


@dataclass
class Figure:
    """One line of the table; ``met`` is None where nothing was promised."""

    what: str
    value: float | int | str
    promised: str = ""
    met: bool | None = None


@dataclass
class Record:
    """A series: made at its start, saved at its end."""

    name: str
    title: str
    method: str
    runs: int = 0
    figures: list[Figure] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    commit: str = field(default_factory=lambda: commit())
    machine: str = field(default_factory=lambda: f"{os.cpu_count()} cores, Linux {platform.release()}")
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic, repr=False)

    def figure(self, what: str, value: float | int | str, promised: str = "", met: bool | None = None) -> None:
        """Add a line to the table."""
        self.figures.append(Figure(what, round(value, 3) if isinstance(value, float) else value, promised, met))

    @property
    def met(self) -> bool:
        """Whether every promise was kept."""
        return all(figure.met is not False for figure in self.figures)

    def table(self) -> str:
        """The figures as aligned text."""
        lines = [("figure", "measured", "promised", "")]
        lines += [
            (f.what, str(f.value), f.promised, {None: "", True: "met", False: "NOT MET"}[f.met]) for f in self.figures
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        head = f"{self.title} ({self.runs} runs, {self.commit}, {self.date})"
        return "\n".join([head, *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines), *self.notes])

    def save(self, folder: Path = RESULTS) -> Path:
        """Write the raw results; returns the file."""
        self.seconds = round(time.monotonic() - self.began, 1)
        self.machine += f", load at the end {os.getloadavg()[1]:.1f}"
        folder.mkdir(parents=True, exist_ok=True)
        facts = asdict(self)
        rows = facts.pop("rows")
        facts.pop("began")
        # one row a line: small, and readable in a diff
        text = json.dumps(facts, indent=1)[:-2] + ',\n "rows": [\n'
        text += ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]\n}\n"
        file = folder / f"{self.name}.json"
        file.write_text(text, encoding="utf-8")
        return file


def commit() -> str:
    """The commit that is measured, with a plus behind it when the package differs from it; "unknown" without git."""
    try:
        name = _git("rev-parse", "--short", "HEAD").strip()
        return name + ("+" if _git("status", "--porcelain", "txigd").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
