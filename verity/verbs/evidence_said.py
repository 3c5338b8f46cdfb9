# SPDX-License-Identifier: Apache-2.0
"""What a verified capsule says, each thing with why it can be believed: the values, and no more."""

from dataclasses import dataclass, field
from enum import StrEnum

from verity.trust.evidence import VerifiedEvidence
from verity.trust.policy import VerifiedPolicy
from verity.trust.verified import VerifiedManifest, VerifiedStatement
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs.evidence_trust import Trust

LIES = "mend or isolate the host: what it says contradicts what is signed"


class Basis(StrEnum):
    """Why something in a capsule can be believed."""

    SIGNATURES = "proven by signatures"
    HOST_KEY = "asserted by the host's key"
    KERNEL = "enforced by its kernel, as the host tells"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One thing that a capsule says. ``depends`` names what of it depends on the host's honesty,
    empty if nothing does."""

    what: str
    basis: Basis
    value: str
    depends: str = ""


@dataclass
class Judged:
    """What a verification found. ``findings`` and ``gaps`` are its own; those of the audit stand in
    the capsule. ``statements`` and ``floors`` are those that could be verified."""

    capsule: VerifiedEvidence
    trust: Trust
    statements: list[VerifiedStatement] = field(default_factory=list)
    floors: list[VerifiedStatement] = field(default_factory=list)
    policy: VerifiedPolicy | None = None
    manifest: VerifiedManifest | None = None
    said: list[Said] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    gaps: list[NotEvaluated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0, 1 or 3, of the verification and of the audit together."""
        audit = self.capsule.evidence.audit
        if self.findings or audit.findings:
            return 1
        return 3 if self.gaps or audit.not_evaluated else 0


def contradiction(what: str, expected: str, found: str) -> Finding:
    """The finding that a capsule says something else than the documents in it."""
    return Finding(
        check="contradiction",
        link=Link.STATEMENT,
        object=what,
        problem="the capsule contradicts the documents in it",
        expected=expected,
        found=found,
        remedy=LIES,
    )
