# SPDX-License-Identifier: Apache-2.0
"""The grants blob: what the kernel is told, bytes <-> values.

The layout is pinned in docs/formats.md section 6 and shared with the kernel side through
policy/gate/verity.h. ``parse`` is strict: sorted tables without duplicates, zero reserved bytes,
exact lengths, known flags. Which file earns which entry is decided in ``grant_rules``, whose
signature counts in the trust room.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NoReturn

from verity.formats import kinds
from verity.formats.config_path import MAX_CONFIG_PATH as MAX_CONFIG_PATH
from verity.formats.config_path import is_config_path
from verity.values.errors import ContentError

KIND = kinds.GRANTS
MAX_SIZE = 5 * 2**20  # the gate takes no longer one
MAX_CONFIG_TARGET = 55
MAX_CONFIG_PATHS = 8192
MAX_CONFIG_STREAMS = 2
"""What the gate holds: configuration paths of all streams together, and streams for one of them."""

_HEADER = struct.Struct("<16sIIBBHIQQQ64s32sIIII")
_CODE = struct.Struct("<32sII")
_ELEVATE = struct.Struct("<32sHHIIIQQ")
_CONFIG = struct.Struct("<256sII32s56s")
_STREAM = re.compile(r"[a-z0-9._-]{1,63}")


class Party(IntEnum):
    """Whose keyring a key is in."""

    VENDOR = 1
    USER = 2


class Role(IntEnum):
    """What a key may sign. A key has exactly one."""

    ROOT = 1
    OS = 2
    ETC = 3
    EXTENSION = 4
    POLICY = 5
    UNLOCK = 6
    EVIDENCE = 7


class Code(IntFlag):
    """What a digest may be used as."""

    EXEC = 1
    LIBRARY = 2
    MODULE = 4
    INTERPRETER = 8
    JIT = 16
    SCRIPT = 32


ALL_CODE = Code.EXEC | Code.LIBRARY | Code.MODULE | Code.INTERPRETER | Code.JIT | Code.SCRIPT


class ConfigKind(IntEnum):
    """What stands at a granted configuration path."""

    FILE = 1
    SYMLINK = 2


@dataclass(frozen=True, order=True)
class CodeEntry:
    """A digest (32 bytes) and what it may be used as."""

    digest: bytes
    flags: Code


@dataclass(frozen=True, order=True, kw_only=True)
class ElevateEntry:
    """One exact way in which a digest may raise privileges; two never combine."""

    digest: bytes
    set_bits: int
    uid: int
    gid: int
    capabilities: int


@dataclass(frozen=True, order=True, kw_only=True)
class ConfigEntry:
    """A path and what must stand there: a file by digest, or a symlink by target."""

    path: bytes
    kind: ConfigKind
    digest: bytes = bytes(32)
    target: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Grants:
    """A whole blob. Times are seconds since 1970; tables are sorted."""

    party: Party
    role: Role
    stream: str
    serial: int
    issued: int
    expires: int
    manifest_sha256: bytes
    code: tuple[CodeEntry, ...] = ()
    elevate: tuple[ElevateEntry, ...] = ()
    config: tuple[ConfigEntry, ...] = ()

    @property
    def flags_used(self) -> Code:
        """The OR of all code flags."""
        used = Code(0)
        for flags in {entry.flags for entry in self.code}:
            used |= flags
        return used


def is_stream_name(text: str) -> bool:
    """Whether this is a valid name of a stream."""
    return _STREAM.fullmatch(text) is not None


def encode(grants: Grants) -> bytes:
    """The blob. Raises ContentError (``bad-grants``) for values that no blob may hold."""
    for entry in grants.config:
        if len(entry.path) > MAX_CONFIG_PATH or len(entry.target) > MAX_CONFIG_TARGET:
            _refuse(
                f"the path or link target of {entry.path[:300]!r} is longer than"
                f" {MAX_CONFIG_PATH} or {MAX_CONFIG_TARGET} bytes"
            )
    body = b"".join(
        [_CODE.pack(entry.digest, entry.flags, 0) for entry in grants.code]
        + [
            _ELEVATE.pack(e.digest, e.set_bits, 0, e.uid, e.gid, 0, e.capabilities, 0)
            for e in grants.elevate
        ]
        + [_CONFIG.pack(e.path, e.kind, 0, e.digest, e.target) for e in grants.config]
    )
    header = _HEADER.pack(
        KIND,
        _HEADER.size,
        _HEADER.size + len(body),
        grants.party,
        grants.role,
        0,
        grants.flags_used,
        grants.serial,
        grants.issued,
        grants.expires,
        grants.stream.encode(),
        grants.manifest_sha256,
        len(grants.code),
        len(grants.elevate),
        len(grants.config),
        0,
    )
    data = header + body
    if parse(data) != grants:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Grants:
    """Read a blob. Raises ContentError (``bad-grants``) with the place and the reason."""
    if not _HEADER.size <= len(data) <= MAX_SIZE:
        _refuse(f"{len(data)} bytes, expected {_HEADER.size} to {MAX_SIZE}")
    (
        kind,
        header_len,
        total_len,
        party,
        role,
        zero1,
        flags_used,
        serial,
        issued,
        expires,
        stream_bytes,
        manifest_sha256,
        n_code,
        n_elevate,
        n_config,
        zero2,
    ) = _HEADER.unpack_from(data)
    if kind != KIND:
        _refuse("it does not start with the kind \\x93verity-grants1")
    if header_len != _HEADER.size or total_len != len(data):
        _refuse(f"the header says {header_len} + {total_len} bytes, found {len(data)}")
    expected = (
        _HEADER.size + n_code * _CODE.size + n_elevate * _ELEVATE.size + n_config * _CONFIG.size
    )
    if expected != len(data):
        _refuse(f"its tables need {expected} bytes, found {len(data)}")
    if zero1 or zero2:
        _refuse("reserved bytes of the header are not zero")
    if party not in Party._value2member_map_ or role not in Role._value2member_map_:
        _refuse(f"party {party} or role {role} is unknown")
    if not 1 <= serial < 2**53:
        _refuse(f"the serial {serial} is not between 1 and 2^53-1")
    if issued >= expires or expires >= 2**53:
        _refuse("it does not expire after it was issued")
    stream = stream_bytes.rstrip(b"\0").decode("ascii", "replace")
    if not is_stream_name(stream):
        _refuse(f"the stream {stream!r} is not 1 to 63 characters of a-z 0-9 . _ -")
    offset = _HEADER.size
    code, offset = _parse_code(data, offset, n_code)
    elevate, offset = _parse_elevate(data, offset, n_elevate)
    config = _parse_config(data, offset)
    grants = Grants(
        party=Party(party),
        role=Role(role),
        stream=stream,
        serial=serial,
        issued=issued,
        expires=expires,
        manifest_sha256=manifest_sha256,
        code=code,
        elevate=elevate,
        config=config,
    )
    if grants.flags_used != flags_used:
        _refuse(f"flags_used is {flags_used}, the entries use {int(grants.flags_used)}")
    return grants


def _parse_code(data: bytes, offset: int, count: int) -> tuple[tuple[CodeEntry, ...], int]:
    end = offset + count * _CODE.size
    # One object per distinct value of the flags: IntFlag construction dominates otherwise.
    known = {int(flag): Code(flag) for flag in range(1, ALL_CODE + 1)}
    entries: list[CodeEntry] = []
    previous = b""
    for digest, flags, zero in _CODE.iter_unpack(memoryview(data)[offset:end]):
        if zero or flags not in known:
            _refuse(f"code entry {len(entries)}: flags {flags} unknown or reserved bytes not zero")
        if digest <= previous:
            _refuse(f"code entry {len(entries)}: not sorted by digest, or twice")
        previous = digest
        entries.append(CodeEntry(digest, known[flags]))
    return tuple(entries), end


def _parse_elevate(data: bytes, offset: int, count: int) -> tuple[tuple[ElevateEntry, ...], int]:
    end = offset + count * _ELEVATE.size
    entries: list[ElevateEntry] = []
    for digest, set_bits, z1, uid, gid, z2, caps, z3 in _ELEVATE.iter_unpack(
        memoryview(data)[offset:end]
    ):
        entry = ElevateEntry(digest=digest, set_bits=set_bits, uid=uid, gid=gid, capabilities=caps)
        if z1 or z2 or z3 or set_bits & ~0o6000 or not (set_bits or caps):
            _refuse(f"elevate entry {len(entries)}: it raises nothing, or reserved bits are set")
        if entries and entry <= entries[-1]:
            _refuse(f"elevate entry {len(entries)}: not sorted, or twice")
        entries.append(entry)
    return tuple(entries), end


def _parse_config(data: bytes, offset: int) -> tuple[ConfigEntry, ...]:
    entries: list[ConfigEntry] = []
    for padded, kind, zero, digest, target in _CONFIG.iter_unpack(memoryview(data)[offset:]):
        path = padded.rstrip(b"\0")
        link = target.rstrip(b"\0")
        good = (
            not zero
            and is_config_path(path)
            and b"\0" not in link
            and kind in (ConfigKind.FILE, ConfigKind.SYMLINK)
        )
        if kind == ConfigKind.FILE:
            good = good and not link and digest != bytes(32)
        else:
            good = good and 0 < len(link) <= MAX_CONFIG_TARGET and digest == bytes(32)
        if not good:
            _refuse(f"config entry {len(entries)}: neither a valid file nor a valid symlink")
        if entries and path <= entries[-1].path:
            _refuse(f"config entry {len(entries)}: not sorted by path, or twice")
        entries.append(ConfigEntry(path=path, kind=ConfigKind(kind), digest=digest, target=link))
    return tuple(entries)


def sorted_code(flags_by_digest: dict[bytes, Code]) -> tuple[CodeEntry, ...]:
    """The code table of these digests; those without a flag are left out."""
    return tuple(
        CodeEntry(d, flags_by_digest[d]) for d in sorted(flags_by_digest) if flags_by_digest[d]
    )


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-grants", f"grants: {reason}")
