"""What the ``txigd`` command prints: text for people, JSON for programs, errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from zope.interface import implementer

from txigd import log
from txigd.errors import TxigdError
from txigd.limits import DROP_REASONS, LOG_CHARACTERS


def start_logging(verbose: int, report: Report) -> None:
    """Show the log on standard error: what does not work, each once as a line of the command; then info, then debug."""
    if verbose:
        log.set_level("debug" if verbose > 1 else "info")
        globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    else:
        globalLogBeginner.beginLoggingTo(
            [
                FilteringLogObserver(textFileLogObserver(sys.stderr), (LogLevelFilterPredicate(LogLevel.critical),)),
                ProblemTeller(report),
            ],
            redirectStandardIO=False,
            discardBuffer=True,
        )


@implementer(ILogObserver)
class ProblemTeller:
    """Warns of what the log calls a ``problem``: a port that is taken, a link that refuses multicast; each once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: set[str] = set()

    def __call__(self, event: LogEvent) -> None:
        """Take one event of the log."""
        problem = event.get("problem")
        if event.get("log_level") is not LogLevel.warn or problem is None:
            return
        if problem not in self._told and len(self._told) < DROP_REASONS:
            self._told.add(problem)
            self._report.warn(problem)


def printable(text: object, characters: int = LOG_CHARACTERS) -> str:
    """Text from the network on one line, without control characters, of bounded length (B11)."""
    clean = "".join(c if c.isprintable() else "?" for c in str(text))
    return clean if len(clean) <= characters else clean[: characters - 3] + "..."


class Report:
    """Prints one command's results.

    :param prog: how the command is called, for error lines.
    :param json: whether programs read it.
    :ivar on_unread: called when nobody reads standard output any more, as after ``txigd watch | head -1``.
    """

    def __init__(self, prog: str, *, json: bool = False) -> None:
        self._prog = prog
        self.json = json
        self.on_unread: Callable[[], object] = lambda: None

    def value(self, data: Any, text: str) -> None:
        """Print ``data`` as one line of JSON, or ``text``."""
        self._print(json.dumps(plain(data)) if self.json else text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print rows under heads, as wide as their words."""
        cells = [tuple(heads), *(tuple(printable(cell) for cell in row) for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        for row in cells:
            self._print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _print(self, line: str) -> None:
        try:
            print(line, flush=True)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at its end
            if not isinstance(error, BrokenPipeError):
                raise TxigdError(f"cannot write the answer: {error.strerror}") from error
            self.on_unread()

    def warn(self, text: str) -> None:
        """Print what should be known, on standard error."""
        self.failed(text)

    def failed(self, text: str, *, status: int = 1) -> int:
        """Print why it failed and give the exit status."""
        line = printable(text) if len(text) <= LOG_CHARACTERS else "".join(c if c.isprintable() else "?" for c in text)
        print(f"{self._prog}: {line}", file=sys.stderr, flush=True)
        return status


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(item) for name, item in asdict(value).items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
