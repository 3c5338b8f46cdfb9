# SPDX-License-Identifier: Apache-2.0
"""tests/vectors/: every good document is read, every bad one refused with its code and reason.

What is canonical is written again, byte for byte.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.documents import VECTORS, Document, load
from verity.formats import (
    any_dump,
    dump,
    grants,
    gvariant,
    kernel_keys,
    kernel_policy,
    pkcs7,
    statement,
    strictjson,
)
from verity.formats.commit import Commit, DetachedMetadata, DirTree
from verity.formats.ostree_file import DirMeta, FileHeader, parse_filez_frame, parse_owner
from verity.values.errors import ContentError

LABEL = "the thing"


def read_gvariant(one: Document) -> bytes:
    return gvariant.encode(one.kind, gvariant.decode(one.kind, one.data, label=LABEL))


def read_object(one: Document) -> bytes:
    match one.kind:
        case "commit":
            return Commit.parse(one.data, label=LABEL).encode()
        case "dirtree":
            return DirTree.parse(one.data, label=LABEL).encode()
        case "dirmeta":
            return DirMeta.parse(one.data, label=LABEL).encode()
        case "file":
            return FileHeader.parse(one.data, label=LABEL).encode()
        case "filez":
            header, size = FileHeader.parse_filez(one.data, label=LABEL)
            return header.encode_filez(size)
        case "filez-frame":
            return parse_filez_frame(one.data, label=LABEL).to_bytes(4, "big") + bytes(4)
        case "commitmeta":
            return DetachedMetadata.parse(one.data, label=LABEL).encode()
        case "owner":
            parse_owner(one.data, label=LABEL)
            return one.data
    raise ValueError(one.kind)


def both(
    parse: Callable[[bytes], Any], encode: Callable[[Any], bytes]
) -> Callable[[Document], bytes]:
    """Read a document and write it again."""
    return lambda one: encode(parse(one.data))


def read_only(parse: Callable[[bytes], Any]) -> Callable[[Document], None]:
    """Read what has more than one spelling."""

    def read(one: Document) -> None:
        parse(one.data)

    return read


READERS: dict[str, Callable[[Document], bytes | None]] = {
    "composefs-dump": lambda one: dump.serialise(any_dump.parse(one.data).entries),
    "envelope": read_only(statement.parse_envelope),
    "grants": both(grants.parse, grants.encode),
    "gvariant": read_gvariant,
    "json": read_only(lambda data: strictjson.parse(data, what="it", max_size=2**17)),
    "keys": both(kernel_keys.parse_keys, kernel_keys.encode_keys),
    "manifest": both(dump.parse, dump.serialise),
    "ostree": read_object,
    "pin": both(kernel_keys.parse_pin, kernel_keys.encode_pin),
    "pkcs7": both(pkcs7.parse, pkcs7.BlobSignature.encode),
    "policy": both(kernel_policy.parse, kernel_policy.encode),
    "statement": both(statement.parse, statement.encode),
}
ELSEWHERE = {"decisions"}  # tests/decisions.py


def rows(*, bad: bool) -> list[Any]:
    return [
        pytest.param(name, one, id=f"{name}: {one.name}")
        for name in READERS
        for one in load(name)[bad].values()
    ]


def test_every_file_is_read_here() -> None:
    assert {path.stem for path in VECTORS.glob("*.toml")} == set(READERS) | ELSEWHERE


@pytest.mark.parametrize(("name", "one"), rows(bad=False))
def test_good(name: str, one: Document) -> None:
    expected = one.data if one.canonical is None else one.canonical
    assert READERS[name](one) in (expected, None)


@pytest.mark.parametrize(("name", "one"), rows(bad=True))
def test_bad(name: str, one: Document) -> None:
    with pytest.raises(ContentError) as caught:
        READERS[name](one)
    assert caught.value.code == one.code
    assert one.reason in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600
    if one.kind:
        assert caught.value.message.startswith(f"{LABEL}: ")
