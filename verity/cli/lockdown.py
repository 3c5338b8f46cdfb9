# SPDX-License-Identifier: Apache-2.0
"""verity lockdown: the group; its commands are in modules of their own."""

import click

from verity.cli import lockdown_make


@click.group()
def lockdown() -> None:
    """Make what the kernel gate is given at boot."""


for _command in (lockdown_make.pin, lockdown_make.bundle):
    lockdown.add_command(_command)
