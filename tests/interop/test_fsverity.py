# SPDX-License-Identifier: Apache-2.0
"""Our digest against the stock `fsverity digest` of fsverity-utils, program against code."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture
def verity() -> Path:
    return Path(sys.executable).with_name("verity")


def generated(tmp_path: Path, contents: bytes, seed: int) -> None:
    """Fifty files of any size, name and holes by one set of parameters, program against program."""
    source = random.Random(seed)
    algorithm = source.choice(list(HashAlgorithm))
    params = VerityParams(
        algorithm=algorithm,
        block_size=source.choice([size for size in BLOCK_SIZES if size <= 1 << 17]),
        salt=source.randbytes(source.choice([0, 0, source.randrange(33)])),
    )
    files = []
    for number in range(50):
        start, size = source.randrange(LARGEST), int(2 ** source.uniform(0, 21))
        if source.random() < 0.3:
            boundary = params.block_size * (
                params.block_size // algorithm.size
            ) ** source.randrange(2)
            size = max(0, boundary * source.randrange(1, 4) + source.randrange(-1, 2)) % (1 << 21)
        file = tmp_path / f"{seed}-{number}"
        with file.open("wb") as out:
            out.write(contents[start : start + size])
            if source.random() < 0.2:
                out.seek(source.randrange(1 << 22))
                out.write(b"x" * source.randrange(5000))
                out.truncate(max(out.tell(), source.randrange(1 << 22)))
        files.append(file)
    names = tmp_path / f"{seed}.list"
    names.write_bytes(b"".join(os.fsencode(file) + b"\0" for file in files))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("verity"),
            *("digest", f"--hash-alg={algorithm}", f"--block-size={params.block_size}"),
            *(f"--salt={params.salt.hex()}", f"--jobs={source.randrange(1, 4)}"),
            *("--files0-from", names),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    ours = [line.split(" ")[0] for line in done.stdout.splitlines()]
    assert ours == stock(params, *files), params
    for file in files:
        file.unlink()


@pytest.mark.parametrize("seed", range(8))
def test_generated_cases(tmp_path: Path, contents: bytes, seed: int) -> None:
    generated(tmp_path, contents, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 220))
def test_thousands_of_generated_cases(tmp_path: Path, contents: bytes, seed: int) -> None:
    generated(tmp_path, contents, seed)


@pytest.mark.full
def test_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as out:
        for at in (0, (1 << 32) - 2, (1 << 32) + (5 << 20)):
            out.seek(at)
            out.write(b"some" * 70_000)
        out.truncate((5 << 30) + 1)
    for params in (VerityParams(), VerityParams(algorithm=HashAlgorithm.SHA512, block_size=1024)):
        assert [str(digest_path(file, params, jobs=2))] == stock(params, file)


PRINTED = [
    [],
    ["--compact"],
    ["--for-builtin-sig"],
    ["--for-builtin-sig", "--compact"],
    ["--for-builtin-sig", "--hash-alg=sha512", "--salt=00ff"],
]


@pytest.mark.parametrize("options", PRINTED, ids=" ".join)
def test_what_is_printed(tmp_path: Path, contents: bytes, verity: Path, options: list[str]) -> None:
    for name, size in (("one", 5000), ("two", 0)):
        (tmp_path / name).write_bytes(contents[:size])
    command = ["digest", *options, "one", "two"]
    theirs = subprocess.run(["fsverity", *command], cwd=tmp_path, check=True, capture_output=True)
    ours = subprocess.run([verity, *command], cwd=tmp_path, check=True, capture_output=True)
    assert ours.stdout == theirs.stdout


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 3_000_001])
@pytest.mark.parametrize("options", [[], ["--hash-alg=sha512", "--block-size=1024", "--salt=ab"]])
def test_tree_and_descriptor(
    tmp_path: Path, contents: bytes, verity: Path, size: int, options: list[str]
) -> None:
    (tmp_path / "file").write_bytes(contents[:size])
    for program, tag in ((verity, "ours"), ("fsverity", "theirs")):
        outputs = [f"--out-merkle-tree={tag}.tree", f"--out-descriptor={tag}.descriptor"]
        command = [program, "digest", *options, *outputs, "file"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for kind in ("tree", "descriptor"):
        ours, theirs = (tmp_path / f"{tag}.{kind}" for tag in ("ours", "theirs"))
        assert ours.read_bytes() == theirs.read_bytes(), kind


def test_a_signature_that_openssl_verifies(tmp_path: Path, contents: bytes, verity: Path) -> None:
    """Over the same bytes as `fsverity sign`; that a kernel takes it is shown in tests/vm."""
    (tmp_path / "file").write_bytes(contents[:50_000])

    def run(*argv: str | Path) -> bytes:
        return subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True).stdout

    run(verity, "key", "generate", "key")
    run(verity, "key", "show", "--out-certificate=key.der", "key.pub")
    run(verity, "digest", "--key=key", "--out-signature=file.sig", "file")
    printed = run("fsverity", "digest", "--compact", "--for-builtin-sig", "file")
    (tmp_path / "signed").write_bytes(bytes.fromhex(printed.decode()))
    check = ["openssl", "smime", "-verify", "-binary", "-inform=DER", "-in=file.sig", "-noverify"]
    check = [part for option in check for part in option.split("=")]
    run("openssl", "x509", "-inform", "DER", "-in", "key.der", "-out", "key.crt")
    run(*check, "-content", "signed", "-certfile", "key.crt", "-nointern")
    (tmp_path / "signed").write_bytes(bytes.fromhex(printed.decode())[:-1] + b"\0")
    with pytest.raises(subprocess.CalledProcessError):
        run(*check, "-content", "signed", "-certfile", "key.crt", "-nointern")


def test_hole(tmp_path: Path) -> None:
    file = tmp_path / "hole"
    with file.open("wb") as out:
        out.truncate(5_000_000)
        out.write(b"start")
    assert [str(digest_path(file))] == stock(VerityParams(), file)
