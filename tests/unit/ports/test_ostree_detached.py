# SPDX-License-Identifier: Apache-2.0
"""Detached metadata: read, replaced as a whole or not at all, beside others who write it."""

import fcntl
import os
import struct
from pathlib import Path

import pytest

from tests.ostree_world import World, refused
from verity.formats.commit import DetachedMetadata
from verity.ports import ostree_detached
from verity.ports.ostree_repo import Repository
from verity.values.errors import HostError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "repo")


NONE = DetachedMetadata()


def test_detached(world: World) -> None:
    path = world.object(world.commit, "commitmeta")
    with Repository(world.path) as repository:
        assert repository.read_detached(world.commit).entries == ()
        one = NONE.with_bytes("k", b"1")
        repository.write_detached(world.commit, one, expected=NONE)
        assert path.read_bytes() == one.encode()
        assert path.stat().st_mode & 0o7777 == 0o644
        found = repository.read_detached(world.commit)
        repository.write_detached(world.commit, found.with_bytes("k", b"2"), expected=found)
        found = repository.read_detached(world.commit)
        assert found.get_bytes("k") == b"2"
        repository.write_detached(world.commit, found.without("k"), expected=found)
        assert not path.exists()
    assert os.listdir(world.path / "tmp") == []


def test_detached_changed_meanwhile(world: World) -> None:
    path = world.object(world.commit, "commitmeta")
    one, two = NONE.with_bytes("k", b"1"), NONE.with_bytes("k", b"2")
    with Repository(world.path) as repository:
        write = repository.write_detached
        refused(HostError, "changed-meanwhile", lambda: write(world.commit, two, expected=one))
        assert not path.exists()
        write(world.commit, one, expected=NONE)
        for expected in (NONE, two):
            refused(
                HostError,
                "changed-meanwhile",
                lambda e=expected: write(world.commit, two, expected=e),  # type: ignore[misc]  # one of a loop
            )
        assert path.read_bytes() == one.encode()


def test_detached_made_by_one_who_takes_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ostree sign` between the comparison and the link: its signature stays."""
    path = world.object(world.commit, "commitmeta")
    theirs = NONE.with_bytes("theirs", b"")
    real = ostree_detached._write_new

    def late(tmp: int, name: str, data: bytes) -> None:
        path.write_bytes(theirs.encode())
        real(tmp, name, data)

    monkeypatch.setattr(ostree_detached, "_write_new", late)
    with Repository(world.path) as repository:
        refused(
            HostError,
            "changed-meanwhile",
            lambda: repository.write_detached(
                world.commit, NONE.with_bytes("ours", b""), expected=NONE
            ),
        )
    assert path.read_bytes() == theirs.encode()
    assert os.listdir(world.path / "tmp") == []


@pytest.mark.parametrize("step", ["fsync", "rename", "fchmod"])
def test_detached_failure_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = world.object(world.commit, "commitmeta")
    one = NONE.with_bytes("k", b"1")

    def fail(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with Repository(world.path) as repository:
        repository.write_detached(world.commit, one, expected=NONE)
        monkeypatch.setattr(os, step, fail)
        refused(
            HostError,
            "no-space",
            lambda: repository.write_detached(
                world.commit, one.with_bytes("k", b"2"), expected=one
            ),
        )
    assert path.read_bytes() == one.encode()
    assert os.listdir(world.path / "tmp") == []


def test_detached_after_a_crash(world: World) -> None:
    """What a killed writer left in tmp is in nobody's way."""
    (world.path / f"tmp/verity-{world.commit}.commitmeta").write_bytes(b"half")
    with Repository(world.path) as repository:
        repository.write_detached(world.commit, NONE.with_bytes("k", b"1"), expected=NONE)
    assert os.listdir(world.path / "tmp") == []


@pytest.mark.parametrize("kind", [fcntl.F_RDLCK, fcntl.F_WRLCK], ids=["shared", "exclusive"])
def test_detached_waits_for_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr(ostree_detached, "_ATTEMPTS", 3)
    monkeypatch.setattr(ostree_detached, "_PAUSE", 0.01)
    one = NONE.with_bytes("k", b"1")
    with Repository(world.path) as repository, open(world.path / ".lock", "a+b") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))
        refused(
            HostError, "locked", lambda: repository.write_detached(world.commit, one, expected=NONE)
        )
        held.close()
        repository.write_detached(world.commit, one, expected=NONE)
