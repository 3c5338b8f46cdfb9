# SPDX-License-Identifier: Apache-2.0
"""A directory reached without a symlink, and its files: whole or not at all, by their own names."""

import os
import stat
from pathlib import Path, PurePath

import pytest

from verity.ports.folder import Folder
from verity.values.errors import HostError

BELOW = PurePath("var/state")


def test_what_is_missing_is_made_with_its_mode(tmp_path: Path) -> None:
    with Folder.opened(tmp_path, BELOW, create=0o700) as folder:
        folder.replace("one", b"1", mode=0o600)
        folder.replace("one", b"2", mode=0o640)
        assert folder.read("one", max_size=1) == b"2"
        assert folder.names() == ["one"]
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) & 0o700 == 0o700
    assert stat.S_IMODE((tmp_path / BELOW).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / BELOW / "one").stat().st_mode) == 0o640


def test_what_is_not_there_is_not_made_for_a_look(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught, Folder.opened(tmp_path, BELOW):
        pass
    assert caught.value.code == "not-found"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("part", ["var", "var/state", "var/state/one"])
def test_a_symlink_is_a_named_error(tmp_path: Path, part: str) -> None:
    outside = tmp_path / "outside"
    (outside / "state").mkdir(parents=True)
    (outside / "one").write_text("outside")
    (outside / "state/one").write_text("outside")
    root = tmp_path / "root"
    (root / part).parent.mkdir(parents=True)
    (root / part).symlink_to(outside / "one" if part.endswith("one") else outside)
    with (
        pytest.raises(HostError, match=f"{part}: is a symbolic link") as caught,
        Folder.opened(root, BELOW) as folder,
    ):
        folder.read("one", max_size=100)
    assert caught.value.code == "is-symlink"
    assert caught.value.hint == "below a host's root none is followed: look at who made it"


def test_a_folder_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    with Folder.opened(tmp_path, PurePath()) as folder:
        folder.add_folder("1", {"a": b"x", "b": b"y"}, mode=0o600)
        with pytest.raises(HostError, match="1: exists already"):
            folder.add_folder("1", {"a": b"z"}, mode=0o600)
        with pytest.raises(HostError, match="2: "):
            folder.add_folder("2", {"a": b"x", "no/such": b"y"}, mode=0o600)
        with folder.inside("1") as there:
            assert there.read("a", max_size=1) == b"x"
    assert os.listdir(tmp_path) == ["1"]


def test_more_than_allowed_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("xx")
    os.mkfifo(tmp_path / "fifo")
    with Folder.opened(tmp_path, PurePath()) as folder:
        for name, words in (("long", "more than 1 bytes"), ("fifo", "not a regular file")):
            with pytest.raises(HostError, match=f"{name}: {words}"):
                folder.read(name, max_size=1)


def test_only_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".1.0123.tmp").mkdir()
    (tmp_path / ".1.0123.tmp/a").write_text("x")
    (tmp_path / ".current.0123.tmp").write_text("x")
    (tmp_path / "kept.tmp").write_text("x")
    with Folder.opened(tmp_path, PurePath()) as folder:
        folder.remove_temporary()
    assert os.listdir(tmp_path) == ["kept.tmp"]
