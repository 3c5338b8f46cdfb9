# SPDX-License-Identifier: Apache-2.0
"""A host of level B1 from observing through its trial to the seal, by the default policy.

One machine for each maker of initramfs, and each test goes on from the one before: it observes, its
trial enforces from the initramfs on and reverts, confirmed it stays sealed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import b1_host
from . import lifecycle_host as host
from .boot_world import Maker
from .gate_machine import Gate, value
from .image import build_image
from .machine import Machine
from .test_boot import refused

pytestmark = pytest.mark.full  # a boot takes minutes

_CONFIRM = f"verity lockdown confirm {host.KEY} --insecure-unproven"
_WRITES = (
    "touch /boot/new",
    "echo x >>/boot/vmlinuz-{0}",
    "rm /boot/initrd.img-{0}",
    "mv /boot/initrd.img-{0} /boot/other",
    "mkdir /boot/folder",
    "chmod 600 /boot/config-{0}",
    "cp /bin/true /boot/initrd.img-{0}",
)


@pytest.fixture(scope="module", params=["initramfs-tools", "dracut"])
def maker(request: pytest.FixtureRequest) -> Maker:
    made: Maker = request.param
    return made


@pytest.fixture(scope="module")
def machine(maker: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    image = build_image(Path(os.environ["VERITY_WHEEL"]))
    with b1_host.booted(image, tmp_path_factory.mktemp("b1") / "work", maker) as machine:
        yield machine


def check_sealed(machine: Machine, why: str, following: str = "policy serial") -> None:
    """From the initramfs on, with nothing denied; people get in, and the next boot is kept."""
    status = Gate(machine).status()
    found = host.status(machine)
    seen: dict[str, Any] = {
        "state": found["state"],
        "why": found["why"][: len(why)],
        "level": found["level"][:2],
        "next boot": found["next boot"][: len(following)],
        "sealed before it entered": 0
        < int(value(status, "sealed_ms"))
        < int(value(status, "entered_ms")),
        "login": machine.run(host.LOGIN, check=False, timeout_s=120).text,
        "system": machine.run(
            "systemctl is-system-running --wait; systemctl --failed --quiet", check=False
        ).text,
        "denied": refused(machine),
    }
    boot = machine.run("cd /boot; ls -l; sha256sum *", check=False).text
    release = machine.image.kernel_release
    seen["wrote"] = [
        line for line in _WRITES if machine.run(line.format(release), check=False).status == 0
    ]
    seen["as it was"] = machine.run("cd /boot; ls -l; sha256sum *", check=False).text == boot
    log = [tuple(line.split()[2:5]) for line in refused(machine)]
    seen["each refused"] = len(log) - len(seen["denied"]) >= len(_WRITES)
    seen["as"] = set(log)
    expected = {
        "state": "sealed",
        "why": why,
        "level": "B1",
        "next boot": following,
        "sealed before it entered": True,
        "login": "user",
        "system": "running",
        "denied": [],
        "wrote": [],
        "as it was": True,
        "each refused": True,
        "as": {("denied", "boot-chain", "boot")},
    }
    assert seen == expected, (seen, found)


def test_it_observes_and_nothing_is_open(machine: Machine) -> None:
    status = Gate(machine).status()
    log = refused(machine)
    done = host.check(machine)
    said = done.stdout.decode() + done.stderr.decode()
    assert value(status, "state") == "observe" and int(value(status, "entered_ms")) > 0
    assert (log, done.status) == ([], 0), (log, said)


def test_its_trial_enforces_from_the_initramfs_on(machine: Machine) -> None:
    machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
    b1_host.reboot(machine)
    check_sealed(machine, "this is the one boot of a trial")


def test_the_next_boot_observes_again_and_says_why(machine: Machine) -> None:
    """Whatever becomes of the trial's boot: its power is cut."""
    machine.power_cut()
    machine.boot_again(timeout_s=b1_host.BOOT_S)
    found = host.status(machine)
    assert found["state"] == "observe", found
    assert found["why"].startswith("the trial had its one boot"), found
    assert "whose trial was" in found["next boot"]
    machine.run("touch /boot/new; rm /boot/new")


def test_confirmed_it_is_sealed_and_stays_sealed(
    machine: Machine, maker: Maker, tmp_path: Path
) -> None:
    """Also without its bundle, which root can delete: the one it came up with last counts."""
    done = machine.run(_CONFIRM, timeout_s=host.READY_S)
    assert b"it would still go on without the gate" in done.stderr
    machine.image = b1_host.renew(machine, tmp_path / "host", maker)
    b1_host.reboot(machine)
    check_sealed(machine, "by the signed policy")
    machine.run("rm /var/lib/verity/boot.bundle; sync")
    b1_host.reboot(machine)
    check_sealed(machine, "by the signed policy", "the boot bundle is gone")
