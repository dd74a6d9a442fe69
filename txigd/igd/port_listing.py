"""GetListOfPortMappings: the document inside NewPortListing, its answer, and which ports to ask it for. Pure.

Sources: WANIPConnection:2 (GetListOfPortMappings and its schema); miniupnpd sends it in CDATA, others escaped or, one,
as plain elements, which :mod:`txigd.upnp.control.soap` turns back into text.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from txigd.errors import BadReply, DescriptionError
from txigd.igd.mapping import PROTOCOLS, PortMappingEntry
from txigd.limits import MAPPING_LIST_FULL, MAPPING_LIST_NARROW, MAPPING_LIST_OCTETS, MAPPING_WALK
from txigd.upnp import xml
from txigd.upnp.description import datatypes

_ALL_PORTS = 65536
_DECLARATION = re.compile(r"\s*<\?xml[^<>]*\?>")


def read(text: str) -> tuple[PortMappingEntry, ...]:
    """The entries of a listing, in its order; one that makes no sense is left out.

    :param text: the value of NewPortListing, unescaped once; empty means no entries (the text wants 730 instead).
    :raises BadReply: where the text is no listing.
    """
    # it is text already, so that what the declaration says of octets is no longer true
    text = _DECLARATION.sub("", text, count=1)
    if not text.strip():
        return ()
    try:
        root = xml.parse(text.encode("utf-8"), cap=MAPPING_LIST_OCTETS)
    except DescriptionError as error:
        raise BadReply(f"NewPortListing: {error}") from error
    found = [element for element in root.iter() if element.name.lower() == "portmappingentry"]
    if not found and root.name.lower() != "portmappinglist":
        raise BadReply(f"NewPortListing holds {root.name[:40]!r}")
    entries = (_entry(element) for element in found[:MAPPING_WALK])
    return tuple(entry for entry in entries if entry is not None)


def _entry(element: xml.Element) -> PortMappingEntry | None:
    fields = _fields(element)
    protocol = fields.get("protocol", "").upper()
    external = _port(fields.get("externalport", ""))
    internal = _port(fields.get("internalport", ""))
    if protocol not in PROTOCOLS or external is None or internal is None:
        return None
    enabled = datatypes.decode("boolean", fields.get("enabled", ""))
    lease = datatypes.decode("ui4", fields.get("leasetime", fields.get("leaseduration", "")))
    return PortMappingEntry(
        protocol=protocol,
        external_port=external,
        internal_client=fields.get("internalclient", ""),
        internal_port=internal,
        description=fields.get("description", fields.get("portmappingdescription", "")),
        lease_seconds=lease if type(lease) is int else 0,  # Q156
        enabled=enabled if isinstance(enabled, bool) else True,
        remote_host=fields.get("remotehost", ""),
    )


def _port(text: str) -> int | None:
    """0 is the wildcard of an external port; what is no port makes the entry useless (B9)."""
    port = datatypes.decode("ui2", text)
    return port if type(port) is int and 0 <= port <= 65535 else None


def _fields(element: xml.Element) -> dict[str, str]:
    """Values by name without ``New``: child elements, as everybody sends, or attributes, as the text calls them."""
    pairs = [(name, value.strip()) for name, value in element.attributes]
    pairs += [(child.name, child.text) for child in element.children[:64]]
    return {re.sub(r"^new", "", name.lower()): value for name, value in pairs}


class Ranges:
    """Which ranges of external ports to ask for, one after the other: all ports first, halves of what goes wrong.

    A range that is refused shows that it is too wide, as long as it is wider than MAPPING_LIST_NARROW; an answer as
    long as MAPPING_LIST_FULL may have been cut. It begins at port 1, which every gateway takes (Q104). Bounded: a range
    moves on or is halved.
    """

    def __init__(self) -> None:
        self._widest = _ALL_PORTS
        self.begin()

    def begin(self) -> None:
        """From the first port again, for another protocol; what is refused for its width stays so."""
        self._width = self._widest
        self._first = 1

    def next(self) -> tuple[int, int] | None:
        """The first and the last port to ask for now; None at the end."""
        return (self._first, self._last) if self._width and self._first < _ALL_PORTS else None

    def refused(self) -> None:
        """The latest range was refused. A narrow one that is refused ends it all, for every protocol."""
        if self._width <= MAPPING_LIST_NARROW:
            self._width = self._widest = 0
        else:
            self._width = self._widest = self._width // 2

    def listed(self, entries: Collection[PortMappingEntry]) -> None:
        """The latest range was answered."""
        first, last = self._first, self._last
        if any(not first <= entry.external_port <= last for entry in entries if entry.external_port):
            self._first = _ALL_PORTS  # it takes no notice of the range, and has said all that it says
        elif len(entries) >= MAPPING_LIST_FULL and self._width > MAPPING_LIST_NARROW:
            self._width //= 2
        else:
            self._first = last + 1

    @property
    def _last(self) -> int:
        return min(self._first + self._width, _ALL_PORTS) - 1
