# SPDX-License-Identifier: Apache-2.0
"""An audit, JSON values <-> ``verity.values.audit.Audit``: the field ``audit`` of evidence.

Strict: fields of known names and types, words of known kinds, and nothing else. All of an audit
stands there, so that what was signed on one host is the same audit on another. Paths are in the
escapes of a manifest, because a name need not be UTF-8. Texts are as they are, whatever they hold:
whoever prints them escapes them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from verity.formats import escaped
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields, refuse
from verity.values.audit import (
    Area,
    AreaResult,
    Audit,
    Check,
    Covered,
    Head,
    Residual,
    Severity,
    SignedPart,
    Waived,
)
from verity.values.findings import Finding, Link, NotEvaluated

_FINDING = ("check", "object", "problem", "expected", "found", "remedy")
_GAP = ("check", "object", "why", "hint")
_HEAD = (
    *("host_id", "host_name", "root", "boot_id", "kernel", "system"),
    *("state", "level", "tool_version", "tool_digest"),
)
_KNOWN = {True: "yes", False: "no", None: "unknown"}


def fields_of(audit: Audit) -> dict[str, Any]:
    """The JSON object of an audit."""
    return {
        "head": _write_head(audit.head),
        "checks": [
            {
                "id": text(check.id),
                "area": check.area.value,
                "severity": check.severity.value,
                "title": text(check.title),
            }
            for check in audit.checks
        ],
        "areas": [_write_area(area) for area in audit.areas],
        "waived": [
            {
                "finding": _write_finding(one.finding),
                "reason": text(one.reason),
                "signers": [text(name) for name in one.signers],
                "expires": format_time(one.expires),
            }
            for one in audit.waived
        ],
        "state": audit.state or "",
        "signed": [
            {
                "root": text(part.root),
                "stream": text(part.stream),
                "kind": text(part.kind),
                "serial": part.serial,
                "signers": [text(name) for name in part.signers],
                "entries": part.entries,
            }
            for part in audit.signed
        ],
    }


def read(fields: Fields) -> Audit:
    """The audit of a JSON object. Raises ContentError (``bad-document``)."""
    head = _read_head(fields.object("head"))
    checks = tuple(_read_check(item) for item in fields.array("checks"))
    areas = tuple(_read_area(item) for item in fields.array("areas"))
    waived = tuple(_read_waived(item) for item in fields.array("waived"))
    state = fields.text("state")
    signed = tuple(_read_signed(item) for item in fields.array("signed"))
    fields.end()
    if state and not _is_hex(state, 64):
        refuse("audit", "the state is not 64 lower-case hex digits")
    return Audit(
        head=head, checks=checks, areas=areas, waived=waived, state=state or None, signed=signed
    )


def text(value: str) -> str:
    """A text as JSON can carry it: bytes of a name that isn't UTF-8 become ``\\xHH``."""
    if value.isascii():
        return value
    return (
        "".join(
            f"\\x{ord(char) & 0xFF:02x}" if "\udc80" <= char <= "\udcff" else char for char in value
        )
        .encode("utf-8", "replace")
        .decode()
    )


def path_of(written: str, what: str) -> bytes:
    """A path in the one spelling of its escapes."""
    found = escaped.unescape(written)
    if found is None:
        refuse(what, f"the path {written[:80]!r} is not as a manifest has it")
    return found


def _write_head(head: Head) -> dict[str, Any]:
    return {
        **{name: text(getattr(head, name)) for name in _HEAD},
        "begun": format_time(head.begun),
        "taints": [text(one) for one in head.taints],
        "tool_verified": _KNOWN[head.tool_verified],
        "enforced": _KNOWN[head.enforced],
        "roots": [text(one) for one in head.roots],
        "roots_given": _KNOWN[head.roots_given],
        "deep": _KNOWN[head.deep],
        "residuals": [{"name": text(one.name), "why": text(one.why)} for one in head.residuals],
    }


def _read_head(fields: Fields) -> Head:
    texts = {name: fields.text(name) for name in _HEAD}
    found = Head(
        **texts,
        begun=parse_time(fields.text("begun")),
        taints=_texts(fields, "taints"),
        tool_verified=_known(fields, "tool_verified"),
        enforced=bool(_known(fields, "enforced", unknown=False)),
        roots=_texts(fields, "roots"),
        roots_given=bool(_known(fields, "roots_given", unknown=False)),
        deep=bool(_known(fields, "deep", unknown=False)),
        residuals=tuple(_read_residual(item) for item in fields.array("residuals")),
    )
    fields.end()
    return found


def _read_residual(item: Any) -> Residual:
    fields = Fields(item, what="audit residual")
    found = Residual(name=fields.text("name"), why=fields.text("why"))
    fields.end()
    return found


def _read_check(item: Any) -> Check:
    fields = Fields(item, what="audit check")
    found = Check(
        id=fields.text("id"),
        area=_word(Area, fields.text("area"), "audit check"),
        severity=_word(Severity, fields.text("severity"), "audit check"),
        title=fields.text("title"),
    )
    fields.end()
    return found


def _write_area(area: AreaResult) -> dict[str, Any]:
    return {
        "area": area.area.value,
        "findings": [_write_finding(one) for one in area.findings],
        "not_evaluated": [
            {**{name: text(getattr(one, name)) for name in _GAP}, **_path_field(one.path)}
            for one in area.not_evaluated
        ],
        "not_applicable": {text(check): text(why) for check, why in area.not_applicable.items()},
        "counts": {text(name): number for name, number in area.counts.items()},
        "coverage": {kind.value: number for kind, number in area.coverage.items()},
        "notes": [text(note) for note in area.notes],
    }


def _read_area(item: Any) -> AreaResult:
    fields = Fields(item, what="audit area")
    area = _word(Area, fields.text("area"), "audit area")
    findings = tuple(_read_finding(one) for one in fields.array("findings"))
    gaps = tuple(_read_gap(one) for one in fields.array("not_evaluated"))
    why = fields.object("not_applicable")
    counts = _numbers(fields.object("counts"))
    coverage = _numbers(fields.object("coverage"))
    notes = _texts(fields, "notes")
    fields.end()
    return AreaResult(
        area=area,
        findings=findings,
        not_evaluated=gaps,
        not_applicable={check: why.text(check) for check in why.names()},
        counts=counts,
        coverage={
            _word(Covered, name, "audit coverage"): number for name, number in coverage.items()
        },
        notes=notes,
    )


def _write_finding(finding: Finding) -> dict[str, Any]:
    return {
        **{name: text(getattr(finding, name)) for name in _FINDING},
        "link": finding.link.value,
        **_path_field(finding.path),
    }


def _read_finding(item: Any) -> Finding:
    return _finding(Fields(item, what="audit finding"))


def _finding(fields: Fields) -> Finding:
    found = Finding(
        **{name: fields.text(name) for name in _FINDING},
        link=_word(Link, fields.text("link"), "audit finding"),
        path=_path(fields),
    )
    fields.end()
    return found


def _read_gap(item: Any) -> NotEvaluated:
    fields = Fields(item, what="audit gap")
    found = NotEvaluated(**{name: fields.text(name) for name in _GAP}, path=_path(fields))
    fields.end()
    return found


def _read_waived(item: Any) -> Waived:
    fields = Fields(item, what="audit waived")
    found = Waived(
        finding=_finding(fields.object("finding")),
        reason=fields.text("reason"),
        signers=_texts(fields, "signers"),
        expires=parse_time(fields.text("expires")),
    )
    fields.end()
    return found


def _read_signed(item: Any) -> SignedPart:
    fields = Fields(item, what="audit signed")
    found = SignedPart(
        root=fields.text("root"),
        stream=fields.text("stream"),
        kind=fields.text("kind"),
        serial=fields.integer("serial"),
        signers=_texts(fields, "signers"),
        entries=fields.integer("entries"),
    )
    fields.end()
    return found


def _path_field(path: bytes | None) -> dict[str, str]:
    return {} if path is None else {"path": escaped.printable(path)}


def _path(fields: Fields) -> bytes | None:
    if "path" not in fields.names():
        return None
    return path_of(fields.text("path"), "audit finding")


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    items = fields.array(name)
    if not all(isinstance(item, str) for item in items):
        refuse("audit", f"the field {name!r} is no list of strings")
    return tuple(items)


def _numbers(fields: Fields) -> Mapping[str, int]:
    found = {name: fields.integer(name) for name in fields.names()}
    if any(number < 0 for number in found.values()):
        refuse("audit", "a count is below 0")
    return found


def _known(fields: Fields, name: str, *, unknown: bool = True) -> bool | None:
    said = fields.text(name)
    for value, word in _KNOWN.items():
        if said == word and (unknown or value is not None):
            return value
    refuse("audit", f"the field {name!r} is {said[:40]!r}, expected yes or no")


def _is_hex(value: str, digits: int) -> bool:
    return len(value) == digits and set(value) <= set("0123456789abcdef")


Word = TypeVar("Word", bound=StrEnum)


def _word(kind: type[Word], said: str, what: str) -> Word:
    if said not in set(kind):
        refuse(what, f"{said[:40]!r} is none of {', '.join(kind)}")
    return kind(said)
