"""The state file: keeps a journal on disk through kills, full disks and power cuts.

Sources: faults F19, F49, F50, F55, threat D3 and its section 4. One process has the file at a time; it is replaced as a
whole, so that there is always one good copy and no other is needed. Files are read and written in the reactor's thread:
they have at most a MiB, usually a few KiB, and what is written ahead must be on disk before the call returns.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txigd import log
from txigd.errors import AlreadyRunning, InvalidArgument
from txigd.igd.journal import Journal
from txigd.limits import STATE_LOG_SECONDS, STATE_OCTETS, STATE_RETRY_SECONDS, STATE_SAVE_SECONDS

_log = log.logger("txigd.state")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_OCTETS = 20
FILE_NAME = "state.json"


def default_path(environ: Mapping[str, str], uid: int) -> Path:
    """Where the state is kept unless told otherwise.

    What systemd made for us (``$STATE_DIRECTORY``), else ``/var/lib/txigd`` for root, else ``$XDG_STATE_HOME/txigd``,
    else ``~/.local/state/txigd``. Only absolute paths count (XDG Base Directory Specification).

    :raises InvalidArgument: where this user has no home.
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return Path(given, FILE_NAME)
    if uid == 0:
        return Path("/var/lib/txigd", FILE_NAME)
    for name, below in (("XDG_STATE_HOME", ("txigd",)), ("HOME", (".local", "state", "txigd"))):
        if environ.get(name, "").startswith("/"):
            return Path(environ[name], *below, FILE_NAME)
    raise InvalidArgument("this user has no home directory: name a file for the state")


def check(path: Path) -> None:
    """See that what is there, if anything, may be replaced by a state file.

    :raises InvalidArgument: when it is neither a regular file nor a link.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        what = "a directory: name a file in it" if stat.S_ISDIR(mode) else "no regular file: name another"
        raise InvalidArgument(f"state file {str(path)!r}: this is {what}")


def boot_id() -> str:
    """Names this run of the host; "" where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""


def boot_seconds() -> float:
    """Seconds since the host started, sleep included where the system counts it; no setting of the clock changes it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StateFile:
    """One journal, its file, and the lock beside it.

    :param path: the file; its directory is made if need be.
    :param clock: for the delay of writes.
    :param now: the boot clock; replaced in tests.
    :param boot: names the run of the host that ``now`` counts from.
    :param system: the module ``os``, or what stands for it in tests.
    :ivar journal: what was read by :meth:`load`; every change of it is saved by itself.
    :ivar problem: why nothing can be saved at present, "" when all is well.
    """

    def __init__(
        self,
        path: Path | str,
        clock: IReactorTime,
        *,
        now: Callable[[], float] = boot_seconds,
        boot: str | None = None,
        system: Any = os,
    ) -> None:
        self.path = Path(path)
        self.now = now
        self.problem = ""
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._os = system
        self._lock: int | None = None
        self._call: IDelayedCall | None = None
        self._unsaved = False
        self._logged_at: float | None = None
        self._told = False
        self._open = False
        self.journal = Journal(self._boot)

    # -- life ----------------------------------------------------------------------------------------------------------
    def load(self) -> Journal:
        """Take the lock and read the file. Call it after the process went to the background: it notes the pid.

        A file or link that cannot be used is put aside as ``<name>.corrupt``, and the journal starts empty; why is
        logged, and in ``journal.damage``. Where the directory cannot be written to, the journal lives in memory.

        :raises AlreadyRunning: when another process has the file.
        :raises InvalidArgument: when there is something else, such as a directory or a device: it is not touched.
        """
        check(self.path)
        try:
            self._take_lock()
        except OSError as error:
            self._trouble(_why(error))
        self._open = True
        self.journal = self._read()
        self.journal.on_change = self._changed
        if self.journal.damage:
            _log.warn(
                "the state file {path} is not used: {damage}; it is kept as {path}.corrupt, starting without it",
                path=str(self.path),
                damage=self.journal.damage,
            )
        return self.journal

    def close(self) -> None:
        """Save what is not saved and let go of the lock; another process may take over at once."""
        if not self._open:
            return
        self._cancel()
        if self._unsaved:
            self._save()
            self._cancel()
        self._open = False
        self.journal.on_change = lambda at_once: None
        if self._lock is not None:
            # The file of the lock stays: who waits for a lock on a file that was removed waits for nothing.
            os.close(self._lock)
            self._lock = None

    # -- saving --------------------------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Save now what is not saved, unless the disk is known to be in trouble (F49)."""
        if self._unsaved and self._open and not self.problem:
            self._cancel()
            self._save()

    def _changed(self, at_once: bool) -> None:
        self._unsaved = True
        if at_once:
            self.flush()
        if self._unsaved and self._call is None:
            self._call = self._clock.callLater(STATE_SAVE_SECONDS, self._due)

    def _due(self) -> None:
        self._call = None
        self._save()

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _save(self) -> None:
        try:
            self._take_lock()
            self._replace(self.journal.encode(self.now()))
        except (OSError, AlreadyRunning) as error:
            self._trouble(_why(error))
            self._call = self._clock.callLater(STATE_RETRY_SECONDS, self._due)
            return
        self._unsaved = False
        if self.problem and self._told:
            _log.info("the state file {path} is saved again", path=str(self.path))
        self.problem, self._told = "", False

    def _trouble(self, problem: str) -> None:
        self.problem = problem
        now = self.now()
        if self._logged_at is None or now - self._logged_at >= STATE_LOG_SECONDS:
            self._logged_at, self._told = now, True
            _log.warn(
                "the state file {path} cannot be saved: {problem}; going on from memory",
                path=str(self.path),
                problem=problem,
            )

    def _replace(self, octets: bytes) -> None:
        """Old or new, whenever the power goes: the new file is whole on disk before it takes the name (F50)."""
        system = self._os
        new = self.path.name + ".new"
        directory = system.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                system.unlink(new, dir_fd=directory)  # of a life that was cut short; never read
            except FileNotFoundError:
                pass
            try:
                self._write(new, directory, octets)
                system.replace(new, self.path.name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                try:
                    system.unlink(new, dir_fd=directory)  # gives a full disk its room back
                except OSError:
                    pass
                raise
            system.fsync(directory)
        finally:
            system.close(directory)

    def _write(self, name: str, directory: int, octets: bytes) -> None:
        system = self._os
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = system.open(name, flags, 0o600, dir_fd=directory)
        try:
            left = memoryview(octets)
            while left:
                left = left[system.write(file, left) :]
            system.fsync(file)
        finally:
            system.close(file)

    # -- reading -------------------------------------------------------------------------------------------------------
    def _read(self) -> Journal:
        try:
            octets = self._octets()
        except FileNotFoundError:
            return Journal(self._boot)
        except OSError as error:
            journal = Journal(self._boot, damage=_why(error))
        except InvalidArgument as error:
            journal = Journal(self._boot, damage=str(error))
        else:
            journal = Journal.decode(octets, boot=self._boot, now=self.now())
        if journal.damage:
            self._put_aside()
        return journal

    def _octets(self) -> bytes:
        """The content, of our own plain file only: no symbolic link, no pipe, nothing that others can write to (D3)."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(self.path, flags)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidArgument("not a regular file")
            if found.st_uid != os.geteuid():
                raise InvalidArgument(f"it belongs to user {found.st_uid}, not to us ({os.geteuid()})")
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InvalidArgument(f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})")
            if found.st_size > STATE_OCTETS:
                raise InvalidArgument(f"{found.st_size} octets, more than {STATE_OCTETS}")
            octets = b""
            while len(octets) <= STATE_OCTETS and (piece := os.read(file, STATE_OCTETS + 1 - len(octets))):
                octets += piece
            return octets
        finally:
            os.close(file)

    def _put_aside(self) -> None:
        """Keep it for whoever wants to know; a rename follows no link and copies no 2 GB."""
        aside = self.path.with_name(self.path.name + ".corrupt")
        try:
            os.replace(self.path, aside)
        except OSError as error:
            _log.warn("{path} could not be put aside: {error}", path=str(self.path), error=_why(error))

    # -- the lock ------------------------------------------------------------------------------------------------------
    def _take_lock(self) -> None:
        """Hold a lock beside the file while this process lives; the system frees it even after a SIGKILL (F55).

        :raises AlreadyRunning: when another process holds it.
        :raises OSError: when there is no place for it.
        """
        if self._lock is not None:
            return
        name = self.path.with_name(self.path.name + ".lock")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _pid(file)
            os.close(file)
            raise AlreadyRunning(
                f"another txigd{f' (process {holder})' if holder else ''} uses the state file {self.path}; "
                "stop it, or name another file"
            ) from None
        except OSError as error:  # some network file systems have no locks: better one without than none
            _log.warn("{path} cannot be locked: {error}", path=str(name), error=_why(error))
        self._lock = file
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # a full disk; the lock holds without the number


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _pid(file: int) -> int:
    try:
        text = os.pread(file, _PID_OCTETS, 0).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
