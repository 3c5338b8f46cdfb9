# SPDX-License-Identifier: Apache-2.0
"""The policy that has been verified: a type that only this module builds.

    envelope bytes + keys of the user's role policy   -> VerifiedPolicy
    ... + the gate's blob + PKCS#7                    -> that blob is its own

It reads no file and no clock. Expiry is judged by the caller (``VerifiedPolicy.expired``): it
blocks new acceptance, and never removes the policy that a host has.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass

from verity.formats import kernel_policy, policy_document, policy_gate, statement
from verity.formats.grants import Party, Role
from verity.formats.policy import Policy
from verity.trust.keys import PublicKey
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError

_PROOF = object()  # only this module can name it, so only it can build what follows


@dataclass(frozen=True, kw_only=True)
class VerifiedPolicy:
    """A policy that enough owners of the user's role policy signed, with who they are."""

    policy: Policy
    sha256: bytes
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]
    proof: InitVar[object]  # not kept, so that dataclasses.replace() can't pass it on

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedPolicy is made by verifying, never by hand")

    def expired(self, now: int) -> bool:
        """Whether it had expired at ``now`` (seconds since 1970)."""
        return now >= self.policy.expires


def verify_policy(data: bytes, trusted: TrustedSet) -> VerifiedPolicy:
    """Verify the envelope of a policy.

    1. The keys are of the user's role policy, and the envelope holds a policy.
    2. At least the threshold of distinct owners signed it, by keys that are not revoked.
    3. It is a policy, and the gate can be told of it.
    4. At least the threshold signed it by keys that were valid when it was issued.
    5. Its digest is not revoked.

    Raises ContentError: ``bad-document``, ``bad-signature``, ``bad-policy``, ``revoked-digest``;
    CallerError (``bad-trust``) for keys of another role. Its serial is held against the floor by
    ``trust.floors``.
    """
    # 1. Whose, and what.
    if (trusted.party, trusted.role) != (Party.USER, Role.POLICY):
        raise CallerError("bad-trust", "a policy is verified with the user's role policy")
    envelope = statement.parse_envelope(data)
    if envelope.payload_type != policy_document.PAYLOAD_TYPE:
        raise ContentError(
            "bad-document",
            f"policy: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {policy_document.PAYLOAD_TYPE!r}",
        )
    # 2. Signatures, each against every key: key ids are only hints.
    usable, skipped = envelope.readable("the policy")
    signers = _enough(trusted, usable, envelope, skipped, issued=None)
    # 3. A policy.
    found = policy_document.parse(envelope.payload)
    kernel_policy.encode(policy_gate.project(found))
    # 4. Keys that were valid then; only now is it known when.
    if trusted.has_windows:
        signers = _enough(trusted, usable, envelope, skipped, issued=found.issued)
    # 5. Revocation.
    sha256 = hashlib.sha256(envelope.payload).digest()
    trusted.revocations.check_digest(sha256, "policy: it")
    return VerifiedPolicy(
        proof=_PROOF, policy=found, sha256=sha256, signers=signers, skipped=tuple(skipped)
    )


def verify_blob(
    blob: bytes, signatures: Sequence[bytes], source: VerifiedPolicy, trusted: TrustedSet
) -> tuple[str, ...]:
    """Verify that this blob is what the gate is told of this policy, and signed for the kernel.

    1. Every byte follows from the document.
    2. Enough distinct owners signed it.

    Returns why further signatures don't count. Raises ContentError: ``wrong-policy``,
    ``bad-signature``.
    """
    # 1. The same policy.
    expected = kernel_policy.encode(policy_gate.project(source.policy))
    if blob != expected:
        raise ContentError(
            "wrong-policy",
            f"policy: the gate's blob has the SHA-256 {hashlib.sha256(blob).hexdigest()}, what"
            f" follows from the signed document has {hashlib.sha256(expected).hexdigest()}",
            hint="take document and blob of one `verity policy compile`",
        )
    # 2. Signatures.
    return trusted.blob_signers(signatures, blob, what="policy", issued=source.policy.issued)[1]


def _enough(
    trusted: TrustedSet,
    signatures: Sequence[bytes],
    envelope: statement.Envelope,
    skipped: list[str],
    *,
    issued: int | None,
) -> Mapping[str, PublicKey]:
    judged = trusted.judge(signatures, envelope.pae(), issued=issued)
    if len(judged.signers) < trusted.threshold:
        hint = "either it was altered, or other keys signed it: `verity keyring show` says whose"
        raise trusted.too_few(judged, "policy", hint=f"{hint} count")
    skipped += [text for text in judged.refused if text not in skipped]
    return judged.signers
