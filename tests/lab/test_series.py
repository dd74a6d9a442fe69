"""The long series of bench/series in their shortest form: that they run, and that what must be counted to zero is."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.series import address, loss, page, reboot, sigkill, sigterm, simulated, soak
from bench.series.record import Record, percentile, slope
from bench.series.rules import read
from txigd import log

from .case import require_lab

# Times are for the long series on a machine of their own; a test does not judge them.
TIMED = "(s)"


class ShortTests(SynchronousTestCase):
    def setUp(self) -> None:
        require_lab()

    def assertKept(self, record: Record) -> None:
        broken = [f for f in record.figures if f.met is False and TIMED not in f.what]
        self.assertEqual(broken, [], record.table())
        self.assertTrue([f for f in record.figures if f.met], record.table())

    def test_reboot(self) -> None:
        record = reboot.measure(1, 0, 0, 1, routers=reboot.ROUTERS[:1])
        self.assertEqual([row["seconds"] is not None for row in record.rows[:-1]], [True])
        self.assertKept(record)

    def test_address(self) -> None:
        record = address.measure(2, 0, routers=2)
        self.assertEqual([row["seconds"] is not None for row in record.rows], [True, True])
        self.assertKept(record)

    def test_sigterm(self) -> None:
        record = sigterm.measure(1)
        self.assertEqual([(row["left"], row["rules_left"]) for row in record.rows], [(0, 0)])

    def test_sigkill(self) -> None:
        record = sigkill.measure(1)
        for key in ("orphans", "duplicates", "missing"):
            self.assertEqual(record.rows[0][key], [], record.rows[0])
        self.assertEqual((record.rows[0]["foreign_gone"], record.rows[0]["left_by_sigterm"]), (0, 0))

    def test_loss(self) -> None:
        self.assertKept(loss.measure([(600, 0.1)], percent=10))

    def test_soak(self) -> None:
        record, samples = soak.measure(0.1, sample=1)
        self.assertGreater(len(samples), 2)
        for figure in record.figures:
            if figure.what in ("entries of ours after SIGTERM", "exit status", "tracebacks"):
                self.assertTrue(figure.met, record.table())


class SimulatedTests(SynchronousTestCase):
    def test_an_hour(self) -> None:
        self.addCleanup(log.set_level, "info")
        record = simulated.measure(1 / 24)
        self.assertTrue(record.met, record.table())
        self.assertGreater(int(record.figures[1].value), 50)


class RecordTests(SynchronousTestCase):
    def test_percentiles_are_measured_values(self) -> None:
        self.assertEqual(percentile(range(1, 101), 0.95), 95)
        self.assertEqual(percentile(range(1, 21), 0.95), 19)
        self.assertEqual(percentile([3.0, 1.0, 2.0], 0.5), 2.0)
        self.assertEqual(percentile([1.0, float("inf")], 1.0), float("inf"))

    def test_slope(self) -> None:
        self.assertAlmostEqual(slope([(0, 1), (1, 3), (2, 5)]), 2.0)
        self.assertEqual(slope([(0, 5), (1, 5)]), 0.0)

    def test_a_lapse_is_seen(self) -> None:
        every = sorted(loss.RULES)
        lines = [{"at": 0.0, "rules": every}, {"at": 1.0, "rules": every[1:]}, {"at": 1.5, "rules": every}]
        gone = loss.lapses(lines, 0.0, 2.0)
        self.assertEqual(gone, [{"rule": every[0], "at": 1.0, "seconds": 0.5}])

    def test_what_is_missing_at_the_end_is_a_lapse(self) -> None:
        every = sorted(loss.RULES)
        gone = loss.lapses([{"at": 0.0, "rules": every}, {"at": 1.0, "rules": []}], 0.0, 3.0)
        self.assertEqual({lapse["seconds"] for lapse in gone}, {2.0})
        self.assertEqual(len(gone), len(every))

    def test_rules_of_the_router_are_read(self) -> None:
        listing = 'iif "wan" @nh,72,8 0x11 th dport 9091 dnat ip to 192.168.77.2:8081\niif "wan" accept\n'
        self.assertEqual(read(listing), ["UDP 9091 192.168.77.2:8081"])

    def test_kept_and_shown(self) -> None:
        record = Record("reboot", "Title", "How.\n\n    python -m this\n\nMore.", 2, commit="abc1234")
        record.figure("right", 1.23456, "<= 2", True)
        record.figure("wrong", 3, "0", False)
        record.rows.append({"run": 0})
        folder = Path(self.mktemp())
        kept = json.loads(record.save(folder).read_text(encoding="utf-8"))
        self.assertEqual((kept["rows"], kept["runs"]), ([{"run": 0}], 2))
        self.assertFalse(record.met)
        page.write(folder, folder / "page.md")
        text = (folder / "page.md").read_text(encoding="utf-8")
        self.assertIn("| right | 1.235 | <= 2 | met |", text)
        self.assertIn("| wrong | 3 | 0 | **not met** |", text)
        self.assertNotIn("python -m this", text)

    def test_every_series_is_on_the_page(self) -> None:
        folder = Path(page.__file__).parent
        runs = {
            file.stem
            for file in folder.glob("*.py")
            if any(
                isinstance(node, ast.FunctionDef) and node.name == "measure"
                for node in ast.parse(file.read_text()).body
            )
        }
        self.assertEqual(runs, set(page.ORDER))
