# SPDX-License-Identifier: Apache-2.0
"""Turning fs-verity on for many files, in a machine: our time, two peers', from the same boot.

The files are real ones of the machine's own /usr, small and large, copied to a new ext4 before each
run and synced, so that all runs find the same: cached, clean pages. The peers are a loop of
`fsverity enable` and a sync, which is what people type, and one C program that does nothing but
open, ioctl, close in turn, and a sync: what the kernel takes on one processor. Neither looks at
what stays cached. Medians of rounds taken in turn; nothing here passes or fails.
"""

import statistics
import tempfile
from pathlib import Path

from tests.vm import Disk, Machine, build_image
from tests.vm.debian import run

FILES = 3000
_LOOP_FILES = 300  # a process for each file: a tenth of them is enough to wait for
_ROUNDS = 3
_TIMEOUT_S = 900.0
_HELPER = Path(__file__).parents[1] / "vm/verity_root.c"
_TREE = "/run/tree"
_CASES = {
    "ours": "verity enable -r /data/tree >/dev/null 2>&1",
    "ioctl": "/run/enable </run/files >/dev/null",
    "loop": "find /data/tree -type f -exec fsverity enable {} \\; ; sync",
}


def main(wheel: Path) -> None:
    """Print this part of the table; ``wheel`` is what is measured."""
    image = build_image(wheel)
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        disk, helper = Path(name) / "disk.img", Path(name) / "enable"
        disk.touch()
        run(["truncate", "-s", "1G", str(disk)])
        run(["cc", "-static", "-O2", "-o", str(helper), str(_HELPER)])
        with Machine.boot("system", image, disks=[Disk(path=disk, serial="data")]) as machine:
            machine.push(helper, "/run/enable")
            size = _gather(machine)
            times = _times(machine, FILES, ("ours", "ioctl"), _ROUNDS)
            loop = _times(machine, _LOOP_FILES, ("ours", "loop"), 1)
    print(f"fs-verity on {FILES} files of {size} MB in all, ext4, in a machine of 2 processors")
    _line(f"{FILES} files", times["ours"], "one ioctl loop in C; sync", times["ioctl"])
    _line(f"{_LOOP_FILES} of them", loop["ours"], "loop of fsverity enable; sync", loop["loop"])


def _gather(machine: Machine) -> int:
    """The files, below /run, and their size in MB."""
    machine.run(
        f"mkdir -p /data {_TREE} && mount -t tmpfs -o size=600M none {_TREE} && cd /usr"
        f" && find share lib/python3* lib/systemd lib/modules bin -xdev -type f | head -n {FILES}"
        f" | tar c -T - | tar x -C {_TREE}",
        timeout_s=_TIMEOUT_S,
    )
    return int(machine.run(f"du -sm {_TREE} | cut -f1").text)


def _times(machine: Machine, files: int, cases: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Seconds of each case, on so many of the files."""
    device = machine.device("data")
    taken: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            machine.run(
                f"umount /data 2>/dev/null; mke2fs -q -F -t ext4 -b 4096 -O verity {device}"
                f" && mount {device} /data && cp -a {_TREE} /data/tree && cd /data/tree"
                f" && find . -type f -print0 | tail -z -n +{files + 1} | xargs -0r rm && sync"
                " && find /data/tree -type f -print0 >/run/files",
                timeout_s=_TIMEOUT_S,
            )
            timed = f"TIMEFORMAT=%R; time {{ {_CASES[case]}; }}"
            done = machine.run(["bash", "-c", timed], timeout_s=_TIMEOUT_S)
            taken[case].append(float(done.stderr.decode().split()[-1]))
    return {case: statistics.median(seconds) for case, seconds in taken.items()}


def _line(what: str, ours: float, peer: str, other: float) -> None:
    print(
        f"{f'enable, {what}':44} {ours:8.3f} s  {peer:32} {other:8.3f} s  {ours / other:6.2f}x",
        flush=True,
    )
