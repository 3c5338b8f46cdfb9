# SPDX-License-Identifier: Apache-2.0
"""The machines that attacks run in: one without a gate and one with it, shared by a module's tests.

The image has no wheel in it: the gate needs none, and so the image stays when the code changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.vm import Image, Machine, build_image, trust_world
from tests.vm.verity_root import verity_root

from . import ground
from .gatelog import status
from .table import table


@pytest.fixture(scope="session")
def bare_image() -> Image:
    """Debian on fs-verity, without verity itself."""
    return verity_root(build_image())


@contextmanager
def ground_machine(image: Image) -> Iterator[Machine]:
    """A booted machine with the attacker's tools in it.

    It has one processor: tracing patches the kernel's code while it runs, and QEMU 7.2 lets another
    processor run into what is half patched ("Oops: int3").
    """
    with Machine.boot("system", image, cpus=1) as machine:
        ground.install(machine, ground.ground(image))
        yield machine


@pytest.fixture(scope="module")
def off(bare_image: Image) -> Iterator[Machine]:
    """A machine with the attacker's tools and without a gate."""
    with ground_machine(bare_image) as machine:
        yield machine


@contextmanager
def _gated(image: Image, mode: str) -> Iterator[Machine]:
    """The same with a gate in `mode`. Its boot bundle grants Debian and what is signed of the
    ground, some of which is revoked afterwards."""
    made = ground.ground(image)
    world = trust_world.trust_world(
        image,
        ground.streams(made),
        mode=mode,
        guarded=ground.GUARDED_PATHS,
        config=ground.placed(made),
    )
    with ground_machine(image) as machine:
        trust_world.install(machine, world)
        trust_world.load(machine)
        assert status(machine)["state"] == mode
        ground.revoke(machine, made, world)
        yield machine


@pytest.fixture(scope="module")
def sealed(bare_image: Image) -> Iterator[Machine]:
    """A machine whose gate is sealed."""
    with _gated(bare_image, "sealed") as machine:
        yield machine


@pytest.fixture(scope="module")
def observing(bare_image: Image) -> Iterator[Machine]:
    """A machine whose gate only observes."""
    with _gated(bare_image, "observe") as machine:
        yield machine


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what became of each attack: without the gate, observed, sealed, by a user."""
    properties = [
        dict(report.user_properties)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    for line in table([one for one in properties if "attack" in one]):
        terminalreporter.write_line(line)
