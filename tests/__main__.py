"""`python -m tests [--summary FILE] [--coverage] [TRIAL ARGUMENTS...]`: trial, with its count checked.

Trial calls a run without any test PASSED. Here that is a failure, and the last line is always
`N passed, N failed, N skipped`, which --summary also writes to a file.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

COUNT = re.compile(r"(\w+)=(\d+)")
CLOSING = re.compile(r"^(PASSED|FAILED)(?: \((.*)\))?\s*$")


def count(lines: list[str]) -> tuple[int, int, int]:
    """(passed, failed, skipped) out of trial's closing line; zeros when there is none."""
    for line in reversed(lines):
        closing = CLOSING.match(line)
        if closing:
            words = {name: int(number) for name, number in COUNT.findall(closing[2] or "")}
            passed = words.get("successes", 0) + words.get("expectedFailures", 0)
            failed = sum(words.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
            return passed, failed, words.get("skips", 0)
    return 0, 0, 0


def main(argv: list[str]) -> int:
    summary = None
    if argv[:1] == ["--summary"]:
        summary, argv = Path(argv[1]), argv[2:]
    command = [sys.executable, "-m", "twisted.trial"]
    if argv[:1] == ["--coverage"]:
        command, argv = [sys.executable, "-m", "coverage", "run", "-m", "twisted.trial"], argv[1:]
    lines = []
    with subprocess.Popen(
        [*command, *(argv or ["tests"])], stdout=subprocess.PIPE, text=True, errors="replace"
    ) as trial:
        assert trial.stdout is not None
        for line in trial.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    passed, failed, skipped = count(lines)
    text = f"{passed} passed, {failed} failed, {skipped} skipped"
    print(text)
    if summary is not None:
        summary.write_text(f"{text}\n", encoding="ascii")
    if trial.returncode:
        return 1
    if not passed:
        print("No test passed: that is a failure.", file=sys.stderr)
        return 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
