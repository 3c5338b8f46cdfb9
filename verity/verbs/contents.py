# SPDX-License-Identifier: Apache-2.0
"""What is in a commit: its tree as manifest entries, and the first bytes of its files.

Every content object is read once, by several threads; the one pass gives its OSTree checksum,
its fs-verity digest, its size and its first bytes. Nothing is taken from an earlier run, but from
a commit that the caller has verified (``Known``), and of that no code: what may become a grant is
always read.
"""

import functools
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from verity.formats import dump, elf
from verity.formats.fsverity import Hasher
from verity.formats.ostree_file import DirMeta, FileHeader
from verity.ports import kernel, many
from verity.ports.osfile import read_head
from verity.ports.ostree_repo import Repository
from verity.values.errors import VerityError
from verity.verbs import batch
from verity.verbs.signed import SignedCommit

_BATCH = 64  # objects that a thread reads in one call
# What is hashed before the contents of a file without xattrs; owner, group and mode go behind the
# frame of 8 bytes.
_FRAME = FileHeader.make(
    uid=0, gid=0, mode=stat.S_IFREG, target=b"", xattrs=(), label="frame"
).framed()
_OWNER_AT = 8


class Contents(NamedTuple):
    """What reading one content object gave. ``digest`` is None for a symlink."""

    header: FileHeader
    size: int
    digest: bytes | None
    head: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class CommitTree:
    """A commit's tree. ``heads`` are first bytes by fs-verity digest, for the grant rules.

    ``damaged`` holds the objects that could not be read or are not what their name says, with
    one path each. All their paths are ``missing`` from ``entries``.
    """

    entries: tuple[dump.Entry, ...]
    heads: dict[bytes, bytes]
    damaged: tuple[tuple[bytes, VerityError], ...]
    missing: frozenset[bytes]
    objects: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """Manifest entries of a verified commit, by the object that each is of."""

    entries: Mapping[str, dump.Entry]


NOTHING = Known(entries={})


def known_from(repository: Repository, commit: SignedCommit) -> Known:
    """What a commit's manifest says of its objects, without those that it grants anything.

    The name of an object stands for its contents, owner, mode and xattrs, so whatever commit has
    it, all but the path of its entry is the same.
    """
    code = {entry.digest for entry in commit.grants.grants.code}
    data = {entry.path: entry for entry in commit.manifest.entries if entry.digest not in code}
    paths = repository.paths(commit.checksum)
    return Known(entries={name: data[path] for path, name, _ in paths if name and path in data})


def read(repository: Repository, checksum: str, *, jobs: int, known: Known = NOTHING) -> CommitTree:
    """Read the whole tree of a commit, contents included but for what is ``known``.

    Raises ContentError if a dirtree or dirmeta object is damaged: then there is no tree.
    """
    paths = sorted(repository.paths(checksum))
    first_use = {name: path for path, name, _ in reversed(paths) if name}
    found: dict[str, Contents] = {}
    damaged: dict[str, VerityError] = {}
    checksums = sorted(first_use.keys() - known.entries.keys())
    parts = [checksums[at : at + _BATCH] for at in range(0, len(checksums), _BATCH)]
    for part, results in batch.each(parts, partial(_several, repository), jobs=jobs, part=1):
        if isinstance(results, VerityError):
            raise results
        for name, result in zip(part, results, strict=True):
            if isinstance(result, VerityError):
                damaged[name] = result
            else:
                found[name] = result
    entries = []
    directories: dict[str, DirMeta] = {}
    for path, name, meta in paths:
        if meta:
            if meta not in directories:
                directories[meta] = repository.read_dirmeta(meta)
            entries.append(_directory(path, directories[meta]))
        elif name in found:
            entries.append(_file(path, found[name]))
        elif name in known.entries:
            entry = known.entries[name]
            entries.append(entry if entry.path == path else entry._replace(path=path))
    # No byte is needed of what earned nothing then: by its name alone it may be a module now.
    digests = [entry.digest for entry in known.entries.values()]
    heads = {digest: b"" for digest in digests if digest is not None}
    heads |= {one.digest: one.head for one in found.values() if one.digest is not None}
    return CommitTree(
        entries=tuple(entries),
        heads=heads,
        damaged=tuple((first_use[name], error) for name, error in damaged.items()),
        missing=frozenset(path for path, name, _ in paths if name in damaged),
        objects=len(first_use),
    )


def first_damage(tree: CommitTree) -> VerityError:
    """The error of the first damaged object, which names its path and how many more there are."""
    path, error = tree.damaged[0]
    more = f" (and {len(tree.damaged) - 1} more objects)" if len(tree.damaged) > 1 else ""
    return type(error)(
        error.code, f"{dump.printable(path)}: {error.message}{more}", hint=error.hint
    )


def _directory(path: bytes, meta: DirMeta) -> dump.Entry:
    return dump.Entry(
        path=path, mode=meta.mode, uid=meta.uid, gid=meta.gid, xattrs=security_xattrs(meta.xattrs)
    )


def _file(path: bytes, contents: Contents) -> dump.Entry:
    header = contents.header
    return dump.Entry(
        path=path,
        mode=header.mode,
        uid=header.uid,
        gid=header.gid,
        size=contents.size if header.target is None else len(header.target),
        target=header.target,
        digest=contents.digest,
        xattrs=contents.xattrs,
    )


def security_xattrs(
    xattrs: Sequence[tuple[bytes, bytes]],
) -> tuple[tuple[bytes, bytes], ...]:
    """Those that a manifest holds, sorted."""
    if not xattrs:
        return ()
    return tuple(sorted((n, v) for n, v in xattrs if dump.counts_for_security(n)))


def _several(repository: Repository, checksums: Sequence[str]) -> list[Contents | VerityError]:
    """Those that are what their name says in one call, the odd ones by themselves."""
    places = [repository.object_place(checksum, "file") for checksum in checksums]
    there = [place for place in places if place is not None]
    found: list[many.Named | None] = [None] * len(checksums)
    if repository.mode == "bare" and len(there) == len(places):
        found = many.read_files(
            there,
            [bytes.fromhex(checksum) for checksum in checksums],
            prefix=_FRAME,
            owner_at=_OWNER_AT,
        )
    results: list[Contents | VerityError] = []
    for checksum, named in zip(checksums, found, strict=True):
        try:
            results.append(
                _contents(repository, checksum) if named is None else _plain(repository, named)
            )
        except VerityError as error:
            results.append(error)
    return results


def _plain(repository: Repository, named: many.Named) -> Contents:
    header = _plain_header(named.uid, named.gid, named.mode, repository.label)
    return Contents(header=header, size=named.size, digest=named.digest, head=named.head, xattrs=())


@functools.lru_cache(maxsize=64)
def _plain_header(uid: int, gid: int, mode: int, label: str) -> FileHeader:
    """Thousands of files have the same."""
    return FileHeader.make(uid=uid, gid=gid, mode=mode, target=b"", xattrs=(), label=label)


def _contents(repository: Repository, checksum: str) -> Contents:
    with repository.open_content(checksum) as content:
        header = content.header
        hashed = None
        if content.fd is not None:  # the object is the file: one pass in C gives both hashes
            hashed = kernel.hash_file(
                content.fd, limit=content.size, prefix=header.framed(), label=content.label
            )
        if hashed is not None and content.fd is not None:
            repository.check_name(checksum, hashed.plain.hex())
            head = read_head(content.fd, elf.HEAD_SIZE, label=content.label)
            return Contents(
                header=header,
                size=hashed.size,
                digest=hashed.digest.value,
                head=head,
                xattrs=security_xattrs(header.xattrs),
            )
    return _streamed(repository, checksum)


def _streamed(repository: Repository, checksum: str) -> Contents:
    """The same in pieces: for symlinks, archives, large files, and without libcrypto."""
    hasher = Hasher(hashes=kernel.block_hashes())
    head = bytearray()

    def sink(piece: memoryview) -> None:
        hasher.update(piece)
        if len(head) < elf.HEAD_SIZE:
            head.extend(piece[: elf.HEAD_SIZE - len(head)])

    header = repository.verify_content(checksum, sink)
    return Contents(
        header=header,
        size=hasher.data_size,
        digest=None if header.is_symlink else hasher.finish().value,
        head=bytes(head),
        xattrs=security_xattrs(header.xattrs),
    )
