# SPDX-License-Identifier: Apache-2.0
"""The processes of this host, in /proc: who each is, and what it may execute. It only looks.

1. A process is its directory's descriptor: once that is open, another one that gets the same number
   is never taken for it. What ends meanwhile is ``Gone``, and whoever looks counts it.
2. Files are opened through ``exe`` and ``map_files``: what the process has, whatever lies at that
   path now, or in its mount namespace, or nowhere any more.
3. Where its first thread has ended and others go on, /proc shows nothing of what the process has
   there: then it is asked of one that lives.
4. What can't be read is an error with a name, never left out.

What it finds is of a moment, and each process of its own.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from verity.formats import procfs
from verity.formats.procfs import Region, Task
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import HostError

INITIAL_USER, INITIAL_PID = 0xEFFFFFFD, 0xEFFFFFFC  # linux/proc_ns.h
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_PIECE = 1 << 20
_MOST = 256 << 20  # the most that a process's smaps may have: 65530 mappings need a tenth of it
_ENDED = (errno.ENOENT, errno.ESRCH)
_ZOMBIE = frozenset("ZX")


class GoneError(Exception):
    """The process has ended. It leaves this module for whoever counts processes."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A file that a process has: which one, and whether any name is left for it."""

    key: tuple[int, int]
    label: bytes
    regular: bool
    deleted: bool


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, as long as ``Processes.open`` holds it open; ``fd`` is the directory of a thread
    that lives, if one does. ``tasks`` are its threads."""

    fd: int
    pid: int
    kernel: bool
    started_ms: int
    tasks: tuple[Task, ...]
    initial: bool

    @property
    def name(self) -> bytes:
        """What it calls itself."""
        return self.tasks[0].name

    @property
    def ended(self) -> bool:
        """Whether it has no memory any more, and waits to be asked how it ended."""
        return all(task.state in _ZOMBIE for task in self.tasks)

    def regions(self) -> tuple[Region, ...]:
        """What it may execute."""
        return procfs.parse_smaps(_read(self.fd, self.pid, "smaps"))

    def held(self, link: str) -> Held | None:
        """What ``exe`` or ``map_files/...`` leads to; None if there is no such thing now."""
        try:
            label = os.readlink(os.fsencode(link), dir_fd=self.fd)
            found = os.stat(link, dir_fd=self.fd)
        except OSError as error:
            self._missing(error, link)
            return None
        return Held(
            key=(found.st_dev, found.st_ino),
            label=label,
            regular=stat.S_ISREG(found.st_mode),
            deleted=found.st_nlink == 0,
        )

    def open(self, link: str, key: tuple[int, int]) -> int | None:
        """A descriptor of that very file; None if it is no longer there."""
        try:
            fd = os.open(link, _READ, dir_fd=self.fd)
        except OSError as error:
            self._missing(error, link)
            return None
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) == key:
            return fd
        os.close(fd)
        return None

    def program_files(self) -> list[int]:
        """The BPF programs, by the kernel's numbers, that it has open or linked."""
        found = []
        for name in _names(self.fd, self.pid, "fd"):
            kind = self._link_text(f"fd/{name}")
            if kind not in (b"anon_inode:bpf-prog", b"anon_inode:bpf_link"):
                continue
            for line in _read(self.fd, self.pid, f"fdinfo/{name}", fine=True).split(b"\n"):
                key, _, value = line.partition(b":")
                if key == b"prog_id" and value.strip().isdigit():
                    found.append(int(value))
        return found

    def _link_text(self, link: str) -> bytes:
        try:
            return os.readlink(os.fsencode(link), dir_fd=self.fd)
        except OSError as error:
            self._missing(error, link)
            return b""

    def _missing(self, error: OSError, link: str) -> None:
        if error.errno not in _ENDED:
            raise translate_oserror(error, f"/proc/{self.pid}/{link}") from error
        _read(self.fd, self.pid, "stat")  # raises if it is the process that is gone


@dataclass(frozen=True, kw_only=True)
class Processes:
    """/proc of the host at ``root``."""

    root: Path

    @property
    def _proc(self) -> Path:
        return self.root / "proc"

    def pids(self) -> list[int]:
        """The numbers of all that are shown."""
        try:
            return sorted(int(name) for name in os.listdir(self._proc) if name.isdigit())
        except OSError as error:
            raise translate_oserror(error, str(self._proc)) from error

    def threads(self) -> int:
        """How many threads there are, as the kernel counts them, the hidden ones included."""
        path = self._proc / "loadavg"
        try:
            return int(path.read_bytes().split()[3].partition(b"/")[2])
        except OSError as error:
            raise translate_oserror(error, str(path)) from error
        except (ValueError, IndexError) as error:
            raise HostError("bad-proc", f"{path}: not as proc(5) has it") from error

    def shown_threads(self) -> int:
        """How many threads the processes have that are shown."""
        number = 0
        for pid in self.pids():
            try:
                number += procfs.parse_stat((self._proc / str(pid) / "stat").read_bytes()).threads
            except OSError as error:
                if error.errno not in _ENDED:
                    raise translate_oserror(error, str(self._proc / str(pid) / "stat")) from error
        return number

    def of_all(self) -> bool:
        """Whether this /proc is of the initial process namespace, in which all processes are."""
        try:
            return os.stat(self._proc / "self/ns/pid").st_ino == INITIAL_PID
        except OSError as error:
            raise translate_oserror(error, str(self._proc / "self/ns/pid")) from error

    @contextmanager
    def open(self, pid: int) -> Iterator[Process]:
        """One process; GoneError if there is none. HostError, ContentError: it can't be read."""
        try:
            fd = os.open(self._proc / str(pid), _DIRECTORY)
        except OSError as error:
            _failed(error, pid, "")
        with closing(fd):
            found = procfs.parse_stat(_read(fd, pid, "stat"))
            kernel = bool(found.flags & procfs.KERNEL_THREAD)
            tasks = _tasks(fd, pid)
            living = (number for number, task in tasks.items() if task.state not in _ZOMBIE)
            with self._thread(fd, pid, next(living, pid)) as thread:
                yield Process(
                    fd=thread,
                    pid=pid,
                    kernel=kernel,
                    started_ms=found.started * 1000 // os.sysconf("SC_CLK_TCK"),
                    tasks=tuple(tasks.values()),
                    initial=True if kernel else _is_initial(thread, pid),
                )

    @contextmanager
    def _thread(self, fd: int, pid: int, number: int) -> Iterator[int]:
        """The directory of a thread, by which all of its process is seen; ``fd`` is the first's."""
        if number == pid:
            yield fd
            return
        try:
            thread = os.open(self._proc / str(number), _DIRECTORY)
        except OSError as error:
            _failed(error, pid, f"task/{number}")
        with closing(thread):
            try:
                os.stat(f"task/{pid}", dir_fd=thread)  # not of another process by now
            except OSError as error:
                _failed(error, pid, f"task/{number}")
            yield thread


def _tasks(fd: int, pid: int) -> dict[int, Task]:
    """Its threads by number, the first one first. Each may have ids of its own, and be traced by
    itself."""
    tasks = {pid: procfs.parse_status(_read(fd, pid, "status"))}
    if tasks[pid].threads > 1:
        for name in _names(fd, pid, "task"):
            if name != str(pid) and (data := _read(fd, pid, f"task/{name}/status", fine=True)):
                tasks[int(name)] = procfs.parse_status(data)
    return tasks


def _is_initial(fd: int, pid: int) -> bool:
    """Whether its user namespace is the initial one; one that has ended is in none."""
    try:
        return os.stat("ns/user", dir_fd=fd).st_ino == INITIAL_USER
    except OSError as error:
        if error.errno in _ENDED:
            _read(fd, pid, "stat")
            return True  # a zombie
        if error.errno in (errno.EACCES, errno.EPERM):
            return True  # the stricter answer; its memory can't be looked at either
        _failed(error, pid, "ns/user")


def _names(fd: int, pid: int, folder: str) -> list[str]:
    try:
        with closing(os.open(folder, _DIRECTORY, dir_fd=fd)) as opened:
            return os.listdir(opened)
    except OSError as error:
        _failed(error, pid, folder)


def _read(fd: int, pid: int, name: str, *, fine: bool = False) -> bytes:
    """A file of a process; ``fine``: it may have gone alone, and then holds nothing."""
    whole = bytearray()
    try:
        with closing(os.open(name, _READ, dir_fd=fd)) as opened:
            while piece := os.read(opened, _PIECE):
                whole += piece
                if len(whole) > _MOST:
                    raise HostError("too-large", f"/proc/{pid}/{name}: more than {_MOST} bytes")
    except OSError as error:
        if fine and error.errno in _ENDED:
            return b""
        _failed(error, pid, name)
    return bytes(whole)


def _failed(error: OSError, pid: int, name: str) -> NoReturn:
    if error.errno in _ENDED:
        raise GoneError from error
    raise translate_oserror(error, f"/proc/{pid}/{name}") from error
