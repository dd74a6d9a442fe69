"""Named network namespaces under one holder process. Knows unshare, nsenter and `ip netns`; nothing of routers.

The holder is a shell in a user, network and mount namespace of its own which waits for its standard input to end. That
happens when `Namespaces.stop` closes the pipe, and just as well when the process that owns the pipe is killed outright:
then the holder kills whatever still runs in one of its networks and goes, and the kernel takes the namespaces with it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]
# An ordinary user's PATH on Debian lacks the folders in which ip, nft and miniupnpd live.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "miniupnpd": "miniupnpd-nftables",
    "upnpc": "miniupnpc",
}

HOLD = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
echo ready
cat >/dev/null || true
# The owner is gone or has finished: nothing may outlive this shell.
for _ in 1 2 3; do
    inodes=" $(stat -L -c %i /run/netns/* 2>/dev/null | tr '\\n' ' ')"
    find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%h %l\\n' 2>/dev/null | while read -r folder link; do
        inode=${link#net:?}; inode=${inode%?}
        case "$inodes" in *" $inode "*) pid=${folder#/proc/}; kill -9 "${pid%/ns}" 2>/dev/null || true ;; esac
    done
done
"""

# What the lab needs of the kernel, tried once on namespaces that vanish with the shell.
PROBE = """
set -eu
mount -t tmpfs tmpfs /run
ip netns add probe
ip link add veth0 type veth peer name veth1 netns probe
ip link add bridge0 type bridge
ip link set veth0 master bridge0
ip netns exec probe sh -euc '
    echo 1 > /proc/sys/net/ipv4/ip_forward
    nft add table inet probe
    nft "add chain inet probe out { type nat hook postrouting priority 100; }"
    nft add rule inet probe out masquerade
'
"""


class LabError(Exception):
    """The lab could not do what was asked; the message holds the command and what it wrote."""


def _unshare(*, user: bool) -> list[str]:
    return ["unshare", "--net", "--mount", *(["--user", "--map-root-user"] if user else [])]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}


def _try(user: bool) -> str:
    """'' when namespaces of this sort work here, else the last line of what went wrong."""
    done = subprocess.run(
        [*_unshare(user=user), "sh", "-c", PROBE],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


@functools.cache
def mode() -> tuple[bool, str | None]:
    """(whether a user namespace is used, why there can be no lab here or None)."""
    if not sys.platform.startswith("linux"):
        return False, f"network namespaces exist on Linux only, this is {sys.platform}"
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
        return False, f"missing {', '.join(missing)} (on Debian: apt-get install {packages})"
    refused = _try(user=True)
    if not refused:
        return True, None
    if os.geteuid() == 0 and not _try(user=False):
        return False, None
    return False, f"this kernel or container refuses unprivileged namespaces: {refused}"


class Namespaces:
    """A set of hosts, each a network namespace, and the processes that run in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder: subprocess.Popen[str] | None = None
        self._user = True
        self._spawned: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the holder. Raises LabError when it does not come up."""
        self._user, why_not = mode()
        if why_not is not None:
            raise LabError(why_not)
        self._holder = subprocess.Popen(
            [*_unshare(user=self._user), "sh", "-c", HOLD],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt typed at a terminal is for the shell in the lab, not for its ground
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "ready":
            _, errors = self._holder.communicate(timeout=10)
            raise LabError(f"the namespaces did not start: {errors.strip()}")

    def stop(self) -> None:
        """End every process that runs in a namespace, then the namespaces. Harmless when called twice."""
        for process in self._spawned:
            end(process)
        self._spawned.clear()
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.communicate(timeout=20)

    def _enter(self) -> list[str]:
        if self._holder is None:
            raise LabError("the lab is not running")
        user = ["--user", "--preserve-credentials"] if self._user else []
        return ["nsenter", "--target", str(self._holder.pid), "--net", "--mount", *user]

    def command(self, host: str, argv: Sequence[str], folder: Path | None = None) -> list[str]:
        """The argument vector that runs `argv` in `host`; each step execs the next, so the process id stays one."""
        # nsenter leaves the program in the root folder.
        change = ["sh", "-c", 'cd "$0" && exec "$@"', str(folder or self.folder)]
        return [*self._enter(), "ip", "netns", "exec", host, *change, *argv]

    def environment(self, extra: Mapping[str, str] = {}) -> dict[str, str]:
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(REPOSITORY), *([inherited] if inherited else [])])
        return {
            **_environment(),
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            "STATE_DIRECTORY": str(self.folder),
            **extra,
        }

    def script(self, text: str) -> str:
        """Run shell lines beside the holder, where `ip -n HOST ...` reaches every host. Returns what they printed."""
        done = subprocess.run(
            [*self._enter(), "sh", "-eu"],
            env=self.environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"{text.strip()}\nfailed: {done.stderr.strip()}")
        return done.stdout

    def run(
        self, host: str, argv: Sequence[str], timeout: float = 20, *, stdin: str = "", env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a host to its end. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        return subprocess.run(
            self.command(host, argv),
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def spawn(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | int = subprocess.STDOUT,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        env: Mapping[str, str] = {},
    ) -> subprocess.Popen[bytes]:
        """Start a program in a host. The process id is the program's own: signals and exit status are the real ones."""
        process = subprocess.Popen(
            self.command(host, argv),
            env=self.environment(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._spawned.append(process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill one process, by its id, and collect it."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
