"""One entry of a simulated gateway's port mapping table. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the table.

    ``expires`` is a time on the caller's clock, None for a static entry. ``managed`` is false for a rule that was made
    by other means than UPnP: it is listed, but UPnP can neither replace nor delete it. ``vanishes`` is when the gateway
    loses it in silence, whatever its lease.
    """

    protocol: str
    external_port: int
    internal_client: str
    internal_port: int
    remote_host: str = ""
    description: str = ""
    enabled: bool = True
    expires: float | None = None
    managed: bool = True
    vanishes: float | None = None

    @property
    def key(self) -> Key:
        """What identifies a mapping: (RemoteHost, ExternalPort, Protocol)."""
        return self.remote_host, self.external_port, self.protocol

    def lease_left(self, now: float) -> int:
        """Whole seconds left, at least 1 while the entry lives; 0 for a static entry."""
        return 0 if self.expires is None else max(1, round(self.expires - now))
