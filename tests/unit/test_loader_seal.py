# SPDX-License-Identifier: Apache-2.0
"""What the loader says of a seal, compiled natively: also of one that an initramfs has made."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import loader_program

HARNESS = Path(__file__).with_name("loader_seal.c")
SERIAL = 3
Seal = Callable[..., str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The program, and the directory that it takes for the host's state."""
    folder = tmp_path_factory.mktemp("seal")
    state = folder / "state"
    parts = ("seal", "trial", "failure", "bundle", "floors", "keylist")
    flags = ("-std=gnu11", f'-DVERITY_STATE_DIR="{state}"')
    program = loader_program.compiled(folder / "seal", HARNESS, parts, *flags)
    return program, state


@pytest.fixture
def seal(built: tuple[Path, Path]) -> Seal:
    program, state = built
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()

    def call(state: str, mode: str, *, late: int = 0) -> str:
        argv = [str(program), state, mode, str(SERIAL), str(late)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return call


def test_a_trial_has_one_boot(seal: Seal) -> None:
    assert seal("observe", "trial") == "seals sealed trial"
    assert seal("observe", "trial") == "leaves observe trial-over"


@pytest.mark.parametrize(("mode", "why"), [("trial", "trial"), ("sealed", "sealed")])
def test_what_an_initramfs_has_sealed_is_said_as_what_it_is(
    seal: Seal, mode: str, why: str
) -> None:
    """The unit that seals at level B0 runs at B1, too, and finds it done."""
    assert seal("sealed", mode) == f"leaves sealed {why}"


def test_a_trial_that_was_is_the_reason_whatever_runs_now(seal: Seal) -> None:
    assert seal("observe", "trial") == "seals sealed trial"
    assert seal("observe", "trial", late=1) == "leaves observe trial-over"


@pytest.mark.parametrize("mode", ["trial", "sealed"])
def test_what_runs_keeps_it_from_the_seal(seal: Seal, mode: str) -> None:
    """And a trial from being written down: the next boot may begin it."""
    assert seal("observe", mode, late=1) == "leaves observe late"
    assert seal("observe", mode) == f"seals sealed {mode}"


def test_nobody_asked(seal: Seal) -> None:
    assert seal("observe", "observe", late=1) == "leaves observe policy"
