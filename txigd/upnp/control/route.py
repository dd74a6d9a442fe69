"""The way to a control URL, and the detours from it. Pure.

Sources: the HTTP Extension Framework (M-POST) of UDA 1.0 section 3.2.1, quirks Q064, Q067, Q102.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from txigd.upnp.url import DeviceURL


@dataclass(frozen=True, slots=True)
class Route:
    """How a control URL is reached; ``others`` is where else it may be (Q064, Q067)."""

    url: DeviceURL
    mpost: bool = False
    others: tuple[DeviceURL, ...] = ()

    def detour(self, status: int) -> Route | None:
        """The next way to try after an HTTP error; each can be taken once only."""
        if status == 405 and not self.mpost:
            return replace(self, mpost=True)  # Q102
        if status == 404 and self.others:
            return replace(self, url=self.others[0], others=self.others[1:])
        return None
