"""The state file on real file systems: tampered with, full, killed at every step, wanted by two."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from txigd.errors import AlreadyRunning, InvalidArgument
from txigd.igd.journal import Journal
from txigd.igd.journal_entry import JournalEntry
from txigd.igd.mapping import PortMapping
from txigd.limits import STATE_LOG_SECONDS, STATE_OCTETS, STATE_RETRY_SECONDS, STATE_SAVE_SECONDS
from txigd.service.state import StateFile, boot_id, boot_seconds, default_path

ROOT = Path(__file__).resolve().parent.parent
UDN = "uuid:1"
CLIENT = PortMapping("TCP", 1, internal_client="192.168.1.7").internal_client  # type: ignore[arg-type]


def record(port: int) -> JournalEntry:
    assert CLIENT is not None
    return JournalEntry.of(PortMapping("TCP", port), port, client=CLIENT, description="txigd.0a1b2c3d.x")


def note(journal: Journal, port: int) -> None:
    """A change that must be on disk at once."""
    journal.will_add(UDN, record(port), lease_seconds=0, now=0.0)


def ports(path: Path) -> list[int]:
    """The external ports in a file, which has to be good."""
    journal = Journal.decode(path.read_bytes(), now=0.0)
    assert not journal.damage, journal.damage
    return [entry.external_port for entry in journal.entries(UDN)]


class StateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(mode=0o700)
        self.path = self.folder / "state.json"
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def state(self, **more: Any) -> StateFile:
        state = StateFile(self.path, self.clock, **{"now": self.clock.seconds, "boot": "run-1", **more})
        self.addCleanup(state.close)
        return state

    def logged(self, word: str) -> int:
        return sum(word in event.get("log_format", "") for event in self.events)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


class Saving(StateCase):
    def test_nothing_is_written_for_nothing(self) -> None:
        state = self.state()
        self.assertEqual(state.load().damage, "")
        state.close()
        self.assertEqual(self.names(), ["state.json.lock"])

    def test_what_is_written_ahead_is_there_when_the_call_returns(self) -> None:
        note(self.state().load(), 80)
        self.assertEqual(ports(self.path), [80])
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_D3_modes_do_not_hang_on_the_umask(self) -> None:
        old = os.umask(0)
        try:
            state = self.state()
            state.path = self.folder / "new" / "deeper" / "state.json"
            note(state.load(), 80)
        finally:
            os.umask(old)
        for path, mode in ((state.path, 0o600), (state.path.with_name("state.json.lock"), 0o600)):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode)
        self.assertEqual(stat.S_IMODE(state.path.parent.stat().st_mode), 0o700)

    def test_other_changes_are_written_once_a_second(self) -> None:
        system = Steps()
        journal = self.state(system=system).load()
        for n in range(100):
            journal.keep_port(PortMapping("TCP", 80, any_port=True), 1000 + n)
            self.clock.advance(STATE_SAVE_SECONDS / 20)
        self.assertEqual(system.names.count("replace"), 4)
        self.clock.advance(STATE_SAVE_SECONDS)
        self.assertEqual(system.names.count("replace"), 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing_saves_and_lets_go(self) -> None:
        state = self.state()
        state.load().keep_port(PortMapping("TCP", 80, any_port=True), 50_000)
        state.close()
        state.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = self.state().load()
        self.assertEqual(again.port_for(PortMapping("TCP", 80, any_port=True)), 50_000)
        state.journal.keep_port(PortMapping("TCP", 80, any_port=True), 50_001)  # too late: the file is another's
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_F50_on_disk_before_it_takes_the_name(self) -> None:
        system = Steps()
        note(self.state(system=system).load(), 80)
        self.assertEqual(
            system.names,
            ["open", "unlink", "open", "write", "fsync", "close", "replace", "fsync", "close"],
        )

    def test_short_writes_go_on(self) -> None:
        note(self.state(system=Steps(at_once=7)).load(), 80)
        self.assertEqual(ports(self.path), [80])

    def test_F19_the_clock_is_no_wall_clock(self) -> None:
        self.patch(time, "time", lambda: 0.0)
        state = StateFile(self.path, self.clock)
        self.addCleanup(state.close)
        note(state.load(), 80)
        before = boot_seconds()
        self.patch(time, "time", lambda: 1e10)
        self.assertLess(boot_seconds() - before, 60)
        book = json.loads(self.path.read_bytes())
        self.assertLessEqual(abs(book["saved"] - before), 60)
        self.assertEqual(book["boot"], boot_id())


class Reading(StateCase):
    def assert_put_aside(self, word: str) -> None:
        """Started empty, said why, kept what was there, and saves again."""
        state = self.state()
        journal = state.load()
        self.assertIn(word, journal.damage)
        self.assertEqual(journal.udns, ())
        self.assertEqual(self.logged("is not used"), 1)
        self.assertEqual(self.names(), ["state.json.corrupt", "state.json.lock"])
        note(journal, 80)
        self.assertEqual(ports(self.path), [80])
        self.assertFalse(self.path.is_symlink())
        state.close()
        self.assertEqual(self.state().load().damage, "")

    def good(self) -> bytes:
        journal = Journal("run-1")
        note(journal, 8080)
        return journal.encode(0.0)

    def plant(self, octets: bytes) -> None:
        self.path.write_bytes(octets)
        self.path.chmod(0o600)

    def test_good_one(self) -> None:
        self.plant(self.good())
        journal = self.state().load()
        self.assertEqual([entry.external_port for entry in journal.entries(UDN)], [8080])

    def test_D3_symlink(self) -> None:
        precious = self.folder.parent / (self.folder.name + ".precious")
        precious.write_bytes(self.good())
        precious.chmod(0o600)
        self.path.symlink_to(precious)
        self.assert_put_aside("symbolic links")
        self.assertEqual(precious.read_bytes(), self.good())

    def test_D3_two_gigabytes(self) -> None:
        with self.path.open("wb") as file:
            file.truncate(2 * 1024**3)
        self.path.chmod(0o600)
        self.assert_put_aside("more than")

    def test_D3_just_too_large(self) -> None:
        self.plant(self.good() + b" " * STATE_OCTETS)
        self.assert_put_aside("more than")

    def test_D3_what_is_no_file_is_refused_and_stays(self) -> None:
        for make, said in (
            (lambda: os.mkfifo(self.path, 0o600), "no regular file"),
            (self.path.mkdir, "a directory: name a file in it"),
        ):
            make()
            before = self.path.lstat()
            with self.assertRaises(InvalidArgument) as caught:
                self.state().load()
            self.assertIn(said, str(caught.exception))
            self.assertEqual((self.names(), self.path.lstat()), (["state.json"], before))
            (self.path.rmdir if self.path.is_dir() else self.path.unlink)()

    def test_D3_wrong_types(self) -> None:
        self.plant(self.good().replace(b"8080", b'"8080"'))
        self.assert_put_aside("external_port")

    def test_D3_pickle(self) -> None:
        self.plant(b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.")
        self.assert_put_aside("JSON")

    def test_D3_writable_by_others(self) -> None:
        self.plant(self.good())
        self.path.chmod(0o620)
        self.assert_put_aside("0620")

    def test_D3_owned_by_another(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can give a file away")
        self.plant(self.good())
        os.chown(self.path, 65_534, -1)
        self.assert_put_aside("user 65534")

    def test_D3_F50_truncated_at_every_length(self) -> None:
        good = self.good()
        aside = self.path.with_name("state.json.corrupt")
        for length in range(len(good) - 1):
            self.plant(good[:length])
            state = self.state()
            journal = state.load()
            state.close()
            self.assertTrue(journal.damage, length)
            self.assertEqual(journal.udns, ())
            self.assertEqual(aside.read_bytes(), good[:length])

    def test_newer_version_is_kept_for_the_newer_program(self) -> None:
        self.plant(self.good().replace(b'"version": 1', b'"version": 2'))
        self.assert_put_aside("version 2")

    def test_F50_what_a_killed_process_left_is_no_state(self) -> None:
        self.path.with_name("state.json.new").write_bytes(self.good())
        journal = self.state().load()
        self.assertEqual((journal.damage, journal.udns), ("", ()))
        note(journal, 80)
        self.assertEqual(self.names(), ["state.json", "state.json.lock"])

    def test_D3_new_file_that_is_a_symlink_is_not_followed(self) -> None:
        precious = self.folder / "precious"
        precious.write_bytes(b"precious")
        self.path.with_name("state.json.new").symlink_to(precious)
        note(self.state().load(), 80)
        self.assertEqual(precious.read_bytes(), b"precious")
        self.assertEqual(ports(self.path), [80])

    def test_D3_lock_that_is_a_symlink_is_not_followed(self) -> None:
        precious = self.folder / "precious"
        precious.write_bytes(b"precious")
        self.path.with_name("state.json.lock").symlink_to(precious)
        state = self.state()
        state.load()
        self.assertIn("symbolic links", state.problem)
        self.assertEqual(precious.read_bytes(), b"precious")


class Trouble(StateCase):
    def test_F49_goes_on_from_memory_and_saves_later(self) -> None:
        system = Steps()
        state = self.state(system=system)
        journal = state.load()
        note(journal, 80)
        old = self.path.read_bytes()
        system.fail = {"write": 28}
        note(journal, 81)
        self.assertEqual(state.problem, os.strerror(28))
        self.assertEqual(self.path.read_bytes(), old)
        self.assertEqual(self.names(), ["state.json", "state.json.lock"])
        tries = system.names.count("write")
        for port in range(82, 90):
            note(journal, port)
        self.clock.advance(STATE_RETRY_SECONDS - 1)
        self.assertEqual(system.names.count("write"), tries)
        self.assertEqual([entry.external_port for entry in journal.entries(UDN)], list(range(80, 90)))
        self.clock.advance(1)
        self.assertEqual(system.names.count("write"), tries + 1)
        system.fail = {}
        self.clock.advance(STATE_RETRY_SECONDS)
        self.assertEqual(ports(self.path), list(range(80, 90)))
        self.assertEqual(state.problem, "")
        self.assertEqual(self.logged("is saved again"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_F49_logged_once_an_hour(self) -> None:
        system = Steps(fail={"fsync": 5})
        note(self.state(system=system).load(), 80)
        for _ in range(int(3 * STATE_LOG_SECONDS / STATE_RETRY_SECONDS) - 1):
            self.clock.advance(STATE_RETRY_SECONDS)
        self.assertEqual(self.logged("cannot be saved"), 3)
        self.assertEqual(system.names.count("fsync"), 180)

    def test_F49_every_call_that_can_fail(self) -> None:
        for name in ("open", "write", "fsync", "replace"):
            for skip in (0, 1):
                system = Steps()
                state = self.state(system=system)
                journal = state.load()
                note(journal, 80)
                system.fail, system.skip = {name: 28}, skip
                before = len(system.opened)
                note(journal, 81)
                self.assertIn(ports(self.path), ([80], [80, 81]))
                self.assertEqual(len(system.opened), before, f"a descriptor stays open after {name}")
                system.fail = {}
                self.clock.advance(STATE_RETRY_SECONDS)
                self.assertEqual(ports(self.path), [80, 81])
                state.close()
                self.path.unlink()

    def test_F49_no_place_at_all(self) -> None:
        (self.folder / "file").write_bytes(b"")
        self.path = self.folder / "file" / "state.json"
        state = self.state()
        journal = state.load()
        self.assertTrue(state.problem)
        note(journal, 80)
        (self.folder / "file").unlink()
        self.clock.advance(STATE_RETRY_SECONDS)
        self.assertEqual(ports(self.path), [80])
        self.assertEqual(state.problem, "")

    def test_F49_tmpfs_that_is_full(self) -> None:
        """A real file system of 64 KiB, in a mount namespace of a child."""
        place = self.folder / "small"
        place.mkdir()
        if shutil.which("unshare") is None:
            raise SkipTest("unshare is not installed")
        mount = f"mount -t tmpfs -o size=64k,mode=700 tmpfs '{place}'"
        if subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True, check=False).returncode:
            raise SkipTest("no unprivileged mount namespaces here")
        done = child("full_disk", str(place), before=["unshare", "-Urm", "sh", "-c", f'{mount} && exec "$@"', "sh"])
        self.assertEqual((done.returncode, done.stdout), (0, "good\n"), done.stderr)


class Killed(StateCase):
    def after_kill(self, where: str) -> None:
        self.assertIn(ports(self.path), ([80], [80, 81]), where)
        aside = self.path.with_name("state.json.corrupt")
        state = self.state()
        journal = state.load()
        self.assertEqual(journal.damage, "", where)
        note(journal, 82)
        self.assertEqual(ports(self.path)[-1], 82, where)
        self.assertFalse(aside.exists())
        state.close()

    def prepare(self) -> None:
        self.path.unlink(missing_ok=True)
        state = self.state()
        note(state.load(), 80)
        state.close()

    def test_F50_killed_at_every_step(self) -> None:
        """SIGKILL before each call of the save, and halfway through the write."""
        outcomes = []
        for step in range(20):
            self.prepare()
            done = child("killed_at_step", str(self.path), str(step))
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            outcomes.append(len(ports(self.path)))
            self.after_kill(f"step {step}")
        self.assertEqual(step, 10)  # nine calls, and one more for the half of the write
        self.assertEqual(outcomes, sorted(outcomes))
        self.assertEqual(set(outcomes), {1, 2})

    def test_F50_killed_at_every_system_call(self) -> None:
        """The same by the kernel: strace kills the child as it enters each system call of the save."""
        if shutil.which("strace") is None:
            raise SkipTest("strace is not installed")
        self.prepare()
        trace = self.folder.parent / (self.folder.name + ".trace")
        done = child("save_between_marks", str(self.path), before=["strace", "-qq", "-o", str(trace)])
        if done.returncode:
            raise SkipTest(f"strace may not trace here: {done.stderr.strip()[-200:]}")
        calls = _calls_of_the_save(trace.read_text(encoding="utf-8", errors="replace"))
        names = [name for name, _ in calls]
        self.assertGreaterEqual(names.count("fsync"), 2, names)
        self.assertTrue({"write", "pwrite64"} & set(names), names)
        self.assertTrue({"rename", "renameat", "renameat2"} & set(names), names)
        outcomes = []
        for name, nth in calls:
            self.prepare()
            inject = f"inject={name}:signal=KILL:when={nth}"
            before = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", inject]
            done = child("save_between_marks", str(self.path), before=before)
            self.assertEqual(done.returncode, -signal.SIGKILL, f"{name} {nth}: {done.stderr[-200:]}")
            outcomes.append(len(ports(self.path)))
            self.after_kill(f"{name} {nth}")
        self.assertEqual(outcomes, sorted(outcomes))
        self.assertEqual(set(outcomes), {1, 2})


class Two(StateCase):
    def test_F55_the_second_refuses_and_says_whom_it_met(self) -> None:
        first = self.state()
        note(first.load(), 80)
        done = child("second", str(self.path))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"process {os.getpid()}", done.stdout)
        self.assertIn(str(self.path), done.stdout)
        note(first.journal, 81)
        self.assertEqual(ports(self.path), [80, 81])
        first.close()
        self.assertEqual(child("second", str(self.path)).stdout, "it is ours\n")

    def test_F55_killed_holder_leaves_no_lock(self) -> None:
        done = child("hold_and_die", str(self.path))
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assertEqual(self.path.with_name("state.json.lock").read_text().strip(), done.stdout.strip())
        self.state().load()

    def test_F55_the_same_process_twice(self) -> None:
        self.state().load()
        self.assertRaises(AlreadyRunning, self.state().load)

    def test_F55_hooks_that_outlive_us_hold_no_lock(self) -> None:
        state = self.state()
        state.load()
        with subprocess.Popen(["sleep", "60"], close_fds=False) as hook:
            try:
                state.close()
                self.state().load()
            finally:
                hook.kill()

    def test_F55_lock_with_nonsense_in_it(self) -> None:
        lock = self.path.with_name("state.json.lock")
        state = self.state()
        state.load()
        lock.write_bytes(b"\xff" * 5000)
        error = self.assertRaises(AlreadyRunning, self.state().load)
        self.assertNotIn("process", str(error))

    def test_F55_taken_while_the_first_had_no_place(self) -> None:
        (self.folder / "file").write_bytes(b"")
        self.path = self.folder / "file" / "state.json"
        first = self.state()
        journal = first.load()
        (self.folder / "file").unlink()
        second = self.state()
        note(second.load(), 80)
        note(journal, 81)
        self.clock.advance(STATE_RETRY_SECONDS)
        self.assertIn("another txigd", first.problem)
        self.assertEqual(ports(self.path), [80])


class Paths(SynchronousTestCase):
    def test_rules(self) -> None:
        for environ, uid, expected in (
            ({"STATE_DIRECTORY": "/var/lib/private/txigd", "HOME": "/"}, 61_184, "/var/lib/private/txigd/state.json"),
            ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 0, "/var/lib/a/state.json"),
            ({"XDG_STATE_HOME": "/x", "HOME": "/root"}, 0, "/var/lib/txigd/state.json"),
            ({"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, 1000, "/x/txigd/state.json"),
            ({"XDG_STATE_HOME": "x", "HOME": "/home/u"}, 1000, "/home/u/.local/state/txigd/state.json"),
            ({"STATE_DIRECTORY": "txigd", "HOME": "/home/u"}, 1000, "/home/u/.local/state/txigd/state.json"),
        ):
            self.assertEqual(str(default_path(environ, uid)), expected)
        self.assertRaises(InvalidArgument, default_path, {}, 1000)


# -- the module os, watched --------------------------------------------------------------------------------------------
class Steps:
    """The functions of os that a save calls: counted, made to fail, or fatal.

    ``fail``: errno by name of the function, after ``skip`` good calls of it. ``die_at``: SIGKILL before this call, a
    write being two: before it, and after half of it.
    """

    def __init__(self, *, fail: dict[str, int] | None = None, at_once: int = 0, die_at: int = -1) -> None:
        self.names: list[str] = []
        self.fail = fail or {}
        self.skip = 0
        self.opened: set[int] = set()
        self._at_once = at_once
        self._left = die_at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.names.append(name)
            self._step()
            if name in self.fail:
                if not self.skip:
                    raise OSError(self.fail[name], os.strerror(self.fail[name]))
                self.skip -= 1
            if name == "write":
                return self._write(*arguments)
            result = getattr(os, name)(*arguments, **more)
            if name == "open":
                self.opened.add(result)
            elif name == "close":
                self.opened.discard(arguments[0])
            return result

        return call

    def _write(self, file: int, octets: memoryview) -> int:
        if self._left == 0:
            os.write(file, octets[: len(octets) // 2])
        self._step()
        return os.write(file, octets[: self._at_once or len(octets)])

    def _step(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


# -- what children do --------------------------------------------------------------------------------------------------
def child(name: str, *arguments: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a function of this module in a process of its own."""
    script = f"import sys; from tests.test_state import {name}; {name}(*sys.argv[1:])"
    return subprocess.run(
        [*(before or []), sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        # nothing that makes one run differ from the next: system calls are counted
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def full_disk(place: str) -> None:
    """F49 on a file system of 64 KiB: old file intact while it is full, new one saved when there is room."""
    clock = Clock()
    path = Path(place, "state.json")
    state = StateFile(path, clock, now=clock.seconds, boot="run-1")
    journal = state.load()
    note(journal, 80)
    old = path.read_bytes()
    ballast = Path(place, "ballast")
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
    except OSError:
        pass
    for port in range(81, 111):
        note(journal, port)
    assert state.problem == os.strerror(28), state.problem
    assert path.read_bytes() == old
    clock.advance(STATE_RETRY_SECONDS)
    assert state.problem, "saved on a full disk?"
    assert ports(path) == [80]
    assert sorted(os.listdir(place)) == ["ballast", "state.json", "state.json.lock"], os.listdir(place)
    # a process that starts on the full disk reads the old file
    state.close()
    state = StateFile(path, clock, now=clock.seconds, boot="run-1")
    journal = state.load()
    assert not journal.damage, journal.damage
    note(journal, 90)
    ballast.unlink()
    clock.advance(STATE_RETRY_SECONDS)
    assert not state.problem, state.problem
    assert ports(path) == [80, 90], ports(path)
    state.close()
    print("good")


def killed_at_step(path: str, step: str) -> None:
    state = StateFile(path, Clock(), now=lambda: 0.0, boot="run-1", system=Steps(die_at=int(step)))
    note(state.load(), 81)
    os._exit(0)


def save_between_marks(path: str) -> None:
    state = StateFile(path, Clock(), now=lambda: 0.0, boot="run-1")
    journal = state.load()
    mark = ctypes.CDLL(None).sched_yield
    mark()
    note(journal, 81)
    mark()
    os._exit(0)


def _calls_of_the_save(trace: str) -> list[tuple[str, int]]:
    """The system calls between the two marks, the last mark included: (name, how many-th of that name it is)."""
    seen: dict[str, int] = {}
    found = []
    for match in re.finditer(r"^(?:\d+ +)?(\w+)\(", trace, re.MULTILINE):
        name = match[1]
        seen[name] = seen.get(name, 0) + 1
        if seen.get("sched_yield"):
            found.append((name, seen[name]))
        if seen.get("sched_yield") == 2:
            return found[1:]
    raise AssertionError("the marks are missing in the trace")


def second(path: str) -> None:
    try:
        StateFile(path, Clock()).load()
    except AlreadyRunning as error:
        print(error)
    else:
        print("it is ours")


def hold_and_die(path: str) -> None:
    note(StateFile(path, Clock()).load(), 80)
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
