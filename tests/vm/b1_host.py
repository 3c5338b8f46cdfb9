# SPDX-License-Identifier: Apache-2.0
"""A plain Debian that its owner has brought to level B1, by the default policy with /boot guarded.

It begins as `lifecycle_host` has it, and docs/guides/boot.md goes on from there. initramfs-tools,
which Debian has by default, or dracut, installed in its place, makes the initramfs, of what the
machine has; it lies in the machine's /boot, and QEMU gives the same one to the kernel. Making one
inside takes minutes under emulation, so the program runs outside, in the same tree.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import boot_world, cache, debs
from . import lifecycle_host as host
from .boot_world import Maker
from .image import Image
from .machine import Machine

GUIDE = Path(__file__).parents[2] / "docs/guides/boot.md"
DROP_IN = "/etc/verity/policy.d/50-boot.toml"
APPEND = "root=/dev/vda ro"
"""As a Debian has it: the root becomes writable by its fstab, and for a trial in the initramfs."""
BOOT_S = 600.0
_CODE = (Path(__file__), Path(host.__file__), Path(boot_world.__file__), GUIDE)
_PREPARE = f"""
set -e
mkdir -p {Path(DROP_IN).parent}
cat >{DROP_IN}
{{ cat /etc/fstab; echo '/dev/vda / ext4 defaults 0 0'; }} >/run/fstab
cp --remove-destination /run/fstab /etc/fstab
"""
# As apt has it, but for the initramfs, which is made outside.
_DRACUT = """
set -e
dpkg --remove --force-depends initramfs-tools initramfs-tools-core
INITRD=No dpkg --install /run/debs/*.deb
rm -r /run/debs
"""


def drop_in() -> str:
    """What the guide has an owner put into the policy."""
    return _block("[[guarded]]")


def _block(begin: str) -> str:
    """What of the guide's begins so."""
    blocks = GUIDE.read_text().split("\n\n")
    named = [block for block in blocks if block.startswith(f"    {begin}")]
    return "\n".join(line[4:] for block in named for line in block.splitlines()) + "\n"


def renew(machine: Machine, folder: Path, maker: Maker) -> Image:
    """The initramfs is made anew, and with it all is signed anew; the image that has it."""
    image = machine.image
    for name in ("etc/verity/pins", "etc/verity/host-id", "var/lib/verity/boot.bundle"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        machine.pull(f"/{name}", folder / name)
    made = boot_world.with_initramfs(image, folder, maker, ours=False)
    at = f"/boot/initrd.img-{image.kernel_release}"
    machine.run(["rm", "-f", at])  # with fs-verity it can be replaced, and not written
    machine.push(made.initramfs, at)
    machine.run(host.INIT, timeout_s=host.READY_S)
    return made


def reboot(machine: Machine) -> None:
    """In order, and up again."""
    machine.shutdown(timeout_s=BOOT_S)
    machine.boot_again(timeout_s=BOOT_S)


def _disk(image: Image, maker: Maker) -> Path:
    """The work directory of such a machine, which is off, and its initramfs."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in _CODE)).hexdigest()[:16]
    made = image.path / f"b1-{maker}-{code}"
    cache.entry(made, lambda partial: _make(image, maker, partial))
    return made


def _make(image: Image, maker: Maker, partial: Path) -> None:
    with host.ready(image, partial / "work") as machine:
        machine.run(_PREPARE, input=drop_in().encode())
        if maker == "dracut":
            machine.push(debs.packages(image, "dracut"), "/run/debs")
            lines = _DRACUT + _block("mkdir -p /usr/share/dracut")
            machine.run(lines, timeout_s=host.READY_S)
        own = renew(machine, partial / "host", maker)
        shutil.copyfile(own.initramfs, partial / "initramfs")
        machine.shutdown(timeout_s=BOOT_S)


@contextmanager
def booted(image: Image, work: Path, maker: Maker) -> Iterator[Machine]:
    """Such a machine, whose gate observes, with a disk of its own in ``work``."""
    kept = _disk(image, maker)
    shutil.copytree(kept / "work", work, ignore=shutil.ignore_patterns("*.log", "*.sock"))
    own = dataclasses.replace(image, initramfs=kept / "initramfs")
    with Machine.boot("system", own, work=work, append=APPEND, timeout_s=BOOT_S) as machine:
        yield machine
