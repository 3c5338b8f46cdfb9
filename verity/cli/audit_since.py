# SPDX-License-Identifier: Apache-2.0
"""verity audit --since: the option, and what is printed of two audits.

The option is kept with click's context and is no parameter of the command, which asks ``asked`` and
calls ``show`` with the newer audit in place of its report.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import output
from verity.cli.params import PATH, Once
from verity.formats.statement import format_time

# An audit without this option needs none of it.
if TYPE_CHECKING:
    from verity.values.findings import Finding
    from verity.values.snapshot import Snapshot
    from verity.verbs.audit_since import Changes
    from verity.verbs.evidence_trust import Accepted

_META = "verity.since"


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[_META] = value
    return value


option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--since",
    cls=Once,
    type=PATH,
    metavar="FILE",
    expose_value=False,
    callback=_kept,
    help="Print only what changed since the audit in FILE, a capsule or a report of --json; with"
    " --verify, from that to the capsule. The exit status stays that of the newer audit.",
)


def asked() -> Path | None:
    """The file of --since."""
    found: Path | None = click.get_current_context().meta.get(_META)
    return found


def show(path: Path, accepted: "Accepted", after: "Snapshot", *, as_json: bool) -> None:
    """Print what changed from the audit in a file to this one."""
    from verity.verbs import audit_since

    before, note = audit_since.load(path, accepted)
    output.message(f"note: {output.one_line(note)}")
    changes = audit_since.compare(before, after)
    if as_json:
        _records(changes)
    else:
        _lines(changes)


def _records(changes: "Changes") -> None:
    for side, one in (("before", changes.before), ("after", changes.after)):
        output.record(
            side,
            {
                "source": one.source,
                "host_id": one.host_id,
                "host_name": one.host_name,
                "begun": None if one.begun is None else format_time(one.begun),
                "state": one.state,
            },
        )
    for what, findings in (
        ("new", changes.new),
        ("unwaived", changes.unwaived),
        ("gone", changes.gone),
        ("waived", changes.waived),
    ):
        for finding in findings:
            output.record("change", {"what": what, **_fields(finding)})
    for was, now in changes.changed:
        fields = {"expected_before": was.expected, "found_before": was.found}
        output.record("change", {"what": "changed", **_fields(now), **fields})
    for check, (outcome_before, outcome) in changes.outcomes.items():
        output.record("check-change", {"check": check, "before": outcome_before, "after": outcome})
    for name, (serial_before, serial) in changes.serials.items():
        output.record("serial-change", {"name": name, "before": serial_before, "after": serial})
    output.record(
        "summary",
        {
            "new": len(changes.new),
            "unwaived": len(changes.unwaived),
            "gone": len(changes.gone),
            "waived": len(changes.waived),
            "changed": len(changes.changed),
            "unchanged": len(changes.unchanged),
            "same_host": changes.same_host,
            "same_state": changes.before.state == changes.after.state is not None,
            "exit_status": changes.exit_status,
        },
    )


def _fields(finding: "Finding") -> dict[str, Any]:
    fields = {name: value for name, value in vars(finding).items() if name != "path"}
    return fields if finding.path is None else {**fields, **output.path_fields(finding.path)}


def _lines(changes: "Changes") -> None:
    before, after = changes.before, changes.after
    output.line(f"before   {_who(before)}")
    output.line(f"after    {_who(after)}")
    if changes.same_host is False:
        output.line("         two hosts")
    for word, findings in (
        ("NEW", changes.new),
        ("UNWAIVED", changes.unwaived),
        ("GONE", changes.gone),
        ("WAIVED", changes.waived),
    ):
        for one in findings:
            _finding(word, one)
    for was, now in changes.changed:
        _finding("CHANGED", now)
        output.line(f"         before   {output.one_line(was.found or was.problem)}")
    for check, (one_outcome, other_outcome) in changes.outcomes.items():
        output.line(f"CHECK    {check}: {one_outcome or 'not asked'}, now {other_outcome or 'not'}")
    for name, (one_serial, other_serial) in changes.serials.items():
        output.line(f"SERIAL   {name}: {one_serial or 'none'}, now {other_serial or 'none'}")
    output.line(f"STATE    {_state(before)}, now {_state(after)}")
    output.line(
        f"{len(changes.new) + len(changes.unwaived)} new,"
        f" {len(changes.gone) + len(changes.waived)} gone, {len(changes.changed)} changed,"
        f" {len(changes.unchanged)} unchanged findings; {len(after.not_evaluated)} not evaluated"
    )


def _finding(word: str, one: "Finding") -> None:
    output.line(
        f"{word:<8} {one.check}  {output.one_line(one.object)}: {output.one_line(one.problem)}"
    )
    if one.expected or one.found:
        output.line(f"         expected {output.one_line(one.expected)}")
        output.line(f"         found    {output.one_line(one.found)}")


def _who(one: "Snapshot") -> str:
    host = f"{one.host_name or 'a host'} {one.host_id[:16]}".strip()
    begun = "" if one.begun is None else f", {format_time(one.begun)}"
    return output.one_line(f"{host}{begun} ({one.source})")


def _state(one: "Snapshot") -> str:
    return "differs" if one.state is None else f"sha256:{one.state}"
