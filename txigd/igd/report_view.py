"""Our own view of a gateway, as the texts of a support report. Knows gateways; sends nothing."""

from __future__ import annotations

from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.ranking import declined, route
from txigd.limits import REPORT_TEXT_CHARACTERS


def state_of(gateway: Gateway) -> dict[str, str]:
    """What ``txigd status`` would say."""
    status = gateway.wan.status
    return {
        "name": line(gateway.friendly_name),
        "location": gateway.device.location.on_the_wire,
        "local_address": str(gateway.local_address),
        "service": status.service,
        "status": line(status.connection_status),
        "connected": str(status.connected).lower(),
        "external_ip": str(status.external_ip or ""),
        "class": status.address_class.value,
        "uptime_seconds": "" if status.uptime_seconds is None else str(status.uptime_seconds),
        "last_error": line(status.last_error),
    }


def ranking(point: ControlPoint) -> list[str]:
    """Gateways and their connections, the one in use first, and those that were not used."""
    lines = []
    for gateway in point.gateways:
        used = "in use" if gateway is point.current else "not in use"
        routed = route(point, gateway)
        at = gateway.device.location.on_the_wire
        lines.append(f"gateway {gateway.friendly_name!r} at {at}, {routed}, {used}: {gateway.wan.status}")
        for connection in gateway.wan.connections:
            live = "live" if connection is gateway.wan.connection else "idle"
            name = gateway.device.labels.get(connection.proxy.service, connection.name)
            lines.append(f"connection {name} of {gateway.friendly_name!r}: {live}")
    return [*lines, *(f"gateway at {host}: {declined(point, host)}" for host in point.declined_hosts)]


def line(text: str) -> str:
    """One printable line of bounded length (B11)."""
    return "".join(one if one.isprintable() else "?" for one in text[:REPORT_TEXT_CHARACTERS])
