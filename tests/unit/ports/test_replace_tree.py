# SPDX-License-Identifier: Apache-2.0
"""Changing files in a directory whose user changes it at the same time, between any two calls."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import needs_root
from verity.formats.dump import Entry
from verity.ports.replace_tree import ReplaceTree
from verity.values.errors import HostError

USER = 4242
FILE = Entry(path=b"/home/.config/rc", mode=0o100644, uid=USER, gid=USER, digest=bytes(32))
DIRECTORY = Entry(path=b"/home/.config", mode=0o40755, uid=USER, gid=USER)

pytestmark = needs_root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's, with a directory in it and beside it one of root's; a victim elsewhere."""
    for name, owner in (("root/home/.config", USER), ("root/home/roots", 0), ("victim", 0)):
        (tmp_path / name).mkdir(parents=True)
        os.chown(tmp_path / name, owner, owner)
        (tmp_path / name).chmod(0o700)
    (tmp_path / "victim/rc").write_text("precious")
    (tmp_path / "root/home/roots/0").write_text("precious")
    return tmp_path / "root/home"


@pytest.fixture
def tree(tmp_path: Path, home: Path) -> Iterator[ReplaceTree]:
    with ReplaceTree(tmp_path / "root", b"/home", foreign=True) as opened:
        yield opened


def fill(entry: Entry, fd: int) -> None:
    os.write(fd, b"signed")


def put_symlink(home: Path) -> None:
    (home / ".config").rename(home / "away")
    (home / ".config").symlink_to(home.parent.parent / "victim")


def stage_of(home: Path) -> Path:
    return next(path for path in home.iterdir() if path.name.startswith(".verity-stage"))


def test_a_symlink_in_the_place_of_a_directory(home: Path, tree: ReplaceTree) -> None:
    tree.prepare(FILE, fill)
    for act in (tree.put, tree.dress, tree.remove, tree.make):
        put_symlink(home)
        with pytest.raises(HostError):
            act(DIRECTORY if act in (tree.dress, tree.make) else FILE)
        (home / ".config").unlink()
        (home / "away").rename(home / ".config")
    victim = home.parent.parent / "victim"
    assert (victim / "rc").read_text() == "precious"
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (0, 0o700)


def test_another_directory_in_the_place_of_the_prepared_files(
    home: Path, tree: ReplaceTree
) -> None:
    def swap(entry: Entry, fd: int) -> None:
        os.write(fd, b"signed")
        stage = stage_of(home)
        stage.rename(home / "mine")
        (home / "roots").rename(stage)

    tree.prepare(FILE, swap)
    tree.put(FILE)
    assert (home / ".config/rc").read_text() == "signed"
    stage_of(home).joinpath("other").write_text("precious")
    tree.clear()
    assert (stage_of(home) / "0").read_text() == "precious"
    assert list((home / "mine").iterdir()) == []


def test_a_directory_of_roots_in_the_place_of_a_new_one(
    home: Path, tree: ReplaceTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it is made its name is given to another, which root then would give away."""
    (home / ".config").rmdir()
    make = os.mkdir

    def swap(name: bytes, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        os.rename(name, b"empty", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        os.rename(b"roots", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", swap)
    with pytest.raises(HostError, match="a directory of uid 0 is there, expected one of uid 4242"):
        tree.make(DIRECTORY)
    assert (home / ".config").stat().st_uid == 0


def test_a_directory_of_roots_is_not_given_away(home: Path, tree: ReplaceTree) -> None:
    (home / ".config").rename(home / "away")
    (home / "roots").rename(home / ".config")
    for act in (tree.check, tree.dress):
        with pytest.raises(HostError, match="a directory of uid 0 is there"):
            act(DIRECTORY)
    assert stat.S_IMODE((home / ".config").stat().st_mode) == 0o700


def test_what_a_killed_run_made_and_did_not_give_away_yet(home: Path, tree: ReplaceTree) -> None:
    os.chown(home / ".config", 0, 0)
    tree.check(DIRECTORY)
    tree.dress(DIRECTORY)
    assert (home / ".config").stat().st_uid == USER
