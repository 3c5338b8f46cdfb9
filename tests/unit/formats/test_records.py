# SPDX-License-Identifier: Apache-2.0
"""Records on their way to the gate: carried as they are, cut only where they end."""

import struct

import pytest

from verity.formats.records import Kind, Record, parse
from verity.values.errors import ContentError


def record(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(body) if length is None else length) + body


def test_what_nobody_could_have_signed_is_carried() -> None:
    # The gate is the one to refuse it: a parser that does so first would hide the gate's answer.
    data = record(3, b"junk") + record(4, b"\xff") + record(16, b"a") + record(16, b"b")
    assert parse(data, label="f") == [
        Record(kind=Kind.REVOKE, blob=b"junk", signatures=()),
        Record(kind=Kind.GRANTS, blob=b"\xff", signatures=(b"a", b"b")),
    ]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "at byte 0: 0 bytes"),
        (b"\x04\0\0\0\0\0\0", "at byte 0: ends within the head"),
        (record(4, b"x") + b"\x10", "at byte 9: ends within the head"),
        (record(4, b"xy", 3), "a record of 3 bytes, of which 2 are there"),
        (record(4, b"x", 2**32 - 1), "a record of 4294967295 bytes"),
        (record(4, b""), "an empty record"),
        (record(16, b"x"), "a signature without a blob"),
        (record(0, b"x"), "a record of kind 0"),
        (record(5, b"x"), "a record of kind 5"),
        (record(17, b"x"), "a record of kind 17"),
        (record(4, b"x") + record(1, b"x"), "a record of kind 1 after one of 4"),
        (record(4, b"x") + record(16, b"s") * 9, "more than 8 signatures"),
    ],
)
def test_what_is_no_fragment(data: bytes, word: str) -> None:
    with pytest.raises(ContentError) as caught:
        parse(data, label="f")
    assert caught.value.code == "bad-bundle"
    assert caught.value.message.startswith("f: record ")
    assert word in caught.value.message
