# SPDX-License-Identifier: Apache-2.0
"""dracut in a machine makes an initramfs anew where the one that is there has fs-verity.

`lockdown init` gives it that. dracut writes over the file, and deletes it where it can't: the host
would have none. What is in one, and whether it boots, is other tests'.
"""

from __future__ import annotations

import pytest

from . import boot_world, debs
from .image import Image
from .machine import Machine

pytestmark = pytest.mark.full

_AT = "/boot/initrd.img-6"
_PREPARE = f"""
set -e
dpkg --unpack --force-depends /run/debs/*.deb
mkdir -p /etc/verity/pins
touch /etc/verity/pins/vendor.pin /etc/verity/pins/user.pin
echo old >{_AT}
fsverity enable {_AT}
"""


def made(machine: Machine, modules: str) -> list[str]:
    """What is in /boot beside a kernel, after dracut has run for few modules and no kernel."""
    make = f"dracut --force --no-kernel --compress cat --modules '{modules}' {_AT} 6"
    machine.run(make, chroot="/sysroot", check=False, timeout_s=400)
    left = "find /boot -name '*init*' -size +1 -o -name '.*new'"
    return machine.run(left, chroot="/sysroot").text.split()


def test_it_is_replaced(vm_image: Image) -> None:
    """And without our module dracut deletes it, as far as this test can be believed."""
    with Machine.boot("bare", vm_image) as machine:
        machine.push(debs.packages(vm_image, "dracut-core"), "/sysroot/run/debs")
        machine.run(_PREPARE, chroot="/sysroot", timeout_s=120)
        for name, path in boot_world.installed().items():
            machine.push(path, f"/sysroot/{name}")
        assert machine.run(f"echo x >>{_AT}", chroot="/sysroot", check=False).status != 0
        assert made(machine, "verity") == [_AT]
        machine.run(f"fsverity enable {_AT}", chroot="/sysroot")
        assert made(machine, "base") == []
