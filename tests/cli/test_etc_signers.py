# SPDX-License-Identifier: Apache-2.0
"""/etc signed by several people: prepared on the host, signed elsewhere, attached on the host."""

import shutil
from pathlib import Path

import pytest

from tests.cli.program import Done, assert_clean_error, copy, verity
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, write
from verity.formats.sign_bundle import BundleKind
from verity.verbs import documents, sign_bundles, sign_serials
from verity.verbs.sign_prepare import Spot

BOTH = ("--key", "etc.pem.pub", "--key", "other.pem.pub", "--threshold", "2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serial 1 by one key, and a bundle for serial 2 without signatures; for reading only."""
    world = make_etc_world(tmp_path_factory.mktemp("etc"), make_first)
    write(world.etc / "motd", "by both\n")
    assert prepare(world, "auto").status == 0
    return world


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def prepare(world: EtcWorld, serial: str, bundle: str = "b") -> Done:
    options = ("--root", "root", "--stream", STREAM, "--serial", serial, "--output", bundle)
    return verity("sign", "prepare", "etc", *options, cwd=world.path)


def add(world: EtcWorld, *keys: str) -> None:
    for key in keys:
        done = verity("sign", "add", "--key", f"{key}.pem", "--yes", "b", cwd=world.path)
        assert done.status == 0, done.err


def attach(world: EtcWorld, *options: str) -> Done:
    return verity("sign", "attach", *options, "--root", "root", "b", cwd=world.path)


def status(world: EtcWorld, *options: str) -> Done:
    return verity("etc", "status", "--root", "root", *options, cwd=world.path)


def test_two_of_two(world: EtcWorld) -> None:
    assert world.current() == "1"
    add(world, "etc", "other")
    done = attach(world, *BOTH)
    assert (done.status, done.err) == (0, "")
    assert f"as        stream {STREAM} serial 2\n" in done.out
    assert world.current() == "2"
    assert status(world, *BOTH).status == 0
    write(world.etc / "motd", "by nobody\n")
    back = verity("etc", "apply", "--root", "root", *BOTH, cwd=world.path)
    assert back.status == 0
    assert (world.etc / "motd").read_text() == "by both\n"


def test_what_the_signer_is_shown(world: EtcWorld) -> None:
    shown = verity("sign", "show", "b", cwd=world.path).out
    assert f"as        stream {STREAM} serial 2\n" in shown
    assert "config    8 paths\n" in shown
    assert "signers   the user's role etc\n" in shown


def test_too_few(world: EtcWorld) -> None:
    add(world, "etc")
    done = attach(world, *BOTH)
    assert done.status == 1
    assert_clean_error(done, ["signed by 1 of the trusted owners, 2 needed"], hint=True)
    assert world.current() == "1"


def test_both_keys_in_one_process(world: EtcWorld) -> None:
    done = world.sign(2, "--key", "other.pem", "--threshold", "2")
    assert done.status == 0
    assert status(world, *BOTH).status == 0


def test_serial_auto(world: EtcWorld) -> None:
    options = ("--root", "root", "--key", "etc.pem", "--stream", STREAM, "--serial", "auto")
    done = verity("etc", "sign", *options, cwd=world.path)
    assert f"as        stream {STREAM} serial 2, for 365 days\n" in done.out
    add(world, "etc")
    late = attach(world, "--key", "etc.pem.pub")
    assert late.status == 2
    assert_clean_error(late, ["the serial 2 does not grow"], hint=True)


def test_the_same_times_give_the_same_bundle(world: EtcWorld) -> None:
    times = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2036-01-01T00:00:00Z")
    for name in ("one", "two"):
        options = ("--root", "root", "--stream", STREAM, "--serial", "5", "--output", name)
        done = verity("sign", "prepare", "etc", *options, *times, cwd=world.path)
        assert done.status == 0
    assert (world.path / "one").read_bytes() == (world.path / "two").read_bytes()


def test_contents_that_are_not_on_this_host(world: EtcWorld) -> None:
    add(world, "etc")
    shutil.rmtree(world.store)
    done = attach(world, "--key", "etc.pem.pub")
    assert done.status == 3
    assert_clean_error(done, ["its contents", "are not in the store"], hint=True)
    assert world.current() == "1"


def test_options_of_other_kinds(world: EtcWorld) -> None:
    done = attach(world, "--key", "etc.pem.pub", "--tree", "root/etc")
    assert done.status == 2
    assert_clean_error(done, ["--tree is not for a bundle of the kind etc"], hint=False)


def test_prepare_leaves_the_intent_alone(world: EtcWorld) -> None:
    before = sorted(path.name for path in world.state.iterdir())
    assert prepare(world, "7", "c").status == 0
    assert prepare(world, "1", "d").status == 2
    assert sorted(path.name for path in world.state.iterdir()) == before
    assert not (world.path / "d").exists()


def test_grants_that_leave_out_what_the_manifest_has(world: EtcWorld) -> None:
    opened = sign_bundles.load(world.path / "b").opened
    said = sign_serials.tree_of(opened)
    at = said.statement
    spot = Spot(stream=at.stream, serial=at.serial, issued=at.issued, expires=at.expires)
    place = spot.place(BundleKind.ETC, at.serial)
    fewer = documents.prepare(place, said.entries, {}, subjects={}, config=said.grants.config[1:])
    (world.path / "b").unlink()
    sign_bundles.write(world.path / "b", fewer)
    add(world, "etc")
    done = attach(world, "--key", "etc.pem.pub")
    assert done.status == 1
    assert_clean_error(done, ["configuration is not what the manifest gives"], hint=True)
    assert world.current() == "1"
