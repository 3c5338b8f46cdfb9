# SPDX-License-Identifier: Apache-2.0
"""Files of a host below its root, by the names that its own programs use for them.

A host's configuration names files with symlinks on the way (/bin/sh). Links are followed as the
host itself would, with its root as ``/`` and ``..`` of the root being the root, name by name; what
is then opened is opened without following any, so nothing leads out of a tree that lies elsewhere.
Not to be confused with ``verity.ports.tree``, which follows none and compares with a manifest.

It judges nothing. A tree that changes meanwhile gives an error (or the other file), never a file
outside of it.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import closing, open_directory_at, translate_oserror
from verity.values.errors import HostError

MAX_CONFIGURATION = 4 << 20
_MOST_LINKS = 40  # as the kernel: MAXSYMLINKS
_MOST_FOLDERS = 400  # directories that are kept open
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Located:
    """Where a name leads: a path without a symlink in it, what is there, the links passed."""

    path: bytes
    status: os.stat_result
    links: tuple[bytes, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_null(self) -> bool:
        """Whether it is /dev/null or an empty file: how configuration is masked."""
        return self.path == b"/dev/null" or (self.is_file and self.status.st_size == 0)


class Rooted:
    """An opened root. ``locate`` and ``open`` raise OSError; the others say what they do."""

    def __init__(self, root: Path) -> None:
        self.label = str(root)
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, self.label) from error
        self._folders: dict[bytes, int] = {b"/": self._root}
        self._ways: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {b"/": (b"/", ())}

    def __enter__(self) -> "Rooted":
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in self._folders.values():
            os.close(fd)

    def locate(self, path: bytes) -> Located:
        """Where an absolute path leads."""
        if b"\0" in path:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if path.rstrip(b"/") == b"":
            return Located(b"/", os.fstat(self._root))
        real, links = self._follow(path, _MOST_LINKS)
        if real == b"/dev/null":
            return Located(real, self._status(real) or _NULL, links)
        status = self._status(real)
        if status is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        return Located(real, status, links)

    def find(self, path: bytes) -> Located | None:
        """The same, and None if nothing is there; raises HostError for whatever else."""
        try:
            return self.locate(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
                return None
            raise translate_oserror(error, os.fsdecode(path)) from error

    def link(self, path: bytes) -> bytes | None:
        """The target of the symlink that this very name is, None if it is none."""
        folder, _, name = path.rpartition(b"/")
        try:
            real, _ = self._follow(folder or b"/", _MOST_LINKS)
            return os.readlink(name, dir_fd=self._folder(real))
        except OSError:
            return None

    def open(self, located: Located) -> int:
        """A descriptor of the regular file there, for the caller to close."""
        folder, _, name = located.path.rpartition(b"/")
        fd = os.open(name, _OPEN, dir_fd=self._folder(folder or b"/"))
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(located.path))
        return fd

    def read(self, path: bytes, *, max_size: int = MAX_CONFIGURATION) -> bytes | None:
        """A regular file, whole; None if it isn't there. Raises HostError for what else."""
        label = os.fsdecode(path)
        located = self.find(path)
        if located is None or located.path == b"/dev/null":
            return None
        try:
            with closing(self.open(located)) as fd, open(fd, "rb", closefd=False) as file:
                data = file.read(max_size + 1)
        except OSError as error:
            raise translate_oserror(error, label) from error
        if len(data) > max_size:
            raise HostError("too-large", f"{label}: more than {max_size} bytes")
        return data

    def names(self, path: bytes) -> list[bytes]:
        """What is in a directory, sorted; nothing if it is none. Raises HostError."""
        located = self.find(path)
        if located is None or not located.is_folder:
            return []
        try:
            return sorted(map(os.fsencode, os.listdir(self._folder(located.path))))
        except OSError as error:
            raise translate_oserror(error, os.fsdecode(path)) from error

    def walk(
        self,
        path: bytes,
        *,
        refused: Callable[[bytes, HostError], None],
        device: int | None = None,
    ) -> Iterator[tuple[bytes, os.stat_result]]:
        """All below a directory, in no order, following no link; of one file system only if its
        ``device`` is given. ``refused`` is told what can't be listed. Raises HostError."""
        located = self.find(path)
        if located is None or not located.is_folder:
            return
        stack = [located.path]
        while stack:
            here = stack.pop()
            prefix = b"" if here == b"/" else here
            try:
                # Not kept: a walk meets each directory once.
                with closing(self._opened(here)) as fd, os.scandir(fd) as entries:
                    for entry in entries:
                        name = prefix + b"/" + os.fsencode(entry.name)
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue  # gone since
                        if device is not None and status.st_dev != device:
                            continue
                        if stat.S_ISDIR(status.st_mode):
                            stack.append(name)
                        yield name, status
            except FileNotFoundError:
                continue  # gone since
            except OSError as error:
                refused(here, translate_oserror(error, os.fsdecode(here)))

    def mount_flags(self, located: Located) -> int:
        """The flags of the mount that a directory is in, as in statvfs(3); 0 if it is gone."""
        try:
            return os.fstatvfs(self._folder(located.path)).f_flag
        except OSError:
            return 0

    def _follow(self, path: bytes, links: int) -> tuple[bytes, tuple[bytes, ...]]:
        """The path without symlinks, of which the last part needn't be there."""
        known = self._ways.get(path)
        if known is not None:
            return known
        done = b"/"
        passed: tuple[bytes, ...] = ()
        left = [part for part in reversed(path.split(b"/")) if part and part != b"."]
        while left:
            part = left.pop()
            if part == b"..":
                done = done.rpartition(b"/")[0] or b"/"
                continue
            here = (b"" if done == b"/" else done) + b"/" + part
            cached = self._ways.get(here)
            if cached is not None:
                done, passed = cached[0], passed + cached[1]
                continue
            status = self._status(here)
            if status is None:
                if left:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                return here, passed
            if stat.S_ISLNK(status.st_mode):
                if len(passed) >= links:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
                passed = (*passed, here)
                target = os.readlink(part, dir_fd=self._folder(done))
                if target.startswith(b"/"):
                    done = b"/"
                left += [one for one in reversed(target.split(b"/")) if one and one != b"."]
                continue
            if stat.S_ISDIR(status.st_mode):
                self._ways[here] = here, ()
            elif left:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            done = here
        if stat.S_ISDIR((self._status(done) or _NULL).st_mode):
            self._ways[path] = done, passed
        return done, passed

    def _status(self, real: bytes) -> os.stat_result | None:
        """lstat(2) of a path whose directories are real ones; None if nothing is there."""
        folder, _, name = real.rpartition(b"/")
        if not name:
            return os.fstat(self._root)
        try:
            return os.stat(name, dir_fd=self._folder(folder or b"/"), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _folder(self, real: bytes) -> int:
        fd = self._folders.get(real)
        if fd is None:
            fd = self._opened(real)
            if len(self._folders) >= _MOST_FOLDERS:
                for name in list(self._folders)[1 : _MOST_FOLDERS // 2]:
                    os.close(self._folders.pop(name))
            self._folders[real] = fd
        return fd

    def _opened(self, real: bytes) -> int:
        current = os.dup(self._root)
        for part in filter(None, real.split(b"/")):
            try:
                following = open_directory_at(current, part)
            finally:
                os.close(current)
            current = following
        return current


_NULL = os.stat_result((stat.S_IFCHR, 0, 0, 1, 0, 0, 0, 0, 0, 0))
