# SPDX-License-Identifier: Apache-2.0
"""Entries for the journal, byte for byte as the protocol has them."""

import pytest

from verity.formats.journal_entry import MAX_ENTRY, encode


def test_fields() -> None:
    assert encode({"MESSAGE": "a = ü", "A_1": ""}) == "MESSAGE=a = ü\nA_1=\n".encode()


def test_a_line_feed_in_a_value() -> None:
    """The example of the protocol's description: its length is of bytes."""
    value = "foo\nü"
    assert encode({"MESSAGE": value}) == b"MESSAGE\n\x06\0\0\0\0\0\0\0foo\n\xc3\xbc\n"


@pytest.mark.parametrize("name", ["", "_UID", "a", "A B", "1A", "A\nB", "A=B", "A" * 65])
def test_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a field"):
        encode({name: "x"})


@pytest.mark.parametrize("fields", [{}, {"A": "x" * MAX_ENTRY}])
def test_no_entry(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        encode(fields)
