# SPDX-License-Identifier: Apache-2.0
"""The power is cut while a boot of a trial, or of a sealed host, is on its way.

A trial is then still to come or over, and the next boot that comes up says which; a sealed host is
sealed again. Each time somebody can log in afterwards, with nobody at the console.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm import Image, Machine, build_image
from tests.vm import lifecycle_host as host
from tests.vm.errors import VmError

pytestmark = pytest.mark.full
# Seconds after power-on, from the kernel's first line to the end of a boot.
SECONDS = tuple(range(6, 31))
CONFIRM = f"verity lockdown confirm {host.KEY} --insecure-unproven"


@pytest.fixture(scope="module")
def image() -> Image:
    return build_image(Path(os.environ["VERITY_WHEEL"]))


def cut_after(machine: Machine, seconds: int) -> None:
    """A boot that has so long and no longer."""
    try:
        machine.boot_again(timeout_s=seconds)
    except VmError:
        return
    machine.power_cut()


def check_trial(machine: Machine) -> None:
    """Begun or not: the boot that comes up enforces exactly if no record says that it was."""
    machine.boot_again(timeout_s=host.READY_S)
    found = host.status(machine)
    if found["state"] == "observe":
        assert found["why"].startswith("the trial had its one boot"), found
        return
    assert found["state"] == "sealed" and found["why"].startswith("this is the one boot"), found
    host.cut(machine)
    assert host.status(machine)["state"] == "observe"


def check_sealed(machine: Machine) -> None:
    machine.boot_again(timeout_s=host.READY_S)
    assert host.status(machine)["state"] == "sealed"


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("check", [check_trial, check_sealed])
def test_a_cut(
    image: Image, tmp_path: Path, check: Callable[[Machine], None], seconds: int
) -> None:
    with host.ready(image, tmp_path / "work") as machine:
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        if check is check_sealed:
            host.reboot(machine)
            machine.run(CONFIRM, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=host.READY_S)
        cut_after(machine, seconds)
        check(machine)
        assert machine.run(host.LOGIN, timeout_s=120).text == "user"
