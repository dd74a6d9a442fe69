"""Entry point of the ``txigd`` command and of ``python -m txigd``. Loads what commands need only where there is one.

Nothing is loaded outside of :func:`run`: an interrupt may come at any time, and most of a start is loading.
"""

from __future__ import annotations

import sys

INTERRUPTED_STATUS = 130


def script() -> None:
    """Run the command that ``sys.argv`` asks for; never returns."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command and give its exit status: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""
    try:
        from txigd.cli.arguments import parse

        options = parse(argv)
        from txigd.cli.process import Process  # only now: --help and usage errors answer at once

        return Process(options).run()
    except KeyboardInterrupt:  # before the reactor heard it: nothing was begun
        return INTERRUPTED_STATUS
