# SPDX-License-Identifier: Apache-2.0
"""Where the signed contents of a file still are, by the digest that the manifest has for it.

In this order, and each is checked while it is read:

1. the file itself, whose metadata alone differ;
2. the repository: the object of this path, then any other of the same contents;
3. another file of the tree, such as the vendor's default in /usr/etc;
4. the content store of the signed /etc.

A source that is damaged is passed by. Nothing is trusted but the digest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.ports import copying
from verity.ports.content_store import ContentStore
from verity.ports.osfile import closing
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Node, Tree
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs.signed import SignedCommit


@dataclass(frozen=True, kw_only=True)
class Source:
    """Somewhere that contents may be. ``name`` is for people; ``pieces`` gives them."""

    name: str
    pieces: Callable[[], Iterable[bytes | memoryview]]


@dataclass(kw_only=True)
class Sources:
    """All sources of one tree and commit."""

    root: Path
    repository: Repository
    commit: SignedCommit
    nodes: Mapping[bytes, Node]
    store: ContentStore

    def find(self, entry: Entry) -> Source:
        """The first source that has these contents; HostError (``no-source``)."""
        if entry.digest is None:  # a symlink: its target stands in the manifest
            return Source(name="the manifest", pieces=lambda: ())
        why = "no signed source has it"
        for source in self._candidates(entry, entry.digest):
            try:
                if copying.digest(source.pieces()).value == entry.digest:
                    return source
                why = f"{source.name} holds other contents"
            except VerityError as error:
                why = error.message
        raise HostError(
            "no-source",
            f"its signed contents are nowhere: {why}",
            hint="fetch the commit again (`ostree fsck --delete`, `ostree pull`), then repair",
        )

    def fill(self, entry: Entry, target: int) -> None:
        """Write the contents to a descriptor, from whichever source has them; checked."""
        if entry.digest is None:
            return
        source = self.find(entry)
        found = copying.write(source.pieces(), target, label=printable(entry.path))
        if found.value != entry.digest:
            raise ContentError(
                "changed-while-read", f"{source.name}: its contents changed while they were copied"
            )

    def file_of(self, digest: bytes) -> bytes | None:
        """A file of the tree with this digest."""
        return next(iter(self._by_digest.get(digest, ())), None)

    def _candidates(self, entry: Entry, digest: bytes) -> Iterator[Source]:
        # 1. Itself.
        here = [entry.path] if self._is_at(entry.path, digest) else []
        yield from (self._of_tree(path, "the file itself") for path in here)
        # 2. Objects.
        for checksum in self._objects.get(digest, ()):
            yield self._of_object(checksum)
        # 3. Another file.
        for path in self._by_digest.get(digest, ()):
            if path not in here:
                yield self._of_tree(path, printable(path))
        # 4. The store.
        yield Source(name="the content store of /etc", pieces=lambda: self._of_store(digest))

    def _is_at(self, path: bytes, digest: bytes) -> bool:
        node = self.nodes.get(path)
        return node is not None and node.entry.digest == digest

    @cached_property
    def _objects(self) -> Mapping[bytes, tuple[str, ...]]:
        """The content objects of each digest of the manifest, by the paths of the commit."""
        digests = {one.path: one.digest for one in self.commit.manifest.entries if one.digest}
        found: dict[bytes, dict[str, None]] = {}
        for path, checksum, _ in self.repository.paths(self.commit.checksum):
            if checksum and path in digests:
                found.setdefault(digests[path], {})[checksum] = None
        return {digest: tuple(names) for digest, names in found.items()}

    @cached_property
    def _by_digest(self) -> Mapping[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        for path, node in self.nodes.items():
            if node.entry.digest is not None:
                found.setdefault(node.entry.digest, []).append(path)
        return found

    def _of_object(self, checksum: str) -> Source:
        def pieces() -> Iterator[memoryview]:
            with self.repository.open_content(checksum) as content:
                yield from content.pieces()

        return Source(name=f"object {checksum}", pieces=pieces)

    def _of_tree(self, path: bytes, name: str) -> Source:
        def pieces() -> Iterator[bytes]:
            with Tree(self.root) as opened, closing(opened.open(path)) as fd:
                yield from copying.pieces(fd, label=printable(path))

        return Source(name=name, pieces=pieces)

    def _of_store(self, digest: bytes) -> Iterator[bytes]:
        with closing(self.store.open(digest, "the content store")) as fd:
            yield from copying.pieces(fd, label=str(self.store.place(digest)))
