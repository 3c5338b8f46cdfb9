# SPDX-License-Identifier: Apache-2.0
"""Archives of an initramfs: several in a row, padding, and everything that is cut."""

import stat

import pytest

from verity.formats import cpio
from verity.formats.cpio import File
from verity.values.errors import ContentError

FILE = stat.S_IFREG | 0o755


def entry(name: bytes, data: bytes = b"", mode: int = FILE) -> bytes:
    fields = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % one for one in fields) + name + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def archive(*entries: bytes) -> bytes:
    return b"".join(entries) + entry(b"TRAILER!!!", mode=0)


def read(data: bytes) -> tuple[list[File], int]:
    found: list[File] = []
    return found, cpio.read(data, found)


def test_archives_behind_each_other() -> None:
    first, second = archive(entry(b"init", b"#!/bin/sh\n")), archive(entry(b"a/b", b"x" * 5))
    found, end = read(first + bytes(512) + second + b"\x1f\x8bpacked")
    assert [(one.name, one.data) for one in found] == [
        (b"init", b"#!/bin/sh\n"),
        (b"a/b", b"xxxxx"),
    ]
    assert end == len(first) + 512 + len(second)
    assert found[0].mode == FILE


def test_what_is_no_archive_ends_it() -> None:
    assert read(b"\x28\xb5\x2f\xfdrest") == ([], 0)
    assert read(b"") == ([], 0)


GOOD = archive(entry(b"init", b"abc"))


@pytest.mark.parametrize("length", range(6, len(GOOD), 7))
def test_a_cut_archive_is_refused(length: int) -> None:
    with pytest.raises(ContentError, match="cpio: byte"):
        read(GOOD[:length])


@pytest.mark.parametrize(
    "bad",
    [
        GOOD[:6] + b"0000zzzz" + GOOD[14:],
        GOOD[:54] + b"7FFFFFFF" + GOOD[62:],  # contents longer than the file
        GOOD[:94] + b"00000000" + GOOD[102:],  # no name
    ],
)
def test_fields_that_no_entry_has(bad: bytes) -> None:
    with pytest.raises(ContentError, match="cpio: byte 0"):
        read(bad)
