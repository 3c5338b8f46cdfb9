# SPDX-License-Identifier: Apache-2.0
"""What an area of an audit gathers while it asks: for the areas running and posture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from verity.values.audit import Area, AreaResult, Covered
from verity.values.errors import VerityError
from verity.values.findings import Finding, Link, NotEvaluated


@dataclass(kw_only=True)
class Said:
    """What an area gathers while it asks; ``AreaResult`` is made of it in the end."""

    findings: list[Finding] = field(default_factory=list)
    gaps: list[NotEvaluated] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def finds(
        self,
        check: str,
        object_: str,
        problem: str,
        *,
        expected: str,
        found: str,
        remedy: str,
        link: Link = Link.VERDICT,
        path: bytes | None = None,
    ) -> None:
        """A finding. Every text that comes from outside has been through ``printable``."""
        self.findings.append(
            Finding(
                check=check,
                link=link,
                object=object_,
                problem=problem,
                expected=expected,
                found=found,
                remedy=remedy,
                path=path,
            )
        )

    def lacks(self, check: str, object_: str, why: str, hint: str | None = None) -> None:
        """A question that couldn't be asked."""
        self.gaps.append(NotEvaluated(check=check, object=object_, why=why, hint=hint or ""))

    def ask(self, checks: tuple[str, ...], what: str, question: Callable[[], None]) -> None:
        """Ask; what makes it impossible leaves a gap for each of these checks that has no answer
        yet, so that none of them passes."""
        try:
            question()
        except VerityError as error:
            answered = {one.check for one in self.findings} | {one.check for one in self.gaps}
            for check in checks:
                if check not in answered and check not in self.not_applicable:
                    self.lacks(check, what, error.message, error.hint)

    def result(self, area: Area, coverage: Mapping[Covered, int] | None = None) -> AreaResult:
        """All of it, once everything has been asked."""
        return AreaResult(
            area=area,
            findings=tuple(self.findings),
            not_evaluated=tuple(self.gaps),
            not_applicable=self.not_applicable,
            counts=self.counts,
            coverage=coverage or {},
        )
