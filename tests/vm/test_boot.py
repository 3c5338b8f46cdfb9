# SPDX-License-Identifier: Apache-2.0
"""Level B1: Debian's own initramfs loads the gate before the root is entered.

Each maker of initramfs has its machine. What it does every day is test_gate_boot.py's and
test_server.py's: here it is that the gate is there before the first program of the root, that the
trust in the initramfs ends, and that a boot without it isn't what a sealed host falls back to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daily import in_turn

from . import boot_world
from .boot_world import Maker
from .errors import MachineDied
from .gate_machine import Gate, value
from .image import Image
from .machine import Machine
from .trust_world import trust_world

pytestmark = in_turn(1, one_in=3)

STREAM = "verity"
HOST_ID = "c1" * 32
_TIMEOUT_S = 400.0
_CANARY = "verity-canary"
_OBSERVED = ("bpf-program", "user-namespace")


def host_files(image: Image, folder: Path, mode: str = "sealed") -> Path:
    """What is laid over a host: pins, boot bundle, and what loads the gate."""
    world = trust_world(image, {STREAM: boot_world.tree(image)}, mode=mode)
    (folder / "etc/verity/pins").mkdir(parents=True)
    (folder / "var/lib/verity").mkdir(parents=True)
    for party in ("vendor", "user"):
        shutil.copyfile(world.host / f"{party}.pin", folder / f"etc/verity/pins/{party}.pin")
    (folder / "etc/verity/host-id").write_text(f"{HOST_ID}\n")
    shutil.copyfile(world.host / "boot.bundle", folder / "var/lib/verity/boot.bundle")
    boot_world.lay(folder)
    return folder


def installed(
    image: Image, host: Path, maker: Maker, *, changed: str = "", append: str = ""
) -> Machine:
    """A machine whose disk has these files, off, with an initramfs that was made of them.

    changed  shell lines that are run in the tree before the initramfs is made
    """
    machine = Machine.boot("bare", image, append=f"{boot_world.APPEND} {append}".strip())
    try:
        machine.push(host, "/sysroot")
        enable = "find /usr/lib/verity -type f -exec fsverity enable {} \\;"
        machine.run(enable, chroot="/sysroot")
        machine.shutdown()
        machine.image = boot_world.with_initramfs(image, host, maker, changed)
    except BaseException:
        machine.close()
        raise
    return machine


def booted(image: Image, host: Path, maker: Maker, *, append: str = "") -> Machine:
    """The same, booted."""
    machine = installed(image, host, maker, append=append)
    try:
        machine.boot_again("system", timeout_s=_TIMEOUT_S)
    except BaseException:
        machine.close()
        raise
    return machine


@pytest.fixture(
    scope="module", params=["initramfs-tools", pytest.param("dracut", marks=pytest.mark.full)]
)
def machine(
    request: pytest.FixtureRequest, gate_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Sealed at boot."""
    host = host_files(gate_image, tmp_path_factory.mktemp("boot") / "host")
    with booted(gate_image, host, request.param) as machine:
        yield machine


def refused(machine: Machine) -> list[str]:
    """The log without the loader's canary and what is only observed."""
    return [
        denial.line
        for denial in Gate(machine).denials()
        if _CANARY not in denial.line and (denial.enforced or denial.reason not in _OBSERVED)
    ]


def test_it_boots_sealed_with_nothing_denied(machine: Machine) -> None:
    assert machine.run("systemctl is-system-running --wait", check=False).text == "running"
    status = Gate(machine).status()
    assert value(status, "state") == "sealed"
    assert refused(machine) == []
    assert "[integrity]" in machine.run(["cat", "/sys/kernel/security/lockdown"]).text


def test_the_root_was_entered_under_the_gate(machine: Machine) -> None:
    """The gate was sealed before, and no program of the root was started before that."""
    status = Gate(machine).status()
    assert 0 < int(value(status, "sealed_ms")) < int(value(status, "entered_ms"))
    assert int(value(status, "initial_root")) > 0
    started = int(machine.run("cut -d' ' -f22 /proc/1/stat").text) * 10
    assert started < int(value(status, "sealed_ms"))  # PID 1 itself is of the initramfs
    others = machine.run("for one in /proc/[0-9]*/stat; do cut -d' ' -f4,22 $one; done").text
    children = [int(line.split()[1]) * 10 for line in others.splitlines() if line[:2] == "1 "]
    assert children and min(children) >= int(value(status, "entered_ms")) - 10


def test_nothing_runs_from_the_initramfs(machine: Machine) -> None:
    left = machine.run(
        "for one in /proc/[0-9]*; do stat -Lc '%d %n' $one/exe 2>/dev/null; done", check=False
    ).text.splitlines()
    initial = int(value(Gate(machine).status(), "initial_root")) & 0xFFFFF
    assert left and not [line for line in left if int(line.split()[0]) == initial]


def test_what_isnt_signed_is_refused(machine: Machine) -> None:
    """Also on a tmpfs like the initial root's."""
    before = len(refused(machine))
    done = machine.run("cp /bin/true /run/t && mount -o remount,exec /run && /run/t", check=False)
    assert done.status != 0
    assert [line.split()[2:5] for line in refused(machine)[before:]] == [
        ["denied", "no-digest", "exec"]
    ]


def test_the_pins_stay(machine: Machine) -> None:
    before = len(refused(machine))
    machine.run("umount /sys/fs/bpf/verity; umount -l /sys/fs/bpf/verity", check=False)
    assert value(Gate(machine).status(), "state") == "sealed"
    assert {line.split()[3] for line in refused(machine)[before:]} == {"gate-pin"}


def test_entering_twice_is_refused(machine: Machine) -> None:
    """And with it nobody says that the initial root should count again."""
    done = machine.run("/usr/lib/verity/verity-load --enter /", check=False)
    assert done.status == 1
    assert b"3043 not-booting" in done.stderr


# --- boots without the gate -------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    ("maker", "append"),
    [("initramfs-tools", ""), ("dracut", "rd.shell=0 rd.emergency=reboot")],
)
def test_a_sealed_host_is_not_entered_without_its_bundle(
    gate_image: Image, tmp_path: Path, maker: Maker, append: str
) -> None:
    """Its root could delete it. With panic= on the command line, or dracut's own words, it reboots,
    and that ends QEMU."""
    host = host_files(gate_image, tmp_path / "host")
    with booted(gate_image, host, maker, append=append) as machine:
        machine.run("rm /var/lib/verity/boot.bundle; sync")
        machine.shutdown()
        with pytest.raises(MachineDied, match="not entered without the gate"):
            machine.boot_again("system")


@pytest.mark.full
def test_a_host_that_observes_goes_on_without_its_bundle(gate_image: Image, tmp_path: Path) -> None:
    host = host_files(gate_image, tmp_path / "host", mode="observe")
    with booted(gate_image, host, "initramfs-tools") as machine:
        status = Gate(machine).status()
        assert value(status, "state") == "observe"
        assert int(value(status, "entered_ms")) > 0
        assert refused(machine) == []
        machine.run("rm /var/lib/verity/boot.bundle; sync")
        machine.shutdown()
        machine.boot_again("system", timeout_s=_TIMEOUT_S)
        assert machine.run("test ! -e /sys/fs/bpf/verity/status").status == 0
