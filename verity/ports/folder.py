# SPDX-License-Identifier: Apache-2.0
"""A directory of a host, reached from its root without following a symlink, and the files in it.

Who may write below a root that is mounted elsewhere could plant a symlink there, and lead root out
of it. So directories are opened one by one, from a descriptor, and files by their last name; a
symlink is the named error ``is-symlink``. The root itself, which the caller names, may be one.

What it does not do: judge what is in a file, or whom a directory belongs to.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TypeVar

from verity.ports.osfile import (
    closing,
    make_directories,
    open_directory_at,
    translate_oserror,
)
from verity.values.errors import HostError

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = (".", ".tmp")

_T = TypeVar("_T")


class Folder:
    """An open directory. Names are single: no slash, not ``.`` or ``..``."""

    def __init__(self, fd: int, label: Path) -> None:
        self.fd = fd
        self.label = label

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, root: Path, below: PurePath, *, create: int | None = None
    ) -> Iterator["Folder"]:
        """The directory ``below`` a root; what is missing is made, durably, if ``create`` is its
        mode. Raises HostError (``not-found``, ``is-symlink``)."""
        with contextlib.ExitStack() as stack:
            if create is not None and not below.parts:
                make_directories(root, mode=create)
            try:
                fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise translate_oserror(error, str(root)) from error
            folder = cls(stack.enter_context(closing(fd)), root)
            for number, part in enumerate(below.parts, 1):
                mode = create if create is None or number == len(below.parts) else 0o755
                folder = stack.enter_context(folder.inside(part, create=mode))
            yield folder

    @contextlib.contextmanager
    def inside(self, name: str, *, create: int | None = None) -> Iterator["Folder"]:
        """A directory in this one, made if ``create`` is its mode."""

        def enter() -> int:
            if create is not None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, create, dir_fd=self.fd)
                    os.fsync(self.fd)
            return open_directory_at(self.fd, name)

        with closing(self._named(name, enter)) as fd:
            yield Folder(fd, self.label / name)

    def names(self) -> list[str]:
        """What is in it."""
        return self._named("", lambda: os.listdir(self.fd))

    def has_folder(self, name: str) -> bool:
        """Whether there is such a directory; a symlink is none."""
        try:
            status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(status.st_mode)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str, *, max_size: int) -> bytes:
        """A regular file of at most ``max_size`` bytes."""

        def take() -> bytes:
            with closing(os.open(name, _READ, dir_fd=self.fd)) as fd:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise HostError("not-a-file", f"{self.label / name}: not a regular file")
                with open(fd, "rb", closefd=False) as file:
                    return file.read(max_size + 1)

        data = self._named(name, take)
        if len(data) > max_size:
            raise HostError("too-large", f"{self.label / name}: more than {max_size} bytes")
        return data

    def replace(self, name: str, data: bytes, *, mode: int) -> None:
        """Write a file, durably, over what is there: old or new, never between."""
        temporary = _temporary(name)

        def put() -> None:
            self._write(temporary, data, mode)
            try:
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except BaseException:
                os.unlink(temporary, dir_fd=self.fd)
                raise
            os.fsync(self.fd)

        self._named(name, put)

    def add_folder(self, name: str, files: Mapping[str, bytes], *, mode: int) -> None:
        """A directory with these files (of this mode), durably: all of it or nothing.

        What has the name already is refused. Whoever may read the files may enter the directory.
        """
        temporary = _temporary(name)

        def put() -> None:
            if self.has(name):  # rename(2) would take the place of an empty directory
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.mkdir(temporary, 0o700, dir_fd=self.fd)
            try:
                with self.inside(temporary) as there:
                    for one, data in files.items():
                        there._write(one, data, mode)
                    os.fchmod(there.fd, mode | (mode & 0o444) >> 2)
                    os.fsync(there.fd)
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except BaseException:
                shutil.rmtree(temporary, dir_fd=self.fd)
                raise
            os.fsync(self.fd)

        self._named(name, put)

    def remove(self, name: str) -> None:
        """Take a file away, durably."""

        def take() -> None:
            os.unlink(name, dir_fd=self.fd)
            os.fsync(self.fd)

        self._named(name, take)

    def remove_temporary(self) -> None:
        """What a killed ``replace`` or ``add_folder`` left."""
        begin, end = _TEMPORARY

        def tidy() -> None:
            for name in self.names():
                if not name.startswith(begin) or not name.endswith(end):
                    continue
                if self.has_folder(name):
                    shutil.rmtree(name, dir_fd=self.fd)
                else:
                    os.unlink(name, dir_fd=self.fd)

        self._named("", tidy)

    def _write(self, name: str, data: bytes, mode: int) -> None:
        with open(os.open(name, _NEW, mode, dir_fd=self.fd), "wb") as file:
            try:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.unlink(name, dir_fd=self.fd)
                raise

    def _named(self, name: str, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except OSError as error:
            found = translate_oserror(error, str(self.label / name))
            if error.errno == errno.ELOOP:
                found.hint = "below a host's root none is followed: look at who made it"
            raise found from error


def _temporary(name: str) -> str:
    begin, end = _TEMPORARY
    return f"{begin}{name}.{secrets.token_hex(8)}{end}"
