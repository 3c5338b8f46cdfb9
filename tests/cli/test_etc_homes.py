# SPDX-License-Identifier: Apache-2.0
"""Homes that are part of a signed /etc, whose users do in them what they like."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import STRANGER, Done, assert_clean_error, copy, needs_root
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, state_of, write
from verity.formats import etc_manifest
from verity.ports import keystore
from verity.verbs import etc_read, etc_sign
from verity.verbs.etc_intent import Host
from verity.verbs.etc_read import Found
from verity.verbs.sign_prepare import Spot

HOME = "/home/u"
STAGE = ".verity-stage-0123456789abcdef"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serial 1 is of /etc and of a stranger's home."""
    world = make_etc_world(tmp_path_factory.mktemp("etc"), make_first)
    home = home_of(world)
    write(home / ".profile", "PATH=/usr/bin\n")
    write(home / ".config/app/rc", "x\n")
    write(home / "notes", "of no interest\n")
    for path in (home, *home.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    world.must_sign(2, "--home", HOME)
    return world


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, with a file to bring back in /etc and one in the home."""
    world = EtcWorld(copy(made.path, tmp_path / "w"))
    write(world.etc / "motd", "changed\n")
    write(home_of(world) / ".profile", "PATH=/tmp\n")
    return world


def home_of(world: EtcWorld) -> Path:
    return world.path / "root" / HOME[1:]


def roots(path: Path) -> Path:
    """A directory that root made in the home, closed to its user."""
    write(path / "0", "precious\n", 0o600)
    write(path / "other", "precious\n", 0o600)
    path.chmod(0o700)
    return path


def move_away(world: EtcWorld) -> None:
    home_of(world).rename(world.path / "elsewhere")


def link_away(world: EtcWorld) -> None:
    move_away(world)
    home_of(world).symlink_to(world.path / "elsewhere")


def stand_in_the_way(world: EtcWorld) -> None:
    (home_of(world) / ".profile").unlink()
    write(home_of(world) / ".profile/mine", "x\n")


def give_roots_away(world: EtcWorld) -> None:
    """The user can't enter it, but may give it another name."""
    shutil.rmtree(home_of(world) / ".config/app")
    roots(home_of(world) / ".config/app")


@needs_root
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (move_away, "/home/u: this home can't be opened (not-found)"),
        (link_away, "/home/u: this home can't be opened (is-symlink)"),
        (stand_in_the_way, "/home/u/.profile: a directory is in the way"),
        (give_roots_away, "/home/u/.config/app: a directory of uid 0 is there, expected one of"),
    ],
)
def test_a_home_keeps_nobody_from_bringing_etc_back(
    world: EtcWorld, spoil: Callable[[EtcWorld], None], why: str
) -> None:
    spoil(world)
    before = state_of(world.path / "root/home"), kept_elsewhere(world)
    for args in (("--dry-run",), ()):
        done = world.run("apply", *args)
        assert done.status == 3
        assert f"the home /home/u was left out: {why}" in done.err
    assert (world.etc / "motd").read_text() == "welcome\n"
    assert (state_of(world.path / "root/home"), kept_elsewhere(world)) == before
    assert not (world.state / "journal").exists()
    assert world.run("apply", "--json").of_type("left-out")[0]["path"] == HOME
    assert world.run("status").status in (1, 3)


def kept_elsewhere(world: EtcWorld) -> object:
    return state_of(world.path / "elsewhere") if (world.path / "elsewhere").exists() else None


@needs_root
@pytest.mark.parametrize("name", [".verity-stage", STAGE])
def test_the_name_for_prepared_files_is_no_trap(world: EtcWorld, name: str) -> None:
    """Neither a directory of the user's with that name, nor one of root's."""
    for make in (lambda path: write(path / "x", "the user's\n"), roots):
        trap = home_of(world) / name
        make(trap)
        before = state_of(trap)
        write(home_of(world) / ".profile", "PATH=/tmp\n")
        assert brought_back(world.run("apply"))
        assert (home_of(world) / ".profile").read_text() == "PATH=/usr/bin\n"
        assert state_of(trap) == before
        shutil.rmtree(trap)


def brought_back(done: Done) -> bool:
    return done.status == 0 and "/home/u/.profile" in done.out


@needs_root
def test_what_a_killed_run_prepared_goes(world: EtcWorld) -> None:
    for folder in (world.etc, home_of(world)):
        left = folder / STAGE
        write(left / "0", "prepared\n", 0o600)
        left.chmod(0o700)
    assert brought_back(world.run("apply"))
    assert not (world.etc / STAGE).exists()
    assert not (home_of(world) / STAGE).exists()
    assert world.run("status").status == 0


@needs_root
def test_a_home_comes_back_with_its_owners(world: EtcWorld) -> None:
    shutil.rmtree(home_of(world) / ".config")
    (home_of(world) / ".profile").unlink()
    assert brought_back(world.run("apply"))
    found = state_of(home_of(world))
    assert {what[1] for what in found.values()} == {STRANGER}
    assert world.run("status").status == 0


def wide_frame(found: Found) -> Found:
    home = os.fsencode(HOME)
    found.entries[home] = found.entries[home]._replace(mode=0o40777)
    return found


def no_etc(found: Found) -> Found:
    for path in [one for one in found.entries if one.startswith(b"/etc")]:
        del found.entries[path]
    return found


def outside(found: Found) -> Found:
    entry = found.entries[b"/etc/motd"]
    found.entries[b"/usr"] = found.entries[b"/"]._replace(path=b"/usr")
    found.entries[b"/usr/motd"] = entry._replace(path=b"/usr/motd")
    return found


@needs_root
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (wide_frame, "/home/u is not a directory 40755 of root's without more"),
        (outside, "/usr/motd is not a directory 40755 of root's without more"),
        (no_etc, "it has no directory /etc"),
    ],
)
def test_a_manifest_that_says_more_is_refused(
    world: EtcWorld,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Found], Found],
    words: str,
) -> None:
    """Made by who prepares, and signed by who looked at the files only."""
    read = etc_read.read
    root = world.path / "root"
    write(root / "usr/motd", "changed\n")
    monkeypatch.setattr(etc_read, "read", lambda *args: spoil(read(*args)))
    key = keystore.load_signer(str(world.path / "etc.pem"))
    spot = Spot(stream=STREAM, serial=3, issued=1700000000, expires=4000000000)
    with monkeypatch.context() as careless:
        careless.setattr(etc_manifest, "check", lambda entries: None)
        etc_sign.sign(spot, Host.at(root, None), (HOME,), [key])
    before = state_of(root / "home"), state_of(root / "usr"), world.files()
    for verb in ("status", "apply"):
        done = world.run(verb)
        assert done.status == 1
        assert_clean_error(done, ["serial 3: manifest: ", words], hint=True)
    assert (state_of(root / "home"), state_of(root / "usr"), world.files()) == before
