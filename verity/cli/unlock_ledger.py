# SPDX-License-Identifier: Apache-2.0
"""verity unlock ledger: which unlocks there were, and whether that can be believed."""

import time
from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.formats.ledger import Entry
from verity.formats.statement import format_time
from verity.ports import places
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import ledger_compared
from verity.verbs.ledger_compared import Compared

_CHECK = "unlock-ledger"
_LIMIT = (
    "who may write the whole disk, and reboots, can put an older ledger in its place: only a"
    " counter in a TPM sees that (`verity unlock ledger counter`)"
)
_COUNTED = "the TPM counts {}: an older ledger in its place would be seen, one made up to fit not"
_BEHIND = "{} entries behind the last number could be cut off unseen: the TPM didn't answer then"


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
    found = ledger_compared.look(root)
    for entry in found.chain.entries:
        _show(entry, as_json=as_json)
    return output.report(_report(root, found), as_json=as_json, good=lambda: "whole")


@ledger.command(epilog="Example: verity unlock ledger verify --root /sysroot")
@unlock_options.root_option
@output.json_option
def verify(root: Path, as_json: bool) -> int:
    """Say whether each line follows the one before it, and whether the end is missing.

    The end is compared with two copies of its digest: beside the ledger, and in /run, which a
    rollback of the disk doesn't take back. And with the TPM, if it counts: `ledger counter`.
    """
    found = ledger_compared.look(root)
    chain = found.chain
    if chain.counter is None:
        output.message(f"note: {_LIMIT}")
    if found.value is not None:
        output.message(f"note: {_COUNTED.format(found.value)}")
    if chain.uncounted:
        output.message(f"note: {_BEHIND.format(chain.uncounted)}")
    number = len(chain.entries)
    return output.report(
        _report(root, found, number),
        as_json=as_json,
        good=lambda: f"whole: {number} entries, the last sha256:{chain.head.sha256.hex()}",
    )


@ledger.command(epilog="Example: verity unlock ledger counter --json")
@output.json_option
def counter(as_json: bool) -> int:
    """Have this machine's TPM count what the ledger gets, from now on.

    It makes a counter in the TPM, which nobody can lower, and each entry gets its number. An older
    ledger that is put back with the whole disk is found by it. It needs tpm2-tools and a TPM 2.0.
    """
    from verity.verbs import unlock_counter  # here, because only this verb asks the gate

    begun = unlock_counter.begin(int(time.time()))
    if as_json:
        output.record("counter", {"value": begun.value, "before": begun.before})
    elif begun.before:
        output.line(f"counter  it counts already, and stands at {begun.value}")
    else:
        output.line(f"counter  the TPM counts from here on, and stands at {begun.value}")
    return 0


def _report(root: Path, compared: Compared, number: int | None = None) -> Report:
    gap = compared.gap
    return Report(
        findings=tuple(
            Finding(
                check=_CHECK,
                link=Link.VERDICT,
                object=str(root / places.LEDGER),
                problem=problem,
                remedy="find out who wrote to it: what it says before that may be right, and no"
                " more",
            )
            for problem in compared.problems
        ),
        not_evaluated=()
        if gap is None
        else (
            NotEvaluated(
                check=_CHECK,
                object="the TPM's counter",
                why=f"whether an older ledger was put in its place: {gap.message}",
                hint=gap.hint or "",
            ),
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
