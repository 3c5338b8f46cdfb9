# SPDX-License-Identifier: Apache-2.0
"""The options that a digest depends on, the type of paths, and how a file that failed is reported.

Starting a command costs what it imports: nothing here needs keys.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from verity.cli import output
from verity.values.digest import HashAlgorithm, VerityParams
from verity.values.errors import CallerError, VerityError

PATH = click.Path(path_type=Path, readable=False)
"""A path as text: whether it can be read is found out by opening it, with our own errors."""


class Once(click.Option):
    """An option with a value that may stand there once: click lets the last one win, silently."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have every value kept until ``consume_value`` has counted them."""
        self.multiple = True
        super().add_to_parser(parser, ctx)
        self.multiple = False

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, click.core.ParameterSource]:
        """The one value, or CallerError."""
        values = opts.get(self.name or "", [])
        if len(values) > 1:
            raise CallerError(
                "bad-arguments",
                f"{self.opts[0]} {values[1]}: a second one, expected it once at most",
            )
        return super().consume_value(ctx, {**opts, self.name or "": values[0]} if values else opts)


def params_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--hash-alg, --block-size, --salt, as in fsverity-utils."""
    for option in (
        click.option("--salt", default="", metavar="HEX", help="Salt, up to 32 bytes in hex."),
        click.option(
            "--block-size",
            type=int,
            default=4096,
            show_default=True,
            help="Merkle tree block size.",
        ),
        click.option(
            "--hash-alg",
            type=click.Choice([algorithm.value for algorithm in HashAlgorithm]),
            default="sha256",
            show_default=True,
            help="Hash algorithm.",
        ),
    ):
        command = option(command)
    return command


def parse_params(hash_alg: str, block_size: int, salt: str) -> VerityParams:
    """What those options say."""
    try:
        value = bytes.fromhex(salt)
    except ValueError as error:
        raise CallerError(
            "bad-salt",
            f"--salt: {salt[:80]!r} is not hexadecimal",
            hint="two hex digits for each byte, such as 00ff",
        ) from error
    return VerityParams(algorithm=HashAlgorithm(hash_alg), block_size=block_size, salt=value)


def worse(one: int, other: int) -> int:
    """The exit status of two: a finding (1) wins over what could not be checked (3)."""
    return min((status for status in (one, other) if status), default=0)


def failed(path: str, problem: VerityError, *, as_json: bool) -> int:
    """Report one file of a batch, and return the exit status for it."""
    if as_json:
        output.error_record(problem, **output.path_fields(os.fsencode(path)))
    output.error(problem)
    # In a batch a wrong argument is one file among others that could not be checked.
    return 3 if problem.exit_status == 2 else problem.exit_status
