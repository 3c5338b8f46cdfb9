# SPDX-License-Identifier: Apache-2.0
"""What is in a commit: its tree as manifest entries, and the first bytes of its files.

Every content object is read once, by several threads; the one pass gives its OSTree checksum,
its fs-verity digest, its size and its first bytes. Nothing is taken from an earlier run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from verity.formats import dump, elf
from verity.formats.fsverity import Hasher
from verity.ports.ostree_repo import Repository, TreeEntry
from verity.values.errors import VerityError
from verity.verbs import batch


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What reading one content object gave."""

    size: int
    digest: bytes
    head: bytes


@dataclass(frozen=True, kw_only=True)
class CommitTree:
    """A commit's tree. ``heads`` are first bytes by fs-verity digest, for the grant rules.

    ``damaged`` holds the objects that could not be read or are not what their name says, with
    one path each; their entries are missing from ``entries``.
    """

    entries: tuple[dump.Entry, ...]
    heads: dict[bytes, bytes]
    damaged: tuple[tuple[TreeEntry, VerityError], ...]
    objects: int


def read(repository: Repository, checksum: str, *, jobs: int) -> CommitTree:
    """Read the whole tree of a commit, contents included.

    Raises ContentError if a dirtree or dirmeta object is damaged: then there is no tree.
    """
    tree = list(repository.walk(checksum))
    first_use: dict[str, TreeEntry] = {}
    for entry in tree:
        if entry.checksum is not None:
            first_use.setdefault(entry.checksum, entry)
    known: dict[str, Contents] = {}
    damaged: list[tuple[TreeEntry, VerityError]] = []
    checksums = sorted(first_use)
    for name, result in batch.each(checksums, lambda name: _contents(repository, name), jobs=jobs):
        if isinstance(result, VerityError):
            damaged.append((first_use[name], result))
        else:
            known[name] = result
    entries = [
        manifest_entry(entry, known.get(entry.checksum or ""))
        for entry in tree
        if entry.checksum is None or entry.checksum in known
    ]
    return CommitTree(
        entries=tuple(entries),
        heads={found.digest: found.head for found in known.values()},
        damaged=tuple(damaged),
        objects=len(checksums),
    )


def manifest_entry(entry: TreeEntry, contents: Contents | None) -> dump.Entry:
    """The manifest entry of one file of a commit."""
    regular = entry.is_regular and contents is not None
    return dump.Entry(
        path=entry.path,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=contents.size if regular and contents else len(entry.target or b""),
        target=entry.target,
        digest=contents.digest if regular and contents else None,
        xattrs=security_xattrs(entry.xattrs),
    )


def security_xattrs(
    xattrs: Sequence[tuple[bytes, bytes]],
) -> tuple[tuple[bytes, bytes], ...]:
    """Those that a manifest holds, sorted."""
    return tuple(sorted((n, v) for n, v in xattrs if dump.counts_for_security(n)))


def _contents(repository: Repository, checksum: str) -> Contents:
    hasher = Hasher()
    head = bytearray()

    def sink(piece: memoryview) -> None:
        hasher.update(piece)
        if len(head) < elf.HEAD_SIZE:
            head.extend(piece[: elf.HEAD_SIZE - len(head)])

    repository.verify_content(checksum, sink)
    return Contents(size=hasher.data_size, digest=hasher.finish().value, head=bytes(head))
