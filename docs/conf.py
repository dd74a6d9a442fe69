"""Sphinx: MyST pages, an API reference out of the docstrings, and ticks for what tests bear an id."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.ids.found import found as found_ids  # noqa: E402

project = "txigd"
author = "txigd contributors"
project_copyright = "2026, txigd contributors"
found = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
version = release = found[1] if found else ""

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"txigd {version}"
# No page needs the network: neither to build nor to read.
html_theme_options = {"source_repository": ""}

myst_heading_anchors = 3
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "show-inheritance": True,
    "exclude-members": "log",
}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

TICKED = {"quirks", "faults", "threats"}
ROW = re.compile(r"^\| ([A-Z][0-9]+) \|.*\|$")


def tick(app: Sphinx, page: str, source: list[str]) -> None:
    """Add a last column to the tables of ids: whether a test of that name exists."""
    if page not in TICKED:
        return
    tested = found_ids()
    lines = []
    for line in source[0].splitlines():
        row = ROW.match(line)
        if row:
            line += " ✓ |" if row[1] in tested else "  |"
        elif line.startswith("| id |"):
            line += " tested |"
        elif line.startswith("|---|---|"):
            line += "---|"
        lines.append(line)
    source[0] = "\n".join(lines)


def write_reference(app: Sphinx) -> None:
    """One page for each package, one section for each module in it, found as files: nothing is imported for it."""
    folder = Path(app.srcdir) / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {}
    for package in sorted(file.parent for file in (ROOT / "txigd").rglob("__init__.py")):
        name = ".".join(package.relative_to(ROOT).parts)
        # What `import txigd` offers is listed there and described where it is defined: one target for each name.
        own = "   :imported-members:\n   :no-index:\n" if name == "txigd" else ""
        parts = [f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n{own}"]
        for file in sorted(package.glob("*.py")):
            if not file.name.startswith("_"):
                module = f"{name}.{file.stem}"
                parts.append(f"{module}\n{'-' * len(module)}\n\n.. automodule:: {module}\n")
        pages[f"{name}.rst"] = "\n".join(parts)
    for stale in {file.name for file in folder.iterdir()} - set(pages):
        (folder / stale).unlink()
    for page, text in pages.items():
        if not (folder / page).exists() or (folder / page).read_text(encoding="utf-8") != text:
            (folder / page).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_reference)
    app.connect("source-read", tick)
