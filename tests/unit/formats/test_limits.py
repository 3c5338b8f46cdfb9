# SPDX-License-Identifier: Apache-2.0
"""Documents far beyond every limit: refused without a copy being made of them.

What counts is memory, measured with tracemalloc; a parser that looked at each of 10^8 bytes in
Python would show as a test that doesn't end.
"""

import functools
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from tests.unit.formats.test_pkcs7 import SIGNED
from verity.formats import (
    any_dump,
    dump,
    grants,
    gvariant,
    kernel_policy,
    pkcs7,
    statement,
    strictjson,
)
from verity.formats.commit import Commit, DetachedMetadata, DirTree
from verity.values.errors import ContentError
from verity.verbs.signed import MANIFEST, manifest_bytes

MANY = 100_000_000
LITTLE = 1 << 20  # bytes of memory
ROOT = b"/ 0 40755 1 0 0 0 0.0 - - -\n"
DEEP = 60_000

Parse = Callable[[bytes], object]


def json_of_any_size(data: bytes) -> object:
    return strictjson.parse(data, what="it", max_size=MANY + 1)


def commit(data: bytes) -> object:
    return Commit.parse(data, label="it")


def dirtree(data: bytes) -> object:
    return DirTree.parse(data, label="it")


def commitmeta(data: bytes) -> object:
    return DetachedMetadata.parse(data, label="it")


HUGE: dict[str, tuple[Parse, Callable[[], bytes], str]] = {
    "a path of 100 MB": (
        dump.parse, lambda: ROOT + b"/" + b"a" * MANY + b" 0 40755 1 0 0 0 0.0 - - -\n",
        "manifest line 2: 100000027 bytes, at most 65536",
    ),
    "an xattr of 100 MB": (
        dump.parse, lambda: ROOT[:-1] + b" user.a=" + b"\\xff" * (MANY // 4) + b"\n",
        "manifest line 1: 100000035 bytes, at most 65536",
    ),
    "a line of 100 MB of spaces": (
        dump.parse, lambda: b" " * MANY + b"\n", "manifest line 1: 100000000 bytes"
    ),
    "100 MB without a newline": (dump.parse, lambda: b"/" * MANY, "without a final newline"),
    "100 MB of newlines": (
        dump.parse, lambda: b"\n" * MANY, "100000000 entries, at most 1048576 are allowed"
    ),
    "one entry too many": (
        dump.parse,
        lambda: ROOT + b"".join(b"/%d 0 10644 1 0 0 0 0.0 - - -\n" % n for n in range(2**20)),
        "manifest: 1048577 entries, at most 1048576 are allowed",
    ),
    "a dump of too many entries": (
        any_dump.parse, lambda: ROOT * (2**20 + 1), "dump: 1048577 entries, at most 1048576"
    ),
    "a manifest over its limit": (
        dump.parse, lambda: bytes(dump.MAX_SIZE + 1), "at most 268435456 are allowed"
    ),
    "a dump's line of 100 MB": (
        any_dump.parse, lambda: ROOT + b"/" + b"a" * MANY, "dump line 2: 100000001 bytes"
    ),
    "a dump over its limit": (
        any_dump.parse, lambda: bytes(dump.MAX_SIZE + 1), "expected 1 to 268435456"
    ),
    "a statement of 100 MB": (statement.parse, lambda: b"[" * MANY, "at most 65536"),
    "an envelope of 100 MB": (statement.parse_envelope, lambda: b" " * MANY, "at most 131072"),
    "grants of 100 MB": (grants.parse, lambda: grants.KIND + bytes(MANY), "expected 168 to"),
    "a policy of 100 MB": (
        kernel_policy.parse, lambda: kernel_policy.KIND + bytes(MANY), "expected 192 to"
    ),
    "a signature of 100 MB": (pkcs7.parse, lambda: SIGNED[:90] + bytes(MANY), "template"),
    "a commit over its limit": (commit, lambda: bytes(gvariant.MAX_SIZE + 1), "at most 134217728"),
    "a dirtree over its limit": (
        dirtree, lambda: bytes(gvariant.MAX_SIZE + 1), "at most 134217728"
    ),
    "a commitmeta over its limit": (
        commitmeta, lambda: bytes(gvariant.MAX_SIZE + 1), "at most 134217728"
    ),
    "brackets without end": (json_of_any_size, lambda: b"[" * DEEP, "nested deeper than 32"),
    "objects without end": (json_of_any_size, lambda: b'{"a":' * DEEP, "nested deeper than 32"),
    "an integer of a million digits": (
        json_of_any_size, lambda: b"1" * 1_000_000, "is beyond 2^53-1"
    ),
}  # fmt: skip


def refused(call: Callable[[], object]) -> tuple[ContentError, int]:
    """The error of a call, and the most memory that it had at once."""
    tracemalloc.start()
    try:
        with pytest.raises(ContentError) as caught:
            call()
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HUGE)
def test_refused_in_little_memory(name: str) -> None:
    parse, made, reason = HUGE[name]
    data = made()
    error, peak = refused(lambda: parse(data))
    assert reason in error.message
    assert len(error.message) < 300
    # What is within the limit becomes text, once and once more for the parser.
    assert peak < (LITTLE if len(data) >= MANY else LITTLE + 4 * len(data))


@functools.cache
def bomb() -> bytes:
    """200 MB of zeros: 200 kB."""
    return zlib.compress(bytes(200 << 20), 9)


@pytest.mark.parametrize("stated", [0, 1, 1000, dump.MAX_SIZE + 1, 2**64 - 1])
def test_a_zlib_bomb_is_inflated_as_far_as_its_size_says(stated: int) -> None:
    packed = stated.to_bytes(8, "little") + bomb()
    detached = DetachedMetadata().with_bytes(MANIFEST, packed)
    error, peak = refused(lambda: manifest_bytes(detached, "test"))
    assert error.code == "bad-manifest"
    assert f"{stated} bytes stated" in error.message
    assert peak < 4 * len(packed)


PACKED = zlib.compress(ROOT)
BAD_PACKED = {
    "nothing": b"",
    "a size of 7 bytes": bytes(7),
    "a size alone": len(ROOT).to_bytes(8, "little"),
    "a size in the other byte order": len(ROOT).to_bytes(8, "big") + PACKED,
    "one less": (len(ROOT) - 1).to_bytes(8, "little") + PACKED,
    "one more": (len(ROOT) + 1).to_bytes(8, "little") + PACKED,
    "no zlib header": len(ROOT).to_bytes(8, "little") + PACKED[2:-4],
    "gzip": len(ROOT).to_bytes(8, "little") + b"\x1f\x8b" + PACKED,
    "cut": len(ROOT).to_bytes(8, "little") + PACKED[:-1],
    "another check sum": len(ROOT).to_bytes(8, "little") + PACKED[:-1] + b"\0",
    "a byte behind": len(ROOT).to_bytes(8, "little") + PACKED + b"\0",
    "two streams": (2 * len(ROOT)).to_bytes(8, "little") + PACKED + PACKED,
    "not packed": len(ROOT).to_bytes(8, "little") + ROOT,
}


@pytest.mark.parametrize("name", BAD_PACKED)
def test_packed_manifests_that_are_refused(name: str) -> None:
    detached = DetachedMetadata().with_bytes(MANIFEST, BAD_PACKED[name])
    with pytest.raises(ContentError) as caught:
        manifest_bytes(detached, "test")
    assert caught.value.code == "bad-manifest"


def test_the_packed_manifest_they_were_made_from_is_read() -> None:
    detached = DetachedMetadata().with_bytes(MANIFEST, len(ROOT).to_bytes(8, "little") + PACKED)
    assert manifest_bytes(detached, "test") == ROOT
