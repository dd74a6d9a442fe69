"""``txigd simulate``: a simulated gateway, to which any program may talk. Knows what its options take to be true."""

from __future__ import annotations

import argparse
import functools
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any, Final

from twisted.internet.error import CannotListenError

from txigd.cli.arguments import USAGE_STATUS
from txigd.cli.report import Report
from txigd.cli.session import interrupted
from txigd.errors import InvalidArgument
from txigd.upnp import addressing
from txigd.upnp.addressing import Link

# what some quirks take to show, beside a control point
_ADDRESS6: Final = "an IPv6 address (--address6)"
_MULTICAST: Final = "a --link that carries IPv6 multicast"
_TAKES: Final = {
    "Q008": (_ADDRESS6, _MULTICAST),
    "Q013": (_ADDRESS6, _MULTICAST),
    "Q193": (_ADDRESS6,),
    "Q194": (_ADDRESS6,),
}


async def simulate(reactor: Any, options: argparse.Namespace, report: Report) -> int:
    """Run a simulated gateway."""
    from txigd.testing import WAN_ADDRESS, SimulatedGateway

    if options.list:
        return _listed(report)
    wan_address = options.wan_address or WAN_ADDRESS
    (link,) = addressing.links([options.link])
    if link.ipv4 is None:
        return report.failed(f"{link.name} has no IPv4 address; choose another --link", status=USAGE_STATUS)
    if options.wan_address and not _is_here(wan_address):
        text = f"--wan-address {wan_address} is no address of this host, so no port can be opened there; leave it out"
        return report.failed(text, status=USAGE_STATUS)
    make = functools.partial(SimulatedGateway.profile, name=options.profile) if options.profile else SimulatedGateway
    named = {"version": options.igd, "medium": options.medium, "lan_device": options.lan_device or None}
    given = {name: value for name, value in named.items() if value is not None}
    try:
        gateway = make(
            reactor,
            **given,
            address=str(link.ipv4),
            link=link.name,
            address6=str(options.address6 or ""),
            http_port=options.port,
            external_ip=options.external_ip,
            wan_address=wan_address,
            quirks=_spelled(options.quirk),
        )
    except InvalidArgument as error:
        return report.failed(f"{error} (see 'txigd simulate --list')", status=USAGE_STATUS)
    for warning in _unseen(_spelled(options.quirk), options.address6, link):
        report.warn(warning)
    try:
        await gateway.start()
    except CannotListenError as error:
        if error.interface != str(link.ipv4):
            return report.failed(f"--address6 {error.interface} cannot be used: {error.socketError}")
        return report.failed(f"port {error.port} of {link.ipv4} cannot be used; leave out --port for a free one")
    places = gateway.location, gateway.location6
    report.value(
        {
            "location": gateway.location,
            "location6": gateway.location6,
            "wan_address": wan_address,
            "problems": gateway.problems,
        },
        "\n".join(
            [
                f"simulated IGD:{gateway.version} at {' and '.join(filter(None, places))}",
                f"what is sent to a mapped port of {wan_address} goes through the mapping; end with Ctrl-C",
                *gateway.problems,
            ]
        ),
    )
    try:
        await interrupted(reactor, options.seconds)
    finally:
        await gateway.stop()
    return 0


def _listed(report: Report) -> int:
    from txigd.testing import QUIRKS, SimulatedGateway

    profiles = SimulatedGateway.profiles()
    lines = [f"{name:<15} {says}" for name, says in (*profiles.items(), *QUIRKS.items())]
    report.value({"profiles": profiles, "quirks": dict(QUIRKS)}, "\n".join(lines))
    return 0


def _spelled(quirks: Iterable[str]) -> list[str]:
    """The ids in the spelling of the catalogue; what is no id stays as it is, and will be refused."""
    from txigd.testing import QUIRKS
    from txigd.testing.quirks import NOT_PLAYED

    known = {one.lower(): one for one in (*QUIRKS, *NOT_PLAYED)}
    return [known.get(quirk.lower(), quirk) for quirk in quirks]


def _is_here(address: str) -> bool:
    """Whether a port can be opened at this address; addresses of loopback belong to no link, and can be used."""
    literal = ipaddress.IPv4Address(address)
    if literal.is_multicast or literal.is_reserved:  # a socket takes these as well, and then nothing comes
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _unseen(quirks: Iterable[str], address6: ipaddress.IPv6Address | None, link: Link) -> Iterator[str]:
    """A sentence for each quirk that nobody will notice."""
    there = set()
    if address6 is not None:
        there.add(_ADDRESS6)
    if link.multicast and not link.loopback:
        there.add(_MULTICAST)
    for quirk in dict.fromkeys(quirks):
        missing = [one for one in _TAKES.get(quirk, ()) if one not in there]
        if missing:
            yield f"{quirk} does not show: it takes {' and '.join(missing)}"
