# SPDX-License-Identifier: Apache-2.0
"""What a guest wrote to a disk, write by write, and the disk as a power cut would leave it.

A machine's `Disk(log=...)` keeps the writes and flushes. A disk may lose, or have, any write that
no flush has followed yet: so one run of a program gives as many power cuts as there are writes,
each with another choice of those, without a machine. The format is dm-log-writes': a block of 512
bytes that counts, then for each write a block that says where, and its data (none: discarded).
"""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True)
class Write:
    """One entry: what is written where; `flush` makes all before it durable, `fua` itself."""

    at: int
    data: bytes
    flush: bool
    fua: bool


def read(log: Path) -> list[Write]:
    """The entries so far, of a log that is still being written, too."""
    data = log.read_bytes()
    if not data:
        return []
    magic, version, _, sector = _SUPER.unpack_from(data)
    assert (magic, version, sector) == (_MAGIC, 1, SECTOR)
    found, place = [], SECTOR
    while place + SECTOR <= len(data):
        at, sectors, flags, _ = _ENTRY.unpack_from(data, place)
        place += SECTOR
        size = 0 if flags & _DISCARD else sectors * SECTOR
        if place + size > len(data):
            break
        contents = data[place : place + size] or bytes(sectors * SECTOR)
        place += size
        found.append(
            Write(
                at=at * SECTOR,
                data=contents,
                flush=bool(flags & _FLUSH),
                fua=bool(flags & _FUA),
            )
        )
    return found


def cut(before: Path, writes: list[Write], after: Path, *, seed: int | None) -> None:
    """The disk after a power cut behind these writes: with what was flushed, and of the rest what
    the seed chooses; without a seed nothing of it."""
    chance = random.Random(seed)
    flushed = max((number for number, one in enumerate(writes) if one.flush), default=0)
    subprocess.run(["cp", "--sparse=always", before, after], check=True)
    with after.open("r+b") as disk:
        for number, one in enumerate(writes):
            lucky = seed is not None and chance.random() < 0.5
            if number <= flushed or one.fua or lucky:
                disk.seek(one.at)
                disk.write(one.data)


def contents(disk: Path, folder: Path) -> None:
    """What is on an ext4 disk, its journal replayed as a mount would do it."""
    checked = subprocess.run(["e2fsck", "-fy", disk], capture_output=True, timeout=60)
    assert checked.returncode in (0, 1), checked.stdout
    folder.mkdir()
    subprocess.run(
        ["debugfs", "-R", f"rdump / {folder}", disk], check=True, capture_output=True, timeout=60
    )
