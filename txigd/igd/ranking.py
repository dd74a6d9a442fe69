"""Why one gateway is in use and not another, and why one of its connections: the facts that decided, in words.

Sources: threat A4 and fault F22 (only the next hop, or what was named), IGD practice of choosing a connection (Q143,
Q155), U20 of what users want.
"""

from __future__ import annotations

from dataclasses import dataclass

from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.status import RANKS, Learned, rank


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """One connection service of a gateway. ``rank`` is higher for a better one, ``meaning`` what it stands for."""

    service: str
    in_use: bool
    rank: int
    meaning: str
    status: str
    external_ip: str
    default: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """One gateway that is, could be or may not be used; ``facts`` are what counts for or against it, best first."""

    name: str
    address: str
    location: str
    in_use: bool
    facts: tuple[str, ...]
    connections: tuple[ConnectionFacts, ...] = ()


def ranking(point: ControlPoint) -> tuple[Candidate, ...]:
    """All gateways that were seen: the one in use, those that would be next, those that are not asked at all."""
    verified = sorted(point.gateways, key=lambda one: (one is not point.current, not point.is_next_hop(one.address)))
    return (
        *(_candidate(point, gateway, ()) for gateway in verified),
        *(_candidate(point, gateway, (f"not verified: {point.last_error}",)) for gateway in point.unverified),
        *(Candidate("", host, "", False, (declined(point, host),)) for host in point.declined_hosts),
    )


def route(point: ControlPoint, gateway: Gateway) -> str:
    """What a gateway is to this host's default routes: a router may be used at another address than they name."""
    if point.is_next_hop(gateway.address):
        return "default route of this host"
    hops = [str(host) for host in point.hosts_of(gateway) if point.is_next_hop(host)]
    return f"default route of this host, at its address {hops[0]}" if hops else "not the default route"


def declined(point: ControlPoint, host: str) -> str:
    """Why nothing is sent to an address that a gateway was announced from."""
    for gateway in point.gateways:
        if host in map(str, point.hosts_of(gateway)):
            return f"announces the gateway at {gateway.address} as well, so it is not asked"
    return "not the default route and not named, so nothing is sent to it"


def _candidate(point: ControlPoint, gateway: Gateway, more: tuple[str, ...]) -> Candidate:
    in_use = gateway is point.current
    next_hop = point.is_next_hop(gateway.address)
    facts = [*more]
    if point.named is not None:
        facts.append("named by the user")
    facts.append(route(point, gateway))
    if not in_use and not more:
        used = point.current
        better = used is not None and point.is_next_hop(used.address) and not next_hop
        facts.append("the default route is preferred" if better else "as good, but found later")
    if gateway.device.link:
        facts.append(f"seen on {gateway.device.link}")
    elsewhere = [str(one.location) for one in gateway.device.descriptions[1:]]
    facts.extend(f"also described at {location}" for location in elsewhere)
    return Candidate(
        gateway.friendly_name,
        str(gateway.address),
        gateway.location,
        in_use,
        tuple(facts),
        _connections(gateway),
    )


def _connections(gateway: Gateway) -> tuple[ConnectionFacts, ...]:
    live = gateway.wan.connection if gateway.wan.connections else None
    called = gateway.device.labels
    found = []
    for connection, reading in zip(gateway.wan.connections, gateway.wan.readings, strict=False):
        status = reading.status(Learned.READ)
        found.append(
            ConnectionFacts(
                called.get(connection.proxy.service, connection.name),
                connection is live,
                rank(reading),
                RANKS[rank(reading)],
                status.connection_status,
                str(status.external_ip or ""),
                reading.is_default,
            )
        )
    return tuple(found)
