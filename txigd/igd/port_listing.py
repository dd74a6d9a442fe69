"""The document inside NewPortListing, the answer of GetListOfPortMappings. Pure.

Sources: WANIPConnection:2 (GetListOfPortMappings and its schema); miniupnpd sends it in CDATA, others escaped or, one,
as plain elements, which :mod:`txigd.upnp.control.soap` turns back into text.
"""

from __future__ import annotations

import re

from txigd.errors import BadReply, DescriptionError
from txigd.igd.mapping import PROTOCOLS, PortMappingEntry
from txigd.limits import MAPPING_LIST_OCTETS, MAPPING_WALK
from txigd.upnp import xml
from txigd.upnp.description import datatypes

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
