# SPDX-License-Identifier: Apache-2.0
"""Records on their way to the gate: carried as they are, cut only where they end."""

import struct

import pytest

from verity.formats.records import Fragment, RecordKind, join, split
from verity.values.errors import ContentError


def record(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(body) if length is None else length) + body


def test_what_nobody_could_have_signed_is_carried() -> None:
    # The gate is the one to refuse it: a parser that does so first would hide the gate's answer.
    data = record(3, b"junk") + record(4, b"\xff") + record(16, b"a") + record(16, b"b")
    carried = [
        Fragment(kind=RecordKind.REVOKE, blob=b"junk", signatures=()),
        Fragment(kind=RecordKind.GRANTS, blob=b"\xff", signatures=(b"a", b"b")),
    ]
    assert split(data, label="f") == carried
    assert join(carried) == data


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "0 bytes, expected 1 to"),
        (b"\x04\0\0\0\0\0\0", "record 0 at 0: 7 bytes are no record"),
        (record(4, b"x") + b"\x10", "record 1 at 9: 1 bytes are no record"),
        (record(4, b"xy", 3), "3 bytes stated, 2 are left"),
        (record(4, b"x", 2**32 - 1), "4294967295 bytes stated"),
        (record(4, b""), "an empty record"),
        (record(4, b"x") + record(16, b""), "record 1 at 9: an empty record"),
        (record(16, b"x"), "a signature without a blob"),
        (record(0, b"x"), "the kind 0 is unknown"),
        (record(5, b"x") + record(5, b"x"), "record 1 at 9: floors a second time"),
        (record(5, b"x") + record(16, b"s"), "a signature behind floors"),
        (record(5, b"x") + record(4, b"x"), "grants must not come after floors"),
        (record(17, b"x"), "the kind 17 is unknown"),
        (record(4, b"x") + record(1, b"x"), "keys must not come after grants"),
        (record(4, b"x") + record(16, b"s") * 9, "record 9 at 81: more than 8 signatures"),
    ],
)
def test_what_is_no_fragment(data: bytes, word: str) -> None:
    with pytest.raises(ContentError) as caught:
        split(data, label="f")
    assert caught.value.code == "bad-bundle"
    assert caught.value.message.startswith("f: ")
    assert word in caught.value.message
