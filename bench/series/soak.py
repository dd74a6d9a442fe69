"""Half an hour with a fault every few seconds: memory, descriptors, timers, and how often the mappings were there.

    python -m bench.series.soak [--minutes 32]

One program holds ten mappings by the library; one fault at a time befalls the lab (see faults.py), lasts up to some
seconds, is mended, and after a pause of up to some seconds comes the next. The program tells of itself every ten
seconds (soak.csv); the growth is the least-squares slope after the first sixth of the time. Availability is the share
of looks (every 100 ms) at the router's rules, weighted by time, that show all ten: over all of the time, and over the
time in which no fault lasted. Recovery is the time from the mending of a fault until all ten are there.
"""

from __future__ import annotations

import argparse
import csv
import random
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.lab.lab import CLIENT, Lab

from .faults import FAULTS
from .record import RESULTS, Record, percentile, slope
from .witnesses import LOOK_SECONDS, Rules, Witness, keep_log, table

MAPPINGS = [f"{protocol}:{port}" for protocol in ("tcp", "udp") for port in range(9001, 9006)]
RULES = {f"{protocol.upper()} {port} 192.168.77.2:{port}" for protocol, port in (m.split(":") for m in MAPPINGS)}
PAUSE_SECONDS = (1.0, 5.0)
SAMPLE_SECONDS = 10
RSS_SLOPE = 64 * 1024  # octets a minute: what would be 90 MB a day is seen, what an allocator breathes is not
Span = tuple[float, float]


def all_there(lines: Sequence[dict[str, Any]], end: float) -> list[Span]:
    """The spans of time in which all rules were there."""
    looks = [line for line in lines if "rules" in line]
    ends = [*(line["at"] for line in looks[1:]), end]
    return [(line["at"], until) for line, until in zip(looks, ends, strict=True) if set(line["rules"]) >= RULES]


def overlap(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """Seconds that two sets of spans share."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in spans for c, d in others)


def befall(lab: Lab, seconds: float, chance: random.Random) -> list[dict[str, Any]]:
    """Faults, one after the other, for this long; a row for each."""
    rows, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        fault = chance.choice(FAULTS)
        began = time.monotonic()
        fault.begin(lab)
        time.sleep(chance.uniform(*fault.lasts))
        fault.mend(lab)
        rows.append({"fault": fault.name, "began": began, "mended": time.monotonic()})
        time.sleep(chance.uniform(*PAUSE_SECONDS))
    return rows


def recoveries(faults: list[dict[str, Any]], there: Sequence[Span], end: float) -> None:
    """Adds to each fault how long after its mending all were there again; None if the next fault came first."""
    for fault, following in zip(faults, [*faults[1:], {"began": end}], strict=True):
        # a flush is seen at the next look: what was there at the last one is no recovery
        back = next((max(a, fault["mended"]) for a, b in there if b > fault["mended"] + 3 * LOOK_SECONDS), end)
        fault["recovered"] = round(back - fault["mended"], 3) if back < following["began"] else None


def measure(minutes: float, seed: int = 1, *, sample: float = SAMPLE_SECONDS) -> tuple[Record, list[dict[str, Any]]]:
    """One run; (record, samples)."""
    record = Record("soak", f"{minutes:g} minutes with a fault every few seconds", (__doc__ or "").strip(), 1)
    with Lab() as lab:
        rules = Rules(lab)
        log = lab.folder / "holder.log"
        holder = Witness(lab, CLIENT, "holder", "holder", "--sample", str(sample), "--log", str(log), *MAPPINGS)
        start = rules.wait_for(sorted(RULES), 60)
        if start is None:
            raise SystemExit(f"the mappings never came up:\n{log.read_text(encoding='utf-8')}")
        faults = befall(lab, minutes * 60, random.Random(seed))
        calm = time.monotonic()
        final = rules.wait_for(sorted(RULES), 330, after=calm)
        end = time.monotonic()
        rules.look()
        holder.look()
        keep_log(log, RESULTS / "logs", "soak.log")
        holder.process.send_signal(signal.SIGTERM)
        status = holder.process.wait(20)
        left = [entry for entry in table(lab) if entry["description"].startswith("txigd.")]
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
    lines = [line for line in rules.lines if line["at"] >= start]
    there = all_there(lines, end)
    recoveries(faults, there, end)
    bounds = [start, *(at for fault in faults for at in (fault["began"], fault["mended"])), calm]
    quiet = list(zip(bounds[::2], bounds[1::2], strict=True))
    samples = [line for line in holder.lines if line["what"] == "sample"]
    mappings = [line for line in holder.lines if line["what"] == "mapping" and line["at"] >= start]
    record.rows = [
        {**fault, "began": round(fault["began"] - start, 2), "mended": round(fault["mended"] - start, 2)}
        for fault in faults
    ]
    record.figure("faults", len(faults))
    record.figure("all ten there, of all the time (%)", 100 * overlap(there, [(start, calm)]) / (calm - start))
    record.figure(
        "all ten there, of the time without a fault (%)", 100 * overlap(there, quiet) / sum(b - a for a, b in quiet)
    )
    for name in dict.fromkeys(fault["fault"] for fault in sorted(faults, key=lambda fault: str(fault["fault"]))):
        of_it = [fault["recovered"] for fault in faults if fault["fault"] == name]
        told = [seconds for seconds in of_it if seconds is not None]
        record.figure(f"{name}: {len(of_it)} times; mended to all there, p50 (s)", percentile(told, 0.5))
        record.figure(
            f"{name}: p95 (s); unfinished when the next came: {len(of_it) - len(told)}", percentile(told, 0.95)
        )
    record.figure(
        "last fault mended to all there (s)", "never" if final is None else final - calm, "<= 300", final is not None
    )
    record.figure("changes of state of mappings that observers heard", len(mappings))
    growth(record, samples)
    record.figure("entries of ours after SIGTERM", len(left), "0", not left)
    record.figure("exit status", status, "0", status == 0)
    record.figure("tracebacks", tracebacks, "0", not tracebacks)
    return record, samples


def growth(record: Record, samples: list[dict[str, Any]]) -> None:
    """Figures of what must not grow."""
    if not samples:
        record.figure("samples", 0, "> 0", False)
        return
    settled = samples[len(samples) // 6 :]
    minutes = [(line["at"] - settled[0]["at"]) / 60 for line in settled]
    rss = slope(list(zip(minutes, [line["rss"] for line in settled], strict=True)))
    record.figure("samples", len(samples))
    record.figure("RSS at the end (MB)", settled[-1]["rss"] / 1e6, "< 80", settled[-1]["rss"] < 80e6)
    record.figure("RSS slope (kB/min)", rss / 1e3, f"<= {RSS_SLOPE / 1e3:.0f}", rss <= RSS_SLOPE)
    for name, what in (
        ("objects", "objects"),
        ("calls", "DelayedCalls"),
        ("readers", "readers"),
        ("fds", "descriptors"),
    ):
        values = [line[name] for line in settled]
        record.figure(f"{what}: slope (1/min)", slope(list(zip(minutes, values, strict=True))))
        record.figure(f"{what}: least, median, most", f"{min(values)}, {percentile(values, 0.5):g}, {max(values)}")


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record, samples = measure(options.minutes, options.seed)
    record.save()
    with (RESULTS / "soak.csv").open("w", newline="", encoding="ascii") as file:
        out = csv.DictWriter(
            file, ["seconds", "rss", "fds", "calls", "readers", "objects"], extrasaction="ignore", lineterminator="\n"
        )
        out.writeheader()
        out.writerows({**line, "seconds": round(line["at"] - samples[0]["at"], 1)} for line in samples)
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
