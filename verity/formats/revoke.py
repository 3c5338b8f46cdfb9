# SPDX-License-Identifier: Apache-2.0
"""The `revoke` blob: what the gate is told that no longer counts, bytes <-> values.

The layout is pinned in docs/formats.md, "Revocations". It says of one party which keys, which
fs-verity digests and which serials of its streams are dead; each party and role has serials of its
own, and a blob never expires. The parser is strict: sorted tables without duplicates, zero reserved
bytes, exact lengths. Who signed it is judged in the trust room, and in the gate.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from verity.formats import kinds
from verity.formats.grants import Party, Role, is_stream_name
from verity.values.errors import ContentError

KIND = kinds.REVOKE
MAX_KEYS = 256
MAX_DIGESTS = 4096
MAX_STREAMS = 64

ROOM_KEYS = 1024
ROOM_DIGESTS = 8192
"""How many the gate holds, of all blobs together."""

SIGNERS = {
    Party.VENDOR: frozenset({Role.ROOT, Role.OS}),
    Party.USER: frozenset({Role.ROOT, Role.ETC, Role.EXTENSION}),
}
"""Who may revoke: the party's root, or the role that granted."""

_HEADER = struct.Struct("<16sIIBBHIQQIIII")
_STREAM = struct.Struct("<64sQ")
_DIGEST = 32


@dataclass(frozen=True, order=True, kw_only=True)
class StreamFloor:
    """A stream and the lowest of its serials that still counts."""

    stream: str
    lowest: int


@dataclass(frozen=True, kw_only=True)
class Revoke:
    """A whole blob. ``issued`` is in seconds since 1970; tables are sorted, keys and digests are
    32 bytes each."""

    party: Party
    role: Role
    serial: int
    issued: int
    keys: tuple[bytes, ...] = ()
    digests: tuple[bytes, ...] = ()
    streams: tuple[StreamFloor, ...] = ()


def encode(revoke: Revoke) -> bytes:
    """The blob. Raises ContentError (``bad-revoke``) for values that no blob may hold."""
    for value in (*revoke.keys, *revoke.digests):
        if len(value) != _DIGEST:
            _refuse(f"a key id or digest of {len(value)} bytes, expected {_DIGEST}")
    body = b"".join(
        (
            *revoke.keys,
            *revoke.digests,
            *(_STREAM.pack(one.stream.encode(), one.lowest) for one in revoke.streams),
        )
    )
    data = (
        _HEADER.pack(
            KIND,
            _HEADER.size,
            _HEADER.size + len(body),
            revoke.party,
            revoke.role,
            0,
            0,
            revoke.serial,
            revoke.issued,
            len(revoke.keys),
            len(revoke.digests),
            len(revoke.streams),
            0,
        )
        + body
    )
    if parse(data) != revoke:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Revoke:
    """Read a blob. Raises ContentError (``bad-revoke``) with the place and the reason.

    1. The header, and lengths that fit the tables exactly.
    2. Party and role that may revoke; a serial.
    3. Each table sorted, without duplicates.
    """
    # 1. Header and lengths.
    if len(data) < _HEADER.size:
        _refuse(f"{len(data)} bytes, expected at least {_HEADER.size}")
    kind, header_len, total_len, party, role, zero0, zero1, *numbers = _HEADER.unpack_from(data)
    serial, issued, n_keys, n_digests, n_streams, zero2 = numbers
    if kind != KIND:
        _refuse("it does not start with the kind \\x93verity-revoke1")
    if header_len != _HEADER.size or total_len != len(data):
        _refuse(f"the header says {header_len} + {total_len} bytes, found {len(data)}")
    if zero0 or zero1 or zero2:
        _refuse("reserved bytes of the header are not zero")
    for name, number, most in (
        ("keys", n_keys, MAX_KEYS),
        ("digests", n_digests, MAX_DIGESTS),
        ("streams", n_streams, MAX_STREAMS),
    ):
        if number > most:
            _refuse(f"{number} {name}, at most {most} are allowed")
    size = _HEADER.size + (n_keys + n_digests) * _DIGEST + n_streams * _STREAM.size
    if size != len(data):
        _refuse(f"the tables take {size} bytes, found {len(data)}")
    # 2. Who revokes.
    if party not in Party._value2member_map_:
        _refuse(f"the party {party} is unknown")
    if role not in Role._value2member_map_ or Role(role) not in SIGNERS[Party(party)]:
        _refuse(f"the role {role} of the party {party} may not revoke")
    if not 1 <= serial < 2**53 or issued >= 2**53:
        _refuse(f"the serial {serial} or the time {issued} is not below 2^53, or there is none")
    # 3. Tables.
    values = [data[at : at + _DIGEST] for at in range(_HEADER.size, size, _DIGEST)]
    keys, digests = values[:n_keys], values[n_keys : n_keys + n_digests]
    streams = _streams(data[_HEADER.size + (n_keys + n_digests) * _DIGEST :])
    _sorted("key", keys)
    _sorted("digest", digests)
    _sorted("stream", [one.stream for one in streams])
    return Revoke(
        party=Party(party),
        role=Role(role),
        serial=serial,
        issued=issued,
        keys=tuple(keys),
        digests=tuple(digests),
        streams=tuple(streams),
    )


def _streams(data: bytes) -> list[StreamFloor]:
    streams = []
    for number, (name, lowest) in enumerate(_STREAM.iter_unpack(data)):
        stripped = name.rstrip(b"\0")
        text = stripped.decode("ascii", "replace")
        if not is_stream_name(text):
            _refuse(f"stream {number}: its name is not 1 to 63 of a-z 0-9 . _ -, zero padded")
        if not 2 <= lowest < 2**53:
            _refuse(f"stream {number}: nothing is below {lowest}, or it is not below 2^53")
        streams.append(StreamFloor(stream=text, lowest=lowest))
    return streams


def _sorted(name: str, values: Sequence[bytes] | Sequence[str]) -> None:
    for number, (one, other) in enumerate(pairwise(values), 1):
        if one >= other:  # type: ignore[operator]  # both are bytes, or both are text
            _refuse(f"{name} {number}: not sorted, or twice")


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-revoke", f"revoke: {reason}")
