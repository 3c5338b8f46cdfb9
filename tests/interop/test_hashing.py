# SPDX-License-Identifier: Apache-2.0
"""Every hash path against hashlib, in every shape that C treats differently."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verity.formats.fsverity import digest_bytes, tree_levels
from verity.ports import hashing
from verity.values.digest import CANONICAL, Digest, HashAlgorithm, VerityParams
from verity.values.errors import VerityError

PIECE = 1 << 20
LARGE = 8 << 20
PARAMS = [
    VerityParams(algorithm=algorithm, block_size=size, salt=salt)
    for algorithm in HashAlgorithm
    for size in (2 * algorithm.size, 512, 4096, 32768, 65536, 1 << 20)
    for salt in (b"", b"\x01", bytes(range(32)))
]


@pytest.fixture(params=hashing.paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each hash path of this host; the first test says which have to be there."""
    name = str(request.param)
    with hashing.using(name):
        yield name


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(11).randbytes(LARGE + 70_000)


def sizes(params: VerityParams) -> list[int]:
    """Empty, around a block, and around what is gathered, read at once, and shared by threads."""
    block = params.block_size
    found = [0, 1, block - 1, block, block + 1, 7 * block, 262_144, 262_145, PIECE - 1, PIECE + 1]
    if block >= 4096:  # with tiny blocks hashlib alone would take seconds
        found += [LARGE - 1, LARGE, LARGE + 1]
    return [size for size in found if size <= LARGE + 1]


def of_files(files: list[Path], params: VerityParams, jobs: int = 2) -> list[Digest | None]:
    names = b"".join(os.fsencode(file) + b"\0" for file in files)
    running = hashing.Files(names, len(files), params, jobs=jobs)
    running.wait()
    size = params.algorithm.size
    return [
        Digest(params.algorithm, bytes(running.digests[at * size : (at + 1) * size]))
        if done
        else None
        for at, done in enumerate(running.done)
    ]


def test_the_lanes_are_tested_where_they_are_installed() -> None:
    """A build without libipsec-mb's header would leave most of this out, and nobody would see."""
    found = subprocess.run(
        ["dpkg-query", "-W", "libipsec-mb-dev"], capture_output=True, check=False
    )
    if found.returncode == 0 and os.uname().machine == "x86_64":
        assert {"sse", "openssl"} <= set(hashing.paths())
    assert "openssl" in hashing.paths()
    assert hashing.chosen() == hashing.paths()[0] or hashing.paths()[0] == "sse"


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.usefixtures("path")
def test_it_equals_hashlib(tmp_path: Path, data: bytes, params: VerityParams) -> None:
    files = []
    for size in sizes(params):
        files.append(tmp_path / f"{size}")
        files[-1].write_bytes(data[:size])
    expected = [digest_bytes(data[:size], params) for size in sizes(params)]
    assert of_files(files, params) == expected
    for file, digest in zip(files, expected, strict=True):
        with file.open("rb") as opened:
            opened.seek(3)
            size = file.stat().st_size
            found = hashing.digest_fd(opened.fileno(), params, size=size, jobs=3, label="file")
            assert opened.tell() == 3
        assert found == hashing.Read(size=size, digest=digest), size


@pytest.mark.usefixtures("path")
def test_many_small_files_fill_and_overflow_what_is_gathered(tmp_path: Path, data: bytes) -> None:
    source = random.Random(12)
    files, expected = [], []
    for number in range(700):
        size = int(2 ** source.uniform(0, 15)) if number % 7 else 0
        start = source.randrange(PIECE)
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(data[start : start + size])
        expected.append(digest_bytes(data[start : start + size]))
    assert of_files(files, CANONICAL, jobs=3) == expected


@pytest.mark.parametrize(
    "extents",
    [
        [],
        [(0, 10)],
        [(3 * PIECE + 5, 4096), (9 * PIECE, 1)],
        [(12 * PIECE - 3, 3)],
        [(PIECE - 1, 2), (2 * PIECE, 4096), (40 * PIECE, 5000)],
    ],
    ids=str,
)
@pytest.mark.parametrize("tail", [0, 1, 4095, 5 * PIECE + 17])
def test_holes(tmp_path: Path, extents: list[tuple[int, int]], tail: int) -> None:
    whole = bytearray(max([at + size for at, size in extents], default=2 * PIECE) + tail)
    file = tmp_path / "file"
    with file.open("wb") as out:
        out.truncate(len(whole))
        for at, size in extents:
            whole[at : at + size] = b"x" * size
            out.seek(at)
            out.write(b"x" * size)
    for params in (CANONICAL, VerityParams(algorithm=HashAlgorithm.SHA512, block_size=65536)):
        with file.open("rb") as opened:
            found = hashing.digest_fd(
                opened.fileno(), params, size=len(whole), jobs=2, label="file"
            )
        assert found is not None
        assert found.digest == digest_bytes(whole, params)


def test_a_file_shorter_than_its_size_is_no_digest(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3 * PIECE))
    with file.open("rb") as opened:
        found = hashing.digest_fd(opened.fileno(), size=5 * PIECE, jobs=2, label="file")
    assert found is not None
    assert found.size != 5 * PIECE


def test_what_cannot_be_hashed_is_left_for_a_closer_look(tmp_path: Path) -> None:
    good, large = tmp_path / "good", tmp_path / "large"
    good.write_bytes(b"good")
    large.write_bytes(bytes(LARGE))
    (tmp_path / "link").symlink_to("good")
    os.mkfifo(tmp_path / "fifo")
    files = [tmp_path, good, tmp_path / "link", large, tmp_path / "fifo", tmp_path / "none", good]
    files += [Path("/proc/version")]  # a regular file whose size is a lie
    expected = [None, digest_bytes(b"good"), None, digest_bytes(bytes(LARGE)), None, None]
    assert of_files(files, CANONICAL) == [*expected, digest_bytes(b"good"), None]
    before = len(os.listdir("/proc/self/fd"))
    of_files(files, CANONICAL)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("size", [100_000, PIECE + 1, 8 * LARGE])
def test_a_file_that_is_changed_meanwhile(tmp_path: Path, size: int) -> None:
    """Never a digest of neither state; and what takes longer than a clock tick is noticed."""
    file = tmp_path / "file"
    file.write_bytes(bytes(size))
    zeros = bytes(size - 1)
    states = [zeros + b"\0", zeros[4096:]]
    steps: list[tuple[int, bytes]] = []
    if size >= LARGE:  # never a zero first and an x last, but a reader in between can see that
        states = [zeros + b"\0", b"x" + zeros, b"x" + zeros[1:] + b"x"]
        steps = [(0, b"x"), (size - 1, b"x"), (size - 1, b"\0"), (0, b"\0")]
    allowed = {None, *map(digest_bytes, states)}
    ended = threading.Event()

    def write() -> None:
        with file.open("r+b", buffering=0) as out:
            while not ended.is_set():
                for at, byte in steps:
                    os.pwrite(out.fileno(), byte, at)
                if not steps:
                    out.truncate(size - 4097)
                    out.truncate(size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        rounds = 10 if size >= LARGE else 100
        found = {digest for _ in range(rounds) for digest in of_files([file], CANONICAL)}
    finally:
        ended.set()
        writer.join()
    assert found <= allowed
    assert None in found or size < LARGE


def test_an_unreadable_descriptor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    fd = os.open(file, os.O_WRONLY)
    try:
        with pytest.raises(VerityError) as caught:
            hashing.digest_fd(fd, size=1, jobs=1, label="file")
    finally:
        os.close(fd)
    assert caught.value.code == "bad-descriptor"


@pytest.mark.parametrize("count", [1, 3])
def test_a_large_file_is_shared_by_all_threads(tmp_path: Path, count: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(256 << 20))
    before, seen, given_up = len(os.listdir("/proc/self/task")), 0, time.monotonic() + 60
    running = hashing.Files(os.fsencode(file) + b"\0", 1, CANONICAL, jobs=count)
    while running.done[0] != 1 and time.monotonic() < given_up:
        seen = max(seen, len(os.listdir("/proc/self/task")))
    running.wait()
    assert seen - before == count


def test_names_have_to_be_counted_right() -> None:
    for names, count in ((b"a", 1), (b"a\0", 2), (b"a\0b", 1)):
        with pytest.raises(ValueError, match="names with a NUL"):
            hashing.Files(names, count, CANONICAL, jobs=1)
    empty = hashing.Files(b"", 0, CANONICAL, jobs=2)
    empty.wait()
    assert empty.done == b""


def test_an_unknown_path_is_refused_and_the_choice_comes_back() -> None:
    before = hashing.chosen()
    with pytest.raises(ValueError, match="no hash path crc32"), hashing.using("crc32"):
        raise AssertionError
    with hashing.using("openssl"):
        assert hashing.chosen() == "openssl"
    assert hashing.chosen() == before


def test_it_stops_when_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as out:
        for at in range(0, 1 << 42, 1 << 32):  # data in every piece that a thread could skip to
            out.seek(at)
            out.write(b"x")
    names = b"".join(os.fsencode(file) + b"\0" for _ in range(50_000))
    running = hashing.Files(names, 50_000, CANONICAL, jobs=2)
    running.stop()
    with pytest.raises(VerityError):
        running.wait()
    assert not all(running.done)


MEMORY = """
import sys
from verity.ports import content, hashing
with open(sys.argv[1], "rb") as file:
    content.digest_fd(file.fileno(), label="file", jobs=2)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_is_flat(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as out:
        out.truncate(1 << 40)
        for at in range(0, 1 << 40, 1 << 34):
            out.seek(at)
            out.write(os.urandom(1 << 20))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(file)], capture_output=True, check=True, text=True
    )
    assert int(done.stdout) * 1024 < 64 << 20


def test_tree_levels_are_where_the_kernel_has_them() -> None:
    assert tree_levels(CANONICAL, 0) == [0]
    assert tree_levels(CANONICAL, 4096) == [0]
    assert tree_levels(CANONICAL, 4097) == [0, 4096]
    assert tree_levels(CANONICAL, 129 * 4096) == [4096, 0, 3 * 4096]
