"""The page of what was measured, docs/measurements.md, made of the raw results in bench/results.

python -m bench.series.page
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .record import RESULTS, ROOT

PAGE = ROOT / "docs" / "measurements.md"
ORDER = ("reboot", "address", "sigterm", "sigkill", "loss", "soak", "simulated")
HEAD = """# Measurements

What txigd promises, measured on a real miniupnpd with real NAT in network namespaces, and on a simulated clock. `make
series` measures all of it again, which takes some hours; `make series-reboot` and so on one series. This page is made
by `python -m bench.series.page` of the raw results in `bench/results`, and is never edited by hand; a promise that was
not kept stands here as such. A plus behind a commit means that the tree differed from it; the load is the average of
five minutes at the end of a series, and above the number of cores it means that others kept the machine busy.
"""
MARKS = {None: "", True: "met", False: "**not met**"}


def section(result: dict[str, Any]) -> str:
    """One series in Markdown."""
    about = result["method"].split("\n\n")
    text = "\n\n".join(part for part in about if not part.startswith("    "))
    lines = [
        f"## {result['title']}",
        "",
        text,
        "",
        f"{result['date']}, commit {result['commit']}, {result['runs']} run{'s' * (result['runs'] != 1)} in "
        f"{result['seconds'] / 60:.0f} minutes on {result['machine']}. "
        f"Raw results: `bench/results/{result['name']}.json`.",
        "",
        "| figure | measured | promised | |",
        "|---|---|---|---|",
    ]
    for figure in result["figures"]:
        cells = (figure["what"], figure["value"], figure["promised"], MARKS[figure["met"]])
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    lines += ["", *(f"    {note}" for note in result["notes"]), ""]
    return "\n".join(lines)


def page(results: Sequence[dict[str, Any]]) -> str:
    """All of it."""
    return "\n".join([HEAD, *map(section, results)]).rstrip() + "\n"


def write(folder: Path = RESULTS, file: Path = PAGE) -> None:
    """Read the results and write the page."""
    found = [folder / f"{name}.json" for name in ORDER]
    results = [json.loads(one.read_text(encoding="utf-8")) for one in found if one.exists()]
    file.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    write()
