"""How long until the first verified gateway: txigd beside upnpc, in the router lab, in turn.

    python -m bench.first_gateway [--runs 9]

Four figures a round, in seconds:

  in process     ControlPoint.start() to the gateway's Deferred, imports done
  whole process  start of the Python process to the same moment
  txigd ip       the whole command, start to end
  upnpc -s       the whole command, start to end; and start to its line "Found valid IGD"
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

CHILD = """
import json, os, sys, time
from twisted.internet.task import react
from txigd import ControlPoint
async def main(reactor):
    began = time.monotonic()
    async with ControlPoint(reactor) as control_point:
        gateway = await control_point.gateway(timeout=10)
        now = time.monotonic()
        print(json.dumps([now - began, now - float(os.environ["BEGAN"])]), flush=True)
react(main)
"""
HEADS = ("in process", "whole process", "txigd ip", "upnpc -s", "upnpc found")


def in_process_and_whole() -> tuple[float, float]:
    """A process that stops at its first gateway."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "BEGAN": repr(time.monotonic())},
        capture_output=True,
        check=True,
        timeout=30,
    )
    one, whole = json.loads(done.stdout)
    return one, whole


def command(*argv: str) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    return time.monotonic() - began


def upnpc_found() -> float:
    """Seconds until upnpc says that it has a gateway."""
    began = time.monotonic()
    with subprocess.Popen(
        ["stdbuf", "-oL", "upnpc", "-s"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"Found valid IGD"):
                return time.monotonic() - began
    raise SystemExit("upnpc found no gateway")


def inside(runs: int) -> None:
    """Runs in the lab's client host; the first round warms the caches and is not counted."""
    for turn in range(runs + 1):
        row = (
            *in_process_and_whole(),
            command(sys.executable, "-m", "txigd", "ip"),
            command("upnpc", "-s"),
            upnpc_found(),
        )
        if turn:
            print(json.dumps(row), flush=True)


def main() -> int:
    """Start the lab, measure, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=9)
    arguments.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.inside:
        inside(options.runs)
        return 0
    from tests.lab.lab import CLIENT, Lab

    reason = Lab.why_not() or (None if shutil.which("upnpc") else "upnpc is not installed (Debian: miniupnpc)")
    if reason:
        print(f"no router lab: {reason}")
        return 1
    with Lab() as lab:
        done = lab.run(
            CLIENT, [sys.executable, "-m", "bench.first_gateway", "--inside", "--runs", str(options.runs)], timeout=300
        )
    if done.returncode:
        print(done.stderr)
        return 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"{'seconds':15}{'min':>8}{'median':>8}{'max':>8}   ({len(rows)} rounds, in turn)")
    for head, column in zip(HEADS, zip(*rows, strict=True), strict=True):
        print(f"{head:15}{min(column):8.3f}{statistics.median(column):8.3f}{max(column):8.3f}")
    ratio = statistics.median(row[1] / row[4] for row in rows)
    print(f"whole process / upnpc found, median of pairs: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
