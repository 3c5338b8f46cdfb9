# SPDX-License-Identifier: Apache-2.0
"""Waivers that have been verified: a type that only this module builds.

A waiver counts for exactly what it names: one check on one file of these contents, on the hosts
that it is for, until it expires. It turns a finding into one that is counted and printed as waived,
and never changes what the gate does. It reads no file and no clock.
"""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from hashlib import sha256

from verity.formats import statement, waiver
from verity.formats.grants import Party, Role
from verity.formats.waiver import EVERY_HOST, Waiver
from verity.trust.keys import PublicKey
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError

_PROOF = object()  # only this module can name it, so only it can build what follows


@dataclass(frozen=True, kw_only=True)
class VerifiedWaiver:
    """A waiver that enough owners of the user's role policy signed, with who they are."""

    waiver: Waiver
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]
    proof: InitVar[object]  # not kept, so that dataclasses.replace() can't pass it on

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedWaiver is made by verifying, never by hand")

    def expired(self, now: int) -> bool:
        """Whether it had expired at ``now``, the reference time (seconds since 1970)."""
        return now >= self.waiver.expires

    def covers(self, *, host: str, check: str, path: bytes, digest: bytes, now: int) -> bool:
        """Whether this finding is waived: the very check, path, contents and host, not expired."""
        said = self.waiver
        return (
            said.host in (EVERY_HOST, host)
            and (said.check, said.path, said.digest) == (check, path, digest)
            and not self.expired(now)
        )


def verify_waiver(data: bytes, trusted: TrustedSet) -> VerifiedWaiver:
    """Verify a waiver in its DSSE envelope.

    1. The keys are of the user's role policy.
    2. The envelope holds a waiver.
    3. At least the threshold of distinct owners signed it, by keys that are not revoked and were
       valid when it was issued.
    4. Neither its digest nor the waiver itself is revoked.

    Raises ContentError: ``bad-document``, ``bad-signature``, ``revoked-digest``.
    """
    # 1. Party and role.
    if (trusted.party, trusted.role) != (Party.USER, Role.POLICY):
        raise CallerError("wrong-role", "a waiver is signed by the user's role policy")
    # 2. A waiver.
    envelope = statement.parse_envelope(data)
    if envelope.payload_type != waiver.PAYLOAD_TYPE:
        raise ContentError(
            "bad-document",
            f"waiver: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {waiver.PAYLOAD_TYPE!r}",
        )
    said = waiver.parse(envelope.payload)
    # 3. Signatures.
    usable, skipped = envelope.readable("the waiver")
    judged = trusted.judge(usable, envelope.pae(), issued=said.issued)
    if len(judged.signers) < trusted.threshold:
        hint = "have it signed by more of the owners of the role policy"
        raise trusted.too_few(judged, "waiver", hint=hint)
    # 4. Revocations.
    trusted.revocations.check_digest(said.digest, "waiver: its object")
    document = sha256(envelope.payload).digest()
    trusted.revocations.check_digest(document, "waiver: the document itself")
    return VerifiedWaiver(
        proof=_PROOF,
        waiver=said,
        signers=judged.signers,
        skipped=(*skipped, *judged.refused),
    )
