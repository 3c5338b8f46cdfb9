# SPDX-License-Identifier: Apache-2.0
"""`verity acknowledge` killed at any system call that changes something: the record is the old one
or the new one, and a rerun makes the new one, with nothing left over."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.program import VERITY, copy, needs_root, verity
from tests.etc_world import write
from verity.formats import acknowledged
from verity.ports import places

ARGS = ("acknowledge", "--root", "root")
MOST = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with a record, and something that changed since."""
    path = tmp_path_factory.mktemp("crash-acknowledge")
    write(path / "root/etc/hostname", "old\n")
    assert verity(*ARGS, cwd=path).status == 0
    write(path / "root/etc/hostname", "new\n")
    return path


def digest(path: Path) -> bytes | None:
    """Which hostname was acknowledged; the record must be whole."""
    stored = acknowledged.parse((path / "root" / places.ACKNOWLEDGED).read_bytes())
    return stored.record.files[0].digest


def check(made: Path, where: Path, call: str, nth: int) -> bool:
    """One kill; whether there was one."""
    path = copy(made, where)
    before = digest(path)
    tracing = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", *tracing, VERITY, *ARGS],
        cwd=path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    found = digest(path)
    again = verity(*ARGS, cwd=path)
    assert again.status == 0, again.err
    after = digest(path)
    assert after != before
    assert found in (before, after)
    assert found == after or done.returncode != 0
    assert names(path) == ["record"]
    return done.returncode != 0


def names(path: Path) -> list[str]:
    return sorted(one.name for one in (path / "root" / places.ACKNOWLEDGED).parent.iterdir())


@needs_root
@pytest.mark.parametrize("call", ["fsync", "renameat"])
def test_kill_everywhere(made: Path, tmp_path: Path, call: str) -> None:
    nth = 1
    while check(made, tmp_path / str(nth), call, nth):
        nth += 1
        assert nth < MOST
    assert nth > 1, f"{call} is never called"
