# SPDX-License-Identifier: Apache-2.0
"""OSTree's commit and dirtree objects: bytes to values and back.

Layouts: commit ``(a{sv}aya(say)sstayay)``, its time big-endian; dirtree ``(a(say)a(sayay))``.
The metadata of files is in ``verity.formats.ostree_file``, dictionaries are in
``verity.formats.commitmeta``.

Rules:

* A commit is never re-serialised to sign or verify it: its raw bytes are what counts. ``encode``
  gives the same bytes for every commit that ``parse`` takes, and tests hold it to that.
* Checksums are 64 lower-case hex digits here, 32 bytes on the wire.
* Names are bytes, sorted as strcmp does, unique among files and directories together; not
  empty, ``.`` or ``..``, without ``/``. OSTree stores them as text: a name that is not UTF-8 is
  refused in both directions, as stock ostree refuses to commit it.
* Objects are not looked up here: whether a checksum names anything is the repository's business.
"""

import hashlib
import operator
import re
import struct
from dataclasses import dataclass
from typing import cast

from verity.formats import gvariant
from verity.formats.commitmeta import DetachedMetadata, Metadata
from verity.formats.ostree_file import swap64
from verity.values.errors import ContentError

__all__ = ["Commit", "DetachedMetadata", "DirTree", "Metadata", "checksum_of", "is_checksum"]

_COMMIT = "(a{s*}aya(say)sstayay)"
_DIRTREE = "(a(say)a(sayay))"
_CHECKSUM = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIZE = 32
_WIDTHS = {1: "B", 2: "H", 4: "I"}
_NO_NAMES = frozenset((b"", b".", b".."))

Files = tuple[tuple[bytes, str], ...]
Dirs = tuple[tuple[bytes, str, str], ...]


def is_checksum(text: str) -> bool:
    """Whether this is how a checksum is written: 64 lower-case hex digits."""
    return _CHECKSUM.fullmatch(text) is not None


def checksum_of(data: bytes) -> str:
    """The checksum, and so the name, of a commit, dirtree or dirmeta object."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit object. ``timestamp`` is in seconds since 1970; ``related`` is always empty."""

    metadata: Metadata
    parent: str | None
    subject: str
    body: str
    timestamp: int
    root_dirtree: str
    root_dirmeta: str
    related: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def parse(cls, data: bytes, *, label: str) -> "Commit":
        """Read a commit object."""
        value = gvariant.decode(_COMMIT, data, label=label)
        metadata, parent, related, subject, body, time, dirtree, dirmeta = cast(
            "tuple[tuple[tuple[str, bytes], ...], bytes, tuple[tuple[str, bytes], ...],"
            " str, str, int, bytes, bytes]",
            value,
        )
        return cls(
            metadata=Metadata(metadata, f"{label}, metadata"),
            parent=_checksum(parent, "parent", label) if parent else None,
            related=related,
            subject=subject,
            body=body,
            timestamp=swap64(time),
            root_dirtree=_checksum(dirtree, "root dirtree", label),
            root_dirmeta=_checksum(dirmeta, "root dirmeta", label),
        )

    def encode(self) -> bytes:
        """The bytes of the object."""
        return gvariant.encode(
            _COMMIT,
            (
                self.metadata.entries,
                bytes.fromhex(self.parent or ""),
                self.related,
                self.subject,
                self.body,
                swap64(self.timestamp),
                bytes.fromhex(self.root_dirtree),
                bytes.fromhex(self.root_dirmeta),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class DirTree:
    """A directory: names of files with a checksum each, of directories with two."""

    files: Files = ()
    dirs: Dirs = ()

    @classmethod
    def parse(cls, data: bytes, *, label: str) -> "DirTree":
        """Read a dirtree object."""
        files, dirs = _scan(data) or _decode(data, label)
        _check_names([one[0] for one in files], [one[0] for one in dirs], label)
        return cls(files=files, dirs=dirs)

    def encode(self) -> bytes:
        """The bytes of the object."""
        return gvariant.encode(
            _DIRTREE,
            (
                [(_text(name), bytes.fromhex(one)) for name, one in self.files],
                [
                    (_text(name), bytes.fromhex(tree), bytes.fromhex(meta))
                    for name, tree, meta in self.dirs
                ],
            ),
        )


def _check_names(files: list[bytes], dirs: list[bytes], label: str) -> None:
    """Refuse names that are none, are out of order or are there twice."""
    names = {*files, *dirs}
    if (
        len(names) == len(files) + len(dirs)
        and names.isdisjoint(_NO_NAMES)
        and b"/" not in b"\0".join(names)
        and all(map(operator.lt, files, files[1:]))
        and all(map(operator.lt, dirs, dirs[1:]))
    ):
        return
    for kind in (files, dirs):
        previous = b""
        for name in kind:
            if name <= previous:
                if not name:
                    raise _bad(label, "an empty name")
                raise _bad(label, f"the name {name!r:.80} is there twice or out of order")
            if b"/" in name or name in _NO_NAMES:
                raise _bad(label, f"{name!r:.80} is no name")
            previous = name
    raise _bad(label, "a name is there as a file and as a directory")


def _decode(data: bytes, label: str) -> tuple[Files, Dirs]:
    """Read a dirtree with the general codec."""
    value = gvariant.decode(_DIRTREE, data, label=label)
    files, dirs = cast(
        "tuple[tuple[tuple[str, bytes], ...], tuple[tuple[str, bytes, bytes], ...]]", value
    )
    return (
        tuple((name.encode(), _checksum(one, name, label)) for name, one in files),
        tuple(
            (name.encode(), _checksum(tree, name, label), _checksum(meta, name, label))
            for name, tree, meta in dirs
        ),
    )


def _scan(data: bytes) -> tuple[Files, Dirs] | None:
    """Read a dirtree of the usual shape, several times quicker; None if it is not of it.

    It must not take anything that ``_decode`` would refuse.
    """
    size = len(data)
    width = 1 if size <= 0xFF else 2 if size <= 0xFFFF else 4
    if size < width or size > gvariant.MAX_SIZE:
        return None
    middle = int.from_bytes(data[size - width :], "little")
    # The outer offset must be as narrow as it could be.
    if middle > size - width or (width > 1 and size - width + width // 2 < 1 << (4 * width)):
        return None
    files = _scan_array(data, 0, middle, 1)
    dirs = _scan_array(data, middle, size - width, 2)
    if files is None or dirs is None:
        return None
    return cast("Files", files), cast("Dirs", dirs)


def _scan_array(
    data: bytes, start: int, end: int, checksums: int
) -> tuple[tuple[bytes | str, ...], ...] | None:
    """An array of a short name and so many checksums: elements of at most 255 bytes."""
    total = end - start
    if not total:
        return ()
    width = 1 if total <= 0xFF else 2 if total <= 0xFFFF else 4
    body = int.from_bytes(data[end - width : end], "little")
    count, rest = divmod(total - body, width)
    if body > total - width or rest or count > gvariant.MAX_ITEMS // 2:
        return None
    if width > 1 and body + count * (width // 2) < 1 << (4 * width):
        return None
    tail = checksums * _SIZE
    found = []
    at = start
    for offset in struct.unpack_from(f"<{count}{_WIDTHS[width]}", data, start + body):
        stop = start + offset
        cut = stop - checksums - tail  # where the name with its NUL ends
        if not (at < cut and stop <= start + body and stop - at <= 0xFF):
            return None
        if data[stop - 1] != cut - at or (checksums == 2 and data[stop - 2] != cut - at + _SIZE):
            return None
        name = data[at : cut - 1]
        if data[cut - 1] or 0 in name or not _is_text(name):
            return None
        sums = data[cut : cut + tail].hex()
        found.append((name, sums) if checksums == 1 else (name, sums[:64], sums[64:]))
        at = stop
    return tuple(found)


def _is_text(name: bytes) -> bool:
    if name.isascii():
        return True
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise ContentError(
            "not-utf8", f"name {name!r:.80}: not UTF-8, which OSTree demands"
        ) from error


def _checksum(value: bytes, what: str, label: str) -> str:
    if len(value) != _SIZE:
        raise _bad(label, f"{what}: a checksum of {len(value)} bytes, expected {_SIZE}")
    return value.hex()


def _bad(label: str, problem: str) -> ContentError:
    return ContentError("bad-ostree-object", f"{label}: {problem}")
