"""The commands of ``txigd`` for the gateway's IPv6 firewall."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from txigd.cli.report import Report, printable
from txigd.cli.session import MAP_SECONDS, Printer, control_point, interrupted
from txigd.errors import ActionError, MappingError, NotAGateway, WaitTimeout
from txigd.igd.firewall import NOT_OURS, Firewall
from txigd.igd.gateway import Gateway
from txigd.igd.pinhole import Pinhole, PinholeStatus
from txigd.limits import LEASE_SECONDS


async def pinhole(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Open pinholes; keep them open when asked to."""
    lease = LEASE_SECONDS if options.lease is None else options.lease
    result = 0
    async with control_point(reactor, options, events=options.hold) as point:
        await point.gateway(options.timeout)
        held = [
            point.pinholes.hold(dataclasses.replace(wanted, lease_seconds=lease, internal_client=options.address))
            for wanted in options.pinholes
        ]
        for one in held:
            try:
                made = await one.when_active(timeout=MAP_SECONDS)
            except MappingError as error:
                result = report.failed(printable(str(error)))
                continue
            except WaitTimeout:
                why = f" ({printable(one.status.reason)})" if one.status.reason else ""
                result = report.failed(
                    f"{one.wanted}: the gateway did not open it in {MAP_SECONDS:g} s{why}; -v shows what is tried"
                )
                continue
            report.value({"pinhole": str(one.wanted), **pinhole_state(made)}, _opened(one.wanted, made))
        if options.hold and result == 0:
            point.pinholes.observe(_PinholePrinter(reactor, report))
            await interrupted(reactor)
        elif not options.hold:
            for one in held:
                one.leave()
    return result


def _opened(wanted: Pinhole, made: PinholeStatus) -> str:
    where = f"[{made.internal_client}]:{wanted.internal_port} {wanted.protocol}"
    return f"{where} is open for {made.lease_seconds} s; its number is {made.unique_id}"


def pinhole_state(status: PinholeStatus) -> dict[str, Any]:
    """What programs are told of a pinhole."""
    return {
        "state": status.state,
        "unique_id": status.unique_id,
        "address": status.internal_client,
        "lease_seconds": status.lease_seconds,
        "reason": status.reason,
    }


async def unpinhole(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Close pinholes by their numbers."""
    result = 0
    async with control_point(reactor, options) as point:
        firewall = _firewall(await point.gateway(options.timeout))
        client = firewall.client(options.address)
        for unique_id in options.ids:
            try:
                await firewall.delete(unique_id, client)
            except ActionError as error:
                none = f"there is no pinhole {unique_id} for {client}; was it opened for another --address?"
                result = report.failed(none if error.code in NOT_OURS else str(error))
            else:
                report.value({"closed": unique_id}, f"closed {unique_id}")
    return result


def _firewall(gateway: Gateway) -> Firewall:
    if gateway.firewall is None:
        raise NotAGateway(f"{gateway.friendly_name} offers no IPv6 firewall")
    return gateway.firewall


class _PinholePrinter(Printer):
    """Prints pinholes as they change."""

    def mapping_changed(self, held: Any, old: Any, new: Any) -> None:
        """Print the new state."""
        self._print(
            "pinhole",
            f"{held.wanted}: {new.state.value}" + (f" ({new.reason})" if new.reason else ""),
            {"pinhole": str(held.wanted), "new": pinhole_state(new)},
        )


PINHOLE_COMMANDS: dict[str, Callable[[Any, argparse.Namespace, Report], Awaitable[int]]] = {
    "pinhole": pinhole,
    "unpinhole": unpinhole,
}
