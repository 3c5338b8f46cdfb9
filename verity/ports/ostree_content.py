# SPDX-License-Identifier: Apache-2.0
"""Content objects of an OSTree repository: header and contents, in each mode.

======== ============================= ========================= ======================
mode     regular file                  symlink                   header from
======== ============================= ========================= ======================
bare      the file itself              a symlink                 inode and xattrs
bare-user the file itself              a file: target, one NUL   xattr user.ostreemeta
archive   .filez, deflated             .filez without a body     the .filez
======== ============================= ========================= ======================

Rules:

* Everything comes from one descriptor per object, opened without following a symlink.
* An inflated stream ends where the header says; one that is longer or shorter, damaged, or
  followed by anything is refused (``damaged-object``).
* Nothing here compares checksums: ``verity.ports.ostree_repo`` does.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol, Self

from verity.formats.gvariant import MAX_SIZE
from verity.formats.ostree_file import (
    FILEZ_FRAME,
    FileHeader,
    Xattrs,
    parse_filez_frame,
    parse_owner,
)
from verity.ports.osfile import closing, translate_oserror
from verity.ports.ostree_objects import ObjectStore, not_regular, read_exactly, translated
from verity.values.errors import ContentError

_OSTREEMETA = "user.ostreemeta"
_LABEL_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_TARGET = 4096  # PATH_MAX
_PIECE = 1 << 20
_DEFLATED_PIECE = 1 << 16
_FIRST_READ = 4096  # holds frame and header of nearly every .filez


class Mode(StrEnum):
    """How a repository keeps contents."""

    BARE = "bare"
    BARE_USER = "bare-user"
    ARCHIVE = "archive"

    @property
    def kind(self) -> str:
        """The kind of its content objects, as in their names."""
        return "filez" if self is Mode.ARCHIVE else "file"


class Content:
    """One content object, open: its header, and the contents of a regular file.

    ``fd`` is the object itself where that is the file (bare, bare-user), for fs-verity ioctls;
    None in an archive and for symlinks. It is the Content's to close.
    """

    def __init__(
        self, *, header: FileHeader, size: int, label: str, held: int | None, packed_at: int | None
    ) -> None:
        self.header = header
        self.size = size
        self.label = label
        self.fd = held if packed_at is None else None
        self._held = held
        if held is None:
            self._source: _Source = _Nothing()
        elif packed_at is None:
            self._source = _Plain(held)
        else:
            self._source = _Inflating(held, packed_at, size, label)

    def readinto(self, room: memoryview) -> int:
        """Fill ``room``, as far as one read goes, with the next bytes; 0 at the end."""
        try:  # not ``translated``: this is called for every piece of every file
            return self._source.readinto(room)
        except OSError as error:
            raise translate_oserror(error, self.label) from error

    def pieces(self) -> Iterator[memoryview]:
        """The contents from here on; a piece is overwritten by the next one."""
        room = memoryview(bytearray(max(min(self.size, _PIECE), 1)))
        while count := self.readinto(room):
            yield room[:count]

    def close(self) -> None:
        """Close the object; more than once does no harm."""
        held, self._held, self.fd = self._held, None, None
        self._source = _Nothing()
        if held is not None:
            os.close(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_content(store: ObjectStore, mode: Mode, checksum: str) -> Content:
    """Open a content object."""
    label = store.object_label(checksum, mode.kind)
    try:
        fd, status = store.open_regular(checksum, mode.kind)
    except ContentError:
        # In a bare repository a symlink is a symlink; whatever else is no regular file is refused.
        if mode is not Mode.BARE:
            raise
        header, _ = _inode_header(store, checksum)
        if not header.is_symlink:
            raise
        return Content(header=header, size=0, label=label, held=None, packed_at=None)
    packed_at = None
    try:
        if mode is Mode.BARE:
            header, size = _header_of(fd, fd, status, label), status.st_size
        elif mode is Mode.ARCHIVE:
            header, size, packed_at = _filez_header(fd, status.st_size, label)
        else:
            header, size = _user_header(fd, status, label)
    except OSError as error:
        os.close(fd)
        raise translate_oserror(error, label) from error
    except BaseException:
        os.close(fd)
        raise
    if header.is_symlink:
        os.close(fd)
        return Content(header=header, size=0, label=label, held=None, packed_at=None)
    return Content(header=header, size=size, label=label, held=fd, packed_at=packed_at)


def _inode_header(store: ObjectStore, checksum: str) -> tuple[FileHeader, int]:
    """From an inode that is not opened: it may be a symlink, or not ours to read."""
    label = store.object_label(checksum, "file")
    with closing(store.open(checksum, "file", flags=_LABEL_ONLY)) as fd, translated(label):
        status = os.fstat(fd)
        header = _header_of(fd, f"/proc/self/fd/{fd}", status, label)
        return header, 0 if header.is_symlink else status.st_size


def _header_of(fd: int, name: str | int, status: os.stat_result, label: str) -> FileHeader:
    is_symlink = stat.S_ISLNK(status.st_mode)
    if not is_symlink and not stat.S_ISREG(status.st_mode):
        raise not_regular(label)
    return FileHeader.make(
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode,
        target=os.readlink(b"", dir_fd=fd) if is_symlink else b"",
        xattrs=_xattrs(name),
        label=label,
    )


def _xattrs(name: str | int) -> Xattrs:
    names = os.listxattr(name)
    if not names:
        return ()
    return tuple(sorted((os.fsencode(one), os.getxattr(name, one)) for one in names))


def _user_header(fd: int, status: os.stat_result, label: str) -> tuple[FileHeader, int]:
    try:
        raw = os.getxattr(fd, _OSTREEMETA)
    except OSError as error:
        raise ContentError(
            "damaged-object",
            f"{label}: the xattr {_OSTREEMETA} cannot be read ({error.strerror})",
            hint="a copy without xattrs loses it: remove the object and pull the commit again",
        ) from error
    uid, gid, mode, xattrs = parse_owner(raw, label=f"{label}, {_OSTREEMETA}")
    target = b""
    if stat.S_ISLNK(mode):
        # One NUL follows the target; ostree takes its text up to there.
        target = os.pread(fd, _MAX_TARGET + 2, 0).removesuffix(b"\0")
        if len(target) > _MAX_TARGET:
            raise ContentError("damaged-object", f"{label}: a target of over {_MAX_TARGET} bytes")
    header = FileHeader.make(uid=uid, gid=gid, mode=mode, target=target, xattrs=xattrs, label=label)
    return header, 0 if header.is_symlink else status.st_size


def _filez_header(fd: int, stored: int, label: str) -> tuple[FileHeader, int, int]:
    """Header, size when inflated, and where the deflated body starts."""
    data = read_exactly(fd, min(stored, _FIRST_READ))
    start = FILEZ_FRAME + parse_filez_frame(data[:FILEZ_FRAME], label=label)
    if start > stored or start > MAX_SIZE:
        raise ContentError(
            "damaged-object",
            f"{label}: a header of {start - FILEZ_FRAME} bytes in a file of {stored}",
        )
    if start > len(data):
        data = read_exactly(fd, start)
    header, size = FileHeader.parse_filez(data[FILEZ_FRAME:start], label=label)
    if header.is_symlink and stored != start:
        raise ContentError("damaged-object", f"{label}: a symlink with contents")
    return header, size, start


class _Source(Protocol):
    def readinto(self, room: memoryview) -> int: ...


class _Nothing:
    def readinto(self, room: memoryview) -> int:
        return 0


class _Plain:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def readinto(self, room: memoryview) -> int:
        count = os.preadv(self._fd, [room], self._at)
        self._at += count
        return count


class _Inflating:
    """The contents of a .filez: raw deflate, exactly as many bytes as its header says."""

    def __init__(self, fd: int, start: int, size: int, label: str) -> None:
        self._fd = fd
        self._at = start
        self._left = size
        self._label = label
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._pending = b""

    def readinto(self, room: memoryview) -> int:
        while not self._inflater.eof:
            if not self._pending:
                self._pending = os.pread(self._fd, _DEFLATED_PIECE, self._at)
                self._at += len(self._pending)
            ended = not self._pending
            try:
                # One byte more than is due tells a stream that is too long.
                piece = self._inflater.decompress(self._pending, min(len(room), self._left + 1))
            except zlib.error as error:
                raise self._damaged(f"its deflated contents are damaged ({error})") from error
            self._pending = self._inflater.unconsumed_tail
            if len(piece) > self._left:
                raise self._damaged("it inflates to more than its header says")
            if piece:
                self._left -= len(piece)
                room[: len(piece)] = piece
                return len(piece)
            if ended and not self._inflater.eof:
                raise self._damaged("its deflated contents are cut off")
        if self._left:
            raise self._damaged(f"it inflates to {self._left} bytes less than its header says")
        if self._inflater.unused_data or os.pread(self._fd, 1, self._at):
            raise self._damaged("bytes follow its deflated contents")
        return 0

    def _damaged(self, problem: str) -> ContentError:
        return ContentError("damaged-object", f"{self._label}: {problem}")
