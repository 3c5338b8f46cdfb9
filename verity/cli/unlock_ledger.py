# SPDX-License-Identifier: Apache-2.0
"""verity unlock ledger: which unlocks there were, and whether that can be believed."""

from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.formats.ledger import Entry
from verity.formats.statement import format_time
from verity.ports import ledger as ledger_files
from verity.ports import places
from verity.values.findings import Finding, Link, Report

_LIMIT = (
    "who may write the whole disk, and reboots, can put an older ledger in its place: no level of"
    " this version sees that"
)


@click.group()
def ledger() -> None:
    """Show which unlocks there were.

    Challenges, refusals, grants and ends, each line with the digest of the one before it.
    """


@ledger.command(epilog="Example: verity unlock ledger show --json")
@unlock_options.root_option
@output.json_option
def show(root: Path, as_json: bool) -> int:
    """List the entries, oldest first, and what is wrong with them."""
    chain = ledger_files.read(root)
    for entry in chain.entries:
        _show(entry, as_json=as_json)
    return output.report(_report(root, chain.problems), as_json=as_json, good=lambda: "whole")


@ledger.command(epilog="Example: verity unlock ledger verify --root /sysroot")
@unlock_options.root_option
@output.json_option
def verify(root: Path, as_json: bool) -> int:
    """Say whether each line follows the one before it, and whether the end is missing.

    The end is compared with two copies of its digest: beside the ledger, and in /run, which a
    rollback of the disk doesn't take back.
    """
    chain = ledger_files.read(root)
    output.message(f"note: {_LIMIT}")
    number = len(chain.entries)
    return output.report(
        _report(root, chain.problems, number),
        as_json=as_json,
        good=lambda: f"whole: {number} entries, the last sha256:{chain.head.sha256.hex()}",
    )


def _report(root: Path, problems: tuple[str, ...], number: int | None = None) -> Report:
    return Report(
        findings=tuple(
            Finding(
                check="unlock-ledger",
                link=Link.VERDICT,
                object=str(root / places.LEDGER),
                problem=problem,
                remedy="find out who wrote to it: what it says before that may be right, and no"
                " more",
            )
            for problem in problems
        ),
        counts={} if number is None else {"entries": number},
    )


def _show(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        output.record(
            "entry",
            {
                "event": entry.event.value,
                "at": format_time(entry.at),
                "boot": entry.boot,
                "clock_s": entry.clock_s,
                "late": entry.late,
                **entry.texts,
                **entry.numbers,
            },
        )
        return
    more = [f"{name} {text}" for name, text in (*entry.texts.items(), *entry.numbers.items())]
    late = ["late"] if entry.late else []
    words = [format_time(entry.at), f"{entry.event.value:9}", *late, *more]
    output.line(output.one_line(" ".join(words)))
