"""What is searched for: search targets, and whether a message has to do with them. Pure.

Sources: UDA 1.0-2.0 section 1.3 (search targets), quirks Q002, Q003, threat A3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from txigd.upnp.discovery.message import ALL, ROOT_DEVICE

IGD_TARGETS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
    ROOT_DEVICE,
)


def without_version(target: str) -> str:
    """A type without its version, in lower case; other targets as they are but for case.

    >>> without_version("urn:schemas-upnp-org:device:InternetGatewayDevice:2")
    'urn:schemas-upnp-org:device:internetgatewaydevice'
    """
    head, colon, tail = target.lower().rpartition(":")
    return head if colon and head.startswith("urn:") and tail.isdecimal() else target.lower()


class Targets:
    """The targets of one search, in the order of sending. Versions are never told apart (Q003)."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._everything = ALL in self.names
        self._types = frozenset(without_version(name) for name in self.names if name != ROOT_DEVICE)
        # the last part is enough to look for: "InternetGatewayDevice", and the whole of "upnp:rootdevice"
        needles = {name.rpartition(":")[2] if name.startswith("urn:") else name for name in self._types}
        self._needles = tuple(needle.encode() for needle in sorted(needles | {ROOT_DEVICE}))

    def wanted(self, target: str) -> bool:
        """Is this device or service type one of those searched for, in any version?"""
        return self._everything or without_version(target) in self._types

    def may_concern(self, datagram: bytes) -> bool:
        """A quick look without parsing: False only if no target can be in there."""
        if self._everything:
            return True
        text = datagram.lower()
        return any(needle in text for needle in self._needles)
