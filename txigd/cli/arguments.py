"""The command line of ``txigd``: what may be written, and the one line that says what is wrong. Loads no Twisted."""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import txigd
from txigd.cli.device_arguments import add_device_commands
from txigd.errors import InvalidArgument
from txigd.igd.mapping import PortMapping, check_apart
from txigd.igd.pinhole import Pinhole
from txigd.limits import PINHOLE_LEASE_CEILING_SECONDS, POLL_CEILING_SECONDS, POLL_FLOOR_SECONDS

USAGE_STATUS = 2
SEARCH_SECONDS = 5.0
DISCOVER_SECONDS = 3.0
MAPPING_FORM = "PROTOCOL:INTERNAL[:EXTERNAL]"
PORT_FORM = "PROTOCOL:EXTERNAL"
PINHOLE_FORM = "PROTOCOL:PORT"
_EPILOG = """\
examples:
  txigd discover                       which gateways answer on this network
  txigd ip                             the external address
  txigd map tcp:8080 udp:5000:15000    map two ports to this host, for an hour
  txigd map tcp:8080 --hold            keep it mapped until Ctrl-C, then delete it
  txigd pinhole tcp:8080 --hold        the same for IPv6: let the internet reach this host's port
  txigd watch --json                   one line for every change of the WAN side
  txigd describe URL                   what any UPnP device offers; then: txigd call, txigd subscribe
  txigd simulate                       a gateway in software; use it with --link lo

Each command has its own --help. Exit status: 0 done, 1 could not, 2 wrong usage, 130 interrupted. To keep
mappings for good, run the daemon: twistd igd --map tcp:8080
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the column of names wide enough for commands, of which argparse counts two characters too few."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._action_max_length = len("    unpinhole")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; takes no shortened options, which a later option would make ambiguous."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", _Help)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        message = message.replace("argument COMMAND: invalid choice:", "no such command:")
        message = re.sub(r"^argument ((?!-)\S+: )?", "", message)  # the form of what has no name says nothing
        message = "".join(c if c.isprintable() else "?" for c in message)
        sys.stderr.write(f"{self.prog}: {message} (see '{self.prog} --help')\n")
        raise SystemExit(USAGE_STATUS)


class _Apart(argparse.Action):
    """Takes mappings that can all be true at once, so that nothing is mapped before the rest is refused."""

    def __call__(
        self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, _: Any = None
    ) -> None:
        try:
            check_apart(values)
        except InvalidArgument as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(options, self.dest, values)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    :raises SystemExit: with status 0 after ``--help`` or ``--version``, with 2 after saying what is wrong.
    """
    top = parser()
    options = top.parse_args(argv)
    if options.command is None:
        top.error("what is to be done? For example: txigd discover")
    return options


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="txigd", description="Talk to the Internet gateway (home router) of this network by UPnP.", epilog=_EPILOG
    )
    top.add_argument("--version", action="version", version=f"txigd {txigd.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, text: str, more: str = "", search_seconds: float = SEARCH_SECONDS) -> Parser:
        common = _common(search_seconds)  # its own: parsers that share a parent share its defaults
        return commands.add_parser(name, help=text, description=f"{text} {more}".strip(), parents=[common])

    add("discover", "List every gateway that answers.", search_seconds=DISCOVER_SECONDS)
    add("status", "Show the gateway in use: connection, external address, services.")
    add("ip", "Print the external IP address.")
    add("list", "List the port mappings of the gateway.")
    held = add(
        "map",
        "Map ports of the gateway to this host.",
        "Each stays for its lease, or with --hold\nfor as long as this command runs.",
    )
    held.add_argument(
        "mappings",
        nargs="+",
        type=mapping,
        action=_Apart,
        metavar=MAPPING_FORM,
        help="for example tcp:8080, or udp:5000:15000; EXTERNAL 'any' accepts another port when that one is taken, "
        "'50000-50100' one of these",
    )
    held.add_argument("--lease", type=lease, metavar="SECONDS", help="how long it lasts (default 3600); 0 for ever")
    held.add_argument("--name", default="", help="short name, shown in the gateway's table")
    held.add_argument("--hold", action="store_true", help="keep it true until interrupted, then delete it")
    unmap = add("unmap", "Delete port mappings of this host.")
    unmap.add_argument("ports", nargs="+", type=mapped, metavar=PORT_FORM, help="for example tcp:8080")
    unmap.add_argument("--force", action="store_true", help="also when the mapping leads to another host or program")
    _add_pinholes(add)
    watch = add("watch", "Print every change of the gateway as it happens, until interrupted.")
    watch.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    watch.add_argument("--poll", type=poll, default=30.0, metavar="SECONDS", help="period of the cross-check (30)")
    reported = add(
        "report",
        "Write a support report: everything that the gateway says, for those who mend txigd.",
        "Serial numbers,\nMACs, public addresses and the like are masked; nothing on the gateway is changed.",
    )
    reported.add_argument("--output", metavar="FILE", help="default: txigd-report-MODEL.json, readable by you alone")
    add_device_commands(commands, seconds, port)
    _add_simulate(commands)
    return top


def _add_pinholes(add: Callable[..., Parser]) -> None:
    opened = add(
        "pinhole",
        "Open the gateway's IPv6 firewall for ports of this host.",
        "Each stays open for its lease, or\nwith --hold for as long as this command runs.",
    )
    opened.add_argument("pinholes", nargs="+", type=pinhole, metavar=PINHOLE_FORM, help="for example tcp:8080")
    opened.add_argument("--lease", type=pinhole_lease, metavar="SECONDS", help="how long it is open (default 3600)")
    opened.add_argument("--hold", action="store_true", help="keep it open until interrupted, then close it")
    closed = add("unpinhole", "Close pinholes of this host.", "No gateway lists them: 'txigd pinhole' told the number.")
    closed.add_argument("ids", nargs="+", type=pinhole_id, metavar="ID", help="as 'txigd pinhole' printed it")
    for command in (opened, closed):
        command.add_argument(
            "--address", type=address6, help="the address of this host that it is for (default: one that lasts)"
        )


def _add_simulate(commands: Any) -> None:
    text = "Run a simulated gateway, to which any program may talk."
    simulate = commands.add_parser("simulate", help=text, description=text)
    simulate.add_argument("--link", default="lo", metavar="NAME", help="link to appear on (default lo)")
    simulate.add_argument("--address6", type=address6, metavar="ADDRESS", help="IPv6 address to live at as well")
    simulate.add_argument("--igd", type=int, choices=(1, 2), help="version of its device type (default 2)")
    simulate.add_argument(
        "--medium", choices=("DSL", "POTS", "Cable", "Ethernet"), help="have the link service of such a line"
    )
    simulate.add_argument("--lan-device", action="store_true", help="have a LANDevice with LANHostConfigManagement too")
    simulate.add_argument("--profile", metavar="MODEL", help="be like this model, such as wrt54g")
    simulate.add_argument(
        "--quirk", action="append", default=[], metavar="ID", help="have this habit of real gateways; may be repeated"
    )
    simulate.add_argument("--list", action="store_true", help="list the models and the quirks, and end")
    simulate.add_argument("--port", type=port, default=0, help="TCP port of its description (default: any)")
    simulate.add_argument(
        "--external-ip",
        type=address,
        default="11.22.33.44",
        metavar="ADDRESS",
        help="what it tells as its external address (default 11.22.33.44)",
    )
    simulate.add_argument(
        "--wan-address",
        type=address,
        metavar="ADDRESS",
        help="address of this host on which mapped ports are opened (default: one of loopback)",
    )
    simulate.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    simulate.add_argument("--json", action="store_true", help="print JSON")
    simulate.add_argument("-v", "--verbose", action="count", default=0, help="log what happens; twice: details too")


def _common(search_seconds: float) -> Parser:
    common = Parser(add_help=False)
    common.add_argument(
        "--link", action="append", default=[], metavar="NAME", help="use only this link; may be repeated"
    )
    common.add_argument("--gateway", metavar="URL", help="the gateway: its address or the URL of its description")
    common.add_argument(
        "--timeout",
        type=seconds,
        default=search_seconds,
        metavar="SECONDS",
        help=f"how long to look for it (default {search_seconds:g})",
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("-v", "--verbose", action="count", default=0, help="log what happens; twice: details too")
    return common


def mapping(text: str) -> PortMapping:
    """A mapping as the user writes it."""
    try:
        return PortMapping.from_text(text)
    except InvalidArgument as error:
        said = str(error)
        raise argparse.ArgumentTypeError(said if repr(text) in said else f"{text!r}: {said}") from None


def mapped(text: str) -> PortMapping:
    """A mapping to delete: only its external port counts. What was given to ``map`` is understood as well."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is no mapping: write {PORT_FORM}, for example tcp:8080")
    try:
        return PortMapping.from_text(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}".replace("internal port", "port")) from None


def address(text: str) -> str:
    """An IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write an IPv4 address, for example 11.22.33.44") from None


def address6(text: str) -> ipaddress.IPv6Address:
    """An IPv6 address."""
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write an IPv6 address, for example 2001:db8::2") from None


def pinhole(text: str) -> Pinhole:
    """A pinhole as the user writes it."""
    try:
        return Pinhole.from_text(text)
    except InvalidArgument as error:
        said = str(error)
        raise argparse.ArgumentTypeError(said if repr(text) in said else f"{text!r}: {said}") from None


def pinhole_lease(text: str) -> int:
    """The lease of a pinhole in seconds."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PINHOLE_LEASE_CEILING_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds, 1 to {PINHOLE_LEASE_CEILING_SECONDS} (a day)")
    return int(text)


def pinhole_id(text: str) -> int:
    """A UniqueID."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: write the number that 'txigd pinhole' printed")
    return int(text)


def lease(text: str) -> int:
    """A lease in seconds."""
    if not text.isascii() or not text.isdigit() or int(text) > 604_800:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds, 1 to 604800 (a week), or 0 for ever")
    return int(text)


def port(text: str) -> int:
    """A TCP port, 0 for any."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: ports go from 1 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of seconds above 0")
    return value


def poll(text: str) -> float:
    """A period of the cross-check."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not POLL_FLOOR_SECONDS <= value <= POLL_CEILING_SECONDS:
        bounds = f"{POLL_FLOOR_SECONDS:g} to {POLL_CEILING_SECONDS:g}"
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of seconds from {bounds}")
    return value
