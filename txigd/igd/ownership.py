"""Whose is an entry that was read at the place of a wanted mapping: ours, ours of before, or somebody else's. Pure.

Sources: quirks Q122, Q129, fault F14, threat D5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from txigd.igd.former_entry import FormerEntry
from txigd.igd.mapping import PortMapping, PortMappingEntry, is_ours

OnRecord = Callable[[PortMappingEntry], bool]
"""Whether the record says that we made an entry; one without our tag only where it is shown as it was then."""

FormerOnRecord = Callable[[int], "tuple[str, float | None] | None"]
"""What is on record at an external port for a former address of ours: that address, and the seconds until it ends
(None: never, or nobody knows)."""


class Ownership:
    """Tells our own entries of one wanted mapping from others'.

    :param client: where the mapping is to lead.
    :param host_id: marks our own entries.
    """

    def __init__(
        self,
        wanted: PortMapping,
        client: ipaddress.IPv4Address,
        host_id: str,
        *,
        on_record: OnRecord,
        former: FormerOnRecord,
    ) -> None:
        self._internal_port = wanted.internal_port
        self._client = client
        self._host_id = host_id
        self._on_record = on_record
        self._former_on_record = former
        self._former: FormerEntry | None = None

    def right(self, entry: PortMappingEntry) -> bool:
        """Whether an entry leads where the mapping is to lead."""
        return entry.leads_to(self._client, self._internal_port)

    def ours(self, entry: PortMappingEntry, *, made: bool) -> bool:
        """Whether an entry is ours.

        :param made: whether we made one, as far as we know.
        """
        if is_ours(entry.description, self._host_id):
            # Two hosts may have one id (cloned machines), and two programs of one host; ours may have led to another
            # address (F14) or port before. Whoever has our id, address and port wants what we want.
            client = entry.internal_client.strip()
            known = self._former is not None and client == self._former.client
            return self.right(entry) or known or self._on_record(entry)
        # Gateways that keep no description show it empty, or their own word: after we made the entry, perhaps in an
        # earlier life (F53). The tag of our former host id is such a word, too.
        if self.right(entry) and (made or not entry.description.strip()):
            return True
        return entry.internal_client.strip() == str(self._client) and self._on_record(entry)

    def read(self, entry: PortMappingEntry | None, now: float) -> None:
        """Remember an entry of ours that was read, where it leads to a former address; None: there is none to see."""
        client = "" if entry is None else entry.internal_client.strip()
        if entry is None or client == str(self._client):
            self._former = None
            return
        known = self._former.ends_at if self._former is not None and self._former.client == client else None
        self._former = FormerEntry(client, now + entry.lease_seconds if entry.lease_seconds else known)

    def in_the_way(self, port: int, now: float) -> FormerEntry | None:
        """The entry of our former address that stands at a port, seen there or on record."""
        if self._former is None or self._former.ends_at is None:
            record = self._former_on_record(port)
            if record is not None:
                client, seconds = record
                self._former = FormerEntry(client, None if seconds is None else now + seconds)
        return self._former


def name_of(entry: PortMappingEntry) -> str:
    """Somebody else's, for people."""
    return f"external port {entry.external_port} belongs to {entry.internal_client[:60]!r} ({entry.description[:60]!r})"
