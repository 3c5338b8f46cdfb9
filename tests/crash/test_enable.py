# SPDX-License-Identifier: Apache-2.0
"""A bulk enable that ends anywhere: by a power cut, or by a kill at any system call.

Each time: what was reported has fs-verity and the right digest, every other file has its contents,
and a second run completes. The tree is on a disk of its own, which another machine then mounts.
"""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.points import points
from tests.vm import Disk, Image, Machine
from verity.formats.fsverity import digest_bytes

FILES = 300
CUTS = 30
KILLS = 100
# The system calls of a run that change something or stand between what does. The process is killed
# when one of its threads enters the call for the nth time, up to what one of four has to reach.
THREADS = 4
_RUN_TIMEOUT_S = 300.0  # strace stops the process at each call
CALLS = {
    "openat2": 3 * FILES // THREADS,
    "ioctl": 2 * FILES // THREADS,
    "statx": FILES // THREADS,
    "fadvise64": FILES // THREADS,
    "cachestat": FILES // THREADS,
    "syncfs": 4,  # batches of 18, so 17 of them
    "write": FILES,
}


def contents(number: int) -> bytes:
    """Of empty and of several blocks, none like another."""
    return random.Random(number).randbytes((number * 37) % 9000)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A disk with the files, for copying, and the digest of each."""
    top = tmp_path_factory.mktemp("crash")
    (top / "disk/tree").mkdir(parents=True)
    digests = {}
    for number in range(FILES):
        name = f"tree/{number:03}"
        (top / "disk" / name).write_bytes(contents(number))
        digests[name] = str(digest_bytes(contents(number)))
    make = "mke2fs -q -t ext4 -b 4096 -O verity -d disk disk.img 64M"
    subprocess.run(make.split(), cwd=top, check=True, timeout=60)
    return top / "disk.img", digests


def mount(machine: Machine) -> None:
    machine.run(f"mkdir -p /data && mount {machine.device('data')} /data")


def reported(text: str) -> dict[str, str]:
    """The digests of the files that a run reported, by their names; a line cut off says nothing."""
    found = {}
    for line in text.splitlines():
        try:
            record = json.loads(line.strip("\r"))
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("type") == "file":
            found[record["path"].removeprefix("/data/")] = record["digest"]
    return found


def measured(machine: Machine, names: list[str]) -> dict[str, str]:
    """What stock fsverity says of files."""
    said = machine.run("cd /data && xargs -r fsverity measure", input="\n".join(names).encode())
    return {name: digest for digest, name in (line.split() for line in said.text.splitlines())}


def check(machine: Machine, done: dict[str, str], digests: dict[str, str]) -> None:
    """What has to hold in any case, and that a second run completes."""
    assert {name: digests[name] for name in done} == done
    assert measured(machine, sorted(done)) == done
    computed = machine.run("cd /data && find tree -type f | xargs fsverity digest").text
    assert {name: digest for digest, name in map(str.split, computed.splitlines())} == digests
    again = machine.run("verity enable -r --json /data/tree", timeout_s=120)
    assert reported(again.stdout.decode()) == digests
    assert measured(machine, sorted(digests)) == digests


@pytest.mark.parametrize("number", points(CUTS, short=2))
def test_power_cut(
    vm_image: Image, tree: tuple[Path, dict[str, str]], tmp_path: Path, number: int
) -> None:
    image, digests = tree
    disk = tmp_path / "disk.img"
    shutil.copyfile(image, disk)
    # Spread over the run by what it has reported, from nothing to nearly all; then a little later.
    after, later = number * FILES // CUTS, random.Random(number).uniform(0, 0.4)
    moment: list[float] = []
    done: dict[str, str] = {}
    with Machine.boot("system", vm_image, disks=[Disk(path=disk, serial="data")]) as machine:
        mount(machine)
        machine.start("echo BEGUN >/dev/ttyS0; verity enable -r --json /data/tree >/dev/ttyS0")

        def due() -> bool:
            _, begun, shown = machine.console().partition("BEGUN")
            if begun and not moment and shown.count('"type": "file"') >= after:
                moment.append(time.monotonic() + later)
            if not moment or time.monotonic() < moment[0]:
                return False
            done.update(reported(shown))
            return True

        machine.cut_when(due, timeout_s=120)
    with Machine.boot("system", vm_image, disks=[Disk(path=disk, serial="data")]) as machine:
        mount(machine)
        check(machine, done, digests)
        machine.run("umount /data")
    subprocess.run(["e2fsck", "-fn", disk], check=True, timeout=60, capture_output=True)
    assert done or not after


@pytest.fixture(scope="module")
def killed(vm_image: Image, tree: tuple[Path, dict[str, str]]) -> Iterator[Machine]:
    """One machine for all kills, the tree pristine on a disk that is copied."""
    with Machine.boot("system", vm_image) as machine:
        machine.push(tree[0], "/root/pristine.img")
        yield machine


@pytest.mark.parametrize("number", points(KILLS, short=1))
def test_kill(killed: Machine, tree: tuple[Path, dict[str, str]], number: int) -> None:
    call = list(CALLS)[number % len(CALLS)]
    nth = random.Random(number).randint(1, CALLS[call])
    killed.run("cp --sparse=always /root/pristine.img /root/copy.img")
    killed.run("mkdir -p /data && mount -o loop /root/copy.img /data")
    try:
        done = killed.run(
            f"strace -f -qq -o /dev/null -e trace={call}"
            f" -e inject={call}:signal=KILL:when={nth}"
            f" verity enable -r --json --jobs {THREADS} /data/tree",
            check=False,
            timeout_s=_RUN_TIMEOUT_S,
        )
        killed.run("umount /data && mount -o loop /root/copy.img /data")
        check(killed, reported(done.stdout.decode()), tree[1])
        assert done.status != 0, f"{call} was not called {nth} times by one thread"
    finally:
        # What outlived a time-out would keep the disk busy, and fail all that come after.
        killed.run("pkill -KILL -x strace; pkill -KILL verity; umount /data || umount -l /data")
