"""What a device says may stand in the log, and can do nothing there (B11)."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txigd.limits import LOG_AGAIN_SECONDS, LOG_FIELD_CHARACTERS, LOG_LINES
from txigd.log import LineKeeper


class LineKeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[Any] = []
        self.now = 0.0
        self.keeper = LineKeeper(self.events.append, lambda: self.now)

    def say(self, log_format: str, **fields: object) -> None:
        self.keeper({"log_format": log_format, "log_level": LogLevel.info, "log_namespace": "txigd.x", **fields})

    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_B11_one_line_whatever_a_device_says(self) -> None:
        for text in (
            "a\nb",
            "a\r\n2026-01-01 [-] forged",
            "\x1b[2Jcleared",
            "\x9b31m",
            "next\x85line",
            "a\u2028b",
            "\u202egnp.exe",
            "nul\0",
        ):
            self.say("device {name}", name=text)
        for line in self.lines():
            self.assertTrue(line.isprintable(), line)
        self.assertEqual(self.lines()[0], "device a\\x0ab")

    def test_B11_a_format_in_a_name_is_text(self) -> None:
        self.say("device {name} {name!r}", name="{log_source} {log_level!r} %s %(x)s")
        said = "{log_source} {log_level!r} %s %(x)s"
        self.assertEqual(self.lines(), [f"device {said} {said!r}"])

    def test_B11_no_endless_line(self) -> None:
        self.say("device {name}", name="x" * 100_000)
        self.assertEqual(len(self.lines()[0]), LOG_FIELD_CHARACTERS + len("device ..."))

    def test_what_is_harmless_passes_as_it_is(self) -> None:
        failure = Failure(ZeroDivisionError("a\nb"))
        self.say("Ünïcode {name} {number}", name="Müller", number=7, log_failure=failure)
        self.assertEqual(self.lines(), ["Ünïcode Müller 7"])
        self.assertIs(self.events[0]["log_failure"], failure)

    def test_B11_a_hundred_thousand_errors_are_512_lines_a_minute(self) -> None:
        self.keeper.bound(True)
        for number in range(100_000):
            self.say("error {number}", number=number)
        self.assertEqual(len(self.events), LOG_LINES)
        self.now += LOG_AGAIN_SECONDS
        self.say("later")
        self.assertEqual(self.lines()[LOG_LINES:], ["99488 lines were left out: too many in a minute", "later"])
        for number in range(1000):
            self.say("error {number}", number=number)
        self.assertEqual(len(self.events), 2 * LOG_LINES)

    def test_unbounded_until_a_daemon_says_so(self) -> None:
        for _ in range(LOG_LINES * 2):
            self.say("line")
        self.assertEqual(len(self.events), LOG_LINES * 2)
        self.keeper.bound(True)
        self.keeper.bound(False)
        for _ in range(LOG_LINES * 2):
            self.say("line")
        self.assertEqual(len(self.events), LOG_LINES * 4)
