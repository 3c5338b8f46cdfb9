# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the signed /etc say of secrets, loose modes, remedies and time."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.cli.program import copy
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, write
from verity.ports import keystore
from verity.verbs import etc_sign
from verity.verbs.etc_intent import Host
from verity.verbs.sign_prepare import Spot


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serial 1; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def test_what_only_root_may_reach_is_a_secret(world: EtcWorld) -> None:
    """By a directory that nobody signed, by one that was closed since, by a home."""
    write(world.etc / "unsigned/key", "SECRET\n")
    (world.etc / "unsigned").chmod(0o700)
    write(world.etc / "app/old.conf", "SECRET\n")
    (world.etc / "app").chmod(0o700)
    home = world.path / "root/root"
    write(home / ".profile", "x\n")
    home.chmod(0o700)
    assert world.run("apply").status == 0
    world.must_sign(2, "--home", "/root")
    (world.etc / "unsigned").rename(world.etc / "other")
    (world.etc / "app").chmod(0o700)
    write(world.etc / "app/old.conf", "another SECRET\n")
    write(home / ".profile", "SECRET\n")
    for args in ((), ("--json",)):
        done = world.run("diff", "--text", *args)
        assert "SECRET" not in done.out + done.err
        assert done.out.count("secret: not shown without --show-secret-files") == 4
    shown = world.run("diff", "--text", "--show-secret-files").out
    assert shown.count("SECRET") == 4


def test_a_difference_that_is_none_is_said(world: EtcWorld) -> None:
    done = world.run("diff")
    assert (done.status, done.out) == (0, "")
    assert done.err == "verity: no difference: /etc is as signed (serial 1 of etc-test)\n"
    copy(world.etc, world.path / "default")
    done = world.run("diff", "--from-vendor", "--vendor", "default")
    assert (done.status, done.out) == (0, "")
    assert "no difference: the vendor's default is as signed" in done.err


def test_what_lets_others_in_is_said_by_all_verbs(world: EtcWorld) -> None:
    (world.etc / "shadow").chmod(0o644)
    line = "loose    /etc/shadow  0644, uid 0, expected at most 0640, uid 0\n"
    done = world.run("diff")
    assert (done.status, done.out) == (1, line)
    write(world.etc / "motd", "changed\n")
    for args in (("--dry-run",), (), ()):
        done = world.run("apply", *args)
        assert done.status == 0
        assert line in done.out
    (record,) = world.run("diff", "--json").of_type("loose")
    assert (record["path"], record["found"]) == ("/etc/shadow", "0644, uid 0")
    assert world.run("apply", "--json").of_type("applied")[0]["loose"] == 1


def test_a_fifo_has_a_remedy_that_works(world: EtcWorld) -> None:
    os.mkfifo(world.etc / "fifo")
    done = world.run("status")
    assert done.status == 1
    assert "it can't be signed" in done.out
    assert "`verity etc sign` accepts it" not in done.out


def sign_for(world: EtcWorld, *times: tuple[int, int, int]) -> None:
    """Sign by the library: serial, when it was issued, when it expires."""
    for serial, issued, expires in times:
        spot = Spot(stream=STREAM, serial=serial, issued=issued, expires=expires)
        key = keystore.load_signer(str(world.path / "etc.pem"))
        etc_sign.sign(spot, Host.at(world.path / "root", None), (), [key])


def test_a_clock_set_back_makes_nothing_valid_again(world: EtcWorld) -> None:
    """The newest document that is kept here says that it is later than that."""
    now = int(time.time())
    hour = 3600
    sign_for(world, (2, now, now + hour), (3, now + 2 * hour, now + 9 * hour))
    assert world.run("revert").status == 0
    done = world.run("status", "--json")
    assert [one["check"] for one in done.of_type("finding")] == ["expired"]


def test_what_is_ahead_of_the_clock_makes_nothing_expire(world: EtcWorld) -> None:
    """By mistake or with a stolen key: else it would be 2100 here, for good."""
    now, day = int(time.time()), 24 * 3600
    sign_for(world, (2, now, now + day), (3, now + 9999 * day, now + 10000 * day))
    assert world.run("revert").status == 0
    done = world.run("status", "--json")
    assert (done.status, done.of_type("finding")) == (0, [])


def test_reverting_further_than_one(world: EtcWorld) -> None:
    """Past a serial that can't be had, or was no better."""
    for serial, text in ((2, "second"), (3, "third")):
        write(world.etc / "motd", text)
        world.must_sign(serial)
    shutil.rmtree(world.state / "2")
    done = world.run("revert", "1")
    assert (done.status, world.current()) == (0, "1")
    assert (world.etc / "motd").read_text() == "welcome\n"
    assert world.run("apply", "3").status == 0
    assert world.run("revert").status == 0
