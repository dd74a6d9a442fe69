"""What a simulated gateway answers to one request, before it is written. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from txigd.testing.seen import Headers

XML: Final = 'text/xml; charset="utf-8"'
HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to be written, after ``wait`` seconds; ``then`` runs after it is."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Headers = ()
    then: Callable[[], None] | None = None
    wait: float = 0.0
