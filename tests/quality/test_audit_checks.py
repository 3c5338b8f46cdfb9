# SPDX-License-Identifier: Apache-2.0
"""docs/audit-checks.md has each check of every area as the program has it, and no other."""

import importlib
import re
from pathlib import Path

import pytest

from verity.values.audit import Area
from verity.verbs.audit_run import AREAS

_ROW = re.compile(r"\| `([a-z-]+)` \| ([a-z]+) \| ([^|]+) \|(?: ([^|]+) \|)?")
_WITH_REMEDY = (Area.RUNNING, Area.POSTURE)


def rows(area: str) -> list[tuple[str, ...]]:
    """Id, severity, title and remedy of a section's table."""
    text = Path("docs/audit-checks.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {area}\n")[2].partition("\n## ")[0]
    return [match.groups() for match in map(_ROW.fullmatch, section.splitlines()) if match]


@pytest.mark.parametrize("area", AREAS)
def test_the_table_is_that_of_the_program(area: Area) -> None:
    checks = importlib.import_module(AREAS[area]).CHECKS
    assert {check.area for check in checks} <= {area}
    found = rows(area)
    assert [row[:3] for row in found] == [
        (check.id, check.severity.value, check.title) for check in checks
    ]
    if area in _WITH_REMEDY:
        assert all(row[3] and row[3].endswith((".", ")")) for row in found)


def test_no_two_areas_have_a_check_of_the_same_name() -> None:
    names = [check.id for name in AREAS.values() for check in importlib.import_module(name).CHECKS]
    assert len(names) == len(set(names))
