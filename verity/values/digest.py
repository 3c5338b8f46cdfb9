# SPDX-License-Identifier: Apache-2.0
"""Digests and the parameters of an fs-verity digest.

A digest is always an algorithm and bytes, and both are compared: the same 32 bytes under
another algorithm are another digest. It is printed ``sha256:<hex>`` as fsverity-utils does.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from verity.values.errors import CallerError, ContentError

MAX_SALT = 32  # FS_VERITY_MAX_SALT_SIZE, include/uapi/linux/fsverity.h
MAX_BLOCK_SIZE = 1 << 30  # what fsverity-utils takes; a kernel takes 1024 up to its page size

_TEXT = re.compile(r"(sha256|sha512):((?:[0-9a-f]{2})+)")


class HashAlgorithm(StrEnum):
    """The hash algorithms of fs-verity, by the names that fsverity-utils prints."""

    SHA256 = "sha256"
    SHA512 = "sha512"

    @property
    def number(self) -> int:
        """FS_VERITY_HASH_ALG_* of include/uapi/linux/fsverity.h."""
        return 1 if self is HashAlgorithm.SHA256 else 2

    @property
    def size(self) -> int:
        """Bytes in a digest."""
        return 32 if self is HashAlgorithm.SHA256 else 64

    @property
    def block_size(self) -> int:
        """Bytes in a block of the hash function itself: salts are padded to it."""
        return 64 if self is HashAlgorithm.SHA256 else 128


@dataclass(frozen=True, order=True)
class Digest:
    """An algorithm and its output. Not to be confused with a bare checksum in hex."""

    algorithm: HashAlgorithm
    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != self.algorithm.size:
            raise ContentError(
                "bad-digest",
                f"a {self.algorithm} digest has {self.algorithm.size} bytes, not {len(self.value)}",
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read ``sha256:<64 hex>`` or ``sha512:<128 hex>``, lower case only."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ContentError(
                "bad-digest",
                f"not a digest: {text[:80]!r}, expected sha256:<64 lower-case hex digits>",
            )
        return cls(HashAlgorithm(match[1]), bytes.fromhex(match[2]))


@dataclass(frozen=True, kw_only=True)
class VerityParams:
    """What an fs-verity digest depends on besides the contents (fsverity.rst, "Merkle tree")."""

    algorithm: HashAlgorithm = HashAlgorithm.SHA256
    block_size: int = 4096
    salt: bytes = b""

    def __post_init__(self) -> None:
        size = self.block_size
        least = 2 * self.algorithm.size  # with one hash in a block the tree has no end
        if not least <= size <= MAX_BLOCK_SIZE or size & (size - 1):
            raise CallerError(
                "bad-block-size",
                f"block size {size} is not a power of two between {least} and {MAX_BLOCK_SIZE}",
                hint="the canonical digest has blocks of 4096",
            )
        if len(self.salt) > MAX_SALT:
            raise CallerError(
                "bad-salt",
                f"the salt has {len(self.salt)} bytes, at most {MAX_SALT} are allowed",
                hint=f"a salt is up to {2 * MAX_SALT} hex digits",
            )


CANONICAL = VerityParams()
"""SHA-256, 4096-byte blocks, no salt: the only tuple that manifests use."""
