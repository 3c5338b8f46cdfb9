# SPDX-License-Identifier: Apache-2.0
"""The loader's record of a trial, compiled natively: begun once for a serial, never in doubt."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import loader_program
from tests.cli.program import needs_root
from verity.formats import trial_record

HARNESS = Path(__file__).with_name("loader_trial.c")
Begin = Callable[[int], tuple[str, str]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The program, and the directory that it takes for the host's state."""
    folder = tmp_path_factory.mktemp("trial")
    state = folder / "state"
    parts = ("trial", "host", "identity", "failure", "import", "bundle", "floors", "keylist")
    flags = ("-std=gnu11", f'-DVERITY_STATE_DIR="{state}"')
    program = loader_program.compiled(folder / "trial", HARNESS, parts, *flags)
    return program, state


@pytest.fixture
def state(built: tuple[Path, Path]) -> Path:
    folder = built[1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.fixture
def begin(built: tuple[Path, Path], state: Path) -> Begin:
    def call(serial: int) -> tuple[str, str]:
        done = subprocess.run([built[0], str(serial)], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        word, _, why = done.stdout.strip().partition(" ")
        return word, why

    return call


def test_once_for_a_serial(begin: Begin, state: Path) -> None:
    assert begin(2) == ("begun", "")
    found = trial_record.parse((state / "trial").read_bytes())
    assert found.serial == 2
    assert found.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace(
        "-", ""
    )
    word, why = begin(2)
    assert word == "over" and "policy serial 2 had its trial in the boot" in why
    assert begin(4) == ("begun", "")
    assert trial_record.parse((state / "trial").read_bytes()).serial == 4
    assert os.listdir(state) == ["trial"]


@pytest.mark.parametrize(
    "text", [b"", b"verity-trial 2\nserial 2\n", b"verity-trial 1\nserial 2x\n", b"\0" * 600]
)
def test_a_damaged_record_is_no_trial(begin: Begin, state: Path, text: bytes) -> None:
    (state / "trial").write_bytes(text)
    word, why = begin(2)
    assert word == "unwritten" and "is damaged" in why
    assert (state / "trial").read_bytes() == text


def test_no_directory(begin: Begin, state: Path) -> None:
    state.rmdir()
    word, why = begin(2)
    assert word == "unwritten" and "can't be written: No such file" in why


def test_a_link_in_its_place_is_not_followed(begin: Begin, state: Path) -> None:
    (state / "trial.new").symlink_to("elsewhere")
    word, why = begin(2)
    assert word == "unwritten" and "can't be written" in why
    assert not (state / "elsewhere").exists()


@needs_root
def test_a_full_disk(begin: Begin, state: Path) -> None:
    """A file system without room: what can't be written down isn't begun, and leaves nothing."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=9", "none", state], check=True)
    try:
        (state / "full").write_bytes(b"x" * 4096)
        word, why = begin(2)
        assert word == "unwritten" and "No space left on device" in why
        assert os.listdir(state) == ["full"]
    finally:
        subprocess.run(["umount", state], check=True)
