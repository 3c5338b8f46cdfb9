# SPDX-License-Identifier: Apache-2.0
"""A real GRUB counts the boots of an update, and then starts what was there before.

What the initramfs then does is tests/crash/test_stage.py's, which plays GRUB as it is seen here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from verity.formats import grub_env

from .grub_world import Disk, Grub, grub
from .image import Image

_TIMEOUT_S = 120.0
_LINE = "console=ttyS0 panic=1 deployment="
COUNT = "boot/grub/verity.env"
KEPT = "boot/grub/grub.cfg.verity-old"


def dies(name: str) -> str:
    """An entry whose kernel is none: the machine starts again, as when one dies at once."""
    return f"echo deployment={name}\nreboot"


@dataclass(frozen=True, kw_only=True)
class Host:
    """The files of a host whose /boot has an update, and what was there before."""

    files: Path
    grub: Grub

    @classmethod
    def of(cls, image: Image, folder: Path, new: str, *, old_is_ours: bool = True) -> Host:
        made = cls(files=folder / "files", grub=grub(image))
        made.put("boot/grub/grub.cfg", made.grub.configuration(new).encode())
        old = made.grub.configuration(dies("old"), ours=old_is_ours)
        made.put(KEPT, old.encode())
        made.counted("3")
        return made

    def put(self, name: str, data: bytes) -> None:
        (self.files / name).parent.mkdir(parents=True, exist_ok=True)
        (self.files / name).write_bytes(data)

    def counted(self, value: str) -> None:
        self.put(COUNT, grub_env.encode(value))

    def boots(self, number: int, timeout_s: float = _TIMEOUT_S) -> tuple[list[str], str]:
        """What so many boots start, and what GRUB has counted then."""
        disk = Disk.made(self.grub, self.files, self.files.parent / "disk.img")
        found = disk.started(lambda words: len(words) >= number, timeout_s=timeout_s)
        block = disk.file(COUNT)
        value = chr(block[grub_env.VALUE_AT])
        assert block == grub_env.encode(value)
        return found[:number], value


@pytest.mark.parametrize("old_is_ours", [True, False])
def test_after_three_boots_the_one_before_is_started(
    vm_image: Image, tmp_path: Path, old_is_ours: bool
) -> None:
    """And from then on, until its initramfs has put things right; whether it counts or not."""
    host = Host.of(vm_image, tmp_path, dies("new"), old_is_ours=old_is_ours)
    assert host.boots(6) == (["new"] * 3 + ["old"] * 3, "f")


def test_each_boot_is_counted_before_the_kernel(vm_image: Image, tmp_path: Path) -> None:
    host = Host.of(vm_image, tmp_path, dies("new"))
    for before, after in ("32", "21", "10"):
        host.counted(before)
        assert host.boots(1) == (["new"], after)
    host.counted("0")
    assert host.boots(1) == (["old"], "f")


@pytest.mark.parametrize("value", ["-", "4", "x"])
def test_nothing_is_counted(vm_image: Image, tmp_path: Path, value: str) -> None:
    """Where nothing waits to come up the count stays, and so does what is started."""
    host = Host.of(vm_image, tmp_path, dies("new"))
    host.counted(value)
    assert host.boots(5) == (["new"] * 5, value)


def test_without_one_before_it_goes_on(vm_image: Image, tmp_path: Path) -> None:
    """As after a power cut, when the old configuration has its name again already."""
    host = Host.of(vm_image, tmp_path, dies("new"))
    (host.files / KEPT).unlink()
    host.counted("f")
    assert host.boots(2) == (["new"] * 2, "f")


@pytest.mark.parametrize("content", [b"no kernel" * 1000, b"", None])
def test_a_kernel_that_does_not_load(
    vm_image: Image, tmp_path: Path, content: bytes | None
) -> None:
    """Damaged, empty or gone: there is nothing to wait for, and nobody at the menu."""
    host = Host.of(vm_image, tmp_path, f"linux /boot/vmlinuz-2 {_LINE}new")
    if content is not None:
        host.put("boot/vmlinuz-2", content)
    assert host.boots(2) == (["old"] * 2, "f")


@pytest.mark.full
def test_a_kernel_that_panics(vm_image: Image, tmp_path: Path) -> None:
    """Debian's own, which finds no root: each boot is a panic, and a reboot by `panic=1`."""
    host = Host.of(vm_image, tmp_path, f"linux /boot/vmlinuz-2 {_LINE}new")
    shutil.copyfile(vm_image.vmlinuz, host.files / "boot/vmlinuz-2")
    assert host.boots(4, timeout_s=600) == (["new"] * 3 + ["old"], "f")
