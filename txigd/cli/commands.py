"""The commands of ``txigd``, each a coroutine that gives the exit status."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet import defer

from txigd.cli import support_report
from txigd.cli.device_commands import DEVICE_COMMANDS
from txigd.cli.explanation import explanation
from txigd.cli.explanation import lines as explanation_lines
from txigd.cli.next_steps import after
from txigd.cli.pinholes import PINHOLE_COMMANDS
from txigd.cli.report import Report, printable
from txigd.cli.session import MAP_SECONDS, Printer, control_point, interrupted, mapping_state, pause
from txigd.cli.simulation import simulate
from txigd.cli.subscription import subscribe
from txigd.errors import ActionError, MappingError, Stopped
from txigd.igd.connection import Connection
from txigd.igd.control_point import ControlPoint, host_id
from txigd.igd.gateway import Gateway
from txigd.igd.lease_facts import MappingStatus
from txigd.igd.mapping import TAG_PREFIX, PortMapping, PortMappingEntry, is_ours
from txigd.limits import LEASE_SECONDS
from txigd.upnp.description.device import Service


async def discover(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """List every gateway that answers."""
    async with control_point(reactor, options, any_gateway=True) as point:
        await point.gateway(options.timeout)
        await pause(reactor, min(1.0, options.timeout))  # others may take their time; the first is known already
        rows = [summary(point, gateway) for gateway in point.gateways]
    if report.json:
        report.value(rows, "")
    else:
        report.table(
            ("ADDRESS", "NAME", "EXTERNAL", "STATUS", "DEFAULT ROUTE", "LOCATION"),
            [
                (
                    r["address"],
                    r["name"],
                    r["external_ip"] or "-",
                    r["status"],
                    "yes" if r["next_hop"] else "no",
                    r["location"],
                )
                for r in rows
            ],
        )
    return 0


async def status(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Show the gateway in use."""
    async with control_point(reactor, options, events=bool(options.verbose)) as point:
        gateway = await point.gateway(options.timeout)
        told = await explanation(reactor, point, gateway) if options.verbose else {}
        data = summary(point, gateway) | told
        called = gateway.device.labels
        data["services"] = [
            {"service": called[s], "control": str(s.control_url or ""), "events": str(s.event_url or "")}
            for s in gateway.services
        ]
        data["connections"] = [_called(called, connection) for connection in gateway.wan.connections]
        state, connection = gateway.wan.status, _called(called, gateway.wan.connection)
    lines = [
        ("gateway", f"{data['name']} ({data['model']})"),
        ("location", data["location"]),
        ("default route", "yes" if data["next_hop"] else "no"),
        ("our address", data["local_address"]),
        ("connection", f"{connection}: {state.connection_status or 'not told'}"),
        ("external address", f"{state.external_ip or 'none'} ({state.address_class.value})"),
        ("up for", f"{state.uptime_seconds} s" if state.uptime_seconds is not None else "not told"),
    ]
    lines += [("services" if n == 0 else "", service["service"]) for n, service in enumerate(data["services"])]
    if state.double_nat:
        lines.append(("warning", "behind another NAT: port mappings on this gateway do not reach the internet"))
    lines += explanation_lines(told) if told else ()
    # what explains is longer than a line of the log may be
    report.value(data, "\n".join(f"{name + ':' if name else '':18}{printable(text, 4096)}" for name, text in lines))
    return 0


def _called(labels: Mapping[Service, str], connection: Connection) -> str:
    return labels.get(connection.proxy.service, connection.name)


async def ip(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Print the external address."""
    async with control_point(reactor, options) as point:
        gateway = await point.gateway(options.timeout)
        state = gateway.wan.status
    if state.external_ip is None:
        return report.failed(
            f"{printable(gateway.friendly_name)} has no external address now: {state}; 'txigd watch' tells when it has"
        )
    report.value({"external_ip": state.external_ip, "class": state.address_class}, str(state.external_ip))
    return 0


async def list_(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """List the table."""
    async with control_point(reactor, options) as point:
        gateway = await point.gateway(options.timeout)
        entries = await gateway.wan.connection.entries()
    if report.json:
        report.value(entries, "")
        return 0
    report.table(
        ("PROTOCOL", "EXTERNAL", "INTERNAL", "REMOTE", "LEASE", "DESCRIPTION"),
        [
            (
                entry.protocol,
                entry.external_port,
                f"{entry.internal_client}:{entry.internal_port}",
                entry.remote_host or "*",
                entry.lease_seconds or "permanent",
                entry.description,
            )
            for entry in entries
        ],
    )
    return 0


async def map_(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Map ports; keep them true when asked to."""
    lease = LEASE_SECONDS if options.lease is None else options.lease
    result = 0
    async with control_point(reactor, options, events=options.hold) as point:
        gateway = await point.gateway(options.timeout)
        held = [
            point.mappings.hold(dataclasses.replace(wanted, lease_seconds=lease, description=options.name))
            for wanted in options.mappings
        ]
        for one in held:
            try:
                made = await one.when_active().addTimeout(MAP_SECONDS, reactor)
            except MappingError as error:
                result = report.failed(after(error))
                continue
            except defer.TimeoutError:
                why = f" ({one.status.reason})" if one.status.reason else ""
                result = report.failed(
                    f"{one.wanted}: the gateway did not make it in {MAP_SECONDS:g} s{why}; -v shows what is tried"
                )
                continue
            report.value(
                {"mapping": str(one.wanted), "external_ip": gateway.wan.status.external_ip, **mapping_state(made)},
                _mapped(gateway, one.wanted, made),
            )
        if options.hold and result == 0:
            point.mappings.observe(Printer(reactor, report))
            await interrupted(reactor)
        elif not options.hold:
            for one in held:
                one.leave()
    return result


def _mapped(gateway: Gateway, wanted: PortMapping, made: MappingStatus) -> str:
    address = gateway.wan.status.external_ip or "(no external address)"
    lasts = f"for {made.lease_seconds} s" if made.lease_seconds else "permanent"
    return (
        f"{address}:{made.external_port} -> {gateway.local_address}:{wanted.internal_port} {wanted.protocol}, {lasts}"
        + (f" ({made.reason})" if made.reason else "")
    )


async def unmap(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Delete mappings of ours."""
    result = 0
    async with control_point(reactor, options) as point:
        gateway = await point.gateway(options.timeout)
        connection = gateway.wan.connection
        for wanted in options.ports:
            name = f"{wanted.protocol.lower()}:{wanted.wanted_port}"
            try:
                entry = await connection.entry(wanted.protocol, wanted.wanted_port)
                if not options.force and not _may_delete(entry, gateway):
                    result = report.failed(
                        f"{name} leads to {entry.internal_client}:{entry.internal_port} "
                        f"({printable(entry.description)!r}), not to a mapping made here; "
                        "add --force to delete it all the same"
                    )
                    continue
                await connection.delete(wanted.protocol, wanted.wanted_port)
            except ActionError as error:
                text = (
                    f"there is no mapping {name}; 'txigd list' shows what there is" if error.code == 714 else str(error)
                )
                result = report.failed(text)
            else:
                report.value({"deleted": name}, f"deleted {name}")
    return result


def _may_delete(entry: PortMappingEntry, gateway: Gateway) -> bool:
    """Made by txigd on this host, whichever process it was; another program's entry is foreign here too (Q132)."""
    shown = entry.description.strip()
    leads_here = entry.internal_client == str(gateway.local_address)
    return is_ours(shown, host_id()) or (leads_here and (not shown or shown.startswith(TAG_PREFIX)))


async def watch(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Print changes as they come."""
    async with control_point(reactor, options, poll_seconds=options.poll, events=True) as point:
        printer = Printer(reactor, report)
        point.observe(printer)
        point.gateway(options.timeout).addErrback(
            lambda failure: None if failure.check(Stopped) else report.failed(f"{failure.value}; still looking")
        )
        await interrupted(reactor, options.seconds)
    return 0


async def report_(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Write a support report."""
    async with control_point(reactor, options) as point:
        return await support_report.write(point, options, report)


def summary(point: ControlPoint, gateway: Gateway) -> dict[str, Any]:
    """What there is to say about a gateway in one line."""
    state = gateway.wan.status
    return {
        "name": gateway.friendly_name,
        "model": gateway.model,
        "udn": gateway.udn,
        "location": gateway.location,
        "address": gateway.address,
        "local_address": gateway.local_address,
        "next_hop": point.is_next_hop(gateway.address),
        "status": state.connection_status,
        "connected": state.connected,
        "external_ip": state.external_ip,
        "class": state.address_class,
        "uptime_seconds": state.uptime_seconds,
    }


COMMANDS: dict[str, Callable[[Any, argparse.Namespace, Report], Awaitable[int]]] = {
    "discover": discover,
    "status": status,
    "ip": ip,
    "list": list_,
    "map": map_,
    "unmap": unmap,
    "watch": watch,
    "report": report_,
    "simulate": simulate,
    **PINHOLE_COMMANDS,
    **DEVICE_COMMANDS,
    "subscribe": subscribe,
}
