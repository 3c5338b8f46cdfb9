# SPDX-License-Identifier: Apache-2.0
"""The power is cut while a boot of a trial, or of a sealed host, is on its way, and during a verb.

A trial is then still to come or over, and the next boot that comes up says which; a sealed host is
sealed again. Each time somebody can log in afterwards, with nobody at the console. What a verb
leaves on the disk at each of its writes is test_power_writes.py's; here a few of them are booted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm import Image, Machine, build_image
from tests.vm import lifecycle_host as host
from tests.vm.errors import VmError

pytestmark = pytest.mark.full
# Seconds after power-on, from the kernel's first line to the end of a boot.
SECONDS = tuple(range(6, 31))
CONFIRM = f"verity lockdown confirm {host.KEY} --insecure-unproven"
# Behind the start of a verb, which takes about ten under emulation.
INSIDE = (3, 7, 11)
ASK = "--scope path-prefix --operand /opt/rescue --for 30m --reason test"
UNLOCK_KEY = f"{host.KEYS}/user/private/user-unlock.pem"
TOKEN = f"""
verity unlock challenge {ASK} --output /root/challenge
verity unlock sign --challenge /root/challenge --insecure-unknown-host --yes --output /root/token \
    {UNLOCK_KEY}
"""


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


@dataclass(frozen=True, kw_only=True)
class Before:
    """A machine that is off, its disk as it was then, and what the next boots have to show."""

    machine: Machine
    disk: Path
    check: Callable[[Machine], None]


@pytest.fixture(scope="module", params=[check_trial, check_sealed])
def before(
    request: pytest.FixtureRequest, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Before]:
    """Before the boot of a trial, or of a sealed host."""
    folder = tmp_path_factory.mktemp("power")
    with host.ready(image, folder / "work") as machine:
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        if request.param is check_sealed:
            host.reboot(machine)
            machine.run(CONFIRM, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=host.READY_S)
        shutil.copyfile(machine.disk, folder / "disk")
        yield Before(machine=machine, disk=folder / "disk", check=request.param)


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_cut(before: Before, seconds: int) -> None:
    shutil.copyfile(before.disk, before.machine.disk)
    cut_after(before.machine, seconds)
    try:
        before.check(before.machine)
        assert before.machine.run(host.LOGIN, timeout_s=120).text == "user"
    finally:
        with contextlib.suppress(ValueError):  # it didn't come up
            before.machine.power_cut()


def cut_inside(machine: Machine, line: str, seconds: int) -> None:
    """Begins a verb, cuts the power so long after, and boots."""
    machine.start(line)
    time.sleep(seconds)
    host.cut(machine)


def check_login(machine: Machine) -> None:
    assert machine.run(host.LOGIN, timeout_s=120).text == "user"


@pytest.mark.parametrize("seconds", INSIDE)
def test_a_cut_while_a_mode_is_signed(image: Image, tmp_path: Path, seconds: int) -> None:
    """The trial, and then its confirmation: old or new each time, and on from there."""
    trial = host.trial_line("--insecure-unproven")
    with host.ready(image, tmp_path / "work") as machine:
        cut_inside(machine, trial, seconds)
        found = host.status(machine)
        assert found["state"] in ("observe", "sealed"), found
        check_login(machine)
        if found["state"] == "observe":
            machine.run(trial, timeout_s=host.READY_S)
            host.reboot(machine)
        assert host.status(machine)["why"].startswith("this is the one boot")
        cut_inside(machine, CONFIRM, seconds)
        found = host.status(machine)
        if found["state"] == "observe":
            assert found["why"].startswith("the trial had its one boot"), found
            machine.run(CONFIRM, timeout_s=host.READY_S)
            host.reboot(machine)
        assert host.status(machine)["why"].startswith("by the signed policy")
        check_login(machine)


@pytest.mark.parametrize("seconds", INSIDE)
def test_a_cut_while_it_is_unlocked(image: Image, tmp_path: Path, seconds: int) -> None:
    """Before, behind or in the middle of apply and relock: the next boot is sealed, the ledger
    whole."""
    with host.ready(image, tmp_path / "work") as machine:
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        host.reboot(machine)
        machine.run(CONFIRM, timeout_s=host.READY_S)
        host.reboot(machine)
        for line in ("verity unlock apply /root/token", "verity unlock relock"):
            machine.run(TOKEN, timeout_s=host.READY_S)
            if line.endswith("relock"):
                machine.run("verity unlock apply /root/token", timeout_s=120)
            cut_inside(machine, line, seconds)
            assert host.status(machine)["state"] == "sealed"
            check_login(machine)
            status = machine.run("verity unlock status", timeout_s=120).text
            assert status.startswith("locked    nothing is unlocked"), status
            machine.run("verity unlock ledger verify", timeout_s=120)
            machine.run("rm -f /root/challenge /root/token")
