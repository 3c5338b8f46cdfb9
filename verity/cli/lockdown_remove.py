# SPDX-License-Identifier: Apache-2.0
"""verity lockdown remove: take away what `lockdown init` has made; which host that is."""

import os
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
    have it. An initramfs that was made under a seal enters no root without a gate: it is named, and
    to be made anew before the reboot.
    """
    if plan:
        for path in lockdown_remove.what(root):
            output.line(path)
        _warn(lockdown_remove.sealed_initramfs(root))
        return 0
    done = lockdown_remove.remove(root)
    _warn(done.sealed)
    if as_json:
        names = [str(path) for path in done.sealed]
        output.record("removed", {"gate_loaded": done.gate_loaded, "sealed_initramfs": names})
        return 0
    output.line("removed: no later boot loads a gate")
    if done.gate_loaded:
        output.line(
            "next      the gate that observes now goes with a reboot, or with"
            " `umount /sys/fs/bpf/verity`"
        )
    return 0


def _warn(sealed: tuple[Path, ...]) -> None:
    if sealed:
        names = ", ".join(output.shown(os.fsencode(path)) for path in sealed)
        output.message(
            f"warning: {names}: made under a seal (or not readable): without a gate it stops in its"
            " shell. Make it anew before the reboot: update-initramfs -u -k all, or dracut"
            " --regenerate-all --force"
        )
