# SPDX-License-Identifier: Apache-2.0
"""The revoke blob: the shared vectors, and what reads back."""

import struct
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import revoke
from verity.formats.grants import Party, Role
from verity.formats.revoke import Revoke, StreamFloor
from verity.values.errors import ContentError

VECTORS = tomllib.loads(Path("tests/vectors/revoke.toml").read_text())
FULL = Revoke(
    party=Party.VENDOR,
    role=Role.OS,
    serial=9,
    issued=1_700_000_000,
    keys=(b"\1" * 32, b"\2" * 32),
    digests=(b"\3" * 32,),
    streams=(StreamFloor(stream="a", lowest=2), StreamFloor(stream="b-2", lowest=2**53 - 1)),
)


def data_of(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex("".join(vector["hex"].split()))


@pytest.mark.parametrize("name", VECTORS["good"])
def test_good_vector(name: str) -> None:
    vector = VECTORS["good"][name]
    found = revoke.parse(data_of(vector))
    assert revoke.encode(found) == data_of(vector)
    assert found == Revoke(
        party=Party[vector["party"].upper()],
        role=Role[vector["role"].upper()],
        serial=vector["serial"],
        issued=vector["issued"],
        keys=tuple(map(bytes.fromhex, vector["keys"])),
        digests=tuple(map(bytes.fromhex, vector["digests"])),
        streams=tuple(StreamFloor(stream=s, lowest=n) for s, n in vector["streams"]),
    )


@pytest.mark.parametrize("name", VECTORS["bad"])
def test_bad_vector(name: str) -> None:
    vector = VECTORS["bad"][name]
    with pytest.raises(ContentError) as caught:
        revoke.parse(data_of(vector))
    assert caught.value.code == "bad-revoke"
    assert vector["why"] in caught.value.message


def test_every_cut_and_every_byte_more_is_refused() -> None:
    data = revoke.encode(FULL)
    for other in (*(data[:size] for size in range(len(data))), data + b"\0"):
        with pytest.raises(ContentError):
            revoke.parse(other)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keys": tuple(bytes([n // 256, n % 256]) * 16 for n in range(257))}, "257 keys"),
        ({"digests": tuple(bytes([n // 256, n % 256]) * 16 for n in range(4097))}, "4097 digests"),
        (
            {"streams": tuple(StreamFloor(stream=f"s{n:03}", lowest=2) for n in range(65))},
            "65 streams",
        ),
        ({"keys": (b"short",)}, "of 5 bytes"),
        ({"streams": (StreamFloor(stream="UPPER", lowest=2),)}, "its name"),
        ({"streams": (StreamFloor(stream="a\0b", lowest=2),)}, "its name"),
        ({"serial": 2**53}, "is not below 2^53"),
    ],
)
def test_what_is_not_readable_is_not_written(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ContentError) as caught:
        revoke.encode(replace(FULL, **changes))
    assert why in caught.value.message


@given(at=st.integers(0, len(revoke.encode(FULL)) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_value(at: int, value: int) -> None:
    data = revoke.encode(FULL)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    try:
        found = revoke.parse(changed)
    except ContentError:
        return
    assert revoke.encode(found) == changed
    assert (found == FULL) == (changed == data)


def test_the_header_has_64_bytes() -> None:
    assert struct.unpack_from("<II", revoke.encode(FULL), 16) == (64, 64 + 3 * 32 + 2 * 72)
