# SPDX-License-Identifier: Apache-2.0
"""What an audit prints: the head, then findings and gaps, as every report of the program has them.

As text for people, or as JSON Lines. Everything that is printed goes to one stream, so that it can
be a file as well.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from verity.cli.output import one_line
from verity.formats.statement import format_time
from verity.values.audit import Area, Audit, Waived
from verity.values.errors import CallerError
from verity.values.findings import Finding, NotEvaluated

FORMATS = ("text", "json", "sarif", "junit", "html")


def write(audit: Audit, format: str, stream: BinaryIO) -> None:
    """Print an audit in one of the formats."""
    if format == "text":
        lines = _text(audit)
    elif format == "json":
        lines = _json(audit)
    else:
        raise CallerError("bad-arguments", f"--format {format}: this program has text and json")
    for line in lines:
        stream.write(line.encode("utf-8", "replace") + b"\n")


def _text(audit: Audit) -> Iterator[str]:
    head = audit.head
    yield f"host      {one_line(head.host_name)} {head.host_id or '(it has no id)'}"
    yield f"audited   {one_line(head.root)} at {format_time(head.begun)}"
    yield f"system    {one_line(head.system) or 'unknown'}, kernel {one_line(head.kernel) or '-'}"
    level = head.level or "no level of assurance"
    word = "enforced by its kernel" if head.enforced else "asserted by this host"
    yield f"gate      {head.state}, {level}; the answer is {word}"
    for taint in head.taints:
        yield f"taint     {one_line(taint)}"
    said = "" if head.roots_given else ", as stated by this host"
    yield f"roots     {', '.join(head.roots) or 'none'}{said}"
    verified = {True: "signed", False: "not all signed", None: "not to be seen whether signed"}
    yield f"auditor   {head.tool_version} sha256:{head.tool_digest} {verified[head.tool_verified]}"
    for residual in head.residuals:
        yield f"residual  {residual.name}: {one_line(residual.why)}"
    for finding in audit.findings:
        yield f"FINDING  {finding.check}  {one_line(finding.object)}: {one_line(finding.problem)}"
        yield f"         link of the chain: {finding.link}"
        yield f"         expected {one_line(finding.expected)}"
        yield f"         found    {one_line(finding.found)}"
        yield f"         remedy:  {one_line(finding.remedy)}"
    for one in audit.waived:
        yield (
            f"WAIVED  {one.finding.check}  {one_line(one.finding.object)}: {one_line(one.reason)}"
            f" (until {format_time(one.expires)})"
        )
    together: dict[tuple[str, str, str], list[str]] = {}
    for gap in audit.not_evaluated:
        together.setdefault((gap.object, gap.why, gap.hint), []).append(gap.check)
    for (label, why, hint), checks in together.items():
        yield f"NOT EVALUATED  {', '.join(checks)}  {one_line(label)}: {one_line(why)}"
        if hint:
            yield f"         hint:    {one_line(hint)}"
    for area in audit.areas:
        for note in area.notes:
            yield f"note      {one_line(note)}"
    counts = ", ".join(
        f"{number} {name}" for area in audit.areas for name, number in area.counts.items()
    )
    waived = f", {len(audit.waived)} waived" if audit.waived else ""
    if audit.exit_status == 0:
        yield f"good: everything is as signed{waived} ({counts})"
    else:
        yield (
            f"{len(audit.findings)} findings{waived}, {len(audit.not_evaluated)} not evaluated"
            f" ({counts})"
        )
    left = f", {len(audit.not_evaluated)} not evaluated" if audit.not_evaluated else ""
    if not any(area.area is Area.FILES for area in audit.areas):
        return  # no file was asked for, so there is no state to tell
    if audit.state is not None:
        yield f"state: sha256:{audit.state}"
    else:
        yield f"state: differs ({len(audit.findings)} findings{left})"


def _json(audit: Audit) -> Iterator[str]:
    head = audit.head
    fields = {name: getattr(head, name) for name in head.__dataclass_fields__}
    fields["residuals"] = [{"name": one.name, "why": one.why} for one in head.residuals]
    yield _record("head", {**fields, "begun": format_time(head.begun)})
    yield _record("state", {"sha256": audit.state})
    for finding in audit.findings:
        yield _record("finding", _fields(finding))
    for one in audit.waived:
        yield _record("waived", _waived(one))
    for gap in audit.not_evaluated:
        yield _record("not-evaluated", _fields(gap))
    for area in audit.areas:
        for check, why in area.not_applicable.items():
            yield _record("not-applicable", {"check": check, "why": why})
        for note in area.notes:
            yield _record("note", {"text": note})
    yield _record(
        "summary",
        {
            "findings": len(audit.findings),
            "not_evaluated": len(audit.not_evaluated),
            "waived": len(audit.waived),
            "counts": {name: n for area in audit.areas for name, n in area.counts.items()},
            "exit_status": audit.exit_status,
        },
    )


def _record(kind: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"v": 1, "type": kind, **fields}, ensure_ascii=True)


def _waived(one: Waived) -> dict[str, Any]:
    return {
        **_fields(one.finding),
        "reason": one.reason,
        "signers": list(one.signers),
        "expires": format_time(one.expires),
    }


def _fields(item: Finding | NotEvaluated) -> dict[str, Any]:
    fields = {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "path"}
    if item.path is None:
        return fields
    try:
        return {**fields, "path": item.path.decode("utf-8")}
    except UnicodeDecodeError:
        return {**fields, "path_base64": base64.b64encode(item.path).decode()}
