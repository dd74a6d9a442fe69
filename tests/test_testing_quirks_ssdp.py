"""Each SSDP quirk and each model that the simulated gateway plays, met by a control point in a network namespace.

The stories run in one process there, see tests/ssdp_stories.py, and in another tests/family_stories.py, where they take
IPv6 multicast or both families; each test here looks at the end of one of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests import family_stories, ssdp_stories
from tests.test_discovery_namespaces import UNSHARE, reason_to_skip

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
ip link set lo up
for number in 1 7; do ip -6 address add 2001:db8:1::$number/64 dev lo nodad; done
exec "$0" -m tests.ssdp_stories
"""


class StoryCase(SynchronousTestCase):
    """``script`` makes the network and tells the stories; ``ends`` keeps how each of them ended."""

    script: str
    ends: dict[str, str]
    skipped: str | None = ""

    def setUp(self) -> None:
        if StoryCase.skipped == "":
            StoryCase.skipped = reason_to_skip()
        if StoryCase.skipped:
            raise SkipTest(StoryCase.skipped)

    def end(self, identifier: str) -> None:
        if not self.ends:
            done = subprocess.run(
                [*UNSHARE, "sh", "-eu", "-c", self.script, sys.executable],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            self.ends.update(json.loads(line) for line in done.stdout.splitlines())
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.ends.get(identifier, "never told"), "")


class StoryTests(StoryCase):
    script = SCRIPT
    ends: dict[str, str] = {}
    ids = {
        "Q001", "Q002", "Q003", "Q004", "Q005", "Q006", "Q009", "Q010", "Q011", "Q012", "Q016", "Q017", "Q018", "Q019",
        "Q020", "Q021", "Q022", "Q023", "Q024", "Q025", "Q026", "Q027", "Q028", "Q029", "Q030", "Q031", "Q032", "Q033",
        "Q034", "Q035", "Q036", "Q037", "Q038", "Q039", "Q040", "Q041", "Q042", "Q069", "Q070", "Q072", "Q197",
    }  # fmt: skip


class FamilyTests(StoryCase):
    script = family_stories.SCRIPT
    ends: dict[str, str] = {}
    ids = {"Q008", "Q013", "Q193", "Q194", "Q199"}


def _test(case: type[StoryCase], identifier: str) -> None:
    setattr(case, f"test_{identifier.replace('-', '_')}", lambda self: self.end(identifier))


for _identifier in ssdp_stories.TOLD:
    _test(StoryTests, _identifier)
for _identifier in family_stories.STORIES:
    _test(FamilyTests, _identifier)
