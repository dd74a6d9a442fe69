"""Mappings are kept for an hour while 30 % of all packets get lost, each way.

    python -m bench.series.loss [--runs 300:60 60:10]

Losses are drawn for each packet by nftables, at the client's and at the router's input, before the program starts.
A lapse is a look at the router's rules, every 100 ms, that misses one of ten mappings after all had been there once.
An hour of leases of 300 s is twelve hours of the usual ones. Ten minutes of leases of 60 s are a stress beside it: the
delays of TCP do not shrink with a lease, and a router is asked one thing at a time.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.lab.lab import CLIENT, Lab

from .faults import lose
from .record import Record
from .witnesses import Rules, Witness

PERCENT = 30
RUNS = ((300, 60.0), (60, 10.0))  # seconds of lease, minutes
MAPPINGS = [f"{protocol}:{port}" for protocol in ("tcp", "udp") for port in range(9001, 9006)]
RULES = {f"{protocol.upper()} {port} 192.168.77.2:{port}" for protocol, port in (m.split(":") for m in MAPPINGS)}
START_SECONDS = 240.0


def lapses(lines: list[dict[str, Any]], start: float, end: float) -> list[dict[str, Any]]:
    """When which mapping was missing, for how many seconds; one that is missing at the end is counted up to there."""
    since: dict[str, float] = {}
    found = []
    for line in [*(line for line in lines if "rules" in line and line["at"] >= start), {"at": end, "rules": None}]:
        present = RULES if line["rules"] is None else set(line["rules"])
        for rule in RULES - present:
            since.setdefault(rule, line["at"])
        for rule in [rule for rule in since if rule in present]:
            began = since.pop(rule)
            found.append({"rule": rule, "at": round(began - start, 2), "seconds": round(line["at"] - began, 2)})
    return found


def watch(record: Record, lease: int, minutes: float, percent: int) -> None:
    """One run; its rows and figures go into the record."""
    with Lab() as lab:
        rules = Rules(lab)
        lose(lab, percent)
        began = time.monotonic()
        log = lab.folder / "holder.log"
        holder = Witness(lab, CLIENT, "holder", "holder", "--lease", str(lease), "--log", str(log), *MAPPINGS)
        active = rules.wait_for(sorted(RULES), START_SECONDS)
        if active is None:
            record.figure(f"leases of {lease} s: all ten active", "never", f"within {START_SECONDS:g} s", False)
            return
        time.sleep(minutes * 60)
        end = time.monotonic()
        rules.look()
        holder.look()
        gone = lapses(rules.lines, active, end)
        changes = [line for line in holder.lines if line["what"] == "mapping" and line["at"] >= active]
        looks, pause = rules.looks(), rules.longest_pause()
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
        holder.process.send_signal(signal.SIGTERM)
        holder.process.wait(20)
    record.rows += [{"lease": lease, "lapse": lapse} for lapse in gone]
    record.rows += [{"lease": lease, "at": round(line["at"] - active, 2), **line_facts(line)} for line in changes]
    share = sum(lapse["seconds"] for lapse in gone) / ((end - active) * len(RULES))
    for what, value, promised, met in (
        ("start to all ten active (s)", active - began, "", None),
        ("watched (s)", end - active, "", None),
        ("looks at the rules", looks, "", None),
        ("longest time between two looks (s)", pause, "", None),
        ("lapses", len(gone), "0", not gone),
        ("longest lapse (s)", max((lapse["seconds"] for lapse in gone), default=0.0), "", None),
        ("present, share of time and mappings (%)", 100 * (1 - share), "", None),
        ("failed and tried again", sum(line["state"] == "lost" for line in changes), "", None),
        ("tracebacks", tracebacks, "0", not tracebacks),
    ):
        record.figure(f"leases of {lease} s: {what}", value, promised, met)


def measure(runs: Sequence[tuple[int, float]], percent: int = PERCENT) -> Record:
    """Each run has leases of so many seconds and takes so many minutes."""
    record = Record("loss", f"{percent} % packet loss each way", (__doc__ or "").strip(), len(runs))
    for lease, minutes in runs:
        watch(record, lease, minutes, percent)
    return record


def run(text: str) -> tuple[int, float]:
    """Read ``SECONDS OF LEASE:MINUTES``."""
    lease, _, minutes = text.partition(":")
    return int(lease), float(minutes)


def line_facts(line: dict[str, Any]) -> dict[str, Any]:
    """A change of a mapping without its time."""
    return {key: line[key] for key in ("mapping", "state", "reason")}


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=run, nargs="+", default=RUNS, metavar="LEASE:MINUTES")
    options = parser.parse_args()
    record = measure(options.runs)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
