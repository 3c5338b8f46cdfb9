# SPDX-License-Identifier: Apache-2.0
"""An audit for a terminal: the summary first, then what failed, the worst first.

At most a screen unless everything is asked for: the fullest of four forms that fits is taken, and
each says what it leaves out. Names come escaped, whatever they hold. It writes to no terminal, and
knows of one only its size.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from verity.formats import columns
from verity.formats.escaped import one_line
from verity.formats.report_text_parts import (
    BOLD,
    Line,
    not_applicable,
    residuals,
    waivers,
    whole_finding,
    whole_gap,
    wrapped,
)
from verity.formats.report_view import (
    AreaView,
    CheckView,
    View,
    auditor,
    counted,
    gate,
    roots_given,
    system,
    tool,
    trusted,
    verdict,
)
from verity.formats.statement import format_time
from verity.values.audit import Area, Outcome, Severity

NARROWEST = 40
LOWEST = 16
_MORE = "whole findings, waivers and all that is left out here: --all"
# The first digits are enough to know one by: the whole of it is in every other form.
_FINGERPRINT = re.compile(r"(?:sha256:)?\b([0-9a-f]{12})[0-9a-f]{52}\b")
_STYLES = {
    Severity.CRITICAL: "1;31",
    Severity.HIGH: "31",
    Severity.MEDIUM: "33",
    Severity.LOW: "36",
}
_GOOD, _BAD, _OPEN = "32", "1;31", "33"


def render(
    seen: View, *, everything: bool, width: int | None, height: int, colour: bool
) -> Iterator[str]:
    """The report's lines. Without a width nothing is clipped or wrapped."""
    if width is not None:
        width = max(width, NARROWEST)
    for line in _everything(seen, width) if everything else _screen(seen, width, height):
        text = line.text if width is None or line.whole else columns.clip(line.text, width)
        yield f"\x1b[{line.style}m{text}\x1b[0m" if colour and line.style and text else text


def _screen(seen: View, width: int | None, height: int) -> list[Line]:
    """The fullest form that fits."""
    height = max(height, LOWEST)
    top, bottom = list(_head(seen, short=True)), [Line(_MORE), *_foot(seen)]
    whole, short = list(_table(seen)), list(_short_table(seen))
    forms: list[tuple[list[Line], Callable[[], Iterable[Line]]]] = [
        (whole, lambda: _lines(seen, 3)),
        (short, lambda: _lines(seen, 3)),
        (short, lambda: _lines(seen, 1)),
    ]
    # A million findings need not be written out to see that they do not fit.
    if len(seen.audit.findings) + len(seen.audit.not_evaluated) <= height:
        forms = [(table, lambda: _details(seen, width)) for table in (whole, short)] + forms
    for table, rest in forms:
        form = [*top, *table, *rest(), *bottom]
        if sum(_rows(line, width) for line in form) <= height:
            return form
    short = [*top, *short]
    room = height - sum(_rows(line, width) for line in (*short, *bottom)) - 1
    groups = list(_groups(seen))
    left = groups[max(room, 0) :]
    dots = [Line(f"... and {counted(len(left), 'more check')}", _OPEN)] if left else []
    return [*short, *groups[: max(room, 0)], *dots, *bottom]


def _rows(line: Line, width: int | None) -> int:
    if width is None or not line.whole:
        return 1
    return max(-(-columns.width(line.text) // width), 1)


def _head(seen: View, *, short: bool) -> Iterator[Line]:
    head = seen.audit.head
    place = "" if head.root == "/" else f", the tree at {head.root}"
    style = {0: _GOOD, 1: _BAD}.get(seen.audit.exit_status, _OPEN)
    yield Line(one_line(f"audit of {head.host_name}{place}: {verdict(seen.audit)}"), style)
    host = (head.host_id[:16] if short else head.host_id) or "no host id"
    boot = f"boot {head.boot_id}" if head.boot_id else "no boot of this host"
    deep = ", contents read" if head.deep else ""
    yield _field("host", f"{host}, {system(head)}")
    yield _field("when", f"{format_time(head.begun)}, {boot}{deep}")
    yield _field("gate", gate(head))
    yield _field("answer", f"{trusted(head)}; {auditor(head)}")
    roots = ", ".join(_FINGERPRINT.sub(r"\1", root) if short else root for root in head.roots)
    yield _field("roots", f"{roots_given(head)}{': ' if roots else ''}{roots}")
    if not short:
        yield _field("auditor", tool(head))
    if seen.coverage:
        covered = ", ".join(
            f"{number:,} {how.name.lower() if short else how}"
            for how, number in seen.coverage.items()
        )
        yield _field("files", covered)
    if short and head.residuals:
        names = ", ".join(one.name for one in head.residuals)
        yield _field("open", f"{counted(len(head.residuals), 'residual')} by design: {names}")


def _field(name: str, text: str) -> Line:
    return Line(f"{name:9}{one_line(text)}")


_COLUMNS = (
    (Outcome.PASS, "pass"),
    (Outcome.FAIL, "fail"),
    (Outcome.WAIVED, "waived"),
    (Outcome.NOT_APPLICABLE, "n/a"),
    (Outcome.NOT_EVALUATED, "not eval."),
)


def _table(seen: View) -> Iterator[Line]:
    titles = "".join(f"{title:>{max(len(title), 4) + 2}}" for _, title in _COLUMNS)
    yield Line(f"{'area':11}{titles}  findings", BOLD)
    for area in seen.areas:
        yield _area_row(area)
    missing = [area for area in Area if area not in seen.asked]
    if missing:
        yield Line(f"not asked: {', '.join(missing)}", _OPEN)


def _area_row(area: AreaView) -> Line:
    cells = "".join(
        f"{area.outcomes.get(outcome, 0):>{max(len(title), 4) + 2}}" for outcome, title in _COLUMNS
    )
    findings = sum(len(one.findings) for one in area.checks)
    style = _BAD if findings else _OPEN if area.outcomes.get(Outcome.NOT_EVALUATED) else ""
    return Line(f"{area.area:11}{cells}{findings:>10,}", style)


def _short_table(seen: View) -> Iterator[Line]:
    """Only the areas that have something to say."""
    settled = {Outcome.PASS, Outcome.NOT_APPLICABLE}
    quiet = [area for area in seen.areas if all(one.outcome in settled for one in area.checks)]
    rows = list(_table(seen))
    yield rows[0]
    yield from (row for area, row in zip(seen.areas, rows[1:], strict=False) if area not in quiet)
    yield from rows[1 + len(seen.areas) :]
    # What is no question on this host must not read as if it had been found to be good.
    good = [area.area for area in quiet if area.outcomes.get(Outcome.PASS)]
    others = [area.area for area in quiet if area.area not in good]
    said = [
        f"{what}: {', '.join(areas)}"
        for what, areas in (("no finding", good), ("n/a", others))
        if areas
    ]
    if said:
        yield Line("; ".join(said))


def _title(one: CheckView) -> Line:
    severity = one.check.severity
    text = f"{severity.upper()} {one.check.id}: {counted(len(one.findings), 'finding')}; not so: "
    return Line(f"{one_line(text)}{one_line(one.check.title)}", _STYLES[severity])


def _open_title(one: CheckView) -> Line:
    text = f"NOT EVALUATED {one.check.id} ({len(one.gaps):,}): {one.check.title}"
    return Line(one_line(text), _OPEN)


def _open(seen: View) -> list[CheckView]:
    return [one for one in seen.checks if one.gaps]


def _groups(seen: View) -> Iterator[Line]:
    yield from (_title(one) for one in seen.failed)
    yield from (_open_title(one) for one in _open(seen))


def _lines(seen: View, few: int) -> Iterator[Line]:
    """A line for each finding, a few of each check."""
    for one in seen.failed:
        yield _title(one)
        yield from (
            Line(f"  {one_line(item.object)}: {one_line(item.problem)}")
            for item in one.findings[:few]
        )
        yield from _rest(len(one.findings) - few)
    for one in _open(seen):
        yield _open_title(one)
        yield from (
            Line(f"  {one_line(gap.object)}: {one_line(gap.why)}") for gap in one.gaps[:few]
        )
        yield from _rest(len(one.gaps) - few)


def _rest(number: int) -> Iterator[Line]:
    if number > 0:
        yield Line(f"  ... and {number:,} more")


def _details(seen: View, width: int | None) -> Iterator[Line]:
    for one in seen.failed:
        yield _title(one)
        for finding in one.findings:
            yield from whole_finding(finding, width)
    for one in _open(seen):
        yield _open_title(one)
        for gap in one.gaps:
            yield from whole_gap(gap, width)


def _everything(seen: View, width: int | None) -> Iterator[Line]:
    for line in _head(seen, short=False):
        yield from wrapped(line.text, width, " " * 9) if not line.style else [line]
    yield Line("")
    yield from _table(seen)
    for one in (*seen.failed, *_open(seen)):
        if one.findings or one.gaps:
            yield Line("")
            break
    yield from _details(seen, width)
    yield from waivers(seen, width)
    yield from not_applicable(seen, width)
    yield from residuals(seen, width)
    yield Line("")
    yield from _foot(seen)


def _foot(seen: View) -> Iterator[Line]:
    """The counts, and the state checksum: never clipped, for it is what hosts are compared by."""
    audit = seen.audit
    by = ", ".join(f"{number:,} {severity}" for severity, number in seen.severities.items())
    parts = [
        counted(len(audit.findings), "finding") + (f" ({by})" if by else ""),
        f"{len(audit.not_evaluated):,} not evaluated",
        f"{len(audit.waived):,} waived",
        f"exit status {audit.exit_status}",
    ]
    yield Line(", ".join(parts), BOLD)
    if audit.state is not None:
        yield Line(f"state: sha256:{audit.state}", whole=True)
        return
    left = f", {len(audit.not_evaluated)} not evaluated" if audit.not_evaluated else ""
    found = f"{counted(len(audit.findings), 'finding')}{left}"
    yield Line(f"state: {audit.state_said} ({found})", whole=True)
