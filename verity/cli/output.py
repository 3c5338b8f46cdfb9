# SPDX-License-Identifier: Apache-2.0
"""What every verb prints, and how: results on stdout, everything else on stderr.

``--json`` gives JSON Lines, one object a line, each with ``"v": 1`` and a ``type``. Names of files
are escaped in text as in a manifest (``\\xHH``), so that no name reaches a terminal raw; in JSON
they are exact: ``path`` as text if they are UTF-8, else ``path_base64``.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from verity.formats.escaped import one_line as one_line
from verity.formats.escaped import path_fields as path_fields
from verity.formats.escaped import printable
from verity.values.errors import VerityError
from verity.values.findings import Finding, NotEvaluated, Report

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines on stdout.")


def line(text: str) -> None:
    """A line of the result."""
    click.echo(text)


def raw(data: bytes) -> None:
    """Bytes as the whole result."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def message(text: str) -> None:
    """A line that isn't the result: progress, warnings."""
    click.echo(f"verity: {text}", err=True)


def error(problem: VerityError) -> None:
    """An error as one line, and its way out as another."""
    message(f"error: {one_line(problem.message)}")
    if problem.hint:
        click.echo(f"  hint: {one_line(problem.hint)}", err=True)


def record(kind: str, fields: Mapping[str, Any]) -> None:
    """One JSON object on a line of its own."""
    click.echo(json.dumps({"v": 1, "type": kind, **fields}, ensure_ascii=True))


def _fields(item: Finding | NotEvaluated) -> dict[str, Any]:
    fields = {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "path"}
    return fields if item.path is None else {**fields, **path_fields(item.path)}


def error_record(problem: VerityError, **fields: Any) -> None:
    """An error among the results of a batch."""
    record(
        "error",
        {**fields, "code": problem.code, "message": problem.message, "hint": problem.hint or ""},
    )


def shown(path: bytes) -> str:
    """A file's name for text."""
    return printable(path)


def report(result: Report, *, as_json: bool, good: Callable[[], str]) -> int:
    """Print findings, what is left open, and a summary; return the exit status.

    ``good`` gives the line for a report without either.
    """
    if as_json:
        for finding in result.findings:
            record("finding", _fields(finding))
        for gap in result.not_evaluated:
            record("not-evaluated", _fields(gap))
        for note in result.notes:
            record("note", {"text": note})
        record(
            "summary",
            {
                "findings": len(result.findings),
                "not_evaluated": len(result.not_evaluated),
                "counts": dict(result.counts),
                "exit_status": result.exit_status,
            },
        )
        return result.exit_status
    for finding in result.findings:
        line(f"FINDING  {finding.check}  {one_line(finding.object)}: {one_line(finding.problem)}")
        line(f"         link of the chain: {finding.link}")
        if finding.expected or finding.found:
            line(f"         expected {one_line(finding.expected)}")
            line(f"         found    {one_line(finding.found)}")
        if finding.remedy:
            line(f"         remedy:  {one_line(finding.remedy)}")
    for gap in result.not_evaluated:
        line(f"NOT EVALUATED  {gap.check}  {one_line(gap.object)}: {one_line(gap.why)}")
        if gap.hint:
            line(f"         hint:    {one_line(gap.hint)}")
    for note in result.notes:
        message(f"note: {one_line(note)}")
    counts = ", ".join(f"{number} {name}" for name, number in result.counts.items())
    if result.exit_status == 0:
        line(f"{good()} ({counts})" if counts else good())
    else:
        line(
            f"{len(result.findings)} findings, {len(result.not_evaluated)} not evaluated"
            + (f" ({counts})" if counts else "")
        )
    return result.exit_status


class Progress:
    """A progress bar on stderr, only where that is a terminal."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(*exc)

    def update(self, done: int, total: int) -> None:
        """Say how many of how many are done."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._unit, file=sys.stderr)
            self._bar.__enter__()
        self._bar.update(done - self._bar.pos)
