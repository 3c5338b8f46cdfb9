# SPDX-License-Identifier: Apache-2.0
"""The documents about one tree: manifest, grants and statement, signed, and verified at once.

What `commit sign` attaches to a commit and `extension sign` puts into a directory. The same key
signs the statement and the grants. Nothing is returned that a host would not accept from that
key. It reads no tree and writes nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verity.formats import dump, grants, statement
from verity.formats.dump import Entry
from verity.formats.grant_rules import Earned, check_role, earned
from verity.formats.grants import ConfigEntry, Grants, Party, Role, is_stream_name
from verity.formats.statement import Kind, Statement
from verity.ports.keystore import SigningKey
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.errors import CallerError


@dataclass(frozen=True, kw_only=True)
class Place:
    """What kind of tree it is, and its place in a stream. Times are seconds since 1970."""

    party: Party
    role: Role
    kind: Kind
    stream: str
    serial: int
    issued: int
    expires: int

    def __post_init__(self) -> None:
        if not is_stream_name(self.stream):
            raise CallerError(
                "bad-stream", f"the stream {self.stream!r} is not 1 to 63 of a-z 0-9 . _ -"
            )


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Bytes as they are stored, and how many entries the grants have."""

    manifest: bytes
    envelope: bytes
    grants: bytes
    grants_signature: bytes
    code: int
    elevate: int
    key_id: str

    @property
    def manifest_sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def grants_sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.grants).hexdigest()


def make(
    place: Place,
    entries: Sequence[Entry],
    heads: Mapping[bytes, bytes],
    key: SigningKey,
    *,
    subjects: Mapping[str, bytes],
    config: tuple[ConfigEntry, ...] = (),
) -> Documents:
    """Make, sign and verify the documents of a tree.

    ``heads`` are first bytes by fs-verity digest, for the grant rules; ``subjects`` what the
    statement names beside manifest and grants; ``config`` what the role etc grants, which is
    nothing else.

    1. Make manifest and grants from the tree.
    2. Sign: the statement that names them, and the grants for the kernel.
    3. Verify what was made, as a host will.
    """
    # 1. Make.
    manifest = dump.serialise(entries)
    tables = Earned((), ()) if place.role is Role.ETC else earned(entries, heads)
    granted = Grants(
        party=place.party,
        role=place.role,
        stream=place.stream,
        serial=place.serial,
        issued=place.issued,
        expires=place.expires,
        manifest_sha256=hashlib.sha256(manifest).digest(),
        code=tables.code,
        elevate=tables.elevate,
        config=config,
    )
    check_role(granted)
    blob = grants.encode(granted)
    payload = statement.encode(
        Statement(
            kind=place.kind,
            stream=place.stream,
            serial=place.serial,
            issued=place.issued,
            expires=place.expires,
            subjects={
                "manifest": hashlib.sha256(manifest).digest(),
                "grants": hashlib.sha256(blob).digest(),
                **subjects,
            },
        )
    )
    # 2. Sign.
    from securesystemslib.dsse import Envelope  # here, because importing it takes long

    envelope = Envelope(payload, statement.PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    envelope_bytes = json.dumps(envelope.to_dict(), sort_keys=True).encode()
    signature = key.sign_blob(blob)
    # 3. Verify.
    trusted = TrustedSet.of_keys(
        [key.public],
        party=place.party,
        role=place.role,
        allow_example_keys=True,  # whoever opened the key has decided
    )
    proven = verify_manifest(manifest, verify_statement([envelope_bytes], trusted))
    verify_grants(blob, [signature], proven, trusted)
    return Documents(
        manifest=manifest,
        envelope=envelope_bytes,
        grants=blob,
        grants_signature=signature,
        code=len(tables.code),
        elevate=len(tables.elevate),
        key_id=key.public.key_id,
    )
