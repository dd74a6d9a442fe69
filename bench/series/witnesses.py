"""Programs that run in the hosts of a lab while a series goes on, and what they have told so far."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.lab.lab import CLIENT, NEIGHBOUR, NEIGHBOUR_ADDRESS, Lab

LOOK_SECONDS = 0.1
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]


class Witness:
    """A program that tells lines of JSON; ``lines`` are those so far, ``noise`` what was not JSON."""

    def __init__(self, lab: Lab, host: str, name: str, module: str, *arguments: str) -> None:
        self.file = lab.folder / f"{name}.lines"
        self.lines: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._read_to = 0
        with self.file.open("wb") as out:
            self.process = lab.spawn(host, [sys.executable, "-m", f"bench.series.{module}", *arguments], stdout=out)

    def look(self) -> list[dict[str, Any]]:
        """Read what is new; returns it."""
        with self.file.open("rb") as file:
            file.seek(self._read_to)
            come = file.read()
        whole = come[: come.rfind(b"\n") + 1]
        self._read_to += len(whole)
        new = []
        for line in whole.decode("utf-8", "replace").splitlines():
            try:
                new.append(json.loads(line))
            except ValueError:
                self.noise.append(line)
        self.lines += new
        return new

    def wait(
        self, found: Callable[[dict[str, Any]], bool], seconds: float, *, after: float = 0.0
    ) -> dict[str, Any] | None:
        """The first line told at or after a moment for which this is so; None when none came in time."""
        deadline, start = time.monotonic() + seconds, 0
        while True:
            self.look()
            for line in self.lines[start:]:
                if line["at"] >= after and found(line):
                    return line
            start = len(self.lines)
            if time.monotonic() > deadline or self.process.poll() is not None:
                return None
            time.sleep(0.02)


class Rules(Witness):
    """The router's rules every 100 ms."""

    def __init__(self, lab: Lab, router: str = "router") -> None:
        super().__init__(lab, router, f"rules-{router}", "rules", str(LOOK_SECONDS))

    @property
    def now(self) -> list[str]:
        """The latest look."""
        self.look()
        return next((line["rules"] for line in reversed(self.lines) if "rules" in line), [])

    def wait_for(self, rules: Sequence[str], seconds: float, *, after: float = 0.0) -> float | None:
        """When these were all there for the first time after a moment; a look before it counts if nothing changed."""
        wanted = set(rules)
        self.look()
        at_that_moment = [line for line in self.lines if "rules" in line and line["at"] <= after]
        if at_that_moment and wanted <= set(at_that_moment[-1]["rules"]):
            return after
        line = self.wait(lambda line: wanted <= set(line.get("rules", ())), seconds, after=after)
        return None if line is None else float(line["at"])

    def fresh(self, seconds: float = 15) -> list[str]:
        """What a look shows that begins after this moment."""
        self.wait(lambda line: "looks" in line, seconds, after=time.monotonic())
        return self.now

    def longest_pause(self) -> float:
        """The longest time between two looks."""
        self.look()
        return max((line["longest"] for line in self.lines if "longest" in line), default=0.0)

    def looks(self) -> int:
        """How many there were."""
        self.look()
        return sum(line.get("looks", 0) for line in self.lines)


class Hand:
    """An `ip` that waits in a router's host: what it is told happens at once, however long a start takes."""

    def __init__(self, lab: Lab, router: str) -> None:
        self.router = lab.routers[router]
        self.process = lab.net.spawn(router, ["ip", "-force", "-batch", "-"], stdin=subprocess.PIPE)

    def change_address(self, new: str, *, old_first: bool) -> float:
        """The WAN gets another address; returns when it was told."""
        add, remove = (
            [f"addr add {new}/24 dev wan"],
            [f"addr del {old}/24 dev wan" for old in self.router.wan_addresses],
        )
        lines = [*remove, *add] if old_first else [*add, *remove]
        self.router.wan_addresses = [new]
        return self._tell(*lines, "route replace default dev wan")

    def drop_wan(self) -> float:
        """The WAN link goes down; returns when it was told."""
        return self._tell("link set wan down")

    def restore_wan(self) -> float:
        """It comes up again; returns when it was told."""
        return self._tell("link set wan up", "route replace default dev wan")

    def _tell(self, *lines: str) -> float:
        assert self.process.stdin is not None
        at = time.monotonic()
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()
        return at


def ear(lab: Lab) -> Witness:
    """An independent listener in the neighbour's host."""
    witness = Witness(lab, NEIGHBOUR, "ear", "ear", NEIGHBOUR_ADDRESS)
    if witness.wait(lambda line: "ready" in line, 10) is None:
        raise SystemExit(f"no witness of SSDP: {witness.noise}")
    return witness


class Daemon:
    """``twistd igd`` as people run it, in the client host."""

    def __init__(self, lab: Lab, *arguments: str, name: str = "daemon") -> None:
        self.log = lab.folder / f"{name}.log"
        state = ["--state", str(lab.folder / f"{name}.state")]
        with self.log.open("ab") as out:
            self.process = lab.spawn(CLIENT, [*TWISTD, "igd", *state, *arguments], stdout=out)

    def end(self, signal: int, seconds: float = 20) -> tuple[int | None, float]:
        """Send a signal; (exit status, seconds until the end), with None when it did not end."""
        began = time.monotonic()
        self.process.send_signal(signal)
        try:
            return self.process.wait(seconds), time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None, time.monotonic() - began

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def table(lab: Lab) -> list[dict[str, Any]]:
    """The router's port mappings as upnpc lists them."""
    pattern = r"(TCP|UDP)\s+(\d+)->([\d.]+):(\d+)\s+'([^']*)' '([^']*)' (\d+)"
    found = re.findall(pattern, lab.upnpc("-l"))
    names = ("protocol", "port", "client", "internal", "description", "remote", "lease")
    return [dict(zip(names, entry, strict=True)) for entry in found]


def keep_log(file: Path, folder: Path, name: str) -> None:
    """Copy a log out of a lab, for whoever looks into a failure."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(file.read_bytes())
