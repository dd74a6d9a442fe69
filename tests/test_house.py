"""The house: the plugin, the packaging, the test command and the rules that a tool can check."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.__main__ import count
from tests.house.purity import PACKAGE, pure_modules

ROOT = PACKAGE.parent
PLUGIN = ROOT / "twisted" / "plugins" / "igd_plugin.py"


def imported(file: Path) -> set[str]:
    """The modules that a file imports when it is itself imported."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return names


class Plugin(SynchronousTestCase):
    def test_imports_nothing_of_ours(self) -> None:
        # Every start of every twistd on the machine reads this file.
        self.assertEqual(imported(PLUGIN), {"twisted.application.service"})

    def test_twisted_namespace_has_no_init(self) -> None:
        # With one, the checkout would hide Twisted itself.
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_found_in_a_checkout(self) -> None:
        script = (
            "from twisted.application.service import IServiceMaker; from twisted.plugin import getPlugins; import sys;"
            "print([(p.tapname, p.module) for p in getPlugins(IServiceMaker) if p.tapname == 'igd']);"
            "print([name for name in sys.modules if name.partition('.')[0] in ('txigd', 'treq', 'lxml')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout.splitlines(), ["[('igd', 'txigd.service')]", "[]"], done.stderr)


class Packaging(SynchronousTestCase):
    def test_editable_install_keeps_the_plugin(self) -> None:
        # Without package_dir, setuptools installs an import hook, which Twisted's search for plugins does not see.
        self.assertIn('package_dir={"": "."}', (ROOT / "setup.py").read_text(encoding="utf-8"))

    def test_sdist_takes_tests_and_docs(self) -> None:
        manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
        for line in ("graft tests", "graft docs", "include .ci/run"):
            self.assertIn(line, manifest)


class TestCommand(SynchronousTestCase):
    def test_closing_lines_of_trial_are_counted(self) -> None:
        for closing, expected in (
            ("PASSED (successes=3)", (3, 0, 0)),
            ("PASSED (skips=1, expectedFailures=1, successes=8)", (9, 0, 1)),
            ("FAILED (failures=1, errors=3, unexpectedSuccesses=1, successes=1)", (1, 5, 0)),
            ("PASSED", (0, 0, 0)),
        ):
            self.assertEqual(count(["Ran 9 tests in 0.1s\n", "\n", f"{closing}\n"]), expected)
        self.assertEqual(count(["Traceback\n"]), (0, 0, 0))

    def test_what_failed_is_shown_once_more(self) -> None:
        # Planted in a file of its own, so that a real run of trial says how it is written.
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "test_planted.py").write_text(
            "from twisted.trial.unittest import SynchronousTestCase\n"
            "class TestPlanted(SynchronousTestCase):\n"
            "    def test_good(self): pass\n"
            "    def test_bad(self): self.assertEqual('planted', 'found')\n"
            "    def test_left_out(self): pass\n"
            "    test_left_out.skip = 'a reason'\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "tests", "--summary", str(folder / "summary"), "test_planted"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1, done.stdout)
        summary = (folder / "summary").read_text().splitlines()
        self.assertEqual(summary[0], "[FAIL]")
        self.assertIn("test_planted.TestPlanted.test_bad", summary)
        self.assertNotIn("a reason", summary)
        self.assertEqual(summary[-1], "1 passed, 1 failed, 1 skipped")
        self.assertEqual(done.stdout.splitlines()[-len(summary) :], summary)

    def test_run_without_tests_fails(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "tests", "--summary", str(folder / "summary"), "tests.house"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual((folder / "summary").read_text(), "0 passed, 0 failed, 0 skipped\n")


class Source(SynchronousTestCase):
    def test_every_module_says_what_it_is(self) -> None:
        silent = [
            str(file.relative_to(ROOT))
            for file in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
            if file.read_text(encoding="utf-8").strip()
            and not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        ]
        self.assertEqual(silent, [])

    def test_the_hard_parts_are_declared_pure(self) -> None:
        # These carry the protocol; a reactor in one of them would take its tests away.
        wanted = {
            "txigd.upnp.url",
            "txigd.upnp.http_reply",
            "txigd.upnp.xml",
            "txigd.upnp.discovery.message",
            "txigd.upnp.discovery.presence",
            "txigd.upnp.description.datatypes",
            "txigd.upnp.description.device",
            "txigd.upnp.description.service",
            "txigd.upnp.control.soap",
            "txigd.upnp.eventing.gena",
            "txigd.upnp.eventing.subscription",
            "txigd.igd.mapping",
            "txigd.igd.lease",
        }
        self.assertEqual(wanted - set(pure_modules()), set())

    def test_every_logger_obeys_the_level_and_the_bound(self) -> None:
        """One of Twisted's own would be heard at any --log-level, its debug lines as well."""
        own = [path.name for path in sorted((ROOT / "txigd").rglob("*.py")) if "Logger(" in path.read_text()]
        self.assertEqual(own, ["log.py"])

    def test_log_calls_carry_fields_and_never_ready_text(self) -> None:
        # Text of a device in a format string would be formatted again.
        formatted = re.compile(
            r"\b_?log\.(debug|info|warn|error|critical|failure)\(\s*(f[\"']|[\"'][^\"'\n]*[\"']\s*%)"
        )
        found = [str(file) for file in PACKAGE.rglob("*.py") if formatted.search(file.read_text(encoding="utf-8"))]
        self.assertEqual(found, [])

    def test_parsers_never_recover(self) -> None:
        # It would turn bombs and login pages into documents without a word.
        found = [
            str(file)
            for file in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.keyword) and node.arg == "recover" and ast.unparse(node.value) != "False"
        ]
        self.assertEqual(found, [])
