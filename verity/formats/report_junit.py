# SPDX-License-Identifier: Apache-2.0
"""An audit as JUnit XML: a suite for each area, a case for each check.

A check that failed has a ``failure``; one that could not be evaluated an ``error``, so that nothing
that reads it turns green without an answer; one that is no question here, or whose findings are all
waived, is ``skipped`` with why. XML has no place for control characters: names are escaped as in
text. A check's findings are listed up to a limit, and it is said how many there are.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

from verity.formats.escaped import one_line
from verity.formats.report_view import AreaView, CheckView, View, counted, gate, trusted
from verity.formats.statement import format_time
from verity.values.audit import Area, Outcome
from verity.values.findings import Finding, NotEvaluated

MOST = 1000
"""Findings that are listed of one check; all of them are in JSON Lines."""

_SKIPPED = {Outcome.WAIVED, Outcome.NOT_APPLICABLE}


def pieces(seen: View) -> Iterator[str]:
    """The report, suite by suite."""
    top = _element("testsuites", name="verity audit", **_totals(seen.checks))
    opened = ET.tostring(top, encoding="unicode", short_empty_elements=False)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + opened.removesuffix("</testsuites>")
    order = tuple(Area)
    for area in seen.areas:
        suite = _suite(seen, area, order.index(area.area))
        ET.indent(suite)
        yield "\n" + ET.tostring(suite, encoding="unicode")
    yield "\n</testsuites>\n"


def _element(tag: str, text: str = "", **attributes: str) -> ET.Element:
    made = ET.Element(tag, {name: one_line(value) for name, value in attributes.items()})
    if text:
        made.text = text
    return made


def _totals(checks: Iterable[CheckView]) -> dict[str, str]:
    outcomes = [one.outcome for one in checks]
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count(Outcome.FAIL)),
        "errors": str(outcomes.count(Outcome.NOT_EVALUATED)),
    }


def _suite(seen: View, area: AreaView, number: int) -> ET.Element:
    head = seen.audit.head
    suite = _element(
        "testsuite",
        name=area.area,
        id=str(number),
        package="verity.audit",
        hostname=head.host_name,
        timestamp=format_time(head.begun).removesuffix("Z"),
        skipped=str(sum(one.outcome in _SKIPPED for one in area.checks)),
        **_totals(area.checks),
    )
    properties = _element("properties")
    for name, value in (
        ("host", head.host_id),
        ("gate", gate(head)),
        ("answer", trusted(head)),
        ("roots", ", ".join(head.roots)),
        ("state", seen.audit.state_said),
    ):
        properties.append(_element("property", name=name, value=value))
    suite.append(properties)
    suite.extend(_case(one) for one in area.checks)
    return suite


def _case(one: CheckView) -> ET.Element:
    check = one.check
    case = _element("testcase", name=check.id, classname=f"verity.audit.{check.area}")
    if one.findings:
        message = f"{counted(len(one.findings), 'finding')}; not so: {check.title}"
        text = _listed(_finding(item) for item in one.findings[:MOST])
        case.append(
            _element(
                "failure",
                text + _left(len(one.findings)),
                message=message,
                type=check.severity,
            )
        )
    if one.gaps:
        text = _listed(_gap(item) for item in one.gaps[:MOST]) + _left(len(one.gaps))
        message = f"not evaluated: {one.gaps[0].why}"
        if one.findings:  # a case is counted once, as what is worst
            case.append(_element("system-err", f"{one_line(message)}\n{text}"))
        else:
            case.append(_element("error", text, message=message, type="not-evaluated"))
    if one.outcome is Outcome.NOT_APPLICABLE:
        case.append(_element("skipped", message=f"not applicable: {one.not_applicable}"))
    if one.outcome is Outcome.WAIVED:
        first = one.waived[0]
        message = f"waived until {format_time(first.expires)}: {first.reason}"
        case.append(_element("skipped", message=message))
    if one.waived:
        told = _listed(
            f"waived until {format_time(item.expires)} ({one_line(item.reason)}): "
            + _finding(item.finding)
            for item in one.waived[:MOST]
        )
        case.append(_element("system-out", told + _left(len(one.waived))))
    return case


def _listed(items: Iterable[str]) -> str:
    return "".join(f"\n{item}" for item in items)


def _left(number: int) -> str:
    return f"\n... and {number - MOST:,} more: --format json has all" if number > MOST else "\n"


def _finding(item: Finding) -> str:
    told = f"{one_line(item.object)}: {one_line(item.problem)}\n  breaks: {item.link}"
    for name in ("expected", "found", "remedy"):
        if value := getattr(item, name):
            told += f"\n  {name}: {one_line(value)}"
    return told


def _gap(item: NotEvaluated) -> str:
    hint = f"\n  hint: {one_line(item.hint)}" if item.hint else ""
    return f"{one_line(item.object)}: {one_line(item.why)}{hint}"
