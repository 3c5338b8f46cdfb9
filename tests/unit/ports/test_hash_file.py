# SPDX-License-Identifier: Apache-2.0
"""Hashing a file in C: the same as with hashlib, for every shape of tree, in one pass."""

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest

from verity.formats.fsverity import Hasher, digest_bytes
from verity.ports import content, hashing, kernel
from verity.values.digest import CANONICAL, HashAlgorithm, VerityParams
from verity.values.errors import VerityError

PARAMS = [
    VerityParams(algorithm=algorithm, block_size=size, salt=salt)
    for algorithm in HashAlgorithm
    for size in (512, 1024, 4096, 65536)
    for salt in (b"", b"\x01", bytes(range(32)))
]
# Around blocks, around the pieces that are read at once, and around levels of the tree.
SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8192, 262143, 262144, 262145, 524288, 524289]


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_it_equals_hashlib(tmp_path: Path, params: VerityParams) -> None:
    data = random.Random(7).randbytes(max(SIZES))
    for size in SIZES:
        file = tmp_path / "file"
        file.write_bytes(data[:size])
        with file.open("rb") as opened:
            found = kernel.hash_file(
                opened.fileno(), params, limit=size, prefix=b"prefix", label="file"
            )
        assert found is not None, "libcrypto.so.3 is missing: apt-get install openssl"
        assert found.size == size
        assert found.digest == digest_bytes(data[:size], params)
        assert found.plain == hashlib.sha256(b"prefix" + data[:size]).digest()


def test_the_inner_loop_alone_equals_hashlib_too() -> None:
    data = random.Random(8).randbytes(300_000)
    for params in PARAMS:
        hasher = Hasher(params, hashes=kernel.block_hashes(params))
        hasher.update(data)
        assert hasher.finish() == digest_bytes(data, params)


def test_all_ways_of_digest_fd_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(random.Random(9).randbytes(5_000_001))
    fast = content.digest_path(file)
    monkeypatch.setattr(kernel, "hash_file", lambda *args, **kwargs: None)
    assert content.digest_path(file) == fast
    monkeypatch.setattr(hashing, "digest_fd", lambda *args, **kwargs: None)
    assert content.digest_path(file) == fast


def test_a_large_file_is_left_to_the_way_that_can_be_interrupted() -> None:
    with open("/dev/null", "rb") as empty:
        at, beyond = kernel.MAX_IN_ONE_CALL, kernel.MAX_IN_ONE_CALL + 1
        assert kernel.hash_file(empty.fileno(), CANONICAL, limit=at, label="x") is not None
        assert kernel.hash_file(empty.fileno(), CANONICAL, limit=beyond, label="x") is None


def test_it_stops_behind_the_limit() -> None:
    with open("/dev/zero", "rb") as endless:
        found = kernel.hash_file(endless.fileno(), CANONICAL, limit=1 << 20, label="zero")
    assert found is not None
    assert 1 << 20 < found.size <= (1 << 20) + (1 << 18)


def test_a_read_error_is_named() -> None:
    fd = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(VerityError) as caught:
            kernel.hash_file(fd, CANONICAL, limit=1, label="root")
    finally:
        os.close(fd)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EISDIR


def test_a_file_with_holes(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as out:
        out.truncate(64 << 20)
    assert content.digest_path(file) == digest_bytes(bytes(64 << 20))
