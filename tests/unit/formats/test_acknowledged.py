# SPDX-License-Identifier: Apache-2.0
"""The record of what was acknowledged: one form, and everything else refused."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import acknowledged
from verity.formats.acknowledged import Record, Written
from verity.values.errors import ContentError

PASSWD = Written(
    path=b"/etc/passwd",
    mode=0o100644,
    uid=0,
    gid=0,
    digest=bytes(32),
    said={"root": {"uid": "0"}},
)
LINK = Written(path=b"/etc/two\nlines", mode=0o120777, uid=0, gid=1, target=b"../\xff x")
RECORD = Record(issued=1_700_000_000, files=(PASSWD, LINK))

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.binary(min_size=1, max_size=8).filter(lambda data: b"\0" not in data)


@st.composite
def files(draw: st.DrawFn) -> Written:
    is_link = draw(st.booleans())
    return Written(
        path=b"/" + draw(names),
        mode=(0o120000 if is_link else 0o100000) | draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**32 - 1)),
        gid=draw(st.integers(0, 2**32 - 1)),
        digest=None if is_link else draw(st.binary(min_size=32, max_size=32)),
        target=draw(names) if is_link else None,
        said=draw(st.dictionaries(texts, st.dictionaries(texts, texts), max_size=3)),
    )


@given(st.lists(files(), unique_by=lambda one: one.path), st.integers(0, 2**32))
def test_it_is_what_was_written(some: list[Written], issued: int) -> None:
    record = Record(issued=issued, files=tuple(sorted(some, key=lambda one: one.path)))
    data = acknowledged.encode(record)
    assert acknowledged.parse_record(data) == record
    stored = acknowledged.parse(acknowledged.file_bytes(data, b"{}"))
    assert (stored.record, stored.envelope) == (record, b"{}")
    assert acknowledged.parse(acknowledged.file_bytes(data, None)).envelope is None


def broken(change: Callable[[bytes], bytes]) -> bytes:
    """A record that was changed, under a first line that fits it."""
    return acknowledged.file_bytes(change(acknowledged.encode(RECORD)), None)


BAD = {
    "empty": (b"", "doesn't begin with"),
    "no-second-line": (b"verity-acknowledged 1 sha256:" + b"0" * 64, "doesn't begin with"),
    "another-version": (
        acknowledged.file_bytes(acknowledged.encode(RECORD), None).replace(b" 1 ", b" 2 ", 1),
        "doesn't begin with",
    ),
    "flipped-byte": (
        acknowledged.file_bytes(acknowledged.encode(RECORD), None)[:-1] + b"]",
        "the record has the SHA-256",
    ),
    "unknown-field": (broken(lambda data: data.replace(b'"gid"', b'"g":1,"gid"', 1)), "'g'"),
    "spaces": (broken(lambda data: data.replace(b",", b", ", 1)), "not the canonical JSON"),
    "relative-path": (broken(lambda data: data.replace(b'"/etc/p', b'"etc/p')), "no absolute path"),
    "unescaped-path": (broken(lambda data: data.replace(b"\\\\x0a", b" ")), "as a manifest has"),
    "not-sorted": (
        broken(lambda data: data.replace(b"/etc/passwd", b"/etc/zz")),
        "not sorted by path",
    ),
    "short-digest": (broken(lambda data: data.replace(b"sha256:00", b"sha256:")), "no digest"),
    "negative-owner": (broken(lambda data: data.replace(b'"uid":0', b'"uid":-1', 1)), "can't be"),
    "bad-mode": (broken(lambda data: data.replace(b'"100644"', b'"9"')), "with a mode"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    data, words = BAD[name]
    with pytest.raises(ContentError, match=words) as caught:
        acknowledged.parse(data)
    assert caught.value.code == "bad-document"


def test_a_signature_over_another_record() -> None:
    data = acknowledged.encode(RECORD)
    stored = acknowledged.parse(acknowledged.file_bytes(data, None))
    good = acknowledged.payload(hashlib.sha256(data).digest(), RECORD.issued)
    acknowledged.check_payload(good, stored)
    for bad in (
        acknowledged.payload(bytes(32), RECORD.issued),
        acknowledged.payload(stored.sha256, RECORD.issued + 1),
        good + b" ",
    ):
        with pytest.raises(ContentError, match="over another record"):
            acknowledged.check_payload(bad, stored)
