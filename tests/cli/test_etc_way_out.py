# SPDX-License-Identifier: Apache-2.0
"""An apply that was interrupted and can't end: there is always a way out, and it is named."""

import shutil
from pathlib import Path

import pytest

from tests.cli.program import Done, assert_clean_error, copy, verity
from tests.etc_world import EtcWorld, make_etc_world, make_first, make_second, write

BACK = "`verity etc apply --abandon` goes back to what was signed before"
AS_IS = "`verity etc apply --abandon-as-is` drops it and leaves /etc as it is, perhaps in between"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serials 1 and 2; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first, make_second)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """At serial 2, and on the way to serial 1, of which nothing was done."""
    world = EtcWorld(copy(made.path, tmp_path / "w"))
    (world.state / "journal").write_text('{"after":1,"before":[2]}')
    return world


def lose_contents(world: EtcWorld) -> None:
    shutil.rmtree(world.store / "sha256")


def sign_again(world: EtcWorld) -> Done:
    """What a pending apply stands in the way of."""
    done = world.sign(3)
    if done.status:
        assert_clean_error(done, ["an apply has begun and not ended"], hint=True)
        assert "`verity etc apply --abandon` goes back" in done.err
    return done


def test_nothing_was_changed_yet_and_no_contents_are_needed(world: EtcWorld) -> None:
    before = world.files()
    lose_contents(world)
    stuck = world.run("apply", "--resume")
    assert stuck.status == 3
    assert_clean_error(stuck, ["are not in the store", "serial 1 is still pending"], hint=True)
    assert BACK in stuck.err
    assert sign_again(world).status == 3
    done = world.run("apply", "--abandon")
    assert (done.status, done.err) == (0, "")
    assert "/etc is at serial 2 of etc-test (that to serial 1 was given up): 0 changes" in done.out
    assert (world.files(), world.current()) == (before, "2")
    assert sign_again(world).status == 0


def test_what_was_changed_goes_back(world: EtcWorld) -> None:
    before = world.files()
    write(world.etc / "motd", "welcome\n")  # as serial 1 has it
    write(world.etc / "app/deep/er/old.conf", "old = 2\n")
    done = world.run("apply", "--abandon", "--json")
    assert done.status == 0
    (record,) = done.of_type("applied")
    assert (record["serial"], record["abandoned"], record["changes"]) == (2, 1, 4)
    assert (world.files(), world.current()) == (before, "2")
    assert not (world.state / "journal").exists()


def test_neither_state_can_be_had(world: EtcWorld) -> None:
    write(world.etc / "motd", "changed\n")
    lose_contents(world)
    before = world.files()
    stuck = world.run("apply", "--abandon")
    assert stuck.status == 3
    assert_clean_error(stuck, ["/etc/motd: its contents", "serial 1 is still pending"], hint=True)
    assert AS_IS in stuck.err
    done = world.run("apply", "--abandon-as-is")
    assert done.status == 0
    assert done.out == "the interrupted apply is forgotten, and /etc left as it is\n"
    assert "`verity etc status` says what differs" in done.err
    assert world.files() == before
    assert world.run("status").status == 1
    assert sign_again(world).status == 0


def test_the_key_was_replaced(world: EtcWorld) -> None:
    other = ("--root", "root", "--key", "other.pem.pub")
    for option, way in (("--resume", BACK), ("--abandon", AS_IS)):
        stuck = verity("etc", "apply", *other, option, cwd=world.path)
        assert stuck.status == 1
        assert_clean_error(stuck, ["signed by 0 of", "serial 1 is still pending"], hint=True)
        assert way in stuck.err
    assert verity("etc", "apply", *other, "--abandon-as-is", cwd=world.path).status == 0
    assert sign_again(world).status == 0


def test_the_journal_itself_is_damaged(world: EtcWorld) -> None:
    (world.state / "journal").write_text("{}")
    stuck = world.run("apply")
    assert_clean_error(stuck, ["journal: "], hint=True)
    assert "--abandon-as-is" in stuck.err
    done = world.run("apply", "--abandon-as-is", "--json")
    assert (done.status, done.of_type("abandoned")) == (
        0,
        [{"v": 1, "type": "abandoned", "as_is": True}],
    )
    assert world.run("status").status == 0


def test_the_run_was_through_but_for_its_journal(world: EtcWorld) -> None:
    """Cut off between the intent and the end of the journal: there is nothing to go back from."""
    (world.state / "journal").write_text('{"after":2,"before":[1]}')
    done = world.run("apply", "--abandon")
    assert (done.status, world.current()) == (0, "2")


@pytest.mark.parametrize("option", ["--abandon", "--abandon-as-is", "--resume"])
def test_nothing_was_interrupted(made: EtcWorld, option: str) -> None:
    done = made.run("apply", option)
    assert (done.status, done.out, "nothing was interrupted" in done.err) == (0, "", True)


def test_one_of_them_and_nothing_else(made: EtcWorld) -> None:
    for args, words in (
        (("--abandon", "--resume"), "--resume and --abandon: only one of them"),
        (("--abandon", "2"), "--abandon: with neither SERIAL nor --dry-run"),
        (("--abandon-as-is", "--dry-run"), "--abandon-as-is: with neither SERIAL nor --dry-run"),
    ):
        done = made.run("apply", *args)
        assert done.status == 2
        assert_clean_error(done, [words], hint=False)


def test_a_dry_run_promises_nothing_that_is_refused_later(world: EtcWorld) -> None:
    assert world.run("apply", "--abandon").status == 0
    lose_contents(world)
    dry, wet = (world.run("revert", *more) for more in (["--dry-run"], []))
    assert (dry.status, dry.out, dry.err) == (wet.status, wet.out, wet.err)
    assert dry.status == 3
    assert "are not in the store" in dry.err
