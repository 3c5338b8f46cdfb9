# SPDX-License-Identifier: Apache-2.0
"""Changing files of a live tree, each by preparing another beside it and renaming that over it.

1. ``prepare`` writes a file with its owner, mode and xattrs into a directory of its own, on the
   same file system. Nothing that is in use has changed yet.
2. ``remove``, ``make``, ``put`` and ``dress`` each change one name. No file is ever written in
   place: whoever has it open, or another name of it, keeps what it had.
3. Nothing is durable before ``sync``, and nothing here knows whether all is done: the caller keeps
   a journal.

Directories are reached by descriptor, from the top down, and no symlink is followed.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from verity.formats.dump import Entry, counts_for_security, printable
from verity.ports import kernel
from verity.ports.osfile import closing, open_directory_below, translate_oserror
from verity.values.errors import HostError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# Also when what is above it is no directory yet, but a file or a symlink to be replaced.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

Fill = Callable[[Entry, int], object]
"""Writes the contents of a regular file to a descriptor."""


class ReplaceTree:
    """Directories (``tops``, paths on the host) below a root, to change files in."""

    def __init__(self, root: Path, tops: Sequence[bytes], stage: str) -> None:
        self._root = root
        self._tops = sorted(tops, key=len, reverse=True)
        self._stage = os.fsencode(stage)
        self._prepared: dict[bytes, bytes] = {}

    def check(self, path: bytes) -> None:
        """Refuse what is there and can't be replaced by a rename (``immutable``)."""
        try:
            with self._parent(path) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                    return
                fd = os.open(name, _LOOK, dir_fd=parent)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return
            raise translate_oserror(error, printable(path)) from error
        with closing(fd):
            try:
                flags = kernel.inode_flags(fd, label=printable(path))
            except HostError:
                return  # a file system without such flags
        if flags & (kernel.IMMUTABLE_FL | kernel.APPEND_FL):
            raise HostError(
                "immutable",
                f"{printable(path)}: it has the attribute immutable or append-only",
                hint="chattr -i -a takes it away",
            )

    def clear(self) -> None:
        """Remove everything prepared, also by a run that was killed."""
        self._prepared.clear()
        for top in self._tops:
            with self._named(top), self._top(top) as fd:
                try:
                    stage = os.open(self._stage, _DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    continue
                with closing(stage):
                    _check_ours(stage, top)
                    for name in os.listdir(stage):
                        os.unlink(name, dir_fd=stage)
                os.rmdir(self._stage, dir_fd=fd)

    def prepare(self, entry: Entry, fill: Fill) -> None:
        """Write a regular file or a symlink as it is to be."""
        name = b"%d" % len(self._prepared)
        with self._named(entry.path), self._staging(entry.path) as stage:
            if entry.target is not None:
                os.symlink(entry.target, name, dir_fd=stage)
                os.chown(name, entry.uid, entry.gid, dir_fd=stage, follow_symlinks=False)
                # There is no descriptor for a symlink's xattrs.
                _set_xattrs(b"/proc/self/fd/%d/%b" % (stage, name), entry)
            else:
                with closing(os.open(name, _NEW, 0o600, dir_fd=stage)) as fd:
                    fill(entry, fd)
                    _dress(fd, entry)
        self._prepared[entry.path] = name

    def remove(self, entry: Entry) -> None:
        """Take a name away; a directory must be empty."""
        with self._named(entry.path), self._parent(entry.path) as (parent, name):
            if entry.is_directory:
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def make(self, entry: Entry) -> None:
        """Make a directory."""
        with self._named(entry.path), self._parent(entry.path) as (parent, name):
            os.mkdir(name, 0o700, dir_fd=parent)
        self.dress(entry)

    def put(self, entry: Entry) -> None:
        """Give a prepared file its name, over whatever has it."""
        name = self._prepared[entry.path]
        with self._named(entry.path), self._parent(entry.path) as (parent, target):
            with self._staging(entry.path) as stage:
                os.rename(name, target, src_dir_fd=stage, dst_dir_fd=parent)

    def dress(self, entry: Entry) -> None:
        """Give a directory its owner, mode and xattrs."""
        with self._named(entry.path), self._directory(entry.path) as fd:
            _dress(fd, entry)

    def sync(self) -> None:
        """Make all of it durable."""
        for top in self._tops:
            with self._named(top), self._top(top) as fd:
                kernel.syncfs(fd, label=printable(top))

    @contextlib.contextmanager
    def _named(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translate_oserror(error, printable(path)) from error

    @contextlib.contextmanager
    def _top(self, top: bytes) -> Iterator[int]:
        with closing(open_directory_below(self._root, top)) as fd:
            yield fd

    def _top_of(self, path: bytes) -> bytes:
        return next(top for top in self._tops if path == top or path.startswith(top + b"/"))

    @contextlib.contextmanager
    def _staging(self, path: bytes) -> Iterator[int]:
        """The directory for prepared files, made when first needed."""
        with self._top(self._top_of(path)) as top:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._stage, 0o700, dir_fd=top)
            with closing(os.open(self._stage, _DIRECTORY, dir_fd=top)) as fd:
                _check_ours(fd, path)
                yield fd

    @contextlib.contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        top = self._top_of(path)
        with self._top(top) as start:
            current = os.dup(start)
            try:
                for part in path[len(top) :].split(b"/")[1:]:
                    following = os.open(part, _DIRECTORY, dir_fd=current)
                    os.close(current)
                    current = following
                yield current
            finally:
                os.close(current)

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        above, _, name = path.rpartition(b"/")
        if path in self._tops:
            # The top itself is dressed at most; its parent is not ours to change.
            raise HostError("in-the-way", f"{printable(path)}: expected a directory")
        with self._directory(above) as fd:
            yield fd, name


def _check_ours(stage: int, path: bytes) -> None:
    """Refuse a directory for prepared files that others could change: a home is its user's."""
    status = os.fstat(stage)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise HostError(
            "foreign-stage",
            f"{printable(path)}: the directory for prepared files there is not ours alone, uid"
            f" {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}",
            hint="remove .verity-stage, and look at who made it",
        )


def _dress(fd: int, entry: Entry) -> None:
    """Owner, mode and xattrs. Changing the owner drops capabilities, changing the mode changes
    an ACL: so in this order."""
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        os.fchown(fd, entry.uid, entry.gid)
    _drop_xattrs(fd, entry)
    os.fchmod(fd, stat.S_IMODE(entry.mode))
    _set_xattrs(fd, entry)


def _drop_xattrs(fd: int, entry: Entry) -> None:
    wanted = dict(entry.xattrs)
    for name in map(os.fsencode, os.listxattr(fd)):
        if counts_for_security(name) and name not in wanted:
            os.removexattr(fd, name)


def _set_xattrs(file: int | bytes, entry: Entry) -> None:
    for name, value in entry.xattrs:
        os.setxattr(file, name, value, follow_symlinks=isinstance(file, int))
