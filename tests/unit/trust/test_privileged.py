# SPDX-License-Identifier: Apache-2.0
"""Who is privileged: each way of being it, and what is none, as in policy/gate/subject.h."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verity.formats.procfs import Task
from verity.trust.privileged import MAX_GROUPS, Rule

NOBODY = (65534,) * 4
TASK = Task(
    name=b"x",
    state="S",
    tracer=0,
    uids=NOBODY,
    gids=NOBODY,
    groups=frozenset({100}),
    inheritable=0,
    permitted=0,
    ambient=0,
    threads=1,
)
RULE = Rule.of(None)
WAKE_ALARM, NET_RAW = 1 << 35, 1 << 13


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(({"uids": tuple(0 if at == n else 65534 for at in range(4))}, "uid 0") for n in range(4)),
        *(
            ({kind: NET_RAW | WAKE_ALARM}, "capabilities 0x2000")
            for kind in ("inheritable", "permitted", "ambient")
        ),
        ({"permitted": 1 << 63}, "capabilities 0x8000000000000000"),
        ({"groups": frozenset({42})}, "group 42"),
        ({"gids": (65534, 65534, 65534, 6)}, "group 6"),
        ({"groups": frozenset(range(1000, 1001 + MAX_GROUPS))}, f"{MAX_GROUPS + 1} groups"),
    ],
)
def test_privileged(changes: dict[str, Any], reason: str) -> None:
    assert RULE.reason(replace(TASK, **changes), initial=True) == reason


@pytest.mark.parametrize("changes", [{}, {"permitted": WAKE_ALARM}, {"gids": (0, 0, 0, 0)}])
def test_not_privileged(changes: dict[str, Any]) -> None:
    assert RULE.reason(replace(TASK, **changes), initial=True) == ""


def test_capabilities_of_another_namespace_count_for_nothing_and_ids_do() -> None:
    assert RULE.reason(replace(TASK, permitted=NET_RAW), initial=False) == ""
    assert RULE.reason(replace(TASK, uids=(0, 0, 0, 0)), initial=False) == "uid 0"
    assert RULE.reason(replace(TASK, groups=frozenset({6})), initial=False) == "group 6"


def test_the_number_is_the_gates() -> None:
    source = Path("policy/gate/subject.h").read_text()
    assert re.findall(r"#define MAX_GROUPS (\d+)", source) == [str(MAX_GROUPS)]
