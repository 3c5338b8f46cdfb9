# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/comparison.md, from what test_peers.py and test_attacks.py recorded.

    build/venv/bin/python -m tests.attacks.comparison

A run of the tests keeps what it recorded in build/comparison.json, a later run what it tried anew;
this writes it between the document's marks. Nothing in the tables is typed, and nothing is judged.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .rows import RESIDUAL, ROWS
from .table import Record, by_group

ITSELF = "itself"
"""In the place of a group's number: what is done to the mechanism itself."""

_BY_A_USER = ", user"
VERITY, VERITY_USER = "verity", f"verity{_BY_A_USER}"
COLUMNS = (
    VERITY,
    "fapolicyd",
    "fapolicyd hardened",
    "IMA",
    VERITY_USER,
    "fapolicyd, user",
    "fapolicyd hardened, user",
    "IMA, user",
)
ATTACKS = (*ROWS, *RESIDUAL)
BY_A_USER = tuple(row for row in ROWS if row.ordinary and not row.by)
"""What the first columns are about, and what the columns with "user"."""

_ROOT = Path(__file__).parents[2]
_KEPT = _ROOT / "build/comparison.json"
_DOCUMENT = _ROOT / "docs/comparison.md"
_BEGIN, _END = "<!-- made by tests/attacks/comparison.py -->", "<!-- to here -->"
# What table.py records of the gate, and the column that it is here.
_OURS = {"sealed": VERITY, "user": VERITY_USER}
_WORDS = {
    "refused": "stopped",
    "ran": "not stopped",
    "residual, ran": "not stopped (residual)",
}

Kept = dict[str, dict[str, str]]


def note(into: Record, attack: str, column: str, outcome: str) -> None:
    """Keep what became of an attack with the test that tried it (pytest's record_property)."""
    into("compared", (attack, column, outcome))


def keep(
    properties: Iterable[tuple[str, object]],
    records: Sequence[Mapping[str, object]],
    path: Path = _KEPT,
) -> None:
    """Write down what a run recorded, beside what earlier runs did; nothing without a peer in it.

    `properties` are all of the run, `records` those of the gate by table.py.
    """
    found = [value for name, value in properties if name == "compared"]
    if not found:
        return
    kept: Kept = json.loads(path.read_text()) if path.exists() else {}
    for one in records:
        if column := _OURS.get(str(one["column"])):
            went, bracket, reasons = str(one["outcome"]).partition(" (")
            words = f"{_WORDS.get(went, went)}{bracket}{reasons}"
            kept.setdefault(str(one["attack"]), {})[column] = words
    for value in found:
        if isinstance(value, (list, tuple)):
            attack, column, outcome = map(str, value)
            kept.setdefault(attack, {})[column] = outcome
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def tables(
    kept: Kept,
    attacks: Sequence[str] = tuple(map(str, ATTACKS)),
    by_a_user: Sequence[str] = tuple(map(str, BY_A_USER)),
) -> Iterator[str]:
    """The document's lines: how many are stopped in each line of the list of attacks, each attack,
    and what is done to the peers. What is kept of attacks that there are no longer isn't shown."""
    rows = {name: kept[name] for name in sorted(attacks, key=by_group) if name in kept}
    yield from _markdown(("line of the list", *COLUMNS), _counts(rows, attacks, by_a_user))
    yield ""
    yield from _markdown(("attack", *COLUMNS), rows.items())
    yield ""
    others = sorted(name for name in kept if name.startswith(ITSELF))
    short = [(name.removeprefix(f"{ITSELF}-"), kept[name]) for name in others]
    yield from _markdown(("on the mechanism itself", *COLUMNS[:4]), short)


def _counts(
    rows: Kept, attacks: Sequence[str], by_a_user: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Of each line of the list, and of all: how many are stopped of how many that were tried."""
    lines: dict[int, Kept] = {}
    for name, row in rows.items():
        lines.setdefault(by_group(name)[0], {})[name] = row
    for number, members in lines.items():
        yield str(number), _stopped(members)
    yield "all", _stopped(rows)
    tried = {}
    for column in COLUMNS:
        there = by_a_user if column.endswith(_BY_A_USER) else attacks
        tried[column] = f"{sum(column in row for row in rows.values())} of {len(there)}"
    yield "attacks tried", tried


def _stopped(rows: Kept) -> dict[str, str]:
    counted = {}
    for column in COLUMNS:
        tried = [row[column] for row in rows.values() if column in row]
        if tried:
            counted[column] = f"{sum(one.startswith('stopped') for one in tried)} of {len(tried)}"
    return counted


def _markdown(heads: Sequence[str], rows: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, row in rows:
        yield f"| {' | '.join((name, *(row.get(head, '-') for head in heads[1:])))} |"


def main() -> None:
    """Put the tables into the document."""
    text = _DOCUMENT.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    git = ["git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    day = datetime.datetime.fromtimestamp(_KEPT.stat().st_mtime, datetime.UTC).date()
    made = "\n".join(tables(json.loads(_KEPT.read_text())))
    head = f"Run on {day}, verity at commit {commit}."
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n{head}\n\n{made}\n{_END}{after}")


if __name__ == "__main__":
    main()
