# SPDX-License-Identifier: Apache-2.0
"""policy/initramfs/verity-confirm, which runs once a host has come up, with a host that is played.

What it says of the last update, tests/crash/test_stage_failing.py asks.
"""

import hashlib
import subprocess
from pathlib import Path

import pytest

from verity.formats import trial_record

SCRIPT = Path(__file__).parents[2] / "policy/initramfs/verity-confirm"
BOOT = "0b1c2d3e-0000-4000-8000-000000000001"
OTHER = BOOT.replace("1", "2")
TRIAL = f"verity-trial 1\nserial 7\nboot {BOOT}\n"
STATUS = "version 1\nstate sealed\npolicy_serial 7\npolicy_mode trial\nsealed_ms 900\n"
BUNDLE = b"the bundle of this boot"


class Up:
    """A host that has come up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "var/lib/verity"
        for path in ("run", "sys/fs/bpf/verity", "proc/sys/kernel/random", "var/lib/verity"):
            (folder / path).mkdir(parents=True)
        (self.state / "boot.bundle").write_bytes(BUNDLE)
        (folder / "proc/sys/kernel/random/boot_id").write_text(f"{BOOT}\n")

    def confirms(self, status: str = STATUS) -> None:
        (self.folder / "sys/fs/bpf/verity/status").write_text(status)
        text = SCRIPT.read_text()
        for place in ("/run/", "/sys/fs/", "/proc/", "/var/lib/"):
            assert place in text
            text = text.replace(place, f"{self.folder}{place}")
        subprocess.run(["sh", "-c", text], check=True, timeout=60)

    @property
    def bundle(self) -> bytes:
        return (self.state / "confirmed/boot.bundle").read_bytes()

    @property
    def came_up(self) -> trial_record.CameUp | None:
        path = self.state / "confirmed/trial"
        return trial_record.parse_came_up(path.read_bytes()) if path.exists() else None


@pytest.fixture
def up(tmp_path: Path) -> Up:
    return Up(tmp_path)


def test_what_it_came_up_with(up: Up) -> None:
    up.confirms()
    assert up.bundle == BUNDLE and up.came_up is None
    (up.state / "boot.bundle").write_bytes(b"the next")
    up.confirms()
    assert up.bundle == b"the next"


def test_a_trial_that_came_up(up: Up) -> None:
    (up.state / "trial").write_text(TRIAL)
    up.confirms()
    expected = trial_record.CameUp(
        trial=trial_record.parse(TRIAL.encode()), bundle=hashlib.sha256(BUNDLE).digest()
    )
    assert up.came_up == expected
    # The boot behind it observes, with other things on the disk.
    (up.state / "boot.bundle").write_bytes(b"the next")
    (up.folder / "proc/sys/kernel/random/boot_id").write_text(f"{OTHER}\n")
    up.confirms(STATUS.replace("sealed\n", "observe\n"))
    assert up.came_up == expected


@pytest.mark.parametrize(
    ("trial", "status"),
    [
        (TRIAL.replace(BOOT, OTHER), STATUS),
        (TRIAL.replace(BOOT, "unknown"), STATUS),
        (TRIAL.replace("7", "8"), STATUS),
        (TRIAL, STATUS.replace("state sealed", "state observe")),
        (TRIAL, STATUS + f"unlock {'0a' * 16} path 1 60 120 live - -\n"),
        ("", STATUS),
    ],
)
def test_no_trial_came_up(up: Up, trial: str, status: str) -> None:
    """It was another boot's or another policy's, it didn't enforce, or an unlock helped it."""
    (up.state / "trial").write_text(trial)
    up.confirms(status)
    assert up.bundle == BUNDLE and up.came_up is None


def test_a_host_that_came_up_by_the_confirmed_bundle(up: Up) -> None:
    """The other one was refused: it doesn't take the place of the one that works."""
    up.confirms()
    (up.state / "boot.bundle").write_bytes(b"damaged")
    (up.state / "tries").write_text("2\n")
    (up.folder / "run/verity-by-confirmed").touch()
    up.confirms()
    assert up.bundle == BUNDLE and (up.state / "tries").exists()
