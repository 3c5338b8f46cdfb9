# SPDX-License-Identifier: Apache-2.0
"""What an audit says: checks with an id and a severity, the state of each result, what covers what.

An audit asks area by area. A check passes, fails, is waived by a signed waiver, doesn't apply to
this host, or could not be evaluated; none of these is ever shown as another. The exit status is
that of a report: any finding that is not waived wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from verity.values.findings import Finding, NotEvaluated


class Severity(StrEnum):
    """How bad a failed check is. ``CRITICAL``: code or configuration that nobody signed can run or
    rule; ``HIGH``: what stands in its way is missing; ``MEDIUM``: not as signed, without such a
    power; ``LOW``: worth knowing."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Area(StrEnum):
    """What an audit looks at, in the order of its report."""

    TRUST = "trust"
    """Keyrings, statements, manifests, grants, floors, policy."""
    FILES = "files"
    """Every file of every manifest."""
    CODE = "code"
    """What privileged units, cron jobs, PAM and their like reach, and nobody signed."""
    ETC = "etc"
    RUNNING = "running"
    """Processes, modules, BPF programs, and the programs that the kernel starts."""
    POSTURE = "posture"
    """Gate, kernel lockdown, Secure Boot, mounts, unlocks."""
    DEPLOYMENT = "deployment"
    """OSTree: booted, pending, rollback."""
    WRITTEN = "written"
    """What granted programs wrote into mutable and produced places."""


class Outcome(StrEnum):
    """The state of one check's result."""

    PASS = "pass"  # noqa: S105  # no password: the state of a check
    FAIL = "fail"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"
    NOT_EVALUATED = "not-evaluated"


class Covered(StrEnum):
    """How an audit knows what a file holds."""

    ENFORCED = "enforced by the kernel"
    MEASURED = "measured by the kernel"
    HASHED = "hashed now"
    METADATA = "metadata only"
    UNVERIFIABLE = "not verifiable"
    IGNORED = "ignored by policy"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question. ``id`` is stable: a finding's, a waiver's and a gap's ``check``; ``title`` says
    what holds if it passes."""

    id: str
    area: Area
    severity: Severity
    title: str


@dataclass(frozen=True, kw_only=True)
class AreaResult:
    """What one area's examination gave.

    ``not_applicable`` says, by a check's id, why it is no question on this host. ``counts`` are
    what was looked at, by name. What stands in neither findings, gaps nor there has passed.
    """

    area: Area
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[Covered, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waived:
    """A finding that a signed waiver covers. ``expires`` is in seconds since 1970."""

    finding: Finding
    reason: str
    signers: tuple[str, ...]
    expires: int


@dataclass(frozen=True, kw_only=True)
class SignedPart:
    """What one verified statement signs, for the picture of who signed what.

    ``root`` is one of the head's roots, as written there; ``signers`` are the owners whose
    signatures counted, and ``entries`` is how many entries its manifest has. Of what only the
    kernel verifies there are grants and their entries, and no signers.
    """

    root: str
    stream: str
    kind: str
    serial: int
    signers: tuple[str, ...]
    entries: int


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A way that stays open by design (docs/threat-model.md), and why it is one on this host."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """Who was audited, when, and how far the answer can be trusted.

    ``begun`` is in seconds since 1970. ``level`` is B0 to B3, or empty without a sealed gate.
    ``taints`` say what this boot can't take back. ``tool_digest`` is over the auditor's own files;
    ``tool_verified`` whether they are signed and have fs-verity, None if that was not to be seen.
    ``enforced`` tells an answer that this host's kernel enforces from one that it only asserts.
    ``roots`` name the root keys that all rests on; ``roots_given`` whether the auditor named them.
    """

    host_id: str
    host_name: str
    root: str
    begun: int
    boot_id: str
    kernel: str
    system: str
    state: str
    level: str
    taints: tuple[str, ...]
    tool_version: str
    tool_digest: str
    tool_verified: bool | None
    enforced: bool
    roots: tuple[str, ...]
    roots_given: bool
    deep: bool
    residuals: tuple[Residual, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A whole audit. ``state`` is the state checksum (hex), None unless all was as signed;
    ``checks`` is the whole catalogue of the areas that were asked."""

    head: Head
    checks: tuple[Check, ...]
    areas: tuple[AreaResult, ...]
    waived: tuple[Waived, ...] = ()
    state: str | None = None
    signed: tuple[SignedPart, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that are not waived, in the order of the areas."""
        return tuple(finding for area in self.areas for finding in area.findings)

    @property
    def not_evaluated(self) -> tuple[NotEvaluated, ...]:
        """All gaps, in the order of the areas."""
        return tuple(gap for area in self.areas for gap in area.not_evaluated)

    @property
    def exit_status(self) -> int:
        """0, 1 or 3, as for every report."""
        if self.findings:
            return 1
        return 3 if self.not_evaluated else 0

    @property
    def state_said(self) -> str:
        """The state checksum for people; without one, that files differ, or that nobody knows."""
        if self.state is not None:
            return f"sha256:{self.state}"
        areas = (Area.FILES, Area.ETC)
        files = {check.id for check in self.checks if check.area in areas}
        found = (*self.findings, *(one.finding for one in self.waived))
        return "differs" if any(one.check in files for one in found) else "not evaluated"

    def outcome(self, check: Check) -> Outcome:
        """The state of one check: the worst of its results."""
        if any(finding.check == check.id for finding in self.findings):
            return Outcome.FAIL
        if any(gap.check == check.id for gap in self.not_evaluated):
            return Outcome.NOT_EVALUATED
        if any(one.finding.check == check.id for one in self.waived):
            return Outcome.WAIVED
        if any(check.id in area.not_applicable for area in self.areas):
            return Outcome.NOT_APPLICABLE
        return Outcome.PASS
