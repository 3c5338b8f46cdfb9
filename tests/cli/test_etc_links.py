# SPDX-License-Identifier: Apache-2.0
"""Symlinks that somebody planted below a root: none is followed to state or contents."""

import shutil
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy
from tests.etc_world import EtcWorld, make_etc_world, make_first, make_second, state_of, write

ALL = ("status", "diff", "apply", "revert 1", "revert", "apply --resume", "sign")
# What stands behind a symlink: the verbs that need it.
REFUSED = {
    "": ALL,
    "etc": ALL,
    "etc/1": ("revert 1", "revert"),
    "etc/current": ALL,
    "store": ("apply", "revert 1", "revert", "sign"),
    "store/sha256": ("apply", "revert 1", "revert", "sign"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serials 1 and 2; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first, make_second)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to break."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


@pytest.mark.parametrize("place", REFUSED)
def test_what_was_moved_out_of_the_root_is_not_followed(
    made: EtcWorld, tmp_path: Path, place: str
) -> None:
    """The state itself, somewhere else: a program that follows would find all it wants."""
    for number, verb in enumerate(ALL):
        world = EtcWorld(copy(made.path, tmp_path / str(number)))
        here = world.path / "root/var/lib/verity" / place
        outside = world.path / "outside"
        shutil.move(here, outside)
        here.symlink_to(outside)
        write(world.etc / "motd", "changed\n")
        before = world.files(), kept(outside)
        done = world.sign(3) if verb == "sign" else world.run(*verb.split())
        assert kept(outside) == before[1], verb
        if verb in REFUSED[place]:
            assert done.status == 3, verb
            assert_clean_error(done, ["is a symbolic link, expected the thing itself"], hint=True)
            assert str(here.relative_to(world.path)) in done.err
            assert world.files() == before[0]
        else:
            assert "symbolic link" not in done.err, verb


def kept(path: Path) -> object:
    return state_of(path) if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize("name", ["etc/.x.tmp", "store/incoming"])
def test_what_a_killed_run_left_is_removed_only_inside(world: EtcWorld, name: str) -> None:
    outside = world.path / "outside"
    write(outside / "precious", "x\n")
    planted = world.path / "root/var/lib/verity" / name
    shutil.rmtree(planted, ignore_errors=True)
    planted.symlink_to(outside)
    write(world.etc / "motd", "changed\n")
    done = world.sign(3)
    assert (outside / "precious").read_text() == "x\n"
    if name == "store/incoming":
        assert done.status == 3
        assert_clean_error(done, ["incoming: is a symbolic link"], hint=True)
    else:
        assert done.status == 0
        assert not planted.is_symlink()


def test_no_state_is_made_outside(world: EtcWorld) -> None:
    """A host that was never signed, of which somebody else owns /var."""
    shutil.rmtree(world.path / "root/var")
    outside = world.path / "outside"
    outside.mkdir()
    (world.path / "root/var").symlink_to(outside)
    done = world.sign(1)
    assert done.status == 3
    assert_clean_error(done, ["root/var: is a symbolic link"], hint=True)
    assert list(outside.iterdir()) == []


def test_a_vendors_default_outside_the_root_is_none(world: EtcWorld) -> None:
    outside = world.path / "outside"
    write(outside / "motd", "elsewhere\n")
    (world.path / "root/usr").mkdir()
    (world.path / "root/usr/etc").symlink_to(outside)
    write(world.etc / "motd", "changed\n")
    done = world.run("diff")
    assert done.status == 1
    assert "vendor  no default is known" in done.out
