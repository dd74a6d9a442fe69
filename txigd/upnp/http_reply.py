"""One HTTP reply of a device, read leniently and within bounds. Pure.

Sources: RFC 9112 for what is right, quirks Q043-Q049 and Q186-Q188 for what gateways send instead, threats L3-L6, L23
and B1-B4 for what must not pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from txigd.upnp.url import IPAddress


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply.

    ``headers`` are the fields in the order and spelling received, values stripped, octets as Latin-1.
    ``local_address`` is our own address on the connection that brought it: what CALLBACK must name (Q171).
    """

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    local_address: IPAddress | None = None

    def get(self, name: str, default: str = "") -> str:
        """The first value of the field, whatever its case; ``_`` counts as ``-``."""
        wanted = field_key(name)
        for field, value in self.headers:
            if field_key(field) == wanted:
                return value
        return default


def field_key(name: str) -> str:
    """The name that two spellings of one header field share."""
    return name.lower().replace("_", "-")
