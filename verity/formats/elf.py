# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of a file make it, for the grants: an ELF program, a library, a script.

Reads at most the ELF header (64 bytes) and never follows an offset in it, so a damaged file
can only fail to be code. Sections, needed libraries and the like are for pyelftools elsewhere.

Source: the ELF header of elf(5); kernel, fs/binfmt_elf.c and fs/binfmt_script.c.
"""

import struct
from dataclasses import dataclass

HEAD_SIZE = 64
"""Bytes of a file that ``inspect`` wants to see."""

SCRIPT = b"#!"
MAGIC = b"\x7fELF"
"""What a file begins with, or ``inspect`` finds nothing in it."""
_ET_DYN = 3
_ENTRY = {1: ("<I", 52), 2: ("<Q", 64)}  # by EI_CLASS: layout of e_entry, size of the header


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a file's first bytes say; everything false for data."""

    script: bool = False
    elf: bool = False
    has_entry: bool = False
    is_dynamic: bool = False


_DATA = Head()


def inspect(head: bytes) -> Head:
    """Judge the first ``HEAD_SIZE`` bytes of a file (fewer if it is shorter)."""
    if head.startswith(SCRIPT):
        return Head(script=True)
    if not head.startswith(MAGIC) or len(head) < 52:
        return _DATA
    layout, size = _ENTRY.get(head[4], ("", 0))
    if not layout or head[5] != 1 or len(head) < size:
        return _DATA
    (kind,) = struct.unpack_from("<H", head, 16)
    (entry,) = struct.unpack_from(layout, head, 24)
    return Head(elf=True, has_entry=entry != 0, is_dynamic=kind == _ET_DYN)
