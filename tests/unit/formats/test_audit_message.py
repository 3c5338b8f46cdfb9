# SPDX-License-Identifier: Apache-2.0
"""Messages for audit: no value of others can end the text, and answers are read strictly."""

import struct

import pytest

from verity.formats.audit_message import MAX_TEXT, USER_AVC, answer, request, text
from verity.values.errors import ContentError


def test_words() -> None:
    fields: dict[str, str | int | bytes] = {"op": "exec", "seq": 12, "path": b"/opt/a-b"}
    assert text(fields) == b'verity: op=exec seq=12 path="/opt/a-b"'


@pytest.mark.parametrize(
    "value", [b"/a b", b"x'", b'x"', b"\n", b"\0", b"\xff", b"res=success x", b"$(x)", b""]
)
def test_what_others_chose_ends_nothing(value: bytes) -> None:
    """As libaudit: in hexadecimal, without quotes."""
    found = text({"ocomm": value})
    assert found == b"verity: ocomm=" + (value.hex().upper().encode() or b"?")


@pytest.mark.parametrize(
    "fields", [{"a": "x y"}, {"a": ""}, {"a": "'"}, {"A": "x"}, {"": "x"}, {"a=b": "x"}], ids=repr
)
def test_our_own_words_are_held_to_their_form(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no"):
        text(fields)


def test_a_text_that_audit_would_cut() -> None:
    with pytest.raises(ValueError, match="at most"):
        text({"path": b"x" * MAX_TEXT})


def test_a_request() -> None:
    """struct nlmsghdr; the length is with the NUL that the kernel wants, without the padding."""
    assert request(b"abcde", 7) == struct.pack("=IHHII", 22, USER_AVC, 5, 7, 0) + b"abcde\0\0\0"
    assert request(b"abc", 7) == struct.pack("=IHHII", 20, USER_AVC, 5, 7, 0) + b"abc\0"
    assert USER_AVC == 1107


def acknowledged(code: int, sequence: int, kind: int = 2) -> bytes:
    return struct.pack("=IHHIIi", 36, kind, 0, sequence, 0, code) + bytes(16)


def test_answers() -> None:
    assert answer(acknowledged(0, 7), 7) == 0
    assert answer(acknowledged(-1, 7), 7) == 1
    assert answer(acknowledged(0, 6), 7) is None
    assert answer(acknowledged(0, 7, kind=3), 7) is None
    with pytest.raises(ContentError, match="an answer of 19 bytes"):
        answer(acknowledged(0, 7)[:19], 7)
