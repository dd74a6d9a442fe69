"""`python -m bench.series [NAME...]`: the named series in turn, or all, in their full length; then the page."""

from __future__ import annotations

import subprocess
import sys

from . import page
from .record import ROOT


def main(names: list[str]) -> int:
    """Returns 1 when a series did not keep what was promised."""
    unknown = [name for name in names if name not in page.ORDER]
    if unknown:
        print(f"no such series: {', '.join(unknown)}; there are {', '.join(page.ORDER)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or page.ORDER:
        print(f"== {name}", flush=True)
        # a process for each: what one leaves behind in memory is no affair of the next
        if subprocess.run([sys.executable, "-m", f"bench.series.{name}"], cwd=ROOT, check=False).returncode:
            failed.append(name)
    page.write()
    print(f"promises not kept: {', '.join(failed)}" if failed else "everything promised was kept")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
