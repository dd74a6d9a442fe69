"""What ``txigd status -v`` adds: why this gateway and connection, what it can, how its events come, what passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred

from txigd.cli.session import pause
from txigd.errors import ActionNotOffered, ExchangeError, NoService, WaitTimeout
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.link import TrafficMeter, TrafficReading
from txigd.igd.ranking import Candidate, ConnectionFacts, ranking

SETTLE_SECONDS = 3.0  # for subscriptions to be answered and for two readings of the counters
INTERVAL_SECONDS = 1.0
_SETTLED = frozenset({"subscribed", "refused", "failed", "multicast", "stopped"})


async def explanation(reactor: Any, point: ControlPoint, gateway: Gateway) -> dict[str, Any]:
    """The facts, for programs.

    :param gateway: the one in use, with its events.
    """
    reading = await _traffic(reactor, gateway)
    await _settled(reactor, gateway)
    called, services = gateway.device.labels, gateway.device.services
    return {
        "ranking": list(ranking(point)),
        "capabilities": {called[remote.service]: dict(remote.capabilities) for remote in services},
        "eventing": gateway.eventing,
        "event_problems": [
            f"{called[remote.service]}: {problem}" for remote in services for problem in remote.problems
        ],
        "traffic": reading,
        "line": await _line(gateway),
    }


async def _traffic(reactor: Any, gateway: Gateway) -> TrafficReading | None:
    try:
        connection = gateway.wan.connection.proxy
        meter = TrafficMeter(reactor, gateway.counters, INTERVAL_SECONDS, connection=connection)
    except (NoService, ActionNotOffered):
        return None
    meter.start()
    try:
        known = meter.when(lambda reading: any(rate is not None for rate in _rates(reading)))
        return await known.addTimeout(SETTLE_SECONDS, reactor)
    except (defer.TimeoutError, WaitTimeout):
        return meter.value
    finally:
        meter.stop()


def _rates(reading: TrafficReading) -> tuple[float | None, float | None]:
    return reading.rate.bytes_received, reading.rate.bytes_sent


async def _settled(reactor: Any, gateway: Gateway) -> None:
    for _ in range(int(SETTLE_SECONDS * 10)):
        if _SETTLED.issuperset(gateway.eventing.values()):
            return
        await pause(reactor, 0.1)


async def _line(gateway: Gateway) -> Any:
    link: Deferred[Any] = gateway.link()
    try:
        return await link
    except (NoService, ActionNotOffered, ExchangeError):
        return None


def lines(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts, for people: a word for the margin and a line."""
    for candidate in told["ranking"]:
        yield ("why this one" if candidate.in_use else "not used", _candidate(candidate))
        for connection in candidate.connections:
            yield ("", f"  {_connection(connection)}")
    margin = "can do"
    for service, actions in told["capabilities"].items():
        words = [f"{action} {state}" for action, state in actions.items() if state != "unknown"]
        untried = len(actions) - len(words)
        yield (margin, f"{service}: {', '.join([*words, f'{untried} not tried'])}")
        margin = ""
    margin = "events"
    for service, state in told["eventing"].items():
        yield (margin, f"{service}: {state}")
        margin = ""
    yield from (("", problem) for problem in told["event_problems"])
    yield ("traffic", _reading(told["traffic"]))
    if told["line"] is not None:
        facts = {name: value for name, value in asdict(told["line"]).items() if value is not None}
        yield ("line", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()) or "not told")


def _candidate(candidate: Candidate) -> str:
    name = f"{candidate.name} at {candidate.address}" if candidate.name else candidate.address
    return f"{name}: {', '.join(candidate.facts)}"


def _connection(connection: ConnectionFacts) -> str:
    use = "in use" if connection.in_use else "not used"
    default = ", the gateway's default" if connection.default else ""
    said = " ".join(word for word in (connection.status, connection.external_ip) if word)
    return (
        f"{connection.service} {use}: rank {connection.rank}, {connection.meaning} ({said or 'says nothing'}){default}"
    )


def _reading(reading: TrafficReading | None) -> str:
    if reading is None or not reading.answered or not reading.counters.known:
        return "not told"
    received, sent = (_rate(rate) for rate in _rates(reading))
    return (
        f"received {reading.counters.bytes_received} octets ({received}), "
        f"sent {reading.counters.bytes_sent} octets ({sent})"
    )


def _rate(rate: float | None) -> str:
    return "rate unknown" if rate is None else f"{rate:.0f}/s"
