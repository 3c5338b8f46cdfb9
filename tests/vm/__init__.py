# SPDX-License-Identifier: Apache-2.0
"""Virtual machines with a real Debian kernel for the demo, the tests, the attacks and benchmarks.

    from tests.vm import Machine, build_image

    with Machine.boot("system", build_image(wheel)) as machine:
        print(machine.run(["uname", "-r"]).stdout)

See README.md in this directory.
"""

from .errors import GuestCommandFailed, VmError, VmTimeout, VmToolMissing
from .image import APT_PACKAGES, Image, build_image
from .machine import Machine
from .process import Completed, GuestProcess
from .qemu import Disk

__all__ = [
    "APT_PACKAGES",
    "Completed",
    "Disk",
    "GuestCommandFailed",
    "GuestProcess",
    "Image",
    "Machine",
    "VmError",
    "VmTimeout",
    "VmToolMissing",
    "build_image",
]
