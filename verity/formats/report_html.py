# SPDX-License-Identifier: Apache-2.0
"""An audit as one HTML page that needs nothing else: no network, no other file.

It is built as a tree (`markup.py`), so that nothing of a host is ever pasted into it, and its
content security policy lets in only the style and the script that it names by their hashes. A page
that a browser can show has a limit of findings, the worst first: what is left out is counted and
said, and is in JSON Lines.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from verity.formats import report_html_parts as parts
from verity.formats.markup import add, element, html, opening, raw, source_hash
from verity.formats.report_page import SCRIPT, STYLE
from verity.formats.report_picture import coverage_bar, coverage_key, signed_by_whom
from verity.formats.report_view import (
    SEVERITIES,
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
from verity.values.audit import Area, Covered, Outcome

MOST_OF_A_CHECK = 200
MOST = 2000

_CSP = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src {source_hash(STYLE)}; script-src {source_hash(SCRIPT)}"
)


def pieces(seen: View) -> Iterator[str]:
    """The page, check by check."""
    yield "<!DOCTYPE html>\n"
    yield opening(element("html", lang="en"))
    yield html(_head(seen))
    yield opening(element("body")) + "\n"
    yield html(element("a", "Skip to the findings", class_="skip", href="#findings"))
    yield html(_top(seen))
    yield opening(element("main")) + "\n"
    for made in (_about, _picture, _coverage, _areas):
        yield html(made(seen)) + "\n"
    yield from _findings(seen)
    yield from _gaps(seen)
    yield from _waivers(seen)
    for section in (_not_applicable(seen), _residuals(seen), _notes(seen)):
        if section is not None:
            yield html(section) + "\n"
    yield "</main>\n" + html(raw("script", SCRIPT)) + "\n</body></html>\n"


def _head(seen: View) -> ET.Element:
    name = seen.audit.head.host_name
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_CSP),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"verity audit of {name}: {verdict(seen.audit)}"),
        raw("style", STYLE),
    )


def _top(seen: View) -> ET.Element:
    audit = seen.audit
    look = {0: "good", 1: "fail"}.get(audit.exit_status, "open")
    by = ", ".join(f"{number:,} {severity}" for severity, number in seen.severities.items())
    return element(
        "header",
        element("h1", "verity audit of ", parts.shown_name(audit.head.host_name)),
        element("p", verdict(audit, by), class_=f"verdict {look}"),
    )


def _about(seen: View) -> ET.Element:
    head, audit = seen.audit.head, seen.audit
    roots = element("span", roots_given(head))
    for root in head.roots:
        add(roots, element("br"), element("code", root))
    said = audit.state_said
    state = said if audit.state is None else element("code", said)
    return parts.section(
        "The audit",
        parts.listed(
            (
                (
                    "Host",
                    element(
                        "span",
                        parts.shown_name(head.host_name),
                        " ",
                        element("code", head.host_id or "no host id"),
                    ),
                ),
                ("System", system(head)),
                ("Root", element("code", head.root)),
                ("When", format_time(head.begun)),
                ("Boot", element("code", head.boot_id or "none of this host")),
                ("Gate", gate(head)),
                ("The answer is", trusted(head)),
                ("Rests on", roots),
                ("Auditor", element("span", element("code", tool(head)), ": ", auditor(head))),
                ("Contents", _contents(seen)),
                ("State", state),
                ("Exit status", str(audit.exit_status)),
            )
        ),
        id="audit",
    )


def _picture(seen: View) -> ET.Element:
    nothing = element("p", "No statement was verified: nothing leads from a root to an area.")
    return parts.section(
        "What is signed, and by whom",
        None if seen.audit.signed else nothing,
        element("figure", signed_by_whom(seen)),
        id="signed",
    )


def _coverage(seen: View) -> ET.Element:
    if not seen.coverage:
        return parts.section(
            "How files are known", element("p", "no file was looked at"), id="coverage"
        )
    total = sum(seen.coverage.values())
    rows = [
        (element("span", coverage_key(how), " ", how.value), f"{n:,}", f"{100 * n / total:.1f} %")
        for how, n in seen.coverage.items()
    ]
    bar = element("figure", coverage_bar(seen))
    return parts.section(
        "How files are known", bar, parts.table(("how", "files", "share"), rows), id="coverage"
    )


def _contents(seen: View) -> str:
    if seen.audit.head.deep:
        return "read from the disk"
    hashed = seen.coverage.get(Covered.HASHED, 0)
    if hashed:
        return f"read where there is no fs-verity ({hashed:,}); else the digests are the kernel's"
    return "not read: digests are the kernel's"


def _areas(seen: View) -> ET.Element:
    rows = [
        (
            area.area,
            *(f"{area.outcomes.get(outcome, 0):,}" for outcome in Outcome),
            f"{sum(len(one.findings) for one in area.checks):,}",
        )
        for area in seen.areas
    ]
    missing = [area for area in Area if area not in seen.asked]
    return parts.section(
        "Checks by area",
        parts.table(("area", *(outcome.value for outcome in Outcome), "findings"), rows),
        element("p", f"not asked: {', '.join(missing)}", class_="open") if missing else None,
        id="areas",
    )


def _findings(seen: View) -> Iterator[str]:
    yield opening(parts.section("Findings", id="findings"))
    if not seen.failed:
        yield html(element("p", "No finding.", class_="good"))
    else:
        yield html(_filter(seen))
    room = MOST
    for one in seen.failed:
        shown = one.findings[: min(MOST_OF_A_CHECK, room)]
        room -= len(shown)
        yield opening(element("section", class_="check"))
        yield html(_check_title(one)) + "\n"
        for finding in shown:
            yield html(parts.open_finding(one, finding)) + "\n"
        if left := len(one.findings) - len(shown):
            yield html(parts.left_out(left))
        yield "</section>\n"
    yield "</section>\n"


def _check_title(one: CheckView) -> ET.Element:
    severity = one.check.severity
    told = f" {counted(len(one.findings), 'finding')}; not so: {one.check.title}"
    badge = element("span", severity.value, class_=f"badge {severity}")
    return element("h3", badge, " ", element("code", one.check.id), told)


def _filter(seen: View) -> ET.Element:
    failed = seen.failed
    severities = [one for one in SEVERITIES if one in seen.severities]
    areas = [area for area in Area if any(one.check.area is area for one in failed)]
    return element(
        "div",
        _choice("severity", "Severity", [one.value for one in severities]),
        _choice("area", "Area", [one.value for one in areas]),
        element("label", "Text", element("input", id="words", type="search", autocomplete="off")),
        element("button", "Clear", id="clear", type="button"),
        element("button", "Open or close all", id="open-all", type="button"),
        element("output", id="shown", aria_live="polite"),
        id="filter",
        role="search",
        aria_label="Filter the findings",
        hidden="",
    )


def _choice(id: str, label: str, values: Sequence[str]) -> ET.Element:
    select = element("select", element("option", "all", value=""), id=id)
    for value in values:
        select.append(element("option", value, value=value))
    return element("label", label, select)


def _gaps(seen: View) -> Iterator[str]:
    checks = [one for one in seen.checks if one.gaps]
    if not checks:
        return
    yield opening(parts.section("Not evaluated", id="not-evaluated"))
    room = MOST
    for one in checks:
        shown = one.gaps[: min(MOST_OF_A_CHECK, room)]
        room -= len(shown)
        yield html(element("h3", element("code", one.check.id), f" {one.check.title}"))
        yield from (html(parts.open_gap(gap)) + "\n" for gap in shown)
        if left := len(one.gaps) - len(shown):
            yield html(parts.left_out(left))
    yield "</section>\n"


def _waivers(seen: View) -> Iterator[str]:
    if not seen.audit.waived:
        return
    yield opening(parts.section("Waived", id="waived"))
    yield from (html(parts.open_waived(one)) + "\n" for one in seen.audit.waived[:MOST])
    if (left := len(seen.audit.waived) - MOST) > 0:
        yield html(parts.left_out(left))
    yield "</section>\n"


def _not_applicable(seen: View) -> ET.Element | None:
    skipped = [one for one in seen.checks if one.not_applicable]
    told = parts.listed((one.check.id, one.not_applicable) for one in skipped)
    return parts.section("Not applicable", told, id="not-applicable") if skipped else None


def _residuals(seen: View) -> ET.Element | None:
    open_ways = seen.audit.head.residuals
    told = parts.listed((one.name, one.why) for one in open_ways)
    return parts.section("Open by design", told, id="residuals") if open_ways else None


def _notes(seen: View) -> ET.Element | None:
    notes = [note for result in seen.audit.areas for note in result.notes]
    told = element("ul", *(element("li", note) for note in notes))
    return parts.section("Notes", told, id="notes") if notes else None
