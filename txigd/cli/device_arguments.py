"""What may be written for the commands that talk to any UPnP device. Loads no Twisted."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

DEVICE_SECONDS = 30.0
SERVICE_HELP = "its name (SwitchPower), type, id or place (1.0.1), as 'txigd describe' shows them"


def add_device_commands(commands: Any, seconds: Callable[[str], float], port: Callable[[str], int]) -> None:
    """Add ``describe``, ``call`` and ``subscribe``.

    :param commands: what ``add_subparsers`` gave.
    :param seconds: reads a number of seconds.
    :param port: reads a TCP port.
    """

    def add(name: str, text: str, more: str, where: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text} {more}")
        made.add_argument("url", metavar=where, help="of its description; 'txigd discover' shows those of gateways")
        made.add_argument(
            "--timeout",
            type=seconds,
            default=DEVICE_SECONDS,
            metavar="SECONDS",
            help=f"how long one answer may take (default {DEVICE_SECONDS:g})",
        )
        made.add_argument("--json", action="store_true", help="print JSON")
        made.add_argument("-v", "--verbose", action="count", default=0, help="log what happens; twice: details too")
        made.set_defaults(link=[], gateway=None)
        return made

    described = add(
        "describe",
        "Show what any UPnP device offers: devices, services, actions, variables, icons.",
        "A FILE is a\ndescription that was saved; its service descriptions are looked for beside it.",
        "URL|FILE",
    )
    described.add_argument(
        "--base",
        metavar="URL",
        help="where a FILE came from, for its relative URLs; a URLBase in it wins where it is on the same host",
    )
    called = add("call", "Call an action of any UPnP device.", "Arguments are checked before they are sent.", "URL")
    called.add_argument("service", metavar="SERVICE", help=SERVICE_HELP)
    called.add_argument("action", metavar="ACTION", help="or QueryStateVariable with varName=NAME")
    called.add_argument("arguments", nargs="*", type=argument, metavar="NAME=VALUE", help="every in-argument")
    subscribed = add("subscribe", "Print the events of a service as they come, until interrupted.", "", "URL")
    subscribed.add_argument("service", metavar="SERVICE", help=SERVICE_HELP)
    subscribed.add_argument("--for", dest="seconds", type=seconds, metavar="SECONDS", help="stop after this time")
    subscribed.add_argument(
        "--callback-port", type=port, default=0, metavar="PORT", help="TCP port for the device's calls (default: any)"
    )


def argument(text: str) -> tuple[str, str]:
    """An in-argument as the user writes it."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE, for example NewTargetValue=1")
    return name.strip(), value
