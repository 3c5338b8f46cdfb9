# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures, for import in a directory's conftest.py. The wheel is $VERITY_WHEEL or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .image import Image, build_image
from .machine import Machine


@pytest.fixture(scope="session")
def vm_image() -> Image:
    """The guest's image, built at first use."""
    wheel = os.environ.get("VERITY_WHEEL")
    return build_image(Path(wheel) if wheel else None)


@pytest.fixture
def system_vm(vm_image: Image) -> Iterator[Machine]:
    """A booted systemd machine of the test's own, from the snapshot."""
    with Machine.boot("system", vm_image) as machine:
        yield machine


@pytest.fixture
def bare_vm(vm_image: Image) -> Iterator[Machine]:
    """A booted initramfs machine of the test's own, from the snapshot."""
    with Machine.boot("bare", vm_image) as machine:
        yield machine
