"""The page of a simulated gateway for people: its line and its table. Pure."""

from __future__ import annotations

from txigd.testing.state import State
from txigd.upnp.xml import escape


def presentation(state: State, now: float) -> bytes:
    """The HTML of it, UTF-8."""
    rows = "".join(
        f"<tr><td>{entry.protocol}<td>{entry.external_port}<td>{escape(entry.internal_client)}:{entry.internal_port}"
        f"<td>{escape(entry.description)}<td>{entry.lease_left(now)}"
        for entry in state.table
    )
    name = escape(state.tree.root.friendly_name)
    line = f"{state.line.status}, {escape(state.external_address(state.tree.live_service.key))}"
    return (
        f"<!DOCTYPE html><title>{name}</title><h1>{name}</h1><p>{line}</p>"
        f"<table><tr><th>protocol<th>port<th>to<th>for<th>seconds left{rows}</table>"
    ).encode()
