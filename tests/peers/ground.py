"""Two hosts on one link, for a device and a control point of different authors. Nothing leaves the namespaces.

    client  192.168.78.2, fd78::2 ── lan ── gateway  192.168.78.1, fd78::1

What is missing skips a test with the reason, or fails it where TXIGD_LAB=required.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.lab.case import require_lab
from tests.lab.namespaces import REPOSITORY, SEARCH_PATH, Namespaces, end

T = TypeVar("T")
VENV = REPOSITORY / ".venvs" / "peers"
GATEWAY, CLIENT = "gateway", "client"
GATEWAY_ADDRESS, CLIENT_ADDRESS = "192.168.78.1", "192.168.78.2"
GATEWAY_ADDRESS_6, CLIENT_ADDRESS_6 = "fd78::1", "fd78::2"

PACKAGES = {
    "upnpc": "miniupnpc",
    "gssdp-discover": "gupnp-tools",
    "gupnp-network-light": "gupnp-tools",
    "Xvfb": "xvfb",
    "dbus-run-session": "dbus",
}
# accept_dad: else IPv6 addresses are tentative for two seconds.
HOSTS = """
for host in gateway client; do
    ip netns add $host
    ip netns exec $host sh -c '
        test ! -e /proc/sys/net/ipv6 || echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
        echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter'
    ip -n $host link set lo up
done
ip -n gateway link add lan type veth peer name lan netns client
for pair in gateway:1 client:2; do
    host=${pair%:*} number=${pair#*:}
    ip -n $host addr add 192.168.78.$number/24 dev lan
    ip -n $host link set lan up
    test ! -e /proc/sys/net/ipv6 || ip -n $host addr add fd78::$number/64 dev lan nodad
done
ip -n client route add default via 192.168.78.1
"""


def refuse(why: str) -> None:
    """Skip, or fail where the environment insists. Raises SkipTest or AssertionError."""
    if os.environ.get("TXIGD_LAB") == "required":
        raise AssertionError(f"TXIGD_LAB=required, and {why}")
    raise SkipTest(why)


def require_programs(*names: str) -> None:
    """Debian's programs."""
    missing = [name for name in names if shutil.which(name, path=SEARCH_PATH) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[name] for name in missing))
        refuse(f"missing {', '.join(missing)} (on Debian: apt-get install {packages})")


def require_venv() -> None:
    """The peers that come by pip."""
    if not (VENV / ".ready").exists():
        refuse(f"there is no {VENV.relative_to(REPOSITORY)}: make peers")


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask again and again until the condition gives something true. Raises AssertionError naming ``what``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Talker:
    """A process that prints JSON lines, and may be asked with JSON lines."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.process = process
        self._errors = errors
        self._rest = b""

    def line(self, seconds: float = 60) -> str:
        """The next line that it prints. Raises AssertionError where none comes in time."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"nothing printed in {seconds:g} s: {self.complaints()}")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise AssertionError(f"ended with {self.process.wait()}: {self.complaints()}")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def value(self, seconds: float = 60) -> Any:
        """The next line as JSON."""
        return json.loads(self.line(seconds))

    def line_with(self, word: str, seconds: float = 60) -> str:
        """The next line that has this word in it; those before are skipped."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.line(max(0.0, deadline - time.monotonic()))
            if word in line:
                return line

    def ask(self, *words: object) -> Any:
        """Write a line, read the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        return self.value()

    def complaints(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text(errors="replace")[-4000:]

    def end(self, seconds: float = 5) -> int:
        """Ask it to end; its exit status."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        end(self.process)
        return self.process.returncode


def talker(net: Namespaces, host: str, argv: Sequence[str], env: Mapping[str, str] = {}) -> Talker:
    """Start a program that prints lines; what it writes to standard error is kept apart."""
    errors = net.folder / f"errors-{len(list(net.folder.glob('errors-*')))}"
    with errors.open("wb") as stderr:
        process = net.spawn(host, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env)
    return Talker(process, errors)


class PeersCase(SynchronousTestCase):
    """``self.net``: the two hosts, fresh for each test."""

    def setUp(self) -> None:
        require_lab()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.net = Namespaces(self.folder)
        self.addCleanup(self.net.stop)
        self.net.start()
        self.net.script(HOSTS)

    def run_in(
        self,
        host: str,
        argv: Sequence[str],
        *,
        status: int | None = 0,
        timeout: float = 40,
        stdin: str = "",
        env: Mapping[str, str] = {},
    ) -> str:
        """Run a program to its end and give all that it printed; its exit status is checked."""
        done = self.net.run(host, argv, timeout, stdin=stdin, env=env)
        text = done.stdout + done.stderr
        if status is not None:
            self.assertEqual(done.returncode, status, f"{' '.join(argv)}:\n{text}")
        return text

    def talker(self, host: str, argv: Sequence[str], env: Mapping[str, str] = {}) -> Talker:
        """Start a program that prints lines."""
        return talker(self.net, host, argv, env)

    def script(self, name: str, *arguments: str, ours: bool = False) -> list[str]:
        """The command line of a script beside this file, in the peers' Python or in ours."""
        python = sys.executable if ours else str(VENV / "bin" / "python")
        return [python, str(Path(__file__).parent / "scripts" / f"{name}.py"), *arguments]

    def txigd(self, *arguments: str, status: int = 0) -> str:
        """Run the ``txigd`` command on the client."""
        return self.run_in(CLIENT, [sys.executable, "-m", "txigd", *arguments], status=status)
