# SPDX-License-Identifier: Apache-2.0
"""The parts of the HTML report: names, tables, sections, and what opens on a click.

Each is a tree; none of them knows what else is on the page, or writes anything.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from verity.formats.markup import Child, add, element
from verity.formats.report_view import CheckView
from verity.formats.statement import format_time
from verity.values.audit import Waived
from verity.values.findings import Finding, Link, NotEvaluated


def shown_name(text: str) -> ET.Element:
    """A name that the host chose; it can't turn the direction of what is around it."""
    return element("bdi", element("code", text))


def listed(pairs: Iterable[tuple[str, Child]]) -> ET.Element:
    """Names, and what each has."""
    made = element("dl")
    for name, value in pairs:
        add(made, element("dt", name), element("dd", value))
    return made


def section(title: str, *children: Child, id: str) -> ET.Element:
    """A part of the page that can be linked to, and is called as its heading."""
    heading = element("h2", title, id=f"{id}-title")
    return element("section", heading, *children, id=id, aria_labelledby=f"{id}-title")


def table(titles: Sequence[str], rows: Iterable[Sequence[Child]]) -> ET.Element:
    """The first column is text, the others are numbers."""
    look = [{}, *({"class_": "number"} for _ in titles[1:])]
    head = element("tr")
    for title, one in zip(titles, look, strict=True):
        head.append(element("th", title, scope="col", **one))
    body = element("tbody")
    for row in rows:
        line = element("tr")
        for cell, one in zip(row, look, strict=True):
            line.append(element("td", cell, **one))
        body.append(line)
    return element("table", element("thead", head), body)


def left_out(number: int) -> ET.Element:
    """How many of a list are not on this page, and where they are."""
    told = f"{number:,} more left out here; `--format json` has all of them."
    return element("p", told, class_="note left-out")


def open_finding(one: CheckView, finding: Finding) -> ET.Element:
    """A finding of a check; open, it has what was expected and the chain."""
    severity = one.check.severity
    badge = element("span", severity.value, class_=f"badge {severity}")
    return element(
        "details",
        element("summary", badge, " ", shown_name(finding.object), ": ", finding.problem),
        listed(
            (name.capitalize(), value)
            for name in ("expected", "found", "remedy")
            if (value := getattr(finding, name))
        ),
        _chain(finding.link),
        class_="finding",
        data_severity=severity,
        data_area=one.check.area,
    )


def _chain(broken: Link) -> ET.Element:
    """The whole chain; said in words where it breaks, not only by colour."""
    made = element("ol", class_="chain", aria_label="The chain, from the key to the verdict")
    for link in Link:
        if link is broken:
            made.append(element("li", f"{link}: broken here", class_="broken"))
        else:
            made.append(element("li", link.value))
    return made


def open_gap(gap: NotEvaluated) -> ET.Element:
    """What could not be evaluated; open, it has the hint."""
    hint = listed((("Hint", gap.hint),)) if gap.hint else None
    summary = element("summary", shown_name(gap.object), ": ", gap.why)
    return element("details", summary, hint, class_="gap")


def open_waived(one: Waived) -> ET.Element:
    """A finding under a waiver; open, it has the waiver and the chain."""
    finding = one.finding
    check = element("code", finding.check)
    return element(
        "details",
        element("summary", check, " ", shown_name(finding.object), ": ", finding.problem),
        listed(
            (
                ("Reason", one.reason),
                ("Signed by", ", ".join(one.signers)),
                ("Expires", format_time(one.expires)),
            )
        ),
        _chain(finding.link),
        class_="waived",
    )
