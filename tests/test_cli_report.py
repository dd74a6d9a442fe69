"""``txigd report``: the file that it writes, and what it says."""

from __future__ import annotations

import argparse
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from txigd.cli import support_report
from txigd.errors import NoGateway
from txigd.igd.report import Datagram, Exchanged, Report, Step, View, masked
from txigd.igd.report_format import from_text

STEPS = (Step("description", "ok"), Step("call", "ActionError: 401", name="GetX"))


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        before = Path.cwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        self.made = masked(Report("now", "txigd", "Acme ../Box 7", "http://192.168.1.1/", View(), steps=STEPS))
        self.patch(support_report, "capture", lambda point, timeout: succeed(self.made))

    def write(self, output: str | None = None) -> tuple[int, mock.Mock]:
        printed: Any = mock.Mock()
        printed.failed.return_value = 1
        options = argparse.Namespace(output=output, timeout=1.0)
        return self.successResultOf(ensureDeferred(support_report.write(mock.Mock(), options, printed))), printed

    def test_file_of_its_owner_with_the_report_in_it(self) -> None:
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        status, printed = self.write()
        self.assertEqual(status, 0)
        (file,) = Path().iterdir()
        self.assertEqual(file.name, "txigd-report-acme-box-7.json")
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(from_text(file.read_bytes()), self.made)
        data, text = printed.value.call_args.args
        self.assertEqual(json.loads(json.dumps(data))["failed"], 1)
        self.assertIs(data["described"], True)
        for words in ("written: txigd-report-acme-box-7.json", "1 device description, 1 call,", "masked:", "next: "):
            self.assertIn(words, text)

    def without_description(self, **more: Any) -> None:
        steps = (Step("description", "ConnectFailed: 192.168.1.1 refused", **more),)
        self.made = replace(self.made, model="", steps=steps)

    def test_nothing_answers_and_nothing_is_written(self) -> None:
        self.without_description(exchanges=(Exchanged(0, 0, b"GET / HTTP/1.1\r\n\r\n", b""),))
        options = argparse.Namespace(output="out.json", timeout=1.0)
        writing = ensureDeferred(support_report.write(mock.Mock(), options, mock.Mock()))
        error = self.failureResultOf(writing, NoGateway).value
        self.assertEqual(str(error), "no description could be read at http://192.168.1.1/: 192.168.1.1 refused")
        self.assertEqual(list(Path().iterdir()), [])

    def test_no_description_is_said_first_though_there_is_something_to_write(self) -> None:
        exchanged, datagram = Exchanged(0, 0, b"GET / ", b"<html>"), Datagram(0, "lan", "192.168.1.1", 1, "group", b"x")
        for more, datagrams in (({"exchanges": (exchanged,)}, ()), ({}, (datagram,))):
            self.without_description(**more)
            self.made = replace(self.made, datagrams=datagrams)
            status, printed = self.write("out.json")
            self.assertEqual(status, 1)
            self.assertEqual([one[0] for one in printed.method_calls], ["failed", "value"])
            self.assertIn("no description could be read at http://192.168.1.1/: ", printed.failed.call_args.args[0])
            self.assertIs(printed.value.call_args.args[0]["described"], False)
            self.assertEqual(from_text(Path("out.json").read_bytes()), self.made)
        self.made = replace(self.made, steps=(), location="")
        status, printed = self.write("out.json")
        self.assertEqual(status, 1)
        self.assertIn("nobody said where one is", printed.failed.call_args.args[0])

    def test_an_earlier_report_is_kept(self) -> None:
        self.write()
        self.write()
        names = sorted(file.name for file in Path().iterdir())
        self.assertEqual(names, ["txigd-report-acme-box-7-2.json", "txigd-report-acme-box-7.json"])

    def test_a_named_file_is_replaced_and_not_followed(self) -> None:
        Path("precious").write_text("x")
        Path("out.json").symlink_to("precious")
        self.write("out.json")
        self.assertEqual(Path("precious").read_text(), "x")
        self.assertFalse(Path("out.json").is_symlink())
        self.assertEqual(stat.S_IMODE(Path("out.json").stat().st_mode), 0o600)

    def test_what_cannot_be_written_is_said(self) -> None:
        status, printed = self.write("missing/out.json")
        self.assertEqual(status, 1)
        self.assertIn("missing/out.json cannot be written: No such file", printed.failed.call_args.args[0])
        with mock.patch.object(os, "replace", side_effect=OSError(28, "No space left on device")):
            self.write("out.json")
        self.assertEqual(list(Path().iterdir()), [])

    def test_B11_a_hostile_model_names_no_other_file(self) -> None:
        for model, name in (
            ("../../etc/passwd", "etc-passwd"),
            ("\x1b[2J\n", "2j"),
            ("", "unknown"),
            ("\u202e", "unknown"),
            ("x" * 500, "x" * 60),
        ):
            self.assertEqual(support_report.default_name(model), f"txigd-report-{name}.json")
