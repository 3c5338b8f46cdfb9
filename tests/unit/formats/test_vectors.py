# SPDX-License-Identifier: Apache-2.0
"""tests/vectors/: every good document is read, every bad one refused with its code and reason.

What is canonical is written again, byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.documents import VECTORS, Document, load
from verity.formats import (
    any_dump,
    dump,
    evidence,
    floor_record,
    grants,
    gvariant,
    kernel_keys,
    kernel_policy,
    pkcs7,
    policy_document,
    statement,
    strictjson,
    typed_token,
    unlock,
    waiver,
)
from verity.formats.commit import Commit, DetachedMetadata, DirTree
from verity.formats.ostree_file import (
    DirMeta,
    FileHeader,
    encode_owner,
    parse_filez_frame,
    parse_owner,
)
from verity.values.errors import ContentError

LABEL = "the thing"


@dataclass(frozen=True)
class Format:
    """A parser, and what writes again what it read; None where a document has many spellings."""

    parse: Callable[[Document], Any]
    write: Callable[[Any, Document], bytes] | None = None


def of_bytes(parse: Callable[[bytes], Any], encode: Callable[[Any], bytes] | None = None) -> Format:
    """A format whose functions need nothing but the document."""
    write = None if encode is None else lambda value, _: encode(value)
    return Format(lambda one: parse(one.data), write)


OBJECTS: dict[str, tuple[Callable[..., Any], Callable[[Any], bytes]]] = {
    "commit": (Commit.parse, Commit.encode),
    "dirtree": (DirTree.parse, DirTree.encode),
    "dirmeta": (DirMeta.parse, DirMeta.encode),
    "file": (FileHeader.parse, FileHeader.encode),
    "filez": (FileHeader.parse_filez, lambda found: found[0].encode_filez(found[1])),
    "filez-frame": (parse_filez_frame, lambda size: size.to_bytes(4, "big") + bytes(4)),
    "commitmeta": (DetachedMetadata.parse, DetachedMetadata.encode),
    "owner": (
        parse_owner,
        lambda found: encode_owner(uid=found[0], gid=found[1], mode=found[2], xattrs=found[3]),
    ),
}
FORMATS = {
    "composefs-dump": of_bytes(any_dump.parse, any_dump.to_manifest),
    "envelope": of_bytes(statement.parse_envelope),
    "evidence": of_bytes(evidence.parse, evidence.encode),
    "floors": of_bytes(floor_record.parse, floor_record.encode),
    "grants": of_bytes(grants.parse, grants.encode),
    "gvariant": Format(
        lambda one: gvariant.decode(one.kind, one.data, label=LABEL),
        lambda value, one: gvariant.encode(one.kind, value),
    ),
    "json": of_bytes(lambda data: strictjson.parse(data, what="it", max_size=2**17)),
    "keys": of_bytes(kernel_keys.parse_keys, kernel_keys.encode_keys),
    "manifest": of_bytes(dump.parse, dump.serialise),
    "ostree": Format(
        lambda one: OBJECTS[one.kind][0](one.data, label=LABEL),
        lambda value, one: OBJECTS[one.kind][1](value),
    ),
    "pin": of_bytes(kernel_keys.parse_pin, kernel_keys.encode_pin),
    "pkcs7": of_bytes(pkcs7.parse, pkcs7.BlobSignature.encode),
    "policy": of_bytes(kernel_policy.parse, kernel_policy.encode),
    "policy-document": of_bytes(policy_document.parse, policy_document.encode),
    "statement": of_bytes(statement.parse, statement.encode),
    "typed-token": of_bytes(
        typed_token.decode, lambda found: typed_token.page(typed_token.encode(found)).encode()
    ),
    "unlock": of_bytes(unlock.parse, unlock.encode),
    "waiver": of_bytes(waiver.parse, waiver.encode),
}
ELSEWHERE = {"decisions", "revoke"}  # tests/decisions.py, test_revoke.py


def rows(*, bad: bool) -> list[Any]:
    return [
        pytest.param(name, one, id=f"{name}: {one.name}")
        for name in FORMATS
        for one in load(name)[bad].values()
    ]


def test_every_file_is_read_here() -> None:
    assert {path.stem for path in VECTORS.glob("*.toml")} == set(FORMATS) | ELSEWHERE


@pytest.mark.parametrize(("name", "one"), rows(bad=False))
def test_good(name: str, one: Document) -> None:
    form = FORMATS[name]
    value = form.parse(one)
    if form.write is not None:
        expected = one.data if one.canonical is None else one.canonical
        assert form.write(value, one) == expected


@pytest.mark.parametrize(("name", "one"), rows(bad=True))
def test_bad(name: str, one: Document) -> None:
    form = FORMATS[name]
    with pytest.raises(ContentError) as caught:
        found = form.parse(one)
        # A dump may hold what is only refused when a manifest is made of it.
        if name == "composefs-dump" and form.write is not None:
            form.write(found, one)
    assert caught.value.code == one.code
    assert one.reason in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600
    if one.kind:
        assert caught.value.message.startswith(f"{LABEL}: ")
