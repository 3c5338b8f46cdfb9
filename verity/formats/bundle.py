# SPDX-License-Identifier: Apache-2.0
"""The boot bundle and its fragments, bytes <-> values: blobs with their signatures, in order.

A bundle is records of kind, length and bytes (docs/formats.md section 12), which `records.py`
reads; a fragment is one blob with the signatures over it, and a bundle is fragments in the order of
their kinds. Every blob has 1 to 8 signatures in the PKCS#7 template, but for floors, which nobody
signs and which are read here, too. The tables inside of a blob are read by its own module, and who
signed is judged in the trust room. An unlock token is a fragment by itself and in no bundle.
"""

from collections.abc import Sequence
from typing import NoReturn

from verity.formats import floor_record, kinds, pkcs7, records
from verity.formats.records import Fragment, RecordKind
from verity.values.errors import ContentError

MAX_SIZE = records.MAX_SIZE
MAX_BLOB = 5 * 2**20  # the gate takes no longer one
MAX_DER = 252

_BLOB_KINDS = {
    RecordKind.KEYS: kinds.KEYS,
    RecordKind.POLICY: kinds.POLICY,
    RecordKind.REVOKE: kinds.REVOKE,
    RecordKind.GRANTS: kinds.GRANTS,
    RecordKind.UNLOCK: kinds.UNLOCK,
}


def encode(fragments: Sequence[Fragment]) -> bytes:
    """The bundle. Raises ContentError (``bad-bundle``) for what no bundle may hold."""
    data = records.join(fragments)
    if parse(data) != tuple(fragments):  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> tuple[Fragment, ...]:
    """Read a bundle. Raises ContentError (``bad-bundle``) with the place and the reason.

    1. Records as they must be.
    2. Each blob is of its record's kind and has 1 to 8 signatures, each of them the template;
       floors are entries as they must be, and have none.
    3. An unlock token is there alone.
    """
    fragments = tuple(records.split(data, label="bundle"))
    for number, fragment in enumerate(fragments, 1):
        _check(fragment, f"blob {number} ({fragment.kind.name.lower()})")
        if fragment.kind is RecordKind.UNLOCK and len(fragments) > 1:
            _refuse(f"blob {number}: an unlock token is no part of a bundle")
    return fragments


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


def _check(fragment: Fragment, place: str) -> None:
    kind, size = fragment.kind, len(fragment.blob)
    if kind is RecordKind.FLOORS:
        _check_floors(fragment.blob, place)
        return
    if size > MAX_BLOB:
        _refuse(f"{place}: {size} bytes, a blob has 1 to {MAX_BLOB}")
    if not fragment.blob.startswith(_BLOB_KINDS[kind]):
        _refuse(f"{place}: not a blob of the kind {kind.name.lower()}")
    if not fragment.signatures:
        _refuse(f"{place}: the blob of {size} bytes has no signature")
    for number, signature in enumerate(fragment.signatures, 1):
        _check_signature(signature, f"{place}: signature {number}")


def _check_floors(blob: bytes, place: str) -> None:
    try:
        floor_record.parse(blob)
    except ContentError as error:
        raise ContentError("bad-bundle", f"bundle: {place}: {error.message}") from error


def _check_signature(signature: bytes, place: str) -> None:
    if len(signature) > MAX_DER:
        _refuse(f"{place}: {len(signature)} bytes, a signature has 1 to {MAX_DER}")
    try:
        pkcs7.parse(signature)
    except ContentError as error:
        raise ContentError(
            "bad-bundle", f"bundle: {place}: {error.message}", hint=error.hint
        ) from error


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-bundle", f"bundle: {reason}")
