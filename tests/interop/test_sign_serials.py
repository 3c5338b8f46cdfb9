# SPDX-License-Identifier: Apache-2.0
"""--serial auto: the next one, for one thing only, whoever else is signing."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import VERITY, Done, assert_clean_error, snapshot, stock, verity
from tests.cli.test_sign import good
from tests.cli.worlds import OTHER_REF, REF, UNSIGNED_REF, World, commit
from verity.formats import serial_record, statement
from verity.formats.commit import Commit
from verity.verbs import signed

SIGN = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--stream", "os")
AUTO = (*SIGN, "--serial", "auto", "--json")
RECORD = "repo/extensions/verity/serials/os.json"


def serial_of(world: World, ref: str) -> int:
    (envelope,) = world.detached(ref).get_byte_arrays(signed.STATEMENT)
    return statement.parse(statement.parse_envelope(envelope).payload).serial


def recorded(world: World) -> list[int]:
    return sorted(serial_record.parse((world.path / RECORD).read_bytes(), stream="os"))


def test_the_last_one_plus_one(world: World) -> None:
    (record,) = good(world, *AUTO, UNSIGNED_REF).records
    assert (record["serial"], serial_of(world, UNSIGNED_REF)) == (3, 3)
    assert recorded(world) == [1, 2, 3]
    text = good(world, *SIGN, "--serial", "auto", "--replace", UNSIGNED_REF)
    assert "as        stream os serial 4, for 365 days\n" in text.out
    # Another stream has its own.
    other = ("--stream", "another", "--replace", UNSIGNED_REF)
    assert good(world, *AUTO[:-5], "--serial", "auto", "--json", *other).records[0]["serial"] == 1


def test_two_pipelines_never_have_one_serial(world: World) -> None:
    """Real processes, each with a commit of its own, all at once."""
    refs = [f"pipeline/{number}" for number in range(6)]
    for ref in refs:
        commit(world.repo, world.path / "tree", ref, f"--subject={ref}")
    running = [
        subprocess.Popen(
            [VERITY, *AUTO, ref],
            cwd=world.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for ref in refs
    ]
    serials = []
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        serials.append(json.loads(out)["serial"])
    assert sorted(serials) == list(range(3, 9))
    assert [serial_of(world, ref) for ref in refs] == serials
    assert recorded(world) == list(range(1, 9))


def equivocates(done: Done, serial: int) -> None:
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (f"stream os serial {serial}: statement",), hint=True)


def test_one_serial_for_two_commits_is_refused(world: World) -> None:
    before = snapshot(world.path)
    equivocates(verity(*SIGN, "--serial", "2", UNSIGNED_REF, cwd=world.path), 2)
    # The same commit at another time is another statement, too.
    later = ("--issued", "2035-01-01T00:00:00Z", "--expires", "2036-01-01T00:00:00Z")
    equivocates(verity(*SIGN, "--serial", "1", *later, "--replace", REF, cwd=world.path), 1)
    assert snapshot(world.path) == before


def test_a_serial_that_is_in_use_is_seen_without_the_record(world: World) -> None:
    (world.path / RECORD).unlink()
    equivocates(verity(*SIGN, "--serial", "2", UNSIGNED_REF, cwd=world.path), 2)
    assert good(world, *AUTO, UNSIGNED_REF).records[0]["serial"] == 3


def test_history_is_looked_at_when_there_is_no_record(world: World) -> None:
    """The last signed commit is no longer what a ref names, and the record is lost."""
    good(world, *SIGN, "--serial", "7", UNSIGNED_REF)
    parent = world.checksum(UNSIGNED_REF)
    commit(world.repo, world.path / "tree", UNSIGNED_REF, "--subject=next")
    raw = world.object(world.checksum(UNSIGNED_REF), "commit").read_bytes()
    assert Commit.parse(raw, label="next").parent == parent
    (world.path / RECORD).unlink()
    assert good(world, *AUTO, UNSIGNED_REF).records[0]["serial"] == 8


def test_history_that_was_not_pulled_along(world: World) -> None:
    parent = world.checksum(UNSIGNED_REF)
    commit(world.repo, world.path / "tree", UNSIGNED_REF, "--subject=next")
    world.object(parent, "commit").unlink()
    (world.path / RECORD).unlink()
    assert good(world, *AUTO, UNSIGNED_REF).records[0]["serial"] == 3


def test_a_failure_gives_the_serial_back(world: World) -> None:
    for serial in ("auto", "3"):
        home = ("--gpg-sign", "nobody@example.org", "--gpg-homedir", "none")
        done = verity(*SIGN, "--serial", serial, *home, UNSIGNED_REF, cwd=world.path)
        assert done.status == 3
        assert recorded(world) == [1, 2]
    prepare = ("sign", "prepare", "commit", "--repo", "repo", "--stream", "os")
    taken = verity(*prepare, "--serial", "auto", "-o", "vendor.pem", UNSIGNED_REF, cwd=world.path)
    assert taken.status == 3
    assert_clean_error(taken, ("vendor.pem: exists already",), hint=True)
    assert recorded(world) == [1, 2]
    assert good(world, *AUTO, UNSIGNED_REF).records[0]["serial"] == 3


def test_a_prepared_bundle_keeps_its_serial(world: World) -> None:
    prepare = ("sign", "prepare", "commit", "--repo", "repo", "--stream", "os", "--serial", "auto")
    assert "as        stream os serial 3\n" in good(world, *prepare, "-o", "b", UNSIGNED_REF).out
    assert good(world, *AUTO, "--replace", OTHER_REF).records[0]["serial"] == 4
    # Nobody else gets it, not even by asking for it.
    equivocates(verity(*SIGN, "--serial", "3", "--replace", REF, cwd=world.path), 3)
    good(world, "sign", "add", "--yes", "--key", "vendor.pem", "b")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--repo", "repo", "b")
    good(world, *attach)
    assert serial_of(world, UNSIGNED_REF) == 3
    # The same statement once more is no equivocation.
    good(world, *attach[:-1], "--replace", "b")


def test_of_two_bundles_with_one_serial_one_is_attached(world: World) -> None:
    for name, ref in (("a", UNSIGNED_REF), ("b", OTHER_REF)):
        prepare = ("sign", "prepare", "commit", "--repo", "repo", "--stream", "os")
        good(world, *prepare, "--serial", "5", "--replace", "-o", name, ref)
        good(world, "sign", "add", "--yes", "--key", "vendor.pem", name)
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--repo", "repo", "--replace")
    good(world, *attach, "a")
    before = snapshot(world.path)
    equivocates(verity(*attach, "b", cwd=world.path), 5)
    assert snapshot(world.path) == before


DAMAGED = {
    "not JSON": ("{", 1, "serials/os.json: record of serials: not JSON"),
    "of another stream": (
        '{"_type":"application/vnd.verity.serials.v1+json","given":[],"stream":"x"}',
        1,
        "it is of the stream 'x', expected 'os'",
    ),
    "all serials used": (
        '{"_type":"application/vnd.verity.serials.v1+json","given":[{"serial":9007199254740991,'
        f'"statement":"{"0" * 64}"}}],"stream":"os"}}',
        3,
        "the serial 9007199254740991 is in use",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_record_that_can_not_be_used(world: World, name: str) -> None:
    text, status, words = DAMAGED[name]
    (world.path / RECORD).write_text(text)
    before = snapshot(world.path)
    done = verity(*AUTO[:-1], UNSIGNED_REF, cwd=world.path)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, (words,), hint=True)
    assert snapshot(world.path) == before


def test_a_record_behind_a_link_is_refused(world: World) -> None:
    (world.path / RECORD).rename(world.path / "elsewhere")
    (world.path / RECORD).symlink_to(world.path / "elsewhere")
    done = verity(*AUTO, UNSIGNED_REF, cwd=world.path)
    assert done.status == 3
    assert_clean_error(done, ("serials/os.json: is a symbolic link",), hint=True)


def test_stock_ostree_leaves_the_record_alone(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    before = (world.path / RECORD).read_bytes()
    stock("ostree", "--repo=repo", "fsck", cwd=world.path)
    stock("ostree", "--repo=repo", "prune", "--refs-only", cwd=world.path)
    stock("ostree", "--repo=repo", "summary", "--update", cwd=world.path)
    assert (world.path / RECORD).read_bytes() == before


def test_an_extension_has_its_record_in_a_file(world: World) -> None:
    tree = world.path / "tools"
    tree.mkdir()
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    sign = ("extension", "sign", "--key", "vendor.pem", "--stream", "tools", "--tree", "tools")
    state = ("--state", "tools.serials")
    for serial in (1, 2):
        made = good(world, *sign, *state, "--serial", "auto", "--json", f"out{serial}")
        assert made.records[0]["serial"] == serial
    done = verity(*sign, *state, "--days", "9", "--serial", "2", "out3", cwd=world.path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("stream tools serial 2: statement",), hint=True)
    assert not os.path.lexists(world.path / "out3")
    # What could not be written has no serial.
    assert verity(*sign, *state, "--serial", "auto", "out1", cwd=world.path).status == 3
    prepare = ("sign", "prepare", "extension", "--stream", "tools", "--tree", "tools")
    assert "serial 3\n" in good(world, *prepare, *state, "--serial", "auto", "-o", "b").out
    good(world, "sign", "add", "--yes", "--key", "vendor.pem", "b")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--tree", "tools", *state, "b")
    good(world, *attach, "out4")
    assert (
        good(world, *sign, *state, "--serial", "auto", "--json", "out5").records[0]["serial"] == 4
    )


def test_extensions_at_once(world: World, tmp_path: Path) -> None:
    tree = tmp_path / "tools"
    tree.mkdir()
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    key = world.path / "vendor.pem"
    sign = ("extension", "sign", "--key", key, "--stream", "t", "--serial", "auto", "--state", "s")
    running = [
        subprocess.Popen(
            [VERITY, *sign, "--tree", "tools", "--json", f"out{number}"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]
    serials = [json.loads(process.communicate(timeout=120)[0])["serial"] for process in running]
    assert sorted(serials) == [1, 2, 3, 4]
