# SPDX-License-Identifier: Apache-2.0
"""commit sign: manifest, statement, grants and their signatures into a commit's metadata.

Prepare, sign and attach in one process (docs/formats.md describes each document). It needs
neither root nor a checkout. What is written is first verified with the public half of the
signing key, and written in one atomic step: a failure leaves the commit as it was.
"""

import hashlib
import json
from dataclasses import dataclass

from verity.formats import dump, grants, pkcs7, statement
from verity.formats.commit import DetachedMetadata
from verity.formats.grant_rules import earned
from verity.formats.grants import Grants, Party, Role
from verity.formats.statement import Kind, Statement
from verity.ports.gpg import GpgSigner
from verity.ports.keystore import SigningKey
from verity.ports.ostree_repo import Repository
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.errors import CallerError
from verity.verbs import contents, signed


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to sign as what. Times are seconds since 1970."""

    revision: str
    stream: str
    serial: int
    issued: int
    expires: int
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was written."""

    checksum: str
    files: int
    objects: int
    code: int
    elevate: int
    manifest_sha256: str
    grants_sha256: str
    key_id: str
    gpg: bool


def sign(
    repository: Repository,
    request: Request,
    key: SigningKey,
    *,
    gpg: GpgSigner | None = None,
    jobs: int,
) -> Signed:
    """Sign a commit.

    1. Read the commit and everything in it, each object checked against its name.
    2. Make manifest, boot list and grants from what was read.
    3. Sign: the statement, the grants for the kernel, the commit for stock ostree.
    4. Verify what was made, as a host will.
    5. Write it beside what is there, all at once.
    """
    if not grants.is_stream_name(request.stream):
        raise CallerError(
            "bad-stream", f"the stream {request.stream!r} is not 1 to 63 of a-z 0-9 . _ -"
        )
    # 1. Read.
    checksum = repository.resolve(request.revision)
    raw, _ = repository.read_commit(checksum)
    before = repository.read_detached(checksum)
    if signed.STATEMENT in before.keys() and not request.replace:
        raise CallerError(
            "already-signed",
            f"commit {checksum}: has a verity statement already",
            hint="`verity commit show` shows it; --replace puts a new one in its place",
        )
    tree = contents.read(repository, checksum, jobs=jobs)
    if tree.damaged:
        path, error = tree.damaged[0]
        raise type(error)(
            error.code,
            f"{dump.printable(path)}: {error.message}"
            + (f" (and {len(tree.damaged) - 1} more objects)" if len(tree.damaged) > 1 else ""),
            hint=error.hint,
        )
    # 2. Make.
    manifest = dump.serialise(tree.entries)
    tables = earned(tree.entries, tree.heads)
    blob = grants.encode(
        Grants(
            party=Party.VENDOR,
            role=Role.OS,
            stream=request.stream,
            serial=request.serial,
            issued=request.issued,
            expires=request.expires,
            manifest_sha256=hashlib.sha256(manifest).digest(),
            code=tables.code,
            elevate=tables.elevate,
        )
    )
    payload = statement.encode(
        Statement(
            kind=Kind.OS,
            stream=request.stream,
            serial=request.serial,
            issued=request.issued,
            expires=request.expires,
            subjects={
                "manifest": hashlib.sha256(manifest).digest(),
                "grants": hashlib.sha256(blob).digest(),
                "commit": bytes.fromhex(checksum),
                "boot": hashlib.sha256(dump.boot_list(tree.entries)).digest(),
            },
        )
    )
    # 3. Sign.
    from securesystemslib.dsse import Envelope  # here, because importing it takes long

    envelope = Envelope(payload, statement.PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    envelope_bytes = json.dumps(envelope.to_dict(), sort_keys=True).encode()
    grants_signature = pkcs7.encode(key_id=key.public.key_id, signature=key.sign(blob))
    gpg_signature = gpg.sign(raw) if gpg is not None else None
    # 4. Verify.
    trusted = TrustedSet.of_keys([key.public], party=Party.VENDOR, role=Role.OS)
    proven = verify_manifest(manifest, verify_statement([envelope_bytes], trusted))
    verify_grants(blob, [grants_signature], proven, trusted)
    # 5. Write.
    after = _attached(before, manifest, blob, envelope_bytes, grants_signature)
    if gpg_signature is not None:
        others = before.get_byte_arrays(signed.GPG_SIGNATURES)
        after = after.with_byte_arrays(signed.GPG_SIGNATURES, (*others, gpg_signature))
    repository.write_detached(checksum, after, expected=before)
    return Signed(
        checksum=checksum,
        files=len(tree.entries),
        objects=tree.objects,
        code=len(tables.code),
        elevate=len(tables.elevate),
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        grants_sha256=hashlib.sha256(blob).hexdigest(),
        key_id=key.public.key_id,
        gpg=gpg_signature is not None,
    )


def _attached(
    before: DetachedMetadata, manifest: bytes, blob: bytes, envelope: bytes, signature: bytes
) -> DetachedMetadata:
    return (
        before.with_byte_arrays(signed.STATEMENT, [envelope])
        .with_bytes(signed.MANIFEST, signed.pack_manifest(manifest))
        .with_bytes(signed.GRANTS, blob)
        .with_byte_arrays(signed.GRANTS_SIGNATURES, [signature])
    )
