# SPDX-License-Identifier: Apache-2.0
"""The regular files below a directory, each inode once, as places for calls that take many.

It opens directories only and stays on the file system that it starts on. What is no regular file
is counted by its kind; what can't be listed, and what is mounted inside, is a ``Gap``. Nothing here
looks into a file. Not to be confused with ``verity.ports.tree``, which reads every entry.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from verity.ports import _conditions, many
from verity.values.errors import CallerError, HostError, VerityError

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_KINDS = {
    stat.S_IFLNK: "symlinks",
    stat.S_IFIFO: "fifos",
    stat.S_IFSOCK: "sockets",
    stat.S_IFCHR: "devices",
    stat.S_IFBLK: "devices",
}
DIRECTORIES = "directories"
FURTHER_NAMES = "further names of a file"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A regular file: its path with that of the root, where it is, and its size in bytes."""

    label: str
    place: many.Place
    size: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something below the root that is left out, with why."""

    label: str
    error: VerityError


@dataclass
class _Open:
    """A directory that is being walked; ``prefix`` is its path below the root, with a slash."""

    fd: int
    prefix: str
    names: Iterator[str]


class Below:
    """An opened directory, the root of what is walked; its descriptor is that of the places.

    ``seen`` are the inodes that have several names, by device and number: share it between roots.
    """

    def __init__(self, root: str, seen: set[tuple[int, int]]) -> None:
        self.skipped: Counter[str] = Counter()
        self._label = root if root.endswith("/") else f"{root}/"
        self._seen = seen
        try:
            self._fd = os.open(root, _OPEN)
        except NotADirectoryError as error:
            # This is what O_DIRECTORY makes of a symlink, too.
            raise CallerError(
                "not-a-directory",
                f"{_conditions.shown(root)} is no directory, expected one",
                hint="symbolic links are not followed: name what the link points to",
            ) from error
        except OSError as error:
            raise _conditions.OPEN.error(error.errno or 0, root) from error
        self._device = os.fstat(self._fd).st_dev

    def close(self) -> None:
        """The places are worth nothing from here on."""
        os.close(self._fd)

    def walk(self) -> Iterator[Found | Gap]:
        """Names sorted by their bytes, a directory's before what follows it."""
        # A stack and no recursion: anyone can nest deeper than Python can.
        stack: list[_Open] = []
        try:
            yield from self._enter(stack, os.dup(self._fd), "")
            while stack:
                current = stack[-1]
                name = next(current.names, None)
                if name is None:
                    os.close(stack.pop().fd)
                    continue
                path = current.prefix + name
                try:
                    status = os.stat(name, dir_fd=current.fd, follow_symlinks=False)
                    if status.st_dev != self._device:
                        yield self._mounted(path)
                    elif stat.S_ISDIR(status.st_mode):
                        inside = os.open(name, _OPEN, dir_fd=current.fd)
                        yield from self._enter(stack, inside, f"{path}/")
                    elif self._counts(status):
                        place = many.Place(dir_fd=self._fd, name=path)
                        label = self._label + path
                        yield Found(label=label, place=place, size=status.st_size)
                except OSError as error:
                    yield self._gap(path, error)
        finally:
            for directory in stack:
                os.close(directory.fd)

    def _enter(self, stack: list[_Open], fd: int, prefix: str) -> Iterator[Gap]:
        stack.append(_Open(fd, prefix, iter(())))
        self.skipped[DIRECTORIES] += 1
        try:
            stack[-1].names = iter(sorted(os.listdir(fd), key=os.fsencode))
        except OSError as error:
            yield self._gap(prefix, error)

    def _counts(self, status: os.stat_result) -> bool:
        """Whether this is a regular file that was not there under another name."""
        if not stat.S_ISREG(status.st_mode):
            self.skipped[_KINDS.get(stat.S_IFMT(status.st_mode), "others")] += 1
            return False
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and inode in self._seen:
            self.skipped[FURTHER_NAMES] += 1
            return False
        if status.st_nlink > 1:
            self._seen.add(inode)
        return True

    def _mounted(self, path: str) -> Gap:
        label = self._label + path
        error = HostError(
            "other-file-system",
            f"{_conditions.shown(label)}: another file system is mounted here, and left out",
            hint="name it by itself",
        )
        return Gap(label=label, error=error)

    def _gap(self, path: str, error: OSError) -> Gap:
        label = self._label + path
        return Gap(label=label, error=_conditions.OPEN.error(error.errno or 0, label))
