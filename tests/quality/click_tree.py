# SPDX-License-Identifier: Apache-2.0
"""The command line as data: every command, and whether a line of shell is one of ours."""

import shlex
from collections.abc import Iterator

import click

from verity.cli.main import verity


def commands() -> dict[str, click.Command]:
    """Every command and group by its name, `verity` itself included."""
    return dict(_below("verity", verity))


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for verb in command.list_commands(context):
            found = command.get_command(context, verb)
            assert found is not None, f"{name} {verb}"
            yield from _below(f"{name} {verb}", found)


def parse(line: str) -> None:
    """Parse `verity ...` as the program would, running nothing; click.UsageError if it can't."""
    words = shlex.split(line, comments=True)
    assert words[0] == "verity", line
    context: click.Context | None = None
    command: click.Command = verity
    rest = words[1:]
    while True:
        try:
            context = command.make_context(
                command.name, list(rest), parent=context, ignore_unknown_options=False
            )
        except click.exceptions.Exit:
            return  # --help, --version
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
