"""Entry point of the ``txigd`` command and of ``python -m txigd``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from txigd.cli.arguments import USAGE_STATUS, parse

INTERRUPTED_STATUS = 130


def script() -> None:
    """Run the command that ``sys.argv`` asks for; never returns."""
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run one command and give its exit status: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""
    options = parse(argv)
    # loaded only now: --help and usage errors answer at once
    from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
    from twisted.internet.task import react
    from twisted.python.failure import Failure

    from txigd.cli.commands import COMMANDS
    from txigd.cli.next_steps import after, after_no_gateway
    from txigd.cli.report import Report, start_logging
    from txigd.errors import AddressingError, InvalidArgument, NoGateway, TxigdError
    from txigd.upnp.addressing import links

    start_logging(options.verbose)
    report = Report(f"txigd {options.command}", json=getattr(options, "json", False))

    async def command(reactor: Any) -> int:
        try:
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

    status = 1
    running: Deferred[int]

    def main(reactor: Any) -> Deferred[None]:
        """An interrupt cancels the command; the reactor stops when it has cleaned up."""
        nonlocal running
        finished: Deferred[None] = Deferred()
        running = ensureDeferred(command(reactor))
        report.on_unread = running.cancel

        def done(result: Any) -> Any:
            nonlocal status
            status = result if isinstance(result, int) else 1
            finished.callback(None)
            return result if isinstance(result, Failure) else None

        def interrupted() -> Deferred[None] | None:
            # timeout(1) sends two signals, and so do people: the farewell takes seconds at most, and happens once
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            running.cancel()
            return None if finished.called else finished

        reactor.addSystemEventTrigger("before", "shutdown", interrupted)
        return running.addBoth(done)

    try:
        react(main, ())
    except SystemExit as end:
        if end.code not in (0, None):
            return 1
    return status
