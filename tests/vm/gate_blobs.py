# SPDX-License-Identifier: Apache-2.0
"""Grants as no encoder of ours would write them, and PKCS#7 as no signer of ours would make it.

For tests of what the gate refuses by itself: each of these is signed by the right key, over bytes
that say the wrong thing. Revocations are here, too. Packed by hand after docs/formats.md sections
6, 7, 12 and 16; nothing here is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.world import Signer
from verity.formats import der, grants, pkcs7, revoke
from verity.formats.grants import Code, Party, Role
from verity.formats.records import RecordKind

ISSUED = 1_700_000_000
EXPIRES = 4_102_444_800  # 2100: these are judged by a machine's clock
HEADER, CODE, ELEVATE, CONFIG, REVOKE = 168, 40, 64, 352, 64
PATH_AT = 168

_RECORD = struct.Struct("<II")
_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
_ECDSA = der.sequence(der.oid("1.2.840.10045.4.3.2"))
_SIGNED_DATA, _DATA = der.oid("1.2.840.113549.1.7.2"), der.oid("1.2.840.113549.1.7.1")
_CONTENT_TYPE, _DIGEST = der.oid("1.2.840.113549.1.9.3"), der.oid("1.2.840.113549.1.9.4")
NAME = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8(pkcs7.ISSUER))))


@dataclass(frozen=True, kw_only=True)
class CodeRow:
    """A code entry."""

    digest: bytes
    flags: int = int(Code.EXEC)
    zero: int = 0


@dataclass(frozen=True, kw_only=True)
class ElevateRow:
    """An elevate entry."""

    digest: bytes
    bits: int = 0o4000
    zero0: int = 0
    uid: int = 0
    gid: int = 0
    zero1: int = 0
    caps: int = 0
    zero2: int = 0


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Grants. What is None is what it should be; the tables stand as they are given."""

    serial: int
    party: int = Party.USER
    role: int = Role.EXTENSION
    stream: bytes = b"tools"
    code: Sequence[CodeRow] = ()
    elevate: Sequence[ElevateRow] = ()
    config: bytes = b""
    kind: bytes = grants.KIND
    header_len: int = HEADER
    total_len: int | None = None
    zero0: int = 0
    flags_used: int | None = None
    issued: int = ISSUED
    expires: int = EXPIRES
    manifest: bytes = bytes(32)
    n_code: int | None = None
    n_elevate: int | None = None
    n_config: int | None = None
    zero1: int = 0
    extra: bytes = b""

    def encode(self) -> bytes:
        """The bytes, with `extra` behind them."""
        tables = [struct.pack("<32sII", row.digest, row.flags, row.zero) for row in self.code]
        tables += [
            struct.pack(
                "<32sHHIIIQQ",
                *(row.digest, row.bits, row.zero0, row.uid),
                *(row.gid, row.zero1, row.caps, row.zero2),
            )
            for row in self.elevate
        ]
        body = b"".join([*tables, self.config, self.extra])
        used = 0
        for row in self.code:
            used |= row.flags
        header = struct.pack(
            "<16sIIBBHIQQQ64s32sIIII",
            self.kind,
            self.header_len,
            HEADER + len(body) if self.total_len is None else self.total_len,
            self.party,
            self.role,
            self.zero0,
            used if self.flags_used is None else self.flags_used,
            self.serial,
            self.issued,
            self.expires,
            self.stream,
            self.manifest,
            len(self.code) if self.n_code is None else self.n_code,
            len(self.elevate) if self.n_elevate is None else self.n_elevate,
            len(self.config) // CONFIG if self.n_config is None else self.n_config,
            self.zero1,
        )
        return header + body


@dataclass(frozen=True, kw_only=True)
class Revoke:
    """Revocations, likewise; streams are names and the lowest serials that still count."""

    serial: int
    party: int = Party.USER
    role: int = Role.ROOT
    keys: Sequence[bytes] = ()
    digests: Sequence[bytes] = ()
    streams: Sequence[tuple[bytes, int]] = ()
    kind: bytes = revoke.KIND
    header_len: int = REVOKE
    total_len: int | None = None
    zero0: int = 0
    zero1: int = 0
    issued: int = ISSUED
    n_keys: int | None = None
    n_digests: int | None = None
    n_streams: int | None = None
    zero2: int = 0
    extra: bytes = b""

    def encode(self) -> bytes:
        """The bytes, with `extra` behind them."""
        streams = [struct.pack("<64sQ", *entry) for entry in self.streams]
        body = b"".join([*self.keys, *self.digests, *streams, self.extra])
        header = struct.pack(
            "<16sIIBBHIQQIIII",
            self.kind,
            self.header_len,
            REVOKE + len(body) if self.total_len is None else self.total_len,
            self.party,
            self.role,
            self.zero0,
            self.zero1,
            self.serial,
            self.issued,
            len(self.keys) if self.n_keys is None else self.n_keys,
            len(self.digests) if self.n_digests is None else self.n_digests,
            len(self.streams) if self.n_streams is None else self.n_streams,
            self.zero2,
        )
        return header + body


def key_id(signer: Signer) -> bytes:
    """By which revocations name a key."""
    return bytes.fromhex(signer.public.key_id)


def digest(number: int) -> bytes:
    """A digest that no file has; they sort as their numbers do."""
    return b"\xee" + number.to_bytes(31, "big")


def code_rows(first: int, count: int, flags: int = int(Code.EXEC)) -> tuple[CodeRow, ...]:
    """A sorted table of digests from `digest(first)` on."""
    return tuple(CodeRow(digest=digest(first + n), flags=flags) for n in range(count))


def config_entry(
    path: bytes = b"/etc/motd",
    *,
    kind: int = 1,
    zero: int = 0,
    digest: bytes = b"\xee" * 32,
    target: bytes = b"",
) -> bytes:
    """One entry of the config table: a file."""
    return struct.pack("<256sII32s56s", path, kind, zero, digest, target)


def config_link(path: bytes, target: bytes) -> bytes:
    """One entry of the config table: a symlink."""
    return config_entry(path, kind=2, digest=bytes(32), target=target)


def signed(blob: bytes, *signers: Signer) -> bytes:
    """A fragment: the blob and a good signature of each."""
    return fragment(blob, *(signature(signer, blob) for signer in signers))


def fragment(blob: bytes, *signatures: bytes) -> bytes:
    """A fragment with any signatures, or none. The record's kind tells the gate nothing."""
    records = [(RecordKind.GRANTS, blob), *((RecordKind.SIGNATURE, der_) for der_ in signatures)]
    return b"".join(_RECORD.pack(kind, len(data)) + data for kind, data in records)


# --- signatures ---------------------------------------------------------------------------------


def signature(signer: Signer, blob: bytes) -> bytes:
    """The template, filled in."""
    return pkcs7.encode(key_id=signer.public.key_id, signature=signer.sign(blob))


def signer_info(
    serial: int,
    value: bytes,
    *,
    issuer_and_serial: bytes | None = None,
    attributes: bytes = b"",
    algorithm: bytes = _ECDSA,
    behind: bytes = b"",
) -> bytes:
    """A SignerInfo (RFC 2315 section 9.2); `attributes` and `behind` stand where signed and
    unsigned ones do."""
    name = issuer_and_serial or der.sequence(NAME, der.integer(serial))
    rest = (attributes, algorithm, der.octets(value), behind)
    return der.sequence(der.integer(1), name, _SHA256, *rest)


def signed_data(*infos: bytes, certificates: bytes = b"", content: bytes = b"") -> bytes:
    """SignedData (section 9.1) of these signers; the template has one and neither of the rest."""
    return der.sequence(
        _SIGNED_DATA,
        der.explicit(
            0,
            der.sequence(
                der.integer(1),
                der.set_of(_SHA256),
                der.sequence(_DATA, content),
                certificates,
                der.set_of(*infos),
            ),
        ),
    )


def serial_of(signer: Signer) -> int:
    """How a SignerInfo names the key."""
    return pkcs7.serial_of(signer.public.key_id)


def signed_attributes(blob_sha256: bytes) -> bytes:
    """[0] with content type and message digest: the kernel would check the signature over these."""
    content_type = der.sequence(_CONTENT_TYPE, der.set_of(_DATA))
    message_digest = der.sequence(_DIGEST, der.set_of(der.octets(blob_sha256)))
    return der.tlv(0xA0, content_type, message_digest)


def certificate(key: Signer) -> bytes:
    """[0] IMPLICIT with one certificate, of that key."""
    return der.tlv(0xA0, pkcs7.certificate(key_id=key.public.key_id, spki=key.public.spki))
