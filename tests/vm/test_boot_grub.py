# SPDX-License-Identifier: Apache-2.0
"""GRUB's count and the gate on one machine: a kernel that doesn't come up leads back, still sealed.

The firmware starts GRUB from the host's own disk, and nobody else says what is booted. What GRUB
counts by itself is test_grub.py's, what the initramfs makes of it tests/crash/test_stage.py's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from verity.formats import grub_env

from . import boot_world, qemu
from .boot_update import make_update
from .errors import MachineDied
from .gate_machine import Gate, serial, value
from .grub_world import grub, put_below
from .image import Image
from .machine import Machine
from .test_boot import STREAM, host_files, refused
from .test_boot_stage import STAGE

pytestmark = pytest.mark.full  # each boot takes minutes

_TIMEOUT_S = 600.0
_UPDATE = "update"
_ARGUMENTS = f"{qemu.KERNEL_ARGUMENTS} verity.kind=system root=/dev/vda1 rw"


def entry(kernel: str) -> str:
    return f"linux /boot/{kernel} {_ARGUMENTS}\ninitrd /boot/initrd.img-1"


def host(image: Image, files: Path) -> Machine:
    """Sealed, with kernel, initramfs and GRUB on its disk; off."""
    own = boot_world.with_initramfs(image, files, "initramfs-tools")
    (files / "boot/grub").mkdir(parents=True)
    shutil.copyfile(own.initramfs, files / "boot/initrd.img-1")
    shutil.copyfile(image.vmlinuz, files / "boot/vmlinuz-1")
    (files / "boot/grub/grub.cfg").write_text(grub(image).configuration(entry("vmlinuz-1")))
    (files / "boot/grub/verity.env").write_bytes(grub_env.encode(grub_env.IDLE))
    machine = Machine.boot("bare", image)
    try:
        machine.push(files, "/sysroot")
        enable = "find /usr/lib/verity -type f -exec fsverity enable {} \\;"
        machine.run(enable, chroot="/sysroot")
        machine.shutdown()
        put_below(grub(image), machine.disk)
    except BaseException:
        machine.close()
        raise
    return machine


def update(image: Image, folder: Path) -> Path:
    """A signed update whose kernel is none."""
    grub_cfg = grub(image).configuration(entry("vmlinuz-2"))
    new = {"vmlinuz-2": b"no kernel" * 1000, "grub/grub.cfg": grub_cfg.encode()}
    return make_update(image, folder, new, stream=_UPDATE, tree_stream=STREAM)


def boots(machine: Machine) -> None:
    machine.boot_again("system", firmware=True, timeout_s=_TIMEOUT_S)
    assert value(Gate(machine).status(), "state") == "sealed"
    assert refused(machine) == []


def reboots_once(machine: Machine) -> None:
    with pytest.raises(MachineDied, match="rebooting once"):
        machine.boot_again("system", firmware=True, timeout_s=_TIMEOUT_S)


def test_a_kernel_that_does_not_load(gate_image: Image, tmp_path: Path) -> None:
    staged = update(gate_image, tmp_path / "update")
    with host(gate_image, host_files(gate_image, tmp_path / "host")) as machine:
        boots(machine)
        machine.push(staged, "/root/update")
        machine.run(STAGE)
        machine.shutdown(timeout_s=_TIMEOUT_S)
        # The initramfs puts it into place. GRUB can't load it and starts the old kernel, whose
        # initramfs takes it back.
        reboots_once(machine)
        reboots_once(machine)
        boots(machine)
        status = Gate(machine).status()
        assert not [line for line in status if _UPDATE in line] and serial(status, STREAM) == 1
        said = "cat /var/lib/verity/refused/why; grep -ao 'verity_tries=.' /boot/grub/verity.env"
        assert machine.run(said).text.splitlines() == [
            "the kernel doesn't load, or ends before its initramfs runs",
            "verity_tries=-",
        ]
        left = machine.run("ls /boot/grub; grep -c vmlinuz-2 /boot/grub/grub.cfg", check=False)
        assert left.text.split() == ["grub.cfg", "verity.env", "0"]
