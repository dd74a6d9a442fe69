"""The options of ``twistd igd``, checked before anything is opened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.python import usage

import txigd
from txigd import log
from txigd.errors import TxigdError
from txigd.igd.mapping import PortMapping, check_apart
from txigd.igd.pinhole import Pinhole
from txigd.limits import (
    MAP_FILE_CHARACTERS,
    MAPPINGS,
    PINHOLES,
    POLL_CEILING_SECONDS,
    POLL_FLOOR_SECONDS,
    POLL_SECONDS,
)
from txigd.service.state import check
from txigd.upnp import addressing
from txigd.upnp.naming import callback_authority, named_device
from txigd.upnp.url import DeviceURL

USAGE_STATUS = 2


class Options(usage.Options):
    """What ``twistd igd`` is told."""

    synopsis = "[options]"
    longdesc = (
        "Keeps port mappings true on the Internet gateway of this network and logs every change of its WAN connection. "
        "All mappings are deleted when it ends. For example: twistd -n igd --map tcp:8080 --map udp:5000:15000"
    )
    optParameters = [
        ["gateway", "g", None, "the gateway: its address or the URL of its description (default: the default route)"],
        ["poll", "p", POLL_SECONDS, "seconds between cross-checks of the WAN state"],
        ["callback-port", None, 0, "TCP port that hears the gateway's events (default: any)"],
        ["callback-host", None, None, "address for events where a container or another NAT forwards the callback port"],
        ["search-port", None, 0, "local UDP port of searches, for a firewall rule (default: any)"],
        ["map-file", None, None, "file with more mappings, one a line, # for remarks; read again at SIGHUP"],
        ["state", None, None, "file that remembers what was mapped, so that a crash leaves nothing behind"],
        ["log-level", None, "info", f"one of {', '.join(log.LEVELS)}"],
    ]
    optFlags = [["simulate", None, "run a simulated gateway as well, on loopback, and use that"]]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["links"] = []
        self["mappings"] = []
        self["pinholes"] = []

    def opt_link(self, name: str) -> None:
        """Use only this link (network interface); may be repeated."""
        self["links"].append(name)

    opt_l = opt_link

    def opt_map(self, text: str) -> None:
        """Hold a mapping PROTOCOL:INTERNAL[:EXTERNAL], for example tcp:8080 or udp:5000:15000; may be repeated."""
        self["mappings"].append(self._mapping(text))

    opt_m = opt_map

    def opt_pinhole(self, text: str) -> None:
        """Hold an IPv6 pinhole PROTOCOL:PORT, for example tcp:8080; may be repeated."""
        try:
            self["pinholes"].append(Pinhole.from_text(text))
        except TxigdError as error:
            raise usage.UsageError(f"--pinhole {error}") from None

    def opt_version(self) -> None:
        """Print the version of txigd and exit."""
        sys.stdout.write(f"txigd {txigd.__version__}\n")
        raise SystemExit(0)

    def parseArgs(self, *words: str) -> None:
        """Nothing but options is understood."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option; mappings are written --map {words[0]}")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; what is wrong is said in one line, with exit status 2."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            text = "".join(c if c.isprintable() else "?" for c in str(error))
            sys.stderr.write(f"twistd igd: {text} (see 'twistd igd --help')\n")
            raise SystemExit(USAGE_STATUS) from None

    def postOptions(self) -> None:
        """Check what can be checked without a gateway.

        :raises usage.UsageError: saying what is wrong and how to mend it.
        """
        self["poll"] = self._number("poll", POLL_FLOOR_SECONDS, POLL_CEILING_SECONDS)
        self["callback-port"] = self._port("callback-port")
        self["search-port"] = self._port("search-port")
        if self["log-level"] not in log.LEVELS:
            raise usage.UsageError(f"--log-level {self['log-level']!r}: use one of {', '.join(log.LEVELS)}")
        if len(self["pinholes"]) > PINHOLES:
            raise usage.UsageError(f"{len(self['pinholes'])} pinholes: {PINHOLES} may be held at once")
        self.wanted()
        if self["simulate"] and (self["gateway"] is not None or self["links"]):
            raise usage.UsageError("--simulate brings its own gateway and link: leave out --gateway and --link")
        try:
            if self["state"]:
                check(Path(self["state"]))
            if self["gateway"] is not None:
                named = named_device(self["gateway"])
                if isinstance(named, DeviceURL):
                    addressing.check_zone(named)
            if self["links"]:
                addressing.links(self["links"])
            callback_authority(self["callback-host"], self["callback-port"])
        except TxigdError as error:
            raise usage.UsageError(str(error)) from None

    def wanted(self) -> list[PortMapping]:
        """The mappings of the command line and, as it is now, of the file.

        :raises usage.UsageError: saying what is wrong, and in which line.
        """
        wanted = [*self["mappings"], *self._from_file()]
        if len(wanted) > MAPPINGS:
            raise usage.UsageError(f"{len(wanted)} mappings: {MAPPINGS} may be held at once")
        try:
            check_apart(wanted)
        except TxigdError as error:
            raise usage.UsageError(f"--map {error}") from None
        return wanted

    def _from_file(self) -> list[PortMapping]:
        name = self["map-file"]
        if name is None:
            return []
        try:
            with open(name, encoding="utf-8") as file:
                lines = file.read(MAP_FILE_CHARACTERS).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"--map-file {name}: {getattr(error, 'strerror', None) or 'not a text'}") from None
        found = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            try:
                found.extend([PortMapping.from_text(text)] if text else [])
            except TxigdError as error:
                raise usage.UsageError(f"{name}, line {number}: {error}") from None
        return found

    def _mapping(self, text: str) -> PortMapping:
        try:
            return PortMapping.from_text(text)
        except TxigdError as error:
            said = str(error)
            raise usage.UsageError(f"--map {said}" if repr(text) in said else f"--map {text!r}: {said}") from None

    def _number(self, name: str, least: float, most: float) -> float:
        try:
            value = float(self[name])
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise usage.UsageError(f"--{name} {self[name]!r}: write a number from {least:g} to {most:g}")
        return value

    def _port(self, name: str) -> int:
        text = str(self[name])
        if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65_535:
            raise usage.UsageError(f"--{name} {text!r}: write a port from 1 to 65535, or 0 for any")
        return int(text)
