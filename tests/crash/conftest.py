# SPDX-License-Identifier: Apache-2.0
"""The fixtures of this directory's tests."""

from tests.crash.stage_host import host, tools
from tests.vm.fixtures import vm_image

__all__ = ["host", "tools", "vm_image"]
