# SPDX-License-Identifier: Apache-2.0
"""The fixtures of this directory's tests."""

from .fixtures import bare_vm, system_vm, vm_image
from .gate_machine import gate_files, gate_image, sealed, sealed_machine
from .unlock_machine import digests, locked, locked_machine

__all__ = [
    "bare_vm",
    "digests",
    "gate_files",
    "gate_image",
    "locked",
    "locked_machine",
    "sealed",
    "sealed_machine",
    "system_vm",
    "vm_image",
]
