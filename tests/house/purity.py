"""Pure modules: which ones they are, and an import-linter contract that keeps them so.

A module declares itself pure in the first paragraph of its docstring, and nowhere else: the layer contract and the
coverage bar both read it there.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.domain.imports import ImportExpression

PACKAGE = Path(__file__).resolve().parents[2] / "txigd"
DECLARED = re.compile(r"\bpure\b", re.IGNORECASE)


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def pure_modules() -> dict[str, Path]:
    """Dotted name -> file of every module of txigd whose docstring declares it pure."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        if DECLARED.search(docstring.partition("\n\n")[0]):
            found[module_name(file)] = file
    return found


class PurityContract(Contract):
    """No chain of imports leads from a pure module to one of the forbidden packages, but through an exempt import."""

    forbidden = fields.SetField(subfield=fields.StringField())
    exempt = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        chains = []
        # The framework has put the values of the settings in the place of the fields.
        forbidden, exempt = cast("set[str]", self.forbidden), cast("set[ImportExpression]", self.exempt or set())
        for expression in exempt:
            graph.remove_import(importer=str(expression.importer), imported=str(expression.imported))
        for module in pure_modules():
            for package in sorted(forbidden):
                if package in graph.modules:
                    chain = graph.find_shortest_chain(importer=module, imported=package)
                    chains += [chain] if chain else []
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for chain in check.metadata["chains"]:
            output.print_error(" -> ".join(chain))


if __name__ == "__main__":
    # For `coverage report --include`: the files of the pure modules.
    root = PACKAGE.parent
    sys.stdout.write(",".join(str(file.relative_to(root)) for file in pure_modules().values()))
