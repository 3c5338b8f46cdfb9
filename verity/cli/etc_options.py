# SPDX-License-Identifier: Apache-2.0
"""The options that say which /etc is meant, and what is part of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli import signing_options
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


def signed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is signed as /etc: `etc sign` and `sign prepare etc` take the same."""
    for option in (
        place_options,
        signing_options.expires_option,
        signing_options.issued_option,
        signing_options.days_option,
        home_option,
        signing_options.serial_option,
        signing_options.stream_option,
    ):
        command = option(command)
    return command
