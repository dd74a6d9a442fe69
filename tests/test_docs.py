"""What the README and the documentation tell people to run: programs are run, command lines are parsed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.child import NO_NETWORK, ROOT, namespace_or_skip
from txigd.cli import arguments
from txigd.cli.commands import COMMANDS
from txigd.service import Options
from txigd.testing import FAULTS, SimulatedGateway
from txigd.testing.quirks import NOT_PLAYED

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.S | re.M)
MARK = re.compile(r"<!-- sample: (\w+) -->")
WITH_SAMPLES = ("README.md", "docs/tutorial.md", "docs/events.md", "docs/testing-your-app.md")

# What happens to each program: (link of the gateway, steps for tests.sample_world, what must be said in this order)
SAMPLES: dict[str, tuple[str, list[tuple[str, str]], list[str]]] = {
    "application": (
        "lan",
        [("mapped on port 8080", "drop_wan")],
        ["Simulated gateway 11.22.33.44", "mapped on port 8080", "the line is down: Disconnected"],
    ),
    "application at Ctrl-C": (
        "lan",
        [("mapped on port 8080", "INT")],
        ["Simulated gateway 11.22.33.44", "mapped on port 8080"],
    ),
    "observer": (
        "lan",
        [
            ("", "observed"),
            ("", "change_address 11.22.33.50"),
            ("11.22.33.50", "drop_wan"),
            ("Disconnected", "INT"),
        ],
        ["Connected 11.22.33.44 -> Connected 11.22.33.50", "Connected 11.22.33.50 -> Disconnected None"],
    ),
    "address": ("lo", [], ["Simulated gateway at http://127.0.0.1:", "external address: 11.22.33.44"]),
    "server": (
        "lo",
        [
            ("reachable at 11.22.33.44:8080", "echoed"),
            ("", "drop_wan"),
            ("not reachable", "restore_wan"),
            ("now reachable at 11.22.33.44", "change_address 11.22.33.50"),
            ("now reachable at 11.22.33.50", "INT"),
        ],
        [
            "mapping tcp:8080:8080 is active",
            "reachable at 11.22.33.44:8080",
            "not reachable: the line is down",
            "now reachable at 11.22.33.44",
            "now reachable at 11.22.33.50",
        ],
    ),
    "server at Ctrl-C": (
        "lo",
        [("reachable at 11.22.33.44:8080", "INT")],
        ["mapping tcp:8080:8080 is active", "reachable at 11.22.33.44:8080"],
    ),
    "test_reachable": ("", [], ["test_mapped_and_told ...", "PASSED (successes=1)"]),
    "listener": (
        "lo",
        [
            ("", "observed"),
            ("", "change_address 11.22.33.50"),
            ("the address is 11.22.33.50", "drop_wan"),
            ("the line fell", "INT"),
        ],
        ["found Simulated gateway - Connected, 11.22.33.44 (public)", "the address is 11.22.33.50", "the line fell"],
    ),
    "waiting": (
        "lo",
        [("now: Connected, 11.22.33.44", "drop_wan"), ("down: Disconnected", "restore_wan")],
        ["now: Connected, 11.22.33.44 (public)", "down: Disconnected", "up: Connected, 11.22.33.44 (public)"],
    ),
    "test_bad_days": ("", [], ["test_a_new_address ...", "PASSED (successes=5)"]),
    "scripted": ("", [], ["no gateway:", "Please log in", "it was asked: GET /rootDesc.xml HTTP/1.1"]),
}


def fences(page: Path) -> Iterator[re.Match[str]]:
    return FENCE.finditer(page.read_text(encoding="utf-8"))


def programs() -> dict[str, str]:
    """Name -> text, verbatim, of every marked program."""
    found = {}
    for name in WITH_SAMPLES:
        for fence in fences(ROOT / name):
            mark = MARK.fullmatch(fence["before"])
            if fence["language"] == "python" and mark:
                found[mark[1]] = fence["text"]
    return found


def typed() -> Iterator[tuple[str, str]]:
    """(page, command) of every line that people are told to type."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for fence in fences(page):
            if fence["language"] == "console":
                for line in fence["text"].splitlines():
                    if line.startswith("$ "):
                        yield name, line[2:].partition("  #")[0].strip()
        for quoted in re.findall(r"`((?:txigd|twistd|make) [^`\n]+)`", page.read_text(encoding="utf-8")):
            yield name, quoted


class SampleTests(SynchronousTestCase):
    """Every program in the README and the tutorial runs as it stands there."""

    timeout = 180

    def test_every_program_is_marked_and_run(self):
        for name in WITH_SAMPLES:
            for fence in fences(ROOT / name):
                if fence["language"] == "python":
                    self.assertRegex(fence["before"], MARK, f"{name}: {fence['text'][:60]}")
        self.assertEqual(set(programs()), {name for name in SAMPLES if " " not in name})
        for name in programs():
            self.assertTrue(hasattr(self, f"test_sample_{name}"), name)

    def run_sample(self, name: str, case: str = "") -> None:
        namespace_or_skip()
        link, steps, said = SAMPLES[case or name]
        folder = Path(self.mktemp())
        folder.mkdir()
        program = folder / f"{name}.py"
        program.write_text(programs()[name], encoding="utf-8")
        command = [sys.executable, str(program.resolve())]
        if name.startswith("test_"):
            command = [
                sys.executable,
                "-m",
                "twisted.trial",
                f"--temp-directory={folder.resolve()}/t",
                str(program.resolve()),
            ]
        world = subprocess.run(
            [*NO_NETWORK, sys.executable, "-m", "tests.sample_world", link, json.dumps(steps), *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self.assertEqual(world.returncode, 0, world.stdout + world.stderr)
        told: dict[str, Any] = json.loads(world.stdout.splitlines()[-1])
        out, rest = told["out"], told["out"]
        for words in said:
            self.assertIn(words, rest, out)
            rest = rest[rest.index(words) + len(words) :]
        self.assertNotIn("Traceback", out + told["err"])
        self.assertEqual((told["status"], told["mappings"], told["subscribers"]), (0, [], 0), "it ends clean")

    def test_sample_application(self):
        self.run_sample("application")

    def test_sample_application_at_ctrl_c(self):
        self.run_sample("application", "application at Ctrl-C")

    def test_sample_observer(self):
        self.run_sample("observer")

    def test_sample_address(self):
        self.run_sample("address")

    def test_sample_server(self):
        self.run_sample("server")

    def test_sample_server_at_ctrl_c(self):
        self.run_sample("server", "server at Ctrl-C")

    def test_sample_test_reachable(self):
        self.run_sample("test_reachable")

    def test_sample_listener(self):
        self.run_sample("listener")

    def test_sample_waiting(self):
        self.run_sample("waiting")

    def test_sample_test_bad_days(self):
        self.run_sample("test_bad_days")

    def test_sample_scripted(self):
        self.run_sample("scripted")


class OperationsTests(SynchronousTestCase):
    """docs/operations.md and docs/testing-your-app.md against the program."""

    def unit(self) -> str:
        [unit] = [fence["text"] for fence in fences(ROOT / "docs/operations.md") if fence["language"] == "ini"]
        return unit

    def test_every_option_of_the_daemon_is_there(self):
        page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
        options = Options()
        for name in sorted({*options.longOpt}):
            name = name.rstrip("=")
            if name not in ("version", "help"):
                self.assertIn(f"`--{name}", page)

    def test_D4_the_unit_asks_for_no_privilege_and_is_one_that_systemd_reads(self):
        unit = self.unit()
        for line in (
            "DynamicUser=yes",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=\n",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
            "MemoryMax=128M",
            "TasksMax=",
        ):
            self.assertIn(f"\n{line}", unit)
        verify = shutil.which("systemd-analyze")
        if verify is None:
            raise SkipTest("needs systemd-analyze (Debian: systemd)")
        folder = Path(self.mktemp())
        folder.mkdir()
        daemon = folder.resolve() / "twistd"
        daemon.write_text("#!/bin/sh\n", encoding="ascii")
        daemon.chmod(0o755)
        file = folder / "txigd.service"
        file.write_text(unit.replace("/opt/txigd/bin/twistd", str(daemon)), encoding="utf-8")
        done = subprocess.run([verify, "verify", str(file.resolve())], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_every_fault_and_profile_is_there(self):
        page = (ROOT / "docs/testing-your-app.md").read_text(encoding="utf-8")
        for word, says in (*FAULTS.items(), *SimulatedGateway.profiles().items()):
            self.assertIn(f"| `{word}` | {says} |", page)

    def test_what_is_not_played_is_told_with_the_reason(self):
        page = (ROOT / "docs/testing-your-app.md").read_text(encoding="utf-8")
        _, _, table = page.partition("| not played | because |\n|---|---|\n")
        rows = [row.strip("| ").split(" | ") for row in table.partition("\n\n")[0].splitlines()]
        self.assertEqual([tuple(row) for row in rows], list(NOT_PLAYED.items()))


class CommandLineTests(SynchronousTestCase):
    """Every command line in the documentation is one that is taken."""

    def test_there_are_some(self):
        words = {command.split()[0] for _, command in typed()}
        self.assertLessEqual({"txigd", "twistd", "make"}, words)

    def test_txigd(self):
        for page, command in typed():
            words = shlex.split(command)
            if words[0] == "txigd":
                with self.subTest(f"{page}: {command}"):
                    if len(words) == 2 and not words[1].startswith("-"):
                        self.assertIn(words[1], COMMANDS)  # the mention of a command, not a whole line
                        continue
                    try:
                        arguments.parse(words[1:])
                    except SystemExit as end:
                        self.assertEqual(end.code, 0)

    def test_twistd_igd(self):
        for page, command in typed():
            words = shlex.split(command)
            if words[0] == "twistd" and "igd" in words:
                with self.subTest(f"{page}: {command}"):
                    options = words[words.index("igd") + 1 :]
                    if "--link" in options:
                        options[options.index("--link") + 1] = "lo"  # whatever links this machine has
                    try:
                        Options().parseOptions(options)
                    except SystemExit as end:
                        self.assertEqual(end.code or 0, 0)

    def test_make(self):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
        patterns = tuple(re.findall(r"^([a-z]+-)%:", makefile, re.M))
        for page, command in typed():
            if command.startswith("make "):
                with self.subTest(f"{page}: {command}"):
                    named = [word for word in shlex.split(command)[1:] if "=" not in word and not word.startswith("-")]
                    self.assertLessEqual({one for one in named if not one.startswith(patterns)}, targets)

    def test_links_between_pages_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
                with self.subTest(f"{page.name}: {target}"):
                    self.assertTrue((page.parent / target).exists())
