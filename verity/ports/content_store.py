# SPDX-License-Identifier: Apache-2.0
"""The content store: files by their canonical fs-verity digest, ``sha256/xx/HEX``.

1. A file has its name only when its contents are durable and gave that digest while copied.
2. Every reading checks the digest again: ``copy`` writes to a descriptor and fails if what it
   wrote is something else. fs-verity is turned on where the file system can, and not relied on.
3. Files are 0400 and directories 0700: contents may be secret where they came from.

Nothing is ever removed or overwritten but what turned out damaged, and it names no path of a
host: what a digest is the content of, manifests say. One writer at a time: the caller locks.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from verity.formats import fsverity
from verity.ports import content, kernel
from verity.ports.osfile import closing, make_directories, translate_oserror
from verity.values.digest import CANONICAL, Digest, HashAlgorithm
from verity.values.errors import ContentError, HostError, VerityError

_PIECE = 1 << 20
_INCOMING = "incoming"


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
    """A store below a directory, which is made when something is added."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, digest: bytes) -> Path:
        """Where these contents are, if they are there."""
        name = digest.hex()
        return self.path / "sha256" / name[:2] / name

    def add(self, sources: Iterable[Source]) -> Stored:
        """Store all of them, durably; each ends up under its digest or the whole fails.

        1. Copy what is missing or damaged, hashing on the way.
        2. Turn on fs-verity, where that can be done.
        3. Make the contents durable, then give them their names, then make these durable.
        """
        incoming = self.path / _INCOMING
        placed: dict[bytes, Path] = {}
        protected = 0
        try:
            make_directories(self.path, mode=0o700)
            shutil.rmtree(incoming, ignore_errors=True)  # what a killed run left
            incoming.mkdir(mode=0o700)
            for source in sources:
                if source.digest in placed or self._good(source.digest):
                    continue
                # 1. Copy.
                temporary = incoming / source.digest.hex()
                self._take(source, temporary)
                # 2. Protect.
                protected += _protect(temporary)
                placed[source.digest] = temporary
            # 3. Name.
            if placed:
                self._sync()
                for digest, temporary in placed.items():
                    target = self.place(digest)
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.rename(temporary, target)
                self._sync()
        except OSError as error:
            raise translate_oserror(error, str(self.path)) from error
        return Stored(new=len(placed), protected=protected)

    def copy(self, digest: bytes, target: int, *, label: str) -> None:
        """Write the contents to ``target``; ContentError (``damaged-content``) if they differ.

        ``label`` is the file that they are for. What was written before the error is worthless.
        """
        source = self._open(digest, label)
        with closing(source):
            found = _copy(source, target, label=str(self.place(digest)))
        if found != Digest(HashAlgorithm.SHA256, digest):
            raise ContentError(
                "damaged-content",
                f"{self.place(digest)}: holds {found}, expected the contents of {label}",
                hint="sign again where the contents are good, or copy this file from there",
            )

    def read(self, digest: bytes, *, label: str, max_size: int) -> bytes:
        """The contents in memory, checked; HostError (``too-large``) beyond ``max_size``."""
        with closing(self._open(digest, label)) as fd:
            if os.fstat(fd).st_size > max_size:
                raise HostError("too-large", f"{label}: more than {max_size} bytes")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(max_size + 1)
        if fsverity.digest_bytes(data).value != digest:
            raise ContentError(
                "damaged-content", f"{self.place(digest)}: not the contents of {label} any more"
            )
        return data

    def _open(self, digest: bytes, label: str) -> int:
        path = self.place(digest)
        try:
            return content.open_regular(path)
        except VerityError as error:
            raise HostError(
                "no-content",
                f"{label}: its contents, {path}, are not in the store or can't be read",
                hint="the store is filled by `verity etc sign` on the host that signs",
            ) from error

    def _good(self, digest: bytes) -> bool:
        try:
            found = content.digest_path(self.place(digest))
        except HostError:
            return False
        return found.value == digest

    def _take(self, source: Source, temporary: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with closing(source.open()) as fd, closing(os.open(temporary, flags, 0o400)) as out:
            found = _copy(fd, out, label=source.label)
        if found.value != source.digest:
            raise ContentError(
                "changed-while-read",
                f"{source.label}: its contents changed while it was signed",
                hint="stop whatever writes to it, or give it the class mutable",
            )

    def _sync(self) -> None:
        with closing(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            kernel.syncfs(fd, label=str(self.path))


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


def _protect(path: Path) -> bool:
    """Turn on fs-verity; False where this file system or kernel has none."""
    with contextlib.suppress(HostError), closing(content.open_regular(path)) as fd:
        kernel.enable(fd, label=str(path))
        return True
    return False
