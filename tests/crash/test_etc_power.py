# SPDX-License-Identifier: Apache-2.0
"""`verity etc apply` and `sign` whose machine loses power at a system call that changes something.

The program is killed on entering the call, and the power cut at once, so that little is on the disk
but what was made durable; or after a while, in which the file system writes down names, and no
contents that nobody asked for. Some are cut when all was reported as done. The /etc is on a disk
of its own, which another machine then mounts.
"""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.crash.etc_crash import APPLY_ARGS, SIGN_ARGS, Signed, check_applied, check_signed, make
from tests.crash.points import points
from tests.etc_world import EtcWorld
from tests.vm import Disk, Image, Machine

# Verb, system call and which of them; no call: after the end.
POINTS = [
    *(("apply", "fsync", nth) for nth in range(1, 6)),
    *(("apply", "syncfs", nth) for nth in (1, 2)),
    *(("apply", "renameat", nth) for nth in range(1, 9)),
    *(("apply", "unlinkat", nth) for nth in range(1, 10, 2)),
    ("apply", "", 0),
    *(("sign", "fsync", nth) for nth in range(1, 10)),
    *(("sign", "syncfs", nth) for nth in (1, 2)),
    *(("sign", "renameat", nth) for nth in (1, 2, 3)),
    ("sign", "", 0),
]
ARGS = {"apply": APPLY_ARGS, "sign": SIGN_ARGS}
# ext4 commits its journal every 5 s, and writes contents back after 30.
WHILE_S = 7


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """A host at serial 1 with serial 2 to go to."""
    return make(tmp_path_factory.mktemp("power-etc"))


def mount(machine: Machine) -> None:
    machine.run(f"mkdir -p /data && mount {machine.device('data')} /data")


@pytest.mark.parametrize("number", points(2 * len(POINTS), short=2))
def test_power_cut(vm_image: Image, signed: Signed, tmp_path: Path, number: int) -> None:
    verb, call, nth = POINTS[number % len(POINTS)]
    later = WHILE_S if number >= len(POINTS) else 0
    disk = tmp_path / "disk.img"
    make_disk = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d")
    subprocess.run([*make_disk, signed.world.path, disk, "64M"], check=True, timeout=60)
    argv = ["verity", "etc", verb, *ARGS[verb]]
    if call:
        inject = f"inject={call}:signal=KILL:when={nth}"
        argv = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            inject,
            *argv,
        ]
    with Machine.boot("system", vm_image, disks=[Disk(path=disk, serial="data")]) as machine:
        mount(machine)
        if verb == "sign":
            machine.run("echo 'a third one' >/data/root/etc/motd && sync")
        done = machine.run(argv, cwd="/data", check=False, timeout_s=600)
        time.sleep(later)
        machine.power_cut()
    reported = done.status == 0
    assert reported == (not call), f"{call} was not called {nth} times: {done.stderr!r}"
    with Machine.boot("system", vm_image, disks=[Disk(path=disk, serial="data")]) as machine:
        mount(machine)
        machine.pull("/data", tmp_path / "after")
        machine.run("umount /data")
    subprocess.run(["e2fsck", "-fn", disk], check=True, timeout=60, capture_output=True)
    world = EtcWorld(tmp_path / "after")
    shutil.rmtree(world.path / "lost+found")
    if verb == "apply":
        check_applied(signed, world, reported=reported)
    else:
        check_signed(world, reported=reported)
