# SPDX-License-Identifier: Apache-2.0
"""The records of a boot bundle or fragment (docs/formats.md section 12), to be carried to the gate.

Not to be confused with the parser for those who make and check bundles. This one is for the
carrier: it checks lengths and that each signature follows a blob, and nothing of what a blob or a
signature holds. A damaged blob and a foreign signature are handed over as they are, so that it is
the gate that refuses them, and its reason that is shown.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from verity.values.errors import ContentError

MAX_SIZE = 64 * 2**20
MAX_SIGNATURES = 8
_HEAD = struct.Struct("<II")
_SIGNATURE = 16


class Kind(IntEnum):
    """What a record says it holds. Floors (5) are for the boot alone: no gate takes them."""

    KEYS = 1
    POLICY = 2
    REVOKE = 3
    GRANTS = 4


@dataclass(frozen=True, kw_only=True)
class Record:
    """One blob and the PKCS#7 over it, unverified."""

    kind: Kind
    blob: bytes
    signatures: tuple[bytes, ...]


def parse(data: bytes, *, label: str) -> list[Record]:
    """Read all records; ContentError ``bad-bundle`` with the offset of what is wrong.

    ``label`` is the file as messages should show it.
    """
    if not 0 < len(data) <= MAX_SIZE:
        raise _bad(label, 0, f"{len(data)} bytes, expected 1 to {MAX_SIZE}")
    records: list[Record] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEAD.size:
            raise _bad(label, offset, "ends within the head of a record")
        number, length = _HEAD.unpack_from(data, offset)
        body = data[offset + _HEAD.size : offset + _HEAD.size + length]
        if len(body) != length:
            raise _bad(label, offset, f"a record of {length} bytes, of which {len(body)} are there")
        if not length:
            raise _bad(label, offset, "an empty record")
        if number == _SIGNATURE:
            if not records:
                raise _bad(label, offset, "a signature without a blob before it")
            last = records[-1]
            if len(last.signatures) == MAX_SIGNATURES:
                raise _bad(label, offset, f"more than {MAX_SIGNATURES} signatures over one blob")
            records[-1] = Record(
                kind=last.kind, blob=last.blob, signatures=(*last.signatures, body)
            )
        elif number not in set(Kind):
            raise _bad(label, offset, f"a record of kind {number}, expected 1 to 4 or 16")
        else:
            if records and number < records[-1].kind:
                raise _bad(
                    label, offset, f"a record of kind {number} after one of {records[-1].kind:d}"
                )
            records.append(Record(kind=Kind(number), blob=body, signatures=()))
        offset += _HEAD.size + length
    return records


def _bad(label: str, offset: int, problem: str) -> ContentError:
    return ContentError("bad-bundle", f"{label}: record at byte {offset}: {problem}")
