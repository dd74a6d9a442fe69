"""One request as a simulated gateway saw it: an entry of its log. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Seen:
    """One request as it came in. ``action``, ``arguments`` and ``error`` are filled for control requests.

    ``status`` is what was answered, 0 while or where nothing was.
    """

    time: float
    peer: str
    method: str
    path: str
    headers: Headers
    body: bytes
    action: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    error: int = 0

    def header(self, name: str) -> str:
        """The value of a header field, the last one of that name in any case; empty without one."""
        return next((value for have, value in reversed(self.headers) if have.lower() == name), "")
