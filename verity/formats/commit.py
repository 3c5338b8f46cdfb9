# SPDX-License-Identifier: Apache-2.0
"""OSTree's objects, bytes <-> values: commit, dirtree, dirmeta, file headers, detached metadata.

Parsing is strict (``gvariant``) and adds OSTree's own rules: sizes of checksums, names without
slashes, sorted lists. A commit's bytes are never re-serialised to verify them: the order of its
metadata matters for its name. Layouts: ostree-core.h of libostree, "OSTREE_*_GVARIANT_FORMAT".

Integers that OSTree stores big-endian inside of GVariants are swapped here and nowhere else.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from verity.formats import gvariant
from verity.formats.gvariant import Variant
from verity.values.errors import ContentError

COMMIT = "(a{sv}aya(say)sstayay)"
DIRTREE = "(a(say)a(sayay))"
DIRMETA = "(uuua(ayay))"
FILE_HEADER = "(uuuusa(ayay))"
FILEZ_HEADER = "(tuuuusa(ayay))"
DETACHED = "a{sv}"

Xattrs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit. ``timestamp`` is seconds since 1970; checksums are 64 hex digits."""

    metadata: tuple[tuple[str, Variant], ...]
    parent: str | None
    subject: str
    body: str
    timestamp: int
    root_tree: str
    root_meta: str


@dataclass(frozen=True, kw_only=True)
class DirTree:
    """A directory: (name, content checksum) and (name, dirtree checksum, dirmeta checksum)."""

    files: tuple[tuple[bytes, str], ...]
    directories: tuple[tuple[bytes, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Owner, whole st_mode and xattrs (sorted by name) of a file or directory."""

    uid: int
    gid: int
    mode: int
    xattrs: Xattrs


@dataclass(frozen=True, kw_only=True)
class FileHeader:
    """What a content checksum covers besides the contents; ``target`` is of a symlink."""

    metadata: Metadata
    target: bytes = b""

    def framed(self) -> bytes:
        """The header as it is hashed: big-endian length, four zero bytes, GVariant."""
        meta = self.metadata
        body = gvariant.encode(
            FILE_HEADER,
            (
                _swap(meta.uid),
                _swap(meta.gid),
                _swap(meta.mode),
                0,
                _text(self.target),
                _xattrs_out(meta.xattrs),
            ),
        )
        return len(body).to_bytes(4, "big") + bytes(4) + body


def parse_commit(data: bytes, *, what: str) -> Commit:
    """Read a ``.commit`` object."""
    metadata, parent, related, subject, body, timestamp, tree, meta = gvariant.decode(
        COMMIT, data, what=what
    )
    if related:
        _refuse(what, "related objects, which no ostree writes")
    return Commit(
        metadata=metadata,
        parent=_checksum(parent, what) if parent else None,
        subject=subject,
        body=body,
        timestamp=int.from_bytes(timestamp.to_bytes(8, "little"), "big"),
        root_tree=_checksum(tree, what),
        root_meta=_checksum(meta, what),
    )


def parse_dirtree(data: bytes, *, what: str) -> DirTree:
    """Read a ``.dirtree`` object."""
    files, directories = gvariant.decode(DIRTREE, data, what=what)
    for items in (files, directories):
        names = [item[0].encode() for item in items]
        for name in names:
            if name in (b"", b".", b"..") or b"/" in name:
                _refuse(what, f"{name!r} is no name of a file")
        if any(one >= other for one, other in zip(names, names[1:], strict=False)):
            _refuse(what, "its names are not sorted, or one stands there twice")
    if {item[0] for item in files} & {item[0] for item in directories}:
        _refuse(what, "a name stands there both as a file and as a directory")
    return DirTree(
        files=tuple((name.encode(), _checksum(csum, what)) for name, csum in files),
        directories=tuple(
            (name.encode(), _checksum(tree, what), _checksum(meta, what))
            for name, tree, meta in directories
        ),
    )


def parse_dirmeta(data: bytes, *, what: str) -> Metadata:
    """Read a ``.dirmeta`` object, or the ``user.ostreemeta`` xattr, which has its form."""
    uid, gid, mode, xattrs = gvariant.decode(DIRMETA, data, what=what)
    return Metadata(
        uid=_swap(uid), gid=_swap(gid), mode=_swap(mode), xattrs=_xattrs_in(xattrs, what)
    )


def parse_filez_header(data: bytes, *, what: str) -> tuple[int, FileHeader]:
    """Read the header of a ``.filez`` object: size of the contents in bytes, and the header."""
    size, uid, gid, mode, _, target, xattrs = gvariant.decode(FILEZ_HEADER, data, what=what)
    metadata = Metadata(
        uid=_swap(uid), gid=_swap(gid), mode=_swap(mode), xattrs=_xattrs_in(xattrs, what)
    )
    size = int.from_bytes(size.to_bytes(8, "little"), "big")
    return size, FileHeader(metadata=metadata, target=target.encode())


def checksum_of(data: bytes) -> str:
    """The name of a commit, dirtree or dirmeta object."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class DetachedMetadata:
    """A ``.commitmeta``: entries in their order. ``raw`` are its bytes, None if there is none."""

    entries: tuple[tuple[str, Variant], ...]
    raw: bytes | None = None

    @classmethod
    def parse(cls, data: bytes | None, *, what: str) -> "DetachedMetadata":
        """Read it; None stands for a commit without detached metadata."""
        if data is None:
            return cls(())
        entries = gvariant.decode(DETACHED, data, what=what)
        names = [name for name, _ in entries]
        if len(set(names)) != len(names):
            _refuse(what, "a key stands there twice")
        return cls(entries, data)

    def encode(self) -> bytes:
        """Its bytes."""
        return gvariant.encode(DETACHED, self.entries)

    def get(self, key: str) -> Variant | None:
        """The value of a key."""
        return next((value for name, value in self.entries if name == key), None)

    def with_value(self, key: str, value: Variant) -> "DetachedMetadata":
        """A copy in which ``key`` has this value, in its old place or at the end."""
        if self.get(key) is None:
            return DetachedMetadata((*self.entries, (key, value)))
        return DetachedMetadata(
            tuple((name, value if name == key else old) for name, old in self.entries)
        )

    def with_appended(self, key: str, signature: str, item: Any) -> "DetachedMetadata":
        """A copy in which the array under ``key`` has one more item."""
        old = self.get(key)
        if old is not None and old.signature != signature:
            raise ContentError(
                "bad-detached-metadata",
                f"{key}: of the type {old.signature}, expected {signature}",
            )
        items: Sequence[Any] = () if old is None else old.value
        return self.with_value(key, Variant(signature, (*items, item)))


def _swap(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "little"), "big")


def _text(target: bytes) -> str:
    try:
        return target.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError(
            "bad-symlink", f"the symlink target {target!r} is not UTF-8, which OSTree needs"
        ) from error


def _xattrs_out(xattrs: Xattrs) -> tuple[tuple[bytes, bytes], ...]:
    # In OSTree the names carry their NUL.
    return tuple((name + b"\0", value) for name, value in xattrs)


def _xattrs_in(xattrs: Sequence[tuple[bytes, bytes]], what: str) -> Xattrs:
    names = [name for name, _ in xattrs]
    if any(not name.endswith(b"\0") or b"\0" in name[:-1] or name == b"\0" for name in names):
        _refuse(what, "the name of an xattr without its NUL, or with one inside")
    if any(one >= other for one, other in zip(names, names[1:], strict=False)):
        _refuse(what, "its xattrs are not sorted, or one stands there twice")
    return tuple((name[:-1], value) for name, value in xattrs)


def _checksum(data: bytes, what: str) -> str:
    if len(data) != 32:
        _refuse(what, f"a checksum of {len(data)} bytes")
    return data.hex()


def _refuse(what: str, reason: str) -> NoReturn:
    raise ContentError("bad-object", f"{what}: {reason}")
