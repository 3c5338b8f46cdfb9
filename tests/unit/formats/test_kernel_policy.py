# SPDX-License-Identifier: Apache-2.0
"""The policy blob: exact bytes, strict reading."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import EXPIRES, ISSUED
from verity.formats import kernel_policy
from verity.formats.gate_status import Reason
from verity.formats.grants import Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import ActSet, KernelPolicy, Mode, Stream, UnlockLimit
from verity.formats.unlock import Scope
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
FULL = replace(
    POLICY,
    observed=frozenset({Reason.ANONYMOUS, Reason.NOT_ELEVATED}),
    observed_acts=ActSet.TRACING,
    unlock=(
        UnlockLimit(scope=Scope.DIGEST, seconds=604800),
        UnlockLimit(scope=Scope.SESSION, seconds=3600, owners=2),
    ),
    guarded=(
        Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE),
        Guarded(path=b"/etc/.#", file_class=GuardedClass.IGNORED, match=Match.PREFIX),
    ),
)


def guards(count: int) -> tuple[Guarded, ...]:
    return tuple(replace(FULL.guarded[0], path=b"/%03d" % number) for number in range(count))


def test_layout() -> None:
    data = kernel_policy.encode(POLICY)
    assert len(data) == 192 + 3 * 72
    assert data[:16] == b"\x93verity-policy1\0"
    assert struct.unpack_from("<II", data, 16) == (192, len(data))
    assert data[24:28] == b"\x03\0\0\0"
    assert struct.unpack_from("<IQQQ", data, 28) == (3, 9, ISSUED, EXPIRES)
    assert struct.unpack_from("<QI15I", data, 56) == (0xFFFF_FFF7_FFFF_FFFF, 2, 6, 42, *[0] * 13)
    assert data[128:192] == bytes(64)
    assert data[192:264] == b"etc".ljust(64, b"\0") + b"\x02\x03" + bytes(6)
    assert data[264:336] == b"os".ljust(64, b"\0") + b"\x01\x02" + bytes(6)
    assert kernel_policy.parse(data) == POLICY


def test_layout_of_reactions_unlocks_and_guarded_paths() -> None:
    data = kernel_policy.encode(FULL)
    assert len(data) == 192 + 3 * 72 + 2 * 256
    assert struct.unpack_from("<QII", data, 128) == (1 << 6 | 1 << 10, 8, 2)
    assert struct.unpack_from("<8I8BQ", data, 144) == (
        *(0, 604800, 0, 0, 3600, 0, 0, 0),
        *(0, 0, 0, 0, 2, 0, 0, 0),
        0,
    )
    assert data[-512:-256] == b"/etc".ljust(248, b"\0") + b"\1\1" + bytes(6)
    assert data[-256:] == b"/etc/.#".ljust(248, b"\0") + b"\4\2" + bytes(6)
    assert kernel_policy.parse(data) == FULL


def test_what_protects_the_gate_is_never_only_observed() -> None:
    never = {Reason.ALLOW, Reason.UNDECIDED, Reason.FOREIGN_PROGRAM, Reason.FTRACE}
    never |= {Reason.GATE_OBJECT, Reason.GATE_PIN, Reason.GATE_KEY}
    # By the act, not by the reason; and what was revoked never.
    never |= {Reason.REVOKED, Reason.TRACED, Reason.DEVICE, Reason.INTERPRETER}
    never |= {Reason.USER_NAMESPACE, Reason.TRACING, Reason.BPF_PROGRAM, Reason.SESSION_OVER}
    never |= {Reason.BOOT_CHAIN}
    assert kernel_policy.OBSERVABLE == frozenset(Reason) - never


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
        replace(POLICY, observed=kernel_policy.OBSERVABLE, observed_acts=ActSet(63)),
        replace(POLICY, guarded=guards(512)),
        replace(POLICY, guarded=(replace(FULL.guarded[0], path=b"/" + b"x" * 246),)),
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
        replace(POLICY, observed=frozenset({Reason.GATE_KEY})),
        replace(POLICY, observed=frozenset({Reason.UNDECIDED})),
        replace(POLICY, unlock=(UnlockLimit(scope=Scope.OFF, seconds=604801),)),
        replace(POLICY, unlock=(UnlockLimit(scope=Scope.OFF, seconds=60, owners=9),)),
        replace(POLICY, unlock=(UnlockLimit(scope=Scope.OFF, seconds=0),)),
        replace(POLICY, guarded=guards(513)),
        replace(POLICY, guarded=tuple(reversed(guards(2)))),
        replace(POLICY, guarded=guards(1) * 2),
        replace(POLICY, guarded=(replace(FULL.guarded[0], path=b"/" + b"x" * 247),)),
        replace(POLICY, guarded=(replace(FULL.guarded[0], path=b"etc"),)),
        replace(POLICY, expires=ISSUED),
    ],
)
def test_nothing_is_written_that_would_not_be_read(bad: KernelPolicy) -> None:
    with pytest.raises(ContentError, match="policy: "):
        kernel_policy.encode(bad)


@given(st.data())
def test_a_mutated_blob_is_read_the_same_way_or_refused(data: st.DataObject) -> None:
    blob = bytearray(kernel_policy.encode(FULL))
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
