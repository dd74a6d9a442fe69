"""The ids that tests bear, found by reading the test files. Knows Python's syntax trees; imports no test.

A test bears an id as a word of its name: ``test_Q016_folded_location``, ``test_Q089_Q102_octets``. A table test may
instead say ``ids = {"Q017", "Q019"}`` (strings only) on its class, or at the top of its module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent.parent
IDENTIFIER: Final = re.compile(r"Q[0-9]{3}|F[0-9]{2}|[A-D][0-9]{1,2}")


def in_name(name: str) -> tuple[str, ...]:
    """The ids in the name of a test, in their order.

    >>> in_name("test_Q089_Q102_octets_of_both")
    ('Q089', 'Q102')
    """
    words = name.split("_")
    return tuple(word for word in words[1:] if IDENTIFIER.fullmatch(word)) if words[0] == "test" else ()


def found(folder: Path = TESTS) -> dict[str, tuple[str, ...]]:
    """The tests by id: ``module.Class.test_name``, or ``module.Class`` where a declaration names the id."""
    tests: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        for identifier, test in _of_module(tree, module):
            tests.setdefault(identifier, []).append(test)
    return {identifier: tuple(dict.fromkeys(names)) for identifier, names in tests.items()}


def _of_module(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    for identifier in _declared(tree.body):
        yield identifier, module
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for identifier in _declared(node.body):
            yield identifier, f"{module}.{node.name}"
        for method in node.body:
            if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for identifier in in_name(method.name):
                    yield identifier, f"{module}.{node.name}.{method.name}"


def _declared(body: list[ast.stmt]) -> Iterator[str]:
    """The strings of ``ids = {...}``."""
    for node in body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if isinstance(value, ast.Set) and any(isinstance(t, ast.Name) and t.id == "ids" for t in targets):
            for element in value.elts:
                if isinstance(element, ast.Constant) and isinstance(element.value, str):
                    yield element.value
