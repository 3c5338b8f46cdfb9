# SPDX-License-Identifier: Apache-2.0
"""The fixtures of this directory's tests."""

from tests.vm.fixtures import vm_image

__all__ = ["vm_image"]
