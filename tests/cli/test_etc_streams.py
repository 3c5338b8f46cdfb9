# SPDX-License-Identifier: Apache-2.0
"""A host has one stream for its /etc: what the same key signed for another host isn't taken."""

import shutil
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy, verity
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, write

CHECK = ("--root", "root", "--key", "etc.pem.pub")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serial 1 of the usual stream."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def sign_as(world: EtcWorld, root: str, stream: str, serial: str) -> tuple[int, str]:
    options = ("--root", root, "--key", "etc.pem", "--stream", stream, "--serial", serial)
    done = verity("etc", "sign", *options, cwd=world.path)
    return done.status, done.err


def test_the_stream_of_the_first_is_the_hosts_own(world: EtcWorld) -> None:
    assert (world.state / "stream").read_text() == f"{STREAM}\n"


def test_another_hosts_etc_is_refused(world: EtcWorld) -> None:
    """Its statement is good, by the same key; its contents are in the store, too."""
    other = world.path / "other"
    write(other / "etc/motd", "the other host's\n")
    assert sign_as(world, "other", "etc-other", "7") == (0, "")
    copy(other / "var/lib/verity/etc/7", world.state / "7")
    shutil.copytree(other / "var/lib/verity/store", world.store, dirs_exist_ok=True)
    before = world.files()
    done = world.run("apply", "7")
    assert done.status == 1
    words = [f"serial 7: of the stream etc-other, and this host's own is {STREAM}"]
    assert_clean_error(done, words, hint=True)
    assert f"remove root/{world.state.relative_to(world.path / 'root')}/stream" in done.err
    (world.state / "current").write_text("7\n")
    assert world.run("status").status == 1
    assert world.run("apply").status == 1
    assert world.files() == before
    # On purpose:
    (world.state / "stream").unlink()
    assert world.run("apply").status == 0
    assert (world.etc / "motd").read_text() == "the other host's\n"
    assert (world.state / "stream").read_text() == "etc-other\n"


def test_a_mistyped_stream_is_noticed(world: EtcWorld) -> None:
    before = sorted(world.state.rglob("*"))
    status, err = sign_as(world, "root", "etc-tset", "2")
    assert status == 2
    assert f"--stream: of the stream etc-tset, and this host's own is {STREAM}" in err
    prepare = ("--root", "root", "--stream", "etc-tset", "--serial", "2", "-o", "x.sign")
    done = verity("sign", "prepare", "etc", *prepare, cwd=world.path)
    assert done.status == 2
    assert_clean_error(done, ["this host's own is"], hint=True)
    assert sorted(world.state.rglob("*")) == before
    assert not (world.path / "x.sign").exists()


def test_a_bundle_of_another_stream_is_not_attached(world: EtcWorld) -> None:
    bare = world.path / "bare"
    bare.mkdir()
    copy(world.etc, bare / "etc")
    prepare = ("--root", "bare", "--stream", "etc-bare", "--serial", "2", "-o", "x.sign")
    for argv in (
        ("sign", "prepare", "etc", *prepare),
        ("sign", "add", "--yes", "--key", "etc.pem", "x.sign"),
    ):
        assert verity(*argv, cwd=world.path).status == 0
    done = verity("sign", "attach", *CHECK, "x.sign", cwd=world.path)
    assert done.status == 1
    assert_clean_error(done, ["the bundle: of the stream etc-bare"], hint=True)
    assert world.current() == "1"


def test_a_failed_signing_makes_no_stream_its_own(world: EtcWorld) -> None:
    """A mistake at the first try must not stick."""
    write(world.path / "new/etc/motd", "x\n")
    bundle = ("--root", "new", "--stream", "etc-x", "--serial", "1", "-o", "x.sign")
    assert verity("sign", "prepare", "etc", *bundle, cwd=world.path).status == 0
    attach = ("--root", "new", "--key", "etc.pem.pub", "x.sign")
    assert verity("sign", "attach", *attach, cwd=world.path).status == 1
    assert not (world.path / "new/var/lib/verity/etc/stream").exists()


def test_a_damaged_name_is_no_permission(world: EtcWorld) -> None:
    (world.state / "stream").write_text("\0")
    done = world.run("apply")
    assert done.status == 1
    assert_clean_error(done, ["stream: no name of a stream"], hint=True)
