# SPDX-License-Identifier: Apache-2.0
"""What the makers of an initramfs put into it for the gate; nothing is booted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from verity.ports import gate_object

from . import boot_world
from .boot_world import Maker
from .errors import VmError
from .image import Image
from .test_boot import host_files

_UUID = "76657269-7479-4000-8000-000000000003"
_MAKERS = pytest.mark.parametrize("maker", ["initramfs-tools", "dracut"])
_ESP = f"UUID={_UUID} /efi ext4 defaults 0 0"


def made(image: Image, host: Path, maker: Maker, changed: str, folder: Path) -> Path:
    """What is verity's in an initramfs of this host."""
    initramfs = boot_world.with_initramfs(image, host, maker, changed).initramfs
    return boot_world.unpacked(image, initramfs, folder)


@pytest.mark.parametrize(
    "maker", ["initramfs-tools", pytest.param("dracut", marks=pytest.mark.full)]
)
def test_a_sealed_hosts(gate_image: Image, tmp_path: Path, maker: Maker) -> None:
    """Loader, object and pins as they are on the host, the ESP, and the policy's serial."""
    host = host_files(gate_image, tmp_path / "host")
    found = made(gate_image, host, maker, f"echo '{_ESP}' >/etc/fstab", tmp_path / "out")
    for party in ("vendor", "user"):
        name = f"etc/verity/pins/{party}.pin"
        assert (found / name).read_bytes() == (host / name).read_bytes()
    loader = gate_object.find_loader()
    assert isinstance(loader, gate_object.GateLoader)
    assert (found / "usr/lib/verity/verity-load").read_bytes() == loader.path.read_bytes()
    assert (found / "usr/lib/verity/verity-boot").stat().st_mode & 0o111
    assert (found / "etc/verity/boot-devices").read_text() == f"{_UUID} /efi\n"
    assert (found / "etc/verity/sealed").read_text() == "1\n"


@pytest.mark.full
@_MAKERS
def test_one_of_a_host_that_observes_holds_nobody_up(
    gate_image: Image, tmp_path: Path, maker: Maker
) -> None:
    host = host_files(gate_image, tmp_path / "host", mode="observe")
    found = made(gate_image, host, maker, ":", tmp_path / "out")
    assert (found / "usr/lib/verity/verity-boot").exists()
    assert not (found / "etc/verity/sealed").exists()


@pytest.mark.full
@_MAKERS
def test_without_pins_nothing_is_put_there(gate_image: Image, tmp_path: Path, maker: Maker) -> None:
    host = host_files(gate_image, tmp_path / "host")
    found = made(gate_image, host, maker, "rm /etc/verity/pins/user.pin", tmp_path / "o")
    assert not (found / "usr/lib/verity").exists()


@pytest.mark.full
@_MAKERS
def test_var_on_its_own_is_refused_where_the_host_is_sealed(
    gate_image: Image, tmp_path: Path, maker: Maker
) -> None:
    """Its bundle would not be found at the boot, and the host not be entered; nor is one made that
    enters it without the gate."""
    host = host_files(gate_image, tmp_path / "host")
    with pytest.raises(VmError, match="put /var/lib/verity on the root file system"):
        made(gate_image, host, maker, "echo 'x /var ext4' >/etc/fstab", tmp_path / "o")


@pytest.mark.full
def test_dracut_strips_no_program(gate_image: Image, tmp_path: Path) -> None:
    """Where there is a `strip`, it would leave another program than the one that is signed."""
    host = host_files(gate_image, tmp_path / "host")
    strip = "printf '#!/bin/sh\\n: >/run/stripped\\n' >/usr/bin/strip; chmod 755 /usr/bin/strip"
    asked = "mkdir -p /etc/dracut.conf.d; echo 'do_strip=yes' >/etc/dracut.conf.d/x.conf"
    looked = f"{strip}\n{asked}\ntrap '[ ! -e /run/stripped ] || exit 9' EXIT"
    boot_world.with_initramfs(gate_image, host, "dracut", looked)


@pytest.mark.full
def test_the_recovery_entry(gate_image: Image, tmp_path: Path) -> None:
    """By GRUB's own check, with the newest kernel that has an initramfs; and none without pins."""
    host = host_files(gate_image, tmp_path / "host")
    kernels = "cd /boot; touch vmlinuz-6.9.1 initrd.img-6.9.1 vmlinuz-6.99.0 initrd.img-6.10.2"
    kernels += " vmlinuz-6.10.2"
    entry = boot_world.recovery_entry(gate_image, host, kernels, tmp_path / "scratch")
    assert entry.splitlines()[1:4] == [
        "\tsearch --no-floppy --fs-uuid --set=root boot-uuid",
        "\tlinux /boot/vmlinuz-6.10.2 root=UUID=root-uuid ro quiet verity.recovery",
        "\tinitrd /boot/initrd.img-6.10.2",
    ]
    gone = "rm /etc/verity/pins/user.pin"
    assert boot_world.recovery_entry(gate_image, host, gone, tmp_path / "other") == ""
