"""Loggers whose level an operator can set; what is filtered out is never formatted."""

from __future__ import annotations

from twisted.logger import FilteringLogObserver, Logger, LogLevel, LogLevelFilterPredicate, globalLogPublisher

LEVELS = ("debug", "info", "warn", "error")
_predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_observer = FilteringLogObserver(globalLogPublisher, (_predicate,))


def logger(namespace: str) -> Logger:
    """A logger of the ``txigd`` family.

    Text from the network goes in as a field, ``log.info("device {name!r}", name=...)``, never into the format (L20).
    """
    return Logger(namespace=namespace, observer=_observer)


def set_level(name: str) -> None:
    """Show events of this level and above: one of :data:`LEVELS`; "info" is the default."""
    _predicate.clearLogLevels()
    _predicate.setLogLevelForNamespace("txigd", LogLevel.lookupByName(name))
