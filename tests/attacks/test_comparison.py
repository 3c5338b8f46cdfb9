# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/comparison.md from what runs recorded; no machine is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .comparison import keep, note, tables


def _compared(*outcomes: tuple[str, str, str]) -> list[tuple[str, object]]:
    properties: list[tuple[str, object]] = []
    for one in outcomes:
        note(lambda name, value: properties.append((name, value)), *one)
    return properties


def _gate(attack: str, column: str, outcome: str) -> dict[str, object]:
    return {"attack": attack, "column": column, "outcome": outcome}


def test_a_later_run_replaces_only_what_it_tried(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    keep(_compared(("1-a", "IMA", "stopped"), ("2-b", "IMA", "stopped")), [], path)
    keep(_compared(("2-b", "IMA", "not stopped")), [], path)
    assert json.loads(path.read_text()) == {
        "1-a": {"IMA": "stopped"},
        "2-b": {"IMA": "not stopped"},
    }


def test_a_run_without_a_peer_keeps_nothing(tmp_path: Path) -> None:
    keep([("attack", "1-a")], [_gate("1-a", "sealed", "refused (no-digest)")], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_what_the_gate_did_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    records = [
        _gate("1-a", "sealed", "refused (no-digest)"),
        _gate("1-a", "user", "ran"),
        _gate("1-a", "off", "ran"),
    ]
    keep(_compared(("1-a", "IMA", "stopped")), records, path)
    assert json.loads(path.read_text())["1-a"] == {
        "IMA": "stopped",
        "verity": "stopped (no-digest)",
        "verity, user": "not stopped",
    }


def test_a_residual_is_not_stopped(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    keep(_compared(("1-a", "IMA", "stopped")), [_gate("1-b", "sealed", "residual, ran")], path)
    assert json.loads(path.read_text())["1-b"] == {"verity": "not stopped (residual)"}


_KEPT = {
    "10-b": {"verity": "stopped (x)", "IMA": "not stopped"},
    "2-a": {"verity": "stopped", "IMA": "stops the signed one, too", "IMA, user": "stopped"},
    "2-gone": {"verity": "not stopped"},
    "itself-killed": {"fapolicyd": "not stopped"},
}


def _rows(attacks: Sequence[str]) -> list[list[str]]:
    lines = tables(_KEPT, attacks, ["2-a"])
    return [line.strip("| ").split(" | ") for line in lines]


def test_the_tables_count_what_was_tried_in_the_order_of_the_groups() -> None:
    _, _, second, tenth, both, tried, *_ = _rows(["10-b", "2-a", "3-untried"])
    assert second[:5] == ["2", "1 of 1", "-", "-", "0 of 1"]
    assert tenth[:5] == ["10", "1 of 1", "-", "-", "0 of 1"]
    assert both == ["all", "2 of 2", "-", "-", "0 of 2", "-", "-", "-", "1 of 1"]
    assert tried[1:6] == ["2 of 3", "0 of 3", "0 of 3", "2 of 3", "0 of 1"]
    assert tried[-1] == "1 of 1"


def test_the_tables_show_only_attacks_that_there_are_and_the_peers_by_themselves() -> None:
    rows = _rows(["10-b", "2-a"])
    names = [row[0] for row in rows]
    assert names[names.index("attack") + 2 :][:3] == ["2-a", "10-b", ""]
    assert "2-gone" not in names
    assert rows[-1] == ["killed", "-", "not stopped", "-", "-"]
