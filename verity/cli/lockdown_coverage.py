# SPDX-License-Identifier: Apache-2.0
"""What each back end does about each attack, for ``lockdown status`` and its like: in short, or
line by line."""

from collections.abc import Sequence

import click

from verity.cli import output
from verity.trust import coverage
from verity.trust.coverage import Cover

option = click.option(
    "--coverage",
    "show_coverage",
    is_flag=True,
    help="A line for each attack, 1 to 27, and back end: what becomes of it, and why.",
)


def show(name: str, covers: Sequence[Cover], *, whole: bool) -> None:
    """The numbers of the attacks by what becomes of them, or each by itself."""
    if not whole:
        parts = [
            f"{stance} {coverage.ranges(found)}"
            for stance, found in coverage.by_stance(covers).items()
        ]
        output.line(f"attacks {name}: {'; '.join(parts)}")
        return
    for one in covers:
        why = f" ({output.one_line(one.why)})" if one.why else ""
        output.line(f"attack {one.number} {name}: {one.stance}: {one.title}{why}")


def each(name: str, covers: Sequence[Cover]) -> None:
    """A record for each attack."""
    for one in covers:
        fields = {
            "backend": name,
            "number": one.number,
            "title": one.title,
            "stance": one.stance.value,
            "why": one.why,
        }
        output.record("coverage", fields)


def numbers(covers: Sequence[Cover]) -> dict[str, list[int]]:
    """For JSON: the numbers of the attacks by what becomes of them."""
    return {stance.value: list(found) for stance, found in coverage.by_stance(covers).items()}
