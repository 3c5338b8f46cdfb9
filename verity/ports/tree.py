# SPDX-License-Identifier: Apache-2.0
"""Walking a directory tree by file descriptor, and reading one file's manifest entry.

Every file is opened once (``O_NOFOLLOW``, relative to its directory's descriptor) and then asked
by descriptor; paths are labels. The walk stays on the file system that it starts on: what is
mounted inside is reported as a ``Gap``, as is everything that can't be read. It judges nothing.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats.dump import Entry, counts_for_security, printable
from verity.ports.osfile import translate_oserror
from verity.values.errors import VerityError

Digester = Callable[[int, str], bytes]
"""Gives the canonical fs-verity digest (32 bytes) of an open file; the text is its label."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something below the root that could not be read, with why."""

    path: bytes
    why: str
    hint: str


class Tree:
    """An opened directory, the root of what is walked."""

    def __init__(self, root: Path) -> None:
        self.label = str(root)
        try:
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, self.label) from error
        self._device = os.fstat(self._fd).st_dev

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    def walk(self, digester: Digester) -> Iterator[Entry | Gap]:
        """Every file, directories before what they hold, siblings by the bytes of their name."""
        yield self._read(self._fd, b"/", os.fstat(self._fd), digester)
        yield from self._walk(self._fd, b"", digester)

    def _walk(self, directory: int, prefix: bytes, digester: Digester) -> Iterator[Entry | Gap]:
        try:
            # Names as bytes: os.listdir of a descriptor decodes them, fsencode takes them back.
            names = sorted(os.fsencode(name) for name in os.listdir(directory))
        except OSError as error:
            yield _gap(prefix or b"/", translate_oserror(error, printable(prefix or b"/")))
            return
        for name in names:
            path = prefix + b"/" + name
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if status.st_dev != self._device:
                    yield Gap(
                        path=path,
                        why="another file system is mounted here",
                        hint="walk it by itself",
                    )
                    continue
                if stat.S_ISDIR(status.st_mode):
                    child = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=directory)
                    try:
                        yield self._read(child, path, os.fstat(child), digester)
                        yield from self._walk(child, path, digester)
                    finally:
                        os.close(child)
                else:
                    yield self._leaf(directory, name, path, status, digester)
            except OSError as error:
                yield _gap(path, translate_oserror(error, printable(path)))
            except VerityError as error:
                yield _gap(path, error)

    def _leaf(
        self,
        directory: int,
        name: bytes,
        path: bytes,
        status: os.stat_result,
        digester: Digester,
    ) -> Entry:
        if stat.S_ISREG(status.st_mode):
            fd = os.open(name, _OPEN, dir_fd=directory)
            try:
                return self._read(fd, path, os.fstat(fd), digester)
            finally:
                os.close(fd)
        target = None
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=directory)
        return _entry(
            path,
            status,
            target=target,
            # There is no descriptor for a symlink's or a device's xattrs.
            xattrs=_xattrs(b"/proc/self/fd/%d/%b" % (directory, name)),
        )

    def _read(self, fd: int, path: bytes, status: os.stat_result, digester: Digester) -> Entry:
        digest = None
        if stat.S_ISREG(status.st_mode):
            digest = digester(fd, printable(path))
        return _entry(path, status, digest=digest, xattrs=_xattrs(fd))


def read_head(directory: Path, path: bytes, size: int) -> bytes:
    """The first bytes of one file below ``directory``, without following symlinks in ``path``."""
    parts = path.strip(b"/").split(b"/")
    current = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            following = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
        fd = os.open(parts[-1], _OPEN, dir_fd=current)
        try:
            return os.pread(fd, size, 0)
        finally:
            os.close(fd)
    except OSError as error:
        raise translate_oserror(error, printable(path)) from error
    finally:
        os.close(current)


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
