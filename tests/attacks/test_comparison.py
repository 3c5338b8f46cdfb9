# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/comparison.md from what runs recorded; no machine is needed."""

from __future__ import annotations

import json
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


def test_the_tables_count_what_was_tried_and_keep_the_order_of_the_groups() -> None:
    kept = {
        "10-b": {"verity": "stopped (x)", "IMA": "not stopped"},
        "2-a": {"verity": "stopped", "IMA": "stops the signed one, too"},
        "itself-killed": {"fapolicyd": "not stopped"},
    }
    lines = list(tables(kept))
    assert lines[2].startswith("| stopped | 2 of 2 | 0 of 0 | 0 of 0 | 0 of 2 |")
    assert [line.split(" | ")[0] for line in lines[6:8]] == ["| 2-a", "| 10-b"]
    assert lines[-1] == "| killed | - | not stopped | - | - |"
