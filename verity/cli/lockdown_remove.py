# SPDX-License-Identifier: Apache-2.0
"""verity lockdown remove: take away what `lockdown init` has made; which host that is."""

from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.verbs import lockdown_remove

root_option = click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The root of the host.  [default: /]",
)


@click.command(epilog="Example: verity lockdown remove --plan")
@click.option("--plan", is_flag=True, help="Say what would go, and change nothing.")
@root_option
@output.json_option
def remove(plan: bool, root: Path, as_json: bool) -> int:
    """Take away what `lockdown init` has made, so that no later boot loads a gate.

    The boot bundle goes first. Refused while the gate is sealed. fs-verity stays on the files that
    have it.
    """
    if plan:
        for path in lockdown_remove.what(root):
            output.line(path)
        return 0
    loaded = lockdown_remove.remove(root)
    if as_json:
        output.record("removed", {"gate_loaded": loaded})
        return 0
    output.line("removed: no later boot loads a gate")
    if loaded:
        output.line(
            "next      the gate that observes now goes with a reboot, or with"
            " `umount /sys/fs/bpf/verity`"
        )
    return 0
