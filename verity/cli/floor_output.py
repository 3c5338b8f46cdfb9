# SPDX-License-Identifier: Apache-2.0
"""What the host's floors say, in the reports of verbs that verify a signed document."""

from pathlib import Path

from verity.cli import output
from verity.values.findings import Report
from verity.verbs.serial_floors import Judged


def with_floors(compared: Judged, report: Report, *, as_json: bool) -> Report:
    """The report with what the floors say; with --json also that there was none to compare."""
    if as_json:
        for text in compared.asides:
            output.record("note", {"text": text})
    return compared.added_to(report)


def print_accepted(raised: Path | None, *, as_json: bool) -> None:
    """The file of a floor that was raised; nothing if it was there already."""
    if raised is None:
        return
    if as_json:
        output.record("floor", {"path": str(raised)})
    else:
        output.line(f"accepted  {output.one_line(str(raised))}")
