# SPDX-License-Identifier: Apache-2.0
"""`verity etc apply` and `sign` killed at any system call that changes something.

After an apply that was killed, /etc is the old one, or status says that one is pending and a rerun
makes it the new one, exactly, with nothing left over.
"""

import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.program import VERITY, copy, needs_root
from tests.etc_world import KEY, STREAM, EtcWorld, State, make_etc_world, make_first, make_second

# On entering the nth of them the process is killed, so that the nth is the first that isn't done.
CALLS = (
    *("write", "fsync", "syncfs", "flock"),
    *("rename", "renameat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "symlinkat"),
    *("fchown", "fchownat", "fchmod", "chmod", "fsetxattr", "fremovexattr"),
)
MOST = 200
_DAY_S = 86400


def kill_at(world: EtcWorld, call: str, nth: int, *command: str) -> bool:
    """Run it until the nth of these calls; whether it came so far."""
    inject = f"inject={call}:signal=KILL:when={nth}"
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject),
            *(VERITY, *command),
        ],
        cwd=world.path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[EtcWorld, State, State]:
    """A host at serial 1 with serial 2 to go to, and what /etc is like at each."""
    path = tmp_path_factory.mktemp("crash-etc")
    world = make_etc_world(path, make_first)
    old = world.files()
    make_second(world.etc)
    world.must_sign(2)
    new = world.files()
    assert world.run("apply", "1").status == 0
    assert world.files() == old
    return world, old, new


def check_apply(signed: tuple[EtcWorld, State, State], where: Path, call: str, nth: int) -> bool:
    """One kill, from serial 1 to 2; whether there was one."""
    pristine, old, new = signed
    world = EtcWorld(copy(pristine.path, where))
    if not kill_at(world, call, nth, "etc", "apply", *KEY, "2"):
        assert (world.files(), world.current()) == (new, "2")
        return False
    pending = (world.state / "journal").exists()
    # Without a journal nothing has changed, but for what was prepared.
    prepared = [name for name in world.files() if name.startswith(".verity-stage")]
    there = {name: what for name, what in world.files().items() if name not in prepared}
    assert pending or there in (old, new)
    status = world.run("status")
    assert ("pending" in status.out) == pending
    done = world.run("apply", "--resume")
    assert done.status == 0, done.err
    assert world.files() == (new if pending or world.current() == "2" else old)
    assert not (world.state / "journal").exists()
    again = world.run("status")
    assert again.status == 0, again.out
    return True


def check_sign(signed: tuple[EtcWorld, State, State], where: Path, call: str, nth: int) -> bool:
    """One kill of a signing; whether there was one."""
    world = EtcWorld(copy(signed[0].path, where))
    (world.etc / "motd").write_text("a third one\n")
    options = ("--root", "root", "--key", "etc.pem", "--stream", STREAM, "--serial", "3")
    killed = kill_at(world, call, nth, "etc", "sign", *options)
    status = world.run("status")
    if status.status:  # the intent is the one before, and all of it
        found = [line for line in status.out.splitlines() if line.startswith("FINDING")]
        assert found == ["FINDING  changed  /etc/motd: content differs from what is signed"]
        world.must_sign(3)
        assert world.run("status").status == 0
    leftover = [path.name for path in world.state.iterdir() if path.name.endswith(".tmp")]
    assert status.status == 0 or not leftover
    return killed


@needs_root
@pytest.mark.parametrize("verb", [check_apply, check_sign])
def test_kill_somewhere(
    signed: tuple[EtcWorld, State, State], tmp_path: Path, verb: object
) -> None:
    """Each day other points, of the calls that every run makes."""
    assert callable(verb)
    day = int(time.time()) // _DAY_S
    for call, most in (("fsync", 4), ("write", 4), ("rename", 2)):
        nth = day % most + 1
        assert verb(signed, tmp_path / call, call, nth), f"{call} is not called {nth} times"


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("verb", [check_apply, check_sign])
@pytest.mark.parametrize("call", CALLS)
def test_kill_everywhere(
    signed: tuple[EtcWorld, State, State], tmp_path: Path, call: str, verb: object
) -> None:
    assert callable(verb)
    nth = 1
    while verb(signed, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
