# SPDX-License-Identifier: Apache-2.0
"""The blob `policy`, bytes <-> values: what the kernel is told of a host's policy.

The mode, who counts as privileged, and the streams from which may be granted (docs/formats.md
section 10, policy/gate/verity.h). ``parse`` is strict: sorted tables without duplicates, zero
reserved bytes, exact lengths, only the parties and roles that may grant. Who signed is judged in
the trust room.
"""

import itertools
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from verity.formats.grants import Party, Role, is_stream_name
from verity.values.errors import ContentError

KIND = b"\x93verity-policy1\0"
MAX_STREAMS = 64
MAX_GROUPS = 15
MAX_GID = 2**32 - 2  # the last one means "no group" to chown(2)
MAX_SIZE = 128 + MAX_STREAMS * 72

GRANTING = frozenset(
    {(Party.VENDOR, Role.OS), (Party.USER, Role.ETC), (Party.USER, Role.EXTENSION)}
)
"""The parties and roles that grants may come from."""

CAP_WAKE_ALARM = 35  # capability.h of linux/uapi
PRIVILEGED_CAPS = (2**64 - 1) & ~(1 << CAP_WAKE_ALARM)
"""All capabilities, also those of later kernels, but one: docs/adr/0012."""

_HEADER = struct.Struct("<16sIIB3sIQQQQI60s")
_STREAM = struct.Struct("<64sBB6s")


class Mode(IntEnum):
    """What the gate does with its verdicts."""

    OBSERVE = 1
    TRIAL = 2
    SEALED = 3


@dataclass(frozen=True, order=True, kw_only=True)
class Stream:
    """A sequence of grants, and the one party and role that may sign it."""

    name: str
    party: Party
    role: Role


@dataclass(frozen=True, kw_only=True)
class KernelPolicy:
    """The whole blob. Times are seconds since 1970; groups and streams are sorted.

    A subject is privileged with any capability of ``privileged_caps`` (a bit each) or as a
    member of one of ``groups``; uid 0 always is.
    """

    mode: Mode
    serial: int
    issued: int
    expires: int
    privileged_caps: int
    groups: tuple[int, ...]
    streams: tuple[Stream, ...]


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
    ) = _HEADER.unpack_from(data)
    if kind != KIND:
        _refuse("it does not start with the kind \\x93verity-policy1")
    if header_len != _HEADER.size or total_len != len(data):
        _refuse(f"the header says {header_len} + {total_len} bytes, found {len(data)}")
    if not 1 <= n_streams <= MAX_STREAMS or _HEADER.size + n_streams * _STREAM.size != len(data):
        _refuse(f"{n_streams} streams do not fit {len(data)} bytes, or are not 1 to {MAX_STREAMS}")
    if any(zero):
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
        streams=_parse_streams(data),
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
    for padded, party, role, zero in _STREAM.iter_unpack(memoryview(data)[_HEADER.size :]):
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


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-policy", f"policy: {reason}")
