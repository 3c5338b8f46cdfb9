# SPDX-License-Identifier: Apache-2.0
"""What belongs to the digest of one file, written into files: tree, descriptor, signature.

The same as `fsverity digest` and `fsverity sign` write. Nothing is overwritten, and after a failure
none of them has come into being by this, unless the disk failed between two.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verity.formats.fsverity import Hasher, formatted_digest, tree_levels
from verity.ports import content, kernel
from verity.ports.keystore import SigningKey
from verity.ports.osfile import closing, new_file
from verity.values.digest import Digest, VerityParams


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Which files to write. A signature wants the ``key`` that makes it."""

    tree: Path | None = None
    descriptor: Path | None = None
    signature: Path | None = None
    key: SigningKey | None = None


def write(path: str, params: VerityParams, outputs: Outputs) -> Digest:
    """Read the file at ``path`` once, write what is asked for, and give the digest."""
    with contextlib.ExitStack() as stack:
        fd = stack.enter_context(closing(content.open_regular(path)))
        before = content.status(fd, path)

        def opened(target: Path | None) -> int | None:
            return None if target is None else stack.enter_context(new_file(target, mode=0o644))

        tree, descriptor = opened(outputs.tree), opened(outputs.descriptor)
        signature = opened(outputs.signature)
        hasher = Hasher(
            params,
            hashes=kernel.block_hashes(params),
            see=_tree_writer(tree, params, before.st_size),
        )
        content.feed(hasher, fd, limit=before.st_size, label=path)
        digest = hasher.finish()
        content.check_unchanged(before, content.status(fd, path), hasher.data_size, path)
        if descriptor is not None:
            _write_at(descriptor, hasher.descriptor(), 0)
        if signature is not None and outputs.key is not None:
            _write_at(signature, outputs.key.sign_blob(formatted_digest(digest)), 0)
    return digest


def _tree_writer(fd: int | None, params: VerityParams, size: int) -> Callable[[int, bytes], None]:
    """What takes the hashes of each level to their place in the file."""
    *places, whole = tree_levels(params, size)
    if fd is not None:
        os.ftruncate(fd, whole)  # the padding of each level are zeros

    def see(level: int, hashes: bytes) -> None:
        if fd is not None and level < len(places):
            _write_at(fd, hashes, places[level])
            places[level] += len(hashes)

    return see


def _write_at(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count
