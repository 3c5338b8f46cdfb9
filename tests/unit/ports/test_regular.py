# SPDX-License-Identifier: Apache-2.0
"""The regular files below a directory: what is found, skipped, left out, and how it is opened."""

import os
from pathlib import Path

import pytest

from tests.cli.program import NOBODY, needs_root
from verity.ports import content
from verity.ports.regular import Below, Found, Gap
from verity.values.errors import CallerError, HostError


def walked(root: Path, seen: set[tuple[int, int]] | None = None) -> tuple[list[str], list[str]]:
    """Labels of files, below the root, and codes of gaps."""
    below = Below(str(root), set() if seen is None else seen)
    try:
        items = list(below.walk())
    finally:
        below.close()
    files = [os.path.relpath(item.label, root) for item in items if isinstance(item, Found)]
    return files, [item.error.code for item in items if isinstance(item, Gap)]


def test_sorted_by_bytes_and_each_inode_once(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9\n")
    for name in ("b/2", "b/1", f"a/{odd}", "c", "B"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    os.link(tmp_path / "b/2", tmp_path / "d")
    (tmp_path / "link").symlink_to("c")
    (tmp_path / "folder-link").symlink_to("b")
    os.mkfifo(tmp_path / "fifo")
    seen: set[tuple[int, int]] = set()
    below = Below(f"{tmp_path}/", seen)
    items = [item for item in below.walk() if isinstance(item, Found)]
    assert [item.label.removeprefix(f"{tmp_path}/") for item in items] == [
        *("B", f"a/{odd}", "b/1", "b/2", "c")
    ]
    assert {item.size for item in items} == {5}
    assert below.skipped == {
        "directories": 3,
        "symlinks": 2,
        "fifos": 1,
        "further names of a file": 1,
    }
    for item in items:
        os.close(content.open_regular_below(item.place, label=item.label))
    below.close()
    # Another root with the same hard link.
    assert walked(tmp_path / "b", seen) == (["1"], [])


def test_a_place_does_not_follow_what_comes_later(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_bytes(b"secret")
    below = Below(str(tmp_path), set())
    place = next(item for item in below.walk() if isinstance(item, Found)).place
    (tmp_path / "in").rename(tmp_path / "was")
    (tmp_path / "in").symlink_to("out")
    with pytest.raises(CallerError) as caught:
        content.open_regular_below(place, label="f")
    assert caught.value.code == "not-a-regular-file"
    (tmp_path / "in").unlink()
    (tmp_path / "in/file").mkdir(parents=True)
    with pytest.raises(CallerError, match="is a directory"):
        content.open_regular_below(place, label="f")
    below.close()


def test_deeper_than_python_recurses(tmp_path: Path) -> None:
    depth = 300
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert walked(tmp_path) == (["d/" * depth + "file"], [])
    assert len(os.listdir("/proc/self/fd")) == before


@needs_root
def test_what_cannot_be_listed_is_a_gap(tmp_path: Path) -> None:
    for name in ("closed/1", "open/2"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    tmp_path.chmod(0o711)
    (tmp_path / "closed").chmod(0o700)
    below = Below(str(tmp_path), set())
    os.seteuid(NOBODY)
    try:
        items = list(below.walk())
    finally:
        os.seteuid(0)
        below.close()
    assert [type(item) for item in items] == [Gap, Found]
    assert isinstance(items[0], Gap)
    assert (items[0].label, items[0].error.code) == (f"{tmp_path}/closed", "no-permission")


def test_roots_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(".")
    for name in ("file", "link"):
        with pytest.raises(CallerError, match="is no directory") as caught:
            Below(str(tmp_path / name), set())
        assert caught.value.hint
    with pytest.raises(HostError) as missing:
        Below(str(tmp_path / "missing"), set())
    assert missing.value.code == "not-found"
