# SPDX-License-Identifier: Apache-2.0
"""An apply that was interrupted: it is said, and ended by whatever comes next."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.program import copy
from tests.etc_world import EtcWorld, make_etc_world, make_first, make_second, stored, write
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.ports.etc_state import EtcState
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError
from verity.verbs import etc_apply
from verity.verbs.etc_intent import Host


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serials 1 and 2; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first, make_second)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to break."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def test_a_pending_run_is_said_and_sign_refuses(world: EtcWorld) -> None:
    (world.state / "journal").write_text(json.dumps({"before": [2], "after": 1}))
    done = world.run("status", "--json")
    assert done.status == 1
    assert [one["check"] for one in done.of_type("finding")] == ["pending"]
    refused = world.sign(3)
    assert refused.status == 3
    assert "an apply has begun and not ended" in refused.err
    assert not (world.state / "3").exists()


@pytest.mark.parametrize("verb", ["apply", "revert", "apply --resume"])
def test_a_pending_run_is_ended_by_whatever_comes(world: EtcWorld, verb: str) -> None:
    (world.state / "journal").write_text(json.dumps({"before": [2], "after": 1}))
    done = world.run(*verb.split())
    assert done.status == 0
    assert "serial 1 of etc-test (an interrupted run, ended)" in done.out
    assert not (world.state / "journal").exists()
    assert world.run("status").status == 0


def test_a_pending_run_that_cannot_end_is_left_by_naming_another(world: EtcWorld) -> None:
    old = world.files()
    world.run("revert")
    (world.state / "journal").write_text(json.dumps({"before": [1], "after": 2}))
    (world.etc / "link").unlink()
    write(world.etc / "new/dir/new.conf", "new = 1\n", 0o600)  # as far as it came
    lost = stored(world, b"welcome again\n" * 1000)
    kept = lost.read_bytes()
    lost.unlink()
    assert world.run("apply").status == 3
    assert (world.state / "journal").exists()
    assert world.run("apply", "1").status == 0
    assert (world.current(), world.run("status").status) == ("1", 0)
    lost.write_bytes(kept)
    assert world.run("apply", "2").status == 0
    assert world.files() == old


def test_what_an_interrupted_run_prepared_in_a_home_is_cleared(world: EtcWorld) -> None:
    home = world.path / "root/home/u"
    write(home / ".profile", "x\n")
    world.must_sign(3, "--home", "/home/u")
    (world.state / "current").write_text("2\n")
    (world.state / "journal").write_text(json.dumps({"before": [2], "after": 3}))
    stage = home / ".verity-stage-0123456789abcdef"
    write(stage / "0", "x\n")
    stage.chmod(0o700)
    assert world.run("apply", "2").status == 0
    assert sorted(os.listdir(home)) == [".profile"]
    assert world.run("status").status == 0


@pytest.mark.parametrize("call", ["begin", "make_current", "end"])
def test_a_state_that_cannot_be_written(
    world: EtcWorld, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A full disk, at each of the three: what is prepared goes, or is pending and named so."""

    def full(*args: object) -> None:
        raise HostError("no-space", "state: no space left on the device")

    old = world.files()
    key = keystore.load_public(world.path / "etc.pem.pub")
    trusted = TrustedSet.of_keys([key], party=Party.USER, role=Role.ETC, threshold=1)
    with monkeypatch.context() as patch:
        patch.setattr(EtcState, call, full)
        with pytest.raises(HostError, match="no space left") as caught:
            etc_apply.revert(Host.at(world.path / "root", None), trusted)
    pending = (world.state / "journal").exists()
    assert pending == (call != "begin") == ("serial 1 is pending" in caught.value.message)
    if not pending:
        assert world.files() == old
    assert not list(world.etc.glob(".verity-stage*"))
    assert world.run("apply", "--resume").status == 0
    assert world.current() == ("1" if pending else "2")
    assert world.run("status").status == 0
