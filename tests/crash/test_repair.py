# SPDX-License-Identifier: Apache-2.0
"""`verity repair` killed at any system call that changes something.

Then each file is as it was or as signed, and a rerun makes all of it as signed, with nothing left
over. Up to the first changed name nothing has changed at all.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import VERITY, copy, needs_root, verity
from tests.cli.test_repair import CODE, TREE, tamper
from tests.cli.worlds import World, make_keys, make_world
from tests.etc_world import State, state_of

ARGS = ("repair", *TREE, "--remove-unsigned")
# What it makes of calls that change something. On entering the nth of them it is killed, so that
# the nth is the first that isn't done.
CALLS = (
    *("write", "syncfs", "renameat", "mkdirat", "unlinkat", "symlinkat"),
    *("fchown", "fchownat", "fchmod", "fremovexattr"),
)
MOST = 200
_DAY_S = 86400


@dataclass(frozen=True, kw_only=True)
class Tampered:
    """A tree to repair, for copying; what it is like, and what it should be."""

    world: World
    old: State
    new: State


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Tampered:
    path = tmp_path_factory.mktemp("crash-repair")
    (path / "keys").mkdir()
    make_keys(path / "keys")
    (path / "w").mkdir()
    world = make_world(path / "w", "bare", path / "keys")
    tree = world.path / "tree"
    new = state_of(tree)
    tamper(tree)
    (tree / "usr/lib").mkdir()
    (tree / "usr/lib/evil.so").write_bytes(CODE)
    return Tampered(world=world, old=state_of(tree), new=new)


def check(tampered: Tampered, where: Path, call: str, nth: int) -> bool:
    """One kill; whether there was one."""
    world = World(copy(tampered.world.path, where))
    tree = world.path / "tree"
    inject = f"inject={call}:signal=KILL:when={nth}"
    tracing = ("-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    done = subprocess.run(
        ["strace", "-f", "-qq", *tracing, VERITY, *ARGS],
        cwd=world.path,
        capture_output=True,
        timeout=60,
    )
    # 1: at the end of a whole run, where there is no fs-verity.
    assert done.returncode in (0, 1, -9, 137), done.stderr
    killed = done.returncode not in (0, 1)
    found = state_of(tree)
    for name, state in found.items():
        if ".verity-stage" not in name:
            assert state in (tampered.old.get(name), tampered.new.get(name)) or is_between(state)
    again = verity(*ARGS, cwd=world.path)
    assert again.status in (0, 1), again.err
    assert state_of(tree) == tampered.new
    return killed


def is_between(state: tuple[object, ...]) -> bool:
    """A directory that was made and not yet given its mode: closed to all others."""
    mode = state[0]
    assert isinstance(mode, int)
    return mode in (0o40700, 0o40755, 0o40777)


@needs_root
def test_kill_somewhere(tampered: Tampered, tmp_path: Path) -> None:
    """Each day other points, of the calls that every run makes."""
    day = int(time.time()) // _DAY_S
    for call, most in (("write", 6), ("syncfs", 2), ("unlinkat", 3)):
        nth = day % most + 1
        assert check(tampered, tmp_path / call, call, nth), f"{call} is not called {nth} times"


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("call", CALLS)
def test_kill_everywhere(tampered: Tampered, tmp_path: Path, call: str) -> None:
    nth = 1
    while check(tampered, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
    assert nth > 1, f"{call} is never called"
