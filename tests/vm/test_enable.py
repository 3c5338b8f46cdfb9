# SPDX-License-Identifier: Apache-2.0
"""The binding and `verity enable` on every file system that has fs-verity, and those without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm import Completed, Image, Machine

PROBE = Path(__file__).with_name("enable_probe.py")

# name: (size, how to make it, Merkle block size that suits it)
WITH = {
    "ext4": ("96M", "mke2fs -q -t ext4 -b 4096 -O verity", 4096),
    "ext4-1k": ("96M", "mke2fs -q -t ext4 -b 1024 -O verity", 1024),
    "btrfs": ("160M", "mkfs.btrfs -q", 4096),
    "f2fs": ("128M", "mkfs.f2fs -q -O verity", 4096),
}
WITHOUT = {
    "ext4-plain": ("16M", "mke2fs -q -t ext4 -b 4096 -O ^verity", "no-verity-feature"),
    "xfs": ("320M", "mkfs.xfs -q", "no-verity-filesystem"),
}


def mount(machine: Machine, name: str, size: str, make: str) -> str:
    """A new file system in a loop device, mounted; where."""
    at = f"/fs/{name}"
    machine.run(
        f"mkdir -p {at} && truncate -s {size} {at}.img && {make} {at}.img >/dev/null"
        f" && mount -o loop {at}.img {at}",
        timeout_s=120,
    )
    return at


@pytest.fixture(scope="module")
def vm(vm_image: Image) -> Iterator[Machine]:
    """One machine for all; each test makes a file system or a directory of its own."""
    with Machine.boot("system", vm_image) as machine:
        machine.push(PROBE, "/root/probe.py")
        yield machine


def verity(machine: Machine, command: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run verity with --json: status, records, stderr."""
    done: Completed = machine.run(f"verity {command} --json", check=False, timeout_s=120)
    assert "Traceback" not in done.stderr.decode(), done.stderr.decode()
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return done.status, records, done.stderr.decode()


@pytest.mark.parametrize("name", WITH)
def test_every_call_and_every_errno(vm: Machine, name: str) -> None:
    size, make, block_size = WITH[name]
    at = mount(vm, name, size, make)
    done = vm.run(["python3", "/root/probe.py", at, str(block_size)], timeout_s=120)
    vm.run(["umount", at])
    found = json.loads(done.stdout)
    hidden = name == "btrfs"  # has no FS_IOC_READ_VERITY_METADATA
    small = block_size == 1024
    nothing = "no-verity-metadata-ioctl" if hidden else "no-verity-metadata"
    expected = {
        "measured before": None,
        "bit before": False,
        "metadata before": [nothing] * 3,
        "cached before": True,
        "enabled": None,
        "enabled twice": "already-verity",
        "cached after": 0,
        "as computed": True,
        "bit after": True,
        "bit in the mask": not hidden,
        "flag after": True,
        "signature": nothing,
        "tree": nothing if hidden else True,
        "descriptor": nothing if hidden else True,
        "others as computed": [True, True],
        "empty": None,
        "read-write": "open-for-writing",
        "write-only": "bad-descriptor",
        "a writer": "open-for-writing",
        "directory": "is-a-directory",
        "device": "no-verity-filesystem",
        "block size 512": "unsupported-parameters",
        "block size 8192": "unsupported-parameters",
        "block size 65536": "unsupported-parameters",
        "long signature": "too-long",
        "unknown key": "no-verity-key",
        "no write permission": "no-write-permission",
        "append-only": "not-permitted",
        "in progress": True,
        "the first of two": None,
    }
    if small:
        expected["canonical"] = "unsupported-parameters"
    assert found == expected
