# SPDX-License-Identifier: Apache-2.0
"""Signing and verifying commits: time on the clock, processor time and memory, beside stock ostree.

1. Verify a commit of 100,000 small files, contents and all, beside `ostree fsck`.
2. Verify statement, manifest and grants of these files, no contents.
3. Sign a commit in which one in a hundred of them is new (`--reuse`): the digests of the others
   come from the manifest of the first. Each directory has a new file, so that none is the same.
4. Verify a commit of /usr/share, whose files are not all as small, beside `ostree fsck`.

Each row is of runs in turn after one that warms the caches: medians, for memory the largest. The
load of the machine stands in the first and the last line: with other work on it only processor time
says something. Nothing here passes or fails, and a row is printed as soon as it is known. One part
alone: `python -m tests.bench.signing small` or `share`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILES = 100_000
_RUNS = 5
_DIRECTORY = 100  # files in each
_VERITY = str(Path(sys.executable).with_name("verity"))
_LOAD = """
import gc; gc.disable()
from pathlib import Path
from verity.trust.trusted import TrustedSet
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.ports.ostree_repo import Repository
from verity.verbs import signed
key = keystore.load_public(Path("key.pub"))
with Repository(Path("repo")) as repository:
    trusted = TrustedSet.of_keys([key], party=Party.VENDOR, role=Role.OS)
    signed.load(repository, "old", trusted)
"""
LOAD = (sys.executable, "-c", _LOAD)
VERIFY = (_VERITY, "commit", "verify", "--repo", "repo", "--key", "key.pub", "old")
FSCK = ("ostree", "--repo=repo", "fsck", "-q")
# Without fsync of each object: on a busy disk that takes longer than all else here.
COMMIT = ("ostree", "--repo=repo", "commit", "--fsync=false")
SIGN = (_VERITY, "commit", "sign", "--repo", "repo", "--key", "key", "--stream", "bench")


@dataclass(frozen=True)
class Cost:
    """What a command took. ``memory`` is its largest, in MB."""

    clock: float
    processor: float
    memory: float


def cost(argv: Sequence[str], cwd: Path) -> Cost:
    """Run a command, which must succeed."""
    started = time.perf_counter()
    child = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL)  # its errors are shown
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv)
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def measure(cwd: Path, *commands: Sequence[str]) -> list[Cost]:
    """The medians of each, taken in turn."""
    taken: list[list[Cost]] = [[] for _ in commands]
    for run in range(_RUNS + 1):
        for which, argv in enumerate(commands):
            one = cost(argv, cwd)
            if run:
                taken[which].append(one)
    return [
        Cost(
            statistics.median(one.clock for one in runs),
            statistics.median(one.processor for one in runs),
            max(one.memory for one in runs),
        )
        for runs in taken
    ]


def quietly(cwd: Path, *argv: str) -> None:
    """Run a command that is not measured."""
    subprocess.run(argv, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def begin(top: Path, tree: Path) -> None:
    """A key, and a repository with a signed commit `old` of this tree."""
    quietly(top, _VERITY, "key", "generate", "key")
    quietly(top, "ostree", "--repo=repo", "init", "--mode=bare")
    quietly(top, *COMMIT, "-b", "old", f"--tree=dir={tree}")
    quietly(top, *SIGN, "--serial", "1", "old")


def small(top: Path) -> None:
    """100,000 files of about a kilobyte, one in twenty with the look of a program."""
    tree = top / "tree"
    program = bytes.fromhex("7f454c46020101") + bytes(9) + b"\3\0\x3e\0\1\0\0\0" + b"\1" * 40
    for number in range(FILES):
        folder = tree / f"usr/{number // _DIRECTORY}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"file-{number}"
        file.write_bytes((b"" if number % 20 else program) + b"%d\n" % number * 200)
        if not number % 20:
            file.chmod(0o755)
    begin(top, tree)
    compare("verify 100,000 small files", top)
    (loading,) = measure(top, LOAD)
    alone("verify statement and manifest of them", loading, "1 s")
    for number in range(7, FILES, _DIRECTORY):
        (tree / f"usr/{number // _DIRECTORY}/file-{number}").write_bytes(b"new %d" % number)
    quietly(top, *COMMIT, "-b", "new", "--tree=dir=tree")
    (signing,) = measure(top, (*SIGN, "--serial", "auto", "--replace", "--reuse", "old", "new"))
    alone("sign 100,000 files, 1% of them new", signing, "2 s, 300 MB")


def share(top: Path) -> None:
    """The files of /usr/share."""
    begin(top, Path("/usr/share"))
    compare("verify /usr/share", top)


def compare(what: str, top: Path) -> None:
    """Full verification beside fsck, of the repository as it is."""
    ours, theirs = measure(top, VERIFY, FSCK)
    row(what, f"{ours.clock:.3f} s", f"{theirs.clock:.3f} s", ratio(ours.clock, theirs.clock),
        "0.70x", f"{ours.memory:.0f} MB")  # fmt: skip
    row("  processor time, memory of the peer", f"{ours.processor:.3f} s",
        f"{theirs.processor:.3f} s", ratio(ours.processor, theirs.processor), "",
        f"{theirs.memory:.0f} MB")  # fmt: skip


def alone(what: str, found: Cost, target: str) -> None:
    """What stock ostree has no counterpart of."""
    row(what, f"{found.clock:.3f} s", "", "", target, f"{found.memory:.0f} MB")
    row("  processor time", f"{found.processor:.3f} s", "", "", "", "")


def ratio(ours: float, theirs: float) -> str:
    """How many times as long."""
    return f"{ours / theirs:.2f}x"


def row(*cells: str) -> None:
    """One row of the table."""
    what, ours, peer, times, target, memory = cells
    print(f"{what:40}{ours:>10}{peer:>13}{times:>8}  {target:13}{memory:>8}".rstrip(), flush=True)


def main(parts: Sequence[str] = ("small", "share")) -> None:
    """Print these parts of the table."""
    print(f"load {os.getloadavg()[0]:.1f} before")
    row("what", "verity", "ostree fsck", "ratio", "target", "memory")
    for part, run in (("small", small), ("share", share)):
        if part in parts:
            with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
                run(Path(name))
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main(sys.argv[1:] or ("small", "share"))
