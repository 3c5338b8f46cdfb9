# SPDX-License-Identifier: Apache-2.0
"""docs/audit-checks.md has each check of these areas as the program has it, and no other."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from verity.verbs import audit_posture, audit_running

_ROW = re.compile(r"\| `([a-z-]+)` \| ([a-z]+) \| (.+?) \| (.+) \|")


def rows(area: str) -> list[tuple[str, ...]]:
    """Id, severity, title and remedy of a section's table."""
    text = Path("docs/audit-checks.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {area}\n")[2].partition("\n## ")[0]
    return [match.groups() for match in map(_ROW.fullmatch, section.splitlines()) if match]


@pytest.mark.parametrize("module", [audit_running, audit_posture])
def test_the_table_is_that_of_the_program(module: ModuleType) -> None:
    (area,) = {check.area.value for check in module.CHECKS}
    found = rows(area)
    expected = [(check.id, check.severity.value, check.title) for check in module.CHECKS]
    assert [row[:3] for row in found] == expected
    assert all(row[3].endswith((".", ")")) for row in found)
    assert len({check.id for check in module.CHECKS}) == len(module.CHECKS)
