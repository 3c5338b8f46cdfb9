# SPDX-License-Identifier: Apache-2.0
"""What the gate's texts say, where they are below a root."""

from pathlib import Path

from verity.ports import gate_files


def test_tasks_that_run_a_granted_script(tmp_path: Path) -> None:
    assert gate_files.script_tasks(tmp_path) == frozenset()
    path = tmp_path / gate_files.SCRIPTS
    path.parent.mkdir(parents=True)
    path.write_text("1\n4194304\n")
    assert gate_files.script_tasks(tmp_path) == {1, 4194304}
