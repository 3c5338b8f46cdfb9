# SPDX-License-Identifier: Apache-2.0
"""The options that say which /etc is meant, and what is part of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli.params import PATH

home_option = click.option(
    "--home",
    "homes",
    multiple=True,
    metavar="DIR",
    help="Make the dotfiles of this home part of it, such as /root.",
)
store_option = click.option(
    "--store",
    type=PATH,
    metavar="DIR",
    help="Another content store.  [default: var/lib/verity/store below the root]",
)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--root and --store."""
    command = store_option(command)
    return click.option(
        "--root",
        type=PATH,
        default=Path("/"),
        show_default=True,
        metavar="DIR",
        help="The root of the host that /etc is of.",
    )(command)
