# SPDX-License-Identifier: Apache-2.0
"""OSTree's metadata of one file or directory, and the checksum of a file's contents.

Layouts: ``(uuua(ayay))`` for a dirmeta object and for the xattr ``user.ostreemeta``,
``(uuuusa(ayay))`` for the header that is hashed with a file, ``(tuuuusa(ayay))`` for the one in
front of a ``.filez``. All their integers are big-endian within little-endian framing.

Rules:

* Sizes of what is read are the caller's to bound; nothing here reads files.
* A file object is a regular file or a symlink, a dirmeta a directory; other modes, other bits
  above 07777 and device numbers are refused.
* An xattr name carries a trailing NUL on the wire and none here; names are sorted by their
  bytes and unique. Values may be anything.
* A symlink's target is text in OSTree: one that is not UTF-8 cannot be encoded (``ContentError``),
  and stock ostree does not commit it either.
"""

import hashlib
import stat
import struct
from dataclasses import dataclass
from typing import cast

from verity.formats import gvariant
from verity.values.errors import ContentError

Xattrs = tuple[tuple[bytes, bytes], ...]

FILEZ_FRAME = 8
"""Bytes in front of a header: its length, big-endian, and four zero bytes."""

_OWNER = struct.Struct(">III")
_FILE = struct.Struct(">IIII")
_MODE_BITS = 0o7777


@dataclass(frozen=True, kw_only=True)
class DirMeta:
    """Owner, mode and xattrs of a directory."""

    uid: int
    gid: int
    mode: int
    xattrs: Xattrs = ()

    @classmethod
    def parse(cls, data: bytes, *, label: str) -> "DirMeta":
        """Read a dirmeta object."""
        uid, gid, mode, xattrs = parse_owner(data, label=label)
        if not stat.S_ISDIR(mode):
            raise _bad(label, f"mode {mode:o}, expected a directory")
        return cls(uid=uid, gid=gid, mode=mode, xattrs=xattrs)

    def encode(self) -> bytes:
        """The bytes of the dirmeta object."""
        return encode_owner(uid=self.uid, gid=self.gid, mode=self.mode, xattrs=self.xattrs)


@dataclass(frozen=True, kw_only=True)
class FileHeader:
    """All of a regular file or symlink but its contents. ``target`` is None for a file."""

    uid: int
    gid: int
    mode: int
    target: bytes | None = None
    xattrs: Xattrs = ()

    @property
    def is_symlink(self) -> bool:
        """Whether this is a symlink; a regular file if not."""
        return self.target is not None

    @classmethod
    def make(
        cls, *, uid: int, gid: int, mode: int, target: bytes, xattrs: Xattrs, label: str
    ) -> "FileHeader":
        """A header from what a reader found; ``target`` is empty for a regular file."""
        if stat.S_ISLNK(mode):
            if not target or b"\0" in target:
                raise _bad(label, "a symlink whose target is empty or holds a NUL byte")
        elif not stat.S_ISREG(mode):
            raise _bad(label, f"mode {mode:o}, expected a regular file or a symlink")
        elif target:
            raise _bad(label, "a regular file with the target of a symlink")
        if (mode & ~_MODE_BITS) != stat.S_IFMT(mode):
            raise _bad(label, f"mode {mode:o} has bits that no file has")
        _check_xattrs(xattrs, label)
        return cls(uid=uid, gid=gid, mode=mode, target=target or None, xattrs=xattrs)

    @classmethod
    def parse(cls, data: bytes, *, label: str) -> "FileHeader":
        """Read a ``(uuuusa(ayay))``."""
        value = gvariant.decode("(uuuusa(ayay))", data, label=label)
        return cls._of(cast("tuple[int, int, int, int, str, Xattrs]", value), label)

    @classmethod
    def parse_filez(cls, data: bytes, *, label: str) -> "tuple[FileHeader, int]":
        """Read the ``(tuuuusa(ayay))`` of a .filez: the header, and the size when inflated."""
        value = gvariant.decode("(tuuuusa(ayay))", data, label=label)
        size, *rest = cast("tuple[int, int, int, int, int, str, Xattrs]", value)
        header = cls._of(cast("tuple[int, int, int, int, str, Xattrs]", rest), label)
        size = swap64(size)
        if header.is_symlink and size:
            raise _bad(label, f"a symlink with {size} bytes of contents")
        return header, size

    @classmethod
    def _of(cls, value: tuple[int, int, int, int, str, Xattrs], label: str) -> "FileHeader":
        uid, gid, mode, rdev, target, xattrs = value
        if rdev:
            raise _bad(label, f"device number {rdev}, expected 0")
        return cls.make(
            uid=swap32(uid),
            gid=swap32(gid),
            mode=swap32(mode),
            target=target.encode(),
            xattrs=_from_wire(xattrs, label),
            label=label,
        )

    def encode(self) -> bytes:
        """The ``(uuuusa(ayay))`` that is hashed."""
        target = self.target or b""
        end = 16 + len(target) + 1
        if not self.xattrs and end < 255:  # the usual shape, put together by hand
            _text(target)
            head = _FILE.pack(self.uid, self.gid, self.mode, 0)
            return b"%b%b\0%c" % (head, target, end)
        return gvariant.encode("(uuuusa(ayay))", self._wire())

    def framed(self) -> bytes:
        """What is hashed in front of the contents: length, four zero bytes, the header."""
        encoded = self.encode()
        return len(encoded).to_bytes(4, "big") + bytes(4) + encoded

    def encode_filez(self, size: int) -> bytes:
        """The ``(tuuuusa(ayay))`` in front of a .filez."""
        return gvariant.encode("(tuuuusa(ayay))", (swap64(size), *self._wire()))

    def _wire(self) -> tuple[gvariant.Value, ...]:
        target = _text(self.target or b"")
        ids = (swap32(self.uid), swap32(self.gid), swap32(self.mode))
        return (*ids, 0, target, _to_wire(self.xattrs))


class ContentHasher:
    """The checksum of a file object: SHA-256 over frame, header and contents."""

    def __init__(self, header: FileHeader) -> None:
        self._hash = hashlib.sha256(header.framed())

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes of the contents."""
        self._hash.update(piece)

    def checksum(self) -> str:
        """The checksum of what was taken so far."""
        return self._hash.hexdigest()


def parse_owner(data: bytes, *, label: str) -> tuple[int, int, int, Xattrs]:
    """Read a ``(uuua(ayay))``: uid, gid, mode, xattrs, of whatever kind of file."""
    if len(data) == _OWNER.size:  # no xattrs: the usual case, and canonical as it is
        uid, gid, mode = _OWNER.unpack(data)
        wire: Xattrs = ()
    else:
        value = gvariant.decode("(uuua(ayay))", data, label=label)
        uid, gid, mode, wire = cast("tuple[int, int, int, Xattrs]", value)
        uid, gid, mode = swap32(uid), swap32(gid), swap32(mode)
    if (mode & ~_MODE_BITS) != stat.S_IFMT(mode):
        raise _bad(label, f"mode {mode:o} has bits that no file has")
    return uid, gid, mode, _from_wire(wire, label)


def encode_owner(*, uid: int, gid: int, mode: int, xattrs: Xattrs) -> bytes:
    """The inverse of ``parse_owner``."""
    owner = (swap32(uid), swap32(gid), swap32(mode))
    return gvariant.encode("(uuua(ayay))", (*owner, _to_wire(xattrs)))


def parse_filez_frame(data: bytes, *, label: str) -> int:
    """The length of the header that follows these ``FILEZ_FRAME`` bytes."""
    if len(data) != FILEZ_FRAME or data[4:] != bytes(4):
        raise _bad(label, "does not start with the length of a header and four zero bytes")
    return int.from_bytes(data[:4], "big")


def swap32(number: int) -> int:
    """A 32-bit integer in the other byte order."""
    return int.from_bytes(number.to_bytes(4, "little"), "big")


def swap64(number: int) -> int:
    """A 64-bit integer in the other byte order."""
    return int.from_bytes(number.to_bytes(8, "little"), "big")


def _from_wire(wire: Xattrs, label: str) -> Xattrs:
    if not wire:
        return ()
    if any(not name.endswith(b"\0") for name, _ in wire):
        raise _bad(label, "an xattr name without its NUL")
    xattrs = tuple((name[:-1], value) for name, value in wire)
    _check_xattrs(xattrs, label)
    return xattrs


def _to_wire(xattrs: Xattrs) -> Xattrs:
    return tuple((name + b"\0", value) for name, value in xattrs)


def _check_xattrs(xattrs: Xattrs, label: str) -> None:
    previous = b""
    for name, _ in xattrs:
        if not name or b"\0" in name:
            raise _bad(label, "an xattr name that is empty or holds a NUL byte")
        if name <= previous:
            raise _bad(label, f"xattr {name!r} is there twice or out of order")
        previous = name


def _text(target: bytes) -> str:
    try:
        return target.decode()
    except UnicodeDecodeError as error:
        raise ContentError(
            "not-utf8",
            f"symlink target {target!r:.80}: not UTF-8, which OSTree demands",
        ) from error


def _bad(label: str, problem: str) -> ContentError:
    return ContentError("bad-ostree-object", f"{label}: {problem}")
