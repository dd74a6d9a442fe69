"""The router is killed and its rules flushed, it starts again: how long until all held mappings are back.

    python -m bench.series.reboot [--runs 20] [--blocked-runs 10]

The clock starts with the first ssdp:alive that an independent listener hears after the restart, and stops with the
first look at the router's rules (every 100 ms) that shows all of them.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from typing import Any

from tests.lab.lab import Lab

from .record import Record, percentile
from .witnesses import Daemon, Rules, ear

MAPPINGS = [f"{protocol}:{port}" for protocol in ("tcp", "udp") for port in range(9001, 9006)]
RULES = [f"{protocol.upper()} {port} 192.168.77.2:{port}" for protocol, port in (m.split(":") for m in MAPPINGS)]
OPTIONS = [word for mapping in MAPPINGS for word in ("--map", mapping)]
LONGEST_SECONDS = 120.0
DOWN_SECONDS = ((0.0, 3.0), (0.0, 3.0), (0.0, 3.0), (20.0, 40.0))  # every fourth stays away as long as a real one boots


def restarts(runs: int, *, blocked: bool, chance: random.Random, long_ones: bool = True) -> list[dict[str, Any]]:
    """A row for each restart. A router that cannot be searched for must come back where it was: a fixed port."""
    rows = []
    with Lab(port=5000 if blocked else 0) as lab:
        rules, witness = Rules(lab), ear(lab)
        daemon = Daemon(lab, *OPTIONS)
        if rules.wait_for(RULES, 30) is None:
            raise SystemExit(f"the mappings never came up:\n{daemon.text()}")
        if blocked:
            lab.block_ssdp()
        for run in range(runs):
            time.sleep(chance.uniform(0.5, 20 if blocked else 5))
            killed = time.monotonic()
            lab.kill_router()
            down = chance.uniform(*DOWN_SECONDS[run % 4 if long_ones else 0])
            time.sleep(down)
            lab.restart_router()
            alive = witness.wait(lambda line: line.get("nts") == "ssdp:alive", 20, after=killed)
            flushed = rules.wait(lambda line: line.get("rules") == [], 5, after=killed)
            if flushed is None:
                raise SystemExit("the rules were not flushed: nothing was measured")
            back = rules.wait_for(RULES, LONGEST_SECONDS, after=flushed["at"])
            row = {"run": run, "blocked": blocked, "down": round(down, 2), "heard_alive": alive is not None}
            row["seconds"] = round(back - alive["at"], 3) if back and alive else None
            rows.append(row)
            print(row, flush=True)
            if back is None:
                rules.wait_for(RULES, 300)
        status, _ = daemon.end(signal.SIGTERM)
        text = daemon.text()
        rows.append({"exit": status, "tracebacks": text.count("Traceback"), "pause": rules.longest_pause()})
    return rows


def measure(runs: int, blocked_runs: int, seed: int, long_ones: bool = True) -> Record:
    """Both series."""
    record = Record("reboot", "Router restarts with ten held mappings", (__doc__ or "").strip(), runs + blocked_runs)
    chance = random.Random(seed)
    for blocked, count, bound in ((False, runs, 5.0), (True, blocked_runs, 65.0)):
        if not count:
            continue
        rows = restarts(count, blocked=blocked, chance=chance, long_ones=long_ones)
        record.rows += rows
        end = rows.pop()
        times = [row["seconds"] if row["seconds"] is not None else float("inf") for row in rows]
        how = "SSDP dropped: " if blocked else ""
        for share in (0.5, 0.95, 1.0):
            name, value = f"p{share * 100:g}" if share < 1 else "max", percentile(times, share)
            judged = share == (1.0 if blocked else 0.95)
            record.figure(
                f"{how}alive to all 10 back, {name} (s), {count} runs",
                value if value != float("inf") else "never",
                f"<= {bound:g}" if judged else "",
                value <= bound if judged else None,
            )
        record.figure(f"{how}tracebacks in the daemon's log", end["tracebacks"], "0", not end["tracebacks"])
        record.figure(f"{how}longest time between two looks (s)", end["pause"])
    return record


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--blocked-runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = measure(options.runs, options.blocked_runs, options.seed)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
