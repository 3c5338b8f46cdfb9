# SPDX-License-Identifier: Apache-2.0
"""The area files of an audit on a file system with fs-verity: each change has its check, and no
other finding; and what the disk and the page cache hold."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm import Image, Machine

PROBE = Path(__file__).with_name("audit_probe.py")
FILE, TOOL = "/dir/file", "/dir/deep/tool"
FOUND = {
    "as signed": [],
    "mode": [f"mode {FILE}"],
    "owner": ["owner /dir"],
    "acl": [f"acl {TOOL}"],
    "default acl": ["acl /dir"],
    "capabilities": [f"capabilities {TOOL}"],
    "xattrs": ["xattrs /dir"],
    "target": ["target /link"],
    "device": ["device /null"],
    "type": ["type /null"],
    "plain": [f"no-verity {FILE}"],
    "altered": [f"content {FILE}"],
    "altered and plain": [f"content {FILE}"],
    "small blocks": [f"parameters {FILE}"],
    "small blocks, altered": [f"content {FILE}"],
    "salted": [f"parameters {FILE}"],
    "sha512": [f"parameters {FILE}"],
    "parameters": ["fs-verity parameters sha256, blocks of 1024, no salt"],
    "mounted on empty": ["gap mounted /mounts/empty"],
    "mounted on signed": ["missing /mounts/signed/file", "unsigned-file /mounts/signed/more"],
    "bind mount": ["unsigned-file", "unsigned-privileged", "xattrs"],
    "overlay": ["unsigned-file /dir/deep/more", "gap no-verity /dir/deep"],
    "deep": [],
    "mapped, deep": ["gap still-cached /mapped"],
    "damaged": [],
    "damaged, deep": [f"disk {FILE}"],
    "mended, deep": [],
    "at the end": [],
}


@pytest.fixture(scope="module")
def vm(vm_image: Image) -> Iterator[Machine]:
    """A machine with a file system of this test's own at /fs."""
    with Machine.boot("system", vm_image) as machine:
        machine.push(PROBE, "/srv/probe.py")
        machine.run(
            "mkdir /fs && truncate -s 64M /fs.img && mke2fs -q -t ext4 -b 4096 -O verity /fs.img"
            " && mount -o loop /fs.img /fs && chmod 0755 /fs"
        )
        yield machine


@pytest.fixture(scope="module")
def found(vm: Machine) -> dict[str, Any]:
    done = vm.run(["python3", "/srv/probe.py", "/fs.img", "/fs"], timeout_s=300)
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_each_change_is_found_by_its_check_and_nothing_else(found: dict[str, Any]) -> None:
    assert {name: found[name] for name in FOUND} == FOUND


def test_what_is_as_signed_is_counted_by_how_it_is_known(found: dict[str, Any]) -> None:
    assert found["counts"] == {"files": 6, "measured by the kernel": 6, "hashed": 0}
    assert found["states"] == {"AS_SIGNED": 9, "BY_KERNEL": 5, "GRANTED": 1}


def test_who_cannot_read_all_says_what_was_not_read(vm: Machine, found: dict[str, Any]) -> None:
    assert found["as signed"] == []
    done = vm.run(["python3", "/srv/probe.py", "user", "/fs"], user="user")
    assert json.loads(done.stdout) == ["gap unreadable /private"]
