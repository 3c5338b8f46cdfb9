# SPDX-License-Identifier: Apache-2.0
"""lockdown status: what each back end does about each attack, in short or line by line."""

from collections.abc import Sequence
from typing import Any

import click

from verity.cli import output
from verity.trust import coverage
from verity.verbs.lockdown import Backend

option = click.option(
    "--coverage",
    "show_coverage",
    is_flag=True,
    help="A line for each attack, 1 to 27, and back end: what becomes of it, and why.",
)


def show(backend: Backend, *, whole: bool) -> None:
    """The numbers of the attacks by what becomes of them, or each by itself."""
    if not whole:
        parts = [
            f"{stance} {coverage.ranges(numbers)}"
            for stance, numbers in coverage.by_stance(backend.covers).items()
        ]
        output.line(f"attacks {backend.name}: {'; '.join(parts)}")
        return
    for one in backend.covers:
        why = f" ({output.one_line(one.why)})" if one.why else ""
        output.line(f"attack {one.number} {backend.name}: {one.stance}: {one.title}{why}")


def records(backends: Sequence[Backend]) -> None:
    """A record for each attack and back end."""
    for backend in backends:
        for one in backend.covers:
            fields = {
                "backend": backend.name,
                "number": one.number,
                "title": one.title,
                "stance": one.stance.value,
                "why": one.why,
            }
            output.record("coverage", fields)


def backend_fields(backend: Backend) -> dict[str, Any]:
    """A back end for JSON, with the numbers of the attacks by what becomes of them."""
    numbers = coverage.by_stance(backend.covers)
    return {
        "name": backend.name,
        "available": backend.available,
        "detail": backend.detail,
        "hint": backend.hint,
        "attacks": {stance.value: list(found) for stance, found in numbers.items()},
    }
