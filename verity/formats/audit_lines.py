# SPDX-License-Identifier: Apache-2.0
"""A report in JSON Lines, bytes -> values: what an audit printed, to be compared with another.

Nobody signs a report: it says what it says. Every line is an object with ``"v": 1`` and a ``type``;
types and fields that are not known here are ignored, those that are are held to their form. A
report that lacks its last line, the summary, or findings that the summary counts, was cut off and
is refused.
"""

from typing import Any, NoReturn

from verity.formats import strictjson
from verity.formats.statement import parse_base64, parse_time
from verity.formats.strictjson import Fields
from verity.values.audit import Outcome
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.values.snapshot import Snapshot

MAX_REPORT = 256 * 2**20
MAX_LINE = 2**20
_FINDING = ("check", "object", "problem", "expected", "found", "remedy")
_GAP = ("check", "object", "why", "hint")


def is_one(data: bytes) -> bool:
    """Whether these bytes begin like a report, and not like a capsule."""
    line = data[:MAX_LINE].partition(b"\n")[0]
    try:
        value = strictjson.parse(line, what="report", max_size=MAX_LINE)
    except ContentError:
        return False
    return isinstance(value, dict) and "v" in value and "type" in value


def parse(data: bytes, *, source: str) -> Snapshot:
    """Read a report; ``source`` names it. Raises ContentError (``bad-document``) with the line."""
    if len(data) > MAX_REPORT:
        _refuse(source, f"{len(data)} bytes, at most {MAX_REPORT} are allowed")
    found: dict[str, list[Any]] = {}
    last = ""
    for number, line in enumerate(data.splitlines(), 1):
        what = f"{source}: line {number}"
        fields = Fields(strictjson.parse(line, what=what, max_size=MAX_LINE), what=what)
        if fields.integer("v") != 1:
            _refuse(what, "another version of reports, expected 1")
        last = fields.text("type")
        reader = _READERS.get(last)
        if reader is not None:
            found.setdefault(last, []).append(reader(fields, what))
    if last != "summary" or found["summary"] != [len(found.get("finding", []))]:
        _refuse(source, "its last line is no summary of the findings before it: it was cut off")
    head = found.get("head", [{}])[0]
    return Snapshot(
        source=source,
        **head,
        state=found.get("state", [None])[0],
        findings=tuple(found.get("finding", ())),
        waived=tuple(found.get("waived", ())),
        not_evaluated=tuple(found.get("not-evaluated", ())),
        outcomes=dict(found.get("check", ())),
        serials=dict(found.get("signed", ())),
    )


def _head(fields: Fields, what: str) -> dict[str, Any]:
    return {
        "host_id": fields.text("host_id"),
        "host_name": fields.text("host_name"),
        "begun": parse_time(fields.text("begun")),
    }


def _finding(fields: Fields, what: str) -> Finding:
    texts = {name: fields.text(name) for name in _FINDING}
    link = fields.text("link")
    if link not in set(Link):
        _refuse(what, f"unknown link {link[:40]!r}")
    return Finding(**texts, link=Link(link), path=_path(fields, what))


def _gap(fields: Fields, what: str) -> NotEvaluated:
    return NotEvaluated(**{name: fields.text(name) for name in _GAP}, path=_path(fields, what))


def _path(fields: Fields, what: str) -> bytes | None:
    names = fields.names()
    if "path" in names:
        return fields.text("path").encode()
    if "path_base64" not in names:
        return None
    path = parse_base64(fields.text("path_base64"))
    return _refuse(what, "path_base64 is no standard base64") if path is None else path


def _check(fields: Fields, what: str) -> tuple[str, Outcome]:
    outcome = fields.text("outcome")
    if outcome not in set(Outcome):
        _refuse(what, f"unknown outcome {outcome[:40]!r}")
    return fields.text("id"), Outcome(outcome)


def _state(fields: Fields, what: str) -> str | None:
    return fields.text("sha256") if fields.is_text("sha256") else None


def _signed(fields: Fields, what: str) -> tuple[str, int]:
    return f"stream {fields.text('stream')}", fields.integer("serial")


def _summary(fields: Fields, what: str) -> int:
    return fields.integer("findings")


def _refuse(what: str, reason: str) -> NoReturn:
    strictjson.refuse(what, reason)


_READERS = {
    "head": _head,
    "finding": _finding,
    "waived": _finding,
    "not-evaluated": _gap,
    "check": _check,
    "state": _state,
    "signed": _signed,
    "summary": _summary,
}
