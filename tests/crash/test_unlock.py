# SPDX-License-Identifier: Apache-2.0
"""The unlock's verbs killed at any system call that writes: the ledger is whole, a line is there or
not, and nothing was handed to the gate that the ledger doesn't have."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import shim as shim
from tests.cli.gate_host import Host
from tests.cli.program import VERITY, needs_root
from tests.cli.unlock_world import ASK, calls, ledger, make_desk, on, played, seal

MOST = 60
ACCEPTED = 3000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's desk, for reading."""
    return make_desk(tmp_path_factory.mktemp("desk"))


def killed(host: Host, call: str, nth: int, *args: str) -> bool:
    """Run a verb on the host, to be killed at this call; whether it was."""
    tracing = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}")
    quiet = ("strace", "-f", "-qq", "-o", "/dev/null", *tracing)
    done = subprocess.run(
        [*quiet, VERITY, "unlock", *args, "--root", "."],
        cwd=host.root,
        env={**os.environ, **played(host, (ACCEPTED,))},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


def events(host: Host) -> list[str]:
    return [str(one["event"]) for one in ledger(host) if one["event"] != "torn"]


def whole(host: Host) -> bool:
    done = on(host, "ledger", "verify")
    return done.status == 0


@needs_root
@pytest.mark.parametrize("call", ["write", "fsync", "renameat"])
def test_a_challenge_is_written_down_or_not(tmp_path: Path, shim: Path, call: str) -> None:
    nth = 1
    while nth < MOST:
        (tmp_path / str(nth)).mkdir()
        host = seal(Host(tmp_path / str(nth), shim))
        assert on(host, "challenge", *ASK).status == 0
        was_killed = killed(host, call, nth, "challenge", *ASK)
        # The line that was being written is there whole, or is taken away by the next one.
        assert on(host, "challenge", *ASK).status == 0
        assert whole(host)
        assert len(events(host)) in ((2, 3) if was_killed else (3,))
        if not was_killed:
            break
        nth += 1
    assert 1 < nth < MOST, f"{call} is never called"


@needs_root
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_nothing_is_applied_that_is_not_written_down(
    made: Path, tmp_path: Path, shim: Path, call: str
) -> None:
    nth, seen = 1, set()
    while nth < MOST:
        (tmp_path / str(nth)).mkdir()
        host = seal(Host(tmp_path / str(nth), shim))
        was_killed = killed(host, call, nth, "apply", str(made / "token"))
        given = bool(calls(host))
        assert not given or events(host)[:1] == ["apply"]
        seen.add(given)
        assert on(host, "challenge", *ASK).status == 0
        assert whole(host)
        if not was_killed:
            assert events(host) == ["apply", "grant", "challenge"]
            break
        nth += 1
    assert 1 < nth < MOST, f"{call} is never called"
    assert seen == {False, True}
