# SPDX-License-Identifier: Apache-2.0
"""verity lockdown stage: what a sealed host boots from next, put into place by that boot."""

from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.verbs import lockdown_stage as verb


@click.command(epilog="Example: verity lockdown stage --bundle new.bundle --boot update/boot")
@click.option(
    "--bundle",
    type=PATH,
    required=True,
    metavar="FILE",
    help="The boot bundle that counts from the next boot on, as `lockdown bundle` writes it.",
)
@click.option(
    "--boot",
    type=PATH,
    metavar="DIR",
    help="What goes to /boot, by the names that it has there.  [default: nothing]",
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The host.  [default: /]",
)
@click.option("--replace", is_flag=True, help="Forget what is staged already.")
@output.json_option
def stage(bundle: Path, boot: Path | None, root: Path, replace: bool, as_json: bool) -> int:
    """Have the next boot put a boot bundle, a kernel and an initramfs into place. As root.

    Each file must be granted by the bundle at its path in /boot. The initramfs of the next boot has
    the gate verify all of it, puts it into place or refuses it, and reboots once.
    """
    update = verb.examine(bundle, boot, root)
    for note in update.notes:
        output.message(output.one_line(note))
    verb.stage(update, root, replace=replace)
    for file in update.files:
        if as_json:
            fields = {"digest": str(file.digest), "bytes": file.size}
            output.record("staged", {**output.path_fields(file.path, "path"), **fields})
        else:
            output.line(f"{output.shown(file.path)}  {file.digest} ({file.size} bytes)")
    if as_json:
        output.record("bundle", {"bytes": len(update.bundle)})
    else:
        output.line(f"bundle of {len(update.bundle)} bytes: the next boot puts it into place")
    return 0
