# SPDX-License-Identifier: Apache-2.0
"""The benchmark's disk has what a kernel writes that turns fs-verity on, where it looks for it."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.bench import verity_disk
from verity.formats.fsverity import digest_bytes

BLOCK, FAR = 4096, 65536
SIZES = (0, 1, BLOCK, BLOCK + 1, FAR, FAR + 1, 128 * BLOCK, 129 * BLOCK, 128 * 128 * BLOCK + 1)


@pytest.mark.parametrize("size", SIZES)
def test_tree_and_descriptor(size: int, tmp_path: Path) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "f").write_bytes(data[:size])
    assert verity_disk._extend(str(tmp_path / "f")) == size
    written = (tmp_path / "f").read_bytes()
    assert len(written) % BLOCK == 0 and written[:size] == data[:size]
    # As fs/ext4/verity.c finds it: its size is at the end of the last block.
    last = written[-BLOCK:]
    descriptor = last[: int.from_bytes(last[-4:], "little")]
    assert hashlib.sha256(descriptor).digest() == digest_bytes(data[:size]).value
    # The tree lies from the next 64 KiB on, the root's level first.
    levels, at = verity_disk._tree(data[:size])[0], -(-size // FAR) * FAR
    assert written[at:-BLOCK] == b"".join(reversed(levels))
    if levels:
        assert hashlib.sha256(levels[-1]).digest() == descriptor[16:48]


def test_the_disk_is_one_that_e2fsck_takes(tmp_path: Path) -> None:
    tree = tmp_path / "shipped/root"
    tree.mkdir(parents=True)
    for size in SIZES[:-1]:
        (tree / str(size)).write_bytes(b"x" * size)
    (tree / "link").symlink_to("1")
    verity_disk.make(tmp_path / "shipped", tree, tmp_path / "disk", "64M")
    for size in SIZES[:-1]:
        stat = ["debugfs", "-R", f"stat /root/{size}", str(tmp_path / "disk")]
        said = subprocess.run(stat, capture_output=True, text=True, check=True).stdout
        assert f"Size: {size}\n" in said and "Flags: 0x180000" in said, said
