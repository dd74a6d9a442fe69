"""The daemon is asked to end, again and again: what it leaves behind on the router, and how long its farewell takes.

python -m bench.series.sigterm [--runs 100]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time

from tests.lab.lab import Lab

from .record import RESULTS, Record, percentile
from .witnesses import Daemon, Rules, keep_log, table

MAPPINGS = ["tcp:9001", "tcp:9002", "tcp:9003", "udp:9001", "udp:9002"]
RULES = [f"{protocol.upper()} {port} 192.168.77.2:{port}" for protocol, port in (m.split(":") for m in MAPPINGS)]
OPTIONS = [word for mapping in MAPPINGS for word in ("--map", mapping)]


def measure(runs: int, seed: int = 1, *, until: float = float("inf")) -> Record:
    """All runs on one router; no more are begun after a moment of CLOCK_MONOTONIC."""
    record = Record("sigterm", "SIGTERM with five active mappings", (__doc__ or "").strip())
    chance = random.Random(seed)
    with Lab() as lab:
        rules = Rules(lab)
        while (run := len(record.rows)) < runs and time.monotonic() < until:
            began = time.monotonic()
            daemon = Daemon(lab, *OPTIONS)
            active = rules.wait_for(RULES, 30, after=began + 0.2)
            time.sleep(chance.uniform(0.0, 0.5))
            status, seconds = daemon.end(signal.SIGTERM)
            left = [entry for entry in table(lab) if entry["description"].startswith("txigd.")]
            rules_left = rules.fresh()
            row = {
                "run": run,
                "active": None if active is None else round(active - began, 3),
                "exit": status,
                "seconds": round(seconds, 3),
                "left": len(left),
                "rules_left": len(rules_left),
            }
            record.rows.append(row)
            for entry in left:
                lab.upnpc("-d", entry["port"], entry["protocol"])
        text = daemon.text()
        keep_log(daemon.log, RESULTS / "logs", "sigterm.log")
    rows = record.rows
    record.runs = len(rows)
    left_over = sum(row["left"] for row in rows)
    rules_left = sum(row["rules_left"] for row in rows)
    odd = sum(row["exit"] != 0 for row in rows)
    never = sum(row["active"] is None for row in rows)
    record.figure("entries of ours left in the table", left_over, "0", not left_over)
    record.figure("rules of ours left in the firewall", rules_left, "0", not rules_left)
    record.figure("exit status other than 0", odd, "0", not odd)
    record.figure("never active before the signal", never, "0", not never)
    times = [row["seconds"] for row in rows]
    record.figure("signal to end, p50 (s)", percentile(times, 0.5))
    record.figure("signal to end, max (s)", max(times), "<= 6", max(times) <= 6)
    starts = [row["active"] for row in rows if row["active"] is not None]
    record.figure("start of the program to all active, p50 (s)", percentile(starts, 0.5))
    record.figure("start of the program to all active, max (s)", max(starts, default=float("nan")))
    tracebacks = text.count("Traceback")
    record.figure("tracebacks", tracebacks, "0", not tracebacks)
    return record


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=600, help="begin no more runs after this")
    options = parser.parse_args()
    record = measure(options.runs, until=time.monotonic() + options.minutes * 60)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
