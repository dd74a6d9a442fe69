"""A real process of ours, started by a test and never left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import randint
from typing import Any, NoReturn

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

reactor: Any = _reactor
ROOT = Path(__file__).resolve().parent.parent
TXIGD = (sys.executable, "-m", "txigd")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "igd")
ALONE = ("unshare", "-Urn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
NO_NETWORK = ("unshare", "-Urn")


def own_loopback() -> str:
    """An address where no other program is: whoever answers at the host of a named gateway is taken for it."""
    return f"127.{randint(2, 254)}.{randint(1, 254)}.{randint(1, 254)}" if sys.platform == "linux" else "127.0.0.1"


def namespace_or_skip() -> None:
    """Skip a test that needs a network of its own where none can be made."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        raise SkipTest("no program unshare or ip")
    tried = subprocess.run([*ALONE, "true"], capture_output=True, text=True, timeout=120, check=False)
    if tried.returncode:
        raise SkipTest(f"no network namespace of our own: {tried.stderr.strip()}")


class Child(ProcessProtocol):
    """Collects what the process says; ``ended`` fires with its exit status, or minus the signal that ended it."""

    def __init__(self, case: TestCase, command: Sequence[str]) -> None:
        self.out = self.err = ""
        self.status: int | None = None
        self._ended: list[Deferred[int]] = []
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
        self._process = reactor.spawnProcess(self, command[0], list(command), env=environ, path=str(ROOT))
        case.addCleanup(self._end)

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode()
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode()
        self._look()

    def processEnded(self, reason: Any) -> None:
        value = reason.value
        self.status = -value.signal if value.signal else value.exitCode
        self._look()
        ended, self._ended = self._ended, []
        for waiter in ended:
            waiter.callback(self.status)

    def _look(self) -> None:
        for waiter in tuple(self._waiting):
            found = waiter[0]()
            if found:
                self._waiting.remove(waiter)
                waiter[1].callback(found)

    def signal(self, name: str) -> None:
        self._process.signalProcess(name)

    def _caught(self) -> int:
        """A bit for each signal that it handles."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)[0], 16)

    async def catches(self, name: str) -> None:
        """Wait until it handles that signal: what twistd logs while it starts comes before."""
        while not self._caught() >> (getattr(signal, f"SIG{name}") - 1) & 1:
            await deferLater(reactor, 0.02)

    def close_output(self) -> None:
        """Read its standard output no more."""
        self._process.closeStdout()

    def end(self, seconds: float = 60) -> Deferred[int]:
        """Its exit status, once it has ended."""
        ended: Deferred[int] = Deferred()
        if self.status is not None:
            ended.callback(self.status)
        else:
            self._ended.append(ended)
        return ended.addTimeout(seconds, reactor, onTimeoutCancel=lambda *_: self._too_long("it did not end"))

    def says(self, pattern: str, seconds: float = 60) -> Deferred[re.Match[str]]:
        """The first match in its output so far and from now on."""
        said: Deferred[re.Match[str]] = Deferred()
        self._waiting.append((lambda: re.search(pattern, self.out + self.err), said))
        self._look()
        return said.addTimeout(
            seconds, reactor, onTimeoutCancel=lambda *_: self._too_long(f"it did not say {pattern!r}")
        )

    def _too_long(self, what: str) -> NoReturn:
        raise AssertionError(f"{what}; status {self.status}\n{self.out}\n{self.err}")

    def _end(self) -> Any:
        if self.status is not None:
            return None
        self._process.signalProcess("KILL")
        return self.end()
