# SPDX-License-Identifier: Apache-2.0
"""Evidence that has been verified: a type that only this module builds.

What its signature proves is that whoever holds the key of the role evidence said this, after the
nonce and after the capsule that it names. That it is true, nobody but the host can say: the key
lies on the host. What of it follows from other signatures is for ``verbs.evidence_verify``.
It reads no file and no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass

from verity.formats import evidence, statement
from verity.formats.evidence import Evidence
from verity.formats.grants import Role
from verity.formats.statement import format_time
from verity.trust import clock
from verity.trust.keys import PublicKey
from verity.trust.trusted import Judged, TrustedSet
from verity.values.errors import CallerError, ContentError

_PROOF = object()  # only this module can name it, so only it can build what follows


@dataclass(frozen=True, kw_only=True)
class VerifiedEvidence:
    """Evidence that enough owners of a role evidence signed. ``digest`` names it in the next."""

    evidence: Evidence
    digest: bytes
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]
    proof: InitVar[object]  # not kept, so that dataclasses.replace() can't pass it on

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedEvidence is made by verifying, never by hand")


@dataclass(frozen=True, kw_only=True)
class Demands:
    """What an auditor asks of a capsule beside its signature; None: doesn't ask.

    ``max_age`` is in seconds, up to the time of the verification. ``previous`` is the capsule
    that they have of before.
    """

    nonce: bytes | None = None
    host: str | None = None
    max_age: int | None = None
    previous: VerifiedEvidence | None = None


def payload_of(data: bytes) -> bytes:
    """The payload of an envelope of evidence, unverified: to find the keyrings that say whose
    signature on it counts. ContentError ``bad-document``."""
    return _opened(data).payload


def verify_evidence(data: bytes, accepted: Sequence[TrustedSet]) -> VerifiedEvidence:
    """Verify a capsule in its DSSE envelope.

    1. The keys are of roles evidence; there is at least one.
    2. The envelope holds evidence.
    3. At least the threshold of distinct owners of one of these roles signed it, by keys that are
       not revoked.
    4. It is evidence, and these keys were valid when it was issued.
    5. Its digest is not revoked.

    Raises ContentError: ``bad-document``, ``bad-signature``, ``revoked-digest``; CallerError
    (``bad-trust``) for keys of another role.
    """
    # 1. Role.
    if not accepted or any(one.role is not Role.EVIDENCE for one in accepted):
        raise CallerError("bad-trust", "evidence is verified with keys of the role evidence")
    # 2. The envelope.
    envelope = _opened(data)
    # 3. Signatures, before the many bytes that they are over are read.
    usable, skipped = envelope.readable("the evidence")
    pae = envelope.pae()
    _enough(accepted, usable, pae, issued=None)
    # 4. Evidence; only now is it known when.
    found = evidence.parse(envelope.payload)
    trusted, judged = _enough(accepted, usable, pae, issued=found.issued)
    # 5. Revocation.
    digest = evidence.digest(envelope.payload)
    trusted.revocations.check_digest(digest, "evidence: it")
    return VerifiedEvidence(
        proof=_PROOF,
        evidence=found,
        digest=digest,
        signers=judged.signers,
        skipped=(*skipped, *judged.refused),
    )


def hold(found: VerifiedEvidence, demands: Demands, now: int) -> None:
    """Refuse a capsule that is not the one that was asked for.

    1. It has the auditor's nonce.
    2. It is of the host.
    3. It was not issued ahead of the clock (``now``), and isn't older than it may be.
    4. It is of the same host as the capsule before, is not older, and names it.

    Raises ContentError: ``wrong-nonce``, ``wrong-host``, ``issued-ahead``, ``too-old``,
    ``wrong-previous``.
    """
    said = found.evidence
    # 1. Nonce.
    if demands.nonce is not None and said.nonce != demands.nonce:
        raise ContentError(
            "wrong-nonce",
            f"evidence: its nonce is {said.nonce.hex() or 'none'}, expected {demands.nonce.hex()}",
            hint="it was made for another request, perhaps an old one: ask the host again",
        )
    # 2. Host.
    host = said.audit.head.host_id
    if demands.host is not None and host != demands.host:
        raise ContentError(
            "wrong-host",
            f"evidence: it is of the host {host or '(without an id)'}, expected {demands.host}",
            hint="the report of an audit names its host's id",
        )
    # 3. Time.
    if clock.is_ahead(said.issued, now):
        raise ContentError(
            "issued-ahead",
            f"evidence: issued {format_time(said.issued)}, more than a day ahead of the clock,"
            f" which says {format_time(now)}",
            hint="set the clock of the machine that is wrong, and make it again",
        )
    if demands.max_age is not None and said.issued < now - demands.max_age:
        raise ContentError(
            "too-old",
            f"evidence: issued {format_time(said.issued)}, expected at most {demands.max_age}"
            f" seconds before {format_time(now)}",
            hint="ask the host for a new one; a nonce shows that it is new without any clock",
        )
    # 4. The one before.
    if demands.previous is not None:
        _after(found, demands.previous)


def _after(found: VerifiedEvidence, before: VerifiedEvidence) -> None:
    said, earlier = found.evidence, before.evidence
    if said.previous != before.digest:
        named = "none" if said.previous is None else f"sha256:{said.previous.hex()}"
        raise ContentError(
            "wrong-previous",
            f"evidence: the capsule before it is {named}, the one given is"
            f" sha256:{before.digest.hex()}",
            hint="one between them is missing, or it belongs to another chain",
        )
    for name, one, other in (
        ("host", said.audit.head.host_id, earlier.audit.head.host_id),
        ("time", max(said.issued, earlier.issued), said.issued),
    ):
        if one != other:
            raise ContentError(
                "wrong-previous",
                f"evidence: its {name} does not follow that of the capsule before it",
                hint="a chain is of one host, and its times grow",
            )


def _opened(data: bytes) -> statement.Envelope:
    envelope = statement.parse_envelope(data, max_size=evidence.MAX_SEALED)
    if envelope.payload_type != evidence.PAYLOAD_TYPE:
        raise ContentError(
            "bad-document",
            f"evidence: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {evidence.PAYLOAD_TYPE!r}",
            hint="`verity audit --evidence FILE` makes one",
        )
    return envelope


def _enough(
    accepted: Sequence[TrustedSet], usable: Sequence[bytes], pae: bytes, *, issued: int | None
) -> tuple[TrustedSet, Judged]:
    """The first role that has enough signers, with them; ContentError ``bad-signature``."""
    judged = [(trusted, trusted.judge(usable, pae, issued=issued)) for trusted in accepted]
    for trusted, found in judged:
        if len(found.signers) >= trusted.threshold:
            return trusted, found
    trusted, found = judged[0]
    refused = tuple(text for _, one in judged for text in one.refused)
    raise trusted.too_few(
        Judged(signers=found.signers, refused=refused),
        "evidence",
        hint="it was altered, or another key signed it: `--evidence-key` names the host's key",
    )
