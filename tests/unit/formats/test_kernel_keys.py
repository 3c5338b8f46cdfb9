# SPDX-License-Identifier: Apache-2.0
"""The blobs keys and pin: exact bytes, strict reading."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import EXPIRES, ISSUED, Signer
from verity.formats import kernel_keys
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import KernelKeys, KeyEntry, Pin, sorted_keys
from verity.values.errors import ContentError

SPKIS = [Signer(number).public.spki for number in range(1, 13)]


def entries(*places: tuple[Role, int], first: int = 0) -> tuple[KeyEntry, ...]:
    """A key for each (role, owner), in order."""
    made = [
        KeyEntry(role=role, owner=owner, spki=SPKIS[first + number])
        for number, (role, owner) in enumerate(places)
    ]
    return tuple(sorted(made, key=lambda entry: entry.key_id))


KEYS = KernelKeys(
    party=Party.USER,
    version=7,
    issued=ISSUED,
    expires=EXPIRES,
    thresholds={Role.EXTENSION: 2, Role.POLICY: 1},
    keys=entries((Role.EXTENSION, 0), (Role.EXTENSION, 1), (Role.POLICY, 0)),
)
PIN = Pin(party=Party.VENDOR, threshold=2, keys=entries((Role.ROOT, 0), (Role.ROOT, 1)))


def test_layout_of_keys() -> None:
    data = kernel_keys.encode_keys(KEYS)
    assert len(data) == 64 + 3 * 128
    assert data[:16] == b"\x93verity-keys1\0\0\0"
    assert struct.unpack_from("<II", data, 16) == (64, len(data))
    assert data[24:28] == b"\x02\0\0\0"
    assert struct.unpack_from("<IQQQ", data, 28) == (3, 7, ISSUED, EXPIRES)
    assert data[56:64] == bytes((0, 0, 0, 0, 2, 1, 0, 0))
    first = KEYS.keys[0]
    assert data[64:96] == hashlib.sha256(first.spki).digest() == first.key_id
    assert data[96:100] == bytes((first.role, first.owner, 0, 0))
    assert data[100:191] == first.spki
    assert data[191] == 0
    assert kernel_keys.parse_keys(data) == KEYS


def test_layout_of_a_pin() -> None:
    data = kernel_keys.encode_pin(PIN)
    assert data[:16] == b"\x93verity-pin1\0\0\0\0"
    assert data[24] == 1
    assert struct.unpack_from("<IQQQ", data, 28) == (2, 0, 0, 0)
    assert data[56:64] == bytes((0, 2, 0, 0, 0, 0, 0, 0))
    assert kernel_keys.parse_pin(data) == PIN
    assert kernel_keys.fingerprint(data) == hashlib.sha256(data).hexdigest()


def test_keys_may_repeat_the_root_keys() -> None:
    keys = replace(
        KEYS,
        thresholds={**KEYS.thresholds, Role.ROOT: 1},
        keys=tuple(
            sorted((*KEYS.keys, *entries((Role.ROOT, 0), first=5)), key=lambda entry: entry.key_id)
        ),
    )
    assert kernel_keys.parse_keys(kernel_keys.encode_keys(keys)) == keys


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    made = bytearray(data)
    for offset, value in changes:
        made[offset : offset + len(value)] = value
    return bytes(made)


def keys(*changes: tuple[int, bytes]) -> bytes:
    return patched(kernel_keys.encode_keys(KEYS), *changes)


def pin(*changes: tuple[int, bytes]) -> bytes:
    return patched(kernel_keys.encode_pin(PIN), *changes)


def crowd(count: int) -> bytes:
    """A pin with so many keys, from a number that isn't one of a signer."""
    made = sorted(
        (
            KeyEntry(role=Role.ROOT, owner=number % 8, spki=kernel_keys._P256 + b"%064d" % number)
            for number in range(count)
        ),
        key=lambda entry: entry.key_id,
    )
    layout = kernel_keys._Layout(
        party=Party.USER,
        version=0,
        issued=0,
        expires=0,
        thresholds={Role.ROOT: 1},
        keys=tuple(made),
    )
    return kernel_keys._encode(kernel_keys.PIN_KIND, layout, what="pin")


def test_as_many_keys_as_fit() -> None:
    assert len(kernel_keys.parse_pin(crowd(64)).keys) == 64


@pytest.mark.parametrize(
    "bad",
    [
        replace(KEYS, keys=KEYS.keys[::-1]),
        replace(KEYS, keys=()),
        replace(KEYS, keys=(*KEYS.keys, KEYS.keys[-1])),
        replace(KEYS, version=0),
        replace(KEYS, expires=ISSUED),
        replace(KEYS, party=Party.VENDOR),
        replace(KEYS, thresholds={Role.EXTENSION: 256, Role.POLICY: 1}),
        replace(KEYS, thresholds={Role.EXTENSION: 2}),
        replace(KEYS, keys=(replace(KEYS.keys[0], owner=8), *KEYS.keys[1:])),
        replace(KEYS, keys=(replace(KEYS.keys[0], spki=b"short"), *KEYS.keys[1:])),
    ],
)
def test_no_keys_are_written_that_would_not_be_read(bad: KernelKeys) -> None:
    with pytest.raises(ContentError, match="keys: "):
        kernel_keys.encode_keys(bad)


@pytest.mark.parametrize("threshold", [-1, 0, 3, 256])
def test_no_pin_is_written_that_would_not_be_read(threshold: int) -> None:
    with pytest.raises(ContentError, match="pin: "):
        kernel_keys.encode_pin(replace(PIN, threshold=threshold))


@given(st.data())
def test_mutated_keys_are_read_the_same_way_or_refused(data: st.DataObject) -> None:
    blob = bytearray(kernel_keys.encode_keys(KEYS))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = kernel_keys.parse_keys(bytes(blob))
    except ContentError:
        return
    assert kernel_keys.encode_keys(parsed) == bytes(blob)


@given(st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    for parse in (kernel_keys.parse_keys, kernel_keys.parse_pin):
        with pytest.raises(ContentError):
            parse(garbage)


@given(
    st.permutations(range(6)),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.permutations(["ann", "bob", "cy"]),
)
def test_equal_sets_of_keys_give_equal_bytes(
    order: Sequence[int], owners: list[int], names: Sequence[str]
) -> None:
    def made(numbers: Sequence[int], spelled: Sequence[str]) -> tuple[KeyEntry, ...]:
        held: dict[str, list[bytes]] = {}
        for number in numbers:
            held.setdefault(spelled[owners[number]], []).append(SPKIS[number])
        return sorted_keys({Role.ROOT: held})

    found = made(order, names)
    assert found == made(range(6), ["x", "y", "z"])
    assert {entry.owner for entry in found} == set(range(len(set(owners))))
    for one in range(6):
        for other in range(6):
            numbers = {entry.owner for entry in found if entry.spki in (SPKIS[one], SPKIS[other])}
            assert (len(numbers) == 1) == (owners[one] == owners[other])
