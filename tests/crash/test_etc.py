# SPDX-License-Identifier: Apache-2.0
"""`verity etc apply` and `sign` killed at any system call that changes something.

What has to hold then is in etc_crash.py; test_etc_power.py cuts the power instead.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import VERITY, copy, needs_root
from tests.crash.etc_crash import APPLY_ARGS, SIGN_ARGS, Signed, check_applied, check_signed, make
from tests.daily import today
from tests.etc_world import EtcWorld

# What each makes of calls that change something. On entering the nth of them it is killed, so that
# the nth is the first that isn't done.
APPLY = (
    *("write", "fsync", "syncfs", "renameat", "mkdirat", "unlinkat", "symlinkat"),
    *("fchown", "fchownat", "fchmod", "fsetxattr", "fremovexattr"),
)
SIGN = ("write", "fsync", "syncfs", "renameat", "mkdirat", "unlinkat", "fchmod")
MOST = 200


def kill_at(world: EtcWorld, call: str, nth: int, *command: str) -> bool:
    """Run it until the nth of these calls; whether it came so far."""
    inject = f"inject={call}:signal=KILL:when={nth}"
    tracing = ("-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    done = subprocess.run(
        ["strace", "-f", "-qq", *tracing, VERITY, *command],
        cwd=world.path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """A host at serial 1 with serial 2 to go to."""
    return make(tmp_path_factory.mktemp("crash-etc"))


def check_apply(signed: Signed, where: Path, call: str, nth: int) -> bool:
    """One kill, from serial 1 to 2; whether there was one."""
    world = EtcWorld(copy(signed.world.path, where))
    killed = kill_at(world, call, nth, "etc", "apply", *APPLY_ARGS)
    check_applied(signed, world, reported=not killed)
    return killed


def check_sign(signed: Signed, where: Path, call: str, nth: int) -> bool:
    """One kill of a signing; whether there was one."""
    world = EtcWorld(copy(signed.world.path, where))
    (world.etc / "motd").write_text("a third one\n")
    killed = kill_at(world, call, nth, "etc", "sign", *SIGN_ARGS)
    check_signed(world, reported=not killed)
    return killed


Check = Callable[[Signed, Path, str, int], bool]


@needs_root
@pytest.mark.parametrize("check", [check_apply, check_sign])
def test_kill_somewhere(signed: Signed, tmp_path: Path, check: Check) -> None:
    """Each day other points, of the calls that every run makes."""
    for call, most in (("fsync", 4), ("write", 4), ("renameat", 3)):
        nth = today() % most + 1
        assert check(signed, tmp_path / call, call, nth), f"{call} is not called {nth} times"


@needs_root
@pytest.mark.full
@pytest.mark.parametrize(
    ("check", "call"),
    [*((check_apply, call) for call in APPLY), *((check_sign, call) for call in SIGN)],
)
def test_kill_everywhere(signed: Signed, tmp_path: Path, check: Check, call: str) -> None:
    nth = 1
    while check(signed, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
    assert nth > 1, f"{call} is never called"
