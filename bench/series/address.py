"""How soon an observer hears of another WAN address, and of a WAN link that went down without a word.

    python -m bench.series.address [--changes 100] [--drops 10]

Several routers with one observing program each, in turn, so that no line changes so often that it counts as flapping.
The clock starts when an `ip` that waits in the router is told and stops when the observer hears of the new address.
Each other change removes the old address first. miniupnpd sends no event of a link that goes down: polling by default
finds it; drops begin at a random moment of the period.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from typing import Any

from tests.lab.lab import CLIENT, Lab

from .record import RESULTS, Record, percentile
from .witnesses import Hand, Witness, keep_log

ROUTERS = ("router", "second", "third", "fourth", "fifth")
TURN_SECONDS = 22.0  # between two changes of one line: two are told of one that removes first, six in 60 s are a flap
PATIENCE_SECONDS = 45.0


def line(lab: Lab, name: str) -> Witness:
    """An observer of one router."""
    log = lab.folder / f"{name}.holder.log"
    told = Witness(lab, CLIENT, f"holder-{name}", "holder", "--gateway", lab.location(name), "--log", str(log))
    if told.wait(lambda told: told["what"] == "found", 30) is None:
        raise SystemExit(f"no gateway: {told.noise}")
    return told


def change(hand: Hand, told: Witness, address: str, *, old_first: bool) -> dict[str, Any]:
    """A row for one change of address."""
    began = hand.change_address(address, old_first=old_first)
    heard = told.wait(lambda line: line["what"] == "wan" and line["ip"] == address, PATIENCE_SECONDS, after=began)
    told.look()
    callbacks = sum(line["what"] == "wan" and line["at"] >= began for line in told.lines)
    return {
        "router": hand.router.name,
        "old_first": old_first,
        "seconds": round(heard["at"] - began, 3) if heard else None,
        "learned": heard["learned"] if heard else None,
        "callbacks": callbacks,
    }


def drops(hands: dict[str, Hand], lines: dict[str, Witness], chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Rows for links that go down, and come up again."""
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        names = list(lines)[: count - len(rows)]
        began = {}
        for name in names:
            time.sleep(chance.uniform(0.0, 10.0))
            began[name] = hands[name].drop_wan()
        for name in names:
            heard = lines[name].wait(
                lambda line: line["what"] == "wan" and not line["connected"], PATIENCE_SECONDS, after=began[name]
            )
            row = {"router": name, "drop": True, "learned": heard["learned"] if heard else None}
            row["seconds"] = round(heard["at"] - began[name], 3) if heard else None
            rows.append(row)
        up = {name: hands[name].restore_wan() for name in names}
        for name, row in zip(names, rows[-len(names) :], strict=True):
            heard = lines[name].wait(
                lambda line: line["what"] == "wan" and line["connected"], PATIENCE_SECONDS, after=up[name]
            )
            row["up_seconds"] = round(heard["at"] - up[name], 3) if heard else None
            print(row, flush=True)
    return rows


def measure(changes: int, drop_count: int, seed: int = 1, *, routers: int = len(ROUTERS)) -> Record:
    """Both series."""
    record = Record("address", "WAN changes until the observer hears", (__doc__ or "").strip(), changes + drop_count)
    chance = random.Random(seed)
    with Lab() as lab:
        for name in ROUTERS[1:routers]:
            lab.add_router(name)
        lines = {name: line(lab, name) for name in ROUTERS[:routers]}
        hands = {name: Hand(lab, name) for name in lines}
        time.sleep(3)  # the first events
        last = dict.fromkeys(lines, 0.0)
        for run in range(changes):
            name = ROUTERS[run % routers]
            time.sleep(max(0.0, last[name] + TURN_SECONDS - time.monotonic()) + chance.uniform(0.0, 0.5))
            address = f"11.22.{40 + run % routers}.{2 + run % 250}"
            row = change(hands[name], lines[name], address, old_first=bool(run // routers % 2))
            last[name] = time.monotonic()
            record.rows.append(row)
            print(row, flush=True)
        dropped = drops(hands, lines, chance, drop_count)
        tracebacks = 0
        for name, told in lines.items():
            told.process.send_signal(signal.SIGTERM)
            told.process.wait(20)
            log = lab.folder / f"{name}.holder.log"
            keep_log(log, RESULTS / "logs", f"address-{name}.log")
            tracebacks += log.read_text(encoding="utf-8").count("Traceback")
    tell_changes(record)
    if dropped:
        times = [float("inf") if row["seconds"] is None else row["seconds"] for row in dropped]
        record.figure(f"link down to callback, p50 (s), {len(dropped)} drops", percentile(times, 0.5))
        record.figure("link down to callback, max (s)", max(times), "<= 30", max(times) <= 30)
        ups = [float("inf") if row["up_seconds"] is None else row["up_seconds"] for row in dropped]
        record.figure("link up again to callback, max (s)", max(ups), "<= 30", max(ups) <= 30)
        record.rows += dropped
    record.figure("tracebacks", tracebacks, "0", not tracebacks)
    return record


def tell_changes(record: Record) -> None:
    """Figures of the changes of address, all together and by what the router did."""
    rows = list(record.rows)
    evented = [row for row in rows if row["learned"] == "event"]
    for how, some, bound in (
        ("told by event", evented, 1.0),
        ("told by event, new address first", [row for row in evented if not row["old_first"]], None),
        ("told by event, old address removed first", [row for row in evented if row["old_first"]], None),
        ("all", rows, 30.0),
    ):
        times = [float("inf") if row["seconds"] is None else row["seconds"] for row in some]
        if not times:
            continue
        record.figure(f"{how}: p50 (s), {len(some)} changes", percentile(times, 0.5))
        value = percentile(times, 0.99)
        record.figure(
            f"{how}: p99 (s)", value, f"<= {bound:g}" if bound else "", value <= bound if bound is not None else None
        )
    record.figure("changes that no event told of, found by polling", len(rows) - len(evented))
    missed = sum(row["seconds"] is None for row in rows)
    record.figure("changes that the observer never heard of", missed, "0", not missed)


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--drops", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = measure(options.changes, options.drops, options.seed)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
