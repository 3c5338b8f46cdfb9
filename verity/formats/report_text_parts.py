# SPDX-License-Identifier: Apache-2.0
"""Parts of the text report that aren't cut: findings told whole, waivers, and what doesn't apply.

They give lines, escaped and wrapped to a width if there is one; which of them are shown, and in
what order, is not their business.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from verity.formats import columns
from verity.formats.escaped import one_line
from verity.formats.report_view import View
from verity.formats.statement import format_time
from verity.values.findings import Finding, NotEvaluated

BOLD = "1"
# A digest that doesn't fit beside its name is whole on a line of its own.
_DEEPER = " " * 6


@dataclass(frozen=True)
class Line:
    """A line of the report, how it looks in colour (SGR), and whether it may be clipped."""

    text: str
    style: str = ""
    whole: bool = False


def whole_finding(finding: Finding, width: int | None) -> Iterator[Line]:
    """A finding with all that is said of it."""
    yield from wrapped(f"  {one_line(finding.object)}: {one_line(finding.problem)}", width, "    ")
    yield Line(f"    breaks   the link {finding.link}")
    for name in ("expected", "found", "remedy"):
        value = getattr(finding, name)
        if value:
            yield from wrapped(f"    {name:9}{one_line(value)}", width, _DEEPER)


def whole_gap(gap: NotEvaluated, width: int | None) -> Iterator[Line]:
    """What could not be evaluated, and the hint."""
    yield from wrapped(f"  {one_line(gap.object)}: {one_line(gap.why)}", width, "    ")
    if gap.hint:
        yield from wrapped(f"    hint     {one_line(gap.hint)}", width, _DEEPER)


def wrapped(text: str, width: int | None, indent: str) -> Iterator[Line]:
    """Text in as many lines as it takes; in one where there is no width."""
    if width is None:
        yield Line(text)
    else:
        yield from (Line(part) for part in columns.wrap(text, width, indent))


def waivers(seen: View, width: int | None) -> Iterator[Line]:
    """Each waived finding with its waiver."""
    if seen.audit.waived:
        yield Line("")
        yield Line("waived", BOLD)
    for one in seen.audit.waived:
        object_ = one_line(f"{one.finding.check} {one.finding.object}")
        yield from wrapped(f"  {object_}: {one_line(one.finding.problem)}", width, "    ")
        yield from wrapped(f"    reason   {one_line(one.reason)}", width, _DEEPER)
        by = ", ".join(one_line(signer) for signer in one.signers)
        yield from wrapped(f"    signed   by {by}", width, _DEEPER)
        yield Line(f"    expires  {format_time(one.expires)}")


def not_applicable(seen: View, width: int | None) -> Iterator[Line]:
    """The checks that are no question on this host, and why."""
    listed = [one for one in seen.checks if one.not_applicable]
    if listed:
        yield Line("")
        yield Line("not applicable", BOLD)
    for one in listed:
        text = f"  {one_line(one.check.id)}: {one_line(one.not_applicable)}"
        yield from wrapped(text, width, "    ")


def residuals(seen: View, width: int | None) -> Iterator[Line]:
    """The ways that stay open by design, and what else there is to tell."""
    if seen.audit.head.residuals:
        yield Line("")
        yield Line("open by design", BOLD)
    for one in seen.audit.head.residuals:
        yield from wrapped(f"  {one_line(one.name)}: {one_line(one.why)}", width, "    ")
    notes = [note for result in seen.audit.areas for note in result.notes]
    if notes:
        yield Line("")
        yield Line("notes", BOLD)
    for note in notes:
        yield from wrapped(f"  {one_line(note)}", width, "    ")
