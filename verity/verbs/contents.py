# SPDX-License-Identifier: Apache-2.0
"""What is in a commit: its tree as manifest entries, and the first bytes of its files.

Every content object is read once, by several threads; the one pass gives its OSTree checksum,
its fs-verity digest, its size and its first bytes. Nothing is taken from an earlier run, but from
a commit that the caller has verified (``Known``), and of that no code: what may become a grant is
always read.
"""

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
from verity.ports.ostree_content import Content
from verity.ports.ostree_repo import Repository
from verity.values.errors import VerityError
from verity.verbs import batch
from verity.verbs.signed import SignedCommit

_BATCH = 128  # objects that a thread reads in one call
# What is hashed before the contents of a file without xattrs; owner, group and mode go behind the
# frame of 8 bytes.
_FRAME = FileHeader.make(
    uid=0, gid=0, mode=stat.S_IFREG, target=b"", xattrs=(), label="frame"
).framed()
_OWNER_AT = 8


class Contents(NamedTuple):
    """What reading one content object gave: its entry at one of its paths, and its first bytes."""

    entry: dump.Entry
    head: bytes


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
    objects = dict(known.entries)
    # No byte is needed of what earned nothing then: by its name alone it may be a module now.
    heads = {entry.digest: b"" for entry in objects.values() if entry.digest is not None}
    damaged: dict[str, VerityError] = {}
    # In the order of paths, in which the objects were written and are in memory.
    todo = [
        (name, path)
        for path, name, _ in paths
        if name and name not in objects and first_use[name] == path
    ]
    parts = [todo[at : at + _BATCH] for at in range(0, len(todo), _BATCH)]
    for part, results in batch.each(parts, partial(_several, repository), jobs=jobs, part=1):
        if isinstance(results, VerityError):
            raise results
        for (name, _), result in zip(part, results, strict=True):
            if isinstance(result, VerityError):
                damaged[name] = result
                continue
            objects[name] = result.entry
            if result.entry.digest is not None:
                heads[result.entry.digest] = result.head
    entries = []
    directories: dict[str, DirMeta] = {}
    for path, name, meta in paths:
        if meta:
            if meta not in directories:
                directories[meta] = repository.read_dirmeta(meta)
            entries.append(_directory(path, directories[meta]))
        elif name in objects:
            entry = objects[name]
            entries.append(entry if entry.path == path else entry._replace(path=path))
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


def _file(path: bytes, header: FileHeader, size: int, digest: bytes | None) -> dump.Entry:
    return dump.Entry(
        path=path,
        mode=header.mode,
        uid=header.uid,
        gid=header.gid,
        size=size,
        target=header.target,
        digest=digest,
        xattrs=security_xattrs(header.xattrs),
    )


def security_xattrs(
    xattrs: Sequence[tuple[bytes, bytes]],
) -> tuple[tuple[bytes, bytes], ...]:
    """Those that a manifest holds, sorted."""
    if not xattrs:
        return ()
    return tuple(sorted((n, v) for n, v in xattrs if dump.counts_for_security(n)))


def _several(
    repository: Repository, objects: Sequence[tuple[str, bytes]]
) -> list[Contents | VerityError]:
    """Those that are what their name says in one call, the odd ones by themselves.

    An object is its checksum, and the path that its entry gets.
    """
    checksums = [checksum for checksum, _ in objects]
    found: list[many.Named | None] = [None] * len(objects)
    places = repository.object_places(checksums, "file") if repository.mode == "bare" else None
    if places is not None:
        names = bytes.fromhex("".join(checksums))
        found = many.read_files(places, names, prefix=_FRAME, owner_at=_OWNER_AT)
    results: list[Contents | VerityError] = []
    for (checksum, path), named in zip(objects, found, strict=True):
        if named is not None:
            uid, gid, mode, size, digest, head = named
            entry = dump.Entry(path=path, mode=mode, uid=uid, gid=gid, size=size, digest=digest)
            results.append(Contents(entry, head))
            continue
        try:
            results.append(_one(repository, path, checksum))
        except VerityError as error:
            results.append(error)
    return results


def _one(repository: Repository, path: bytes, checksum: str) -> Contents:
    with repository.open_content(checksum) as content:
        header = content.header
        if header.target is not None:
            repository.verify_opened(checksum, content)
            return Contents(_file(path, header, len(header.target), None), b"")
        hashed = None
        if content.fd is not None:  # the object is the file: one pass in C gives both hashes
            hashed = kernel.hash_file(
                content.fd, limit=content.size, prefix=header.framed(), label=content.label
            )
        if hashed is None or content.fd is None:
            return _streamed(repository, path, checksum, content)
        repository.check_name(checksum, hashed.plain.hex())
        head = read_head(content.fd, elf.HEAD_SIZE, label=content.label)
        return Contents(_file(path, header, hashed.size, hashed.digest.value), head)


def _streamed(repository: Repository, path: bytes, checksum: str, content: Content) -> Contents:
    """The same in pieces: for archives, large files, and without libcrypto."""
    hasher = Hasher(hashes=kernel.block_hashes())
    head = bytearray()

    def sink(piece: memoryview) -> None:
        hasher.update(piece)
        if len(head) < elf.HEAD_SIZE:
            head.extend(piece[: elf.HEAD_SIZE - len(head)])

    repository.verify_opened(checksum, content, sink)
    digest = hasher.finish().value
    return Contents(_file(path, content.header, hasher.data_size, digest), bytes(head))
