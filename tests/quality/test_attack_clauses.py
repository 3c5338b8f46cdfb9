# SPDX-License-Identifier: Apache-2.0
"""docs/attacks.md: every clause of the list of attacks is shown by something that exists.

It holds the document against itself and against the names of rows and tests. Whether a row shows
what its clause says is for its reader to judge.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.attacks.attack import Attack
from tests.attacks.rows import RESIDUAL, ROWS, WORKING, acts, itself, tracing

ROOT = Path(__file__).parents[2]
GROUPS = range(1, 28)
# What joins the clauses of a line, and belongs to none.
_BETWEEN = re.compile(r"[\s,;:()]|\band\b|\bor\b")
_NAME = re.compile(r"`([^`]+)`")
_ID = re.compile(r"\d+-\S+")
_OTHERWISE = ("**the kernel**: ", "**not yet**, issue ", "**residual**: ")
_ITSELF = (
    *itself.OBJECTS,
    *itself.PINS,
    *itself.KEYS,
    *itself.FOREIGN,
    *itself.FTRACE,
    itself.LOCKDOWN,
)
_ATTACKS = (*ROWS, *RESIDUAL, *_ITSELF, *acts.ROWS, *tracing.BETWEEN)


def sections() -> dict[int, tuple[str, dict[str, str]]]:
    """Of each group: its line, and what shows each of its clauses."""
    found = {}
    for part in (ROOT / "docs/attacks.md").read_text().split("\n### Group ")[1:]:
        number, _, body = part.partition("\n")
        lines = body.split("\n## ")[0].splitlines()
        text = " ".join(line[2:] for line in lines if line.startswith("> "))
        table = [line.strip("|").split(" | ") for line in lines if line.startswith("| ")]
        rows = [(clause.strip(), shown.strip()) for clause, shown in table[1:]]
        assert len(dict(rows)) == len(rows), f"group {number}: a clause is there twice"
        found[int(number)] = text, dict(rows)
    return found


SECTIONS = sections()
SHOWN = [
    pytest.param(group, clause, shown, id=f"{group}-{clause}"[:60])
    for group, (_, clauses) in SECTIONS.items()
    for clause, shown in clauses.items()
]


def ids(attacks: tuple[Attack, ...]) -> set[str]:
    return {str(one) for one in attacks}


def named() -> set[str]:
    """Every row that the document names."""
    cells = [shown for _, clauses in SECTIONS.values() for shown in clauses.values()]
    return {name for cell in cells for name in _NAME.findall(cell) if _ID.fullmatch(name)}


@cache
def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def exists(name: str) -> bool:
    path, separator, function = name.partition("::")
    if not separator:
        return name in ids(_ATTACKS)
    return (ROOT / path).is_file() and function in functions_in(ROOT / path)


def test_every_group_is_there() -> None:
    assert list(SECTIONS) == list(GROUPS)


@pytest.mark.parametrize("group", SECTIONS)
def test_no_word_is_without_a_clause(group: int) -> None:
    text, clauses = SECTIONS[group]
    for clause in sorted(clauses, key=len, reverse=True):
        assert clause in text, clause
        text = text.replace(clause, "(", 1)
    assert not _BETWEEN.sub("", text)


@pytest.mark.parametrize(("group", "clause", "shown"), SHOWN)
def test_what_shows_a_clause_exists(group: int, clause: str, shown: str) -> None:
    names = [name for name in _NAME.findall(shown) if _ID.fullmatch(name) or "::" in name]
    assert [name for name in names if not exists(name)] == []
    assert names or any(word in shown for word in _OTHERWISE)


def test_every_row_stands_there() -> None:
    assert ids(_ATTACKS) - named() == set()


def test_rows_have_names_of_their_own() -> None:
    assert len(ids(_ATTACKS)) == len(_ATTACKS)


def test_residual_is_said_of_residuals() -> None:
    """Those that stand behind the word, to the end of the cell."""
    cells = [shown for _, clauses in SECTIONS.values() for shown in clauses.values()]
    said = {
        name
        for cell in cells
        for name in _NAME.findall(cell.partition("**residual**")[2])
        if _ID.fullmatch(name)
    }
    assert said == ids(RESIDUAL)


@pytest.mark.parametrize("row", RESIDUAL, ids=str)
def test_every_residual_is_named_in_the_threat_model(row: Attack) -> None:
    model = " ".join((ROOT / "docs/threat-model.md").read_text().split())
    assert row.residual in model
    assert not row.reason


def test_what_is_no_residual_says_why_it_is_refused() -> None:
    """Of the gate's own, some are refused by the kernel before it asks."""
    assert [str(row) for row in ROWS if row.residual or not row.reason] == []
    assert [str(row) for row in WORKING if row.residual or row.reason] == []
