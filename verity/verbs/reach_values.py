# SPDX-License-Identifier: Apache-2.0
"""What following references gives: files, what they are reached as, and who leads there.

Values, and ``Seen``, which every source of references reads through: what can't be read becomes a
gap, and what is deliberately not followed a limit, so that nothing is passed by in silence.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from verity.formats.dump import printable
from verity.formats.grants import Code
from verity.ports.osfile import closing, translate_oserror
from verity.ports.rooted import Located, Rooted
from verity.values.errors import ContentError, HostError, VerityError

_MULTIARCH = (b"-linux-gnu", b"-linux-gnueabihf", b"-linux-gnux32", b"-linux-musl")
_LONGEST_LINE = 1 << 16
PATH = (*(b"/usr/local/sbin", b"/usr/local/bin", b"/usr/sbin", b"/usr/bin", b"/sbin", b"/bin"),)
"""Where bare names of programs are looked up, as systemd and the shells of root do."""


class Use(StrEnum):
    """What a file is reached as."""

    STARTED = "started"
    INTERPRETER = "interpreter"
    """Started for a script that names it in its ``#!``."""
    LIBRARY = "library"
    MODULE = "module"
    FIRMWARE = "firmware"
    READ = "read as code"
    """A script that a program is given to read, or what a shell reads at its start."""
    MERGED = "laid over the system"
    """An image, or a file of a directory, that systemd lays over /usr, /opt or /etc."""
    CONFIGURATION = "configuration"

    @property
    def code(self) -> Code | None:
        """What grants must say of it; None where that is no question of the code table."""
        return _CODES.get(self)


_CODES = {
    Use.STARTED: Code.EXEC | Code.SCRIPT,
    Use.INTERPRETER: Code.EXEC | Code.SCRIPT,
    Use.LIBRARY: Code.LIBRARY | Code.EXEC,
    Use.MODULE: Code.MODULE,
    Use.FIRMWARE: Code.MODULE,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One reference: ``who`` leads on, ``how``."""

    who: bytes
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """That something leads to ``target``, an absolute path, or the bare name of a program.

    ``by`` is the way there. ``optional``: nothing is wrong if it isn't there. ``search`` and
    ``inherited`` are the LD_LIBRARY_PATH and the RPATHs under which libraries are looked for.
    """

    target: bytes
    use: Use
    by: tuple[Step, ...]
    optional: bool = False
    search: tuple[bytes, ...] = ()
    inherited: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """A file that is reached. ``path`` has no symlink in it, ``name`` is what it is called by.

    ``by`` is the shortest way to it. Without ``located`` nothing is there.
    """

    path: bytes
    name: bytes
    use: Use
    by: tuple[Step, ...]
    optional: bool
    located: Located | None

    @property
    def chain(self) -> str:
        """The way to it, for people."""
        return " > ".join(f"{printable(step.who)} ({step.how})" for step in self.by)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that had to be read and could not be."""

    path: bytes
    why: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Everything that was reached, by path and use, and what could not be followed."""

    reached: tuple[Reached, ...]
    gaps: tuple[Gap, ...]
    limits: tuple[str, ...]
    counts: Counter[str]


@dataclass
class Seen:
    """The tree that is read, and what was met in it. ``groups`` are those whose members a policy
    counts as privileged."""

    tree: Rooted
    groups: frozenset[bytes] = frozenset()
    gaps: dict[bytes, Gap] = field(default_factory=dict)
    limits: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _folders: tuple[bytes, ...] | None = None

    def read(self, path: bytes) -> bytes:
        """A file of configuration; empty if there is none, or a gap."""
        try:
            return self.tree.read(path) or b""
        except HostError as error:
            self.refused(path, error)
            return b""

    def lines(self, path: bytes) -> Iterator[bytes]:
        """Its lines without comments and without what is empty; ends of lines escaped are joined"""
        joined = self.read(path).replace(b"\\\n", b" ")
        for line in joined.split(b"\n"):
            line = line.strip()
            if len(line) > _LONGEST_LINE:
                error = ContentError("too-long", f"a line of more than {_LONGEST_LINE} bytes")
                self.refused(path, error)
            elif line and not line.startswith(b"#"):
                yield line

    def names(self, path: bytes) -> list[bytes]:
        """What is in a directory; nothing if there is none, or a gap."""
        try:
            return self.tree.names(path)
        except HostError as error:
            self.refused(path, error)
            return []

    def find(self, path: bytes) -> Located | None:
        """Where a path leads; None if nowhere, or a gap."""
        try:
            return self.tree.find(path)
        except HostError as error:
            self.refused(path, error)
            return None

    def program(self, name: bytes, path: tuple[bytes, ...] = PATH) -> bytes:
        """A bare name of a program as a path; itself if it is one, or nothing has the name."""
        if b"/" in name:
            return name
        for folder in path:
            candidate = folder + b"/" + name
            found = self.find(candidate)
            if found is not None and found.is_file and found.status.st_mode & 0o111:
                return candidate
        return name

    def head(self, located: Located, size: int = 64) -> bytes:
        """A file's first bytes; nothing, and a gap, if it can't be read."""
        try:
            with closing(self.tree.open(located)) as fd:
                return os.pread(fd, size, 0)
        except OSError as error:
            path = located.path
            self.refused(path, translate_oserror(error, os.fsdecode(path)))
            return b""

    def walk(self, path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """The regular files and links below a directory; a gap where it can't be listed."""
        try:
            for name, status in self.tree.walk(path, refused=self.refused):
                if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    yield name, status
        except HostError as error:
            self.refused(path, error)

    def libraries(self, name: bytes) -> list[bytes]:
        """Every file for a library's name in the directories that systems keep libraries in.

        More than the dynamic linker takes, which isn't asked: whoever loads it is not known.
        """
        if name.startswith(b"/"):
            return [name]
        if self._folders is None:
            tops = (b"/usr/lib64", b"/usr/lib", b"/usr/local/lib")
            many = [top + b"/" + one for top in tops for one in self.names(top)]
            found = [one for one in many if one.endswith(_MULTIARCH)]
            self._folders = tuple(dict.fromkeys((*found, *tops)))
        candidates = (folder + b"/" + name for folder in self._folders)
        return [one for one in candidates if self.find(one) is not None]

    def drop_ins(self, folders: tuple[bytes, ...], suffix: bytes) -> Iterator[bytes]:
        """The files of directories of which an earlier one hides the same name in a later one."""
        chosen: dict[bytes, bytes] = {}
        for folder in folders:
            for name in self.names(folder):
                if name.endswith(suffix):
                    chosen.setdefault(name, folder + b"/" + name)
        for name in sorted(chosen):
            found = self.find(chosen[name])
            if found is not None and not found.is_null:
                yield chosen[name]

    def refused(self, path: bytes, error: VerityError) -> None:
        """Take down a gap."""
        why = error.message.removeprefix(f"{os.fsdecode(path)}: ")
        self.gaps.setdefault(path, Gap(path=path, why=why, hint=error.hint or ""))

    def limit(self, text: str) -> None:
        """Take down something that is not followed."""
        self.limits.setdefault(text)
