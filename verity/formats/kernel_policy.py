# SPDX-License-Identifier: Apache-2.0
"""The blob `policy`, bytes <-> values: what the kernel is told of a host's policy.

The mode, who counts as privileged, what is only observed, how long an unlock may last, the streams
from which may be granted, and the guarded paths (docs/formats.md section 10, policy/gate/verity.h).
``parse`` is strict: sorted tables without duplicates, zero reserved bytes, exact lengths, only the
parties and roles that may grant. Who signed is judged in the trust room.
"""

import itertools
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NoReturn

from verity.formats import kernel_guarded, kinds
from verity.formats.gate_status import Reason
from verity.formats.grants import Party, Role, is_stream_name
from verity.formats.kernel_guarded import Guarded
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

KIND = kinds.POLICY
MAX_STREAMS = 64
MAX_GROUPS = 15
MAX_GID = 2**32 - 2  # the last one means "no group" to chown(2)
MAX_OWNERS = 8  # as many as sign one blob
LONGEST_UNLOCK = 7 * 86400
MAX_SIZE = 192 + MAX_STREAMS * 72 + kernel_guarded.MAX_GUARDED * kernel_guarded.SIZE

GRANTING = frozenset(
    {(Party.VENDOR, Role.OS), (Party.USER, Role.ETC), (Party.USER, Role.EXTENSION)}
)
"""The parties and roles that grants may come from."""

CAP_WAKE_ALARM = 35  # capability.h of linux/uapi
PRIVILEGED_CAPS = (2**64 - 1) & ~(1 << CAP_WAKE_ALARM)
"""All capabilities, also those of later kernels, but one: docs/adr/0012."""

OBSERVABLE = frozenset(
    reason
    for reason in Reason
    if 1 <= reason.number <= Reason.NOT_ELEVATED.number
    or Reason.CONFIG_UNSIGNED.number <= reason.number <= Reason.CONFIG_MOUNT.number
    or reason is Reason.CONFIG_REMOVED
)
"""What may be logged and not denied: never what protects the gate, nor not knowing."""

_SCOPES = 8
_HEADER = struct.Struct("<16sIIB3sIQQQQI60sQII8I8sQ")
_STREAM = struct.Struct("<64sBB6s")


class Mode(IntEnum):
    """What the gate does with its verdicts."""

    OBSERVE = 1
    TRIAL = 2
    SEALED = 3


class ActSet(IntFlag):
    """Acts, whose reasons ``OBSERVABLE`` doesn't have, for ``KernelPolicy.observed_acts``."""

    USER_NAMESPACES = 1
    PTRACE = 2
    BPF_PROGRAMS = 4
    TRACING = 8  # perf and kprobes
    BLOCK_DEVICES = 16
    EXTENSION_MODULES = 32


NO_ACTS = ActSet(0)


@dataclass(frozen=True, order=True, kw_only=True)
class UnlockLimit:
    """A scope that may be unlocked: for how long at most, by how many owners at least.

    With 0 ``owners`` the threshold of the keys counts alone.
    """

    scope: Scope
    seconds: int
    owners: int = 0


@dataclass(frozen=True, order=True, kw_only=True)
class Stream:
    """A sequence of grants, and the one party and role that may sign it."""

    name: str
    party: Party
    role: Role


@dataclass(frozen=True, kw_only=True)
class KernelPolicy:
    """The whole blob. Times are seconds since 1970; every table is sorted.

    A subject is privileged with any capability of ``privileged_caps`` (a bit each) or as a
    member of one of ``groups``; uid 0 always is. What is in ``observed`` and ``observed_acts`` is
    logged and not denied. A scope that ``unlock`` doesn't name can't be unlocked.
    """

    mode: Mode
    serial: int
    issued: int
    expires: int
    privileged_caps: int
    groups: tuple[int, ...]
    streams: tuple[Stream, ...]
    observed: frozenset[Reason] = frozenset()
    observed_acts: ActSet = NO_ACTS
    unlock: tuple[UnlockLimit, ...] = ()
    guarded: tuple[Guarded, ...] = ()


def encode(policy: KernelPolicy) -> bytes:
    """The blob. Raises ContentError (``bad-policy``) for values that no blob may hold."""
    if len(policy.groups) > MAX_GROUPS:
        _refuse(f"{len(policy.groups)} groups, at most {MAX_GROUPS} are allowed")
    for gid in policy.groups:
        if not 0 <= gid <= MAX_GID:
            _refuse(f"the group {gid} is not 0 to {MAX_GID}")
    body = b"".join(
        _STREAM.pack(stream.name.encode(), stream.party, stream.role, bytes(6))
        for stream in policy.streams
    )
    body += kernel_guarded.encode(policy.guarded)
    seconds, owners = [0] * _SCOPES, [0] * _SCOPES
    for limit in policy.unlock:
        if not 1 <= limit.seconds <= LONGEST_UNLOCK or not 0 <= limit.owners <= MAX_OWNERS:
            _refuse(
                f"the unlock scope {limit.scope.name.lower()}: {limit.seconds} seconds by"
                f" {limit.owners} owners, expected 1 to {LONGEST_UNLOCK} by 0 to {MAX_OWNERS}"
            )
        seconds[limit.scope], owners[limit.scope] = limit.seconds, limit.owners
    header = _HEADER.pack(
        KIND,
        _HEADER.size,
        _HEADER.size + len(body),
        policy.mode,
        bytes(3),
        len(policy.streams),
        policy.serial,
        policy.issued,
        policy.expires,
        policy.privileged_caps,
        len(policy.groups),
        b"".join(gid.to_bytes(4, "little") for gid in policy.groups),
        sum(1 << reason.number for reason in policy.observed),
        policy.observed_acts,
        len(policy.guarded),
        *seconds,
        bytes(owners),
        0,
    )
    data = header + body
    if parse(data) != policy:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> KernelPolicy:
    """Read a blob. Raises ContentError (``bad-policy``) with the place and the reason."""
    if not _HEADER.size <= len(data) <= MAX_SIZE:
        _refuse(f"{len(data)} bytes, expected {_HEADER.size} to {MAX_SIZE}")
    (
        kind,
        header_len,
        total_len,
        mode,
        zero,
        n_streams,
        serial,
        issued,
        expires,
        privileged_caps,
        n_groups,
        padded_groups,
        observed,
        observed_acts,
        n_guarded,
        *seconds,
        owners,
        zero1,
    ) = _HEADER.unpack_from(data)
    if kind != KIND:
        _refuse("it does not start with the kind \\x93verity-policy1")
    if header_len != _HEADER.size or total_len != len(data):
        _refuse(f"the header says {header_len} + {total_len} bytes, found {len(data)}")
    if not 1 <= n_streams <= MAX_STREAMS or n_guarded > kernel_guarded.MAX_GUARDED:
        _refuse(
            f"{n_streams} streams and {n_guarded} guarded paths, expected 1 to {MAX_STREAMS} and"
            f" at most {kernel_guarded.MAX_GUARDED}"
        )
    behind = _HEADER.size + n_streams * _STREAM.size
    if behind + n_guarded * kernel_guarded.SIZE != len(data):
        _refuse(f"{n_streams} streams and {n_guarded} guarded paths do not fit {len(data)} bytes")
    if any(zero) or zero1:
        _refuse("reserved bytes of the header are not zero")
    if mode not in Mode._value2member_map_:
        _refuse(f"the mode {mode} is unknown")
    if not 1 <= serial < 2**53:
        _refuse(f"the serial {serial} is not between 1 and 2^53-1")
    if issued >= expires or expires >= 2**53:
        _refuse("it does not expire after it was issued")
    return KernelPolicy(
        mode=Mode(mode),
        serial=serial,
        issued=issued,
        expires=expires,
        privileged_caps=privileged_caps,
        groups=_parse_groups(padded_groups, n_groups),
        streams=_parse_streams(data[_HEADER.size : behind]),
        observed=_parse_observed(observed),
        observed_acts=_parse_acts(observed_acts),
        unlock=_parse_unlock(seconds, owners),
        guarded=kernel_guarded.parse(data[behind:]),
    )


def _parse_groups(padded: bytes, count: int) -> tuple[int, ...]:
    if count > MAX_GROUPS:
        _refuse(f"{count} groups, at most {MAX_GROUPS} are allowed")
    numbers = struct.unpack(f"<{MAX_GROUPS}I", padded)
    groups = numbers[:count]
    if any(numbers[count:]):
        _refuse("group ids beyond their number are not zero")
    if any(low >= high for low, high in itertools.pairwise(groups)):
        _refuse("the groups are not ascending, or one is there twice")
    if groups and groups[-1] > MAX_GID:
        _refuse(f"the group {groups[-1]} is not 0 to {MAX_GID}")
    return groups


def _parse_streams(data: bytes) -> tuple[Stream, ...]:
    streams: list[Stream] = []
    for padded, party, role, zero in _STREAM.iter_unpack(data):
        place = f"stream entry {len(streams)}"
        name = padded.rstrip(b"\0").decode("ascii", "replace")
        if not is_stream_name(name):
            _refuse(f"{place}: {name!r} is not 1 to 63 characters of a-z 0-9 . _ -")
        if any(zero):
            _refuse(f"{place}: reserved bytes are not zero")
        if (party, role) not in GRANTING:
            _refuse(f"{place}: party {party} and role {role} may not grant")
        if streams and name <= streams[-1].name:
            _refuse(f"{place}: not sorted by name, or twice")
        streams.append(Stream(name=name, party=Party(party), role=Role(role)))
    return tuple(streams)


def _parse_observed(bits: int) -> frozenset[Reason]:
    found = frozenset(reason for reason in OBSERVABLE if bits >> reason.number & 1)
    if bits != sum(1 << reason.number for reason in found):
        _refuse(f"the observed reasons {bits:#x} have bits that can't be only observed")
    return found


def _parse_acts(bits: int) -> ActSet:
    if bits & ~sum(ActSet):
        _refuse(f"the observed acts {bits:#x} have unknown bits")
    return ActSet(bits)


def _parse_unlock(seconds: list[int], owners: bytes) -> tuple[UnlockLimit, ...]:
    found = []
    for number, (longest, least) in enumerate(zip(seconds, owners, strict=True)):
        known = number in Scope._value2member_map_
        if longest > (LONGEST_UNLOCK if known else 0) or least > (MAX_OWNERS if longest else 0):
            _refuse(f"the unlock scope {number}: {longest} seconds by {least} owners")
        if longest:
            found.append(UnlockLimit(scope=Scope(number), seconds=longest, owners=least))
    return tuple(found)


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-policy", f"policy: {reason}")
