# SPDX-License-Identifier: Apache-2.0
"""/etc by keyrings: whose signature counts is said by the owner's role etc, revocation included."""

from pathlib import Path

import pytest

from tests.cli.program import Done, assert_clean_error, copy, verity
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, write

USER = ("--party", "user")


def run(world: EtcWorld, *args: str) -> Done:
    done = verity(*args, cwd=world.path)
    assert done.status == 0, (args, done.err)
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serials 1 and 2 by etc.pem, which the owner's keyring `k` has for the stream."""
    world = make_etc_world(tmp_path_factory.mktemp("etc"), make_first)
    write(world.etc / "motd", "second\n")
    world.must_sign(2)
    run(world, "key", "generate", "root.pem")
    roles = ("--role", "root=root.pem.pub", "--role", "etc=etc.pem.pub")
    stream = ("--stream", f"etc={STREAM}")
    run(world, "keyring", "init", *USER, *roles, *stream, "--key", "root.pem", "k")
    return world


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def by_keyring(world: EtcWorld, verb: str, *more: str) -> Done:
    (first,) = run(world, "keyring", "show", "--json", "k/user/1.keyring.json").records
    trust = ("--keyring", "k", "--pin", f"user={first['pin']}")
    return verity("etc", verb, "--root", "root", *trust, *more, cwd=world.path)


def revoke(world: EtcWorld, *what: str) -> None:
    run(world, "keyring", "revoke", *USER, *what, "--key", "root.pem", "k")


def test_the_keyring_says_who_signs(world: EtcWorld) -> None:
    assert by_keyring(world, "status").status == 0
    write(world.etc / "motd", "changed\n")
    assert by_keyring(world, "status").status == 1
    assert by_keyring(world, "apply").status == 0
    assert by_keyring(world, "revert").status == 0
    assert (world.etc / "motd").read_text() == "welcome\n"


def test_a_key_that_the_keyring_does_not_have(world: EtcWorld) -> None:
    options = ("--root", "root", "--key", "other.pem", "--stream", STREAM, "--serial", "auto")
    run(world, "etc", "sign", *options)
    done = by_keyring(world, "status")
    assert done.status == 1
    assert_clean_error(done, ["statement: signed by 0 of the trusted owners"], hint=True)


def test_a_revoked_serial_is_no_way_back(world: EtcWorld) -> None:
    revoke(world, "--lowest", f"{STREAM}:2")
    assert by_keyring(world, "status").status == 0
    before = world.files()
    done = by_keyring(world, "revert")
    assert done.status == 1
    assert_clean_error(done, ["serial 1 of the stream etc-test is revoked"], hint=True)
    assert (world.files(), world.current()) == (before, "2")


def test_what_a_revoked_serial_had_goes(world: EtcWorld) -> None:
    (world.etc / "app/old.conf").unlink()
    world.must_sign(3)
    assert by_keyring(world, "revert").status == 0
    revoke(world, "--lowest", f"{STREAM}:3")
    assert by_keyring(world, "status").status == 1
    done = by_keyring(world, "apply", "3")
    assert (done.status, done.err) == (0, "")
    assert not (world.etc / "app/old.conf").exists()
    assert by_keyring(world, "status").status == 0


def test_no_keyring_at_all(world: EtcWorld) -> None:
    done = verity("etc", "status", "--root", "root", "--keyring", "nothing", cwd=world.path)
    assert done.status in (2, 3)
    assert done.out == ""
