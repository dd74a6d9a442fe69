"""The daemon is killed outright at a random moment and started again with other wishes: what is left on the router?

    python -m bench.series.sigkill [--runs 100]

Twenty entries of a neighbour are on the router all the time. A run starts the daemon with five mappings of eight, one
of them on a port that the neighbour holds, with leave to take another; kills it, half the time while it writes its
first entries; starts it with five others, two of them not wanted before; waits until the router's rules are exactly
those, or for ten seconds more once all wanted ones are there; and then looks at the table by upnpc. An orphan is an
entry with our tag that nothing wants; a duplicate, a second entry for the same internal port. The daemon's state file
lives through the kill. At the end of each run comes SIGTERM; what is left then is counted and removed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from typing import Any

from tests.lab.lab import CLIENT_ADDRESS, Lab

from .record import RESULTS, Record, percentile
from .witnesses import LOOK_SECONDS, Daemon, Rules, keep_log, table

POOL = ["tcp:9001", "tcp:9002", "tcp:9003", "tcp:9004", "udp:9001", "udp:9002", "udp:9003"]
TAKEN = "tcp:8000:any"  # the neighbour holds TCP 8000: another port will be chosen
FOREIGN = [*((port, "TCP") for port in range(8000, 8010)), *((port, "UDP") for port in range(8000, 8010))]
SETTLE_SECONDS = 10.0
FIRST_RULE_SECONDS = 20.0
PATIENCE_SECONDS = 60.0


class Kills:
    """All runs on one lab; ``rows`` is what they found."""

    def __init__(self, lab: Lab, chance: random.Random) -> None:
        self.lab = lab
        self.chance = chance
        self.rules = Rules(lab)
        for port, protocol in FOREIGN:
            lab.add_foreign_mapping(port, protocol)
        self.foreign = self._others(table(lab))
        self.rows: list[dict[str, Any]] = []

    def _others(self, entries: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        """What is not ours, without the lease that runs."""
        foreign = [entry for entry in entries if not entry["description"].startswith("txigd.")]
        return {(e["protocol"], e["port"], e["client"], e["internal"], e["description"]) for e in foreign}

    def _ours(self, entries: list[dict[str, Any]]) -> list[str]:
        ours = [entry for entry in entries if entry["description"].startswith("txigd.")]
        return sorted(f"{entry['protocol'].lower()}:{entry['internal']}@{entry['port']}" for entry in ours)

    def start(self, wanted: list[str]) -> Daemon:
        """The daemon with these mappings."""
        return Daemon(self.lab, *(word for mapping in wanted for word in ("--map", mapping)))

    def kill(self, daemon: Daemon, began: float) -> float:
        """At a random moment; returns how many seconds after the start."""
        if self.chance.random() < 0.5:
            self.rules.wait(
                lambda line: any(f"{CLIENT_ADDRESS}:" in rule for rule in line.get("rules", ())),
                FIRST_RULE_SECONDS,
                after=began,
            )
            time.sleep(self.chance.uniform(0.0, 0.15))
        else:
            time.sleep(self.chance.uniform(0.2, 4.0))
        daemon.process.kill()
        daemon.process.wait()
        return time.monotonic() - began

    def run(self, number: int) -> None:
        """One kill and restart."""
        first = [*self.chance.sample(POOL, 4), TAKEN]
        kept = self.chance.sample(first[:4], 2)
        second = [*kept, *self.chance.sample([m for m in POOL if m not in first], 2), TAKEN]
        began = time.monotonic()
        killed = self.kill(self.start(first), began)
        before = self._mapped(self.rules.fresh())
        daemon = self.start(second)
        settled = self._watch(second, time.monotonic())
        entries = table(self.lab)
        ours, others = self._ours(entries), self._others(entries)
        internal = [entry.partition("@")[0] for entry in ours]
        wanted = {mapping.removesuffix(":any") for mapping in second}
        row: dict[str, Any] = {
            "run": number,
            "killed": round(killed, 3),
            "left_by_the_kill": before,
            "settled": settled,
            "orphans": sorted(entry for entry in ours if entry.partition("@")[0] not in wanted),
            "duplicates": sorted({one for one in internal if internal.count(one) > 1}),
            "missing": sorted(wanted - set(internal)),
            "foreign_gone": len(self.foreign - others),
        }
        row["exit"], row["farewell"] = daemon.end(signal.SIGTERM)
        row["farewell"] = round(row["farewell"], 3)
        row["left_by_sigterm"] = len(self._mapped(self.rules.fresh()))
        if row["left_by_sigterm"]:
            for entry in table(self.lab):
                if entry["description"].startswith("txigd."):
                    self.lab.upnpc("-d", entry["port"], entry["protocol"])
        self.rows.append(row)
        print(row, flush=True)
        keep_log(daemon.log, RESULTS / "logs", "sigkill.log")

    def _mapped(self, rules: list[str]) -> list[str]:
        """What the rules lead to us, as ``tcp:INTERNAL``; from inside the firewall, so that nobody waits for it."""
        parts = [rule.split() for rule in rules]
        return sorted(f"{p.lower()}:{to.partition(':')[2]}" for p, _, to in parts if to.startswith(CLIENT_ADDRESS))

    def _watch(self, wanted: list[str], began: float) -> float | None:
        """Seconds until exactly the wanted ones are there; None when they were not, after some patience."""
        names = sorted(mapping.removesuffix(":any") for mapping in wanted)
        all_there = None
        while True:
            mapped, now = self._mapped(self.rules.now), time.monotonic()
            if mapped == names:
                return round(now - began, 2)
            if all_there is None and set(mapped) >= set(names):
                all_there = now
            if (all_there is not None and now > all_there + SETTLE_SECONDS) or now > began + PATIENCE_SECONDS:
                return None
            time.sleep(LOOK_SECONDS)


def measure(runs: int, seed: int = 1, *, until: float = float("inf")) -> Record:
    """All runs on one router; no more are begun after a moment of CLOCK_MONOTONIC."""
    record = Record("sigkill", "SIGKILL and restart with other wishes", (__doc__ or "").strip())
    with Lab() as lab:
        kills = Kills(lab, random.Random(seed))
        while len(kills.rows) < runs and time.monotonic() < until:
            kills.run(len(kills.rows))
    record.rows = rows = kills.rows
    record.runs = len(rows)
    for what, key in (
        ("orphans ten seconds after all were active", "orphans"),
        ("duplicates", "duplicates"),
        ("wanted and missing", "missing"),
    ):
        count = sum(len(row[key]) for row in rows)
        record.figure(what, count, "0", not count)
    foreign = sum(row["foreign_gone"] for row in rows)
    record.figure(f"foreign entries gone, of {len(FOREIGN)}", foreign, "0", not foreign)
    left = sum(row["left_by_sigterm"] for row in rows)
    record.figure("entries left after the SIGTERM of each run", left, "0", not left)
    odd = sum(row["exit"] != 0 for row in rows)
    record.figure("exit status other than 0", odd, "0", not odd)
    record.figure("kills that left entries behind", sum(bool(row["left_by_the_kill"]) for row in rows))
    settled = [row["settled"] for row in rows if row["settled"] is not None]
    record.figure("restart to exactly the wanted entries, p50 (s)", percentile(settled, 0.5))
    record.figure("restart to exactly the wanted entries, max (s)", max(settled, default=float("nan")))
    return record


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=600, help="begin no more runs after this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = measure(options.runs, options.seed, until=time.monotonic() + options.minutes * 60)
    record.save()
    print(record.table())
    return not record.met


if __name__ == "__main__":
    sys.exit(main())
