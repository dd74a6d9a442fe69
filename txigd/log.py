"""Loggers whose level an operator can set; what is filtered out is never formatted.

Whatever comes from a device may end in a line of the log: each line stays one line, and a daemon writes a bounded
number of lines in a minute (threat B11).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from zope.interface import implementer

from txigd.limits import LOG_AGAIN_SECONDS, LOG_FIELD_CHARACTERS, LOG_LINES

LEVELS = ("debug", "info", "warn", "error")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@implementer(ILogObserver)
class LineKeeper:
    """Keeps every event to one harmless line, and their number within bounds where it is told to.

    :param observer: takes what passes.
    :param now: a clock, seconds.
    """

    def __init__(self, observer: Callable[[LogEvent], object], now: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._now = now
        self._bounded = False
        self._began = 0.0
        self._lines = self._dropped = 0

    def bound(self, bounded: bool) -> None:
        """Let at most LOG_LINES pass in a minute, or any number."""
        self._bounded = bounded
        self._began, self._lines, self._dropped = self._now(), 0, 0

    def __call__(self, event: LogEvent) -> None:
        """Take one event."""
        if self._bounded and not self._room(event):
            return
        changed = {
            name: _harmless(value)
            for name, value in event.items()
            if type(value) is str and not name.startswith("log_") and _harmless(value) != value
        }
        self._observer({**event, **changed} if changed else event)

    def _room(self, event: LogEvent) -> bool:
        now = self._now()
        if now - self._began >= LOG_AGAIN_SECONDS:
            dropped, self._dropped = self._dropped, 0
            self._began, self._lines = now, 0
            if dropped:
                self._lines = 1
                told = {"log_format": "{count} lines were left out: too many in a minute", "count": dropped}
                self._observer({**event, "log_failure": None, **told})
        if self._lines >= LOG_LINES:
            self._dropped += 1
            return False
        self._lines += 1
        return True


def _harmless(text: str) -> str:
    """Without anything that makes a line of its own or moves a terminal's cursor, and not endless."""
    clean = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text[:LOG_FIELD_CHARACTERS])
    return clean if len(text) <= LOG_FIELD_CHARACTERS else f"{clean}..."


_predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_keeper = LineKeeper(globalLogPublisher)
_observer = FilteringLogObserver(_keeper, (_predicate,))
bound_lines = _keeper.bound


def logger(namespace: str) -> Logger:
    """A logger of the ``txigd`` family.

    Text from the network goes in as a field, ``log.info("device {name!r}", name=...)``, never into the format (L20).
    """
    return Logger(namespace=namespace, observer=_observer)


def set_level(name: str) -> None:
    """Show events of this level and above: one of :data:`LEVELS`; "info" is the default."""
    _predicate.clearLogLevels()
    _predicate.setLogLevelForNamespace("txigd", LogLevel.lookupByName(name))
