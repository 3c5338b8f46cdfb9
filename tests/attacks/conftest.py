# SPDX-License-Identifier: Apache-2.0
"""The machines that attacks run in: one without a gate, shared by a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm import Image, Machine
from tests.vm.fixtures import vm_image
from tests.vm.verity_root import verity_root

from . import ground

__all__ = ["off", "vm_image"]


@pytest.fixture(scope="module")
def off(vm_image: Image) -> Iterator[Machine]:
    """A machine with the attacker's tools and without a gate."""
    image = verity_root(vm_image)
    with Machine.boot("system", image) as machine:
        ground.install(machine, ground.ground(image))
        yield machine
