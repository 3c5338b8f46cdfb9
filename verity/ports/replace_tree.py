# SPDX-License-Identifier: Apache-2.0
"""Changing files of a live tree, each by preparing another beside it and renaming that over it.

1. ``prepare`` writes a file with its owner, mode and xattrs into a directory of its own, on the
   same file system. Nothing that is in use has changed yet.
2. ``remove``, ``make``, ``put`` and ``dress`` each change one name. No file is ever written in
   place: whoever has it open, or another name of it, keeps what it had.
3. Nothing is durable before ``sync``, and nothing here knows whether all is done: the caller keeps
   a journal.

Directories are reached by descriptor, from the top down, and no symlink is followed. The top may be
a home, where its user renames what they like at any time: so the directory for prepared files has a
name of its own for each run and is kept open; and what is not as it was made is neither emptied nor
given away.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from verity.formats.dump import Entry, counts_for_security, printable
from verity.ports import kernel
from verity.ports.osfile import closing, open_directory_below, translate_oserror
from verity.ports.places import STAGE
from verity.values.errors import HostError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To read, so that fs-verity can be turned on by the same descriptor: below a guarded /etc a sealed
# gate lets nobody open it for that once it has contents.
_NEW = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# Also when what is above it is no directory yet, but a file or a symlink to be replaced.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_PREFIX = os.fsencode(STAGE)
_NUMBER = re.compile(rb"[0-9]+")

Fill = Callable[[Entry, int], object]
"""Writes the contents of a regular file to a descriptor."""


class ReplaceTree:
    """A directory (``top``, a path on the host) below a root, to change files in.

    ``foreign``: somebody else's, such as a home; directories there keep whom they belong to.
    """

    def __init__(self, root: Path, top: bytes, *, foreign: bool = False) -> None:
        self._root, self._foreign = root, foreign
        self._top_path = top.rstrip(b"/")  # the root itself is the empty path
        self._prepared: dict[bytes, bytes] = {}
        self._stage: tuple[bytes, int] | None = None

    def __enter__(self) -> "ReplaceTree":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._stage is not None:
            os.close(self._stage[1])
            self._stage = None

    def check(self, entry: Entry) -> None:
        """Refuse what is there and can't be replaced by a rename (``immutable``), or is a directory
        that isn't ours to give away (``foreign-directory``)."""
        path = entry.path
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
            if entry.is_directory and stat.S_ISDIR(os.fstat(fd).st_mode):
                self._check_owner(fd, entry)
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
        """Remove everything prepared, also by a run that was killed.

        What has such a name and isn't what a run leaves is somebody else's, and stays.
        """
        self._prepared.clear()
        with self._named(self._top_path), self._top() as top:
            if self._stage is not None:
                name, stage = self._stage
                _empty(stage)
                self.__exit__()
                _take_away(name, top)
            for name in map(os.fsencode, os.listdir(top)):
                if not name.startswith(_PREFIX):
                    continue
                try:
                    stage = os.open(name, _DIRECTORY, dir_fd=top)
                except OSError as error:
                    if error.errno in _NOT_THERE:
                        continue
                    raise
                with closing(stage):
                    if not _is_left_over(stage):
                        continue
                    _empty(stage)
                _take_away(name, top)

    def prepare(self, entry: Entry, fill: Fill) -> None:
        """Write a regular file or a symlink as it is to be."""
        name = b"%d" % len(self._prepared)
        with self._named(entry.path):
            stage = self._staging()
            if entry.target is not None:
                os.symlink(entry.target, name, dir_fd=stage)
                os.chown(name, entry.uid, entry.gid, dir_fd=stage, follow_symlinks=False)
                # There is no descriptor for a symlink's xattrs.
                _set_xattrs(b"/proc/self/fd/%d/%b" % (stage, name), entry)
            else:
                with closing(os.open(name, _NEW, 0o600, dir_fd=stage)) as fd:
                    writer = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
                    with closing(writer):
                        fill(entry, writer)
                    _dress(fd, entry)
                    _protect(fd, printable(entry.path))
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
            with closing(os.open(name, _DIRECTORY, dir_fd=parent)) as fd:
                # Between the two calls a user may have put another there. Ours is empty, and
                # nobody but us can fill it.
                if not _is_ours(fd) or os.listdir(fd):
                    raise _foreign(entry, os.fstat(fd).st_uid)
                _dress(fd, entry)

    def put(self, entry: Entry) -> None:
        """Give a prepared file its name, over whatever has it."""
        name = self._prepared[entry.path]
        with self._named(entry.path), self._parent(entry.path) as (parent, target):
            os.rename(name, target, src_dir_fd=self._staging(), dst_dir_fd=parent)

    def dress(self, entry: Entry) -> None:
        """Give a directory its owner, mode and xattrs."""
        with self._named(entry.path), self._directory(entry.path) as fd:
            self._check_owner(fd, entry)
            _dress(fd, entry)

    def sync(self) -> None:
        """Make all of it durable."""
        with self._named(self._top_path), self._top() as fd:
            kernel.syncfs(fd, label=printable(self._top_path))

    @contextlib.contextmanager
    def _named(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translate_oserror(error, printable(path)) from error

    @contextlib.contextmanager
    def _top(self) -> Iterator[int]:
        with closing(open_directory_below(self._root, self._top_path)) as fd:
            yield fd

    def _staging(self) -> int:
        """The directory for prepared files, made when first needed and open until ``clear``."""
        if self._stage is None:
            name = _PREFIX + b"-" + secrets.token_hex(8).encode("ascii")
            with self._top() as top:
                os.mkdir(name, 0o700, dir_fd=top)
                fd = os.open(name, _DIRECTORY, dir_fd=top)
            self._stage = name, fd
            if not _is_ours(fd) or os.listdir(fd):
                raise HostError(
                    "foreign-stage",
                    f"{printable(self._top_path)}: the directory for prepared files was replaced"
                    " as soon as it was made",
                    hint="look at who may write there",
                )
        return self._stage[1]

    def _check_owner(self, fd: int, entry: Entry) -> None:
        """In somebody else's directory another name may stand for any directory of root's there:
        giving it to whom the signed one belongs would open it to them."""
        owner = os.fstat(fd).st_uid
        if not self._foreign or owner == entry.uid or (_is_ours(fd) and not os.listdir(fd)):
            return  # the last one is what a killed ``make`` leaves
        raise _foreign(entry, owner)

    @contextlib.contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        with self._top() as start:
            current = os.dup(start)
            try:
                for part in filter(None, path[len(self._top_path) :].split(b"/")):
                    following = os.open(part, _DIRECTORY, dir_fd=current)
                    os.close(current)
                    current = following
                yield current
            finally:
                os.close(current)

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        above, _, name = path.rpartition(b"/")
        if path == self._top_path:
            # The top itself is dressed at most; its parent is not ours to change.
            raise HostError("in-the-way", f"{printable(path)}: expected a directory")
        with self._directory(above) as fd:
            yield fd, name


def _foreign(entry: Entry, owner: int) -> HostError:
    return HostError(
        "foreign-directory",
        f"{printable(entry.path)}: a directory of uid {owner} is there, expected one of uid"
        f" {entry.uid}",
        hint="look at what it is; move it away, or chown it",
    )


def _is_ours(fd: int) -> bool:
    """Whether nobody else could change what is in a directory."""
    status = os.fstat(fd)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_left_over(fd: int) -> bool:
    """Whether it holds what a run prepares, and nothing else: a home's user can give the name to
    any directory there, not what is in one that is ours."""
    return _is_ours(fd) and all(map(_NUMBER.fullmatch, map(os.fsencode, os.listdir(fd))))


def _empty(stage: int) -> None:
    for name in os.listdir(stage):
        os.unlink(name, dir_fd=stage)


def _take_away(name: bytes, top: int) -> None:
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        # Another thing by now, which only happens in a home.
        if error.errno not in (*_NOT_THERE, errno.ENOTEMPTY):
            raise


def _dress(fd: int, entry: Entry) -> None:
    """Owner, mode and xattrs. Changing the owner drops capabilities, changing the mode changes
    an ACL: so in this order."""
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        os.fchown(fd, entry.uid, entry.gid)
    _drop_xattrs(fd, entry)
    os.fchmod(fd, stat.S_IMODE(entry.mode))
    _set_xattrs(fd, entry)


def _protect(fd: int, label: str) -> None:
    """Turn on fs-verity, where there is any, so that a sealed gate takes the file from its first
    moment on; pages that were cached while it was written are let go."""
    with contextlib.suppress(HostError):
        kernel.enable(fd, label=label)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _drop_xattrs(fd: int, entry: Entry) -> None:
    wanted = dict(entry.xattrs)
    for name in map(os.fsencode, os.listxattr(fd)):
        if counts_for_security(name) and name not in wanted:
            os.removexattr(fd, name)


def _set_xattrs(file: int | bytes, entry: Entry) -> None:
    for name, value in entry.xattrs:
        os.setxattr(file, name, value, follow_symlinks=isinstance(file, int))
