# SPDX-License-Identifier: Apache-2.0
"""The archives of an initramfs, bytes -> files: cpio of the form newc, several in a row.

What the kernel unpacks: archives behind each other, with zeros between them, each ended by an entry
named TRAILER!!!. Compressed parts are no affair of this module: ``read`` says where the first bytes
are that are no archive. Anything that is cut, or that the kernel would not unpack, is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from verity.values.errors import ContentError

_MAGIC = (b"070701", b"070702")
_HEAD = 110
_TRAILER = b"TRAILER!!!"
_LONGEST = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """An entry: its name as in the archive, its st_mode, and its contents or link target."""

    name: bytes
    mode: int
    data: bytes


def begins(data: bytes, at: int = 0) -> bool:
    """Whether an entry begins here."""
    return data[at : at + 6] in _MAGIC


def read(data: bytes, found: list[File], keep: Callable[[bytes], bool] = lambda name: True) -> int:
    """Add the entries of the archives at the beginning that are to be kept, by their names; where
    the first other byte is.

    Raises ContentError (``bad-initramfs``).
    """
    at = 0
    while True:
        while at < len(data) and data[at] == 0:
            at += 1
        if not begins(data, at):
            return at
        at = _archive(data, at, found, keep)


def _archive(data: bytes, at: int, found: list[File], keep: Callable[[bytes], bool]) -> int:
    """Add the entries of one archive; where it ends."""
    while True:
        name, mode, begin, end = _entry(data, at)
        at = begin + _padded(end - begin)
        if name == _TRAILER:
            return at
        if keep(name):
            found.append(File(name=name, mode=mode, data=data[begin:end]))


def _entry(data: bytes, at: int) -> tuple[bytes, int, int, int]:
    """Name and mode of one entry, and where its contents begin and end. Each part is padded to four
    bytes from here."""
    if len(data) - at < _HEAD or not begins(data, at):
        _refuse(at, "no entry, expected one or the end")
    try:
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
    except ValueError as error:
        raise ContentError("bad-initramfs", f"cpio: byte {at}: no numbers") from error
    mode, size, long = fields[1], fields[6], fields[11]
    begin = at + _padded(_HEAD + long)
    if not 1 <= long <= _LONGEST or begin + size > len(data):
        _refuse(at, f"a name of {long} bytes and {size} of contents, {len(data)} are there")
    return data[at + _HEAD : at + _HEAD + long - 1], mode, begin, begin + size


def _padded(size: int) -> int:
    return size + -size % 4


def _refuse(at: int, why: str) -> NoReturn:
    raise ContentError("bad-initramfs", f"cpio: byte {at}: {why}")
