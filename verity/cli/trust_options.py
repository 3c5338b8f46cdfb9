# SPDX-License-Identifier: Apache-2.0
"""The options that every verb on a signed commit shares: which repository, whose signature."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli import key_opening
from verity.cli.params import PATH as PATH
from verity.formats.grants import Party, Role
from verity.trust.trusted import TrustedSet

repo_option = click.option(
    "--repo",
    "repo",
    type=PATH,
    required=True,
    metavar="REPO",
    help="The OSTree repository.",
)


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--key and --threshold: the public keys that count, named by the caller."""
    return _key_options(command, required=True)


def optional_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that asks for them by itself."""
    return _key_options(command, required=False)


def _key_options(command: Callable[..., Any], *, required: bool) -> Callable[..., Any]:
    command = key_opening.example_option(command)
    command = click.option(
        "--threshold",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="How many of the keys must have signed.",
    )(command)
    return click.option(
        "--key",
        "keys",
        type=PATH,
        multiple=True,
        required=required,
        metavar="FILE.pub",
        help="A public key that may sign; repeat it for more.",
    )(command)


def trusted_set(keys: tuple[Path, ...], threshold: int) -> TrustedSet:
    """The keys of the role os, each its own owner."""
    return TrustedSet.of_keys(
        [key_opening.public_key(path) for path in keys],
        party=Party.VENDOR,
        role=Role.OS,
        threshold=threshold,
        allow_example_keys=True,  # public_key has decided
    )
