# SPDX-License-Identifier: Apache-2.0
"""Pins, `keys` and bundles for the loader's tests, packed by hand after docs/formats.md.

On purpose not the package's encoders: the loader must agree with the document, and a test must be
able to write what no encoder would. Nothing here is signed; a signature is any bytes.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VENDOR, USER = 1, 2
ROOT, OS, ETC, EXTENSION, POLICY, UNLOCK, EVIDENCE = range(1, 8)
SIGNATURE = 16  # the kind of a record

KIND_PIN = b"\x93verity-pin1\0\0\0\0"
KIND_KEYS = b"\x93verity-keys1\0\0\0"
KIND_POLICY = b"\x93verity-policy1\0"
KIND_GRANTS = b"\x93verity-grants1\0"


def floors(*entries: tuple[bytes, int]) -> bytes:
    """The contents of a record of floors, by default good ones of two streams."""
    wanted = entries or ((b"os", 7), (b"tools", 2**53 - 1))
    return b"".join(struct.pack("<64sQ", name, serial) for name, serial in wanted)


def spki(seed: int) -> bytes:
    """The public key of the private number ``seed``."""
    public = ec.derive_private_key(seed, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Key:
    """One entry; every field can be spoiled."""

    role: int
    owner: int
    spki: bytes
    key_id: bytes = b""
    zero0: bytes = bytes(2)
    zero1: int = 0

    def __post_init__(self) -> None:
        self.key_id = self.key_id or hashlib.sha256(self.spki).digest()

    def encode(self) -> bytes:
        return struct.pack(
            "<32sBB2s91sB",
            self.key_id,
            self.role,
            self.owner,
            self.zero0,
            self.spki,
            self.zero1,
        )


def key(role: int, owner: int, seed: int) -> Key:
    return Key(role, owner, spki(seed))


@dataclass
class KeyList:
    """A pin or a `keys`; lengths and order are right unless they are given."""

    party: int
    keys: list[Key]
    thresholds: dict[int, int]
    kind: bytes = KIND_PIN
    version: int = 0
    issued: int = 0
    expires: int = 0
    header_len: int = 64
    total_len: int | None = None
    n_keys: int | None = None
    zero0: bytes = bytes(3)
    reverse: bool = False
    extra: bytes = b""

    def encode(self) -> bytes:
        keys = sorted(self.keys, key=lambda k: k.key_id, reverse=self.reverse)
        body = b"".join(k.encode() for k in keys)
        header = struct.pack(
            "<16sIIB3sIQQQ8B",
            self.kind,
            self.header_len,
            64 + len(body) if self.total_len is None else self.total_len,
            self.party,
            self.zero0,
            len(keys) if self.n_keys is None else self.n_keys,
            self.version,
            self.issued,
            self.expires,
            *(self.thresholds.get(role, 0) for role in range(8)),
        )
        return header + body + self.extra


def pin(party: int) -> KeyList:
    """Two owners of the role root, both needed. Seeds 11, 12 and 21, 22."""
    return KeyList(party, [key(ROOT, n, party * 10 + n + 1) for n in range(2)], {ROOT: 2})


def keys(party: int) -> KeyList:
    """What a party's `keys` usually holds: root again, and its other roles."""
    roles = [OS] if party == VENDOR else [ETC, EXTENSION, POLICY, UNLOCK]
    entries = pin(party).keys
    for role in roles:
        entries += [key(role, 0, party * 100 + role), key(role, 1, party * 1000 + role)]
    return KeyList(
        party,
        entries,
        {ROOT: 2} | dict.fromkeys(roles, 1),
        kind=KIND_KEYS,
        version=3,
        issued=1,
        expires=2,
    )


def record(kind: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(data) if length is None else length) + data


def signed(kind: int, data: bytes, signatures: int = 2) -> bytes:
    """A blob and as many bytes that stand for signatures."""
    return record(kind, data) + b"".join(
        record(SIGNATURE, bytes([n + 1]) * 190) for n in range(signatures)
    )


POLICY_BLOB = KIND_POLICY + bytes(184)
GRANTS_BLOB = KIND_GRANTS + bytes(100_001)


def bundle() -> bytes:
    """Keys of both parties, a policy, grants of four parts."""
    return b"".join(
        (
            signed(1, keys(VENDOR).encode()),
            signed(1, keys(USER).encode()),
            signed(2, POLICY_BLOB, 1),
            signed(4, GRANTS_BLOB, 8),
        )
    )
