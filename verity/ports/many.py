# SPDX-License-Identifier: Apache-2.0
"""Many files in one call into C, without Python's lock: enable, measure, read.

For the usual case only: canonical parameters, and nothing amiss. A file for which that is not so
gives None and is left to the calls of ``verity.ports.kernel``, which name what is wrong. Nothing is
made durable here, and nothing is retried.
"""

import array
import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from verity.ports import _conditions, kernel
from verity.ports.kernel import ffi, lib
from verity.values.digest import Digest, HashAlgorithm

if TYPE_CHECKING:
    from verity.ports.kernel import CData


class Place(NamedTuple):
    """A file as the calls for many files take it: a name below the descriptor of a directory.

    No symlink is followed on the way, and ``..`` leads nowhere.
    """

    dir_fd: int
    name: str

    @classmethod
    def of_path(cls, path: str) -> "Place":
        """A path as the caller gave it: only its last name must be no symlink."""
        return cls(dir_fd=_AT_FDCWD, name=path)


class Packed(NamedTuple):
    """Many places as C takes them: the descriptors, and the names with a NUL behind each."""

    dirs: "array.array[int]"
    names: bytes


_AT_FDCWD = -100  # linux/fcntl.h; os has no name for it


def open_place(place: Place, *, label: str) -> int:
    """A read-only descriptor, of whatever kind of file, for the caller to close."""
    if "\0" in place.name:
        raise _conditions.OPEN.error(errno.EINVAL, label)
    name = ffi.from_buffer("char[]", os.fsencode(place.name) + b"\0")
    result = lib.verity_open_below(place.dir_fd, name)
    if result < 0:
        raise _conditions.OPEN.error(-result, label)
    return result


# struct verity_contents of cffi-build/files.h: unpacked at once, not field by field.
_CONTENTS = struct.Struct("@IIIQ32s64s")
if _CONTENTS.size != ffi.sizeof("struct verity_contents"):
    raise ImportError("struct verity_contents has another layout than this module")


class Stop:
    """Ends a call for many files early, from another thread: between two files."""

    def __init__(self) -> None:
        self.flag = bytearray(1)

    def __bool__(self) -> bool:
        return bool(self.flag[0])

    def set(self) -> None:
        """From now on nothing new is begun."""
        self.flag[0] = 1


class Inode(NamedTuple):
    """Which file it is, whatever its name leads to later."""

    device: int
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Switched:
    """A file that has fs-verity: whether that is new, and which one it is."""

    new: bool
    inode: Inode


def enable_files(
    places: Sequence[Place], expected: Sequence[bytes | None], *, stop: Stop
) -> list[Switched | None]:
    """Turn fs-verity on with the canonical parameters, in order, until ``stop`` is set.

    Contents are hashed before and have to give the ``expected`` digest (32 bytes), if there is
    one; a file that has fs-verity already is to be measured and compared with it. None wants a
    closer look at that file, by the functions above: it may differ, be large, have other
    parameters, or an error stands in the way. Nothing is durable yet.
    """
    if len(expected) != len(places) or any(len(digest or bytes(32)) != 32 for digest in expected):
        raise ValueError("a digest of 32 bytes or none for each file")
    devices, inodes = (array.array("Q", bytes(8 * len(places))) for _ in range(2))
    done = bytearray(len(places))
    result = lib.verity_enable_files(
        len(places),
        *_packed(places),
        ffi.from_buffer("uint8_t[]", bytes(digest is not None for digest in expected)),
        ffi.from_buffer("uint8_t[]", b"".join(digest or bytes(32) for digest in expected)),
        kernel.MAX_IN_ONE_CALL,
        ffi.from_buffer("uint8_t[]", stop.flag),
        ffi.from_buffer("uint64_t[]", devices, True),
        ffi.from_buffer("uint64_t[]", inodes, True),
        ffi.from_buffer("uint8_t[]", done, True),
    )
    if result < 0:
        raise ValueError("verity_enable_files refuses its arguments")
    return [
        Switched(new=what == lib.VERITY_TURNED_ON, inode=Inode(device, inode)) if what else None
        for device, inode, what in zip(devices, inodes, done, strict=True)
    ]


def measure_files(
    places: Sequence[Place], *, evicted: Sequence[Inode] | None = None
) -> list[Digest | None]:
    """The kernel's SHA-256 digest of each file; None wants a closer look, by ``measure``.

    With ``evicted``, which files they have to be, the pages that were cached are dropped and the
    file is opened anew before; another file, or one of which a page stays, wants a closer look.
    """
    room, done = bytearray(32 * len(places)), bytearray(len(places))
    devices = inodes = ffi.NULL
    if evicted is not None:
        if len(evicted) != len(places):
            raise ValueError("an inode for each file")
        devices = ffi.from_buffer("uint64_t[]", array.array("Q", [one.device for one in evicted]))
        inodes = ffi.from_buffer("uint64_t[]", array.array("Q", [one.number for one in evicted]))
    result = lib.verity_measure_files(
        len(places),
        *_packed(places),
        devices,
        inodes,
        ffi.from_buffer("uint8_t[]", room, True),
        ffi.from_buffer("uint8_t[]", done, True),
    )
    if result < 0:
        raise ValueError("verity_measure_files refuses its arguments")
    return [
        Digest(HashAlgorithm.SHA256, bytes(room[32 * at : 32 * at + 32])) if good else None
        for at, good in enumerate(done)
    ]


class Named(NamedTuple):
    """A file that is what its name says: its inode's metadata, fs-verity digest and first bytes."""

    uid: int
    gid: int
    mode: int
    size: int
    digest: bytes
    head: bytes


def read_files(
    places: Packed, checksums: bytes, *, prefix: bytes, owner_at: int
) -> list[Named | None]:
    """Read files that are named by the SHA-256 of a prefix and their contents.

    ``checksums`` are these hashes, 32 bytes each, end to end. Owner, group and mode of each file go
    into ``prefix`` at ``owner_at``, in 12 bytes. None wants a closer look: the file has xattrs or
    another checksum, is large, or an error is in the way.
    """
    count = len(places.dirs)
    if len(checksums) != 32 * count:
        raise ValueError("a checksum of 32 bytes for each file")
    contents = ffi.new("struct verity_contents[]", count)
    done = bytearray(count)
    result = lib.verity_read_files(
        count,
        *_for_c(places),
        ffi.from_buffer("uint8_t[]", checksums),
        ffi.from_buffer("uint8_t[]", prefix),
        len(prefix),
        owner_at,
        kernel.MAX_IN_ONE_CALL,
        contents,
        ffi.from_buffer("uint8_t[]", done, True),
    )
    if result < 0:
        raise ValueError("verity_read_files refuses its arguments")
    return [
        Named(uid, gid, mode, size, digest, head[:size]) if good else None
        for good, (uid, gid, mode, size, digest, head) in zip(
            done, _CONTENTS.iter_unpack(ffi.buffer(contents)), strict=True
        )
    ]


def _packed(places: Sequence[Place]) -> "tuple[CData, CData]":
    """Descriptors and names of files, for C."""
    names = "".join(f"{place.name}\0" for place in places)
    dirs = array.array("i", [place.dir_fd for place in places])
    return _for_c(Packed(dirs=dirs, names=os.fsencode(names)))


def _for_c(places: Packed) -> "tuple[CData, CData]":
    if places.names.count(b"\0") != len(places.dirs):
        raise ValueError("a name with a NUL byte")
    return ffi.from_buffer("int[]", places.dirs), ffi.from_buffer("char[]", places.names)
