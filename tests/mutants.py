"""Whether the whole sessions can find anything: bugs that matter are planted, one at a time, and must be found.

    python -m tests.mutants [--sessions 400] [--seconds 300] [NAME ...]

Each mutation is a small replacement of text, made in a copy of the tree that is thrown away; there
``tests.test_session`` runs until a session breaks, or its sessions or its time are over. The tree as it is has to pass
first. Prints a table; the exit status is 1 when a mutation was missed, did not apply, or the tree itself is broken.
``tests.test_mutants`` keeps the replacements applicable.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PARTS: Final = ("txigd", "tests", "twisted")
_BROKEN: Final = re.compile(r"session_life\.Broken: (.*)")
_SESSIONS: Final = 400
_SECONDS: Final = 300.0  # of one mutation; the tree as it is may take as long as it takes


@dataclass(frozen=True)
class Mutation:
    """One planted bug.

    :ivar file: below ``txigd``.
    :ivar text: what stands there, once.
    """

    name: str
    file: str
    text: str
    instead: str

    def applies(self, root: Path = ROOT) -> bool:
        """Whether the text is there, and nowhere else in its file."""
        return (root / "txigd" / self.file).read_text(encoding="utf-8").count(self.text) == 1

    def plant(self, root: Path) -> None:
        """Put it into a copy of the tree."""
        file = root / "txigd" / self.file
        file.write_text(file.read_text(encoding="utf-8").replace(self.text, self.instead), encoding="utf-8")


MUTATIONS: Final = (
    Mutation(
        "the entry is on record only after it was added",
        "igd/held_mapping.py",
        """            self._books.adding(place.udn, entry, asked)
            fact = await place.add_entry(
                self.wanted, command.port, client=lease.client, description=description, lease_seconds=asked, due=due
            )
""",
        """            fact = await place.add_entry(
                self.wanted, command.port, client=lease.client, description=description, lease_seconds=asked, due=due
            )
            self._books.adding(place.udn, entry, asked)
""",
    ),
    Mutation(
        "the record is written ahead, but not to the disk",
        "igd/journal.py",
        "        self.on_change(not renewal)\n",
        "        self.on_change(False)\n",
    ),
    Mutation(
        "a refused renewal takes a standing entry off the record",
        "igd/journal.py",
        "        if page is not None and record is not None and not record.sure:\n",
        "        if page is not None and record is not None:\n",
    ),
    Mutation(
        "a release forgets to delete",
        "igd/lease_farewell.py",
        "            return Step.DELETE if self._ours(fact.entry) else Step.DONE\n",
        "            return Step.DONE\n",
    ),
    Mutation(
        "nothing is read before it is added",
        "igd/lease_standing.py",
        "        self._phase = Phase.CHECK\n        self._next_at = 0.0\n",
        "        self._phase = Phase.ADD\n        self._next_at = 0.0\n",
    ),
    Mutation(
        "nothing is looked at after a restart",
        "igd/lease.py",
        "        self._term.restart()\n        self.recheck(now)\n",
        "        self._term.restart()\n",
    ),
    Mutation(
        "somebody else's entry is deleted after 718",
        "igd/lease.py",
        "        if fact.code == 718 and self._seen_ours and not self._cleared:\n",
        "        if fact.code == 718 and not self._cleared:\n",
    ),
    Mutation(
        "what an earlier life left is not removed",
        "igd/books.py",
        "        for entry in found.delete:\n",
        "        for entry in found.delete[:0]:\n",
    ),
    Mutation(
        "a leftover is removed without a look whose it is by now",
        "igd/reconciliation.py",
        "    if leads_here and tagged:\n        return True\n",
        "    return True\n",
    ),
    Mutation(
        "nothing is renewed before it ran out",
        "igd/lease_term.py",
        "        return self._renew_at is not None and now >= self._renew_at\n",
        "        return False\n",
    ),
    Mutation(
        "a timer is left after the end",
        "igd/wan.py",
        "                call.cancel()\n",
        "                pass\n",
    ),
    Mutation(
        "the subscription is kept over a restart of the gateway",
        "upnp/remote_service.py",
        "        self._events.restart()\n",
        "        pass\n",
    ),
    Mutation(
        "another port is tried while an entry may stand at this one",
        "igd/lease.py",
        "        elif self._seen_ours or self._made or fact.in_doubt:\n",
        "        elif False:\n",
    ),
    Mutation(
        "two of our own mappings take one external port from each other",
        "igd/claims.py",
        "        if not others:\n",
        "        if True:\n",
    ),
    Mutation(
        "a pinhole is on record only after it was opened",
        "igd/pinhole_books.py",
        "    books.journal.will_open(udn, _entry(books, wanted, 0, client))\n",
        "    pass\n",
    ),
    Mutation(
        "a pinhole that an earlier life left is not closed",
        "igd/pinhole_books.py",
        "            fact = await _close(firewall, pinhole, wanted, write_ahead)\n",
        "            fact = None\n",
    ),
    Mutation(
        "pinholes are asked for by their old numbers after a restart",
        "igd/pinhole_lease.py",
        "        self._unique_id, self._extends, self._failures = None, True, 0\n",
        "        return\n",
    ),
    Mutation(
        "where the gateway put an entry is not looked for when its answer got lost",
        "igd/lease.py",
        "        self._others.astray = True  # F45",
        "        self._others.astray = False  # F45",
    ),
    Mutation(
        "a mapping is taken for the gateway's before it was read back",
        "igd/lease.py",
        "        self._phase = Phase.CONFIRM  # also where",
        "        self._settle(MappingState.ACTIVE, 0, '', now)  # also where",
    ),
    Mutation(
        "the entries stay on a router that is the default route no more",
        "igd/held.py",
        "        lease.release()\n        farewell = Deferred.fromCoroutine(self._farewell(place, lease))\n",
        "        return succeed(None)\n",
    ),
    Mutation(
        "anybody's gateway will do, not only the default route",
        "igd/control_point.py",
        "        if self._any_gateway or not self.routed or self.is_next_hop(sighting.location.host):\n",
        "        if True:\n",
    ),
    Mutation(
        "events stay where our address was",
        "upnp/remote_device.py",
        "            service.rebind()\n",
        "            pass\n",
    ),
    Mutation(
        "a device is not asked whether it knows a subscription",
        "upnp/service_events.py",
        "            self._subscriber.verify()\n",
        "            pass\n",
    ),
    Mutation(
        "nobody remembers that the answer to an opened pinhole got lost",
        "igd/pinhole_lease.py",
        "        self.unsure |= self._phase is _Phase.OPEN\n",
        "        pass\n",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    :ivar broken: the invariant that did not hold; "" where all did.
    :ivar ended: how the run ended otherwise, if not by passing all sessions.
    """

    broken: str
    seconds: float
    ended: str = ""


def run(root: Path, sessions: int, seconds: float | None) -> Outcome:
    """The sessions, in a copy of the tree."""
    settings = {**os.environ, "TXIGD_SESSIONS": str(sessions), "TXIGD_SHRINK": "0"}
    command = [sys.executable, "-m", "twisted.trial", "tests.test_session.SessionTests.test_whole_sessions"]
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=root, env=settings, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome("", time.monotonic() - began, ended="its time was over")
    took = time.monotonic() - began
    if not done.returncode:
        return Outcome("", took)
    found = _BROKEN.search(done.stdout)
    if found:
        return Outcome(found[1], took)
    lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    return Outcome("", took, ended=f"status {done.returncode}: {' '.join(lines[-6:])[-200:]}")


def tried(mutation: Mutation | None, sessions: int, seconds: float | None) -> Outcome:
    """The same in a copy of its own, with this bug planted."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        root = Path(directory)
        for part in PARTS:
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        if mutation is not None:
            mutation.plant(root)
        return run(root, sessions, seconds)


def survey(mutations: Iterable[Mutation], sessions: int, seconds: float) -> int:
    """Print the table.

    :return: how many rows are not as they should be.
    """
    wrong = 0
    base = tried(None, sessions, None)
    trouble = base.broken or base.ended
    print(f"{'BROKEN' if trouble else 'passes':8} {base.seconds:6.0f} s  the tree as it is  {trouble}", flush=True)
    wrong += bool(trouble)
    for mutation in mutations:
        if not mutation.applies():
            print(f"{'STALE':8} {0:6.0f} s  {mutation.name}: its text is not once in {mutation.file}", flush=True)
            wrong += 1
            continue
        found = tried(mutation, sessions, seconds)
        word = "caught" if found.broken else "MISSED"
        why = found.broken[:90] or found.ended or f"{sessions} sessions passed"
        print(f"{word:8} {found.seconds:6.0f} s  {mutation.name}: {why}", flush=True)
        wrong += not found.broken
    return wrong


def main() -> int:
    """Plant, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the name of a mutation; all without any")
    parser.add_argument("--sessions", type=int, default=_SESSIONS)
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    options = parser.parse_args()
    chosen = [one for one in MUTATIONS if not options.names or any(name in one.name for name in options.names)]
    return int(survey(chosen, options.sessions, options.seconds) > 0)


if __name__ == "__main__":
    sys.exit(main())
