# SPDX-License-Identifier: Apache-2.0
"""An OSTree repository, read object by object, each checked against its name.

Opened once as a directory descriptor; everything else is opened below it, without following
symlinks. The modes bare, bare-user and archive are read. Making commits, pulling and pruning
are stock ostree's work; the one thing written here is a commit's detached metadata.

Rules:

* Commit, dirtree and dirmeta are refused if their SHA-256 is not their name. Contents are
  compared by ``verify_content`` only: ``walk`` and ``open_content`` give what the object says,
  not yet what the commit says.
* Bounds: 128 MiB per metadata object, ``MAX_ENTRIES`` paths per commit (directories may be
  shared, so that a few small objects could name a million paths), ``MAX_PATH`` bytes per path.
* bare-user-only is refused: it keeps neither owners nor xattrs, so there is little to sign.
* A missing object is a HostError (``no-such-object``), one that is not what its name says a
  ContentError (``damaged-object``).

Methods may be called from any thread. Source: libostree's ostree-repo.c; the formats are those
of ``verity.formats.commit`` and ``verity.formats.ostree_file``.
"""

import os
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Self

from verity.formats.commit import Commit, DetachedMetadata, DirTree, is_checksum
from verity.formats.ostree_file import ContentHasher, DirMeta, FileHeader
from verity.ports import ostree_detached, ostree_refs
from verity.ports.many import Packed, Place
from verity.ports.ostree_config import not_a_repository, read_mode
from verity.ports.ostree_content import Content, open_content
from verity.ports.ostree_objects import ObjectStore, translated, wrong_checksum
from verity.values.errors import ContentError, HostError

MAX_ENTRIES = 2_000_000
MAX_PATH = 4095  # PATH_MAX without its NUL

_MIN_ABBREVIATION = 4

Sink = Callable[[memoryview], None]
"""Hears the contents of an object in pieces, in order."""


class Repository:
    """An opened repository. ``label`` is its path, for messages."""

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        try:
            with translated(self.label):
                self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except HostError as error:
            if error.code == "not-found":
                raise not_a_repository(self.label, error.message) from error
            raise
        self._closer = weakref.finalize(self, os.close, self._fd)
        self._trees: dict[str, DirTree] = {}
        try:
            self.mode = read_mode(self._fd, self.label)
            self._store = ObjectStore(self._fd, self.label)
        except BaseException:
            self._closer()
            raise

    def close(self) -> None:
        """Close its descriptors; more than once does no harm."""
        self._store.close()
        self._closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- names -----------------------------------------------------------------------------

    def resolve(self, revision: str) -> str:
        """The checksum of a commit: by its digits, their unique start, a ref, or REMOTE:REF."""
        if is_checksum(revision):
            return revision
        try:
            return ostree_refs.resolve(self._fd, revision, self.label)
        except HostError as error:
            if error.code != "no-such-ref":
                raise
            found = self._abbreviated(revision)
            if found is None:
                raise
            return found

    def refs(self) -> Iterator[str]:
        """The names of all refs, as ``resolve`` takes them, in no particular order."""
        return ostree_refs.names(self._fd, self.label)

    def _abbreviated(self, start: str) -> str | None:
        if len(start) < _MIN_ABBREVIATION or not is_checksum(start.ljust(64, "0")):
            return None
        found = [
            checksum
            for checksum, kind in self._store.names_in(start[:2])
            if kind == "commit" and checksum.startswith(start)
        ]
        return found[0] if len(found) == 1 else None

    def object_label(self, checksum: str, kind: str) -> str:
        """The path of an object, for messages."""
        return self._store.object_label(checksum, kind)

    def loose_object_names(self) -> Iterator[tuple[str, str]]:
        """(checksum, kind) of every loose object, sorted."""
        return self._store.names()

    # --- metadata objects ------------------------------------------------------------------

    def read_commit(self, checksum: str) -> tuple[bytes, Commit]:
        """The raw bytes of a commit, which are what is signed, and what they say."""
        data = self._store.read(checksum, "commit")
        return data, Commit.parse(data, label=f"commit {checksum}")

    def read_dirtree(self, checksum: str) -> DirTree:
        """A dirtree object; read and checked once, then kept."""
        tree = self._trees.get(checksum)
        if tree is None:
            data = self._store.read(checksum, "dirtree")
            tree = self._trees[checksum] = DirTree.parse(data, label=f"dirtree {checksum}")
        return tree

    def read_dirmeta(self, checksum: str) -> DirMeta:
        """A dirmeta object."""
        data = self._store.read(checksum, "dirmeta")
        return DirMeta.parse(data, label=f"dirmeta {checksum}")

    def metadata_objects(self, checksum: str) -> Iterator[tuple[str, str]]:
        """(checksum, kind) of the commit, its dirtrees and its dirmetas, each once."""
        yield checksum, "commit"
        _, commit = self.read_commit(checksum)
        yield commit.root_dirmeta, "dirmeta"
        seen = {commit.root_dirtree, commit.root_dirmeta}
        pending = [commit.root_dirtree]
        while pending:
            tree = pending.pop()
            yield tree, "dirtree"
            for _, subtree, meta in self.read_dirtree(tree).dirs:
                if meta not in seen:
                    seen.add(meta)
                    yield meta, "dirmeta"
                if subtree not in seen:
                    seen.add(subtree)
                    pending.append(subtree)

    # --- the tree --------------------------------------------------------------------------

    def paths(self, checksum: str) -> Iterator[tuple[bytes, str, str]]:
        """(path, content checksum or '', dirmeta checksum or '') of every file, in no order.

        No content object is looked at. Sorted they are in the order of a manifest, which is no
        depth-first order: ``-`` sorts before ``/``, so ``/a-b`` comes before ``/a/b``.
        """
        return self._paths(self.read_commit(checksum)[1])

    def content_at(self, checksum: str, path: bytes) -> str:
        """The content checksum of the file at an absolute path; '' if there is none."""
        *folders, last = path.strip(b"/").split(b"/")
        tree = self.read_dirtree(self.read_commit(checksum)[1].root_dirtree)
        for folder in folders:
            below = next((one for name, one, _ in tree.dirs if name == folder), None)
            if below is None:
                return ""
            tree = self.read_dirtree(below)
        return next((content for name, content in tree.files if name == last), "")

    def contents_at(self, checksum: str, paths: Collection[bytes]) -> Iterator[tuple[bytes, str]]:
        """(path, content checksum) of those of these absolute paths that are files, in no order.

        Only the directories on the way to them are read.
        """
        above: set[bytes] = set()
        for path in paths:
            folder = path.rpartition(b"/")[0]
            while folder and folder not in above:
                above.add(folder)
                folder = folder.rpartition(b"/")[0]
        pending = [(b"", self.read_commit(checksum)[1].root_dirtree)]
        while pending:
            prefix, name = pending.pop()
            tree = self.read_dirtree(name)
            for file, content in tree.files:
                if (path := prefix + b"/" + file) in paths:
                    yield path, content
            for folder, subtree, _ in tree.dirs:
                if (path := prefix + b"/" + folder) in above:
                    pending.append((path, subtree))

    def _paths(self, commit: Commit) -> Iterator[tuple[bytes, str, str]]:
        pending = [(b"", commit.root_dirtree)]
        left = MAX_ENTRIES - 1
        yield b"/", "", commit.root_dirmeta
        while pending:
            prefix, checksum = pending.pop()
            tree = self.read_dirtree(checksum)
            left -= len(tree.files) + len(tree.dirs)
            if left < 0:
                raise ContentError("too-large", f"a commit of more than {MAX_ENTRIES} paths")
            prefix += b"/"
            for name, content in tree.files:
                yield _bounded(prefix + name), content, ""
            for name, subtree, meta in tree.dirs:
                path = _bounded(prefix + name)
                yield path, "", meta
                pending.append((path, subtree))

    # --- content objects -------------------------------------------------------------------

    def open_content(self, checksum: str) -> Content:
        """A content object with its header, to read; use it in a ``with``."""
        return open_content(self._store, self.mode, checksum)

    def open_object(self, checksum: str, kind: str) -> int:
        """A read-only descriptor of the file behind an object, for the caller to close."""
        return self._store.open_regular(checksum, kind)[0]

    def object_place(self, checksum: str, kind: str) -> Place | None:
        """Where an object lies, for calls that take many; the descriptor stays the repository's."""
        return self._store.place(checksum, kind)

    def object_places(self, checksums: Sequence[str], kind: str) -> Packed | None:
        """The same of many objects; None if a directory of theirs isn't there."""
        return self._store.places(checksums, kind)

    def verify_content(self, checksum: str, sink: Sink | None = None) -> FileHeader:
        """Read a whole content object; refuse it (``damaged-object``) if it isn't its name's.

        ``sink`` hears the contents of a regular file in the same pass, but they are only
        proven when this returns.
        """
        with self.open_content(checksum) as content:
            self.verify_opened(checksum, content, sink)
            return content.header

    def verify_opened(self, checksum: str, content: Content, sink: Sink | None = None) -> None:
        """The same for an object that is open, of which nothing was read yet."""
        hasher = ContentHasher(content.header)
        for piece in content.pieces():
            hasher.update(piece)
            if sink is not None:
                sink(piece)
        self.check_name(checksum, hasher.checksum())

    def check_name(self, checksum: str, found: str) -> None:
        """Refuse a content object (``damaged-object``) whose checksum was found to be another."""
        if found != checksum:
            raise wrong_checksum(self.object_label(checksum, self.mode.kind), checksum, found)

    # --- detached metadata -----------------------------------------------------------------

    def read_detached(self, checksum: str) -> DetachedMetadata:
        """A commit's detached metadata, empty if it has none."""
        return ostree_detached.read(self._store, checksum)

    def write_detached(
        self, checksum: str, new: DetachedMetadata, *, expected: DetachedMetadata
    ) -> None:
        """Replace a commit's detached metadata if it still is ``expected``, durably."""
        ostree_detached.write(self._fd, self._store, checksum, new, expected=expected)


def _bounded(path: bytes) -> bytes:
    if len(path) > MAX_PATH:
        raise ContentError("too-large", f"{path[:60]!r}...: a path of more than {MAX_PATH} bytes")
    return path
