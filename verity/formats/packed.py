# SPDX-License-Identifier: Apache-2.0
"""A manifest as it is stored and carried: its size, then a zlib stream.

The size is stated first and is a bound: not a byte more is inflated. What is signed are the
inflated bytes; the stream may be another one where another zlib wrote it.
"""

import zlib

from verity.formats import dump
from verity.values.errors import ContentError

_SIZE = 8
_LEVEL = 6


def pack(manifest: bytes) -> bytes:
    """The stored form (docs/formats.md section 8)."""
    return len(manifest).to_bytes(_SIZE, "little") + zlib.compress(manifest, _LEVEL)


def unpack(packed: bytes) -> bytes:
    """The inverse; ContentError (``bad-manifest``) for a stream that isn't exactly that long."""
    size = int.from_bytes(packed[:_SIZE], "little")
    if len(packed) < _SIZE or size > dump.MAX_SIZE:
        raise ContentError(
            "bad-manifest", f"manifest: {size} bytes stated, at most {dump.MAX_SIZE} are allowed"
        )
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed[_SIZE:], size + 1)
    except zlib.error as error:
        raise ContentError("bad-manifest", "manifest: its zlib stream is damaged") from error
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise ContentError(
            "bad-manifest", f"manifest: {size} bytes stated, the zlib stream holds another number"
        )
    return data
