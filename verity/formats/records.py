# SPDX-License-Identifier: Apache-2.0
"""The records of a boot bundle or fragment (docs/formats.md section 12): where each blob and each
signature begins and ends, and which signatures are over which blob.

It looks at nothing that a blob or a signature holds, so it is also what carries a fragment to the
gate: a damaged blob and a foreign signature are handed over as they are, and it is the gate that
refuses them, and its reason that is shown. For those who make and check bundles there is
`verity.formats.bundle`, which begins with this.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from verity.values.errors import ContentError

MAX_SIZE = 64 * 2**20
MAX_SIGNATURES = 8  # the gate takes no more with one blob

_HEAD = struct.Struct("<II")


class RecordKind(IntEnum):
    """What a record is, in the order of a bundle; a signature is over the blob before it."""

    KEYS = 1
    POLICY = 2
    REVOKE = 3
    GRANTS = 4
    FLOORS = 5
    UNLOCK = 6  # of a file by itself: no boot bundle holds a token
    SIGNATURE = 16


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A blob and the PKCS#7 signatures over it, none of them verified."""

    kind: RecordKind
    blob: bytes
    signatures: tuple[bytes, ...]


def join(fragments: Sequence[Fragment]) -> bytes:
    """The records one after the other; nothing is checked."""
    records: list[bytes] = []
    for fragment in fragments:
        records += [_HEAD.pack(fragment.kind, len(fragment.blob)), fragment.blob]
        for signature in fragment.signatures:
            records += [_HEAD.pack(RecordKind.SIGNATURE, len(signature)), signature]
    return b"".join(records)


def split(data: bytes, *, label: str) -> list[Fragment]:
    """Read all records; ContentError ``bad-bundle`` with the place of what is wrong.

    ``label`` is the file as messages should show it.

    1. Records of known kinds, none of them empty, that end where the data ends.
    2. A signature stands behind a blob, at most 8 behind one, and none behind floors.
    3. Blobs stand in the order of their kinds, and floors once, at the end.
    """
    if not 0 < len(data) <= MAX_SIZE:
        raise ContentError("bad-bundle", f"{label}: {len(data)} bytes, expected 1 to {MAX_SIZE}")
    fragments: list[Fragment] = []
    offset = number = 0
    while offset < len(data):
        kind, body = _record(data, offset, f"{label}: record {number} at {offset}")
        problem = _misplaced(kind, fragments)
        if problem:
            raise ContentError("bad-bundle", f"{label}: record {number} at {offset}: {problem}")
        if kind is RecordKind.SIGNATURE:
            fragments[-1] = replace(fragments[-1], signatures=(*fragments[-1].signatures, body))
        else:
            fragments.append(Fragment(kind=kind, blob=body, signatures=()))
        offset += _HEAD.size + len(body)
        number += 1
    return fragments


def _record(data: bytes, offset: int, place: str) -> tuple[RecordKind, bytes]:
    left = len(data) - offset - _HEAD.size
    if left < 0:
        raise ContentError("bad-bundle", f"{place}: {left + _HEAD.size} bytes are no record")
    number, size = _HEAD.unpack_from(data, offset)
    if number not in set(RecordKind):
        raise ContentError("bad-bundle", f"{place}: the kind {number} is unknown")
    kind = RecordKind(number)
    if size > left:
        raise ContentError("bad-bundle", f"{place}: {size} bytes stated, {left} are left")
    if not size:
        raise ContentError("bad-bundle", f"{place}: an empty record")
    start = offset + _HEAD.size
    return kind, data[start : start + size]


def _misplaced(kind: RecordKind, before: Sequence[Fragment]) -> str | None:
    if kind is not RecordKind.SIGNATURE:
        if before and kind is before[-1].kind is RecordKind.FLOORS:
            return "floors a second time"
        if before and kind < before[-1].kind:
            return f"{kind.name.lower()} must not come after {before[-1].kind.name.lower()}"
    elif not before:
        return "a signature without a blob before it"
    elif before[-1].kind is RecordKind.FLOORS:
        return "a signature behind floors, which nobody signs"
    elif len(before[-1].signatures) == MAX_SIGNATURES:
        return f"more than {MAX_SIGNATURES} signatures over one blob"
    return None
