# SPDX-License-Identifier: Apache-2.0
"""A group whose verbs are imported when they are called: start-up time is a feature.

Its table says, for the list of verbs, what the help of each begins with; tests hold it to that.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click

_SHORT = 80


class LazyGroup(click.Group):
    """``verbs`` is verb -> (module in verity.cli that has a command of this name, one line).

    Verbs that the group's own module defines come beside them.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, sorted."""
        return sorted({*self.verbs, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        if cmd_name not in self.verbs:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"verity.cli.{self.verbs[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs, those of the table without importing them."""
        lines = {name: one.get_short_help_str(_SHORT) for name, one in self.commands.items()}
        lines |= {name: line for name, (_, line) in self.verbs.items()}
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(lines.items()))
