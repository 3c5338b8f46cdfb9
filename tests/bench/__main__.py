# SPDX-License-Identifier: Apache-2.0
"""`make bench`: each line is our time, the peer's, and the ratio, taken in turn in one run.

Five runs of each after a warm-up, medians; the machine is named first, because the figures mean
nothing without it. Nothing here passes or fails.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import audit, digest, enable, gate, reach, signing

_RUNS = 5
_VERITY = str(Path(sys.executable).with_name("verity"))


def seconds(argv: Sequence[str], cwd: Path) -> float:
    """How long a command takes, from start to end."""
    started = time.perf_counter()
    subprocess.run(argv, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def against(name: str, ours: Sequence[str], peer: Sequence[str], cwd: Path) -> None:
    """One line of the table."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(_RUNS + 1):
        for which, argv in enumerate((ours, peer)):
            taken = seconds(argv, cwd)
            if run:  # the first warms the caches
                times[which].append(taken)
    one, other = (statistics.median(taken) for taken in times)
    label = " ".join(part.rsplit("/", 1)[-1] for part in peer[:3])
    print(f"{name:44} {one:8.3f} s  {label:32} {other:8.3f} s  {one / other:6.2f}x", flush=True)


def main() -> None:
    """Print the table."""
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if "model name" in line),
        "unknown",
    )
    print(f"{model}, {len(os.sched_getaffinity(0))} processors, Python {sys.version.split()[0]}")
    print(f"{'what':44} {'verity':>10}  {'peer':32} {'':>10}  {'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        top = Path(name)
        against("start-up", [_VERITY, "--version"], [sys.executable, "-c", "pass"], top)
        subprocess.run(["ostree", "--repo=repo", "init", "--mode=bare"], cwd=top, check=True)
        commit = ["ostree", "--repo=repo", "commit", "-b", "bench", "--tree=dir=/usr/share"]
        subprocess.run(commit, cwd=top, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            [_VERITY, "key", "generate", "key"], cwd=top, check=True, stdout=subprocess.DEVNULL
        )
        sign = [_VERITY, "commit", "sign", "--repo", "repo", "--key", "key", "--stream", "bench"]
        subprocess.run(
            [*sign, "--serial", "1", "bench"], cwd=top, check=True, stdout=subprocess.DEVNULL
        )
        against(
            "verify a commit of /usr/share, contents too",
            [_VERITY, "commit", "verify", "--repo", "repo", "--key", "key.pub", "bench"],
            ["ostree", "--repo=repo", "fsck", "-q"],
            top,
        )
    enable.main(Path(os.environ["VERITY_WHEEL"]))
    digest.main()
    signing.main()
    reach.main()
    audit.main()
    gate.main()


if __name__ == "__main__":
    main()
