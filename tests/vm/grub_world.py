# SPDX-License-Identifier: Apache-2.0
"""Debian's GRUB on a disk of its own, with our parts of its configuration, started by QEMU's BIOS.

The machine is no `Machine`: there is no system on it, and what GRUB and its kernels say on the
serial line is all there is. A kernel here is one that ends before it could run an initramfs.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import boot_world, cache, debs, qemu
from .debian import run
from .errors import VmTimeout
from .image import Image

PARTS = ("01_verity", "42_verity")
_SECTOR, _START, _SIZE = 512, 2048, 64 << 20
_MODULES = (
    "biosdisk part_msdos ext2 normal configfile linux loadenv test echo serial terminal reboot boot"
    " minicmd search search_fs_uuid"
)
_MAKE = f"""
{boot_world.INSTALL}
mkdir -p /etc/verity/pins /run/out; touch /etc/verity/pins/user.pin
touch /boot/vmlinuz-1 /boot/initrd.img-1
cp /usr/lib/grub/i386-pc/boot.img /run/out
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /run/out/core.img {_MODULES}
export pkgdatadir=/usr/share/grub GRUB_DEVICE_UUID=x GRUB_DEVICE_BOOT_UUID=x
for part in {" ".join(PARTS)}; do
    sh /run/$part >/run/out/$part
    grub-script-check /run/out/$part
done
"""
_HEAD = "serial --unit=0\nterminal_output serial\nset timeout=0\nset default=0\n"


@dataclass(frozen=True, kw_only=True)
class Grub:
    """What GRUB is started from: its images, and our parts as grub-mkconfig has them."""

    folder: Path

    def configuration(self, entry: str, *, ours: bool = True) -> str:
        """A grub.cfg with one entry of these commands, and ours around it."""
        first, last = ((self.folder / name).read_text() if ours else "" for name in PARTS)
        return f"{_HEAD}{first}menuentry 'linux' {{\n{entry}\n}}\n{last}"


def grub(image: Image) -> Grub:
    """From the cache or made: nothing is installed on this host."""
    scripts = [boot_world.INITRAMFS / "grub.d" / name for name in PARTS]
    state = hashlib.sha256(_MAKE.encode() + b"".join(path.read_bytes() for path in scripts))
    made = image.path / f"grub-{state.hexdigest()[:16]}"
    cache.entry(made, lambda partial: _build(image, scripts, partial))
    return Grub(folder=made)


def _build(image: Image, scripts: list[Path], partial: Path) -> None:
    with boot_world.above(image.tree, partial) as root:
        packages = debs.packages(image, "grub-common", "grub-pc-bin")
        shutil.copytree(packages, root / "run/debs")
        for script in scripts:
            shutil.copyfile(script, root / "run" / script.name)
        run(["chroot", str(root), "sh", "-ec", _MAKE])
        for file in (root / "run/out").iterdir():
            shutil.copyfile(file, partial / file.name)


def _head(grub: Grub, sectors: int) -> bytes:
    """What is before the only partition, which has so many sectors."""
    core = (grub.folder / "core.img").read_bytes()
    assert len(core) < (_START - 1) * _SECTOR
    table = bytearray((grub.folder / "boot.img").read_bytes())
    # What is there in GRUB's own is code for floppies.
    table[440:510] = bytes(70)
    table[446:462] = (
        b"\x80\xfe\xff\xff\x83\xfe\xff\xff"
        + _START.to_bytes(4, "little")
        + sectors.to_bytes(4, "little")
    )
    table[510:512] = b"\x55\xaa"
    return bytes(table) + core


def put_below(grub: Grub, disk: Path) -> None:
    """A machine's disk that is a file system becomes one with GRUB and that as its partition."""
    whole, part = disk.with_name("whole.img"), disk.with_name("part.img")
    run(["qemu-img", "convert", "-O", "raw", str(disk), str(part)])
    size = part.stat().st_size
    whole.write_bytes(_head(grub, size // _SECTOR))
    copy = ["dd", f"if={part}", f"of={whole}", "bs=1M", f"seek={_START * _SECTOR >> 20}"]
    run([*copy, "conv=sparse,notrunc", "status=none"])
    os.truncate(whole, _START * _SECTOR + size)
    part.unlink()
    disk.unlink()
    qemu.make_overlay(disk, backing=whole, backing_format="raw")


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk with GRUB and one ext4 partition, whose /boot is what `files` has."""

    path: Path

    @classmethod
    def made(cls, grub: Grub, files: Path, path: Path) -> Disk:
        count = _SIZE // _SECTOR - _START
        path.write_bytes(_head(grub, count))
        os.truncate(path, _SIZE)
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(files)]
        make += ["-E", f"offset={_START * _SECTOR}", str(path), f"{count // 2}k"]
        run(make)
        return cls(path=path)

    def file(self, name: str) -> bytes:
        """A file as it is on the disk now."""
        out = self.path.with_suffix(".out")
        out.unlink(missing_ok=True)
        where = f"{self.path}?offset={_START * _SECTOR}"
        run(["debugfs", "-R", f"dump {name} {out}", where])
        return out.read_bytes()

    def started(self, until: Callable[[list[str]], bool], *, timeout_s: float) -> list[str]:
        """Powers on, and off as soon as `until` likes what was started: the word behind each
        ``deployment=`` on the serial line. Raises VmTimeout."""
        argv = [qemu.PROGRAM, "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "512"]
        argv += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"]
        argv += ["-drive", f"file={self.path},format=raw,if=ide,cache=unsafe"]
        deadline, said = time.monotonic() + timeout_s, b""
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
            assert machine.stdout is not None
            try:
                while time.monotonic() < deadline:
                    if select.select([machine.stdout], [], [], 1.0)[0]:
                        said += os.read(machine.stdout.fileno(), 65536)
                        # A kernel shows its command line twice.
                        once = re.sub(rb"Kernel command line:[^\r\n]*", b"", said)
                        found = re.findall(rb"deployment=([a-z]+)[\r\n]", once)
                        words = [word.decode() for word in found]
                        if until(words):
                            return words
            finally:
                machine.kill()
        raise VmTimeout(f"GRUB's disk, {timeout_s:.0f} s: {said[-3000:].decode(errors='replace')}")
