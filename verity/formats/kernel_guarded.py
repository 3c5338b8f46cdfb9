# SPDX-License-Identifier: Apache-2.0
"""The table of guarded paths in the blob `policy`, bytes <-> values (docs/formats.md section 10).

The rest of the blob is read by ``verity.formats.kernel_policy``, which bounds the table.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from verity.values.errors import ContentError

MAX_GUARDED = 512
MAX_PATH = 247

_GUARDED = struct.Struct("<248sBBB5s")
SIZE = _GUARDED.size


class GuardedClass(IntEnum):
    """What is asked of a guarded file."""

    SIGNED = 1
    MUTABLE = 2
    PRODUCED = 3
    IGNORED = 4


class Match(IntEnum):
    """What a guarded path stands for. Of several that match a path, the longest counts."""

    TREE = 1  # itself, and what is below it
    PREFIX = 2  # every path that begins with these bytes


@dataclass(frozen=True, order=True, kw_only=True)
class Guarded:
    """A guarded path, 1 to 247 bytes. ``required``: what grants put there is not taken away."""

    path: bytes
    file_class: GuardedClass
    match: Match
    required: bool = False


def encode(guarded: Iterable[Guarded]) -> bytes:
    """The table, as it stands; what ``parse`` refuses is for the caller to find."""
    return b"".join(
        _GUARDED.pack(one.path, one.file_class, one.match, one.required, bytes(5))
        for one in guarded
    )


def parse(data: bytes) -> tuple[Guarded, ...]:
    """Read a table. Raises ContentError (``bad-policy``) with the place and the reason."""
    found: list[Guarded] = []
    for padded, file_class, match, flags, zero in _GUARDED.iter_unpack(data):
        place = f"guarded path {len(found)}"
        path = padded.rstrip(b"\0")
        if not path.startswith(b"/") or len(path) > MAX_PATH or b"\0" in path:
            _refuse(f"{place}: not 1 to {MAX_PATH} bytes of an absolute path")
        if any(zero):
            _refuse(f"{place}: reserved bytes are not zero")
        known = file_class in set(GuardedClass) and match in set(Match)
        if not known:
            _refuse(f"{place}: the class {file_class} or the match {match} is unknown")
        if flags > 1 or (flags and file_class != GuardedClass.SIGNED):
            _refuse(f"{place}: the flags {flags} are unknown, or not of the class signed")
        if found and path <= found[-1].path:
            _refuse(f"{place}: not sorted by path, or twice")
        found.append(
            Guarded(
                path=path,
                file_class=GuardedClass(file_class),
                match=Match(match),
                required=bool(flags),
            )
        )
    return tuple(found)


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-policy", f"policy: {reason}")
