# SPDX-License-Identifier: Apache-2.0
"""`lockdown init`, `trial`, `confirm` killed at any system call that changes something.

After it the boot bundle is the old one or the new one, whole; what the loader of the next boot gets
is one of the two. The same command then does the rest, and `remove` takes everything away.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import VERITY, needs_root
from tests.daily import today
from tests.lockdown_world import BUNDLE, Owner
from verity.formats.kernel_policy import Mode

CALLS = ("fsync", "rename", "renameat", "write", "unlink", "unlinkat", "symlink", "link", "mkdir")
MOST = 400


def kill_at(line: list[str], call: str, nth: int) -> bool:
    """Run it until the nth of these calls; whether it came so far."""
    inject = f"inject={call}:signal=KILL:when={nth}"
    tracing = ("-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    done = subprocess.run(
        ["strace", "-f", "-qq", *tracing, VERITY, *line], capture_output=True, timeout=120
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """A host that is ready, observing, with serial 1."""
    owner = Owner.new(tmp_path_factory.mktemp("ready"))
    assert owner.init().status == 0
    return owner


def copied(owner: Owner, where: Path) -> Owner:
    shutil.copytree(owner.folder, where, symlinks=True)
    return Owner(where)


def check_init(ready: Owner, where: Path, call: str, nth: int) -> bool:
    """Old: no bundle, so no gate. New: a bundle that verifies. And on from both."""
    owner = Owner.new(where)
    shutil.copytree(ready.keys, owner.keys)
    before = owner.files()
    killed = kill_at(owner.init_line(), call, nth)
    if (owner.root / BUNDLE).exists():
        assert (owner.policy.serial, owner.policy.mode) == (1, Mode.OBSERVE)
    if killed and nth % 2:
        gone = owner.lockdown("remove")
        assert gone.status in (0, 3), gone.err  # 3: it had made nothing yet
        left = {name: data for name, data in owner.files().items() if ".tmp" not in name.name}
        assert left == before
    again = owner.init()
    assert again.status == 0, again.err
    assert owner.policy.mode is Mode.OBSERVE
    return killed


def check_trial(ready: Owner, where: Path, call: str, nth: int) -> bool:
    owner = copied(ready, where)
    killed = kill_at(owner.sign_line("trial"), call, nth)
    assert (owner.policy.serial, owner.policy.mode) in ((1, Mode.OBSERVE), (2, Mode.TRIAL))
    assert killed or owner.policy.mode is Mode.TRIAL
    again = owner.sign("trial")
    assert again.status == 0, again.err
    assert owner.policy.mode is Mode.TRIAL
    return killed


def check_confirm(ready: Owner, where: Path, call: str, nth: int) -> bool:
    owner = copied(ready, where)
    assert owner.sign("trial").status == 0
    owner.tried(2)
    killed = kill_at(owner.sign_line("confirm"), call, nth)
    assert (owner.policy.serial, owner.policy.mode) in ((2, Mode.TRIAL), (3, Mode.SEALED))
    assert killed or owner.policy.mode is Mode.SEALED
    again = owner.sign("confirm")
    assert again.status == 0, again.err
    assert owner.policy.mode is Mode.SEALED
    return killed


Check = Callable[[Owner, Path, str, int], bool]
CHECKS: tuple[Check, ...] = (check_init, check_trial, check_confirm)


@needs_root
@pytest.mark.parametrize("check", CHECKS)
def test_kill_somewhere(ready: Owner, tmp_path: Path, check: Check) -> None:
    """Each day another point, of the calls that every run makes."""
    nth = today() % 4 + 1
    assert check(ready, tmp_path / "fsync", "fsync", nth), f"fsync is not called {nth} times"


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("check", CHECKS)
def test_kill_everywhere(ready: Owner, tmp_path: Path, check: Check, call: str) -> None:
    nth = 1
    while check(ready, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
