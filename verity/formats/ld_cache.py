# SPDX-License-Identifier: Apache-2.0
"""/etc/ld.so.cache: which file the dynamic linker takes for which name. Bytes -> values.

The format that glibc has written since 2.2 ("glibc-ld.so.cache1.1"), alone or behind the old one,
of little-endian machines. Entries of every machine and hardware capability are given: which of them
a processor takes can't be known from a file.

Source: glibc, sysdeps/generic/dl-cache.h.
"""

import struct
from typing import NoReturn

from verity.values.errors import ContentError

MAX_SIZE = 16 << 20
_MAGIC = b"glibc-ld.so.cache1.1"
_OLD_MAGIC = b"ld.so-1.7.0"
_HEADER = struct.Struct("<20sIIB3xI12x")
_OLD_HEADER = struct.Struct("<11sxI")
_OLD_ENTRY = 12
_ENTRY = struct.Struct("<iIIIQ")
_BIG_ENDIAN = 3
_MASK = 0xFF  # FLAG_TYPE_MASK: what kind of library, here ELF libc6 (3)
_LIBC6 = 3


def parse(data: bytes) -> dict[bytes, tuple[bytes, ...]]:
    """The paths for each name, in the file's order. Raises ContentError (``bad-ld-cache``)."""
    begin = 0
    if data.startswith(_OLD_MAGIC) and len(data) >= _OLD_HEADER.size:
        _, number = _OLD_HEADER.unpack_from(data)
        begin = _OLD_HEADER.size + number * _OLD_ENTRY + 7 & ~7
    if len(data) < begin + _HEADER.size:
        _refuse("it ends before its header does")
    magic, number, _, flags, _ = _HEADER.unpack_from(data, begin)
    if magic != _MAGIC:
        _refuse("it does not begin as one")
    if flags & 3 == _BIG_ENDIAN:
        _refuse("of a big-endian machine")
    if begin + _HEADER.size + number * _ENTRY.size > len(data):
        _refuse(f"{number} entries don't fit in {len(data)} bytes")
    found: dict[bytes, list[bytes]] = {}
    for one in range(number):
        kind, key, value, _, _ = _ENTRY.unpack_from(data, begin + _HEADER.size + one * _ENTRY.size)
        if kind & _MASK == _LIBC6:
            paths = found.setdefault(_string(data, begin + key), [])
            path = _string(data, begin + value)
            if path not in paths:
                paths.append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _string(data: bytes, at: int) -> bytes:
    end = data.find(b"\0", at)
    if not 0 < at < end:
        _refuse("a string lies outside of it")
    return data[at:end]


def _refuse(why: str) -> NoReturn:
    raise ContentError(
        "bad-ld-cache", f"ld.so.cache: {why}", hint="ldconfig(8) as root writes it anew"
    )
