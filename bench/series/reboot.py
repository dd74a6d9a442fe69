"""The router is killed and its rules flushed, it starts again: how long until all held mappings are back.

    python -m bench.series.reboot [--runs 21] [--blocked-runs 10] [--quick-runs 6]

The clock starts with the first ssdp:alive that an independent listener hears after the restart, and stops with the
first look at the router's rules (every 100 ms) that shows all of them.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.lab.lab import Lab

from .record import RESULTS, Record, percentile
from .witnesses import Daemon, Rules, Witness, ear, keep_log

MAPPINGS = [f"{protocol}:{port}" for protocol in ("tcp", "udp") for port in range(9001, 9006)]
RULES = [f"{protocol.upper()} {port} 192.168.77.2:{port}" for protocol, port in (m.split(":") for m in MAPPINGS)]
OPTIONS = [word for mapping in MAPPINGS for word in ("--map", mapping)]
LONGEST_SECONDS = 120.0
# Every fourth stays away as long as a real one boots.
DOWN_SECONDS = ((0.0, 3.0), (0.0, 3.0), (0.0, 3.0), (20.0, 40.0))
# A device that restarts again and again is believed a few times at once, then once in 30 s (A5): measured by itself.
APART_SECONDS = 33.0
ROUTERS = ("router", "second", "third")


def restarts(
    runs: int, *, blocked: bool, chance: random.Random, apart: float = APART_SECONDS, routers: Sequence[str] = ROUTERS
) -> list[dict[str, Any]]:
    """A row for each restart, of several routers in turn, each with a daemon of its own; the last row is the end.

    A router that cannot be searched for must come back where it was: with SSDP dropped it has a fixed port.
    """
    rows: list[dict[str, Any]] = []
    with Lab(port=5000 if blocked else 0) as lab:
        for name in routers[1:]:
            lab.add_router(name, port=5000 if blocked else 0)
        rules, witness = {name: Rules(lab, name) for name in routers}, ear(lab)
        # The first is the default route; the others are told to their daemons by address.
        named = {name: ["--gateway", lab.routers[name].lan_address] if name != routers[0] else [] for name in routers}
        daemons = {name: Daemon(lab, *OPTIONS, *named[name], name=f"daemon-{name}") for name in routers}
        for name in routers:
            if rules[name].wait_for(RULES, 30) is None:
                raise SystemExit(f"the mappings never came up:\n{daemons[name].text()}")
        if blocked:
            lab.block_ssdp()
        last = dict.fromkeys(routers, time.monotonic() - (0 if blocked else apart))
        for run in range(runs):
            name = routers[run % len(routers)]
            time.sleep(max(0.0, last[name] + apart - time.monotonic()) + chance.uniform(0.5, 10 if blocked else 2))
            down = chance.uniform(*DOWN_SECONDS[run % 4 if apart else 0])
            row = {"run": run, "router": name, "blocked": blocked, "apart": apart, "down": round(down, 2)}
            row["seconds"] = restart(lab, name, down, rules[name], witness)
            last[name] = time.monotonic()
            rows.append(row)
            print(row, flush=True)
            if row["seconds"] is None and rules[name].wait_for(RULES, 300, after=last[name]) is None:
                break
        statuses = [daemon.end(signal.SIGTERM)[0] for daemon in daemons.values()]
        tracebacks = sum(daemon.text().count("Traceback") for daemon in daemons.values())
        pause = max(looks.longest_pause() for looks in rules.values())
        rows.append({"exit": statuses, "tracebacks": tracebacks, "pause": pause})
        for name, daemon in daemons.items():
            keep_log(daemon.log, RESULTS / "logs", f"reboot-{'blocked' if blocked else f'{apart:g}'}-{name}.log")
    return rows


def restart(lab: Lab, name: str, down: float, rules: Rules, witness: Witness) -> float | None:
    """Seconds from the first announcement after the restart until all rules are back; None when they never came."""
    killed = time.monotonic()
    lab.kill_router(name)
    flushed = rules.wait(lambda line: line.get("rules") == [], 5, after=killed)
    if flushed is None:
        raise SystemExit(f"not flushed at {killed}: {[x for x in rules.lines if 'rules' in x][-4:]} {rules.noise}")
    time.sleep(down)
    lab.restart_router(name)
    source = lab.routers[name].lan_address
    alive = witness.wait(
        lambda line: line.get("nts") == "ssdp:alive" and line["source"] == source, 20, after=flushed["at"]
    )
    if alive is None:
        raise SystemExit(f"{name} did not announce itself")
    back = rules.wait_for(RULES, LONGEST_SECONDS, after=flushed["at"])
    return None if back is None else round(back - alive["at"], 3)


def measure(runs: int, blocked_runs: int, quick_runs: int, seed: int, routers: Sequence[str] = ROUTERS) -> Record:
    """All three series."""
    record = Record(
        "reboot", "Router restarts with ten held mappings", (__doc__ or "").strip(), runs + blocked_runs + quick_runs
    )
    chance = random.Random(seed)
    for how, count, blocked, apart, bound, judged in (
        ("", runs, False, APART_SECONDS, 5.0, 0.95),
        ("SSDP dropped: ", blocked_runs, True, 0.0, 65.0, 1.0),
        ("one restart upon the other: ", quick_runs, False, 0.0, None, 0.95),
    ):
        if not count:
            continue
        rows = restarts(count, blocked=blocked, chance=chance, apart=apart, routers=routers if bound else routers[:1])
        record.rows += rows
        end = rows[-1]
        times = [float("inf") if row["seconds"] is None else row["seconds"] for row in rows[:-1]]
        for share in (0.5, 0.95, 1.0):
            name, value = f"p{share * 100:g}" if share < 1 else "max", percentile(times, share)
            record.figure(
                f"{how}alive to all 10 back, {name} (s), {count} runs",
                value if value != float("inf") else "never",
                f"<= {bound:g}" if bound and share == judged else "",
                value <= bound if bound and share == judged else None,
            )
        record.figure(f"{how}tracebacks in the logs", end["tracebacks"], "0", not end["tracebacks"])
        record.figure(f"{how}longest time between two looks (s)", end["pause"])
    return record


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--blocked-runs", type=int, default=10)
    parser.add_argument("--quick-runs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = measure(options.runs, options.blocked_runs, options.quick_runs, options.seed)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
