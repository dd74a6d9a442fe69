"""Writes txigd/igd/services.pyi from the tables of the standard: ``python -m tests.generate_services_stub``."""

from __future__ import annotations

from pathlib import Path

from txigd.igd import services
from txigd.igd.typed_service import TypedAction, TypedService

STUB = Path(services.__file__).with_suffix(".pyi")
WIDTH = 120
HEAD = """# Written by "python -m tests.generate_services_stub" from igd.json; do not edit.
from typing import NamedTuple

from twisted.internet.defer import Deferred

from txigd.igd.tables import builtin_table as builtin_table
from txigd.igd.tables import error_names as error_names
from txigd.igd.typed_service import TypedService as TypedService
from txigd.upnp.control.action import ServiceProxy

__all__ = ["TypedService", "builtin_table", "error_names", "service_classes", "typed"]

def service_classes() -> dict[str, type[TypedService]]: ...
def typed(proxy: ServiceProxy) -> TypedService: ...
"""


def generate() -> str:
    """The whole stub."""
    classes = services.service_classes().values()
    results = {
        action.result.__name__: action
        for made in classes
        for action in made.actions.values()
        if action.result is not None
    }
    blocks = [_result(name, action) for name, action in results.items()]
    return HEAD + "".join("\n" + block for block in [*blocks, *map(_service, classes)])


def _result(name: str, action: TypedAction) -> str:
    fields = "".join(f"    {output.name}: {output.python_type.__name__} | None\n" for output in action.outputs)
    return f"class {name}(NamedTuple):\n{fields}"


def _service(made: type[TypedService]) -> str:
    return f"class {made.__name__}(TypedService):\n" + "".join(map(_method, made.actions.values()))


def _method(action: TypedAction) -> str:
    if action.result is not None:
        answer = action.result.__name__
    else:
        answer = action.outputs[0].python_type.__name__ if action.outputs else "None"
    inputs = [f"{argument.name}: {argument.python_type.__name__}" for argument in action.inputs]
    parameters = ["self", "*", *inputs, "seconds: float = ..."]
    line = f"    def {action.name}({', '.join(parameters)}) -> Deferred[{answer}]: ...\n"
    if len(line) <= WIDTH:
        return line
    listed = "".join(f"        {parameter},\n" for parameter in parameters)
    return f"    def {action.name}(\n{listed}    ) -> Deferred[{answer}]: ...\n"


if __name__ == "__main__":
    STUB.write_text(generate(), encoding="utf-8")
