# SPDX-License-Identifier: Apache-2.0
"""Statements, manifests and grants that have been verified: types only this module builds.

The order is fixed, and each step takes what the step before proved:

    envelope bytes + trusted keys    -> VerifiedStatement
    ... + manifest bytes             -> VerifiedManifest
    ... + grants bytes + PKCS#7      -> VerifiedGrants

Nothing downstream accepts a statement, a manifest or grants in any other form. It reads no
file and no clock: bytes and the reference time are passed in. Expiry is judged by the caller
(``VerifiedStatement.expired``), because it blocks new acceptance but never a boot.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property

from verity.formats import dump, grants, statement
from verity.formats.grants import Grants, Party, Role
from verity.formats.statement import Kind, Statement
from verity.trust.keys import PublicKey
from verity.trust.revocations import Revocations
from verity.trust.trusted import Judged, TrustedSet
from verity.values.errors import ContentError

ROLE_OF = {Kind.OS: Role.OS, Kind.ETC: Role.ETC, Kind.EXTENSION: Role.EXTENSION}
"""Which role signs which kind."""
_PROOF = object()  # only this module can name it, so only it can build what follows


@dataclass(frozen=True, kw_only=True)
class _Proven:
    proof: InitVar[object]  # not kept, so that dataclasses.replace() can't pass it on

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError(f"a {type(self).__name__} is made by verifying, never by hand")


@dataclass(frozen=True, kw_only=True)
class VerifiedStatement(_Proven):
    """A statement that enough trusted owners signed, with who they are.

    ``revocations`` are those it was verified under: what it names is held to them, too.
    """

    statement: Statement
    payload: bytes
    party: Party
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]
    revocations: Revocations

    def expired(self, now: int) -> bool:
        """Whether it had expired at ``now`` (seconds since 1970)."""
        return now >= self.statement.expires


@dataclass(frozen=True, kw_only=True)
class VerifiedManifest(_Proven):
    """A manifest that a verified statement names: canonical bytes, and what they say."""

    source: VerifiedStatement
    data: bytes = field(repr=False)
    sha256: bytes

    @cached_property
    def count(self) -> int:
        """How many entries there are: a canonical manifest has one a line."""
        return self.data.count(b"\n")

    @cached_property
    def entries(self) -> tuple[dump.Entry, ...]:
        """All entries, read when first asked for: who compares the bytes needs none of them."""
        return dump.parse(self.data)


@dataclass(frozen=True, kw_only=True)
class VerifiedGrants(_Proven):
    """Grants that a verified statement names and enough trusted owners signed."""

    source: VerifiedStatement
    grants: Grants
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]


def verify_statement(envelopes: Sequence[bytes], trusted: TrustedSet) -> VerifiedStatement:
    """Verify the one statement among these envelopes.

    1. Exactly one envelope holds a statement of ours; malformed ones are skipped and reported.
    2. At least the threshold of distinct owners signed it, by keys that are not revoked.
    3. Its kind belongs to the role of these keys, and its stream is one of theirs.
    4. At least the threshold signed it by keys that were valid when it was issued.
    5. Neither its serial nor a subject of it is revoked.

    Raises ContentError: ``no-statement``, ``bad-document``, ``bad-signature``, ``wrong-role``,
    ``wrong-stream``, ``revoked-serial``, ``revoked-digest``.
    """
    # 1. Exactly one statement; provenance of other types may ride along.
    envelope, skipped = _the_statement(envelopes)
    # 2. Signatures, each against every key: key ids are only hints.
    usable, malformed = envelope.readable("the statement")
    skipped += malformed
    judged = _enough(trusted, trusted.judge(usable, envelope.pae()), envelope)
    # 3. The kind and the stream belong to the role.
    parsed = statement.parse(envelope.payload)
    if ROLE_OF[parsed.kind] is not trusted.role:
        raise ContentError(
            "wrong-role",
            f"statement: of the kind {parsed.kind}, which keys of the role"
            f" {trusted.role.name.lower()} may not sign",
        )
    if not trusted.signs_in(parsed.stream):
        raise ContentError(
            "wrong-stream",
            f"statement: of the stream {parsed.stream}, these keys sign in"
            f" {', '.join(trusted.streams or ())[:200]}",
            hint="the keyring says in which streams a role may sign: `verity keyring show`",
        )
    # 4. Keys that were valid then; only now is it known when.
    if trusted.has_windows:
        again = trusted.judge(usable, envelope.pae(), issued=parsed.issued)
        judged = _enough(trusted, again, envelope)
    # 5. Revocations.
    revocations = trusted.revocations
    revocations.check_serial(parsed.stream, parsed.serial)
    for name, sha256 in sorted(parsed.subjects.items()):
        revocations.check_digest(sha256, f"statement: its subject {name}")
    return VerifiedStatement(
        proof=_PROOF,
        statement=parsed,
        payload=envelope.payload,
        party=trusted.party,
        signers=judged.signers,
        skipped=(*skipped, *judged.refused),
        revocations=revocations,
    )


def verify_manifest(
    data: bytes, source: VerifiedStatement, *, canonical: Callable[[bytes], bool] | None = None
) -> VerifiedManifest:
    """Verify manifest bytes against the statement, then read them.

    ``canonical`` is a quicker reader, which says yes to nothing that ``dump.parse`` would refuse.

    1. The statement names exactly these bytes.
    2. They are a canonical manifest.
    3. No file in it has a revoked digest.

    Raises ContentError: ``wrong-manifest``, ``bad-manifest``, ``revoked-digest``.
    """
    # 1. The statement names these bytes.
    sha256 = _named("manifest", data, source)
    # 2. A canonical manifest.
    if canonical is None or not canonical(data):
        dump.parse(data)
    # 3. Revocations.
    if source.revocations.digests:
        for entry in dump.parse(data):
            if entry.digest is not None:
                source.revocations.check_digest(
                    entry.digest, f"manifest: the file {dump.printable(entry.path)}"
                )
    return VerifiedManifest(proof=_PROOF, source=source, data=data, sha256=sha256)


def verify_grants(
    data: bytes, signatures: Sequence[bytes], manifest: VerifiedManifest, trusted: TrustedSet
) -> VerifiedGrants:
    """Verify a grants blob as the gate will, and that it belongs to this manifest.

    1. The statement names exactly these bytes.
    2. Each PKCS#7 is the template, and enough distinct owners signed the blob.
    3. Party, role, stream, serial, times and manifest are the statement's.
    4. Nothing granted has a revoked digest.

    Raises ContentError: ``wrong-grants``, ``bad-signature``, ``bad-grants``, ``revoked-digest``.
    """
    source = manifest.source
    # 1. The statement names these bytes.
    _named("grants", data, source)
    # 2. Signatures, in the only form that the kernel is given.
    signers, refused = trusted.blob_signers(
        signatures, data, what="grants", issued=source.statement.issued
    )
    # 3. The header agrees with the statement.
    parsed = grants.parse(data)
    said = source.statement
    for name, found, expected in (
        ("party", parsed.party, source.party),
        ("role", parsed.role, trusted.role),
        ("stream", parsed.stream, said.stream),
        ("serial", parsed.serial, said.serial),
        ("issued", parsed.issued, said.issued),
        ("expires", parsed.expires, said.expires),
        ("manifest", parsed.manifest_sha256.hex(), manifest.sha256.hex()),
    ):
        if found != expected:
            raise ContentError(
                "wrong-grants", f"grants: {name} is {found}, the statement says {expected}"
            )
    # 4. Revocations.
    if source.revocations.digests:
        granted = {entry.digest for entry in parsed.code}
        granted |= {entry.digest for entry in parsed.elevate}
        granted |= {entry.digest for entry in parsed.config}
        for digest in sorted(granted):
            source.revocations.check_digest(digest, "grants: an entry")
    return VerifiedGrants(
        proof=_PROOF, source=source, grants=parsed, signers=signers, skipped=refused
    )


def _enough(trusted: TrustedSet, judged: Judged, envelope: statement.Envelope) -> Judged:
    """The same, or ContentError ``bad-signature`` with why signatures don't count."""
    if len(judged.signers) >= trusted.threshold:
        return judged
    hints = sorted({signature.key_id_hint[:64] for signature in envelope.signatures} - {""})
    # A revoked key has no role, so its signature is one by nobody; what it is said to be by tells.
    revoked = [hint for hint in hints if hint in trusted.revocations.keys]
    named = ", ".join(f"{hint!r}{' (revoked)' if hint in revoked else ''}" for hint in hints)
    hint = "either it was altered, or the key given is not the one that signed it"
    if judged.refused or revoked:
        hint = "have it signed anew by keys that count"
    elif judged.signers:
        hint = "it isn't altered, it lacks signatures: `verity sign` collects those of more owners"
    more = f"; it names {f'the key {named}' if named else 'no key'}"
    raise trusted.too_few(judged, "statement", hint=hint, more=more)


def _named(name: str, data: bytes, source: VerifiedStatement) -> bytes:
    found = hashlib.sha256(data).digest()
    expected = source.statement.subjects[name]
    if found != expected:
        raise ContentError(
            f"wrong-{name}",
            f"{name}: SHA-256 {found.hex()}, the signed statement names {expected.hex()}",
            hint=f"the {name} was altered, or belongs to another commit",
        )
    return found


def _the_statement(envelopes: Sequence[bytes]) -> tuple[statement.Envelope, list[str]]:
    """The one envelope that says it holds a statement of ours, and what was malformed beside it."""
    ours: list[statement.Envelope] = []
    malformed: list[ContentError] = []
    skipped: list[str] = []
    for number, data in enumerate(envelopes, 1):
        try:
            candidate = statement.parse_envelope(data)
            if statement.is_ours(candidate):
                ours.append(candidate)
        except ContentError as error:
            malformed.append(error)
            skipped.append(f"envelope {number}: {error.message}")
    if len(ours) == 1:
        return ours[0], skipped
    if not ours and malformed:
        raise malformed[0]
    raise ContentError(
        "no-statement",
        f"{len(ours)} verity statements among {len(envelopes)} envelopes, expected one",
        hint="`verity commit sign` attaches it",
    )
