# SPDX-License-Identifier: Apache-2.0
"""commit sign: manifest, statement, grants and their signatures into a commit's metadata.

Prepare, sign and attach in one process (docs/formats.md describes each document). It needs
neither root nor a checkout. What is written is first verified with the public half of the
signing key, and written in one atomic step: a failure leaves the commit as it was.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from verity.formats import dump
from verity.formats.commit import DetachedMetadata
from verity.formats.grants import Party, Role
from verity.formats.statement import Kind
from verity.ports.gpg import GpgSigner
from verity.ports.keystore import SigningKey
from verity.ports.ostree_repo import Repository
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError
from verity.verbs import contents, documents, native_signatures, signed
from verity.verbs.documents import Documents, Place


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to sign as what. Times are seconds since 1970.

    ``reuse`` is a commit that the same key signed: what is the same object there is not read again,
    unless it is granted anything.
    """

    revision: str
    stream: str
    serial: int
    issued: int
    expires: int
    replace: bool = False
    reuse: str | None = None


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
    native: tuple[str, ...]


def sign(
    repository: Repository,
    request: Request,
    key: SigningKey,
    *,
    gpg: GpgSigner | None = None,
    native: Sequence[SigningKey] = (),
    jobs: int,
) -> Signed:
    """Sign a commit.

    1. Read the commit and everything in it, each object checked against its name.
    2. Make manifest and grants from what was read, sign and verify them (``documents.make``).
    3. Sign the commit for stock ostree.
    4. Write it beside what is there, all at once.
    """
    place = Place(
        party=Party.VENDOR,
        role=Role.OS,
        kind=Kind.OS,
        stream=request.stream,
        serial=request.serial,
        issued=request.issued,
        expires=request.expires,
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
    known = contents.NOTHING
    if request.reuse is not None:
        trusted = TrustedSet.of_keys(
            [key.public], party=place.party, role=place.role, allow_example_keys=True
        )
        known = contents.known_from(repository, signed.load(repository, request.reuse, trusted))
    tree = contents.read(repository, checksum, jobs=jobs, known=known)
    if tree.damaged:
        path, error = tree.damaged[0]
        raise type(error)(
            error.code,
            f"{dump.printable(path)}: {error.message}"
            + (f" (and {len(tree.damaged) - 1} more objects)" if len(tree.damaged) > 1 else ""),
            hint=error.hint,
        )
    # 2. Make, sign, verify.
    made = documents.make(
        place,
        tree.entries,
        tree.heads,
        key,
        subjects={
            "commit": bytes.fromhex(checksum),
            "boot": hashlib.sha256(dump.boot_list(tree.entries)).digest(),
        },
    )
    # 3. Sign for stock ostree.
    gpg_signature = gpg.sign(raw) if gpg is not None else None
    after, engines = native_signatures.add(_attached(before, made), raw, native)
    # 4. Write.
    if gpg_signature is not None:
        others = before.get_byte_arrays(signed.GPG_SIGNATURES)
        after = after.with_byte_arrays(signed.GPG_SIGNATURES, (*others, gpg_signature))
    repository.write_detached(checksum, after, expected=before)
    return Signed(
        checksum=checksum,
        files=len(tree.entries),
        objects=tree.objects,
        code=made.code,
        elevate=made.elevate,
        manifest_sha256=made.manifest_sha256,
        grants_sha256=made.grants_sha256,
        key_id=made.key_id,
        gpg=gpg_signature is not None,
        native=tuple(engine.value for engine in engines),
    )


def _attached(before: DetachedMetadata, made: Documents) -> DetachedMetadata:
    return (
        before.with_byte_arrays(signed.STATEMENT, [made.envelope])
        .with_bytes(signed.MANIFEST, signed.pack_manifest(made.manifest))
        .with_bytes(signed.GRANTS, made.grants)
        .with_byte_arrays(signed.GRANTS_SIGNATURES, [made.grants_signature])
    )
