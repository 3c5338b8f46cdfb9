# SPDX-License-Identifier: Apache-2.0
"""The loose objects of an OSTree repository: opened below a directory fd, never by path.

Rules:

* Every step is an openat(2) with O_NOFOLLOW: a symlink planted for a directory or an object
  is damage, not a way out of the repository. Nothing blocks on a planted fifo.
* A name is a checksum and a kind; nothing else becomes part of a path.
* Whether an object is what its name says is checked in ``read``, for metadata; for contents in
  ``verity.ports.ostree_repo``, which knows the modes.

It does not look into a parent repository (``core.parent``), packs or static deltas.
"""

import array
import contextlib
import errno
import os
import stat
import threading
import weakref
from collections.abc import Iterator, Sequence

from verity.formats.commit import checksum_of, is_checksum
from verity.formats.gvariant import MAX_SIZE
from verity.ports.many import Packed, Place
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import CallerError, ContentError, HostError

KINDS = ("commit", "dirtree", "dirmeta", "commitmeta", "file", "filez")

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn an OSError within the block into the named condition for ``label``."""
    try:
        yield
    except OSError as error:
        raise translate_oserror(error, label) from error


class ObjectStore:
    """The directory ``objects`` of a repository. Its methods may be called from any thread."""

    def __init__(self, repository_fd: int, label: str) -> None:
        self.label = label
        with translated(f"{label}/objects"):
            self._fd = os.open("objects", _DIRECTORY, dir_fd=repository_fd)
        self._prefixes: dict[str, int] = {}
        self._lock = threading.Lock()
        # Kept open, at most 257 of them: half of the system calls of a walk.
        self.close = weakref.finalize(self, _close_all, self._fd, self._prefixes)

    def object_label(self, checksum: str, kind: str) -> str:
        """The path of an object, for messages only."""
        return f"{self.label}/objects/{checksum[:2]}/{checksum[2:]}.{kind}"

    def directory(self, checksum: str) -> int:
        """A descriptor of the directory that holds an object; it stays the store's."""
        if not is_checksum(checksum):
            raise CallerError(
                "bad-checksum", f"not a checksum: {checksum[:80]!r}, expected 64 hex digits"
            )
        prefix = checksum[:2]
        fd = self._prefixes.get(prefix)
        if fd is None:
            with self._lock:
                fd = self._prefixes.get(prefix)
                if fd is None:
                    fd = os.open(prefix, _DIRECTORY, dir_fd=self._fd)
                    self._prefixes[prefix] = fd
        return fd

    def place(self, checksum: str, kind: str) -> Place | None:
        """Where an object lies, for calls that take many; None without its directory."""
        try:
            return Place(dir_fd=self.directory(checksum), name=f"{checksum[2:]}.{kind}")
        except OSError:
            return None

    def places(self, checksums: Sequence[str], kind: str) -> Packed | None:
        """The same of many at once."""
        try:
            # Each was opened for a checksum, so what isn't one goes the way that refuses it.
            opened = self._prefixes if all(map(is_checksum, checksums)) else {}
            dirs = [opened.get(one[:2]) or self.directory(one) for one in checksums]
        except OSError:
            return None
        names = "".join([f"{checksum[2:]}.{kind}\0" for checksum in checksums])
        return Packed(dirs=array.array("i", dirs), names=names.encode())

    def open(self, checksum: str, kind: str, *, flags: int = _READ) -> int:
        """A descriptor of an object, for the caller to close."""
        try:
            return os.open(f"{checksum[2:]}.{kind}", flags, dir_fd=self.directory(checksum))
        except OSError as error:
            label = self.object_label(checksum, kind)
            if error.errno == errno.ENOENT:
                raise HostError(
                    "no-such-object",
                    f"{label}: there is no such object",
                    hint="the commit is incomplete here: pull it again (`ostree pull`)",
                ) from error
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise not_regular(label) from error
            raise translate_oserror(error, label) from error

    def open_regular(self, checksum: str, kind: str) -> tuple[int, os.stat_result]:
        """A descriptor of an object that is a regular file, with its status."""
        fd = self.open(checksum, kind)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise not_regular(self.object_label(checksum, kind))
        except OSError as error:
            os.close(fd)
            raise translate_oserror(error, self.object_label(checksum, kind)) from error
        except BaseException:
            os.close(fd)
            raise
        return fd, status

    def read(self, checksum: str, kind: str) -> bytes:
        """A metadata object, whole, checked against its name."""
        data = self.read_unnamed(checksum, kind)
        found = checksum_of(data)
        if found != checksum:
            raise wrong_checksum(self.object_label(checksum, kind), checksum, found)
        return data

    def read_unnamed(self, checksum: str, kind: str) -> bytes:
        """An object, whole, whatever it holds: for what is not named by its contents."""
        label = self.object_label(checksum, kind)
        fd, status = self.open_regular(checksum, kind)
        with closing(fd), translated(label):
            if status.st_size > MAX_SIZE:
                raise ContentError(
                    "too-large", f"{label}: {status.st_size} bytes, at most {MAX_SIZE} are allowed"
                )
            return read_exactly(fd, status.st_size)

    def names(self) -> Iterator[tuple[str, str]]:
        """Checksum and kind of every loose object, sorted; other files are passed over."""
        with translated(f"{self.label}/objects"):
            prefixes = sorted(name for name in os.listdir(self._fd) if len(name) == 2)
        for prefix in prefixes:
            if is_checksum(prefix.ljust(64, "0")):
                yield from self.names_in(prefix)

    def names_in(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Those whose checksum starts with these two hex digits."""
        try:
            names = sorted(os.listdir(self.directory(prefix.ljust(64, "0"))))
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate_oserror(error, f"{self.label}/objects/{prefix}") from error
        for name in names:
            rest, _, kind = name.partition(".")
            if kind in KINDS and is_checksum(prefix + rest):
                yield prefix + rest, kind


def read_exactly(fd: int, size: int) -> bytes:
    """``size`` bytes from the start of a file, or fewer if it is shorter by now."""
    data = os.pread(fd, size, 0)
    while len(data) < size:
        piece = os.pread(fd, size - len(data), len(data))
        if not piece:
            break
        data += piece
    return data


def not_regular(label: str) -> ContentError:
    """Something else lies where a regular file must be."""
    return ContentError(
        "damaged-object",
        f"{label}: not a regular file reached without symbolic links, expected an object",
        hint="somebody replaced it: remove it and pull the commit again",
    )


def wrong_checksum(label: str, expected: str, found: str) -> ContentError:
    """An object does not hold what its name says."""
    return ContentError(
        "damaged-object",
        f"{label}: its checksum is {found}, its name says {expected}",
        hint="it was damaged or replaced: remove it and pull the commit again",
    )


def _close_all(fd: int, prefixes: dict[str, int]) -> None:
    for one in (fd, *prefixes.values()):
        with contextlib.suppress(OSError):
            os.close(one)
    prefixes.clear()
