"""The process of a ``txigd`` command: what an interrupt does at its earliest moments."""

from __future__ import annotations

import json
import sys

from twisted.trial.unittest import TestCase

from tests.child import Child

# Interrupts itself where no test could do it in time from outside: `where` is called, and then comes the signal.
INTERRUPTED = """
import os, signal, sys
from txigd.cli import arguments, main, report
number, owner, name = getattr(signal, sys.argv.pop(1)), *sys.argv.pop(1).split(".")
owner = {"arguments": arguments, "Report": report.Report}[owner]
where = getattr(owner, name)
def interrupted(*arguments):
    result = where(*arguments)
    os.kill(os.getpid(), number)
    return result
setattr(owner, name, interrupted)
main.script()
"""


# Interrupts itself where the named module is about to be loaded.
LOADING = """
import os, runpy, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == interrupted:
            os.kill(os.getpid(), signal.SIGINT)
interrupted = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupter())
sys.argv[1:] = ["discover", "--link", "nowhere"]
runpy.run_module("txigd", run_name="__main__", alter_sys=True)
"""
LOADED = (
    "argparse",
    "typing",
    "txigd.cli.arguments",
    "txigd.igd.mapping",
    "txigd.limits",
    "txigd.cli.process",
    "twisted",
    "lxml",
)


class InterruptTests(TestCase):
    """An interrupt never shows a traceback, and a command that has begun to answer cleans up."""

    timeout = 180

    async def interrupted(self, number: str, where: str, status: int) -> str:
        child = Child(self, [sys.executable, "-c", INTERRUPTED, number, where, "simulate", "--json"])
        self.assertEqual(await child.end(20), status, child.out + child.err)
        self.assertEqual(child.err, "")
        return child.out

    async def test_with_the_first_line(self):
        for number in ("SIGINT", "SIGTERM"):
            self.assertIn("location", json.loads(await self.interrupted(number, "Report.value", 0)))

    async def test_before_the_command_runs(self):
        self.assertEqual(await self.interrupted("SIGINT", "arguments.parse", 130), "")

    async def test_while_anything_of_ours_is_loaded(self):
        for name in LOADED:
            child = Child(self, [sys.executable, "-c", LOADING, name])
            self.assertEqual((await child.end(20), child.out, child.err), (130, "", ""), name)


# A command with a fault of its own.
FAULTY = """
import sys
from txigd.cli import commands, main
async def faulty(*arguments):
    raise TypeError("what nobody" + chr(10) + "thought of")
commands.COMMANDS["ip"] = faulty
main.script()
"""


class FaultTests(TestCase):
    """What nobody thought of is one line as well."""

    timeout = 180

    async def faulty(self, *words: str) -> str:
        child = Child(self, [sys.executable, "-c", FAULTY, "ip", *words])
        self.assertEqual(await child.end(20), 1, child.out + child.err)
        self.assertEqual(child.out, "")
        return child.err

    async def test_one_line_and_no_traceback(self):
        line = await self.faulty()
        self.assertRegex(line, r"^txigd ip: a fault of txigd itself: TypeError: what nobody.thought of; .*-vv.*\n$")
        self.assertEqual(line.count("\n"), 1)

    async def test_the_place_for_those_who_ask(self):
        self.assertIn("in faulty", await self.faulty("-vv"))
