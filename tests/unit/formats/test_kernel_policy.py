# SPDX-License-Identifier: Apache-2.0
"""The policy blob: exact bytes, strict reading."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import EXPIRES, ISSUED
from verity.formats import kernel_policy
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import KernelPolicy, Mode, Stream
from verity.values.errors import ContentError

ETC = Stream(name="etc", party=Party.USER, role=Role.ETC)
OS = Stream(name="os", party=Party.VENDOR, role=Role.OS)
TOOLS = Stream(name="tools", party=Party.USER, role=Role.EXTENSION)
POLICY = KernelPolicy(
    mode=Mode.SEALED,
    serial=9,
    issued=ISSUED,
    expires=EXPIRES,
    privileged_caps=kernel_policy.PRIVILEGED_CAPS,
    groups=(6, 42),
    streams=(ETC, OS, TOOLS),
)


def test_layout() -> None:
    data = kernel_policy.encode(POLICY)
    assert len(data) == 128 + 3 * 72
    assert data[:16] == b"\x93verity-policy1\0"
    assert struct.unpack_from("<II", data, 16) == (128, len(data))
    assert data[24:28] == b"\x03\0\0\0"
    assert struct.unpack_from("<IQQQ", data, 28) == (3, 9, ISSUED, EXPIRES)
    assert struct.unpack_from("<QI15I", data, 56) == (0xFFFF_FFF7_FFFF_FFFF, 2, 6, 42, *[0] * 13)
    assert data[128:200] == b"etc".ljust(64, b"\0") + b"\x02\x03" + bytes(6)
    assert data[200:272] == b"os".ljust(64, b"\0") + b"\x01\x02" + bytes(6)
    assert kernel_policy.parse(data) == POLICY


def test_every_capability_but_one_is_privileged() -> None:
    assert [bit for bit in range(64) if not kernel_policy.PRIVILEGED_CAPS >> bit & 1] == [35]


@pytest.mark.parametrize(
    "good",
    [
        replace(POLICY, groups=()),
        replace(POLICY, groups=tuple(range(15))),
        replace(POLICY, groups=(0, 2**32 - 2)),
        replace(POLICY, privileged_caps=0),
        replace(POLICY, mode=Mode.OBSERVE),
        replace(POLICY, serial=2**53 - 1, expires=2**53 - 1),
        replace(POLICY, streams=tuple(replace(OS, name=f"s{n:02}") for n in range(64))),
        replace(POLICY, streams=(replace(OS, name="a" * 63),)),
    ],
)
def test_read_as_written(good: KernelPolicy) -> None:
    assert kernel_policy.parse(kernel_policy.encode(good)) == good


@pytest.mark.parametrize(
    "bad",
    [
        replace(POLICY, streams=()),
        replace(POLICY, streams=(OS, ETC)),
        replace(POLICY, streams=(OS, OS)),
        replace(POLICY, streams=(replace(OS, name="x" * 65),)),
        replace(POLICY, streams=(replace(OS, name="ö"),)),
        replace(POLICY, streams=(replace(OS, role=Role.EXTENSION),)),
        replace(POLICY, streams=tuple(replace(OS, name=f"s{n:02}") for n in range(65))),
        replace(POLICY, groups=tuple(range(16))),
        replace(POLICY, groups=(42, 6)),
        replace(POLICY, groups=(-1,)),
        replace(POLICY, groups=(2**32,)),
        replace(POLICY, serial=0),
        replace(POLICY, expires=ISSUED),
    ],
)
def test_nothing_is_written_that_would_not_be_read(bad: KernelPolicy) -> None:
    with pytest.raises(ContentError, match="policy: "):
        kernel_policy.encode(bad)


@given(st.data())
def test_a_mutated_blob_is_read_the_same_way_or_refused(data: st.DataObject) -> None:
    blob = bytearray(kernel_policy.encode(POLICY))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = kernel_policy.parse(bytes(blob))
    except ContentError:
        return
    assert kernel_policy.encode(parsed) == bytes(blob)


@given(st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ContentError):
        kernel_policy.parse(garbage)
