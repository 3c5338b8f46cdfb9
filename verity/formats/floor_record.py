# SPDX-License-Identifier: Apache-2.0
"""The floors of a boot bundle, bytes <-> values: the lowest serial that counts, for each stream.

The layout is pinned in docs/formats.md section 12: entries without a header, sorted by stream. It
is not signed, because no key of a host signs: it can forbid what is signed, and permit nothing.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from verity.formats.grants import is_stream_name
from verity.values.errors import ContentError

MAX_STREAMS = 64

_ENTRY = struct.Struct("<64sQ")


@dataclass(frozen=True, order=True, kw_only=True)
class RecordedFloor:
    """A stream, and the lowest of its serials that counts."""

    stream: str
    serial: int


def encode(entries: Sequence[RecordedFloor]) -> bytes:
    """The record. Raises ContentError (``bad-floors``) for what none may hold."""
    data = b"".join(_ENTRY.pack(one.stream.encode(), one.serial) for one in entries)
    if parse(data) != tuple(entries):  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> tuple[RecordedFloor, ...]:
    """Read a record. Raises ContentError (``bad-floors``) with the place and the reason.

    1. 1 to 64 whole entries.
    2. Each has the name of a stream, zero padded, and a serial.
    3. They are sorted, without duplicates.
    """
    # 1. Whole entries.
    if len(data) % _ENTRY.size or not 1 <= len(data) // _ENTRY.size <= MAX_STREAMS:
        _refuse(f"{len(data)} bytes, expected 1 to {MAX_STREAMS} times {_ENTRY.size}")
    # 2. Names and serials.
    found = []
    for number, (name, serial) in enumerate(_ENTRY.iter_unpack(data)):
        stream = name.rstrip(b"\0").decode("ascii", "replace")
        if not is_stream_name(stream):
            _refuse(f"entry {number}: its stream is not 1 to 63 of a-z 0-9 . _ -, zero padded")
        if not 1 <= serial < 2**53:
            _refuse(f"entry {number}: the serial {serial} is not 1 to 2^53-1")
        found.append(RecordedFloor(stream=stream, serial=serial))
    # 3. Order.
    for number, (one, other) in enumerate(pairwise(found), 1):
        if one.stream >= other.stream:
            _refuse(f"entry {number}: not sorted, or twice")
    return tuple(found)


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-floors", f"floors: {reason}")
