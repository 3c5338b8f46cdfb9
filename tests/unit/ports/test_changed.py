# SPDX-License-Identifier: Apache-2.0
"""What changed in a time: by inode times, within a file system, with what can't be read named."""

from pathlib import Path

from verity.ports import changed
from verity.ports.changed import Change


def found(root: Path, place: bytes, begin: int, end: int) -> set[bytes]:
    items = list(changed.within(root, place, begin, end))
    return {item.path for item in items if isinstance(item, Change)}


def test_what_changed_and_when(tmp_path: Path) -> None:
    (tmp_path / "etc/deep").mkdir(parents=True)
    (tmp_path / "etc/deep/file").touch()
    (tmp_path / "etc/link").symlink_to("/nowhere")
    (tmp_path / "opt").mkdir()
    at = int((tmp_path / "etc/link").lstat().st_ctime)
    whole = {b"/etc", b"/etc/deep", b"/etc/deep/file", b"/etc/link"}
    assert found(tmp_path, b"/etc", at - 60, at + 60) == whole
    assert found(tmp_path, b"/etc/deep/file", at - 60, at + 60) == {b"/etc/deep/file"}
    assert found(tmp_path, b"/etc", at + 2, at + 60) == set()
    assert found(tmp_path, b"/etc", at - 60, at - 30) == set()
    assert found(tmp_path, b"/gone", 0, 2**40) == set()


def test_directories_are_said_to_be_such(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (item,) = changed.within(tmp_path, b"/etc", 0, 2**40)
    assert isinstance(item, Change) and item.is_directory


def test_the_root_itself(tmp_path: Path) -> None:
    """Paths are the host's own: what is done with one below /etc hangs on that."""
    (tmp_path / "file").touch()
    place = bytes(tmp_path)
    assert found(Path("/"), place, 0, 2**40) == {place, place + b"/file"}
