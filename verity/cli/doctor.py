# SPDX-License-Identifier: Apache-2.0
"""verity doctor: a line for each ability of the host."""

from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.verbs import doctor as verb
from verity.verbs.ability import Answer


@click.command(epilog="Example: verity doctor --try /var/lib")
@click.option(
    "--try",
    "try_in",
    type=PATH,
    metavar="DIR",
    help="Try fs-verity on a temporary file in DIR.",
)
@output.json_option
def doctor(try_in: Path | None, as_json: bool) -> int:
    """Say what this host can do: fs-verity, what the gate needs, whether it's loaded, boot level.

    Exit status 3 if fs-verity, which everything rests on, is missing or unknown.
    """
    abilities = verb.examine(try_in=try_in)
    for ability in abilities:
        if as_json:
            output.record(
                "ability", {name: getattr(ability, name) for name in ability.__dataclass_fields__}
            )
            continue
        output.line(f"{ability.answer:8} {ability.name}: {output.one_line(ability.detail)}")
        if ability.hint and ability.answer is not Answer.YES:
            output.line(f"         hint: {output.one_line(ability.hint)}")
    tried = [ability for ability in abilities if ability.required]
    # A trial answers what the kernel's own files may leave open.
    works = tried[-1].answer is Answer.YES
    return 0 if works else 3
