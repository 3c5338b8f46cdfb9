# SPDX-License-Identifier: Apache-2.0
"""An ext4 disk on which every file of a tree has fs-verity, made without a kernel that has it.

What the kernel would write when fs-verity is turned on stands behind the end of a file, from the
next multiple of 64 KiB on: the Merkle tree, and in a block of its own the descriptor, whose size
is in that block's last four bytes (fs/ext4/verity.c). So each file is written with that as its
contents, mke2fs copies the tree, and debugfs then sets the size back and the inode's flag. A kernel
checks all of it when a file is opened and read.
"""

import hashlib
import os
import struct
import subprocess
from pathlib import Path

from tests.vm.debian import run

_BLOCK = 4096
_FAR = 65536
_DESCRIPTOR = struct.Struct("<BBBBIQ64s32s144s")
_SHA256, _LOG_BLOCK = 1, 12
_FLAGS = 0x80000 | 0x100000  # extents, verity


def make(shipped: Path, tree: Path, disk: Path, size: str) -> None:
    """Writes the disk with what is in ``shipped``, of which ``tree`` gets fs-verity; that tree is
    spoiled by it."""
    script = []
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            inside = "/" + os.path.relpath(path, shipped)
            script += [f"sif {inside} size {_extend(path)}", f"sif {inside} flags {_FLAGS:#x}"]
    inodes = len(script) + sum(1 for _ in shipped.rglob("*")) + 100
    options = f"-q -F -t ext4 -b 4096 -O verity -N {inodes} -E lazy_itable_init=0".split()
    run(["mke2fs", *options, "-d", str(shipped), str(disk), size])
    lines = "\n".join(script).encode() + b"\n"
    debugfs = ["debugfs", "-w", "-f", "/dev/stdin", str(disk)]
    done = subprocess.run(debugfs, input=lines, capture_output=True, check=True)
    if done.stderr.count(b"\n") > 1:  # the first line names its version
        raise RuntimeError(done.stderr[-2000:].decode())
    run(["e2fsck", "-f", "-n", str(disk)])


def _extend(path: str) -> int:
    """Writes what fs-verity keeps behind a file's end; returns the file's size."""
    with open(path, "r+b") as file:
        data = file.read()
        levels, root = _tree(data)
        at = -(-len(data) // _FAR) * _FAR
        for level in reversed(levels):  # the root's is the first
            file.seek(at)
            at += file.write(level)
        descriptor = _DESCRIPTOR.pack(
            1, _SHA256, _LOG_BLOCK, 0, 0, len(data), root, bytes(32), bytes(144)
        )
        file.seek(at)
        file.write(descriptor.ljust(_BLOCK - 4, b"\0") + struct.pack("<I", len(descriptor)))
    return len(data)


def _tree(data: bytes) -> tuple[list[bytes], bytes]:
    """The levels of hash blocks, the leaves' first, and the root hash."""
    levels: list[bytes] = []
    if not data:
        return levels, b""
    while len(data) > _BLOCK:
        blocks = (data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK))
        hashes = b"".join(hashlib.sha256(block.ljust(_BLOCK, b"\0")).digest() for block in blocks)
        data = hashes.ljust(-(-len(hashes) // _BLOCK) * _BLOCK, b"\0")
        levels.append(data)
    return levels, hashlib.sha256(data.ljust(_BLOCK, b"\0")).digest()
