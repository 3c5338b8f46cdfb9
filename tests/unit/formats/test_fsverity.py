# SPDX-License-Identifier: Apache-2.0
"""The pure digest: known vectors, and a second, naive implementation to compare with."""

import hashlib
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verity.formats.fsverity import (
    DESCRIPTOR_SIZE,
    Hasher,
    block_hashes,
    descriptor,
    digest_bytes,
    has_parameters,
)
from verity.values.digest import CANONICAL, HashAlgorithm, VerityParams

SHA512 = HashAlgorithm.SHA512

# Printed by `fsverity digest` 1.5.
VECTORS = [
    (b"", CANONICAL, "sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"),
    (
        b"a",
        CANONICAL,
        "sha256:bce75948b9e7510293f8f2720412af9697c1479281323f3f220623fb8e94b557",
    ),
    (
        bytes(4096),
        CANONICAL,
        "sha256:babc284ee4ffe7f449377fbf6692715b43aec7bc39c094a95878904d34bac97e",
    ),
    (
        bytes(4097),
        CANONICAL,
        "sha256:093756e4ea9683329106d4a16982682ed182c14bf076463a9e7f97305cbac743",
    ),
    (
        b"\xff" * (4096 * 128 + 1),
        CANONICAL,
        "sha256:24e99baaff220665f5b60b618ec3167b4c412d709fb426e45d79749036ef154a",
    ),
    (
        b"verity\n",
        VerityParams(salt=b"\x00\x01"),
        "sha256:85e7507cc0ea020fd4d726d840fd4f2cf520f42821d9ed054cc449f661a1b03b",
    ),
    (
        b"x" * 5000,
        VerityParams(algorithm=SHA512),
        "sha512:dba6d725286553d582532e1b0a00b5b76d4ee52b98b1def73eb5b520a5cca50c521786fa6"
        "edff026e967a57b4b671ee855f6ad6160eef6b8f5c92e6e74be7682",
    ),
    (
        b"x" * 100_000,
        VerityParams(block_size=1024, salt=bytes(range(32))),
        "sha256:7d413c18588166a049fd02a8d75ab544fbe8fe479f387478c3729f513870fa36",
    ),
    (
        b"x" * 70_000,
        VerityParams(algorithm=SHA512, block_size=65536, salt=b"s"),
        "sha512:378da97a951274c82a721aa76534d3a746534ff27b1683fe2dc0f118209b0a92a84eb9d33"
        "04441602242672132b198ccf339ea4d228036d0dfac241598b8f904",
    ),
]


def naive(data: bytes, params: VerityParams) -> str:
    """The definition of fsverity.rst, with the whole tree in memory."""
    size = params.block_size
    salt = params.salt
    if salt:
        salt += b"\0" * (params.algorithm.block_size - len(salt))

    def digest(text: bytes) -> bytes:
        return hashlib.new(params.algorithm, text).digest()

    level = data
    while True:
        blocks = [level[at : at + size].ljust(size, b"\0") for at in range(0, len(level), size)]
        hashes = [digest(salt + block) for block in blocks]
        if len(hashes) < 2:
            break
        level = b"".join(hashes)
    root = hashes[0] if hashes else bytes(params.algorithm.size)
    descriptor = struct.pack(
        "<BBBBIQ64s32s144s",
        1,
        params.algorithm.number,
        size.bit_length() - 1,
        len(params.salt),
        0,
        len(data),
        root,
        params.salt,
        b"",
    )
    return f"{params.algorithm}:{digest(descriptor).hex()}"


@pytest.mark.parametrize(("data", "params", "expected"), VECTORS)
def test_known_vectors(data: bytes, params: VerityParams, expected: str) -> None:
    assert str(digest_bytes(data, params)) == expected
    assert naive(data, params) == expected


@pytest.mark.parametrize(
    "params",
    [
        VerityParams(block_size=512),
        VerityParams(block_size=512, algorithm=SHA512, salt=b"\x01" * 32),
        VerityParams(block_size=1024, salt=b"s"),
        CANONICAL,
    ],
    ids=str,
)
def test_around_every_level(params: VerityParams) -> None:
    size = params.block_size
    arity = size // params.algorithm.size
    data = random.Random(1).randbytes(min(size * arity**2, 4 << 20) + size + 1)
    for blocks in (1, 2, arity, arity + 1, arity**2):
        for delta in (-1, 0, 1):
            length = blocks * size + delta
            if length <= len(data):
                part = data[:length]
                assert str(digest_bytes(part, params)) == naive(part, params), length


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=20_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    block=st.sampled_from([512, 1024, 4096]),
    salt=st.binary(max_size=32),
    algorithm=st.sampled_from(list(HashAlgorithm)),
)
def test_pieces_do_not_matter(
    data: bytes, cuts: list[int], block: int, salt: bytes, algorithm: HashAlgorithm
) -> None:
    params = VerityParams(algorithm=algorithm, block_size=block, salt=salt)
    hasher = Hasher(params)
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        hasher.update(memoryview(data)[start:cut])
        start = max(start, min(cut, len(data)))
    assert str(hasher.finish()) == naive(data, params)


def test_descriptor_layout() -> None:
    hasher = Hasher(VerityParams(block_size=1024, salt=b"salt", algorithm=SHA512))
    hasher.update(b"contents")
    text = hasher.descriptor()
    assert len(text) == DESCRIPTOR_SIZE
    assert text[:8] == bytes([1, 2, 10, 4, 0, 0, 0, 0])
    assert text[8:16] == (8).to_bytes(8, "little")
    assert text[16:80] == hasher.root_hash
    assert text[80:112] == b"salt".ljust(32, b"\0")
    assert text[112:] == bytes(144)
    assert hasher.finish().value == hashlib.sha512(text).digest()


def test_finish_is_final_and_repeatable() -> None:
    hasher = Hasher()
    hasher.update(b"x" * 5000)
    first = hasher.finish()
    assert hasher.finish() == first
    with pytest.raises(ValueError, match="after finish"):
        hasher.update(b"more")
    assert hasher.finish() == first


def test_empty_root_is_zero() -> None:
    assert Hasher().root_hash == bytes(32)
    assert Hasher(VerityParams(algorithm=SHA512)).root_hash == bytes(64)


def test_trailing_zeros_and_length_count() -> None:
    assert digest_bytes(b"a") != digest_bytes(b"a\0")


def test_buffers_other_than_bytes() -> None:
    data = bytes(range(256)) * 40
    expected = digest_bytes(data)
    assert digest_bytes(bytearray(data)) == expected
    assert digest_bytes(memoryview(data).cast("I")) == expected


def test_inner_loop_is_replaceable_and_gets_whole_blocks_only() -> None:
    lengths: list[int] = []
    stock = block_hashes(CANONICAL)

    def spy(blocks: memoryview) -> bytes:
        lengths.append(len(blocks))
        return stock(blocks)

    data = bytes(5 << 20)
    hasher = Hasher(hashes=spy)
    hasher.update(data)
    assert hasher.finish() == digest_bytes(data)
    assert all(length and length % 4096 == 0 for length in lengths)
    assert max(lengths) <= 1 << 20


@pytest.mark.parametrize(
    "other",
    [
        VerityParams(algorithm=SHA512),
        VerityParams(block_size=1024),
        VerityParams(salt=b"\0"),
        VerityParams(salt=b"salt"),
    ],
)
def test_a_descriptor_tells_its_parameters(other: VerityParams) -> None:
    plain = descriptor(CANONICAL, data_size=7, root_hash=bytes(32))
    found = descriptor(other, data_size=7, root_hash=bytes(32))
    assert has_parameters(plain, CANONICAL) and has_parameters(found, other)
    assert not has_parameters(plain, other)
    assert not has_parameters(found, CANONICAL)
    assert not has_parameters(plain[:-1], CANONICAL)
    assert not has_parameters(b"\2" + plain[1:], CANONICAL)
