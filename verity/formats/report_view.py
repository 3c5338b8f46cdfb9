# SPDX-License-Identifier: Apache-2.0
"""An audit, sorted once for every report: check by check, area by area, and what its head means.

Nothing of an audit is lost here: a finding whose check stands in no catalogue gets one. It decides
nothing, and knows no format. One pass, for an audit may have a million findings.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from verity.values.audit import (
    Area,
    AreaResult,
    Audit,
    Check,
    Covered,
    Head,
    Outcome,
    Severity,
    Waived,
)
from verity.values.findings import Finding, NotEvaluated

SEVERITIES = tuple(Severity)
"""The worst first."""
STRANGER = "a check that the catalogue does not name"


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """One check and all that it gave."""

    check: Check
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    gaps: tuple[NotEvaluated, ...] = ()
    waived: tuple[Waived, ...] = ()
    not_applicable: str = ""


@dataclass(frozen=True, kw_only=True)
class AreaView:
    """One area: its checks, and how many have which outcome."""

    area: Area
    checks: tuple[CheckView, ...]
    results: tuple[AreaResult, ...] = ()
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class View:
    """The whole audit; ``areas`` has those that were asked, in the report's order."""

    audit: Audit
    areas: tuple[AreaView, ...]
    coverage: Mapping[Covered, int]
    severities: Mapping[Severity, int]

    @property
    def checks(self) -> tuple[CheckView, ...]:
        """All of them, area by area."""
        return tuple(one for area in self.areas for one in area.checks)

    @property
    def failed(self) -> tuple[CheckView, ...]:
        """Those with findings, the worst first."""
        failed = [one for one in self.checks if one.findings]
        return tuple(sorted(failed, key=lambda one: SEVERITIES.index(one.check.severity)))

    @property
    def asked(self) -> frozenset[Area]:
        """The areas that this audit looked at."""
        return frozenset(area.area for area in self.areas)


def view(audit: Audit) -> View:
    """Sort an audit."""
    findings: defaultdict[str, list[Finding]] = defaultdict(list)
    gaps: defaultdict[str, list[NotEvaluated]] = defaultdict(list)
    waived: defaultdict[str, list[Waived]] = defaultdict(list)
    why: dict[str, str] = {}
    catalogue = {check.id: check for check in audit.checks}
    for result in audit.areas:
        for finding in result.findings:
            findings[finding.check].append(finding)
        for gap in result.not_evaluated:
            gaps[gap.check].append(gap)
        why.update(result.not_applicable)
        _complete(catalogue, result.area, (one.check for one in result.findings))
        _complete(catalogue, result.area, (one.check for one in result.not_evaluated))
        _complete(catalogue, result.area, result.not_applicable)
    for one in audit.waived:
        waived[one.finding.check].append(one)
    _complete(catalogue, Area.TRUST, waived)

    checks: defaultdict[Area, list[CheckView]] = defaultdict(list)
    for check in catalogue.values():
        seen = CheckView(
            check=check,
            outcome=_outcome(check.id, findings, gaps, waived, why),
            findings=tuple(findings.get(check.id, ())),
            gaps=tuple(gaps.get(check.id, ())),
            waived=tuple(waived.get(check.id, ())),
            not_applicable=why.get(check.id, ""),
        )
        checks[check.area].append(seen)
    areas = []
    for area in Area:
        results = tuple(result for result in audit.areas if result.area is area)
        if results or area in checks:
            outcomes = Counter(one.outcome for one in checks[area])
            areas.append(
                AreaView(area=area, checks=tuple(checks[area]), results=results, outcomes=outcomes)
            )
    coverage: Counter[Covered] = Counter()
    for result in audit.areas:
        coverage.update(result.coverage)
    severities: Counter[Severity] = Counter()
    for check_id, found in findings.items():
        severities[catalogue[check_id].severity] += len(found)
    return View(
        audit=audit,
        areas=tuple(areas),
        coverage={covered: coverage[covered] for covered in Covered if coverage[covered]},
        severities={one: severities[one] for one in SEVERITIES if severities[one]},
    )


def _complete(catalogue: dict[str, Check], area: Area, named: Iterable[str]) -> None:
    """Add what results name and the catalogue doesn't: shown as grave, for it is a defect."""
    for check_id in named:
        if check_id not in catalogue:
            catalogue[check_id] = Check(
                id=check_id, area=area, severity=Severity.HIGH, title=STRANGER
            )


def _outcome(
    check: str,
    findings: Mapping[str, object],
    gaps: Mapping[str, object],
    waived: Mapping[str, object],
    why: Mapping[str, object],
) -> Outcome:
    """As ``Audit.outcome``, which searches the whole audit for each check."""
    if check in findings:
        return Outcome.FAIL
    if check in gaps:
        return Outcome.NOT_EVALUATED
    if check in waived:
        return Outcome.WAIVED
    return Outcome.NOT_APPLICABLE if check in why else Outcome.PASS


def verdict(audit: Audit, by: str = "") -> str:
    """The answer in a few words; the exit status says no less. ``by`` tells more of the findings.

    What could not be evaluated is said beside findings, too: those may be mended first, and what is
    left is no good answer.
    """
    left = f", {len(audit.not_evaluated):,} not evaluated" if audit.not_evaluated else ""
    if audit.findings:
        return counted(len(audit.findings), "finding") + (f" ({by})" if by else "") + left
    if left:
        return f"no finding{left}"
    return "good" if not audit.waived else f"good, {len(audit.waived)} waived"


def counted(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def gate(head: Head) -> str:
    """What guards the host, and what this boot can't take back."""
    level = f"level {head.level}" if head.level else "no level: no sealed gate"
    taints = f"; taints: {', '.join(head.taints)}" if head.taints else "; no taint"
    return f"{head.state}, {level}{taints}"


def system(head: Head) -> str:
    """What runs there, as far as it could be seen."""
    kernel = f"Linux {head.kernel}" if head.kernel else "no kernel seen"
    return f"{head.system or 'an unknown system'}, {kernel}"


def tool(head: Head) -> str:
    """The auditor's version and the digest of its files."""
    digest = head.tool_digest
    if not digest:
        digest = "its files could not be read"
    elif ":" not in digest:
        digest = f"sha256:{digest}"
    return f"verity {head.tool_version}, {digest}"


def trusted(head: Head) -> str:
    """How far the answer can be trusted."""
    if head.root != "/":
        return "seen from outside"
    if head.enforced:
        return "enforced by this host's kernel"
    return "only asserted by this host"


def auditor(head: Head) -> str:
    """Whether the auditor's own files are what was signed."""
    return {
        True: "the auditor's files are verified",
        False: "the auditor's files are not verified",
        None: "the auditor's files could not be judged",
    }[head.tool_verified]


def roots_given(head: Head) -> str:
    """Who named the roots."""
    if not head.roots:
        return "no root keys: nothing could be verified"
    return "named by the auditor" if head.roots_given else "as stated by this host"
