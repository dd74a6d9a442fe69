"""The router's NAT rules, looked at every 100 ms from inside the router's host, without asking miniupnpd.

    python -m bench.series.rules [SECONDS BETWEEN TWO LOOKS]

prints a line of JSON whenever the rules are others than at the last look, and every second how the looking went. Times
are CLOCK_MONOTONIC, which all hosts of a lab share.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

LIST = ["nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"]
PROTOCOLS = {"0x6": "TCP", "0x11": "UDP"}
_RULE = re.compile(r"@nh,72,8 (0x\w+).* dport (\d+) dnat ip to ([\d.]+):(\d+)")


def read(listing: str) -> list[str]:
    """Each rule as ``TCP 9090 192.168.77.2:8080``, in order; one that is there twice comes twice."""
    found = (_RULE.search(line) for line in listing.splitlines())
    return sorted(f"{PROTOCOLS.get(m[1], m[1])} {m[2]} {m[3]}:{m[4]}" for m in found if m)


def main(every: float) -> None:
    """Look until killed."""
    last: list[str] | None = None
    looks, longest, before, told = 0, 0.0, time.monotonic(), time.monotonic()
    while True:
        began = time.monotonic()
        done = subprocess.run(LIST, capture_output=True, text=True, check=False)
        longest, before, looks = max(longest, began - before), began, looks + 1
        rules = read(done.stdout)
        if rules != last:
            # the end of the listing: nothing counts as back before it was seen
            print(json.dumps({"at": time.monotonic(), "rules": rules}), flush=True)
            last = rules
        if began - told >= 1:
            print(json.dumps({"at": began, "looks": looks, "longest": round(longest, 3)}), flush=True)
            looks, longest, told = 0, 0.0, began
        time.sleep(max(0.0, began + every - time.monotonic()))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
