# SPDX-License-Identifier: Apache-2.0
"""Walking a directory tree by file descriptor, and reading one file's manifest entry.

Every file is opened once (``O_NOFOLLOW``, relative to its directory's descriptor) and then asked
by descriptor; paths are labels. The walk stays on the file system that it starts on: what is
mounted inside is reported as a ``Gap``, as is everything that can't be read. It judges nothing.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats import elf
from verity.formats.dump import Entry, counts_for_security, printable
from verity.ports import content, kernel
from verity.ports.osfile import closing, open_directory_below, translate_oserror
from verity.values.digest import CANONICAL
from verity.values.errors import HostError, VerityError


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """A regular file's canonical fs-verity digest (32 bytes), and who says so.

    ``by_kernel``: measured, so that the kernel checks every page that is read; else hashed now.
    ``head`` are the first bytes, where the digester was asked for them. ``parameters`` are those
    that fs-verity was turned on with, where they are not the canonical ones: the kernel's digest is
    another one then.
    """

    digest: bytes
    by_kernel: bool
    head: bytes = b""
    parameters: str = ""


Digester = Callable[[int, bytes], Contents]
"""Judges the contents of an open regular file; the bytes are its path below the root."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A file: its manifest entry, and for a regular file how its contents were judged."""

    entry: Entry
    contents: Contents | None

    @property
    def path(self) -> bytes:
        """Absolute, below the root."""
        return self.entry.path


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something below the root that could not be read, with why."""

    path: bytes
    why: str
    hint: str


class Tree:
    """An opened directory, the root of what is walked: ``below`` a path that may be a symlink, by a
    way on which there is none."""

    def __init__(self, path: Path, *, below: bytes = b"/") -> None:
        self.label = str(path / os.fsdecode(below[1:]))
        try:
            self._fd = open_directory_below(path, below)
        except OSError as error:
            raise translate_oserror(error, self.label) from error
        self._device = os.fstat(self._fd).st_dev

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    def walk(
        self, digester: Digester, *, visit: Callable[[bytes], bool] = lambda path: True
    ) -> Iterator[Node | Gap]:
        """Every file, directories before what they hold, siblings by the bytes of their name.

        What ``visit`` says no to is passed by, with all below.
        """
        yield self._read(self._fd, b"/", os.fstat(self._fd), digester)
        yield from self._walk(digester, visit)

    def read(self, path: bytes, digester: Digester) -> Node:
        """What ``walk`` would say of one path (absolute, below the root)."""
        if path == b"/":
            return self._read(self._fd, path, os.fstat(self._fd), digester)
        try:
            with self._parent(path) as (directory, name):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    return self._leaf(directory, name, path, status, digester)
                with closing(os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=directory)) as fd:
                    return self._read(fd, path, os.fstat(fd), digester)
        except OSError as error:
            raise translate_oserror(error, printable(path)) from error

    def open(self, path: bytes) -> int:
        """A descriptor (O_RDONLY) of the regular file at ``path``, for the caller to close."""
        try:
            with self._parent(path) as (directory, name):
                return content.open_regular(
                    os.fsdecode(name), dir_fd=directory, label=os.fsdecode(path)
                )
        except OSError as error:
            raise translate_oserror(error, printable(path)) from error

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The directory of a path, reached without following a symlink, and the last name."""
        *parents, name = path.strip(b"/").split(b"/")
        current = os.dup(self._fd)
        try:
            for parent in parents:
                following = os.open(parent, _OPEN | os.O_DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
            yield current, name
        finally:
            os.close(current)

    def _walk(self, digester: Digester, visit: Callable[[bytes], bool]) -> Iterator[Node | Gap]:
        # A stack of open directories and no recursion: anyone can nest more than Python can.
        stack = [_Directory(os.dup(self._fd), b"", iter(()))]
        try:
            stack[0].names, gap = _names(stack[0])
            if gap is not None:
                yield gap
            while stack:
                current = stack[-1]
                name = next(current.names, None)
                if name is None:
                    os.close(stack.pop().fd)
                    continue
                path = current.prefix + b"/" + name
                if not visit(path):
                    continue
                item, inside = self._visit(current.fd, name, path, digester)
                yield item
                if inside is not None:
                    stack.append(inside)
                    inside.names, gap = _names(inside)
                    if gap is not None:
                        yield gap
        finally:
            for directory in stack:
                os.close(directory.fd)

    def _visit(
        self, directory: int, name: bytes, path: bytes, digester: Digester
    ) -> tuple[Node | Gap, "_Directory | None"]:
        """What one name is, and the opened directory if it is one to walk."""
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if status.st_dev != self._device:
                why = "another file system is mounted here"
                return Gap(path=path, why=why, hint="walk it by itself"), None
            if not stat.S_ISDIR(status.st_mode):
                return self._leaf(directory, name, path, status, digester), None
            fd = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=directory)
            try:
                return self._read(fd, path, os.fstat(fd), digester), _Directory(fd, path, iter(()))
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            return _gap(path, translate_oserror(error, printable(path))), None
        except VerityError as error:
            return _gap(path, error), None

    def _leaf(
        self,
        directory: int,
        name: bytes,
        path: bytes,
        status: os.stat_result,
        digester: Digester,
    ) -> Node:
        if stat.S_ISREG(status.st_mode):
            with closing(os.open(name, _OPEN, dir_fd=directory)) as fd:
                return self._read(fd, path, os.fstat(fd), digester)
        target = None
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=directory)
        entry = _entry(
            path,
            status,
            target=target,
            # There is no descriptor for a symlink's or a device's xattrs.
            xattrs=_xattrs(b"/proc/self/fd/%d/%b" % (directory, name)),
        )
        return Node(entry=entry, contents=None)

    def _read(self, fd: int, path: bytes, status: os.stat_result, digester: Digester) -> Node:
        if stat.S_ISREG(status.st_mode):
            return read_node(fd, path, digester)
        return Node(entry=_entry(path, status, xattrs=_xattrs(fd)), contents=None)


@dataclass
class _Directory:
    """A directory that is being walked."""

    fd: int
    prefix: bytes
    names: Iterator[bytes]


def _names(directory: _Directory) -> tuple[Iterator[bytes], Gap | None]:
    """Its names, sorted by their bytes; none and a gap if they can't be listed."""
    try:
        # os.listdir of a descriptor decodes the names; fsencode takes them back.
        return iter(sorted(map(os.fsencode, os.listdir(directory.fd)))), None
    except OSError as error:
        path = directory.prefix or b"/"
        return iter(()), _gap(path, translate_oserror(error, printable(path)))


def hashed(fd: int, path: bytes) -> Contents:
    """The digester that reads."""
    value = content.digest_fd(fd, CANONICAL, label=os.fsdecode(path)).value
    return Contents(digest=value, by_kernel=False, head=os.pread(fd, elf.HEAD_SIZE, 0))


def measured(fd: int, path: bytes) -> Contents:
    """The digester that asks the kernel, and reads only what has no fs-verity."""
    try:
        found = kernel.measure(fd, label=os.fsdecode(path))
    except HostError:
        found = None  # no fs-verity on this file system: hashing is what is left
    if found is None or found.algorithm is not CANONICAL.algorithm:
        return hashed(fd, path)
    return Contents(digest=found.value, by_kernel=True)


def unjudged(fd: int, path: bytes) -> Contents:
    """The digester for callers that want the metadata alone."""
    return Contents(digest=bytes(32), by_kernel=False)


def read_node(fd: int, path: bytes, digester: Digester) -> Node:
    """What ``Tree.walk`` would say of one open regular file."""
    contents = digester(fd, path)
    entry = _entry(path, os.fstat(fd), digest=contents.digest, xattrs=_xattrs(fd))
    return Node(entry=entry, contents=contents)


def _entry(
    path: bytes,
    status: os.stat_result,
    *,
    xattrs: tuple[tuple[bytes, bytes], ...],
    digest: bytes | None = None,
    target: bytes | None = None,
) -> Entry:
    mode = status.st_mode
    return Entry(
        path=path,
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if stat.S_ISREG(mode) else len(target or b""),
        rdev=status.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0,
        target=target,
        digest=digest,
        xattrs=xattrs,
    )


def _xattrs(file: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    follow = isinstance(file, int)
    names = sorted(
        name
        for name in map(os.fsencode, os.listxattr(file, follow_symlinks=follow))
        if counts_for_security(name)
    )
    return tuple((name, os.getxattr(file, name, follow_symlinks=follow)) for name in names)


def _gap(path: bytes, error: VerityError) -> Gap:
    why = error.message.removeprefix(f"{printable(path)}: ")
    return Gap(path=path, why=why, hint=error.hint or "")
