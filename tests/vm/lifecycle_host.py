# SPDX-License-Identifier: Apache-2.0
"""A plain Debian that `verity lockdown init --self-vendor` has made ready, as a test finds it.

The keys lie in KEYS on its disk, where a stick would be mounted. Signing the whole system takes
minutes under emulation, so the disk of such a host is kept with the image, and each test works on
one of its own.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import cache
from .image import Image
from .machine import Machine
from .process import Completed

KEYS = "/media/keys"
KEY = f"--key {KEYS}/user/private/user-policy.pem"
INIT = f"verity lockdown init --self-vendor --keys {KEYS}"
READY_S = 600.0
_BOOT_S = 300.0

# What an owner does after an installation: logins, and nothing that comes up to date at boot.
PREPARE = """
set -e
touch -r /usr /etc/.updated /var/.updated
mkdir -p -m 700 /media/keys /home/user/.ssh
ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -N '' -t ed25519 -f /root/key
cp /root/key.pub /home/user/.ssh/authorized_keys
chown -R user:user /home/user/.ssh
systemctl enable ssh
"""
LOGIN = (
    "ssh -i /root/key -o StrictHostKeyChecking=accept-new -o BatchMode=yes user@localhost id -un"
)


def reboot(machine: Machine) -> None:
    """In order, and up again."""
    machine.shutdown(timeout_s=_BOOT_S)
    machine.boot_again(timeout_s=_BOOT_S)


def cut(machine: Machine) -> None:
    """The power is cut, and the machine comes up from the same disk."""
    machine.power_cut()
    machine.boot_again(timeout_s=_BOOT_S)


def status(machine: Machine) -> dict[str, str]:
    """The ten lines."""
    lines = machine.run("verity lockdown status", check=False, timeout_s=120).text.splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def check(machine: Machine) -> Completed:
    """The arming proof."""
    return machine.run("verity lockdown check --all", check=False, timeout_s=_BOOT_S)


def trial_line(*options: str) -> str:
    """What signs a trial for the next boot."""
    return " ".join(("verity lockdown trial", KEY, *options))


def trial(machine: Machine, *options: str) -> Completed:
    """Signs a trial for the next boot, or says why not."""
    return machine.run(trial_line(*options), check=False, timeout_s=_BOOT_S)


def ready_disk(image: Image) -> Path:
    """The work directory of a machine that was made ready and has booted once under observe."""
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    made = image.path / f"ready-{code}"
    cache.entry(made, lambda partial: _make(image, partial))
    return made


def _make(image: Image, partial: Path) -> None:
    work = partial / "work"
    with Machine.boot("system", image, work=work) as machine:
        machine.run(PREPARE, timeout_s=READY_S)
        machine.run(INIT, timeout_s=READY_S)
        reboot(machine)
        assert status(machine)["state"] == "observe"
        machine.shutdown(timeout_s=_BOOT_S)


@contextmanager
def ready(image: Image, work: Path, *, append: str = "") -> Iterator[Machine]:
    """Such a machine, booted, with a disk of its own in ``work``."""
    shutil.copytree(
        ready_disk(image) / "work", work, ignore=shutil.ignore_patterns("*.log", "*.sock")
    )
    with Machine.boot("system", image, work=work, append=append, timeout_s=_BOOT_S) as machine:
        yield machine
