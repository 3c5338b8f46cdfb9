# SPDX-License-Identifier: Apache-2.0
"""A signed /etc for what ends it anywhere, and what has to hold afterwards.

After an apply that was cut off, /etc is the old one, or status says that one is pending and a rerun
makes it the new one, exactly, with nothing left over. What was reported as done is done.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.etc_world import KEY, STREAM, EtcWorld, State, make_etc_world, make_first, make_second

APPLY_ARGS = (*KEY, "2")
SIGN_ARGS = ("--root", "root", "--key", "etc.pem", "--stream", STREAM, "--serial", "3")


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A host at serial 1 with serial 2 to go to, for copying; what /etc is like at each."""

    world: EtcWorld
    old: State
    new: State


def make(path: Path) -> Signed:
    """The host, in a directory that is there."""
    world = make_etc_world(path, make_first)
    old = world.files()
    make_second(world.etc)
    world.must_sign(2)
    new = world.files()
    assert world.run("revert").status == 0
    assert world.files() == old
    return Signed(world=world, old=old, new=new)


def check_applied(signed: Signed, world: EtcWorld, *, reported: bool) -> None:
    """After an apply from serial 1 to 2; ``reported``: it had said that it was done."""
    if reported:
        assert (world.files(), world.current()) == (signed.new, "2")
        assert not (world.state / "journal").exists()
        return
    pending = (world.state / "journal").exists()
    # Without a journal nothing has changed, but for what was prepared.
    prepared = [name for name in world.files() if name.startswith(".verity-stage")]
    there = {name: what for name, what in world.files().items() if name not in prepared}
    assert pending or there in (signed.old, signed.new)
    status = world.run("status")
    assert ("pending" in status.out) == pending
    done = world.run("apply", "--resume")
    assert done.status == 0, done.err
    through = pending or world.current() == "2"
    assert world.files() == (signed.new if through else signed.old)
    assert not (world.state / "journal").exists()
    again = world.run("status")
    assert again.status == 0, again.out


def check_signed(world: EtcWorld, *, reported: bool) -> None:
    """After signing serial 3, for which motd was changed."""
    status = world.run("status")
    assert status.status == 0 or not reported
    if status.status:  # the intent is the one before, and all of it
        found = [line for line in status.out.splitlines() if line.startswith("FINDING")]
        assert found == ["FINDING  changed  /etc/motd: content differs from what is signed"]
        world.must_sign(3)
        assert world.run("status").status == 0
    leftover = [path.name for path in world.state.iterdir() if path.name.endswith(".tmp")]
    assert status.status == 0 or not leftover
