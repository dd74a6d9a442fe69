"""What a service evented last of each of its variables, to tell news from what is only said again. Pure.

A gateway may event any names: so many are remembered as a description may hold (D6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txigd.limits import SCPD_VARIABLES


class LastTold:
    """The last value of each variable; of too many, the ones that were told last."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._values)

    def take(self, values: Mapping[str, Any]) -> set[str]:
        """Remember these.

        :return: the names whose value is another than before, or was not known.
        """
        news = {name for name, value in values.items() if name not in self._values or self._values[name] != value}
        for name, value in values.items():
            self._values.pop(name, None)
            self._values[name] = value
        for name in tuple(self._values)[: max(0, len(self._values) - SCPD_VARIABLES)]:
            del self._values[name]
        return news

    def forget(self) -> None:
        """Another life of the subscription."""
        self._values.clear()
