"""`python -m tests [--summary FILE] [--coverage] [--short] [TRIAL ARGUMENTS...]`: trial, with its count checked.

Trial calls a run without any test PASSED. Here that is a failure, and the last line is always
`N passed, N failed, N skipped`, which --summary also writes to a file. All the tests run in three lanes at once: those
that make network namespaces of their own, in two of them, mostly wait for others' programs. What failed is shown once
more before the closing line, where a long record of a run is read first.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

COUNT = re.compile(r"(\w+)=(\d+)")
CLOSING = re.compile(r"^(PASSED|FAILED)(?: \((.*)\))?\s*$")
SECTION = re.compile(r"^={70,}$")
ENDS = re.compile(r"^-{70,}$")
TROUBLE = ("[FAIL]", "[ERROR]", "[SUCCESS!?!]")
MAX_SHOWN = 400  # lines; every failure stands in full in its lane's output
HERE = Path(__file__).parent
ALIKE = re.compile(r"tests\.test_(cli\w*|demo|docs|house|ids|mutants|session\w*)$")  # on every Twisted
OTHERS = {"lab", "peers"}  # packages of tests that drive others' programs
NAMESPACES = re.compile(r"^from (tests)?\.?(lab|peers)\b|\bNamespaces\b|\bunshare\b", re.MULTILINE)


def count(lines: Sequence[str]) -> tuple[int, int, int]:
    """(passed, failed, skipped) out of trial's closing line; zeros when there is none."""
    for line in reversed(lines):
        closing = CLOSING.match(line)
        if closing:
            words = {name: int(number) for name, number in COUNT.findall(closing[2] or "")}
            passed = words.get("successes", 0) + words.get("expectedFailures", 0)
            failed = sum(words.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
            return passed, failed, words.get("skips", 0)
    return 0, 0, 0


def troubles(lines: Sequence[str]) -> list[str]:
    """The sections of trial's output that say what failed, without those of skipped tests."""
    found: list[str] = []
    section: list[str] = []
    inside = False
    for line in lines:
        if inside and (SECTION.match(line) or ENDS.match(line)):
            if section and section[0].strip() in TROUBLE:
                found += section
            section = []
        inside = bool(SECTION.match(line)) or (inside and not ENDS.match(line))
        if inside and not SECTION.match(line):
            section.append(line)
    return found


def lanes() -> list[list[str]]:
    """What each lane runs: all of tests/, each module once; the first lane without network namespaces."""
    alone = [
        f"tests.{path.parent.name}.{path.stem}"
        for path in sorted(HERE.glob("*/test_*.py"))
        if path.parent.name in OTHERS
    ]
    together: list[str] = []
    for file in sorted(HERE.glob("test_*.py")):
        lane = alone if NAMESPACES.search(file.read_text(encoding="utf-8")) else together
        lane.append(f"tests.{file.stem}")
    packages = {path.parent.name for path in HERE.glob("*/test_*.py")} - OTHERS
    return [[*together, *(f"tests.{name}" for name in sorted(packages))], alone[::2], alone[1::2]]


def run(command: Sequence[str], wanted: Sequence[Sequence[str]]) -> tuple[list[tuple[int, int, int]], list[str], bool]:
    """The counts of each lane, what failed, and whether all ended well. Prints one lane after the other."""
    counts = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, f"lane{number}") for number in range(len(wanted))]
        started = []
        for number, names in enumerate(wanted):
            with outputs[number].open("w") as output:
                lane = [*command, "--temp-directory", f"_trial_temp-lane{number}", *names]
                started.append(subprocess.Popen(lane, stdout=output))
        for process, output_file in zip(started, outputs, strict=True):
            process.wait()
            lines = output_file.read_text(errors="replace").splitlines()
            print("\n".join(lines), flush=True)
            counts.append(count(lines))
            failed += troubles(lines)
    return counts, failed, not any(process.returncode for process in started)


def main(argv: Sequence[str]) -> int:
    """Run, print the closing line, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--summary", type=Path)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--short", action="store_true", help="only what may differ from one Twisted to the next")
    options, names = parser.parse_known_args(argv)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # so a shell starts what runs in the background, and programs that tests interrupt would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "twisted.trial"]
    if options.coverage:
        command[1:] = ["-m", "coverage", "run", "-m", "twisted.trial"]
    wanted = lanes() if names in ([], ["tests"]) else [names]
    if options.short and len(wanted) > 1:
        wanted = [
            [name for name in wanted[0] if not ALIKE.match(name)],
            ["tests.lab.test_daemon", "tests.lab.test_seeds"],
        ]
    counts, shown, well = run(command, wanted)
    passed, failed, skipped = (sum(column) for column in zip(*counts, strict=True))
    text = "\n".join([*shown[:MAX_SHOWN], f"{passed} passed, {failed} failed, {skipped} skipped"])
    print(text)
    if options.summary is not None:
        options.summary.write_text(f"{text}\n", encoding="utf-8")
    if not passed or not all(any(one) for one in counts):
        print("No test passed, or a lane ran none: that is a failure.", file=sys.stderr)
        return 1
    return int(failed > 0 or not well)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
