# SPDX-License-Identifier: Apache-2.0
"""An audit as JSON Lines: one object a line, by docs/schemas/audit.schema.json.

Strings are exact, but for what is no Unicode: a lone surrogate is written ``\\udcHH``. A path is
text if it is UTF-8, else ``path_base64``. Everything is here, uncut; the other formats say so.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from verity.formats.escaped import path_fields
from verity.formats.report_view import CheckView, View
from verity.formats.statement import format_time
from verity.values.audit import Head, Waived
from verity.values.findings import Finding, NotEvaluated


def lines(seen: View) -> Iterator[str]:
    """The report's lines: head, checks, what they gave, coverage, state; the summary is last."""
    audit = seen.audit
    yield _line("head", head(audit.head))
    for part in audit.signed:
        yield _line("signed", {**vars(part), "signers": list(part.signers)})
    for one in seen.checks:
        yield _line("check", check(one))
    for one in seen.checks:
        of = {"area": one.check.area, "severity": one.check.severity}
        yield from (_line("finding", {**of, **finding(item)}) for item in one.findings)
        yield from (_line("waived", {**of, **waived(item)}) for item in one.waived)
        yield from (_line("not-evaluated", {**of, **gap(item)}) for item in one.gaps)
        if one.not_applicable:
            skipped = {"check": one.check.id, "why": one.not_applicable}
            yield _line("not-applicable", {**of, **skipped})
    for area in audit.areas:
        yield _line("area", {"area": area.area, "counts": dict(area.counts)})
        yield from (_line("note", {"area": area.area, "text": note}) for note in area.notes)
    yield _line("coverage", {"counts": {how.value: n for how, n in seen.coverage.items()}})
    yield _line("state", {"sha256": audit.state})
    yield _line("summary", summary(seen))


def _line(kind: str, fields: Mapping[str, Any]) -> str:
    return json.dumps(clean({"v": 1, "type": kind, **fields}), ensure_ascii=True)


def clean(value: Any) -> Any:
    """The same without lone surrogates, which no JSON of ours may hold."""
    if isinstance(value, str):
        return value if value.isascii() else text(value)
    if isinstance(value, Mapping):
        return {clean(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def text(value: str) -> str:
    """A string in Unicode, what is none in it as an escape."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def head(value: Head) -> dict[str, Any]:
    """Who was audited, when, and how far the answer can be trusted."""
    fields = dict(vars(value))
    fields["begun"] = format_time(value.begun)
    fields["residuals"] = [vars(one) for one in value.residuals]
    return fields


def check(one: CheckView) -> dict[str, Any]:
    """One question of the catalogue, and its outcome."""
    return {
        "id": one.check.id,
        "area": one.check.area,
        "severity": one.check.severity,
        "title": one.check.title,
        "outcome": one.outcome,
        "findings": len(one.findings),
        "not_evaluated": len(one.gaps),
        "waived": len(one.waived),
    }


def finding(item: Finding) -> dict[str, Any]:
    """A finding; ``check``, ``link`` and ``path`` are for programs, the rest for people."""
    return _with_path(item)


def gap(item: NotEvaluated) -> dict[str, Any]:
    """What could not be evaluated."""
    return _with_path(item)


def waived(item: Waived) -> dict[str, Any]:
    """A finding under a waiver, and the waiver."""
    return {
        **_with_path(item.finding),
        "reason": item.reason,
        "signers": list(item.signers),
        "expires": format_time(item.expires),
    }


def _with_path(item: Finding | NotEvaluated) -> dict[str, Any]:
    fields = {name: value for name, value in vars(item).items() if name != "path"}
    return fields if item.path is None else {**fields, **path_fields(item.path)}


def summary(seen: View) -> dict[str, Any]:
    """How many of each, and the exit status."""
    audit = seen.audit
    return {
        "findings": len(audit.findings),
        "not_evaluated": len(audit.not_evaluated),
        "waived": len(audit.waived),
        "severities": {one.value: number for one, number in seen.severities.items()},
        "counts": _counts(seen),
        "exit_status": audit.exit_status,
    }


def _counts(seen: View) -> dict[str, int]:
    """What was looked at in all areas together."""
    counts: dict[str, int] = {}
    for area in seen.audit.areas:
        for name, number in area.counts.items():
            counts[name] = counts.get(name, 0) + number
    return counts
