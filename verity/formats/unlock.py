# SPDX-License-Identifier: Apache-2.0
"""The unlock token, bytes <-> values: what opens one host, in one boot, for one thing and a time.

The layout is pinned in docs/formats.md, "Unlock token", and in policy/gate/verity.h. ``parse`` is
strict: exact length, zero padding, an operand exactly for the scopes that have one, and no value
that would mean "any". The reason is in the token as its SHA-256; ``reason_sha256`` says of what.
Whether the nonce is this boot's and the id unused is the gate's to ask.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from verity.formats import kinds
from verity.formats.config_path import MAX_CONFIG_PATH, is_config_path
from verity.values.errors import ContentError

KIND = kinds.UNLOCK
SIZE = 416
MAX_REASON = 1000
MAX_DURATION_S = 2**32 - 1
MAX_AHEAD_S = 86400
"""VERITY_UNLOCK_AHEAD_S of policy/gate/verity.h: how long a token may lie ready."""
DIGEST_SIZE = 32
NONCE_SIZE = 32
HOST_ID_SIZE = 32
TOKEN_ID_SIZE = 16

_TOKEN = struct.Struct("<16s32s16s32sQIIQ32s256sQ")


class Scope(IntEnum):
    """What it opens, from the narrowest to the widest."""

    DIGEST = 1
    PATH_PREFIX = 2
    CONFIG_PATH = 3
    SESSION = 4
    OBSERVE_ONLY = 5
    OFF = 6


PATH_SCOPES = frozenset({Scope.PATH_PREFIX, Scope.CONFIG_PATH})


@dataclass(frozen=True, kw_only=True)
class UnlockToken:
    """A whole token. ``operand`` is the digest (32 bytes), the path, or empty, by the scope.

    ``apply_before_s`` is on the boot clock of the host. A token with ``duration_s`` 0 is a drill:
    it is verified and used up, and opens nothing (ADR 47).
    """

    boot_nonce: bytes
    token_id: bytes
    host_id: bytes
    policy_serial: int
    scope: Scope
    duration_s: int
    apply_before_s: int
    reason: bytes
    operand: bytes = b""


def reason_sha256(text: str) -> bytes:
    """What a token says of its reason. ContentError for a reason that isn't one line of text."""
    if not text.isprintable() or not text.strip() or len(text.encode()) > MAX_REASON:
        _refuse(f"the reason is not one line of 1 to {MAX_REASON} bytes of printable text")
    return hashlib.sha256(text.encode()).digest()


def encode(token: UnlockToken) -> bytes:
    """The blob. Raises ContentError (``bad-unlock``) for values that no token may hold."""
    for name, value, size in (
        ("boot nonce", token.boot_nonce, NONCE_SIZE),
        ("token id", token.token_id, TOKEN_ID_SIZE),
        ("host id", token.host_id, HOST_ID_SIZE),
        ("SHA-256 of the reason", token.reason, DIGEST_SIZE),
    ):
        if len(value) != size:
            _refuse(f"a {name} of {len(value)} bytes, expected {size}")
    if len(token.operand) > MAX_CONFIG_PATH:
        _refuse(f"an operand of {len(token.operand)} bytes, at most {MAX_CONFIG_PATH} fit")
    if not 0 <= token.duration_s <= MAX_DURATION_S:
        _refuse(f"the duration {token.duration_s} s is not 0 to {MAX_DURATION_S}")
    for name, number in (
        ("policy serial", token.policy_serial),
        ("apply-before", token.apply_before_s),
    ):
        if not 0 <= number < 2**53:
            _refuse(f"the {name} {number} is not 1 to 2^53-1")
    data = _TOKEN.pack(
        KIND,
        token.boot_nonce,
        token.token_id,
        token.host_id,
        token.policy_serial,
        token.scope,
        token.duration_s,
        token.apply_before_s,
        token.reason,
        token.operand,
        0,
    )
    if parse(data) != token:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> UnlockToken:
    """Read a token. Raises ContentError (``bad-unlock``).

    1. Length, kind, reserved bytes.
    2. Nothing that identifies is zero: that would be nobody's, or everybody's.
    3. A known scope, and numbers from 1.
    4. The operand is what the scope wants, zero padded.
    """
    # 1. Frame.
    if len(data) != SIZE:
        _refuse(f"{len(data)} bytes, expected {SIZE}")
    kind, nonce, token_id, host_id, serial, scope, duration, before, reason, operand, zero = (
        _TOKEN.unpack(data)
    )
    if kind != KIND:
        _refuse("it does not start with the kind \\x93verity-unlock1")
    if zero:
        _refuse("its reserved bytes are not zero")
    # 2. Whose it is.
    for name, value in (("boot nonce", nonce), ("token id", token_id), ("host id", host_id)):
        if not any(value):
            _refuse(f"the {name} is zero")
    if not any(reason):
        _refuse("the SHA-256 of the reason is zero")
    # 3. Scope and numbers.
    if scope not in Scope._value2member_map_:
        _refuse(f"the scope {scope} is unknown")
    for name, number in (("policy serial", serial), ("apply-before", before)):
        if not 1 <= number < 2**53:
            _refuse(f"the {name} {number} is not 1 to 2^53-1")
    # 4. Operand.
    return UnlockToken(
        boot_nonce=nonce,
        token_id=token_id,
        host_id=host_id,
        policy_serial=serial,
        scope=Scope(scope),
        duration_s=duration,
        apply_before_s=before,
        reason=reason,
        operand=_operand(Scope(scope), operand),
    )


def _operand(scope: Scope, padded: bytes) -> bytes:
    if scope is Scope.DIGEST:
        digest, rest = padded[:DIGEST_SIZE], padded[DIGEST_SIZE:]
        if not any(digest) or any(rest):
            _refuse("the operand is not one digest, zero padded")
        return digest
    if scope in PATH_SCOPES:
        path = padded.rstrip(b"\0")
        if not is_config_path(path):
            _refuse(
                f"the operand is not an absolute path of 2 to {MAX_CONFIG_PATH} bytes without"
                " empty, `.` and `..` components, zero padded"
            )
        return path
    if any(padded):
        _refuse(f"the scope {scope.name.lower().replace('_', '-')} has no operand")
    return b""


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-unlock", f"unlock token: {reason}")
