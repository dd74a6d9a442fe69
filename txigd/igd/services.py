"""One class per service of IGD:1 and IGD:2, with a typed method per action: ``WANIPConnection1`` and its like.

The classes and the NamedTuples of their results are built from igd.json when the first of them is asked for; their
types for checkers and editors stand in services.pyi, which ``python -m tests.generate_services_stub`` writes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from txigd.errors import ActionNotOffered
from txigd.igd.tables import builtin_table, error_names, standard, standards
from txigd.igd.typed_service import TypedService, build
from txigd.upnp.control.action import ServiceProxy

__all__ = ["TypedService", "builtin_table", "error_names", "service_classes", "typed"]


def service_classes() -> dict[str, type[TypedService]]:
    """The class of every standard service by its service type."""
    return dict(_built()[0])


def typed(proxy: ServiceProxy) -> TypedService:
    """The proxy in the class of its service: by name whatever the domain, nearest lower version.

    :raises ActionNotOffered: for a service that is not of IGD.
    """
    found = standard(proxy.service.service_type)
    if found is None:
        raise ActionNotOffered(f"{proxy.service.service_type} is no service of the IGD standard")
    return _built()[0][found.service_type](proxy)


@cache
def _built() -> tuple[dict[str, type[TypedService]], dict[str, type]]:
    """Classes by service type, and everything that this module gives by name."""
    results: dict[str, type[tuple[Any, ...]]] = {}
    classes = {entry.service_type: build(entry, results) for entry in standards()}
    return classes, {**results, **{made.__name__: made for made in classes.values()}}


def __getattr__(name: str) -> type:
    if not name.startswith("_"):  # an import asks for __path__ and the like, which must not load the tables
        try:
            return _built()[1][name]
        except KeyError:
            pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_built()[1]})
