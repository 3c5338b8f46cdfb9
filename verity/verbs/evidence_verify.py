# SPDX-License-Identifier: Apache-2.0
"""audit --verify: a capsule on another machine, without the host that made it.

What it says is sorted by why it can be believed (``evidence_said``): what other signatures prove,
what the host's key alone asserts, and what the host's kernel enforces if the host tells the truth
about it. Whatever follows from signed documents is worked out again here (``evidence_derive``) and
not taken from the capsule. Nothing of the machine that verifies is asked but the files it is given.
"""

from collections.abc import Callable, Sequence

from verity.formats import evidence, statement
from verity.formats.grants import Role
from verity.formats.statement import Kind
from verity.trust.evidence import Demands, hold, payload_of, verify_evidence
from verity.trust.policy import verify_policy
from verity.trust.verified import (
    ROLE_OF,
    VerifiedStatement,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import evidence_derive, evidence_trust, signed
from verity.verbs.evidence_said import Judged
from verity.verbs.evidence_trust import Accepted

ManifestOf = Callable[[VerifiedStatement], bytes]
"""The bytes of the manifest that a statement names, from a file or a repository."""


def verify(
    data: bytes,
    accepted: Accepted,
    demands: Demands,
    *,
    now: int,
    manifest_of: ManifestOf | None = None,
) -> Judged:
    """Verify a capsule, and what it carries. ``now`` is in seconds since 1970.

    1. Its keyrings, from the auditor's pins.
    2. Its signature, by a role evidence of these or by the key that the auditor names.
    3. It is the one that was asked for: nonce, host, time, the one before.
    4. Its statements and floors, each by the keys of its own role; its policy.
    5. The manifest, if the auditor has it.
    6. What follows from all that.

    Raises what ``evidence_trust.of``, ``verify_evidence`` and ``hold`` do: then nothing of it
    counts. A document in it that isn't good is a finding.
    """
    # 1. Keyrings.
    trust = evidence_trust.of(evidence.parse(payload_of(data)), accepted)
    # 2. Signature.
    capsule = verify_evidence(data, trust.evidence)
    # 3. Asked for.
    hold(capsule, demands, now)
    judged = Judged(capsule=capsule, trust=trust)
    judged.notes += [*capsule.skipped, *trust.keyrings.notes]
    # 4. Documents.
    said = capsule.evidence
    judged.statements = _statements(judged, said.statements, "statement", accepted)
    judged.floors = _statements(judged, said.floors, "serial floor", accepted)
    _equivocation(judged)
    _policy(judged)
    # 5. The manifest.
    if manifest_of is not None:
        _manifest(judged, manifest_of)
    # 6. What follows.
    evidence_derive.derive(judged, demands)
    return judged


def _statements(
    judged: Judged, envelopes: Sequence[bytes], label: str, accepted: Accepted
) -> list[VerifiedStatement]:
    """Those that are good, none twice; what isn't is a finding, without a pin a gap."""
    found: dict[bytes, VerifiedStatement] = {}
    for number, envelope in enumerate(envelopes, 1):
        name = f"{label} {number}"
        try:
            role = ROLE_OF[statement.parse(statement.parse_envelope(envelope).payload).kind]
            if role is Role.OS and accepted.statements is not None:
                trusted = accepted.statements
            else:
                trusted = judged.trust.keyrings.trusted(role)
            one = verify_statement([envelope], trusted)
        except ContentError as error:
            judged.findings.append(_refused(name, error))
        except HostError as error:
            judged.gaps.append(_unknown(name, error))
        else:
            found.setdefault(one.payload, one)
    return list(found.values())


def _equivocation(judged: Judged) -> None:
    """Two of one stream and serial: one of them is not for everybody."""
    seen: dict[tuple[str, int], VerifiedStatement] = {}
    for one in (*judged.statements, *judged.floors):
        said = one.statement
        before = seen.setdefault((said.stream, said.serial), one)
        if before.payload != one.payload:
            judged.findings.append(
                Finding(
                    check="equivocation",
                    link=Link.STATEMENT,
                    object=f"stream {said.stream}",
                    problem=f"two different statements have the serial {said.serial}",
                    expected="one statement for each serial",
                    found="two",
                    remedy="ask whoever signs the stream which of them is theirs",
                )
            )


def _policy(judged: Judged) -> None:
    data = judged.capsule.evidence.policy
    if data is None:
        return
    try:
        judged.policy = verify_policy(data, judged.trust.keyrings.trusted(Role.POLICY))
    except ContentError as error:
        judged.findings.append(_refused("policy", error))
    except HostError as error:
        judged.gaps.append(_unknown("policy", error))


def _manifest(judged: Judged, manifest_of: ManifestOf) -> None:
    """The manifest of the OS's statement. Raises what reading and verifying it does."""
    for one in judged.statements:
        if one.statement.kind is Kind.OS:
            judged.manifest = verify_manifest(manifest_of(one), one)
            return
    judged.gaps.append(
        NotEvaluated(
            check="manifest",
            object="manifest",
            why="no statement of an OS in the capsule could be verified, so none names it",
            hint="--pin vendor=sha256:FINGERPRINT, or --key FILE.pub of who signs the OS",
        )
    )


def _refused(name: str, error: ContentError) -> Finding:
    return Finding(
        check=error.code,
        link=signed.LINK_OF.get(error.code, Link.STATEMENT),
        object=name,
        problem=error.message,
        expected="a document that the keys verify which you accept",
        found=error.code,
        remedy=error.hint or "find out who put it on the host",
    )


def _unknown(name: str, error: HostError) -> NotEvaluated:
    return NotEvaluated(check=error.code, object=name, why=error.message, hint=error.hint or "")
