"""Leases of a minute are kept for many minutes while 30 % of all packets get lost, each way.

    python -m bench.series.loss [--minutes 12] [--lease 60]

Losses are drawn for each packet by nftables, at the client's and at the router's input, before the program starts.
A lapse is a look at the router's rules, every 100 ms, that misses one of ten mappings after all had been there once. An
hour of leases of 3600 s is one lease, twelve minutes of leases of 60 s are twelve; the delays of TCP do not shrink.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

from tests.lab.lab import CLIENT, Lab

from .faults import lose
from .record import Record
from .witnesses import Rules, Witness

PERCENT = 30
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


def measure(minutes: float, lease: int, percent: int = PERCENT) -> Record:
    """One run."""
    record = Record("loss", f"{percent} % packet loss each way, leases of {lease} s", (__doc__ or "").strip(), 1)
    with Lab() as lab:
        rules = Rules(lab)
        lose(lab, percent)
        began = time.monotonic()
        log = lab.folder / "holder.log"
        holder = Witness(lab, CLIENT, "holder", "holder", "--lease", str(lease), "--log", str(log), *MAPPINGS)
        active = rules.wait_for(sorted(RULES), START_SECONDS)
        if active is None:
            record.figure("all ten active", "never", f"within {START_SECONDS:g} s", False)
            return record
        time.sleep(minutes * 60)
        end = time.monotonic()
        rules.look()
        holder.look()
        gone = lapses(rules.lines, active, end)
        changes = [line for line in holder.lines if line["what"] == "mapping" and line["at"] >= active]
        failures = [line for line in changes if line["state"] == "lost"]
        looks, pause = rules.looks(), rules.longest_pause()
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
        holder.process.send_signal(signal.SIGTERM)
        holder.process.wait(20)
    record.rows = [{"lapse": lapse} for lapse in gone]
    record.rows += [{"at": round(line["at"] - active, 2), **line_facts(line)} for line in changes]
    share = sum(lapse["seconds"] for lapse in gone) / ((end - active) * len(RULES))
    record.figure("start to all ten active (s)", active - began)
    record.figure("watched (s)", end - active)
    record.figure("looks at the rules", looks)
    record.figure("longest time between two looks (s)", pause)
    record.figure("lapses", len(gone), "0", not gone)
    record.figure("longest lapse (s)", max((lapse["seconds"] for lapse in gone), default=0.0))
    record.figure("present, share of time and mappings (%)", 100 * (1 - share))
    record.figure("reads or renewals that failed and were tried again", len(failures))
    record.figure("tracebacks", tracebacks, "0", not tracebacks)
    return record


def line_facts(line: dict[str, Any]) -> dict[str, Any]:
    """A change of a mapping without its time."""
    return {key: line[key] for key in ("mapping", "state", "reason")}


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--lease", type=int, default=60)
    options = parser.parse_args()
    record = measure(options.minutes, options.lease)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
