# SPDX-License-Identifier: Apache-2.0
"""Runs in a test machine: probe.py DIRECTORY BLOCK_SIZE makes files in a directory and calls the
binding on them; prints a JSON object of what each case gave: an error's code or a value."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from verity.ports import content, kernel
from verity.values.digest import HashAlgorithm, VerityParams
from verity.values.errors import VerityError

USER = 1000
LARGE = 24 << 20
_MAX_SIGNATURE = 16128


def said(call: Callable[[], object]) -> Any:
    """What a call gave, or the code of its error."""
    try:
        return call()
    except VerityError as error:
        return error.code


class Probe:
    """The cases, on one file system."""

    def __init__(self, where: Path, block_size: int) -> None:
        self.where = where
        self.params = VerityParams(block_size=block_size)
        self.found: dict[str, Any] = {}
        self._count = 0

    def file(self, data: bytes = b"x" * 10_000) -> Path:
        """A new file, synced."""
        self._count += 1
        path = self.where / f"file{self._count}"
        path.write_bytes(data)
        os.sync()
        return path

    def enable(
        self,
        path: Path,
        params: VerityParams | None = None,
        signature: bytes = b"",
        flags: int = os.O_RDONLY,
    ) -> Any:
        """The code of the error, or None."""
        fd = os.open(path, flags)
        try:
            return said(lambda: kernel.enable(fd, params or self.params, signature, label="f"))
        finally:
            os.close(fd)

    def run(self) -> dict[str, Any]:
        """All cases."""
        self.plain()
        self.refused_descriptors()
        self.refused_parameters()
        self.refused_rights()
        self.in_progress()
        return self.found

    def plain(self) -> None:
        """Before and after, with several parameters; what the kernel shows of it."""
        path = self.file(os.urandom(3_000_001))
        fd = os.open(path, os.O_RDONLY)
        self.found["measured before"] = kernel.measure(fd, label="f")
        self.found["bit before"] = kernel.has_verity(fd, label="f")
        self.found["metadata before"] = [self.metadata(fd, kind) for kind in kernel.Metadata]
        os.close(fd)
        self.found["cached before"] = self.cached(path) > 0
        self.found["enabled"] = self.enable(path)
        self.found["enabled twice"] = self.enable(path)
        os.sync()
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        self.found["cached after"] = self.cached(path)
        fd = os.open(path, os.O_RDONLY)
        digest = kernel.measure(fd, label="f")
        assert digest is not None
        computed = content.digest_fd(fd, self.params, label="f")
        self.found["as computed"] = digest == computed
        self.found["bit after"] = kernel.has_verity(fd, label="f")
        self.found["flag after"] = bool(kernel.inode_flags(fd, label="f") & kernel.VERITY_FL)
        tree = self.metadata(fd, kernel.Metadata.MERKLE_TREE)
        described = self.metadata(fd, kernel.Metadata.DESCRIPTOR)
        self.found["signature"] = self.metadata(fd, kernel.Metadata.SIGNATURE)
        self.found["tree"] = tree if isinstance(tree, str) else self.is_tree(tree, path)
        self.found["descriptor"] = (
            described
            if isinstance(described, str)
            else hashlib.sha256(described).digest() == digest.value
        )
        os.close(fd)
        self.found["others as computed"] = [
            self.computed(VerityParams(block_size=self.params.block_size, salt=b"salt")),
            self.computed(
                VerityParams(algorithm=HashAlgorithm.SHA512, block_size=1024, salt=bytes(32))
            ),
        ]
        self.found["empty"] = self.enable(self.file(b""))

    def is_tree(self, tree: bytes, path: Path) -> bool:
        """Whether the last blocks of the tree are the hashes of the file's blocks."""
        size = self.params.block_size
        data = path.read_bytes()
        leaves = b"".join(
            hashlib.sha256(data[at : at + size].ljust(size, b"\0")).digest()
            for at in range(0, len(data), size)
        )
        padded = leaves.ljust(-(-len(leaves) // size) * size, b"\0")
        return len(tree) > len(padded) and tree.endswith(padded)

    def metadata(self, fd: int, kind: kernel.Metadata) -> Any:
        """All of it, or the code of the error."""
        return said(lambda: kernel.read_metadata(fd, kind, label="f"))

    def computed(self, params: VerityParams) -> Any:
        """Whether the kernel's digest with these parameters is the computed one, or the error."""
        path = self.file(os.urandom(70_000))
        expected = content.digest_path(path, params)
        error = self.enable(path, params)
        if error is not None:
            return error
        fd = os.open(path, os.O_RDONLY)
        try:
            return kernel.measure(fd, label="f") == expected
        finally:
            os.close(fd)

    def cached(self, path: Path) -> int:
        """Pages that are cached."""
        fd = os.open(path, os.O_RDONLY)
        try:
            return kernel.cached_pages(fd, label="f")
        finally:
            os.close(fd)

    def refused_descriptors(self) -> None:
        """What kind of descriptor, and who else has one."""
        self.found["read-write"] = self.enable(self.file(), flags=os.O_RDWR)
        self.found["write-only"] = self.enable(self.file(), flags=os.O_WRONLY)
        busy = self.file()
        with busy.open("ab"):
            self.found["a writer"] = self.enable(busy)
        (self.where / "directory").mkdir()
        self.found["directory"] = self.enable(self.where / "directory")
        device = self.where / "null"
        os.mknod(device, 0o20666, os.makedev(1, 3))
        self.found["device"] = self.enable(device)

    def refused_parameters(self) -> None:
        """Block sizes and signatures that the kernel does not take."""
        for size in (512, 8192, 65536):
            self.found[f"block size {size}"] = self.enable(
                self.file(), VerityParams(block_size=size)
            )
        if self.params.block_size != 4096:
            self.found["canonical"] = self.enable(self.file(), VerityParams())
        self.found["long signature"] = self.enable(self.file(), signature=bytes(_MAX_SIGNATURE + 1))
        self.found["unknown key"] = self.enable(self.file(), signature=bytes(_MAX_SIGNATURE))

    def refused_rights(self) -> None:
        """Who asks, and what the inode says."""
        others = self.file()
        os.seteuid(USER)
        self.found["no write permission"] = self.enable(others)
        os.seteuid(0)
        append_only = self.file()
        subprocess.run(["chattr", "+a", append_only], check=True)
        self.found["append-only"] = self.enable(append_only)
        subprocess.run(["chattr", "-a", append_only], check=True)

    def in_progress(self) -> None:
        """Enabled by two at once: one does it, and the other is told that it is being done."""
        path = self.file(os.urandom(1 << 20) * (LARGE >> 20))
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(self.enable(path)))
        answers = set()
        thread.start()
        while thread.is_alive():
            answers.add(self.enable(path))
        answers.add(first[0])
        self.found["two at once"] = {None, "enable-in-progress"} <= answers


json.dump(Probe(Path(sys.argv[1]), int(sys.argv[2])).run(), sys.stdout)
