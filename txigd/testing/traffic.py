"""Counters of what went through a simulated gateway. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Octets and packets as WANCommonInterfaceConfig counts them: sent to and received from the internet."""

    octets_sent: int = 0
    octets_received: int = 0
    packets_sent: int = 0
    packets_received: int = 0

    def sent(self, octets: int) -> None:
        """Count one packet towards the internet."""
        self.octets_sent += octets
        self.packets_sent += 1

    def received(self, octets: int) -> None:
        """Count one packet from the internet."""
        self.octets_received += octets
        self.packets_received += 1

    def clear(self) -> None:
        """Start at zero, as after a reboot."""
        self.octets_sent = self.octets_received = self.packets_sent = self.packets_received = 0
