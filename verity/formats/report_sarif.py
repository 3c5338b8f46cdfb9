# SPDX-License-Identifier: Apache-2.0
"""An audit as SARIF 2.1.0: checks are rules, findings are results, waivers are suppressions.

What could not be evaluated is a notification of the one invocation; passed checks are in the run's
properties, for many readers take any result as a finding. A file's name is in the location, exact
(percent-encoded, below the base ``ROOT``); the same strings as in JSON Lines are in the result's
properties. A message is for people: what SARIF would read as a placeholder or a link is escaped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_from_bytes

from verity.formats import report_json
from verity.formats.escaped import one_line
from verity.formats.report_view import CheckView, View, verdict
from verity.formats.statement import format_time
from verity.values.audit import Check, Severity, Waived
from verity.values.findings import Finding, NotEvaluated

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
# What code scanning sorts by: the middle of the band that it shows under the same name.
_SECURITY_SEVERITY = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
}
_MARKS = str.maketrans({"{": "{{", "}": "}}", "[": "\\[", "]": "\\]"})


def pieces(seen: View) -> Iterator[str]:
    """The report, result by result."""
    checks = seen.checks
    run = {
        "tool": {"driver": _driver(seen, checks)},
        "invocations": [_invocation(seen, checks)],
        "originalUriBaseIds": {"ROOT": {"uri": _base(seen.audit.head.root)}},
        "columnKind": "unicodeCodePoints",
        "properties": _properties(seen),
    }
    opened = _json({"$schema": SCHEMA, "version": "2.1.0"}).removesuffix("}")
    yield opened + ', "runs": [' + _json(run).removesuffix("}") + ', "results": ['
    separator = "\n"
    for index, one in enumerate(checks):
        for finding in one.findings:
            yield separator + _json(_result(one.check, index, finding))
            separator = ",\n"
        for waived in one.waived:
            yield separator + _json(_suppressed(one.check, index, waived))
            separator = ",\n"
    yield "\n]}]}\n"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(report_json.clean(value), ensure_ascii=True)


def _driver(seen: View, checks: tuple[CheckView, ...]) -> dict[str, Any]:
    return {
        "name": "verity",
        "version": seen.audit.head.tool_version,
        "rules": [_rule(one.check) for one in checks],
    }


def _rule(check: Check) -> dict[str, Any]:
    title = _message(check.title)
    return {
        "id": check.id,
        "shortDescription": {"text": title},
        "help": {"text": f"It passes if this holds: {title}. `verity audit --all` says the rest."},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {
            "area": check.area,
            "severity": check.severity,
            "security-severity": _SECURITY_SEVERITY[check.severity],
            "tags": ["security", check.area],
        },
    }


def _message(text: str) -> str:
    """Text that is only text: no placeholder, no link, no character that isn't shown."""
    return one_line(text).translate(_MARKS)


def _base(root: str) -> str:
    path = quote_from_bytes(root.encode("utf-8", "surrogateescape").strip(b"/"), safe="/")
    return f"file:///{path}/" if path else "file:///"


def _locations(item: Finding | NotEvaluated) -> list[dict[str, Any]]:
    if item.path is None:
        return [{"logicalLocations": [{"name": item.object, "kind": "resource"}]}]
    uri = quote_from_bytes(item.path.lstrip(b"/"), safe="/") or "."
    return [{"physicalLocation": {"artifactLocation": {"uri": uri, "uriBaseId": "ROOT"}}}]


def _result(check: Check, index: int, finding: Finding) -> dict[str, Any]:
    name = finding.path if finding.path is not None else finding.object.encode("utf-8", "replace")
    same = hashlib.sha256(check.id.encode() + b"\0" + name).hexdigest()
    return {
        "ruleId": check.id,
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[check.severity],
        "message": {"text": f"{_message(finding.object)}: {_message(finding.problem)}"},
        "locations": _locations(finding),
        # Of check and object, so that the next audit's result is known as the same one.
        "partialFingerprints": {"checkAndObject/v1": same},
        "properties": report_json.finding(finding),
    }


def _suppressed(check: Check, index: int, waived: Waived) -> dict[str, Any]:
    told = report_json.waived(waived)
    suppression = {
        "kind": "external",
        "status": "accepted",
        "justification": one_line(waived.reason),
        "properties": {"signers": told["signers"], "expires": told["expires"]},
    }
    return {**_result(check, index, waived.finding), "suppressions": [suppression]}


def _invocation(seen: View, checks: tuple[CheckView, ...]) -> dict[str, Any]:
    audit = seen.audit
    return {
        "executionSuccessful": not audit.not_evaluated,
        "exitCode": audit.exit_status,
        "exitCodeDescription": verdict(audit),
        "startTimeUtc": format_time(audit.head.begun),
        "machine": one_line(audit.head.host_name),
        "toolExecutionNotifications": [
            _notification(one.check, index, gap)
            for index, one in enumerate(checks)
            for gap in one.gaps
        ],
    }


def _notification(check: Check, index: int, gap: NotEvaluated) -> dict[str, Any]:
    hint = f" ({_message(gap.hint)})" if gap.hint else ""
    return {
        "associatedRule": {"id": check.id, "index": index},
        "level": "warning",
        "message": {
            "text": f"not evaluated: {_message(gap.object)}: {_message(gap.why)}{hint}",
        },
        "locations": _locations(gap),
        "properties": report_json.gap(gap),
    }


def _properties(seen: View) -> dict[str, Any]:
    return {
        "head": report_json.head(seen.audit.head),
        "coverage": {how.value: number for how, number in seen.coverage.items()},
        "state": seen.audit.state,
        "outcomes": {one.check.id: one.outcome for one in seen.checks},
        "notApplicable": {
            one.check.id: one.not_applicable for one in seen.checks if one.not_applicable
        },
        "summary": report_json.summary(seen),
    }
