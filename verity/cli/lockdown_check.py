# SPDX-License-Identifier: Apache-2.0
"""verity lockdown check: the arming proof, for people and for what arms a host."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click

from verity.cli import audit_roots, output
from verity.cli.audit import Steps
from verity.cli.params import PATH
from verity.cli.trust_options import key_options
from verity.values.findings import Report
from verity.verbs import arming_drill, lockdown_check
from verity.verbs.audit_documents import Asked

_SHOWN = 10


@click.command(epilog="Example: verity lockdown check --all")
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="A tree to prove, in the place of the running host.  [default: /]",
)
@click.option(
    "--boots",
    type=click.IntRange(0, 16),
    default=1,
    show_default=True,
    help="How many of the last boots must have nothing left that was refused.",
)
@click.option(
    "--all", "everything", is_flag=True, help=f"Name all findings, not {_SHOWN} of each kind."
)
@key_options
@output.json_option
def check(
    root: Path,
    boots: int,
    everything: bool,
    keys: tuple[Path, ...],
    threshold: int,
    as_json: bool,
) -> int:
    """Prove that a host can be sealed, before it is.

    Everything that it runs as privileged, and every guarded file, must be allowed by the boot
    bundle that it has. From the kernel's command line and the initramfs to logins, cron, udev, NSS,
    PAM and sshd it follows what leads to privileged code, and names for each finding the file, who
    reaches it, and how to sign or exclude it. What the gate refused in the last boots, or would
    have, counts, too.

    Of a tree (--root) the keyrings and pins are those that you name, or of the host that runs this.

    Exit status 0 only if nothing is open; 1 with a finding; 3 if something could not be looked at.
    """
    with Steps() as steps:
        proof = lockdown_check.check(
            Asked(root=root, roots=audit_roots.roots(keys, threshold), progress=steps.update),
            clock=int(time.time()),
            boots=boots,
            drills=lambda: arming_drill.practised(root),
        )
    report = proof.report
    if as_json or everything:
        return output.report(report, as_json=as_json, good=_good)
    shown, left = _bounded(report)
    status = output.report(shown, as_json=False, good=_good)
    for kind, number in left.items():
        output.line(f"and {number} more of {kind}: --all names them")
    return status


def _good() -> str:
    return "nothing is open: this host can be sealed with the boot bundle that it has"


def _bounded(report: Report) -> tuple[Report, dict[str, int]]:
    """The first findings of each kind, and how many more there are of it."""
    seen: Counter[str] = Counter()
    kept = []
    for one in report.findings:
        seen[one.check] += 1
        if seen[one.check] <= _SHOWN:
            kept.append(one)
    left = {kind: number - _SHOWN for kind, number in seen.items() if number > _SHOWN}
    return replace(report, findings=tuple(kept)), left
