# SPDX-License-Identifier: Apache-2.0
"""An OSTree repository made byte by byte: no ostree, no root, and as wrong as a test wants it."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from verity.formats.commit import Commit, DirTree, Metadata, checksum_of
from verity.formats.ostree_file import ContentHasher, DirMeta, FileHeader
from verity.values.errors import VerityError

LINK = FileHeader(uid=0, gid=0, mode=0o120777, target=b"f")


class World:
    """An archive repository with a commit of a few paths, in the reach of a test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("objects", "refs/heads", "refs/remotes/r", "refs/mirrors", "tmp"):
            (path / folder).mkdir(parents=True)
        (path / "config").write_text("[core]\nrepo_version=1\nmode=archive-z2\n")
        self.meta = self.put("dirmeta", DirMeta(uid=0, gid=0, mode=0o40755).encode())
        self.file = self.put_file(b"contents " * 99)
        self.link = self.put_file(b"", LINK)
        self.leaf = self.put("dirtree", DirTree(files=((b"f", self.file),)).encode())
        self.commit = self.commit_of(
            DirTree(
                files=((b"a-b", self.file), (b"l", self.link)),
                dirs=((b"a", self.leaf, self.meta), (b"\xc3\xa9", self.leaf, self.meta)),
            )
        )
        (path / "refs/heads/main").write_text(self.commit + "\n")

    def object(self, checksum: str, kind: str) -> Path:
        return self.path / "objects" / checksum[:2] / f"{checksum[2:]}.{kind}"

    def put(self, kind: str, data: bytes, name: str | None = None) -> str:
        name = name or checksum_of(data)
        self.object(name, kind).parent.mkdir(exist_ok=True)
        self.object(name, kind).write_bytes(data)
        return name

    def put_file(
        self, contents: bytes, header: FileHeader | None = None, *, name: str | None = None,
        size: int | None = None, body: bytes | None = None,
    ) -> str:  # fmt: skip
        """A .filez; ``size`` and ``body`` let it lie."""
        header = header or FileHeader(uid=0, gid=0, mode=0o100644)
        hasher = ContentHasher(header)
        hasher.update(contents)
        front = header.encode_filez(len(contents) if size is None else size)
        if body is None:
            body = b"" if header.is_symlink else deflated(contents)
        frame = len(front).to_bytes(4, "big") + bytes(4)
        return self.put("filez", frame + front + body, name or hasher.checksum())

    def commit_of(self, tree: DirTree) -> str:
        commit = Commit(
            metadata=Metadata(),
            parent=None,
            subject="",
            body="",
            timestamp=0,
            root_dirtree=self.put("dirtree", tree.encode()),
            root_dirmeta=self.meta,
        )
        return self.put("commit", commit.encode())


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def refused(kind: type[VerityError], code: str, call: Callable[[], object]) -> VerityError:
    """The error of a call, of this family and code, on one line."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value
