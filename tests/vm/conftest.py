# SPDX-License-Identifier: Apache-2.0
"""The fixtures of this directory's tests."""

from .fixtures import bare_vm, system_vm, vm_image

__all__ = ["bare_vm", "system_vm", "vm_image"]
