# SPDX-License-Identifier: Apache-2.0
"""What a new version of a keyring would end: said, and agreed to, before it is made."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.formats.keyring import Keyring
from verity.values.errors import CallerError
from verity.verbs import keyring_effect
from verity.verbs.keyring_effect import Looked


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is looked at, and whether to ask."""
    for option in (
        click.option("--yes", is_flag=True, help="Revoke without being asked, whatever it ends."),
        click.option(
            "--root",
            type=PATH,
            default=Path("/"),
            metavar="DIR",
            help="The host whose signed /etc, floors and boot bundle are looked at.  [default: /]",
        ),
        click.option(
            "--check-against",
            "against",
            type=PATH,
            multiple=True,
            metavar="FILE|DIR",
            help="A signed statement, a manifest, or what `extension sign` wrote: say whether this"
            " ends it.  [default: what the host of --root has]",
        ),
    ):
        command = option(command)
    return command


def agreed(
    before: Keyring,
    after: Keyring,
    against: tuple[Path, ...],
    root: Path,
    *,
    yes: bool,
    as_json: bool,
) -> bool:
    """Say what would be accepted no longer, and ask if it is anything."""
    if against:
        looked = Looked(found=tuple(map(keyring_effect.of_path, against)), gaps=())
    else:
        looked = keyring_effect.of_host(root)
    for gap in looked.gaps:
        output.message(f"note: not looked at: {gap}")
    ended = keyring_effect.ended(before, after, looked.found)
    for text in ended:
        output.message(f"ends: {text}")
    if yes or not ended:
        return True
    if as_json or not sys.stdin.isatty():
        raise CallerError(
            "not-confirmed",
            f"{len(ended)} of {len(looked.found)} would no longer be accepted, and "
            + ("--json asks nothing" if as_json else "there is no terminal to ask on"),
            hint="sign anew what is to go on counting, then say --yes",
        )
    return click.confirm("Revoke it all the same?", err=True)
