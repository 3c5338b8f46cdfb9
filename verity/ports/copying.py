# SPDX-License-Identifier: Apache-2.0
"""Writing contents piece by piece, and saying the canonical fs-verity digest of what was written.

Where the pieces come from is the caller's; what was written before an error is worthless.
"""

import os
from collections.abc import Iterable

from verity.formats import fsverity
from verity.ports import kernel
from verity.ports.osfile import translate_oserror
from verity.values.digest import CANONICAL, Digest

_PIECE = 1 << 20


def write(pieces: Iterable[bytes | memoryview], target: int, *, label: str) -> Digest:
    """Write all pieces to a descriptor."""
    hasher = fsverity.Hasher(CANONICAL, hashes=kernel.block_hashes())
    try:
        for piece in pieces:
            hasher.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
    except OSError as error:
        raise translate_oserror(error, label) from error
    return hasher.finish()


def digest(pieces: Iterable[bytes | memoryview]) -> Digest:
    """The same without writing."""
    hasher = fsverity.Hasher(CANONICAL, hashes=kernel.block_hashes())
    for piece in pieces:
        hasher.update(piece)
    return hasher.finish()


def pieces(fd: int, *, label: str) -> Iterable[bytes]:
    """What a descriptor gives, to its end."""
    try:
        while piece := os.read(fd, _PIECE):
            yield piece
    except OSError as error:
        raise translate_oserror(error, label) from error
