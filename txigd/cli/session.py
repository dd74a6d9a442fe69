"""What the commands of ``txigd`` share: the control point as asked for, a line for each change, the interrupt."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from txigd.cli.report import Report, printable
from txigd.igd.control_point import ControlPoint
from txigd.igd.gateway import Gateway
from txigd.igd.lease_facts import MappingStatus
from txigd.igd.status import WANStatus
from txigd.interfaces import IGatewayObserver, IMappingObserver, IWANObserver

MAP_SECONDS = 20.0  # one answer may take 10 s, and some gateways need a second form of the request


def control_point(reactor: Any, options: argparse.Namespace, **more: Any) -> ControlPoint:
    """A control point as the command line asks for it; one that asks once, unless told otherwise."""
    return ControlPoint(reactor, links=options.link, gateway=options.gateway, **{"events": False, **more})


def mapping_state(status: MappingStatus) -> dict[str, Any]:
    """What programs are told of a mapping; the time of the next attempt is of this process only."""
    return {
        "state": status.state,
        "external_port": status.external_port,
        "lease_seconds": status.lease_seconds,
        "reason": status.reason,
    }


@implementer(IGatewayObserver, IWANObserver, IMappingObserver)
class Printer:
    """Prints one line for each change."""

    def __init__(self, reactor: Any, report: Report) -> None:
        self._reactor = reactor
        self._report = report

    def gateway_found(self, gateway: Gateway) -> None:
        """Print it, and listen to its WAN side."""
        gateway.wan.observe(self)
        state = gateway.wan.status
        self._print(
            "gateway",
            f"{gateway.friendly_name} at {gateway.location}: {state}",
            {"name": gateway.friendly_name, "location": gateway.location, "new": state},
        )

    def gateway_lost(self, gateway: Gateway) -> None:
        """Print it."""
        gateway.wan.forget(self)
        self._print("gateway_lost", gateway.friendly_name, {"name": gateway.friendly_name})

    def wan_changed(self, old: WANStatus, new: WANStatus) -> None:
        """Print both."""
        self._print("wan", f"{old} -> {new} [{new.learned.value}]", {"old": old, "new": new})

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        """Print the new state."""
        self._print(
            "mapping",
            f"{held.wanted}: {new.state.value}" + (f" ({new.reason})" if new.reason else ""),
            {"mapping": str(held.wanted), "new": mapping_state(new)},
        )

    def _print(self, what: str, text: str, data: dict[str, Any]) -> None:
        now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        self._report.value({"at": now, "what": what, **data}, f"{now}  {what.replace('_', ' ')}: {printable(text)}")


def pause(reactor: Any, seconds: float) -> Deferred[None]:
    rest: Deferred[None] = Deferred(lambda _: call.cancel())
    call = reactor.callLater(seconds, rest.callback, None)
    return rest


async def interrupted(reactor: Any, seconds: float | None = None) -> None:
    """Wait for ``seconds``, or until the user interrupts; the caller then cleans up."""
    try:
        await (Deferred() if seconds is None else pause(reactor, seconds))
    except CancelledError:
        pass
