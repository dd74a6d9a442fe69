"""The WAN line of a gateway: the states of ConnectionStatus and what moves between them. Pure.

Time is the argument ``now``. The owner asks :meth:`Line.next_change` when to call :meth:`Line.advance` again.
Sources: WANIPConnection:1/2 and WANPPPConnection:1, sections 2.2 (ConnectionStatus) and 2.4 (the termination actions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from txigd.testing.template import ServiceTemplate

UNCONFIGURED: Final = "Unconfigured"
CONNECTING: Final = "Connecting"
CONNECTED: Final = "Connected"
PENDING: Final = "PendingDisconnect"
DISCONNECTING: Final = "Disconnecting"
DISCONNECTED: Final = "Disconnected"
ROUTED: Final = "IP_Routed"

# (action, status) -> the error; what is missing here is allowed
_REFUSALS: Final = {
    ("RequestConnection", UNCONFIGURED): 706,
    ("RequestConnection", CONNECTING): 705,
    ("RequestConnection", DISCONNECTING): 707,
    ("RequestTermination", UNCONFIGURED): 706,
    ("RequestTermination", DISCONNECTING): 707,
    ("RequestTermination", PENDING): 707,
    ("RequestTermination", DISCONNECTED): 711,
    ("ForceTermination", UNCONFIGURED): 706,
    ("ForceTermination", DISCONNECTING): 707,
    ("ForceTermination", DISCONNECTED): 711,
}


@dataclass(slots=True)
class Line:
    """One WAN connection.

    :ivar address: the external address while connected.
    :ivar unknown_address: what is reported while there is no address.
    :ivar carrier: whether the provider answers; without it a set-up ends with ERROR_NO_CARRIER.
    :ivar setup_seconds: how long Connecting and Disconnecting take; 0 skips both.
    """

    address: str
    setup_seconds: float = 0.0
    unknown_address: str = ""
    status: str = DISCONNECTED
    connection_type: str = ROUTED
    last_error: str = "ERROR_NONE"
    carrier: bool = True
    enabled_for_internet: bool = True
    auto_disconnect: int = 0
    idle_disconnect: int = 0
    warn_delay: int = 0
    _since: float = 0.0
    _next: tuple[float, str] | None = field(default=None)

    @property
    def is_connected(self) -> bool:
        """Whether packets pass: Connected, or about to be disconnected."""
        return self.status in (CONNECTED, PENDING)

    @property
    def external_address(self) -> str:
        """The address to report; ``unknown_address`` while there is none (empty, as version 2 wants, or 0.0.0.0)."""
        return self.address if self.is_connected else self.unknown_address

    def uptime(self, now: float) -> int:
        """Seconds since Connected, 0 while not."""
        return max(0, int(now - self._since)) if self.is_connected else 0

    def act(self, action: str, service: ServiceTemplate, now: float) -> None:
        """RequestConnection, RequestTermination or ForceTermination.

        :raises ActionError: 705, 706, 707, 709, 710 or 711 by the status.
        """
        code = _REFUSALS.get((action, self.status))
        if code is None and self.connection_type != ROUTED:
            code = 710
        if code is None and action == "RequestConnection" and not self.enabled_for_internet:
            code = 709
        if code is not None:
            raise service.refusal(code, action)
        if action == "RequestConnection":
            if self.status == PENDING:
                self._become(CONNECTED, now)
            elif self.status != CONNECTED:
                self.connect(now)
        elif action == "RequestTermination" and self.status == CONNECTED and self.warn_delay:
            self._go(PENDING, now, self.warn_delay, DISCONNECTING)
        else:
            self.disconnect(now, "ERROR_USER_DISCONNECT")

    def connect(self, now: float) -> None:
        """Set the connection up; without a carrier it ends Disconnected again."""
        self._go(CONNECTING, now, self.setup_seconds, CONNECTED if self.carrier else DISCONNECTED)

    def disconnect(self, now: float, error: str) -> None:
        """Take the connection down, saying why in LastConnectionError."""
        self.last_error = error
        self._go(DISCONNECTING, now, self.setup_seconds, DISCONNECTED)

    def cut(self, error: str) -> None:
        """The connection is gone at once, without passing states."""
        self.last_error = error
        self.status, self._next = DISCONNECTED, None

    def next_change(self) -> float | None:
        """When :meth:`advance` has something to do, None for never."""
        return None if self._next is None else self._next[0]

    def advance(self, now: float) -> None:
        """Make the changes that are due."""
        while self._next is not None and self._next[0] <= now:
            due, status = self._next
            if status == DISCONNECTING:
                self._go(DISCONNECTING, due, self.setup_seconds, DISCONNECTED)
            else:
                self._become(status, due)

    def set_auto_disconnect(self, seconds: int, now: float) -> None:
        """SetAutoDisconnectTime: seconds counted from Connected, 0 for never."""
        self.auto_disconnect = seconds
        if self.status == CONNECTED:
            self._next = (max(now, self._since + seconds), DISCONNECTING) if seconds else None

    def _go(self, status: str, now: float, seconds: float, then: str) -> None:
        self.status = status
        self._next = (now + seconds, then)
        if seconds <= 0:
            self.advance(now)

    def _become(self, status: str, now: float) -> None:
        was, self.status, self._next = self.status, status, None
        if status == CONNECTED:
            self.last_error = "ERROR_NONE"
            if was != PENDING:
                self._since = now
            if self.auto_disconnect:
                self._next = (max(now, self._since + self.auto_disconnect), DISCONNECTING)
        elif was == CONNECTING and not self.carrier:
            self.last_error = "ERROR_NO_CARRIER"
