# SPDX-License-Identifier: Apache-2.0
"""The digest against stock fsverity, by each hash path that this processor has.

All of a row's programs take turns in one run, on a warm cache, and the medians count. The last two
columns are processor time, which says more where others use the machine, too. `python -m
tests.bench.digest` prints this part alone; with names of hash paths behind it, those only.
The last lines say what no program could pass on this machine: the hash alone, of what is in the
cache already, and the system calls that any program makes for a small file.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from verity.ports import hashing, kernel
from verity.values.digest import CANONICAL

# The program as it is installed, but for the hash path.
_OURS = """
import sys
from verity.cli.main import main
from verity.ports import hashing
with hashing.using(sys.argv.pop(1)):
    main()
"""
_TARGETS = {  # of time, by hash path
    "one file of 1 GiB": {"avx512": 1 / 6, "avx2": 1 / 3.5, "sse": 1 / 3.5, "openssl": 1 / 2},
    "/usr": {"avx512": 0.35, "avx2": 0.5, "sse": 0.5, "openssl": 0.8},
    "100,000 files of 1 KiB": dict.fromkeys(("avx512", "avx2", "sse", "openssl"), 0.5),
}
_SMALL_FILES = 100_000


def main(only: Sequence[str] = ()) -> None:
    """Print the digest's part of the table."""
    paths = [path for path in hashing.paths() if not only or path in only]
    print(f"hash path taken by itself: {hashing.chosen()}")
    print(
        f"{'digest of':24} {'path':8} {'verity':>9} {'fsverity':>10} {'ratio':>7} {'target':>8}"
        f" {'processor time':>19}"
    )
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        top = Path(name)
        large, small, usr = _large(top), _small(top), _listed("/usr", top / "usr")
        peer = ["fsverity", "digest", str(large)]
        _rows("one file of 1 GiB", paths, [str(large)], peer, runs=5)
        for what, names, runs in (("/usr", usr, 3), ("100,000 files of 1 KiB", small, 5)):
            peer = ["xargs", "-0", "-P2", "-a", str(names), "fsverity", "digest"]
            _rows(what, paths, ["--files0-from", str(names)], peer, runs=runs)
        _sparse(top / "sparse")
        for path in paths:
            _limit(path)
        _system_calls(small)


def _rows(
    what: str, paths: Sequence[str], arguments: list[str], peer: list[str], *, runs: int
) -> None:
    times: dict[str, list[tuple[float, float]]] = {path: [] for path in paths}
    theirs = []
    for _ in range(runs + 1):
        theirs.append(_run(peer))
        for path in paths:
            taken = _run([sys.executable, "-c", _OURS, path, "digest", *arguments])
            times[path].append(taken)
    other, other_cpu = _medians(theirs)
    for path in paths:
        one, one_cpu = _medians(times[path])
        target = _TARGETS[what][path]
        print(
            f"{what:24} {path:8} {one:7.3f} s {other:8.3f} s {one / other:6.2f}x {target:7.2f}x"
            f" {one_cpu:7.3f} s {other_cpu:7.3f} s",
            flush=True,
        )


def _medians(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of all runs but the first, which warmed the caches."""
    measured = taken[1:]
    return (
        statistics.median(wall for wall, _ in measured),
        statistics.median(cpu for _, cpu in measured),
    )


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _run(argv: Sequence[str]) -> tuple[float, float]:
    """Seconds from start to end, and of processor time."""
    started, before = time.perf_counter(), _children()
    # Not checked: in /usr a file may come, go or be closed to this user.
    subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, _children() - before


def _large(top: Path) -> Path:
    file = top / "large"
    file.write_bytes(os.urandom(1 << 20) * 1024)
    return file


def _small(top: Path) -> Path:
    for number in range(_SMALL_FILES):
        folder = top / "small" / f"{number // 1000:03}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number % 1000:03}").write_bytes(number.to_bytes(4, "big") * 256)
    return _listed(str(top / "small"), top / "small.list")


def _listed(folder: str, names: Path) -> Path:
    with names.open("wb") as out:
        subprocess.run(["find", folder, "-xdev", "-type", "f", "-print0"], check=True, stdout=out)
    return names


def _sparse(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(1 << 40)
        out.seek(1 << 39)
        out.write(b"x")
    taken, _ = _run([sys.executable, "-m", "verity", "digest", str(file)])
    print(f"a sparse file of 1 TiB: {taken:.3f} s")


def _limit(path: str) -> None:
    """Bytes a second of the hash alone, one thread a processor, each over a MiB of its own."""
    size, rounds = 1 << 20, 200
    with hashing.using(path):
        hashes = kernel.block_hashes(CANONICAL)

        def work() -> None:
            data = memoryview(bytes(size))
            for _ in range(rounds):
                hashes(data)

        threads = [threading.Thread(target=work) for _ in os.sched_getaffinity(0)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - started
    print(f"limit: {path} hashes {len(threads) * size * rounds / taken / 1e9:.2f} GB/s in memory")


def _system_calls(names: Path) -> None:
    """Processor time of open, fstat, read, fstat, close for each small file."""
    found = names.read_bytes()[:-1].split(b"\0")
    before = os.times().system
    for name in found:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW)
        os.fstat(fd)
        os.pread(fd, 1025, 0)
        os.fstat(fd)
        os.close(fd)
    taken = os.times().system - before
    processors = len(os.sched_getaffinity(0))
    print(
        f"limit: {len(found)} times open, fstat, read, fstat, close:"
        f" {taken:.3f} s in the kernel, {taken / processors:.3f} s on {processors} processors"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
