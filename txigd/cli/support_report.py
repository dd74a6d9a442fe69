"""``txigd report``: writes a support report and says what is in it, and what is not."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
from collections import Counter
from pathlib import Path

from txigd.cli.report import Report as Printed
from txigd.cli.report import printable
from txigd.errors import NoGateway
from txigd.igd.control_point import ControlPoint
from txigd.igd.report import Report
from txigd.igd.report_capture import capture
from txigd.igd.report_format import to_text

_KINDS = {
    "description": ("device description", "device descriptions"),
    "scpd": ("service description", "service descriptions"),
    "call": ("call", "calls"),
    "subscribe": ("subscription", "subscriptions"),
}
_NAMES = 100


async def write(point: ControlPoint, options: argparse.Namespace, printed: Printed) -> int:
    """Make a report of the gateway that ``point`` finds, and write it to a file that only its owner can read.

    :return: 0; 1 where the file cannot be written, and where it holds no description that can be read.
    :raises NoGateway: where nothing at all was heard, so that there is nothing to write.
    """
    made = await capture(point, timeout=options.timeout)
    missing = _missing(made)
    if missing and not _holds_anything(made):
        raise NoGateway(missing)
    text = to_text(made)
    try:
        file = _written(text, Path(options.output)) if options.output else _written(text, *_names(made))
    except OSError as error:
        name = options.output or _names(made)[0]
        return printed.failed(f"{name} cannot be written: {error.strerror}; choose another file with --output")
    status = printed.failed(missing) if missing else 0
    failed = [step for step in made.steps if step.outcome != "ok"]
    printed.value(
        {
            "file": str(file),
            "model": made.model,
            "location": made.location,
            "described": not missing,
            "masked": made.masked,
            "steps": len(made.steps),
            "failed": len(failed),
        },
        "\n".join(map(printable, _summary(made, file, len(failed)))),
    )
    return status


def _missing(made: Report) -> str:
    """That no description could be read, and why; empty where one could."""
    tried = [step.outcome for step in made.steps if step.kind == "description"]
    if "ok" in tried:
        return ""
    if not tried:
        return "no description could be read: nobody said where one is"
    return f"no description could be read at {made.location}: {(tried[-1].partition(': ')[2] or tried[-1]).rstrip('.')}"


def _holds_anything(made: Report) -> bool:
    return bool(made.datagrams) or any(one.received for step in made.steps for one in step.exchanges)


def default_name(model: str) -> str:
    """``txigd-report-<model>.json``, of harmless characters whatever the gateway calls itself."""
    words = re.sub(r"[^a-z0-9]+", "-", model.lower())[:60].strip("-")
    return f"txigd-report-{words or 'unknown'}.json"


def _names(made: Report) -> list[Path]:
    first = Path(default_name(made.model))
    return [first, *(first.with_stem(f"{first.stem}-{number}") for number in range(2, _NAMES))]


def _written(text: str, file: Path, *others: Path) -> Path:
    """Write the first file, whole or not at all; where others are given, one that is not there yet.

    :raises OSError: as the system says.
    """
    for chosen in (file, *others):
        if not others or not os.path.lexists(chosen):
            break
    else:
        raise FileExistsError(17, "there are too many reports already")
    draft = chosen.with_name(f".{chosen.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(draft, chosen)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return chosen


def _summary(made: Report, file: Path, failed: int) -> list[str]:
    counts = Counter(step.kind for step in made.steps)
    parts = [f"{counts[kind]} {words[counts[kind] != 1]}" for kind, words in _KINDS.items() if counts[kind]]
    parts += [f"{len(made.events)} events", f"{len(made.datagrams)} SSDP messages"]
    masked = [f"{count} {kind}" for kind, count in (made.masked or {}).items() if count]
    return [
        f"written: {file}",
        f"gateway: {made.model or 'unknown'} {f'at {made.location}' if made.location else '(no description)'}",
        f"in it:   {', '.join(parts)}",
        f"failed:  {failed} of {len(made.steps)} questions; that is what a report is for",
        f"masked:  {', '.join(masked) or 'nothing had to be'}",
        "not masked: private addresses, and the name that the gateway gives itself",
        "next: read the file, then attach it to your problem report",
    ]
