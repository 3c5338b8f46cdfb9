# SPDX-License-Identifier: Apache-2.0
"""The gate's object: found, missing with the build's reason, missing without one."""

from pathlib import Path

from verity.ports.gate_object import GateLoader, GateObject, Missing, find, find_loader


def test_found_in_the_second_place(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "gate.bpf.o").touch()
    assert find([tmp_path / "a", tmp_path / "b"]) == GateObject(tmp_path / "b" / "gate.bpf.o")


def test_the_reason_of_the_build(tmp_path: Path) -> None:
    (tmp_path / "gate.bpf.missing").write_text("clang was not\nfound\n", encoding="utf-8")
    found = find([tmp_path])
    assert isinstance(found, Missing)
    assert found.reason == "clang was not found"
    assert "clang" in found.hint


def test_the_object_wins_over_an_old_reason(tmp_path: Path) -> None:
    (tmp_path / "gate.bpf.missing").touch()
    (tmp_path / "gate.bpf.o").touch()
    assert find([tmp_path]) == GateObject(tmp_path / "gate.bpf.o")


def test_nothing_there(tmp_path: Path) -> None:
    found = find([tmp_path])
    assert isinstance(found, Missing)
    assert str(tmp_path) in found.reason


def test_this_installation_answers() -> None:
    found = find()
    assert isinstance(found, Missing) or found.path.is_file()


def test_the_loader(tmp_path: Path) -> None:
    found = find_loader([tmp_path])
    assert isinstance(found, Missing)
    assert "verity-load" in found.reason
    (tmp_path / "verity-load.missing").write_text("libbpf.a was not found\n", encoding="utf-8")
    found = find_loader([tmp_path])
    assert isinstance(found, Missing)
    assert found.reason == "libbpf.a was not found"
    assert "libbpf-dev" in found.hint
    (tmp_path / "verity-load").touch()
    assert find_loader([tmp_path]) == GateLoader(tmp_path / "verity-load")
