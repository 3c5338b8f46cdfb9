# SPDX-License-Identifier: Apache-2.0
"""The boot bundle: records, their order, and nothing besides."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import VENDOR
from verity.formats import bundle, floor_record, pkcs7
from verity.formats.floor_record import RecordedFloor
from verity.formats.records import Fragment, RecordKind
from verity.values.errors import ContentError

KEYS = b"\x93verity-keys1\0\0\0 and so on"
POLICY = b"\x93verity-policy1\0 and so on"
GRANTS = b"\x93verity-grants1\0 and so on"
FLOORS = floor_record.encode(
    [RecordedFloor(stream="os", serial=7), RecordedFloor(stream="tools", serial=2**53 - 1)]
)
REVOKE = b"\x93verity-revoke1\0 and so on"
UNLOCK = b"\x93verity-unlock1\0 and so on"
P7S = pkcs7.encode(key_id=VENDOR.public.key_id, signature=VENDOR.sign(b"whatever"))


def fragment(kind: RecordKind, blob: bytes, signatures: int = 1) -> Fragment:
    return Fragment(kind=kind, blob=blob, signatures=(P7S,) * signatures)


WHOLE = (
    fragment(RecordKind.KEYS, KEYS),
    fragment(RecordKind.KEYS, KEYS + b"2", 2),
    fragment(RecordKind.POLICY, POLICY),
    fragment(RecordKind.REVOKE, REVOKE, 3),
    fragment(RecordKind.REVOKE, REVOKE + b"2"),
    fragment(RecordKind.GRANTS, GRANTS),
    fragment(RecordKind.GRANTS, GRANTS + b"2", 8),
    fragment(RecordKind.FLOORS, FLOORS, 0),
)


def record(kind: int, data: bytes, size: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(data) if size is None else size) + data


SIGNATURE = record(16, P7S)
KEYS_SIGNED = record(1, KEYS) + SIGNATURE


def test_layout() -> None:
    assert bundle.encode(WHOLE[:1]) == record(1, KEYS) + SIGNATURE
    assert bundle.encode([WHOLE[2], WHOLE[5]]) == (
        record(2, POLICY) + SIGNATURE + record(4, GRANTS) + SIGNATURE
    )


def test_a_token_is_a_fragment_by_itself() -> None:
    token = fragment(RecordKind.UNLOCK, UNLOCK, 2)
    data = bundle.encode([token])
    assert data == record(6, UNLOCK) + SIGNATURE * 2
    assert bundle.parse_fragment(data, label="x") == token


def test_a_bundle_is_its_fragments_in_order() -> None:
    data = bundle.encode(WHOLE)
    assert bundle.parse(data) == WHOLE
    assert data == b"".join(bundle.encode([one]) for one in WHOLE)
    for one in WHOLE:
        assert bundle.parse_fragment(bundle.encode([one]), label="x") == one


REFUSED = {
    "empty": (b"", "0 bytes, expected 1 to"),
    "cut in a header": (KEYS_SIGNED[:7], "record 0 at 0: 7 bytes are no record"),
    "cut in a blob": (record(1, KEYS)[:-1], f"{len(KEYS)} bytes stated, {len(KEYS) - 1} are left"),
    "cut in a signature": (KEYS_SIGNED[:-1], "record 1 at "),
    "bytes behind": (KEYS_SIGNED + b"\0", "1 bytes are no record"),
    "huge length": (record(1, KEYS, 2**32 - 1), "4294967295 bytes stated"),
    "empty blob": (record(1, b"") + SIGNATURE, "an empty record"),
    "empty signature": (record(1, KEYS) + record(16, b""), "an empty record"),
    "long signature": (record(1, KEYS) + record(16, bytes(253)), "253 bytes"),
    "long blob": (record(4, GRANTS + bytes(5 * 2**20)) + SIGNATURE, "a blob has 1 to 5242880"),
    "kind 0": (record(0, KEYS) + SIGNATURE, "the kind 0 is unknown"),
    "kind 7": (KEYS_SIGNED + record(7, KEYS), "the kind 7 is unknown"),
    "kind 17": (KEYS_SIGNED + record(17, P7S), "the kind 17 is unknown"),
    "floors of another size": (
        KEYS_SIGNED + record(5, b"floors"),
        "6 bytes, expected 1 to 64 times",
    ),
    "floors that are signed": (KEYS_SIGNED + record(5, FLOORS) + SIGNATURE, "which nobody signs"),
    "floors before grants": (
        record(5, FLOORS) + record(4, GRANTS) + SIGNATURE,
        "grants must not come after floors",
    ),
    "keys as revoke": (record(3, KEYS) + SIGNATURE, "not a blob of the kind revoke"),
    "revoke without a signature": (
        record(3, REVOKE),
        "blob 1 (revoke): the blob of 26 bytes has no",
    ),
    "revoke before policy": (
        record(3, REVOKE) + SIGNATURE + record(2, POLICY) + SIGNATURE,
        "policy must not come after revoke",
    ),
    "revoke after grants": (
        record(4, GRANTS) + SIGNATURE + record(3, REVOKE) + SIGNATURE,
        "revoke must not come after grants",
    ),
    "a token in a bundle": (
        KEYS_SIGNED + record(6, UNLOCK) + SIGNATURE,
        "an unlock token is no part of a bundle",
    ),
    "two tokens": ((record(6, UNLOCK) + SIGNATURE) * 2, "an unlock token is no part of a bundle"),
    "signature first": (SIGNATURE + KEYS_SIGNED, "a signature without a blob before it"),
    "unsigned": (record(1, KEYS), "blob 1 (keys): the blob of 26 bytes has no signature"),
    "unsigned among others": (
        record(1, KEYS) + record(2, POLICY) + SIGNATURE,
        "blob 1 (keys): the blob of 26 bytes has no signature",
    ),
    "unsigned at the end": (KEYS_SIGNED + record(4, GRANTS), "blob 2 (grants): the blob of"),
    "nine signatures": (record(1, KEYS) + SIGNATURE * 9, "more than 8 signatures"),
    "not the template": (record(1, KEYS) + record(16, P7S[:-1]), "not the one PKCS#7 template"),
    "garbage for a signature": (record(1, KEYS) + record(16, b"sig"), "PKCS#7 template"),
    "policy as keys": (record(1, POLICY) + SIGNATURE, "not a blob of the kind keys"),
    "pin as keys": (record(1, b"\x93verity-pin1\0\0\0\0") + SIGNATURE, "not a blob of the kind"),
    "keys as grants": (record(4, KEYS) + SIGNATURE, "not a blob of the kind grants"),
    "policy before keys": (
        record(2, POLICY) + SIGNATURE + KEYS_SIGNED,
        "keys must not come after policy",
    ),
    "grants before policy": (
        record(4, GRANTS) + SIGNATURE + record(2, POLICY) + SIGNATURE,
        "policy must not come after grants",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ContentError) as caught:
        bundle.parse(data)
    assert caught.value.code == "bad-bundle"
    assert caught.value.message.startswith("bundle: ")
    assert reason in caught.value.message
    with pytest.raises(ContentError, match=r"^x\.keys: bundle: ") as caught:
        bundle.parse_fragment(data, label="x.keys")
    assert reason in caught.value.message


def test_the_longest_blob() -> None:
    longest = fragment(RecordKind.GRANTS, GRANTS.ljust(5 * 2**20, b"\0"))
    assert bundle.parse(bundle.encode([longest])) == (longest,)


def test_a_bundle_is_bounded() -> None:
    with pytest.raises(ContentError, match="expected 1 to 67108864"):
        bundle.parse(bytes(64 * 2**20 + 1))


def test_a_fragment_is_one_blob() -> None:
    with pytest.raises(ContentError, match="x: 2 blobs, expected one") as caught:
        bundle.parse_fragment(bundle.encode(WHOLE[:2]), label="x")
    assert caught.value.code == "bad-bundle"


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [replace(WHOLE[0], signatures=())],
        [replace(WHOLE[0], kind=RecordKind.POLICY)],
        [replace(WHOLE[0], kind=RecordKind.SIGNATURE)],
        WHOLE[::-1],
    ],
)
def test_nothing_is_written_that_would_not_be_read(bad: list[Fragment]) -> None:
    with pytest.raises(ContentError, match="bundle: "):
        bundle.encode(bad)


@given(st.data())
def test_a_mutated_bundle_is_read_the_same_way_or_refused(data: st.DataObject) -> None:
    made = bytearray(bundle.encode(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = bundle.parse(bytes(made))
    except ContentError:
        return
    assert bundle.encode(parsed) == bytes(made)


@given(st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ContentError):
        bundle.parse(garbage)
