# SPDX-License-Identifier: Apache-2.0
"""A signed world in memory, for tests that change one thing and want the right refusal."""

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from verity.formats import dump, grants, keyring, pkcs7, statement
from verity.formats.dump import Entry
from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.formats.keyring import Keyring, KeyringKey, RoleRule
from verity.formats.statement import Kind, Statement
from verity.trust.keys import PublicKey, of_public_key
from verity.trust.trusted import TrustedKey, TrustedSet

ISSUED = 1_700_000_000
EXPIRES = 1_800_000_000
COMMIT = bytes(range(32))


@dataclass(frozen=True)
class Signer:
    """A key pair made from a number, so that tests repeat."""

    number: int

    @property
    def private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.number, ec.SECP256R1())

    @property
    def public(self) -> PublicKey:
        return of_public_key(self.private.public_key(), label=f"key {self.number}")

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


VENDOR, OTHER, THIRD = Signer(11), Signer(12), Signer(13)


def trusted(*owners: tuple[str, Signer], threshold: int = 1, role: Role = Role.OS) -> TrustedSet:
    return TrustedSet(
        party=Party.VENDOR,
        role=role,
        keys=tuple(TrustedKey(key=signer.public, owner=owner) for owner, signer in owners),
        threshold=threshold,
    )


JUST_VENDOR = trusted(("vendor", VENDOR))

ENTRIES = (
    Entry(path=b"/", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/tool", mode=0o100755, uid=0, gid=0, size=9, digest=b"\x01" * 32),
)


def envelope(
    payload: bytes,
    *signers: Signer,
    payload_type: str = statement.PAYLOAD_TYPE,
    extra: tuple[dict[str, Any], ...] = (),
) -> bytes:
    pae = statement.pae(payload, payload_type)
    signatures = [*extra]
    signatures += [
        {"keyid": s.public.key_id, "sig": base64.b64encode(s.sign(pae)).decode()} for s in signers
    ]
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": signatures,
        }
    ).encode()


@dataclass
class World:
    """Everything that is signed about one commit. Change a field, then ask for the bytes."""

    entries: tuple[Entry, ...] = ENTRIES
    signers: tuple[Signer, ...] = (VENDOR,)
    grants_signers: tuple[Signer, ...] = (VENDOR,)
    commit: bytes = COMMIT
    kind: Kind = Kind.OS
    grants_changes: dict[str, Any] = field(default_factory=dict)
    statement_changes: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> bytes:
        return dump.serialise(self.entries)

    @property
    def grants(self) -> bytes:
        base = Grants(
            party=Party.VENDOR,
            role=Role.OS,
            stream="os",
            serial=5,
            issued=ISSUED,
            expires=EXPIRES,
            manifest_sha256=hashlib.sha256(self.manifest).digest(),
            code=(CodeEntry(b"\x01" * 32, Code.EXEC),),
        )
        return grants.encode(replace(base, **self.grants_changes))

    @property
    def grants_signatures(self) -> list[bytes]:
        blob = self.grants
        return [
            pkcs7.encode(key_id=s.public.key_id, signature=s.sign(blob))
            for s in self.grants_signers
        ]

    @property
    def statement(self) -> bytes:
        subjects = {
            "manifest": hashlib.sha256(self.manifest).digest(),
            "grants": hashlib.sha256(self.grants).digest(),
        }
        if self.kind is Kind.OS:
            subjects["commit"] = self.commit
            subjects["boot"] = hashlib.sha256(dump.boot_list(self.entries)).digest()
        base = Statement(
            kind=self.kind,
            stream="os",
            serial=5,
            issued=ISSUED,
            expires=EXPIRES,
            subjects=subjects,
        )
        return statement.encode(replace(base, **self.statement_changes))

    @property
    def envelope(self) -> bytes:
        return envelope(self.statement, *self.signers)


ROOT, ROOT2, ROOT3 = Signer(21), Signer(22), Signer(23)


def keyring_of(
    *holders: tuple[Role, str, Signer],
    thresholds: dict[Role, int] | None = None,
    streams: tuple[str, ...] = ("os",),
    **changes: Any,
) -> Keyring:
    """A keyring of these (role, owner, key); any field can be given as another value."""
    keys = {s.public.key_id: KeyringKey(spki=s.public.spki, owner=o) for _, o, s in holders}
    roles = {
        role: RoleRule(
            threshold=(thresholds or {}).get(role, 1),
            keys=tuple(sorted({s.public.key_id for r, _, s in holders if r is role})),
            streams=streams if role in keyring.STREAM_ROLES else (),
        )
        for role in {role for role, _, _ in holders}
    }
    base = Keyring(
        party=Party.VENDOR,
        version=1,
        issued=ISSUED,
        expires=EXPIRES,
        keys=tuple(keys[key_id] for key_id in sorted(keys)),
        roles=roles,
    )
    return replace(base, **changes)


def keyring_fields(value: Keyring) -> Any:
    """Its JSON as Python values, to change one."""
    return json.loads(keyring.encode(value))


def keyring_envelope(payload: bytes | Keyring, *signers: Signer) -> bytes:
    """A version: the keyring, signed by these root keys."""
    data = payload if isinstance(payload, bytes) else keyring.encode(payload)
    return envelope(data, *signers, payload_type=keyring.PAYLOAD_TYPE)


FIRST_KEYRING = keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "vendor", VENDOR))
"""A vendor's version 1: one root key, and one key that signs the stream ``os``."""
