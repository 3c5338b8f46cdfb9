# SPDX-License-Identifier: Apache-2.0
"""The fs-verity digest of bytes, as Documentation/filesystems/fsverity.rst defines it.

The digest is the hash of a descriptor that holds the root hash of a Merkle tree over the
contents. Pure: takes bytes, knows no files, and does not ask the kernel. Memory stays flat: one
unfinished block per level of the tree.

1. Contents are cut into blocks of ``block_size``, the last one padded with zeros.
2. Every block is hashed after the salt, which is padded with zeros to a block of the hash
   function; no salt, no padding.
3. The hashes of a level, padded to whole blocks, are the contents of the next level, until a
   level is one block: its hash is the root hash.
4. The root hash of empty contents is all zeros, not the hash of anything.
5. The descriptor is hashed without the salt, with its signature size 0.

Not to be confused with a checksum of the file: another block size is another digest.
"""

import hashlib
import struct
from collections.abc import Callable

from verity.values.digest import CANONICAL, Digest, HashAlgorithm, VerityParams

Buffer = bytes | bytearray | memoryview

BlockHashes = Callable[[memoryview], bytes]
"""The inner loop: whole blocks in, their hashes joined out. Replaceable by a faster one."""

# version, hash_algorithm, log_blocksize, salt_size, 0 (sig_size on disk), data_size,
# root_hash[64], salt[32], reserved[144]
_DESCRIPTOR = struct.Struct("<BBBBIQ64s32s144x")
_FORMATTED = struct.Struct("<8sHH")  # struct fsverity_formatted_digest, without the digest
DESCRIPTOR_SIZE = 256
_VERSION = 1
_SLICE = 1 << 20  # bytes handed to the inner loop at once: bounds what it returns

_CONSTRUCTORS = {HashAlgorithm.SHA256: hashlib.sha256, HashAlgorithm.SHA512: hashlib.sha512}


def block_hashes(params: VerityParams) -> BlockHashes:
    """The inner loop with hashlib, that is OpenSSL: one block after another."""
    size = params.block_size
    start = _CONSTRUCTORS[params.algorithm]()
    if params.salt:
        start.update(params.salt.ljust(params.algorithm.block_size, b"\0"))

    def hashes(blocks: memoryview) -> bytes:
        out = []
        for at in range(0, len(blocks), size):
            state = start.copy()  # cheaper than a new one, and holds the salt
            state.update(blocks[at : at + size])
            out.append(state.digest())
        return b"".join(out)

    return hashes


def descriptor(params: VerityParams, *, data_size: int, root_hash: bytes) -> bytes:
    """struct fsverity_descriptor, the 256 bytes whose hash is the digest."""
    return _DESCRIPTOR.pack(
        _VERSION,
        params.algorithm.number,
        params.block_size.bit_length() - 1,
        len(params.salt),
        0,
        data_size,
        root_hash,
        params.salt,
    )


def has_parameters(found: bytes, params: VerityParams) -> bool:
    """Whether a descriptor, as the kernel shows it, is one by these parameters."""
    if len(found) != DESCRIPTOR_SIZE:
        return False
    version, number, log_block, salt_size, _, _, _, salt = _DESCRIPTOR.unpack(found)
    expected = (_VERSION, params.algorithm.number, params.block_size, params.salt)
    return (version, number, 1 << log_block, salt[:salt_size]) == expected


def parameters_of(found: bytes) -> str:
    """What a descriptor, as the kernel shows it, was made with, for people."""
    if len(found) != DESCRIPTOR_SIZE:
        return f"a descriptor of {len(found)} bytes"
    _, number, log_block, salt_size, _, _, _, salt = _DESCRIPTOR.unpack(found)
    names = {algorithm.number: str(algorithm) for algorithm in HashAlgorithm}
    name = names.get(number, f"hash algorithm {number}")
    salted = f"salt {salt[:salt_size].hex()}" if salt_size else "no salt"
    return f"{name}, blocks of {1 << log_block}, {salted}"


def digest_of_root(params: VerityParams, *, data_size: int, root_hash: bytes) -> Digest:
    """The fs-verity digest of contents whose Merkle tree has this root."""
    data = descriptor(params, data_size=data_size, root_hash=root_hash)
    return Digest(params.algorithm, _CONSTRUCTORS[params.algorithm](data).digest())


def formatted_digest(digest: Digest) -> bytes:
    """struct fsverity_formatted_digest: what a built-in signature is over."""
    return (
        _FORMATTED.pack(b"FSVerity", digest.algorithm.number, digest.algorithm.size) + digest.value
    )


def tree_levels(params: VerityParams, data_size: int) -> list[int]:
    """Where each level of a stored Merkle tree starts, the hashes of the contents first.

    The last number is the size of the whole. The root hash is not stored, and the level below it
    comes first in the file, as in the metadata that a kernel gives out.
    """
    sizes = []
    blocks = -(-data_size // params.block_size)
    while blocks > 1:
        blocks = -(-blocks * params.algorithm.size // params.block_size)
        sizes.append(blocks * params.block_size)
    return [sum(sizes[at + 1 :]) for at in range(len(sizes))] + [sum(sizes)]


class _Level:
    """One level of the tree: how many blocks were hashed, and the block being filled."""

    def __init__(self) -> None:
        self.blocks = 0
        self.pending = bytearray()


class Hasher:
    """Takes contents in pieces of any size; gives the digest and its descriptor.

    ``finish`` ends it: more contents afterwards are a mistake (ValueError). ``root_hash`` and
    ``descriptor`` finish it too. ``see`` gets the hashes of each level as they come, those of the
    contents as level 0, the root last.
    """

    def __init__(
        self,
        params: VerityParams = CANONICAL,
        *,
        hashes: BlockHashes | None = None,
        see: Callable[[int, bytes], object] = lambda level, hashes: None,
    ) -> None:
        self.params = params
        self._see = see
        self.data_size = 0
        self._hashes = hashes if hashes is not None else block_hashes(params)
        self._levels = [_Level()]  # 0 is the contents
        self._root: bytes | None = None

    def update(self, data: Buffer) -> None:
        """Take the next piece of the contents."""
        if self._root is not None:
            raise ValueError("update() after finish()")
        view = memoryview(data).cast("B")
        self.data_size += len(view)
        self._feed(0, view)

    @property
    def root_hash(self) -> bytes:
        """The root of the Merkle tree, without padding."""
        if self._root is None:
            self._root = self._close()
        return self._root

    def descriptor(self) -> bytes:
        """struct fsverity_descriptor, the 256 bytes whose hash is the digest."""
        return descriptor(self.params, data_size=self.data_size, root_hash=self.root_hash)

    def finish(self) -> Digest:
        """The fs-verity digest of all that was given."""
        return digest_of_root(self.params, data_size=self.data_size, root_hash=self.root_hash)

    def _feed(self, number: int, view: memoryview) -> None:
        """Add contents to a level; whole blocks go on as hashes to the level above."""
        size = self.params.block_size
        level = self._levels[number]
        if level.pending:
            missing = size - len(level.pending)
            level.pending += view[:missing]
            view = view[missing:]
            if len(level.pending) < size:
                return
            full, level.pending = level.pending, bytearray()
            self._hash(number, memoryview(full))
        whole = len(view) - len(view) % size
        step = max(_SLICE, size)
        for at in range(0, whole, step):
            self._hash(number, view[at : min(at + step, whole)])
        level.pending += view[whole:]

    def _hash(self, number: int, blocks: memoryview) -> None:
        """Hash whole blocks of a level into the level above."""
        self._levels[number].blocks += len(blocks) // self.params.block_size
        if number + 1 == len(self._levels):
            self._levels.append(_Level())
        hashes = self._hashes(blocks)
        self._see(number, hashes)
        self._feed(number + 1, memoryview(hashes))

    def _close(self) -> bytes:
        """Pad and hash the last block of every level, up to the one that is a single block."""
        if self.data_size == 0:
            return bytes(self.params.algorithm.size)
        number = 0
        while True:
            level = self._levels[number]
            if level.pending:
                full, level.pending = level.pending, bytearray()
                self._hash(number, memoryview(full.ljust(self.params.block_size, b"\0")))
            number += 1
            if level.blocks == 1:
                return bytes(self._levels[number].pending)


def digest_bytes(data: Buffer, params: VerityParams = CANONICAL) -> Digest:
    """The fs-verity digest of ``data``."""
    hasher = Hasher(params)
    hasher.update(data)
    return hasher.finish()
