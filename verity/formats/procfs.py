# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of processes, mounts and modules in /proc: texts -> frozen values, pure.

Names in them are anybody's: a process calls itself what it likes, a file may be called as what the
kernel writes of memory without one. So what decides are numbers: an inode of 0, a flag of a task.
Of what isn't as proc(5) has it, ContentError ``bad-proc`` says which.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from verity.values.errors import ContentError

KERNEL_THREAD = 0x00200000  # PF_KTHREAD of linux/sched.h; nobody can set it
_START = 19  # fields behind the name in stat (proc(5))
_FLAGS = 6
_THREADS = 17
_OCTAL = re.compile(rb"\\([0-7]{3})")
# A mapping that may be executed; in smaps "Anonymous:" stands behind it.
_HEADER = (
    rb"^([0-9a-f]+)-([0-9a-f]+) [r-]([w-])x[ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+)(?: +(.*))?\n"
)
_EXECUTABLE = re.compile(_HEADER, re.MULTILINE)
_AND_USE = re.compile(_HEADER + rb"(?:[A-Z][A-Za-z_]*:.*\n)*?Anonymous: +(\d+) kB\n", re.MULTILINE)
KERNELS_OWN = frozenset({b"[vdso]", b"[vsyscall]"})
"""Code that the kernel puts into every process; its mappings have no inode."""
PROBED = b"[uprobes]"
"""Where the kernel runs instructions that a probe has replaced."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Of status: ids are (real, effective, saved, file system); capabilities are a bit each."""

    name: bytes
    state: str
    tracer: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: frozenset[int]
    inheritable: int
    permitted: int
    ambient: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Stat:
    """Of stat: the task's flags, how many threads, and the start in clock ticks since boot."""

    flags: int
    threads: int
    started: int


@dataclass(frozen=True, kw_only=True)
class Region:
    """Memory that may be executed. ``inode`` 0: no file. ``altered``: kB of pages of its own."""

    start: int
    end: int
    writable: bool
    inode: int
    name: bytes
    altered: int

    @property
    def link(self) -> str:
        """Its name in /proc/PID/map_files."""
        return f"{self.start:x}-{self.end:x}"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A line of mountinfo. ``inner`` is which directory of the file system is mounted."""

    device: bytes
    inner: bytes
    point: bytes
    options: frozenset[bytes]
    type: bytes
    source: bytes
    super_options: frozenset[bytes]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A line of modules. ``taints`` are the letters of what is odd about it."""

    name: str
    taints: str


def parse_status(data: bytes) -> Task:
    """/proc/PID/status, or that of a thread."""
    fields = dict(line.split(b":\t", 1) for line in data.split(b"\n") if b":\t" in line)

    def numbers(name: bytes, base: int = 10) -> tuple[int, ...]:
        return tuple(int(one, base) for one in fields[name].split())

    try:
        return Task(
            name=fields[b"Name"],
            state=fields[b"State"][:1].decode("ascii"),
            tracer=numbers(b"TracerPid")[0],
            uids=numbers(b"Uid"),
            gids=numbers(b"Gid"),
            groups=frozenset(numbers(b"Groups")),
            inheritable=numbers(b"CapInh", 16)[0],
            permitted=numbers(b"CapPrm", 16)[0],
            ambient=numbers(b"CapAmb", 16)[0],
            threads=numbers(b"Threads")[0],
        )
    except (KeyError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise _bad("status") from error


def parse_stat(data: bytes) -> Stat:
    """/proc/PID/stat."""
    fields = data.rpartition(b")")[2].split()
    try:
        return Stat(
            flags=int(fields[_FLAGS]), threads=int(fields[_THREADS]), started=int(fields[_START])
        )
    except (ValueError, IndexError) as error:
        raise _bad("stat") from error


def parse_smaps(data: bytes) -> tuple[Region, ...]:
    """/proc/PID/smaps: what may be executed, and how much of it is no longer the file's."""
    found = tuple(_region(match) for match in _AND_USE.finditer(data))
    if len(found) != len(_EXECUTABLE.findall(data)):
        raise _bad("smaps")
    return found


def _region(match: re.Match[bytes]) -> Region:
    return Region(
        start=int(match[1], 16),
        end=int(match[2], 16),
        writable=match[3] == b"w",
        inode=int(match[4]),
        name=_unoctal(match[5] or b""),
        altered=int(match[6]),
    )


def parse_mounts(data: bytes) -> tuple[Mount, ...]:
    """/proc/PID/mountinfo, in the order in which things were mounted."""
    found = []
    for line in data.splitlines():
        before, _, behind = line.partition(b" - ")
        fields, rest = before.split(b" "), behind.split(b" ")
        if len(fields) < 6 or len(rest) < 3:
            raise _bad("mountinfo")
        found.append(
            Mount(
                device=fields[2],
                inner=_unoctal(fields[3]),
                point=_unoctal(fields[4]),
                options=frozenset(fields[5].split(b",")),
                type=rest[0],
                source=_unoctal(rest[1]),
                super_options=frozenset(rest[2].split(b",")),
            )
        )
    return tuple(found)


def parse_modules(data: bytes) -> tuple[Module, ...]:
    """/proc/modules."""
    found = []
    for line in data.decode("utf-8", "replace").splitlines():
        fields = line.split(" ")
        if len(fields) < 6:
            raise _bad("modules")
        taints = fields[6].strip("()") if len(fields) > 6 and fields[6].startswith("(") else ""
        found.append(Module(name=fields[0], taints=taints))
    return tuple(found)


def parse_dependencies(data: bytes) -> Mapping[str, str]:
    """modules.dep: the file of each module, below its directory, by the name it has when loaded."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        path = line.partition(":")[0]
        stem = path.rpartition("/")[2].partition(".ko")[0]
        found.setdefault(stem.replace("-", "_"), path)
    return found


def _unoctal(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), field)


def _bad(name: str) -> ContentError:
    return ContentError(
        "bad-proc",
        f"{name}: not as proc(5) has it",
        hint="something other than the kernel is mounted at /proc, or the kernel is a newer one",
    )
