"""`python -m tests.lab [COMMAND...]`: a shell, or one command, in the client host of a fresh router lab."""

from __future__ import annotations

import sys

from .lab import Lab
from .namespaces import LabError
from .shell import enter


def main(argv: list[str]) -> int:
    why_not = Lab.why_not()
    if why_not is not None:
        print(f"The router lab cannot run here: {why_not}", file=sys.stderr)
        return 1
    try:
        with Lab() as lab:
            status = enter(lab, argv)
    except LabError as error:
        print(f"The router lab failed: {error}", file=sys.stderr)
        return 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
