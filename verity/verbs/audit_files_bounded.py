# SPDX-License-Identifier: Apache-2.0
"""Findings and gaps in bounded memory: of each check so many by themselves, the others counted.

Somebody who can make a million files can make a million findings. What is only counted is a finding
all the same, which no waiver of a path covers.
"""

from collections import Counter
from collections.abc import Iterator

from verity.values.findings import Finding, Link, NotEvaluated

EACH = 10_000
"""So many findings, or gaps, of a check are told by their path."""


class Bounded:
    """Collects, and gives all in the order of the paths."""

    def __init__(self, *, each: int = EACH) -> None:
        self._each = each
        self._findings: list[Finding] = []
        self._gaps: list[NotEvaluated] = []
        self._seen: Counter[tuple[str, bool]] = Counter()

    def add(self, finding: Finding | None, gap: NotEvaluated | None = None) -> None:
        """Take either, both or none."""
        if finding is not None and self._fits(finding.check, True):
            self._findings.append(finding)
        if gap is not None and self._fits(gap.check, False):
            self._gaps.append(gap)

    def counts_only(self, check: str) -> bool:
        """Whether a further finding of the check would only be counted; then it is counted now."""
        if self._seen[check, True] < self._each:
            return False
        self._seen[check, True] += 1
        return True

    def _fits(self, check: str, found: bool) -> bool:
        self._seen[check, found] += 1
        return self._seen[check, found] <= self._each

    def findings(self) -> tuple[Finding, ...]:
        """Sorted by path, and what was only counted behind them."""
        more = (_more_findings(check, count) for check, count in self._more(True))
        return (*sorted(self._findings, key=_path), *more)

    def gaps(self) -> tuple[NotEvaluated, ...]:
        """The same of what could not be evaluated."""
        more = (_more_gaps(check, count) for check, count in self._more(False))
        return (*sorted(self._gaps, key=_path), *more)

    def _more(self, found: bool) -> Iterator[tuple[str, int]]:
        for (check, which), count in self._seen.items():
            if which is found and count > self._each:
                yield check, count - self._each


def _path(one: Finding | NotEvaluated) -> bytes:
    return one.path or b""


def _more_findings(check: str, count: int) -> Finding:
    return Finding(
        check=check,
        link=Link.FILE,
        object="(more)",
        problem=f"{count} further paths, which are counted here and not named",
        expected="none",
        found=str(count),
        remedy="mend those that are named, and audit again",
    )


def _more_gaps(check: str, count: int) -> NotEvaluated:
    why = f"{count} further paths, which are counted here and not named"
    return NotEvaluated(
        check=check, object="(more)", why=why, hint="see to those that are named, and audit again"
    )
