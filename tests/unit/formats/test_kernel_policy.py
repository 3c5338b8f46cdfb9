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


def patched(*changes: tuple[int, bytes]) -> bytes:
    data = bytearray(kernel_policy.encode(POLICY))
    for offset, value in changes:
        data[offset : offset + len(value)] = value
    return bytes(data)


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def swapped() -> bytes:
    data = patched()
    return data[:128] + data[200:272] + data[128:200] + data[272:]


REFUSED = {
    "empty": (b"", "0 bytes, expected 128"),
    "too long": (bytes(128 + 65 * 72), "4808 bytes, expected 128 to 4736"),
    "cut": (patched()[:-1], "the header says"),
    "longer": (patched() + b"\0", "the header says"),
    "kind": (patched((0, b"\x92")), "does not start with the kind"),
    "another kind": (patched((0, b"\x93verity-grants1\0")), "does not start with the kind"),
    "header_len": (patched((16, u32(127))), "the header says 127"),
    "total_len": (patched((20, u32(1))), "the header says 128 + 1"),
    "mode 0": (patched((24, b"\0")), "the mode 0 is unknown"),
    "mode 4": (patched((24, b"\4")), "the mode 4 is unknown"),
    "reserved 25": (patched((25, b"\1")), "reserved bytes of the header"),
    "reserved 27": (patched((27, b"\1")), "reserved bytes of the header"),
    "no streams": (patched((20, u32(128)), (28, u32(0)))[:128], "0 streams do not fit"),
    "n_streams less": (patched((28, u32(2))), "2 streams do not fit"),
    "n_streams huge": (patched((28, u32(2**32 - 1))), "streams do not fit"),
    "serial 0": (patched((32, u64(0))), "the serial 0"),
    "serial 2^53": (patched((32, u64(2**53))), "the serial 9007199254740992"),
    "expires first": (patched((48, u64(0))), "expire"),
    "expires at once": (patched((48, u64(ISSUED))), "expire"),
    "expires 2^53": (patched((48, u64(2**53))), "expire"),
    "16 groups": (patched((64, u32(16))), "16 groups, at most 15"),
    "fewer groups than there are": (patched((64, u32(1))), "beyond their number"),
    "more groups than there are": (patched((64, u32(3))), "not ascending"),
    "groups not ascending": (patched((68, u32(42, 6))), "not ascending"),
    "a group twice": (patched((68, u32(6, 6))), "not ascending, or one is there twice"),
    "no group": (patched((72, u32(2**32 - 1))), "the group 4294967295"),
    "stream empty": (patched((128, bytes(64))), "stream entry 0: ''"),
    "stream upper case": (patched((128, b"E")), "stream entry 0: 'Etc'"),
    "stream with a hole": (patched((132, b"x")), "stream entry 0"),
    "stream without an end": (patched((128, b"a" * 64)), "stream entry 0"),
    "vendor etc": (patched((192, b"\1")), "stream entry 0: party 1 and role 3 may not grant"),
    "user os": (patched((264, b"\2")), "stream entry 1: party 2 and role 2 may not grant"),
    "party 0": (patched((192, b"\0")), "stream entry 0: party 0"),
    "role policy": (patched((193, b"\5")), "stream entry 0: party 2 and role 5"),
    "role 8": (patched((193, b"\x08")), "stream entry 0: party 2 and role 8"),
    "stream reserved": (patched((194, b"\1")), "stream entry 0: reserved"),
    "stream reserved at the end": (patched((343, b"\1")), "stream entry 2: reserved"),
    "streams not sorted": (swapped(), "stream entry 1: not sorted by name"),
    "a stream twice": (patched((200, b"etc")), "stream entry 1: not sorted by name, or twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ContentError) as caught:
        kernel_policy.parse(data)
    assert caught.value.code == "bad-policy"
    assert reason in caught.value.message


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
