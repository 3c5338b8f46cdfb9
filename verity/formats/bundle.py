# SPDX-License-Identifier: Apache-2.0
"""The boot bundle and its fragments, bytes <-> values: blobs with their signatures, in order.

A bundle is records of kind, length and bytes (docs/formats.md section 12); a fragment is one blob
with the signatures over it, and a bundle is fragments in the order of their kinds. Every blob has
1 to 8 signatures in the PKCS#7 template. The tables inside of a blob are read by its own module,
and who signed is judged in the trust room. Revocations and floors have no layout yet: refused.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from verity.formats import grants, kernel_keys, kernel_policy, pkcs7
from verity.values.errors import ContentError

MAX_SIZE = 64 * 2**20
MAX_BLOB = 5 * 2**20  # the gate takes no longer one
MAX_SIGNATURES = 8  # the gate takes no more with one blob
MAX_DER = 252

_RECORD = struct.Struct("<II")


class RecordKind(IntEnum):
    """What a record is, in the order of a bundle; a signature is over the blob before it."""

    KEYS = 1
    POLICY = 2
    REVOKE = 3
    GRANTS = 4
    FLOORS = 5
    SIGNATURE = 16


_BLOB_KINDS = {
    RecordKind.KEYS: kernel_keys.KEYS_KIND,
    RecordKind.POLICY: kernel_policy.KIND,
    RecordKind.GRANTS: grants.KIND,
}


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A blob and the PKCS#7 signatures over it, none of them verified."""

    kind: RecordKind
    blob: bytes
    signatures: tuple[bytes, ...]


def encode(fragments: Sequence[Fragment]) -> bytes:
    """The bundle. Raises ContentError (``bad-bundle``) for what no bundle may hold."""
    records: list[bytes] = []
    for fragment in fragments:
        records += [_RECORD.pack(fragment.kind, len(fragment.blob)), fragment.blob]
        for signature in fragment.signatures:
            records += [_RECORD.pack(RecordKind.SIGNATURE, len(signature)), signature]
    data = b"".join(records)
    if parse(data) != tuple(fragments):  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> tuple[Fragment, ...]:
    """Read a bundle. Raises ContentError (``bad-bundle``) with the place and the reason.

    1. Records of known kinds, within the bounds, that end where the data ends.
    2. Each blob is of the record's kind, each signature the template.
    3. Blobs stand in the order of their kinds, each with 1 to 8 signatures behind it.
    """
    if not 0 < len(data) <= MAX_SIZE:
        _refuse(f"{len(data)} bytes, expected 1 to {MAX_SIZE}")
    fragments: list[Fragment] = []
    blob: bytes | None = None
    kind = RecordKind.KEYS
    signatures: list[bytes] = []
    offset = 0
    for number, (found, body) in enumerate(_records(data)):
        place = f"record {number} at {offset}"
        offset += _RECORD.size + len(body)
        if found is RecordKind.SIGNATURE:
            if blob is None:
                _refuse(f"{place}: a signature without a blob before it")
            signatures.append(_checked_signature(body, place, len(signatures)))
            continue
        if blob is not None:
            fragments.append(_fragment(kind, blob, signatures))
            if found < kind:
                _refuse(f"{place}: {found.name.lower()} must not come after {kind.name.lower()}")
        if not body.startswith(_BLOB_KINDS[found]):
            _refuse(f"{place}: not a blob of the kind {found.name.lower()}")
        kind, blob, signatures = found, body, []
    if blob is not None:
        fragments.append(_fragment(kind, blob, signatures))
    return tuple(fragments)


def parse_fragment(data: bytes, *, label: str) -> Fragment:
    """Read what holds exactly one blob; ``label`` names the file in an error."""
    try:
        found = parse(data)
    except ContentError as error:
        raise ContentError(error.code, f"{label}: {error.message}", hint=error.hint) from error
    if len(found) != 1:
        raise ContentError(
            "bad-bundle", f"{label}: {len(found)} blobs, expected one with its signatures"
        )
    return found[0]


def _records(data: bytes) -> list[tuple[RecordKind, bytes]]:
    records: list[tuple[RecordKind, bytes]] = []
    offset = 0
    while offset < len(data):
        place = f"record {len(records)} at {offset}"
        if len(data) - offset < _RECORD.size:
            _refuse(f"{place}: {len(data) - offset} bytes are no record")
        number, size = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if number not in RecordKind._value2member_map_:
            _refuse(f"{place}: the kind {number} is unknown")
        kind = RecordKind(number)
        if kind is not RecordKind.SIGNATURE and kind not in _BLOB_KINDS:
            _refuse(f"{place}: {kind.name.lower()} has no layout in this version")
        if size > len(data) - offset:
            _refuse(f"{place}: {size} bytes stated, {len(data) - offset} are left")
        if not 0 < size <= (MAX_DER if kind is RecordKind.SIGNATURE else MAX_BLOB):
            _refuse(
                f"{place}: {size} bytes, a signature has 1 to {MAX_DER}, a blob 1 to {MAX_BLOB}"
            )
        records.append((kind, data[offset : offset + size]))
        offset += size
    return records


def _checked_signature(data: bytes, place: str, before: int) -> bytes:
    if before >= MAX_SIGNATURES:
        _refuse(f"{place}: more than {MAX_SIGNATURES} signatures over one blob")
    try:
        pkcs7.parse(data)
    except ContentError as error:
        raise ContentError(
            "bad-bundle", f"bundle: {place}: {error.message}", hint=error.hint
        ) from error
    return data


def _fragment(kind: RecordKind, blob: bytes, signatures: list[bytes]) -> Fragment:
    if not signatures:
        _refuse(f"the {kind.name.lower()} blob of {len(blob)} bytes has no signature")
    return Fragment(kind=kind, blob=blob, signatures=tuple(signatures))


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-bundle", f"bundle: {reason}")
