# SPDX-License-Identifier: Apache-2.0
"""What became of each attack, as a table of text; made from what the tests recorded.

It judges nothing: a test that failed has recorded what happened, and has failed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from .attack import Outcome

COLUMNS = ("off", "observe", "sealed", "user")

Record = Callable[[str, object], None]


def record(into: Record, column: str, outcome: Outcome) -> None:
    """Keep an outcome with the test that had it (pytest's record_property)."""
    reasons = sorted({one.reason for one in outcome.logged})
    went = "ran" if outcome.succeeded else "refused"
    if outcome.attack.residual and column == "sealed":
        went = f"residual, {went}"
    into("attack", str(outcome.attack))
    into("column", column)
    into("outcome", " ".join([went, *(f"({reason})" for reason in reasons)]))


def table(records: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The lines; none without records. An outcome that wasn't tried is `-`."""
    rows: dict[str, dict[str, str]] = {}
    for one in records:
        row = rows.setdefault(str(one["attack"]), {})
        row[str(one["column"])] = str(one["outcome"])
    if not rows:
        return
    cells: list[tuple[str, ...]] = [("attack", *COLUMNS)]
    for name in sorted(rows, key=by_group):
        cells.append((name, *(rows[name].get(column, "-") for column in COLUMNS)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()


def by_group(name: str) -> tuple[int, str]:
    """The order of the rows, by the number that a row's name starts with."""
    number, _, rest = name.partition("-")
    return int(number), rest
