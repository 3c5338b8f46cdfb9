# SPDX-License-Identifier: Apache-2.0
"""What one area of an audit finds, while it is being found; and how an error becomes a result.

An error of contents (what was read says no) is a finding; one of the host (it could not be read or
asked) is a gap. Each belongs to a check of the area's catalogue, whose title is what was expected
where the error doesn't say it. Nothing is read here.
"""

from collections.abc import Container, Iterable

from verity.values.audit import Area, AreaResult, Check, Covered
from verity.values.errors import ContentError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated

_TOOL = "what stands here as found says it; `verity explain` shows the chain of a file"


class Collector:
    """The results of one area, in the order in which they came."""

    def __init__(self, area: Area, checks: Iterable[Check]) -> None:
        self.area = area
        self._checks = {check.id: check for check in checks}
        self.findings: list[Finding] = []
        self.gaps: list[NotEvaluated] = []
        self.not_applicable: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.coverage: dict[Covered, int] = {}
        self.notes: list[str] = []

    def add(
        self,
        check: str,
        link: Link,
        label: str,
        problem: str,
        *,
        expected: str = "",
        found: str,
        remedy: str,
        path: bytes | None = None,
    ) -> None:
        """A finding; without ``expected`` that is what the check's title says."""
        self.findings.append(
            Finding(
                check=self._known(check),
                link=link,
                object=label,
                problem=problem,
                expected=expected or self._checks[check].title,
                found=found,
                remedy=remedy,
                path=path,
            )
        )

    def take(self, findings: Iterable[Finding], check: str = "") -> None:
        """Findings that another verb made, with the ids that they have; ``check`` stands in where
        an id is none of this area's."""
        for one in findings:
            known = one.check if one.check in self._checks else check
            self.add(
                known,
                one.link,
                one.object,
                one.problem,
                expected=one.expected,
                found=one.found or one.problem,
                remedy=one.remedy or _TOOL,
                path=one.path,
            )

    def take_gaps(self, gaps: Iterable[NotEvaluated], check: str) -> None:
        """Gaps that another verb made, under this check."""
        for one in gaps:
            self.gap(check, one.object, one.why, one.hint, one.path)

    def gap(
        self, check: str, label: str, why: str, hint: str = "", path: bytes | None = None
    ) -> None:
        """Something that could not be evaluated."""
        self.gaps.append(
            NotEvaluated(check=self._known(check), object=label, why=why, hint=hint, path=path)
        )

    def error(
        self,
        check: str,
        error: VerityError,
        link: Link,
        label: str,
        remedy: str = "",
        *,
        codes: Container[str] = (),
    ) -> None:
        """An error, as the finding or the gap that it is. Its own code is the check's id where that
        is among ``codes``."""
        if not isinstance(error, ContentError):
            self.gap(check, label, error.message, error.hint or remedy)
            return
        self.add(
            error.code if error.code in codes else check,
            link,
            label,
            error.message,
            found=error.message,
            remedy=error.hint or remedy or _TOOL,
        )

    def skip(self, why: str, *checks: str) -> None:
        """What is no question on this host."""
        for check in checks:
            self.not_applicable[self._known(check)] = why

    def unasked(self, label: str, why: str, *checks: str, hint: str = "") -> None:
        """What could not be asked because something before it doesn't hold: a gap for each check
        that says nothing yet."""
        said = {one.check for one in self.findings} | {one.check for one in self.gaps}
        for check in checks:
            if check not in said:
                self.gap(check, label, why, hint)

    def result(self) -> AreaResult:
        """All of it. What has a finding or a gap is a question after all."""
        asked = {one.check for one in self.findings} | {one.check for one in self.gaps}
        return AreaResult(
            area=self.area,
            findings=tuple(self.findings),
            not_evaluated=tuple(self.gaps),
            not_applicable={
                check: why for check, why in self.not_applicable.items() if check not in asked
            },
            counts=self.counts,
            coverage=self.coverage,
            notes=tuple(self.notes),
        )

    def _known(self, check: str) -> str:
        """A finding whose check nobody can look up would be one of ours gone wrong."""
        if check not in self._checks:
            raise ValueError(f"{self.area} has no check {check!r}")
        return check
