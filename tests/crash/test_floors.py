# SPDX-License-Identifier: Apache-2.0
"""`commit verify --accept` killed at any system call that changes something.

Afterwards the floor is the old one or the new one, whole: what was refused before is refused still,
and a second run raises it, with nothing left over.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.floor_host import ACCEPT, FIRST, NAME, Host, checks
from tests.cli.program import VERITY, copy
from tests.cli.spoil import KEY, REPO
from tests.cli.worlds import World, make_keys, make_world

# On entering the nth of these calls it is killed, so that the nth is the first that isn't done.
CALLS = ("mkdir", "flock", "write", "fchmod", "fsync", "rename")
MOST = 40


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Serials 1 and 5, of which the first is accepted."""
    keys = tmp_path_factory.mktemp("keys")
    make_keys(keys)
    host = Host(make_world(tmp_path_factory.mktemp("crash-floors"), "archive", keys))
    host.accepted(host.old, FIRST)
    return host


def at(path: Path) -> Host:
    """The copied host, as it is."""
    found = object.__new__(Host)
    found.world = World(path, "archive")
    found.root = path / "host"
    found.state = found.root / "var/lib/verity"
    found.floor = found.state / "floors" / NAME
    return found


def kill_at(host: Host, revision: str, how: str, call: str, nth: int) -> bool:
    """Accept until the nth of these calls; whether it came so far."""
    inject = f"inject={call}:signal=KILL:when={nth}"
    tracing = ("-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    command = ("commit", "verify", *REPO, *KEY, "--root", "host", how, revision)
    done = subprocess.run(
        ["strace", "-f", "-qq", *tracing, VERITY, *command],
        cwd=host.world.path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


def check_raise(pristine: Host, where: Path, call: str, nth: int) -> bool:
    """From serial 1 to 5; whether there was a kill."""
    host = at(copy(pristine.world.path, where))
    old, new = pristine.old, pristine.new
    before = host.floor.read_bytes()
    killed = kill_at(host, new, ACCEPT, call, nth)
    raised = host.floor.read_bytes() != before
    assert killed or raised
    assert checks(host.verify(old)) == (["below-floor"] if raised else [])
    assert checks(host.verify(new, ACCEPT)) == []
    assert checks(host.verify(old)) == ["below-floor"]
    assert [path.name for path in host.floor.parent.iterdir()] == [NAME]
    return killed


def check_first(pristine: Host, where: Path, call: str, nth: int) -> bool:
    """The first acceptance, which makes the directory; whether there was a kill."""
    host = at(copy(pristine.world.path, where))
    host.floor.unlink()
    host.floor.parent.rmdir()
    killed = kill_at(host, pristine.new, FIRST, call, nth)
    there = host.floor.exists()
    assert killed or there
    assert checks(host.verify(pristine.new)) == ([] if there else ["no-floor"])
    assert checks(host.verify(pristine.new, FIRST)) == []
    assert checks(host.verify(pristine.old)) == ["below-floor"]
    assert [path.name for path in host.floor.parent.iterdir()] == [NAME]
    return killed


Check = Callable[[Host, Path, str, int], bool]


@pytest.mark.parametrize(("call", "nth"), [("fsync", 1), ("rename", 1), ("fsync", 2)])
def test_kill_somewhere(pristine: Host, tmp_path: Path, call: str, nth: int) -> None:
    """Before the contents are durable, before they have their name, before that is durable."""
    assert check_raise(pristine, tmp_path / "w", call, nth)


@pytest.mark.full
@pytest.mark.parametrize("check", [check_raise, check_first])
@pytest.mark.parametrize("call", CALLS)
def test_kill_everywhere(pristine: Host, tmp_path: Path, check: Check, call: str) -> None:
    nth = 1
    while check(pristine, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
    assert nth > 1 or (call == "mkdir" and check is check_raise), f"{call} is never called"
