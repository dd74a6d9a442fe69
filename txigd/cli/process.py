"""The process of one ``txigd`` command: failures become sentences, an interrupt a clean end, both an exit status.

Knows the reactor and the signals; what a command does is its own affair.
"""

from __future__ import annotations

import argparse
import signal
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.logger import LogLevel

from txigd import log
from txigd.cli.arguments import USAGE_STATUS
from txigd.cli.commands import COMMANDS
from txigd.cli.main import INTERRUPTED_STATUS
from txigd.cli.next_steps import after, after_no_gateway
from txigd.cli.report import Report, start_logging
from txigd.errors import AddressingError, InvalidArgument, NoGateway, TxigdError
from txigd.upnp.addressing import links

_log = log.logger("txigd.cli")


class Process:
    """Runs one command, once.

    :param options: as :func:`txigd.cli.arguments.parse` gives them.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._report = Report(f"txigd {options.command}", json=getattr(options, "json", False))
        self._status = 1

    def run(self) -> int:
        """Run it to its end, and give the exit status."""
        start_logging(self._options.verbose, self._report)
        try:
            react(self._main, ())
        except SystemExit as end:
            if end.code not in (0, None):
                return 1
        return self._status

    def _main(self, reactor: Any) -> Deferred[None]:
        """An interrupt cancels the command; the reactor stops when it has cleaned up."""
        running = Deferred.fromCoroutine(self._command(reactor))
        self._report.on_unread = running.cancel
        ended = running.addCallback(self._ended)

        def interrupted() -> Deferred[None]:
            # timeout(1) sends two signals, and so do people: the farewell takes seconds at most, and happens once
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            running.cancel()
            return ended

        reactor.addSystemEventTrigger("before", "shutdown", interrupted)
        return ended

    def _ended(self, status: int) -> None:
        self._status = status

    async def _command(self, reactor: Any) -> int:
        options, report = self._options, self._report
        try:
            await _listening(reactor)
            return await COMMANDS[options.command](reactor, options, report)
        except (AddressingError, InvalidArgument) as error:
            return report.failed(str(error), status=USAGE_STATUS)
        except NoGateway as error:
            step = after_no_gateway(options.gateway, network=bool(links(options.link)), reason=error.__cause__)
            return report.failed(f"{error}; {step}")
        except (CancelledError, SystemExit):  # the latter from a control point that the reactor's end stopped
            return INTERRUPTED_STATUS
        except TxigdError as error:
            return report.failed(after(error, url=getattr(options, "url", None)))
        except Exception as error:
            _log.failure("a fault of txigd itself", level=LogLevel.debug)
            said = f"a fault of txigd itself: {type(error).__name__}: {error}"
            return report.failed(f"{said}; please report it with what the same command says with -vv")


def _listening(reactor: Any) -> Deferred[None]:
    """Fires when the reactor hears signals: an earlier one would break into the command wherever it is."""
    begun: Deferred[None] = Deferred()
    reactor.callWhenRunning(begun.callback, None)
    return begun
