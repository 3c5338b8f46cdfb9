# SPDX-License-Identifier: Apache-2.0
"""The program's own files: which, with which digest, and one digest for all of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from verity.formats.fsverity import digest_bytes
from verity.ports import tool


def package(top: Path, compiled: str = "one.pyc") -> Path:
    (top / "verity/__pycache__").mkdir(parents=True)
    (top / "verity/__init__.py").write_bytes(b"one")
    (top / "verity/empty.py").touch()
    (top / "verity/link.py").symlink_to("__init__.py")
    (top / "verity/__pycache__" / compiled).touch()
    return top / "verity/__init__.py"


def at(monkeypatch: pytest.MonkeyPatch, place: Path) -> tuple[tool.ToolFile, ...]:
    monkeypatch.setattr(tool, "verity", SimpleNamespace(__file__=str(place)))
    return tool.files()


def test_each_file_with_its_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link is what it leads to; of what is compiled only the kernel's word would count."""
    found = at(monkeypatch, package(tmp_path))
    ours = [one for one in found if one.path.startswith(str(tmp_path))]
    digests = [(Path(one.path).name, one.digest) for one in ours]
    one, empty = digest_bytes(b"one").value, digest_bytes(b"").value
    assert sorted(digests) == [
        ("__init__.py", one),
        ("__init__.py", one),
        ("empty.py", empty),
        ("one.pyc", b""),
    ]
    assert len(found) > len(ours)  # the interpreter, too


def test_the_same_program_has_the_same_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = tool.digest(at(monkeypatch, package(tmp_path / "here")))
    there = tool.digest(at(monkeypatch, package(tmp_path / "there", compiled="by-another.pyc")))
    assert here == there
    (tmp_path / "there/verity/empty.py").write_text("more")
    assert tool.digest(at(monkeypatch, tmp_path / "there/verity/__init__.py")) != here
