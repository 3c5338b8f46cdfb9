# SPDX-License-Identifier: Apache-2.0
"""Our digest against the stock `fsverity digest` of fsverity-utils, program against code."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from verity.formats.fsverity import Hasher
from verity.ports.content import digest_path
from verity.values.digest import MAX_BLOCK_SIZE, HashAlgorithm, VerityParams
from verity.values.errors import CallerError

FSVERITY = shutil.which("fsverity")

BLOCK_SIZES = [1 << bits for bits in range(7, 25)]
SALTS = [b"", b"\x00", b"\xff" * 31, bytes(range(32))]
LARGEST = 6 << 20


def stock(params: VerityParams, *files: Path, extra: tuple[str, ...] = ()) -> list[str]:
    """What `fsverity digest` prints, one digest per file."""
    assert FSVERITY is not None
    command = [
        FSVERITY,
        "digest",
        "--compact",
        f"--hash-alg={params.algorithm}",
        f"--block-size={params.block_size}",
        *([f"--salt={params.salt.hex()}"] if params.salt else []),
        *extra,
        *map(str, files),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [f"{params.algorithm}:{line}" for line in done.stdout.split()]


def sizes(params: VerityParams) -> list[int]:
    """0, 1, and one byte around every boundary of block and level up to LARGEST."""
    block = params.block_size
    arity = block // params.algorithm.size
    found = {0, 1, 511, 512, 513}
    for blocks in (1, 2, 3, arity - 1, arity, arity + 1, arity**2, arity**3, arity**4):
        found |= {blocks * block + delta for delta in (-1, 0, 1)}
    return sorted(size for size in found if size <= LARGEST)


@pytest.fixture(scope="module")
def contents() -> bytes:
    return random.Random(2).randbytes(LARGEST)


@pytest.mark.parametrize("algorithm", list(HashAlgorithm))
def test_the_same_block_sizes_are_refused(tmp_path: Path, algorithm: HashAlgorithm) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for size in (0, 1, algorithm.size, 3000, 2 * MAX_BLOCK_SIZE, 1 << 32):
        with pytest.raises(CallerError, match=f"block size {size} is not a power of two"):
            VerityParams(algorithm=algorithm, block_size=size)
        command = ["fsverity", "digest", f"--hash-alg={algorithm}", f"--block-size={size}"]
        assert (
            subprocess.run([*command, str(file)], capture_output=True, check=False).returncode != 0
        ), size
    least = VerityParams(algorithm=algorithm, block_size=2 * algorithm.size)
    assert [str(digest_path(file, least))] == stock(least, file)


@pytest.mark.parametrize("algorithm", list(HashAlgorithm))
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_boundaries(
    tmp_path: Path, contents: bytes, algorithm: HashAlgorithm, block_size: int
) -> None:
    salt = SALTS[block_size.bit_length() % len(SALTS)]
    params = VerityParams(algorithm=algorithm, block_size=block_size, salt=salt)
    files = []
    for size in sizes(params):
        file = tmp_path / f"{size}"
        file.write_bytes(contents[:size])
        files.append(file)
    assert [str(digest_path(file, params)) for file in files] == stock(params, *files)


@pytest.mark.parametrize("algorithm", list(HashAlgorithm))
@pytest.mark.parametrize("salt", SALTS, ids=len)
def test_salts(tmp_path: Path, contents: bytes, algorithm: HashAlgorithm, salt: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(contents[:600_001])
    for block_size in (512, 1024, 4096):
        params = VerityParams(algorithm=algorithm, block_size=block_size, salt=salt)
        assert [str(digest_path(file, params))] == stock(params, file)


def test_generated_cases(tmp_path: Path, contents: bytes) -> None:
    source = random.Random(3)
    for case in range(40):
        params = VerityParams(
            algorithm=source.choice(list(HashAlgorithm)),
            block_size=source.choice(BLOCK_SIZES),
            salt=source.randbytes(source.randrange(33)),
        )
        start = source.randrange(LARGEST)
        file = tmp_path / f"{case}"
        file.write_bytes(contents[start : start + int(2 ** source.uniform(0, 20))])
        assert [str(digest_path(file, params))] == stock(params, file), (params, file)


def test_hole(tmp_path: Path) -> None:
    file = tmp_path / "hole"
    with file.open("wb") as out:
        out.truncate(5_000_000)
        out.write(b"start")
    assert [str(digest_path(file))] == stock(VerityParams(), file)


def test_descriptor(tmp_path: Path, contents: bytes) -> None:
    params = VerityParams(block_size=1024, salt=b"salt")
    file, out = tmp_path / "file", tmp_path / "descriptor"
    file.write_bytes(contents[:50_000])
    stock(params, file, extra=(f"--out-descriptor={out}",))
    hasher = Hasher(params)
    hasher.update(contents[:50_000])
    assert hasher.descriptor() == out.read_bytes()
