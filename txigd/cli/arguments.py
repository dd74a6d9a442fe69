"""The command line of ``txigd``: what may be written, and the one line that says what is wrong. Loads no Twisted."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

import txigd
from txigd.errors import InvalidArgument
from txigd.igd.mapping import PortMapping

USAGE_STATUS = 2
SEARCH_SECONDS = 5.0


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        sys.stderr.write(f"{self.prog}: {message} (see '{self.prog} --help')\n")
        raise SystemExit(USAGE_STATUS)


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="txigd", description="Talk to the Internet gateway (home router) of this network by UPnP.")
    top.add_argument("--version", action="version", version=f"txigd {txigd.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _common()

    def add(name: str, text: str) -> Parser:
        return commands.add_parser(name, help=text, description=text, parents=[common])

    add("discover", "List every gateway that answers.")
    add("status", "Show the gateway in use: link state, external address, services, events.")
    add("ip", "Print the external IP address.")
    add("list", "List the port mappings of the gateway.")
    held = add("map", "Map ports of the gateway to this host.")
    held.add_argument(
        "mappings",
        nargs="+",
        type=mapping,
        metavar="PROTOCOL:INTERNAL[:EXTERNAL]",
        help="for example tcp:8080, or udp:5000:15000; EXTERNAL 'any' accepts another port when that one is taken",
    )
    held.add_argument("--lease", type=lease, metavar="SECONDS", help="how long it lasts (default 3600); 0 for ever")
    held.add_argument("--name", default="", help="short name, shown in the gateway's table")
    held.add_argument("--hold", action="store_true", help="keep it true until interrupted, then delete it")
    unmap = add("unmap", "Delete port mappings of this host.")
    unmap.add_argument("ports", nargs="+", type=mapping, metavar="PROTOCOL:EXTERNAL", help="for example tcp:8080")
    unmap.add_argument("--force", action="store_true", help="also when the mapping leads to another host or program")
    watch = add("watch", "Print every change of the gateway as it happens, until interrupted.")
    watch.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    watch.add_argument("--poll", type=seconds, default=30.0, metavar="SECONDS", help="period of the cross-check (30)")
    simulate = commands.add_parser("simulate", help="Run a simulated gateway.", description="Run a simulated gateway.")
    simulate.add_argument("--link", default="lo", help="link to appear on (default lo)")
    simulate.add_argument("--igd", type=int, choices=(1, 2), default=2, help="IGD version (default 2)")
    simulate.add_argument("--port", type=port, default=0, help="TCP port of its description (default: any)")
    simulate.add_argument("--external-ip", default="11.22.33.44", help="its external address (default 11.22.33.44)")
    simulate.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    simulate.add_argument("-v", "--verbose", action="count", default=0, help="log what happens; twice: details too")
    return top


def _common() -> Parser:
    common = Parser(add_help=False)
    common.add_argument(
        "--link", action="append", default=[], metavar="NAME", help="use only this link; may be repeated"
    )
    common.add_argument("--gateway", metavar="URL", help="the gateway: its address or the URL of its description")
    common.add_argument(
        "--timeout", type=seconds, default=SEARCH_SECONDS, metavar="SECONDS", help="how long to look for it (default 5)"
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("-v", "--verbose", action="count", default=0, help="log what happens; twice: details too")
    return common


def mapping(text: str) -> PortMapping:
    """A mapping as the user writes it."""
    try:
        return PortMapping.from_text(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
