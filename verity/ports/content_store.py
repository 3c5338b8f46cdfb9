# SPDX-License-Identifier: Apache-2.0
"""The content store: files by their canonical fs-verity digest, ``sha256/xx/HEX``.

1. A file has its name only when its contents are durable and gave that digest while copied.
2. Every reading checks the digest again: ``copy`` writes to a descriptor and fails if what it
   wrote is something else. fs-verity is turned on where the file system can, and not relied on.
3. Files are 0400 and directories 0700: contents may be secret where they came from.

Nothing is ever removed or overwritten but what turned out damaged, and it names no path of a
host: what a digest is the content of, manifests say. One writer at a time: the caller locks. No
symlink in it, nor on the way to it from the host's root, is followed.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from verity.formats import fsverity
from verity.ports import content, kernel, tree
from verity.ports.folder import Folder
from verity.ports.osfile import closing, translate_oserror
from verity.values.digest import CANONICAL, Digest, HashAlgorithm
from verity.values.errors import ContentError, HostError, VerityError

_PIECE = 1 << 20
_INCOMING = "incoming"
_CONTENTS = "sha256"
_ITSELF = PurePath()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to store: its label, the digest that it must have, how to open it."""

    label: str
    digest: bytes
    open: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How many files were new, and how many of these have fs-verity."""

    new: int
    protected: int


class ContentStore:
    """A store, made when something is added: ``below`` a host's root, or a path by itself."""

    def __init__(self, root: Path, below: PurePath = _ITSELF) -> None:
        self.path = root / below
        self._root, self._below = root, below

    def place(self, digest: bytes) -> Path:
        """Where these contents are, if they are there."""
        name = digest.hex()
        return self.path / _CONTENTS / name[:2] / name

    def add(self, sources: Iterable[Source]) -> Stored:
        """Store all of them, durably; each ends up under its digest or the whole fails.

        1. Copy what is missing or damaged, hashing on the way.
        2. Turn on fs-verity, where that can be done.
        3. Make the contents durable, then give them their names, then make these durable.
        """
        with Folder.opened(self._root, self._below, create=0o700) as top:
            shutil.rmtree(_INCOMING, ignore_errors=True, dir_fd=top.fd)  # what a killed run left
            with top.inside(_INCOMING, create=0o700) as incoming:
                try:
                    return self._add(sources, top, incoming)
                except OSError as error:
                    raise translate_oserror(error, str(self.path)) from error

    def _add(self, sources: Iterable[Source], top: Folder, incoming: Folder) -> Stored:
        placed: set[bytes] = set()
        protected = 0
        for source in sources:
            if source.digest in placed or self._good(source.digest):
                continue
            # 1. Copy.
            self._take(source, incoming)
            # 2. Protect.
            protected += _protect(incoming, source.digest.hex())
            placed.add(source.digest)
        # 3. Name.
        if placed:
            self._sync(top)
            with top.inside(_CONTENTS, create=0o700) as contents:
                for name in (digest.hex() for digest in placed):
                    with contents.inside(name[:2], create=0o700) as target:
                        os.rename(name, name, src_dir_fd=incoming.fd, dst_dir_fd=target.fd)
            self._sync(top)
        return Stored(new=len(placed), protected=protected)

    def copy(self, digest: bytes, target: int, *, label: str) -> None:
        """Write the contents to ``target``; ContentError (``damaged-content``) if they differ.

        ``label`` is the file that they are for. What was written before the error is worthless.
        """
        source = self.open(digest, label)
        with closing(source):
            found = _copy(source, target, label=str(self.place(digest)))
        if found != Digest(HashAlgorithm.SHA256, digest):
            raise self._damaged(digest, label)

    def check(self, digest: bytes, *, label: str) -> None:
        """Raise what ``copy`` would: by the kernel's digest, else by reading."""
        with closing(self.open(digest, label)) as fd:
            found = tree.measured(fd, os.fsencode(label)).digest
        if found != digest:
            raise self._damaged(digest, label)

    def read(self, digest: bytes, *, label: str, max_size: int) -> bytes:
        """The contents in memory, checked; HostError (``too-large``) beyond ``max_size``."""
        with closing(self.open(digest, label)) as fd:
            if os.fstat(fd).st_size > max_size:
                raise HostError("too-large", f"{label}: more than {max_size} bytes")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(max_size + 1)
        if fsverity.digest_bytes(data).value != digest:
            raise self._damaged(digest, label)
        return data

    def _damaged(self, digest: bytes, label: str) -> ContentError:
        return ContentError(
            "damaged-content",
            f"{self.place(digest)}: not the contents of {label} any more",
            hint="sign again where the contents are good, or copy this file from there",
        )

    def open(self, digest: bytes, label: str) -> int:
        """A descriptor of what has this name, unchecked, for the caller to close."""
        try:
            with self._holding(digest) as folder:
                name = digest.hex()
                return content.open_regular(name, dir_fd=folder.fd, label=str(folder.label / name))
        except VerityError as error:
            raise HostError(
                "no-content",
                f"{label}: its contents are not in the store or can't be read: {error.message}",
                hint="the store is filled by `verity etc sign` on the host that signs",
            ) from error

    @contextlib.contextmanager
    def _holding(self, digest: bytes) -> Iterator[Folder]:
        below = self._below / _CONTENTS / digest.hex()[:2]
        with Folder.opened(self._root, below) as folder:
            yield folder

    def _good(self, digest: bytes) -> bool:
        try:
            with self._holding(digest) as folder:
                found = content.digest_path(digest.hex(), dir_fd=folder.fd)
        except HostError as error:
            if error.code == "is-symlink":
                raise
            return False
        return found.value == digest

    def _take(self, source: Source, incoming: Folder) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        name = source.digest.hex()
        with (
            closing(source.open()) as fd,
            closing(os.open(name, flags, 0o400, dir_fd=incoming.fd)) as out,
        ):
            found = _copy(fd, out, label=source.label)
        if found.value != source.digest:
            raise ContentError(
                "changed-while-read",
                f"{source.label}: its contents changed while it was signed",
                hint="stop whatever writes to it, or give it the class mutable",
            )

    def _sync(self, top: Folder) -> None:
        kernel.syncfs(top.fd, label=str(self.path))


def _copy(source: int, target: int, *, label: str) -> Digest:
    """Copy from here to there and say the digest of what was copied."""
    hasher = fsverity.Hasher(CANONICAL, hashes=kernel.block_hashes())
    try:
        while piece := os.read(source, _PIECE):
            hasher.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
    except OSError as error:
        raise translate_oserror(error, label) from error
    return hasher.finish()


def _protect(folder: Folder, name: str) -> bool:
    """Turn on fs-verity; False where this file system or kernel has none."""
    label = str(folder.label / name)
    with (
        contextlib.suppress(HostError),
        closing(content.open_regular(name, dir_fd=folder.fd, label=label)) as fd,
    ):
        kernel.enable(fd, label=label)
        return True
    return False
