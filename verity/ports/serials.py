# SPDX-License-Identifier: Apache-2.0
"""The record of given serials on disk: read and written under its lock, old or new.

The lock is a file of its own beside the record, which is replaced as a whole and so can't be
locked itself. It is an open file description lock: it goes with its holder, however that ends.
Nothing here decides which serial is free.
"""

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats import serial_record
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import ContentError, HostError

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_ATTEMPTS = 300
_PAUSE = 0.1
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(kw_only=True)
class Book:
    """A record that is locked: which statement has which serial. ``is_new``: there was none."""

    given: dict[int, bytes]
    is_new: bool


class SerialRecord:
    """The record of one stream: a file in a folder that is opened step by step.

    ``top`` is a directory that is there; the ``folders`` below it are made when first written.
    """

    def __init__(self, top: Path, folders: tuple[str, ...], name: str, stream: str) -> None:
        self._top, self._folders, self._name = top, folders, name
        self._stream = stream
        self.label = str(top.joinpath(*folders, name))

    @classmethod
    def of_file(cls, path: Path, stream: str) -> "SerialRecord":
        """A record in a file that the caller names."""
        return cls(path.parent, (), path.name, stream)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Book]:
        """The record, to be changed; written at the end of the block if it was.

        Raises HostError (``locked``) if another process holds it for half a minute.
        """
        try:
            with self._directory() as directory:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                with closing(os.open(f"{self._name}.lock", flags, 0o660, dir_fd=directory)) as fd:
                    self._lock(fd)
                    before = self._read(directory)
                    given = {} if before is None else self._parse(before)
                    book = Book(given=given, is_new=before is None)
                    yield book
                    if book.given or before is not None:
                        after = serial_record.encode(self._stream, book.given)
                        if after != before:
                            self._replace(directory, after)
        except OSError as error:
            raise translate_oserror(error, self.label) from error

    @contextlib.contextmanager
    def _directory(self) -> Iterator[int]:
        fd = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in self._folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o777, dir_fd=fd)
                    os.fsync(fd)
                deeper = os.open(folder, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        for _ in range(_ATTEMPTS):
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            else:
                return
            time.sleep(_PAUSE)
        raise HostError(
            "locked",
            f"{self.label}: held by another process for {_ATTEMPTS * _PAUSE:.0f} s",
            hint=f"another signer is at work; fuser -v {self.label}.lock names it",
        )

    def _parse(self, data: bytes) -> dict[int, bytes]:
        try:
            return serial_record.parse(data, stream=self._stream)
        except ContentError as error:
            raise ContentError(
                error.code,
                f"{self.label}: {error.message}",
                hint="restore it; without it, only serials of attached statements are known",
            ) from error

    def _read(self, directory: int) -> bytes | None:
        try:
            fd = os.open(self._name, _READ, dir_fd=directory)
        except FileNotFoundError:
            return None
        with open(fd, "rb") as file:
            return file.read(serial_record.MAX_SIZE + 1)

    def _replace(self, directory: int, data: bytes) -> None:
        # The lock is ours, so whatever has this name was left by a crash, or put there as another
        # name of somebody's file: it is removed, not written to.
        temporary = f"{self._name}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o644, dir_fd=directory), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
